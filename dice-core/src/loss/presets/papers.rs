//! The papers' own losses, by their authors' code where there is some.

use crate::loss::generalized_dice::{AbsentClass, ClassWeighting, GeneralizedDice, WeightScale};
use crate::loss::options::Empty;
use crate::loss::wasserstein::Wasserstein;

impl GeneralizedDice {
    /// Sudre et al. 2017: softmax, weights 1/T², an absent class has the largest weight of the present ones, no
    /// smoothing, mean over the samples. 0/0 is loss 0.
    pub fn sudre2017() -> Self {
        Self {
            weighting: ClassWeighting::InverseSquare,
            absent: AbsentClass::MaxFinite,
            scale: WeightScale::Raw,
            empty: Empty::Ratio,
            ..Self::default()
        }
    }
}

impl Wasserstein {
    /// Fidon et al. 2017, the authors' `GeneralizedWassersteinDiceLoss`: softmax, a smoothing of 2⁻⁵² in numerator and
    /// denominator, mean over the samples.
    ///
    /// [`costs`](Self::costs) is its `dist_matrix` M, row after row, that of the true class first; it is divided by its
    /// greatest cost. It is empty here, an error until it is set: nobody but the user knows it. `weighting_mode="GDL"`
    /// is [`WassersteinWeighting::Inverse`](crate::loss::wasserstein::WassersteinWeighting::Inverse).
    pub fn fidon2017() -> Self {
        Self {
            normalise_costs: true,
            smooth_numerator: f64::EPSILON,
            smooth_denominator: f64::EPSILON,
            empty: Empty::Ratio,
            ..Self::default()
        }
    }
}
