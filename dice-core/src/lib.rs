//! The mathematics of the Dice loss family, in plain scalar Rust.
//!
//! A loss of this family is a small formula over a few sums, L = h(Σ_v φ(z_v, t_v)), so there are three steps:
//!
//! 1. **statistics** ([`Statistics`]): sums over the voxels, per sample and class;
//! 2. **head** ([`LossHead`]): from the sums to the value and its derivative with respect to the sums, the [`Cotangent`];
//! 3. **pullback**: from the cotangent to the gradient with respect to the logits.
//!
//! Steps 1 and 3 walk over voxels and know of no loss; step 2 knows of no voxel. This crate holds everything that is
//! not about speed: [views](View) of strided tensors, [targets](Target), the [order-free accumulators](accumulator),
//! the [heads](loss), and a [textbook reference](mod@reference) of steps 1 and 3 that serves as oracle for the fast passes
//! of `dice-simd` and runs on a microcontroller.
//!
//! `no_std` (with `alloc`), no `unsafe`. Transcendental functions come from `libm`, so that every machine computes the
//! same bits.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod accumulator;
mod activation;
mod confusion;
mod dims;
mod error;
mod evaluation;
mod head;
pub mod loss;
mod problem;
pub mod reference;
mod request;
mod statistics;
mod view;

pub use activation::Activation;
pub use confusion::Confusion;
pub use dims::{Dims, MAX_AXES};
pub use error::{Error, ErrorKind};
pub use evaluation::{ClassReport, Cotangent, Evaluation, Values};
pub use half;
pub use head::{Grouping, LossHead, Reduction};
pub use problem::{CheckedProblem, Dense, Labels, Mask, NonFinite, Problem, Target};
pub use request::{Needs, Request, Sum, Sums};
pub use statistics::{Group, Statistics};
pub use view::{Layout, View, ViewMut, Walk};
