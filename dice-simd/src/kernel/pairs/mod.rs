//! How often each pair of byte labels occurs, counted by what the CPU has.

mod few;

use super::counts::{TURNS, turns};
use few::{FEW, Few, count_few, few_of};

use crate::block::BLOCK;
use crate::gather::all_within;
use crate::lanes::{Lanes, SORTED_TOGETHER, SortedPairs};

/// The most classes of which a pair fits into a byte, `truth << 4 | prediction`.
const NIBBLE_CLASSES: usize = 16;
/// The most blocks that are counted together.
pub(super) const TOGETHER: usize = 64;

/// At most so many blocks are counted at a time, see [`Both::in_turn`].
const IN_TURN: usize = 16;
const _: () = assert!(IN_TURN <= SORTED_TOGETHER);

/// So long is a table of how often each byte that is a pair occurs. Tables one after the other are not a power of two apart: a count
/// that was just written to one would be taken for that of the same pair in another.
const TABLE: usize = NIBBLE_CLASSES * NIBBLE_CLASSES + 8;
/// Tables that take turns, so that a count need not wait for the one before.
const TABLES: usize = 8;

/// Labels of the same voxels, as many blocks of each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Both<'a> {
    pub(super) truth: &'a [[u8; BLOCK]],
    pub(super) prediction: &'a [[u8; BLOCK]],
}

impl<'a> Both<'a> {
    fn voxels(self) -> usize {
        self.truth.as_flattened().len()
    }

    /// Some blocks after the other. Meanwhile memory is asked for those that come [`TOGETHER`] later: all at once, more than it
    /// can keep in mind, would keep the CPU waiting.
    #[inline(always)]
    fn in_turn<L: Lanes>(self, lanes: L) -> impl Iterator<Item = Self> {
        let truth = self.truth.chunks(IN_TURN);
        truth.zip(self.prediction.chunks(IN_TURN)).map(move |(truth, prediction)| {
            for block in truth.iter().chain(prediction) {
                lanes.prefetch_to_l2(block.as_ptr().wrapping_add(TOGETHER * BLOCK));
            }
            Self { truth, prediction }
        })
    }

    #[inline(always)]
    fn blocks(self) -> impl Iterator<Item = (&'a [u8; BLOCK], &'a [u8; BLOCK])> {
        self.truth.iter().zip(self.prediction)
    }
}

/// How often it is left out to look whether classes are few: never after they were, and twice as often each time when they are not.
#[derive(Debug, Default)]
struct Patience {
    left: u32,
    next: u32,
}

impl Patience {
    /// Labels that begin to be of few classes again are looked at after so many groups of [`TOGETHER`] blocks at most.
    const MOST: u32 = 15;

    fn is_over(&mut self) -> bool {
        let is_over = self.left == 0;
        self.left = self.left.saturating_sub(1);
        is_over
    }

    fn found(&mut self, few: bool) {
        let next = if few { [0, 0] } else { [self.next, (2 * self.next + 1).min(Self::MOST)] };
        [self.left, self.next] = next;
    }
}

/// Counts pairs of labels.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    classes: usize,
    /// The classes of the labels before, if they were few: the next ones have the same as a rule.
    few: Option<(Few, Few)>,
    patience: Patience,
    /// Whether a pair is counted as a byte: it fits into one, and classes are not few anyway.
    are_bytes: bool,
    /// [`TABLES`] of them, if a level needed them that does not sort.
    tables: Vec<[u64; TABLE]>,
    /// If the CPU sorts them.
    sorted: Option<Box<SortedPairs>>,
    /// Whether there may be pairs in the tables or the sorted ones.
    kept: bool,
}

impl Pairs {
    /// Forgets all pairs, and makes ready for others of so many classes.
    pub(super) fn clear<L: Lanes>(&mut self, lanes: L, classes: usize) {
        let few = (L::LOOKS_UP && classes <= FEW).then(|| (Few::first(classes), Few::first(classes)));
        (self.classes, self.few, self.patience) = (classes, few, Patience::default());
        if std::mem::take(&mut self.kept) {
            (self.tables, self.sorted) = (Vec::new(), None);
        }
        self.are_bytes = (FEW + 1..=NIBBLE_CLASSES).contains(&classes);
        if self.are_bytes && lanes.sorts_pairs() {
            self.sorted.get_or_insert_default();
        } else if self.are_bytes {
            self.tables.resize(TABLES, [0; TABLE]);
        }
    }

    /// Counts at most [`TOGETHER`] blocks of labels in `counts`, `[truth][prediction]`, or keeps the counts until
    /// [`flush`](Self::flush): those before some block, the number returned, are counted. They are all blocks, unless a label is no
    /// class.
    #[inline(always)]
    pub(super) fn count<L: Lanes>(&mut self, lanes: L, labels: Both<'_>, counts: &mut [u64]) -> usize {
        let all_if = |counted: bool| if counted { labels.truth.len() } else { 0 };
        match self.classes {
            2 => all_if(count_each::<L, 2>(lanes, labels, counts)),
            3 if !L::LOOKS_UP => all_if(count_each::<L, 3>(lanes, labels, counts)),
            4 if !L::LOOKS_UP => all_if(count_each::<L, 4>(lanes, labels, counts)),
            ..=NIBBLE_CLASSES => self.count_any::<L, false>(lanes, labels, counts),
            _ => self.count_any::<L, true>(lanes, labels, counts),
        }
    }

    /// As [`count`](Self::count), of any number of classes. `WIDE`: more than [`NIBBLE_CLASSES`].
    #[inline(always)]
    fn count_any<L: Lanes, const WIDE: bool>(&mut self, lanes: L, labels: Both<'_>, counts: &mut [u64]) -> usize {
        let (classes, greatest) = (self.classes, (self.classes - 1) as u8);
        if let Some(few) = self.few
            && count_few::<L, WIDE>(lanes, labels, few, classes, counts)
        {
            return labels.truth.len();
        }
        if L::LOOKS_UP && self.patience.is_over() {
            if !all_within(lanes, labels.truth, greatest) || !all_within(lanes, labels.prediction, greatest) {
                return 0;
            }
            self.few = few_of::<L, WIDE>(lanes, labels, self.few);
            self.patience.found(self.few.is_some());
            if let Some(few) = self.few
                && count_few::<L, WIDE>(lanes, labels, few, classes, counts)
            {
                return labels.truth.len();
            }
        }
        self.kept |= self.are_bytes;
        let mut blocks = 0;
        for labels in labels.in_turn(lanes) {
            let counted = match &mut self.sorted {
                _ if !self.are_bytes => count_bytes(lanes, labels, classes, counts),
                Some(sorted) if lanes.sorts_pairs() => {
                    lanes.sort_pairs(sorted, labels.truth, labels.prediction, classes)
                }
                _ => count_nibbles(lanes, labels, classes, self.tables.first_chunk_mut().expect("all tables")),
            };
            if !counted {
                break;
            }
            blocks += labels.truth.len();
        }
        blocks
    }

    /// Brings what was kept to `counts`.
    pub(super) fn flush<L: Lanes>(&mut self, lanes: L, counts: &mut [u64]) {
        if !std::mem::take(&mut self.kept) {
            return;
        }
        if let Some(sorted) = &mut self.sorted
            && lanes.sorts_pairs()
        {
            lanes.count_sorted(sorted, self.classes);
        }
        for (truth, counts) in counts.chunks_exact_mut(self.classes).enumerate().take(self.classes) {
            for (prediction, count) in counts.iter_mut().enumerate() {
                let pair = truth << 4 | prediction;
                let of_tables = self.tables.iter_mut().map(|table| &mut table[pair]);
                let of_sorted = self.sorted.iter_mut().flat_map(|sorted| &mut sorted.counts[pair]);
                *count += of_tables.chain(of_sorted).map(std::mem::take).fold(0, u64::wrapping_add);
            }
        }
    }
}

/// Looks for each pair of classes but the first, and for each class but the first; the rest follows. False, and nothing is counted,
/// if a label is no class.
#[inline(always)]
fn count_each<L: Lanes, const CLASSES: usize>(lanes: L, labels: Both<'_>, counts: &mut [u64]) -> bool {
    let mut tallies = [[lanes.tally(); CLASSES]; CLASSES];
    let mut greatest = lanes.load_block(&[0; BLOCK]);
    for (truth, prediction) in labels.blocks() {
        let (truth, prediction) = (lanes.load_block(truth), lanes.load_block(prediction));
        greatest = lanes.max_bytes(greatest, lanes.max_bytes(truth, prediction));
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
    if lanes.any_above(greatest, (CLASSES - 1) as u8) {
        return false;
    }
    let mut found = [[0_u64; CLASSES]; CLASSES];
    found[0][0] = labels.voxels() as u64;
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
    true
}

/// Whether all labels of a block are the same, as in most of a volume they are.
#[inline(always)]
fn is_uniform(block: &[u8; BLOCK]) -> bool {
    let first = u64::from_ne_bytes([block[0]; 8]);
    block.as_chunks().0.iter().fold(0, |difference, &labels| difference | u64::from_ne_bytes(labels) ^ first) == 0
}

/// Counts voxel by voxel; tables take turns. False, and nothing is counted, if a label is no class.
#[inline(always)]
fn count_nibbles<L: Lanes>(lanes: L, labels: Both<'_>, classes: usize, tables: &mut [[u64; TABLE]; TABLES]) -> bool {
    let mut greatest = lanes.load_block(&[0; BLOCK]);
    // All pairs of the blocks first: read at once after they were written, they would have to be waited for.
    let mut pairs = [[0; BLOCK]; IN_TURN];
    for ((truth, prediction), pairs) in labels.blocks().zip(&mut pairs) {
        let both = lanes.max_bytes(lanes.load_block(truth), lanes.load_block(prediction));
        greatest = lanes.max_bytes(greatest, both);
        for (pair, (truth, prediction)) in pairs.iter_mut().zip(truth.iter().zip(prediction)) {
            *pair = truth << 4 | prediction;
        }
    }
    if lanes.any_above(greatest, (classes - 1) as u8) {
        return false;
    }
    for pairs in &pairs[..labels.truth.len()] {
        if is_uniform(pairs) {
            tables[0][usize::from(pairs[0])] += BLOCK as u64;
            continue;
        }
        for &pairs in pairs.as_chunks().0 {
            let pairs = u64::from_le_bytes(pairs);
            for (turn, table) in tables.iter_mut().enumerate() {
                table[usize::from((pairs >> (8 * turn)) as u8)] += 1;
            }
        }
    }
    true
}

/// Counts voxel by voxel; tables of all pairs, at most 2^16 pairs, take turns in `counts`. False, and nothing is counted, if a label
/// is no class.
#[inline(always)]
fn count_bytes<L: Lanes>(lanes: L, labels: Both<'_>, classes: usize, counts: &mut [u64]) -> bool {
    let greatest = (classes - 1) as u8;
    if !all_within(lanes, labels.truth, greatest) || !all_within(lanes, labels.prediction, greatest) {
        return false;
    }
    let starts = turns(counts, classes * classes);
    let mut pairs = [[0; BLOCK]; IN_TURN];
    for ((truth, prediction), pairs) in labels.blocks().zip(&mut pairs) {
        for (pair, (&truth, &prediction)) in pairs.iter_mut().zip(truth.iter().zip(prediction)) {
            *pair = u16::from(truth).wrapping_mul(classes as u16).wrapping_add(u16::from(prediction));
        }
    }
    for ((truth, prediction), pairs) in labels.blocks().zip(&pairs) {
        if is_uniform(truth) && is_uniform(prediction) {
            counts[usize::from(pairs[0])] += BLOCK as u64;
            continue;
        }
        for pairs in pairs.as_chunks::<TURNS>().0 {
            for (start, &pair) in starts.iter().zip(pairs) {
                counts[start + usize::from(pair)] += 1;
            }
        }
    }
    true
}
