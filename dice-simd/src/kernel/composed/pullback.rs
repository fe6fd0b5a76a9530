//! Step 3 for any request.
//!
//! Each part adds its gradient to rows of the block, which are weighted and written when all parts have.

use std::marker::PhantomData;

use dice_core::{Request, Sum};

use super::apart::{Composed, apart};
use super::costs::ByCosts;
use super::fused::{self, Fusion, PullBackFused, Taken, fused};
use super::logarithms::{ByLogarithms, ByLogarithmsOfLabels, Weighing};
use super::part::{ActivatePart, Logs, PartRows, fit_rows};
use super::plan::{Part, PartNumbers, Truth, takes_both, with_truth};
use super::probabilities::ByProbability;
use super::scratch::ComposedScratch;
use super::sigmoid::BySigmoid;
use super::slopes::ComposedSlopes;
use super::through::ThroughActivation;
use crate::block::{BLOCK, Row, VECTORS};
use crate::element::Output;
use crate::gather::{self, BLOCKS_TOGETHER, Channels, FirstBad, Reading, Rows};
use crate::keep::{Keep, Lent};
use crate::kernel::activate::is_tuned;
use crate::kernel::pullback::PullbackPass;
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;
use crate::scatter::SinkBlock;

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
        fit_rows(rows, request, classes, labels, labels && is_tuned::<L>());
        // The gradient of several parts is added up block by block, and that of the overlap alone is a plain pass's.
        let part = numbers.parts(request, labels).next().filter(|_| request.parts() == 1 && labels);
        let fusion =
            part.and_then(|part| Fusion::of(request, 0, &part)).filter(|fusion| fusion.taken != Taken::Nothing);
        let mut channels = Row([0; BLOCK]);
        for tile in tiles.claims() {
            slopes.turn_to(cotangent, upstream, cotangent.row(tile.sample), labels);
            let silent = !slopes.depends.contains(&true);
            let mut spans = tile.spans();
            while let Some(run) = source.run(lanes, &mut spans, BLOCKS_TOGETHER) {
                let mut next = 0;
                while next < run.len() {
                    let span = run.span(next);
                    // Labels were looked at before; one that is no class does not count.
                    let bad = &mut FirstBad::default();
                    let block = source.block_of(lanes, stage, &run, next, bad, Reading::Numbers);
                    next += 1;
                    if block.counted == 0 || silent {
                        // SAFETY: the tile is this thread's alone, so are its voxels.
                        let mut target = unsafe { sink.blocks::<R, R>(out, &span, 1, false) };
                        target.block(0).fill(lanes, lanes.splat(R::ZERO));
                        target.store(lanes, 0);
                        continue;
                    }
                    let logits = block.logits.numbers();
                    let weights = block.weights;
                    if let gather::Truth::Labels(Channels::Bytes(labels)) = block.truth {
                        next += labels.blocks.len() - 1;
                        // SAFETY: as above.
                        let mut target = unsafe { sink.blocks::<R, R>(out, &span, labels.blocks.len(), false) };
                        if let (true, Some(fusion)) = (is_tuned::<L>(), fusion) {
                            let (by_p, by_logs, rows) = (&slopes.by_p[..], &slopes.by_logs[..], &mut *rows);
                            fused!(
                                [Squares, CrossEntropy, Focal],
                                lanes,
                                GROUP,
                                fusion,
                                classes,
                                PullBackFused { logits, labels, rows, by_p, by_logs, target }
                            );
                            continue;
                        }
                        for block in 0..labels.blocks.len() {
                            let truth = Truth::Labels(labels.get(block).row(lanes, &mut channels));
                            slopes.add_parts::<L, GROUP>(lanes, request, numbers, logits.behind(block), truth, rows);
                            slopes.put(lanes, None, &mut target.block(block));
                            target.store(lanes, block);
                        }
                        continue;
                    }
                    let truth = match block.truth {
                        gather::Truth::Labels(labels) => Truth::Labels(labels.row(lanes, &mut channels)),
                        gather::Truth::Dense(target) => Truth::Dense(target),
                    };
                    // SAFETY: as above.
                    let mut target = unsafe { sink.blocks::<R, R>(out, &span, 1, false) };
                    slopes.add_parts::<L, GROUP>(lanes, request, numbers, logits, truth, rows);
                    slopes.put(lanes, weights, &mut target.block(0));
                    target.store(lanes, 0);
                }
            }
            // SAFETY: as above.
            unsafe { sink.finish(out) };
        }
        lanes.fence();
    }
}

impl<R: Real + Output> ComposedSlopes<R> {
    /// Makes the gradient that of all parts of a block, weights apart.
    #[inline(always)]
    fn add_parts<L: Lanes<R = R>, const GROUP: usize>(
        &mut self,
        lanes: L,
        request: &Request,
        numbers: &PartNumbers<R>,
        logits: Rows<'_, R>,
        truth: Truth<'_, R>,
        rows: &mut PartRows<R>,
    ) {
        self.gradient.fill(Row([R::ZERO; BLOCK]));
        self.is_first = true;
        let mut first_cost = 0;
        for (number, part) in numbers.parts(request, matches!(truth, Truth::Labels(_))).enumerate() {
            let place = [number, first_cost];
            self.add_part::<L, GROUP>(lanes, &part, place, logits, truth, rows);
            first_cost += part.costs.len();
        }
    }

    /// Writes the gradient of a block, weighted.
    #[inline(always)]
    fn put<L: Lanes<R = R>>(&self, lanes: L, weights: Option<&Row<R>>, to: &mut SinkBlock<'_, R, R>) {
        for (class, gradient) in self.gradient.iter().enumerate() {
            for j in 0..VECTORS {
                let mut x = lanes.load(gradient.vector(j));
                if let Some(weights) = weights {
                    let weight = lanes.load(weights.vector(j));
                    let counts = lanes.gt(weight, lanes.splat(R::ZERO));
                    x = lanes.keep(counts, lanes.mul(weight, x));
                }
                to.put(lanes, class, j, x);
            }
        }
    }

    /// Adds the gradient of a part of a block, weights apart; of the part its number, and where its slopes by costs begin.
    #[inline(always)]
    fn add_part<L: Lanes<R = R>, const GROUP: usize>(
        &mut self,
        lanes: L,
        part: &Part<'_, R>,
        [number, first_cost]: [usize; 2],
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
        let by_log = self.takes_logs[number];
        // Slopes by the logarithms without an exponent need probabilities alone.
        let taken = if by_log && exponents.are_some() { logs } else { Logs::None };
        let both = match truth {
            Truth::Labels(labels) if is_tuned::<L>() && by_log && takes_both(part) => Some(labels),
            _ => None,
        };
        if let Some(labels) = both {
            let (e, q) = (rows.room_of_e(), &mut self.q[..]);
            apart::<_, _, GROUP>(lanes, BySigmoid { slopes: by_logs, exponents, logits, labels, e, q });
        } else {
            apart::<_, _, GROUP>(lanes, ActivatePart { activation, logs: taken, logits, rows });
        }
        let by_cost = sums.contains(Sum::Cost);
        let by_p = if by_cost || by_p.iter().any(|slope| slope.is_some()) {
            let (u, probabilities) = (&mut self.u[..], rows.probabilities());
            with_truth!(truth, truth => {
                apart::<_, _, GROUP>(lanes, ByProbability { slopes: by_p, probabilities, truth, u });
            });
            if let (true, Truth::Labels(labels)) = (by_cost, truth) {
                let slopes = &self.by_costs[first_cost..][..costs.len()];
                apart::<_, _, GROUP>(lanes, ByCosts { slopes, labels, u: &mut self.u });
            }
            Some(&self.u[..])
        } else {
            None
        };
        let by_log = if both.is_some() {
            Some(&self.q[..])
        } else if by_log {
            let (focal, slopes, q) = (exponents.are_some(), by_logs, &mut self.q[..]);
            if let (Truth::Labels(labels), Logs::OfLabels) = (truth, logs) {
                if focal {
                    apart::<_, _, GROUP>(lanes, rows.fill_of_labels(logits, labels));
                    apart::<_, _, GROUP>(lanes, rows.weigh(Weighing::Slope, activation, exponents, logs));
                }
                let row = focal.then(|| rows.of_labels());
                apart::<_, _, GROUP>(lanes, ByLogarithmsOfLabels { row, slopes, labels, q });
            } else {
                apart::<_, _, GROUP>(lanes, rows.weigh(Weighing::Slope, activation, exponents, logs));
                let (probabilities, rows) = (rows.probabilities(), rows.logarithms());
                with_truth!(truth, truth => apart::<_, _, GROUP>(lanes, ByLogarithms {
                    activation, slopes, probabilities, rows, truth, q,
                }));
            }
            Some(&self.q[..])
        } else {
            None
        };
        let probabilities = rows.probabilities();
        let (gradient, is_first) = (&mut self.gradient[..], &mut self.is_first);
        apart::<_, _, GROUP>(
            lanes,
            ThroughActivation {
                activation,
                probabilities,
                by_p,
                by_log,
                depends,
                gradient,
                is_first: std::mem::take(is_first),
            },
        );
    }
}
