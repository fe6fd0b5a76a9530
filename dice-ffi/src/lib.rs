//! The C ABI of the Dice loss family: `libdice.so` and `libdice.a`.
//!
//! A thin layer: `tensor`, `problem` and `loss` turn the caller's structs into checked views and heads, `passes` and
//! `confusion` hand them to `dice-simd` once `memory` has found room, and `status` turns errors and panics into numbers and
//! sentences, which `about` tells. `arguments` are what all of them read: numbers, buffers, structs that may be older than
//! the library. `term` is the way from a term of a loss as numbers to a head, and back, for `presets`; `sums` are for losses
//! of the caller's own. `buffers` are kept from call to call; where there is no memory, the `reserve` has some. An element
//! type is a number until `tensor::with_element` makes it a type. `runtime` chooses the instruction set and the threads:
//! those of the `host`, or the library's own `pool` of `worker`s.
//! `include/dice.h` is the documentation of every function and struct here; the names and layouts must agree with it, which the
//! C tests check.

#![expect(unreachable_pub, reason = "entry points are exported to C by their names")]

mod about;
mod arguments;
mod buffers;
mod confusion;
mod host;
mod loss;
mod memory;
mod passes;
mod pool;
mod presets;
mod problem;
mod reserve;
mod runtime;
mod status;
mod sums;
mod tensor;
mod term;
mod worker;
