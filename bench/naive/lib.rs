//! What the package's kernels are measured against: the softmax cross-entropy that a textbook writes with SIMD128, in three sweeps. Imports core only.
//!
//! ```text
//! per row of logits x with label y:   m = max x
//!                                     g[k] = exp(x[k] - m), s = sum of them
//!                                     loss = ln s - (x[y] - m),   g[k] = g[k] * scale / s,   g[y] = g[y] - scale
//! ```
//!
//! It has the package's own exponential (five coefficients and the same clamp, see `crate/math.rs`) and nothing else of it: one vector at a time,
//! constants where they are used, one element at a time at the end of a row, one logarithm per row, the label's term subtracted afterwards. So a ratio
//! to it shows what the package's arrangement of the work is worth, and not the quality of an exponential.

#![no_std]

mod planes;

use core::arch::wasm32::{
    f32x4_add, f32x4_extract_lane, f32x4_mul, f32x4_pmax, f32x4_splat, f32x4_sub, i32x4_add, i32x4_shl, v128,
    v128_load, v128_store,
};

#[panic_handler]
fn stop(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

const LOG2E: f32 = core::f32::consts::LOG2_E;
/// 1.5 * 2^23: what is added to it is rounded to an integer in its low bits.
const MAGIC: f32 = 12_582_912.0;
/// ln 2 in two parts, the first of which has few digits.
const LN2_HI: f32 = f32::from_bits(0x3f31_7200);
const LN2_LO: f32 = 1.428_606_8e-6;
const C1: f32 = f32::from_bits(0x3f7f_fffb);
const C2: f32 = f32::from_bits(0x3eff_fee3);
const C3: f32 = f32::from_bits(0x3e2a_ad36);
const C4: f32 = f32::from_bits(0x3d2b_9d37);
const C5: f32 = f32::from_bits(0x3c07_d410);
/// Below it the exponent would leave its field.
const CUT: f32 = -86.6;

/// `a * b + c`, rounded once where the build has relaxed SIMD and the processor fuses.
#[inline(always)]
fn multiply_add(a: v128, b: v128, c: v128) -> v128 {
    #[cfg(target_feature = "relaxed-simd")]
    return core::arch::wasm32::f32x4_relaxed_madd(a, b, c);
    #[cfg(not(target_feature = "relaxed-simd"))]
    f32x4_add(f32x4_mul(a, b), c)
}

/// `exp(d)` for four `d` not above 0.
#[inline(always)]
fn exp4(d: v128) -> v128 {
    let d = f32x4_pmax(d, f32x4_splat(CUT));
    let n = multiply_add(d, f32x4_splat(LOG2E), f32x4_splat(MAGIC));
    let f = f32x4_sub(n, f32x4_splat(MAGIC));
    #[cfg(target_feature = "relaxed-simd")]
    let t = multiply_add(f, f32x4_splat(-core::f32::consts::LN_2), d);
    #[cfg(not(target_feature = "relaxed-simd"))]
    let t = multiply_add(f, f32x4_splat(-LN2_LO), multiply_add(f, f32x4_splat(-LN2_HI), d));
    let mut p = f32x4_splat(C5);
    p = multiply_add(p, t, f32x4_splat(C4));
    p = multiply_add(p, t, f32x4_splat(C3));
    p = multiply_add(p, t, f32x4_splat(C2));
    p = multiply_add(p, t, f32x4_splat(C1));
    p = multiply_add(p, t, f32x4_splat(1.0));
    i32x4_add(p, i32x4_shl(n, 23))
}

/// `exp(d)` for one `d` not above 0.
#[inline(always)]
fn exp1(d: f32) -> f32 {
    let d = if d < CUT { CUT } else { d };
    let n = d * LOG2E + MAGIC;
    let f = n - MAGIC;
    let t = d - f * LN2_HI - f * LN2_LO;
    let p = ((((C5 * t + C4) * t + C3) * t + C2) * t + C1) * t + 1.0;
    f32::from_bits(p.to_bits().wrapping_add(n.to_bits() << 23))
}

/// `ln(s)` for `s` of at least 1: the polynomial of Cephes' `logf`.
#[inline(always)]
fn ln1(s: f32) -> f32 {
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
fn sum4(v: v128) -> f32 {
    f32x4_extract_lane::<0>(v)
        + f32x4_extract_lane::<1>(v)
        + f32x4_extract_lane::<2>(v)
        + f32x4_extract_lane::<3>(v)
}

#[inline(always)]
fn max1(a: f32, b: f32) -> f32 {
    if a < b { b } else { a }
}

#[inline(always)]
unsafe fn load(from: *const f32) -> v128 {
    unsafe { v128_load(from.cast()) }
}

#[inline(always)]
unsafe fn store(to: *mut f32, value: v128) {
    unsafe { v128_store(to.cast(), value) }
}

#[inline(always)]
unsafe fn max_of(x: *const f32, classes: usize) -> f32 {
    unsafe {
        let mut four = f32x4_splat(f32::NEG_INFINITY);
        let mut k = 0;
        while k + 4 <= classes {
            four = f32x4_pmax(four, load(x.add(k)));
            k += 4;
        }
        let mut max = max1(
            max1(f32x4_extract_lane::<0>(four), f32x4_extract_lane::<1>(four)),
            max1(f32x4_extract_lane::<2>(four), f32x4_extract_lane::<3>(four)),
        );
        while k < classes {
            max = max1(max, *x.add(k));
            k += 1;
        }
        max
    }
}

/// Loss of every row, summed, and its gradient times `scale`; `g` may be `x`. Each loss is written too unless `losses` is null.
///
/// # Safety
/// `x` and `g` are `rows * classes` floats, `labels` is `rows` classes, `losses` is `rows` floats or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rows_loss_grad(
    x: *const f32,
    labels: *const u32,
    losses: *mut f32,
    g: *mut f32,
    rows: usize,
    classes: usize,
    scale: f32,
) -> f64 {
    unsafe {
        let mut total = 0.0;
        for row in 0..rows {
            let (x, g) = (x.add(row * classes), g.add(row * classes));
            let label = *labels.add(row) as usize;
            let at_label = *x.add(label);
            let max = max_of(x, classes);

            let mut four = f32x4_splat(0.0);
            let mut k = 0;
            while k + 4 <= classes {
                let e = exp4(f32x4_sub(load(x.add(k)), f32x4_splat(max)));
                store(g.add(k), e);
                four = f32x4_add(four, e);
                k += 4;
            }
            let mut sum = sum4(four);
            while k < classes {
                let e = exp1(*x.add(k) - max);
                *g.add(k) = e;
                sum += e;
                k += 1;
            }
            let loss = ln1(sum) - (at_label - max);
            if !losses.is_null() {
                *losses.add(row) = loss;
            }
            total += f64::from(loss);

            let factor = scale / sum;
            k = 0;
            while k + 4 <= classes {
                store(g.add(k), f32x4_mul(load(g.add(k)), f32x4_splat(factor)));
                k += 4;
            }
            while k < classes {
                *g.add(k) *= factor;
                k += 1;
            }
            *g.add(label) -= scale;
        }
        total
    }
}

/// Loss of every row, summed.
///
/// # Safety
/// `x` is `rows * classes` floats, `labels` is `rows` classes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rows_loss(x: *const f32, labels: *const u32, rows: usize, classes: usize) -> f64 {
    unsafe {
        let mut total = 0.0;
        for row in 0..rows {
            let x = x.add(row * classes);
            let max = max_of(x, classes);
            let mut four = f32x4_splat(0.0);
            let mut k = 0;
            while k + 4 <= classes {
                four = f32x4_add(four, exp4(f32x4_sub(load(x.add(k)), f32x4_splat(max))));
                k += 4;
            }
            let mut sum = sum4(four);
            while k < classes {
                sum += exp1(*x.add(k) - max);
                k += 1;
            }
            total += f64::from(ln1(sum) - (*x.add(*labels.add(row) as usize) - max));
        }
        total
    }
}

/// Copies floats, a vector at a time: the roof for whatever reads and writes every element once.
///
/// # Safety
/// `from` and `to` are `length` floats that do not overlap; `length` is a multiple of 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn copy(from: *const f32, to: *mut f32, length: usize) {
    unsafe {
        let mut k = 0;
        while k < length {
            store(to.add(k), load(from.add(k)));
            k += 4;
        }
    }
}
