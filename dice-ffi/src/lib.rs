//! The C ABI of the Dice loss family: `libdice.so` and `libdice.a`.
//!
//! A thin layer: [`tensor`], [`problem`] and [`loss`] turn the caller's structs into checked views and heads, [`passes`]
//! hands them to `dice-simd`, [`status`] turns errors and panics into numbers and sentences, and [`runtime`] owns the
//! threads. `include/dice.h` is the documentation of every function and struct here; the names and layouts must agree with
//! it, which the C tests check.

#![expect(unreachable_pub, reason = "entry points are exported to C by their names")]

mod loss;
mod passes;
mod problem;
mod runtime;
mod status;
mod tensor;
