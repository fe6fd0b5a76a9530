//! The passes as an engine calls them, each compiled once.
//!
//! An engine is generic, so its code is compiled in every crate that uses one. The functions here have no type parameter:
//! they are compiled in this crate, and with them all kernels.

use dice_core::half::{bf16, f16};

use crate::dispatch::Dispatch;
use crate::element::Output;
use crate::isa::Isa;
use crate::kernel::{
    Composed, LabelPass, LogitConfusionPass, MapConfusionPass, PullbackPass, StatisticsPass, is_plain_cotangent,
    is_plain_request,
};
use crate::lanes::Kernel;

/// The passes over logits, in one kind of arithmetic: each takes tiles until none is left.
pub(crate) trait Passes: Dispatch + Output {
    fn claim_statistics(isa: Isa, pass: StatisticsPass<'_, '_, Self>);
    fn claim_pullback(isa: Isa, pass: PullbackPass<'_, Self>);
    fn claim_confusion(isa: Isa, pass: LogitConfusionPass<'_, '_, Self>);
}

/// Runs a pass on `isa`.
#[cfg(not(test))]
fn run<K: Kernel<Output = (), R: Dispatch>>(isa: Isa, pass: K) {
    K::R::dispatch(isa, pass);
}

/// The unit tests of this crate run no pass: all kernels once more would double the time that they take to compile.
#[cfg(test)]
fn run<K: Kernel<Output = (), R: Dispatch>>(isa: Isa, _: K) {
    unreachable!("a pass on {isa} in a unit test");
}

macro_rules! passes {
    ($($real:ty),*) => {$(
        impl Passes for $real {
            fn claim_statistics(isa: Isa, pass: StatisticsPass<'_, '_, Self>) {
                if Self::is_tuned(isa) && is_plain_request(pass.request, pass.source.is_labels()) {
                    run(isa, pass);
                } else {
                    run(isa, Composed(pass));
                }
            }
            fn claim_pullback(isa: Isa, pass: PullbackPass<'_, Self>) {
                if Self::is_tuned(isa) && is_plain_cotangent(pass.cotangent, pass.source.is_labels()) {
                    run(isa, pass);
                } else {
                    run(isa, Composed(pass));
                }
            }
            fn claim_confusion(isa: Isa, pass: LogitConfusionPass<'_, '_, Self>) {
                run(isa, pass);
            }
        }
    )*};
}

passes!(f32, f64);

// The passes over labels compute nothing, and need one kind of arithmetic only.

pub(crate) fn claim_labels(isa: Isa, pass: LabelPass<'_>) {
    run(isa, pass);
}

pub(crate) fn claim_map_confusion(isa: Isa, pass: MapConfusionPass<'_, '_>) {
    run(isa, pass);
}

/// f32 or f64: what a [`Float`] is computed with in.
#[expect(private_bounds, reason = "only f32 and f64 have kernels")]
pub trait Arithmetic: Passes {}

impl Arithmetic for f32 {}
impl Arithmetic for f64 {}

/// An element type of predictions and gradients: `f32`, `f64`, `f16` and `bf16` of the crate `half`. No other type can be one.
#[expect(private_bounds, reason = "only the kernels need to know how elements are read and written")]
pub trait Float: Output + Send + Sync {
    /// f64 is computed with in f64, all others in f32. A gradient may have any element type of the prediction's arithmetic.
    type Arithmetic: Arithmetic;
}

impl Float for f16 {
    type Arithmetic = f32;
}
impl Float for bf16 {
    type Arithmetic = f32;
}
impl Float for f32 {
    type Arithmetic = f32;
}
impl Float for f64 {
    type Arithmetic = f64;
}
