//! Four or eight numbers of each voxel of many, from memory to a vector per number and back: transposed.

use crate::block::LANES;
use crate::element::{Element, Output};
use crate::lanes::Lanes;
use crate::real::Real;

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
pub(crate) fn take_parts_apart<L: Lanes, E: Element, const N: usize>(lanes: L, from: &[E], stride: usize) -> [L::F; N] {
    assert!(N == 4 || N == 8, "parts");
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

/// And back.
///
/// # Panics
/// If `to` is shorter than that.
#[inline(always)]
pub(crate) fn put_parts_together<L: Lanes, E: Output, const N: usize>(
    lanes: L,
    to: &mut [E],
    stride: usize,
    mut x: [L::F; N],
) {
    assert!(N == 4 || N == 8, "parts");
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
