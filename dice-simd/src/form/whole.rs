//! Whole voxels of few numbers, from memory to a vector per number and back.
//!
//! The N numbers of a voxel are M granules of 1, 2 or 4 numbers, where M is odd. A register holds a power of two of granules, as
//! many as voxels lie in M registers side by side. Since the two have no divisor in common, the granules m of these voxels lie
//! each at another place of its register: taking every place from the register that has a granule m there gathers them in one,
//! and a permutation puts them in order. The numbers of a granule are taken [apart](Lanes::apart) afterwards.

use std::marker::PhantomData;

use crate::block::LANES;
use crate::element::{Element, Output};
use crate::lanes::{Choice, Lanes};
use crate::real::Real;

/// The greatest power of two, up to 4, that divides `numbers`.
const fn granule(numbers: usize) -> usize {
    match numbers % 4 {
        0 => 4,
        2 => 2,
        _ => 1,
    }
}

/// Where the numbers of voxels of `N` numbers lie in the registers of a level.
struct Granules<L, const N: usize>(PhantomData<L>);

impl<L: Lanes, const N: usize> Granules<L, N> {
    const SIZE: usize = granule(N);
    const PER_VOXEL: usize = N / Self::SIZE;
    const PER_REGISTER: usize = L::REGISTER / Self::SIZE;

    /// Where each of M registers side by side holds granules of a kind, `[register][kind]`.
    const IS_KIND: [[Choice; N]; N] = {
        let mut is_kind = [[Choice::NONE; N]; N];
        let (mut register, mut lane) = (0, 0);
        while register < Self::PER_VOXEL {
            while lane < LANES {
                let granule = register * Self::PER_REGISTER + lane % L::REGISTER / Self::SIZE;
                let kind = granule % Self::PER_VOXEL;
                is_kind[register][kind] = is_kind[register][kind].and(lane);
                lane += 1;
            }
            (register, lane) = (register + 1, 0);
        }
        is_kind
    };

    /// Where a granule of voxel after voxel is, when those of its kind are gathered.
    const GATHERED: [[i32; LANES]; N] = Self::places(false);
    /// And back.
    const SCATTERED: [[i32; LANES]; N] = Self::places(true);

    const fn places(back: bool) -> [[i32; LANES]; N] {
        let mut places = [[0; LANES]; N];
        let (mut kind, mut lane) = (0, 0);
        while kind < Self::PER_VOXEL {
            while lane < LANES {
                let (register, voxel) = (lane / L::REGISTER * L::REGISTER, lane % L::REGISTER / Self::SIZE);
                let granule = (kind + voxel * Self::PER_VOXEL) % Self::PER_REGISTER;
                let place = register + granule * Self::SIZE + lane % Self::SIZE;
                let (to, from) = if back { (place, lane) } else { (lane, place) };
                places[kind][to] = from as i32;
                lane += 1;
            }
            (kind, lane) = (kind + 1, 0);
        }
        places
    }

    /// Where register `register` of a vector of granules of part `part` of sixteen voxels is in memory.
    #[inline(always)]
    fn start(part: usize, vector: usize, register: usize) -> usize {
        let registers = LANES / L::REGISTER;
        ((part * registers + register) * Self::PER_VOXEL + vector) * L::REGISTER
    }

    #[inline(always)]
    fn load<E: Element>(lanes: L, from: &[[E; LANES]; N], part: usize, vector: usize) -> L::F {
        let mut numbers = from[0];
        for (register, numbers) in numbers.chunks_exact_mut(L::REGISTER).enumerate() {
            numbers.copy_from_slice(&from.as_flattened()[Self::start(part, vector, register)..][..L::REGISTER]);
        }
        E::load(lanes, &numbers)
    }
}

/// Changes the vectors of each granule of `$size` numbers, 1, 2 or 4: as an array, whose length tells the lanes what to do.
macro_rules! each_granule {
    ($size:expr, $x:ident, $granule:ident => $changed:expr) => {
        match $size {
            2 => each_granule!(@ 2, $x, $granule => $changed),
            4 => each_granule!(@ 4, $x, $granule => $changed),
            _ => {}
        }
    };
    (@ $size:literal, $x:ident, $granule:ident => $changed:expr) => {
        for $granule in $x.as_chunks_mut::<$size>().0 {
            *$granule = { let $granule = *$granule; $changed };
        }
    };
}

/// The numbers of sixteen voxels that lie side by side: a vector per number.
#[inline(always)]
pub(crate) fn take_voxels_apart<L: Lanes, E: Element, const N: usize>(lanes: L, from: &[[E; LANES]; N]) -> [L::F; N] {
    let (size, per_voxel) = (Granules::<L, N>::SIZE, Granules::<L, N>::PER_VOXEL);
    let mut x = [lanes.splat(L::R::ZERO); N];
    for kind in 0..per_voxel {
        for part in 0..size {
            let mut gathered = Granules::<L, N>::load(lanes, from, part, 0);
            for vector in 1..per_voxel {
                let is_kind = lanes.chosen(&Granules::<L, N>::IS_KIND[vector][kind]);
                gathered = lanes.select(is_kind, Granules::<L, N>::load(lanes, from, part, vector), gathered);
            }
            x[kind * size + part] =
                if per_voxel == 1 { gathered } else { lanes.permute(gathered, &Granules::<L, N>::GATHERED[kind]) };
        }
    }
    each_granule!(size, x, granule => lanes.apart(granule));
    x
}

/// And back.
#[inline(always)]
pub(crate) fn put_voxels_together<L: Lanes, E: Output, const N: usize>(lanes: L, mut x: [L::F; N]) -> [[E; LANES]; N] {
    let (size, per_voxel) = (Granules::<L, N>::SIZE, Granules::<L, N>::PER_VOXEL);
    each_granule!(size, x, granule => lanes.together(granule));
    if per_voxel > 1 {
        for (place, x) in x.iter_mut().enumerate() {
            *x = lanes.permute(*x, &Granules::<L, N>::SCATTERED[place / size]);
        }
    }
    let mut to = [[E::narrow(L::R::ZERO); LANES]; N];
    for part in 0..size {
        for vector in 0..per_voxel {
            let mut together = x[part];
            for kind in 1..per_voxel {
                let is_kind = lanes.chosen(&Granules::<L, N>::IS_KIND[vector][kind]);
                together = lanes.select(is_kind, x[kind * size + part], together);
            }
            let mut numbers = to[0];
            E::store(lanes, &mut numbers, together);
            for (register, numbers) in numbers.chunks_exact(L::REGISTER).enumerate() {
                to.as_flattened_mut()[Granules::<L, N>::start(part, vector, register)..][..L::REGISTER]
                    .copy_from_slice(numbers);
            }
        }
    }
    to
}
