//! From `dice_problem` to a problem.

use dice_simd::half::{bf16, f16};
use dice_simd::{Dense, NonFinite, Problem, Target};

use crate::arguments::{Growing, Memory, checked_pointer, checked_slice, checked_struct, flag};
use crate::status::{Failure, Status};
use crate::tensor::{Bool, Dtype, Element, INTEGERS, Located, Role, Tensor, labels, with_element};

/// `dice_problem`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct ProblemStruct {
    struct_size: usize,
    target: *const Tensor,
    dense_target: i32,
    use_ignore_index: i32,
    ignore_index: i64,
    mask: *const Tensor,
    voxel_weights: *const Tensor,
    sample_weights: *const f32,
    num_sample_weights: usize,
    voxel_offset: i64,
    error_on_non_finite: i32,
    labels_checked: i32,
    #[cfg(feature = "grown")]
    grown: f64,
}

// SAFETY: any bits are valid.
unsafe impl Growing for ProblemStruct {
    const FIRST: usize = 80;
}

/// Tensors that were found, and the problem's options.
#[derive(Debug)]
pub(crate) struct LocatedProblem {
    target: Located,
    is_dense: bool,
    mask: Option<Located>,
    voxel_weights: Option<Located>,
    /// Absent if it is NULL.
    sample_weights: Option<*const f32>,
    num_sample_weights: usize,
    ignore_index: Option<i64>,
    offset: usize,
    non_finite: NonFinite,
    labels_checked: bool,
}

/// The name of the sample weights in sentences.
const SAMPLE_WEIGHTS: &str = "problem.sample_weights";

const BYTES: &[Dtype] = &[u8::DTYPE, Bool::DTYPE];
const LABELS: Role =
    Role { name: "problem.target", least_axes: 1, dtypes: INTEGERS, why: " where problem.dense_target is 0" };
const DENSE: Role = Role {
    name: "problem.target",
    least_axes: 2,
    dtypes: &[u8::DTYPE, Bool::DTYPE, f16::DTYPE, bf16::DTYPE, f32::DTYPE, f64::DTYPE],
    why: " where problem.dense_target is 1",
};
const MASK: Role = Role { name: "problem.mask", least_axes: 1, dtypes: BYTES, why: "" };
const VOXEL_WEIGHTS: Role = Role { name: "problem.voxel_weights", least_axes: 1, dtypes: &[f32::DTYPE], why: "" };

impl LocatedProblem {
    /// Reads the struct.
    ///
    /// # Safety
    /// `problem` is NULL or points to a `dice_problem` whose pointers are NULL or valid.
    pub(crate) unsafe fn read(problem: *const ProblemStruct) -> Result<Self, Failure> {
        // SAFETY: the caller vouches for the pointer.
        let problem = unsafe { checked_struct(problem, "problem") }?;
        let is_dense = flag(problem.dense_target, "problem.dense_target")?;
        let use_ignore_index = flag(problem.use_ignore_index, "problem.use_ignore_index")?;
        let error_on_non_finite = flag(problem.error_on_non_finite, "problem.error_on_non_finite")?;
        let labels_checked = flag(problem.labels_checked, "problem.labels_checked")?;
        let offset = usize::try_from(problem.voxel_offset).ok();
        let offset = offset.filter(|&offset| offset <= Problem::GREATEST_OFFSET).ok_or_else(|| {
            let (found, greatest) = (problem.voxel_offset, Problem::GREATEST_OFFSET);
            let sentence = format_args!("problem.voxel_offset = {found}: must be from 0 to {greatest}");
            Failure::new(Status::InvalidArgument, sentence).numbers(found, if found < 0 { 0 } else { greatest as i64 })
        })?;
        if problem.num_sample_weights > 0 {
            // SAFETY: the caller vouches for the pointer.
            unsafe { checked_pointer(problem.sample_weights, SAMPLE_WEIGHTS) }?;
        }
        let optional = |tensor: *const Tensor, role| {
            // SAFETY: the caller vouches for the pointers.
            if tensor.is_null() { Ok(None) } else { unsafe { Located::read(tensor, role) }.map(Some) }
        };
        Ok(Self {
            // SAFETY: the caller vouches for the pointer.
            target: unsafe { Located::read(problem.target, if is_dense { &DENSE } else { &LABELS }) }?,
            is_dense,
            mask: optional(problem.mask, &MASK)?,
            voxel_weights: optional(problem.voxel_weights, &VOXEL_WEIGHTS)?,
            sample_weights: (!problem.sample_weights.is_null()).then_some(problem.sample_weights),
            num_sample_weights: problem.num_sample_weights,
            ignore_index: use_ignore_index.then_some(problem.ignore_index),
            offset,
            non_finite: if error_on_non_finite { NonFinite::Error } else { NonFinite::Propagate },
            labels_checked,
        })
    }

    pub(crate) fn target_shape(&self) -> &[usize] {
        self.target.shape()
    }

    /// The tensors with one number per voxel.
    pub(crate) fn maps(&mut self) -> impl Iterator<Item = &mut Located> {
        let labels = (!self.is_dense).then_some(&mut self.target);
        labels.into_iter().chain(&mut self.mask).chain(&mut self.voxel_weights)
    }

    /// The memory of all inputs.
    pub(crate) fn memory(&self) -> impl Iterator<Item = Memory> {
        let tensors = [Some(&self.target), self.mask.as_ref(), self.voxel_weights.as_ref()];
        let num = self.num_sample_weights;
        let sample_weights = self.sample_weights.map(|weights| Memory::new(weights, num, SAMPLE_WEIGHTS));
        tensors.into_iter().flatten().map(Located::memory).chain(sample_weights)
    }

    /// The problem for a prediction of `rank` axes.
    ///
    /// # Safety
    /// The memory is valid, lives as long as `'a`, and nobody writes to it.
    pub(crate) unsafe fn for_rank<'a>(&mut self, rank: usize) -> Result<Problem<'a>, Failure> {
        self.maps().for_each(|map| map.as_map_of_rank(rank));
        let target: Target<'a> = if !self.is_dense {
            // SAFETY: the caller vouches for the memory.
            unsafe { labels(&self.target) }?.into()
        } else if self.target.dtype() == Bool::DTYPE {
            // SAFETY: the caller vouches for the memory.
            Dense::Bool(unsafe { self.target.view_of_bytes() }?).into()
        } else {
            // SAFETY: the caller vouches for the memory.
            with_element!(self.target, [u8, f16, bf16, f32, f64], T => unsafe { self.target.view::<T>() }.map(Dense::from))?
                .into()
        };
        // SAFETY: the caller vouches for the memory.
        let mask = self.mask.as_ref().map(|mask| unsafe { mask.view_of_bytes() }).transpose()?;
        // SAFETY: the caller vouches for the memory.
        let voxel_weights = self.voxel_weights.as_ref().map(|weights| unsafe { weights.view::<f32>() }).transpose()?;
        let sample_weights = match self.sample_weights {
            // SAFETY: the caller vouches for the memory.
            Some(weights) => Some(unsafe { checked_slice(weights, self.num_sample_weights, SAMPLE_WEIGHTS) }?),
            None => None,
        };
        let Self { ignore_index, offset, non_finite, labels_checked, .. } = *self;
        Ok(Problem { target, ignore_index, mask, voxel_weights, sample_weights, offset, non_finite, labels_checked })
    }
}
