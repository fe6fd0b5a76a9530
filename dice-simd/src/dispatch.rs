//! From a run-time [`Isa`] to compiled kernels: once per call and thread, at the outermost loop.

use crate::isa::Isa;
use crate::lanes::{self, Lanes};

/// Code over [`Lanes`], to be compiled once per instruction set.
pub(crate) trait Kernel {
    type Output;

    /// Runs on `lanes`, `GROUP` vectors at a time: as many as the registers of the instruction set hold well. Must be
    /// `#[inline(always)]`, like all that it calls, to be compiled for the instruction set.
    fn run<L: Lanes, const GROUP: usize>(self, lanes: L) -> Self::Output;
}

/// Runs `kernel` on `isa`.
///
/// # Panics
/// If this CPU does not have `isa`: an engine never holds such a level.
pub(crate) fn dispatch<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    match isa {
        Isa::Scalar => kernel.run::<_, 1>(lanes::Scalar),
        Isa::Portable => kernel.run::<_, 1>(lanes::Portable),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => {
            let token = pulp::x86::V3::try_new().expect("an engine's level is available");
            let kernel = OnLanes::<_, _, 2>(kernel, lanes::Avx2(token));
            token.vectorize(kernel)
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => {
            let token = pulp::x86::V4::try_new().expect("an engine's level is available");
            let kernel = OnLanes::<_, _, 4>(kernel, lanes::Avx512(token));
            token.vectorize(kernel)
        }
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => {
            let token = pulp::aarch64::Neon::try_new().expect("an engine's level is available");
            let kernel = OnLanes::<_, _, 1>(kernel, lanes::Neon(token));
            pulp::Simd::vectorize(token, kernel)
        }
        #[allow(unreachable_patterns, reason = "which levels remain depends on the target")]
        _ => unreachable!("an engine's level is available"),
    }
}

/// A kernel bound to its lanes, in the form that pulp's `vectorize` compiles for an instruction set.
struct OnLanes<K, L, const GROUP: usize>(K, L);

impl<K: Kernel, L: Lanes, const GROUP: usize> pulp::NullaryFnOnce for OnLanes<K, L, GROUP> {
    type Output = K::Output;

    #[inline(always)]
    fn call(self) -> K::Output {
        self.0.run::<L, GROUP>(self.1)
    }
}
