//! The conversions natively: by what the processor has for eight numbers, or by plain loops, of which the compiler makes vectors of four. For
//! that no function for one number has a branch. Both give the same bits.

#[cfg(target_arch = "x86_64")]
use super::super::x86::halves::{Bf16Avx2, F16c};
use super::{INFINITY, bf16_narrowed, bf16_rounded, f16_narrowed, mask, padded, put};

/// Conversions of eight numbers.
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, reason = "the other processors run the plain loops")
)]
pub(in crate::simd) trait Eight {
    /// Calls a closure where the compiler may use the instructions. What it calls is to be inlined, and so is the closure.
    fn enter<R>(f: impl FnOnce() -> R) -> R;
    fn widen(from: &[u16; 8], to: &mut [f32; 8]);
    fn narrow(from: &[f32; 8], to: &mut [u16; 8]);
    /// See [`add`].
    fn add(from: &[f32; 8], to: &mut [u16; 8]);
    /// Narrows the products of positive numbers, neither infinite nor NaN, and a positive one. `least` becomes the least bits so far.
    fn scale(from: &[f32; 8], scale: f32, to: &mut [u16; 8], least: &mut [i32; 8]);
}

/// Conversions of one number.
trait One {
    fn widened(bits: u16) -> f32;
    fn narrowed(x: f32) -> u16;
    /// As `narrowed`, of a positive number.
    fn positive(x: f32) -> u16;
}

/// Rows of `width` positive numbers, eight or more, neither infinite nor NaN; and the positive scale of each row.
type ToScale<'a> = (&'a [f32], usize, &'a [f32]);

/// Conversions of slices.
#[derive(Clone, Copy)]
pub(crate) struct Conversions {
    widen: fn(&[u16], &mut [f32]),
    narrow: fn(&[f32], &mut [u16]),
    add: fn(&[f32], &mut [u16]),
    narrow_rows: fn(ToScale<'_>, &mut [u16]) -> f32,
}

/// A format of 16 bits.
pub(crate) trait Format {
    /// The fastest conversions that the processor has.
    fn conversions() -> Conversions;
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct F16;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Bf16;

impl Format for F16 {
    fn conversions() -> Conversions {
        #[cfg(target_arch = "x86_64")]
        if F16c::is_supported() {
            return Conversions::by_eight::<F16c>();
        }
        Conversions::plain::<Self>()
    }
}

impl Format for Bf16 {
    fn conversions() -> Conversions {
        #[cfg(target_arch = "x86_64")]
        if Bf16Avx2::is_supported() {
            return Conversions::by_eight::<Bf16Avx2>();
        }
        Conversions::plain::<Self>()
    }
}

impl One for F16 {
    #[inline(always)]
    fn widened(bits: u16) -> f32 {
        // The bits are read as a single that has the exponent's bias of `f16`. The product with 2^112 corrects it, exactly, subnormal
        // numbers included.
        let biased = (i32::from(bits.cast_signed()) << 13).cast_unsigned() & 0x8fff_e000;
        let x = f32::from_bits(biased) * f32::from_bits((127 + 112) << 23);
        // Infinity and NaN have become 2^16 and more. A NaN is made a quiet one.
        let end = 65_536.0;
        f32::from_bits(x.to_bits() | (mask(x.abs() >= end) & INFINITY) | (mask(x.abs() > end) & 0x0040_0000))
    }
    #[inline(always)]
    fn narrowed(x: f32) -> u16 {
        f16_narrowed(x)
    }
    #[inline(always)]
    fn positive(x: f32) -> u16 {
        f16_narrowed(x)
    }
}

impl One for Bf16 {
    #[inline(always)]
    fn widened(bits: u16) -> f32 {
        f32::from_bits(u32::from(bits) << 16)
    }
    #[inline(always)]
    fn narrowed(x: f32) -> u16 {
        bf16_narrowed(x)
    }
    #[inline(always)]
    fn positive(x: f32) -> u16 {
        bf16_rounded(x)
    }
}

/// Copies `from` to `to`, widening each number exactly.
pub(crate) fn widen<F: Format>(from: &[u16], to: &mut [f32]) {
    (F::conversions().widen)(from, to);
}

/// Copies `from` to `to`, rounding each number to the nearest.
pub(crate) fn narrow<F: Format>(from: &[f32], to: &mut [u16]) {
    (F::conversions().narrow)(from, to);
}

/// Adds `from` to `to`, rounding each sum once.
pub(crate) fn add<F: Format>(from: &[f32], to: &mut [u16]) {
    (F::conversions().add)(from, to);
}

/// Copies rows of positive numbers, each times the scale of its row. The product is rounded to a single, and that is narrowed. It returns
/// the smallest of the numbers.
pub(crate) fn narrow_rows<F: Format>(from: ToScale<'_>, to: &mut [u16]) -> Option<f32> {
    Some((F::conversions().narrow_rows)(from, to))
}

impl Conversions {
    fn plain<F: One>() -> Self {
        Self {
            widen: |from, to| to.iter_mut().zip(from).for_each(|(to, from)| *to = F::widened(*from)),
            narrow: |from, to| to.iter_mut().zip(from).for_each(|(to, from)| *to = F::narrowed(*from)),
            add: |from, to| {
                to.iter_mut()
                    .zip(from)
                    .for_each(|(to, from)| *to = F::narrowed(odd_sum(F::widened(*to), *from)));
            },
            narrow_rows: |(from, width, scales), to| {
                let mut least = u32::MAX;
                let each = from.chunks_exact(width).zip(to.chunks_exact_mut(width));
                for ((from, to), scale) in each.zip(scales) {
                    for (to, from) in to.iter_mut().zip(from) {
                        least = least.min(from.to_bits());
                        *to = F::positive(from * scale);
                    }
                }
                f32::from_bits(least)
            },
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn by_eight<E: Eight>() -> Self {
        Self {
            widen: |from, to| each::<E, _, _>(from, to, E::widen),
            narrow: |from, to| each::<E, _, _>(from, to, E::narrow),
            add: |from, to| each::<E, _, _>(from, to, E::add),
            narrow_rows: scale_rows::<E>,
        }
    }
}

/// Does something with eight numbers and their eight places at a time; with less at the end.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn each<E: Eight, A: Copy + Default, B: Copy + Default>(
    from: &[A],
    to: &mut [B],
    eight: impl Fn(&[A; 8], &mut [B; 8]),
) {
    E::enter(
        #[inline(always)]
        || {
            let ((from, from_rest), (to, to_rest)) = (from.as_chunks(), to.as_chunks_mut());
            for (from, to) in from.iter().zip(to) {
                eight(from, to);
            }
            if !from_rest.is_empty() {
                let mut all = padded(to_rest);
                eight(&padded(from_rest), &mut all);
                put(&all, to_rest);
            }
        },
    );
}

#[cfg(target_arch = "x86_64")]
fn scale_rows<E: Eight>((from, width, scales): ToScale<'_>, to: &mut [u16]) -> f32 {
    E::enter(
        #[inline(always)]
        || {
            let mut least = [i32::MAX; 8];
            let rows = from.chunks_exact(width).zip(to.chunks_exact_mut(width));
            for ((from, to), scale) in rows.zip(scales) {
                for (from, to) in from.as_chunks().0.iter().zip(to.as_chunks_mut().0) {
                    E::scale(from, *scale, to, &mut least);
                }
                if !width.is_multiple_of(8)
                    && let (Some(from), Some(to)) = (from.last_chunk(), to.last_chunk_mut())
                {
                    E::scale(from, *scale, to, &mut least);
                }
            }
            least.into_iter().min().map_or(f32::NAN, |least| f32::from_bits(least.cast_unsigned()))
        },
    )
}

/// The sum as a single that rounds to the same number of 16 bits as the exact sum does: if it is not exact, that of its two neighbours whose
/// last bit is odd. Knuth's sum of two numbers finds exactly what rounding took from it.
#[inline(always)]
fn odd_sum(a: f32, b: f32) -> f32 {
    let sum = a + b;
    let part = sum - a;
    let error = (a - (sum - part)) + (b - part);
    let is_less = (error.to_bits() ^ sum.to_bits()) >> 31;
    // Infinities and NaN have a NaN for an error.
    if error.abs() > 0.0 { f32::from_bits((sum.to_bits() - is_less) | 1) } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};

    /// Every value of 16 bits widens as `half` widens it, and comes back.
    #[test]
    fn half_numbers_widen_exactly_and_come_back() {
        for bits in 0..=u16::MAX {
            let (a, b) = (f16::from_bits(bits), bf16::from_bits(bits));
            let (got_a, got_b) = (F16::widened(bits), Bf16::widened(bits));
            for (got, want, back, is_nan) in [
                (got_a, a.to_f32(), F16::narrowed(got_a), a.is_nan()),
                (got_b, b.to_f32(), Bf16::narrowed(got_b), b.is_nan()),
            ] {
                if is_nan {
                    assert!(got.is_nan(), "{bits:#06x} is NaN, not {got}");
                } else {
                    assert_eq!(got.to_bits(), want.to_bits(), "{bits:#06x}");
                    assert_eq!(back, bits, "{bits:#06x} and back");
                }
            }
        }
    }

    /// Singles near every boundary between two values of 16 bits, and at a prime stride all over.
    fn singles() -> impl Iterator<Item = f32> {
        let near = (0..=u16::MAX).flat_map(|bits| {
            let (a, b) = (f16::from_bits(bits).to_f32().to_bits(), u32::from(bits) << 16);
            let step = |bits: u32, half: u32| {
                (0..5).map(move |by| bits.wrapping_add(half).wrapping_add(by).wrapping_sub(2))
            };
            step(a, 0).chain(step(a, 0x1000)).chain(step(b, 0x8000)).chain(step(b, 0))
        });
        near.chain((0..u32::MAX).step_by(4099)).map(f32::from_bits)
    }

    #[test]
    fn singles_narrow_to_the_nearest_as_half_narrows_them() {
        for x in singles() {
            if x.is_nan() {
                assert!(f16::from_bits(F16::narrowed(x)).is_nan(), "{:#x} as f16", x.to_bits());
                assert!(bf16::from_bits(Bf16::narrowed(x)).is_nan(), "{:#x} as bf16", x.to_bits());
                continue;
            }
            assert_eq!(F16::narrowed(x), f16::from_f32(x).to_bits(), "{x:e} as f16");
            assert_eq!(Bf16::narrowed(x), bf16::from_f32(x).to_bits(), "{x:e} as bf16");
        }
    }

    /// What the processor has instructions for has the bits of the plain loops, NaN included.
    #[test]
    fn every_way_to_convert_gives_the_same_bits() {
        fn bits(x: &[f32]) -> Vec<u32> {
            x.iter().map(|x| x.to_bits()).collect()
        }
        fn check<F: Format + One>(name: &str) {
            let (plain, best) = (Conversions::plain::<F>(), F::conversions());
            let halves: Vec<u16> = (0..=u16::MAX).collect();
            let (mut want, mut got) = (vec![0.0; halves.len()], vec![0.0; halves.len()]);
            (plain.widen)(&halves, &mut want);
            (best.widen)(&halves, &mut got);
            assert_eq!(bits(&got), bits(&want), "{name} widened");

            let mut numbers: Vec<f32> = singles().collect();
            // No whole vectors.
            numbers.truncate(numbers.len() / 8 * 8 - 3);
            let (mut want, mut got) = (vec![0; numbers.len()], vec![0; numbers.len()]);
            (plain.narrow)(&numbers, &mut want);
            (best.narrow)(&numbers, &mut got);
            for ((x, want), got) in numbers.iter().zip(&want).zip(&got) {
                assert_eq!(got, want, "{:#x} narrowed to {name}: {got:#x}, not {want:#x}", x.to_bits());
            }

            // Added to every value of 16 bits, in turn.
            let values = core::iter::successors(Some(0_u16), |bits| Some(bits.wrapping_add(40_503)));
            let start: Vec<u16> = values.take(numbers.len()).collect();
            let (mut want, mut got) = (start.clone(), start.clone());
            (plain.add)(&numbers, &mut want);
            (best.add)(&numbers, &mut got);
            for (at, (want, got)) in want.iter().zip(&got).enumerate() {
                assert_eq!(got, want, "{:#x} and {:e} of {name}", start[at], numbers[at]);
            }

            let positive: Vec<f32> = numbers.into_iter().map(f32::abs).filter(|x| x.is_finite()).collect();
            for (width, scale) in [(8, 1.0), (33, 1.0 / 3.0), (47, 1e-12), (64, 3e5)] {
                let rows = positive.len() / width;
                let from = &positive[rows % 7 * width..rows * width];
                let scales: Vec<f32> =
                    (0..rows).map(|row| scale * (1.0 + row as f32 / rows as f32)).collect();
                let (mut want, mut got) = (vec![0; from.len()], vec![0; from.len()]);
                let least = (plain.narrow_rows)((from, width, &scales), &mut want);
                assert_eq!(least, (best.narrow_rows)((from, width, &scales), &mut got), "least of {width}");
                for (at, (want, got)) in want.iter().zip(&got).enumerate() {
                    assert_eq!(got, want, "{:e} times {} as {name}", from[at], scales[at / width]);
                }
            }
        }
        check::<F16>("f16");
        check::<Bf16>("bf16");
    }
}
