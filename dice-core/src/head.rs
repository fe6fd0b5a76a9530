//! Step 2: from sums to value and derivative.

use crate::error::Error;
use crate::evaluation::Evaluation;
use crate::statistics::{Request, Statistics};

/// Which samples share one value of the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grouping {
    /// Each sample has its own ratio.
    #[default]
    PerSample,
    /// The sums of all samples are added first ("batch Dice").
    Batch,
}

/// How the values of the groups become the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduction {
    /// Their mean; 0 if there is no group.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// One value per group.
    None,
}

/// A loss: a formula over a table of sums. It knows of no voxel.
///
/// Anyone may implement one; it then has every instruction set, layout, element type and number of threads.
pub trait LossHead {
    /// What the head needs of the statistics pass.
    fn request(&self) -> Request;

    /// Computes the value and its derivative with respect to the sums, reusing the buffers of `evaluation`.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`], [`Error::Length`], [`Error::SumOverflow`], [`Error::StatisticsMismatch`].
    fn evaluate_into(&self, statistics: &Statistics, evaluation: &mut Evaluation) -> Result<(), Error>;

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
