//! The roof of a matrix product: the innermost loop alone, written by hand over four rows and two vectors of columns, on factors that lie in the
//! first cache as it reads them. It packs nothing, misses no cache and writes one tile, so no product of matrices is as fast.

use crate::math::{load, multiply_add, store};
use core::arch::wasm32::{f32x4_splat, v128_load32_splat};

const ROWS: usize = 4;

/// So many times the tile of `a`, `depth` steps of four numbers, by `b`, `depth` steps of eight, to the 32 numbers of `c`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn product_4x8(a: *const f32, b: *const f32, c: *mut f32, depth: usize, times: usize) {
    for _ in 0..times {
        let mut sums = [[f32x4_splat(0.0); 2]; ROWS];
        let (mut left, mut right) = (a, b);
        unsafe {
            for _ in 0..depth {
                let (first, second) = (load(right), load(right.add(4)));
                for (row, sums) in sums.iter_mut().enumerate() {
                    let factor = v128_load32_splat(left.add(row).cast());
                    sums[0] = multiply_add(factor, first, sums[0]);
                    sums[1] = multiply_add(factor, second, sums[1]);
                }
                left = left.add(ROWS);
                right = right.add(8);
            }
            for (row, [low, high]) in sums.into_iter().enumerate() {
                store(c.add(8 * row), low);
                store(c.add(8 * row + 4), high);
            }
        }
    }
}
