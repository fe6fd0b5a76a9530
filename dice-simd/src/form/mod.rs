//! How the numbers of a whole block lie in memory, and the way between a row per class and a row per voxel.

mod parts;
mod whole;

use dice_core::{Layout, Walk};

pub(crate) use self::parts::{put_parts_together, take_parts_apart};
pub(crate) use self::whole::{put_voxels_together, take_voxels_apart};
use crate::block::{BLOCK, LANES, Row, VECTORS};
use crate::element::{Element, Output};
use crate::lanes::Lanes;
use crate::real::Real;

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

/// `$few` with the constant `$count` for the number of classes, if it is so small that whole voxels are moved at once, else
/// `$many`, which moves [groups] of their numbers.
macro_rules! few_or_many {
    ($classes:expr, $count:ident => $few:expr, $many:expr) => {
        few_or_many!(@ $classes, $count => $few, $many, 2, 3, 4, 5, 6)
    };
    (@ $classes:expr, $count:ident => $few:expr, $many:expr, $($whole:literal),*) => {
        match $classes {
            $($whole => {
                const $count: usize = $whole;
                $few
            })*
            _ => $many,
        }
    };
}
pub(crate) use few_or_many;

/// The first class of each group of eight classes of which the same part is moved, and of each group of four: all of 4 classes
/// and more are in some group. The last of a kind overlaps the one before.
#[inline(always)]
pub(crate) fn groups<L: Lanes>(classes: usize) -> [impl Iterator<Item = usize>; 2] {
    let eights = if L::ZIPS_QUARTERS && classes >= 8 { (classes + 3) / 8 } else { 0 };
    let of = |start: usize, end: usize, size: usize| {
        (start..end).step_by(size).map(move |class| class.min(classes.saturating_sub(size)))
    };
    let grouped = classes.min(8 * eights);
    [of(0, grouped, 8), of(grouped, classes, 4)]
}

/// From an interleaved block to a row per class.
#[inline(always)]
pub(crate) fn deinterleave<L: Lanes, E: Element>(lanes: L, from: &[E], rows: &mut [Row<L::R>]) {
    let classes = rows.len();
    assert!(from.len() >= BLOCK * classes, "a block");
    if L::TRANSPOSES && classes >= 2 {
        few_or_many!(
            classes,
            CLASSES => {
                let rows: &mut [_; CLASSES] = rows.first_chunk_mut().expect("as many as classes");
                let vectors: &[[_; CLASSES]] = from.as_chunks().0.as_chunks().0;
                for (vector, from) in vectors.iter().enumerate().take(VECTORS) {
                    store_each(lanes, rows, vector, take_voxels_apart(lanes, from));
                }
            },
            for vector in 0..VECTORS {
                let from = &from[vector * LANES * classes..];
                let [eights, fours] = groups::<L>(classes);
                for first in eights {
                    let numbers = take_parts_apart::<L, E, 8>(lanes, &from[first..], classes);
                    store_each(lanes, rows[first..].first_chunk_mut().expect("eight classes"), vector, numbers);
                }
                for first in fours {
                    let numbers = take_parts_apart::<L, E, 4>(lanes, &from[first..], classes);
                    store_each(lanes, rows[first..].first_chunk_mut().expect("four classes"), vector, numbers);
                }
            }
        );
    } else if let [first, second] = rows {
        let pairs: &[[_; 2]] = from.as_chunks().0;
        for (&[a, b], (first, second)) in pairs.iter().zip(first.0.iter_mut().zip(&mut second.0)) {
            (*first, *second) = (a.widen(), b.widen());
        }
    } else {
        for (class, row) in rows.iter_mut().enumerate() {
            for (voxel, number) in row.0.iter_mut().enumerate() {
                *number = from[voxel * classes + class].widen();
            }
        }
    }
}

/// From a row per class to an interleaved block.
#[inline(always)]
pub(crate) fn interleave<L: Lanes, E: Output>(lanes: L, rows: &[Row<L::R>], to: &mut [E]) {
    let classes = rows.len();
    assert!(to.len() >= BLOCK * classes, "room for a block");
    if L::TRANSPOSES && classes >= 2 {
        few_or_many!(
            classes,
            CLASSES => {
                let rows: &[_; CLASSES] = rows.first_chunk().expect("as many as classes");
                let vectors: &mut [[_; CLASSES]] = to.as_chunks_mut().0.as_chunks_mut().0;
                for (vector, to) in vectors.iter_mut().enumerate().take(VECTORS) {
                    *to = put_voxels_together(lanes, load_each(lanes, rows, vector));
                }
            },
            for vector in 0..VECTORS {
                let to = &mut to[vector * LANES * classes..];
                let [eights, fours] = groups::<L>(classes);
                for first in eights {
                    let numbers = load_each(lanes, rows[first..].first_chunk().expect("eight classes"), vector);
                    put_parts_together::<L, E, 8>(lanes, &mut to[first..], classes, numbers);
                }
                for first in fours {
                    let numbers = load_each(lanes, rows[first..].first_chunk().expect("four classes"), vector);
                    put_parts_together::<L, E, 4>(lanes, &mut to[first..], classes, numbers);
                }
            }
        );
    } else if let [first, second] = rows {
        let pairs: &mut [[_; 2]] = to.as_chunks_mut().0;
        for (pair, (&first, &second)) in pairs.iter_mut().zip(first.0.iter().zip(&second.0)) {
            *pair = [E::narrow(first), E::narrow(second)];
        }
    } else {
        for (class, row) in rows.iter().enumerate() {
            for (voxel, &number) in row.0.iter().enumerate() {
                to[voxel * classes + class] = E::narrow(number);
            }
        }
    }
}

/// One vector of each row.
#[inline(always)]
fn load_each<L: Lanes, const N: usize>(lanes: L, rows: &[Row<L::R>; N], vector: usize) -> [L::F; N] {
    let mut x = [lanes.splat(L::R::ZERO); N];
    for (x, row) in x.iter_mut().zip(rows) {
        *x = lanes.load(row.vector(vector));
    }
    x
}

#[inline(always)]
fn store_each<L: Lanes, const N: usize>(lanes: L, rows: &mut [Row<L::R>; N], vector: usize, x: [L::F; N]) {
    for (row, x) in rows.iter_mut().zip(x) {
        lanes.store(row.vector_mut(vector), x);
    }
}

#[cfg(test)]
mod tests {
    use std::marker::PhantomData;

    use dice_core::half::{bf16, f16};

    use super::*;
    use crate::dispatch::Dispatch;
    use crate::isa::Isa;
    use crate::lanes::Kernel;

    struct RoundTrip<R, E>(usize, PhantomData<(R, E)>);

    impl<R: Real, E: Output> Kernel for RoundTrip<R, E> {
        type R = R;
        type Output = ();

        #[inline(always)]
        fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
            let classes = self.0;
            // Every element type holds them.
            let number = |class: usize, voxel: usize| R::from_f64(((voxel * classes + class) % 251 + 1) as f64);
            let mut numbers = vec![E::narrow(R::ZERO); BLOCK * classes];
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

    fn check<R: Dispatch, E: Output>() {
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
