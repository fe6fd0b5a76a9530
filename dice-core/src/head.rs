//! Step 2: from sums to value and derivative.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;

use crate::error::Error;
use crate::evaluation::Evaluation;
use crate::request::Request;
use crate::statistics::{Group, Statistics};

/// Which samples share one value of the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Grouping {
    /// Each sample has its own ratio.
    #[default]
    PerSample,
    /// The sums of all samples are added first ("batch Dice").
    Batch,
}

impl Grouping {
    /// The number of groups of so many samples.
    pub fn rows(self, samples: usize) -> usize {
        if self == Self::Batch { 1 } else { samples }
    }

    /// What group `row` reads of a table.
    pub fn group(self, row: usize) -> Group {
        if self == Self::Batch { Group::All } else { Group::Sample(row) }
    }
}

/// How the values of the groups become the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Reduction {
    /// Their mean; 0 if there is no group.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// One value per group; of a loss that has one per class, one per group and class.
    None,
}

/// A loss: a formula over a table of sums. It knows of no voxel.
///
/// Anyone may implement one; it then has every instruction set, layout, element type and number of threads.
pub trait LossHead {
    /// Asks for the sums that the head needs, beside those that others have asked for.
    fn require(&self, request: &mut Request);

    /// What the head needs of the statistics pass.
    fn request(&self) -> Request {
        let mut request = Request::default();
        self.require(&mut request);
        request
    }

    /// Computes the value and its derivative with respect to the sums, in the buffers of `evaluation`, which it first
    /// [resets](Evaluation::reset) to the request of the table. The table may hold more than the head asked for.
    ///
    /// This is what a head states; a caller takes [`evaluate_into`](Self::evaluate_into).
    ///
    /// # Errors
    /// [`Error::InvalidParameter`], [`Error::Length`], [`Error::SumOverflow`], [`Error::OtherSums`], [`Error::TooLarge`].
    fn differentiate(&self, statistics: &Statistics, evaluation: &mut Evaluation) -> Result<(), Error>;

    /// Value, report and derivative, reusing the buffers of `evaluation`.
    ///
    /// # Errors
    /// As [`differentiate`](Self::differentiate); [`Error::Head`] if that has not reset the evaluation to the table.
    fn evaluate_into(&self, statistics: &Statistics, evaluation: &mut Evaluation) -> Result<(), Error> {
        evaluation.fill(statistics, |evaluation| self.differentiate(statistics, evaluation))
    }

    /// As [`evaluate_into`](Self::evaluate_into), into new buffers.
    ///
    /// # Errors
    /// As [`evaluate_into`](Self::evaluate_into).
    fn evaluate(&self, statistics: &Statistics) -> Result<Evaluation, Error> {
        let mut evaluation = Evaluation::default();
        self.evaluate_into(statistics, &mut evaluation)?;
        Ok(evaluation)
    }
}

/// Makes heads of what leads to one.
macro_rules! pointers {
    ($($pointer:ty),*) => {
        $(
            impl<H: LossHead + ?Sized> LossHead for $pointer {
                fn require(&self, request: &mut Request) {
                    (**self).require(request);
                }

                fn differentiate(&self, statistics: &Statistics, evaluation: &mut Evaluation) -> Result<(), Error> {
                    (**self).differentiate(statistics, evaluation)
                }
            }
        )*
    };
}

pointers!(&H, Box<H>, Rc<H>, Arc<H>);
