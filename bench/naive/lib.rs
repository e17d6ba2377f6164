//! What the package's kernels are measured against: the softmax cross-entropy that anybody writes with SIMD128, in three sweeps. Imports core only.
//!
//! ```text
//! per row of logits x with label y:   m = max x
//!                                     e[k] = exp(x[k] - m), s = sum of them
//!                                     loss = ln s - (x[y] - m),   g[k] = e[k] * scale / s,   g[y] = g[y] - scale
//! ```
//!
//! In two forms: one vector at a time, as a textbook has it, and four vectors at a time with a maximum and a sum for each, as a careful programmer
//! unrolls it. Both have the package's own exponential (the same five coefficients and clamp, see `crate/math.rs`), whose constants are read once per
//! call, and nothing else of the package: one logarithm per row, the label's term subtracted afterwards. So a ratio to them shows what the package's
//! arrangement of the work is worth, and not the quality of an exponential or what a compiler makes of constants.
//!
//! Rows whose classes are strided are in [`planes`]. What a matrix product could reach at most is in [`product`].

#![no_std]

mod math;
mod planes;
mod product;

use core::arch::wasm32::{f32x4_add, f32x4_extract_lane, f32x4_mul, f32x4_pmax, f32x4_splat, f32x4_sub};
use math::{Exp, ln1, load, max1, max4, store, sum4};
use planes::planes;

#[panic_handler]
fn stop(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

/// What is computed beside the loss.
const LOSS: u8 = 0;
/// The gradient, written; its memory may be that of the logits.
const WRITE: u8 = 1;
/// The gradient, added to what is there.
const ADD: u8 = 2;

/// Addresses and sizes of a call.
#[derive(Clone, Copy)]
struct Call {
    x: *const f32,
    labels: *const u32,
    /// Where each loss goes; null for none.
    losses: *mut f32,
    g: *mut f32,
    /// Room for the exponentials of one row, or of sixteen in planes, where the gradient is added.
    scratch: *mut f32,
    rows: usize,
    classes: usize,
    /// What the gradient is multiplied by.
    scale: f32,
}

impl Call {
    #[inline(always)]
    unsafe fn keep(&self, row: usize, loss: f32) -> f64 {
        unsafe {
            if !self.losses.is_null() {
                *self.losses.add(row) = loss;
            }
        }
        f64::from(loss)
    }
}

// One function for each thing to compute and each form, all of the same arguments. They give the sum of the losses.
//
// `x` and `g` are `rows * classes` floats (for planes `classes` planes of `rows`), `labels` is `rows` classes, `losses` is `rows` floats or null, `scratch`
// is `16 * classes` floats. `g` is not read or written without a gradient, and `scratch` only where one is added.
macro_rules! exported {
    ($($name:ident: $function:ident, $job:ident, $vectors:literal;)*) => {
        $(
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name(
                x: *const f32,
                labels: *const u32,
                losses: *mut f32,
                g: *mut f32,
                scratch: *mut f32,
                rows: usize,
                classes: usize,
                scale: f32,
            ) -> f64 {
                unsafe { $function::<$job, $vectors>(&Call { x, labels, losses, g, scratch, rows, classes, scale }) }
            }
        )*
    };
}

exported! {
    textbook_rows_loss: rows, LOSS, 1;
    textbook_rows_write: rows, WRITE, 1;
    textbook_rows_add: rows, ADD, 1;
    unrolled_rows_loss: rows, LOSS, 4;
    unrolled_rows_write: rows, WRITE, 4;
    unrolled_rows_add: rows, ADD, 4;
    textbook_planes_loss: planes, LOSS, 1;
    textbook_planes_write: planes, WRITE, 1;
    textbook_planes_add: planes, ADD, 1;
    unrolled_planes_loss: planes, LOSS, 4;
    unrolled_planes_write: planes, WRITE, 4;
    unrolled_planes_add: planes, ADD, 4;
}

/// Rows side by side, `V` vectors at a time.
#[inline(always)]
unsafe fn rows<const JOB: u8, const V: usize>(call: &Call) -> f64 {
    let exp = Exp::new();
    let Call { classes, scale, .. } = *call;
    let mut total = 0.0;
    unsafe {
        for row in 0..call.rows {
            let (x, g) = (call.x.add(row * classes), call.g.add(row * classes));
            let label = *call.labels.add(row) as usize;
            let at_label = *x.add(label);
            let max = max_of::<V>(x, classes);
            let e = if JOB == ADD { call.scratch } else { g };
            let sum = exponentials::<JOB, V>(&exp, x, e, classes, max);
            total += call.keep(row, ln1(sum) - (at_label - max));
            if JOB != LOSS {
                scaled::<JOB, V>(e, g, classes, scale / sum);
                *g.add(label) -= scale;
            }
        }
    }
    total
}

#[inline(always)]
unsafe fn max_of<const V: usize>(x: *const f32, classes: usize) -> f32 {
    let mut most = [f32x4_splat(f32::NEG_INFINITY); V];
    let mut k = 0;
    unsafe {
        while k + 4 * V <= classes {
            for (v, most) in most.iter_mut().enumerate() {
                *most = f32x4_pmax(*most, load(x.add(k + 4 * v)));
            }
            k += 4 * V;
        }
        while k + 4 <= classes {
            most[0] = f32x4_pmax(most[0], load(x.add(k)));
            k += 4;
        }
        let mut max = max4(most.into_iter().fold(most[0], |a, b| f32x4_pmax(a, b)));
        while k < classes {
            max = max1(max, *x.add(k));
            k += 1;
        }
        max
    }
}

/// Sum of the exponentials, which are stored where a gradient is made of them.
#[inline(always)]
unsafe fn exponentials<const JOB: u8, const V: usize>(
    exp: &Exp,
    x: *const f32,
    to: *mut f32,
    classes: usize,
    max: f32,
) -> f32 {
    let shift = f32x4_splat(max);
    let mut sums = [f32x4_splat(0.0); V];
    let mut k = 0;
    unsafe {
        while k + 4 * V <= classes {
            for (v, sum) in sums.iter_mut().enumerate() {
                let e = exp.of(f32x4_sub(load(x.add(k + 4 * v)), shift));
                if JOB != LOSS {
                    store(to.add(k + 4 * v), e);
                }
                *sum = f32x4_add(*sum, e);
            }
            k += 4 * V;
        }
        while k + 4 <= classes {
            let e = exp.of(f32x4_sub(load(x.add(k)), shift));
            if JOB != LOSS {
                store(to.add(k), e);
            }
            sums[0] = f32x4_add(sums[0], e);
            k += 4;
        }
        let mut sum = sum4(sums[1..].iter().fold(sums[0], |a, b| f32x4_add(a, *b)));
        while k < classes {
            let e = f32x4_extract_lane::<0>(exp.of(f32x4_splat(*x.add(k) - max)));
            if JOB != LOSS {
                *to.add(k) = e;
            }
            sum += e;
            k += 1;
        }
        sum
    }
}

#[inline(always)]
unsafe fn scaled<const JOB: u8, const V: usize>(e: *const f32, g: *mut f32, classes: usize, factor: f32) {
    let factors = f32x4_splat(factor);
    let mut k = 0;
    unsafe {
        while k + 4 * V <= classes {
            for v in 0..V {
                let p = f32x4_mul(load(e.add(k + 4 * v)), factors);
                store(g.add(k + 4 * v), if JOB == ADD { f32x4_add(load(g.add(k + 4 * v)), p) } else { p });
            }
            k += 4 * V;
        }
        while k + 4 <= classes {
            let p = f32x4_mul(load(e.add(k)), factors);
            store(g.add(k), if JOB == ADD { f32x4_add(load(g.add(k)), p) } else { p });
            k += 4;
        }
        while k < classes {
            let p = *e.add(k) * factor;
            *g.add(k) = if JOB == ADD { *g.add(k) + p } else { p };
            k += 1;
        }
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
