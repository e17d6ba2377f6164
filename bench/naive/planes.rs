//! The same three sweeps where classes are strided: `V` vectors of rows at a time go through all the planes.

use core::arch::wasm32::{
    f32x4_add, f32x4_div, f32x4_extract_lane, f32x4_mul, f32x4_pmax, f32x4_splat, f32x4_sub,
};

use crate::math::{Exp, ln1, load, max1, store};
use crate::{ADD, Call, LOSS};

/// One image: `classes` planes of `rows` floats.
#[inline(always)]
pub(crate) unsafe fn planes<const JOB: u8, const V: usize>(call: &Call) -> f64 {
    let exp = Exp::new();
    let mut total = 0.0;
    let mut row = 0;
    unsafe {
        while row + 4 * V <= call.rows {
            total += several::<JOB, V>(&exp, call, row);
            row += 4 * V;
        }
        while row < call.rows {
            total += one::<JOB>(&exp, call, row);
            row += 1;
        }
    }
    total
}

/// The place of a class in a row's planes.
#[inline(always)]
fn at(call: &Call, class: usize, row: usize) -> usize {
    class * call.rows + row
}

/// Where the logit of a row's label lies.
#[inline(always)]
unsafe fn at_label(call: &Call, row: usize) -> usize {
    unsafe { at(call, *call.labels.add(row) as usize, row) }
}

#[inline(always)]
unsafe fn finish<const JOB: u8>(call: &Call, row: usize, sum: f32, margin: f32) -> f64 {
    unsafe {
        if JOB != LOSS {
            *call.g.add(at_label(call, row)) -= call.scale;
        }
        call.keep(row, ln1(sum) - margin)
    }
}

#[inline(always)]
unsafe fn several<const JOB: u8, const V: usize>(exp: &Exp, call: &Call, row: usize) -> f64 {
    let Call { x, g, scratch, classes, scale, .. } = *call;
    unsafe {
        let mut max = [f32x4_splat(f32::NEG_INFINITY); V];
        for class in 0..classes {
            for (v, max) in max.iter_mut().enumerate() {
                *max = f32x4_pmax(*max, load(x.add(at(call, class, row + 4 * v))));
            }
        }
        let mut margins = [[0.0; 4]; V];
        for (margins, max) in margins.iter_mut().zip(max) {
            store(margins.as_mut_ptr(), max);
        }
        // Read before exponentials in place overwrite them.
        for (i, margin) in margins.as_flattened_mut().iter_mut().enumerate() {
            *margin = *x.add(at_label(call, row + i)) - *margin;
        }
        let mut sum = [f32x4_splat(0.0); V];
        for class in 0..classes {
            for v in 0..V {
                let place = at(call, class, row + 4 * v);
                let e = exp.of(f32x4_sub(load(x.add(place)), max[v]));
                if JOB == ADD {
                    store(scratch.add(4 * (V * class + v)), e);
                } else if JOB != LOSS {
                    store(g.add(place), e);
                }
                sum[v] = f32x4_add(sum[v], e);
            }
        }
        if JOB != LOSS {
            let factors = sum.map(|sum| f32x4_div(f32x4_splat(scale), sum));
            for class in 0..classes {
                for (v, factor) in factors.iter().enumerate() {
                    let g = g.add(at(call, class, row + 4 * v));
                    if JOB == ADD {
                        let e = load(scratch.add(4 * (V * class + v)));
                        store(g, f32x4_add(load(g), f32x4_mul(e, *factor)));
                    } else {
                        store(g, f32x4_mul(load(g), *factor));
                    }
                }
            }
        }
        let mut sums = [[0.0; 4]; V];
        for (sums, sum) in sums.iter_mut().zip(sum) {
            store(sums.as_mut_ptr(), sum);
        }
        let mut total = 0.0;
        for (i, (sum, margin)) in sums.as_flattened().iter().zip(margins.as_flattened()).enumerate() {
            total += finish::<JOB>(call, row + i, *sum, *margin);
        }
        total
    }
}

#[inline(always)]
unsafe fn one<const JOB: u8>(exp: &Exp, call: &Call, row: usize) -> f64 {
    let Call { x, g, scratch, classes, scale, .. } = *call;
    unsafe {
        let mut max = f32::NEG_INFINITY;
        for class in 0..classes {
            max = max1(max, *x.add(at(call, class, row)));
        }
        let margin = *x.add(at_label(call, row)) - max;
        let mut sum = 0.0;
        for class in 0..classes {
            let e = f32x4_extract_lane::<0>(exp.of(f32x4_splat(*x.add(at(call, class, row)) - max)));
            if JOB == ADD {
                *scratch.add(class) = e;
            } else if JOB != LOSS {
                *g.add(at(call, class, row)) = e;
            }
            sum += e;
        }
        if JOB != LOSS {
            let factor = scale / sum;
            for class in 0..classes {
                let g = g.add(at(call, class, row));
                *g = if JOB == ADD { *g + *scratch.add(class) * factor } else { *g * factor };
            }
        }
        finish::<JOB>(call, row, sum, margin)
    }
}
