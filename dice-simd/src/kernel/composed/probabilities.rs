//! The sums of the probabilities: volume, intersection, squares and difference from the target; and their slope.

use dice_core::Sum;

use super::apart::vectors;
use crate::block::Row;
use crate::kernel::activate::Probabilities;
use crate::kernel::slope::Slope;
use crate::kernel::sums::LaneSum;
use crate::kernel::truth::Truth;
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;

/// Adds a block.
pub(super) struct AddProbabilities<'s, R, T> {
    /// Those of them that are asked for.
    pub(super) sums: dice_core::Sums,
    pub(super) probabilities: Probabilities<'s, R>,
    pub(super) truth: T,
    /// Absent if all are 1.
    pub(super) weights: Option<&'s Row<R>>,
    pub(super) columns: &'s mut [LaneSum<R>],
    /// Columns of a class, and where these begin.
    pub(super) width: usize,
    pub(super) first: usize,
}

impl<R: Real, T: Truth<R>> Kernel for AddProbabilities<'_, R, T> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { sums, probabilities: Probabilities { e, r }, truth, weights, columns, width, first } = self;
        let zero = lanes.splat(R::ZERO);
        let mut weighted = *r;
        if let Some(weights) = weights {
            for j in 0..vectors::<L>() {
                let weight = lanes.load(weights.vector(j));
                lanes.store(weighted.vector_mut(j), lanes.mul(lanes.load(r.vector(j)), weight));
            }
        }
        for (class, (e, columns)) in e.iter().zip(columns.chunks_exact_mut(width)).enumerate() {
            let mut columns = columns[first..].iter_mut();
            let mut add = |total| columns.next().expect("a column per sum").add(lanes, total);
            // In the order of the plain pass, so that its sums have the same bits.
            if sums.contains(Sum::Prediction) {
                let mut total = lanes.mul(lanes.load(e.vector(0)), lanes.load(weighted.vector(0)));
                for j in 1..vectors::<L>() {
                    total = lanes.fma(lanes.load(e.vector(j)), lanes.load(weighted.vector(j)), total);
                }
                add(total);
            }
            if sums.contains(Sum::Intersection) {
                let mut total = zero;
                for j in 0..vectors::<L>() {
                    let (e, r) = (lanes.load(e.vector(j)), lanes.load(weighted.vector(j)));
                    total = truth.add_product(lanes, [class, j], e, r, total);
                }
                add(total);
            }
            if sums.contains(Sum::PredictionSquares) {
                let mut total = zero;
                for j in 0..vectors::<L>() {
                    let e = lanes.load(e.vector(j));
                    let p = lanes.mul(e, lanes.load(r.vector(j)));
                    total = lanes.fma(p, lanes.mul(e, lanes.load(weighted.vector(j))), total);
                }
                add(total);
            }
            if sums.contains(Sum::Difference) {
                // −|p − g|.
                let mut total = zero;
                for j in 0..vectors::<L>() {
                    let p = lanes.mul(lanes.load(e.vector(j)), lanes.load(r.vector(j)));
                    let g = truth.part(lanes, class, j, lanes.splat(R::ONE));
                    let difference = lanes.neg_abs(lanes.sub(p, g));
                    total = match weights {
                        Some(weights) => lanes.fma(difference, lanes.load(weights.vector(j)), total),
                        None => lanes.add(difference, total),
                    };
                }
                add(lanes.sub(zero, total));
            }
        }
    }
}

/// The slope of a class by its probability, the parts of it that are not everywhere the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProbabilitySlope<R> {
    pub(super) slope: Slope<R>,
    /// 2 ∂L/∂S2.
    pub(super) squares: R,
    /// ∂L/∂A.
    pub(super) difference: R,
}

impl<R: Real> ProbabilitySlope<R> {
    /// Whether the loss depends on any of them.
    pub(super) fn is_some(&self) -> bool {
        !self.slope.is_zero() || self.squares != R::ZERO || self.difference != R::ZERO
    }
}

/// Writes ∂L/∂p of a block to `u`.
pub(super) struct ByProbability<'s, R, T> {
    pub(super) slopes: &'s [ProbabilitySlope<R>],
    pub(super) probabilities: Probabilities<'s, R>,
    pub(super) truth: T,
    pub(super) u: &'s mut [Row<R>],
}

impl<R: Real, T: Truth<R>> Kernel for ByProbability<'_, R, T> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { slopes, probabilities: Probabilities { e, r }, truth, u } = self;
        let zero = lanes.splat(R::ZERO);
        for (class, ((slope, e), u)) in slopes.iter().zip(e).zip(u).enumerate() {
            let ProbabilitySlope { slope, squares, difference } = *slope;
            for j in 0..vectors::<L>() {
                let mut by_p = truth.slope(lanes, class, j, slope);
                if squares != R::ZERO || difference != R::ZERO {
                    let p = lanes.mul(lanes.load(e.vector(j)), lanes.load(r.vector(j)));
                    by_p = lanes.fma(lanes.splat(squares), p, by_p);
                    if difference != R::ZERO {
                        let g = truth.part(lanes, class, j, lanes.splat(R::ONE));
                        let below = lanes.select(lanes.gt(g, p), lanes.splat(R::ZERO - difference), zero);
                        let sign = lanes.select(lanes.gt(p, g), lanes.splat(difference), below);
                        by_p = lanes.add(by_p, sign);
                    }
                }
                lanes.store(u.vector_mut(j), by_p);
            }
        }
    }
}
