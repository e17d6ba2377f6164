//! Eight lanes of AVX2 and sixteen of AVX-512 on x86-64, both with fused multiply-add. The only `unsafe` of `simd`.
//!
//! Every operation is a function with the instruction set enabled, called from one without: the compiler makes single
//! instructions of them where both end up inside the function that [`Isa::enter`] calls, and nowhere else
//! (test: `inlining`).
//!
//! What makes this sound: [`Lanes8`] and [`Lanes16`] are private to `simd`, and `choice.rs` alone names them. It does so in one place.
//! A [`Chosen`](super::choice::Chosen) runs a task by them, and the processor was asked before it was made; its constructor is private to
//! that file. So whoever calls one of these functions, by the name of a type parameter, runs where its instructions exist. The conversions of
//! `halves` are named in `halves/native.rs` alone, where the processor is asked too.
#![expect(unsafe_code, reason = "calls of functions that need more than the instructions of every x86-64")]

use super::{CACHE_LINE, Isa};
use core::arch::x86_64::*;

/// AVX2 and FMA.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lanes8;

/// AVX-512 F and DQ.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lanes16;

impl Lanes8 {
    pub(super) fn is_supported() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }
}

impl Lanes16 {
    pub(super) fn is_supported() -> bool {
        Lanes8::is_supported() && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq")
    }
}

/// Functions whose bodies are compiled with these instructions, and `enter`.
macro_rules! with_features {
    ($features:literal; $(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty { $body:expr })*) => {
        #[inline(always)]
        fn enter<R>(f: impl FnOnce() -> R) -> R {
            #[target_feature(enable = $features)]
            fn inside<R>(f: impl FnOnce() -> R) -> R {
                f()
            }
            // SAFETY: the processor has the features, or no function of this type would run (see the module's header).
            unsafe { inside(f) }
        }
        $(
            #[inline(always)]
            fn $name($($argument: $type),*) -> $result {
                #[inline]
                #[target_feature(enable = $features)]
                fn inside($($argument: $type),*) -> $result {
                    $body
                }
                // SAFETY: as for `enter`.
                unsafe { inside($($argument),*) }
            }
        )*
    };
}

pub(super) mod halves;

/// Asks for the cache lines of some numbers.
#[inline(always)]
fn fetch(numbers: &[f32]) {
    for line in numbers.chunks(CACHE_LINE) {
        // SAFETY: SSE is part of x86-64, and nothing is read.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
}

/// The columns of a 4x4 block, by instructions that every x86-64 has: it need not be entered.
#[inline(always)]
fn transpose(rows: [&[f32; 4]; 4]) -> [[f32; 4]; 4] {
    #[inline]
    #[target_feature(enable = "sse2")]
    fn inside([a, b, c, d]: [&[f32; 4]; 4]) -> [[f32; 4]; 4] {
        let load = |row: &[f32; 4]| {
            // SAFETY: the pointer is to four floats.
            unsafe { _mm_loadu_ps(row.as_ptr()) }
        };
        let (a, b, c, d) = (load(a), load(b), load(c), load(d));
        let (ab, cd) = (_mm_unpacklo_ps(a, b), _mm_unpacklo_ps(c, d));
        let (ab2, cd2) = (_mm_unpackhi_ps(a, b), _mm_unpackhi_ps(c, d));
        let mut columns = [[0.0; 4]; 4];
        let mut store = |column: usize, v: __m128| {
            // SAFETY: the pointer is to four floats.
            unsafe { _mm_storeu_ps(columns[column].as_mut_ptr(), v) }
        };
        store(0, _mm_movelh_ps(ab, cd));
        store(1, _mm_movehl_ps(cd, ab));
        store(2, _mm_movelh_ps(ab2, cd2));
        store(3, _mm_movehl_ps(cd2, ab2));
        columns
    }
    // SAFETY: SSE2 is part of x86-64.
    unsafe { inside(rows) }
}

/// The sum of four lanes: of neighbours, then of the two sums.
#[inline]
#[target_feature(enable = "avx2")]
fn sum4(v: __m256d) -> f64 {
    let halves = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd::<1>(v));
    _mm_cvtsd_f64(_mm_add_sd(halves, _mm_unpackhi_pd(halves, halves)))
}

/// The sums of four vectors of four lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn add_across4([a, b, c, d]: [__m128; 4]) -> [f32; 4] {
    let low = _mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
    let high = _mm_add_ps(_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
    let sums = _mm_add_ps(_mm_movelh_ps(low, high), _mm_movehl_ps(high, low));
    let mut lanes = [0.0; 4];
    // SAFETY: the pointer is to four floats.
    unsafe { _mm_storeu_ps(lanes.as_mut_ptr(), sums) }
    lanes
}

/// The sums of the halves of a vector of eight.
#[inline]
#[target_feature(enable = "avx2")]
fn halved8(v: __m256) -> __m128 {
    _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v))
}

/// The largest of eight lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn max8(v: __m256) -> f32 {
    let m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)))
}

/// The largest of eight lanes as u32.
#[inline]
#[target_feature(enable = "avx2")]
fn max8_bits(v: __m256i) -> u32 {
    let m = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
    let m = _mm_max_epu32(m, _mm_unpackhi_epi64(m, m));
    _mm_cvtsi128_si32(_mm_max_epu32(m, _mm_shuffle_epi32::<1>(m))).cast_unsigned()
}

impl Isa for Lanes8 {
    const LANES: usize = 8;
    const FUSED: bool = true;
    type V = __m256;
    chunks_of!(8);

    const FETCHES: bool = true;
    #[inline(always)]
    fn fetch(numbers: &[f32]) {
        fetch(numbers);
    }

    #[inline(always)]
    fn transpose(rows: [&[f32; 4]; 4]) -> [[f32; 4]; 4] {
        transpose(rows)
    }

    with_features! { "avx2,fma";
        fn load(chunk: &[f32; 8]) -> __m256 {{
            // SAFETY: the pointer is to eight floats.
            unsafe { _mm256_loadu_ps(chunk.as_ptr()) }
        }}
        fn store(chunk: &mut [f32; 8], v: __m256) -> () {{
            // SAFETY: as above.
            unsafe { _mm256_storeu_ps(chunk.as_mut_ptr(), v) }
        }}
        fn splat(x: f32) -> __m256 { _mm256_set1_ps(x) }
        fn add(a: __m256, b: __m256) -> __m256 { _mm256_add_ps(a, b) }
        fn sub(a: __m256, b: __m256) -> __m256 { _mm256_sub_ps(a, b) }
        fn mul(a: __m256, b: __m256) -> __m256 { _mm256_mul_ps(a, b) }
        fn div(a: __m256, b: __m256) -> __m256 { _mm256_div_ps(a, b) }
        fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 { _mm256_fmadd_ps(a, b, c) }
        fn pmax(a: __m256, b: __m256) -> __m256 { _mm256_max_ps(b, a) }
        fn le(a: __m256, b: __m256) -> __m256 { _mm256_cmp_ps::<_CMP_LE_OQ>(a, b) }
        fn eq(a: __m256, b: __m256) -> __m256 { _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b) }
        fn and(a: __m256, b: __m256) -> __m256 { _mm256_and_ps(a, b) }
        fn and_not(a: __m256, b: __m256) -> __m256 { _mm256_andnot_ps(b, a) }
        fn or(a: __m256, b: __m256) -> __m256 { _mm256_or_ps(a, b) }
        fn xor(a: __m256, b: __m256) -> __m256 { _mm256_xor_ps(a, b) }
        fn select(mask: __m256, a: __m256, b: __m256) -> __m256 { _mm256_blendv_ps(b, a, mask) }
        fn abs(a: __m256) -> __m256 { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
        fn max_bits(a: __m256, b: __m256) -> __m256 {
            _mm256_castsi256_ps(_mm256_max_epu32(_mm256_castps_si256(a), _mm256_castps_si256(b)))
        }
        fn max_signed_bits(a: __m256, b: __m256) -> __m256 {
            _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)))
        }
        fn scale_by_exponent(p: __m256, n: __m256) -> __m256 {{
            let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(n));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent))
        }}
        fn load_bits(chunk: &[i32; 8]) -> __m256 {{
            // SAFETY: the pointer is to eight numbers.
            _mm256_castsi256_ps(unsafe { _mm256_loadu_si256(chunk.as_ptr().cast()) })
        }}
        fn sign_of_lowest_bit(bits: __m256) -> __m256 {
            _mm256_castsi256_ps(_mm256_slli_epi32::<31>(_mm256_castps_si256(bits)))
        }
        fn load_pairs(x: &[f32; 16]) -> (__m256, __m256) {{
            let [low, high] = x.as_chunks::<8>().0 else { unreachable!("sixteen floats are two vectors") };
            let (low, high) = (Lanes8::load(low), Lanes8::load(high));
            let order = |v: __m256| _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(v)));
            (order(_mm256_shuffle_ps::<0b10_00_10_00>(low, high)), order(_mm256_shuffle_ps::<0b11_01_11_01>(low, high)))
        }}
        fn store_pairs(x: &mut [f32; 16], first: __m256, second: __m256) -> () {{
            let [low, high] = x.as_chunks_mut::<8>().0 else { unreachable!("sixteen floats are two vectors") };
            let (a, b) = (_mm256_unpacklo_ps(first, second), _mm256_unpackhi_ps(first, second));
            Lanes8::store(low, _mm256_permute2f128_ps::<0x20>(a, b));
            Lanes8::store(high, _mm256_permute2f128_ps::<0x31>(a, b));
        }}
        fn add_across(v: [__m256; 4]) -> [f32; 4] {{
            add_across4([halved8(v[0]), halved8(v[1]), halved8(v[2]), halved8(v[3])])
        }}
        fn split(x: __m256, least: __m256) -> (__m256, __m256) {{
            let bits = _mm256_castps_si256(x);
            let steps = _mm256_srai_epi32::<23>(_mm256_sub_epi32(bits, _mm256_castps_si256(least)));
            let mantissa = _mm256_sub_epi32(bits, _mm256_slli_epi32::<23>(steps));
            (_mm256_cvtepi32_ps(steps), _mm256_castsi256_ps(mantissa))
        }}
        fn first(count: usize) -> __m256 {{
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(small(count)), lanes))
        }}
        fn only(lane: usize) -> __m256 {{
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_set1_epi32(small(lane)), lanes))
        }}
        fn sum(v: __m256) -> f64 {{
            let low = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
            sum4(_mm256_add_pd(low, _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(v))))
        }}
        fn max(v: __m256) -> f32 { max8(v) }
        fn largest_bits(v: __m256) -> u32 { max8_bits(_mm256_castps_si256(v)) }
        fn any(mask: __m256) -> bool { _mm256_movemask_ps(mask) != 0 }
    }
}

/// A number of lanes.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "at most 16")]
fn small(count: usize) -> i32 {
    count as i32
}

/// All ones in the lanes whose bit is set.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn spread(mask: __mmask16) -> __m512 {
    _mm512_castsi512_ps(_mm512_movm_epi32(mask))
}

/// The lanes that are set.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn gather(mask: __m512) -> __mmask16 {
    _mm512_movepi32_mask(_mm512_castps_si512(mask))
}

impl Isa for Lanes16 {
    const LANES: usize = 16;
    const FUSED: bool = true;
    type V = __m512;
    chunks_of!(16);

    const FETCHES: bool = true;
    #[inline(always)]
    fn fetch(numbers: &[f32]) {
        fetch(numbers);
    }

    #[inline(always)]
    fn transpose(rows: [&[f32; 4]; 4]) -> [[f32; 4]; 4] {
        transpose(rows)
    }

    with_features! { "avx2,fma,avx512f,avx512dq";
        fn load(chunk: &[f32; 16]) -> __m512 {{
            // SAFETY: the pointer is to sixteen floats.
            unsafe { _mm512_loadu_ps(chunk.as_ptr()) }
        }}
        fn store(chunk: &mut [f32; 16], v: __m512) -> () {{
            // SAFETY: as above.
            unsafe { _mm512_storeu_ps(chunk.as_mut_ptr(), v) }
        }}
        fn splat(x: f32) -> __m512 { _mm512_set1_ps(x) }
        fn add(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        fn sub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        fn mul(a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        fn div(a: __m512, b: __m512) -> __m512 { _mm512_div_ps(a, b) }
        fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        fn pmax(a: __m512, b: __m512) -> __m512 { _mm512_max_ps(b, a) }
        fn le(a: __m512, b: __m512) -> __m512 { spread(_mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b)) }
        fn eq(a: __m512, b: __m512) -> __m512 { spread(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b)) }
        fn and(a: __m512, b: __m512) -> __m512 { _mm512_and_ps(a, b) }
        fn and_not(a: __m512, b: __m512) -> __m512 { _mm512_andnot_ps(b, a) }
        fn or(a: __m512, b: __m512) -> __m512 { _mm512_or_ps(a, b) }
        fn xor(a: __m512, b: __m512) -> __m512 { _mm512_xor_ps(a, b) }
        fn select(mask: __m512, a: __m512, b: __m512) -> __m512 { _mm512_mask_blend_ps(gather(mask), b, a) }
        fn abs(a: __m512) -> __m512 { _mm512_abs_ps(a) }
        fn max_bits(a: __m512, b: __m512) -> __m512 {
            _mm512_castsi512_ps(_mm512_max_epu32(_mm512_castps_si512(a), _mm512_castps_si512(b)))
        }
        fn max_signed_bits(a: __m512, b: __m512) -> __m512 {
            _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)))
        }
        fn scale_by_exponent(p: __m512, n: __m512) -> __m512 {{
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(n));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), exponent))
        }}
        fn load_bits(chunk: &[i32; 16]) -> __m512 {{
            // SAFETY: the pointer is to sixteen numbers.
            _mm512_castsi512_ps(unsafe { _mm512_loadu_epi32(chunk.as_ptr()) })
        }}
        fn sign_of_lowest_bit(bits: __m512) -> __m512 {
            _mm512_castsi512_ps(_mm512_slli_epi32::<31>(_mm512_castps_si512(bits)))
        }
        fn load_pairs(x: &[f32; 32]) -> (__m512, __m512) {{
            let [low, high] = x.as_chunks::<16>().0 else { unreachable!("32 floats are two vectors") };
            let (low, high) = (Lanes16::load(low), Lanes16::load(high));
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
            (_mm512_permutex2var_ps(low, even, high), _mm512_permutex2var_ps(low, odd, high))
        }}
        fn store_pairs(x: &mut [f32; 32], first: __m512, second: __m512) -> () {{
            let [low, high] = x.as_chunks_mut::<16>().0 else { unreachable!("32 floats are two vectors") };
            let before = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let after = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
            Lanes16::store(low, _mm512_permutex2var_ps(first, before, second));
            Lanes16::store(high, _mm512_permutex2var_ps(first, after, second));
        }}
        fn add_across(v: [__m512; 4]) -> [f32; 4] {{
            let halved = |v: __m512| halved8(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v)));
            add_across4([halved(v[0]), halved(v[1]), halved(v[2]), halved(v[3])])
        }}
        fn split(x: __m512, least: __m512) -> (__m512, __m512) {{
            let bits = _mm512_castps_si512(x);
            let steps = _mm512_srai_epi32::<23>(_mm512_sub_epi32(bits, _mm512_castps_si512(least)));
            let mantissa = _mm512_sub_epi32(bits, _mm512_slli_epi32::<23>(steps));
            (_mm512_cvtepi32_ps(steps), _mm512_castsi512_ps(mantissa))
        }}
        fn first(count: usize) -> __m512 {{
            let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            spread(_mm512_cmpgt_epi32_mask(_mm512_set1_epi32(small(count)), lanes))
        }}
        fn only(lane: usize) -> __m512 {{
            let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            spread(_mm512_cmpeq_epi32_mask(_mm512_set1_epi32(small(lane)), lanes))
        }}
        fn sum(v: __m512) -> f64 {{
            let low = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
            let sum = _mm512_add_pd(low, _mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(v)));
            sum4(_mm256_add_pd(_mm512_castpd512_pd256(sum), _mm512_extractf64x4_pd::<1>(sum)))
        }}
        fn max(v: __m512) -> f32 {
            max8(_mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v)))
        }
        fn largest_bits(v: __m512) -> u32 {{
            let v = _mm512_castps_si512(v);
            max8_bits(_mm256_max_epu32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64::<1>(v)))
        }}
        fn any(mask: __m512) -> bool { gather(mask) != 0 }
    }
}
