//! Instruction set and threads.
//!
//! The library has a pool of its own: n − 1 workers beside the caller's thread, started by the first large call. No lock is
//! ever held on the way to it: after `fork` a child finds the pool's pointer cleared by a fork handler, and starts its own.

use std::any::Any;
use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char, c_void};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
#[cfg(unix)]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use dice_simd::{Engine, Executor, Isa, set_max_isa};

use crate::status::{Described, Failure, Status, call, checked_struct};

/// The engine of a call.
pub(crate) fn engine() -> Engine<Threads> {
    Engine::with_executor(Threads)
}

/// The host's threads if it has given some, else the library's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Threads;

impl Executor for Threads {
    fn claimants(&self) -> usize {
        host().map_or_else(threads, |host| usize::try_from(host.threads).unwrap_or(1).max(1))
    }

    fn run(&self, limit: usize, claim: &(dyn Fn() + Sync)) {
        match host() {
            Some(host) => host.run(limit, claim),
            None => match PoolInUse::get() {
                Some(pool) => pool.run(limit, claim),
                // Threads cannot be started: the caller's thread does all.
                None => claim(),
            },
        }
    }
}

/// 0: as many as the machine runs at once.
static NUM_THREADS: AtomicUsize = AtomicUsize::new(0);

fn threads() -> usize {
    match NUM_THREADS.load(Ordering::Relaxed) {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

/// The library's own workers. Its memory is never freed, so that a late look at it is harmless.
struct Pool {
    /// Calls that use the pool, or are about to find out that it is retired.
    users: AtomicUsize,
    /// Dropped by `retire`, after the last user has gone.
    workers: UnsafeCell<ManuallyDrop<rayon::ThreadPool>>,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

// SAFETY: `workers` is shared by users, and touched exclusively only by `retire`, when there are none any more.
unsafe impl Sync for Pool {}

/// The pool that calls use; null before the first large call, and in a child after `fork`.
static POOL: AtomicPtr<Pool> = AtomicPtr::new(ptr::null_mut());

impl Pool {
    /// Starts one worker less than the threads of a call.
    fn start() -> Option<Box<Self>> {
        let mut handles = Vec::new();
        let spawn = |worker: rayon::ThreadBuilder| {
            handles.push(std::thread::Builder::new().name("dice".into()).spawn(|| worker.run())?);
            Ok(())
        };
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads().saturating_sub(1).max(1));
        let workers = builder.spawn_handler(spawn).build().ok()?;
        let workers = UnsafeCell::new(ManuallyDrop::new(workers));
        Some(Box::new(Self { users: AtomicUsize::new(0), workers, handles: Mutex::new(handles) }))
    }

    /// Ends the workers and waits for them.
    ///
    /// # Safety
    /// Nobody else uses the pool, now or later.
    unsafe fn end(&self) {
        // SAFETY: the caller vouches that this is the only reference.
        let workers = unsafe { &mut *self.workers.get() };
        // SAFETY: nobody uses the workers later.
        unsafe { ManuallyDrop::drop(workers) };
        for handle in self.handles.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A worker that panicked has ended as well.
            let _ = handle.join();
        }
    }
}

/// The pool, kept alive.
struct PoolInUse(&'static Pool);

impl PoolInUse {
    fn get() -> Option<Self> {
        forget_pool_after_fork();
        loop {
            let found = POOL.load(Ordering::SeqCst);
            if found.is_null() {
                let new = Box::into_raw(Pool::start()?);
                if POOL.compare_exchange(ptr::null_mut(), new, Ordering::SeqCst, Ordering::SeqCst).is_err() {
                    // SAFETY: another thread was faster, and nobody has seen this pool.
                    let unused = unsafe { Box::from_raw(new) };
                    // SAFETY: as above.
                    unsafe { unused.end() };
                }
                continue;
            }
            // SAFETY: a pool that was published is never freed.
            let pool = unsafe { &*found };
            pool.users.fetch_add(1, Ordering::SeqCst);
            let in_use = Self(pool);
            // If it is still published, `retire` will see this user and wait for it.
            if POOL.load(Ordering::SeqCst) == found {
                return Some(in_use);
            }
        }
    }

    fn run(&self, limit: usize, claim: &(dyn Fn() + Sync)) {
        // SAFETY: the pool is in use, so nobody ends its workers.
        let workers = unsafe { &*self.0.workers.get() };
        workers.in_place_scope(|scope| {
            for _ in 1..limit {
                scope.spawn(|_| claim());
            }
            claim();
        });
    }
}

impl Drop for PoolInUse {
    fn drop(&mut self) {
        self.0.users.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Ends the pool after the calls that use it.
fn retire() {
    let found = POOL.swap(ptr::null_mut(), Ordering::SeqCst);
    if found.is_null() {
        return;
    }
    // SAFETY: a pool that was published is never freed.
    let pool = unsafe { &*found };
    while pool.users.load(Ordering::SeqCst) > 0 {
        std::thread::sleep(Duration::from_micros(50));
    }
    // SAFETY: it is published no more and has no users; only one thread can have swapped its pointer out.
    unsafe { pool.end() };
}

/// Registers the handler that clears the pool's pointer in a child: its workers exist in the parent only.
fn forget_pool_after_fork() {
    #[cfg(unix)]
    {
        extern "C" fn child() {
            POOL.store(ptr::null_mut(), Ordering::SeqCst);
        }
        static REGISTERED: AtomicBool = AtomicBool::new(false);
        if !REGISTERED.swap(true, Ordering::SeqCst) {
            // SAFETY: the handler stores to an atomic, which is allowed in a child; the library is never unloaded.
            unsafe { libc::pthread_atfork(None, None, Some(child)) };
        }
    }
}

/// `dice_executor`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct ExecutorStruct {
    struct_size: usize,
    context: *mut c_void,
    run: Option<unsafe extern "C" fn(*mut c_void, i32, extern "C" fn(*mut c_void), *mut c_void)>,
    threads: i32,
    reserved: i32,
}

// SAFETY: all fields are integers and pointers, for which NULL is valid; `struct_size` first.
unsafe impl Described for ExecutorStruct {}

/// The host's executor; null for none. One that was set is never freed: a call may still be looking at it.
static HOST: AtomicPtr<ExecutorStruct> = AtomicPtr::new(ptr::null_mut());

fn host() -> Option<&'static ExecutorStruct> {
    // SAFETY: null, or an executor that is never freed.
    unsafe { HOST.load(Ordering::SeqCst).as_ref() }
}

/// A claimant on its way through the host's threads.
struct Claim<'a> {
    claim: &'a (dyn Fn() + Sync),
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl ExecutorStruct {
    fn check(&self) -> Result<(), Failure> {
        if self.run.is_none() {
            return Err(Failure::null("executor.run"));
        }
        if self.threads < 1 {
            let sentence = format!("executor.threads = {}: must be at least 1", self.threads);
            return Err(Failure::new(Status::InvalidArgument, sentence).numbers(self.threads.into(), 1));
        }
        Ok(())
    }

    fn run(&self, limit: usize, claim: &(dyn Fn() + Sync)) {
        /// Runs a claimant; no panic may leave it.
        extern "C" fn enter(argument: *mut c_void) {
            // SAFETY: `run` passes a pointer to a `Claim` that it keeps until all calls have returned.
            let claim = unsafe { &*argument.cast_const().cast::<Claim<'_>>() };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(claim.claim)) {
                *claim.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
        }
        let claim = Claim { claim, panic: Mutex::new(None) };
        let argument = (&raw const claim).cast_mut().cast();
        if let Some(run) = self.run {
            let limit = i32::try_from(limit).unwrap_or(i32::MAX);
            // SAFETY: the host vouches that its function may be called with its context, and that it has returned from all
            // calls of `enter` when it returns.
            unsafe { run(self.context, limit, enter, argument) };
        }
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
            let executor = unsafe { checked_struct(executor, "executor") }?;
            executor.check()?;
            Box::into_raw(Box::new(*executor))
        };
        HOST.store(host, Ordering::SeqCst);
        Ok(())
    })
}

/// See `dice.h`.
#[unsafe(no_mangle)]
pub extern "C" fn dice_set_num_threads(threads: i32) -> i32 {
    call(|| {
        let number = usize::try_from(threads).map_err(|_| {
            let sentence = format!("threads = {threads}: must be at least 0");
            Failure::new(Status::InvalidArgument, sentence).numbers(threads.into(), 0)
        })?;
        if NUM_THREADS.swap(number, Ordering::SeqCst) != number {
            retire();
        }
        Ok(())
    })
}

/// See `dice.h`.
#[unsafe(no_mangle)]
pub extern "C" fn dice_shutdown() -> i32 {
    call(|| {
        retire();
        Ok(())
    })
}

/// Every level with its name, in the order of its number.
const NAMES: [(Isa, &CStr); 5] = [
    (Isa::Scalar, c"scalar"),
    (Isa::Portable, c"portable"),
    (Isa::Neon, c"neon"),
    (Isa::Avx2, c"avx2"),
    (Isa::Avx512, c"avx512"),
];

/// See `dice.h`.
#[unsafe(no_mangle)]
pub extern "C" fn dice_isa_name(isa: i32) -> *const c_char {
    NAMES.iter().find(|(known, _)| *known as i32 == isa).map_or(c"unknown", |(_, name)| name).as_ptr()
}

/// See `dice.h`.
#[unsafe(no_mangle)]
pub extern "C" fn dice_effective_isa() -> i32 {
    Isa::effective() as i32
}

/// See `dice.h`.
#[unsafe(no_mangle)]
pub extern "C" fn dice_set_max_isa(isa: i32) -> i32 {
    call(|| {
        let (level, _) = NAMES.iter().find(|(known, _)| *known as i32 == isa).ok_or_else(|| {
            let sentence = format!("isa = {isa}: must be from 0 to {}", NAMES.len() - 1);
            Failure::new(Status::InvalidArgument, sentence).numbers(isa.into(), -1)
        })?;
        set_max_isa(*level);
        Ok(())
    })
}
