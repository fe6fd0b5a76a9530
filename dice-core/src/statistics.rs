//! The sums over the voxels that a head needs: what step 1 makes and step 2 reads.

use alloc::vec::Vec;

use crate::accumulator::{self, WORDS, Words};
use crate::error::{Error, reserve, table_len};
use crate::request::{Request, Sum};

/// What a head reads at once: one sample, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// One sample of the table.
    Sample(usize),
    /// All samples of the table, added.
    All,
}

/// The table of sums of a prediction, per sample, class and column of its [`Request`], in order-free [accumulators](accumulator).
///
/// Tables of parts of a problem [merge](Self::merge) to the table of the whole, in any order to the same bits, as long
/// as the parts are cut at tile bounds. The words are `i64`s that add: an all-reduce that sums them merges the tables of
/// several machines. By default it is the table of no sample.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Statistics {
    samples: usize,
    classes: usize,
    request: Request,
    /// Per sample: the valid weight, the number of voxels, then per class the columns of the request.
    words: Vec<Words>,
}

impl Statistics {
    /// A table of zeros.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::OutOfMemory`].
    pub fn new(samples: usize, classes: usize, request: &Request) -> Result<Self, Error> {
        let mut table = Self::default();
        table.reset(samples, classes, request)?;
        Ok(table)
    }

    /// Makes it a table of zeros, reusing the buffer.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::OutOfMemory`]; the table is then as it was.
    pub fn reset(&mut self, samples: usize, classes: usize, request: &Request) -> Result<(), Error> {
        let what = "statistics";
        let of_classes = table_len(what, &[classes, request.columns()], size_of::<Words>())?;
        let len = table_len(what, &[samples, of_classes + Self::OF_NO_CLASS], size_of::<Words>())?;
        reserve(what, &mut self.words, len)?;
        self.words.clear();
        self.words.resize(len, [0; WORDS]);
        self.request.copy(request);
        (self.samples, self.classes) = (samples, classes);
        Ok(())
    }

    /// The accumulators of a sample that are not of a class: the valid weight and the number of voxels.
    pub const OF_NO_CLASS: usize = 2;

    /// Accumulators per sample: [those of no class](Self::OF_NO_CLASS), then the columns of class after class.
    pub fn accumulators_per_sample(classes: usize, request: &Request) -> usize {
        Self::OF_NO_CLASS + classes * request.columns()
    }

    /// The number of samples.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// What the table was made for.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// A sum of a part of the request over the voxels of a group, rounded once to f64.
    ///
    /// # Errors
    /// [`Error::SumOverflow`]; [`Error::OtherSums`] if the table does not hold this sum.
    pub fn sum(&self, group: Group, class: usize, part: usize, sum: Sum) -> Result<f64, Error> {
        let column = self
            .request
            .column(part, sum)
            .filter(|_| class < self.classes)
            .ok_or(Error::OtherSums { what: "the table" })?;
        self.accumulated(group, Self::OF_NO_CLASS + class * self.request.columns() + column)
    }

    /// Σ m over the voxels of a group: the number of voxels that count.
    ///
    /// # Errors
    /// [`Error::SumOverflow`].
    pub fn valid_weight(&self, group: Group) -> Result<f64, Error> {
        self.accumulated(group, 0)
    }

    /// The number of voxels of a group, those that do not count among them.
    ///
    /// # Errors
    /// [`Error::SumOverflow`].
    pub fn voxels(&self, group: Group) -> Result<f64, Error> {
        self.accumulated(group, 1)
    }

    fn accumulated(&self, group: Group, place: usize) -> Result<f64, Error> {
        let stride = Self::accumulators_per_sample(self.classes, &self.request);
        match group {
            Group::Sample(sample) => accumulator::value(&self.words[sample * stride + place]),
            Group::All => {
                let mut total = [0; WORDS];
                for words in self.words.iter().skip(place).step_by(stride) {
                    accumulator::merge(&mut total, words);
                }
                accumulator::value(&total)
            }
        }
    }

    /// The accumulators of one sample: the valid weight, the number of voxels, then per class the columns of the request.
    ///
    /// # Panics
    /// If there is no such sample.
    pub fn sample_mut(&mut self, sample: usize) -> &mut [Words] {
        let stride = Self::accumulators_per_sample(self.classes, &self.request);
        &mut self.words[sample * stride..][..stride]
    }

    /// Adds the sums of another part of the same problem.
    ///
    /// # Errors
    /// [`Error::StatisticsMismatch`] if the tables are of different samples or classes, [`Error::OtherSums`] if of different
    /// requests; this one is then unchanged.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        if self.samples != other.samples {
            let (expected, found) = (self.samples, other.samples);
            return Err(Error::StatisticsMismatch { what: "samples", expected, found });
        }
        self.merge_samples(0, other)
    }

    /// Adds the sums of some samples of the same batch, from its sample `first` on.
    ///
    /// # Errors
    /// [`Error::SampleRange`]; [`Error::StatisticsMismatch`] if the tables are of different classes, [`Error::OtherSums`] if of
    /// different requests.
    pub fn merge_samples(&mut self, first: usize, other: &Self) -> Result<(), Error> {
        let end = first.saturating_add(other.samples);
        if end > self.samples {
            return Err(Error::SampleRange { start: first, end, samples: self.samples });
        }
        if self.classes != other.classes {
            let (expected, found) = (self.classes, other.classes);
            return Err(Error::StatisticsMismatch { what: "classes", expected, found });
        }
        if self.request != other.request {
            return Err(Error::OtherSums { what: "the other table" });
        }
        let stride = Self::accumulators_per_sample(self.classes, &self.request);
        for (into, from) in self.words[first * stride..].iter_mut().zip(&other.words) {
            accumulator::merge(into, from);
        }
        Ok(())
    }

    /// One table with the samples added into a single row: what ranks with different numbers of samples all-reduce when
    /// a loss pools the batch.
    #[must_use]
    pub fn pooled(&self) -> Self {
        let stride = Self::accumulators_per_sample(self.classes, &self.request);
        let mut words = alloc::vec![[0; WORDS]; stride];
        for sample in self.words.chunks_exact(stride) {
            for (into, from) in words.iter_mut().zip(sample) {
                accumulator::merge(into, from);
            }
        }
        Self { samples: 1, classes: self.classes, request: self.request.clone(), words }
    }

    /// The words of the table, to store or to send.
    pub fn as_limbs(&self) -> &[i64] {
        self.words.as_flattened()
    }

    /// The words of the table, for an all-reduce that sums `int64`. Call [`normalise`](Self::normalise) afterwards.
    pub fn as_mut_limbs(&mut self) -> &mut [i64] {
        self.words.as_flattened_mut()
    }

    /// Brings the words to their canonical form, in which equal tables have equal words.
    pub fn normalise(&mut self) {
        self.words.iter_mut().for_each(accumulator::normalise);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::request::Sums;

    #[test]
    fn pooling_adds_the_samples() {
        let mut table = Statistics::new(3, 2, &Request::overlap(Activation::Softmax)).unwrap();
        for sample in 0..3 {
            for (place, words) in table.sample_mut(sample).iter_mut().enumerate() {
                accumulator::add(words, (sample * 10 + place) as f64);
            }
        }
        let pooled = table.pooled();
        assert_eq!(pooled.samples(), 1);
        for class in 0..2 {
            for sum in Sums::OVERLAP.iter() {
                assert_eq!(pooled.sum(Group::Sample(0), class, 0, sum), table.sum(Group::All, class, 0, sum));
            }
        }
        assert_eq!(pooled.sum(Group::All, 1, 0, Sum::Intersection), Ok(30.0 + 3.0 * 7.0));
        assert_eq!(pooled.valid_weight(Group::All), Ok(30.0));
        assert_eq!(pooled.voxels(Group::All), Ok(33.0));
    }

    #[test]
    fn tables_that_do_not_belong_together_are_not_merged() {
        let request = &Request::overlap(Activation::Softmax);
        let table = |samples, classes, request| Statistics::new(samples, classes, request).unwrap();
        let mut into = table(1, 2, request);
        let error = into.merge(&table(2, 2, request)).unwrap_err();
        assert_eq!(error, Error::StatisticsMismatch { what: "samples", expected: 1, found: 2 });
        let error = into.merge(&table(1, 3, request)).unwrap_err();
        assert_eq!(error, Error::StatisticsMismatch { what: "classes", expected: 2, found: 3 });
        let error = into.merge(&table(1, 2, &Request::overlap(Activation::None))).unwrap_err();
        assert_eq!(error, Error::OtherSums { what: "the other table" });
    }

    #[test]
    fn tables_that_no_memory_can_hold_are_refused() {
        let request = &Request::overlap(Activation::Softmax);
        let mut table = Statistics::new(1, 2, request).unwrap();
        for (samples, classes) in [(1, usize::MAX), (usize::MAX, 1), (1 << 30, 1 << 30), (0, usize::MAX / 2)] {
            let error = table.reset(samples, classes, request).unwrap_err();
            assert!(matches!(error, Error::TooLarge { what: "statistics", .. }), "{error}");
            assert_eq!((table.samples(), table.classes()), (1, 2));
        }
    }
}
