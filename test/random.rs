//! Cases with random options from a fixed seed.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "each test uses its part of this module"
)]

use crate::support::{Case, Settings, Upstream};
use sparse_xent::{Denominator, InvalidLabel, Reduction, SmoothingWeights};

/// SplitMix64.
#[derive(Debug)]
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count as u64).expect("below count")
    }

    /// In -1..1.
    pub fn signed(&mut self) -> f64 {
        2.0 * ((self.next() >> 11) as f64 / (1_u64 << 53) as f64) - 1.0
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A weight exact in f32.
    fn weight(&mut self) -> f64 {
        self.pick(&[0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0])
    }

    /// Row losses (reduction none) of a shape.
    pub fn case(&mut self, shape: [usize; 3]) -> Case {
        let [outer, classes, inner] = shape;
        let rows = outer * inner;
        let magnitude = self.pick(&[1e-3, 0.1, 1.0, 4.0, 20.0, 100.0, 1e4]);
        let logits: Vec<f64> = (0..rows * classes).map(|_| magnitude * self.signed()).collect();
        let mut labels: Vec<i64> = (0..rows).map(|_| self.label(classes)).collect();
        let mut set = Settings::none();
        if self.chance(3) {
            set.class_weight = Some((0..classes).map(|_| self.weight()).collect());
        }
        if self.chance(3) {
            set.sample_weight = Some((0..rows).map(|_| self.weight()).collect());
        }
        if self.chance(3) {
            set.label_smoothing = self.pick(&[0.1, 0.15, 0.5, 1.0]);
            set.smoothing_weights = self.pick(&[SmoothingWeights::Class, SmoothingWeights::Row]);
        }
        if self.chance(4) {
            set.z_loss = self.pick(&[1e-4, 0.01]);
        }
        if self.chance(5) {
            set.focal_gamma = self.pick(&[0.5, 1.0, 2.0, 2.5]);
        }
        if self.chance(5) {
            set.poly1_epsilon = self.pick(&[-0.5, 1.0, 2.0]);
        }
        if self.chance(5) {
            set.logit_scale = self.pick(&[0.5, 0.25, 2.0]);
        }
        if self.chance(3) {
            set.ignore = vec![-100, 2];
            for label in &mut labels {
                if self.chance(5) {
                    *label = -100;
                }
            }
        }
        if self.chance(8) {
            set.invalid_label = self.pick(&[InvalidLabel::Nan, InvalidLabel::Ignore]);
            for label in &mut labels {
                if self.chance(6) {
                    *label = {
                        let beyond = i64::try_from(classes).expect("few classes");
                        self.pick(&[-1, beyond, beyond + 7])
                    };
                }
            }
        }
        // The definition and the crate differ on the masked classes of an invalid row; see the report.
        if set.invalid_label != InvalidLabel::Nan && self.chance(5) {
            let mut mask: Vec<u8> = (0..classes).map(|_| u8::from(!self.chance(4))).collect();
            for label in &labels {
                if let Some(keep) = usize::try_from(*label).ok().and_then(|label| mask.get_mut(label)) {
                    *keep = 1;
                }
            }
            set.class_mask = Some(mask);
        }
        if classes <= 130 && self.chance(12) {
            set.label_matrix = Some((0..classes * classes).map(|_| 0.25 * self.weight()).collect());
            set.class_weight = None;
            (set.label_smoothing, set.focal_gamma, set.poly1_epsilon) = (0.0, 0.0, 0.0);
        }
        // Likewise on an invalid row with an upstream of 0.
        let choices = if set.invalid_label == InvalidLabel::Nan { 2 } else { 3 };
        set.upstream = match self.below(choices) {
            0 => Upstream::One(1.0),
            1 => Upstream::One(-0.5),
            _ => Upstream::Each((0..rows).map(|_| self.weight() - 1.0).collect()),
        };
        Case::new(&format!("{shape:?} magnitude {magnitude}"), shape, &logits, &labels, set)
    }

    fn label(&mut self, classes: usize) -> i64 {
        i64::try_from(self.below(classes)).expect("few classes")
    }

    /// Makes the case a sum or mean with a denominator.
    pub fn reduce(&mut self, case: &mut Case) {
        case.set.upstream = Upstream::One(self.pick(&[1.0, -2.0]));
        case.set.reduction = self.pick(&[Reduction::Sum, Reduction::Mean, Reduction::Mean]);
        case.set.denominator = self.pick(&[
            Denominator::Weights,
            Denominator::Valid,
            Denominator::All,
            Denominator::NonZero,
            Denominator::Count(12.0),
        ]);
    }
}
