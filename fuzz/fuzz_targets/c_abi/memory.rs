//! Memory in exact spans: every buffer begins behind, or ends before, a page that nobody may touch, so that a byte too far is a
//! fault. Inputs are given to the library at addresses where they can only be read: a write to one is a fault too. All pages are
//! mapped once, for mapping takes longer than a call.

use std::ptr;

/// What no buffer is longer than.
pub const SLOT: usize = 2 << 20;
/// How many buffers an execution may have, of inputs and of outputs.
const SLOTS: [usize; 2] = [320, 160];
const PAGE: usize = 4096;

/// At which end of a buffer the guard page lies.
#[derive(Clone, Copy, Debug)]
pub enum Edge {
    Front,
    Back,
}

/// A buffer, at the address that the library gets.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub first: *mut u8,
    pub len: usize,
}

impl Span {
    /// What is in it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        // SAFETY: spans are made by `Memory` alone, whose pages stay mapped and can be read.
        unsafe { ptr::copy_nonoverlapping(self.first, bytes.as_mut_ptr(), self.len) };
        bytes
    }

    pub fn as_ptr<T>(&self) -> *mut T {
        self.first.cast()
    }
}

/// A file in memory, mapped twice: slot by slot between guard pages for the library, and as a whole for the harness to write to.
struct Region {
    file: i32,
    slots: usize,
    used: usize,
    theirs: *mut u8,
    ours: *mut u8,
}

impl Region {
    fn new(slots: usize, protection: i32) -> Self {
        // SAFETY: the name is a C string.
        let file = unsafe { libc::memfd_create(c"fuzz".as_ptr(), 0) };
        // SAFETY: a descriptor, or -1, which is refused.
        let sized = unsafe { libc::ftruncate(file, (slots * SLOT) as i64) };
        assert_eq!(sized, 0, "no memory for {slots} buffers");
        let ours = map(ptr::null_mut(), slots * SLOT, libc::PROT_READ | libc::PROT_WRITE, Some((file, 0)));
        let theirs = map(ptr::null_mut(), slots * (SLOT + PAGE) + PAGE, libc::PROT_NONE, None);
        let mut region = Self { file, slots, used: 0, theirs, ours };
        for slot in 0..slots {
            map(region.slot(slot), SLOT, protection, Some((region.file, slot * SLOT)));
        }
        region.used = 0;
        region
    }

    /// Where the library sees the slot.
    fn slot(&self, slot: usize) -> *mut u8 {
        self.theirs.wrapping_add(PAGE + slot * (SLOT + PAGE))
    }

    /// A buffer with these bytes.
    fn span(&mut self, bytes: &[u8], edge: Edge) -> Span {
        assert!(self.used < self.slots && bytes.len() <= SLOT, "the harness asks for too much");
        let within = match edge {
            Edge::Front => 0,
            Edge::Back => SLOT - bytes.len(),
        };
        let to = self.ours.wrapping_add(self.used * SLOT + within);
        // SAFETY: within a slot of the harness's own mapping, which nobody else has a reference into.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        let span = Span { first: self.slot(self.used).wrapping_add(within), len: bytes.len() };
        self.used += 1;
        span
    }
}

/// Maps pages: of a file from an offset on, or of nothing; at this address unless it is NULL.
fn map(at: *mut u8, len: usize, protection: i32, file: Option<(i32, usize)>) -> *mut u8 {
    let (file, offset) = file.map_or((-1, 0), |(file, offset)| (file, offset as i64));
    let shared = if file < 0 { libc::MAP_PRIVATE | libc::MAP_ANONYMOUS } else { libc::MAP_SHARED };
    let fixed = if at.is_null() { 0 } else { libc::MAP_FIXED };
    // SAFETY: a fixed address is one that the region has reserved and not used yet.
    let mapped = unsafe { libc::mmap(at.cast(), len, protection, shared | fixed | libc::MAP_NORESERVE, file, offset) };
    assert_ne!(mapped, libc::MAP_FAILED, "no address space for the buffers");
    mapped.cast()
}

/// All buffers of an execution.
pub struct Memory {
    inputs: Region,
    outputs: Region,
}

impl Memory {
    pub fn new() -> Self {
        let [inputs, outputs] = SLOTS;
        Self {
            inputs: Region::new(inputs, libc::PROT_READ),
            outputs: Region::new(outputs, libc::PROT_READ | libc::PROT_WRITE),
        }
    }

    /// Takes all buffers back.
    pub fn clear(&mut self) {
        self.inputs.used = 0;
        self.outputs.used = 0;
    }

    /// A buffer that the library may only read.
    pub fn input(&mut self, bytes: &[u8], edge: Edge) -> Span {
        self.inputs.span(bytes, edge)
    }

    /// A buffer that the library may write to.
    pub fn output(&mut self, bytes: &[u8], edge: Edge) -> Span {
        self.outputs.span(bytes, edge)
    }

    /// Values that the library may only read.
    pub fn values<T: Plain>(&mut self, values: &[T], edge: Edge) -> *const T {
        self.input(bytes_of(values), edge).as_ptr()
    }
}

/// # Safety
/// Implementors have no padding.
pub unsafe trait Plain: Copy {}
// SAFETY: numbers.
unsafe impl Plain for i64 {}
// SAFETY: numbers.
unsafe impl Plain for f32 {}
// SAFETY: numbers.
unsafe impl Plain for f64 {}
// SAFETY: the sum of the sizes of its fields is its size.
unsafe impl Plain for crate::abi::Tensor {}
// SAFETY: likewise.
unsafe impl Plain for crate::abi::Problem {}
// SAFETY: likewise.
unsafe impl Plain for crate::abi::Term {}
// SAFETY: likewise.
unsafe impl Plain for crate::abi::Loss {}

pub fn bytes_of<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: no byte of them is padding.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}
