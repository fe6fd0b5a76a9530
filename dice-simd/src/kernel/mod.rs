//! The algorithms over voxels, each written once over [`Lanes`](crate::lanes::Lanes).
//!
//! A claimant walks over the blocks of its tiles. A block is 64 voxels, all classes of them, so small that its
//! probabilities stay in the L1 cache between the steps: maximum over the classes, exponentials and their sum, one
//! division per voxel, then the sums or the gradient class by class.
//!
//! Kernels are monomorphic in the lanes, f32 or f64, the [activation](activate) and a class bucket: 2 and 4 classes are
//! compiled with their loops unrolled, any other number shares one kernel. What a block looks like (labels or a dense target,
//! weights or none) is decided once per block.

mod activate;
mod blocks;
mod composed;
mod confusion;
mod counts;
mod each;
mod exp;
mod labels;
mod ln;
mod pairs;
mod power;
mod pullback;
mod sample;
mod scratch;
mod slope;
mod statistics;
mod sums;
mod truth;

pub(crate) use composed::{Composed, is_plain_cotangent, is_plain_request};
pub(crate) use confusion::{LogitConfusionPass, MapConfusionPass};
pub(crate) use counts::FoundConfusion;
pub use exp::{exp_m1_nonpositive, exp_m1_nonpositive_f64, exp_nonpositive, exp_nonpositive_f64};
pub(crate) use labels::{FoundLabels, LabelPass};
pub use ln::{ln_1p_unit, ln_1p_unit_f64, ln_positive, ln_positive_f64};
pub use power::{pow_unit, pow_unit_f64};
pub(crate) use pullback::PullbackPass;
pub(crate) use sample::Found;
pub(crate) use statistics::StatisticsPass;

use composed::ComposedScratch;
use confusion::CountScratch;
use scratch::Scratch;

use crate::keep::forget;

/// Gives back the room that this thread keeps for its next pass, at most 3 MiB: for a thread that makes no more calls, or whose room
/// came from memory that is wanted elsewhere. What a pass of this thread has at the moment is kept when that ends.
pub fn forget_rooms() {
    forget::<Scratch<f32>>();
    forget::<Scratch<f64>>();
    forget::<ComposedScratch<f32>>();
    forget::<ComposedScratch<f64>>();
    forget::<CountScratch>();
}
