//! Step 1: the sums over the voxels.
//!
//! A lane adds at most 8 blocks in f32 before it is added to an f64 sum, so that adding the same number over and over, the
//! worst case for rounding, loses less than 4e-7 of it.

use std::sync::Mutex;

use dice_core::{Activation, NonFinite, Request, Statistics, Sum, accumulator};

use super::activate::{self, Activate};
use super::{Row, for_activation_and_classes};
use crate::dispatch::Kernel;
use crate::gather::{Block, FirstBad, Source, Stage};
use crate::lanes::{LANES, Lanes};
use crate::tile::{BLOCK, Tiles, VECTORS};

/// Blocks that are added in f32.
const F32_BLOCKS: usize = 8;

/// A statistics pass over the tiles that a thread claims.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StatisticsPass<'a> {
    pub(crate) source: &'a Source<'a>,
    pub(crate) tiles: &'a Tiles,
    pub(crate) request: Request,
    pub(crate) non_finite: NonFinite,
    pub(crate) found: &'a Mutex<Found>,
}

/// What the threads of a statistics pass find together.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) statistics: Statistics,
    pub(crate) bad_label: FirstBad<i64>,
    pub(crate) bad_logit: FirstBad<f32>,
}

/// The sums of one class over a tile, lane by lane.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct ClassSums {
    /// Of the last blocks.
    prediction: [f32; LANES],
    intersection: [f32; LANES],
    /// Of the tile.
    target: [i32; LANES],
    predictions: [f64; LANES],
    intersections: [f64; LANES],
}

const NO_SUMS: ClassSums = ClassSums {
    prediction: [0.0; LANES],
    intersection: [0.0; LANES],
    target: [0; LANES],
    predictions: [0.0; LANES],
    intersections: [0.0; LANES],
};

/// Adds lane sums in the one order that all levels use.
fn fold(lanes: &[f64; LANES]) -> f64 {
    let mut sums = *lanes;
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            sums[i] += sums[i + width];
        }
        width /= 2;
    }
    sums[0]
}

impl Kernel for StatisticsPass<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes, const GROUP: usize>(self, lanes: L) {
        let classes = self.source.view().layout().channels();
        for_activation_and_classes!(self.request.activation, classes, self.claim::<L, GROUP>(lanes));
    }
}

impl StatisticsPass<'_> {
    /// Takes tiles until none is left; the tables of a sample are added to the shared one when the sample ends.
    #[inline(always)]
    fn claim<L: Lanes, const GROUP: usize, A: Activate, const CLASSES: usize>(self, lanes: L) {
        let classes = if CLASSES > 0 { CLASSES } else { self.source.view().layout().channels() };
        let mut stage = Stage::new(classes);
        let mut e = vec![Row([0.0; BLOCK]); classes];
        let mut r = Row([0.0; BLOCK]);
        let mut sums = vec![NO_SUMS; classes];
        let mut of_sample = SampleTable::new(classes, self.request);
        let mut bad_label = FirstBad::default();
        let mut bad_logit = FirstBad::default();
        while let Some(tile) = self.tiles.claim() {
            of_sample.turn_to(tile.sample, self.found);
            sums.fill(NO_SUMS);
            let mut valid = 0;
            for (count, (first, inside)) in tile.blocks().enumerate() {
                let block = self.source.block(&mut stage, tile.sample, first, inside, &mut bad_label);
                valid += block.valid;
                A::activate::<L, GROUP>(lanes, block.logits, &mut e[..classes], &mut r);
                add_block(lanes, &block, &e[..classes], &mut r, &mut sums[..classes]);
                if count % F32_BLOCKS == F32_BLOCKS - 1 {
                    widen(lanes, &mut sums[..classes]);
                }
            }
            widen(lanes, &mut sums[..classes]);
            let finite = of_sample.add(valid, &sums);
            if !finite && self.non_finite == NonFinite::Error {
                self.source.note_non_finite(&tile, self.request.activation, &mut bad_logit);
            }
        }
        of_sample.publish(self.found);
        let mut found = self.found.lock().expect("no thread panics while it holds the table");
        found.bad_label.merge(bad_label);
        found.bad_logit.merge(bad_logit);
    }
}

/// Adds a block, class by class; p = e · r.
#[inline(always)]
fn add_block<L: Lanes>(lanes: L, block: &Block<'_>, e: &[Row], r: &mut Row, sums: &mut [ClassSums]) {
    if let Some(weights) = block.weights {
        for j in 0..VECTORS {
            let weighted = lanes.mul(lanes.load(r.vector(j)), lanes.load(weights.vector(j)));
            lanes.store(r.vector_mut(j), weighted);
        }
    }
    for (class, (e, sums)) in e.iter().zip(sums).enumerate() {
        let class = lanes.splat_i(class as i32);
        let mut target = lanes.load_i(&sums.target);
        let is_class = |j| lanes.eq(lanes.load_i(block.channels.vector(j)), class);
        let p = lanes.mul(lanes.load(e.vector(0)), lanes.load(r.vector(0)));
        let mut prediction = p;
        let mut intersection = lanes.keep(is_class(0), p);
        target = lanes.count(is_class(0), target);
        for j in 1..VECTORS {
            let (e, r, mask) = (lanes.load(e.vector(j)), lanes.load(r.vector(j)), is_class(j));
            prediction = lanes.fma(e, r, prediction);
            intersection = lanes.fma_where(mask, e, r, intersection);
            target = lanes.count(mask, target);
        }
        lanes.store_i(&mut sums.target, target);
        let total = lanes.add(lanes.load(&sums.prediction), prediction);
        lanes.store(&mut sums.prediction, total);
        let total = lanes.add(lanes.load(&sums.intersection), intersection);
        lanes.store(&mut sums.intersection, total);
    }
}

/// Adds the f32 sums to the f64 ones and clears them.
#[inline(always)]
fn widen<L: Lanes>(lanes: L, sums: &mut [ClassSums]) {
    for sums in sums {
        lanes.accumulate(&mut sums.predictions, lanes.load(&sums.prediction));
        lanes.accumulate(&mut sums.intersections, lanes.load(&sums.intersection));
        lanes.store(&mut sums.prediction, lanes.splat(0.0));
        lanes.store(&mut sums.intersection, lanes.splat(0.0));
    }
}

/// The sums of one sample, as far as this thread has them.
struct SampleTable {
    sample: usize,
    table: Statistics,
    /// Whether anything was added since the table was last published.
    used: bool,
}

impl SampleTable {
    fn new(classes: usize, request: Request) -> Self {
        Self { sample: 0, table: Statistics::new(1, classes, request), used: false }
    }

    /// Makes the table that of `sample`, publishing what it holds of another one.
    #[inline]
    fn turn_to(&mut self, sample: usize, found: &Mutex<Found>) {
        if self.sample != sample {
            self.publish(found);
            self.sample = sample;
        }
    }

    /// Adds the sums of a tile; false if one of them is not finite.
    #[inline(never)]
    fn add(&mut self, valid: usize, sums: &[ClassSums]) -> bool {
        self.used = true;
        let request = self.table.request();
        let words = self.table.sample_mut(0);
        accumulator::add(&mut words[0], valid as f64);
        let mut finite = true;
        for (class, sums) in sums.iter().enumerate() {
            let target = sums.target.iter().map(|&count| f64::from(count)).sum();
            for (sum, value) in [
                (Sum::Target, target),
                (Sum::Prediction, fold(&sums.predictions)),
                (Sum::Intersection, fold(&sums.intersections)),
            ] {
                finite &= value.is_finite();
                if let Some(place) = request.sums.position(sum) {
                    accumulator::add(&mut words[1 + class * request.sums.len() + place], value);
                }
            }
        }
        finite
    }

    /// Adds the table to the shared one and clears it.
    fn publish(&mut self, found: &Mutex<Found>) {
        if !std::mem::take(&mut self.used) {
            return;
        }
        let mut found = found.lock().expect("no thread panics while it holds the table");
        let into = found.statistics.sample_mut(self.sample);
        for (into, from) in into.iter_mut().zip(self.table.sample_mut(0)) {
            accumulator::merge(into, from);
            *from = Default::default();
        }
    }
}
