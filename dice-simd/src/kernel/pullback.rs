//! Step 3: from the derivative with respect to the sums to the gradient.
//!
//! With u = ∂L/∂p of a class, which takes one of two values per class (the voxel belongs to the class, or not), the gradient
//! of a softmax is p_c (u_c − Σ_k p_k u_k), and that of an uncoupled activation u · ∂p/∂z.

use std::marker::PhantomData;

use dice_core::Cotangent;

use super::activate::{Activate, Ahead, Probabilities, for_activation_and_classes, softmax, takes_voxels_apart};
use super::blocks::{PlainBlocks, UseBlock};
use super::scratch::Scratch;
use super::slope::Slope;
use super::truth::Truth;
use crate::block::{BLOCK, Row, VECTORS};
use crate::element::Output;
use crate::form::{few_or_many, groups};
use crate::gather::{self, BLOCKS_TOGETHER, ByteLabels, Channels, FirstBad, Reading, Rows, Source, with_rows};
use crate::keep::{Keep, Lent, fit};
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;
use crate::scatter::{Sink, SinkBlock, SinkBlocks, SinkStage};
use crate::tile::{Span, Tiles};

/// A pullback over the tiles that a thread claims.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PullbackPass<'a, R> {
    pub(crate) source: &'a Source<'a>,
    pub(crate) tiles: &'a Tiles,
    pub(crate) cotangent: &'a Cotangent,
    /// One number, or one per value of the loss.
    pub(crate) upstream: &'a [f64],
    pub(crate) sink: &'a Sink<'a>,
    pub(crate) real: PhantomData<R>,
}

impl<R: Real + Output> Kernel for PullbackPass<'_, R>
where
    Scratch<R>: Keep,
{
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        if !L::IS_TUNED {
            unreachable!("the level has composed passes alone");
        }
        let classes = self.source.classes();
        for_activation_and_classes!(
            self.cotangent.request().part(0).activation,
            classes,
            self.claim::<L, GROUP>(lanes)
        );
    }
}

impl<R: Real + Output> PullbackPass<'_, R>
where
    Scratch<R>: Keep,
{
    #[inline(always)]
    fn claim<L: Lanes<R = R>, const GROUP: usize, A: Activate, const CLASSES: usize>(self, lanes: L) {
        let classes = if CLASSES > 0 { CLASSES } else { self.source.classes() };
        let by_voxels = takes_voxels_apart::<L, A>(classes);
        let reading = Reading::of::<L>(by_voxels);
        let mut scratch = Lent::<Scratch<R>>::of_thread();
        let Scratch { stage, e, slopes, sink: out, .. } = &mut *scratch;
        self.source.fit(stage);
        self.sink.fit(out);
        fit(e, 2 * classes, Row::default());
        let (mut r, mut channels) = (Row([R::ZERO; BLOCK]), Row([0; BLOCK]));
        for tile in self.tiles.claims() {
            let (row, labels) = (self.cotangent.row(tile.sample), self.source.is_labels());
            slopes.clear();
            slopes.extend((0..classes).map(|class| Slope::new(self.cotangent, self.upstream, row, class, 0, labels)));
            let slopes = &slopes[..classes];
            // A group without a gradient has none where its logits are NaN either.
            let silent = slopes.iter().all(|slope| slope.is_zero());
            let mut spans = tile.spans();
            while let Some(run) = self.source.run(lanes, &mut spans, BLOCKS_TOGETHER) {
                let mut next = 0;
                while next < run.len() {
                    let span = run.span(next);
                    // Labels were looked at before; one that is no class does not count.
                    let bad = &mut FirstBad::default();
                    let block = self.source.block_of(lanes, stage, &run, next, bad, reading);
                    if block.counted == 0 || silent {
                        // SAFETY: the tile is this thread's alone, so are its voxels.
                        let mut target = unsafe { self.sink.blocks::<R, R>(out, &span, 1, by_voxels) };
                        target.block(0).fill(lanes, lanes.splat(R::ZERO));
                        target.store(lanes, 0);
                    } else {
                        let e = &mut e[..];
                        match block.truth {
                            gather::Truth::Labels(Channels::Bytes(labels)) => with_rows!(block.logits, L, logits => {
                                next += labels.blocks.len() - 1;
                                let out = &mut *out;
                                // SAFETY: as above.
                                let target = unsafe { self.target_of(logits, out, &span, labels.blocks.len(), by_voxels) };
                                if L::TRANSPOSES && A::COUPLED && target.is_interleaved() {
                                    let user = PullBackLabels::<_, _, A, true> { slopes, target, activation: PhantomData };
                                    lanes.call::<_, GROUP>(PlainBlocks::<_, _, A, _, CLASSES>::new(logits, labels, e, user));
                                } else {
                                    let user = PullBackLabels::<_, _, A, false> { slopes, target, activation: PhantomData };
                                    lanes.call::<_, GROUP>(PlainBlocks::<_, _, A, _, CLASSES>::new(logits, labels, e, user));
                                }
                            }),
                            truth => {
                                let (e, logits) = (&mut e[..classes], block.logits.numbers());
                                // SAFETY: as above.
                                let mut target = unsafe { self.target_of(logits, out, &span, 1, false) };
                                A::activate::<L, _, GROUP, CLASSES>(lanes, logits, e, &mut r);
                                let probabilities = Probabilities { e, r: &r };
                                let to = &mut target.block(0);
                                match truth {
                                    gather::Truth::Labels(labels) => {
                                        let channels = labels.row(lanes, &mut channels);
                                        pull_back::<L, A, _, _, GROUP, false>(
                                            lanes,
                                            probabilities,
                                            channels,
                                            block.weights,
                                            slopes,
                                            to,
                                            None,
                                        );
                                    }
                                    gather::Truth::Dense(truth) => {
                                        pull_back::<L, A, _, _, GROUP, false>(
                                            lanes,
                                            probabilities,
                                            truth,
                                            block.weights,
                                            slopes,
                                            to,
                                            None,
                                        );
                                    }
                                }
                                target.store(lanes, 0);
                            }
                        }
                    }
                    next += 1;
                }
            }
            // SAFETY: as above.
            unsafe { self.sink.finish(out) };
        }
        lanes.fence();
    }

    /// The blocks of the gradient where logits of this type are read: of the same type they need no stage, as a rule.
    ///
    /// # Safety
    /// As [`Sink::blocks`].
    #[inline(always)]
    unsafe fn target_of<'s, E: Output>(
        &'s self,
        _: Rows<'_, E>,
        out: &'s mut SinkStage<R>,
        span: &'s Span,
        blocks: usize,
        by_voxels: bool,
    ) -> SinkBlocks<'s, R, E> {
        // SAFETY: the caller's promise.
        unsafe { self.sink.blocks(out, span, blocks, by_voxels) }
    }
}

/// m · g, and +0 where the voxel does not count.
#[inline(always)]
fn weigh<L: Lanes>(lanes: L, weights: Option<&Row<L::R>>, vector: usize, g: L::F) -> L::F {
    match weights {
        Some(weights) => {
            let weight = lanes.load(weights.vector(vector));
            lanes.keep(lanes.gt(weight, lanes.splat(L::R::ZERO)), lanes.mul(weight, g))
        }
        None => g,
    }
}

/// The gradient of blocks of labels in which every voxel counts alike. `BY_VOXELS`: the target is interleaved.
struct PullBackLabels<'s, 't, R, E, A, const BY_VOXELS: bool> {
    slopes: &'s [Slope<R>],
    target: SinkBlocks<'t, R, E>,
    activation: PhantomData<A>,
}

impl<R: Real + Output, E: Output, A: Activate, const BY_VOXELS: bool> UseBlock<R, E>
    for PullBackLabels<'_, '_, R, E, A, BY_VOXELS>
{
    #[inline(always)]
    fn use_block<L: Lanes<R = R>, const GROUP: usize>(
        &mut self,
        lanes: L,
        block: usize,
        probabilities: Probabilities<'_, R>,
        channels: &Row<i32>,
        ahead: Option<Ahead<'_, L, E>>,
    ) {
        let target = &mut self.target.block(block);
        pull_back::<L, A, _, _, GROUP, BY_VOXELS>(lanes, probabilities, channels, None, self.slopes, target, ahead);
        self.target.store(lanes, block);
    }

    #[inline(always)]
    fn use_voxels<
        L: Lanes<R = R>,
        const GROUP: usize,
        const CLASSES: usize,
        const COUNT: usize,
        const INTERLEAVED: bool,
    >(
        &mut self,
        lanes: L,
        block: usize,
        logits: Rows<'_, E>,
        labels: ByteLabels<'_>,
    ) {
        let slopes: &[_; CLASSES] = self.slopes.try_into().expect("the bucket is that of the number of classes");
        let mut target = self.target.block(block);
        for first in (0..VECTORS).step_by(COUNT) {
            let probabilities = softmax::<L, E, GROUP, CLASSES, COUNT, INTERLEAVED>(lanes, logits, first);
            let mut gradient = [[lanes.splat(R::ZERO); CLASSES]; COUNT];
            for (j, (e, r)) in probabilities.into_iter().enumerate() {
                let mut mean = lanes.splat(R::ZERO);
                for class in 0..CLASSES {
                    let u = labels.slope(lanes, class, first + j, slopes[class]);
                    mean = lanes.fma(e[class], u, mean);
                }
                let mean = lanes.mul(mean, r);
                for class in 0..CLASSES {
                    let u = labels.slope(lanes, class, first + j, slopes[class]);
                    gradient[j][class] = lanes.mul(lanes.mul(e[class], r), lanes.sub(u, mean));
                }
            }
            if BY_VOXELS {
                for (j, gradient) in gradient.into_iter().enumerate() {
                    target.put_voxels(lanes, first + j, gradient);
                }
            } else {
                // Whole rows one after the other: streaming stores to many planes want long runs.
                for class in 0..CLASSES {
                    for (j, gradient) in gradient.iter().enumerate() {
                        target.put(lanes, class, first + j, gradient[class]);
                    }
                }
            }
        }
        self.target.store(lanes, block);
    }
}

/// The gradient of a block. `BY_VOXELS`: the target is interleaved.
#[inline(always)]
fn pull_back<L: Lanes<R: Output>, A: Activate, E: Output, T: Truth<L::R>, const GROUP: usize, const BY_VOXELS: bool>(
    lanes: L,
    probabilities: Probabilities<'_, L::R>,
    truth: T,
    weights: Option<&Row<L::R>>,
    slopes: &[Slope<L::R>],
    target: &mut SinkBlock<'_, L::R, E>,
    mut ahead: Option<Ahead<'_, L, E>>,
) {
    let Probabilities { e, r } = probabilities;
    let mut means = Row([L::R::ZERO; BLOCK]);
    if A::COUPLED {
        for first in (0..VECTORS).step_by(GROUP) {
            let mut mean = [lanes.splat(L::R::ZERO); GROUP];
            for (class, (e, &slope)) in e.iter().zip(slopes).enumerate() {
                for j in 0..GROUP {
                    let u = truth.slope(lanes, class, first + j, slope);
                    mean[j] = lanes.fma(lanes.load(e.vector(first + j)), u, mean[j]);
                    if let Some(ahead) = &mut ahead {
                        ahead.look(lanes, class, first + j);
                    }
                }
            }
            for j in 0..GROUP {
                let mean = lanes.mul(mean[j], lanes.load(r.vector(first + j)));
                lanes.store(means.vector_mut(first + j), mean);
            }
        }
        if let Some(ahead) = ahead {
            ahead.finish(lanes);
        }
    }
    let gradient = Gradient { probabilities, means: &means, truth, weights, slopes, activation: PhantomData::<A> };
    if BY_VOXELS {
        gradient.put_voxels(lanes, target);
    } else {
        gradient.put_rows(lanes, target);
    }
}

/// What the gradient of a block is computed from.
struct Gradient<'s, R, T, A> {
    probabilities: Probabilities<'s, R>,
    /// Σ p u of each voxel, of a coupled activation.
    means: &'s Row<R>,
    truth: T,
    weights: Option<&'s Row<R>>,
    slopes: &'s [Slope<R>],
    activation: PhantomData<A>,
}

impl<R: Real + Output, T: Truth<R>, A: Activate> Gradient<'_, R, T, A> {
    /// One vector of a class.
    #[inline(always)]
    fn of<L: Lanes<R = R>>(&self, lanes: L, class: usize, vector: usize, e: &Row<R>, slope: Slope<R>) -> L::F {
        let (e, r) = (lanes.load(e.vector(vector)), lanes.load(self.probabilities.r.vector(vector)));
        let g = if A::COUPLED {
            let u = self.truth.slope(lanes, class, vector, slope);
            lanes.mul(lanes.mul(e, r), lanes.sub(u, lanes.load(self.means.vector(vector))))
        } else if slope.is_zero() {
            // Nothing flows to a channel that the loss does not depend on, not even NaN.
            lanes.splat(R::ZERO)
        } else {
            lanes.mul(self.truth.slope(lanes, class, vector, slope), A::slope(lanes, e, r))
        };
        weigh(lanes, self.weights, vector, g)
    }

    /// One vector of each of `N` classes from `first` on.
    #[inline(always)]
    fn of_each<L: Lanes<R = R>, const N: usize>(&self, lanes: L, first: usize, vector: usize) -> [L::F; N] {
        let e: &[_; N] = self.probabilities.e[first..].first_chunk().expect("a group of classes");
        let slopes: &[_; N] = self.slopes[first..].first_chunk().expect("a group of classes");
        let mut gradient = [lanes.splat(R::ZERO); N];
        for (class, gradient) in gradient.iter_mut().enumerate() {
            *gradient = self.of(lanes, first + class, vector, &e[class], slopes[class]);
        }
        gradient
    }

    /// Writes the block class by class: streaming stores to many planes want long runs.
    #[inline(always)]
    fn put_rows<L: Lanes<R = R>, E: Output>(&self, lanes: L, target: &mut SinkBlock<'_, R, E>) {
        for (class, (e, &slope)) in self.probabilities.e.iter().zip(self.slopes).enumerate() {
            for vector in 0..VECTORS {
                target.put(lanes, class, vector, self.of(lanes, class, vector, e, slope));
            }
        }
    }

    /// Writes the block voxel by voxel.
    #[inline(always)]
    fn put_voxels<L: Lanes<R = R>, E: Output>(&self, lanes: L, target: &mut SinkBlock<'_, R, E>) {
        let classes = self.slopes.len();
        few_or_many!(
            classes,
            CLASSES => for vector in 0..VECTORS {
                target.put_voxels::<L, CLASSES>(lanes, vector, self.of_each(lanes, 0, vector));
            },
            for vector in 0..VECTORS {
                let [eights, fours] = groups::<L>(classes);
                for first in eights {
                    target.put_parts::<L, 8>(lanes, first, vector, self.of_each(lanes, first, vector));
                }
                for first in fours {
                    target.put_parts::<L, 4>(lanes, first, vector, self.of_each(lanes, first, vector));
                }
            }
        );
    }
}
