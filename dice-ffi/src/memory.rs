//! Room for the sums.
//!
//! What a call allocates grows with samples × classes, not with the voxels, so a prediction without a voxel can ask for more
//! than the machine has. Rust ends the process when an allocation fails; a library must not. So each call first asks for all
//! of its memory at once, in a way that can fail.

use dice_simd::Executor;
use dice_simd::TILE_VOXELS;
use dice_simd::core::accumulator::Words;
use dice_simd::core::{ClassReport, Sum};

use crate::runtime::Threads;
use crate::status::{Failure, Status};

/// As much is never refused.
const SMALL: usize = 1 << 20;
/// More than a claimant holds per class: blocks of logits, probabilities and gradient, and the sums of a tile.
const PER_CLASS_OF_A_CLAIMANT: usize = 4096;

/// Finds room for the passes over `samples` × `classes` × `voxels`, and for the evaluation between them.
pub(crate) fn for_passes(samples: usize, classes: usize, voxels: usize) -> Result<(), Failure> {
    let tiles = samples.saturating_mul(voxels.div_ceil(TILE_VOXELS));
    let claimants = if samples.max(1).saturating_mul(classes) > SMALL / PER_CLASS_OF_A_CLAIMANT {
        Threads.claimants().min(tiles).max(1)
    } else {
        1
    };
    room(samples, classes, claimants)
}

/// Finds room for the evaluation of a table of `samples` × `classes`.
pub(crate) fn for_evaluation(samples: usize, classes: usize) -> Result<(), Failure> {
    room(samples, classes, 0)
}

fn room(samples: usize, classes: usize, claimants: usize) -> Result<(), Failure> {
    let (rows, classes_wide, claimants) = (samples.max(1) as u128, classes as u128, claimants as u128);
    let accumulators = 1 + classes_wide * Sum::ALL.len() as u128;
    // The table; reports, twice since they are copied to the caller's form; cotangent; what the passes make of it.
    let per_class = 2 * size_of::<ClassReport>() + Sum::ALL.len() * size_of::<f64>() + 2 * size_of::<f64>();
    let of_rows = rows * (accumulators * size_of::<Words>() as u128 + classes_wide * per_class as u128);
    let of_claimants = claimants * classes_wide * PER_CLASS_OF_A_CLAIMANT as u128;
    find(usize::try_from(of_rows.saturating_add(of_claimants)).ok(), || {
        format!("the sums of {samples} samples of {classes} classes")
    })
}

/// Whether `bytes`, more than fit in a number if `None`, are to be had for `what`.
pub(crate) fn find(bytes: Option<usize>, what: impl FnOnce() -> String) -> Result<(), Failure> {
    let mut room = Vec::<u8>::new();
    let found = match bytes {
        Some(..=SMALL) => true,
        Some(bytes) => room.try_reserve_exact(bytes).is_ok(),
        None => false,
    };
    // Else a compiler may do without the allocation, and call it a success.
    std::hint::black_box(&room);
    if found {
        return Ok(());
    }
    let sentence = match bytes {
        Some(bytes) => format!("there is no memory for {}: {bytes} bytes", what()),
        None => format!("there is no memory for {}", what()),
    };
    Err(Failure::new(Status::Unavailable, sentence))
}
