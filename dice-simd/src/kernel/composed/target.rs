//! The sums of the target alone: T, T2 and the voxels that belong to a class altogether.

use dice_core::Sum;

use super::apart::vectors;
use crate::block::Row;
use crate::kernel::sums::LaneSum;
use crate::kernel::truth::Truth;
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;

/// Adds a block that is weighted or dense.
pub(super) struct AddTarget<'s, R, T> {
    pub(super) sums: dice_core::Sums,
    pub(super) truth: T,
    pub(super) weights: &'s Row<R>,
    pub(super) valid: &'s mut LaneSum<R>,
    /// Per class the columns of the request, those of the target first.
    pub(super) columns: &'s mut [LaneSum<R>],
    pub(super) width: usize,
}

impl<R: Real, T: Truth<R>> Kernel for AddTarget<'_, R, T> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { sums, truth, weights, valid, columns, width } = self;
        let (zero, one) = (lanes.splat(R::ZERO), lanes.splat(R::ONE));
        for j in 0..vectors::<L>() {
            valid.add(lanes, lanes.load(weights.vector(j)));
        }
        for (class, columns) in columns.chunks_exact_mut(width.max(1)).enumerate() {
            let mut columns = columns.iter_mut();
            if sums.contains(Sum::Target) {
                let mut total = truth.part(lanes, class, 0, lanes.load(weights.vector(0)));
                for j in 1..vectors::<L>() {
                    total = lanes.add(total, truth.part(lanes, class, j, lanes.load(weights.vector(j))));
                }
                columns.next().expect("a column per sum").add(lanes, total);
            }
            if sums.contains(Sum::TargetSquares) {
                let mut total = zero;
                for j in 0..vectors::<L>() {
                    let g = truth.part(lanes, class, j, one);
                    total = lanes.fma(truth.part(lanes, class, j, g), lanes.load(weights.vector(j)), total);
                }
                columns.next().expect("a column per sum").add(lanes, total);
            }
            if sums.contains(Sum::TargetOnes) {
                let mut total = zero;
                for j in 0..vectors::<L>() {
                    let g = truth.part(lanes, class, j, one);
                    // Neither above nor below 1, nor NaN.
                    let not_below = lanes.select(lanes.gt(one, g), zero, lanes.load(weights.vector(j)));
                    total = lanes.add(total, lanes.select(lanes.gt(g, one), zero, not_below));
                }
                columns.next().expect("a column per sum").add(lanes, total);
            }
        }
    }
}
