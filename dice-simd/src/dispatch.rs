//! From a run-time [`Isa`] to compiled kernels: once per call and thread, at the outermost loop.

use crate::isa::Isa;
#[cfg(target_arch = "aarch64")]
use crate::lanes::Neon;
#[cfg(target_arch = "x86_64")]
use crate::lanes::{Avx2, Avx512};
use crate::lanes::{Kernel, Lanes, Portable, Scalar};
use crate::real::Real;

/// A kind of arithmetic that the kernels are compiled for.
pub(crate) trait Dispatch: Real {
    /// Runs `kernel` on `isa`, which this CPU must have.
    fn dispatch<K: Kernel<R = Self>>(isa: Isa, kernel: K) -> K::Output;

    /// [`Lanes::IS_TUNED`] of `isa`.
    fn is_tuned(isa: Isa) -> bool;
}

/// [`Dispatch`] with the groups that suit the arithmetic.
macro_rules! dispatch {
    ($real:ty, avx2: $avx2:literal, avx512: $avx512:literal) => {
        impl Dispatch for $real {
            fn dispatch<K: Kernel<R = Self>>(isa: Isa, kernel: K) -> K::Output {
                match isa {
                    Isa::Scalar => kernel.run::<_, 1>(Scalar::<Self>::new()),
                    Isa::Portable => kernel.run::<_, 1>(Portable::<Self>::new()),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => Avx2::<Self>::new().enter::<_, $avx2>(kernel),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 => Avx512::<Self>::new().enter::<_, $avx512>(kernel),
                    #[cfg(target_arch = "aarch64")]
                    Isa::Neon => Neon::<Self>::new().enter::<_, 1>(kernel),
                    #[allow(unreachable_patterns, reason = "which levels remain depends on the target")]
                    _ => unreachable!("an engine's level is available"),
                }
            }

            fn is_tuned(isa: Isa) -> bool {
                match isa {
                    Isa::Scalar => Scalar::<Self>::IS_TUNED,
                    Isa::Portable => Portable::<Self>::IS_TUNED,
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => Avx2::<Self>::IS_TUNED,
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 => Avx512::<Self>::IS_TUNED,
                    #[cfg(target_arch = "aarch64")]
                    Isa::Neon => Neon::<Self>::IS_TUNED,
                    #[allow(unreachable_patterns, reason = "which levels remain depends on the target")]
                    _ => unreachable!("an engine's level is available"),
                }
            }
        }
    };
}

dispatch!(f32, avx2: 2, avx512: 4);
dispatch!(f64, avx2: 1, avx512: 2);
