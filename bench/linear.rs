//! The last layer with its loss, natively: time of the operation in both forms, and of the loss of the same logits alone, which is what it takes
//! beyond its products. Prints a line of JSON for each shape and form.
//!
//! `cargo bench --bench linear -- N,D,V [N,D,V ...] [--kernel lanes8] [--threads 2] [--rounds 5]`

use sparse_xent::{CrossEntropy, Executor, Kernel, LinearGrad, LogitsMut, Matrix, Shape, WeightLayout};
use std::hint::black_box;
use std::time::Instant;

fn drawn(count: usize, scale: f32, seed: u64) -> Vec<f32> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| (rng.f32() * 2.0 - 1.0) * scale).collect()
}

/// Nanoseconds that this thread has had a processor, where the system says so.
fn of_this_thread() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// Of a call, made again until the clock of the processor, which ticks some hundred times a second, says enough: the time of this thread where it is
/// the only one, or that of the clock on the wall.
fn milliseconds(threads: usize, mut call: impl FnMut()) -> f64 {
    let (start, cpu, mut calls) = (Instant::now(), of_this_thread(), 0.0);
    while calls == 0.0 || start.elapsed().as_millis() < 200 {
        call();
        calls += 1.0;
    }
    match (cpu, of_this_thread()) {
        (Some(before), Some(after)) if threads == 1 => (after - before) / 1e6 / calls,
        _ => start.elapsed().as_secs_f64() * 1e3 / calls,
    }
}

fn main() {
    let mut shapes = Vec::new();
    let (mut kernel, mut threads, mut rounds) = (Kernel::Best, 1_usize, 3_usize);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("a value");
        match argument.as_str() {
            "--kernel" => {
                kernel = match value().as_str() {
                    "lanes4" => Kernel::Lanes4,
                    "lanes8" => Kernel::Lanes8,
                    "lanes16" => Kernel::Lanes16,
                    _ => Kernel::Best,
                };
            }
            "--threads" => threads = value().parse().expect("a number of threads"),
            "--rounds" => rounds = value().parse().expect("a number of rounds"),
            "--bench" => {}
            shape => {
                let sizes: Vec<usize> = shape.split(',').map(|size| size.parse().expect("a size")).collect();
                shapes.push(<[usize; 3]>::try_from(sizes).expect("N,D,V"));
            }
        }
    }
    if shapes.is_empty() {
        shapes.push([128, 64, 1000]);
    }
    let executor = if threads > 1 { Executor::Rayon { threads } } else { Executor::Serial };
    for [n, d, v] in shapes {
        let (hidden, weight) = (drawn(n * d, 1.0, 1), drawn(v * d, 0.2, 2));
        let labels: Vec<u64> = (0..n).map(|row| (row * 7919 % v) as u64).collect();
        let (mut d_hidden, mut d_weight) = (vec![0.0; n * d], vec![0.0; v * d]);
        let loss = CrossEntropy::new().kernel(kernel).executor(executor);
        let rows = (32 << 20) / 4 / v;
        let rows = rows.clamp(64, 128).min(n);
        let mut logits = drawn(rows * v, 1.0, 3);
        let states = Matrix::new(&hidden, [n, d]).expect("hidden states");
        let mut all = [f64::INFINITY; 5];
        for _ in 0..rounds {
            for (form, layout, dims, recompute) in [
                (0, WeightLayout::Vd, [v, d], false),
                (1, WeightLayout::Dv, [d, v], false),
                (4, WeightLayout::Vd, [v, d], true),
            ] {
                let weights = Matrix::new(&weight, dims).expect("weights");
                let op = loss.clone().linear().weight_layout(layout).recompute(recompute);
                let time = milliseconds(threads, || {
                    let grad =
                        LinearGrad { hidden: Some(&mut d_hidden), weight: Some(&mut d_weight), bias: None };
                    black_box(op.forward_backward(&states, &weights, &labels, grad).expect("a loss"));
                });
                all[form] = all[form].min(time);
            }
            let weights = Matrix::new(&weight, [v, d]).expect("weights");
            let op = loss.clone().linear();
            all[2] = all[2].min(milliseconds(threads, || {
                black_box(op.forward(&states, &weights, &labels).expect("a loss"));
            }));
            let time = milliseconds(threads, || {
                for chunk in labels.chunks(rows) {
                    let x = &mut logits[..chunk.len() * v];
                    let shape = Shape::new(&[chunk.len(), v], -1).expect("a shape");
                    let mut x = LogitsMut::new(x, shape).expect("logits");
                    black_box(loss.forward_backward_in_place(&mut x, chunk).expect("a loss"));
                }
            });
            all[3] = all[3].min(time);
        }
        let [vd, dv, forward, alone, again] = all;
        let gigaflops = 6e-6 * (n * d * v) as f64 / (vd - alone);
        println!(
            "{{\"shape\":[{n},{d},{v}],\"threads\":{threads},\"vd\":{vd:.1},\"dv\":{dv:.1},\"recompute\":{again:.1},\"forward\":{forward:.1},\"loss\":{alone:.1},\
             \"productGflops\":{gigaflops:.1},\"overProducts\":{:.3},\"recomputeOverProducts\":{:.3}}}",
            vd / (vd - alone),
            again / (vd - alone)
        );
    }
}
