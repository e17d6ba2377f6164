//! The operation: arguments and results, and the way through a call.
//!
//! 1. [`plan`] checks the options against the shape and resolves them once.
//! 2. [`scan`] reads every label and weight, judges them, and finds the denominator. Nothing has been written yet.
//! 3. [`route`] chooses between [`group`] (with [`pairs`]), [`rows`](mod@rows) and [`strided`]; each computes losses and gradient, unit
//!    by unit, on the executor's threads.
//! 4. [`totals`] adds up the rows in an order that depends on nothing but their number.

mod batch;
mod by_block;
mod by_chunk;
#[cfg(not(target_arch = "wasm32"))]
mod by_kernel;
mod deliver;
mod distribution;
mod group;
mod output;
mod pairs;
mod plan;
mod planes;
mod route;
mod row;
mod rows;
mod rules;
mod scan;
mod scratch;
mod single;
mod small;
mod spare;
mod split;
mod strided;
mod strip;
mod totals;

use crate::element::{Element, GradElement, Source, Target};
use crate::labels::Labels;
use crate::options::CrossEntropy;
use crate::parallel::{Executor, Stopped};
#[cfg(target_arch = "wasm32")]
use crate::simd::Best;
use crate::simd::Isa;
use crate::{Error, Shape};
pub(crate) use by_block::Blocks;
pub(crate) use by_chunk::{ByChunk, Fate, PerRow};
use core::sync::atomic::AtomicI32;
pub(crate) use deliver::rows;
pub(crate) use distribution::Distribution;
use distribution::Telling;
pub use output::{Output, PerClass, TopK};
use plan::Plan;
use route::Route;
pub(crate) use spare::{Spare, release};
use totals::Room;

/// Logits to read, with their [`Shape`]: row-major and without gaps, of any [`Element`] type, borrowed and not copied.
#[derive(Debug, Clone, Copy)]
pub struct Logits<'a, E> {
    pub(crate) data: &'a [E],
    pub(crate) shape: Shape,
}

/// Logits that their gradient will replace, with their [`Shape`]; otherwise as [`Logits`].
#[derive(Debug)]
pub struct LogitsMut<'a, E> {
    pub(crate) data: &'a mut [E],
    pub(crate) shape: Shape,
}

pub(crate) fn fits(got: usize, expected: usize, what: &'static str) -> Result<(), Error> {
    if got == expected { Ok(()) } else { Err(Error::Length { what, got, expected }) }
}

impl<'a, E: Element> Logits<'a, E> {
    /// Row-major logits of this shape.
    ///
    /// # Errors
    /// [`Error::Length`] where the slice does not have [`Shape::elements`] elements.
    pub fn new(data: &'a [E], shape: Shape) -> Result<Self, Error> {
        fits(data.len(), shape.elements(), "logits")?;
        Ok(Self { data, shape })
    }
}

impl<'a, E: Element> LogitsMut<'a, E> {
    /// Row-major logits of this shape.
    ///
    /// # Errors
    /// As [`Logits::new`].
    pub fn new(data: &'a mut [E], shape: Shape) -> Result<Self, Error> {
        fits(data.len(), shape.elements(), "logits")?;
        Ok(Self { data, shape })
    }
}

/// The logits of a call and where their gradient goes.
#[derive(Debug)]
pub(crate) enum Access<'a> {
    Loss(Source<'a>),
    Apart(Source<'a>, Target<'a>),
    InPlace(Target<'a>),
}

/// Where per-row results go, beside the losses that a call always computes: in double precision for logits that are, otherwise in
/// single.
#[derive(Debug)]
pub(crate) struct Results<'a> {
    pub(crate) losses: Target<'a>,
    pub(crate) log_sum_exp: Option<Target<'a>>,
    pub(crate) target_log_prob: Option<Target<'a>>,
    pub(crate) predictions: Option<&'a mut [i32]>,
    /// Four times `classes` numbers: loss, weight, count, correct.
    pub(crate) per_class: Option<&'a mut [f64]>,
    pub(crate) distribution: Option<Distribution<'a>>,
}

/// The numbers of a call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Summary {
    pub(crate) loss: f64,
    pub(crate) loss_sum: f64,
    pub(crate) weight_sum: f64,
    pub(crate) valid: usize,
    pub(crate) invalid: usize,
    pub(crate) non_finite: usize,
    pub(crate) denominator: f64,
    pub(crate) correct: usize,
}

/// An empty vector with room for so many, or the error that memory was refused.
fn empty<T>(length: usize) -> Result<Vec<T>, Error> {
    let mut vector = Vec::new();
    let bytes = length.saturating_mul(size_of::<T>());
    let mut refused = vector.try_reserve_exact(length).is_err();
    if refused && release() {
        refused = vector.try_reserve_exact(length).is_err();
    }
    if refused { Err(Error::OutOfMemory { bytes }) } else { Ok(vector) }
}

/// A vector of zeros, or the error that memory was refused.
#[inline(never)]
pub(crate) fn zeros<T: Default>(length: usize) -> Result<Vec<T>, Error> {
    let mut vector = empty(length)?;
    // Not `resize`, which copies one that was made before.
    vector.resize_with(length, T::default);
    Ok(vector)
}

impl CrossEntropy<'_> {
    /// The loss alone.
    ///
    /// `labels` has one entry per row: the logits' shape without the class axis, row-major. A slice, array or vector of
    /// any integer type, or of exact integers in `f32` or `f64`. The logits are read once and nothing is written.
    ///
    /// # Errors
    /// Those of [`CrossEntropy`], and [`Error::OutOfMemory`].
    pub fn forward<'l, E: Element>(
        &self,
        logits: &Logits<'_, E>,
        labels: impl Into<Labels<'l>>,
    ) -> Result<Output<E::PerRow>, Error> {
        self.output(Access::Loss(E::source(logits.data)), logits.shape, labels.into())
    }

    /// The loss, and its gradient with respect to the logits written (or, under `accumulate`, added) to `grad`, which
    /// has the logits' shape and type; `f32` too under `f16` and `bf16` logits. The reduction's division and `upstream`
    /// are part of the gradient. Every element is written, with 0 in ignored rows.
    ///
    /// # Errors
    /// Those of [`CrossEntropy`], [`Error::Length`] for `grad`, and [`Error::OutOfMemory`]; nothing has been written then.
    pub fn forward_backward<'l, E: Element, G: GradElement<E>>(
        &self,
        logits: &Logits<'_, E>,
        labels: impl Into<Labels<'l>>,
        grad: &mut [G],
    ) -> Result<Output<E::PerRow>, Error> {
        fits(grad.len(), logits.shape.elements(), "grad")?;
        let access = Access::Apart(E::source(logits.data), G::target(grad));
        self.output(access, logits.shape, labels.into())
    }

    /// The loss, and its gradient in place of the logits; the same bits as [`CrossEntropy::forward_backward`], without a
    /// second array of the logits' size.
    ///
    /// ```
    /// # use sparse_xent::{CrossEntropy, LogitsMut, Shape};
    /// let mut x = [0.0_f32, 0.0, 0.0, 0.0]; // two rows of two classes
    /// let mut logits = LogitsMut::new(&mut x, Shape::new(&[2, 2], -1)?)?;
    /// let out = CrossEntropy::new().forward_backward_in_place(&mut logits, &[0_u8, 1])?;
    /// assert_eq!(out.loss as f32, 2.0_f32.ln());
    /// assert_eq!(x, [-0.25, 0.25, 0.25, -0.25]);
    /// # Ok::<(), sparse_xent::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`CrossEntropy`], [`Error::OptionConflict`] with `accumulate`, and [`Error::OutOfMemory`]; nothing has
    /// been written then.
    pub fn forward_backward_in_place<'l, E: Element>(
        &self,
        logits: &mut LogitsMut<'_, E>,
        labels: impl Into<Labels<'l>>,
    ) -> Result<Output<E::PerRow>, Error> {
        if self.accumulate {
            return Err(Error::OptionConflict { option: "accumulate", with: "a gradient in place" });
        }
        self.output(Access::InPlace(E::target(logits.data)), logits.shape, labels.into())
    }

    fn output<L: Element>(
        &self,
        access: Access<'_>,
        shape: Shape,
        labels: Labels<'_>,
    ) -> Result<Output<L>, Error> {
        Output::collected(self, shape.rows(), shape.classes(), |mut results| {
            self.execute(access, shape, labels, &mut results, None)
        })
    }

    /// The whole call over caller-owned memory. `cancel`, once not 0, stops it between units.
    pub(crate) fn execute(
        &self,
        access: Access<'_>,
        shape: Shape,
        labels: Labels<'_>,
        results: &mut Results<'_>,
        cancel: Option<&AtomicI32>,
    ) -> Result<Summary, Error> {
        #[cfg(not(target_arch = "wasm32"))]
        let kernel = self.kernel.choose()?;
        // They stay where they are made: moved out of their results, they would be copied.
        let plan = Plan::new(self, shape, &labels);
        let plan = plan.as_ref().map_err(|error| *error)?;
        let scan = scan::scan(plan, &labels, self.executor, cancel);
        let scan = scan.as_ref().map_err(|error| *error)?;
        let route = Route::of(plan, access.logits().is_double());
        let told = results.distribution.as_ref().map_or(0.0, |distribution| distribution.work(plan));
        let executor = self.executor.for_work(route.work(plan, access.wants_gradient()) + told);
        let call = Call { plan, scan, executor, cancel };
        // The twins would triple the size of a wasm file, which has no use for them.
        #[cfg(target_arch = "wasm32")]
        return call.compute::<Best>(route, access, results);
        #[cfg(not(target_arch = "wasm32"))]
        kernel.run(by_kernel::Computation { call, route, access, results })
    }

    /// Whatever is wrong with options, labels or weights. Logits play no part.
    #[cfg(feature = "js")]
    pub(crate) fn judge(&self, shape: Shape, labels: &Labels<'_>) -> Result<(), Error> {
        let plan = Plan::new(self, shape, labels)?;
        scan::scan(&plan, labels, Executor::Serial, None).map(|_| ())
    }
}

impl From<Stopped> for Error {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Lost => Error::EngineLost,
            Stopped::Cancelled => Error::Aborted,
        }
    }
}

/// The logits of a unit of work. They take tens of microseconds, far less than the ten milliseconds that the executor allows.
const UNIT_ELEMENTS: usize = 1 << 16;

/// A call whose arguments have been judged.
struct Call<'a> {
    plan: &'a Plan<'a>,
    scan: &'a scan::Scan,
    executor: Executor,
    cancel: Option<&'a AtomicI32>,
}

impl Call<'_> {
    fn compute<I: Isa>(
        &self,
        route: Route,
        access: Access<'_>,
        results: &mut Results<'_>,
    ) -> Result<Summary, Error> {
        let room = Room::new(self, results)?;
        let mut telling = Telling::new(self, results, access.logits().is_double())?;
        let telling = telling.as_mut();
        if self.plan.shape.rows() > 0 {
            match route {
                Route::Groups => group::run::<I>(self, access, results, telling)?,
                Route::Blocks | Route::Doubles => rows::run::<I>(self, route, access, results, telling)?,
                Route::Strips | Route::Columns => strided::run::<I>(self, route, access, results, telling)?,
            }
        }
        room.totals(self, results)
    }

    /// Logits of a unit of work.
    pub(super) fn unit_elements(&self) -> usize {
        let shape = &self.plan.shape;
        self.executor.unit(shape.rows() * shape.classes(), UNIT_ELEMENTS)
    }
}

#[cfg(test)]
mod tests;
