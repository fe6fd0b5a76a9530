//! The buffers of a training loop.

use dice_core::{Evaluation, Request, Statistics};

/// What steps 1 and 2 make, kept from call to call: in steady state [`Engine::value_into`](crate::Engine::value_into) and
/// [`Engine::value_and_grad_into`](crate::Engine::value_and_grad_into) allocate nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Workspace {
    /// What the loss of the last call asked for.
    pub request: Request,
    /// The sums of the last call.
    pub statistics: Statistics,
    /// The loss of the last call.
    pub evaluation: Evaluation,
}
