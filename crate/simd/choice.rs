//! Which implementation of the kernels a call runs, and which of them the processor has.

#[cfg(not(target_arch = "wasm32"))]
use super::{Isa, Lanes4, Lanes4Fused};
#[cfg(target_arch = "x86_64")]
use super::{Lanes8, Lanes16};
#[cfg(not(target_arch = "wasm32"))]
use crate::Error;

/// Which implementation of the kernels a call runs.
///
/// All are the same kernels, in vectors of different widths, and all keep the same accuracy. They differ in the last bits: a row's
/// exponentials are added lane by lane, so their order follows from the width, and a fused multiply-add rounds once where a multiply
/// and an add round twice. For one kernel the bits are the same on every processor that has it, for any number of threads; for the
/// same bits on *every* machine name one that all have, [`Kernel::Lanes4`].
///
/// f64 logits are computed in plain Rust, with the same bits under each.
///
/// ```
/// use sparse_xent::{CrossEntropy, Kernel, Logits, Shape};
///
/// let x: Vec<f32> = (0..1000).map(|class| (class % 37) as f32 / 4.0).collect();
/// let logits = Logits::new(&x, Shape::new(&[1, 1000], -1)?)?;
/// let loss = |kernel| CrossEntropy::new().kernel(kernel).forward(&logits, &[7]).map(|out| out.loss);
/// for kernel in Kernel::supported() {
///     assert!((loss(*kernel)? / loss(Kernel::Lanes4)? - 1.0).abs() < 1e-6);
/// }
/// # Ok::<(), sparse_xent::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Kernel {
    /// The fastest one that the processor has: the last of [`Kernel::supported`]. On wasm32 the wasm instructions, whatever is
    /// chosen.
    #[default]
    Best,
    /// Four lanes in plain Rust with separate multiply and add: the bits of the wasm `simd` build.
    Lanes4,
    /// Four lanes in plain Rust with fused multiply-add: the bits of the wasm `relaxed` build where the engine
    /// fuses. Slow where the processor has no such instruction or the program was compiled without it.
    Lanes4Fused,
    /// Eight lanes with fused multiply-add: x86-64 with AVX2 and FMA.
    Lanes8,
    /// Sixteen lanes with fused multiply-add: x86-64 with AVX-512 F and DQ.
    Lanes16,
}

impl Kernel {
    /// The kernels that can run here, in the order of their speed but for [`Kernel::Lanes4Fused`], which is first. What the program
    /// was compiled for plays no part: the processor is asked.
    pub fn supported() -> &'static [Self] {
        #[cfg(target_arch = "wasm32")]
        return &[Self::Best];
        #[cfg(target_arch = "x86_64")]
        if Lanes16::is_supported() {
            return &[Self::Lanes4Fused, Self::Lanes4, Self::Lanes8, Self::Lanes16];
        } else if Lanes8::is_supported() {
            return &[Self::Lanes4Fused, Self::Lanes4, Self::Lanes8];
        }
        #[cfg(not(target_arch = "wasm32"))]
        &[Self::Lanes4Fused, Self::Lanes4]
    }

    /// The implementation that runs.
    ///
    /// # Errors
    /// [`Error::OptionConflict`] where the processor lacks it.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn choose(self) -> Result<Chosen, Error> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Best | Self::Lanes16 if Lanes16::is_supported() => Ok(Chosen(Own::Lanes16)),
            #[cfg(target_arch = "x86_64")]
            Self::Best | Self::Lanes8 if Lanes8::is_supported() => Ok(Chosen(Own::Lanes8)),
            Self::Best | Self::Lanes4 => Ok(Chosen(Own::Lanes4)),
            Self::Lanes4Fused => Ok(Chosen(Own::Lanes4Fused)),
            Self::Lanes8 => Err(Error::OptionConflict {
                option: "kernel Lanes8",
                with: "a processor without AVX2 and FMA",
            }),
            Self::Lanes16 => Err(Error::OptionConflict {
                option: "kernel Lanes16",
                with: "a processor without AVX-512 F and DQ",
            }),
        }
    }
}

/// A kernel that the processor has: [`Kernel::choose`] alone makes one, and asks the processor before.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chosen(Own);

#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug, Clone, Copy)]
enum Own {
    Lanes4,
    Lanes4Fused,
    #[cfg(target_arch = "x86_64")]
    Lanes8,
    #[cfg(target_arch = "x86_64")]
    Lanes16,
}

#[cfg(not(target_arch = "wasm32"))]
impl Chosen {
    /// Runs a task with the instructions of this kernel.
    pub(crate) fn run<T: Task>(self, task: T) -> T::Output {
        match self.0 {
            Own::Lanes4 => task.run::<Lanes4>(),
            Own::Lanes4Fused => task.run::<Lanes4Fused>(),
            #[cfg(target_arch = "x86_64")]
            Own::Lanes8 => task.run::<Lanes8>(),
            #[cfg(target_arch = "x86_64")]
            Own::Lanes16 => task.run::<Lanes16>(),
        }
    }
}

/// What is run by a kernel that is known at run time only.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) trait Task {
    type Output;
    fn run<I: Isa>(self) -> Self::Output;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_supported_is_refused() {
        for kernel in [Kernel::Lanes4, Kernel::Lanes4Fused, Kernel::Lanes8, Kernel::Lanes16] {
            assert_eq!(kernel.choose().is_ok(), Kernel::supported().contains(&kernel), "{kernel:?}");
        }
        assert!(Kernel::Best.choose().is_ok(), "there is always a best one");
    }
}
