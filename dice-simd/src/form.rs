//! How the numbers of a whole block lie in memory, and the way between a row per class and a row per voxel.

use dice_core::{Layout, Walk};

use crate::kernel::Row;
use crate::lanes::{LANES, Lanes};
use crate::real::Real;
use crate::tile::{BLOCK, VECTORS};

/// The numbers that [`Lanes::load_transposed`] takes of each voxel.
pub(crate) const TOGETHER: usize = 4;

/// How whole blocks of a tensor lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The voxels of each class side by side.
    Planes,
    /// Voxel after voxel, the classes of each side by side.
    Interleaved,
    /// In any other way.
    Scattered,
}

impl Form {
    pub(crate) fn of(layout: &Layout, walk: &Walk) -> Self {
        match walk.uniform_stride() {
            Some(1) => Self::Planes,
            Some(stride) if layout.channel_stride() == 1 && stride == layout.channels() as isize => Self::Interleaved,
            _ => Self::Scattered,
        }
    }

    /// How far apart the rows of a block are and how far apart its voxels, of a tensor of this form. An interleaved block is as
    /// long as rows side by side.
    #[inline(always)]
    pub(crate) fn strides(self, layout: &Layout) -> (isize, usize) {
        match self {
            Self::Interleaved => (BLOCK as isize, layout.channels()),
            Self::Planes | Self::Scattered => (layout.channel_stride(), 1),
        }
    }
}

/// The length of a buffer for an interleaved block of `classes` classes: of less than [`TOGETHER`], what is loaded and stored
/// together reaches past the last voxel.
pub(crate) fn interleaved_len(classes: usize) -> usize {
    BLOCK * classes + if classes == 2 { 0 } else { TOGETHER.saturating_sub(classes) }
}

/// The first of each group of classes that are moved together: the last group overlaps the one before.
#[inline(always)]
fn groups(classes: usize) -> impl Iterator<Item = usize> {
    (0..classes).step_by(TOGETHER).map(move |class| class.min(classes.saturating_sub(TOGETHER)))
}

/// From an interleaved block, in a buffer of [`interleaved_len`], to a row per class.
#[inline(always)]
pub(crate) fn deinterleave<L: Lanes>(lanes: L, from: &[L::R], rows: &mut [Row<L::R>]) {
    let classes = rows.len();
    assert!(from.len() >= interleaved_len(classes), "room for a block");
    match rows {
        [first, second] if L::TRANSPOSES => {
            for (vector, [low, high]) in from.as_chunks().0.as_chunks().0.iter().enumerate().take(VECTORS) {
                let numbers = lanes.apart([lanes.load(low), lanes.load(high)]);
                lanes.store(first.vector_mut(vector), numbers[0]);
                lanes.store(second.vector_mut(vector), numbers[1]);
            }
        }
        [first, second] => {
            let pairs: &[[_; 2]] = from.as_chunks().0;
            for (&[a, b], (first, second)) in pairs.iter().zip(first.0.iter_mut().zip(&mut second.0)) {
                (*first, *second) = (a, b);
            }
        }
        _ if L::TRANSPOSES => {
            for vector in 0..VECTORS {
                for first in groups(classes) {
                    let numbers = lanes.load_transposed(&from[vector * LANES * classes + first..], classes);
                    for (row, numbers) in rows[first..].iter_mut().zip(numbers) {
                        lanes.store(row.vector_mut(vector), numbers);
                    }
                }
            }
        }
        _ => {
            for (class, row) in rows.iter_mut().enumerate() {
                for (voxel, number) in row.0.iter_mut().enumerate() {
                    *number = from[voxel * classes + class];
                }
            }
        }
    }
}

/// From a row per class to an interleaved block, in a buffer of [`interleaved_len`].
#[inline(always)]
pub(crate) fn interleave<L: Lanes>(lanes: L, rows: &[Row<L::R>], to: &mut [L::R]) {
    let classes = rows.len();
    assert!(to.len() >= interleaved_len(classes), "room for a block");
    match rows {
        [first, second] if L::TRANSPOSES => {
            for (vector, [low, high]) in to.as_chunks_mut().0.as_chunks_mut().0.iter_mut().enumerate().take(VECTORS) {
                let pairs = lanes.together([lanes.load(first.vector(vector)), lanes.load(second.vector(vector))]);
                lanes.store(low, pairs[0]);
                lanes.store(high, pairs[1]);
            }
        }
        [first, second] => {
            let pairs: &mut [[_; 2]] = to.as_chunks_mut().0;
            for (pair, (&first, &second)) in pairs.iter_mut().zip(first.0.iter().zip(&second.0)) {
                *pair = [first, second];
            }
        }
        _ if L::TRANSPOSES => {
            for vector in 0..VECTORS {
                for first in groups(classes) {
                    let mut numbers = [lanes.splat(L::R::ZERO); TOGETHER];
                    for (numbers, row) in numbers.iter_mut().zip(&rows[first..]) {
                        *numbers = lanes.load(row.vector(vector));
                    }
                    lanes.store_transposed(&mut to[vector * LANES * classes + first..], classes, numbers);
                }
            }
        }
        _ => {
            for (class, row) in rows.iter().enumerate() {
                for (voxel, &number) in row.0.iter().enumerate() {
                    to[voxel * classes + class] = number;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Kernel;
    use crate::isa::Isa;

    struct RoundTrip<R>(usize, std::marker::PhantomData<R>);

    impl<R: Real> Kernel for RoundTrip<R> {
        type R = R;
        type Output = ();

        #[inline(always)]
        fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
            let classes = self.0;
            let number = |class: usize, voxel: usize| R::from_f64((voxel * 100 + class + 1) as f64);
            let mut numbers = vec![R::ZERO; interleaved_len(classes)];
            for voxel in 0..BLOCK {
                (0..classes).for_each(|class| numbers[voxel * classes + class] = number(class, voxel));
            }
            let mut rows = vec![Row([R::ZERO; BLOCK]); classes];
            deinterleave(lanes, &numbers, &mut rows);
            for (class, row) in rows.iter().enumerate() {
                (0..BLOCK).for_each(|voxel| assert_eq!(row.0[voxel], number(class, voxel), "{classes} classes"));
            }
            let mut back = vec![R::ZERO; numbers.len()];
            interleave(lanes, &rows, &mut back);
            assert_eq!(back[..BLOCK * classes], numbers[..BLOCK * classes], "{classes} classes");
        }
    }

    #[test]
    fn there_and_back() {
        for isa in Isa::available() {
            for classes in 1..20 {
                f32::dispatch(isa, RoundTrip::<f32>(classes, std::marker::PhantomData));
                f64::dispatch(isa, RoundTrip::<f64>(classes, std::marker::PhantomData));
            }
        }
    }
}
