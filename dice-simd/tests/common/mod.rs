//! What the integration tests share: levels of the instruction set, seeded random numbers, tensors in any layout, and the
//! tolerances.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "every test file is a crate of its own and uses its own part of this module"
)]

use std::sync::atomic::{AtomicU32, Ordering};

use dice_core::Activation;
use proptest::prelude::Strategy;
use proptest::test_runner::{Config, TestRunner};

pub(crate) mod draw;
pub(crate) mod inputs;
mod level;
pub(crate) mod loss;
pub(crate) mod pair;
mod scene;
pub(crate) mod tolerance;

pub(crate) use level::{Level, per_level, run_at};
pub(crate) use scene::{Axis, Bits, Placed, Scene, Tensor, UNWRITTEN, bits_of_f32, demand_same, map_of};
pub(crate) use tolerance::{InputTolerance, Tolerance};

/// Whether an emulator runs the tests, which then take smaller volumes and fewer rounds: `DICE_EMULATED` is set.
pub(crate) fn emulated() -> bool {
    std::env::var_os("DICE_EMULATED").is_some()
}

/// `natively`, or a smaller number on an emulator.
pub(crate) fn rounds<T>(natively: T, emulated: T) -> T {
    if self::emulated() { emulated } else { natively }
}

/// Runs `check` on what `strategy` makes, in as many cases or `PROPTEST_CASES`; a smallest failing one is printed in full, its
/// seed included.
pub(crate) fn for_any<S: Strategy>(cases: u32, strategy: S, check: impl Fn(S::Value)) {
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { Config::default().cases } else { cases };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&strategy, |input| {
        check(input);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

/// A unit in the last place of the f32 numbers around `exact`, which is normal in f32.
pub(crate) fn unit_f32(exact: f64) -> f64 {
    let exponent = ((exact.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    f64::from_bits(((exponent - 23 + 1023) as u64) << 52)
}

/// Looks at `0..count` on as many threads as the machine has, in chunks of [`CHUNK`].
pub(crate) fn in_chunks(count: u32, check: impl Fn(std::ops::Range<u32>) + Sync) {
    let next = AtomicU32::new(0);
    let chunks = count.div_ceil(CHUNK);
    let work = || {
        loop {
            let chunk = next.fetch_add(1, Ordering::Relaxed);
            if chunk >= chunks {
                return;
            }
            let first = chunk * CHUNK;
            // One more, so that the step to the next chunk is looked at too.
            check(first..first.saturating_add(CHUNK + 1).min(count));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
}

/// Numbers per call of an elementary function.
pub(crate) const CHUNK: u32 = 1 << 16;

/// The activation, or a sigmoid in the place of a softmax where there is one channel.
pub(crate) fn possible(activation: Activation, channels: usize) -> Activation {
    if channels == 1 && activation == Activation::Softmax { Activation::Sigmoid } else { activation }
}

/// SplitMix64 (Steele, Lea, Flood 2014): seeded, so that a failure repeats.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.bits() % bound as u64) as usize
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// A number in `low..high`.
    pub(crate) fn within(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.bits() >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// One of `items`.
    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// Fisher and Yates.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}
