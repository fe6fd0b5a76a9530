//! Looks for labels that are neither a class nor ignored.

use std::sync::Mutex;

use crate::dispatch::Kernel;
use crate::gather::{FirstBad, Source, Stage};
use crate::lanes::Lanes;
use crate::tile::Tiles;

/// A pass over the target alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LabelCheck<'a> {
    pub(crate) source: &'a Source<'a>,
    pub(crate) tiles: &'a Tiles,
    pub(crate) bad: &'a Mutex<FirstBad<i64>>,
}

impl Kernel for LabelCheck<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes, const GROUP: usize>(self, _: L) {
        let mut stage = Stage::new(0);
        let mut bad = FirstBad::default();
        while let Some(tile) = self.tiles.claim() {
            for (first, inside) in tile.blocks() {
                self.source.labels(&mut stage, tile.sample, first, inside, &mut bad);
            }
        }
        self.bad.lock().expect("no thread panics while it holds the index").merge(bad);
    }
}
