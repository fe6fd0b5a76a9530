//! What a thread keeps from call to call: in steady state a call allocates nothing.

use std::cell::Cell;

use dice_simd::Workspace;
use dice_simd::{Confusion, Cotangent};

use crate::loss::Loss;
use crate::reserve;

/// Room for the numbers of a call, whatever was in it before.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pub(crate) loss: Loss,
    pub(crate) workspace: Workspace,
    /// What the caller brings to a pullback.
    pub(crate) cotangent: Cotangent,
    pub(crate) upstream: Vec<f64>,
    pub(crate) confusion: Confusion,
}

/// More bytes of sums, counts and numbers of losses are not kept.
const MOST_KEPT: usize = 1 << 18;

thread_local!(static KEPT: Cell<Option<Box<Buffers>>> = const { Cell::new(None) });

/// Lends the buffers of the thread to `body`; new ones if the thread has none, or is amid another call.
pub(crate) fn with_buffers<T>(body: impl FnOnce(&mut Buffers) -> T) -> T {
    let served = reserve::served();
    let mut buffers = KEPT.try_with(Cell::take).ok().flatten().unwrap_or_default();
    let result = body(&mut buffers);
    if reserve::served() != served {
        drop(buffers);
        dice_simd::forget_rooms();
        return result;
    }
    let Buffers { loss, workspace, confusion, .. } = &mut *buffers;
    let sums = size_of_val(workspace.statistics.as_limbs());
    if sums + size_of_val(confusion.as_slice()) + loss.forget() <= MOST_KEPT {
        // A thread that is about to end keeps nothing.
        let _ = KEPT.try_with(|kept| kept.set(Some(buffers)));
    }
    result
}
