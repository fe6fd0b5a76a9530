//! The library's own workers.
//!
//! The first large call starts them, one less than the threads it may use. A call puts a job in the queue, works itself, and
//! at the end takes the job out again: it waits for the workers that have begun with it, never for those that are busy with
//! another thread's call.
//!
//! A child after `fork` has none of these threads, and locks that may never open. So a fork handler clears the pointer to the
//! pool, and the child makes a pool of its own; no lock is held on the way to it.

use std::any::Any;
#[cfg(unix)]
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
#[cfg(unix)]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::memory;
use crate::worker::Worker;

/// The pool; null before the first large call, and in a child after `fork`. One that was published is never freed.
static POOL: AtomicPtr<Pool> = AtomicPtr::new(ptr::null_mut());

/// The queue and the workers.
pub(crate) struct Pool {
    state: Mutex<State>,
    /// There is a job, or the generation has ended.
    work: Condvar,
    /// A job has no workers any more.
    done: Condvar,
}

struct State {
    jobs: Vec<Job>,
    /// The number of the next job.
    next: u64,
    /// Workers of an older generation end.
    generation: u64,
    workers: Vec<Worker>,
}

/// What a call wants to have run.
struct Job {
    number: u64,
    claim: Claim,
    /// Workers that may still begin.
    wanted: usize,
    /// Workers that have begun and not ended.
    active: usize,
    panic: Option<Box<dyn Any + Send>>,
}

/// A claimant whose lifetime is not known to the compiler: it lives as long as its job is in the queue.
#[derive(Clone, Copy)]
struct Claim(*const (dyn Fn() + Sync));

// SAFETY: the claimant may be called from any thread.
unsafe impl Send for Claim {}

impl Pool {
    /// The pool of this process; none if a child after `fork` would not notice that it is another's, or there is no memory for it.
    pub(crate) fn get() -> Option<&'static Self> {
        if !forget_pool_after_fork() {
            return None;
        }
        let found = POOL.load(Ordering::Acquire);
        let pool = if found.is_null() {
            memory::find(Some(size_of::<Self>()), "the workers").ok()?;
            let state = State { jobs: Vec::new(), next: 0, generation: 0, workers: Vec::new() };
            let new = Self { state: Mutex::new(state), work: Condvar::new(), done: Condvar::new() };
            let new = Box::into_raw(Box::new(new));
            match POOL.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => new,
                Err(faster) => {
                    // SAFETY: another thread was faster, and nobody has seen this pool.
                    drop(unsafe { Box::from_raw(new) });
                    faster
                }
            }
        } else {
            found
        };
        // SAFETY: a pool that was published is never freed.
        Some(unsafe { &*pool })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `claim` once here and on up to `limit − 1` workers, and returns when all these calls have returned.
    pub(crate) fn run(&'static self, limit: usize, claim: &(dyn Fn() + Sync)) {
        let wanted = limit.saturating_sub(1);
        let mut state = self.lock();
        self.start_workers(&mut state, wanted);
        let workers = state.workers.len();
        if workers == 0 {
            drop(state);
            // Threads cannot be started: the caller's does all.
            return claim();
        }
        let number = state.next;
        state.next += 1;
        // SAFETY: only the lifetime changes; the claimant outlives the job, which leaves the queue before this returns.
        let lasting = unsafe { std::mem::transmute::<&(dyn Fn() + Sync), *const (dyn Fn() + Sync)>(claim) };
        state.jobs.push(Job { number, claim: Claim(lasting), wanted, active: 0, panic: None });
        drop(state);
        for _ in 0..wanted.min(workers) {
            self.work.notify_one();
        }

        let own = catch_unwind(AssertUnwindSafe(claim));
        let theirs = self.finish(number);
        if let Some(panic) = own.err().or(theirs) {
            resume_unwind(panic);
        }
    }

    /// Takes the job out of the queue when no worker is at it any more.
    fn finish(&self, number: u64) -> Option<Box<dyn Any + Send>> {
        let mut state = self.lock();
        loop {
            let place = state.jobs.iter().position(|job| job.number == number)?;
            let job = &mut state.jobs[place];
            job.wanted = 0;
            if job.active == 0 {
                return state.jobs.remove(place).panic;
            }
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Has at least `count` workers, if so many threads can be started.
    fn start_workers(&'static self, state: &mut State, count: usize) {
        let _blocked = (state.workers.len() < count).then(SignalsBlocked::new);
        while state.workers.len() < count {
            // What a worker takes lasts as long as it does: not from a reserve.
            if memory::find(Some(size_of::<Worker>()), "a worker").is_err() {
                return;
            }
            let generation = state.generation;
            let Some(worker) = Worker::start(move || self.work(generation)) else { return };
            state.workers.push(worker);
        }
    }

    /// What a worker does.
    fn work(&self, generation: u64) {
        let mut state = self.lock();
        while state.generation == generation {
            let Some(job) = state.jobs.iter_mut().find(|job| job.wanted > 0) else {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            job.wanted -= 1;
            job.active += 1;
            let (number, claim) = (job.number, job.claim);
            drop(state);
            // SAFETY: the job stays in the queue, and the claimant alive, as long as a worker is active.
            let claim = unsafe { &*claim.0 };
            let outcome = catch_unwind(AssertUnwindSafe(claim));
            state = self.lock();
            if let Some(job) = state.jobs.iter_mut().find(|job| job.number == number) {
                job.active -= 1;
                if let Err(panic) = outcome {
                    job.panic = Some(panic);
                }
                if job.active == 0 {
                    self.done.notify_all();
                }
            }
        }
    }

    /// Ends the workers of this process, if there are any, and waits for them. Calls in progress go on without them.
    pub(crate) fn end_workers() {
        // SAFETY: null, or a pool that is never freed.
        let Some(pool) = (unsafe { POOL.load(Ordering::Acquire).as_ref() }) else { return };
        let mut state = pool.lock();
        state.generation += 1;
        let workers = std::mem::take(&mut state.workers);
        drop(state);
        pool.work.notify_all();
        workers.into_iter().for_each(Worker::join);
    }
}

/// Registers the handler that clears the pool's pointer in a child; false if the system has no room for it.
fn forget_pool_after_fork() -> bool {
    #[cfg(unix)]
    {
        extern "C" fn child() {
            POOL.store(ptr::null_mut(), Ordering::Release);
        }
        static REGISTERED: AtomicBool = AtomicBool::new(false);
        // Two threads may both register it, which is harmless; neither may go on before it is registered.
        if !REGISTERED.load(Ordering::Acquire) {
            // SAFETY: the handler stores to an atomic, which is allowed in a child; the library is never unloaded.
            let error = unsafe { libc::pthread_atfork(None, None, Some(child)) };
            REGISTERED.store(error == 0, Ordering::Release);
            return error == 0;
        }
    }
    true
}

/// While it lives, this thread and those that it starts take no signals that another thread can take: a host's handler
/// expects the host's threads.
struct SignalsBlocked {
    #[cfg(unix)]
    before: libc::sigset_t,
}

#[cfg(unix)]
impl SignalsBlocked {
    fn new() -> Self {
        let mut signals = MaybeUninit::uninit();
        // SAFETY: fills the set.
        unsafe { libc::sigfillset(signals.as_mut_ptr()) };
        // Those that an instruction of a thread raises in itself, and a profiler's clock.
        use libc::{SIGBUS, SIGFPE, SIGILL, SIGPROF, SIGSEGV, SIGSYS, SIGTRAP};
        for own in [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGPROF] {
            // SAFETY: the set was filled above.
            unsafe { libc::sigdelset(signals.as_mut_ptr(), own) };
        }
        let mut before = MaybeUninit::uninit();
        // SAFETY: a filled set, and room for the old one.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, signals.as_ptr(), before.as_mut_ptr()) };
        // SAFETY: written by the call above, which cannot fail with these arguments.
        Self { before: unsafe { before.assume_init() } }
    }
}

#[cfg(unix)]
impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: a set that this thread had; the present one is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut()) };
    }
}

#[cfg(not(unix))]
impl SignalsBlocked {
    fn new() -> Self {
        Self {}
    }
}
