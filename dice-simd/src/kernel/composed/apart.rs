//! What makes a pass a composed one.

use std::hint::black_box;

use crate::block::VECTORS;
use crate::kernel::activate::is_tuned;
use crate::lanes::{Kernel, Lanes};

/// A pass of any request, where the plain one is of the overlap under one activation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Composed<P>(pub(crate) P);

/// Runs a kernel as a function of its own, whatever the compiler thinks of it: a pass that has swallowed all of them takes it minutes
/// to find registers for.
#[inline(never)]
pub(super) fn apart<L: Lanes, K: Kernel<R = L::R>, const GROUP: usize>(lanes: L, kernel: K) -> K::Output {
    lanes.call::<K, GROUP>(kernel)
}

/// The vectors of a block; where kernels are not tuned so many that the compiler does not know: a loop body that is long need not
/// be there four times.
#[inline(always)]
pub(super) fn vectors<L: Lanes>() -> usize {
    if is_tuned::<L>() { VECTORS } else { black_box(VECTORS).min(VECTORS) }
}
