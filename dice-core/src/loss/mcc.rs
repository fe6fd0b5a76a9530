//! Matthews' correlation coefficient.

use crate::error::Error;
use crate::loss::options::{Options, in_range};
use crate::loss::per_class::{ClassLoss, ClassSums, ClassValue, class_loss_heads};

/// 1 − MCC of each class, with tp = I + ε, fp = S − I + ε, fn = T − I + ε and tn = m − S − T + I + ε (Abhishek and Hamarneh
/// 2021; segmentation_models).
///
/// Of the [options](Options), sn is added to tp tn − fp fn and sd below the root; the least denominator does not apply.
/// That is MONAI's form, of ε = 0; where sd > 0, a prediction of fp = fn = 0 then has loss and gradient 0.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Mcc {
    /// What it has in common with others.
    pub options: Options,
    /// ε, added to each of the four.
    pub smoothing: f64,
}

impl Default for Mcc {
    fn default() -> Self {
        Self { options: Options::default(), smoothing: 1e-5 }
    }
}

impl ClassLoss for Mcc {
    fn options(&self) -> &Options {
        &self.options
    }

    fn check(&self, _: usize) -> Result<(), Error> {
        in_range("smoothing", self.smoothing)
    }

    fn class_value(&self, _: usize, sums: &ClassSums) -> ClassValue {
        let ClassSums { valid, target, prediction, intersection } = *sums;
        let Options { smooth_numerator, smooth_denominator, .. } = self.options;
        let e = self.smoothing;
        let (tp, fp, fn_) = (intersection + e, prediction - intersection + e, target - intersection + e);
        let tn = valid - prediction - target + intersection + e;
        // tp + fp, tp + fn, tn + fp and tn + fn.
        let [positive, present, absent, negative] =
            [prediction + 2.0 * e, target + 2.0 * e, valid - target + 2.0 * e, valid - prediction + 2.0 * e];
        let root = libm::sqrt(positive * negative) * libm::sqrt(present * absent);
        let denominator = libm::hypot(root, libm::sqrt(smooth_denominator));
        if fp == 0.0 && fn_ == 0.0 && smooth_denominator > 0.0 {
            return ClassValue::default();
        }
        // Where all voxels are of one kind the coefficient is 0/0; rounding may make it the root of a negative number.
        if denominator == 0.0 || denominator.is_nan() && sums.is_finite() {
            return ClassValue::default();
        }
        let coefficient = (tp * tn - fp * fn_ + smooth_numerator) / denominator;
        // The derivative of the root's square by S, over the denominator's: with sd it is finite where S is 0 too.
        let by_root = (negative - positive) / denominator * (present * absent / denominator);
        ClassValue {
            value: 1.0 - coefficient,
            by_intersection: -(tn + tp + fp + fn_) / denominator,
            by_prediction: (tp + fn_) / denominator + 0.5 * coefficient * by_root,
        }
    }
}

class_loss_heads!(Mcc);
