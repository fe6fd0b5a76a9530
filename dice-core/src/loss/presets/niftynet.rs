//! NiftyNet 0.6, `niftynet.layer.loss_segmentation`. Its `weight_map` is the problem's voxel weights, which multiply
//! every sum.

use crate::head::Grouping;
use crate::loss::compound::Compound;
use crate::loss::cross_entropy::CrossEntropy;
use crate::loss::generalized_dice::GeneralizedDice;
use crate::loss::options::{Empty, Options, Pooling};
use crate::loss::per_class::Volumes;
use crate::loss::soft_dice::SoftDice;
use crate::loss::transform::Transform;
use crate::loss::tversky::Tversky;

/// A softmax, 1e-5 in numerator and denominator, mean over samples and classes.
fn options() -> Options {
    Options { smooth_numerator: 1e-5, smooth_denominator: 1e-5, empty: Empty::Ratio, ..Options::default() }
}

impl GeneralizedDice {
    /// NiftyNet's `GDSC`: softmax, weights 1/T² (its `Square`; `Simple` and `Uniform` are
    /// [`weighting`](Self::weighting)), S + T of a class counts as at least 1, mean over the samples.
    ///
    /// Where NiftyNet would give 0/0, the loss is 0; an absent class has the largest finite weight in `Simple` too.
    pub fn niftynet_gdl() -> Self {
        Self { least_union: 1.0, ..Self::sudre2017() }
    }
}

impl SoftDice {
    /// NiftyNet's `Dice`: softmax, 2I + e over S2 + T + e with e = 1e-5, mean over samples and classes.
    pub fn niftynet_dice() -> Self {
        Self { options: options(), volumes: Volumes::SquaredPrediction, ..Self::default() }
    }

    /// NiftyNet's `Dice_NS` ("no square"): S in the place of S2.
    pub fn niftynet_dice_ns() -> Self {
        Self { options: options(), ..Self::default() }
    }
}

impl Tversky {
    /// NiftyNet's `Tversky`: softmax, the classes of a sample pooled, 1e-5 in the denominator, mean over the samples.
    pub fn niftynet_tversky() -> Self {
        Self {
            options: Options { smooth_numerator: 0.0, pooling: Pooling::AllClasses, ..options() },
            ..Self::default()
        }
    }
}

impl Compound {
    /// NiftyNet's `DicePlusXEnt`: minus the mean score of [`SoftDice::niftynet_dice_ns`], and the cross-entropy, the
    /// mean over the voxels of a sample, by their weights, then over the samples.
    ///
    /// A sample in which no voxel has weight has −1 for Dice and 0 for the cross-entropy.
    pub fn niftynet_dice_xent() -> Self {
        let mut dice = SoftDice::niftynet_dice_ns();
        dice.options.transform = Transform::NegativeScore;
        dice + CrossEntropy { grouping: Grouping::PerSample, ..CrossEntropy::default() }
    }
}
