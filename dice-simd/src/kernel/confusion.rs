//! Hard overlap: counts of voxels by true and predicted class.

use std::marker::PhantomData;
use std::sync::Mutex;

use dice_core::Confusion;

use super::Row;
use crate::dispatch::Kernel;
use crate::element::Element;
use crate::gather::{Bad, FirstBad, LabelMap, Rows, Source, Truth, Voxels, with_rows};
use crate::lanes::Lanes;
use crate::real::Real;
use crate::tile::{BLOCK, TILE_VOXELS, Tiles, VECTORS};

/// What the threads of a pass find together.
#[derive(Debug)]
pub(crate) struct FoundConfusion {
    pub(crate) confusion: Confusion,
    pub(crate) bad: FirstBad<Bad>,
}

/// The class of the greatest logit against labels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogitConfusionPass<'a, R> {
    pub(crate) source: &'a Source<'a>,
    pub(crate) tiles: &'a Tiles,
    pub(crate) found: &'a Mutex<FoundConfusion>,
    pub(crate) real: PhantomData<R>,
}

/// A label map against labels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MapConfusionPass<'a> {
    pub(crate) prediction: &'a LabelMap<'a>,
    pub(crate) voxels: &'a Voxels<'a>,
    pub(crate) tiles: &'a Tiles,
    pub(crate) found: &'a Mutex<FoundConfusion>,
}

/// Tables that take turns: a voxel need not wait for the count of its neighbour, which is of the same class as a rule.
const TURNS: usize = 4;
/// The most classes of which a pair fits into a byte.
const BYTE_CLASSES: usize = 16;
/// Up to so many classes it is faster to look for each pair than to count all.
const FEW_CLASSES: usize = 4;

/// The counts of one sample, as far as this thread has them.
struct Counts {
    sample: usize,
    classes: usize,
    /// `[turn][truth][prediction]`.
    counts: Vec<u64>,
    /// Pairs of a tile that are not counted yet, truth · 16 + prediction, block after block.
    pairs: Vec<[u8; BLOCK]>,
}

impl Counts {
    fn new(classes: usize) -> Self {
        let pairs = Vec::with_capacity(TILE_VOXELS / BLOCK);
        Self { sample: 0, classes, counts: vec![0; TURNS * classes * classes], pairs }
    }

    /// Makes the table that of `sample`, adding what it holds of another one to the shared table.
    fn turn_to(&mut self, sample: usize, found: &Mutex<FoundConfusion>) {
        if self.sample != sample {
            self.publish(found);
            self.sample = sample;
        }
    }

    /// Counts the voxels of a block whose truth is not −1.
    #[inline(always)]
    fn add(&mut self, truth: &Row<i32>, prediction: &Row<i32>) {
        let classes = self.classes;
        let table = classes * classes;
        for (i, (&truth, &prediction)) in truth.0.iter().zip(&prediction.0).enumerate() {
            if truth >= 0 {
                self.counts[i % TURNS * table + truth as usize * classes + prediction as usize] += 1;
            }
        }
    }

    /// Notes a block of labels below 16, all of which count.
    #[inline(always)]
    fn add_bytes(&mut self, truth: &[u8; BLOCK], prediction: &[u8; BLOCK]) {
        let mut pairs = [0; BLOCK];
        for (pair, (truth, prediction)) in pairs.iter_mut().zip(truth.iter().zip(prediction)) {
            *pair = truth << 4 | prediction;
        }
        self.pairs.push(pairs);
    }

    /// Counts the blocks noted: at the end of a tile.
    #[inline(always)]
    fn count_pairs<L: Lanes>(&mut self, lanes: L) {
        let classes = self.classes;
        if classes <= FEW_CLASSES {
            for truth in 0..classes {
                for prediction in 0..classes {
                    let found = lanes.count_bytes(&self.pairs, (truth << 4 | prediction) as u8);
                    self.counts[truth * classes + prediction] += found;
                }
            }
        } else if !self.pairs.is_empty() {
            let mut tables = [[0_u32; 256]; TURNS];
            for pairs in &self.pairs {
                let first = pairs[0];
                if pairs.iter().fold(0, |differ, pair| differ | pair ^ first) == 0 {
                    tables[0][usize::from(first)] += BLOCK as u32;
                    continue;
                }
                for four in pairs.as_chunks::<TURNS>().0 {
                    for (table, &pair) in tables.iter_mut().zip(four) {
                        table[usize::from(pair)] += 1;
                    }
                }
            }
            for truth in 0..classes {
                for prediction in 0..classes {
                    let found: u32 = tables.iter().map(|table| table[truth << 4 | prediction]).sum();
                    self.counts[truth * classes + prediction] += u64::from(found);
                }
            }
        }
        self.pairs.clear();
    }

    fn publish(&mut self, found: &Mutex<FoundConfusion>) {
        let mut found = found.lock().expect("no thread panics while it holds the table");
        let into = found.confusion.sample_mut(self.sample);
        for table in self.counts.chunks_exact_mut((self.classes * self.classes).max(1)) {
            for (into, from) in into.iter_mut().zip(table) {
                *into += std::mem::take(from);
            }
        }
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

impl<R: Real> Kernel for LogitConfusionPass<'_, R> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let channels = self.source.classes();
        let mut stage = self.source.stage();
        let (mut truth, mut prediction) = (Row([0; BLOCK]), Row([0; BLOCK]));
        let first = self.source.voxels().problem().first as i32;
        let mut counts = Counts::new(self.source.voxels().problem().allowed);
        let mut bad = FirstBad::default();
        while let Some(tile) = self.tiles.claim() {
            counts.turn_to(tile.sample, self.found);
            for span in tile.spans() {
                let block = self.source.block(lanes, &mut stage, &span, &mut bad);
                if block.counted == 0 {
                    continue;
                }
                with_rows!(block.logits, R, rows => greatest(lanes, rows, channels, &mut prediction));
                let Truth::Labels(channels) = block.truth else { unreachable!("a dense target was refused") };
                // −1 is the background of one channel, or no voxel that counts.
                for (place, (truth, &channel)) in truth.0.iter_mut().zip(&channels.0).enumerate() {
                    let counts = block.weights.is_none_or(|weights| weights.0[place] != R::ZERO);
                    *truth = if counts { channel + first } else { -1 };
                }
                counts.add(&truth, &prediction);
            }
        }
        counts.publish(self.found);
        self.found.lock().expect("no thread panics while it holds the table").bad.merge(bad);
    }
}

impl Kernel for MapConfusionPass<'_> {
    type R = f32;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = f32>, const GROUP: usize>(self, lanes: L) {
        let classes = self.voxels.problem().allowed;
        let (mut truth, mut weights) = (Row([0; BLOCK]), Row([0.0; BLOCK]));
        let (mut labels, mut prediction) = ([0; BLOCK], Row([0; BLOCK]));
        let grid = self.prediction.voxels();
        let mut counts = Counts::new(classes);
        let mut bad = FirstBad::default();
        while let Some(tile) = self.tiles.claim() {
            counts.turn_to(tile.sample, self.found);
            for span in tile.spans() {
                if let (Some(truth), Some(prediction)) =
                    (self.voxels.plain_bytes(lanes, &span), self.prediction.bytes(&span))
                    && classes <= BYTE_CLASSES
                    && !lanes.any_above(prediction, (classes - 1) as u8)
                {
                    counts.add_bytes(truth, prediction);
                    continue;
                }
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
            counts.count_pairs(lanes);
        }
        counts.publish(self.found);
        self.found.lock().expect("no thread panics while it holds the table").bad.merge(bad);
    }
}
