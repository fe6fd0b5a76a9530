//! From `dice_problem` to a problem.

use dice_simd::core::{NonFinite, Problem, Target};

use crate::status::{Described, Failure, checked_struct, flag, reserved};
use crate::tensor::{Located, Tensor};

/// `dice_problem`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct ProblemStruct {
    struct_size: usize,
    target: *const Tensor,
    use_ignore_index: i32,
    error_on_non_finite: i32,
    ignore_index: i64,
    labels_checked: i32,
    reserved: i32,
}

// SAFETY: any bits are valid, `struct_size` first.
unsafe impl Described for ProblemStruct {}

/// A target that was found, and the problem's options.
#[derive(Debug)]
pub(crate) struct LocatedProblem {
    pub(crate) labels: Located<u8>,
    ignore_index: Option<i64>,
    non_finite: NonFinite,
    labels_checked: bool,
}

impl LocatedProblem {
    /// Reads the struct for a prediction of `rank` axes.
    ///
    /// # Safety
    /// `problem` is NULL or points to a `dice_problem` whose pointers are NULL or valid.
    pub(crate) unsafe fn read(problem: *const ProblemStruct, rank: usize) -> Result<Self, Failure> {
        // SAFETY: the caller vouches for the pointer.
        let problem = *unsafe { checked_struct(problem, "problem") }?;
        let use_ignore_index = flag(problem.use_ignore_index, "problem.use_ignore_index")?;
        let error_on_non_finite = flag(problem.error_on_non_finite, "problem.error_on_non_finite")?;
        let labels_checked = flag(problem.labels_checked, "problem.labels_checked")?;
        reserved(problem.reserved, "problem")?;
        // SAFETY: the caller vouches for the pointer.
        let labels = unsafe { Located::read(problem.target, "problem.target", Some(rank)) }?;
        Ok(Self {
            labels,
            ignore_index: use_ignore_index.then_some(problem.ignore_index),
            non_finite: if error_on_non_finite { NonFinite::Error } else { NonFinite::Propagate },
            labels_checked,
        })
    }

    /// The problem.
    ///
    /// # Safety
    /// The target's memory is valid, lives as long as `'a`, and nobody writes to it.
    pub(crate) unsafe fn problem<'a>(&self) -> Result<Problem<'a>, Failure> {
        // SAFETY: the caller vouches for the memory.
        let target: Target<'a> = unsafe { self.labels.view() }?.into();
        let Self { ignore_index, non_finite, labels_checked, .. } = *self;
        Ok(Problem { target, ignore_index, non_finite, labels_checked })
    }
}
