//! In steady state the passes allocate nothing, and what a thread keeps is small; seen through a counting allocator.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::draw::{Wish, draw};
use common::inputs::{LabelTensor, Number, with_types};
use common::loss::any_compound;
use common::{Level, Random, per_level, rounds};
use dice_core::loss::{Compound, Focal, GeneralizedDice, SoftDice};
use dice_core::{Activation, Confusion, Dense, Problem, Target, View, ViewMut};
use dice_simd::{Engine, Executor, Float, Gradient, Isa, Serial, Workspace};

struct Counting;

/// What all threads hold, and the most that they held since it was last reset.
static HELD: AtomicIsize = AtomicIsize::new(0);
static MOST: AtomicIsize = AtomicIsize::new(0);
/// Allocations of all threads.
static ALL: AtomicUsize = AtomicUsize::new(0);
thread_local!(static OWN: Cell<usize> = const { Cell::new(0) });

impl Counting {
    fn note(bytes: isize) {
        let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if bytes > 0 {
            MOST.fetch_max(held, Ordering::Relaxed);
            ALL.fetch_add(1, Ordering::Relaxed);
            let _ = OWN.try_with(|own| own.set(own.get() + 1));
        }
    }
}

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::note(layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        Self::note(-(layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The counters are those of the process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Allocations of this thread while it does `work`.
fn own(work: impl FnOnce()) -> usize {
    let before = OWN.get();
    work();
    OWN.get() - before
}

/// Value, gradient and confusion matrix of any kind of input, on the caller's thread.
fn nothing_is_allocated_twice(level: &Level) {
    let _alone = alone();
    let mut random = Random(71);
    let types = [("f32", "f32"), ("f16", "f16"), ("bf16", "f32"), ("f64", "f64")];
    let activations = [Activation::Softmax, Activation::Sigmoid, Activation::None];
    for _ in 0..rounds(120, 20) {
        let classes = random.pick(&[1, 2, 3, 4, 14, 32]);
        let (target, target_type) = match random.below(3) {
            0 => ("soft", "f32"),
            _ => ("labels", random.pick(&LabelTensor::NAMES[usize::from(classes > 2)..])),
        };
        let wish = Wish {
            target,
            target_type,
            mask: random.once_in(2),
            weights: random.once_in(2),
            sample_weights: random.once_in(3),
            ignored: if target == "soft" { "none" } else { random.pick(&["none", "a class", "no class"]) },
            in_place: false,
        };
        let shape = [1 + random.below(2), classes, 1, 1 + random.below(300)];
        let types = random.pick(&types);
        with_types!(types, |T, G| {
            let (inputs, _) = draw::<T>(&mut random, &shape, &wish, |random| random.within(-4.0, 4.0).into());
            let (logits, problem) = (inputs.logits.view(), inputs.problem());
            let loss = any_compound(&mut random, classes, &activations, target == "labels");
            let mut gradient = vec![G::of(0.0); inputs.gradient.len];
            let (mut workspace, mut confusion) = (Workspace::default(), Confusion::default());
            let engine = level.engine();
            let mut call = || {
                let mut gradient = inputs.gradient.view_mut(&mut gradient);
                engine.value_and_grad_into(&logits, &problem, &loss, &[1.0], &mut gradient, &mut workspace).unwrap();
                if let Target::Labels(_) = problem.target {
                    engine.confusion_into(&logits, &problem, &mut confusion).unwrap();
                }
            };
            call();
            assert_eq!(own(&mut call), 0, "{shape:?} {wish:?}");
        });
    }
}
per_level!(nothing_is_allocated_twice);

/// 16³ voxels of 4 classes: nothing allocated, and no other thread asked.
fn a_small_call_stays_at_home(level: &Level) {
    struct NoOthers;
    impl Executor for NoOthers {
        fn claimants(&self) -> usize {
            64
        }
        fn run(&self, _: usize, _: &(dyn Fn() + Sync)) {
            panic!("a small call was handed to other threads");
        }
    }
    let _alone = alone();
    let mut random = Random(72);
    let logits: Vec<f32> = (0..4 * 16 * 16 * 16).map(|_| random.within(-4.0, 4.0)).collect();
    let labels: Vec<u8> = (0..16 * 16 * 16).map(|_| random.below(4) as u8).collect();
    let shape = [1, 4, 16, 16, 16];
    let mut gradient = vec![0.0_f32; logits.len()];
    let logits = View::channels_first(&logits, &shape).unwrap();
    let map = View::map(&labels, &[1, 16, 16, 16]).unwrap();
    let problem = Problem::new(map);
    let engine = level.engine_on(NoOthers);
    let (mut workspace, mut confusion) = (Workspace::default(), Confusion::default());
    let mut call = || {
        let mut gradient = ViewMut::channels_first(&mut gradient, &shape).unwrap();
        engine
            .value_and_grad_into(&logits, &problem, &GeneralizedDice::default(), &[1.0], &mut gradient, &mut workspace)
            .unwrap();
        engine.confusion_of_labels_into(map, 4, &problem, &mut confusion).unwrap();
    };
    call();
    assert_eq!(own(&mut call), 0);
}
per_level!(a_small_call_stays_at_home);

/// The most that `call` holds beyond what was held before it.
fn most_held(call: impl FnOnce()) -> isize {
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    call();
    MOST.load(Ordering::Relaxed) - before
}

/// Every pass on interleaved logits of so many classes, once with labels and once with a dense target, gradients being stored and
/// added: whatever needs most.
fn every_pass<T>(level: &Level, classes: usize, loss: Compound) -> Box<dyn FnMut() + Send>
where
    T: Float<Arithmetic = T> + From<f32>,
    for<'a> Dense<'a>: From<View<'a, T>>,
{
    // Enough for gradients of many classes to be streamed, which takes room of its own; a composed pass takes its time instead.
    let voxels = if loss.terms.len() > 1 { 640 } else { 8192 * 2 };
    let logits: Vec<T> = vec![0.5.into(); classes * voxels];
    let (mut gradient, labels) = (logits.clone(), vec![1_u8; voxels]);
    let engine = level.engine();
    Box::new(move || {
        let shape = [1, classes, voxels];
        let logits = View::channels_last(&logits, &shape).unwrap();
        let map = View::map(&labels, &[1, voxels]).unwrap();
        let (sparse, dense) = (Problem::new(map), Problem::new(Dense::from(logits)));
        for problem in [sparse, dense] {
            let mut gradient = ViewMut::channels_last(&mut gradient, &shape).unwrap();
            let found = engine.value_and_grad(&logits, &problem, &loss, &[1.0], &mut gradient).unwrap();
            let added = Gradient::Accumulate(gradient);
            engine.pullback(&logits, &problem, &found.cotangent, &[1.0], added).unwrap();
        }
        engine.confusion(&logits, &sparse).unwrap();
        engine.confusion_of_labels(map, classes, &sparse).unwrap();
    })
}

/// What a thread holds beyond its inputs and its gradient: in a call of up to 150 classes, and of up to 100 whatever it computed
/// before. Of losses of the overlap it is below 1 MiB, or 1.25 MiB where all passes are composed, beside others below 3 MiB.
fn a_thread_holds_little(level: &Level) {
    let _alone = alone();
    let check = |mut calls: Vec<Box<dyn FnMut() + Send>>, most: u32, what: &dyn Fn() -> String| {
        // A new thread has kept nothing yet.
        let thread = || most_held(|| calls.iter_mut().for_each(|call| call()));
        let held = std::thread::scope(|scope| scope.spawn(thread).join().unwrap());
        level.within("bytes of a thread", held as f64, most.into(), what);
    };
    let most = if matches!(level.isa, Isa::Scalar | Isa::Portable) { 5 << 18 } else { 1 << 20 };
    let plain = || Compound::from(GeneralizedDice::default());
    let other = || SoftDice::squared() + Focal::default() + Focal::binary();
    let rising = [2, 4, 14, 32, 99, 100];
    for classes in rising.into_iter().chain([150]) {
        check(vec![every_pass::<f64>(level, classes, plain())], most, &|| format!("{classes} classes"));
    }
    for classes in [100, 150].into_iter().take(rounds(2, 0)) {
        check(vec![every_pass::<f64>(level, classes, other())], 2 << 20, &|| format!("{classes} classes, composed"));
    }
    let mut falling = rising;
    falling.reverse();
    for order in [rising, falling] {
        let calls = |order: &[usize], losses: &[Compound]| {
            let each = |classes| {
                let both = |loss: &Compound| {
                    [every_pass::<f64>(level, classes, loss.clone()), every_pass::<f32>(level, classes, loss.clone())]
                };
                losses.iter().flat_map(both).collect::<Vec<_>>()
            };
            order.iter().copied().flat_map(each).collect::<Vec<_>>()
        };
        check(calls(&order, &[plain()]), most, &|| format!("{order:?} classes, f64 and f32 in turns"));
        let ends = [order[0], order[5]];
        let losses = [plain(), other()];
        check(calls(&ends, &losses[..rounds(2, 1)]), 3 << 20, &|| format!("{ends:?} classes, all in turns"));
    }
}
per_level!(a_thread_holds_little);

/// On rayon's threads too the passes allocate nothing: what a call allocates there is what rayon does for an empty claimant.
#[cfg(feature = "rayon")]
fn all_that_rayon_allocates_is_its_own(level: &Level) {
    use dice_simd::Rayon;

    let _alone = alone();
    let mut random = Random(73);
    let voxels = 1 << 16;
    let logits: Vec<f32> = (0..4 * voxels).map(|_| random.within(-4.0, 4.0)).collect();
    let labels: Vec<u8> = (0..voxels).map(|_| random.below(4) as u8).collect();
    let mut gradient = vec![0.0_f32; logits.len()];
    let logits = View::channels_first(&logits, &[1, 4, voxels]).unwrap();
    let problem = Problem::new(View::map(&labels, &[1, voxels]).unwrap());
    let engine = level.engine_on(Rayon);
    let mut workspace = Workspace::default();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let calls = rounds(200, 20);
    // Each thread has its scratch after a call of its own; who claims in a shared one is chance.
    pool.broadcast(|_| {
        let mut gradient = vec![0.0_f32; 4 * voxels];
        let mut gradient = ViewMut::channels_first(&mut gradient, &[1, 4, voxels]).unwrap();
        level.engine().value_and_grad(&logits, &problem, &GeneralizedDice::default(), &[1.0], &mut gradient).unwrap();
    });
    pool.install(|| {
        // rayon's queues grow for a while.
        let count = |what: &mut dyn FnMut()| {
            (0..calls).for_each(|_| what());
            let before = ALL.load(Ordering::Relaxed);
            (0..calls).for_each(|_| what());
            ALL.load(Ordering::Relaxed) - before
        };
        let ours = count(&mut || {
            let mut gradient = ViewMut::channels_first(&mut gradient, &[1, 4, voxels]).unwrap();
            let loss = GeneralizedDice::default();
            engine.value_and_grad_into(&logits, &problem, &loss, &[1.0], &mut gradient, &mut workspace).unwrap();
        });
        // Two passes, each of which asks one other thread.
        let bare = count(&mut || (0..2).for_each(|_| Rayon.run(2, &|| ())));
        let report = || format!("{ours} allocations in {calls} calls, {bare} with nothing to do");
        level.within("allocations of a pass on 2 threads", ours as f64 / calls as f64 / 2.0, 1.1, report);
        // A block of rayon's queue more or less.
        assert!(ours <= bare + calls / 8, "{}", report());
    });
}
#[cfg(feature = "rayon")]
per_level!(all_that_rayon_allocates_is_its_own);

/// The counter counts.
#[test]
fn an_allocation_is_seen() {
    let _alone = alone();
    assert_eq!(own(|| drop(std::hint::black_box(Box::new(1)))), 1);
    // A call that makes its own buffers does allocate.
    let logits = [0.0_f32; 128];
    let problem_labels = [0_u8; 64];
    let logits = View::channels_first(&logits, &[1, 2, 64]).unwrap();
    let problem = Problem::new(View::map(&problem_labels, &[1, 64]).unwrap());
    let engine: Engine<Serial> = Engine::serial();
    let call = || drop(engine.value(&logits, &problem, &GeneralizedDice::default()).unwrap());
    call();
    assert!(own(call) > 0);
}
