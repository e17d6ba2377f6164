//! The wasm instructions: plain SIMD128, and relaxed SIMD, which differs in `mul_add` and in how lanes are selected.

use super::Isa;
use core::arch::wasm32::*;

/// Multiply and add round separately.
#[cfg(not(target_feature = "relaxed-simd"))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Simd128;

/// Multiply-add may round once; the loader asks whether it does before it keeps this build.
#[cfg(target_feature = "relaxed-simd")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct RelaxedSimd;

static FIRST: [[u32; 4]; 5] =
    [[0, 0, 0, 0], [!0, 0, 0, 0], [!0, !0, 0, 0], [!0, !0, !0, 0], [!0, !0, !0, !0]];
static ONLY: [[u32; 4]; 4] = [[!0, 0, 0, 0], [0, !0, 0, 0], [0, 0, !0, 0], [0, 0, 0, !0]];

#[inline(always)]
fn mask(lanes: &[u32; 4]) -> v128 {
    u32x4(lanes[0], lanes[1], lanes[2], lanes[3])
}

macro_rules! simd128 {
    ($name:ident, $fused:literal, |$a:ident, $b:ident, $c:ident| $mul_add:expr, $select:path) => {
        impl Isa for $name {
            const LANES: usize = 4;
            const FUSED: bool = $fused;
            type V = v128;
            chunks_of!(4);

            #[inline(always)]
            fn load(chunk: &[f32; 4]) -> v128 {
                f32x4(chunk[0], chunk[1], chunk[2], chunk[3])
            }
            #[inline(always)]
            fn store(chunk: &mut [f32; 4], v: v128) {
                *chunk = [
                    f32x4_extract_lane::<0>(v),
                    f32x4_extract_lane::<1>(v),
                    f32x4_extract_lane::<2>(v),
                    f32x4_extract_lane::<3>(v),
                ];
            }
            #[inline(always)]
            fn splat(x: f32) -> v128 {
                f32x4_splat(x)
            }
            #[inline(always)]
            fn add(a: v128, b: v128) -> v128 {
                f32x4_add(a, b)
            }
            #[inline(always)]
            fn sub(a: v128, b: v128) -> v128 {
                f32x4_sub(a, b)
            }
            #[inline(always)]
            fn mul(a: v128, b: v128) -> v128 {
                f32x4_mul(a, b)
            }
            #[inline(always)]
            fn mul_add($a: v128, $b: v128, $c: v128) -> v128 {
                $mul_add
            }
            #[inline(always)]
            fn select(mask: v128, a: v128, b: v128) -> v128 {
                $select(a, b, mask)
            }
            #[inline(always)]
            fn pmax(a: v128, b: v128) -> v128 {
                f32x4_pmax(a, b)
            }
            #[inline(always)]
            fn le(a: v128, b: v128) -> v128 {
                f32x4_le(a, b)
            }
            #[inline(always)]
            fn eq(a: v128, b: v128) -> v128 {
                f32x4_eq(a, b)
            }
            #[inline(always)]
            fn and(a: v128, b: v128) -> v128 {
                v128_and(a, b)
            }
            #[inline(always)]
            fn and_not(a: v128, b: v128) -> v128 {
                v128_andnot(a, b)
            }
            #[inline(always)]
            fn or(a: v128, b: v128) -> v128 {
                v128_or(a, b)
            }
            #[inline(always)]
            fn xor(a: v128, b: v128) -> v128 {
                v128_xor(a, b)
            }
            #[inline(always)]
            fn abs(a: v128) -> v128 {
                f32x4_abs(a)
            }
            #[inline(always)]
            fn max_bits(a: v128, b: v128) -> v128 {
                u32x4_max(a, b)
            }
            #[inline(always)]
            fn max_signed_bits(a: v128, b: v128) -> v128 {
                i32x4_max(a, b)
            }
            #[inline(always)]
            fn scale_by_exponent(p: v128, n: v128) -> v128 {
                u32x4_add(p, u32x4_shl(n, 23))
            }
            #[inline(always)]
            fn load_bits(chunk: &[i32; 4]) -> v128 {
                i32x4(chunk[0], chunk[1], chunk[2], chunk[3])
            }
            #[inline(always)]
            fn sign_of_lowest_bit(bits: v128) -> v128 {
                u32x4_shl(bits, 31)
            }
            #[inline(always)]
            fn load_pairs(x: &[f32; 8]) -> (v128, v128) {
                let (a, b) = (f32x4(x[0], x[1], x[2], x[3]), f32x4(x[4], x[5], x[6], x[7]));
                (u32x4_shuffle::<0, 2, 4, 6>(a, b), u32x4_shuffle::<1, 3, 5, 7>(a, b))
            }
            #[inline(always)]
            fn store_pairs(x: &mut [f32; 8], first: v128, second: v128) {
                let [low, high] = x.as_chunks_mut::<4>().0 else { return };
                Self::store(low, u32x4_shuffle::<0, 4, 1, 5>(first, second));
                Self::store(high, u32x4_shuffle::<2, 6, 3, 7>(first, second));
            }
            #[inline(always)]
            fn transpose(rows: [&[f32; 4]; 4]) -> [[f32; 4]; 4] {
                let [a, b, c, d] = rows.map(Self::load);
                let (ab, cd) = (u32x4_shuffle::<0, 4, 1, 5>(a, b), u32x4_shuffle::<0, 4, 1, 5>(c, d));
                let (ab2, cd2) = (u32x4_shuffle::<2, 6, 3, 7>(a, b), u32x4_shuffle::<2, 6, 3, 7>(c, d));
                [
                    Self::lanes(u64x2_shuffle::<0, 2>(ab, cd)),
                    Self::lanes(u64x2_shuffle::<1, 3>(ab, cd)),
                    Self::lanes(u64x2_shuffle::<0, 2>(ab2, cd2)),
                    Self::lanes(u64x2_shuffle::<1, 3>(ab2, cd2)),
                ]
            }
            #[inline(always)]
            fn add_across([a, b, c, d]: [v128; 4]) -> [f32; 4] {
                let low = f32x4_add(u32x4_shuffle::<0, 4, 1, 5>(a, b), u32x4_shuffle::<2, 6, 3, 7>(a, b));
                let high = f32x4_add(u32x4_shuffle::<0, 4, 1, 5>(c, d), u32x4_shuffle::<2, 6, 3, 7>(c, d));
                Self::lanes(f32x4_add(u64x2_shuffle::<0, 2>(low, high), u64x2_shuffle::<1, 3>(low, high)))
            }
            #[inline(always)]
            fn div(a: v128, b: v128) -> v128 {
                f32x4_div(a, b)
            }
            #[inline(always)]
            fn split(x: v128, least: v128) -> (v128, v128) {
                let steps = i32x4_shr(u32x4_sub(x, least), 23);
                (f32x4_convert_i32x4(steps), u32x4_sub(x, u32x4_shl(steps, 23)))
            }
            #[inline(always)]
            fn first(count: usize) -> v128 {
                mask(&FIRST[count])
            }
            #[inline(always)]
            fn only(lane: usize) -> v128 {
                mask(&ONLY[lane])
            }
            #[inline(always)]
            fn sum(v: v128) -> f64 {
                let low = f64x2_promote_low_f32x4(v);
                let high = f64x2_promote_low_f32x4(u64x2_shuffle::<1, 1>(v, v));
                ((f64x2_extract_lane::<0>(low) + f64x2_extract_lane::<1>(low))
                    + f64x2_extract_lane::<0>(high))
                    + f64x2_extract_lane::<1>(high)
            }
            #[inline(always)]
            fn max(v: v128) -> f32 {
                let m = f32x4_pmax(v, u64x2_shuffle::<1, 0>(v, v));
                let m = f32x4_pmax(m, u32x4_shuffle::<1, 0, 3, 2>(m, m));
                f32x4_extract_lane::<0>(m)
            }
            #[inline(always)]
            fn largest_bits(v: v128) -> u32 {
                let m = u32x4_max(v, u64x2_shuffle::<1, 0>(v, v));
                let m = u32x4_max(m, u32x4_shuffle::<1, 0, 3, 2>(m, m));
                u32x4_extract_lane::<0>(m)
            }
            #[inline(always)]
            fn any(mask: v128) -> bool {
                v128_any_true(mask)
            }
        }
    };
}

#[cfg(not(target_feature = "relaxed-simd"))]
simd128!(Simd128, false, |a, b, c| f32x4_add(f32x4_mul(a, b), c), v128_bitselect);
#[cfg(target_feature = "relaxed-simd")]
simd128!(RelaxedSimd, true, |a, b, c| f32x4_relaxed_madd(a, b, c), i32x4_relaxed_laneselect);
