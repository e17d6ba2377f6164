//! `exp` over vectors, for arguments up to 0, in at most 4.7 ulp; `ln(1 + y)` for y of at least 0, in at most 1.7e-7 of its
//! value; `exp(d) - 1` for `d` up to 0, in at most 1.5 ulp.
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
//! For `ln(1 + y)`, `1 + y = m 2^k` with `m` in [sqrt 1/2, sqrt 2) and, with `f = m - 1`,
//!
//! ```text
//! ln(1 + y) = k ln 2 + f - f^2 / 2 + f^3 P(f)
//! ```
//!
//! 1. Where k is 0, `f` is `y` itself and not the rounded `1 + y` less 1: a small `y` keeps its digits.
//! 2. Where k is not 0 the result is at least 0.34, and the rounding of `1 + y` is within its last bits.
//! 3. `P` is a minimax fit of degree 7, 5.8e-9 of the result; the worst error seen over half a million points in single
//!    precision, 1.7e-7, is at y = 0.4227.
//!
//! Source of the polynomial of `exp`: a minimax fit of degree 5 on `|t| <= ln 2 / 2`. Worst error seen over 5.5 million points:
//! 2.4 ulp for |d| < 20, 3.2 for |d| < 40, 4.7 on the whole range (fused); 2.3 ulp with two constants.

use crate::simd::Isa;
use core::hint::black_box;

/// Arguments below this are raised to it: 2^n must stay a normal number, so n >= -125.
pub(crate) const CUT: f32 = -86.6;

/// Just above exp(CUT): a term of this size or less counts as 0.
pub(crate) const FLOOR: f32 = 2.6e-38;

const MAGIC: f32 = 12_582_912.0; // 1.5 * 2^23: the sum's unit in the last place is 1

struct Table {
    cut: f32,
    log2e: f32,
    magic: f32,
    ln2: f32,
    ln2_hi: f32,
    ln2_lo: f32,
    c: [f32; 5],
    one: f32,
    all_but_sign: f32,
    floor: f32,
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
    one: 1.0,
    all_but_sign: f32::from_bits(0x7fff_ffff),
    floor: FLOOR,
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
    pub(crate) one: I::V,
    pub(crate) all_but_sign: I::V,
    /// [`FLOOR`].
    pub(crate) floor: I::V,
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
            one: I::splat(table.one),
            all_but_sign: I::splat(table.all_but_sign),
            floor: I::splat(table.floor),
        }
    }

    /// `exp(d)` for `d` up to 0. For a NaN it may be any number: who calls knows whether there is one.
    #[inline(always)]
    pub(crate) fn exp(&self, d: I::V) -> I::V {
        self.exp_small(I::pmax(d, self.cut))
    }

    /// `exp(d)` for `d` from `CUT` to 87; outside it may be any number.
    #[inline(always)]
    pub(crate) fn exp_small(&self, d: I::V) -> I::V {
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
        I::scale_by_exponent(p, n)
    }
}

struct Expm1Table {
    least: f32,
    /// Of `exp(t) = 1 + t + t^2 P(t)`: its series, whose next term is below 1.5e-8 of the result.
    p: [f32; 6],
}

static EXPM1_TABLE: Expm1Table =
    Expm1Table { least: -20.0, p: [0.5, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0, 1.0 / 5040.0] };

/// The constants of `expm1`, each in a vector; see [`Exp`].
///
/// With `n` and `t` as for `exp`, `exp(d) - 1 = 2^n (exp(t) - 1) + (2^n - 1)`: where n is 0 the last term vanishes, and a small `d` keeps
/// its digits.
#[derive(Clone, Copy)]
pub(crate) struct Expm1<I: Isa> {
    exp: Exp<I>,
    least: I::V,
    p: [I::V; 6],
}

impl<I: Isa> Expm1<I> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        let table = black_box(&EXPM1_TABLE);
        Self {
            exp: Exp::new(),
            least: I::splat(table.least),
            p: [
                I::splat(table.p[0]),
                I::splat(table.p[1]),
                I::splat(table.p[2]),
                I::splat(table.p[3]),
                I::splat(table.p[4]),
                I::splat(table.p[5]),
            ],
        }
    }

    /// `exp(d) - 1` for `d` up to 0; -1 from -20 on down. For a NaN it may be any number.
    #[inline(always)]
    pub(crate) fn expm1(&self, d: I::V) -> I::V {
        let d = I::pmax(d, self.least);
        let n = I::mul_add(d, self.exp.log2e, self.exp.magic);
        let (f, one) = (I::sub(n, self.exp.magic), self.exp.one);
        let mut t = I::mul_add(f, self.exp.minus_ln2, d);
        if !I::FUSED {
            t = I::mul_add(f, self.exp.minus_ln2_lo, t);
        }
        let mut p = I::mul_add(self.p[5], t, self.p[4]);
        p = I::mul_add(p, t, self.p[3]);
        p = I::mul_add(p, t, self.p[2]);
        p = I::mul_add(p, t, self.p[1]);
        p = I::mul_add(p, t, self.p[0]);
        let near = I::mul_add(I::mul(t, t), p, t);
        let power = I::scale_by_exponent(one, n);
        I::mul_add(power, near, I::sub(power, one))
    }
}

struct LnTable {
    ln2_hi: f32,
    ln2_lo: f32,
    half: f32,
    one: f32,
    sqrt_half: f32,
    p: [f32; 8],
}

static LN_TABLE: LnTable = LnTable {
    ln2_hi: 0.693_359_4, // 355 / 512: a small whole number times it is exact
    ln2_lo: -2.121_944_4e-4,
    half: 0.5,
    one: 1.0,
    sqrt_half: f32::from_bits(0x3f35_04f3),
    p: [
        f32::from_bits(0x3eaa_aaaa),
        f32::from_bits(0xbe80_0113),
        f32::from_bits(0x3e4c_d004),
        f32::from_bits(0xbe2a_3922),
        f32::from_bits(0x3e11_6d0e),
        f32::from_bits(0xbe06_c2a1),
        f32::from_bits(0x3e02_adb5),
        f32::from_bits(0xbd9c_5ac0),
    ],
};

/// The constants of `ln_1p`, each in a vector; see [`Exp`].
#[derive(Clone, Copy)]
pub(crate) struct Ln<I: Isa> {
    ln2_hi: I::V,
    ln2_lo: I::V,
    half: I::V,
    one: I::V,
    sqrt_half: I::V,
    p: [I::V; 8],
}

impl<I: Isa> Ln<I> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        let table = black_box(&LN_TABLE);
        Self {
            ln2_hi: I::splat(table.ln2_hi),
            ln2_lo: I::splat(table.ln2_lo),
            half: I::splat(table.half),
            one: I::splat(table.one),
            sqrt_half: I::splat(table.sqrt_half),
            p: [
                I::splat(table.p[0]),
                I::splat(table.p[1]),
                I::splat(table.p[2]),
                I::splat(table.p[3]),
                I::splat(table.p[4]),
                I::splat(table.p[5]),
                I::splat(table.p[6]),
                I::splat(table.p[7]),
            ],
        }
    }

    /// `ln(1 + y)` for `y >= 0`.
    #[inline(always)]
    pub(crate) fn ln_1p(&self, y: I::V) -> I::V {
        let one = self.one;
        let (k, m) = I::split(I::add(one, y), self.sqrt_half);
        let small = I::eq(k, I::splat(0.0));
        let f = I::select(small, y, I::sub(m, one));
        let mut p = self.p[7];
        for c in self.p[..7].iter().rev() {
            p = I::mul_add(p, f, *c);
        }
        let square = I::mul(f, f);
        let t = I::sub(I::mul(I::mul(square, f), p), I::mul(square, self.half));
        let t = I::add(I::mul_add(k, self.ln2_lo, t), f);
        I::mul_add(k, self.ln2_hi, t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Kernel, Task};

    /// The worst of `error(x)` over `count` points from `from` to `to`, evenly spaced by `place`.
    fn worst(count: u32, place: impl Fn(f64) -> f32, error: impl Fn(f32) -> f64) -> (f64, f32) {
        (0..=count).map(|step| place(f64::from(step) / f64::from(count))).fold((0.0, 0.0), |worst, x| {
            let e = error(x);
            if e > worst.0 { (e, x) } else { worst }
        })
    }

    /// What of a number is looked at.
    #[derive(Clone, Copy)]
    enum Of {
        Exp,
        Expm1,
        Ln1p,
    }

    /// The function's value of one number.
    struct Value(Of, f32);

    impl Task for Value {
        type Output = f32;

        fn run<I: Isa>(self) -> f32 {
            let Value(of, x) = self;
            I::enter(
                #[inline(always)]
                || {
                    I::max(match of {
                        Of::Exp => Exp::<I>::new().exp(I::splat(x)),
                        Of::Expm1 => Expm1::<I>::new().expm1(I::splat(x)),
                        Of::Ln1p => Ln::<I>::new().ln_1p(I::splat(x)),
                    })
                },
            )
        }
    }

    fn value(kernel: Kernel, of: Of, x: f32) -> f32 {
        kernel.choose().expect("a kernel that the processor has").run(Value(of, x))
    }

    fn error(kernel: Kernel, of: Of, x: f32) -> f64 {
        let exact = match of {
            Of::Exp => libm::exp(f64::from(x)),
            Of::Expm1 => libm::expm1(f64::from(x)),
            Of::Ln1p => libm::log1p(f64::from(x)),
        };
        (f64::from(value(kernel, of, x)) - exact).abs() / exact.abs()
    }

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "points in single precision are wanted")]
    fn exp_and_ln_1p_stay_within_their_bounds() {
        let ulp = f64::from(f32::EPSILON);
        for kernel in Kernel::supported() {
            let exp = |x| error(*kernel, Of::Exp, x);
            let (e, x) = worst(200_000, |t| (t * f64::from(CUT)) as f32, exp);
            assert!(e < 4.7 * ulp, "exp, {kernel:?}: {} ulp at {x}", e / ulp);
            assert!(e > 0.3 * ulp, "exp, {kernel:?}: a bound that no point comes near proves nothing");
            let ln_1p = |y| error(*kernel, Of::Ln1p, y);
            let (e, y) = worst(200_000, |t| libm::exp(-87.0 + 110.0 * t) as f32, ln_1p);
            assert!(e < 2.0e-7, "ln_1p, {kernel:?}: {e} at {y}");
            let (e, y) = worst(200_000, |t| (2.0 * t + 1e-6) as f32, ln_1p);
            assert!(e < 2.0e-7, "ln_1p, {kernel:?}: {e} at {y}");
        }
    }

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "points in single precision are wanted")]
    fn expm1_stays_within_its_bound() {
        let ulp = f64::from(f32::EPSILON);
        for kernel in Kernel::supported() {
            let expm1 = |d| error(*kernel, Of::Expm1, d);
            for places in
                [|t: f64| (-libm::exp(-90.0 + 95.0 * t)) as f32, |t: f64| (-(2.0 * t) - 1e-6) as f32]
            {
                let (e, d) = worst(200_000, places, expm1);
                assert!(e < 1.5 * ulp, "expm1, {kernel:?}: {} ulp at {d}", e / ulp);
                assert!(e > 0.3 * ulp, "expm1, {kernel:?}: a bound that no point comes near proves nothing");
            }
            let at = |d| value(*kernel, Of::Expm1, d);
            assert_eq!((at(f32::NEG_INFINITY), at(-1e30), at(0.0)), (-1.0, -1.0, 0.0), "ends, {kernel:?}");
        }
    }

    #[test]
    fn exp_of_minus_infinity_counts_as_0() {
        for kernel in Kernel::supported() {
            assert!(value(*kernel, Of::Exp, f32::NEG_INFINITY) <= FLOOR, "exp(-inf) counts as 0, {kernel:?}");
        }
    }
}
