//! The question that this library starts from, and its answer.

use crate::activation::Activation;
use crate::head::Grouping;
use crate::loss::generalized_dice::{
    AbsentClass, ClassWeighting, GeneralizedDice, NonFiniteLoss, WeighedVolume, WeightScale,
};
use crate::loss::options::Empty;

impl GeneralizedDice {
    /// The loss of the question that this library starts from: on probabilities, weights 1/(T² + 1e-5), the whole batch
    /// in one ratio.
    ///
    /// It is here to be compared with: one absent class has weight 1e5, drowns all others, and the gradient vanishes.
    pub fn batch_pooled() -> Self {
        Self {
            activation: Activation::None,
            weighting: ClassWeighting::InverseSquare,
            absent: AbsentClass::Regularised(1e-5),
            weighed_volume: WeighedVolume::Ones,
            scale: WeightScale::Raw,
            empty: Empty::Ratio,
            grouping: Grouping::Batch,
            ..Self::default()
        }
    }

    /// The answer to that question: softmax, weights 1/T² per sample, 1e-6 for an absent class, a sample whose loss is
    /// not finite counts as 0 in the mean.
    ///
    /// 1e-6 is gentle in a small image only; see [`AbsentClass::Epsilon`].
    pub fn per_sample() -> Self {
        Self {
            weighting: ClassWeighting::InverseSquare,
            absent: AbsentClass::Epsilon(1e-6),
            scale: WeightScale::Raw,
            empty: Empty::Ratio,
            non_finite: NonFiniteLoss::Zero,
            ..Self::default()
        }
    }
}
