//! Soft Dice, and its square form.

use crate::error::Error;
use crate::loss::options::{Options, in_range};
use crate::loss::per_class::{ClassLoss, ClassSums, ClassValue, Ratio, Volumes, class_loss_heads};

/// The soft Dice loss of each class, 1 − N/D with N = 2I + sn and D = S + T + sd (Milletari et al. 2016 with plain volumes;
/// Drozdzal et al. 2016).
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct SoftDice {
    /// What it has in common with others.
    pub options: Options,
    /// S and T, or their squares.
    pub volumes: Volumes,
    /// I counts as at least this much (nnU-Net's `clip_tp`): N = 2t + sn and D = 2t + (S − I) + (T − I) + sd with
    /// t = max(I, this).
    pub least_intersection: f64,
}

impl SoftDice {
    /// The V-Net loss (Milletari et al. 2016, equation 3): S and T are sums of squares.
    pub fn squared() -> Self {
        Self { volumes: Volumes::Squared, ..Self::default() }
    }
}

impl ClassLoss for SoftDice {
    fn options(&self) -> &Options {
        &self.options
    }

    fn volumes(&self) -> Volumes {
        self.volumes
    }

    fn check(&self, _: usize) -> Result<(), Error> {
        in_range("least_intersection", self.least_intersection)
    }

    fn class_value(&self, _: usize, sums: &ClassSums) -> ClassValue {
        let Options { smooth_numerator, smooth_denominator, least_denominator, .. } = self.options;
        let is_clipped = sums.intersection < self.least_intersection;
        let (overlap, by_intersection) =
            if is_clipped { (self.least_intersection, 0.0) } else { (sums.intersection, 2.0) };
        let ratio = Ratio {
            numerator: 2.0 * overlap + smooth_numerator,
            denominator: sums.prediction + sums.target + 2.0 * (overlap - sums.intersection) + smooth_denominator,
            numerator_by_intersection: by_intersection,
            denominator_by_intersection: if is_clipped { -2.0 } else { 0.0 },
            denominator_by_prediction: 1.0,
        };
        ratio.loss(least_denominator)
    }
}

class_loss_heads!(SoftDice);
