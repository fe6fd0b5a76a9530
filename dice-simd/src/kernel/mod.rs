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
mod confusion;
mod each;
mod exp;
mod labels;
mod ln;
mod pairs;
mod power;
mod pullback;
mod statistics;
mod truth;

pub(crate) use confusion::{Counts, FoundConfusion, LogitConfusionPass, MapConfusionPass};
pub use exp::{exp_m1_nonpositive, exp_m1_nonpositive_f64, exp_nonpositive, exp_nonpositive_f64};
pub(crate) use labels::LabelCheck;
pub use ln::{ln_1p_unit, ln_1p_unit_f64, ln_positive, ln_positive_f64};
pub(crate) use pairs::Pairs;
pub use power::{pow_unit, pow_unit_f64};
pub(crate) use pullback::{PullbackPass, Slope};
pub(crate) use statistics::{Found, StatisticsPass, TileSums};

use crate::tile::BLOCK;

/// One number per voxel of a block.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Row<T>(pub(crate) [T; BLOCK]);

impl<T: Default> Default for Row<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| T::default()))
    }
}

impl<T: Copy> Row<T> {
    /// The numbers of one vector of the block.
    #[inline(always)]
    pub(crate) fn vector(&self, vector: usize) -> &[T; crate::lanes::LANES] {
        self.0.as_chunks().0.get(vector).expect("a block has four vectors")
    }

    /// The numbers of one vector of the block, to write.
    #[inline(always)]
    pub(crate) fn vector_mut(&mut self, vector: usize) -> &mut [T; crate::lanes::LANES] {
        self.0.as_chunks_mut().0.get_mut(vector).expect("a block has four vectors")
    }
}

/// Calls `$run::<Activate, CLASSES>` for the activation and the class bucket: 0 stands for any number of classes. f64 has that
/// bucket only.
macro_rules! for_activation_and_classes {
    ($activation:expr, $classes:expr, $this:ident.$run:ident::<$lanes:ident, $group:ident>($($argument:expr),*)) => {
        match ($activation, $classes) {
            (Activation::Softmax, 2) if <$lanes::R as crate::real::Real>::HAS_CLASS_BUCKETS => {
                $this.$run::<$lanes, $group, activate::Softmax, 2>($($argument),*)
            }
            (Activation::Softmax, 4) if <$lanes::R as crate::real::Real>::HAS_CLASS_BUCKETS => {
                $this.$run::<$lanes, $group, activate::Softmax, 4>($($argument),*)
            }
            (Activation::Softmax, _) => $this.$run::<$lanes, $group, activate::Softmax, 0>($($argument),*),
            (Activation::Sigmoid, _) => $this.$run::<$lanes, $group, activate::Sigmoid, 0>($($argument),*),
            (Activation::None, _) => $this.$run::<$lanes, $group, activate::Identity, 0>($($argument),*),
        }
    };
}
use for_activation_and_classes;
