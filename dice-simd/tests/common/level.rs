//! One test body, one named test per instruction set.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use dice_simd::{Engine, Executor, Isa, Serial, exp_nonpositive, exp_nonpositive_f64};

use super::Tolerance;

/// The level that a test body runs on.
#[derive(Debug)]
pub(crate) struct Level {
    pub(crate) isa: Isa,
    /// How often the body asked for the kernels of the level.
    runs: AtomicUsize,
    /// The greatest error of each kind and bound.
    errors: Mutex<BTreeMap<(&'static str, u64), f64>>,
}

impl Level {
    pub(crate) fn tolerance(&self) -> Tolerance {
        Tolerance::of(self.isa)
    }

    /// An engine of this level on the caller's thread.
    pub(crate) fn engine(&self) -> Engine<Serial> {
        self.engine_on(Serial)
    }

    pub(crate) fn engine_on<X: Executor>(&self, executor: X) -> Engine<X> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let engine = Engine::with_executor(executor).with_isa(self.isa).unwrap();
        assert_eq!(engine.isa(), self.isa);
        engine
    }

    /// exp of every number of `d`.
    pub(crate) fn exp(&self, d: &[f32], result: &mut [f32]) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        exp_nonpositive(self.isa, d, result);
    }

    /// exp of every number of `d`, as the f64 kernels have it.
    pub(crate) fn exp_f64(&self, d: &[f64], result: &mut [f64]) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        exp_nonpositive_f64(self.isa, d, result);
    }

    /// A function of every number of `x`, as the kernels of the level compute it.
    pub(crate) fn apply<R>(&self, function: impl Fn(Isa, &[R], &mut [R]), x: &[R], result: &mut [R]) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        function(self.isa, x, result);
    }

    /// Demands `error` ≤ `bound`, and keeps the greatest error for the report (`--nocapture` shows it).
    #[track_caller]
    pub(crate) fn within(&self, what: &'static str, error: f64, bound: f64, context: impl FnOnce() -> String) {
        assert!(error <= bound, "{}: {what}: error {error:e} above {bound:e}: {}", self.isa, context());
        let mut errors = self.errors.lock().unwrap();
        let worst = errors.entry((what, bound.to_bits())).or_insert(0.0);
        *worst = worst.max(error);
    }
}

/// Runs `body` at `isa`, or says that this CPU cannot. A body that asked for no kernel fails.
pub(crate) fn run_at(isa: Isa, test: &str, body: impl FnOnce(&Level)) {
    if !isa.is_available() {
        let long = match isa {
            Isa::Avx2 => "AVX2 with FMA",
            Isa::Avx512 => "AVX-512",
            Isa::Neon => "NEON",
            Isa::Scalar | Isa::Portable => unreachable!("runs anywhere"),
        };
        // Past the test harness, which would swallow the line of a test that passes.
        let line = format!("SKIPPED {isa}: this CPU has no {long} ({test})\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    }
    let level = Level { isa, runs: AtomicUsize::new(0), errors: Mutex::default() };
    body(&level);
    assert!(level.runs.into_inner() > 0, "the test ran no kernel of {isa}");
    for ((what, bound), worst) in level.errors.into_inner().unwrap() {
        let bound = f64::from_bits(bound);
        eprintln!("{test}, {isa}: {what}: at most {worst:.3e} of {bound:.3e}");
    }
}

/// Makes a module of tests, one per level of the target, that each run the body of the same name.
macro_rules! per_level {
    ($(#[$attribute:meta])* $body:ident) => {
        mod $body {
            use dice_simd::Isa;
            use crate::common::run_at;

            #[test]
            $(#[$attribute])*
            fn scalar() {
                run_at(Isa::Scalar, stringify!($body), super::$body);
            }
            #[test]
            $(#[$attribute])*
            fn portable() {
                run_at(Isa::Portable, stringify!($body), super::$body);
            }
            #[cfg(target_arch = "x86_64")]
            #[test]
            $(#[$attribute])*
            fn avx2() {
                run_at(Isa::Avx2, stringify!($body), super::$body);
            }
            #[cfg(target_arch = "x86_64")]
            #[test]
            $(#[$attribute])*
            fn avx512() {
                run_at(Isa::Avx512, stringify!($body), super::$body);
            }
            #[cfg(target_arch = "aarch64")]
            #[test]
            $(#[$attribute])*
            fn neon() {
                run_at(Isa::Neon, stringify!($body), super::$body);
            }
        }
    };
}
pub(crate) use per_level;
