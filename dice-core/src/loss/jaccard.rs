//! Soft Jaccard, the intersection over the union.

use crate::loss::options::Options;
use crate::loss::per_class::{ClassLoss, ClassSums, ClassValue, Ratio, class_loss_heads};

/// The soft Jaccard loss of each class, 1 − N/D with N = I + sn and D = S + T − I + sd (Rahman and Wang 2016).
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Jaccard {
    /// What it has in common with others.
    pub options: Options,
    /// N = 2I + sn and D = 2(S + T − I) + sd, which matters beside smoothing (MONAI).
    pub doubled: bool,
}

impl ClassLoss for Jaccard {
    fn options(&self) -> &Options {
        &self.options
    }

    fn class_value(&self, _: usize, sums: &ClassSums) -> ClassValue {
        let Options { smooth_numerator, smooth_denominator, least_denominator, .. } = self.options;
        let times = if self.doubled { 2.0 } else { 1.0 };
        let ratio = Ratio {
            numerator: times * sums.intersection + smooth_numerator,
            denominator: times * (sums.prediction + sums.target - sums.intersection) + smooth_denominator,
            numerator_by_intersection: times,
            denominator_by_intersection: -times,
            denominator_by_prediction: times,
        };
        ratio.loss(least_denominator)
    }
}

class_loss_heads!(Jaccard);
