//! The losses: one file of scalar code each, and a line in each of the lists here.

/// Gives every loss that a [`Compound`] may have to a macro, as its file and its type.
macro_rules! losses {
    ($to:ident) => {
        $to! {
            /// Sudre 2017.
            generalized_dice::GeneralizedDice,
            /// A ratio per class, plain or squared.
            soft_dice::SoftDice,
            /// Intersection over union.
            jaccard::Jaccard,
            /// False positives and false negatives weighed apart.
            tversky::Tversky,
            /// A power of it.
            tversky::FocalTversky,
            /// Costs of mistaking one class for another.
            wasserstein::Wasserstein,
            /// Matthews' correlation.
            mcc::Mcc,
            /// Cross-entropy.
            cross_entropy::CrossEntropy,
            /// Focal.
            focal::Focal,
        }
    };
}

mod compound;
mod cross_entropy;
mod focal;
mod generalized_dice;
mod jaccard;
mod mcc;
mod options;
mod per_class;
pub mod presets;
mod soft_dice;
mod transform;
mod tversky;
mod voxel_loss;
mod wasserstein;

pub use compound::{Compound, Loss, Term};
pub use cross_entropy::CrossEntropy;
pub use focal::Focal;
pub use generalized_dice::{AbsentClass, ClassWeighting, GeneralizedDice, NonFiniteLoss, WeighedVolume, WeightScale};
pub use jaccard::Jaccard;
pub use mcc::Mcc;
pub use options::{ClassWeights, Empty, MeanOrder, Options, Overlap, Pooling, VolumeWeighting, WeightMode};
pub use per_class::{ClassLoss, ClassSums, ClassValue, PerClass, Ratio, Volumes};
pub use presets::Preset;
pub use soft_dice::SoftDice;
pub use transform::Transform;
pub use tversky::{FocalTversky, Tversky};
pub use voxel_loss::Divisor;
pub use wasserstein::{Wasserstein, WassersteinWeighting};
