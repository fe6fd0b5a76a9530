//! Instruction set and threads.

use std::ffi::{CStr, c_char};
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

use dice_simd::{Engine, Executor, Isa, set_max_isa};

use crate::host::host;
use crate::pool::Pool;
use crate::reserve;
use crate::status::{Failure, Status, Uncancelled, call};

/// The engine of a call.
pub(crate) fn engine() -> Engine<Threads> {
    Engine::with_executor(Threads)
}

/// The host's threads if it has given some, else the library's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Threads;

impl Executor for Threads {
    fn claimants(&self) -> usize {
        host().map_or_else(threads, |host| host.threads())
    }

    fn run(&self, limit: usize, claim: &(dyn Fn() + Sync)) {
        let claim = || {
            let served = reserve::served();
            claim();
            if reserve::served() != served {
                dice_simd::forget_rooms();
            }
        };
        if let Some(host) = host() {
            host.run(limit, &claim);
        } else if let Some(pool) = Pool::get() {
            pool.run(limit, &claim);
        } else {
            claim();
        }
    }
}

/// More threads are never used, whatever was asked for.
const MOST_THREADS: usize = 1024;

/// What the host has set; 0: as many as the machine runs at once.
static NUM_THREADS: AtomicUsize = AtomicUsize::new(0);
/// As many as the machine runs at once; 0: not yet asked for. The system reads half a dozen files to answer.
static MACHINE_THREADS: AtomicUsize = AtomicUsize::new(0);

fn threads() -> usize {
    let set = NUM_THREADS.load(Ordering::Relaxed);
    if set > 0 {
        return set;
    }
    match MACHINE_THREADS.load(Ordering::Relaxed) {
        0 => {
            let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
            MACHINE_THREADS.store(threads, Ordering::Relaxed);
            threads
        }
        threads => threads,
    }
}

/// See `dice.h`.
#[unsafe(no_mangle)]
pub extern "C" fn dice_set_num_threads(threads: i32) -> i32 {
    call(|| {
        let number = usize::try_from(threads).map_err(|_| {
            let sentence = format_args!("threads = {threads}: must be at least 0");
            Failure::new(Status::InvalidArgument, sentence).numbers(threads.into(), 0)
        })?;
        NUM_THREADS.store(number.min(MOST_THREADS), Ordering::Relaxed);
        Ok(())
    })
}

/// See `dice.h`.
#[unsafe(no_mangle)]
pub extern "C" fn dice_shutdown() -> i32 {
    call(|| {
        Pool::end_workers();
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
    let _uncancelled = Uncancelled::new();
    // The first look at the environment may complain on a standard error that takes nothing.
    catch_unwind(Isa::effective).unwrap_or(Isa::Scalar) as i32
}

/// See `dice.h`.
#[unsafe(no_mangle)]
pub extern "C" fn dice_set_max_isa(isa: i32) -> i32 {
    call(|| {
        let (level, _) = NAMES.iter().find(|(known, _)| *known as i32 == isa).ok_or_else(|| {
            let sentence = format_args!("isa = {isa}: must be from 0 to {}", NAMES.len() - 1);
            Failure::new(Status::InvalidArgument, sentence).numbers(isa.into(), -1)
        })?;
        set_max_isa(*level).map_err(|error| Failure::new(Status::Unavailable, format_args!("isa = {isa}: {error}")))
    })
}
