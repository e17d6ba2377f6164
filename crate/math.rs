//! `exp` over vectors, for arguments up to 0, in at most 4.7 ulp.
//!
//! ```text
//! n = round(d / ln 2)     t = d - n ln 2     exp(d) = 2^n exp(t),  |t| <= ln 2 / 2
//! ```
//!
//! 1. `d / ln 2 + 1.5 * 2^23` rounds to an integer and leaves it in the low bits: no conversion instruction.
//! 2. Those low bits, shifted into the exponent field and added, multiply by 2^n: no select and no multiply.
//! 3. `ln 2` is one constant where multiply-add rounds once, and two (`LN2_HI` has 16 trailing zero bits, so that
//!    `n * LN2_HI` is exact) where it rounds twice; the one-constant form would then be off by up to 68 ulp.
//! 4. Arguments below `CUT` give exp(CUT), about 2.5e-38: the caller treats such terms as 0. That keeps 2^n normal.
//!
//! Source of the polynomial: a minimax fit of degree 5 on `|t| <= ln 2 / 2`. Worst error seen over 5.5 million points:
//! 2.4 ulp for |d| < 20, 3.2 for |d| < 40, 4.7 on the whole range (fused); 2.3 ulp with two constants.

use crate::simd::Isa;
use core::hint::black_box;

/// Arguments below this are raised to it: 2^n must stay a normal number, so n >= -125.
pub(crate) const CUT: f32 = -86.6;

/// Just above exp(CUT): a term of this size or less counts as 0.
pub(crate) const FLOOR: f32 = 2.6e-38;

const MAGIC: f32 = 12_582_912.0; // 1.5 * 2^23: the sum's unit in the last place is 1

/// The largest bits of `n` for an argument of at most 0. Above are positive arguments, +inf, and every NaN of either sign
/// and any payload.
pub(crate) const GUARD_BITS: u32 = MAGIC.to_bits();

struct Table {
    cut: f32,
    log2e: f32,
    magic: f32,
    ln2: f32,
    ln2_hi: f32,
    ln2_lo: f32,
    c: [f32; 5],
}

static TABLE: Table = Table {
    cut: CUT,
    log2e: core::f32::consts::LOG2_E,
    magic: MAGIC,
    ln2: core::f32::consts::LN_2,
    ln2_hi: f32::from_bits(0x3f31_7200), // 0x1.62e400p-1
    ln2_lo: 1.428_606_8e-6,
    c: [
        f32::from_bits(0x3f7f_fffb), // 0x1.fffff6p-1
        f32::from_bits(0x3eff_fee3), // 0x1.fffdc6p-2
        f32::from_bits(0x3e2a_ad36), // 0x1.555a6cp-3
        f32::from_bits(0x3d2b_9d37), // 0x1.573a6ep-5
        f32::from_bits(0x3c07_d410), // 0x1.0fa820p-7
    ],
};

/// The constants of `exp`, each in a vector.
///
/// They are read once per call through a pointer the compiler cannot see through. As literals they would be made
/// anew inside the loop, since a wasm compiler takes a constant vector for cheap.
#[derive(Clone, Copy)]
pub(crate) struct Exp<I: Isa> {
    cut: I::V,
    log2e: I::V,
    magic: I::V,
    minus_ln2: I::V,
    minus_ln2_lo: I::V,
    c: [I::V; 5],
    one: I::V,
}

impl<I: Isa> Exp<I> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        let table = black_box(&TABLE);
        Self {
            cut: I::splat(table.cut),
            log2e: I::splat(table.log2e),
            magic: I::splat(table.magic),
            minus_ln2: I::splat(if I::FUSED { -table.ln2 } else { -table.ln2_hi }),
            minus_ln2_lo: I::splat(-table.ln2_lo),
            c: [
                I::splat(table.c[0]),
                I::splat(table.c[1]),
                I::splat(table.c[2]),
                I::splat(table.c[3]),
                I::splat(table.c[4]),
            ],
            one: I::splat(1.0),
        }
    }

    /// `exp(d)`, and the rounded quotient whose bits tell whether to trust it (see [`GUARD_BITS`]).
    #[inline(always)]
    pub(crate) fn exp(&self, d: I::V) -> (I::V, I::V) {
        let d = I::pmax(d, self.cut);
        let n = I::mul_add(d, self.log2e, self.magic);
        let f = I::sub(n, self.magic);
        let mut t = I::mul_add(f, self.minus_ln2, d);
        if !I::FUSED {
            t = I::mul_add(f, self.minus_ln2_lo, t);
        }
        let mut p = I::mul_add(self.c[4], t, self.c[3]);
        p = I::mul_add(p, t, self.c[2]);
        p = I::mul_add(p, t, self.c[1]);
        p = I::mul_add(p, t, self.c[0]);
        p = I::mul_add(p, t, self.one);
        (I::scale_by_exponent(p, n), n)
    }
}
