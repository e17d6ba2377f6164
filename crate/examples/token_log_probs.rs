//! Per-token log-probabilities and perplexity over a vocabulary of 32,000: padded sequences, bf16 logits, all threads.
//!
//! ```text
//! cargo run --release --example token_log_probs
//! ```

use sparse_xent::{CrossEntropy, Error, Executor, Logits, Shape, bf16};
use std::thread::available_parallelism;

/// The label of positions that hold no token.
const PADDING: i64 = -100;

/// What a language model gives for a batch: for each position the scores of all tokens, and the token that came.
struct Batch {
    sequences: usize,
    length: usize,
    vocabulary: usize,
    /// `[sequences, length, vocabulary]`.
    logits: Vec<bf16>,
    /// `[sequences, length]`.
    tokens: Vec<i64>,
}

impl Batch {
    /// Sequences of different lengths, and a model that gives the token that comes a lead of 4 to 14.
    fn draw(sequences: usize, length: usize, vocabulary: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(32);
        let mut batch = Self { sequences, length, vocabulary, logits: vec![], tokens: vec![] };
        for (sequence, position) in (0..sequences * length).map(|row| (row / length, row % length)) {
            let token = random.usize(0..vocabulary);
            let lead = 4.0 + 10.0 * random.f32();
            let score = |class: usize| random.f32() * 3.0 + if class == token { lead } else { 0.0 };
            batch.logits.extend((0..vocabulary).map(score).map(bf16::from_f32));
            let is_padding = position >= length - sequence * length / (2 * sequences);
            batch.tokens.push(if is_padding { PADDING } else { i64::try_from(token).unwrap_or(PADDING) });
        }
        batch
    }
}

/// The log-probability of each token, NaN at padding, and the perplexity of the whole batch.
fn score(batch: &Batch) -> Result<(Vec<f32>, f64), Error> {
    let shape = Shape::new(&[batch.sequences, batch.length, batch.vocabulary], -1)?;
    let threads = available_parallelism().map_or(1, usize::from);
    let op = CrossEntropy::new()
        .ignore_index(PADDING)
        .with_target_log_prob()
        .executor(Executor::Rayon { threads });
    let out = op.forward(&Logits::new(&batch.logits, shape)?, &batch.tokens)?;
    Ok((out.target_log_prob, out.loss.exp()))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let batch = Batch::draw(4, 64, 32_000);
    let (log_probs, perplexity) = score(&batch)?;
    println!(
        "{} sequences of up to {} tokens, {} in the vocabulary",
        batch.sequences, batch.length, batch.vocabulary
    );
    println!("\nfirst tokens of sequence 0    log-probability   probability");
    for (token, log_prob) in batch.tokens.iter().zip(&log_probs).take(5) {
        println!("{token:26} {log_prob:18.4} {:13.4}", log_prob.exp());
    }
    println!("\nsequence   tokens   sum of log-probabilities   perplexity");
    for (sequence, log_probs) in log_probs.chunks(batch.length).enumerate() {
        let known =
            log_probs.iter().filter(|log_prob| !log_prob.is_nan()).map(|log_prob| f64::from(*log_prob));
        let (count, sum) = (known.clone().count(), known.sum::<f64>());
        println!("{sequence:8} {count:8} {sum:26.3} {:12.3}", (-sum / count as f64).exp());
    }
    println!("\nperplexity of the batch, exp of the mean loss: {perplexity:.3}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Batch, PADDING, score};

    #[test]
    fn perplexity_is_the_mean_of_the_log_probabilities() {
        let batch = Batch::draw(3, 16, 1000);
        let (log_probs, perplexity) = score(&batch).unwrap();
        let known: Vec<f64> = log_probs
            .iter()
            .filter(|log_prob| !log_prob.is_nan())
            .map(|log_prob| f64::from(*log_prob))
            .collect();
        let padding = batch.tokens.iter().filter(|token| **token == PADDING).count();
        assert!(padding > 0, "sequences of different lengths");
        assert_eq!(known.len() + padding, 3 * 16, "one log-probability per token");
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        assert!((perplexity.ln() + mean).abs() < 1e-6, "{} and {mean}", perplexity.ln());
        assert!(known.iter().all(|log_prob| *log_prob < 0.0), "logarithms of probabilities");
    }
}
