//! The digest that results of two languages are compared by.
#![expect(unreachable_pub, reason = "a module of a program")]

use crate::support::raw;
use sparse_xent::{Element, Kernel};

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

/// The native twins of the wasm files `simd` and `relaxed`.
pub const TWINS: [Kernel; 2] = [Kernel::Lanes4, Kernel::Lanes4Fused];

/// Each case's name, the digests of the twins that are recorded in a file, and those found. When bits are meant to change, the message has the
/// new ones.
pub fn assert_recorded<'a>(file: &str, cases: impl Iterator<Item = (&'a str, [&'a str; 2], [String; 2])>) {
    let changed: String = cases
        .filter(|(_, recorded, found)| recorded != found)
        .map(|(name, _, [simd, relaxed])| {
            format!("{name}: \"simd\": \"{simd}\", \"relaxed\": \"{relaxed}\"\n")
        })
        .collect();
    assert!(changed.is_empty(), "digests differ from {file}; these are:\n{changed}");
}
