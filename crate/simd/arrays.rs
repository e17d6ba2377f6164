//! Plain loops over slices, four numbers at a time. The compiler makes a vector of what is done with the elements of an array. Of a loop over
//! a slice it makes none in wasm: its guesses which loops are worth it would cost 2 kB. (Arrays of eight cost as much and gain nothing.)

use core::array::from_fn;

/// Numbers of an array.
const ARRAY: usize = 4;

/// Replaces each number.
#[inline(always)]
pub(crate) fn update<A: Copy>(numbers: &mut [A], each: impl Fn(A) -> A) {
    let (arrays, rest) = numbers.as_chunks_mut::<ARRAY>();
    for array in arrays {
        *array = from_fn(|k| each(array[k]));
    }
    for number in rest {
        *number = each(*number);
    }
}

/// Sets each number.
#[inline(always)]
pub(crate) fn fill<A: Copy>(numbers: &mut [A], value: A) {
    update(numbers, |_| value);
}

/// Replaces each number of `to` by what a function makes of it and of the number at the same place of `from`, which has as many.
#[inline(always)]
pub(crate) fn combine<A: Copy, B: Copy>(to: &mut [A], from: &[B], each: impl Fn(A, B) -> A) {
    combine_at(0, to, from, |_, to, from| each(to, from));
}

/// As [`combine`]; the function is given the places too, of which the first is `first`.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a place in an array")]
pub(crate) fn combine_at<A: Copy, B: Copy>(
    mut first: u32,
    to: &mut [A],
    from: &[B],
    each: impl Fn(u32, A, B) -> A,
) {
    debug_assert_eq!(to.len(), from.len(), "numbers that belong together");
    let (to, to_rest) = to.as_chunks_mut::<ARRAY>();
    let (from, from_rest) = from.as_chunks::<ARRAY>();
    for (to, from) in to.iter_mut().zip(from) {
        *to = from_fn(|k| each(first + k as u32, to[k], from[k]));
        first += ARRAY as u32;
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to = each(first, *to, *from);
        first += 1;
    }
}

/// The bits that any of the numbers has.
#[inline(always)]
pub(crate) fn bits_of_any(numbers: &[i32]) -> i32 {
    let (arrays, rest) = numbers.as_chunks::<16>();
    let bits = arrays.iter().fold([0; 16], |bits, array| from_fn(|k| bits[k] | array[k]));
    bits.iter().chain(rest).fold(0, |bits, number| bits | number)
}

/// How many of the numbers of `a` and those at the same places of `b`, which has as many, a function says yes to.
#[inline(always)]
pub(crate) fn count<A: Copy, B: Copy>(a: &[A], b: &[B], is_one: impl Fn(A, B) -> bool) -> usize {
    debug_assert_eq!(a.len(), b.len(), "numbers that belong together");
    let mut counts = [0_u32; ARRAY];
    let (a, a_rest) = a.as_chunks::<ARRAY>();
    let (b, b_rest) = b.as_chunks::<ARRAY>();
    for (a, b) in a.iter().zip(b) {
        counts = from_fn(|k| counts[k] + u32::from(is_one(a[k], b[k])));
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| u32::from(is_one(*a, *b)));
    counts.into_iter().chain(rest).sum::<u32>() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_taken_once_in_its_place() {
        for length in 0..13 {
            let numbers: Vec<u32> = (0..length).map(|place| place * place).collect();
            let mut updated = numbers.clone();
            update(&mut updated, |number| number + 1);
            assert_eq!(
                updated,
                (0..length).map(|place| place * place + 1).collect::<Vec<_>>(),
                "of {length}"
            );
            let mut combined = numbers.clone();
            combine_at(5, &mut combined, &updated, |place, to, from| 100 * (from - to) + place);
            assert_eq!(combined, (105..105 + length).collect::<Vec<_>>(), "of {length}");
            for bound in 0..=length {
                let counted = count(&numbers, &updated, |a, b| (a < bound * bound) & (b == a + 1));
                assert_eq!(counted, bound as usize, "of {length} below {bound}");
            }
        }
    }
}
