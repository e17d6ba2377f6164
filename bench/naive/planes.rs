//! The same three sweeps where classes are strided: sixteen pixels at a time go through all the planes.

use core::arch::wasm32::{f32x4_add, f32x4_div, f32x4_mul, f32x4_pmax, f32x4_splat, f32x4_sub};

use crate::{exp1, exp4, ln1, load, max1, store};

/// Pixels that are taken through the classes together: four vectors.
const TILE: usize = 16;

/// One image of `classes` planes of `pixels` floats: loss of every pixel, summed, and its gradient times `scale`; `g` may be `x`. Each loss is
/// written too unless `losses` is null.
///
/// # Safety
/// `x` and `g` are `classes * pixels` floats, `labels` is `pixels` classes, `losses` is `pixels` floats or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn planes_loss_grad(
    x: *const f32,
    labels: *const u32,
    losses: *mut f32,
    g: *mut f32,
    pixels: usize,
    classes: usize,
    scale: f32,
) -> f64 {
    unsafe { Planes { x, labels, losses, g, pixels, classes, scale }.total::<true>() }
}

/// One image of `classes` planes of `pixels` floats: loss of every pixel, summed.
///
/// # Safety
/// `x` is `classes * pixels` floats, `labels` is `pixels` classes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn planes_loss(
    x: *const f32,
    labels: *const u32,
    pixels: usize,
    classes: usize,
) -> f64 {
    let none = core::ptr::null_mut();
    unsafe { Planes { x, labels, losses: none, g: none, pixels, classes, scale: 0.0 }.total::<false>() }
}

#[derive(Clone, Copy)]
struct Planes {
    x: *const f32,
    labels: *const u32,
    losses: *mut f32,
    g: *mut f32,
    pixels: usize,
    classes: usize,
    scale: f32,
}

impl Planes {
    #[inline(always)]
    unsafe fn total<const GRAD: bool>(self) -> f64 {
        let mut total = 0.0;
        let mut pixel = 0;
        unsafe {
            while pixel + TILE <= self.pixels {
                total += self.tile::<GRAD>(pixel);
                pixel += TILE;
            }
            while pixel < self.pixels {
                total += self.one::<GRAD>(pixel);
                pixel += 1;
            }
        }
        total
    }

    /// Where the logit of a pixel's label lies.
    #[inline(always)]
    unsafe fn at_label(self, pixel: usize) -> usize {
        unsafe { *self.labels.add(pixel) as usize * self.pixels + pixel }
    }

    #[inline(always)]
    unsafe fn finish<const GRAD: bool>(self, pixel: usize, sum: f32, margin: f32) -> f64 {
        let loss = ln1(sum) - margin;
        unsafe {
            if GRAD {
                *self.g.add(self.at_label(pixel)) -= self.scale;
                if !self.losses.is_null() {
                    *self.losses.add(pixel) = loss;
                }
            }
        }
        f64::from(loss)
    }

    #[inline(always)]
    unsafe fn tile<const GRAD: bool>(self, pixel: usize) -> f64 {
        let Planes { x, g, pixels, classes, scale, .. } = self;
        unsafe {
            let mut max = [f32x4_splat(f32::NEG_INFINITY); 4];
            for class in 0..classes {
                for (v, max) in max.iter_mut().enumerate() {
                    *max = f32x4_pmax(*max, load(x.add(class * pixels + pixel + 4 * v)));
                }
            }
            let mut margins = [0.0; TILE];
            for (v, max) in max.iter().enumerate() {
                store(margins.as_mut_ptr().add(4 * v), *max);
            }
            // Read before exponentials in place overwrite them.
            for (i, margin) in margins.iter_mut().enumerate() {
                *margin = *x.add(self.at_label(pixel + i)) - *margin;
            }
            let mut sum = [f32x4_splat(0.0); 4];
            for class in 0..classes {
                for v in 0..4 {
                    let at = class * pixels + pixel + 4 * v;
                    let e = exp4(f32x4_sub(load(x.add(at)), max[v]));
                    if GRAD {
                        store(g.add(at), e);
                    }
                    sum[v] = f32x4_add(sum[v], e);
                }
            }
            let mut sums = [0.0; TILE];
            for (v, sum) in sum.iter().enumerate() {
                store(sums.as_mut_ptr().add(4 * v), *sum);
            }
            if GRAD {
                let factors = sum.map(|sum| f32x4_div(f32x4_splat(scale), sum));
                for class in 0..classes {
                    for (v, factor) in factors.iter().enumerate() {
                        let at = class * pixels + pixel + 4 * v;
                        store(g.add(at), f32x4_mul(load(g.add(at)), *factor));
                    }
                }
            }
            let mut total = 0.0;
            for i in 0..TILE {
                total += self.finish::<GRAD>(pixel + i, sums[i], margins[i]);
            }
            total
        }
    }

    #[inline(always)]
    unsafe fn one<const GRAD: bool>(self, pixel: usize) -> f64 {
        let Planes { x, g, pixels, classes, scale, .. } = self;
        unsafe {
            let mut max = f32::NEG_INFINITY;
            for class in 0..classes {
                max = max1(max, *x.add(class * pixels + pixel));
            }
            let margin = *x.add(self.at_label(pixel)) - max;
            let mut sum = 0.0;
            for class in 0..classes {
                let at = class * pixels + pixel;
                let e = exp1(*x.add(at) - max);
                if GRAD {
                    *g.add(at) = e;
                }
                sum += e;
            }
            if GRAD {
                for class in 0..classes {
                    *g.add(class * pixels + pixel) *= scale / sum;
                }
            }
            self.finish::<GRAD>(pixel, sum, margin)
        }
    }
}
