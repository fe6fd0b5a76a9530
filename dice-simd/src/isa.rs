//! Which instruction set runs the kernels: detection, cap, query.

use std::fmt;
use std::io::Write;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

#[cfg(target_arch = "x86_64")]
use crate::lanes::Avx2;

/// An instruction set that the kernels are compiled for, least first.
///
/// All levels give the same bits but [`Portable`](Isa::Portable), which lacks fused multiply-add and agrees with the
/// others within the bounds that the crate's tests state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Isa {
    /// One number after the other: slow, for comparison. Runs anywhere.
    Scalar = 0,
    /// 128-bit vectors of the compile-time target (crate `wide`). Runs anywhere; multiplies and adds in two roundings.
    Portable = 1,
    /// 128-bit NEON with fused multiply-add: every aarch64 CPU.
    Neon = 2,
    /// 256-bit AVX2 with FMA: x86-64-v3.
    Avx2 = 3,
    /// 512-bit AVX-512 F, BW, CD, DQ, VL: x86-64-v4.
    Avx512 = 4,
}

impl Isa {
    /// Every level, least first.
    pub const ALL: [Self; 5] = [Self::Scalar, Self::Portable, Self::Neon, Self::Avx2, Self::Avx512];

    /// Whether this CPU has it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar | Self::Portable => true,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => pulp::aarch64::Neon::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Avx2::<f32>::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => pulp::x86::V4::is_available(),
            #[allow(unreachable_patterns, reason = "which levels remain depends on the target")]
            _ => false,
        }
    }

    /// Whether some CPU of the architecture that this program is compiled for has it.
    pub fn is_of_architecture(self) -> bool {
        match self {
            Self::Scalar | Self::Portable => true,
            Self::Neon => cfg!(target_arch = "aarch64"),
            Self::Avx2 | Self::Avx512 => cfg!(target_arch = "x86_64"),
        }
    }

    /// The levels of this CPU, least first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// The level that a new engine uses: the greatest one of this CPU that is not above [`max_isa`].
    pub fn effective() -> Self {
        let max = max_isa();
        Self::available().filter(|&isa| isa <= max).last().unwrap_or(Self::Scalar)
    }

    /// `scalar`, `portable`, `neon`, `avx2` or `avx512`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Portable => "portable",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Whether the level multiplies and adds in one rounding, and so gives the bits that all such levels give.
    pub fn is_exact(self) -> bool {
        self != Self::Portable
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No level has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of scalar, portable, neon, avx2, avx512")]
pub struct UnknownIsa(pub String);

impl FromStr for Isa {
    type Err = UnknownIsa;

    fn from_str(name: &str) -> Result<Self, UnknownIsa> {
        Self::ALL.into_iter().find(|isa| isa.name() == name).ok_or_else(|| UnknownIsa(name.into()))
    }
}

/// An engine was asked for an instruction set that this CPU does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this CPU has no {0}")]
pub struct UnavailableIsa(pub Isa);

/// A cap was asked for that is of another architecture: it would say nothing about this one's levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no level of {ARCH} CPUs", ARCH = std::env::consts::ARCH)]
pub struct ForeignIsa(pub Isa);

/// No cap is known yet.
const UNSET: u8 = u8::MAX;
/// A plain atomic, no lock: a child after `fork` may ask while another thread of its parent did.
static MAX_ISA: AtomicU8 = AtomicU8::new(UNSET);

/// Caps the level of engines made from now on. It overrides the environment variable `DICE_MAX_ISA`.
///
/// # Errors
/// [`ForeignIsa`] of a level that no CPU of [this architecture](Isa::is_of_architecture) has; the cap stays as it was. A level that
/// only this CPU lacks is a cap like any other.
pub fn set_max_isa(isa: Isa) -> Result<(), ForeignIsa> {
    if !isa.is_of_architecture() {
        return Err(ForeignIsa(isa));
    }
    MAX_ISA.store(isa as u8, Ordering::Relaxed);
    Ok(())
}

/// The cap: that of [`set_max_isa`], else that of the environment variable `DICE_MAX_ISA` (a level's name) as it was when
/// first asked for, else none, which is [`Isa::Avx512`]. An empty variable is none; one that is no level here is none either, and
/// a line on standard error says so.
pub fn max_isa() -> Isa {
    let cap = |number| Isa::ALL.into_iter().find(|&isa| isa as u8 == number);
    cap(MAX_ISA.load(Ordering::Relaxed)).unwrap_or_else(|| {
        let isa = from_environment();
        // A call of `set_max_isa` meanwhile wins.
        match MAX_ISA.compare_exchange(UNSET, isa as u8, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => isa,
            Err(number) => cap(number).unwrap_or(isa),
        }
    })
}

fn from_environment() -> Isa {
    let Some(value) = std::env::var_os("DICE_MAX_ISA").filter(|value| !value.is_empty()) else { return Isa::Avx512 };
    let level = value.to_str().and_then(|name| name.parse::<Isa>().ok());
    level.filter(|isa| isa.is_of_architecture()).unwrap_or_else(|| {
        // A value may be of any length.
        let value: String = value.to_string_lossy().chars().take(LONGEST_SHOWN).collect();
        let levels: Vec<_> = Isa::ALL.into_iter().filter(|isa| isa.is_of_architecture()).map(Isa::name).collect();
        let (levels, arch) = (levels.join(", "), std::env::consts::ARCH);
        // Unlike `eprintln!`, no panic where standard error cannot be written.
        let _ = writeln!(
            std::io::stderr(),
            "dice: DICE_MAX_ISA={value:?} is no level of {arch} CPUs ({levels}): no cap is set"
        );
        Isa::Avx512
    })
}

/// So many characters of a variable that makes no sense are shown.
const LONGEST_SHOWN: usize = 40;
