//! Every peer's conventions for the generalised Dice loss, one constructor each.

use super::generalized_dice::{AbsentClass, GeneralizedDice, NonFiniteLoss, WeighedVolume, WeightScale};
use super::options::Empty;
use crate::activation::Activation;
use crate::head::Grouping;

/// The name of a preset and its constructor.
pub type Preset = (&'static str, fn() -> GeneralizedDice);

impl GeneralizedDice {
    /// Sudre et al. 2017: softmax, weights 1/T², an absent class has the largest weight of the present ones, no
    /// smoothing, mean over the samples.
    pub fn sudre2017() -> Self {
        Self { absent: AbsentClass::MaxFinite, scale: WeightScale::Raw, empty: Empty::Ratio, ..Self::default() }
    }

    /// MONAI's `GeneralizedDiceLoss` with its default smoothing of 1e-5, absolute, in numerator and denominator, on a
    /// softmax.
    ///
    /// Its options are fields: `w_type` is [`weighting`](Self::weighting), `include_background=False` is
    /// [`exclude_background`](Self::exclude_background), `batch=True` is [`Grouping::Batch`]; for MONAI's own default of
    /// no activation set [`activation`](Self::activation). Absolute smoothing makes the loss depend on the volume's size.
    pub fn monai_gdl() -> Self {
        Self { smooth_numerator: 1e-5, smooth_denominator: 1e-5, ..Self::sudre2017() }
    }

    /// NiftyNet's `GDSC`: softmax, weights 1/T² (its `Square`; `Simple` and `Uniform` are
    /// [`weighting`](Self::weighting)), S + T of a class counts as at least 1, mean over the samples.
    ///
    /// Where NiftyNet would give 0/0, the loss is 0; an absent class has the largest finite weight in `Simple` too.
    pub fn niftynet_gdl() -> Self {
        Self { least_union: 1.0, ..Self::sudre2017() }
    }

    /// The loss of the question that this library starts from: on probabilities, weights 1/(T² + 1e-5), the whole batch
    /// in one ratio.
    ///
    /// It is here to be compared with: one absent class has weight 1e5, drowns all others, and the gradient vanishes.
    pub fn batch_pooled() -> Self {
        Self {
            activation: Activation::None,
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
            absent: AbsentClass::Epsilon(1e-6),
            scale: WeightScale::Raw,
            empty: Empty::Ratio,
            non_finite: NonFiniteLoss::Zero,
            ..Self::default()
        }
    }

    /// The preset of this name: `default`, `sudre2017`, `monai_gdl`, `niftynet_gdl`, `batch_pooled` or `per_sample`.
    pub fn preset(name: &str) -> Option<Self> {
        Self::PRESETS.iter().find(|(known, _)| *known == name).map(|(_, make)| make())
    }

    /// Every preset with its name.
    pub const PRESETS: [Preset; 6] = [
        ("default", Self::default),
        ("sudre2017", Self::sudre2017),
        ("monai_gdl", Self::monai_gdl),
        ("niftynet_gdl", Self::niftynet_gdl),
        ("batch_pooled", Self::batch_pooled),
        ("per_sample", Self::per_sample),
    ];
}
