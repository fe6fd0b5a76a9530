//! Runs of plain blocks: labels as bytes, every voxel counts alike. This is where the time is spent.

use std::marker::PhantomData;
use std::mem;

use super::activate::{Activate, Ahead, Probabilities, exponentiate, prepare};
use crate::block::{BLOCK, Row, VECTORS};
use crate::element::Element;
use crate::gather::{ByteLabels, LabelBlocks, Rows};
use crate::lanes::{Kernel, Lanes};
use crate::real::Real;

/// What a pass does with each block of a run.
pub(super) trait UseBlock<R: Real, E> {
    /// Uses the probabilities of a block. `ahead` must look at every vector of every class, and be finished, if it is there.
    fn use_block<L: Lanes<R = R>, const GROUP: usize>(
        &mut self,
        lanes: L,
        block: usize,
        probabilities: Probabilities<'_, R>,
        channels: &Row<i32>,
        ahead: Option<Ahead<'_, L, E>>,
    );

    /// Computes and uses those of a softmax over few classes, to the same bits, `COUNT` vectors at a time without leaving the
    /// registers; label c is that of class c.
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
    );
}

/// The blocks of a run.
pub(super) struct PlainBlocks<'s, R, E, A, U, const CLASSES: usize> {
    /// Of the first block.
    logits: Rows<'s, E>,
    labels: LabelBlocks<'s>,
    /// For the probabilities of two blocks.
    room: &'s mut [Row<R>],
    user: U,
    activation: PhantomData<A>,
}

impl<'s, R: Real, E: Element, A: Activate, U: UseBlock<R, E>, const CLASSES: usize>
    PlainBlocks<'s, R, E, A, U, CLASSES>
{
    pub(super) fn new(logits: Rows<'s, E>, labels: LabelBlocks<'s>, room: &'s mut [Row<R>], user: U) -> Self {
        Self { logits, labels, room, user, activation: PhantomData }
    }

    /// In registers, `COUNT` vectors at a time.
    #[inline(always)]
    fn by_voxels<L: Lanes<R = R>, const GROUP: usize, const COUNT: usize>(mut self, lanes: L) {
        for block in 0..self.labels.blocks.len() {
            let logits = self.logits.behind(block);
            let labels = ByteLabels { first: 0, ..self.labels.get(block) };
            if logits.is_interleaved() {
                self.user.use_voxels::<L, GROUP, CLASSES, COUNT, true>(lanes, block, logits, labels);
            } else {
                self.user.use_voxels::<L, GROUP, CLASSES, COUNT, false>(lanes, block, logits, labels);
            }
        }
    }

    /// Class by class.
    #[inline(always)]
    fn by_classes<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        let Self { logits, labels, room, mut user, .. } = self;
        let classes = if CLASSES > 0 { CLASSES } else { logits.classes() };
        let (mut e, mut next_e) = room[..2 * classes].split_at_mut(classes);
        let blocks = labels.blocks.len();
        let (mut r, mut channels) = (Row([R::ZERO; BLOCK]), Row([0; BLOCK]));
        // A softmax begins with the next block while this one is used, if the registers hold all vectors of a block.
        if CLASSES == 0 && A::IN_TWO_STEPS && GROUP == VECTORS && !logits.is_interleaved() {
            let mut max = Row([R::ZERO; BLOCK]);
            prepare::<L, E, CLASSES>(lanes, logits, e, &mut max);
            for block in 0..blocks {
                let logits = logits.behind(block);
                exponentiate::<L, E, GROUP, CLASSES>(lanes, logits, e, &max, &mut r, true);
                let channels = labels.get(block).row(lanes, &mut channels);
                let probabilities = Probabilities { e, r: &r };
                if block + 1 < blocks {
                    let ahead = Ahead::new(lanes, logits.behind(1), next_e, &mut max);
                    user.use_block::<L, GROUP>(lanes, block, probabilities, channels, Some(ahead));
                } else {
                    user.use_block::<L, GROUP>(lanes, block, probabilities, channels, None);
                }
                mem::swap(&mut e, &mut next_e);
            }
        } else {
            for block in 0..blocks {
                A::activate::<L, E, GROUP, CLASSES>(lanes, logits.behind(block), e, &mut r);
                let channels = labels.get(block).row(lanes, &mut channels);
                user.use_block::<L, GROUP>(lanes, block, Probabilities { e, r: &r }, channels, None);
            }
        }
    }
}

impl<R: Real, E: Element, A: Activate, U: UseBlock<R, E>, const CLASSES: usize> Kernel
    for PlainBlocks<'_, R, E, A, U, CLASSES>
{
    type R = R;
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<R = R>, const GROUP: usize>(self, lanes: L) {
        match (CLASSES, GROUP) {
            (2, _) => self.by_voxels::<L, GROUP, VECTORS>(lanes),
            (4, 2) if self.logits.is_interleaved() => self.by_voxels::<L, GROUP, 1>(lanes),
            (4, 4) => self.by_voxels::<L, GROUP, 2>(lanes),
            _ => self.by_classes::<L, GROUP>(lanes),
        }
    }
}
