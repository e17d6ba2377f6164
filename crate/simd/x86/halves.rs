//! Conversions of eight numbers of 16 bits, by F16C and AVX2.

use super::super::halves::Eight;
use super::{Isa, Lanes8};
use core::arch::x86_64::*;

/// `f16`, by instructions of its own. They round, and keep subnormal numbers, in every mode of the processor alike.
#[derive(Debug, Clone, Copy)]
pub(in crate::simd) struct F16c;

/// `bf16`.
#[derive(Debug, Clone, Copy)]
pub(in crate::simd) struct Bf16Avx2;

impl F16c {
    pub(in crate::simd) fn is_supported() -> bool {
        Lanes8::is_supported() && is_x86_feature_detected!("f16c")
    }
}

impl Bf16Avx2 {
    pub(in crate::simd) fn is_supported() -> bool {
        Lanes8::is_supported()
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(x: &[u16; 8]) -> __m128i {
    // SAFETY: the pointer is to eight numbers.
    unsafe { _mm_loadu_si128(x.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(to: &mut [u16; 8], x: __m128i) {
    // SAFETY: as above.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), x) }
}

/// The lesser bits of each lane and of those so far.
#[inline]
#[target_feature(enable = "avx2")]
fn update(least: &mut [i32; 8], x: __m256) {
    let before = _mm256_castps_si256(Lanes8::load_bits(least));
    let bits = _mm256_min_epi32(before, _mm256_castps_si256(x));
    // SAFETY: the pointer is to eight numbers.
    unsafe { _mm256_storeu_si256(least.as_mut_ptr().cast(), bits) }
}

/// See `odd_sum` in `halves/native.rs`.
#[inline]
#[target_feature(enable = "avx2")]
fn odd_sum(a: __m256, b: __m256) -> __m256 {
    let sum = _mm256_add_ps(a, b);
    let part = _mm256_sub_ps(sum, a);
    let error = _mm256_add_ps(_mm256_sub_ps(a, _mm256_sub_ps(sum, part)), _mm256_sub_ps(b, part));
    let is_less = _mm256_srli_epi32::<31>(_mm256_castps_si256(_mm256_xor_ps(error, sum)));
    let odd = _mm256_or_si256(_mm256_sub_epi32(_mm256_castps_si256(sum), is_less), _mm256_set1_epi32(1));
    let is_off = _mm256_cmp_ps::<_CMP_GT_OQ>(Lanes8::abs(error), _mm256_setzero_ps());
    Lanes8::select(is_off, _mm256_castsi256_ps(odd), sum)
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn f16_narrowed(x: __m256) -> __m128i {
    let half = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x);
    // A NaN keeps its upper bits: a positive one is above all others as signed numbers, a negative one as unsigned ones.
    let half = _mm_min_epi16(half, _mm_set1_epi16(0x7e00));
    _mm_min_epu16(half, _mm_set1_epi16(0xfe00_u16.cast_signed()))
}

#[inline]
#[target_feature(enable = "avx2")]
fn bf16_widened(x: __m128i) -> __m256 {
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(x)))
}

/// The nearest, ties to even, in the lower 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn bf16_rounded(x: __m256) -> __m256i {
    let bits = _mm256_castps_si256(x);
    let last = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    _mm256_srli_epi32::<16>(_mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), last))
}

#[inline]
#[target_feature(enable = "avx2")]
fn bf16_narrowed(x: __m256) -> __m128i {
    let is_nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(x, x));
    joined(_mm256_or_si256(bf16_rounded(x), _mm256_and_si256(is_nan, _mm256_set1_epi32(0x7fc0))))
}

/// The lower 16 bits of each lane; the others are 0.
#[inline]
#[target_feature(enable = "avx2")]
fn joined(x: __m256i) -> __m128i {
    _mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x))
}

impl Eight for F16c {
    with_features! { "avx2,fma,f16c";
        fn widen(from: &[u16; 8], to: &mut [f32; 8]) -> () { Lanes8::store(to, _mm256_cvtph_ps(load(from))) }
        fn narrow(from: &[f32; 8], to: &mut [u16; 8]) -> () { store(to, f16_narrowed(Lanes8::load(from))) }
        fn add(from: &[f32; 8], to: &mut [u16; 8]) -> () {
            store(to, f16_narrowed(odd_sum(_mm256_cvtph_ps(load(to)), Lanes8::load(from))))
        }
        fn scale(from: &[f32; 8], scale: f32, to: &mut [u16; 8], least: &mut [i32; 8]) -> () {{
            let x = Lanes8::load(from);
            update(least, x);
            store(to, _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm256_mul_ps(x, _mm256_set1_ps(scale))));
        }}
    }
}

impl Eight for Bf16Avx2 {
    with_features! { "avx2,fma";
        fn widen(from: &[u16; 8], to: &mut [f32; 8]) -> () { Lanes8::store(to, bf16_widened(load(from))) }
        fn narrow(from: &[f32; 8], to: &mut [u16; 8]) -> () { store(to, bf16_narrowed(Lanes8::load(from))) }
        fn add(from: &[f32; 8], to: &mut [u16; 8]) -> () {
            store(to, bf16_narrowed(odd_sum(bf16_widened(load(to)), Lanes8::load(from))))
        }
        fn scale(from: &[f32; 8], scale: f32, to: &mut [u16; 8], least: &mut [i32; 8]) -> () {{
            let x = Lanes8::load(from);
            update(least, x);
            store(to, joined(bf16_rounded(_mm256_mul_ps(x, _mm256_set1_ps(scale)))));
        }}
    }
}
