//! The losses: one file of scalar code each.

mod generalized_dice;
mod presets;

pub use generalized_dice::{AbsentClass, ClassWeighting, GeneralizedDice, NonFiniteLoss, WeightScale};
pub use presets::Preset;
