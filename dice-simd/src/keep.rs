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
    pub(crate) slopes: Vec<Slope<R>>,
    pub(crate) sink: SinkStage<R>,
}

/// The room of one claimant who counts pairs of classes, in whatever arithmetic.
#[derive(Debug, Default)]
pub(crate) struct CountScratch {
    pub(crate) counts: Counts,
    pub(crate) pairs: Pairs,
}

/// Where a thread keeps its room.
pub(crate) type Kept<T> = LocalKey<Cell<Option<Box<T>>>>;

/// Room that a thread keeps, if it is small: all that it keeps together is less than 1 MiB.
pub(crate) trait Keep: Default + 'static {
    fn kept() -> &'static Kept<Self>;
    fn is_small(&self) -> bool;
}

impl<R: Real> Keep for Scratch<R> {
    fn kept() -> &'static Kept<Self> {
        R::kept_scratch()
    }

    fn is_small(&self) -> bool {
        self.stage.classes().max(self.sink.classes()) <= MOST_CLASSES
    }
}

impl Keep for CountScratch {
    fn kept() -> &'static Kept<Self> {
        thread_local!(static KEPT: Cell<Option<Box<CountScratch>>> = const { Cell::new(None) });
        &KEPT
    }

    fn is_small(&self) -> bool {
        self.counts.classes() <= MOST_CLASSES
    }
}

/// Room is kept for at most so many classes.
const MOST_CLASSES: usize = 100;

/// The room of the thread while a pass has it.
#[derive(Debug)]
pub(crate) struct Lent<T: Keep>(Option<Box<T>>);

impl<T: Keep> Lent<T> {
    /// That of the thread; new room if there is none, or another pass of the thread has it.
    pub(crate) fn of_thread() -> Self {
        Self(Some(T::kept().try_with(Cell::take).ok().flatten().unwrap_or_default()))
    }
}

impl<T: Keep> Deref for Lent<T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is lent until it is dropped")
    }
}

impl<T: Keep> DerefMut for Lent<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("it is lent until it is dropped")
    }
}

impl<T: Keep> Drop for Lent<T> {
    fn drop(&mut self) {
        let room = self.0.take().filter(|room| room.is_small());
        // A thread that is about to end keeps nothing.
        let _ = T::kept().try_with(|kept| kept.set(room));
    }
}

/// Makes room for `len` elements and no more; those that were there may keep what they held.
pub(crate) fn fit<T: Clone>(room: &mut Vec<T>, len: usize, nothing: T) {
    if room.capacity() < len {
        // The old room is given back before the new one is there.
        *room = Vec::new();
        room.reserve_exact(len);
    }
    room.truncate(len);
    room.resize(len, nothing);
}
