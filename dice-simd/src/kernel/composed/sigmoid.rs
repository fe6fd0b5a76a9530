//! Labels under a sigmoid: of each voxel and class either −ln p or −ln(1 − p) counts, so that one walk over the logits takes both
//! sums, or their slopes, to the bits of the kernels that take one after the other.

use super::logarithms::{Exponents, LogSlope, of_probability};
use crate::block::{Row, VECTORS};
use crate::element::Element;
use crate::gather::Rows;
use crate::kernel::exp::exp;
use crate::kernel::ln::ln_1p;
use crate::kernel::sums::LaneSum;
use crate::kernel::truth::Labels;
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;

/// What is known of `GROUP` vectors of a class.
struct Voxels<L: Lanes, const GROUP: usize> {
    is_class: [L::M; GROUP],
    /// The probability of what the voxel is, and that of what it is not.
    p: [L::F; GROUP],
    q: [L::F; GROUP],
    /// −ln of the former.
    log: [L::F; GROUP],
}

/// The vectors of a class from `first` on, whose probabilities it writes to `e`. The logarithms are 0 where they are not asked for.
#[inline(always)]
fn voxels<L: Lanes, T: Labels, const GROUP: usize>(
    lanes: L,
    logits: Rows<'_, L::R>,
    labels: T,
    [class, first]: [usize; 2],
    e: &mut Row<L::R>,
    logarithms: bool,
) -> Voxels<L, GROUP>
where
    L::R: Element,
{
    let (zero, one) = (lanes.splat(L::R::ZERO), lanes.splat(L::R::ONE));
    let (mut z, mut below) = ([zero; GROUP], [zero; GROUP]);
    for j in 0..GROUP {
        logits.prefetch(lanes, class, first + j);
        z[j] = logits.load(lanes, class, first + j);
        below[j] = lanes.neg_abs(z[j]);
    }
    let small = exp(lanes, below);
    let rest = if logarithms { ln_1p(lanes, small) } else { [zero; GROUP] };
    let is_class = [labels.are(lanes, class, first); GROUP];
    let mut voxels = Voxels { is_class, p: z, q: z, log: rest };
    for j in 0..GROUP {
        let is_class = labels.are(lanes, class, first + j);
        let is_negative = lanes.gt(zero, z[j]);
        let p = lanes.div(lanes.select(is_negative, small[j], one), lanes.add(one, small[j]));
        lanes.store(e.vector_mut(first + j), p);
        let not_p = lanes.sub(one, p);
        voxels.is_class[j] = is_class;
        voxels.p[j] = lanes.select(is_class, p, not_p);
        voxels.q[j] = lanes.select(is_class, not_p, p);
        if logarithms {
            let all = lanes.sub(rest[j], below[j]);
            let of_class = lanes.select(is_negative, all, rest[j]);
            let of_others = lanes.select(is_negative, rest[j], all);
            voxels.log[j] = lanes.select(is_class, of_class, of_others);
        }
    }
    voxels
}

/// Fills e of a block, and adds F⁺ and F⁻.
pub(super) struct AddSigmoid<'s, R, T> {
    pub(super) exponents: Exponents<'s, R>,
    pub(super) logits: Rows<'s, R>,
    pub(super) labels: T,
    /// Absent if all are 1.
    pub(super) weights: Option<&'s Row<R>>,
    pub(super) e: &'s mut [Row<R>],
    pub(super) columns: &'s mut [LaneSum<R>],
    /// Columns of a class, and that of F⁺, which that of F⁻ is behind.
    pub(super) width: usize,
    pub(super) first: usize,
}

impl<R: Real + Element, T: Labels> Kernel for AddSigmoid<'_, R, T> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { exponents, logits, labels, weights, e, columns, width, first: column } = self;
        let zero = lanes.splat(R::ZERO);
        for (class, (e, columns)) in e.iter_mut().zip(columns.chunks_exact_mut(width)).enumerate() {
            let (exponent, power) = exponents.of(class);
            let (mut inside, mut outside) = (zero, zero);
            for first in (0..VECTORS).step_by(GROUP) {
                let at = [class, first];
                let Voxels { is_class, q, log, .. } = voxels::<L, T, GROUP>(lanes, logits, labels, at, e, true);
                let powers = if exponent == R::ZERO { q } else { power.of(lanes, q) };
                for j in 0..GROUP {
                    let mut x = log[j];
                    if exponent != R::ZERO {
                        x = lanes.mul(powers[j], x);
                    }
                    if let Some(weights) = weights {
                        x = lanes.mul(x, lanes.load(weights.vector(first + j)));
                    }
                    inside = lanes.add(inside, lanes.keep(is_class[j], x));
                    outside = lanes.add(outside, lanes.select(is_class[j], zero, x));
                }
            }
            columns[column].add(lanes, inside);
            columns[column + 1].add(lanes, outside);
        }
    }
}

/// Fills e of a block, and writes what F⁺ and F⁻ contribute to its gradient to `q`.
pub(super) struct BySigmoid<'s, R, T> {
    pub(super) slopes: &'s [LogSlope<R>],
    pub(super) exponents: Exponents<'s, R>,
    pub(super) logits: Rows<'s, R>,
    pub(super) labels: T,
    pub(super) e: &'s mut [Row<R>],
    pub(super) q: &'s mut [Row<R>],
}

impl<R: Real + Element, T: Labels> Kernel for BySigmoid<'_, R, T> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { slopes, exponents, logits, labels, e, q: to } = self;
        let zero = lanes.splat(R::ZERO);
        for (class, ((e, to), slope)) in e.iter_mut().zip(to).zip(slopes).enumerate() {
            let (exponent, power) = exponents.of(class);
            let [inside, outside] = [R::ZERO - slope.inside, slope.outside];
            for first in (0..VECTORS).step_by(GROUP) {
                let (at, logarithms) = ([class, first], exponent != R::ZERO);
                let Voxels { is_class, p, q, log } = voxels::<L, T, GROUP>(lanes, logits, labels, at, e, logarithms);
                let powers = if exponent == R::ZERO { q } else { power.of(lanes, q) };
                for j in 0..GROUP {
                    let mut x = q[j];
                    if exponent != R::ZERO {
                        x = lanes
                            .mul(powers[j], lanes.fma(of_probability(lanes, p[j], log[j]), lanes.splat(exponent), x));
                    }
                    // Nothing flows where the loss does not depend on it, not even NaN.
                    let (mut of_class, mut of_others) = (zero, zero);
                    if inside != R::ZERO {
                        of_class = lanes.mul(x, lanes.splat(inside));
                    }
                    if outside != R::ZERO {
                        of_others = lanes.mul(x, lanes.splat(outside));
                    }
                    // A sum, as the kernels have it that take one after the other: 0 and −0 is 0.
                    let total = lanes.keep(is_class[j], of_class);
                    let total = lanes.add(total, lanes.select(is_class[j], zero, of_others));
                    lanes.store(to.vector_mut(first + j), total);
                }
            }
        }
    }
}
