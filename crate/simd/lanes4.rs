//! Four lanes in plain Rust: the native twins of the wasm implementations, bit for bit.

use super::Isa;

/// Multiply and add round separately, as plain wasm SIMD does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lanes4;

/// Multiply-add rounds once, as relaxed wasm SIMD does on processors with a fused multiply-add.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lanes4Fused;

type V = [f32; 4];

const ONES: f32 = f32::from_bits(u32::MAX);

#[inline(always)]
fn map(a: V, b: V, f: impl Fn(f32, f32) -> f32) -> V {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

/// The methods of arrays that do this stay calls in a large function, and closures with them.
#[inline(always)]
fn each<T: Copy, R>(a: [T; 4], f: impl Fn(T) -> R) -> [R; 4] {
    [f(a[0]), f(a[1]), f(a[2]), f(a[3])]
}

#[inline(always)]
fn bits(a: V, b: V, f: impl Fn(u32, u32) -> u32) -> V {
    map(a, b, |a, b| f32::from_bits(f(a.to_bits(), b.to_bits())))
}

#[inline(always)]
fn mask(truth: bool) -> f32 {
    if truth { ONES } else { 0.0 }
}

#[inline(always)]
fn pmax(a: f32, b: f32) -> f32 {
    if a < b { b } else { a }
}

macro_rules! lanes4 {
    ($name:ident, $fused:literal, |$a:ident, $b:ident, $c:ident| $mul_add:expr) => {
        impl Isa for $name {
            const LANES: usize = 4;
            const FUSED: bool = $fused;
            type V = V;
            chunks_of!(4);

            #[inline(always)]
            fn load(chunk: &[f32; 4]) -> V {
                *chunk
            }
            #[inline(always)]
            fn store(chunk: &mut [f32; 4], v: V) {
                *chunk = v;
            }
            #[inline(always)]
            fn splat(x: f32) -> V {
                [x; 4]
            }
            #[inline(always)]
            fn add(a: V, b: V) -> V {
                map(a, b, |a, b| a + b)
            }
            #[inline(always)]
            fn sub(a: V, b: V) -> V {
                map(a, b, |a, b| a - b)
            }
            #[inline(always)]
            fn mul(a: V, b: V) -> V {
                map(a, b, |a, b| a * b)
            }
            #[inline(always)]
            fn mul_add(a: V, b: V, c: V) -> V {
                let one = |$a: f32, $b: f32, $c: f32| $mul_add;
                [one(a[0], b[0], c[0]), one(a[1], b[1], c[1]), one(a[2], b[2], c[2]), one(a[3], b[3], c[3])]
            }
            #[inline(always)]
            fn pmax(a: V, b: V) -> V {
                map(a, b, pmax)
            }
            #[inline(always)]
            fn le(a: V, b: V) -> V {
                map(a, b, |a, b| mask(a <= b))
            }
            #[inline(always)]
            fn eq(a: V, b: V) -> V {
                map(a, b, |a, b| mask(a == b))
            }
            #[inline(always)]
            fn and(a: V, b: V) -> V {
                bits(a, b, |a, b| a & b)
            }
            #[inline(always)]
            fn and_not(a: V, b: V) -> V {
                bits(a, b, |a, b| a & !b)
            }
            #[inline(always)]
            fn or(a: V, b: V) -> V {
                bits(a, b, |a, b| a | b)
            }
            #[inline(always)]
            fn xor(a: V, b: V) -> V {
                bits(a, b, |a, b| a ^ b)
            }
            #[inline(always)]
            fn abs(a: V) -> V {
                each(a, f32::abs)
            }
            #[inline(always)]
            fn max_bits(a: V, b: V) -> V {
                bits(a, b, Ord::max)
            }
            #[inline(always)]
            fn max_signed_bits(a: V, b: V) -> V {
                bits(a, b, |a, b| a.cast_signed().max(b.cast_signed()).cast_unsigned())
            }
            #[inline(always)]
            fn scale_by_exponent(p: V, n: V) -> V {
                bits(p, n, |p, n| p.wrapping_add(n << 23))
            }
            #[inline(always)]
            fn load_bits(chunk: &[i32; 4]) -> V {
                each(*chunk, |bits| f32::from_bits(bits.cast_unsigned()))
            }
            #[inline(always)]
            fn sign_of_lowest_bit(bits: V) -> V {
                each(bits, |bits| f32::from_bits(bits.to_bits() << 31))
            }
            #[inline(always)]
            fn load_pairs(x: &[f32; 8]) -> (V, V) {
                ([x[0], x[2], x[4], x[6]], [x[1], x[3], x[5], x[7]])
            }
            #[inline(always)]
            fn store_pairs(x: &mut [f32; 8], first: V, second: V) {
                *x = [first[0], second[0], first[1], second[1], first[2], second[2], first[3], second[3]];
            }
            #[inline(always)]
            fn transpose([a, b, c, d]: [&[f32; 4]; 4]) -> [[f32; 4]; 4] {
                each([0, 1, 2, 3], |lane: usize| [a[lane], b[lane], c[lane], d[lane]])
            }
            #[inline(always)]
            fn add_across(v: [V; 4]) -> [f32; 4] {
                each(v, |[a, b, c, d]: V| (a + c) + (b + d))
            }
            #[inline(always)]
            fn div(a: V, b: V) -> V {
                map(a, b, |a, b| a / b)
            }
            #[inline(always)]
            #[expect(clippy::cast_precision_loss, reason = "exponents are small")]
            fn split(x: V, least: V) -> (V, V) {
                let steps = each([0, 1, 2, 3], |lane: usize| {
                    x[lane].to_bits().wrapping_sub(least[lane].to_bits()).cast_signed() >> 23
                });
                let mantissa = |lane: usize| {
                    f32::from_bits(x[lane].to_bits().wrapping_sub((steps[lane] << 23).cast_unsigned()))
                };
                (each(steps, |step| step as f32), each([0, 1, 2, 3], mantissa))
            }
            #[inline(always)]
            fn first(count: usize) -> V {
                each([0, 1, 2, 3], |lane| mask(lane < count))
            }
            #[inline(always)]
            fn only(lane: usize) -> V {
                each([0, 1, 2, 3], |other| mask(other == lane))
            }
            #[inline(always)]
            fn sum(v: V) -> f64 {
                let [a, b, c, d] = each(v, f64::from);
                ((a + b) + c) + d
            }
            #[inline(always)]
            fn max(v: V) -> f32 {
                pmax(pmax(pmax(v[0], v[1]), v[2]), v[3])
            }
            #[inline(always)]
            fn largest_bits(v: V) -> u32 {
                v[0].to_bits().max(v[1].to_bits()).max(v[2].to_bits().max(v[3].to_bits()))
            }
            #[inline(always)]
            fn any(mask: V) -> bool {
                Self::largest_bits(mask) != 0
            }
        }
    };
}

lanes4!(Lanes4, false, |a, b, c| a * b + c);
lanes4!(Lanes4Fused, true, |a, b, c| a.mul_add(b, c));
