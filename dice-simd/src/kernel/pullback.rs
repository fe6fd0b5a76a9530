//! Step 3: from the derivative with respect to the sums to the gradient.
//!
//! With u = ∂L/∂p of a class, which takes one of two values per class (the voxel belongs to the class, or not), the gradient
//! of a softmax is p_c (u_c − Σ_k p_k u_k), and that of an uncoupled activation u · ∂p/∂z.

use std::marker::PhantomData;
use std::mem;

use dice_core::{Activation, Cotangent, Sum};

use super::activate::{self, Activate, Ahead, Probabilities, softmax};
use super::blocks::{PlainBlocks, UseBlock};
use super::truth::Truth;
use super::{Row, for_activation_and_classes, in_registers};
use crate::dispatch::Kernel;
use crate::element::Output;
use crate::gather::{self, BLOCKS_TOGETHER, ByteLabels, Channels, FirstBad, Rows, Source, with_rows};
use crate::lanes::Lanes;
use crate::real::Real;
use crate::scatter::{Sink, SinkBlock, SinkStage};
use crate::scratch::{Scratch, fit};
use crate::tile::{BLOCK, Span, Tiles, VECTORS};

/// ∂L/∂p of one class, the upstream gradient included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slope<R> {
    /// Where the voxel belongs to the class.
    pub(crate) inside: R,
    /// Elsewhere.
    pub(crate) outside: R,
}

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

impl<R: Real> Slope<R> {
    /// Rounded once. A finite one stays so small that the mean over the classes is finite too.
    fn new(cotangent: &Cotangent, upstream: &[f64], row: usize, class: usize) -> Self {
        let factor = cotangent.upstream(row, upstream);
        let outside = cotangent.get(row, class, Sum::Prediction);
        let inside = outside + cotangent.get(row, class, Sum::Intersection);
        let greatest = R::GREATEST_SLOPE;
        let [inside, outside] = [factor * inside, factor * outside]
            .map(|slope| R::from_f64(if slope.is_finite() { slope.clamp(-greatest, greatest) } else { slope }));
        Self { inside, outside }
    }

    /// Whether the loss does not depend on the class.
    fn is_zero(self) -> bool {
        self.inside == R::ZERO && self.outside == R::ZERO
    }
}

impl<R: Real> Kernel for PullbackPass<'_, R> {
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let classes = self.source.classes();
        for_activation_and_classes!(self.cotangent.request().activation, classes, self.claim::<L, GROUP>(lanes));
    }
}

impl<R: Real> PullbackPass<'_, R> {
    #[inline(always)]
    fn claim<L: Lanes<R = R>, const GROUP: usize, A: Activate, const CLASSES: usize>(self, lanes: L) {
        let classes = if CLASSES > 0 { CLASSES } else { self.source.classes() };
        let alike = mem::discriminant(&self.source.elements()) == mem::discriminant(&self.sink.elements());
        let in_registers = self.source.is_interleaved() && alike && L::TRANSPOSES && in_registers::<GROUP, CLASSES>();
        let takes_apart = L::TRANSPOSES && A::IN_TWO_STEPS && CLASSES == 0 && classes > 1;
        let mut scratch = Scratch::<R>::of_thread();
        let Scratch { stage, e, slopes, sink: out, .. } = &mut *scratch;
        self.source.fit(stage);
        self.sink.fit(out);
        fit(e, 2 * classes, Row::default());
        let (mut r, mut channels) = (Row([R::ZERO; BLOCK]), Row([0; BLOCK]));
        for tile in self.tiles.claims() {
            let row = self.cotangent.row(tile.sample);
            slopes.clear();
            slopes.extend((0..classes).map(|class| Slope::new(self.cotangent, self.upstream, row, class)));
            let slopes = &slopes[..classes];
            // A group without a gradient has none where its logits are NaN either.
            let silent = slopes.iter().all(|slope| slope.is_zero());
            let mut spans = tile.spans();
            while let Some(run) = self.source.run(lanes, &mut spans, BLOCKS_TOGETHER) {
                let mut next = 0;
                while next < run.len() {
                    let span = run.span(next);
                    let by_voxels = in_registers && !run.labels.is_empty() && self.sink.takes_voxels(&span);
                    // Labels were looked at before; one that is no class does not count.
                    let bad = &mut FirstBad::default();
                    let block = self.source.block_of(lanes, stage, &run, next, bad, by_voxels || takes_apart);
                    let staged = if block.counted == 0 || silent {
                        // SAFETY: the tile is this thread's alone, so are its voxels.
                        let mut target = unsafe { self.sink.block::<R, R>(out, &span, 1, by_voxels) };
                        for class in 0..classes {
                            for vector in 0..VECTORS {
                                target.put(lanes, class, vector, lanes.splat(R::ZERO));
                            }
                        }
                        target.is_staged()
                    } else {
                        with_rows!(block.logits, R, logits => {
                            // SAFETY: as above, of all blocks that the run has left.
                            let mut target = unsafe { self.block_for(logits, out, &span, run.len() - next, by_voxels) };
                            match block.truth {
                                gather::Truth::Labels(Channels::Bytes(labels)) => {
                                    let labels = labels.at_most(target.blocks());
                                    next += labels.blocks.len() - 1;
                                    let user = PullBackLabels { slopes, target: &mut target, activation: PhantomData::<A> };
                                    let room = &mut e[..];
                                    lanes.call::<_, GROUP>(PlainBlocks::<_, _, A, _, CLASSES>::new(logits, labels, room, user));
                                }
                                truth => {
                                    let e = &mut e[..classes];
                                    A::activate::<L, _, GROUP, CLASSES>(lanes, logits, e, &mut r);
                                    let probabilities = Probabilities { e, r: &r };
                                    match truth {
                                        gather::Truth::Labels(labels) => {
                                            let channels = labels.row(lanes, &mut channels);
                                            pull_back::<L, A, _, _, GROUP>(
                                                lanes, probabilities, channels, block.weights, slopes, &mut target, None,
                                            );
                                        }
                                        gather::Truth::Dense(truth) => {
                                            pull_back::<L, A, _, _, GROUP>(
                                                lanes, probabilities, truth, block.weights, slopes, &mut target, None,
                                            );
                                        }
                                    }
                                }
                            }
                            target.is_staged()
                        })
                    };
                    if staged {
                        // SAFETY: as above.
                        unsafe { self.sink.store(lanes, out, &span) };
                    }
                    next += 1;
                }
            }
            // SAFETY: as above.
            unsafe { self.sink.finish(out) };
        }
        lanes.fence();
    }

    /// The blocks of the gradient where logits of this type are read: of the same type they are written in place.
    ///
    /// # Safety
    /// As [`Sink::block`].
    #[inline(always)]
    unsafe fn block_for<'s, E: Output>(
        &'s self,
        _: Rows<'_, E>,
        out: &'s mut SinkStage<R>,
        span: &Span,
        blocks: usize,
        by_voxels: bool,
    ) -> SinkBlock<'s, R, E> {
        // SAFETY: the caller's promise.
        unsafe { self.sink.block(out, span, blocks, by_voxels) }
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

/// The gradient of blocks of labels in which every voxel counts alike.
struct PullBackLabels<'s, 't, R, E, A> {
    slopes: &'s [Slope<R>],
    /// The first block.
    target: &'s mut SinkBlock<'t, R, E>,
    activation: PhantomData<A>,
}

impl<R: Real, E: Output, A: Activate> UseBlock<R, E> for PullBackLabels<'_, '_, R, E, A> {
    #[inline(always)]
    fn use_block<L: Lanes<R = R>, const GROUP: usize>(
        &mut self,
        lanes: L,
        block: usize,
        probabilities: Probabilities<'_, R>,
        channels: &Row<i32>,
        ahead: Option<Ahead<'_, L, E>>,
    ) {
        let target = &mut self.target.behind(block);
        pull_back::<L, A, _, _, GROUP>(lanes, probabilities, channels, None, self.slopes, target, ahead);
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
        let target = &mut self.target.behind(block);
        for first in (0..VECTORS).step_by(COUNT) {
            let probabilities = softmax::<L, E, GROUP, CLASSES, COUNT, INTERLEAVED>(lanes, logits, first);
            let mut gradient = [[lanes.splat(R::ZERO); COUNT]; CLASSES];
            for (j, (e, r)) in probabilities.into_iter().enumerate() {
                let mut mean = lanes.splat(R::ZERO);
                for class in 0..CLASSES {
                    let u = labels.slope(lanes, class, first + j, slopes[class]);
                    mean = lanes.fma(e[class], u, mean);
                }
                let mean = lanes.mul(mean, r);
                for class in 0..CLASSES {
                    let u = labels.slope(lanes, class, first + j, slopes[class]);
                    gradient[class][j] = lanes.mul(lanes.mul(e[class], r), lanes.sub(u, mean));
                }
            }
            target.put_voxels::<L, COUNT, CLASSES, INTERLEAVED>(lanes, first, gradient);
        }
    }
}

/// The gradient of a block in which some voxels count.
#[inline(always)]
fn pull_back<L: Lanes, A: Activate, E: Output, T: Truth<L::R>, const GROUP: usize>(
    lanes: L,
    Probabilities { e, r }: Probabilities<'_, L::R>,
    truth: T,
    weights: Option<&Row<L::R>>,
    slopes: &[Slope<L::R>],
    target: &mut SinkBlock<'_, L::R, E>,
    mut ahead: Option<Ahead<'_, L, E>>,
) {
    if A::COUPLED {
        let mut means = Row([L::R::ZERO; BLOCK]);
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
        // Whole rows one after the other: streaming stores to many planes want long runs.
        for (class, (e, &slope)) in e.iter().zip(slopes).enumerate() {
            for j in 0..VECTORS {
                let u = truth.slope(lanes, class, j, slope);
                let p = lanes.mul(lanes.load(e.vector(j)), lanes.load(r.vector(j)));
                let g = lanes.mul(p, lanes.sub(u, lanes.load(means.vector(j))));
                target.put(lanes, class, j, weigh(lanes, weights, j, g));
            }
        }
    } else {
        for (class, (e, &slope)) in e.iter().zip(slopes).enumerate() {
            for j in 0..VECTORS {
                // Nothing flows to a channel that the loss does not depend on, not even NaN.
                let g = if slope.is_zero() {
                    lanes.splat(L::R::ZERO)
                } else {
                    let by_logit = A::slope(lanes, lanes.load(e.vector(j)), lanes.load(r.vector(j)));
                    lanes.mul(truth.slope(lanes, class, j, slope), by_logit)
                };
                target.put(lanes, class, j, weigh(lanes, weights, j, g));
            }
        }
    }
}
