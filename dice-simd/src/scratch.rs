//! What a claimant works with, kept by its thread from one pass to the next: in steady state nothing is allocated.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::thread::LocalKey;

use dice_core::Statistics;

use crate::gather::Stage;
use crate::kernel::{Counts, Pairs, Row, Slope, TileSums};
use crate::real::Real;
use crate::scatter::SinkStage;

/// The room of one claimant. Each pass fits what it uses to its shape.
#[derive(Debug, Default)]
pub(crate) struct Scratch<R> {
    pub(crate) stage: Stage<R>,
    /// e of a block, see `kernel::activate`.
    pub(crate) e: Vec<Row<R>>,
    pub(crate) sums: TileSums<R>,
    pub(crate) table: Statistics,
    pub(crate) counts: Counts,
    pub(crate) pairs: Pairs,
    pub(crate) slopes: Vec<Slope<R>>,
    pub(crate) sink: SinkStage<R>,
}

/// The scratch of the thread while a pass has it.
#[derive(Debug)]
pub(crate) struct Lent<R: Real>(Option<Box<Scratch<R>>>);

/// Where a thread keeps its scratch.
pub(crate) type Kept<R> = LocalKey<Cell<Option<Box<Scratch<R>>>>>;

/// What a thread keeps is for at most so many classes, less than 1 MiB.
const MOST_CLASSES: usize = 100;
/// And so many counts of pairs of classes.
const MOST_COUNTS: usize = 40_000;

impl<R: Real> Scratch<R> {
    /// That of the thread; a new one if there is none, or another pass of the thread has it.
    pub(crate) fn of_thread() -> Lent<R> {
        Lent(Some(R::kept_scratch().try_with(Cell::take).ok().flatten().unwrap_or_default()))
    }

    fn is_small(&self) -> bool {
        self.stage.classes().max(self.sink.classes()) <= MOST_CLASSES && self.counts.len() <= MOST_COUNTS
    }
}

impl<R: Real> Deref for Lent<R> {
    type Target = Scratch<R>;
    fn deref(&self) -> &Scratch<R> {
        self.0.as_ref().expect("it is lent until it is dropped")
    }
}

impl<R: Real> DerefMut for Lent<R> {
    fn deref_mut(&mut self) -> &mut Scratch<R> {
        self.0.as_mut().expect("it is lent until it is dropped")
    }
}

impl<R: Real> Drop for Lent<R> {
    fn drop(&mut self) {
        let scratch = self.0.take().filter(|scratch| scratch.is_small());
        // A thread that is about to end keeps nothing.
        let _ = R::kept_scratch().try_with(|kept| kept.set(scratch));
    }
}

/// Makes room for `len` elements; those that were there may keep what they held.
pub(crate) fn fit<T: Clone>(room: &mut Vec<T>, len: usize, nothing: T) {
    room.truncate(len);
    room.resize(len, nothing);
}
