//! segmentation_models.pytorch 0.6, `segmentation_models_pytorch.losses`.
//!
//! What its ratios have in common: the whole batch in one group, the intersection by |p − g|, a class without a voxel
//! in the target has loss and gradient 0 and stays in the divisor, and class weights are divided by their sum.
//! `mode="multiclass"` is the softmax here, `"binary"` and `"multilabel"` are [`Activation::Sigmoid`],
//! `from_logits=False` is [`Activation::None`]. `classes` are class weights of 0 for the others. `log_loss` is
//! [`Transform::NegativeLog`](crate::loss::transform::Transform::NegativeLog) with `eps` as the least score, in
//! [`transform`](Options::transform). In `"multilabel"` its ignored label leaves out single channels of a voxel, which
//! a mask cannot.

use crate::activation::Activation;
use crate::head::Grouping;
use crate::loss::cross_entropy::CrossEntropy;
use crate::loss::focal::Focal;
use crate::loss::jaccard::Jaccard;
use crate::loss::mcc::Mcc;
use crate::loss::options::{ClassWeights, Empty, Options, Overlap, Pooling, WeightMode};
use crate::loss::soft_dice::SoftDice;
use crate::loss::tversky::Tversky;
use crate::loss::voxel_loss::Divisor;

/// Weights of 1 whose mean divides by their sum.
fn weights() -> ClassWeights {
    ClassWeights { mode: WeightMode::Normalise, ..ClassWeights::default() }
}

/// No smoothing, a least denominator of 1e-7.
fn options() -> Options {
    Options {
        overlap: Overlap::Difference,
        least_denominator: 1e-7,
        class_weights: weights(),
        empty: Empty::Zero,
        grouping: Grouping::Batch,
        ..Options::default()
    }
}

impl SoftDice {
    /// segmentation_models' `DiceLoss`.
    ///
    /// Its ratio is the half of this one, I + s over ½S + ½T + s: both smoothings are twice its `smooth`, and the least
    /// denominator twice its `eps`.
    pub fn smp_dice() -> Self {
        Self { options: Options { least_denominator: 2e-7, ..options() }, ..Self::default() }
    }
}

impl Jaccard {
    /// segmentation_models' `JaccardLoss`; `smooth` is both smoothings, `eps` the least denominator.
    pub fn smp_jaccard() -> Self {
        Self { options: options(), ..Self::default() }
    }
}

impl Tversky {
    /// segmentation_models' `TverskyLoss`; `alpha` and `beta` are [`false_positives`](Self::false_positives) and
    /// [`false_negatives`](Self::false_negatives), ½ each.
    ///
    /// `gamma` is a power of the weighted mean, not of each class:
    /// [`Compound::transformed`](crate::loss::compound::Compound::transformed) with
    /// [`Transform::Power`](crate::loss::transform::Transform::Power). Where that mean is 0 and γ < 1 its owner's
    /// gradient is not a number; with a `least` of 0 it is 0 here.
    pub fn smp_tversky() -> Self {
        Self { options: options(), ..Self::default() }
    }
}

impl Focal {
    /// segmentation_models' `FocalLoss` of every mode: a sigmoid of each channel, γ = 2, no α, mean over the voxels
    /// that count, then over the classes, weighted.
    ///
    /// `reduction="sum"` sums the voxels and still takes the mean of the classes: [`Divisor::One`] and a factor of 1/C.
    /// Up to version 0.5 the classes were summed, without weights: [`Divisor::Voxels`]. Not sums over voxels, so not
    /// here: `normalized`, `reduced_threshold`, `reduction="none"`, and soft targets, whose power is of the whole
    /// cross-entropy. `from_logits=False` of `"multiclass"` takes ln p for the logit of the sigmoid: not here either.
    pub fn smp_focal() -> Self {
        Self { class_weights: weights(), ..Self::binary() }
    }
}

impl CrossEntropy {
    /// segmentation_models' `SoftCrossEntropyLoss`: softmax, mean over all voxels, the ignored ones among them.
    /// `smooth_factor` is [`label_smoothing`](Self::label_smoothing).
    pub fn smp_soft_ce() -> Self {
        Self { divisor: Divisor::AllVoxels, ..Self::default() }
    }

    /// segmentation_models' `SoftBCEWithLogitsLoss`: sigmoid, mean over all voxels and channels, the ignored ones among
    /// them. Its `smooth_factor` ε turns 0 and 1 into ε and 1 − ε: [`label_smoothing`](Self::label_smoothing) is twice
    /// that. `pos_weight` is [`positive_weights`](Self::positive_weights).
    pub fn smp_soft_bce() -> Self {
        Self { divisor: Divisor::AllElements, ..Self::binary() }
    }
}

impl Mcc {
    /// segmentation_models' `MCCLoss`: of given probabilities, batch and channels in one pool, ε = 1e-5 in each count.
    pub fn smp_mcc() -> Self {
        let options = Options {
            activation: Activation::None,
            pooling: Pooling::AllClasses,
            empty: Empty::Ratio,
            grouping: Grouping::Batch,
            ..Options::default()
        };
        Self { options, ..Self::default() }
    }
}
