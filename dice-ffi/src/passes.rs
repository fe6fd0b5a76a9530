//! The three steps.

use std::ops::Range;

use dice_simd::accumulator::{self, WORDS, Words};
use dice_simd::half::{bf16, f16};
use dice_simd::{ClassReport, Cotangent, Dims, Error, LossHead, Problem, Statistics};
use dice_simd::{Float, Gradient, TILE_VOXELS, Workspace};

use crate::arguments::{Memory, checked_output, checked_slice, variant};
use crate::buffers::{Buffers, with_buffers};
use crate::loss::{Loss, LossStruct};
use crate::memory;
use crate::problem::{LocatedProblem, ProblemStruct};
use crate::runtime::engine;
use crate::status::{Failure, Status, call};
use crate::tensor::{Element, FLOATS, Located, Role, Tensor, with_element, with_logits};

/// The arguments that every pass has, found but not yet borrowed.
struct Input<'l> {
    logits: Located,
    problem: LocatedProblem,
    loss: &'l Loss,
}

/// Where a gradient goes.
struct Destination {
    gradient: Located,
    place: Place,
    /// [`pull_back`] for the element types of logits and gradient.
    pull_back: PullBack,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Overwritten,
    Added,
    /// Where the logits are, which it overwrites.
    OnLogits,
}

type PullBack =
    unsafe fn(&Input<'_>, &Destination, &Problem<'_>, &Cotangent, &[f64], Range<usize>) -> Result<(), Failure>;

impl<'l> Input<'l> {
    /// Reads the structs, that of the loss to `room`.
    ///
    /// # Safety
    /// Each pointer is NULL or valid, as are those behind it.
    unsafe fn read(
        logits: *const Tensor,
        problem: *const ProblemStruct,
        loss: *const LossStruct,
        room: &'l mut Loss,
    ) -> Result<Self, Failure> {
        // SAFETY: the caller vouches for the pointer.
        let logits = unsafe { read_logits(logits) }?;
        // SAFETY: the caller vouches for the pointer.
        let problem = unsafe { LocatedProblem::read(problem) }?;
        // SAFETY: the caller vouches for the pointer.
        unsafe { room.read(loss) }?;
        Ok(Self { logits, problem, loss: room })
    }

    /// The problem, which fits the logits, and the voxels of a sample.
    ///
    /// # Safety
    /// The tensors' memory is valid, lives as long as `'a`, and nobody writes to it.
    unsafe fn problem<'a>(&mut self) -> Result<(Problem<'a>, Range<usize>), Failure> {
        let layout = self.logits.layout()?;
        // SAFETY: the caller vouches for the memory.
        let problem = unsafe { self.problem.for_rank(layout.dims().len()) }?;
        // Before anything else is looked at: later errors may rely on it.
        problem.check(&layout)?;
        memory::for_passes(layout.samples(), layout.channels(), layout.voxels(), self.loss.request())?;
        Ok((problem, 0..layout.voxels()))
    }

    /// Refuses an output that reaches into the logits or the problem.
    fn check_apart(&self, output: &Memory) -> Result<(), Failure> {
        output.check_apart(&self.logits.memory())?;
        self.problem.memory().try_for_each(|input| output.check_apart(&input))
    }

    /// The number of values of the loss.
    fn num_values(&self) -> Result<usize, Failure> {
        let (samples, classes) = extents(&self.logits)?;
        let (rows, values) = self.loss.rows_and_values(samples, classes)?;
        Ok(values.len(rows, classes))
    }

    /// Evaluates the loss of the logits.
    ///
    /// # Safety
    /// As [`problem`](Self::problem).
    unsafe fn value(&self, problem: &Problem<'_>, workspace: &mut Workspace) -> Result<(), Failure> {
        with_logits!(self.logits, T => {
            // SAFETY: the caller vouches for the memory.
            let logits = unsafe { self.logits.view::<T>() }?;
            Ok(engine().value_into(&logits, problem, self.loss.head(), workspace)?)
        })
    }

    /// Where the gradient goes: apart from the inputs, or in the place of the logits.
    ///
    /// # Safety
    /// The pointer is NULL or valid, as are those behind it.
    unsafe fn destination(&self, mode: i32, gradient: *const Tensor) -> Result<Destination, Failure> {
        let mode = variant(&[Place::Overwritten, Place::Added], mode, "mode")?;
        let is_f64 = self.logits.dtype() == f64::DTYPE;
        // SAFETY: the caller vouches for the pointer.
        let gradient = unsafe { Located::read(gradient, if is_f64 { &GRADIENT_IN_F64 } else { &GRADIENT }) }?;
        let pull_back = if is_f64 {
            pull_back::<f64, f64> as PullBack
        } else {
            with_element!(self.logits, [f16, bf16, f32], T => {
                with_element!(gradient, [f16, bf16, f32], G => pull_back::<T, G> as PullBack)
            })
        };
        if gradient.shape() != self.logits.shape() {
            let (expected, found) = (Dims::new(self.logits.shape()), Dims::new(gradient.shape()));
            return Err(Error::ShapeMismatch { what: GRADIENT.name, whose: "the logits'", expected, found }.into());
        }
        let place = if gradient.is_same(&self.logits) { Place::OnLogits } else { mode };
        if place == Place::OnLogits && mode == Place::Added {
            let sentence = "the gradient cannot be added to the logits that it takes the place of";
            return Err(Failure::new(Status::InvalidArgument, sentence));
        }
        let logits = (place != Place::OnLogits).then(|| self.logits.memory());
        let memory = gradient.memory();
        logits.into_iter().chain(self.problem.memory()).try_for_each(|input| memory.check_apart(&input))?;
        Ok(Destination { gradient, place, pull_back })
    }
}

/// Writes the gradient of `voxels`.
///
/// # Safety
/// The memory of the inputs is valid and nobody writes to it; that of the gradient is valid and nobody else uses it. No view
/// of the logits is in use.
unsafe fn pull_back<T: Element + Float, G: Element + Float<Arithmetic = T::Arithmetic>>(
    input: &Input<'_>,
    to: &Destination,
    problem: &Problem<'_>,
    cotangent: &Cotangent,
    upstream: &[f64],
    voxels: Range<usize>,
) -> Result<(), Failure> {
    if to.place == Place::OnLogits {
        // SAFETY: the caller vouches for the memory, which is apart from the other inputs.
        let mut logits = unsafe { to.gradient.view_mut::<T>() }?;
        return Ok(engine().pullback_range_in_place(&mut logits, problem, cotangent, upstream, voxels)?);
    }
    // SAFETY: the caller vouches for the memory.
    let logits = unsafe { input.logits.view::<T>() }?;
    // SAFETY: the caller vouches for the memory, which is apart from the inputs.
    let gradient = unsafe { to.gradient.view_mut::<G>() }?;
    let gradient = match to.place {
        Place::Added => Gradient::Accumulate(gradient),
        _ => Gradient::Overwrite(gradient),
    };
    Ok(engine().pullback_range(&logits, problem, cotangent, upstream, voxels, gradient)?)
}

const LOGITS: Role = Role { name: "logits", least_axes: 2, dtypes: FLOATS, why: "" };
const GRADIENT: Role = Role {
    name: "gradient",
    least_axes: 2,
    dtypes: &[f16::DTYPE, bf16::DTYPE, f32::DTYPE],
    why: " where the logits are not f64",
};
const GRADIENT_IN_F64: Role = Role { dtypes: &[f64::DTYPE], why: " where the logits are f64", ..GRADIENT };

/// Reads a tensor of floating-point numbers.
///
/// # Safety
/// As [`Located::read`].
unsafe fn read_logits(logits: *const Tensor) -> Result<Located, Failure> {
    // SAFETY: the caller vouches for the pointer.
    unsafe { Located::read(logits, &LOGITS) }
}

/// Samples and classes of a prediction.
fn extents(logits: &Located) -> Result<(usize, usize), Failure> {
    match logits.shape() {
        [_, 0, ..] => Err(Error::ZeroClasses { shape: Dims::new(logits.shape()) }.into()),
        [samples, classes, ..] => Ok((*samples, *classes)),
        shape => Err(Error::Rank { what: "logits", least: 2, most: 8, found: shape.len() }.into()),
    }
}

/// The words of a table.
pub(crate) fn table_len(loss: &Loss, samples: usize, classes: usize) -> Result<usize, Failure> {
    let of_classes = classes.checked_mul(loss.request().columns());
    let per_sample = of_classes.and_then(|sums| sums.checked_add(Statistics::OF_NO_CLASS));
    per_sample.and_then(|per_sample| per_sample.checked_mul(samples)?.checked_mul(WORDS)).ok_or_else(|| {
        Failure::new(
            Status::Shape,
            format_args!("{samples} samples of {classes} classes: no table can hold their sums"),
        )
    })
}

fn voxels(start: i64, end: i64) -> Result<Range<usize>, Failure> {
    let bound = |bound: i64| {
        let sentence = format_args!("voxels {start}..{end}: a bound is negative");
        usize::try_from(bound).map_err(|_| Failure::new(Status::InvalidArgument, sentence).numbers(bound, -1))
    };
    Ok(bound(start)?..bound(end)?)
}

/// Makes `copy`, which no output can overlap, the upstream gradients of a loss of `values` values: one number, or one per
/// value; 1 if there are none.
///
/// # Safety
/// As [`checked_slice`].
unsafe fn read_upstream(upstream: *const f64, len: usize, values: usize, copy: &mut Vec<f64>) -> Result<(), Failure> {
    copy.clear();
    if upstream.is_null() && len == 0 {
        copy.push(1.0);
        return Ok(());
    }
    if len != 1 && len != values {
        return Err(Error::Length { what: "upstream", expected: values, found: len }.into());
    }
    // SAFETY: the caller vouches for the numbers.
    copy.extend_from_slice(unsafe { checked_slice(upstream, len, "upstream") }?);
    Ok(())
}

/// See `dice.h`.
#[unsafe(no_mangle)]
pub extern "C" fn dice_tile_voxels() -> i64 {
    TILE_VOXELS as i64
}

/// See `dice.h`.
///
/// # Safety
/// Each pointer is NULL or valid, as are those behind it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_statistics_len(logits: *const Tensor, loss: *const LossStruct, num: *mut usize) -> i32 {
    let measured = |Buffers { loss: kept, .. }: &mut Buffers| {
        // SAFETY: the caller vouches for the pointer.
        let logits = unsafe { read_logits(logits) }?;
        // SAFETY: the caller vouches for the pointer.
        unsafe { kept.read(loss) }?;
        // SAFETY: the caller vouches for the pointer.
        let num = unsafe { checked_output(num, 1, 1, "num") }?;
        let (samples, classes) = extents(&logits)?;
        num.write([table_len(kept, samples, classes)?].into_iter());
        Ok(())
    };
    call(|| with_buffers(measured))
}

/// See `dice.h`.
///
/// # Safety
/// Each pointer is NULL or valid, as are those behind it; the tensors' spans are valid memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_statistics(
    logits: *const Tensor,
    problem: *const ProblemStruct,
    loss: *const LossStruct,
    table: *mut i64,
    num: usize,
) -> i32 {
    // SAFETY: as the caller vouches.
    call(|| with_buffers(|buffers| unsafe { statistics(buffers, logits, problem, loss, None, table, num) }))
}

/// See `dice.h`.
///
/// # Safety
/// As [`dice_statistics`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_statistics_range(
    logits: *const Tensor,
    problem: *const ProblemStruct,
    loss: *const LossStruct,
    start: i64,
    end: i64,
    table: *mut i64,
    num: usize,
) -> i32 {
    call(|| {
        let voxels = Some(voxels(start, end)?);
        // SAFETY: as the caller vouches.
        with_buffers(|buffers| unsafe { statistics(buffers, logits, problem, loss, voxels, table, num) })
    })
}

/// # Safety
/// As [`dice_statistics`].
unsafe fn statistics(
    Buffers { loss: kept, workspace: Workspace { statistics, .. }, .. }: &mut Buffers,
    logits: *const Tensor,
    problem: *const ProblemStruct,
    loss: *const LossStruct,
    voxels: Option<Range<usize>>,
    table: *mut i64,
    num: usize,
) -> Result<(), Failure> {
    // SAFETY: the caller vouches for the pointers.
    let mut input = unsafe { Input::read(logits, problem, loss, kept) }?;
    let (samples, classes) = extents(&input.logits)?;
    // SAFETY: the caller vouches for the buffer.
    let table = unsafe { checked_output(table, num, table_len(input.loss, samples, classes)?, "table") }?;
    input.check_apart(&table.memory())?;
    // SAFETY: the caller vouches for the memory.
    let (problem, all_voxels) = unsafe { input.problem() }?;
    let voxels = voxels.unwrap_or(all_voxels);
    with_logits!(input.logits, T => {
        // SAFETY: the caller vouches for the memory.
        let logits = unsafe { input.logits.view::<T>() }?;
        Ok::<_, Failure>(engine().statistics_into(&logits, &problem, input.loss.request(), voxels, statistics)?)
    })?;
    table.write(statistics.as_limbs().iter().copied());
    Ok(())
}

/// See `dice.h`.
///
/// # Safety
/// Each pointer is NULL or points to as many words as its length says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_statistics_merge(from: *const i64, num: usize, into: *mut i64, num_into: usize) -> i32 {
    call(|| {
        // SAFETY: the caller vouches for the buffer.
        let words = unsafe { checked_slice(from, num, "from") }?.len();
        if !words.is_multiple_of(WORDS) {
            let sentence = format_args!("from has {num} words: those of a table are a multiple of {WORDS}");
            return Err(Failure::new(Status::Length, sentence).numbers(num as i64, WORDS as i64));
        }
        // SAFETY: the caller vouches for the buffer.
        let output = unsafe { checked_output(into, num_into, num, "into") }?;
        output.memory().check_same_or_apart(&Memory::new(from, num, "from"))?;
        // In place: nothing can fail any more, and a table may be added to itself.
        for place in (0..words).step_by(WORDS) {
            // SAFETY: `from` was found to be aligned, and the caller vouches for its words, a multiple of so many.
            let added = unsafe { from.wrapping_add(place).cast::<Words>().read() };
            let sum = into.wrapping_add(place).cast::<Words>();
            // SAFETY: the same of `into`.
            let mut merged = unsafe { sum.read() };
            accumulator::merge(&mut merged, &added);
            // SAFETY: the same of `into`.
            unsafe { sum.write(merged) };
        }
        Ok(())
    })
}

pub(crate) fn table_extents(samples: i64, classes: i64) -> Result<(usize, usize), Failure> {
    let extent = |what: &str, n: i64, least: i64| {
        usize::try_from(n).ok().filter(|_| n >= least).ok_or_else(|| {
            Failure::new(Status::Shape, format_args!("{what} = {n}: must be at least {least}")).numbers(n, least)
        })
    };
    Ok((extent("samples", samples, 0)?, extent("classes", classes, 1)?))
}

/// Lengths of values, cotangent and reports.
fn evaluation_lens(loss: &Loss, samples: usize, classes: usize) -> Result<[usize; 3], Failure> {
    table_len(loss, samples, classes)?;
    let (rows, values) = loss.rows_and_values(samples, classes)?;
    Ok([values.len(rows, classes), rows * classes * loss.request().columns(), rows * classes])
}

/// See `dice.h`.
///
/// # Safety
/// Each pointer is NULL or valid, as are those behind it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_evaluation_len(
    loss: *const LossStruct,
    samples: i64,
    classes: i64,
    num_values: *mut usize,
    num_cotangent: *mut usize,
    num_reports: *mut usize,
) -> i32 {
    let measured = |Buffers { loss: kept, .. }: &mut Buffers| {
        // SAFETY: the caller vouches for the pointer.
        unsafe { kept.read(loss) }?;
        let (samples, classes) = table_extents(samples, classes)?;
        let lens = evaluation_lens(kept, samples, classes)?;
        let outputs = [(num_values, "num_values"), (num_cotangent, "num_cotangent"), (num_reports, "num_reports")];
        let wanted = |(pointer, what): (*mut usize, _)| {
            // SAFETY: the caller vouches for the pointer.
            if pointer.is_null() { Ok(None) } else { unsafe { checked_output(pointer, 1, 1, what) }.map(Some) }
        };
        // All are checked before the first is written.
        let outputs = [wanted(outputs[0])?, wanted(outputs[1])?, wanted(outputs[2])?];
        for (output, len) in outputs.into_iter().zip(lens) {
            output.into_iter().for_each(|output| output.write([len].into_iter()));
        }
        Ok(())
    };
    call(|| with_buffers(measured))
}

/// `dice_class_report`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Report {
    target: f64,
    prediction: f64,
    intersection: f64,
    weight: f64,
    dice: f64,
    share: f64,
}

impl From<&ClassReport> for Report {
    fn from(&ClassReport { target, prediction, intersection, weight, dice, share }: &ClassReport) -> Self {
        Self { target, prediction, intersection, weight, dice, share }
    }
}

/// See `dice.h`.
///
/// # Safety
/// Each pointer is NULL or points to as many elements as its length says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_loss_evaluate(
    loss: *const LossStruct,
    table: *const i64,
    num: usize,
    samples: i64,
    classes: i64,
    values: *mut f64,
    num_values: usize,
    cotangent: *mut f64,
    num_cotangent: usize,
    reports: *mut Report,
    num_reports: usize,
) -> i32 {
    let evaluated = |Buffers { loss: kept, workspace, .. }: &mut Buffers| {
        // SAFETY: the caller vouches for the pointer.
        unsafe { kept.read(loss) }?;
        let (samples, classes) = table_extents(samples, classes)?;
        let expected = table_len(kept, samples, classes)?;
        // SAFETY: the caller vouches for the buffer.
        let words = unsafe { checked_slice(table, num, "table") }?;
        if num != expected {
            return Err(Error::Length { what: "table", expected, found: num }.into());
        }
        let [expected_values, expected_cotangent, expected_reports] = evaluation_lens(kept, samples, classes)?;
        // An output that is not wanted has length 0.
        let wanted =
            |pointer_is_null: bool, len: usize, expected| if pointer_is_null && len == 0 { 0 } else { expected };
        let expected = wanted(values.is_null(), num_values, expected_values);
        // SAFETY: the caller vouches for the buffer.
        let values = unsafe { checked_output(values, num_values, expected, "values") }?;
        let expected = wanted(cotangent.is_null(), num_cotangent, expected_cotangent);
        // SAFETY: the caller vouches for the buffer.
        let cotangent = unsafe { checked_output(cotangent, num_cotangent, expected, "cotangent") }?;
        let expected = wanted(reports.is_null(), num_reports, expected_reports);
        // SAFETY: the caller vouches for the buffer.
        let reports = unsafe { checked_output(reports, num_reports, expected, "reports") }?;
        let all = [Memory::new(table, num, "table"), values.memory(), cotangent.memory(), reports.memory()];
        (1..all.len())
            .flat_map(|ours| (0..ours).map(move |theirs| (ours, theirs)))
            .try_for_each(|(ours, theirs)| all[ours].check_apart(&all[theirs]))?;

        memory::for_evaluation(samples, classes, kept.request())?;
        let Workspace { statistics, evaluation, .. } = workspace;
        statistics.reset(samples, classes, kept.request())?;
        statistics.as_mut_limbs().copy_from_slice(words);
        statistics.normalise();
        kept.head().evaluate_into(statistics, evaluation)?;
        if num_values > 0 {
            values.write(evaluation.values.iter().copied());
        }
        if num_cotangent > 0 {
            cotangent.write(evaluation.cotangent.as_slice().iter().copied());
        }
        if num_reports > 0 {
            reports.write(evaluation.classes.iter().map(Report::from));
        }
        Ok(())
    };
    call(|| with_buffers(evaluated))
}

/// See `dice.h`.
///
/// # Safety
/// As [`dice_statistics`]; nobody else uses the gradient's span.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_pullback(
    logits: *const Tensor,
    problem: *const ProblemStruct,
    loss: *const LossStruct,
    cotangent: *const f64,
    num_cotangent: usize,
    upstream: *const f64,
    num_upstream: usize,
    mode: i32,
    gradient: *const Tensor,
) -> i32 {
    let (cotangent, upstream) = ((cotangent, num_cotangent), (upstream, num_upstream));
    let to = (mode, gradient);
    // SAFETY: as the caller vouches.
    call(|| with_buffers(|buffers| unsafe { pullback(buffers, logits, problem, loss, cotangent, upstream, None, to) }))
}

/// See `dice.h`.
///
/// # Safety
/// As [`dice_pullback`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_pullback_range(
    logits: *const Tensor,
    problem: *const ProblemStruct,
    loss: *const LossStruct,
    cotangent: *const f64,
    num_cotangent: usize,
    upstream: *const f64,
    num_upstream: usize,
    start: i64,
    end: i64,
    mode: i32,
    gradient: *const Tensor,
) -> i32 {
    let (cotangent, upstream) = ((cotangent, num_cotangent), (upstream, num_upstream));
    let to = (mode, gradient);
    call(|| {
        let voxels = Some(voxels(start, end)?);
        // SAFETY: as the caller vouches.
        with_buffers(|buffers| unsafe { pullback(buffers, logits, problem, loss, cotangent, upstream, voxels, to) })
    })
}

/// # Safety
/// As [`dice_pullback`].
#[expect(clippy::too_many_arguments, reason = "those of the entry points")]
unsafe fn pullback(
    Buffers { loss: kept, cotangent: derivatives, upstream: copy, .. }: &mut Buffers,
    logits: *const Tensor,
    problem: *const ProblemStruct,
    loss: *const LossStruct,
    (cotangent, num_cotangent): (*const f64, usize),
    (upstream, num_upstream): (*const f64, usize),
    voxels: Option<Range<usize>>,
    (mode, gradient): (i32, *const Tensor),
) -> Result<(), Failure> {
    // SAFETY: the caller vouches for the pointers.
    let mut input = unsafe { Input::read(logits, problem, loss, kept) }?;
    let (samples, classes) = extents(&input.logits)?;
    // SAFETY: the caller vouches for the memory.
    let (problem, all_voxels) = unsafe { input.problem() }?;
    // SAFETY: the caller vouches for the buffer.
    let numbers = unsafe { checked_slice(cotangent, num_cotangent, "cotangent") }?;
    input.loss.read_cotangent(samples, classes, numbers, derivatives)?;
    // SAFETY: the caller vouches for the buffer.
    unsafe { read_upstream(upstream, num_upstream, derivatives.values(), copy) }?;
    // SAFETY: the caller vouches for the pointer.
    let to = unsafe { input.destination(mode, gradient) }?;
    to.gradient.memory().check_apart(&Memory::new(cotangent, num_cotangent, "cotangent"))?;
    to.gradient.memory().check_apart(&Memory::new(upstream, num_upstream, "upstream"))?;
    // SAFETY: the caller vouches for the memory; there is no view of the logits.
    unsafe { (to.pull_back)(&input, &to, &problem, derivatives, copy, voxels.unwrap_or(all_voxels)) }
}

/// See `dice.h`.
///
/// # Safety
/// As [`dice_statistics`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_value(
    logits: *const Tensor,
    problem: *const ProblemStruct,
    loss: *const LossStruct,
    values: *mut f64,
    num_values: usize,
) -> i32 {
    let valued = |Buffers { loss: kept, workspace, .. }: &mut Buffers| {
        // SAFETY: the caller vouches for the pointers.
        let mut input = unsafe { Input::read(logits, problem, loss, kept) }?;
        let expected = input.num_values()?;
        // SAFETY: the caller vouches for the buffer.
        let values = unsafe { checked_output(values, num_values, expected, "values") }?;
        input.check_apart(&values.memory())?;
        // SAFETY: the caller vouches for the memory.
        let (problem, _) = unsafe { input.problem() }?;
        // SAFETY: the caller vouches for the memory.
        unsafe { input.value(&problem, workspace) }?;
        values.write(workspace.evaluation.values.iter().copied());
        Ok(())
    };
    call(|| with_buffers(valued))
}

/// See `dice.h`.
///
/// # Safety
/// As [`dice_pullback`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_value_and_grad(
    logits: *const Tensor,
    problem: *const ProblemStruct,
    loss: *const LossStruct,
    upstream: *const f64,
    num_upstream: usize,
    values: *mut f64,
    num_values: usize,
    mode: i32,
    gradient: *const Tensor,
) -> i32 {
    let valued = |Buffers { loss: kept, workspace, upstream: copy, .. }: &mut Buffers| {
        // SAFETY: the caller vouches for the pointers.
        let mut input = unsafe { Input::read(logits, problem, loss, kept) }?;
        let expected = input.num_values()?;
        // SAFETY: the caller vouches for the buffer.
        unsafe { read_upstream(upstream, num_upstream, expected, copy) }?;
        // SAFETY: the caller vouches for the buffer.
        let values = unsafe { checked_output(values, num_values, expected, "values") }?;
        // SAFETY: the caller vouches for the memory.
        let (problem, voxels) = unsafe { input.problem() }?;
        // SAFETY: the caller vouches for the pointer.
        let to = unsafe { input.destination(mode, gradient) }?;
        let upstream = Memory::new(upstream, num_upstream, "upstream");
        input.check_apart(&values.memory())?;
        values.memory().check_apart(&upstream)?;
        to.gradient.memory().check_apart(&upstream)?;
        to.gradient.memory().check_apart(&values.memory())?;
        // SAFETY: the caller vouches for the memory.
        unsafe { input.value(&problem, workspace) }?;
        let Workspace { evaluation, .. } = workspace;
        let checked = Problem { labels_checked: true, ..problem };
        // SAFETY: the caller vouches for the memory; the view of the logits is gone.
        unsafe { (to.pull_back)(&input, &to, &checked, &evaluation.cotangent, copy, voxels) }?;
        values.write(evaluation.values.iter().copied());
        Ok(())
    };
    call(|| with_buffers(valued))
}
