//! What a call gives beside the loss: one method per output, with its meaning and source. The examples use the rows of [`CrossEntropy`]'s own.

use super::CrossEntropy;
#[cfg(doc)]
use crate::Error;

impl CrossEntropy<'_> {
    /// Also gives the log-sum-exp of each row's scaled logits, [`Output::log_sum_exp`](crate::Output::log_sum_exp).
    pub fn with_log_sum_exp(mut self) -> Self {
        self.outputs.log_sum_exp = true;
        self
    }

    /// Also gives the log-probability of each row's label, [`Output::target_log_prob`](crate::Output::target_log_prob):
    /// without weights, smoothing or any other option but the logit scale and the class mask.
    pub fn with_target_log_prob(mut self) -> Self {
        self.outputs.target_log_prob = true;
        self
    }

    /// Also gives the arg-max of each row and the number of correct rows, from the same pass:
    /// [`Output::predictions`](crate::Output::predictions), [`Output::correct_count`](crate::Output::correct_count).
    ///
    /// With a matrix of costs per (label, predicted class), which has no gradient of its own, the predictions of a first
    /// call give the sample weights of the second:
    ///
    /// ```
    /// # use sparse_xent::{CrossEntropy, Logits, Shape};
    /// # let x = [0.5_f32, -1.0, 2.0, 0.25, 1.5, 0.0, -0.5, 3.0, -2.0, 1.0, 0.75, 0.0];
    /// # let logits = Logits::new(&x, Shape::new(&[3, 4], -1)?)?;
    /// let labels = [2_u8, 0, 3];
    /// let cost = [[1.0_f32, 1.0, 1.0, 5.0], [1.0; 4], [1.0; 4], [1.0; 4]]; // 0 taken for 3 costs 5
    ///
    /// let seen = CrossEntropy::new().with_predictions().forward(&logits, &labels)?;
    /// assert_eq!((&seen.predictions[..], seen.correct_count), (&[2, 3, 1][..], Some(1)));
    /// let pairs = labels.iter().zip(&seen.predictions);
    /// let cost_of = |(y, predicted): (&u8, &i32)| cost[*y as usize][*predicted as usize];
    /// let weights: Vec<f32> = pairs.map(cost_of).collect();
    /// let mut grad = [0.0_f32; 12];
    /// let op = CrossEntropy::new().sample_weight(&weights);
    /// let out = op.forward_backward(&logits, &labels, &mut grad)?;
    /// assert_eq!(out.weight_sum, 1.0 + 5.0 + 1.0);
    /// # Ok::<(), sparse_xent::Error>(())
    /// ```
    pub fn with_predictions(mut self) -> Self {
        self.outputs.predictions = true;
        self
    }

    /// Also gives the `k` largest classes of each row with their log-probabilities, [`Output::top_k`](crate::Output::top_k); 0 for none.
    ///
    /// They are those of the logits, which weights, smoothing and other terms of the loss leave alone, under the class mask, the softcap
    /// and the logit scale. The order is that of the logits as they were given, as it is for predictions: of classes whose logits become
    /// equal under a softcap the larger one comes first. `k` is at most the number of classes ([`Error::OptionRange`]). As
    /// `torch.topk(log_softmax(x), k)`, whose order of equals is not said.
    ///
    /// ```
    /// # use sparse_xent::{CrossEntropy, Logits, Shape};
    /// # let x = [0.5_f64, -1.0, 2.0, 0.25, 1.5, 0.0, -0.5, 3.0];
    /// # let logits = Logits::new(&x, Shape::new(&[2, 4], -1)?)?;
    /// let out = CrossEntropy::new().with_top_k(2).with_target_rank().with_entropy().forward(&logits, &[2, 0])?;
    /// let top = out.top_k.unwrap();
    /// assert_eq!(top.classes, [2, 0, 3, 0]);
    /// assert!((top.values[2] - -0.264757254319).abs() < 1e-12);
    /// assert_eq!(out.target_rank, [0, 1]);
    /// assert!((out.entropy[0] - 0.914081414912).abs() < 1e-11);
    /// # Ok::<(), sparse_xent::Error>(())
    /// ```
    pub fn with_top_k(mut self, k: usize) -> Self {
        self.outputs.top_k = k;
        self
    }

    /// Also gives the place of each row's label among its classes, the one with the largest logit being 0 and of equals the first class
    /// coming first: [`Output::target_rank`](crate::Output::target_rank). A label is among the `k` best where its rank is below `k`.
    pub fn with_target_rank(mut self) -> Self {
        self.outputs.target_rank = true;
        self
    }

    /// Also gives the entropy of each row's softmax in nats, [`Output::entropy`](crate::Output::entropy), with full precision where one
    /// class has nearly all probability. As `torch.distributions.Categorical(logits=x).entropy()`.
    pub fn with_entropy(mut self) -> Self {
        self.outputs.entropy = true;
        self
    }

    /// Also gives the log-probability of every class, [`Output::log_probs`](crate::Output::log_probs), which takes as much memory as the
    /// logits: in single precision, but for `f64` logits. As `log_softmax`.
    pub fn with_log_probs(mut self) -> Self {
        self.outputs.log_probs = true;
        self
    }

    /// Also gives loss, weight, count and correct rows by label, [`Output::per_class`](crate::Output::per_class).
    ///
    /// ```
    /// # use sparse_xent::{CrossEntropy, Logits, Shape};
    /// # let x = [0.5_f32, -1.0, 2.0, 0.25, 1.5, 0.0, -0.5, 3.0, -2.0, 1.0, 0.75, 0.0];
    /// # let logits = Logits::new(&x, Shape::new(&[3, 4], -1)?)?;
    /// let out = CrossEntropy::new().with_per_class().forward(&logits, &[2, 0, 2])?;
    /// let per_class = out.per_class.unwrap();
    /// assert_eq!(per_class.count, [1.0, 0.0, 2.0, 0.0]);
    /// assert_eq!(per_class.correct, [0.0, 0.0, 1.0, 0.0]);
    /// # Ok::<(), sparse_xent::Error>(())
    /// ```
    pub fn with_per_class(mut self) -> Self {
        self.outputs.per_class = true;
        self
    }
}
