//! Looks for labels that are neither a class nor ignored, and for weights that are none.

use std::sync::Mutex;

use crate::block::{BLOCK, Row};
use crate::gather::{Bad, FirstBad, Voxels};
use crate::lanes::{Kernel, Lanes};
use crate::tile::Tiles;

/// A pass over labels, mask and weights alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LabelCheck<'a> {
    pub(crate) voxels: &'a Voxels<'a>,
    pub(crate) tiles: &'a Tiles,
    pub(crate) bad: &'a Mutex<FirstBad<Bad>>,
}

impl Kernel for LabelCheck<'_> {
    type R = f32;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = f32>, const GROUP: usize>(self, lanes: L) {
        let (mut channels, mut weights) = (Row([0; BLOCK]), Row([0.0; BLOCK]));
        let mut bad = FirstBad::default();
        for tile in self.tiles.claims() {
            for span in tile.spans() {
                self.voxels.read(lanes, &mut channels, &mut weights, &span, &mut bad);
            }
        }
        self.bad.lock().expect("no thread panics while it holds the index").merge(bad);
    }
}
