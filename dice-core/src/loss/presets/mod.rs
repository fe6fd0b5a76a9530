//! Every peer's conventions, one constructor each; a module per peer says what its losses have in common.
//!
//! A preset has its owner's formula, policies and defaults, tested against numbers that its owner's code gave. It
//! differs where a finite input would give the owner NaN or infinity: then the value is 0 with gradient 0, or what the
//! doc says.

pub mod burn;
pub mod jdt;
pub mod keras;
pub mod kornia;
pub mod monai;
pub mod niftynet;
pub mod nnunet;
pub mod papers;
pub mod question;
pub mod segmentation_models;

use crate::loss::compound::Compound;
use crate::loss::cross_entropy::CrossEntropy;
use crate::loss::focal::Focal;
use crate::loss::generalized_dice::GeneralizedDice;
use crate::loss::jaccard::Jaccard;
use crate::loss::mcc::Mcc;
use crate::loss::soft_dice::SoftDice;
use crate::loss::tversky::{FocalTversky, Tversky};
use crate::loss::wasserstein::Wasserstein;

/// The name of a preset and its constructor.
pub type Preset<L = Compound> = (&'static str, fn() -> L);

impl Compound {
    /// Every preset with its name, which is that of its constructor; `default` is the default of this type, and
    /// `generalized_dice` is [`GeneralizedDice::default`].
    pub const PRESETS: &'static [Preset] = &[
        ("default", Self::default),
        ("generalized_dice", || GeneralizedDice::default().into()),
        ("sudre2017", || GeneralizedDice::sudre2017().into()),
        ("fidon2017", || Wasserstein::fidon2017().into()),
        ("batch_pooled", || GeneralizedDice::batch_pooled().into()),
        ("per_sample", || GeneralizedDice::per_sample().into()),
        ("monai_gdl", || GeneralizedDice::monai_gdl().into()),
        ("monai_dice", || SoftDice::monai_dice().into()),
        ("monai_masked", || SoftDice::monai_masked().into()),
        ("monai_jaccard", || Jaccard::monai_jaccard().into()),
        ("monai_tversky", || Tversky::monai_tversky().into()),
        ("monai_mcc", || Mcc::monai_mcc().into()),
        ("monai_focal", || Focal::monai_focal().into()),
        ("monai_asymmetric_focal", || Focal::monai_asymmetric_focal().into()),
        ("monai_asymmetric_focal_tversky", || FocalTversky::monai_asymmetric_focal_tversky().into()),
        ("monai_gwdl", || Wasserstein::monai_gwdl().into()),
        ("monai_dice_ce", Compound::monai_dice_ce),
        ("monai_dice_focal", Compound::monai_dice_focal),
        ("monai_gdl_focal", Compound::monai_gdl_focal),
        ("monai_unified_focal", Compound::monai_unified_focal),
        ("monai_unified_focal_one_channel", Compound::monai_unified_focal_one_channel),
        ("nnunet_dice", || SoftDice::nnunet_dice().into()),
        ("nnunet_dc_ce", Compound::nnunet_dc_ce),
        ("nnunet_dc_bce", Compound::nnunet_dc_bce),
        ("smp_dice", || SoftDice::smp_dice().into()),
        ("smp_jaccard", || Jaccard::smp_jaccard().into()),
        ("smp_tversky", || Tversky::smp_tversky().into()),
        ("smp_focal", || Focal::smp_focal().into()),
        ("smp_soft_ce", || CrossEntropy::smp_soft_ce().into()),
        ("smp_soft_bce", || CrossEntropy::smp_soft_bce().into()),
        ("smp_mcc", || Mcc::smp_mcc().into()),
        ("keras_dice", || SoftDice::keras_dice().into()),
        ("keras_tversky", || Tversky::keras_tversky().into()),
        ("keras_crossentropy", || CrossEntropy::keras_crossentropy().into()),
        ("kornia_dice", || SoftDice::kornia_dice().into()),
        ("kornia09_dice", || SoftDice::kornia09_dice().into()),
        ("kornia_tversky", || Tversky::kornia_tversky().into()),
        ("kornia09_tversky", || Tversky::kornia09_tversky().into()),
        ("kornia_focal", || Focal::kornia_focal().into()),
        ("kornia_binary_focal", || Focal::kornia_binary_focal().into()),
        ("niftynet_gdl", || GeneralizedDice::niftynet_gdl().into()),
        ("niftynet_dice", || SoftDice::niftynet_dice().into()),
        ("niftynet_dice_ns", || SoftDice::niftynet_dice_ns().into()),
        ("niftynet_tversky", || Tversky::niftynet_tversky().into()),
        ("niftynet_dice_xent", Compound::niftynet_dice_xent),
        ("jdt", Compound::jdt),
        ("jdt_soft", Compound::jdt_soft),
        ("burn_dice", || SoftDice::burn_dice().into()),
    ];

    /// The preset of this name, see [`PRESETS`](Self::PRESETS).
    pub fn preset(name: &str) -> Option<Self> {
        Self::PRESETS.iter().find(|(known, _)| *known == name).map(|(_, make)| make())
    }
}

impl GeneralizedDice {
    /// The presets that are a generalised Dice loss alone, with their names.
    pub const PRESETS: [Preset<Self>; 6] = [
        ("generalized_dice", Self::default),
        ("sudre2017", Self::sudre2017),
        ("monai_gdl", Self::monai_gdl),
        ("niftynet_gdl", Self::niftynet_gdl),
        ("batch_pooled", Self::batch_pooled),
        ("per_sample", Self::per_sample),
    ];

    /// The preset of this name: `generalized_dice`, `sudre2017`, `monai_gdl`, `niftynet_gdl`, `batch_pooled` or `per_sample`.
    pub fn preset(name: &str) -> Option<Self> {
        Self::PRESETS.iter().find(|(known, _)| *known == name).map(|(_, make)| make())
    }
}
