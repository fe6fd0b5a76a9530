//! Who runs the tiles.
//!
//! A pass hands an [`Executor`] one closure, the *claimant*: it takes tiles from an atomic counter until none is left and
//! then adds its sums to the shared table. Running it once, on one thread, is enough for a right result; running it on
//! several threads at once makes the pass parallel. Since the sums are order-free, who claims which tile leaves no trace.

use std::sync::Arc;

/// A way to run a claimant on several threads.
///
/// ```
/// use dice_simd::{Engine, Executor};
///
/// /// Threads of the standard library, started for each pass.
/// struct Threads(usize);
///
/// impl Executor for Threads {
///     fn claimants(&self) -> usize {
///         self.0
///     }
///     fn run(&self, limit: usize, claim: &(dyn Fn() + Sync)) {
///         std::thread::scope(|scope| {
///             for _ in 1..limit {
///                 scope.spawn(claim);
///             }
///             claim();
///         });
///     }
/// }
///
/// let engine = Engine::with_executor(Threads(4));
/// ```
pub trait Executor: Sync {
    /// The number of threads that could claim at once, the caller's among them.
    fn claimants(&self) -> usize;

    /// Calls `claim` at least once and at most `limit` times (`limit` ≥ 1), on any threads, at once or one after the
    /// other, and returns when every call has returned. If it does not call it, the pass is an error.
    fn run(&self, limit: usize, claim: &(dyn Fn() + Sync));
}

/// Everything on the caller's thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct Serial;

impl Executor for Serial {
    fn claimants(&self) -> usize {
        1
    }

    fn run(&self, _limit: usize, claim: &(dyn Fn() + Sync)) {
        claim();
    }
}

/// Rayon's current pool: the one that the caller has installed, else the global one. The caller's thread takes tiles too.
#[cfg(feature = "rayon")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Rayon;

#[cfg(feature = "rayon")]
impl Executor for Rayon {
    fn claimants(&self) -> usize {
        rayon::current_num_threads()
    }

    fn run(&self, limit: usize, claim: &(dyn Fn() + Sync)) {
        rayon::in_place_scope(|scope| {
            for _ in 1..limit {
                scope.spawn(|_| claim());
            }
            claim();
        });
    }
}

/// Makes executors of what leads to one.
macro_rules! pointers {
    ($([$($bound:tt)*] $pointer:ty),*) => {
        $(
            impl<X: Executor + ?Sized $($bound)*> Executor for $pointer {
                fn claimants(&self) -> usize {
                    (**self).claimants()
                }

                fn run(&self, limit: usize, claim: &(dyn Fn() + Sync)) {
                    (**self).run(limit, claim);
                }
            }
        )*
    };
}

pointers!([] &X, [] Box<X>, [+ Send] Arc<X>);
