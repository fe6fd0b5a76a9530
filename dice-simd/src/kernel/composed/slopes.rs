//! The slopes of a group by all that its loss depends on.

use dice_core::{Activation, Cotangent, Sum, Sums};

use super::logarithms::LogSlope;
use super::probabilities::ProbabilitySlope;
use crate::block::Row;
use crate::keep::fit;
use crate::kernel::slope::{Slope, rounded};
use crate::real::Real;

/// The slopes of a group, per part and class, and the rows of the gradient.
#[derive(Debug, Default)]
pub(super) struct ComposedSlopes<R> {
    pub(super) by_p: Vec<ProbabilitySlope<R>>,
    pub(super) by_logs: Vec<LogSlope<R>>,
    /// ∂L/∂W of the true class times the cost, of part after part that has costs.
    pub(super) by_costs: Vec<R>,
    /// Of each part, whether the loss depends on a logarithm in any group: then so it is taken in all of them, as where kernels are
    /// [fused](super::fused).
    pub(super) takes_logs: Vec<bool>,
    /// Whether the loss depends on the channel.
    pub(super) depends: Vec<bool>,
    pub(super) gradient: Vec<Row<R>>,
    /// Whether no part has written the gradient of the block.
    pub(super) is_first: bool,
    pub(super) u: Vec<Row<R>>,
    pub(super) q: Vec<Row<R>>,
}

impl<R: Real> ComposedSlopes<R> {
    /// Makes room for the slopes of a cotangent.
    pub(super) fn fit(&mut self, cotangent: &Cotangent) {
        let (parts, classes) = (cotangent.request().parts(), cotangent.classes());
        let costs = (0..parts).map(|part| cotangent.request().part(part).costs.len()).sum();
        let slope = Slope { inside: R::ZERO, outside: R::ZERO };
        let by_p = ProbabilitySlope { slope, squares: R::ZERO, difference: R::ZERO };
        let zero = R::ZERO;
        let by_logs = LogSlope { inside: zero, outside: zero, everywhere: zero, complement: zero };
        fit(&mut self.takes_logs, parts, false);
        for (part, takes_logs) in self.takes_logs.iter_mut().enumerate() {
            let mut columns = Sums::LOGS.iter().filter_map(|sum| cotangent.request().column(part, sum));
            let width = cotangent.request().columns().max(1);
            *takes_logs = columns.any(|column| cotangent.as_slice().chunks_exact(width).any(|row| row[column] != 0.0));
        }
        fit(&mut self.by_p, parts * classes, by_p);
        fit(&mut self.by_logs, parts * classes, by_logs);
        fit(&mut self.by_costs, costs, zero);
        fit(&mut self.depends, parts * classes, false);
        fit(&mut self.gradient, classes, Row::default());
        fit(&mut self.u, classes, Row::default());
        fit(&mut self.q, if self.takes_logs.contains(&true) { classes } else { 0 }, Row::default());
    }

    /// Makes them those of a row of the cotangent.
    pub(super) fn turn_to(&mut self, cotangent: &Cotangent, upstream: &[f64], row: usize, labels: bool) {
        let (request, classes) = (cotangent.request(), cotangent.classes());
        let mut costs = self.by_costs.iter_mut();
        for part in 0..request.parts() {
            let needs = request.part(part);
            let difference_follows = labels && needs.activation != Activation::None;
            let mut has_costs = false;
            for class in 0..classes {
                let place = part * classes + class;
                let factor = cotangent.upstream(row, class, upstream);
                let by = |sum| rounded::<R>(factor, cotangent.get(row, class, part, sum));
                self.by_p[place] = ProbabilitySlope {
                    slope: Slope::new(cotangent, upstream, row, class, part, difference_follows),
                    squares: rounded(2.0 * factor, cotangent.get(row, class, part, Sum::PredictionSquares)),
                    difference: if difference_follows { R::ZERO } else { by(Sum::Difference) },
                };
                self.by_logs[place] = LogSlope {
                    inside: by(Sum::LogInside),
                    outside: by(Sum::LogOutside),
                    everywhere: by(Sum::LogEverywhere),
                    complement: by(Sum::LogComplement),
                };
                self.depends[place] = self.by_p[place].is_some() || self.by_logs[place].is_some();
                if needs.sums.contains(Sum::Cost) {
                    let by_cost = cotangent.get(row, class, part, Sum::Cost);
                    for (cost, to) in needs.costs[class * classes..][..classes].iter().zip(costs.by_ref()) {
                        *to = rounded(factor, by_cost * cost);
                        has_costs |= *to != R::ZERO;
                    }
                }
            }
            if has_costs {
                self.depends[part * classes..][..classes].fill(true);
            }
        }
    }
}
