//! The costs of mistaking one class for another, W, and their slope.

use super::apart::vectors;
use crate::block::{Row, VECTORS};
use crate::kernel::activate::Probabilities;
use crate::kernel::sums::LaneSum;
use crate::kernel::truth::Labels;
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;

/// Adds a block: of the voxels of each class what their probabilities cost.
pub(super) struct AddCosts<'s, R, T> {
    /// `[true class][predicted class]`.
    pub(super) costs: &'s [R],
    pub(super) probabilities: Probabilities<'s, R>,
    pub(super) labels: T,
    pub(super) weights: Option<&'s Row<R>>,
    pub(super) columns: &'s mut [LaneSum<R>],
    pub(super) width: usize,
    pub(super) column: usize,
}

impl<R: Real, T: Labels> Kernel for AddCosts<'_, R, T> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { costs, probabilities: Probabilities { e, r }, labels, weights, columns, width, column } = self;
        let classes = e.len();
        let zero = lanes.splat(R::ZERO);
        for (class, columns) in columns.chunks_exact_mut(width).enumerate() {
            let mut cost = [zero; VECTORS];
            for (e, &of_class) in e.iter().zip(&costs[class * classes..][..classes]) {
                if of_class != R::ZERO {
                    for (j, cost) in cost.iter_mut().enumerate() {
                        *cost = lanes.fma(lanes.load(e.vector(j)), lanes.splat(of_class), *cost);
                    }
                }
            }
            let mut total = zero;
            for (j, cost) in cost.into_iter().enumerate() {
                let mut r = lanes.load(r.vector(j));
                if let Some(weights) = weights {
                    r = lanes.mul(r, lanes.load(weights.vector(j)));
                }
                total = lanes.fma_where(labels.are(lanes, class, j), cost, r, total);
            }
            columns[column].add(lanes, total);
        }
    }
}

/// Adds what the costs contribute to ∂L/∂p of a block.
pub(super) struct ByCosts<'s, R, T> {
    /// ∂L/∂W of the true class times the cost, `[true class][predicted class]`.
    pub(super) slopes: &'s [R],
    pub(super) labels: T,
    pub(super) u: &'s mut [Row<R>],
}

impl<R: Real, T: Labels> Kernel for ByCosts<'_, R, T> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { slopes, labels, u } = self;
        let classes = u.len();
        for (class, u) in u.iter_mut().enumerate() {
            for j in 0..vectors::<L>() {
                let mut slope = lanes.splat(R::ZERO);
                for true_class in 0..classes {
                    let of_class = lanes.splat(slopes[true_class * classes + class]);
                    slope = lanes.select(labels.are(lanes, true_class, j), of_class, slope);
                }
                let total = lanes.add(lanes.load(u.vector(j)), slope);
                lanes.store(u.vector_mut(j), total);
            }
        }
    }
}
