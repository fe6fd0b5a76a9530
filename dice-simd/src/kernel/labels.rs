//! A look at labels, mask and weights alone: the volumes of classes, labels that are neither a class nor ignored, and weights that
//! are none.

use std::sync::Mutex;

use super::counts::TURNS;
use crate::block::{BLOCK, Row};
use crate::gather::{Bad, FirstBad, Voxels};
use crate::lanes::{Kernel, Lanes};
use crate::tile::Tiles;

/// A pass over labels, mask and weights alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LabelPass<'a> {
    pub(crate) voxels: &'a Voxels<'a>,
    pub(crate) tiles: &'a Tiles,
    /// How many classes are counted; 0 if the labels are to be checked only.
    pub(crate) classes: usize,
    pub(crate) found: &'a Mutex<FoundLabels>,
}

/// What the threads of a pass find together.
#[derive(Debug, Default)]
pub(crate) struct FoundLabels {
    /// The voxels of each class that is counted, of all samples.
    pub(crate) volumes: Vec<u64>,
    pub(crate) bad: FirstBad<Bad>,
}

impl Kernel for LabelPass<'_> {
    type R = f32;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = f32>, const GROUP: usize>(self, lanes: L) {
        let (mut channels, mut weights) = (Row([0; BLOCK]), Row([0.0; BLOCK]));
        let mut bad = FirstBad::default();
        let mut counts = vec![0; TURNS * self.classes];
        for tile in self.tiles.claims() {
            for span in tile.spans() {
                self.voxels.read(lanes, &mut channels, &mut weights, &span, &mut bad);
                if self.classes == 0 {
                    continue;
                }
                for (i, &channel) in channels.0.iter().enumerate() {
                    // −1 is no voxel that counts.
                    if channel >= 0 {
                        counts[i % TURNS * self.classes + channel as usize] += 1;
                    }
                }
            }
        }
        let mut found = self.found.lock().expect("no thread panics while it holds what was found");
        found.volumes.resize(self.classes, 0);
        for table in counts.chunks_exact(self.classes.max(1)) {
            found.volumes.iter_mut().zip(table).for_each(|(into, from)| *into += from);
        }
        found.bad.merge(bad);
    }
}
