//! Hard overlap: how often each class was taken for which.

use alloc::vec::Vec;

use crate::error::{Error, reserve, table_len};

/// The exact numbers of voxels per sample, true class and predicted class.
///
/// Tables of parts of a problem [merge](Self::merge) in any order. By default it is the table of no sample.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Confusion {
    samples: usize,
    classes: usize,
    counts: Vec<u64>,
}

impl Confusion {
    /// A table of zeros.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::OutOfMemory`].
    pub fn new(samples: usize, classes: usize) -> Result<Self, Error> {
        let mut table = Self::default();
        table.reset(samples, classes)?;
        Ok(table)
    }

    /// Makes it a table of zeros, reusing the buffer.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::OutOfMemory`]; the table is then as it was.
    pub fn reset(&mut self, samples: usize, classes: usize) -> Result<(), Error> {
        // The counts of one sample must be a possible number where there is no sample, too.
        let of_sample = table_len("confusion", &[classes, classes], size_of::<u64>())?;
        let len = table_len("confusion", &[samples, of_sample], size_of::<u64>())?;
        reserve("confusion", &mut self.counts, len)?;
        self.counts.clear();
        self.counts.resize(len, 0);
        (self.samples, self.classes) = (samples, classes);
        Ok(())
    }

    /// The number of samples.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The number of classes: those of the prediction, or 2 where it has one channel.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The voxels of `sample` that belong to the class `truth` and were predicted as `prediction`.
    ///
    /// # Panics
    /// If there is no such sample or class.
    pub fn count(&self, sample: usize, truth: usize, prediction: usize) -> u64 {
        assert!(truth < self.classes && prediction < self.classes, "class {truth} or {prediction} of {}", self.classes);
        self.counts[(sample * self.classes + truth) * self.classes + prediction]
    }

    /// All counts, `[sample][truth][prediction]`.
    pub fn as_slice(&self) -> &[u64] {
        &self.counts
    }

    /// The counts of one sample, `[truth][prediction]`.
    ///
    /// # Panics
    /// If there is no such sample.
    pub fn sample_mut(&mut self, sample: usize) -> &mut [u64] {
        let len = self.classes * self.classes;
        &mut self.counts[sample * len..][..len]
    }

    /// Adds the counts of another part of the same problem.
    ///
    /// # Errors
    /// [`Error::StatisticsMismatch`].
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        for (what, expected, found) in
            [("samples", self.samples, other.samples), ("classes", self.classes, other.classes)]
        {
            if expected != found {
                return Err(Error::StatisticsMismatch { what, expected, found });
            }
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(into, from)| *into += from);
        Ok(())
    }

    /// The counts of all samples together.
    #[must_use]
    pub fn pooled(&self) -> Self {
        let of_sample = self.classes * self.classes;
        let mut counts = alloc::vec![0; of_sample];
        for sample in self.counts.chunks_exact(of_sample.max(1)) {
            counts.iter_mut().zip(sample).for_each(|(into, from)| *into += from);
        }
        Self { samples: 1, classes: self.classes, counts }
    }

    /// The voxels of `sample` that belong to `class`: TP + FN.
    pub fn target(&self, sample: usize, class: usize) -> u64 {
        (0..self.classes).map(|prediction| self.count(sample, class, prediction)).sum()
    }

    /// The voxels of `sample` predicted as `class`: TP + FP.
    pub fn prediction(&self, sample: usize, class: usize) -> u64 {
        (0..self.classes).map(|truth| self.count(sample, truth, class)).sum()
    }

    /// The hard Dice of a class, 2 TP / (target + prediction); NaN where both are empty.
    pub fn dice(&self, sample: usize, class: usize) -> f64 {
        let both = self.target(sample, class) + self.prediction(sample, class);
        if both == 0 { f64::NAN } else { 2.0 * self.count(sample, class, class) as f64 / both as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up() {
        let mut table = Confusion::new(2, 2).unwrap();
        table.sample_mut(0).copy_from_slice(&[5, 1, 2, 8]);
        table.sample_mut(1).copy_from_slice(&[1, 0, 0, 1]);
        assert_eq!((table.target(0, 1), table.prediction(0, 1)), (10, 9));
        assert!((table.dice(0, 1) - 16.0 / 19.0).abs() < 1e-15);
        assert_eq!(table.pooled().as_slice(), [6, 1, 2, 9]);
        let mut twice = table.clone();
        twice.merge(&table).unwrap();
        assert_eq!(twice.count(0, 1, 0), 4);
        assert!(twice.merge(&Confusion::new(1, 2).unwrap()).is_err());
        assert!(Confusion::new(1, 2).unwrap().dice(0, 0).is_nan());
    }

    #[test]
    fn tables_that_no_memory_can_hold_are_refused() {
        for (samples, classes) in [(1, 1 << 32), (0, 1 << 32), (1, usize::MAX), (usize::MAX, 1), (1 << 20, 1 << 20)] {
            let error = Confusion::new(samples, classes).unwrap_err();
            assert!(matches!(error, Error::TooLarge { what: "confusion", .. }), "{error}");
        }
    }
}
