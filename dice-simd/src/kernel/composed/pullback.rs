//! Step 3 for any request.
//!
//! Each part adds its gradient to rows of the block, which are weighted and written when all parts have.

use dice_core::Sum;

use super::costs::ByCosts;
use super::Composed;
use super::logarithms::{ByLogarithms, ByLogarithmsOfLabels};
use super::part::{ActivatePart, Logs, PartRows, fit_rows};
use super::plan::{Part, Truth, with_truth};
use super::probabilities::ByProbability;
use super::scratch::ComposedScratch;
use super::slopes::ComposedSlopes;
use super::through::ThroughActivation;
use crate::block::{BLOCK, Row, VECTORS};
use crate::element::{Element, Output};
use crate::gather::{self, BLOCKS_TOGETHER, FirstBad, Logits, Reading, Rows};
use crate::keep::{Keep, Lent};
use crate::kernel::pullback::PullbackPass;
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;

impl<R: Real + Output> Kernel for Composed<PullbackPass<'_, R>>
where
    ComposedScratch<R>: Keep,
{
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let PullbackPass { source, tiles, cotangent, upstream, sink, .. } = self.0;
        let (classes, labels, request) = (source.classes(), source.is_labels(), cotangent.request());
        let mut scratch = Lent::<ComposedScratch<R>>::of_thread();
        let ComposedScratch { stage, slopes, rows, numbers, sink: out, .. } = &mut *scratch;
        source.fit(stage);
        sink.fit(out);
        slopes.fit(cotangent);
        numbers.fit(request);
        fit_rows(rows, request, classes, labels);
        let mut channels = Row([0; BLOCK]);
        for tile in tiles.claims() {
            slopes.turn_to(cotangent, upstream, cotangent.row(tile.sample), labels);
            let silent = !slopes.depends.contains(&true);
            let mut spans = tile.spans();
            while let Some(run) = source.run(lanes, &mut spans, BLOCKS_TOGETHER) {
                for block in 0..run.len() {
                    let span = run.span(block);
                    // Labels were looked at before; one that is no class does not count.
                    let bad = &mut FirstBad::default();
                    let block = source.block_of(lanes, stage, &run, block, bad, Reading::Numbers);
                    // SAFETY: the tile is this thread's alone, so are its voxels.
                    let mut target = unsafe { sink.blocks::<R, R>(out, &span, 1, false) };
                    if block.counted == 0 || silent {
                        target.block(0).fill(lanes, lanes.splat(R::ZERO));
                    } else {
                        let Logits::Real(logits) = block.logits else { unreachable!("numbers were asked for") };
                        let truth = match block.truth {
                            gather::Truth::Labels(labels) => Truth::Labels(labels.row(lanes, &mut channels)),
                            gather::Truth::Dense(target) => Truth::Dense(target),
                        };
                        slopes.gradient.fill(Row([R::ZERO; BLOCK]));
                        let mut costs = 0;
                        for (number, part) in numbers.parts(request, labels).enumerate() {
                            slopes.add_part::<L, GROUP>(lanes, &part, number, costs, logits, truth, rows);
                            costs += part.costs.len();
                        }
                        let mut to = target.block(0);
                        for (class, gradient) in slopes.gradient.iter().enumerate() {
                            for j in 0..VECTORS {
                                let mut x = lanes.load(gradient.vector(j));
                                if let Some(weights) = block.weights {
                                    let weight = lanes.load(weights.vector(j));
                                    let counts = lanes.gt(weight, lanes.splat(R::ZERO));
                                    x = lanes.keep(counts, lanes.mul(weight, x));
                                }
                                to.put(lanes, class, j, x);
                            }
                        }
                    }
                    target.store(lanes, 0);
                }
            }
            // SAFETY: as above.
            unsafe { sink.finish(out) };
        }
        lanes.fence();
    }
}

impl<R: Real + Element> ComposedSlopes<R> {
    /// Adds the gradient of a part of a block, weights apart.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "a block is all of that")]
    fn add_part<L: Lanes<R = R>, const GROUP: usize>(
        &mut self,
        lanes: L,
        part: &Part<'_, R>,
        number: usize,
        first_cost: usize,
        logits: Rows<'_, R>,
        truth: Truth<'_, R>,
        rows: &mut PartRows<R>,
    ) {
        let classes = self.gradient.len();
        let of_part = number * classes..(number + 1) * classes;
        let depends = &self.depends[of_part.clone()];
        if !depends.contains(&true) {
            return;
        }
        let (by_p, by_logs) = (&self.by_p[of_part.clone()], &self.by_logs[of_part]);
        let Part { activation, sums, logs, exponents, costs } = *part;
        // Logarithms that the loss does not depend on are not computed; nor are those that need none but their sums do.
        let by_log = by_logs.iter().any(|slope| slope.is_some());
        let is_focal = exponents.powers.iter().any(|(exponent, _)| *exponent != R::ZERO);
        let taken = if by_log && is_focal { logs } else { Logs::None };
        lanes.call::<_, GROUP>(ActivatePart { activation, logs: taken, logits, rows });
        let (rows, probabilities) = (&*rows, rows.probabilities());
        let by_cost = sums.contains(Sum::Cost);
        let by_p = if by_cost || by_p.iter().any(|slope| slope.is_some()) {
            let u = &mut self.u[..];
            with_truth!(truth, truth => {
                lanes.call::<_, GROUP>(ByProbability { slopes: by_p, probabilities, truth, u });
            });
            if let (true, Truth::Labels(labels)) = (by_cost, truth) {
                let slopes = &self.by_costs[first_cost..][..costs.len()];
                lanes.call::<_, GROUP>(ByCosts { slopes, labels, u: &mut self.u });
            }
            Some(&self.u[..])
        } else {
            None
        };
        let by_log = if by_log {
            let q = &mut self.q[..];
            match (truth, logs) {
                (Truth::Labels(labels), Logs::OfLabels) => {
                    let slopes = by_logs;
                    lanes.call::<_, GROUP>(ByLogarithmsOfLabels { logits, slopes, exponents, rows, labels, q });
                }
                (truth, _) => with_truth!(truth, truth => lanes.call::<_, GROUP>(ByLogarithms {
                    activation, slopes: by_logs, exponents, rows, truth, q,
                })),
            }
            Some(&self.q[..])
        } else {
            None
        };
        let gradient = &mut self.gradient[..];
        lanes.call::<_, GROUP>(ThroughActivation { activation, probabilities, by_p, by_log, depends, gradient });
    }
}
