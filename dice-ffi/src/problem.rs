//! From `dice_problem` to a problem.

use dice_simd::core::{NonFinite, Problem, Target};

use crate::status::{Described, Failure, checked_struct};
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
    options: ProblemStruct,
}

impl LocatedProblem {
    /// Reads the struct for a prediction of `rank` axes.
    ///
    /// # Safety
    /// `problem` is NULL or points to a `dice_problem` whose pointers are NULL or valid.
    pub(crate) unsafe fn read(problem: *const ProblemStruct, rank: usize) -> Result<Self, Failure> {
        // SAFETY: the caller vouches for the pointer.
        let options = *unsafe { checked_struct(problem, "problem") }?;
        // SAFETY: the caller vouches for the pointer.
        let labels = unsafe { Located::read(options.target, "problem.target", Some(rank)) }?;
        Ok(Self { labels, options })
    }

    /// The problem.
    ///
    /// # Safety
    /// The target's memory is valid, lives as long as `'a`, and nobody writes to it.
    pub(crate) unsafe fn problem<'a>(&self) -> Result<Problem<'a>, Failure> {
        // SAFETY: the caller vouches for the memory.
        let target: Target<'a> = unsafe { self.labels.view() }?.into();
        Ok(Problem {
            target,
            ignore_index: (self.options.use_ignore_index != 0).then_some(self.options.ignore_index),
            non_finite: if self.options.error_on_non_finite != 0 { NonFinite::Error } else { NonFinite::Propagate },
            labels_checked: self.options.labels_checked != 0,
        })
    }
}
