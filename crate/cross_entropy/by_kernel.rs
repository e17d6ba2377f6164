//! A call with the kernel that was chosen at run time.

use super::{Access, Call, Results, Summary};
use crate::Error;
use crate::element::{Element, GradElement};
use crate::simd::{Isa, Task};

/// [`Call::compute`] by a kernel that is known at run time only.
pub(super) struct Computation<'a, E: Element, G> {
    pub(super) call: Call<'a>,
    pub(super) access: Access<'a, E, G>,
    pub(super) results: Results<'a, E::PerRow>,
}

impl<E: Element, G: GradElement<E>> Task for Computation<'_, E, G> {
    type Output = Result<Summary, Error>;

    fn run<I: Isa>(self) -> Self::Output {
        self.call.compute::<I, E, G>(self.access, self.results)
    }
}
