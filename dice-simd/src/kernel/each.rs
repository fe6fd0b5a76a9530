//! The elementary functions over slices of numbers: what the tests look at.

use crate::block::LANES;
use crate::dispatch::Dispatch;
use crate::isa::Isa;
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;

/// A function of one number, as the kernels compute it.
pub(super) trait Elementary<R> {
    fn of<L: Lanes<R = R>>(&self, lanes: L, x: L::F) -> L::F;
}

/// Applies `function` to each number of `x` on `isa`.
///
/// # Panics
/// If the slices differ in length, or this CPU does not have `isa`.
pub(super) fn each<R: Dispatch, E: Elementary<R>>(isa: Isa, function: E, x: &[R], result: &mut [R]) {
    assert_eq!(x.len(), result.len(), "one result per number");
    R::dispatch(isa, EachPass { function, x, result });
}

struct EachPass<'a, R, E> {
    function: E,
    x: &'a [R],
    result: &'a mut [R],
}

impl<R: Real, E: Elementary<R>> Kernel for EachPass<'_, R, E> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let (whole, rest) = self.x.as_chunks::<LANES>();
        let (whole_result, rest_result) = self.result.as_chunks_mut::<LANES>();
        for (x, result) in whole.iter().zip(whole_result) {
            lanes.store(result, self.function.of(lanes, lanes.load(x)));
        }
        let mut padded = [R::ZERO; LANES];
        padded[..rest.len()].copy_from_slice(rest);
        let x = lanes.load(&padded);
        lanes.store(&mut padded, self.function.of(lanes, x));
        rest_result.copy_from_slice(&padded[..rest.len()]);
    }
}
