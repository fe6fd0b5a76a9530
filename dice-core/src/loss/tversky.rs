//! The Tversky loss, and focal Tversky.

use alloc::vec::Vec;

use crate::error::Error;
use crate::loss::options::{Options, in_range};
use crate::loss::per_class::{ClassLoss, ClassSums, ClassValue, Ratio, Volumes, class_loss_heads};
use crate::loss::transform::power;

/// The Tversky loss of each class, 1 − TI with TI = N/D, N = I + sn and D = (1 − α − β) I + α S + β T + sd (Salehi et al. 2017):
/// α weighs false positives, β false negatives. α = β = ½ is soft Dice with half the smoothing, α = β = 1 is Jaccard.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Tversky {
    /// What it has in common with others.
    pub options: Options,
    /// S and T, or their squares.
    pub volumes: Volumes,
    /// α, of false positives.
    pub false_positives: f64,
    /// β, of false negatives.
    pub false_negatives: f64,
}

impl Default for Tversky {
    fn default() -> Self {
        let (options, volumes) = Default::default();
        Self { options, volumes, false_positives: 0.5, false_negatives: 0.5 }
    }
}

impl ClassLoss for Tversky {
    fn options(&self) -> &Options {
        &self.options
    }

    fn volumes(&self) -> Volumes {
        self.volumes
    }

    fn check(&self, _: usize) -> Result<(), Error> {
        in_range("false_positives", self.false_positives)?;
        in_range("false_negatives", self.false_negatives)
    }

    fn class_value(&self, _: usize, sums: &ClassSums) -> ClassValue {
        let Options { smooth_numerator, smooth_denominator, least_denominator, .. } = self.options;
        let (alpha, beta) = (self.false_positives, self.false_negatives);
        let rest = 1.0 - alpha - beta;
        let ratio = Ratio {
            numerator: sums.intersection + smooth_numerator,
            denominator: rest * sums.intersection + alpha * sums.prediction + beta * sums.target + smooth_denominator,
            numerator_by_intersection: 1.0,
            denominator_by_intersection: rest,
            denominator_by_prediction: alpha,
        };
        ratio.loss(least_denominator)
    }
}

/// The focal Tversky loss of each class, (1 − TI)^e (Abraham and Khan 2019, whose γ is 1/e with γ = 4/3; JDTLosses and MONAI's
/// unified focal loss state e).
///
/// segmentation_models' form is a power of the mean, see [`Transform`](crate::loss::Transform) of a term.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct FocalTversky {
    /// The Tversky loss. The [transform](Options::transform) comes after the power.
    pub tversky: Tversky,
    /// e: one for all classes, or one per kept class.
    pub exponents: Vec<f64>,
    /// The slope is that at no less than this 1 − TI: of e < 1 it is infinite at 0.
    pub least: f64,
}

impl Default for FocalTversky {
    fn default() -> Self {
        Self { tversky: Tversky::default(), exponents: [0.75].into(), least: 1e-7 }
    }
}

impl ClassLoss for FocalTversky {
    fn options(&self) -> &Options {
        &self.tversky.options
    }

    fn volumes(&self) -> Volumes {
        self.tversky.volumes
    }

    fn check(&self, classes: usize) -> Result<(), Error> {
        self.tversky.check(classes)?;
        let kept = classes - self.options().first(classes);
        if self.exponents.len() != 1 && self.exponents.len() != kept {
            return Err(Error::Length { what: "exponents", expected: kept, found: self.exponents.len() });
        }
        if !(0.0..=1.0).contains(&self.least) {
            return Err(Error::InvalidParameter { name: "least", value: self.least, requirement: "from 0 to 1" });
        }
        match self.exponents.iter().find(|exponent| !(0.01..=100.0).contains(*exponent)) {
            Some(&value) => Err(Error::InvalidParameter { name: "exponent", value, requirement: "from 0.01 to 100" }),
            None => Ok(()),
        }
    }

    fn class_value(&self, class: usize, sums: &ClassSums) -> ClassValue {
        let ClassValue { value, by_intersection, by_prediction } = self.tversky.class_value(class, sums);
        let exponent = self.exponents.get(class).copied().unwrap_or(self.exponents[0]);
        let (value, slope) = power(value, exponent, self.least);
        ClassValue { value, by_intersection: slope * by_intersection, by_prediction: slope * by_prediction }
    }
}

class_loss_heads!(Tversky, FocalTversky);
