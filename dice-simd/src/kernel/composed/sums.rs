//! The sums of a tile for any request.

use super::product::LaneProduct;
use crate::keep::fit;
use crate::kernel::sums::{LabelCounts, LaneSum};
use crate::lanes::Lanes;
use crate::real::Real;

/// The sums of a tile.
#[derive(Debug, Default)]
pub(super) struct ComposedSums<R> {
    /// Per class the columns of the request.
    pub(super) columns: Vec<LaneSum<R>>,
    /// Of each class, part after part that takes cross-entropy under a softmax.
    pub(super) products: Vec<LaneProduct<R>>,
    /// The columns that their logarithms belong to.
    of_products: Vec<usize>,
    /// The weights of the blocks that have some.
    pub(super) valid: LaneSum<R>,
    /// The voxels of all other blocks.
    pub(super) counts: LabelCounts,
}

impl<R: Real> ComposedSums<R> {
    /// Zeros for `classes` classes of `width` columns, of which some are `of_products`.
    pub(super) fn clear(&mut self, classes: usize, width: usize, of_products: impl Iterator<Item = usize>) {
        fit(&mut self.columns, classes * width, LaneSum::default());
        self.columns.iter_mut().for_each(|column| *column = LaneSum::default());
        self.of_products.clear();
        self.of_products.extend(of_products);
        fit(&mut self.products, self.of_products.len() * classes, LaneProduct::default());
        self.products.fill(LaneProduct::default());
        self.valid = LaneSum::default();
        self.counts.clear(classes);
    }

    #[inline(always)]
    pub(super) fn widen<L: Lanes<R = R>>(&mut self, lanes: L) {
        // Loops, not closures, which would not be compiled for the instruction set.
        for column in &mut self.columns {
            column.widen(lanes);
        }
        self.valid.widen(lanes);
    }

    /// Adds the logarithms of the products to their columns.
    #[inline(always)]
    pub(super) fn widen_products<L: Lanes<R = R>>(&mut self, lanes: L) {
        let (classes, width) = (self.counts.classes(), self.columns.len() / self.counts.classes());
        for (products, column) in self.products.chunks_exact_mut(classes).zip(&self.of_products) {
            for (product, columns) in products.iter_mut().zip(self.columns.chunks_exact_mut(width)) {
                product.widen(lanes, &mut columns[*column]);
            }
        }
    }
}
