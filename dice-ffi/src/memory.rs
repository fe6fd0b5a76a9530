//! Room for the sums.
//!
//! What a call allocates grows with samples × classes, not with the voxels, so a prediction without a voxel can ask for more
//! than the machine has. Rust ends the process when an allocation fails; a library must not. So each call first asks for all
//! of its memory at once, in a way that can fail; of a little only if there was none before, for that has a reserve.

use std::fmt::Display;

use dice_simd::Executor;
use dice_simd::TILE_VOXELS;
use dice_simd::accumulator::Words;
use dice_simd::{ClassReport, Request, Statistics};

use crate::reserve;
use crate::runtime::Threads;
use crate::status::{Failure, Status};

/// As much is not asked for beforehand, as a rule.
const SMALL: usize = 1 << 20;
/// More than a claimant holds per class: blocks of logits, target, probabilities, logarithms and gradient, in f64.
const PER_CLASS_OF_A_CLAIMANT: usize = 8192;
/// More than it holds per class and column: the sums of a tile, of a sample, and what they become in the pullback.
const PER_COLUMN_OF_A_CLAIMANT: usize = 1024;
/// What a table of confusions takes per count: the library's, and the copy in the caller's form.
const PER_COUNT: usize = 2 * size_of::<u64>();
/// More than a claimant holds per count: it has a few tables that take turns.
const PER_COUNT_OF_A_CLAIMANT: usize = 4 * PER_COUNT;

/// Finds room for the passes over `samples` × `classes` × `voxels`, and for the evaluation between them.
pub(crate) fn for_passes(samples: usize, classes: usize, voxels: usize, request: &Request) -> Result<(), Failure> {
    let per_class = PER_CLASS_OF_A_CLAIMANT + request.columns() * PER_COLUMN_OF_A_CLAIMANT;
    let claimant = (classes as u128).saturating_mul(per_class as u128);
    room(samples, classes, sums(samples, classes, request), claimant, tiles(samples, voxels))
}

/// Finds room for the evaluation of a table of `samples` × `classes`.
pub(crate) fn for_evaluation(samples: usize, classes: usize, request: &Request) -> Result<(), Failure> {
    room(samples, classes, sums(samples, classes, request), 0, 0)
}

/// Finds room for the confusion matrices of `samples` × `voxels`.
pub(crate) fn for_confusion(samples: usize, classes: usize, voxels: usize) -> Result<(), Failure> {
    let counts = (classes as u128).pow(2);
    let of_counts = counts.saturating_mul(PER_COUNT_OF_A_CLAIMANT as u128);
    let claimant = of_counts.saturating_add(classes as u128 * PER_CLASS_OF_A_CLAIMANT as u128);
    let tables = counts.saturating_mul(samples as u128).saturating_mul(PER_COUNT as u128);
    room(samples, classes, tables, claimant, tiles(samples, voxels))
}

/// Finds room for the volumes of `classes` classes in `samples` × `voxels`.
pub(crate) fn for_volumes(samples: usize, classes: usize, voxels: usize) -> Result<(), Failure> {
    let tables = classes as u128 * PER_COUNT as u128;
    room(samples, classes, tables, classes as u128 * PER_COUNT_OF_A_CLAIMANT as u128, tiles(samples, voxels))
}

fn tiles(samples: usize, voxels: usize) -> usize {
    // An offset may cut one more.
    samples.saturating_mul(voxels.div_ceil(TILE_VOXELS).saturating_add(1))
}

/// The bytes of a table of sums and of what is made of it.
fn sums(samples: usize, classes: usize, request: &Request) -> u128 {
    let (rows, classes, columns) = (samples.max(1) as u128, classes as u128, request.columns() as u128);
    // The table.
    let of_no_class = (Statistics::OF_NO_CLASS * size_of::<Words>()) as u128;
    // Reports of a loss and of another of its terms, and the copy in the caller's form; likewise cotangents.
    let per_class = (3 * size_of::<ClassReport>() + 2 * size_of::<f64>()) as u128;
    let per_column = (size_of::<Words>() + 3 * size_of::<f64>()) as u128;
    let per_row = classes.saturating_mul(per_class + columns.saturating_mul(per_column)).saturating_add(of_no_class);
    rows.saturating_mul(per_row)
}

fn room(samples: usize, classes: usize, shared: u128, claimant: u128, tiles: usize) -> Result<(), Failure> {
    let one = shared.saturating_add(claimant);
    let claimants = if one > SMALL as u128 { Threads.claimants().min(tiles).max(1) } else { 1 };
    let bytes = shared.saturating_add(claimant.saturating_mul(claimants as u128));
    find(usize::try_from(bytes).ok(), format_args!("the sums of {samples} samples of {classes} classes"))
}

/// Whether `bytes`, more than fit in a number if `None`, are to be had for `what`.
pub(crate) fn find(bytes: Option<usize>, what: impl Display) -> Result<(), Failure> {
    let found = match bytes {
        Some(..=SMALL) if !reserve::is_short() => true,
        Some(bytes) => reserve::can_be_had(bytes),
        None => false,
    };
    if found {
        return Ok(());
    }
    Err(match bytes {
        Some(bytes) => Failure::new(Status::Unavailable, format_args!("there is no memory for {what}: {bytes} bytes")),
        None => Failure::new(Status::Unavailable, format_args!("there is no memory for {what}")),
    })
}
