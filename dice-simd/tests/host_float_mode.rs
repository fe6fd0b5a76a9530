//! The host's floating-point mode is not ours: with flush-to-zero, denormals-are-zero and rounding towards +∞ set on the
//! caller's thread and on the workers, the library gives the same bits, and leaves the mode as it was; so it leaves the exception
//! flags.
#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]

mod common;

use std::hint::black_box;

use common::{Bits, Level, Random, Scene, bits_of_f32, demand_same, per_level};
use dice_core::loss::GeneralizedDice;
use dice_core::{Activation, Cotangent, LossHead};
use dice_simd::{DefaultFloatMode, Executor};
use register::{HOST, SOME_FLAGS, flags as flags_now, read, set_flags, write};

#[cfg(target_arch = "x86_64")]
mod register {
    use std::arch::asm;

    pub(crate) type Mode = u32;
    /// The exceptions masked, flush-to-zero (bit 15), round up (bits 14 and 13: 10), denormals-are-zero (bit 6).
    pub(crate) const HOST: Mode = 0x1f80 | 1 << 15 | 0b10 << 13 | 1 << 6;
    const FLAGS: Mode = 0x3f;
    /// Overflow and inexact.
    pub(crate) const SOME_FLAGS: Mode = 1 << 3 | 1 << 5;

    fn whole() -> Mode {
        let mut mode: Mode = 0;
        // SAFETY: stores MXCSR to a local variable; every x86-64 CPU has it.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut mode, options(nostack, preserves_flags)) };
        mode
    }

    /// The mode of this thread, without the sticky exception flags.
    pub(crate) fn read() -> Mode {
        whole() & !FLAGS
    }

    /// The sticky exception flags.
    pub(crate) fn flags() -> Mode {
        whole() & FLAGS
    }

    pub(crate) fn set_flags(flags: Mode) {
        write(read() | flags);
    }

    pub(crate) fn write(mode: Mode) {
        // SAFETY: `mode` was read from the register or is `HOST`: no reserved bit, and no exception is unmasked.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const mode, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod register {
    use std::arch::asm;

    pub(crate) type Mode = u64;
    /// Flush-to-zero of inputs and results (bit 24), round up (bits 23 and 22: 01).
    pub(crate) const HOST: Mode = 1 << 24 | 0b01 << 22;

    /// Overflow and inexact.
    pub(crate) const SOME_FLAGS: Mode = 1 << 2 | 1 << 4;

    /// The mode of this thread.
    pub(crate) fn read() -> Mode {
        let mode: Mode;
        // SAFETY: reads FPCR, which every aarch64 CPU has.
        unsafe { asm!("mrs {}, fpcr", out(reg) mode, options(nomem, nostack, preserves_flags)) };
        mode
    }

    /// The sticky exception flags.
    pub(crate) fn flags() -> Mode {
        let flags: Mode;
        // SAFETY: reads FPSR, which every aarch64 CPU has.
        unsafe { asm!("mrs {}, fpsr", out(reg) flags, options(nomem, nostack, preserves_flags)) };
        flags
    }

    pub(crate) fn set_flags(flags: Mode) {
        // SAFETY: only flags that FPSR has are set.
        unsafe { asm!("msr fpsr, {}", in(reg) flags, options(nostack, preserves_flags)) };
    }

    pub(crate) fn write(mode: Mode) {
        // SAFETY: `mode` was read from the register or is `HOST`.
        unsafe { asm!("msr fpcr, {}", in(reg) mode, options(nostack, preserves_flags)) };
    }
}

/// Puts the mode of the thread back even if a test fails.
struct Restore(register::Mode);

impl Drop for Restore {
    fn drop(&mut self) {
        write(self.0);
    }
}

/// Runs `work` in the host's mode, and demands that it is still set afterwards.
fn as_host<T>(work: impl FnOnce() -> T) -> T {
    let _restore = Restore(read());
    write(HOST);
    assert_eq!(read(), HOST);
    // The mode does what it says: this is no test of nothing.
    let one = black_box(1.0_f32);
    assert!(black_box(one + black_box(1e-20)) > one, "rounds up");
    assert_eq!(black_box(black_box(f32::MIN_POSITIVE) * black_box(0.25)).to_bits(), 0, "flushes to zero");
    assert_eq!(black_box(black_box(f64::from_bits(1 << 40)) * black_box(1e300)), 0.0, "takes subnormals for zero");
    let made = work();
    assert_eq!(read(), HOST, "the host's mode is back");
    made
}

/// Every entry leaves the exception flags as they were, although a pass raises all of them but one: overflow and division by 0
/// where a class is absent, underflow and inexact anywhere, invalid at a NaN.
fn flags(level: &Level) {
    use dice_core::loss::ClassWeighting;
    use dice_core::{Problem, View, ViewMut};

    let mut logits: Vec<f32> = (0..600).map(|i| (i * 37 % 101) as f32 - 50.0).collect();
    logits[7] = f32::INFINITY;
    let labels = [0_u8; 200];
    let weights = [0.3_f32; 200];
    let logits = View::channels_first(&logits, &[1, 3, 200]).unwrap();
    let labels = View::map(&labels, &[1, 200]).unwrap();
    let problem = Problem::new(labels).weighing_voxels(View::map(&weights, &[1, 200]).unwrap());
    let loss = GeneralizedDice { weighting: ClassWeighting::InverseSquare, ..GeneralizedDice::default() };
    for found in [0, SOME_FLAGS] {
        let demand = |what: &str, work: &mut dyn FnMut()| {
            set_flags(found);
            work();
            assert_eq!(flags_now(), found, "{what}");
        };
        let engine = level.engine();
        let mut gradient = vec![0.0_f32; 600];
        let mut view = ViewMut::channels_first(&mut gradient, &[1, 3, 200]).unwrap();
        demand("value", &mut || drop(black_box(engine.value(&logits, &problem, &loss))));
        demand("both", &mut || {
            black_box(engine.value_and_grad(&logits, &problem, &loss, &[1e38], &mut view)).unwrap();
        });
        demand("confusion", &mut || drop(black_box(engine.confusion(&logits, &problem))));
        demand("maps", &mut || drop(black_box(engine.confusion_of_labels(labels, 3, &problem))));
        demand("volumes", &mut || drop(black_box(engine.add_volumes(&problem, &mut [0.1, 0.2, 0.3]))));
        demand("an error", &mut || drop(black_box(engine.add_volumes(&problem, &mut []))));
    }
}
per_level!(flags);

/// Enough logits for several threads; subnormal ones among them.
fn scene() -> Scene {
    let logit = |random: &mut Random| match random.below(10) {
        0 => random.pick(&[1e-40, -1e-41, 1e-45]),
        _ => random.within(-8.0, 8.0),
    };
    let label = |random: &mut Random| if random.once_in(100) { 77 } else { random.below(4) as u8 };
    Scene::new(&mut Random(1), &[2, 4, 20_000], logit, label).ignoring(77)
}

fn loss(activation: Activation) -> GeneralizedDice {
    GeneralizedDice { activation, ..GeneralizedDice::monai_gdl() }
}

/// Everything that a call gives: for an upstream gradient of 1, and for one that makes the gradients subnormal.
fn outcome<X: Executor>(
    scene: &Scene,
    level: &Level,
    executor: X,
    cotangent: &Cotangent,
    activation: Activation,
) -> (Bits, Vec<u32>) {
    let engine = level.engine_on(executor);
    let bits = scene.bits(&engine, &loss(activation));
    (bits, bits_of_f32(&scene.pullback(&engine, cotangent, &[1e-35]).unwrap()))
}

fn check(level: &Level, run: impl Fn(&Scene, &Cotangent, Activation) -> (Bits, Vec<u32>)) {
    for activation in [Activation::Softmax, Activation::Sigmoid, Activation::None] {
        let scene = scene();
        let loss = loss(activation);
        let cotangent = loss.evaluate(&scene.expected_statistics(&loss.request())).unwrap().cotangent;
        let expected = outcome(&scene, level, dice_simd::Serial, &cotangent, activation);
        let subnormal = expected.1.iter().filter(|&&g| f32::from_bits(g).is_subnormal()).count();
        assert!(subnormal > 1000, "the scene has subnormal gradients");
        let found = run(&scene, &cotangent, activation);
        found.0.demand(&expected.0, &format_args!("{activation:?}"));
        demand_same(&found.1, &expected.1, &format_args!("{activation:?}, subnormal gradients"));
    }
}

fn callers_thread(level: &Level) {
    check(level, |scene, cotangent, activation| {
        as_host(|| outcome(scene, level, dice_simd::Serial, cotangent, activation))
    });
}
per_level!(callers_thread);

#[cfg(feature = "rayon")]
fn rayon_workers(level: &Level) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).start_handler(|_| write(HOST)).build().unwrap();
    let modes = || pool.broadcast(|_| read());
    assert_eq!(modes(), [HOST; 3]);
    check(level, |scene, cotangent, activation| {
        let found = pool.install(|| outcome(scene, level, dice_simd::Rayon, cotangent, activation));
        assert_eq!(modes(), [HOST; 3], "the workers' modes are back");
        found
    });
}
#[cfg(feature = "rayon")]
per_level!(rayon_workers);

/// A host's own threads, each in the host's mode, while the caller's is in the default one, and the other way round.
struct HostThreads {
    workers: register::Mode,
}

impl Executor for HostThreads {
    fn claimants(&self) -> usize {
        3
    }
    fn run(&self, limit: usize, claim: &(dyn Fn() + Sync)) {
        std::thread::scope(|scope| {
            for _ in 0..limit {
                scope.spawn(|| {
                    write(self.workers);
                    claim();
                    assert_eq!(read(), self.workers, "the worker's mode is back");
                });
            }
        });
    }
}

fn threads_of_the_host(level: &Level) {
    check(level, |scene, cotangent, activation| {
        outcome(scene, level, HostThreads { workers: HOST }, cotangent, activation)
    });
    let default = read();
    check(level, |scene, cotangent, activation| {
        as_host(|| outcome(scene, level, HostThreads { workers: default }, cotangent, activation))
    });
}
per_level!(threads_of_the_host);

/// An error on the way puts the mode back as well.
fn errors(level: &Level) {
    let mut scene = scene();
    scene.labels.data[30_000] = 9;
    let error = as_host(|| scene.value_and_grad(&level.engine(), &loss(Activation::Softmax)).unwrap_err());
    assert_eq!(error, dice_core::Error::LabelOutOfRange { index: 30_000, label: 9, classes: 4 });
}
per_level!(errors);

/// The guard on its own, for heads that a host evaluates itself. Guards nest.
#[test]
fn guard() {
    as_host(|| {
        let default = {
            let _outer = DefaultFloatMode::install();
            let found = read();
            {
                let _inner = DefaultFloatMode::install();
                assert_eq!(read(), found);
            }
            assert_eq!(read(), found);
            let one = black_box(1.0_f32);
            assert_eq!(black_box(one + black_box(1e-20)), one, "rounds to nearest");
            assert!(black_box(black_box(f32::MIN_POSITIVE) * black_box(0.25)) > 0.0, "keeps subnormals");
            found
        };
        assert_ne!(default, HOST);
        assert_eq!(read(), HOST);
    });
}
