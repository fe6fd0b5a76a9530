//! From the slopes of the probabilities and the logarithms to those of the logits.

use dice_core::Activation;

use super::apart::vectors;
use crate::block::Row;
use crate::kernel::activate::Probabilities;
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;

/// Adds to the gradient of a block what comes by the probabilities and by the logarithms, or begins with it.
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
    /// Whether nothing is there to add to: a zero then keeps its sign, as in a plain pass.
    pub(super) is_first: bool,
}

impl<R: Real> Kernel for ThroughActivation<'_, R> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { activation, probabilities: Probabilities { e, r }, by_p, by_log, depends, gradient, is_first } =
            self;
        let (zero, one) = (lanes.splat(R::ZERO), lanes.splat(R::ONE));
        if activation != Activation::Softmax {
            for (class, gradient) in gradient.iter_mut().enumerate().filter(|(class, _)| depends[*class]) {
                for j in 0..vectors::<L>() {
                    let p = lanes.load(e[class].vector(j));
                    let slope = match activation {
                        Activation::None => one,
                        _ => lanes.mul(p, lanes.sub(one, p)),
                    };
                    let u = by_p.map(|u| lanes.load(u[class].vector(j)));
                    let of_log = by_log.map(|rows| lanes.load(rows[class].vector(j)));
                    let x = match (u, of_log) {
                        (Some(u), Some(of_log)) => lanes.fma(u, slope, of_log),
                        (Some(u), None) => lanes.mul(u, slope),
                        (None, of_log) => of_log.unwrap_or(zero),
                    };
                    put(lanes, gradient, j, x, is_first);
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
                let x = match by_log {
                    Some(q) => lanes.fma(p, lanes.sub(u, mean), lanes.sub(zero, lanes.load(q[class].vector(j)))),
                    None => lanes.mul(p, lanes.sub(u, mean)),
                };
                put(lanes, gradient, j, x, is_first);
            }
        }
    }
}

#[inline(always)]
fn put<L: Lanes>(lanes: L, row: &mut Row<L::R>, vector: usize, x: L::F, is_first: bool) {
    let total = if is_first { x } else { lanes.add(lanes.load(row.vector(vector)), x) };
    lanes.store(row.vector_mut(vector), total);
}
