//! From the logits of a block to its probabilities.
//!
//! A probability is left as a product p = e · r of a number per class and voxel and a number per voxel: a softmax divides
//! once per voxel and never multiplies the quotient out.

use super::exp::exp;
use crate::block::{BLOCK, Row, VECTORS};
use crate::element::Element;
use crate::form::{few_or_many, groups};
use crate::gather::Rows;
use crate::lanes::Lanes;
use crate::real::Real;

/// The probabilities of a block: p = e · r.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probabilities<'s, R> {
    /// Of each class.
    pub(super) e: &'s [Row<R>],
    pub(super) r: &'s Row<R>,
}

/// An activation, `GROUP` vectors at a time.
pub(super) trait Activate {
    /// Whether the gradient of one class depends on the other classes.
    const COUPLED: bool;
    /// Whether it is what [`prepare`] and [`exponentiate`] do one after the other: then the logits may be interleaved, of 2 classes
    /// or more, on levels that transpose.
    const IN_TWO_STEPS: bool;

    /// Computes e of every class, and r, for the four vectors of a block; the number of classes is `e.len()`, and `CLASSES` its
    /// bucket.
    fn activate<L: Lanes, E: Element, const GROUP: usize, const CLASSES: usize>(
        lanes: L,
        logits: Rows<'_, E>,
        e: &mut [Row<L::R>],
        r: &mut Row<L::R>,
    );

    /// ∂p/∂z of an uncoupled activation, from e and r of one class.
    fn slope<L: Lanes>(lanes: L, e: L::F, r: L::F) -> L::F;
}

/// Whether an activation reads voxels of so many classes as they lie, one after the other.
#[inline(always)]
pub(super) const fn takes_voxels_apart<L: Lanes, A: Activate>(classes: usize) -> bool {
    L::TRANSPOSES && A::IN_TWO_STEPS && classes > 1
}

/// Softmax over the classes: e = exp(z − max z), r = 1 / Σ e.
pub(super) struct Softmax;

impl Activate for Softmax {
    const COUPLED: bool = true;
    const IN_TWO_STEPS: bool = true;

    #[inline(always)]
    fn activate<L: Lanes, E: Element, const GROUP: usize, const CLASSES: usize>(
        lanes: L,
        logits: Rows<'_, E>,
        e: &mut [Row<L::R>],
        r: &mut Row<L::R>,
    ) {
        let mut max = Row([L::R::ZERO; BLOCK]);
        prepare::<L, E, CLASSES>(lanes, logits, e, &mut max);
        exponentiate::<L, E, GROUP, CLASSES>(lanes, logits, e, &max, r, false);
    }

    #[inline(always)]
    fn slope<L: Lanes>(_: L, _: L::F, _: L::F) -> L::F {
        unreachable!("the gradient of a softmax is coupled")
    }
}

/// Whether the logits of a block are brought to rows before they are read again.
///
/// The planes of a volume often lie a power of two apart and share cache sets. More of them than a set has ways would evict each
/// other between the two steps of a softmax. The few of a class bucket fit.
const fn is_staged<const CLASSES: usize>() -> bool {
    CLASSES == 0
}

/// The first step of a softmax: brings the logits to a row per class, if they [are staged](is_staged) or interleaved, and the
/// greatest of each voxel to `max`.
#[inline(always)]
pub(super) fn prepare<L: Lanes, E: Element, const CLASSES: usize>(
    lanes: L,
    logits: Rows<'_, E>,
    rows: &mut [Row<L::R>],
    max: &mut Row<L::R>,
) {
    if logits.is_interleaved() {
        return take_apart(lanes, logits, rows, max);
    }
    let mut greatest = [lanes.splat(L::R::NEG_INFINITY); VECTORS];
    for (class, row) in rows.iter_mut().enumerate() {
        for j in 0..VECTORS {
            let z = logits.load(lanes, class, j);
            greatest[j] = lanes.max(greatest[j], z);
            if is_staged::<CLASSES>() {
                lanes.store(row.vector_mut(j), z);
            }
        }
    }
    for j in 0..VECTORS {
        lanes.store(max.vector_mut(j), greatest[j]);
    }
}

/// The second step: from logits to e, in place, and r. `ahead` tells that the next block is [looked at ahead](Ahead).
#[inline(always)]
pub(super) fn exponentiate<L: Lanes, E: Element, const GROUP: usize, const CLASSES: usize>(
    lanes: L,
    logits: Rows<'_, E>,
    rows: &mut [Row<L::R>],
    max: &Row<L::R>,
    r: &mut Row<L::R>,
    ahead: bool,
) {
    let staged = is_staged::<CLASSES>() || logits.is_interleaved();
    for first in (0..VECTORS).step_by(GROUP) {
        let mut greatest = [lanes.splat(L::R::ZERO); GROUP];
        for j in 0..GROUP {
            greatest[j] = lanes.load(max.vector(first + j));
        }
        let mut sum = [lanes.splat(L::R::ZERO); GROUP];
        for (class, row) in rows.iter_mut().enumerate() {
            let mut d = greatest;
            for j in 0..GROUP {
                if ahead {
                    logits.prefetch_later(lanes, class, first + j);
                } else {
                    logits.prefetch(lanes, class, first + j);
                }
                let z = if staged { lanes.load(row.vector(first + j)) } else { logits.load(lanes, class, first + j) };
                d[j] = lanes.sub(z, greatest[j]);
            }
            let exponentials = exp(lanes, d);
            for j in 0..GROUP {
                lanes.store(row.vector_mut(first + j), exponentials[j]);
                sum[j] = lanes.add(sum[j], exponentials[j]);
            }
        }
        for j in 0..GROUP {
            lanes.store(r.vector_mut(first + j), lanes.div(lanes.splat(L::R::ONE), sum[j]));
        }
    }
}

/// The first step for the next block, whose logits do not lie interleaved, vector by vector: it takes memory and next to no
/// arithmetic, so it is done along with what takes arithmetic. (That [`prepare`] does not call it for each vector is a matter of
/// speed: four classes on AVX2 would take 7 % more time.)
pub(super) struct Ahead<'a, L: Lanes, E> {
    logits: Rows<'a, E>,
    rows: &'a mut [Row<L::R>],
    max: &'a mut Row<L::R>,
    greatest: [L::F; VECTORS],
}

impl<'a, L: Lanes, E: Element> Ahead<'a, L, E> {
    #[inline(always)]
    pub(super) fn new(lanes: L, logits: Rows<'a, E>, rows: &'a mut [Row<L::R>], max: &'a mut Row<L::R>) -> Self {
        Self { logits, rows, max, greatest: [lanes.splat(L::R::NEG_INFINITY); VECTORS] }
    }

    /// Brings one vector of a class; to be called for each.
    #[inline(always)]
    pub(super) fn look(&mut self, lanes: L, class: usize, vector: usize) {
        let z = self.logits.load(lanes, class, vector);
        self.greatest[vector] = lanes.max(self.greatest[vector], z);
        lanes.store(self.rows[class].vector_mut(vector), z);
    }

    #[inline(always)]
    pub(super) fn finish(self, lanes: L) {
        for (vector, greatest) in self.greatest.into_iter().enumerate() {
            lanes.store(self.max.vector_mut(vector), greatest);
        }
    }
}

/// Brings interleaved logits to a row per class, and the greatest of each voxel to `max`.
#[inline(always)]
fn take_apart<L: Lanes, E: Element>(lanes: L, logits: Rows<'_, E>, rows: &mut [Row<L::R>], max: &mut Row<L::R>) {
    #[inline(always)]
    fn take<L: Lanes, const N: usize>(
        lanes: L,
        z: [L::F; N],
        rows: &mut [Row<L::R>],
        vector: usize,
        mut max: L::F,
    ) -> L::F {
        let rows: &mut [_; N] = rows.first_chunk_mut().expect("a group of classes");
        for (row, z) in rows.iter_mut().zip(z) {
            max = lanes.max(max, z);
            lanes.store(row.vector_mut(vector), z);
        }
        max
    }
    let none = lanes.splat(L::R::NEG_INFINITY);
    few_or_many!(
        rows.len(),
        CLASSES => for vector in 0..VECTORS {
            let z = logits.take_voxels_apart::<L, CLASSES>(lanes, vector);
            let greatest = take(lanes, z, rows, vector, none);
            lanes.store(max.vector_mut(vector), greatest);
        },
        for vector in 0..VECTORS {
            let mut greatest = none;
            let [eights, fours] = groups::<L>(rows.len());
            for first in eights {
                let z = logits.take_parts_apart::<L, 8>(lanes, first, vector);
                greatest = take(lanes, z, &mut rows[first..], vector, greatest);
            }
            for first in fours {
                let z = logits.take_parts_apart::<L, 4>(lanes, first, vector);
                greatest = take(lanes, z, &mut rows[first..], vector, greatest);
            }
            lanes.store(max.vector_mut(vector), greatest);
        }
    );
}

/// e and r of [`Softmax`] for `COUNT` vectors of a block from vector `first` on, to the same bits, without leaving the
/// registers: for few classes.
#[inline(always)]
pub(super) fn softmax<
    L: Lanes,
    E: Element,
    const GROUP: usize,
    const CLASSES: usize,
    const COUNT: usize,
    const INTERLEAVED: bool,
>(
    lanes: L,
    logits: Rows<'_, E>,
    first: usize,
) -> [([L::F; CLASSES], L::F); COUNT] {
    let mut e = [[lanes.splat(L::R::ZERO); CLASSES]; COUNT];
    let mut sum = [lanes.splat(L::R::ZERO); COUNT];
    for (j, e) in e.iter_mut().enumerate() {
        *e = logits.voxels::<L, CLASSES, INTERLEAVED>(lanes, first + j);
    }
    if CLASSES == 2 {
        // The greater exponential is that of 0.
        let mut lesser = sum;
        let mut greater = sum;
        for j in 0..COUNT {
            let max = lanes.max(e[j][0], e[j][1]);
            lesser[j] = lanes.neg_abs(lanes.sub(e[j][0], e[j][1]));
            // 1, and NaN where the greater logit is infinite.
            greater[j] = lanes.add(lanes.sub(max, max), lanes.splat(L::R::ONE));
        }
        lesser = exp(lanes, lesser);
        for j in 0..COUNT {
            let is_less = lanes.gt(e[j][1], e[j][0]);
            sum[j] = lanes.add(lesser[j], greater[j]);
            e[j][0] = lanes.select(is_less, lesser[j], greater[j]);
            e[j][1] = lanes.select(is_less, greater[j], lesser[j]);
        }
    } else {
        for e in &mut e {
            let mut max = e[0];
            for &z in &e[1..] {
                max = lanes.max(max, z);
            }
            for z in e.iter_mut() {
                *z = lanes.sub(*z, max);
            }
        }
        exp_each::<L, GROUP>(lanes, e.as_flattened_mut());
        for (sum, e) in sum.iter_mut().zip(&e) {
            *sum = e[0];
            for &e in &e[1..] {
                *sum = lanes.add(*sum, e);
            }
        }
    }
    let mut probabilities = [([lanes.splat(L::R::ZERO); CLASSES], lanes.splat(L::R::ONE)); COUNT];
    for j in 0..COUNT {
        probabilities[j] = (e[j], lanes.div(lanes.splat(L::R::ONE), sum[j]));
    }
    probabilities
}

/// exp of each vector, `GROUP` at a time.
#[inline(always)]
fn exp_each<L: Lanes, const GROUP: usize>(lanes: L, d: &mut [L::F]) {
    let (groups, rest) = d.as_chunks_mut::<GROUP>();
    for d in groups {
        *d = exp(lanes, *d);
    }
    for d in rest {
        [*d] = exp(lanes, [*d]);
    }
}

/// Logistic function of each channel: e = p, r = 1.
pub(super) struct Sigmoid;

impl Activate for Sigmoid {
    const COUPLED: bool = false;
    const IN_TWO_STEPS: bool = false;

    #[inline(always)]
    fn activate<L: Lanes, E: Element, const GROUP: usize, const CLASSES: usize>(
        lanes: L,
        logits: Rows<'_, E>,
        e: &mut [Row<L::R>],
        r: &mut Row<L::R>,
    ) {
        let one = lanes.splat(L::R::ONE);
        for (class, e) in e.iter_mut().enumerate() {
            for j in 0..VECTORS {
                logits.prefetch(lanes, class, j);
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
    const IN_TWO_STEPS: bool = false;

    #[inline(always)]
    fn activate<L: Lanes, E: Element, const GROUP: usize, const CLASSES: usize>(
        lanes: L,
        logits: Rows<'_, E>,
        e: &mut [Row<L::R>],
        r: &mut Row<L::R>,
    ) {
        for (class, e) in e.iter_mut().enumerate() {
            for j in 0..VECTORS {
                logits.prefetch(lanes, class, j);
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

/// Whether kernels are compiled for a number of classes, or for several groups of sums: for f32, on levels that
/// [are tuned](Lanes::IS_TUNED).
pub(super) const fn is_tuned<L: Lanes>() -> bool {
    L::IS_TUNED && L::R::IS_TUNED
}

/// Calls `$run::<Activate, CLASSES>` for the activation and the class bucket: 0 stands for any number of classes.
macro_rules! for_activation_and_classes {
    ($activation:expr, $classes:expr, $this:ident.$run:ident::<$lanes:ident, $group:ident>($($argument:expr),*)) => {{
        use dice_core::Activation;

        use crate::kernel::activate::{Identity, Sigmoid, Softmax, is_tuned};

        match ($activation, $classes) {
            (Activation::Softmax, 2) if is_tuned::<$lanes>() => {
                $this.$run::<$lanes, $group, Softmax, 2>($($argument),*)
            }
            (Activation::Softmax, 4) if is_tuned::<$lanes>() => {
                $this.$run::<$lanes, $group, Softmax, 4>($($argument),*)
            }
            (Activation::Softmax, _) => $this.$run::<$lanes, $group, Softmax, 0>($($argument),*),
            (Activation::Sigmoid, _) => $this.$run::<$lanes, $group, Sigmoid, 0>($($argument),*),
            (Activation::None, _) => $this.$run::<$lanes, $group, Identity, 0>($($argument),*),
        }
    }};
}
pub(super) use for_activation_and_classes;
