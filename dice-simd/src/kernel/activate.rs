//! From the logits of a block to its probabilities.
//!
//! A probability is left as a product p = e · r of a number per class and voxel and a number per voxel: a softmax divides
//! once per voxel and never multiplies the quotient out.

use super::Row;
use super::exp::exp;
use crate::gather::Rows;
use crate::lanes::Lanes;
use crate::real::Real;
use crate::tile::{BLOCK, VECTORS};

/// So many planes fit into the sets of any L1 cache.
const FEW_CLASSES: usize = 4;

/// An activation, `GROUP` vectors at a time.
pub(super) trait Activate {
    /// Whether the gradient of one class depends on the other classes.
    const COUPLED: bool;

    /// Computes e of every class, and r, for the four vectors of a block; the number of classes is `e.len()`.
    fn activate<L: Lanes, const GROUP: usize>(lanes: L, logits: Rows<'_, L::R>, e: &mut [Row<L::R>], r: &mut Row<L::R>);

    /// ∂p/∂z of an uncoupled activation, from e and r of one class.
    fn slope<L: Lanes>(lanes: L, e: L::F, r: L::F) -> L::F;
}

/// Softmax over the classes: e = exp(z − max z), r = 1 / Σ e.
pub(super) struct Softmax;

impl Activate for Softmax {
    const COUPLED: bool = true;

    #[inline(always)]
    fn activate<L: Lanes, const GROUP: usize>(
        lanes: L,
        logits: Rows<'_, L::R>,
        e: &mut [Row<L::R>],
        r: &mut Row<L::R>,
    ) {
        // The planes of a volume often lie a power of two apart and share cache sets. More of them than a set has ways
        // would evict each other between the two loops below, so the first one brings them to the stage.
        let stage = e.len() > FEW_CLASSES;
        for first in (0..VECTORS).step_by(GROUP) {
            let mut max = [lanes.splat(L::R::NEG_INFINITY); GROUP];
            for (class, e) in e.iter_mut().enumerate() {
                for j in 0..GROUP {
                    let z = logits.load(lanes, class, first + j);
                    max[j] = lanes.max(max[j], z);
                    if stage {
                        lanes.store(e.vector_mut(first + j), z);
                    }
                }
            }
            let mut sum = [lanes.splat(L::R::ZERO); GROUP];
            for (class, e) in e.iter_mut().enumerate() {
                let mut d = max;
                for j in 0..GROUP {
                    let staged = stage.then(|| lanes.load(e.vector(first + j)));
                    d[j] = lanes.sub(staged.unwrap_or_else(|| logits.load(lanes, class, first + j)), max[j]);
                }
                let exponentials = exp(lanes, d);
                for j in 0..GROUP {
                    lanes.store(e.vector_mut(first + j), exponentials[j]);
                    sum[j] = lanes.add(sum[j], exponentials[j]);
                }
            }
            for j in 0..GROUP {
                lanes.store(r.vector_mut(first + j), lanes.div(lanes.splat(L::R::ONE), sum[j]));
            }
        }
    }

    #[inline(always)]
    fn slope<L: Lanes>(_: L, _: L::F, _: L::F) -> L::F {
        unreachable!("the gradient of a softmax is coupled")
    }
}

/// Logistic function of each channel: e = p, r = 1.
pub(super) struct Sigmoid;

impl Activate for Sigmoid {
    const COUPLED: bool = false;

    #[inline(always)]
    fn activate<L: Lanes, const GROUP: usize>(
        lanes: L,
        logits: Rows<'_, L::R>,
        e: &mut [Row<L::R>],
        r: &mut Row<L::R>,
    ) {
        let one = lanes.splat(L::R::ONE);
        for (class, e) in e.iter_mut().enumerate() {
            for j in 0..VECTORS {
                let z = logits.load(lanes, class, j);
                let [small] = exp(lanes, [lanes.neg_abs(z)]);
                let negative = lanes.gt(lanes.splat(L::R::ZERO), z);
                let numerator = lanes.select(negative, small, one);
                lanes.store(e.vector_mut(j), lanes.div(numerator, lanes.add(one, small)));
            }
        }
        *r = Row([L::R::ONE; BLOCK]);
    }

    #[inline(always)]
    fn slope<L: Lanes>(lanes: L, e: L::F, _: L::F) -> L::F {
        lanes.mul(e, lanes.sub(lanes.splat(L::R::ONE), e))
    }
}

/// The prediction as it is: e = z, r = 1.
pub(super) struct Identity;

impl Activate for Identity {
    const COUPLED: bool = false;

    #[inline(always)]
    fn activate<L: Lanes, const GROUP: usize>(
        lanes: L,
        logits: Rows<'_, L::R>,
        e: &mut [Row<L::R>],
        r: &mut Row<L::R>,
    ) {
        for (class, e) in e.iter_mut().enumerate() {
            for j in 0..VECTORS {
                lanes.store(e.vector_mut(j), logits.load(lanes, class, j));
            }
        }
        *r = Row([L::R::ONE; BLOCK]);
    }

    #[inline(always)]
    fn slope<L: Lanes>(_: L, _: L::F, r: L::F) -> L::F {
        r
    }
}
