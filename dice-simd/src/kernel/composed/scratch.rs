//! What a claimant of a composed pass computes with.

use std::cell::Cell;

use dice_core::Statistics;

use super::fused::Fusion;
use super::part::PartRows;
use super::plan::PartNumbers;
use super::slopes::ComposedSlopes;
use super::sums::ComposedSums;
use crate::gather::Stage;
use crate::keep::{Keep, Kept};
use crate::scatter::SinkStage;

/// The room of one claimant.
#[derive(Debug, Default)]
pub(crate) struct ComposedScratch<R> {
    pub(super) stage: Stage<R>,
    pub(super) rows: PartRows<R>,
    pub(super) numbers: PartNumbers<R>,
    /// Of each part.
    pub(super) fusions: Vec<Option<Fusion<R>>>,
    pub(super) sums: ComposedSums<R>,
    pub(super) table: Statistics,
    pub(super) slopes: ComposedSlopes<R>,
    pub(super) sink: SinkStage<R>,
}

/// A static variable has one type, so each arithmetic has its own.
macro_rules! keep {
    ($($real:ty),*) => {$(
        impl Keep for ComposedScratch<$real> {
            fn kept() -> &'static Kept<Self> {
                thread_local!(static KEPT: Cell<Option<Box<ComposedScratch<$real>>>> = const { Cell::new(None) });
                &KEPT
            }

            fn classes(&self) -> usize {
                self.stage.classes().max(self.sink.classes())
            }
        }
    )*};
}

keep!(f32, f64);
