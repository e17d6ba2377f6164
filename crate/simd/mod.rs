//! The vector instructions the kernels are written in, as a trait with one implementation per instruction set.
//! `core::arch` and `cfg(target_feature)` are used here and nowhere else. No `unsafe`.
//!
//! | operation | meaning, lane by lane | wasm instruction |
//! |---|---|---|
//! | `load`, `store` | a chunk of memory, any alignment | `v128.load`, `v128.store` |
//! | `add`, `sub`, `mul`, `div` | IEEE single | `f32x4.add`, `.sub`, `.mul`, `.div` |
//! | `mul_add(a, b, c)` | `a * b + c`; one rounding where `FUSED`, else two | `f32x4.relaxed_madd` or mul, add |
//! | `pmax(a, b)` | `a < b ? b : a` of numbers; either of the two where one is NaN | `f32x4.pmax`, `.relaxed_max` |
//! | `le`, `eq` | all ones where true (false for NaN) | `f32x4.le`, `.eq` |
//! | `and`, `or`, `xor`, `and_not(a, b)` | bits, `a & b`, `a \| b`, `a ^ b`, `a & !b` | `v128.and`, `.or`, `.xor`, `.andnot` |
//! | `abs` | the sign bit cleared | `f32x4.abs` |
//! | `max_bits` | the larger of the two bit patterns as u32 | `i32x4.max_u` |
//! | `split(x)` | k and m with `x = m 2^k` | integer `add`, `shr`, `sub`, `f32x4.convert_i32x4` |
//! | `transpose` | a 4x4 block | `i8x16.shuffle` |
//! | `load_pairs`, `store_pairs` | the even and the odd ones of eight floats | `v128.load`, `.store`, `i8x16.shuffle` |
//! | `load_bits`, `sign_of_lowest_bit` | four whole numbers as they are; all but their lowest bit dropped, that one as sign | `v128.load`, `i32x4.shl` |
//! | `scale_by_exponent(p, n)` | bits of `p` plus bits of `n` shifted left by 23 | `i32x4.shl`, `.add` |
//!
//! Only `mul_add` may round in two ways, and only between implementations; and the compiler turns `pmax` into an
//! instruction that may drop a NaN where relaxed SIMD is on. Everything else means the same in each, NaN included, so [`Lanes4`] natively gives the bits that [`wasm::Simd128`] gives in a browser.
#![forbid(unsafe_code)]

/// Memory in chunks of four floats, as every implementation with four lanes has it.
macro_rules! chunks_of_four {
    () => {
        type Chunk = [f32; 4];

        #[inline(always)]
        fn chunks(x: &[f32]) -> &[[f32; 4]] {
            x.as_chunks().0
        }
        #[inline(always)]
        fn chunks_mut(x: &mut [f32]) -> &mut [[f32; 4]] {
            x.as_chunks_mut().0
        }
        #[inline(always)]
        fn last(x: &[f32]) -> &[f32; 4] {
            x.last_chunk().expect("at least four floats")
        }
        #[inline(always)]
        fn last_mut(x: &mut [f32]) -> &mut [f32; 4] {
            x.last_chunk_mut().expect("at least four floats")
        }
        #[inline(always)]
        fn empty() -> [f32; 4] {
            [0.0; 4]
        }
    };
}

#[cfg(not(target_arch = "wasm32"))]
mod lanes4;
#[cfg(target_arch = "wasm32")]
mod wasm;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use lanes4::{Lanes4, Lanes4Fused};

use core::fmt::Debug;

/// The bits of sqrt 1/2: subtracting them puts the exponent's step there.
const SQRT_HALF_BITS: u32 = 0x3f35_04f3;

/// One instruction set: vectors of `LANES` single-precision floats.
pub(crate) trait Isa: Copy + Debug + Send + Sync + 'static {
    /// Floats in a vector.
    const LANES: usize;
    /// Whether `mul_add` rounds once.
    const FUSED: bool;
    /// A vector.
    type V: Copy;
    /// `LANES` floats in memory.
    type Chunk: Copy + AsRef<[f32]> + AsMut<[f32]>;

    /// The whole chunks of a slice, from its start.
    fn chunks(x: &[f32]) -> &[Self::Chunk];
    /// The whole chunks of a slice, from its start.
    fn chunks_mut(x: &mut [f32]) -> &mut [Self::Chunk];
    /// The last `LANES` floats of a slice.
    ///
    /// # Panics
    /// If there are fewer.
    fn last(x: &[f32]) -> &Self::Chunk;
    /// The last `LANES` floats of a slice.
    ///
    /// # Panics
    /// If there are fewer.
    fn last_mut(x: &mut [f32]) -> &mut Self::Chunk;

    fn load(chunk: &Self::Chunk) -> Self::V;
    fn store(chunk: &mut Self::Chunk, v: Self::V);
    fn splat(x: f32) -> Self::V;
    /// The lanes as floats in memory.
    #[inline(always)]
    fn lanes(v: Self::V) -> Self::Chunk {
        let mut chunk = Self::empty();
        Self::store(&mut chunk, v);
        chunk
    }
    /// A chunk of zeros.
    fn empty() -> Self::Chunk;

    fn add(a: Self::V, b: Self::V) -> Self::V;
    fn sub(a: Self::V, b: Self::V) -> Self::V;
    fn mul(a: Self::V, b: Self::V) -> Self::V;
    fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    fn pmax(a: Self::V, b: Self::V) -> Self::V;

    fn le(a: Self::V, b: Self::V) -> Self::V;
    fn eq(a: Self::V, b: Self::V) -> Self::V;
    fn and(a: Self::V, b: Self::V) -> Self::V;
    fn and_not(a: Self::V, b: Self::V) -> Self::V;
    /// `a` where the mask is set, else `b`.
    #[inline(always)]
    fn select(mask: Self::V, a: Self::V, b: Self::V) -> Self::V {
        Self::or(Self::and(a, mask), Self::and_not(b, mask))
    }
    fn or(a: Self::V, b: Self::V) -> Self::V;
    fn xor(a: Self::V, b: Self::V) -> Self::V;
    fn abs(a: Self::V) -> Self::V;
    fn max_bits(a: Self::V, b: Self::V) -> Self::V;
    fn scale_by_exponent(p: Self::V, n: Self::V) -> Self::V;

    fn load_bits(chunk: &[i32; 4]) -> Self::V;
    fn sign_of_lowest_bit(bits: Self::V) -> Self::V;
    fn load_pairs(x: &[f32; 8]) -> (Self::V, Self::V);
    fn store_pairs(x: &mut [f32; 8], first: Self::V, second: Self::V);
    /// The columns of a 4x4 block.
    fn transpose(rows: [&[f32; 4]; 4]) -> [[f32; 4]; 4];
    /// `a / b`, IEEE single.
    fn div(a: Self::V, b: Self::V) -> Self::V;
    /// The exponent of each lane as a float, and the lane scaled to it: `x = m 2^k` with `m` in [sqrt 1/2, sqrt 2). For
    /// positive normal lanes.
    fn split(x: Self::V) -> (Self::V, Self::V);
    /// All ones in the first `count` lanes, zeros in the others; `count` is at most `LANES`.
    fn first(count: usize) -> Self::V;
    /// All ones in lane `lane` alone.
    fn only(lane: usize) -> Self::V;
    /// The lanes, widened and added from the first to the last.
    fn sum(v: Self::V) -> f64;
    /// The largest lane, by `pmax` from the first to the last.
    fn max(v: Self::V) -> f32;
    /// The largest lane's bits as u32.
    fn largest_bits(v: Self::V) -> u32;
    /// Whether any lane of a mask is set.
    fn any(mask: Self::V) -> bool;
}

/// Which implementation of the kernels a call runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Kernel {
    /// The fastest one for the target this was compiled for: the wasm instructions on wasm32, [`Kernel::Lanes4`]
    /// elsewhere. The only one there is on wasm32.
    #[default]
    Best,
    /// Four lanes in plain Rust with separate multiply and add: the bits of the wasm `simd` build.
    Lanes4,
    /// Four lanes in plain Rust with fused multiply-add: the bits of the wasm `relaxed` build where the engine
    /// fuses.
    Lanes4Fused,
}

#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
pub(crate) type Best = wasm::RelaxedSimd;
#[cfg(all(target_arch = "wasm32", not(target_feature = "relaxed-simd")))]
pub(crate) type Best = wasm::Simd128;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) type Best = Lanes4;

/// Whether `mul_add` of the compiled-in instruction set really rounds once on this machine.
///
/// `relaxed_madd` may round once or twice, as the engine pleases; the one-constant argument reduction of
/// [`crate::math`] is only accurate when it rounds once. With `a = 1 + 2^-12`, `a * a` is `1 + 2^-11 + 2^-24`, whose
/// last bit only survives a single rounding.
#[cfg_attr(not(target_arch = "wasm32"), expect(dead_code, reason = "asked by the loader of the wasm builds"))]
pub(crate) fn is_fused() -> bool {
    let a = core::hint::black_box(1.0 + 1.0 / 4096.0);
    let c = core::hint::black_box(-(1.0 + 1.0 / 2048.0));
    let probe = Best::mul_add(Best::splat(a), Best::splat(a), Best::splat(c));
    Best::FUSED && Best::max(probe) == 1.0 / 16_777_216.0
}
