//! The focal loss.

use alloc::vec::Vec;

use crate::activation::Activation;
use crate::error::Error;
use crate::evaluation::Evaluation;
use crate::head::{Grouping, LossHead, Reduction};
use crate::loss::options::{ClassWeights, first_kept, in_unit_interval};
use crate::loss::voxel_loss::{self, Divisor, VoxelLoss};
use crate::request::{Needs, Request, Sum, Sums};
use crate::statistics::Statistics;

/// The focal loss (Lin et al. 2017, "Focal loss for dense object detection").
///
/// Under a sigmoid each class is a question of its own, Σ_k w_k [α w⁺_k F⁺ + (1 − α) F⁻] / D with
/// F⁺ = Σ m g (1 − p)^γ (−ln p) and F⁻ = Σ m (1 − g) p^γ (−ln(1 − p)). Under a softmax F⁺, keyed by the true class, is all, with
/// the factor 1 − α for class 0 and α for the others (MONAI).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Focal {
    /// From logits to probabilities.
    pub activation: Activation,
    /// Whether the classes of probabilities that are given as they are are questions of their own. A softmax never is binary, a
    /// sigmoid always.
    pub binary: bool,
    /// γ from 0 to 100: none for 0, one for all classes, or one per class of the prediction.
    pub exponents: Vec<f64>,
    /// α from 0 to 1; none for factors of 1.
    pub alpha: Option<f64>,
    /// w⁺ of each kept class, of a binary loss; none for 1 each.
    pub positive_weights: Vec<f64>,
    /// Weights of the kept classes; what a mean divides by is D.
    pub class_weights: ClassWeights,
    /// D.
    pub divisor: Divisor,
    /// The voxels of class 0 leave the sum, or, of a binary loss, channel 0 does.
    pub exclude_background: bool,
    /// Which samples share a value.
    pub grouping: Grouping,
    /// How the values become the loss.
    pub reduction: Reduction,
}

impl Default for Focal {
    /// A softmax, γ = 2, the mean over the voxels of the batch.
    fn default() -> Self {
        Self {
            activation: Activation::Softmax,
            binary: false,
            exponents: [2.0].into(),
            alpha: None,
            positive_weights: Vec::new(),
            class_weights: ClassWeights::default(),
            divisor: Divisor::Voxels,
            exclude_background: false,
            grouping: Grouping::Batch,
            reduction: Reduction::Mean,
        }
    }
}

impl Focal {
    /// Each class against the rest, or the one class: a sigmoid, γ = 2, the mean over voxels and channels.
    pub fn binary() -> Self {
        Self { activation: Activation::Sigmoid, binary: true, divisor: Divisor::Elements, ..Self::default() }
    }

    /// Whether the classes are questions of their own.
    fn is_binary(&self) -> bool {
        voxel_loss::is_binary(self.activation, self.binary)
    }
}

impl VoxelLoss for Focal {
    fn needs(&self) -> Needs<'_> {
        let sums = Sums::NONE.with(Sum::Target).with(Sum::LogInside);
        let sums = if self.is_binary() { sums.with(Sum::LogOutside) } else { sums };
        Needs { exponents: &self.exponents, ..Needs::new(self.activation, sums) }
    }

    fn check(&self, classes: usize) -> Result<(), Error> {
        let kept = classes - self.first(classes);
        voxel_loss::check_positive_weights(&self.positive_weights, self.is_binary(), kept)?;
        self.alpha.map_or(Ok(()), |alpha| in_unit_interval("alpha", alpha))
    }

    fn factors(&self, class: usize, classes: usize) -> [f64; 4] {
        let positive = self.positive_weights.get(class).copied().unwrap_or(1.0);
        match self.alpha {
            None if self.is_binary() => [positive, 1.0, 0.0, 0.0],
            None => [1.0, 0.0, 0.0, 0.0],
            Some(alpha) if self.is_binary() => [alpha * positive, 1.0 - alpha, 0.0, 0.0],
            Some(alpha) if class == 0 && self.first(classes) == 0 => [1.0 - alpha, 0.0, 0.0, 0.0],
            Some(alpha) => [alpha, 0.0, 0.0, 0.0],
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

impl LossHead for Focal {
    fn require(&self, request: &mut Request) {
        request.add(&self.needs());
    }

    fn differentiate(&self, statistics: &Statistics, evaluation: &mut Evaluation) -> Result<(), Error> {
        voxel_loss::evaluate(self, statistics, evaluation)
    }
}
