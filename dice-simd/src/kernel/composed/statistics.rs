//! Step 1 for any request.

use std::marker::PhantomData;
use std::mem;

use dice_core::{Needs, NonFinite, Request, Sum, Sums};

use super::apart::{Composed, apart};
use super::costs::AddCosts;
use super::fused::{self, AddFused, Fusion, Taken, fused};
use super::logarithms::{AddCrossEntropy, AddEverywhere, AddLogarithms, AddOfLabels, Weighing};
use super::part::{ActivatePart, Logs, PartRows, fit_rows};
use super::plan::{Part, PartNumbers, Truth, follows, takes_both, with_truth};
use super::probabilities::AddProbabilities;
use super::product::{LaneProduct, blocks_between_widenings};
use super::scratch::ComposedScratch;
use super::sigmoid::AddSigmoid;
use super::sums::ComposedSums;
use super::target::AddTarget;
use crate::block::{BLOCK, Row};
use crate::element::Element;
use crate::gather::{self, Channels, FirstBad, NotFinite, Reading, Rows};
use crate::keep::{Keep, Lent};
use crate::kernel::activate::is_tuned;
use crate::kernel::sample::SampleTable;
use crate::kernel::statistics::StatisticsPass;
use crate::kernel::sums::{F32_BLOCKS, LaneSum};
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;

impl<R: Real + Element> Kernel for Composed<StatisticsPass<'_, '_, R>>
where
    ComposedScratch<R>: Keep,
{
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let StatisticsPass { source, tiles, request, non_finite, found, .. } = self.0;
        let classes = source.classes();
        let (labels, width) = (source.is_labels(), request.columns());
        let mut scratch = Lent::<ComposedScratch<R>>::of_thread();
        let ComposedScratch { stage, rows, numbers, fusions, sums, table, .. } = &mut *scratch;
        source.fit(stage);
        fit_rows(rows, request, classes, labels, labels && is_tuned::<L>());
        numbers.fit(request);
        let of_target = request.of_target();
        fusions.clear();
        fusions.extend(
            numbers.parts(request, labels).enumerate().map(|(number, part)| Fusion::of(request, number, &part)),
        );
        let takes_products = products_of(request, numbers, labels).next().is_some();
        let together = if takes_products { blocks_between_widenings(classes) } else { F32_BLOCKS };
        let mut channels = Row([0; BLOCK]);
        let Some(mut of_sample) = SampleTable::new(table, classes, request, self.0.found) else { return };
        let mut bad = FirstBad::default();
        let mut not_finite = NotFinite::default();
        for tile in tiles.claims() {
            of_sample.turn_to(tile.sample, found);
            sums.clear(classes, width, products_of(request, numbers, labels));
            let (mut spans, mut blocks) = (tile.spans(), 0);
            while let Some(run) = source.run(lanes, &mut spans, together - blocks % together) {
                sums.counts.add_blocks(lanes, run.labels, source.first());
                let mut next = 0;
                while next < run.len() {
                    let block = source.block_of(lanes, stage, &run, next, &mut bad, Reading::Numbers);
                    next += 1;
                    if block.counted == 0 {
                        continue;
                    }
                    let logits = block.logits.numbers();
                    let weights = block.weights;
                    if let gather::Truth::Labels(Channels::Bytes(labels)) = block.truth {
                        next += labels.blocks.len() - 1;
                        if run.labels.is_empty() {
                            sums.counts.add_blocks(lanes, labels.blocks, source.first());
                        }
                        let ComposedSums { columns, products, .. } = &mut *sums;
                        let mut to = To { columns, products, width, first: of_target.len(), of_target };
                        for (part, fusion) in numbers.parts(request, true).zip(&*fusions) {
                            let mut to = to.of_part(&part, classes);
                            if let (true, Some(fusion)) = (is_tuned::<L>(), *fusion) {
                                let (rows, To { columns, products, .. }) = (&mut *rows, to);
                                fused!(
                                    [Nothing, Squares, CrossEntropy, Focal],
                                    lanes,
                                    GROUP,
                                    fusion,
                                    classes,
                                    AddFused { logits, labels, rows, columns, width, products }
                                );
                                continue;
                            }
                            for block in 0..labels.blocks.len() {
                                let truth = Truth::Labels(labels.get(block).row(lanes, &mut channels));
                                let block = BlockOf { logits: logits.behind(block), truth, weights };
                                part.add::<L, GROUP>(lanes, block, rows, to.again());
                            }
                        }
                        continue;
                    }
                    let truth = match block.truth {
                        gather::Truth::Labels(labels) => Truth::Labels(labels.row(lanes, &mut channels)),
                        gather::Truth::Dense(target) => Truth::Dense(target),
                    };
                    match (truth, weights) {
                        (Truth::Labels(channels), None) => sums.counts.add_row(channels),
                        (truth, weights) => {
                            let weights = weights.expect("a block with a dense target has weights");
                            let ComposedSums { columns, valid, .. } = &mut *sums;
                            // Of labels all of them are T, and the first column holds it.
                            let sums = match of_target {
                                of_target if !labels || of_target.is_empty() => of_target,
                                _ => Sums::NONE.with(Sum::Target),
                            };
                            with_truth!(truth, truth => {
                                apart::<_, _, GROUP>(lanes, AddTarget { sums, truth, weights, valid, columns, width });
                            });
                        }
                    }
                    let block = BlockOf { logits, truth, weights };
                    let ComposedSums { columns, products, .. } = &mut *sums;
                    let mut to = To { columns, products, width, first: of_target.len(), of_target };
                    for part in numbers.parts(request, labels) {
                        part.add::<L, GROUP>(lanes, block, rows, to.of_part(&part, classes));
                    }
                }
                blocks += run.len();
                if blocks.is_multiple_of(together) {
                    sums.widen_products(lanes);
                }
                if blocks.is_multiple_of(F32_BLOCKS) {
                    sums.widen(lanes);
                }
            }
            sums.widen_products(lanes);
            sums.widen(lanes);
            let ComposedSums { columns, valid, counts, .. } = &*sums;
            let column = |class: usize, part: usize, sum: Sum| {
                let column = request.column(part, sum).expect("a table holds what was asked for");
                columns[class * width + column].total()
            };
            let of = |class: usize, part: usize, sum: Sum| {
                if Sums::OF_TARGET.contains(sum) {
                    if labels { counts.of(class) + columns[class * width].total() } else { column(class, part, sum) }
                } else if sum == Sum::Difference && follows(&request.part(part), request.of_target(), labels) {
                    let target = counts.of(class) + columns[class * width].total();
                    let [prediction, intersection] =
                        [Sum::Prediction, Sum::Intersection].map(|sum| column(class, part, sum));
                    prediction + target - 2.0 * intersection
                } else {
                    column(class, part, sum)
                }
            };
            let finite = of_sample.add(&tile, counts.voxels() + valid.total(), of);
            if !finite && non_finite == NonFinite::Error {
                for part in 0..request.parts() {
                    not_finite.merge(source.find_not_finite(lanes, &tile, request.part(part).activation));
                }
            }
        }
        of_sample.finish(found, bad, not_finite);
    }
}

/// The columns whose logarithms are taken of products, one of each part that takes cross-entropy under a softmax.
fn products_of<'s, R: Real>(
    request: &'s Request,
    numbers: &'s PartNumbers<R>,
    labels: bool,
) -> impl Iterator<Item = usize> {
    let parts = numbers.parts(request, labels).enumerate().filter(|(_, part)| part.is_cross_entropy());
    parts.filter_map(|(part, _)| request.column(part, Sum::LogInside))
}

/// A block, as the kernels read it.
#[derive(Clone, Copy)]
struct BlockOf<'s, R> {
    logits: Rows<'s, R>,
    truth: Truth<'s, R>,
    /// Absent if all are 1.
    weights: Option<&'s Row<R>>,
}

/// Where a part adds, and those behind it.
struct To<'s, R> {
    /// Per class those of the request.
    columns: &'s mut [LaneSum<R>],
    /// Of each class, part after part that takes cross-entropy under a softmax.
    products: &'s mut [LaneProduct<R>],
    /// Columns of a class.
    width: usize,
    /// The first one of the part.
    first: usize,
    of_target: Sums,
}

impl<R: Real> To<'_, R> {
    /// For the next part, which is `part`.
    fn of_part(&mut self, part: &Part<'_, R>, classes: usize) -> To<'_, R> {
        let products = if part.is_cross_entropy() { classes } else { 0 };
        let (products, rest) = mem::take(&mut self.products).split_at_mut(products);
        self.products = rest;
        let first = self.first;
        self.first += part.sums.len();
        To { columns: self.columns, products, width: self.width, first, of_target: self.of_target }
    }

    fn again(&mut self) -> To<'_, R> {
        let Self { columns, products, width, first, of_target } = self;
        To { columns, products, width: *width, first: *first, of_target: *of_target }
    }
}

impl<R: Real + Element> Part<'_, R> {
    /// Adds a block.
    #[inline(always)]
    fn add<L: Lanes<R = R>, const GROUP: usize>(
        &self,
        lanes: L,
        BlockOf { logits, truth, weights }: BlockOf<'_, R>,
        rows: &mut PartRows<R>,
        to: To<'_, R>,
    ) {
        let Self { activation, sums, logs, exponents, costs } = *self;
        let To { columns, products, width, mut first, of_target } = to;
        // The logarithms of cross-entropy are taken of products.
        let others = sums.and(Sums::LOGS).without(Sums::NONE.with(Sum::LogInside));
        let taken = if self.is_cross_entropy() && others.is_empty() { Logs::None } else { logs };
        let asked = sums.and(PROBABILITIES);
        let both = match truth {
            Truth::Labels(labels) if is_tuned::<L>() && takes_both(self) => Some(labels),
            _ => None,
        };
        if let Some(labels) = both {
            let (e, columns, first) = (rows.room_of_e(), &mut *columns, first + asked.len());
            apart::<_, _, GROUP>(lanes, AddSigmoid { exponents, logits, labels, weights, e, columns, width, first });
        } else {
            apart::<_, _, GROUP>(lanes, ActivatePart { activation, logs: taken, logits, rows });
        }
        let is_labels = matches!(truth, Truth::Labels(_));
        let needs = Needs::new(activation, sums);
        let sums_of_p = if follows(&needs, of_target, is_labels) { asked.without(DIFFERENCE) } else { asked };
        if !sums_of_p.is_empty() {
            let (columns, probabilities) = (&mut *columns, rows.probabilities());
            with_truth!(truth, truth => apart::<_, _, GROUP>(lanes, AddProbabilities {
                sums: sums_of_p, probabilities, truth, weights, columns, width, first,
            }));
        }
        first += asked.len();
        let (powers, others) = (sums.and(Sums::POWERS), sums.and(Sums::LOGS).without(Sums::POWERS));
        if !others.is_empty() {
            let (rows, columns, first) = (rows.logarithms(), &mut *columns, first + powers.len());
            apart::<_, _, GROUP>(lanes, AddEverywhere { sums: others, rows, weights, columns, width, first });
        }
        if self.is_cross_entropy() {
            let (e, max, columns) = (rows.probabilities().e, rows.max(), &mut *columns);
            with_truth!(truth, truth => apart::<_, _, GROUP>(lanes, AddCrossEntropy {
                logits, e, max, truth, weights, products, columns, width, column: first,
            }));
        } else if both.is_none() && !powers.is_empty() {
            if let (Truth::Labels(labels), Logs::OfLabels) = (truth, logs) {
                apart::<_, _, GROUP>(lanes, rows.fill_of_labels(logits, labels));
            }
            if exponents.are_some() {
                apart::<_, _, GROUP>(lanes, rows.weigh(Weighing::Value, activation, exponents, logs));
            }
            let columns = &mut *columns;
            if let (Truth::Labels(labels), Logs::OfLabels) = (truth, logs) {
                let row = rows.of_labels();
                apart::<_, _, GROUP>(lanes, AddOfLabels { row, labels, weights, columns, width, column: first });
            } else {
                let rows = rows.logarithms();
                with_truth!(truth, truth => apart::<_, _, GROUP>(lanes, AddLogarithms {
                    sums: powers, rows, truth, weights, columns, width, first,
                }));
            }
        }
        let asked = sums.and(Sums::LOGS);
        let column = first + asked.len();
        if let (true, Truth::Labels(labels)) = (sums.contains(Sum::Cost), truth) {
            let probabilities = rows.probabilities();
            apart::<_, _, GROUP>(lanes, AddCosts { costs, probabilities, labels, weights, columns, width, column });
        }
    }
}

const DIFFERENCE: Sums = Sums::NONE.with(Sum::Difference);
/// The sums of [`AddProbabilities`].
const PROBABILITIES: Sums = DIFFERENCE.with(Sum::Prediction).with(Sum::Intersection).with(Sum::PredictionSquares);
