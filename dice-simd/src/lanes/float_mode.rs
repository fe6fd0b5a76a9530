//! The thread's floating-point mode, and its exception flags.
//!
//! Frameworks set flush-to-zero, and threads inherit it; some programs round upwards, and some look at the flags that their own
//! arithmetic raised. The library's bits must not depend on a mode, and its own arithmetic is nobody's business: every entry
//! installs the default mode and puts back what it found, flags too, on exit.

use std::marker::PhantomData;

/// While it lives, this thread rounds to nearest, keeps subnormals and masks exceptions; dropped, it restores the mode and the
/// exception flags that it found.
///
/// [`Engine`](crate::Engine) holds one in every call and on every thread that works for it. Take one around a
/// [`LossHead`](dice_core::LossHead) that you call yourself if the host may have another mode set.
#[derive(Debug)]
pub struct DefaultFloatMode {
    found: State,
    /// The mode belongs to this thread.
    not_send: PhantomData<*const ()>,
}

impl DefaultFloatMode {
    /// Installs the default mode.
    #[must_use = "the host's mode comes back when this is dropped"]
    #[inline(never)]
    pub fn install() -> Self {
        let found = State::read();
        if !found.is_default() {
            State::DEFAULT.write();
        }
        Self { found, not_send: PhantomData }
    }
}

impl Drop for DefaultFloatMode {
    #[inline(never)]
    fn drop(&mut self) {
        // Reading is cheap; writing makes the CPU wait for all arithmetic before it.
        if State::read() != self.found {
            self.found.write();
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod register {
    use std::arch::asm;

    /// MXCSR: the mode, and in its lowest bits the exception flags.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) struct State(u32);

    impl State {
        /// As at process start: exceptions masked, round to nearest, no FTZ, no DAZ, no flag raised.
        pub(super) const DEFAULT: Self = Self(0x1f80);
        const FLAGS: u32 = 0x3f;

        pub(super) fn is_default(self) -> bool {
            self.0 & !Self::FLAGS == Self::DEFAULT.0
        }

        pub(super) fn read() -> Self {
            let mut register = 0;
            // SAFETY: stores the register to a local variable; every x86-64 CPU has it.
            unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut register, options(nostack, preserves_flags)) };
            Self(register)
        }

        pub(super) fn write(self) {
            // SAFETY: the default, or what was read from the register, sets no reserved bit.
            unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const self.0, options(nostack, preserves_flags)) };
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod register {
    use std::arch::asm;

    /// FPCR and FPSR.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) struct State {
        mode: u64,
        flags: u64,
    }

    impl State {
        /// As at process start: round to nearest, no flush-to-zero, no flag raised.
        pub(super) const DEFAULT: Self = Self { mode: 0, flags: 0 };

        pub(super) fn is_default(self) -> bool {
            self.mode == Self::DEFAULT.mode
        }

        pub(super) fn read() -> Self {
            let (mode, flags);
            // SAFETY: reads a register that every aarch64 CPU has.
            unsafe { asm!("mrs {}, fpcr", out(reg) mode, options(nomem, nostack, preserves_flags)) };
            // SAFETY: as above.
            unsafe { asm!("mrs {}, fpsr", out(reg) flags, options(nomem, nostack, preserves_flags)) };
            Self { mode, flags }
        }

        pub(super) fn write(self) {
            // SAFETY: the default, or what was read from the register.
            unsafe { asm!("msr fpcr, {}", in(reg) self.mode, options(nostack, preserves_flags)) };
            // SAFETY: as above.
            unsafe { asm!("msr fpsr, {}", in(reg) self.flags, options(nostack, preserves_flags)) };
        }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod register {
    /// No mode is known for this target.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) struct State;

    impl State {
        pub(super) const DEFAULT: Self = Self;

        pub(super) fn is_default(self) -> bool {
            true
        }

        pub(super) fn read() -> Self {
            Self
        }

        pub(super) fn write(self) {}
    }
}

use register::State;
