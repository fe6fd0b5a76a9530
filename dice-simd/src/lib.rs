//! The Dice loss family at the speed of memory: the fast passes of [`dice_core`].
//!
//! An [`Engine`] makes the [statistics](dice_core::Statistics) of a prediction in one streaming pass over logits and
//! target, and writes the gradient in a second one. The activation is fused, nothing is materialised. Every engine gives
//! the same bits: on each [`Isa`] with fused multiply-add, with any number of threads, in any memory layout.
//!
//! ```
//! use dice_simd::{Engine, Problem, View, ViewMut, loss::Compound};
//!
//! let shape = [1, 2, 1, 2, 2]; // one sample, two classes, 1 × 2 × 2 voxels
//! let logits = [2.0, 1.0, -1.0, 0.0, -2.0, 0.0, 1.0, 3.0_f32];
//! let labels = [0, 0, 1, 1_u8];
//! let logits = View::channels_first(&logits, &shape)?;
//! let problem = Problem::new(View::map(&labels, &[1, 1, 2, 2])?);
//! let mut gradient = [0.0_f32; 8];
//! let mut gradient = ViewMut::channels_first(&mut gradient, &shape)?;
//! let loss = Compound::default(); // soft Dice + cross-entropy; see `loss` for others
//! let eval = Engine::new().value_and_grad(&logits, &problem, &loss, &[1.0], &mut gradient)?;
//! assert!(eval.value() < 0.4);
//! # Ok::<(), dice_simd::Error>(())
//! ```
//!
//! The parts, each built on those before it: `block` and `tile` say how a volume is cut, `real` what is computed in, `lanes`
//! holds the instructions, `isa` and `dispatch` choose among them; `element` and `form` tell how numbers lie in memory, `gather`
//! and `scatter` bring any layout to the one form that kernels read and write; `kernel` holds the algorithms over voxels,
//! `passes` compiles them, and `engine` has an `executor` spread the tiles over threads.

mod block;
mod dispatch;
mod element;
mod engine;
mod executor;
mod form;
mod gather;
mod isa;
mod keep;
mod kernel;
mod lanes;
mod passes;
mod real;
mod scatter;
mod tile;
mod workspace;

pub use dice_core::*;
pub use engine::{DefaultExecutor, Engine, Gradient};
pub use executor::Executor;
#[cfg(feature = "rayon")]
pub use executor::Rayon;
pub use executor::Serial;
pub use isa::{ForeignIsa, Isa, UnavailableIsa, UnknownIsa, max_isa, set_max_isa};
pub use kernel::{
    exp_m1_nonpositive, exp_m1_nonpositive_f64, exp_nonpositive, exp_nonpositive_f64, forget_rooms, ln_1p_unit,
    ln_1p_unit_f64, ln_positive, ln_positive_f64, pow_unit, pow_unit_f64,
};
pub use lanes::DefaultFloatMode;
pub use passes::{Arithmetic, Float};
pub use tile::TILE_VOXELS;
pub use workspace::Workspace;

/// The programs of the README and of the manual's page compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../../docs/rust.md")]
struct Manual;
