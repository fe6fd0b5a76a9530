//! How often each pair of byte labels occurs.
//!
//! Two thousand voxels belong to no more than four classes as a rule, however many there are. Then a pair is a number below
//! sixteen, and a CPU that looks bytes up by the register counts sixteen numbers in eight look-ups, each of which adds to two
//! counts. Of more classes, up to sixteen, a CPU that counts bits by the register does so: the voxels of each class become a set
//! of bits, and the common bits of two sets are counted. Else a table counts voxel by voxel.

use crate::lanes::{BITS_BLOCKS, Lanes};
use crate::tile::BLOCK;

/// The most classes of which a pair fits into a byte.
const NIBBLE_CLASSES: usize = 16;
/// Tables that take turns: a voxel need not wait for the count of its neighbour, which is of the same class as a rule.
const TURNS: usize = 8;
/// Blocks that are counted together. While they are, memory brings the next ones.
pub(super) const TOGETHER: usize = BITS_BLOCKS;

/// So many blocks ahead memory is asked for labels.
const AHEAD: usize = 2 * TOGETHER;

/// Blocks after which tables must be flushed, lest a number overflow.
const MOST_KEPT: usize = 1 << 24;

/// Counts pairs of labels.
pub(super) struct Pairs {
    classes: usize,
    /// Whether bits are counted: per pair, the words of a register.
    bits: Option<[[u64; 8]; NIBBLE_CLASSES * NIBBLE_CLASSES]>,
    /// Counts of `truth << 4 | prediction`.
    tables: [[u32; NIBBLE_CLASSES * NIBBLE_CLASSES]; TURNS],
    /// The blocks that the tables hold.
    kept: usize,
}

impl Pairs {
    pub(super) fn new<L: Lanes>(lanes: L, classes: usize) -> Self {
        let bits = (5..=NIBBLE_CLASSES).contains(&classes) && lanes.counts_bits();
        let bits = bits.then_some([[0; 8]; NIBBLE_CLASSES * NIBBLE_CLASSES]);
        Self { classes, bits, tables: [[0; NIBBLE_CLASSES * NIBBLE_CLASSES]; TURNS], kept: 0 }
    }

    /// Counts at most [`TOGETHER`] blocks of labels, all of which are classes, in `counts`, `[truth][prediction]`, or keeps
    /// the counts until [`flush`](Self::flush).
    #[inline(always)]
    pub(super) fn count<L: Lanes>(
        &mut self,
        lanes: L,
        truth: &[[u8; BLOCK]],
        prediction: &[[u8; BLOCK]],
        counts: &mut [u64],
    ) {
        let classes = self.classes;
        if self.kept >= MOST_KEPT {
            self.flush(counts);
        }
        if L::LOOKS_UP
            && (3..=NIBBLE_CLASSES).contains(&classes)
            && let Some(of_truth) = Few::of(lanes, truth, classes)
            && let Some(of_prediction) = Few::of(lanes, prediction, classes)
        {
            return count_few(lanes, truth, prediction, (of_truth, of_prediction), classes, counts);
        }
        match (classes, &mut self.bits) {
            (2, _) => count_each::<L, 2>(lanes, truth, prediction, counts),
            (3, _) => count_each::<L, 3>(lanes, truth, prediction, counts),
            (4, _) => count_each::<L, 4>(lanes, truth, prediction, counts),
            (_, Some(words)) if truth.len() == TOGETHER => count_bits(lanes, truth, prediction, classes, words),
            _ if classes <= NIBBLE_CLASSES => {
                self.kept += truth.len();
                count_nibbles(lanes, truth, prediction, &mut self.tables);
            }
            _ => count_bytes(lanes, truth, prediction, classes, counts),
        }
    }

    /// Brings what was kept to `counts`.
    pub(super) fn flush(&mut self, counts: &mut [u64]) {
        if let Some(words) = &mut self.bits {
            for (count, words) in counts.iter_mut().zip(&mut words[..self.classes * self.classes]) {
                *count += words.iter().sum::<u64>();
                *words = [0; 8];
            }
        }
        if std::mem::take(&mut self.kept) > 0 {
            for (truth, counts) in counts[..self.classes * self.classes].chunks_exact_mut(self.classes).enumerate() {
                for (prediction, count) in counts.iter_mut().enumerate() {
                    let found = |table: &[u32; _]| u64::from(table[truth << 4 | prediction]);
                    *count += self.tables.iter().map(found).sum::<u64>();
                }
            }
            self.tables = [[0; NIBBLE_CLASSES * NIBBLE_CLASSES]; TURNS];
        }
    }
}

/// The blocks, one after the other. With each, memory is asked for a later one: all at once, more than it can keep in mind, they
/// would keep the CPU waiting.
#[inline(always)]
fn in_turn<'a, L: Lanes>(
    lanes: L,
    truth: &'a [[u8; BLOCK]],
    prediction: &'a [[u8; BLOCK]],
) -> impl Iterator<Item = (&'a [u8; BLOCK], &'a [u8; BLOCK])> {
    truth.iter().zip(prediction).inspect(move |(truth, prediction)| {
        lanes.prefetch_to_l2(truth.as_ptr().wrapping_add(AHEAD * BLOCK));
        lanes.prefetch_to_l2(prediction.as_ptr().wrapping_add(AHEAD * BLOCK));
    })
}

/// At most so many classes are few.
const FEW: usize = 4;
/// Blocks of which at most two bytes in each part of a tally are added: what four bits can hold.
const NIBBLE_BLOCKS: usize = 7;

/// The classes of some labels, if they are few.
#[derive(Debug, Clone, Copy)]
struct Few {
    /// In their order; the first ones if there are less.
    classes: [u8; FEW],
    /// The place of each class in `classes`.
    places: [u8; NIBBLE_CLASSES],
}

impl Few {
    /// The first classes.
    const FIRST: Self = Self { classes: [0, 1, 2, 3], places: [0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] };

    #[inline(always)]
    fn of<L: Lanes>(lanes: L, blocks: &[[u8; BLOCK]], classes: usize) -> Option<Self> {
        if classes <= FEW {
            return Some(Self::FIRST);
        }
        // A bit for each of the low eight classes, and of the high ones.
        const BITS: [[u8; NIBBLE_CLASSES]; 2] = [
            [1, 2, 4, 8, 16, 32, 64, 128, 0, 0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128],
        ];
        let mut present = BITS.map(|_| lanes.load_block(&[0; BLOCK]));
        for block in blocks {
            let labels = lanes.load_block(block);
            for (present, bits) in present.iter_mut().zip(&BITS) {
                *present = lanes.or(*present, lanes.look_up(bits, labels));
            }
        }
        let mut present = u16::from_le_bytes(present.map(|present| lanes.any(present)));
        if present.count_ones() as usize > FEW {
            return None;
        }
        let mut few = Self { classes: [0; FEW], places: [0; NIBBLE_CLASSES] };
        for (place, of_place) in few.classes.iter_mut().enumerate() {
            if present != 0 {
                let class = present.trailing_zeros();
                *of_place = class as u8;
                few.places[class as usize] = place as u8;
                present &= present - 1;
            }
        }
        Some(few)
    }
}

/// Counts labels of few classes: a pair is the number 4 · truth + prediction, by their places.
#[inline(always)]
fn count_few<L: Lanes>(
    lanes: L,
    truth: &[[u8; BLOCK]],
    prediction: &[[u8; BLOCK]],
    (of_truth, of_prediction): (Few, Few),
    classes: usize,
    counts: &mut [u64],
) {
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
    let fours = of_truth.places.map(|place| FEW as u8 * place);
    let mut tallies = [[lanes.tally(); 2]; FEW * FEW / 2];
    for (truth, prediction) in truth.chunks(NIBBLE_BLOCKS).zip(prediction.chunks(NIBBLE_BLOCKS)) {
        let mut nibbles = [lanes.tally(); FEW * FEW / 2];
        for (truth, prediction) in in_turn(lanes, truth, prediction) {
            let truth = lanes.look_up(&fours, lanes.load_block(truth));
            let prediction = lanes.look_up(&of_prediction.places, lanes.load_block(prediction));
            let pairs = lanes.or(truth, prediction);
            for (nibbles, addends) in nibbles.iter_mut().zip(&ADDENDS) {
                *nibbles = lanes.add_bytes(*nibbles, lanes.look_up(addends, pairs));
            }
        }
        for (tallies, nibbles) in tallies.iter_mut().zip(nibbles) {
            *tallies = lanes.add_nibbles(*tallies, nibbles);
        }
    }
    for (pair, &tally) in tallies.as_flattened().iter().enumerate() {
        let (truth, prediction) = (of_truth.classes[pair / FEW], of_prediction.classes[pair % FEW]);
        counts[usize::from(truth) * classes + usize::from(prediction)] += lanes.total(tally);
    }
}

/// Looks for each pair of classes but the first, and for each class but the first; the rest follows.
#[inline(always)]
fn count_each<L: Lanes, const CLASSES: usize>(
    lanes: L,
    truth: &[[u8; BLOCK]],
    prediction: &[[u8; BLOCK]],
    counts: &mut [u64],
) {
    let mut tallies = [[lanes.tally(); CLASSES]; CLASSES];
    for (truth, prediction) in in_turn(lanes, truth, prediction) {
        // The place of the first class is that of any class.
        let mut is_predicted = [lanes.equal_bytes(prediction, 0); CLASSES];
        for class in 1..CLASSES {
            is_predicted[class] = lanes.equal_bytes(prediction, class as u8);
            tallies[0][class] = lanes.count(tallies[0][class], is_predicted[class]);
        }
        for class in 1..CLASSES {
            let is_true = lanes.equal_bytes(truth, class as u8);
            tallies[class][0] = lanes.count(tallies[class][0], is_true);
            for predicted in 1..CLASSES {
                let both = lanes.both(is_true, is_predicted[predicted]);
                tallies[class][predicted] = lanes.count(tallies[class][predicted], both);
            }
        }
    }
    let mut found = [[0_u64; CLASSES]; CLASSES];
    found[0][0] = (truth.len() * BLOCK) as u64;
    for truth in 0..CLASSES {
        for prediction in 0..CLASSES {
            if truth + prediction > 0 {
                found[truth][prediction] = lanes.total(tallies[truth][prediction]);
            }
        }
    }
    for row in &mut found {
        row[0] -= row[1..].iter().sum::<u64>();
    }
    for prediction in 0..CLASSES {
        found[0][prediction] -= found[1..].iter().map(|row| row[prediction]).sum::<u64>();
    }
    for (count, found) in counts.iter_mut().zip(found.as_flattened()) {
        *count += found;
    }
}

/// Counts the voxels that two sets of bits have in common, of each true and each predicted class.
#[inline(always)]
fn count_bits<L: Lanes>(
    lanes: L,
    truth: &[[u8; BLOCK]],
    prediction: &[[u8; BLOCK]],
    classes: usize,
    words: &mut [[u64; 8]; NIBBLE_CLASSES * NIBBLE_CLASSES],
) {
    let mut planes = [[[[0; 8]; TOGETHER / 8]; 4]; 2];
    for (i, (truth, prediction)) in in_turn(lanes, truth, prediction).enumerate() {
        let bits = [lanes.bit_planes(truth), lanes.bit_planes(prediction)];
        for (planes, bits) in planes.iter_mut().zip(bits) {
            for (plane, bits) in planes.iter_mut().zip(bits) {
                plane[i / 8][i % 8] = bits;
            }
        }
    }
    lanes.count_pairs(&mut words[..classes * classes], classes, &planes[0], &planes[1]);
}

/// Whether all labels of a block are the same, as in most of a volume they are.
#[inline(always)]
fn is_uniform(block: &[u8; BLOCK]) -> bool {
    block.iter().fold(0, |difference, label| difference | label ^ block[0]) == 0
}

/// Counts voxel by voxel.
#[inline(always)]
fn count_nibbles<L: Lanes>(
    lanes: L,
    truth: &[[u8; BLOCK]],
    prediction: &[[u8; BLOCK]],
    tables: &mut [[u32; NIBBLE_CLASSES * NIBBLE_CLASSES]; TURNS],
) {
    for (truth, prediction) in in_turn(lanes, truth, prediction) {
        let mut pairs = [0; BLOCK];
        for (pair, (truth, prediction)) in pairs.iter_mut().zip(truth.iter().zip(prediction)) {
            *pair = truth << 4 | prediction;
        }
        if is_uniform(&pairs) {
            tables[0][usize::from(pairs[0])] += BLOCK as u32;
            continue;
        }
        for &pairs in pairs.as_chunks::<TURNS>().0 {
            let pairs = u64::from_le_bytes(pairs);
            for (turn, table) in tables.iter_mut().enumerate() {
                table[usize::from((pairs >> (8 * turn)) as u8)] += 1;
            }
        }
    }
}

/// Counts voxel by voxel; tables of all pairs take turns in `counts`.
#[inline(always)]
fn count_bytes<L: Lanes>(
    lanes: L,
    truth: &[[u8; BLOCK]],
    prediction: &[[u8; BLOCK]],
    classes: usize,
    counts: &mut [u64],
) {
    let table = classes * classes;
    for (truth, prediction) in in_turn(lanes, truth, prediction) {
        if is_uniform(truth) && is_uniform(prediction) {
            counts[usize::from(truth[0]) * classes + usize::from(prediction[0])] += BLOCK as u64;
            continue;
        }
        for (i, (&truth, &prediction)) in truth.iter().zip(prediction).enumerate() {
            counts[i % super::confusion::TURNS * table + usize::from(truth) * classes + usize::from(prediction)] += 1;
        }
    }
}
