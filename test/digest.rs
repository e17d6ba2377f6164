//! The digest that results of two languages are compared by.
#![expect(unreachable_pub, reason = "a module of a program")]

use crate::support::raw;
use sparse_xent::Element;

/// The body of MurmurHash3 (x86, 32 bits).
#[derive(Clone, Copy, Debug)]
pub struct Digest(pub u32);

impl Digest {
    /// Adds the bits of a number: a 16-bit one is one word, of a double the low word comes first.
    pub fn add_number<T: Element>(&mut self, x: T) {
        let bits = raw(x);
        self.add(u32::try_from(bits & 0xffff_ffff).expect("32 bits"));
        if size_of::<T>() == 8 {
            self.add(u32::try_from(bits >> 32).expect("32 bits"));
        }
    }

    pub fn add(&mut self, word: u32) {
        let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        self.0 = (self.0 ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
}
