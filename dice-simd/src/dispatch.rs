//! From a run-time [`Isa`](crate::Isa) to compiled kernels: once per call and thread, at the outermost loop.

use std::hint::black_box;

use crate::kernel::Row;
use crate::lanes::Lanes;
use crate::real::Real;
use crate::tile::BLOCK;

/// Code over [`Lanes`], to be compiled once per instruction set.
pub(crate) trait Kernel {
    /// The arithmetic.
    type R: Real;
    type Output;

    /// Runs on `lanes`, `GROUP` vectors at a time: as many as the registers of the instruction set hold well. Must be
    /// `#[inline(always)]`, like all that it calls, to be compiled for the instruction set.
    fn run<L: Lanes<R = Self::R>, const GROUP: usize>(self, lanes: L) -> Self::Output;
}

/// Runs a kernel on an instruction set that this CPU has, with the groups that suit the arithmetic: the body of
/// [`Real::dispatch`].
macro_rules! dispatch_to {
    ($isa:expr, $kernel:expr, avx2: $avx2:literal, avx512: $avx512:literal) => {
        match $isa {
            Isa::Scalar => $kernel.run::<_, 1>(crate::lanes::Scalar::<Self>::new()),
            Isa::Portable => $kernel.run::<_, 1>(crate::lanes::Portable::<Self>::new()),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => crate::lanes::Avx2::<Self>::new().enter::<_, $avx2>($kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => crate::lanes::Avx512::<Self>::new().enter::<_, $avx512>($kernel),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => crate::lanes::Neon::<Self>::new().enter::<_, 1>($kernel),
            #[allow(unreachable_patterns, reason = "which levels remain depends on the target")]
            _ => unreachable!("an engine's level is available"),
        }
    };
}
pub(crate) use dispatch_to;

/// A kernel bound to its lanes, in the form that pulp's `vectorize` compiles for an instruction set.
pub(crate) struct OnLanes<K, L, const GROUP: usize>(pub(crate) K, pub(crate) L);

impl<K: Kernel, L: Lanes<R = K::R>, const GROUP: usize> pulp::NullaryFnOnce for OnLanes<K, L, GROUP> {
    type Output = K::Output;

    #[inline(always)]
    fn call(self) -> K::Output {
        // What the registers do not hold is spilled to the stack. The compiler aligns it to the registers' size only where some
        // variable asks for that, and a spill across two cache lines is slow.
        black_box(&Row([0_u8; BLOCK]));
        self.0.run::<L, GROUP>(self.1)
    }
}
