//! The exponential and the logarithm, and vectors of four floats.

use core::arch::wasm32::{
    f32x4_add, f32x4_extract_lane, f32x4_mul, f32x4_pmax, f32x4_splat, f32x4_sub, i32x4_add, i32x4_shl, v128,
    v128_load, v128_store,
};
use core::hint::black_box;

/// Below the first the exponent would leave its field. What is added to the third, 1.5 * 2^23, is rounded to an integer in its low bits; the next two
/// are ln 2, the first of which has few digits; then come the coefficients.
static CONSTANTS: [f32; 11] = [
    -86.6,
    core::f32::consts::LOG2_E,
    12_582_912.0,
    f32::from_bits(0x3f31_7200),
    1.428_606_8e-6,
    f32::from_bits(0x3f7f_fffb),
    f32::from_bits(0x3eff_fee3),
    f32::from_bits(0x3e2a_ad36),
    f32::from_bits(0x3d2b_9d37),
    f32::from_bits(0x3c07_d410),
    1.0,
];

/// `a * b + c`, rounded once where the build has relaxed SIMD and the processor fuses.
#[inline(always)]
pub(crate) fn multiply_add(a: v128, b: v128, c: v128) -> v128 {
    #[cfg(target_feature = "relaxed-simd")]
    return core::arch::wasm32::f32x4_relaxed_madd(a, b, c);
    #[cfg(not(target_feature = "relaxed-simd"))]
    f32x4_add(f32x4_mul(a, b), c)
}

/// The exponential with its constants, which the compiler cannot see and make anew for each vector.
pub(crate) struct Exp {
    cut: v128,
    log2e: v128,
    magic: v128,
    ln2: [v128; 2],
    c: [v128; 5],
    one: v128,
}

impl Exp {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        let [cut, log2e, magic, high, low, c1, c2, c3, c4, c5, one] = *black_box(&CONSTANTS);
        let [high, low] = if cfg!(target_feature = "relaxed-simd") { [high + low, 0.0] } else { [high, low] };
        Self {
            cut: f32x4_splat(cut),
            log2e: f32x4_splat(log2e),
            magic: f32x4_splat(magic),
            ln2: [f32x4_splat(-high), f32x4_splat(-low)],
            c: [c1, c2, c3, c4, c5].map(|c| f32x4_splat(c)),
            one: f32x4_splat(one),
        }
    }

    /// `exp(d)` for four `d` not above 0.
    #[inline(always)]
    pub(crate) fn of(&self, d: v128) -> v128 {
        let d = f32x4_pmax(d, self.cut);
        let n = multiply_add(d, self.log2e, self.magic);
        let f = f32x4_sub(n, self.magic);
        let mut t = multiply_add(f, self.ln2[0], d);
        // A product that is not rounded needs one constant.
        if cfg!(not(target_feature = "relaxed-simd")) {
            t = multiply_add(f, self.ln2[1], t);
        }
        let mut p = self.c[4];
        for c in [self.c[3], self.c[2], self.c[1], self.c[0], self.one] {
            p = multiply_add(p, t, c);
        }
        i32x4_add(p, i32x4_shl(n, 23))
    }
}

/// `ln(s)` for `s` of at least 1: the polynomial of Cephes' `logf`.
#[inline(always)]
pub(crate) fn ln1(s: f32) -> f32 {
    // Exponent and mantissa, the latter in [sqrt(1/2), sqrt(2)).
    let shifted = s.to_bits().wrapping_sub(0x3f35_04f3);
    let k = (shifted as i32 >> 23) as f32;
    let m = f32::from_bits((shifted & 0x007f_ffff) + 0x3f35_04f3) - 1.0;
    let square = m * m;
    let mut p = 7.037_683_6e-2_f32;
    for c in [
        -1.151_461e-1, 1.167_699_9e-1, -1.242_014_1e-1, 1.424_932_3e-1, -1.666_805_8e-1, 2.000_071_4e-1,
        -2.499_999_4e-1, 3.333_333e-1,
    ] {
        p = p * m + c;
    }
    let rest = p * m * square + k * -2.121_944_4e-4 - 0.5 * square;
    m + rest + k * 0.693_359_4
}

#[inline(always)]
pub(crate) fn sum4(v: v128) -> f32 {
    f32x4_extract_lane::<0>(v)
        + f32x4_extract_lane::<1>(v)
        + f32x4_extract_lane::<2>(v)
        + f32x4_extract_lane::<3>(v)
}

#[inline(always)]
pub(crate) fn max4(v: v128) -> f32 {
    max1(
        max1(f32x4_extract_lane::<0>(v), f32x4_extract_lane::<1>(v)),
        max1(f32x4_extract_lane::<2>(v), f32x4_extract_lane::<3>(v)),
    )
}

#[inline(always)]
pub(crate) fn max1(a: f32, b: f32) -> f32 {
    if a < b { b } else { a }
}

#[inline(always)]
pub(crate) unsafe fn load(from: *const f32) -> v128 {
    unsafe { v128_load(from.cast()) }
}

#[inline(always)]
pub(crate) unsafe fn store(to: *mut f32, value: v128) {
    unsafe { v128_store(to.cast(), value) }
}
