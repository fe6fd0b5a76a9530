//! Calls on tensors: each on drawn ones and on compact copies, on another level and with another number of threads, whole
//! and in parts, to the same bits.

use std::ffi::c_void;
use std::ptr;

use crate::abi;
use crate::draw::{Draw, show};
use crate::memory::{Edge, Memory};
use crate::outcome::{Outcome, Output, checked};
use crate::scene::{Inputs, Operand, Scene, prediction};
use crate::tensor::{Dtype, Layout, logit};

/// The numbers of values, cotangent and table of a scene; what the library says of them, or something if it does not.
struct Lens {
    values: usize,
    cotangent: usize,
    table: usize,
}

impl Lens {
    fn of(memory: &mut Memory, scene: &Scene) -> Self {
        let lens: [Output; 4] = [(); 4].map(|()| Output::numbers(memory, Edge::Back, Dtype::I64, 1));
        let [values, cotangent, reports, table] = &lens;
        let loss = scene.compact.loss;
        // SAFETY: the struct is valid or NULL or misaligned, and there is room for a number each.
        let status = unsafe {
            abi::dice_evaluation_len(
                loss,
                scene.samples,
                scene.classes,
                values.as_ptr(),
                cotangent.as_ptr(),
                reports.as_ptr(),
            )
        };
        let evaluation = Outcome::new(status, &[values, cotangent, reports]);
        // SAFETY: likewise.
        let status = unsafe { abi::dice_statistics_len(scene.compact.logits, loss, table.as_ptr()) };
        let statistics = Outcome::new(status, &[table]);
        let number = |output: &Output, is_known: bool| {
            let bytes = output.elements().try_into().expect("a number");
            if is_known { usize::from_ne_bytes(bytes) } else { 1 }
        };
        Self {
            values: number(values, evaluation.is_ok()),
            cotangent: number(cotangent, evaluation.is_ok()),
            table: number(table, statistics.is_ok()),
        }
    }
}

/// Where the numbers of an output go: how many the call says there are, and whether it says where.
#[derive(Clone, Copy)]
struct Room {
    said: usize,
    /// How many there is room for.
    num: usize,
    fault: Fault,
    edge: Edge,
}

#[derive(Clone, Copy)]
enum Fault {
    None,
    Null,
    Misaligned,
}

impl Room {
    fn draw(draw: &mut Draw<'_>, num: usize) -> Self {
        let said = draw.len(num);
        let fault = if draw.hostile() { draw.pick(&[Fault::Null, Fault::Misaligned]) } else { Fault::None };
        Self { said, num: said.min(num + 1), fault, edge: draw.edge() }
    }

    fn output<T>(&self, memory: &mut Memory, dtype: Dtype) -> (Output, *mut T) {
        let output = Output::numbers(memory, self.edge, dtype, self.num);
        let pointer = output.as_ptr::<T>();
        let pointer = match self.fault {
            Fault::None => pointer,
            Fault::Null => ptr::null_mut(),
            Fault::Misaligned => pointer.wrapping_byte_add(1),
        };
        (output, pointer)
    }
}

/// A gradient in two layouts.
struct Gradient {
    drawn: Layout,
    compact: Layout,
    /// What is in it before, in row-major order.
    elements: Vec<u8>,
    mode: i32,
    edge: Edge,
}

impl Gradient {
    fn draw(draw: &mut Draw<'_>, scene: &Scene) -> Self {
        let logits = &scene.logits.layout;
        let floats: &[Dtype] = match logits.dtype {
            Dtype::F64 => &[Dtype::F64],
            _ => &[Dtype::F32, Dtype::F16, Dtype::Bf16],
        };
        let dtype = Dtype::draw(draw, floats);
        let mut shape = logits.shape.clone();
        if draw.hostile() {
            shape[draw.below(logits.shape.len())] += 1;
        }
        let compact = Layout::compact(dtype, &shape);
        let mut random = draw.random();
        let elements = compact.fill(|_| logit(&mut random, 1.0, 0));
        let drawn = Layout::draw(draw, dtype, &shape);
        show("gradient", &(dtype, &drawn.shape, &drawn.strides));
        Self { drawn, compact, elements, mode: draw.variant(2), edge: draw.edge() }
    }

    fn output(&self, memory: &mut Memory, layout: &Layout) -> (Output, *const abi::Tensor) {
        let output = Output::tensor(memory, self.edge, layout, &self.elements);
        let tensor = layout.describe(memory, output.span, self.edge);
        (output, memory.values(&[tensor], self.edge))
    }
}

/// Numbers that a call reads, and how many it says they are.
#[derive(Clone, Copy)]
struct Numbers {
    first: *const f64,
    len: usize,
}

impl Numbers {
    /// Upstream gradients: none, one, or one per value.
    fn upstream(draw: &mut Draw<'_>, memory: &mut Memory, values: usize) -> Self {
        let num = draw.pick(&[0, 1, values]);
        let said = draw.len(num);
        if said == 0 {
            return Self { first: ptr::null(), len: 0 };
        }
        let numbers: Vec<f64> = (0..said.min(num + 1))
            .map(|_| draw.pick(&[1.0, -2.5, 0.0, 1e3, 1e-3, 1e30, f64::NAN, f64::INFINITY]))
            .collect();
        let first = if draw.hostile() { ptr::null() } else { memory.values(&numbers, draw.edge()) };
        Self { first, len: said }
    }
}

/// A call on some of the scene's inputs, that writes its gradient, if it has one, in this layout.
type Call<'a> = &'a dyn Fn(&mut Memory, &Inputs, Option<&Layout>) -> Outcome;

/// Makes a call on the drawn tensors and in whatever other ways it must give the same, which it is on compact copies.
fn check(
    draw: &mut Draw<'_>,
    memory: &mut Memory,
    scene: &Scene,
    gradient: Option<&Gradient>,
    call: Call<'_>,
) -> Outcome {
    let drawn = call(memory, &scene.drawn, gradient.map(|gradient| &gradient.drawn));
    let overlaps = gradient.is_some_and(|gradient| gradient.drawn.overlaps_itself());
    assert!(!(overlaps && drawn.is_ok()), "a gradient that overlaps itself was written");
    if draw.tensor_is_spoiled || !drawn.is_of_elements() {
        return drawn;
    }
    let again = |memory: &mut Memory| call(memory, &scene.compact, gradient.map(|gradient| &gradient.compact));
    let compact = again(memory);
    drawn.assert_same(&compact, "compact copies");
    if draw.by_lot(64) {
        on_another_level(|| compact.assert_same(&again(memory), "another level"));
    }
    if scene.is_large {
        with_other_threads(|what| compact.assert_same(&again(memory), what));
    }
    compact
}

/// Runs something on another level of the same bits, if there is one.
fn on_another_level(check: impl FnOnce()) {
    // SAFETY: takes nothing.
    let level = unsafe { abi::dice_effective_isa() };
    if level == abi::ISA_PORTABLE {
        return;
    }
    let other = if level == abi::ISA_SCALAR { abi::ISA_BEST } else { abi::ISA_SCALAR };
    set_level(other);
    check();
    set_level(level);
}

pub fn set_level(level: i32) {
    // One of another architecture is refused.
    let levels = if level == abi::ISA_BEST { [level, abi::ISA_NEON] } else { [level; 2] };
    // SAFETY: a number.
    let is_set = levels.into_iter().any(|level| checked(unsafe { abi::dice_set_max_isa(level) }).status == abi::OK);
    assert!(is_set, "level {level}");
}

/// Runs something with one and with two threads, and with those of a host that has but the caller's.
fn with_other_threads(mut check: impl FnMut(&str)) {
    /// An executor's `run` that makes all calls one after the other.
    unsafe extern "C" fn run(
        _: *mut c_void,
        limit: i32,
        claim: unsafe extern "C" fn(*mut c_void),
        argument: *mut c_void,
    ) {
        for _ in 0..limit {
            // SAFETY: the library says that it may be called so often, on any thread.
            unsafe { claim(argument) };
        }
    }
    for threads in [1, 2] {
        // SAFETY: a number.
        checked(unsafe { abi::dice_set_num_threads(threads) });
        check("another number of threads");
    }
    let executor = abi::Executor {
        struct_size: size_of::<abi::Executor>(),
        context: ptr::null_mut(),
        run: Some(run),
        threads: 3,
        reserved: 0,
    };
    // SAFETY: the struct is valid, and its function does what the header asks for.
    checked(unsafe { abi::dice_set_executor(&raw const executor) });
    check("the host's threads");
    // SAFETY: NULL is allowed.
    checked(unsafe { abi::dice_set_executor(ptr::null()) });
}

/// `dice_value`.
pub fn value(draw: &mut Draw<'_>, memory: &mut Memory) {
    let scene = Scene::draw(draw, memory);
    let num = Lens::of(memory, &scene).values;
    let room = Room::draw(draw, num);
    check(draw, memory, &scene, None, &|memory, inputs, _| {
        let (values, first) = room.output(memory, Dtype::F64);
        // SAFETY: pointers are NULL, misaligned or valid, and there are as many numbers as is said if that is possible.
        let status = unsafe { abi::dice_value(inputs.logits, inputs.problem, inputs.loss, first, room.said) };
        Outcome::new(status, &[&values])
    });
}

/// `dice_value_and_grad`, and the same in three steps.
pub fn value_and_grad(draw: &mut Draw<'_>, memory: &mut Memory) {
    let scene = Scene::draw(draw, memory);
    let lens = Lens::of(memory, &scene);
    let room = Room::draw(draw, lens.values);
    let gradient = Gradient::draw(draw, &scene);
    let upstream = Numbers::upstream(draw, memory, lens.values);
    let outcome = check(draw, memory, &scene, Some(&gradient), &|memory, inputs, layout| {
        let (values, first) = room.output(memory, Dtype::F64);
        let (written, tensor) = gradient.output(memory, layout.expect("of the gradient"));
        // SAFETY: as in `value`.
        let status = unsafe {
            abi::dice_value_and_grad(
                inputs.logits,
                inputs.problem,
                inputs.loss,
                upstream.first,
                upstream.len,
                first,
                room.said,
                gradient.mode,
                tensor,
            )
        };
        Outcome::new(status, &[&values, &written])
    });
    if outcome.is_ok() && !draw.tensor_is_spoiled && draw.one_in(2) {
        let split = draw.below(256) as i64 % (scene.voxels + 1);
        outcome.assert_same(&three_steps(memory, &scene, &lens, &gradient, upstream, split), "three steps");
    }
}

/// Values and gradient by the three steps, the last one in two parts, and the first one too where a tile ends there.
fn three_steps(
    memory: &mut Memory,
    scene: &Scene,
    lens: &Lens,
    gradient: &Gradient,
    upstream: Numbers,
    split: i64,
) -> Outcome {
    let Inputs { logits, problem, loss } = scene.compact;
    let table = Output::numbers(memory, Edge::Back, Dtype::I64, lens.table);
    // SAFETY: all is valid: `dice_value_and_grad` has taken it.
    checked(unsafe { abi::dice_statistics(logits, problem, loss, table.as_ptr(), lens.table) });
    // SAFETY: takes nothing.
    let tile = unsafe { abi::dice_tile_voxels() };
    let to_bound = (tile - scene.offset % tile) % tile;
    if to_bound > 0 && to_bound < scene.voxels {
        let merged = Output::tensor(
            memory,
            Edge::Front,
            &Layout::compact(Dtype::I64, &[lens.table as i64]),
            &vec![0; lens.table * 8],
        );
        for (start, end) in [(to_bound, scene.voxels), (0, to_bound)] {
            let part = Output::numbers(memory, Edge::Front, Dtype::I64, lens.table);
            let (words, num) = (part.as_ptr::<i64>(), lens.table);
            // SAFETY: as above.
            checked(unsafe { abi::dice_statistics_range(logits, problem, loss, start, end, words, num) });
            // SAFETY: two tables of as many words.
            checked(unsafe { abi::dice_statistics_merge(words, num, merged.as_ptr(), num) });
        }
        assert!(table.elements() == merged.elements(), "the tables of two parts are not that of the whole");
    }
    let values = Output::numbers(memory, Edge::Back, Dtype::F64, lens.values);
    let cotangent = Output::numbers(memory, Edge::Front, Dtype::F64, lens.cotangent);
    // SAFETY: there is room for as many numbers as `dice_evaluation_len` says.
    checked(unsafe {
        abi::dice_loss_evaluate(
            loss,
            table.as_ptr(),
            lens.table,
            scene.samples,
            scene.classes,
            values.as_ptr(),
            lens.values,
            cotangent.as_ptr(),
            lens.cotangent,
            ptr::null_mut(),
            0,
        )
    });
    let (written, tensor) = gradient.output(memory, &gradient.compact);
    for (start, end) in [(split, scene.voxels), (0, split)] {
        // SAFETY: as above.
        checked(unsafe {
            abi::dice_pullback_range(
                logits,
                problem,
                loss,
                cotangent.as_ptr(),
                lens.cotangent,
                upstream.first,
                upstream.len,
                start,
                end,
                gradient.mode,
                tensor,
            )
        });
    }
    Outcome::new(abi::OK, &[&values, &written])
}

/// A range of the voxels of a sample, or none for all.
fn range(draw: &mut Draw<'_>, voxels: i64) -> Option<(i64, i64)> {
    if draw.one_in(2) {
        return None;
    }
    if draw.hostile() {
        return Some(draw.pick(&[(-1, voxels), (voxels, 0), (0, voxels + 1), (i64::MIN, i64::MAX), (5, i64::MAX)]));
    }
    let [one, other] = [(); 2].map(|()| draw.below(256) as i64 % (voxels + 1));
    Some((one.min(other), one.max(other)))
}

/// `dice_statistics` and `dice_statistics_range`.
pub fn statistics(draw: &mut Draw<'_>, memory: &mut Memory) {
    let scene = Scene::draw(draw, memory);
    let num = Lens::of(memory, &scene).table;
    let room = Room::draw(draw, num);
    let range = range(draw, scene.voxels);
    check(draw, memory, &scene, None, &|memory, inputs, _| {
        let Inputs { logits, problem, loss } = *inputs;
        let (table, first) = room.output(memory, Dtype::I64);
        let status = match range {
            // SAFETY: as in `value`.
            None => unsafe { abi::dice_statistics(logits, problem, loss, first, room.said) },
            // SAFETY: likewise.
            Some((start, end)) => unsafe {
                abi::dice_statistics_range(logits, problem, loss, start, end, first, room.said)
            },
        };
        Outcome::new(status, &[&table])
    });
}

/// `dice_pullback` and `dice_pullback_range`, of any cotangent.
pub fn pullback(draw: &mut Draw<'_>, memory: &mut Memory) {
    let scene = Scene::draw(draw, memory);
    let lens = Lens::of(memory, &scene);
    let gradient = Gradient::draw(draw, &scene);
    let upstream = Numbers::upstream(draw, memory, lens.values);
    let range = range(draw, scene.voxels);
    let mut random = draw.random();
    let [scale, specials] = draw.pick(&[[1.0, 0.0], [1e-6, 0.0], [1e6, 0.0], [1.0, 16.0]]);
    let said = draw.len(lens.cotangent);
    let numbers: Vec<f64> =
        (0..said.min(lens.cotangent + 1)).map(|_| logit(&mut random, scale, specials as u64)).collect();
    let cotangent = Numbers { first: memory.values(&numbers, draw.edge()), len: said };
    check(draw, memory, &scene, Some(&gradient), &|memory, inputs, layout| {
        let (written, tensor) = gradient.output(memory, layout.expect("of the gradient"));
        Outcome::new(pull_back(inputs, cotangent, upstream, range, gradient.mode, tensor), &[&written])
    });
}

fn pull_back(
    inputs: &Inputs,
    cotangent: Numbers,
    upstream: Numbers,
    range: Option<(i64, i64)>,
    mode: i32,
    gradient: *const abi::Tensor,
) -> i32 {
    let Inputs { logits, problem, loss } = *inputs;
    let (cotangent, derivatives) = (cotangent.first, cotangent.len);
    match range {
        // SAFETY: as in `value`.
        None => unsafe {
            let (upstream, num) = (upstream.first, upstream.len);
            abi::dice_pullback(logits, problem, loss, cotangent, derivatives, upstream, num, mode, gradient)
        },
        // SAFETY: likewise.
        Some((start, end)) => unsafe {
            let (upstream, num) = (upstream.first, upstream.len);
            abi::dice_pullback_range(
                logits,
                problem,
                loss,
                cotangent,
                derivatives,
                upstream,
                num,
                start,
                end,
                mode,
                gradient,
            )
        },
    }
}

/// `dice_confusion` of logits, and of a map of labels.
pub fn confusion(draw: &mut Draw<'_>, memory: &mut Memory) {
    let mut scene = Scene::draw(draw, memory);
    let mut classes = scene.classes.max(2);
    if draw.one_in(2) {
        classes = classes.min(40);
        let prediction = prediction(draw, memory, &scene.map, classes);
        (scene.drawn.logits, scene.compact.logits) = (prediction.drawn, prediction.compact);
    }
    let said = if draw.hostile() { draw.pick(&[-1, 0, 1, i64::MIN, i64::MAX, 1 << 31, 1 << 33]) } else { classes };
    let room = Room::draw(draw, (scene.samples * classes * classes) as usize);
    check(draw, memory, &scene, None, &|memory, inputs, _| {
        let (counts, first) = room.output(memory, Dtype::I64);
        // SAFETY: as in `value`.
        let status = unsafe { abi::dice_confusion(inputs.logits, inputs.problem, said, first, room.said) };
        Outcome::new(status, &[&counts])
    });
}

/// `dice_add_volumes`, and weights of the volumes.
pub fn volumes(draw: &mut Draw<'_>, memory: &mut Memory) {
    let scene = Scene::draw(draw, memory);
    let num = if draw.one_in(4) { draw.below(8) } else { scene.classes as usize };
    let layout = Layout::compact(Dtype::F64, &[num as i64]);
    let before = layout.fill(|place| if draw.one_in(2) { 0.0 } else { draw.number() * place as f64 });
    let edge = draw.edge();
    let counted = check(draw, memory, &scene, None, &|memory, inputs, _| {
        let volumes = Output::tensor(memory, edge, &layout, &before);
        // SAFETY: as in `value`.
        let status = unsafe { abi::dice_add_volumes(inputs.problem, volumes.as_ptr(), num) };
        Outcome::new(status, &[&volumes])
    });
    let weighting = draw.variant(3);
    let volumes = counted.written(0);
    let weigh = |memory: &mut Memory, is_in_place: bool| {
        let weights = Output::tensor(memory, Edge::Front, &layout, volumes);
        let input = memory.input(volumes, edge).as_ptr::<f64>().cast_const();
        let first = if is_in_place { weights.as_ptr::<f64>().cast_const() } else { input };
        // SAFETY: there are as many numbers, and room for as many.
        let status = unsafe { abi::dice_class_weights_from_volumes(first, num, weighting, weights.as_ptr()) };
        Outcome::new(status, &[&weights])
    };
    weigh(memory, false).assert_same(&weigh(memory, true), "weights over volumes");
}

/// A gradient in the place of the logits, and outputs that overlap something, which must be refused.
pub fn in_place(draw: &mut Draw<'_>, memory: &mut Memory) {
    let scene = Scene::draw(draw, memory);
    let lens = Lens::of(memory, &scene);
    let Operand { layout, elements, .. } = &scene.logits;
    // The drawn tensor again, in memory that may be written to.
    let logits = Output::tensor(memory, Edge::Front, layout, elements);
    let tensor = layout.describe(memory, logits.span, Edge::Back);
    let place = memory.values(&[tensor], Edge::Back);
    let inputs = Inputs { logits: place, ..scene.compact };
    let one = Numbers { first: ptr::null(), len: 0 };
    let (problem, loss) = (inputs.problem, inputs.loss);
    // SAFETY: all pointers are NULL, misaligned or valid.
    let call = |gradient: *const abi::Tensor, values: *mut f64, logits: *const abi::Tensor| unsafe {
        let (upstream, num) = (one.first, one.len);
        abi::dice_value_and_grad(logits, problem, loss, upstream, num, values, lens.values, 0, gradient)
    };
    let values = Output::numbers(memory, Edge::Back, Dtype::F64, lens.values);
    let shift = 1 + draw.below(8);
    match draw.below(4) {
        0 | 1 => {
            let outcome = Outcome::new(call(place, values.as_ptr(), place), &[&values, &logits]);
            if layout.overlaps_itself() {
                assert!(!outcome.is_ok(), "a gradient that overlaps itself was written");
            } else if outcome.is_of_elements() {
                let copy = Layout::compact(layout.dtype, &layout.shape);
                let gradient = Output::tensor(memory, Edge::Back, &copy, elements);
                let tensor = copy.describe(memory, gradient.span, Edge::Back);
                let tensor = memory.values(&[tensor], Edge::Back);
                let values = Output::numbers(memory, Edge::Front, Dtype::F64, lens.values);
                let status = call(tensor, values.as_ptr(), scene.compact.logits);
                outcome.assert_same(&Outcome::new(status, &[&values, &gradient]), "in place");
            }
        }
        // A gradient some elements behind the logits.
        2 if shift * layout.dtype.size() < logits.span.len => {
            let room = [logits.span.bytes(), vec![0; shift * layout.dtype.size()]].concat();
            let span = memory.output(&room, Edge::Back);
            let logits = layout.describe(memory, span, Edge::Back);
            let data = logits.data.wrapping_byte_add(shift * layout.dtype.size());
            let gradient = abi::Tensor { data, ..logits };
            let [gradient, logits] = [gradient, logits].map(|tensor| memory.values(&[tensor], Edge::Back));
            let outcome = Outcome::new(call(gradient, values.as_ptr(), logits), &[&values]);
            assert!(!outcome.is_ok() && span.bytes() == room, "a gradient across the logits was written");
        }
        // Values within the logits, or within the gradient.
        _ if 8 * lens.values <= logits.span.len && lens.values > 0 => {
            let copy = Layout::compact(layout.dtype, &layout.shape);
            let gradient = Output::tensor(memory, Edge::Back, &copy, elements);
            let tensor = copy.describe(memory, gradient.span, Edge::Back);
            let tensor = memory.values(&[tensor], Edge::Back);
            let status = if draw.one_in(2) {
                call(tensor, logits.as_ptr(), place)
            } else {
                call(place, logits.as_ptr(), scene.compact.logits)
            };
            let outcome = Outcome::new(status, &[&gradient, &logits]);
            assert!(!outcome.is_ok(), "values across another tensor were written");
        }
        _ => {}
    }
}
