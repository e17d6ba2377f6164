//! Memory that a call needs for itself. The next call gets what the last one gave back, with whatever numbers are in it: filling it with
//! zeros takes as long as the sweep over some thousand logits, and of many rows it takes time to fetch that memory to the caches. Where
//! memory is refused, what is kept is freed first.

use super::zeros;
use crate::Error;
use core::mem::{swap, take};
use core::ops::{Deref, DerefMut};
use std::sync::Mutex;

/// The longest vector that is kept: 1 MiB, so that a program holds at most 4 MiB for its next call. None is where tests refuse a call its
/// memory: they mean all of it.
const LONGEST: usize = if cfg!(feature = "faults") { 0 } else { 1 << 18 };

/// As many vectors as a call uses of one type.
type Pair<T> = [Vec<T>; 2];

/// A type of numbers in scratch, with a place for vectors that no call uses.
pub(crate) trait Kept: Copy + Default + 'static {
    /// What is in all of them where assertions are on, so that tests notice a call that reads what it has not written.
    const ODD: Self;

    fn kept() -> &'static Mutex<Pair<Self>>;
}

macro_rules! kept {
    ($($type:ty: $odd:expr),*) => {$(
        impl Kept for $type {
            const ODD: Self = $odd;

            fn kept() -> &'static Mutex<Pair<Self>> {
                static KEPT: Mutex<Pair<$type>> = Mutex::new([Vec::new(), Vec::new()]);
                &KEPT
            }
        }
    )*};
}
kept!(f32: f32::NAN, i32: i32::MAX);

/// Numbers that mean nothing until they are written.
#[derive(Debug)]
pub(crate) struct Spare<T: Kept> {
    numbers: Vec<T>,
    length: usize,
}

impl<T: Kept> Spare<T> {
    pub(crate) fn new(length: usize) -> Result<Self, Error> {
        Ok(Self { numbers: take_from(T::kept(), length)?, length })
    }
}

impl<T: Kept> Drop for Spare<T> {
    fn drop(&mut self) {
        give_back(T::kept(), &mut self.numbers);
    }
}

/// At least so many numbers. A call that finds the kept ones locked by another one does without: a page's main thread must not wait.
#[inline(never)] // the same instructions for all types
fn take_from<T: Kept>(kept: &Mutex<Pair<T>>, length: usize) -> Result<Vec<T>, Error> {
    if let Ok(mut kept) = kept.try_lock()
        && let Some(numbers) = kept.iter_mut().find(|numbers| (1..=numbers.len()).contains(&length))
    {
        if cfg!(debug_assertions) {
            numbers.fill(T::ODD);
        }
        return Ok(take(numbers));
    }
    zeros(length)
}

/// Keeps the longer ones.
#[inline(never)]
fn give_back<T: Kept>(kept: &Mutex<Pair<T>>, numbers: &mut Vec<T>) {
    if numbers.len() <= LONGEST
        && let Ok(mut kept) = kept.try_lock()
        && let Some(shortest) = kept.iter_mut().min_by_key(|numbers| numbers.len())
        && shortest.len() < numbers.len()
    {
        swap(shortest, numbers);
    }
}

/// Frees what is kept, where memory is refused; whether there was any.
pub(crate) fn release() -> bool {
    release_of::<f32>() | release_of::<i32>()
}

fn release_of<T: Kept>() -> bool {
    let Ok(mut kept) = T::kept().try_lock() else { return false };
    take(&mut *kept).iter().any(|numbers| numbers.capacity() > 0)
}

impl<T: Kept> Deref for Spare<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.numbers[..self.length]
    }
}

impl<T: Kept> DerefMut for Spare<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.numbers[..self.length]
    }
}
