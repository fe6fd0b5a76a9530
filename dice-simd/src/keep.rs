//! Room that a thread keeps from one pass to the next: in steady state nothing is allocated.
//!
//! A pass borrows the room of its thread and gives it back at the end. What the room is for is the business of whoever
//! borrows it: here it is known for how many classes it is, since all that a thread keeps together is to be less than 1 MiB.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::thread::LocalKey;

/// Where a thread keeps its room.
pub(crate) type Kept<T> = LocalKey<Cell<Option<Box<T>>>>;

/// Room that a thread keeps, if it is small.
pub(crate) trait Keep: Default + 'static {
    fn kept() -> &'static Kept<Self>;
    /// For how many classes it is.
    fn classes(&self) -> usize;
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
        let room = self.0.take().filter(|room| room.classes() <= MOST_CLASSES);
        // A thread that is about to end keeps nothing.
        let _ = T::kept().try_with(|kept| kept.set(room));
    }
}

/// Gives back what the thread keeps.
pub(crate) fn forget<T: Keep>() {
    // A thread that is about to end keeps nothing.
    drop(T::kept().try_with(Cell::take));
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
