//! Passes of any request: several activations, and any sums.
//!
//! A plain pass knows one activation and the overlap, and is compiled for nothing else: its loops hold a block in registers. Here a
//! block is brought to rows in the L1 cache once, and then one small kernel after the other walks over them: for each part of
//! the request its activation, then each group of sums that it asks for. A kernel is a function of its own, compiled once per
//! level and arithmetic; which ones run is decided per block. So the number of kernels is that of the activations plus that of the
//! groups of sums, and not their product, and a compound of any terms reads memory once.
//!
//! The one exception is the sum that most networks are trained with, overlap and cross-entropy of labels under a softmax: its
//! plain blocks are [fused], to the same bits.
//!
//! There is a file per group of sums, with what it adds to the statistics and what it adds to the gradient.

mod apart;
mod costs;
mod fused;
mod logarithms;
mod part;
mod plan;
mod probabilities;
mod product;
mod pullback;
mod scratch;
mod sigmoid;
mod slopes;
mod statistics;
mod sums;
mod target;
mod through;

pub(crate) use apart::Composed;
pub(crate) use plan::{is_plain_cotangent, is_plain_request};
pub(super) use scratch::ComposedScratch;
