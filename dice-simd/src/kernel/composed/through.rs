//! From the slopes of the probabilities and the logarithms to those of the logits.

use dice_core::Activation;

use super::apart::vectors;
use crate::block::Row;
use crate::kernel::activate::Probabilities;
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;

/// Adds to the gradient of a block what comes by the probabilities and by the logarithms.
pub(super) struct ThroughActivation<'s, R> {
    pub(super) activation: Activation,
    pub(super) probabilities: Probabilities<'s, R>,
    /// ∂L/∂p.
    pub(super) by_p: Option<&'s [Row<R>]>,
    /// See [`ByLogarithms`](super::logarithms::ByLogarithms).
    pub(super) by_log: Option<&'s [Row<R>]>,
    /// Nothing flows to a channel of its own that the loss does not depend on, not even NaN.
    pub(super) depends: &'s [bool],
    pub(super) gradient: &'s mut [Row<R>],
}

impl<R: Real> Kernel for ThroughActivation<'_, R> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { activation, probabilities: Probabilities { e, r }, by_p, by_log, depends, gradient } = self;
        let (zero, one) = (lanes.splat(R::ZERO), lanes.splat(R::ONE));
        if activation != Activation::Softmax {
            for (class, gradient) in gradient.iter_mut().enumerate().filter(|(class, _)| depends[*class]) {
                for j in 0..vectors::<L>() {
                    let mut x = by_log.map_or(zero, |rows| lanes.load(rows[class].vector(j)));
                    if let Some(u) = by_p {
                        let (u, p) = (lanes.load(u[class].vector(j)), lanes.load(e[class].vector(j)));
                        x = match activation {
                            Activation::None => lanes.add(x, u),
                            _ => lanes.fma(u, lanes.mul(p, lanes.sub(one, p)), x),
                        };
                    }
                    let total = lanes.add(lanes.load(gradient.vector(j)), x);
                    lanes.store(gradient.vector_mut(j), total);
                }
            }
            return;
        }
        for j in 0..vectors::<L>() {
            let r = lanes.load(r.vector(j));
            // Σ p u less Σ κ: what is taken from every slope.
            let (mut mean, mut total) = (zero, zero);
            for (class, e) in e.iter().enumerate() {
                if let Some(u) = by_p {
                    mean = lanes.fma(lanes.load(e.vector(j)), lanes.load(u[class].vector(j)), mean);
                }
                if let Some(q) = by_log {
                    total = lanes.add(total, lanes.load(q[class].vector(j)));
                }
            }
            mean = lanes.sub(lanes.mul(mean, r), total);
            for (class, (e, gradient)) in e.iter().zip(gradient.iter_mut()).enumerate() {
                let p = lanes.mul(lanes.load(e.vector(j)), r);
                let u = by_p.map_or(zero, |u| lanes.load(u[class].vector(j)));
                let of_log = by_log.map_or(zero, |q| lanes.sub(zero, lanes.load(q[class].vector(j))));
                let x = lanes.fma(p, lanes.sub(u, mean), of_log);
                let total = lanes.add(lanes.load(gradient.vector(j)), x);
                lanes.store(gradient.vector_mut(j), total);
            }
        }
    }
}
