//! Memory for when there is none.
//!
//! Rust ends the process when an allocation fails; a library must not. What is large is asked for in a way that can fail, before a
//! call begins (`memory`) and where it is needed (dice-core's tables). Everything else is small, and comes from a reserve if the
//! system has no more: so a call that has begun ends, with its own result or with an error. What a thread keeps for its next call is not
//! of the reserve; what lasts for good, a preset or an executor, asks for its memory first where there was none before.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The system's memory, and the reserve where that ends.
struct Reserve {
    /// For the many small things, so that they do not take what a pass works in.
    small: Chunks<SMALL>,
    large: Chunks<{ 1 << 17 }>,
}

/// Bytes of a small chunk.
const SMALL: usize = 4096;

#[global_allocator]
static RESERVE: Reserve = Reserve { small: Chunks::new(), large: Chunks::new() };

/// How often the reserve has served.
static SERVED: AtomicU64 = AtomicU64::new(0);
/// Whether the system had no memory when it was last asked in earnest.
static SHORT: AtomicBool = AtomicBool::new(false);

/// How often the reserve has served, on any thread: a thread that sees it grow during its work keeps nothing of it.
pub(crate) fn served() -> u64 {
    SERVED.load(Ordering::Relaxed)
}

/// Whether even a little memory is to be asked for before a call begins.
pub(crate) fn is_short() -> bool {
    SHORT.load(Ordering::Relaxed)
}

/// Whether the system has so many bytes at once.
pub(crate) fn can_be_had(bytes: usize) -> bool {
    let Ok(layout) = Layout::from_size_align(bytes.max(1), 1) else { return false };
    // SAFETY: not of size 0. Volatile in effect: a call of the C library, of which the compiler knows nothing.
    let room = std::hint::black_box(unsafe { System.alloc(layout) });
    SHORT.store(room.is_null(), Ordering::Relaxed);
    if room.is_null() {
        return false;
    }
    // SAFETY: allocated above.
    unsafe { System.dealloc(room, layout) };
    true
}

/// Chunks that are handed out in runs.
struct Chunks<const BYTES: usize> {
    memory: UnsafeCell<Memory<BYTES>>,
    /// A bit for each chunk.
    taken: AtomicU64,
}

const CHUNKS: usize = u64::BITS as usize;
/// No allocation of this library asks for more.
const ALIGN: usize = 4096;

/// In pages that nobody touches as long as they are not needed.
#[repr(align(4096))]
struct Memory<const BYTES: usize>([[u8; BYTES]; CHUNKS]);

// SAFETY: a run of chunks is handed out to one owner at a time.
unsafe impl<const BYTES: usize> Sync for Chunks<BYTES> {}

impl<const BYTES: usize> Chunks<BYTES> {
    const fn new() -> Self {
        Self { memory: UnsafeCell::new(Memory([[0; BYTES]; CHUNKS])), taken: AtomicU64::new(0) }
    }

    /// As many bits as chunks are needed for so many bytes; none if there are not so many.
    fn run(bytes: usize) -> Option<u64> {
        let chunks = bytes.div_ceil(BYTES).max(1);
        (chunks <= CHUNKS).then(|| u64::MAX >> (CHUNKS - chunks))
    }

    /// A run of so many bytes, or null.
    fn take(&self, bytes: usize) -> *mut u8 {
        let Some(run) = Self::run(bytes) else { return ptr::null_mut() };
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            let places = CHUNKS - run.count_ones() as usize;
            let Some(place) = (0..=places).find(|place| (taken >> place) & run == 0) else { return ptr::null_mut() };
            match self.taken.compare_exchange_weak(taken, taken | run << place, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return self.memory.get().cast::<u8>().wrapping_add(place * BYTES),
                Err(now) => taken = now,
            }
        }
    }

    /// Whether so many bytes take as many chunks as the run of `old` bytes that is there.
    fn fits(&self, memory: *mut u8, old: usize, new: usize) -> bool {
        let offset = memory.addr().wrapping_sub(self.memory.get().addr());
        offset < size_of::<Memory<BYTES>>() && Self::run(old) == Self::run(new)
    }

    /// Takes back a run of so many bytes, if it is one.
    fn give_back(&self, memory: *mut u8, bytes: usize) -> bool {
        let offset = memory.addr().wrapping_sub(self.memory.get().addr());
        if offset >= size_of::<Memory<BYTES>>() {
            return false;
        }
        if let Some(run) = Self::run(bytes) {
            self.taken.fetch_and(!(run << (offset / BYTES)), Ordering::Release);
        }
        true
    }
}

impl Reserve {
    /// Memory of the reserve, or null.
    #[cold]
    fn serve(&self, layout: Layout) -> *mut u8 {
        SHORT.store(true, Ordering::Relaxed);
        SERVED.fetch_add(1, Ordering::Relaxed);
        if layout.align() > ALIGN {
            return ptr::null_mut();
        }
        let small = if layout.size() <= SMALL { self.small.take(layout.size()) } else { ptr::null_mut() };
        if small.is_null() { self.large.take(layout.size()) } else { small }
    }

    fn give_back(&self, memory: *mut u8, layout: Layout) -> bool {
        self.small.give_back(memory, layout.size()) || self.large.give_back(memory, layout.size())
    }

    fn holds(&self, memory: *mut u8) -> bool {
        let within = |start: usize, bytes: usize| memory.addr().wrapping_sub(start) < bytes;
        within(self.small.memory.get().addr(), size_of_val(&self.small.memory))
            || within(self.large.memory.get().addr(), size_of_val(&self.large.memory))
    }
}

// SAFETY: the system's allocator, or chunks that nobody else has, of at least the size and alignment asked for; nothing unwinds.
unsafe impl GlobalAlloc for Reserve {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let memory = unsafe { System.alloc(layout) };
        if memory.is_null() { self.serve(layout) } else { memory }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if !memory.is_null() {
            return memory;
        }
        let memory = self.serve(layout);
        if !memory.is_null() {
            // SAFETY: a run of so many bytes.
            unsafe { memory.write_bytes(0, layout.size()) };
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if !self.give_back(memory, layout) {
            // SAFETY: the caller's promise; it is not of the reserve.
            unsafe { System.dealloc(memory, layout) };
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if self.small.fits(memory, layout.size(), size) || self.large.fits(memory, layout.size(), size) {
            return memory;
        }
        let is_ours = self.holds(memory);
        if !is_ours {
            // SAFETY: the caller's promise; it is not of the reserve.
            let moved = unsafe { System.realloc(memory, layout, size) };
            if !moved.is_null() {
                return moved;
            }
        }
        // SAFETY: the caller promises that the size is possible with the alignment.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: the caller's promise: the new size is not 0.
        let moved = if is_ours { unsafe { self.alloc(new) } } else { self.serve(new) };
        if !moved.is_null() {
            // SAFETY: both have as many bytes, and the new memory is nobody else's.
            unsafe { moved.copy_from_nonoverlapping(memory, layout.size().min(size)) };
            // SAFETY: the caller's promise.
            unsafe { self.dealloc(memory, layout) };
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_handed_out_once_and_taken_back() {
        let chunks = Box::new(Chunks::<16>::new());
        let all: Vec<_> = (0..CHUNKS).map(|_| chunks.take(16)).collect();
        assert!(all.windows(2).all(|pair| pair[1].addr() - pair[0].addr() == 16));
        assert!(chunks.take(1).is_null());
        // A hole of three chunks holds no four.
        all[5..8].iter().for_each(|&memory| assert!(chunks.give_back(memory, 9)));
        assert!(chunks.take(49).is_null());
        assert_eq!(chunks.take(48), all[5]);
        assert!(chunks.give_back(all[5], 33));
        assert_eq!([chunks.take(1), chunks.take(0), chunks.take(17)], [all[5], all[6], ptr::null_mut()]);
        assert!(!chunks.give_back((&raw const all).cast_mut().cast(), 1), "not of the reserve");
        assert!(chunks.fits(all[5], 16, 1) && chunks.fits(all[5], 17, 32) && !chunks.fits(all[5], 16, 17));
        assert!(!chunks.fits((&raw const all).cast_mut().cast(), 16, 16));
        assert!(chunks.take(16 * CHUNKS + 1).is_null() && Chunks::<16>::run(usize::MAX).is_none());
        all.iter().for_each(|&memory| assert!(chunks.give_back(memory, 16)));
        assert_eq!(chunks.take(16 * CHUNKS), all[0]);
    }
}
