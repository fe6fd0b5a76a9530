//! The losses: one file of scalar code each.

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
