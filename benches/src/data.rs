//! Logits and labels to run on.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::slice;
use std::sync::Mutex;

use dice_data::Brain;
use dice_simd::half::{bf16, f16};
use dice_simd::{Arithmetic, Float};
use dice_simd::{Error, View, ViewMut};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// What the logits and labels look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Data {
    /// Nothing that a branch predictor could learn.
    Random,
    /// Gaps of 20 to 100 between the logits of a voxel.
    Confident,
    /// One label everywhere.
    Background,
    /// The labels of the embedded brain, tiled, and logits that mostly agree with them.
    Brain,
}

impl Data {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Random, Self::Confident, Self::Background, Self::Brain];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Confident => "confident",
            Self::Background => "background",
            Self::Brain => "brain",
        }
    }
}

/// Which axis of a tensor lies densest in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// `[N, C, D, H, W]`.
    ChannelsFirst,
    /// `[N, D, H, W, C]`.
    ChannelsLast,
}

impl Order {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChannelsFirst => "channels_first",
            Self::ChannelsLast => "channels_last",
        }
    }
}

/// A type of which any bits are a value, no larger than a cache line.
///
/// # Safety
/// So it must be.
pub unsafe trait Number: Copy {}

// SAFETY: any bits are a number.
unsafe impl Number for u8 {}
// SAFETY: as above.
unsafe impl Number for f16 {}
// SAFETY: as above.
unsafe impl Number for bf16 {}
// SAFETY: as above.
unsafe impl Number for f32 {}
// SAFETY: as above.
unsafe impl Number for f64 {}

/// An element type of predictions.
pub trait Element: Float<Arithmetic: Arithmetic> + Number {
    /// The name in reports.
    const NAME: &str;

    /// The nearest one.
    fn from_f32(x: f32) -> Self;
}

impl Element for f32 {
    const NAME: &str = "f32";
    fn from_f32(x: f32) -> Self {
        x
    }
}

impl Element for f64 {
    const NAME: &str = "f64";
    fn from_f32(x: f32) -> Self {
        x.into()
    }
}

impl Element for f16 {
    const NAME: &str = "f16";
    fn from_f32(x: f32) -> Self {
        Self::from_f32(x)
    }
}

impl Element for bf16 {
    const NAME: &str = "bf16";
    fn from_f32(x: f32) -> Self {
        Self::from_f32(x)
    }
}

/// Numbers aligned to a cache line, as the frameworks' allocators give them.
#[derive(Debug)]
pub struct Aligned<T> {
    lines: Vec<Line>,
    len: usize,
    numbers: PhantomData<T>,
}

/// A cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "it is read as numbers")] [u64; 8]);

/// Memory that was given back, the smallest first. To ask the system for a gigabyte, page by page, takes longer than to measure
/// with it.
static ROOMS: Mutex<Vec<Vec<Line>>> = Mutex::new(Vec::new());

impl<T: Number> Aligned<T> {
    /// `len` numbers of any value.
    ///
    /// # Panics
    /// If a thread panicked while it took or gave memory.
    pub fn new(len: usize) -> Self {
        let mut rooms = ROOMS.lock().expect("nobody panics with the rooms");
        let count = (len * size_of::<T>()).div_ceil(size_of::<Line>());
        // The smallest one that is large enough.
        let enough = rooms.iter().position(|room| room.len() >= count);
        let lines = enough.map_or_else(|| vec![Line([0; 8]); count], |room| rooms.remove(room));
        Self { lines, len, numbers: PhantomData }
    }
}

impl<T> Drop for Aligned<T> {
    fn drop(&mut self) {
        if let Ok(mut rooms) = ROOMS.lock() {
            rooms.push(std::mem::take(&mut self.lines));
            rooms.sort_unstable_by_key(Vec::len);
            // As many as one measurement takes.
            if rooms.len() > 3 {
                rooms.remove(0);
            }
        }
    }
}

impl<T: Number> Deref for Aligned<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: the lines are initialised, aligned for any number and long enough, and any bits are a number.
        unsafe { slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Number> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

/// A number below 2^32 for an index, without a pattern.
fn hash(index: usize) -> u32 {
    let mut x = index as u64 ^ 0x9e37_79b9_7f4a_7c15;
    x = (x ^ x >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x = (x ^ x >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (x >> 32) as u32
}

/// Voxels that a thread fills at a time.
const CHUNK: usize = 1 << 14;

/// `voxels` labels of `classes` classes.
///
/// # Panics
/// If the embedded brain cannot be unpacked.
pub fn labels(data: Data, classes: usize, voxels: usize) -> Aligned<u8> {
    let mut labels = Aligned::new(voxels);
    let brain = if data == Data::Brain { Brain::load().expect("the embedded files are sound").tissues } else { vec![] };
    labels.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, labels)| {
        for (i, label) in labels.iter_mut().enumerate() {
            let voxel = chunk * CHUNK + i;
            *label = match data {
                Data::Random | Data::Confident => ((u64::from(hash(voxel)) * classes as u64) >> 32) as u8,
                Data::Background => 0,
                Data::Brain => brain[voxel % brain.len()].min((classes - 1) as u8),
            };
        }
    });
    labels
}

/// Logits for these labels.
pub fn logits<T: Element>(data: Data, classes: usize, order: Order, labels: &[u8]) -> Aligned<T> {
    let voxels = labels.len();
    let mut logits = Aligned::new(classes * voxels);
    logits.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, logits)| {
        let first = chunk * CHUNK;
        let (mut class, mut voxel) = match order {
            Order::ChannelsFirst => (first / voxels, first % voxels),
            Order::ChannelsLast => (first % classes, first / classes),
        };
        for (i, logit) in logits.iter_mut().enumerate() {
            let index = first + i;
            let uniform = hash(index) as f32 / u32::MAX as f32;
            let right = usize::from(labels[voxel]) == class;
            *logit = T::from_f32(match data {
                Data::Random | Data::Background => 4.0 * uniform - 2.0,
                Data::Confident if right => 0.0,
                Data::Confident => -20.0 - 80.0 * uniform,
                Data::Brain => uniform + if right { 3.0 } else { 0.0 },
            });
            let (inner, outer, length) = match order {
                Order::ChannelsFirst => (&mut voxel, &mut class, voxels),
                Order::ChannelsLast => (&mut class, &mut voxel, classes),
            };
            *inner += 1;
            if *inner == length {
                (*inner, *outer) = (0, *outer + 1);
            }
        }
    });
    logits
}

/// A dense target `[1, C, voxels]` of these labels, channels first: nine tenths of each voxel are its class, the rest is every
/// class's.
pub fn soft_target(classes: usize, labels: &[u8]) -> Aligned<f32> {
    let mut target = Aligned::new(classes * labels.len());
    for (class, target) in target.chunks_exact_mut(labels.len()).enumerate() {
        target.par_iter_mut().zip(labels).for_each(|(part, &label)| {
            *part = 0.1 / classes as f32 + if usize::from(label) == class { 0.9 } else { 0.0 };
        });
    }
    target
}

/// The view of a prediction `[1, C, voxels]`.
///
/// # Errors
/// If the slice is too short.
pub fn view<T>(data: &[T], classes: usize, order: Order) -> Result<View<'_, T>, Error> {
    let shape = [1, classes, data.len() / classes];
    match order {
        Order::ChannelsFirst => View::channels_first(data, &shape),
        Order::ChannelsLast => View::channels_last(data, &shape),
    }
}

/// The view of a gradient `[1, C, voxels]`.
///
/// # Errors
/// If the slice is too short.
pub fn view_mut<T>(data: &mut [T], classes: usize, order: Order) -> Result<ViewMut<'_, T>, Error> {
    let shape = [1, classes, data.len() / classes];
    match order {
        Order::ChannelsFirst => ViewMut::channels_first(data, &shape),
        Order::ChannelsLast => ViewMut::channels_last(data, &shape),
    }
}
