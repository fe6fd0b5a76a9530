//! How often each pair of byte labels occurs, counted by what the CPU has.

mod few;

use few::{FEW, Few, count_few, few_of};

use crate::gather::all_within;
use crate::lanes::{Lanes, PairWords, SortedPairs};
use crate::tile::BLOCK;

/// The most classes of which a pair fits into a byte, `truth << 4 | prediction`.
const NIBBLE_CLASSES: usize = 16;
/// The most blocks that are counted together.
pub(super) const TOGETHER: usize = 64;

/// See [`Both::in_turn`].
const IN_TURN: usize = 16;

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

/// Counts pairs of labels.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    classes: usize,
    /// The classes of the labels before, if they were few: the next ones have the same as a rule.
    few: Option<(Few, Few)>,
    /// The counts of each byte that is a pair: [`PairWords`], or empty if there are more or fewer classes.
    words: Vec<[u64; 8]>,
    /// Pairs that are yet to be counted in the words, if the CPU sorts them.
    sorted: Option<Box<SortedPairs>>,
    /// Whether there may be pairs in the words or the sorted ones.
    kept: bool,
}

impl Pairs {
    /// Forgets all pairs, and makes ready for others of so many classes.
    pub(super) fn clear<L: Lanes>(&mut self, lanes: L, classes: usize) {
        let few = (L::LOOKS_UP && classes <= FEW).then(|| (Few::first(classes), Few::first(classes)));
        (self.classes, self.few) = (classes, few);
        if std::mem::take(&mut self.kept) {
            (self.words, self.sorted) = (Vec::new(), None);
        }
        let bytes = (FEW + 1..=NIBBLE_CLASSES).contains(&classes);
        self.words.resize(if bytes { NIBBLE_CLASSES * NIBBLE_CLASSES } else { 0 }, [0; 8]);
        let sorted = self.sorted.take();
        self.sorted = (bytes && lanes.sorts_pairs()).then(|| sorted.unwrap_or_default());
    }

    /// Counts at most [`TOGETHER`] blocks of labels in `counts`, `[truth][prediction]`, or keeps the counts until
    /// [`flush`](Self::flush). False, and nothing is counted, if a label is no class.
    #[inline(always)]
    pub(super) fn count<L: Lanes>(&mut self, lanes: L, labels: Both<'_>, counts: &mut [u64]) -> bool {
        match self.classes {
            2 => count_each::<L, 2>(lanes, labels, counts),
            3 if !L::LOOKS_UP => count_each::<L, 3>(lanes, labels, counts),
            4 if !L::LOOKS_UP => count_each::<L, 4>(lanes, labels, counts),
            ..=NIBBLE_CLASSES => self.count_any::<L, false>(lanes, labels, counts),
            _ => self.count_any::<L, true>(lanes, labels, counts),
        }
    }

    /// As [`count`](Self::count), of any number of classes. `WIDE`: more than [`NIBBLE_CLASSES`].
    #[inline(always)]
    fn count_any<L: Lanes, const WIDE: bool>(&mut self, lanes: L, labels: Both<'_>, counts: &mut [u64]) -> bool {
        let classes = self.classes;
        if let Some(few) = self.few
            && count_few::<L, WIDE>(lanes, labels, few, classes, counts)
        {
            return true;
        }
        let greatest = (classes - 1) as u8;
        if !all_within(lanes, labels.truth, greatest) || !all_within(lanes, labels.prediction, greatest) {
            return false;
        }
        if L::LOOKS_UP {
            self.few = few_of::<L, WIDE>(lanes, labels, self.few);
            if let Some(few) = self.few {
                return count_few::<L, WIDE>(lanes, labels, few, classes, counts);
            }
        }
        let mut words = self.words.first_chunk_mut();
        self.kept |= words.is_some();
        for labels in labels.in_turn(lanes) {
            match (&mut words, &mut self.sorted) {
                (None, _) => count_bytes(labels, classes, counts),
                (Some(words), None) => count_nibbles(labels, words),
                (Some(words), Some(sorted)) => {
                    lanes.sort_pairs(sorted, labels.truth, labels.prediction, classes, words);
                }
            }
        }
        true
    }

    /// Brings what was kept to `counts`.
    pub(super) fn flush<L: Lanes>(&mut self, lanes: L, counts: &mut [u64]) {
        if !std::mem::take(&mut self.kept) {
            return;
        }
        let words = self.words.first_chunk_mut().expect("pairs were kept");
        if let Some(sorted) = &mut self.sorted {
            lanes.count_sorted(sorted, self.classes, words);
        }
        for (words, counts) in words.chunks_exact_mut(NIBBLE_CLASSES).zip(counts.chunks_exact_mut(self.classes)) {
            for (words, count) in words.iter_mut().zip(counts) {
                *count += std::mem::take(words).into_iter().fold(0, u64::wrapping_add);
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
    block.iter().fold(0, |difference, label| difference | label ^ block[0]) == 0
}

/// Counts voxel by voxel, in the parts of the words by turns.
#[inline(always)]
fn count_nibbles(labels: Both<'_>, words: &mut PairWords) {
    for (truth, prediction) in labels.blocks() {
        let mut pairs = [0; BLOCK];
        for (pair, (truth, prediction)) in pairs.iter_mut().zip(truth.iter().zip(prediction)) {
            *pair = truth << 4 | prediction;
        }
        if is_uniform(&pairs) {
            words[usize::from(pairs[0])][0] += BLOCK as u64;
            continue;
        }
        for &pairs in pairs.as_chunks().0 {
            let pairs = u64::from_le_bytes(pairs);
            for turn in 0..8 {
                words[usize::from((pairs >> (8 * turn)) as u8)][turn] += 1;
            }
        }
    }
}

/// Counts voxel by voxel; tables of all pairs take turns in `counts`.
#[inline(always)]
fn count_bytes(labels: Both<'_>, classes: usize, counts: &mut [u64]) {
    let table = classes * classes;
    for (truth, prediction) in labels.blocks() {
        if is_uniform(truth) && is_uniform(prediction) {
            counts[usize::from(truth[0]) * classes + usize::from(prediction[0])] += BLOCK as u64;
            continue;
        }
        for (i, (&truth, &prediction)) in truth.iter().zip(prediction).enumerate() {
            counts[i % super::confusion::TURNS * table + usize::from(truth) * classes + usize::from(prediction)] += 1;
        }
    }
}
