//! The thread's floating-point mode.
//!
//! Frameworks set flush-to-zero, and threads inherit it; some programs round upwards. The library's bits must not depend on
//! either, so every entry installs the default mode and puts the host's back on exit.

use std::marker::PhantomData;

/// While it lives, this thread rounds to nearest, keeps subnormals and masks exceptions; dropped, it restores what it
/// found.
///
/// [`Engine`](crate::Engine) holds one in every call and on every thread that works for it. Take one around a
/// [`LossHead`](dice_core::LossHead) of your own if the host may have another mode set.
#[derive(Debug)]
pub struct DefaultFloatMode {
    found: Mode,
    /// The mode belongs to this thread.
    not_send: PhantomData<*const ()>,
}

impl DefaultFloatMode {
    /// Installs the default mode.
    #[must_use = "the host's mode comes back when this is dropped"]
    #[inline(never)]
    pub fn install() -> Self {
        let found = read();
        if found & !FLAGS != DEFAULT {
            write(DEFAULT);
        }
        Self { found, not_send: PhantomData }
    }
}

impl Drop for DefaultFloatMode {
    #[inline(never)]
    fn drop(&mut self) {
        if self.found & !FLAGS != DEFAULT {
            write(self.found);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod register {
    use std::arch::asm;

    pub(super) type Mode = u32;
    /// MXCSR at process start: exceptions masked, round to nearest, no FTZ, no DAZ.
    pub(super) const DEFAULT: Mode = 0x1f80;
    /// The sticky exception flags: a record, no mode.
    pub(super) const FLAGS: Mode = 0x3f;

    pub(super) fn read() -> Mode {
        let mut mode: Mode = 0;
        // SAFETY: stores the register to a local variable; every x86-64 CPU has it.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut mode, options(nostack, preserves_flags)) };
        mode
    }

    pub(super) fn write(mode: Mode) {
        // SAFETY: `mode` is the default or was read from the register, so it sets no reserved bit.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const mode, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod register {
    use std::arch::asm;

    pub(super) type Mode = u64;
    /// FPCR at process start: round to nearest, no flush-to-zero.
    pub(super) const DEFAULT: Mode = 0;
    /// FPCR holds none: they have a register of their own.
    pub(super) const FLAGS: Mode = 0;

    pub(super) fn read() -> Mode {
        let mode: Mode;
        // SAFETY: reads a register that every aarch64 CPU has.
        unsafe { asm!("mrs {}, fpcr", out(reg) mode, options(nomem, nostack, preserves_flags)) };
        mode
    }

    pub(super) fn write(mode: Mode) {
        // SAFETY: `mode` is the default or was read from the register.
        unsafe { asm!("msr fpcr, {}", in(reg) mode, options(nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod register {
    /// No mode is known for this target.
    pub(super) type Mode = u32;
    pub(super) const DEFAULT: Mode = 0;
    pub(super) const FLAGS: Mode = 0;

    pub(super) fn read() -> Mode {
        DEFAULT
    }

    pub(super) fn write(_mode: Mode) {}
}

use register::{DEFAULT, FLAGS, Mode, read, write};
