//! Counts of voxels by true and predicted class, as far as a thread has them.
//!
//! A count that was just written cannot be added to at once, and neighbours are of the same class as a rule: so several tables
//! take turns.

use std::sync::Mutex;

use dice_core::Confusion;

use crate::block::Row;
use crate::gather::{Bad, FirstBad};
use crate::keep::fit;

/// What the threads of a pass find together.
#[derive(Debug)]
pub(crate) struct FoundConfusion<'t> {
    pub(crate) confusion: &'t mut Confusion,
    pub(crate) bad: FirstBad<Bad>,
}

/// How many tables take turns: a voxel need not wait for the count of its neighbour, which is of the same class as a rule.
pub(super) const TURNS: usize = 4;
/// Turns share a table rather than that all tables together hold more counts than the cache keeps, 128 KiB of them.
const MOST_COUNTS: usize = 1 << 14;

/// The beginning of the table of each turn, among `counts` counts of tables of `len`.
#[inline(always)]
pub(super) fn turns(counts: &[u64], len: usize) -> [usize; TURNS] {
    let tables = counts.len() / len;
    std::array::from_fn(|turn| turn % tables * len)
}

/// The counts of one sample, as far as this thread has them.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) sample: usize,
    classes: usize,
    /// `[table][truth][prediction]`, see [`turns`].
    pub(super) counts: Vec<u64>,
}

impl Counts {
    pub(super) fn classes(&self) -> usize {
        self.classes
    }

    /// Zeros for `classes` classes.
    pub(super) fn clear(&mut self, classes: usize) {
        let table = classes * classes;
        fit(&mut self.counts, (MOST_COUNTS / table).clamp(1, TURNS) * table, 0);
        self.counts.fill(0);
        (self.sample, self.classes) = (0, classes);
    }

    /// Makes the table that of `sample`, adding what it holds of another one to the shared table.
    pub(super) fn turn_to(&mut self, sample: usize, found: &Mutex<FoundConfusion<'_>>) {
        if self.sample != sample {
            self.publish(found);
            self.sample = sample;
        }
    }

    /// Counts the voxels of a block whose truth is not −1.
    #[inline(always)]
    pub(super) fn add(&mut self, truth: &Row<i32>, prediction: &Row<i32>) {
        let classes = self.classes;
        let starts = turns(&self.counts, classes * classes);
        for (i, (&truth, &prediction)) in truth.0.iter().zip(&prediction.0).enumerate() {
            if truth >= 0 {
                self.counts[starts[i % TURNS] + truth as usize * classes + prediction as usize] += 1;
            }
        }
    }

    pub(super) fn publish(&mut self, found: &Mutex<FoundConfusion<'_>>) {
        let mut found = found.lock().expect("no thread panics while it holds the table");
        let into = found.confusion.sample_mut(self.sample);
        for table in self.counts.chunks_exact_mut((self.classes * self.classes).max(1)) {
            for (into, from) in into.iter_mut().zip(table) {
                *into += std::mem::take(from);
            }
        }
    }
}
