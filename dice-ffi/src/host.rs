//! The host's own threads.

use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::arguments::{Growing, checked_struct, reserved};
use crate::memory;
use crate::status::{Failure, Status, call};

type Run = unsafe extern "C" fn(*mut c_void, i32, extern "C" fn(*mut c_void), *mut c_void);

/// `dice_executor`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct ExecutorStruct {
    struct_size: usize,
    context: *mut c_void,
    run: Option<Run>,
    threads: i32,
    reserved: i32,
    #[cfg(feature = "grown")]
    grown: f64,
}

// SAFETY: all fields are integers and pointers, for which NULL is valid.
unsafe impl Growing for ExecutorStruct {
    const FIRST: usize = 32;
}

/// An executor that the host has set, at this time or before.
#[derive(Debug)]
pub(crate) struct Host {
    context: *mut c_void,
    run: Run,
    threads: i32,
    /// One that was set earlier. Never freed, since a call may still be looking at it, but used again if set again.
    earlier: *const Self,
}

/// The host's executor; null for none.
static HOST: AtomicPtr<Host> = AtomicPtr::new(ptr::null_mut());
/// The newest executor that was ever set.
static NEWEST: AtomicPtr<Host> = AtomicPtr::new(ptr::null_mut());

/// The executor that the host has set.
pub(crate) fn host() -> Option<&'static Host> {
    // SAFETY: null, or an executor that is never freed.
    unsafe { HOST.load(Ordering::Acquire).as_ref() }
}

/// A claimant on its way through the host's threads.
struct Claim<'a> {
    claim: &'a (dyn Fn() + Sync),
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Runs a claimant; no panic may leave it.
extern "C" fn enter(argument: *mut c_void) {
    // SAFETY: `Host::run` passes a pointer to a `Claim` that it keeps until all calls have returned.
    let claim = unsafe { &*argument.cast_const().cast::<Claim<'_>>() };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(claim.claim)) {
        *claim.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
    }
}

impl Host {
    fn read(executor: &ExecutorStruct) -> Result<Self, Failure> {
        reserved(executor.reserved, "executor")?;
        let run = executor.run.ok_or_else(|| Failure::null("executor.run"))?;
        if executor.threads < 1 {
            let sentence = format_args!("executor.threads = {}: must be at least 1", executor.threads);
            return Err(Failure::new(Status::InvalidArgument, sentence).numbers(executor.threads.into(), 1));
        }
        Ok(Self { context: executor.context, run, threads: executor.threads, earlier: ptr::null() })
    }

    fn is(&self, other: &Self) -> bool {
        self.context == other.context && ptr::fn_addr_eq(self.run, other.run) && self.threads == other.threads
    }

    /// This executor, where it stays.
    fn keep(mut self) -> Result<*mut Self, Failure> {
        let newest = NEWEST.load(Ordering::Acquire);
        let mut known = newest;
        // SAFETY: null, or an executor that is never freed.
        while let Some(host) = unsafe { known.as_ref() } {
            if host.is(&self) {
                return Ok(known);
            }
            known = host.earlier.cast_mut();
        }
        self.earlier = newest;
        memory::find(Some(size_of::<Self>()), "the executor")?;
        let kept = Box::into_raw(Box::new(self));
        // If another thread sets one at the same time, one of the two is not found again: no harm.
        NEWEST.store(kept, Ordering::Release);
        Ok(kept)
    }

    /// The most claimants at once.
    pub(crate) fn threads(&self) -> usize {
        usize::try_from(self.threads).unwrap_or(1)
    }

    /// Has the host call `claim` up to `limit` times.
    pub(crate) fn run(&self, limit: usize, claim: &(dyn Fn() + Sync)) {
        let claim = Claim { claim, panic: Mutex::new(None) };
        let argument = (&raw const claim).cast_mut().cast();
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        // SAFETY: the host vouches that its function may be called with its context, and that it has returned from all calls
        // of `enter` when it returns.
        unsafe { (self.run)(self.context, limit, enter, argument) };
        if let Some(panic) = claim.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(panic);
        }
        // Tiles that the host left, if it called too seldom.
        (claim.claim)();
    }
}

/// See `dice.h`.
///
/// # Safety
/// `executor` is NULL or points to a `dice_executor`, whose function may be called with its context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_set_executor(executor: *const ExecutorStruct) -> i32 {
    call(|| {
        let host = if executor.is_null() {
            ptr::null_mut()
        } else {
            // SAFETY: the caller vouches for the pointer.
            Host::read(&unsafe { checked_struct(executor, "executor") }?)?.keep()?
        };
        HOST.store(host, Ordering::Release);
        Ok(())
    })
}
