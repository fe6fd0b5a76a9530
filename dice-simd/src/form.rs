//! How the numbers of a whole block lie in memory, and the way between a row per class and a row per voxel.

use dice_core::{Layout, Walk};

use crate::element::{Element, Output};
use crate::kernel::Row;
use crate::lanes::{LANES, Lanes};
use crate::real::Real;
use crate::tile::{BLOCK, VECTORS};

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

/// The length of a buffer for an interleaved block of `classes` classes: of 3, four are moved together, so what is moved reaches
/// past the last voxel.
pub(crate) fn interleaved_len(classes: usize) -> usize {
    BLOCK * classes + usize::from(classes == 3)
}

/// The first class of each group of eight classes whose numbers are moved together, and of each group of four: of 3 classes and
/// more, all are in some group. The last of a kind overlaps the one before.
#[inline(always)]
pub(crate) fn groups<L: Lanes>(classes: usize) -> [impl Iterator<Item = usize>; 2] {
    let eights = if L::ZIPS_QUARTERS && classes >= 8 { (classes + 3) / 8 } else { 0 };
    let of = |start: usize, end: usize, size: usize| {
        (start..end).step_by(size).map(move |class| class.min(classes.saturating_sub(size)))
    };
    let grouped = classes.min(8 * eights);
    [of(0, grouped, 8), of(grouped, classes, 4)]
}

/// Which vector, and which part of it, is that of a voxel of sixteen while it has `N` numbers side by side: such that transposing
/// quarter by quarter leaves the voxels in order.
const fn place<const N: usize>(voxel: usize) -> (usize, usize) {
    let (quarter, vector) = (voxel / 4, voxel % 4);
    if N == 4 { (vector, quarter) } else { (vector + quarter / 2 * 4, quarter % 2) }
}

/// `N` numbers, 4 or 8, of each of sixteen voxels that lie `stride` numbers apart: a vector per number.
///
/// # Panics
/// If `from` is shorter than that.
#[inline(always)]
pub(crate) fn take_apart<L: Lanes, E: Element, const N: usize>(lanes: L, from: &[E], stride: usize) -> [L::F; N] {
    assert!(from.len() >= N && (from.len() - N) / (LANES - 1) >= stride, "numbers of sixteen voxels");
    let mut numbers = [[from[0]; LANES]; N];
    for voxel in 0..LANES {
        let (vector, part) = place::<N>(voxel);
        let at = from.as_ptr().wrapping_add(voxel * stride);
        // SAFETY: so many numbers there are.
        numbers[vector].as_chunks_mut().0[part] = unsafe { at.cast::<[E; N]>().read() };
    }
    let mut x = [lanes.splat(L::R::ZERO); N];
    for (x, numbers) in x.iter_mut().zip(&numbers) {
        *x = E::load(lanes, numbers);
    }
    if N == 8 {
        for vector in 0..4 {
            [x[vector], x[vector + 4]] = lanes.unzip_quarters([x[vector], x[vector + 4]]);
        }
    }
    for four in x.as_chunks_mut().0 {
        *four = lanes.transpose(*four);
    }
    x
}

/// And back, one voxel after the other: what is written past the last number of one is overwritten by the next.
///
/// # Panics
/// If `to` is shorter than that.
#[inline(always)]
pub(crate) fn put_together<L: Lanes, E: Output, const N: usize>(
    lanes: L,
    to: &mut [E],
    stride: usize,
    mut x: [L::F; N],
) {
    assert!(to.len() >= N && (to.len() - N) / (LANES - 1) >= stride, "room for numbers of sixteen voxels");
    for four in x.as_chunks_mut().0 {
        *four = lanes.transpose(*four);
    }
    if N == 8 {
        for vector in 0..4 {
            [x[vector], x[vector + 4]] = lanes.zip_quarters([x[vector], x[vector + 4]]);
        }
    }
    let mut numbers = [[to[0]; LANES]; N];
    for (numbers, x) in numbers.iter_mut().zip(x) {
        E::store(lanes, numbers, x);
    }
    for voxel in 0..LANES {
        let (vector, part) = place::<N>(voxel);
        let at = to.as_mut_ptr().wrapping_add(voxel * stride);
        // SAFETY: so much room there is.
        unsafe { at.cast::<[E; N]>().write(numbers[vector].as_chunks().0[part]) };
    }
}

/// From an interleaved block, in a buffer of [`interleaved_len`], to a row per class.
#[inline(always)]
pub(crate) fn deinterleave<L: Lanes, E: Element>(lanes: L, from: &[E], rows: &mut [Row<L::R>]) {
    let classes = rows.len();
    assert!(from.len() >= interleaved_len(classes), "room for a block");
    match rows {
        [first, second] if L::TRANSPOSES => {
            for (vector, [low, high]) in from.as_chunks().0.as_chunks().0.iter().enumerate().take(VECTORS) {
                let numbers = lanes.apart([E::load(lanes, low), E::load(lanes, high)]);
                lanes.store(first.vector_mut(vector), numbers[0]);
                lanes.store(second.vector_mut(vector), numbers[1]);
            }
        }
        [first, second] => {
            let pairs: &[[_; 2]] = from.as_chunks().0;
            for (&[a, b], (first, second)) in pairs.iter().zip(first.0.iter_mut().zip(&mut second.0)) {
                (*first, *second) = (a.widen(), b.widen());
            }
        }
        _ if L::TRANSPOSES && classes >= 3 => {
            for vector in 0..VECTORS {
                let from = &from[vector * LANES * classes..];
                let [eights, fours] = groups::<L>(classes);
                for first in eights {
                    let numbers = take_apart::<L, E, 8>(lanes, &from[first..], classes);
                    let rows: &mut [_; 8] = rows[first..].first_chunk_mut().expect("eight classes");
                    for (row, numbers) in rows.iter_mut().zip(numbers) {
                        lanes.store(row.vector_mut(vector), numbers);
                    }
                }
                for first in fours {
                    let numbers = take_apart::<L, E, 4>(lanes, &from[first..], classes);
                    for (row, numbers) in rows[first..].iter_mut().zip(numbers) {
                        lanes.store(row.vector_mut(vector), numbers);
                    }
                }
            }
        }
        _ => {
            for (class, row) in rows.iter_mut().enumerate() {
                for (voxel, number) in row.0.iter_mut().enumerate() {
                    *number = from[voxel * classes + class].widen();
                }
            }
        }
    }
}

/// From a row per class to an interleaved block, in a buffer of [`interleaved_len`].
#[inline(always)]
pub(crate) fn interleave<L: Lanes, E: Output>(lanes: L, rows: &[Row<L::R>], to: &mut [E]) {
    let classes = rows.len();
    assert!(to.len() >= interleaved_len(classes), "room for a block");
    match rows {
        [first, second] if L::TRANSPOSES => {
            for (vector, [low, high]) in to.as_chunks_mut().0.as_chunks_mut().0.iter_mut().enumerate().take(VECTORS) {
                let pairs = lanes.together([lanes.load(first.vector(vector)), lanes.load(second.vector(vector))]);
                E::store(lanes, low, pairs[0]);
                E::store(lanes, high, pairs[1]);
            }
        }
        [first, second] => {
            let pairs: &mut [[_; 2]] = to.as_chunks_mut().0;
            for (pair, (&first, &second)) in pairs.iter_mut().zip(first.0.iter().zip(&second.0)) {
                *pair = [E::narrow(first), E::narrow(second)];
            }
        }
        _ if L::TRANSPOSES && classes >= 3 => {
            for vector in 0..VECTORS {
                let to = &mut to[vector * LANES * classes..];
                let [eights, fours] = groups::<L>(classes);
                for first in eights {
                    let rows: &[_; 8] = rows[first..].first_chunk().expect("eight classes");
                    let mut numbers = [lanes.splat(L::R::ZERO); 8];
                    for (numbers, row) in numbers.iter_mut().zip(rows) {
                        *numbers = lanes.load(row.vector(vector));
                    }
                    put_together(lanes, &mut to[first..], classes, numbers);
                }
                for first in fours {
                    let mut numbers = [lanes.splat(L::R::ZERO); 4];
                    for (numbers, row) in numbers.iter_mut().zip(&rows[first..]) {
                        *numbers = lanes.load(row.vector(vector));
                    }
                    put_together(lanes, &mut to[first..], classes, numbers);
                }
            }
        }
        _ => {
            for (class, row) in rows.iter().enumerate() {
                for (voxel, &number) in row.0.iter().enumerate() {
                    to[voxel * classes + class] = E::narrow(number);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::marker::PhantomData;

    use dice_core::half::{bf16, f16};

    use super::*;
    use crate::dispatch::Kernel;
    use crate::isa::Isa;

    struct RoundTrip<R, E>(usize, PhantomData<(R, E)>);

    impl<R: Real, E: Output> Kernel for RoundTrip<R, E> {
        type R = R;
        type Output = ();

        #[inline(always)]
        fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
            let classes = self.0;
            // Every element type holds them.
            let number = |class: usize, voxel: usize| R::from_f64(((voxel * classes + class) % 251 + 1) as f64);
            let mut numbers = vec![E::narrow(R::ZERO); interleaved_len(classes)];
            for voxel in 0..BLOCK {
                (0..classes).for_each(|class| numbers[voxel * classes + class] = E::narrow(number(class, voxel)));
            }
            let mut rows = vec![Row([R::ZERO; BLOCK]); classes];
            deinterleave(lanes, &numbers, &mut rows);
            for (class, row) in rows.iter().enumerate() {
                (0..BLOCK).for_each(|voxel| assert_eq!(row.0[voxel], number(class, voxel), "{classes} classes"));
            }
            let mut back = vec![E::narrow(R::ZERO); numbers.len()];
            interleave(lanes, &rows, &mut back);
            for (place, (back, number)) in back[..BLOCK * classes].iter().zip(&numbers).enumerate() {
                assert_eq!(back.widen::<R>(), number.widen::<R>(), "{classes} classes, number {place}");
            }
        }
    }

    fn check<R: Real, E: Output>() {
        for isa in Isa::available() {
            for classes in 1..20 {
                R::dispatch(isa, RoundTrip::<R, E>(classes, PhantomData));
            }
        }
    }

    #[test]
    fn there_and_back() {
        check::<f32, f32>();
        check::<f32, f16>();
        check::<f32, bf16>();
        check::<f64, f64>();
    }
}
