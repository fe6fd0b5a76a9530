//! burn, `burn::train::metric`.

use crate::activation::Activation;
use crate::head::Grouping;
use crate::loss::options::{Empty, Options, Pooling};
use crate::loss::soft_dice::SoftDice;

impl SoftDice {
    /// 1 minus burn's `DiceMetric`, which is a score of hard predictions: samples and classes in one pool, without
    /// background, 1e-7 in numerator and denominator. `include_background` is
    /// [`exclude_background`](Options::exclude_background).
    pub fn burn_dice() -> Self {
        let options = Options {
            activation: Activation::None,
            smooth_numerator: 1e-7,
            smooth_denominator: 1e-7,
            exclude_background: true,
            pooling: Pooling::AllClasses,
            empty: Empty::Ratio,
            grouping: Grouping::Batch,
            ..Options::default()
        };
        Self { options, ..Self::default() }
    }
}
