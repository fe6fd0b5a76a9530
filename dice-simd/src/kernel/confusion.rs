//! Hard overlap: counts of voxels by true and predicted class.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Mutex;

use super::counts::{Counts, FoundConfusion};
use super::pairs::{Both, Pairs, TOGETHER};
use super::scratch::Scratch;
use crate::block::{BLOCK, Row, VECTORS};
use crate::element::Element;
use crate::gather::{
    BLOCKS_TOGETHER, BYTE_CLASSES, Bad, FirstBad, LabelMap, Reading, Rows, Source, Truth, Voxels, with_rows,
};
use crate::keep::{Keep, Kept, Lent};
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;
use crate::tile::Tiles;

/// The class of the greatest logit against labels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogitConfusionPass<'a, 't, R> {
    pub(crate) source: &'a Source<'a>,
    pub(crate) tiles: &'a Tiles,
    pub(crate) found: &'a Mutex<FoundConfusion<'t>>,
    pub(crate) real: PhantomData<R>,
}

/// A label map against labels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MapConfusionPass<'a, 't> {
    pub(crate) prediction: &'a LabelMap<'a>,
    pub(crate) voxels: &'a Voxels<'a>,
    pub(crate) tiles: &'a Tiles,
    pub(crate) found: &'a Mutex<FoundConfusion<'t>>,
}

/// The room of one claimant who counts pairs of classes, in whatever arithmetic.
#[derive(Debug, Default)]
pub(super) struct CountScratch {
    counts: Counts,
    pairs: Pairs,
}

impl Keep for CountScratch {
    fn kept() -> &'static Kept<Self> {
        thread_local!(static KEPT: Cell<Option<Box<CountScratch>>> = const { Cell::new(None) });
        &KEPT
    }

    fn classes(&self) -> usize {
        self.counts.classes()
    }
}

/// The class of the greatest logit of each voxel; with one channel the question is whether it is above 0.
#[inline(always)]
fn greatest<L: Lanes, E: Element>(lanes: L, logits: Rows<'_, E>, channels: usize, prediction: &mut Row<i32>) {
    let (initial, offset) = if channels == 1 { (L::R::ZERO, 1) } else { (L::R::NEG_INFINITY, 0) };
    for j in 0..VECTORS {
        let (mut greatest, mut best) = (lanes.splat(initial), lanes.splat_i(0));
        for class in 0..channels {
            logits.prefetch(lanes, class, j);
            let z = logits.load(lanes, class, j);
            let above = lanes.gt(z, greatest);
            best = lanes.select_i(above, lanes.splat_i(class as i32 + offset), best);
            greatest = lanes.select(above, z, greatest);
        }
        lanes.store_i(prediction.vector_mut(j), best);
    }
}

impl<R: Real + Element> Kernel for LogitConfusionPass<'_, '_, R>
where
    Scratch<R>: Keep,
{
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let classes = self.source.classes();
        let mut scratch = Lent::<Scratch<R>>::of_thread();
        let Scratch { stage, .. } = &mut *scratch;
        let mut counted = Lent::<CountScratch>::of_thread();
        let CountScratch { counts, .. } = &mut *counted;
        self.source.fit(stage);
        let (mut channels, mut truth, mut prediction) = (Row([0; BLOCK]), Row([0; BLOCK]), Row([0; BLOCK]));
        let first = self.source.first();
        counts.clear(self.source.voxels().problem().allowed);
        let mut bad = FirstBad::default();
        for tile in self.tiles.claims() {
            counts.turn_to(tile.sample, self.found);
            let mut spans = tile.spans();
            while let Some(run) = self.source.run(lanes, &mut spans, BLOCKS_TOGETHER) {
                for i in 0..run.len() {
                    let block = self.source.block_of(lanes, stage, &run, i, &mut bad, Reading::of::<L>(false));
                    if block.counted == 0 {
                        continue;
                    }
                    with_rows!(block.logits, L, rows => greatest(lanes, rows, classes, &mut prediction));
                    let Truth::Labels(labels) = block.truth else { unreachable!("a dense target was refused") };
                    let channels = labels.row(lanes, &mut channels);
                    // −1 is the background of one channel, or no voxel that counts.
                    for (place, (truth, &channel)) in truth.0.iter_mut().zip(&channels.0).enumerate() {
                        let counts = block.weights.is_none_or(|weights| weights.0[place] != R::ZERO);
                        *truth = if counts { channel + first } else { -1 };
                    }
                    counts.add(&truth, &prediction);
                }
            }
        }
        counts.publish(self.found);
        self.found.lock().expect("no thread panics while it holds the table").bad.merge(bad);
    }
}

impl Kernel for MapConfusionPass<'_, '_> {
    type R = f32;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = f32>, const GROUP: usize>(self, lanes: L) {
        let classes = self.voxels.problem().allowed;
        let (mut truth, mut weights) = (Row([0; BLOCK]), Row([0.0; BLOCK]));
        let (mut labels, mut prediction) = ([0; BLOCK], Row([0; BLOCK]));
        let grid = self.prediction.voxels();
        let mut counted = Lent::<CountScratch>::of_thread();
        let CountScratch { counts, pairs } = &mut *counted;
        counts.clear(classes);
        pairs.clear(lanes, classes);
        let mut bad = FirstBad::default();
        for tile in self.tiles.claims() {
            if counts.sample != tile.sample {
                pairs.flush(lanes, &mut counts.counts);
            }
            counts.turn_to(tile.sample, self.found);
            let mut spans = tile.spans();
            // Blocks that are looked at one by one, since together they were refused.
            let mut singly = 0_usize;
            while let Some(span) = spans.next() {
                let most = if singly > 0 { 1 } else { TOGETHER };
                let blocks = spans.whole_blocks(&span).min(most);
                if blocks > 0
                    && classes <= BYTE_CLASSES
                    && let Some(truth) = self.voxels.byte_blocks(&span, blocks)
                    && let Some(prediction) = self.prediction.blocks(&span, blocks)
                    && let counted @ 1.. = pairs.count(lanes, Both { truth, prediction }, &mut counts.counts)
                {
                    // The span itself is the first block.
                    spans.pass(counted - 1);
                    singly = singly.saturating_sub(1);
                    continue;
                }
                singly = singly.max(blocks).saturating_sub(1);
                if self.voxels.read(lanes, &mut truth, &mut weights, &span, &mut bad).voxels == 0 {
                    continue;
                }
                self.prediction.read(&span, &mut labels);
                let mut all_good = true;
                for ((prediction, &label), &truth) in prediction.0.iter_mut().zip(&labels).zip(&truth.0) {
                    let good = (label as u64) < classes as u64;
                    all_good &= good | (truth < 0);
                    *prediction = if good { label as i32 } else { 0 };
                }
                if !all_good {
                    for place in span.inside.clone() {
                        if truth.0[place] >= 0 && labels[place] as u64 >= classes as u64 {
                            let voxel = span.voxel + place - span.inside.start;
                            bad.note((span.sample * grid + voxel) as u64, Bad::Prediction(labels[place]));
                        }
                    }
                }
                counts.add(&truth, &prediction);
            }
        }
        pairs.flush(lanes, &mut counts.counts);
        counts.publish(self.found);
        self.found.lock().expect("no thread panics while it holds the table").bad.merge(bad);
    }
}
