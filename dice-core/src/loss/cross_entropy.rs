//! Cross-entropy.

use alloc::vec::Vec;

use crate::activation::Activation;
use crate::error::Error;
use crate::evaluation::Evaluation;
use crate::head::{Grouping, LossHead, Reduction};
use crate::loss::options::{ClassWeights, first_kept, in_unit_interval};
use crate::loss::voxel_loss::{self, Divisor, VoxelLoss};
use crate::request::{Needs, Request, Sum, Sums};
use crate::statistics::Statistics;

/// Cross-entropy over the voxels.
///
/// Under a softmax, Σ_k w_k [(1 − ε) N_k + (ε/C) U_k] / D with N = −Σ m g ln p keyed by the true class and U = −Σ m ln p. Under
/// a sigmoid, or where it [is binary](Self::binary), each class is a question of its own:
/// Σ_k w_k [(1 − ε)(w⁺_k F⁺ + F⁻) + (ε/2)(w⁺_k U + Ū)] / D. Probabilities that are given as they are are clamped to
/// [1e-7, 1 − 1e-7], with slope 0 where the clamp holds.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct CrossEntropy {
    /// From logits to probabilities.
    pub activation: Activation,
    /// Whether the classes of probabilities that are given as they are are questions of their own. A softmax never is binary, a
    /// sigmoid always.
    pub binary: bool,
    /// Weights of the kept classes; what a mean divides by is D.
    pub class_weights: ClassWeights,
    /// w⁺ of each kept class, of a binary loss; none for 1 each.
    pub positive_weights: Vec<f64>,
    /// ε, from 0 to 1.
    pub label_smoothing: f64,
    /// D.
    pub divisor: Divisor,
    /// The voxels of class 0 leave the sum, or, of a binary loss, channel 0 does.
    pub exclude_background: bool,
    /// Which samples share a value.
    pub grouping: Grouping,
    /// How the values become the loss.
    pub reduction: Reduction,
}

impl Default for CrossEntropy {
    /// A softmax, the mean over the voxels of the batch, weighted by class if there are weights: that of PyTorch.
    fn default() -> Self {
        Self {
            activation: Activation::Softmax,
            binary: false,
            class_weights: ClassWeights::default(),
            positive_weights: Vec::new(),
            label_smoothing: 0.0,
            divisor: Divisor::Weights,
            exclude_background: false,
            grouping: Grouping::Batch,
            reduction: Reduction::Mean,
        }
    }
}

impl CrossEntropy {
    /// Each class against the rest, or the one class: a sigmoid, the mean over voxels and channels.
    pub fn binary() -> Self {
        Self { activation: Activation::Sigmoid, binary: true, divisor: Divisor::Elements, ..Self::default() }
    }

    /// Whether the classes are questions of their own.
    fn is_binary(&self) -> bool {
        voxel_loss::is_binary(self.activation, self.binary)
    }
}

impl VoxelLoss for CrossEntropy {
    fn needs(&self) -> Needs<'_> {
        let mut sums = Sums::NONE.with(Sum::Target).with(Sum::LogInside);
        let smooth = self.label_smoothing > 0.0;
        if smooth {
            sums = sums.with(Sum::LogEverywhere);
        }
        if self.is_binary() {
            sums = sums.with(Sum::LogOutside);
            if smooth {
                sums = sums.with(Sum::LogComplement);
            }
        }
        Needs::new(self.activation, sums)
    }

    fn check(&self, classes: usize) -> Result<(), Error> {
        let kept = classes - self.first(classes);
        in_unit_interval("label_smoothing", self.label_smoothing)?;
        voxel_loss::check_positive_weights(&self.positive_weights, self.is_binary(), kept)
    }

    fn factors(&self, class: usize, classes: usize) -> [f64; 4] {
        let (clear, smooth) = (1.0 - self.label_smoothing, self.label_smoothing);
        if self.is_binary() {
            let positive = self.positive_weights.get(class).copied().unwrap_or(1.0);
            [clear * positive, clear, 0.5 * smooth * positive, 0.5 * smooth]
        } else {
            [clear, 0.0, smooth / classes as f64, 0.0]
        }
    }

    fn class_weights(&self) -> &ClassWeights {
        &self.class_weights
    }

    fn first(&self, classes: usize) -> usize {
        first_kept(self.exclude_background, classes)
    }

    fn divisor(&self) -> Divisor {
        self.divisor
    }

    fn grouping(&self) -> Grouping {
        self.grouping
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }
}

impl LossHead for CrossEntropy {
    fn require(&self, request: &mut Request) {
        request.add(&self.needs());
    }

    fn differentiate(&self, statistics: &Statistics, evaluation: &mut Evaluation) -> Result<(), Error> {
        voxel_loss::evaluate(self, statistics, evaluation)
    }
}
