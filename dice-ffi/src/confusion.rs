//! Hard overlap, and volumes.

use dice_simd::Error;
use dice_simd::half::{bf16, f16};

use crate::arguments::{Memory, checked_output, checked_slice};
use crate::buffers::{Buffers, with_buffers};
use crate::memory;
use crate::problem::{LocatedProblem, ProblemStruct};
use crate::runtime::engine;
use crate::status::{Failure, Status, call};
use crate::tensor::{Bool, Element, Located, Role, Tensor, labels, with_logits};

/// Logits, or a label map.
const PREDICTION: Role = Role {
    name: "prediction",
    least_axes: 1,
    dtypes: &[
        f16::DTYPE,
        bf16::DTYPE,
        f32::DTYPE,
        f64::DTYPE,
        Bool::DTYPE,
        u8::DTYPE,
        i8::DTYPE,
        u16::DTYPE,
        i16::DTYPE,
        u32::DTYPE,
        i32::DTYPE,
        u64::DTYPE,
        i64::DTYPE,
    ],
    why: "",
};

/// See `dice.h`.
///
/// # Safety
/// Each pointer is NULL or valid, as are those behind it; the tensors' spans are valid memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_confusion(
    prediction: *const Tensor,
    problem: *const ProblemStruct,
    classes: i64,
    counts: *mut i64,
    num: usize,
) -> i32 {
    let counted = |Buffers { confusion, .. }: &mut Buffers| {
        // SAFETY: the caller vouches for the pointer.
        let mut prediction = unsafe { Located::read(prediction, &PREDICTION) }?;
        // SAFETY: the caller vouches for the pointer.
        let mut problem = unsafe { LocatedProblem::read(problem) }?;
        let is_map = prediction.dtype().is_integer();
        if is_map {
            let rank = rank_with_channel(prediction.shape(), &mut problem);
            prediction.as_map_of_rank(rank);
        }
        let layout = prediction.layout()?;
        if layout.channels() == 0 {
            return Err(Error::ZeroClasses { shape: layout.written() }.into());
        }
        let classes = checked_classes(classes, (!is_map).then_some(layout.channels().max(2)))?;
        let expected = classes.checked_mul(classes).and_then(|counts| counts.checked_mul(layout.samples()));
        let expected = expected.ok_or_else(|| {
            let sentence =
                format_args!("{} samples of {classes} classes: no table can hold their counts", layout.samples());
            Failure::new(Status::Shape, sentence)
        })?;
        // SAFETY: the caller vouches for the buffer.
        let counts = unsafe { checked_output(counts, num, expected, "counts") }?;
        counts.memory().check_apart(&prediction.memory())?;
        problem.memory().try_for_each(|input| counts.memory().check_apart(&input))?;
        // SAFETY: the caller vouches for the memory.
        let problem = unsafe { problem.for_rank(layout.dims().len()) }?;
        memory::for_confusion(layout.samples(), classes, layout.voxels())?;
        if is_map {
            // SAFETY: the caller vouches for the memory.
            let labels = unsafe { labels(&prediction) }?;
            engine().confusion_of_labels_into(labels, classes, &problem, confusion).map_err(Failure::from)
        } else {
            with_logits!(prediction, T => {
                // SAFETY: the caller vouches for the memory.
                let logits = unsafe { prediction.view::<T>() }?;
                Ok(engine().confusion_into(&logits, &problem, confusion)?)
            })
        }?;
        counts.write(confusion.as_slice().iter().map(|&count| count as i64));
        Ok(())
    };
    call(|| with_buffers(counted))
}

/// See `dice.h`.
///
/// # Safety
/// Each pointer is NULL or valid, as are those behind it; the tensors' spans are valid memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_add_volumes(problem: *const ProblemStruct, volumes: *mut f64, num: usize) -> i32 {
    call(|| {
        // SAFETY: the caller vouches for the pointer.
        let mut problem = unsafe { LocatedProblem::read(problem) }?;
        let shape = problem.target_shape().to_vec();
        let rank = rank_with_channel(&shape, &mut problem);
        // SAFETY: the caller vouches for the buffer.
        let so_far = unsafe { checked_slice(volumes.cast_const(), num, "volumes") }?;
        let memory = Memory::new(volumes, num, "volumes");
        problem.memory().try_for_each(|input| memory.check_apart(&input))?;
        // SAFETY: the caller vouches for the memory.
        let problem = unsafe { problem.for_rank(rank) }?;
        let layout = problem.target.layout();
        memory::for_volumes(layout.samples(), num, layout.voxels())?;
        let mut sums = so_far.to_vec();
        engine().add_volumes(&problem, &mut sums)?;
        // SAFETY: the caller vouches for the buffer.
        unsafe { checked_output(volumes, num, num, "volumes") }?.write(sums.into_iter());
        Ok(())
    })
}

/// The axes of a label map of this shape, with a channel axis: it has one if another map has fewer axes, or if its second axis
/// looks like one and none has more.
fn rank_with_channel(shape: &[usize], problem: &mut LocatedProblem) -> usize {
    let rank = shape.len();
    let others = problem.maps().map(|map| map.shape().len());
    let (least, most) = others.fold((rank, rank), |(least, most), rank| (least.min(rank), most.max(rank)));
    if least < most || shape.get(1) == Some(&1) { most } else { most + 1 }
}

/// The number of classes: that of the logits, if they are known, which 0 stands for.
fn checked_classes(classes: i64, of_logits: Option<usize>) -> Result<usize, Failure> {
    let found = usize::try_from(classes).ok();
    match of_logits {
        Some(known) if found.is_some_and(|found| found == 0 || found == known) => Ok(known),
        Some(known) => {
            let sentence = format_args!("classes = {classes}: logits have {known}; 0 stands for as many");
            Err(Failure::new(Status::Shape, sentence).numbers(classes, known as i64))
        }
        None => found.filter(|&found| found > 0).ok_or_else(|| {
            let sentence = format_args!("classes = {classes}: a label map as prediction has at least 1");
            Failure::new(Status::Shape, sentence).numbers(classes, 1)
        }),
    }
}
