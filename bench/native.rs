//! The native kernels on the standard shapes, on one thread, in turns: `cargo bench`, or `cargo bench -- 512x32000 33x512x512` for some
//! shapes (rows by classes, or classes by height by width, classes first).
//!
//! Every kernel that the processor has takes its turn in each round, and the best round counts: nanoseconds per logit, and in brackets
//! how many times as fast as `Lanes4`. Before anything is timed, each result is compared with that of `Lanes4`.

use sparse_xent::{CrossEntropy, Kernel, Logits, LogitsMut, Shape};
use std::time::Instant;

const SHAPES: [&str; 7] =
    ["1048576x2", "1048576x10", "65536x33", "8192x1000", "512x32000", "128x128256", "33x512x512"];
const ROUNDS: usize = 5;
/// Rows are left out beyond this many logits, so that rounds are short.
const MOST: usize = 8_500_000;

/// What is timed.
#[derive(Clone, Copy, Debug)]
enum What {
    Loss,
    Grad,
    InPlace,
    Accumulate,
}

const WHATS: [(What, &str); 4] = [
    (What::Loss, "loss"),
    (What::Grad, "loss+grad"),
    (What::InPlace, "in place"),
    (What::Accumulate, "accumulate"),
];

struct Case {
    name: String,
    shape: Shape,
    logits: Vec<f32>,
    labels: Vec<u32>,
    grad: Vec<f32>,
    own: Vec<f32>,
}

/// The generator of Numerical Recipes.
fn draw(state: &mut u32) -> u32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    *state >> 8
}

impl Case {
    fn new(name: &str) -> Self {
        let sizes: Vec<usize> =
            name.split('x').map(|size| size.parse().expect("a size such as 512x32000")).collect();
        let (mut dims, axis) = match sizes[..] {
            [rows, classes] => (vec![rows, classes], 1),
            [classes, height, width] => (vec![classes, height, width], 0),
            _ => panic!("a shape such as 512x32000 or 33x512x512, not {name}"),
        };
        let classes = dims[usize::from(axis == 1)];
        if axis == 1 {
            dims[0] = dims[0].min(MOST / classes).max(1);
        }
        let shape = Shape::new(&dims, axis).expect("a shape");
        let elements: usize = dims.iter().product();
        let mut state = 1;
        let logits: Vec<f32> = (0..elements).map(|_| draw(&mut state) as f32 / 1_048_576.0 - 8.0).collect();
        let count = u32::try_from(classes).expect("a small number");
        let labels = (0..elements / classes).map(|_| draw(&mut state) % count).collect();
        let own = logits.clone();
        Self { name: name.to_owned(), shape, grad: vec![0.0; elements], own, logits, labels }
    }

    /// One call; gives its loss.
    fn run(&mut self, kernel: Kernel, what: What) -> f64 {
        let op = CrossEntropy::new().kernel(kernel).accumulate(matches!(what, What::Accumulate));
        let logits = Logits::new(&self.logits, self.shape).expect("a shape");
        let out = match what {
            What::Loss => op.forward(&logits, &self.labels),
            What::Grad | What::Accumulate => op.forward_backward(&logits, &self.labels, &mut self.grad),
            What::InPlace => {
                let mut own = LogitsMut::new(&mut self.own, self.shape).expect("a shape");
                op.forward_backward_in_place(&mut own, &self.labels)
            }
        };
        out.expect("a sound call").loss
    }

    fn check(&mut self, kernel: Kernel) {
        let want = self.run(Kernel::Lanes4, What::Grad);
        let grad = self.grad.clone();
        let got = self.run(kernel, What::Grad);
        assert!((got / want - 1.0).abs() < 1e-6, "{} {kernel:?}: loss {got}, not {want}", self.name);
        let is_near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * a.abs() + 1e-12;
        assert!(self.grad.iter().zip(&grad).all(is_near), "{} {kernel:?}: another gradient", self.name);
    }

    /// Nanoseconds per logit, the best of a few calls.
    fn time(&mut self, kernel: Kernel, what: What) -> f64 {
        let mut best = f64::INFINITY;
        for _ in 0..3 {
            let start = Instant::now();
            self.run(kernel, what);
            best = best.min(start.elapsed().as_secs_f64());
        }
        best * 1e9 / self.logits.len() as f64
    }
}

fn main() {
    let named: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let shapes = if named.is_empty() { SHAPES.map(str::to_owned).to_vec() } else { named };
    let is_timed = |kernel: &&Kernel| **kernel != Kernel::Lanes4Fused;
    let kernels: Vec<Kernel> = Kernel::supported().iter().filter(is_timed).copied().collect();
    for shape in shapes {
        let mut case = Case::new(&shape);
        kernels.iter().for_each(|kernel| case.check(*kernel));
        let mut best = vec![[f64::INFINITY; WHATS.len()]; kernels.len()];
        for _ in 0..ROUNDS {
            for (at, (what, _)) in WHATS.iter().enumerate() {
                for (kernel, best) in kernels.iter().zip(&mut best) {
                    best[at] = best[at].min(case.time(*kernel, *what));
                }
            }
        }
        println!("{shape}");
        for (at, (_, label)) in WHATS.iter().enumerate() {
            print!("  {label:<10}");
            for (kernel, own) in kernels.iter().zip(&best) {
                print!("   {kernel:?} {:.3} ({:.2}x)", own[at], best[0][at] / own[at]);
            }
            println!();
        }
    }
}
