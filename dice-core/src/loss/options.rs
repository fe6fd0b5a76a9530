//! What the losses have in common: which classes count, how much, and how groups become values.

use alloc::vec::Vec;

use crate::activation::Activation;
use crate::error::Error;
use crate::head::{Grouping, Reduction};
use crate::loss::transform::Transform;
use crate::request::{Sum, Sums};

/// Whether a parameter is one with which no product or quotient of a head leaves the range of f64.
///
/// # Errors
/// [`Error::InvalidParameter`] if it is neither 0 nor from 1e-30 to 1e30.
pub(super) fn in_range(name: &'static str, value: f64) -> Result<(), Error> {
    if value == 0.0 || (1e-30..=1e30).contains(&value) {
        Ok(())
    } else {
        Err(Error::InvalidParameter { name, value, requirement: "0, or from 1e-30 to 1e30" })
    }
}

/// Whether a parameter is from 0 to 1.
///
/// # Errors
/// [`Error::InvalidParameter`] if it is not.
pub(super) fn in_unit_interval(name: &'static str, value: f64) -> Result<(), Error> {
    if (0.0..=1.0).contains(&value) {
        Ok(())
    } else {
        Err(Error::InvalidParameter { name, value, requirement: "from 0 to 1" })
    }
}

/// The first class of `classes` that is kept: with one channel there is no background to leave out.
pub(super) fn first_kept(exclude_background: bool, classes: usize) -> usize {
    usize::from(exclude_background && classes > 1)
}

/// Whether a weighted mean over classes divides by the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum WeightMode {
    /// Weights multiply; a mean is over the number of classes, whatever they weigh (MONAI).
    #[default]
    Multiply,
    /// A mean divides by the sum of the weights (segmentation_models).
    Normalise,
}

/// A weight per kept class; by default all are 1.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct ClassWeights {
    /// One weight per kept class, 0 or from 1e-30 to 1e30; none for 1 each.
    pub weights: Vec<f64>,
    /// What a mean divides by.
    pub mode: WeightMode,
}

/// How a class is weighed by a volume that is known beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum VolumeWeighting {
    /// 1/T.
    #[default]
    Inverse,
    /// 1/T².
    InverseSquare,
    /// 1 for every class.
    Uniform,
}

impl ClassWeights {
    /// These weights, multiplied.
    pub fn new(weights: impl Into<Vec<f64>>) -> Self {
        Self { weights: weights.into(), mode: WeightMode::Multiply }
    }

    /// Weights from the volumes of the kept classes in a whole data set, in voxels or as fractions, scaled so that their mean is
    /// 1. A class of volume 0 weighs as little as the largest one.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if a volume is negative or not finite, or none is above 0.
    pub fn from_volumes(volumes: &[f64], weighting: VolumeWeighting) -> Result<Self, Error> {
        if let Some(&value) = volumes.iter().find(|&&volume| in_range("volume", volume).is_err()) {
            return Err(Error::InvalidParameter { name: "volume", value, requirement: "0, or from 1e-30 to 1e30" });
        }
        let (mut least, mut greatest) = (f64::INFINITY, 0.0_f64);
        for &volume in volumes.iter().filter(|&&volume| volume > 0.0) {
            (least, greatest) = (least.min(volume), greatest.max(volume));
        }
        if greatest == 0.0 {
            return Err(Error::InvalidParameter { name: "volume", value: 0.0, requirement: "above 0 for some class" });
        }
        // Relative to the rarest class, so that no square leaves the range of f64.
        let weight = |&volume: &f64| {
            let inverse = least / if volume == 0.0 { greatest } else { volume };
            match weighting {
                VolumeWeighting::InverseSquare => inverse * inverse,
                VolumeWeighting::Inverse => inverse,
                VolumeWeighting::Uniform => 1.0,
            }
        };
        let mut weights: Vec<f64> = volumes.iter().map(weight).collect();
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        weights.iter_mut().for_each(|weight| *weight /= mean);
        Ok(Self::new(weights))
    }

    /// The weight of the kept class `class`.
    pub fn of(&self, class: usize) -> f64 {
        self.weights.get(class).copied().unwrap_or(1.0)
    }

    /// Checks the weights of `kept` classes.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::InvalidParameter`].
    pub fn check(&self, kept: usize) -> Result<(), Error> {
        if !self.weights.is_empty() && self.weights.len() != kept {
            return Err(Error::Length { what: "class weights", expected: kept, found: self.weights.len() });
        }
        self.weights.iter().try_for_each(|&weight| in_range("class weight", weight))
    }
}

/// What a class is worth that the group does not hold, T = 0 (a group without any kept class, of a loss that has one ratio for
/// all of them).
///
/// Its ratio is 1 with gradient 0 however good or bad the prediction is, and 0 only where S is exactly 0, which a softmax never
/// reaches: false positives would never be punished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Empty {
    /// S/m, the fraction of the voxels that are falsely claimed, from 0 to 1 and the same at any resolution.
    #[default]
    FalsePositives,
    /// What the formula gives (MONAI, nnU-Net, most peers).
    Ratio,
    /// The class, or the group, leaves the mean and its divisor (JDTLosses).
    Skip,
    /// Value and gradient 0; it stays in the divisor (segmentation_models).
    Zero,
}

/// Where the intersection of prediction and target comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Overlap {
    /// I = Σ m p g.
    #[default]
    Product,
    /// I = (S + T − A)/2 with A = Σ m |p − g|: of soft labels, the loss is least where p = g (Wang et al. 2023, "Dice
    /// semimetric losses"). Of hard labels and probabilities from 0 to 1 it is the product.
    Difference,
}

impl Overlap {
    /// The sums that it needs.
    pub(super) fn sums(self) -> Sums {
        match self {
            Self::Product => Sums::OVERLAP,
            Self::Difference => Sums::OVERLAP.with(Sum::Difference),
        }
    }
}

/// What is a ratio of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Pooling {
    /// Each class.
    #[default]
    PerClass,
    /// The sums of the kept classes, each times its weight, are added first.
    AllClasses,
    /// The same, with the intersection times the square of the weight (kornia).
    AllClassesSquared,
}

/// In which order a mean is taken; it matters where classes are [skipped](Empty::Skip).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum MeanOrder {
    /// Over all classes of all groups at once.
    #[default]
    AtOnce,
    /// Over the classes of a group, then over the groups that have any.
    ClassesFirst,
    /// Over the groups that have a class, then over the classes that are anywhere.
    GroupsFirst,
}

/// What the losses with a ratio per class have in common.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Options {
    /// From logits to probabilities.
    pub activation: Activation,
    /// The intersection.
    pub overlap: Overlap,
    /// sn, added to the numerator. Smoothing counts in voxels and makes the loss depend on the volume's size.
    pub smooth_numerator: f64,
    /// sd, added to the denominator.
    pub smooth_denominator: f64,
    /// The denominator counts as at least this much; where it is less, the loss does not depend on it.
    pub least_denominator: f64,
    /// δ: each class gets this part of every voxel's weight that is not its own, I ← (1 − δ) I + δ S and
    /// T ← (1 − δ) T + δ m (kornia: 1e-6).
    pub softening: f64,
    /// Whether the ratio of a class is that of its rest, of 1 − p and 1 − g. Of one channel p, both together are those of the
    /// channels (1 − p, p). Not where volumes are squared.
    pub complement: bool,
    /// What becomes of the value of a class.
    pub transform: Transform,
    /// Class 0 leaves the head (never the softmax). With one channel there is no background channel to leave out.
    pub exclude_background: bool,
    /// Weights of the kept classes.
    pub class_weights: ClassWeights,
    /// What is a ratio of its own.
    pub pooling: Pooling,
    /// What a class without a voxel is worth.
    pub empty: Empty,
    /// Which samples share a ratio.
    pub grouping: Grouping,
    /// How the values become the loss.
    pub reduction: Reduction,
    /// The order of a mean.
    pub order: MeanOrder,
}

impl Options {
    /// The first class that is kept, of so many.
    pub fn first(&self, classes: usize) -> usize {
        first_kept(self.exclude_background, classes)
    }

    /// Checks the options for a prediction of `classes` classes.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`], [`Error::Length`].
    pub fn check(&self, classes: usize) -> Result<(), Error> {
        in_range("smooth_numerator", self.smooth_numerator)?;
        in_range("smooth_denominator", self.smooth_denominator)?;
        in_range("least_denominator", self.least_denominator)?;
        in_unit_interval("softening", self.softening)?;
        self.transform.check()?;
        self.class_weights.check(classes - self.first(classes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_volumes_have_mean_one() {
        let weights = |volumes: &[f64], weighting| ClassWeights::from_volumes(volumes, weighting).unwrap().weights;
        assert_eq!(weights(&[4.0, 2.0, 1.0], VolumeWeighting::Inverse), [3.0 / 7.0, 6.0 / 7.0, 12.0 / 7.0]);
        assert_eq!(weights(&[2.0, 1.0], VolumeWeighting::InverseSquare), [0.4, 1.6]);
        assert_eq!(weights(&[2.0, 1.0], VolumeWeighting::Uniform), [1.0, 1.0]);
        assert_eq!(weights(&[2.0, 1.0, 0.0], VolumeWeighting::Inverse), [0.75, 1.5, 0.75]);
        assert!(ClassWeights::from_volumes(&[0.0, 0.0], VolumeWeighting::Inverse).is_err());
        assert!(ClassWeights::from_volumes(&[1.0, f64::NAN], VolumeWeighting::Inverse).is_err());
        assert!(ClassWeights::from_volumes(&[], VolumeWeighting::Inverse).is_err());
    }
}
