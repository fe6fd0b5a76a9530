//! Counting pairs of labels of few classes.
//!
//! A few thousand voxels that lie side by side belong to no more than four classes as a rule, however many there are. Then a pair
//! is a number below sixteen, and a CPU that looks bytes up by the register counts sixteen numbers in eight look-ups, each of
//! which adds to two counts.

use super::{Both, NIBBLE_CLASSES};
use crate::block::BLOCK;
use crate::lanes::Lanes;

/// At most so many classes are few.
pub(super) const FEW: usize = 4;
/// What four bits and eight bits can count up to.
const NIBBLE: usize = 15;
const BYTE: usize = 255;

/// A few classes, each with its place among them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Few {
    /// In the order in which they were met.
    classes: [u8; FEW],
    len: usize,
    /// The place of each class below [`NIBBLE_CLASSES`]; [`NONE`](Self::NONE) of others.
    places: [u8; NIBBLE_CLASSES],
    /// For each value of a label's low four bits, and of the high four, a bit per place of whose class they are part.
    halves: [[u8; 16]; 2],
}

impl Few {
    /// No place, and looking it up gives 0.
    const NONE: u8 = 0x80;
    /// The place of a single bit of [`halves`](Self::halves).
    const PLACES: [u8; 16] = {
        let mut places = [Self::NONE; 16];
        let mut place = 0;
        while place < FEW {
            places[1 << place] = place as u8;
            place += 1;
        }
        places
    };

    /// No class yet.
    pub(super) const EMPTY: Self =
        Self { classes: [0; FEW], len: 0, places: [Self::NONE; NIBBLE_CLASSES], halves: [[0; 16]; 2] };

    /// The first `classes` classes, at most [`FEW`].
    pub(super) fn first(classes: usize) -> Self {
        (0..classes).fold(Self::EMPTY, |few, class| few.and(class as u8).expect("they are few"))
    }

    /// These classes and another one, if there is a place for it.
    fn and(mut self, class: u8) -> Option<Self> {
        *self.classes.get_mut(self.len)? = class;
        if let Some(place) = self.places.get_mut(usize::from(class)) {
            *place = self.len as u8;
        }
        for (half, nibble) in self.halves.iter_mut().zip([class & 15, class >> 4]) {
            half[usize::from(nibble)] |= 1 << self.len;
        }
        self.len += 1;
        Some(self)
    }

    /// These classes and those of the labels of some blocks, if there are places for all. `WIDE`: whether a label may be
    /// [`NIBBLE_CLASSES`] or more.
    #[inline(always)]
    fn and_of<L: Lanes, const WIDE: bool>(mut self, lanes: L, blocks: &[[u8; BLOCK]]) -> Option<Self> {
        for block in blocks {
            let labels = lanes.load_block(block);
            while lanes.any_above(self.places::<L, WIDE>(lanes, labels, 1), Self::NONE - 1) {
                let new = block.iter().find(|label| !self.classes[..self.len].contains(label));
                self = self.and(*new.expect("a label has no place"))?;
            }
        }
        Some(self)
    }

    /// `unit` times the place of each label, at least [`NONE`](Self::NONE) for a label of another class.
    #[inline(always)]
    fn places<L: Lanes, const WIDE: bool>(&self, lanes: L, labels: L::Bytes, unit: u8) -> L::Bytes {
        let places = if WIDE { Self::PLACES } else { self.places };
        let places = places.map(|place| if place == Self::NONE { place } else { unit * place });
        let labels = if WIDE {
            let [low, high] = lanes.nibbles(labels);
            lanes.and(lanes.look_up(&self.halves[0], low), lanes.look_up(&self.halves[1], high))
        } else {
            labels
        };
        lanes.look_up(&places, labels)
    }
}

/// The classes of both kinds of labels, if they are few; and those before, if there are places for all.
#[inline(always)]
pub(super) fn few_of<L: Lanes, const WIDE: bool>(
    lanes: L,
    labels: Both<'_>,
    before: Option<(Few, Few)>,
) -> Option<(Few, Few)> {
    for (of_truth, of_prediction) in before.into_iter().chain([(Few::EMPTY, Few::EMPTY)]) {
        if let Some(of_truth) = of_truth.and_of::<L, WIDE>(lanes, labels.truth)
            && let Some(of_prediction) = of_prediction.and_of::<L, WIDE>(lanes, labels.prediction)
        {
            return Some((of_truth, of_prediction));
        }
    }
    None
}

/// Counts labels of few classes: a pair is the number 4 · truth + prediction, by their places. False, and nothing is counted, if
/// a label is of another class. `WIDE`: whether there are more than [`NIBBLE_CLASSES`] classes.
#[inline(always)]
pub(super) fn count_few<L: Lanes, const WIDE: bool>(
    lanes: L,
    labels: Both<'_>,
    (of_truth, of_prediction): (Few, Few),
    classes: usize,
    counts: &mut [u64],
) -> bool {
    /// Adds 1 to the low four bits for a number, and to the high four bits for the next.
    const ADDENDS: [[u8; FEW * FEW]; FEW * FEW / 2] = {
        let mut addends = [[0; FEW * FEW]; FEW * FEW / 2];
        let mut number = 0;
        while number < FEW * FEW {
            addends[number / 2][number] = 1 << (number % 2 * 4);
            number += 1;
        }
        addends
    };
    let Both { truth, prediction } = labels;
    assert!(truth.len() <= BYTE / L::PART_BYTES, "more than a part of a tally can count");
    let together = NIBBLE / L::PART_BYTES;
    let mut tallies = [[lanes.tally(); 2]; FEW * FEW / 2];
    let mut greatest = lanes.load_block(&[0; BLOCK]);
    for (truth, prediction) in truth.chunks(together).zip(prediction.chunks(together)) {
        let mut nibbles = [lanes.tally(); FEW * FEW / 2];
        for (truth, prediction) in truth.iter().zip(prediction) {
            let (truth, prediction) = (lanes.load_block(truth), lanes.load_block(prediction));
            greatest = lanes.max_bytes(greatest, lanes.max_bytes(truth, prediction));
            let truth = of_truth.places::<L, WIDE>(lanes, truth, FEW as u8);
            let pairs = lanes.or(truth, of_prediction.places::<L, WIDE>(lanes, prediction, 1));
            for (nibbles, addends) in nibbles.iter_mut().zip(&ADDENDS) {
                *nibbles = lanes.add_bytes(*nibbles, lanes.look_up(addends, pairs));
            }
        }
        for (tallies, nibbles) in tallies.iter_mut().zip(nibbles) {
            *tallies = lanes.add_nibbles(*tallies, nibbles);
        }
    }
    let mut found = [0; FEW * FEW];
    for (found, &tally) in found.iter_mut().zip(tallies.as_flattened()) {
        *found = lanes.total(tally);
    }
    // A label without a place was counted nowhere, unless it was so great that its place was looked up as another's.
    if lanes.any_above(greatest, (classes - 1) as u8) || found.iter().sum::<u64>() != labels.voxels() as u64 {
        return false;
    }
    for (pair, found) in found.into_iter().enumerate() {
        let (truth, prediction) = (of_truth.classes[pair / FEW], of_prediction.classes[pair % FEW]);
        counts[usize::from(truth) * classes + usize::from(prediction)] += found;
    }
    true
}
