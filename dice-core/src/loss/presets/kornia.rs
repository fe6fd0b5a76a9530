//! kornia, `kornia.losses`.

use crate::head::Grouping;
use crate::loss::focal::Focal;
use crate::loss::options::{ClassWeights, Empty, MeanOrder, Options, Pooling, WeightMode};
use crate::loss::soft_dice::SoftDice;
use crate::loss::tversky::Tversky;
use crate::loss::voxel_loss::Divisor;

/// A softmax, 1e-8 in the denominator, the classes of a sample in one pool.
fn options() -> Options {
    Options {
        smooth_denominator: 1e-8,
        class_weights: ClassWeights { mode: WeightMode::Normalise, ..ClassWeights::default() },
        pooling: Pooling::AllClasses,
        empty: Empty::Ratio,
        grouping: Grouping::PerSample,
        ..Options::default()
    }
}

impl SoftDice {
    /// kornia's `dice_loss` up to version 0.8, `average="micro"`: softmax, the classes of a sample pooled, each with
    /// its weight, of the intersection with its square, mean over the samples; the target is softened by 1e-6.
    ///
    /// `average="macro"` is [`Pooling::PerClass`], whose class weights are divided by their sum.
    pub fn kornia_dice() -> Self {
        let options = Options { softening: 1e-6, pooling: Pooling::AllClassesSquared, ..options() };
        Self { options, ..Self::default() }
    }

    /// kornia's `dice_loss` of version 0.9, `average="micro"`: the target is not softened, and the weights are no
    /// longer squared.
    ///
    /// `average="macro"` is [`Pooling::PerClass`] with [`Empty::Skip`]: the mean is over the classes that a sample has.
    /// A sample that has none of any weight counts 1 there; here it leaves the mean, or counts 0 where it has others.
    pub fn kornia09_dice() -> Self {
        Self { options: Options { order: MeanOrder::ClassesFirst, ..options() }, ..Self::default() }
    }
}

impl Tversky {
    /// kornia's `tversky_loss` up to version 0.8: softmax, the classes of a sample pooled, mean over the samples.
    /// `alpha` and `beta` are [`false_positives`](Self::false_positives) and
    /// [`false_negatives`](Self::false_negatives), which have no default there; here they are ½ each.
    pub fn kornia_tversky() -> Self {
        Self { options: options(), ..Self::default() }
    }

    /// kornia's `tversky_loss` of version 0.9: the mean over the classes that a sample has, then over the samples. A
    /// sample that has none counts 1 there; here it leaves the mean.
    pub fn kornia09_tversky() -> Self {
        let options =
            Options { pooling: Pooling::PerClass, empty: Empty::Skip, order: MeanOrder::ClassesFirst, ..options() };
        Self { options, ..Self::default() }
    }
}

impl Focal {
    /// kornia's `focal_loss` with its mean: softmax, γ = 2, the factor 1 − α for class 0 and α for the others; mean
    /// over samples, classes and voxels, the ignored ones among them. `alpha` has no default there; here it is none.
    pub fn kornia_focal() -> Self {
        Self { divisor: Divisor::AllElements, ..Self::default() }
    }

    /// kornia's `binary_focal_loss_with_logits` with its mean: sigmoid, γ = 2, α = ¼, mean over all elements.
    /// `pos_weight` is [`positive_weights`](Self::positive_weights); a soft target weighs F⁺ and F⁻, as here.
    pub fn kornia_binary_focal() -> Self {
        Self { alpha: Some(0.25), divisor: Divisor::AllElements, ..Self::binary() }
    }
}
