//! A call with the kernel that was chosen at run time.

use super::route::Route;
use super::{Access, Call, Results, Summary};
use crate::Error;
use crate::simd::{Isa, Task};

/// [`Call::compute`] by a kernel that is known at run time only.
pub(super) struct Computation<'a, 'r> {
    pub(super) call: Call<'a>,
    pub(super) route: Route,
    pub(super) access: Access<'a>,
    pub(super) results: &'a mut Results<'r>,
}

impl Task for Computation<'_, '_> {
    type Output = Result<Summary, Error>;

    fn run<I: Isa>(self) -> Self::Output {
        self.call.compute::<I>(self.route, self.access, self.results)
    }
}
