//! nnU-Net 2, `nnunetv2.training.loss`.

use crate::head::Grouping;
use crate::loss::compound::Compound;
use crate::loss::cross_entropy::CrossEntropy;
use crate::loss::options::{Empty, Options};
use crate::loss::soft_dice::SoftDice;
use crate::loss::transform::Transform;

impl SoftDice {
    /// nnU-Net's `SoftDiceLoss`, and `MemoryEfficientSoftDiceLoss`, which is equal: minus the score, 2I + s over
    /// S + T + s of at least 1e-8, mean over samples and classes.
    ///
    /// `smooth` is both smoothings, 1 as in the class (its trainers set 1e-5), `do_bg=False` is
    /// [`exclude_background`](Options::exclude_background), `batch_dice` is [`Grouping::Batch`], `clip_tp` is
    /// [`least_intersection`](Self::least_intersection). The softmax is that of its compounds; the class has none of
    /// its own. A class that is nowhere in target and prediction has the value −1, or 0 without smoothing.
    pub fn nnunet_dice() -> Self {
        let options = Options {
            smooth_numerator: 1.0,
            smooth_denominator: 1.0,
            least_denominator: 1e-8,
            transform: Transform::NegativeScore,
            empty: Empty::Ratio,
            grouping: Grouping::PerSample,
            ..Options::default()
        };
        Self { options, ..Self::default() }
    }

    /// As the trainers set it: without background, smoothing 1e-5.
    fn nnunet_trainer_dice() -> Self {
        let mut loss = Self::nnunet_dice();
        loss.options.smooth_numerator = 1e-5;
        loss.options.smooth_denominator = 1e-5;
        loss.options.exclude_background = true;
        loss
    }
}

impl Compound {
    /// nnU-Net's `DC_and_CE_loss` as its trainers set it: [`SoftDice::nnunet_dice`] without background and with
    /// smoothing 1e-5, and PyTorch's cross-entropy over the voxels of the batch that count, all classes.
    ///
    /// `weight_dice` and `weight_ce` are the [factors](crate::loss::compound::Term::factor), `ce_kwargs` the fields of
    /// the cross-entropy, `ignore_label` that of the problem. Where no voxel counts, the cross-entropy is 0.
    pub fn nnunet_dc_ce() -> Self {
        SoftDice::nnunet_trainer_dice() + CrossEntropy::default()
    }

    /// nnU-Net's `DC_and_BCE_loss` for regions: the same with a sigmoid, all channels in both terms, the binary
    /// cross-entropy's mean over voxels and channels.
    ///
    /// With `use_ignore_label` its mean is over the voxels that count, not over the channels:
    /// [`Divisor::Voxels`](crate::loss::voxel_loss::Divisor::Voxels), and the target's last channel is the problem's
    /// mask.
    pub fn nnunet_dc_bce() -> Self {
        let mut dice = SoftDice::nnunet_trainer_dice();
        dice.options.activation = crate::activation::Activation::Sigmoid;
        dice.options.exclude_background = false;
        dice + CrossEntropy::binary()
    }
}
