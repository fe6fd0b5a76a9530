//! Step 1: the sums over the voxels.

use std::marker::PhantomData;
use std::sync::Mutex;

use dice_core::{NonFinite, Request};

use super::activate::{Activate, Ahead, Probabilities, for_activation_and_classes, softmax, takes_voxels_apart};
use super::blocks::{PlainBlocks, UseBlock};
use super::sample::{Found, SampleTable};
use super::scratch::Scratch;
use super::sums::{ClassSums, F32_BLOCKS, TileSums};
use super::truth::Truth;
use crate::block::{BLOCK, Row, VECTORS};
use crate::element::Element;
use crate::gather::{self, ByteLabels, Channels, FirstBad, NotFinite, Reading, Rows, Source, with_rows};
use crate::keep::{Keep, Lent, fit};
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;
use crate::tile::Tiles;

/// A statistics pass over the tiles that a thread claims.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StatisticsPass<'a, 't, R> {
    pub(crate) source: &'a Source<'a>,
    pub(crate) tiles: &'a Tiles,
    pub(crate) request: &'a Request,
    pub(crate) non_finite: NonFinite,
    pub(crate) found: &'a Mutex<Found<'t>>,
    pub(crate) real: PhantomData<R>,
}

impl<R: Real + Element> Kernel for StatisticsPass<'_, '_, R>
where
    Scratch<R>: Keep,
{
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        if !L::IS_TUNED {
            unreachable!("the level has composed passes alone");
        }
        let classes = self.source.classes();
        for_activation_and_classes!(self.request.part(0).activation, classes, self.claim::<L, GROUP>(lanes));
    }
}

impl<R: Real + Element> StatisticsPass<'_, '_, R>
where
    Scratch<R>: Keep,
{
    /// Takes tiles until none is left; the tables of a sample are added to the shared one when the sample ends.
    #[inline(always)]
    fn claim<L: Lanes<R = R>, const GROUP: usize, A: Activate, const CLASSES: usize>(self, lanes: L) {
        let classes = if CLASSES > 0 { CLASSES } else { self.source.classes() };
        let reading = Reading::of::<L>(takes_voxels_apart::<L, A>(classes));
        let mut scratch = Lent::<Scratch<R>>::of_thread();
        let Scratch { stage, e, sums, table, .. } = &mut *scratch;
        self.source.fit(stage);
        fit(e, 2 * classes, Row::default());
        let (mut r, mut channels) = (Row([R::ZERO; BLOCK]), Row([0; BLOCK]));
        let Some(mut of_sample) = SampleTable::new(table, classes, self.request, self.found) else { return };
        let mut bad = FirstBad::default();
        let mut not_finite = NotFinite::default();
        for tile in self.tiles.claims() {
            of_sample.turn_to(tile.sample, self.found);
            sums.clear(classes);
            let (mut spans, mut blocks) = (tile.spans(), 0);
            while let Some(run) = self.source.run(lanes, &mut spans, F32_BLOCKS - blocks % F32_BLOCKS) {
                sums.counts.add_blocks(lanes, run.labels, self.source.first());
                let mut next = 0;
                while next < run.len() {
                    let block = self.source.block_of(lanes, stage, &run, next, &mut bad, reading);
                    next += 1;
                    if block.counted == 0 {
                        continue;
                    }
                    match (block.truth, block.weights) {
                        (gather::Truth::Labels(Channels::Bytes(labels)), _) => {
                            next += labels.blocks.len() - 1;
                            if run.labels.is_empty() {
                                sums.counts.add_blocks(lanes, labels.blocks, self.source.first());
                            }
                            let room = &mut e[..];
                            with_rows!(block.logits, L, logits => {
                                let user = AddLabels { sums: &mut sums.classes[..classes] };
                                lanes.call::<_, GROUP>(PlainBlocks::<_, _, A, _, CLASSES>::new(logits, labels, room, user));
                            });
                        }
                        (gather::Truth::Labels(Channels::Row(channels)), None) => {
                            sums.counts.add_row(channels);
                            let sums = &mut sums.classes[..classes];
                            let e = &mut e[..classes];
                            A::activate::<L, _, GROUP, CLASSES>(lanes, block.logits.numbers(), e, &mut r);
                            add_labels::<L, R>(lanes, Probabilities { e, r: &r }, channels, sums, None);
                        }
                        (truth, weights) => {
                            let e = &mut e[..classes];
                            let weights = weights.expect("a block with a dense target has weights");
                            A::activate::<L, _, GROUP, CLASSES>(lanes, block.logits.numbers(), e, &mut r);
                            let probabilities = Probabilities { e, r: &r };
                            match truth {
                                gather::Truth::Labels(labels) => {
                                    let channels = labels.row(lanes, &mut channels);
                                    add_weighted(lanes, probabilities, channels, weights, sums, classes);
                                }
                                gather::Truth::Dense(target) => {
                                    add_weighted(lanes, probabilities, target, weights, sums, classes);
                                }
                            }
                        }
                    }
                }
                blocks += run.len();
                if blocks.is_multiple_of(F32_BLOCKS) {
                    sums.widen(lanes, classes);
                }
            }
            sums.widen(lanes, classes);
            let finite = of_sample.add(&tile, sums.valid(), |class, _, sum| sums.of(class, sum));
            if !finite && self.non_finite == NonFinite::Error {
                not_finite.merge(self.source.find_not_finite(lanes, &tile, self.request.part(0).activation));
            }
        }
        of_sample.finish(self.found, bad, not_finite);
    }
}

/// Adds blocks of labels in which every voxel counts alike.
struct AddLabels<'s, R> {
    sums: &'s mut [ClassSums<R>],
}

impl<R: Real, E: Element> UseBlock<R, E> for AddLabels<'_, R> {
    #[inline(always)]
    fn use_block<L: Lanes<R = R>, const GROUP: usize>(
        &mut self,
        lanes: L,
        _: usize,
        probabilities: Probabilities<'_, R>,
        channels: &Row<i32>,
        ahead: Option<Ahead<'_, L, E>>,
    ) {
        add_labels(lanes, probabilities, channels, self.sums, ahead);
    }

    #[inline(always)]
    fn use_voxels<
        L: Lanes<R = R>,
        const GROUP: usize,
        const CLASSES: usize,
        const COUNT: usize,
        const INTERLEAVED: bool,
    >(
        &mut self,
        lanes: L,
        _: usize,
        logits: Rows<'_, E>,
        labels: ByteLabels<'_>,
    ) {
        let sums: &mut [_; CLASSES] =
            (&mut *self.sums).try_into().expect("the bucket is that of the number of classes");
        let zero = lanes.splat(R::ZERO);
        let mut prediction = [zero; CLASSES];
        let mut intersection = [zero; CLASSES];
        for first in (0..VECTORS).step_by(COUNT) {
            let probabilities = softmax::<L, E, GROUP, CLASSES, COUNT, INTERLEAVED>(lanes, logits, first);
            for (j, (e, r)) in probabilities.into_iter().enumerate() {
                let channel = labels.load(lanes, first + j);
                for class in 0..CLASSES {
                    let is_class = lanes.eq(channel, lanes.splat_i(class as i32));
                    prediction[class] = lanes.fma(e[class], r, prediction[class]);
                    intersection[class] = lanes.fma_where(is_class, e[class], r, intersection[class]);
                }
            }
        }
        for (class, sums) in sums.iter_mut().enumerate() {
            sums.prediction.add(lanes, prediction[class]);
            sums.intersection.add(lanes, intersection[class]);
        }
    }
}

/// Adds a block of labels in which every voxel counts alike, class by class.
#[inline(always)]
fn add_labels<L: Lanes, E: Element>(
    lanes: L,
    Probabilities { e, r }: Probabilities<'_, L::R>,
    channels: &Row<i32>,
    sums: &mut [ClassSums<L::R>],
    mut ahead: Option<Ahead<'_, L, E>>,
) {
    let zero = lanes.splat(L::R::ZERO);
    for (class, (e, sums)) in e.iter().zip(sums).enumerate() {
        let (mut prediction, mut intersection) = (zero, zero);
        for j in 0..VECTORS {
            let (e, r) = (lanes.load(e.vector(j)), lanes.load(r.vector(j)));
            let is_class = lanes.eq(lanes.load_i(channels.vector(j)), lanes.splat_i(class as i32));
            if j == 0 {
                prediction = lanes.mul(e, r);
                intersection = lanes.keep(is_class, prediction);
            } else {
                prediction = lanes.fma(e, r, prediction);
                intersection = lanes.fma_where(is_class, e, r, intersection);
            }
            if let Some(ahead) = &mut ahead {
                ahead.look(lanes, class, j);
            }
        }
        sums.prediction.add(lanes, prediction);
        sums.intersection.add(lanes, intersection);
    }
    if let Some(ahead) = ahead {
        ahead.finish(lanes);
    }
}

/// Adds any block: m p = e · (r m). With weights of 1 and a target of 0 and 1 the sums are those of [`add_labels`].
#[inline(always)]
fn add_weighted<L: Lanes>(
    lanes: L,
    Probabilities { e, r }: Probabilities<'_, L::R>,
    truth: impl Truth<L::R>,
    weights: &Row<L::R>,
    sums: &mut TileSums<L::R>,
    classes: usize,
) {
    let zero = lanes.splat(L::R::ZERO);
    sums.weighted = true;
    let mut weighted = Row([L::R::ZERO; BLOCK]);
    for j in 0..VECTORS {
        let weight = lanes.load(weights.vector(j));
        lanes.store(weighted.vector_mut(j), lanes.mul(lanes.load(r.vector(j)), weight));
        sums.valid.add(lanes, weight);
    }
    for (class, (e, sums)) in e.iter().zip(&mut sums.classes[..classes]).enumerate() {
        let (e_0, r) = (lanes.load(e.vector(0)), lanes.load(weighted.vector(0)));
        let mut prediction = lanes.mul(e_0, r);
        let mut intersection = truth.add_product(lanes, [class, 0], e_0, r, zero);
        let mut target = truth.part(lanes, class, 0, lanes.load(weights.vector(0)));
        for j in 1..VECTORS {
            let (e, r) = (lanes.load(e.vector(j)), lanes.load(weighted.vector(j)));
            prediction = lanes.fma(e, r, prediction);
            intersection = truth.add_product(lanes, [class, j], e, r, intersection);
            target = lanes.add(target, truth.part(lanes, class, j, lanes.load(weights.vector(j))));
        }
        sums.prediction.add(lanes, prediction);
        sums.intersection.add(lanes, intersection);
        sums.target.add(lanes, target);
    }
}
