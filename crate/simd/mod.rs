//! The vector instructions the kernels are written in, as a trait with one implementation per instruction set.
//! `core::arch` and `cfg(target_feature)` are used here and nowhere else, and `unsafe` in `x86` alone.
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
//! | `max_bits`, `max_signed_bits` | the larger of the two bit patterns as u32, as i32 | `i32x4.max_u`, `i32x4.max_s` |
//! | `split(x, least)` | k and m with `x = m 2^k`, m from `least` on | integer `add`, `shr`, `sub`, `f32x4.convert_i32x4` |
//! | `transpose` | a 4x4 block | `i8x16.shuffle` |
//! | `add_across` | the lanes of each of four vectors, added | `i8x16.shuffle`, `f32x4.add` |
//! | `load_pairs`, `store_pairs` | the even and the odd ones of twice as many floats | `v128.load`, `.store`, `i8x16.shuffle` |
//! | `load_bits`, `sign_of_lowest_bit` | whole numbers as they are; all but their lowest bit dropped, that one as sign | `v128.load`, `i32x4.shl` |
//! | `scale_by_exponent(p, n)` | bits of `p` plus bits of `n` shifted left by 23 | `i32x4.shl`, `.add` |
//!
//! Only `mul_add` may round in two ways, and only between implementations; and the compiler turns `pmax` into an
//! instruction that may drop a NaN where relaxed SIMD is on. Everything else means the same in each, NaN included, so [`Lanes4`] natively gives the bits that [`wasm::Simd128`] gives in a browser.
//!
//! A wider implementation works on the same memory and adds in another order. On x86-64 the processor is asked at run time what
//! it has ([`Kernel::run`]); a program for arm64 runs [`Lanes4`], in the instructions that the compiler finds for it.

/// Memory in chunks of as many floats as an implementation has lanes.
macro_rules! chunks_of {
    ($lanes:literal) => {
        type Chunk = [f32; $lanes];
        type Codes = [i32; $lanes];
        type Pairs = [f32; 2 * $lanes];

        #[inline(always)]
        fn chunks(x: &[f32]) -> &[[f32; $lanes]] {
            x.as_chunks().0
        }
        #[inline(always)]
        fn chunks_mut(x: &mut [f32]) -> &mut [[f32; $lanes]] {
            x.as_chunks_mut().0
        }
        #[inline(always)]
        fn codes(x: &[i32]) -> &[[i32; $lanes]] {
            x.as_chunks().0
        }
        #[inline(always)]
        fn pairs(x: &[f32]) -> &[[f32; 2 * $lanes]] {
            x.as_chunks().0
        }
        #[inline(always)]
        fn pairs_mut(x: &mut [f32]) -> &mut [[f32; 2 * $lanes]] {
            x.as_chunks_mut().0
        }
        #[inline(always)]
        fn last(x: &[f32]) -> &[f32; $lanes] {
            x.last_chunk().expect("at least a vector of floats")
        }
        #[inline(always)]
        fn last_mut(x: &mut [f32]) -> &mut [f32; $lanes] {
            x.last_chunk_mut().expect("at least a vector of floats")
        }
        #[inline(always)]
        fn empty() -> [f32; $lanes] {
            [0.0; $lanes]
        }
    };
}

pub(crate) mod arrays;
mod choice;
pub(crate) mod halves;
#[cfg(not(target_arch = "wasm32"))]
mod lanes4;
#[cfg(target_arch = "wasm32")]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use choice::Kernel;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use choice::Task;
#[cfg(not(target_arch = "wasm32"))]
use lanes4::{Lanes4, Lanes4Fused};
#[cfg(target_arch = "x86_64")]
use x86::{Lanes8, Lanes16};

use core::fmt::Debug;

/// Floats of a cache line.
pub(crate) const CACHE_LINE: usize = 16;
/// The most lanes that an implementation has.
pub(crate) const MOST_LANES: usize = 16;

/// A closure that is always inlined, where it is written `inlined(#[inline(always)] |...| ...)`: see [`Isa::enter`].
#[inline(always)]
pub(crate) fn inlined<F>(closure: F) -> F {
    closure
}

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
    /// `LANES` whole numbers in memory.
    type Codes;
    /// Twice `LANES` floats in memory.
    type Pairs;

    /// Calls a closure where the compiler may use the instructions of this implementation.
    ///
    /// Whatever in it works with vectors must be inlined into it, all the way down, and the closure itself too: what is not is
    /// compiled without the instructions, so that each operation is a call and each vector goes through memory (test: `inlining`).
    /// So the closure is written with `#[inline(always)]`, and what it calls is always inlined too, closures by [`inlined`].
    #[inline(always)]
    fn enter<R>(f: impl FnOnce() -> R) -> R {
        f()
    }

    /// The whole chunks of a slice, from its start.
    fn chunks(x: &[f32]) -> &[Self::Chunk];
    /// The whole chunks of a slice, from its start.
    fn chunks_mut(x: &mut [f32]) -> &mut [Self::Chunk];
    /// The whole chunks of a slice, from its start.
    fn codes(x: &[i32]) -> &[Self::Codes];
    /// The whole chunks of a slice, from its start.
    fn pairs(x: &[f32]) -> &[Self::Pairs];
    /// The whole chunks of a slice, from its start.
    fn pairs_mut(x: &mut [f32]) -> &mut [Self::Pairs];
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
    fn max_signed_bits(a: Self::V, b: Self::V) -> Self::V;
    fn scale_by_exponent(p: Self::V, n: Self::V) -> Self::V;

    fn load_bits(chunk: &Self::Codes) -> Self::V;
    fn sign_of_lowest_bit(bits: Self::V) -> Self::V;
    fn load_pairs(x: &Self::Pairs) -> (Self::V, Self::V);
    fn store_pairs(x: &mut Self::Pairs, first: Self::V, second: Self::V);
    /// Whether [`Isa::fetch`] asks for anything.
    const FETCHES: bool = false;
    /// Asks for numbers that will be read soon, where the processor can be asked.
    #[inline(always)]
    fn fetch(_numbers: &[f32]) {}
    /// The columns of a 4x4 block.
    fn transpose(rows: [&[f32; 4]; 4]) -> [[f32; 4]; 4];
    /// The sums of the lanes of four vectors: of four lanes the first and third, the second and fourth, then both; of more in halves
    /// until there are four.
    fn add_across(v: [Self::V; 4]) -> [f32; 4];
    /// `a / b`, IEEE single.
    fn div(a: Self::V, b: Self::V) -> Self::V;
    /// The exponent of each lane as a float, and the lane scaled to it: `x = m 2^k` with `m` in [`least`, 2 `least`). For positive
    /// normal lanes; `least` is sqrt 1/2 in each.
    fn split(x: Self::V, least: Self::V) -> (Self::V, Self::V);
    /// All ones in the first `count` lanes, zeros in the others; `count` is at most `LANES`.
    fn first(count: usize) -> Self::V;
    /// All ones in lane `lane` alone.
    fn only(lane: usize) -> Self::V;
    /// The lanes, widened and added: of four from the first to the last, of more in halves.
    fn sum(v: Self::V) -> f64;
    /// The largest lane, of numbers.
    fn max(v: Self::V) -> f32;
    /// The largest lane's bits as u32.
    fn largest_bits(v: Self::V) -> u32;
    /// Whether any lane of a mask is set.
    fn any(mask: Self::V) -> bool;
    /// Whether a mask has all lanes set.
    #[inline(always)]
    fn all(mask: Self::V) -> bool {
        let zero = Self::splat(0.0);
        !Self::any(Self::and_not(Self::eq(zero, zero), mask))
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
pub(crate) type Best = wasm::RelaxedSimd;
#[cfg(all(target_arch = "wasm32", not(target_feature = "relaxed-simd")))]
pub(crate) type Best = wasm::Simd128;

/// Whether `mul_add` of the compiled-in instruction set really rounds once on this machine.
///
/// `relaxed_madd` may round once or twice, as the engine pleases; the one-constant argument reduction of
/// [`crate::math`] is only accurate when it rounds once. With `a = 1 + 2^-12`, `a * a` is `1 + 2^-11 + 2^-24`, whose
/// last bit only survives a single rounding.
#[cfg(target_arch = "wasm32")]
pub(crate) fn is_fused() -> bool {
    let a = core::hint::black_box(1.0 + 1.0 / 4096.0);
    let c = core::hint::black_box(-(1.0 + 1.0 / 2048.0));
    let probe = Best::mul_add(Best::splat(a), Best::splat(a), Best::splat(c));
    Best::FUSED && Best::max(probe) == 1.0 / 16_777_216.0
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;

    struct Across;

    impl Task for Across {
        type Output = ();

        fn run<I: Isa>(self) {
            // Powers of two, so that a sum shows which lanes it has; a lane of each vector at a time.
            for lane in 0..I::LANES {
                let rows: Vec<Vec<f32>> = (0..4)
                    .map(|row| {
                        (0..I::LANES).map(|at| if at == lane { 1.0 } else { (row * 16) as f32 }).collect()
                    })
                    .collect();
                let sums = I::enter(
                    #[inline(always)]
                    || {
                        let row = inlined(
                            #[inline(always)]
                            |row: usize| I::load(&I::chunks(&rows[row])[0]),
                        );
                        I::add_across([row(0), row(1), row(2), row(3)])
                    },
                );
                for (row, sum) in sums.into_iter().enumerate() {
                    let want = 1.0 + ((I::LANES - 1) * row * 16) as f32;
                    assert_eq!(sum, want, "vector {row} with a 1 in lane {lane} of {}", I::LANES);
                }
            }
        }
    }

    #[test]
    fn each_vector_is_added_across() {
        for kernel in Kernel::supported() {
            kernel.choose().expect("a kernel that is supported").run(Across);
        }
    }
}
