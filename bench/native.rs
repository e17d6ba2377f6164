//! The native kernels on one thread, in turns: `cargo bench`, or `cargo bench -- 512x32000 33x512x512` for some shapes (rows by classes,
//! or classes by height by width, classes first).
//!
//! Every kernel that the processor has takes its turn in each round, and the best round counts: nanoseconds per logit, and in brackets
//! how many times as fast as `Lanes4`. Before anything is timed, each result is compared with that of `Lanes4`.
//!
//! `npm run bench -- --native` times them beside the wasm builds. It starts this program with `--serve`: see [`serve`].

use sparse_xent::{
    CrossEntropy, Element, GradElement, Kernel, Logits, LogitsMut, Reduction, Shape, bf16, f16,
};
use std::path::Path;
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

struct Case<E> {
    shape: Shape,
    logits: Vec<E>,
    labels: Vec<i32>,
    grad: Vec<f32>,
    own: Vec<E>,
}

impl<E: Element> Case<E>
where
    f32: GradElement<E>,
{
    fn new(shape: Shape, logits: Vec<E>, labels: Vec<i32>) -> Self {
        Self { shape, grad: vec![0.0; logits.len()], own: logits.clone(), logits, labels }
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

    /// The loss of every row.
    fn losses(&self, kernel: Kernel) -> Vec<E::PerRow> {
        let logits = Logits::new(&self.logits, self.shape).expect("a shape");
        let op = CrossEntropy::new().kernel(kernel).reduction(Reduction::None);
        op.forward(&logits, &self.labels).expect("a sound call").losses
    }

    /// Puts back what a call in place has replaced, and what it has added to.
    fn put_back(&mut self, what: What) {
        match what {
            What::InPlace => self.own.copy_from_slice(&self.logits),
            What::Accumulate => self.grad.fill(0.0),
            What::Loss | What::Grad => {}
        }
    }

    /// Milliseconds of one call.
    fn time(&mut self, kernel: Kernel, what: What) -> f64 {
        if matches!(what, What::InPlace) {
            self.put_back(what);
        }
        let start = Instant::now();
        self.run(kernel, what);
        start.elapsed().as_secs_f64() * 1e3
    }
}

/// The shape of a name.
fn shape_of(name: &str, axis: isize) -> Shape {
    let dims: Vec<usize> =
        name.split('x').map(|size| size.parse().expect("a size such as 512x32000")).collect();
    Shape::new(&dims, axis).expect("a shape")
}

/// The kernels that are timed: [`Kernel::Lanes4Fused`] calls a function for each of its operations.
fn kernels() -> Vec<Kernel> {
    Kernel::supported().iter().filter(|kernel| **kernel != Kernel::Lanes4Fused).copied().collect()
}

/// The generator of Numerical Recipes.
fn draw(state: &mut u32) -> u32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    *state >> 8
}

/// Logits from -8 to 8 and labels, uniform; of three sizes the first is that of the classes, and rows are left out beyond [`MOST`].
fn ordinary(name: &str) -> Case<f32> {
    let whole = shape_of(name, if name.matches('x').count() == 2 { 0 } else { 1 });
    let classes = whole.classes();
    let rows = whole.rows().min(MOST / classes).max(1);
    let shape = if whole.inner() > 1 { whole } else { shape_of(&format!("{rows}x{classes}"), 1) };
    let mut state = 1;
    let logits = (0..shape.rows() * classes).map(|_| draw(&mut state) as f32 / 1_048_576.0 - 8.0).collect();
    let count = u32::try_from(classes).expect("a small number");
    let labels = (0..shape.rows()).map(|_| (draw(&mut state) % count).cast_signed()).collect();
    Case::new(shape, logits, labels)
}

fn check(name: &str, case: &mut Case<f32>, kernel: Kernel) {
    let want = case.run(Kernel::Lanes4, What::Grad);
    let grad = case.grad.clone();
    let got = case.run(kernel, What::Grad);
    assert!((got / want - 1.0).abs() < 1e-6, "{name} {kernel:?}: loss {got}, not {want}");
    let is_near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * a.abs() + 1e-12;
    assert!(case.grad.iter().zip(&grad).all(is_near), "{name} {kernel:?}: another gradient");
}

/// Times the kernels at these shapes and prints a table for each.
fn print_tables(shapes: &[String]) {
    let kernels = kernels();
    for name in shapes {
        let mut case = ordinary(name);
        kernels.iter().for_each(|kernel| check(name, &mut case, *kernel));
        let mut best = vec![[f64::INFINITY; WHATS.len()]; kernels.len()];
        for _ in 0..ROUNDS {
            for (at, (what, _)) in WHATS.iter().enumerate() {
                for (kernel, best) in kernels.iter().zip(&mut best) {
                    for _ in 0..3 {
                        best[at] = best[at].min(case.time(*kernel, *what));
                    }
                }
            }
        }
        println!("{name}");
        for (at, (_, label)) in WHATS.iter().enumerate() {
            print!("  {label:<10}");
            for (kernel, own) in kernels.iter().zip(&best) {
                let each = own[at] * 1e6 / case.logits.len() as f64;
                print!("   {kernel:?} {each:.3} ({:.2}x)", best[0][at] / own[at]);
            }
            println!();
        }
    }
}

/// Computes what another program asks for, line by line on standard input, over the logits and labels in a folder's files `logits`
/// and `labels`. The first line of output names the kernels, and each line after that answers one of the input, whose words are
/// separated by tabs:
///
///  - `results KERNEL WHAT`: the mean loss; the loss of every row is in the file `losses`, the gradient in `grad`.
///  - `time KERNEL WHAT`: milliseconds of one call.
fn serve<E: Element>(mut case: Case<E>, folder: &Path)
where
    f32: GradElement<E>,
{
    let kernels = kernels();
    let names: Vec<String> = kernels.iter().map(|kernel| format!("{kernel:?}")).collect();
    println!("{}", names.join("\t"));
    for line in std::io::stdin().lines() {
        let line = line.expect("a line of text");
        let [verb, kernel, what] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not a request: {line}")
        };
        let kernel = kernels[names.iter().position(|name| name == kernel).expect("a kernel")];
        let what = WHATS.iter().find(|(_, name)| *name == what).expect("something to time").0;
        match verb {
            "results" => {
                case.put_back(what);
                let mean = case.run(kernel, what);
                let bytes = |values: &mut dyn Iterator<Item = f64>| -> Vec<u8> {
                    values.flat_map(|value| f32::from_f64(value).to_le_bytes()).collect()
                };
                let losses = bytes(&mut case.losses(kernel).iter().map(|loss| loss.to_f64()));
                std::fs::write(folder.join("losses"), losses).expect("room for the losses");
                let grad = match what {
                    What::InPlace => bytes(&mut case.own.iter().map(|value| value.to_f64())),
                    _ => bytes(&mut case.grad.iter().map(|value| value.to_f64())),
                };
                std::fs::write(folder.join("grad"), grad).expect("room for the gradient");
                println!("{mean}");
            }
            "time" => println!("{}", case.time(kernel, what)),
            _ => panic!("not a request: {line}"),
        }
    }
}

/// Reads the numbers of a file, as this machine's neighbours wrote them: the lowest byte first.
fn numbers<T, const BYTES: usize>(file: &Path, number: fn([u8; BYTES]) -> T) -> Vec<T> {
    let bytes = std::fs::read(file).expect("a file of numbers");
    bytes.as_chunks().0.iter().map(|bytes| number(*bytes)).collect()
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, dtype, dims, axis, folder] = &words[..]
        && flag == "--serve"
    {
        let (shape, folder) = (shape_of(dims, axis.parse().expect("an axis")), Path::new(folder));
        let (logits, labels) = (folder.join("logits"), numbers(&folder.join("labels"), i32::from_le_bytes));
        return match dtype.as_str() {
            "f32" => serve(Case::new(shape, numbers(&logits, f32::from_le_bytes), labels), folder),
            "f16" => serve(Case::new(shape, numbers(&logits, f16::from_le_bytes), labels), folder),
            "bf16" => serve(Case::new(shape, numbers(&logits, bf16::from_le_bytes), labels), folder),
            _ => panic!("f32, f16 or bf16, not {dtype}"),
        };
    }
    // Cargo itself adds `--bench`.
    let named: Vec<String> = words.into_iter().filter(|word| !word.starts_with("--")).collect();
    print_tables(&if named.is_empty() { SHAPES.map(str::to_owned).to_vec() } else { named });
}
