//! Step 3: from the derivative with respect to the sums to the gradient.
//!
//! With u = ∂L/∂p of a class, which takes one of two values per class (the voxel belongs to the class, or not), the gradient
//! of a softmax is p_c (u_c − Σ_k p_k u_k), and that of an uncoupled activation u · ∂p/∂z.

use dice_core::Activation;

use super::activate::{self, Activate};
use super::{Row, for_activation_and_classes};
use crate::dispatch::Kernel;
use crate::gather::{Block, FirstBad, Source, Stage};
use crate::lanes::Lanes;
use crate::scatter::{Sink, SinkBlock, SinkStage};
use crate::tile::{BLOCK, Tiles, VECTORS};

/// ∂L/∂p of one class, the upstream gradient included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slope {
    /// Where the voxel belongs to the class.
    pub(crate) inside: f32,
    /// Elsewhere.
    pub(crate) outside: f32,
}

/// A pullback over the tiles that a thread claims.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PullbackPass<'a> {
    pub(crate) source: &'a Source<'a>,
    pub(crate) tiles: &'a Tiles,
    pub(crate) activation: Activation,
    /// Per row of the cotangent and class.
    pub(crate) slopes: &'a [Slope],
    pub(crate) sink: &'a Sink<'a>,
}

impl Slope {
    /// Whether the loss does not depend on the class.
    fn is_zero(self) -> bool {
        self.inside == 0.0 && self.outside == 0.0
    }
}

impl Kernel for PullbackPass<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes, const GROUP: usize>(self, lanes: L) {
        let classes = self.source.view().layout().channels();
        for_activation_and_classes!(self.activation, classes, self.claim::<L, GROUP>(lanes));
    }
}

impl PullbackPass<'_> {
    #[inline(always)]
    fn claim<L: Lanes, const GROUP: usize, A: Activate, const CLASSES: usize>(self, lanes: L) {
        let classes = if CLASSES > 0 { CLASSES } else { self.source.view().layout().channels() };
        let mut stage = Stage::new(classes);
        let mut e = vec![Row([0.0; BLOCK]); classes];
        let mut r = Row([0.0; BLOCK]);
        let mut out = SinkStage::new(classes);
        while let Some(tile) = self.tiles.claim() {
            let row = if self.slopes.len() == classes { 0 } else { tile.sample };
            let slopes = &self.slopes[row * classes..][..classes];
            // A group without a gradient has none where its logits are NaN either.
            let silent = slopes.iter().all(|slope| slope.is_zero());
            for (first, inside) in tile.blocks() {
                // Labels were looked at before; one that is no class is no part of any.
                let block = self.source.block(&mut stage, tile.sample, first, inside.clone(), &mut FirstBad::default());
                A::activate::<L, GROUP>(lanes, block.logits, &mut e[..classes], &mut r);
                // SAFETY: the tile is this thread's alone, so are its voxels.
                let (mut target, staged) = unsafe { self.sink.block(&mut out, tile.sample, first, &inside) };
                if silent {
                    for class in 0..classes {
                        (0..VECTORS).for_each(|vector| target.put(lanes, class, vector, lanes.splat(0.0)));
                    }
                } else if A::COUPLED {
                    coupled::<L, GROUP>(lanes, &block, &e[..classes], &r, slopes, &mut target);
                } else {
                    uncoupled::<L, A>(lanes, &block, &e[..classes], &r, slopes, &mut target);
                }
                if staged {
                    // SAFETY: as above.
                    unsafe { self.sink.store(lanes, &mut out, tile.sample, first, &inside) };
                }
            }
            // SAFETY: as above.
            unsafe { self.sink.finish(&mut out) };
        }
        lanes.fence();
    }
}

/// u of a class for one vector.
#[inline(always)]
fn slope_of<L: Lanes>(lanes: L, block: &Block<'_>, class: usize, vector: usize, slope: Slope) -> L::F {
    let is_class = lanes.eq(lanes.load_i(block.channels.vector(vector)), lanes.splat_i(class as i32));
    lanes.select(is_class, lanes.splat(slope.inside), lanes.splat(slope.outside))
}

/// Writes the gradient of one vector of a class, +0 where the voxel does not count.
#[inline(always)]
fn put<L: Lanes>(lanes: L, block: &Block<'_>, target: &mut SinkBlock<'_>, class: usize, vector: usize, g: L::F) {
    let g = match block.weights {
        Some(weights) => lanes.keep(lanes.gt(lanes.load(weights.vector(vector)), lanes.splat(0.0)), g),
        None => g,
    };
    target.put(lanes, class, vector, g);
}

/// The gradient through a softmax.
#[inline(always)]
fn coupled<L: Lanes, const GROUP: usize>(
    lanes: L,
    block: &Block<'_>,
    e: &[Row],
    r: &Row,
    slopes: &[Slope],
    target: &mut SinkBlock<'_>,
) {
    let mut means = Row([0.0; BLOCK]);
    for first in (0..VECTORS).step_by(GROUP) {
        let mut mean = [lanes.splat(0.0); GROUP];
        for (class, (e, &slope)) in e.iter().zip(slopes).enumerate() {
            for j in 0..GROUP {
                let u = slope_of(lanes, block, class, first + j, slope);
                mean[j] = lanes.fma(lanes.load(e.vector(first + j)), u, mean[j]);
            }
        }
        for j in 0..GROUP {
            let mean = lanes.mul(mean[j], lanes.load(r.vector(first + j)));
            lanes.store(means.vector_mut(first + j), mean);
        }
    }
    // Whole rows one after the other: streaming stores to many planes want long runs.
    for (class, (e, &slope)) in e.iter().zip(slopes).enumerate() {
        for j in 0..VECTORS {
            let u = slope_of(lanes, block, class, j, slope);
            let p = lanes.mul(lanes.load(e.vector(j)), lanes.load(r.vector(j)));
            let g = lanes.mul(p, lanes.sub(u, lanes.load(means.vector(j))));
            put(lanes, block, target, class, j, g);
        }
    }
}

/// The gradient through an activation of each channel on its own.
#[inline(always)]
fn uncoupled<L: Lanes, A: Activate>(
    lanes: L,
    block: &Block<'_>,
    e: &[Row],
    r: &Row,
    slopes: &[Slope],
    target: &mut SinkBlock<'_>,
) {
    for (class, (e, &slope)) in e.iter().zip(slopes).enumerate() {
        for j in 0..VECTORS {
            // Nothing flows to a channel that the loss does not depend on, not even NaN.
            let g = if slope.is_zero() {
                lanes.splat(0.0)
            } else {
                let by_logit = A::slope(lanes, lanes.load(e.vector(j)), lanes.load(r.vector(j)));
                lanes.mul(slope_of(lanes, block, class, j, slope), by_logit)
            };
            put(lanes, block, target, class, j, g);
        }
    }
}
