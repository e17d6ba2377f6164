//! The wasm instructions that convert slices of `f16` and `bf16` to single precision and back, eight numbers at a time. Results are those of
//! the plain functions in `simd/halves/mod.rs`: exact, or the nearest number, ties to even.
//!
//! Infinities and NaN of `f16` need more instructions than other numbers. So a slice is widened without them first, and again with them if
//! it had any.

use super::{padded, put};
use crate::simd::{Best, Isa, inlined};
use core::arch::wasm32::*;
use core::hint::black_box;

/// A format of 16 bits, with its constants in vectors.
pub(crate) trait Format: Copy {
    fn new() -> Self;
    /// Widens eight numbers: the first four, and the others. Unless it is `FULL`, it may give wrong results, and keeps in `most` what
    /// [`Format::is_widened`] tells that by.
    fn widened<const FULL: bool>(self, x: v128, most: &mut v128) -> [v128; 2];
    /// Whether all numbers that were widened without `FULL` are right.
    fn is_widened(self, most: v128) -> bool;
    /// Narrows eight numbers.
    fn narrowed(self, x: [v128; 2]) -> v128;
    /// Narrows eight positive numbers that are not NaN. Numbers that are too large give wrong results, and leave in `most` what
    /// [`Format::is_narrowed`] tells that by.
    fn positive(self, x: [v128; 2], most: &mut v128) -> v128;
    /// Whether all results of [`Format::positive`] are right.
    fn is_narrowed(self, most: v128) -> bool;
}

#[derive(Clone, Copy)]
pub(crate) struct F16 {
    /// All bits of a single but its sign, and those of its exponent.
    magnitude: v128,
    infinity: v128,
    /// The bits of a single that a widened number uses, and the factor 2^112, since the biases of the exponents differ by 112.
    places: v128,
    bias: v128,
    /// 65,536: what infinity is widened to if it is taken for a number.
    end: v128,
    /// 2^-14, the smallest normal number; and 2^-13, since a single has 13 places more.
    normal: v128,
    drop: v128,
    /// What `i32x4.dot_i16x8_s` multiplies the lower and the upper 16 bits by, and what its sum is too large by.
    join: v128,
    excess: v128,
    /// The same of 16 bits, eight times.
    half_sign: v128,
    half_magnitude: v128,
    half_infinity: v128,
    half_nan: v128,
}

#[derive(Clone, Copy)]
pub(crate) struct Bf16 {
    /// Half of a step, less one bit. With the last bit that is kept added too, what is cut off rounds ties to even.
    below_half: v128,
    last_place: v128,
    nan: v128,
}

/// Gives vectors of four equal numbers whose values V8 does not know: a constant that it knows it makes anew in each turn of a loop.
#[inline(always)]
fn hidden() -> impl Fn(u32) -> v128 {
    let nothing = black_box(0);
    move |bits| u32x4_splat(bits ^ nothing)
}

/// Puts the bits of each number in the upper half of 32 bits; the lower half is 0.
#[inline(always)]
fn as_upper(x: v128) -> [v128; 2] {
    let zero = u32x4_splat(0);
    [i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(zero, x), i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(zero, x)]
}

impl Format for F16 {
    #[inline(always)]
    fn new() -> Self {
        let of = hidden();
        Self {
            magnitude: of(0x7fff_ffff),
            infinity: of(0x7f80_0000),
            places: of(0x8fff_e000),
            bias: of((127 + 112) << 23),
            end: of(0x4780_0000),
            normal: of((127 - 14) << 23),
            drop: of((127 - 13) << 23),
            join: of(0x0008_0001),
            excess: of((127 - 14) << 10),
            half_sign: of(0x8000_8000),
            half_magnitude: of(0x7fff_7fff),
            half_infinity: of(0x7c00_7c00),
            half_nan: of(0x7e00_7e00),
        }
    }

    /// The bits are read as singles with the exponent's bias of `f16`. The product corrects it, exactly, subnormal numbers included.
    #[inline(always)]
    fn widened<const FULL: bool>(self, x: v128, most: &mut v128) -> [v128; 2] {
        if !FULL {
            *most = i16x8_max(*most, v128_and(x, self.half_magnitude));
        }
        as_upper(x).map(
            #[inline(always)]
            |bits| {
                let x = f32x4_mul(v128_and(i32x4_shr(bits, 3), self.places), self.bias);
                if !FULL {
                    return x;
                }
                v128_or(x, v128_and(f32x4_ge(f32x4_abs(x), self.end), self.infinity))
            },
        )
    }

    #[inline(always)]
    fn is_widened(self, most: v128) -> bool {
        !v128_any_true(i16x8_ge(most, self.half_infinity))
    }

    #[inline(always)]
    fn narrowed(self, x: [v128; 2]) -> v128 {
        let magnitudes = x.map(
            #[inline(always)]
            |x| v128_and(x, self.magnitude),
        );
        let half = self.positive(magnitudes, &mut u32x4_splat(0));
        let nan = i16x8_narrow_i32x4(f32x4_ne(x[0], x[0]), f32x4_ne(x[1], x[1]));
        let half = v128_or(i16x8_min(half, self.half_infinity), v128_and(nan, self.half_nan));
        // The sign of what saturates is that of the number.
        v128_or(half, v128_and(i16x8_narrow_i32x4(x[0], x[1]), self.half_sign))
    }

    /// Adds a number's own power of two (2^-14 for smaller numbers) to 2^-13 times the number. The sum has the exponent of that power, and
    /// its last bits are the places of the number that `f16` keeps, rounded. Exponent and places are joined to the result; the leading 1
    /// of a normal number counts as one step of the exponent, as a carry does. A number that is too large saturates.
    ///
    /// The product is exact or too small to change the sum, so a fused multiply-add gives what a product and a sum do.
    #[inline(always)]
    fn positive(self, x: [v128; 2], most: &mut v128) -> v128 {
        let [low, high] = x.map(
            #[inline(always)]
            |x| {
                let power = i32x4_max(v128_and(x, self.infinity), self.normal);
                let sum = Best::mul_add(x, self.drop, power);
                i32x4_sub(i32x4_dot_i16x8(sum, self.join), self.excess)
            },
        );
        let half = i16x8_narrow_i32x4(low, high);
        *most = i16x8_max(*most, half);
        half
    }

    #[inline(always)]
    fn is_narrowed(self, most: v128) -> bool {
        !v128_any_true(i16x8_gt(most, self.half_infinity))
    }
}

impl Format for Bf16 {
    #[inline(always)]
    fn new() -> Self {
        let of = hidden();
        Self { below_half: of(0x7fff), last_place: of(1), nan: of(0x7fc0) }
    }

    #[inline(always)]
    fn widened<const FULL: bool>(self, x: v128, _: &mut v128) -> [v128; 2] {
        as_upper(x)
    }

    #[inline(always)]
    fn is_widened(self, _: v128) -> bool {
        true
    }

    #[inline(always)]
    fn narrowed(self, x: [v128; 2]) -> v128 {
        let [low, high] = x.map(
            #[inline(always)]
            |x| v128_or(self.rounded(x), v128_and(f32x4_ne(x, x), self.nan)),
        );
        u16x8_narrow_i32x4(low, high)
    }

    #[inline(always)]
    fn positive(self, [low, high]: [v128; 2], _: &mut v128) -> v128 {
        u16x8_narrow_i32x4(self.rounded(low), self.rounded(high))
    }

    #[inline(always)]
    fn is_narrowed(self, _: v128) -> bool {
        true
    }
}

impl Bf16 {
    /// The nearest, ties to even, in the lower 16 bits.
    #[inline(always)]
    fn rounded(self, x: v128) -> v128 {
        let last = v128_and(u32x4_shr(x, 16), self.last_place);
        u32x4_shr(i32x4_add(i32x4_add(x, self.below_half), last), 16)
    }
}

#[inline(always)]
fn load(x: &[u16; 8]) -> v128 {
    // The compiler makes one load of four numbers of 32 bits, but eight of eight numbers of 16.
    let pair = |at: usize| u32::from(x[at]) | u32::from(x[at + 1]) << 16;
    u32x4(pair(0), pair(2), pair(4), pair(6))
}

#[inline(always)]
fn store(to: &mut [u16; 8], x: v128) {
    *to = [
        u16x8_extract_lane::<0>(x),
        u16x8_extract_lane::<1>(x),
        u16x8_extract_lane::<2>(x),
        u16x8_extract_lane::<3>(x),
        u16x8_extract_lane::<4>(x),
        u16x8_extract_lane::<5>(x),
        u16x8_extract_lane::<6>(x),
        u16x8_extract_lane::<7>(x),
    ];
}

#[inline(always)]
fn load_singles(x: &[f32; 8]) -> [v128; 2] {
    [Best::load(&[x[0], x[1], x[2], x[3]]), Best::load(&[x[4], x[5], x[6], x[7]])]
}

#[inline(always)]
fn store_singles(to: &mut [f32; 8], [low, high]: [v128; 2]) {
    let (to, _) = to.as_chunks_mut();
    if let [first, second] = to {
        Best::store(first, low);
        Best::store(second, high);
    }
}

/// Copies `from` to `to`, widening each number exactly.
pub(crate) fn widen<F: Format>(from: &[u16], to: &mut [f32]) {
    let format = F::new();
    let ((from, from_rest), (to, to_rest)) = (from.as_chunks(), to.as_chunks_mut());
    let mut most = u32x4_splat(0);
    for (from, to) in from.iter().zip(&mut *to) {
        store_singles(to, format.widened::<false>(load(from), &mut most));
    }
    if !format.is_widened(most) {
        widen_all::<F>(from, to);
    }
    if !from_rest.is_empty() {
        let mut wide = [[0.0; 8]];
        widen_all::<F>(&[padded(from_rest)], &mut wide);
        put(&wide[0], to_rest);
    }
}

#[inline(never)]
fn widen_all<F: Format>(from: &[[u16; 8]], to: &mut [[f32; 8]]) {
    let (format, mut most) = (F::new(), u32x4_splat(0));
    for (from, to) in from.iter().zip(to) {
        store_singles(to, format.widened::<true>(load(from), &mut most));
    }
}

/// Copies `from` to `to`, rounding each number to the nearest.
pub(crate) fn narrow<F: Format>(from: &[f32], to: &mut [u16]) {
    let ((from, from_rest), (to, to_rest)) = (from.as_chunks(), to.as_chunks_mut());
    narrow_all::<F>(from, to);
    if !from_rest.is_empty() {
        let mut half = [[0; 8]];
        narrow_all::<F>(&[padded(from_rest)], &mut half);
        put(&half[0], to_rest);
    }
}

/// Copies rows of `width` positive numbers, eight or more, each times the scale of its row. The product is rounded to a single, and that is
/// narrowed. It returns the smallest of the numbers, or nothing if a product was too large and results are wrong.
#[inline(never)]
pub(crate) fn narrow_rows<F: Format>(
    (from, width, scales): (&[f32], usize, &[f32]),
    to: &mut [u16],
) -> Option<f32> {
    let format = F::new();
    let (mut most, mut least) = (u32x4_splat(0), u32x4_splat(u32::MAX));
    let each = from.chunks_exact(width).zip(to.chunks_exact_mut(width));
    for ((from, to), scale) in each.zip(scales) {
        let scale = f32x4_splat(*scale);
        let mut put = inlined(
            #[inline(always)]
            |from: &[f32; 8], to: &mut [u16; 8]| {
                let x = load_singles(from);
                least = u32x4_min(least, u32x4_min(x[0], x[1]));
                let products = x.map(
                    #[inline(always)]
                    |x| f32x4_mul(x, scale),
                );
                store(to, format.positive(products, &mut most));
            },
        );
        for (from, to) in from.as_chunks().0.iter().zip(to.as_chunks_mut().0) {
            put(from, to);
        }
        if !width.is_multiple_of(8)
            && let (Some(from), Some(to)) = (from.last_chunk(), to.last_chunk_mut())
        {
            put(from, to);
        }
    }
    let least = Best::lanes(least).into_iter().map(f32::to_bits).min().map(f32::from_bits);
    least.filter(|_| format.is_narrowed(most))
}

#[inline(never)]
fn narrow_all<F: Format>(from: &[[f32; 8]], to: &mut [[u16; 8]]) {
    let format = F::new();
    for (from, to) in from.iter().zip(to) {
        store(to, format.narrowed(load_singles(from)));
    }
}

/// Adds `from` to `to`, rounding each sum once.
pub(crate) fn add<F: Format>(from: &[f32], to: &mut [u16]) {
    let ((from, from_rest), (to, to_rest)) = (from.as_chunks(), to.as_chunks_mut());
    add_all::<F>(from, to);
    if !from_rest.is_empty() {
        let mut half = [padded(to_rest)];
        add_all::<F>(&[padded(from_rest)], &mut half);
        put(&half[0], to_rest);
    }
}

#[inline(never)]
fn add_all<F: Format>(from: &[[f32; 8]], to: &mut [[u16; 8]]) {
    let (format, mut most) = (F::new(), u32x4_splat(0));
    for (from, to) in from.iter().zip(to) {
        let ([a, b], [c, d]) = (format.widened::<true>(load(to), &mut most), load_singles(from));
        store(to, format.narrowed([odd_sum(a, c), odd_sum(b, d)]));
    }
}

/// The sum if it is exact, otherwise that of its two neighbours whose last bit is odd: rounded to 16 bits, it gives what the exact sum does.
/// Knuth's sum of two numbers finds exactly what rounding took; of infinities and NaN that is a NaN, and the sum stays.
#[inline(always)]
fn odd_sum(a: v128, b: v128) -> v128 {
    let sum = f32x4_add(a, b);
    let part = f32x4_sub(sum, a);
    let error = f32x4_add(f32x4_sub(a, f32x4_sub(sum, part)), f32x4_sub(b, part));
    let is_less = u32x4_shr(v128_xor(error, sum), 31);
    let odd = v128_or(i32x4_sub(sum, is_less), u32x4_splat(1));
    v128_bitselect(odd, sum, f32x4_gt(f32x4_abs(error), u32x4_splat(0)))
}
