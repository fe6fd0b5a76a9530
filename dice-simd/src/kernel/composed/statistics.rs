//! Step 1 for any request.

use dice_core::{Needs, NonFinite, Sum, Sums};

use super::Composed;
use super::costs::AddCosts;
use super::logarithms::{AddLogarithms, AddLogarithmsOfLabels};
use super::part::{ActivatePart, Logs, PartRows, fit_rows};
use super::plan::{Part, Truth, follows, with_truth};
use super::probabilities::AddProbabilities;
use super::scratch::ComposedScratch;
use super::sums::ComposedSums;
use super::target::AddTarget;
use crate::block::{BLOCK, Row};
use crate::element::Element;
use crate::gather::{self, FirstBad, Logits, NotFinite, Reading, Rows};
use crate::keep::{Keep, Lent};
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
        let ComposedScratch { stage, rows, numbers, sums, table, .. } = &mut *scratch;
        source.fit(stage);
        fit_rows(rows, request, classes, labels);
        numbers.fit(request);
        let mut channels = Row([0; BLOCK]);
        let mut of_sample = SampleTable::new(table, classes, request);
        let mut bad = FirstBad::default();
        let mut not_finite = NotFinite::default();
        for tile in tiles.claims() {
            of_sample.turn_to(tile.sample, found);
            sums.clear(classes, width);
            let (mut spans, mut blocks) = (tile.spans(), 0);
            while let Some(run) = source.run(lanes, &mut spans, F32_BLOCKS - blocks % F32_BLOCKS) {
                sums.counts.add_blocks(lanes, run.labels, source.first());
                for block in 0..run.len() {
                    let block = source.block_of(lanes, stage, &run, block, &mut bad, Reading::Numbers);
                    if block.counted == 0 {
                        continue;
                    }
                    let Logits::Real(logits) = block.logits else { unreachable!("numbers were asked for") };
                    let truth = match block.truth {
                        gather::Truth::Labels(labels) => Truth::Labels(labels.row(lanes, &mut channels)),
                        gather::Truth::Dense(target) => Truth::Dense(target),
                    };
                    let weights = block.weights;
                    match truth {
                        Truth::Labels(channels) if weights.is_none() => {
                            if run.labels.is_empty() {
                                sums.counts.add_row(channels);
                            }
                        }
                        _ => {
                            let weights = weights.expect("a block with a dense target has weights");
                            let ComposedSums { columns, valid, .. } = &mut *sums;
                            // Of labels all of them are T, and the first column holds it.
                            let sums = if !labels {
                                request.of_target()
                            } else if request.of_target().is_empty() {
                                Sums::NONE
                            } else {
                                Sums::NONE.with(Sum::Target)
                            };
                            with_truth!(truth, truth => {
                                lanes.call::<_, GROUP>(AddTarget { sums, truth, weights, valid, columns, width });
                            });
                        }
                    }
                    let columns = &mut sums.columns[..];
                    let mut first = request.of_target().len();
                    for part in numbers.parts(request, labels) {
                        let to = To { columns: &mut *columns, width, first };
                        part.add::<L, GROUP>(lanes, logits, truth, weights, request.of_target(), rows, to);
                        first += part.sums.len();
                    }
                }
                blocks += run.len();
                if blocks.is_multiple_of(F32_BLOCKS) {
                    sums.widen(lanes);
                }
            }
            sums.widen(lanes);
            let ComposedSums { columns, valid, counts } = &*sums;
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

/// Where a part adds: some columns of each class.
struct To<'s, R> {
    columns: &'s mut [LaneSum<R>],
    /// Columns of a class.
    width: usize,
    /// The first one of the part.
    first: usize,
}

impl<R: Real + Element> Part<'_, R> {
    /// Adds a block.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "a block is all of that")]
    fn add<L: Lanes<R = R>, const GROUP: usize>(
        &self,
        lanes: L,
        logits: Rows<'_, R>,
        truth: Truth<'_, R>,
        weights: Option<&Row<R>>,
        of_target: Sums,
        rows: &mut PartRows<R>,
        to: To<'_, R>,
    ) {
        let Self { activation, sums, logs, exponents, costs } = *self;
        let To { columns, width, mut first } = to;
        lanes.call::<_, GROUP>(ActivatePart { activation, logs, logits, rows });
        let (rows, probabilities) = (&*rows, rows.probabilities());
        let asked = sums.and(PROBABILITIES);
        let is_labels = matches!(truth, Truth::Labels(_));
        let needs = Needs::new(activation, sums);
        let sums_of_p = if follows(&needs, of_target, is_labels) { asked.without(DIFFERENCE) } else { asked };
        if !sums_of_p.is_empty() {
            let columns = &mut *columns;
            with_truth!(truth, truth => lanes.call::<_, GROUP>(AddProbabilities {
                sums: sums_of_p, probabilities, truth, weights, columns, width, first,
            }));
        }
        first += asked.len();
        let asked = sums.and(Sums::LOGS);
        match (truth, logs) {
            (_, Logs::None) => {}
            (Truth::Labels(labels), Logs::OfLabels) => {
                let columns = &mut *columns;
                lanes.call::<_, GROUP>(AddLogarithmsOfLabels {
                    logits, exponents, rows, labels, weights, columns, width, first,
                });
            }
            (truth, _) => {
                let columns = &mut *columns;
                with_truth!(truth, truth => lanes.call::<_, GROUP>(AddLogarithms {
                    activation, sums: asked, exponents, rows, truth, weights, columns, width, first,
                }));
            }
        }
        let column = first + asked.len();
        if let (true, Truth::Labels(labels)) = (sums.contains(Sum::Cost), truth) {
            lanes.call::<_, GROUP>(AddCosts { costs, probabilities, labels, weights, columns, width, column });
        }
    }
}

const DIFFERENCE: Sums = Sums::NONE.with(Sum::Difference);
/// The sums of [`AddProbabilities`].
const PROBABILITIES: Sums =
    DIFFERENCE.with(Sum::Prediction).with(Sum::Intersection).with(Sum::PredictionSquares);

