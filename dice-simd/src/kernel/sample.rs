//! The tables that the threads of a statistics pass fill: each its own, then the shared one.

use std::mem;
use std::sync::{Mutex, PoisonError};

use dice_core::{Error, Request, Statistics, Sum, accumulator};

use crate::gather::{Bad, FirstBad, NotFinite};
use crate::tile::Tile;

/// What the threads of a statistics pass find together.
#[derive(Debug)]
pub(crate) struct Found<'t> {
    pub(crate) statistics: &'t mut Statistics,
    pub(crate) bad: FirstBad<Bad>,
    pub(crate) not_finite: NotFinite,
    /// Why a thread has not taken part: it had no memory for a table of its own.
    pub(crate) refused: Option<Error>,
}

/// The sums of one sample, as far as this thread has them.
pub(super) struct SampleTable<'s> {
    sample: usize,
    table: &'s mut Statistics,
    request: &'s Request,
    /// Whether anything was added since the table was last published.
    used: bool,
}

impl<'s> SampleTable<'s> {
    /// None, and the reason noted, if there is no memory for it.
    pub(super) fn new(
        table: &'s mut Statistics,
        classes: usize,
        request: &'s Request,
        found: &Mutex<Found<'_>>,
    ) -> Option<Self> {
        if let Err(error) = table.reset(1, classes, request) {
            found.lock().unwrap_or_else(PoisonError::into_inner).refused = Some(error);
            return None;
        }
        Some(Self { sample: 0, table, request, used: false })
    }

    /// Makes the table that of `sample`, publishing what it holds of another one.
    #[inline]
    pub(super) fn turn_to(&mut self, sample: usize, found: &Mutex<Found<'_>>) {
        if self.sample != sample {
            self.publish(found);
            self.sample = sample;
        }
    }

    /// Adds the sums of a tile, of which `of` tells that of a class, a part of the request and a sum; false if one of them is not
    /// finite.
    #[inline(never)]
    pub(super) fn add(&mut self, tile: &Tile, valid: f64, of: impl Fn(usize, usize, Sum) -> f64) -> bool {
        self.used = true;
        let (classes, request) = (self.table.classes(), self.request);
        let mut words = self.table.sample_mut(0).iter_mut();
        let mut add = |value| accumulator::add(words.next().expect("a column per sum"), value);
        add(valid);
        add(tile.len() as f64);
        let mut finite = true;
        for class in 0..classes {
            let of_target = request.of_target().iter().map(|sum| (0, sum));
            let of_parts =
                (0..request.parts()).flat_map(|part| request.part(part).sums.iter().map(move |sum| (part, sum)));
            for (part, sum) in of_target.chain(of_parts) {
                let value = of(class, part, sum);
                finite &= value.is_finite();
                add(value);
            }
        }
        finite
    }

    /// Adds the table to the shared one and clears it.
    fn publish(&mut self, found: &Mutex<Found<'_>>) {
        if !mem::take(&mut self.used) {
            return;
        }
        let mut found = found.lock().expect("no thread panics while it holds the table");
        let into = found.statistics.sample_mut(self.sample);
        for (into, from) in into.iter_mut().zip(self.table.sample_mut(0)) {
            accumulator::merge(into, from);
            *from = Default::default();
        }
    }

    /// Publishes what is left, and what is wrong with the input.
    pub(super) fn finish(mut self, found: &Mutex<Found<'_>>, bad: FirstBad<Bad>, not_finite: NotFinite) {
        self.publish(found);
        let mut found = found.lock().expect("no thread panics while it holds the table");
        found.bad.merge(bad);
        found.not_finite.merge(not_finite);
    }
}
