//! What a claimant computes with: one room for the passes over logits, of which each fits what it uses to its shape.

use std::cell::Cell;

use dice_core::Statistics;

use super::slope::Slope;
use super::sums::TileSums;
use crate::block::Row;
use crate::gather::Stage;
use crate::keep::{Keep, Kept};
use crate::scatter::SinkStage;

/// The room of one claimant.
#[derive(Debug, Default)]
pub(crate) struct Scratch<R> {
    pub(super) stage: Stage<R>,
    /// e of a block, or of two, see [`Probabilities`](super::activate::Probabilities).
    pub(super) e: Vec<Row<R>>,
    pub(super) sums: TileSums<R>,
    pub(super) table: Statistics,
    pub(super) slopes: Vec<Slope<R>>,
    pub(super) sink: SinkStage<R>,
}

/// A static variable has one type, so each arithmetic has its own.
macro_rules! keep {
    ($($real:ty),*) => {$(
        impl Keep for Scratch<$real> {
            fn kept() -> &'static Kept<Self> {
                thread_local!(static KEPT: Cell<Option<Box<Scratch<$real>>>> = const { Cell::new(None) });
                &KEPT
            }

            fn classes(&self) -> usize {
                self.stage.classes().max(self.sink.classes())
            }
        }
    )*};
}

keep!(f32, f64);
