//! MONAI 1.6, `monai.losses`.
//!
//! What its losses have in common, in the fields here: `softmax` and `sigmoid` are `activation`, and its default,
//! neither, is [`Activation::None`] (the presets have the softmax that its users set); `other_act` is no activation
//! here and the chain rule there. `include_background=False` is `exclude_background`, `batch=True` is
//! [`Grouping::Batch`], `smooth_nr` and `smooth_dr` are the two smoothings, `weight` the class weights (one per kept
//! class), which multiply. `ignore_index` is that of the [`Problem`](crate::problem::Problem). Absolute smoothing makes
//! a loss depend on the size of the volume.

use alloc::vec::Vec;

use crate::activation::Activation;
use crate::head::{Grouping, Reduction};
use crate::loss::compound::Compound;
use crate::loss::cross_entropy::CrossEntropy;
use crate::loss::focal::Focal;
use crate::loss::generalized_dice::GeneralizedDice;
use crate::loss::jaccard::Jaccard;
use crate::loss::mcc::Mcc;
use crate::loss::options::{ClassWeights, Empty, Options};
use crate::loss::soft_dice::SoftDice;
use crate::loss::tversky::{FocalTversky, Tversky};
use crate::loss::voxel_loss::Divisor;
use crate::loss::wasserstein::Wasserstein;

/// A softmax, 1e-5 in numerator and denominator, mean over groups and classes.
fn options() -> Options {
    Options { smooth_numerator: 1e-5, smooth_denominator: 1e-5, empty: Empty::Ratio, ..Options::default() }
}

impl GeneralizedDice {
    /// MONAI's `GeneralizedDiceLoss` with its default smoothing of 1e-5, absolute, in numerator and denominator, on a
    /// softmax.
    ///
    /// `w_type` is [`weighting`](Self::weighting), `soft_label` is [`overlap`](Self::overlap); for MONAI's own default
    /// of no activation set [`activation`](Self::activation). Where no kept class is present all weights are 0: the
    /// loss is 1 − sn/sd then, with gradient 0.
    pub fn monai_gdl() -> Self {
        Self { smooth_numerator: 1e-5, smooth_denominator: 1e-5, ..Self::sudre2017() }
    }
}

impl SoftDice {
    /// MONAI's `DiceLoss` on a softmax: mean over samples and classes, whatever these weigh.
    ///
    /// `squared_pred` is [`Volumes::Squared`](crate::loss::per_class::Volumes::Squared), `soft_label` is
    /// [`Overlap::Difference`](crate::loss::options::Overlap::Difference), `jaccard` is [`Jaccard::monai_jaccard`].
    pub fn monai_dice() -> Self {
        Self { options: options(), ..Self::default() }
    }

    /// MONAI's `MaskedDiceLoss`: `DiceLoss` with the problem's mask, of 0 and 1.
    ///
    /// Two of its quirks are not reproduced: with `to_onehot_y` a voxel outside the mask becomes one of class 0 and
    /// adds to T of that class, and a fraction in the mask enters I (with `squared_pred` S2 and T2 too) as its square.
    pub fn monai_masked() -> Self {
        Self::monai_dice()
    }
}

impl Jaccard {
    /// MONAI's `DiceLoss(jaccard=True)` on a softmax, whose smoothing is beside 2I and 2(S + T − I).
    pub fn monai_jaccard() -> Self {
        Self { options: options(), doubled: true }
    }
}

impl Tversky {
    /// MONAI's `TverskyLoss` on a softmax; `alpha` and `beta` are [`false_positives`](Self::false_positives) and
    /// [`false_negatives`](Self::false_negatives), ½ each.
    pub fn monai_tversky() -> Self {
        Self { options: options(), ..Self::default() }
    }
}

impl Mcc {
    /// MONAI's `MCCLoss` on a softmax: 1e-5 below the root, no smoothing of tp tn − fp fn and of the four counts. A
    /// perfect prediction has loss and gradient 0.
    pub fn monai_mcc() -> Self {
        Self { options: Options { smooth_numerator: 0.0, ..options() }, smoothing: 0.0 }
    }
}

impl Focal {
    /// MONAI's `FocalLoss`: a sigmoid, γ = 2, no α, mean over samples, kept classes and voxels.
    ///
    /// One `alpha` is [`alpha`](Self::alpha), a list of them is [`positive_weights`](Self::positive_weights) (the
    /// voxels outside a class keep the factor 1). `use_softmax` is the softmax with [`binary`](Self::binary) off; α is
    /// then that of every class but 0, which has 1 − α, a list multiplies the class weights, and the mean is over the
    /// classes too. MONAI drops class 0 before that softmax, this field after it: for the former view the kept channels
    /// alone. With an ignored label its mean is over the voxels, [`Divisor::Voxels`], not over the classes. Its `sum`
    /// is the mean over the voxels of each sample, summed: [`Divisor::Voxels`], [`Grouping::PerSample`],
    /// [`Reduction::Sum`]. Its `none`, a map of voxels, is not a sum; a soft target under the sigmoid has its power on
    /// the whole cross-entropy, which is not a sum of F⁺ and F⁻. Where MONAI's gradient is NaN, at p = 1 with γ < 1, it
    /// is 0 here.
    pub fn monai_focal() -> Self {
        Self::binary()
    }

    /// MONAI's `AsymmetricFocalLoss` of given probabilities of two channels: γ = 2 for the background alone, class
    /// weights 1 − δ and δ = 0.7, mean over samples, channels and the voxels that count.
    pub fn monai_asymmetric_focal() -> Self {
        Self {
            activation: Activation::None,
            exponents: [2.0, 0.0].into(),
            class_weights: asymmetric_weights(0.7),
            divisor: Divisor::Elements,
            ..Self::default()
        }
    }
}

/// 1 − δ for the background, δ for the class.
fn asymmetric_weights(delta: f64) -> ClassWeights {
    ClassWeights::new([1.0 - delta, delta])
}

impl FocalTversky {
    /// MONAI's `AsymmetricFocalTverskyLoss` of given probabilities of two channels: α = 1 − δ = 0.3, β = δ = 0.7,
    /// 1 − TI of the background, (1 − TI)^(1 − γ) of the class with γ = 0.75, smoothing 1e-7.
    ///
    /// MONAI clamps the probabilities to [1e-7, 1 − 1e-7] first, which changes the volumes by that much: not
    /// reproduced.
    pub fn monai_asymmetric_focal_tversky() -> Self {
        asymmetric_focal_tversky(0.7, [1.0, 0.25].into())
    }
}

fn asymmetric_focal_tversky(delta: f64, exponents: Vec<f64>) -> FocalTversky {
    let options = Options {
        activation: Activation::None,
        smooth_numerator: 1e-7,
        smooth_denominator: 1e-7,
        empty: Empty::Ratio,
        ..Options::default()
    };
    let tversky = Tversky { options, false_positives: 1.0 - delta, false_negatives: delta, ..Tversky::default() };
    FocalTversky { tversky, exponents, ..FocalTversky::default() }
}

/// The loss without its terms of factor 0, whose γ may then be any.
fn without_zeros(mut loss: Compound) -> Compound {
    loss.terms.retain(|term| term.factor != 0.0);
    loss
}

impl Wasserstein {
    /// MONAI's `GeneralizedWassersteinDiceLoss`: softmax, a smoothing of 1e-5 in numerator and denominator, mean over
    /// the samples.
    ///
    /// [`costs`](Self::costs) is its `dist_matrix`, empty here as in [`fidon2017`](Self::fidon2017), and divided by its
    /// greatest cost; `weighting_mode="GDL"` is
    /// [`WassersteinWeighting::Inverse`](crate::loss::wasserstein::WassersteinWeighting::Inverse).
    pub fn monai_gwdl() -> Self {
        Self { smooth_numerator: 1e-5, smooth_denominator: 1e-5, ..Self::fidon2017() }
    }
}

impl Compound {
    /// MONAI's `DiceCELoss`: [`SoftDice::monai_dice`] and PyTorch's cross-entropy, which has a softmax whatever the
    /// Dice term has.
    ///
    /// `lambda_dice` and `lambda_ce` are the [factors](crate::loss::compound::Term::factor). The class weights go to
    /// both terms; with `include_background=False` to Dice without the first, and the cross-entropy keeps all classes.
    /// `label_smoothing` is that of the cross-entropy. With a dense target its mean is over the voxels, whatever they
    /// weigh: [`Divisor::Voxels`]. With one channel it is [`CrossEntropy::binary`], `weight` its positive weight and no
    /// part of Dice, and label smoothing is not used. Of `reduction="sum"` it is [`Divisor::One`].
    pub fn monai_dice_ce() -> Self {
        SoftDice::monai_dice() + CrossEntropy::default()
    }

    /// MONAI's `DiceFocalLoss`: [`SoftDice::monai_dice`] and [`Focal::monai_focal`], with a sigmoid even where Dice has
    /// a softmax.
    ///
    /// The class weights go to both terms; each reduces by itself.
    pub fn monai_dice_focal() -> Self {
        SoftDice::monai_dice() + Focal::monai_focal()
    }

    /// MONAI's `GeneralizedDiceFocalLoss`: [`GeneralizedDice::monai_gdl`] and [`Focal::monai_focal`]. The class weights
    /// are those of the focal term alone.
    pub fn monai_gdl_focal() -> Self {
        GeneralizedDice::monai_gdl() + Focal::monai_focal()
    }

    /// MONAI's `AsymmetricUnifiedFocalLoss` (Yeung et al. 2022, "Unified focal loss") with its defaults of weight ½,
    /// γ = ½ and δ = 0.7, see [`monai_unified_focal_of`](Self::monai_unified_focal_of).
    pub fn monai_unified_focal() -> Self {
        Self::monai_unified_focal_of(0.5, 0.5, 0.7)
    }

    /// weight · [`Focal::monai_asymmetric_focal`] + (1 − weight) · [`FocalTversky::monai_asymmetric_focal_tversky`]
    /// with one γ and δ for both, of given probabilities of the two channels background and class.
    ///
    /// MONAI's reduction has no effect on it. An ignored voxel leaves every sum and stays in the divisor of the focal
    /// term; MONAI counts it as claimed by 1e-7 in each channel. γ must be below 1 unless the weight is 1.
    pub fn monai_unified_focal_of(weight: f64, gamma: f64, delta: f64) -> Self {
        let focal = Focal {
            exponents: [gamma, 0.0].into(),
            class_weights: asymmetric_weights(delta),
            divisor: Divisor::AllElements,
            ..Focal::monai_asymmetric_focal()
        };
        let tversky = asymmetric_focal_tversky(delta, [1.0, 1.0 - gamma].into());
        without_zeros(weight * focal + (1.0 - weight) * tversky)
    }

    /// [`monai_unified_focal`](Self::monai_unified_focal) of one channel p, which stands for (1 − p, p).
    pub fn monai_unified_focal_one_channel() -> Self {
        Self::monai_unified_focal_one_channel_of(0.5, 0.5, 0.7)
    }

    /// [`monai_unified_focal_of`](Self::monai_unified_focal_of) of one channel p, which stands for (1 − p, p): a term
    /// of F⁺ for the class and one of F⁻ for the rest, and two Tversky terms, the one of the rest by
    /// [`Options::complement`].
    pub fn monai_unified_focal_one_channel_of(weight: f64, gamma: f64, delta: f64) -> Self {
        let focal = |exponent: f64, alpha: f64| Focal {
            activation: Activation::None,
            binary: true,
            exponents: [exponent].into(),
            alpha: Some(alpha),
            divisor: Divisor::AllElements,
            grouping: Grouping::Batch,
            reduction: Reduction::Mean,
            ..Focal::default()
        };
        let tversky = |exponent: f64, complement: bool| {
            let mut loss = asymmetric_focal_tversky(delta, [exponent].into());
            loss.tversky.options.complement = complement;
            loss
        };
        // The mean is over two channels.
        let (of_focal, of_tversky) = (0.5 * weight, 0.5 * (1.0 - weight));
        let of_class_and_rest = delta * focal(0.0, 1.0) + (1.0 - delta) * focal(gamma, 0.0);
        without_zeros(of_focal * of_class_and_rest + of_tversky * (tversky(1.0, true) + tversky(1.0 - gamma, false)))
    }
}
