//! Keras 3, `keras.losses`.

use crate::activation::Activation;
use crate::head::Grouping;
use crate::loss::cross_entropy::CrossEntropy;
use crate::loss::options::{Empty, Options, Pooling};
use crate::loss::soft_dice::SoftDice;
use crate::loss::tversky::Tversky;
use crate::loss::voxel_loss::Divisor;

/// Samples and classes in one pool, 1e-7 in the denominator, on given predictions, which may lie outside of [0, 1].
fn options() -> Options {
    Options {
        activation: Activation::None,
        smooth_denominator: 1e-7,
        pooling: Pooling::AllClasses,
        empty: Empty::Ratio,
        grouping: Grouping::Batch,
        ..Options::default()
    }
}

impl SoftDice {
    /// Keras' `Dice` with `axis=None`: of given predictions, samples and classes in one pool, 1e-7 in the denominator.
    ///
    /// With all axes but that of the batch it is [`Grouping::PerSample`] and, as Keras gives a value per sample,
    /// [`Reduction::None`](crate::head::Reduction::None).
    pub fn keras_dice() -> Self {
        Self { options: options(), ..Self::default() }
    }
}

impl Tversky {
    /// Keras' `Tversky`, with axes as in [`SoftDice::keras_dice`].
    ///
    /// `alpha` and `beta` are [`false_positives`](Self::false_positives) and
    /// [`false_negatives`](Self::false_negatives), ½ each; in releases up to 3.15.1 they are the other way round,
    /// against their documentation.
    pub fn keras_tversky() -> Self {
        Self { options: options(), ..Self::default() }
    }
}

impl CrossEntropy {
    /// Keras' `CategoricalCrossentropy(from_logits=True)`: softmax, mean over the voxels.
    ///
    /// `label_smoothing` is [`label_smoothing`](Self::label_smoothing), `reduction="sum"` is [`Divisor::One`]. With
    /// `from_logits=False` Keras divides p by its sum over the classes and clamps it to [1e-7, 1 − 1e-7]; that division
    /// is no activation here. It is a softmax of ln p, so ln p as logits and the chain rule, 1/p, give the same, but
    /// for the clamp.
    pub fn keras_crossentropy() -> Self {
        Self { divisor: Divisor::Voxels, ..Self::default() }
    }
}
