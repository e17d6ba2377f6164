//! Softly capped logits, `c = cap tanh(x / cap)`, and the chain rule of their gradient.
//!
//! With `u = |x / cap|`, `e = exp(-2 u) - 1` and `w = exp(-2 u)`,
//!
//! ```text
//! tanh u = -e / (2 + e)          d c / d x = 1 - tanh^2 u = 4 w / (1 + w)^2
//! ```
//!
//! Neither cancels: a small logit keeps its digits, and so does the slope of one far above the cap. An infinite logit becomes `cap` or
//! `-cap`, with slope 0. A capped logit is within 4 units in the last place of its value (test: `capped_logits_and_slopes`).

use crate::Element;
use crate::math::{Exp, Expm1};
use crate::parallel::steps;
use crate::simd::{Isa, inlined};

/// The cap of a call that has one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Softcap {
    cap: f64,
}

/// Caps with which single precision neither overflows nor loses digits.
const SINGLE: core::ops::RangeInclusive<f64> = 1e-18..=1e18;

impl Softcap {
    /// `None` for 0, which stands for no cap.
    pub(crate) fn new(cap: f64) -> Option<Self> {
        (cap != 0.0).then_some(Self { cap })
    }

    /// What a logit becomes.
    fn capped(&self, x: f64) -> f64 {
        self.cap * libm::tanh(x / self.cap)
    }

    /// The derivative of what a logit becomes.
    fn slope(&self, x: f64) -> f64 {
        let w = libm::exp(-2.0 * (x / self.cap).abs());
        4.0 * w / ((1.0 + w) * (1.0 + w))
    }

    /// [`Softcap::cap`] in f64.
    #[inline(never)]
    pub(crate) fn cap_double(&self, x: &mut [f64]) {
        for cells in steps(x.len()) {
            x[cells].iter_mut().for_each(|x| *x = self.capped(*x));
        }
    }

    /// [`Softcap::chain`] in f64, with the logit of each place.
    #[inline(never)]
    pub(crate) fn chain_double(&self, grad: &mut [f64], logit: impl Fn(usize) -> f64) {
        for cells in steps(grad.len()) {
            for (place, grad) in cells.clone().zip(&mut grad[cells]) {
                if *grad != 0.0 && !grad.is_nan() {
                    *grad = *grad * self.slope(logit(place)) + 0.0;
                }
            }
        }
    }

    /// Caps logits where they lie.
    #[inline(never)]
    pub(crate) fn cap<I: Isa>(&self, x: &mut [f32]) {
        if !SINGLE.contains(&self.cap) {
            return x.iter_mut().for_each(|x| *x = f32::from_f64(self.capped(f64::from(*x))));
        }
        let (cap, minus) = (f32::from_f64(self.cap), f32::from_f64(-2.0 / self.cap));
        I::enter(
            #[inline(always)]
            || {
                let expm1 = Expm1::<I>::new();
                let magnitude = Exp::<I>::new().all_but_sign;
                let (cap, minus, two, zero) = (I::splat(cap), I::splat(minus), I::splat(2.0), I::splat(0.0));
                map::<I>(
                    x,
                    #[inline(always)]
                    |x, _| {
                        let e = expm1.expm1(I::mul(I::and(x, magnitude), minus));
                        let c = I::mul(cap, I::div(I::sub(zero, e), I::add(two, e)));
                        I::select(I::eq(x, x), I::or(c, I::and_not(x, magnitude)), x)
                    },
                    &[],
                );
            },
        );
    }

    /// One logit, with the bits that [`Softcap::cap`] gives it.
    pub(crate) fn cap_one<I: Isa>(&self, x: f32) -> f32 {
        let mut one = [x];
        self.cap::<I>(&mut one);
        one[0]
    }

    /// Turns the gradient with respect to capped logits into that with respect to `x`, as they were before. What is 0 or NaN stays.
    #[inline(never)]
    pub(crate) fn chain<I: Isa>(&self, x: &[f32], grad: &mut [f32]) {
        if !SINGLE.contains(&self.cap) {
            for (grad, x) in grad.iter_mut().zip(x) {
                if *grad != 0.0 && !grad.is_nan() {
                    *grad = f32::from_f64(f64::from(*grad) * self.slope(f64::from(*x)) + 0.0);
                }
            }
            return;
        }
        let minus = f32::from_f64(-2.0 / self.cap);
        I::enter(
            #[inline(always)]
            || {
                let exp = Exp::<I>::new();
                let (minus, four, zero) = (I::splat(minus), I::splat(4.0), I::splat(0.0));
                map::<I>(
                    grad,
                    #[inline(always)]
                    |grad, x| {
                        let w = exp.exp(I::mul(I::and(x, exp.all_but_sign), minus));
                        let w = I::and_not(w, I::le(w, exp.floor));
                        let sum = I::add(exp.one, w);
                        let slope = I::div(I::mul(four, w), I::mul(sum, sum));
                        let stays = I::or(I::eq(grad, zero), I::xor(I::eq(grad, grad), I::eq(zero, zero)));
                        I::select(stays, grad, I::add(I::mul(grad, slope), zero))
                    },
                    x,
                );
            },
        );
    }
}

/// Replaces each of some floats by what `f` makes of it and of its neighbour in `with`, or of 0 where that is empty.
#[inline(always)]
fn map<I: Isa>(x: &mut [f32], f: impl Fn(I::V, I::V) -> I::V, with: &[f32]) {
    let whole = x.len() / I::LANES * I::LANES;
    let (body, tail) = x.split_at_mut(whole);
    let neighbour = inlined(
        #[inline(always)]
        |at: usize| I::chunks(with).get(at).map_or(I::splat(0.0), |chunk| I::load(chunk)),
    );
    for (at, chunk) in I::chunks_mut(body).iter_mut().enumerate() {
        I::store(chunk, f(I::load(chunk), neighbour(at)));
    }
    if tail.is_empty() {
        return;
    }
    let (mut last, mut last_with) = (I::empty(), I::empty());
    last.as_mut()[..tail.len()].copy_from_slice(tail);
    if let Some(rest) = with.get(whole..whole + tail.len()) {
        last_with.as_mut()[..tail.len()].copy_from_slice(rest);
    }
    let changed = f(I::load(&last), I::load(&last_with));
    I::store(&mut last, changed);
    tail.copy_from_slice(&last.as_ref()[..tail.len()]);
}

#[cfg(test)]
mod tests {
    use super::Softcap;
    use crate::Element;
    use crate::simd::{Isa, Kernel, Task};

    /// Capped logits, and the slopes at them.
    struct Capped<'a>(Softcap, &'a [f32]);

    impl Task for Capped<'_> {
        type Output = [Vec<f32>; 2];

        fn run<I: Isa>(self) -> [Vec<f32>; 2] {
            let Capped(softcap, x) = self;
            let (mut capped, mut slopes) = (x.to_vec(), vec![1.0; x.len()]);
            softcap.cap::<I>(&mut capped);
            softcap.chain::<I>(x, &mut slopes);
            assert_eq!(softcap.cap_one::<I>(x[0]).to_bits(), capped[0].to_bits(), "one logit by itself");
            [capped, slopes]
        }
    }

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "points in single precision are wanted")]
    fn capped_logits_and_slopes_stay_within_their_bounds() {
        for kernel in Kernel::supported() {
            let kernel = kernel.choose().expect("a kernel that the processor has");
            for cap in [30.0, 50.0, 1.0, 0.1, 1e6, 1e-20, 1e20] {
                // From far below the cap to 20 times it, of both signs, in a number that no vector divides.
                let point = |step: i32| (libm::exp(f64::from(step) / 2000.0 * 23.0 - 20.0) * cap) as f32;
                let x: Vec<f32> =
                    (0..2001).flat_map(|step| [point(step), -point(step)]).chain([0.0]).collect();
                let [capped, slopes] = kernel.run(Capped(Softcap::new(cap).expect("a cap"), &x));
                for ((x, capped), slope) in x.iter().zip(capped).zip(slopes) {
                    let of_cap = f64::from(*x) / cap;
                    let want = cap * libm::tanh(of_cap);
                    let error = (f64::from(capped) - want).abs();
                    let ulp = f64::from(f32::EPSILON);
                    assert!(
                        error <= 3.0 * ulp * want.abs() + 1e-44,
                        "{x:e} becomes {capped:e}, not {want:e}, {kernel:?}"
                    );
                    let want = libm::cosh(of_cap).powi(-2);
                    let error = (f64::from(slope) - want).abs();
                    let bound = (12.0 + 2.0 * of_cap.abs()) * ulp * want + 1e-36;
                    assert!(error <= bound, "slope {slope:e} at {x:e}, not {want:e}, {kernel:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_and_what_is_infinite_is_the_cap() {
        let x = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -0.0, 1.0];
        for kernel in Kernel::supported() {
            let kernel = kernel.choose().expect("a kernel that the processor has");
            for cap in [30.0, 1e20] {
                let [capped, slopes] = kernel.run(Capped(Softcap::new(cap).expect("a cap"), &x));
                let single = f32::from_f64(cap);
                assert_eq!(capped[..2], [single, -single], "infinities, {kernel:?}");
                assert!(capped[2].is_nan(), "NaN, {kernel:?}");
                assert_eq!(capped[3].to_bits(), (-0.0_f32).to_bits(), "the sign of 0, {kernel:?}");
                assert_eq!(slopes[..2], [0.0, 0.0], "slopes of infinities, {kernel:?}");
            }
        }
        assert!(Softcap::new(0.0).is_none(), "no cap");
    }
}
