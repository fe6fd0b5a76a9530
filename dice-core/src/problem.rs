//! What a prediction is compared with.

use crate::error::{Dims, Error};
use crate::view::{Layout, View};

/// A map of hard labels `[N, 1, spatial…]`.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Labels<'a> {
    /// One unsigned byte per voxel.
    U8(View<'a, u8>),
}

impl Labels<'_> {
    /// Extents and strides of the map.
    pub fn layout(&self) -> &Layout {
        match self {
            Self::U8(view) => view.layout(),
        }
    }

    /// The label at an element of the borrowed slice, see [`Layout::origin`] and [`Walk::runs`](crate::Walk::runs).
    ///
    /// # Panics
    /// If `element` lies outside the slice.
    pub fn at(&self, element: usize) -> i64 {
        match self {
            Self::U8(view) => i64::from(view.data()[element]),
        }
    }
}

/// The truth that a prediction is compared with.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Target<'a> {
    /// One class per voxel. With one channel a label is 0 (background) or 1 (the class).
    Labels(Labels<'a>),
}

impl<'a> From<View<'a, u8>> for Target<'a> {
    fn from(labels: View<'a, u8>) -> Self {
        Self::Labels(Labels::U8(labels))
    }
}

/// What becomes of a logit that has no probability: NaN; +∞, or nothing but −∞, under a softmax; ±∞ where the prediction is
/// used as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NonFinite {
    /// The value and the gradient become NaN, as mixed-precision training loops expect.
    #[default]
    Propagate,
    /// The statistics pass reports the first such logit as [`Error::NonFiniteLogit`].
    Error,
}

/// A target with the rules for reading it. One problem serves any number of predictions of its shape.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// The truth, of the prediction's samples and spatial extents.
    pub target: Target<'a>,
    /// A label, inside or outside the classes, whose voxels are left out of every sum and have gradient +0.
    pub ignore_index: Option<i64>,
    /// What becomes of a logit without a probability.
    pub non_finite: NonFinite,
    /// The caller vouches that every label is a class or ignored, so that a fast pullback on its own need not look again. A
    /// label that is neither is then ignored.
    pub labels_checked: bool,
}

impl<'a> Problem<'a> {
    /// Every voxel of `target` counts.
    pub fn new(target: impl Into<Target<'a>>) -> Self {
        Self { target: target.into(), ignore_index: None, non_finite: NonFinite::default(), labels_checked: false }
    }

    /// The same with `label` ignored.
    #[must_use]
    pub fn ignoring(self, label: i64) -> Self {
        Self { ignore_index: Some(label), ..self }
    }

    /// Checks the problem against the layout of a prediction.
    ///
    /// # Errors
    /// [`Error::ZeroClasses`], [`Error::ShapeMismatch`].
    pub fn check(&self, logits: &Layout) -> Result<CheckedProblem<'a>, Error> {
        if logits.channels() == 0 {
            return Err(Error::ZeroClasses { shape: Dims::new(logits.dims()) });
        }
        let Target::Labels(labels) = self.target;
        let map = labels.layout();
        if map.channels() != 1 || !map.same_grid(logits) {
            let (expected, found) = (Dims::new(logits.dims()), Dims::new(map.dims()));
            return Err(Error::ShapeMismatch { what: "label map", expected, found });
        }
        Ok(CheckedProblem {
            labels,
            allowed: logits.channels().max(2),
            first: i64::from(logits.channels() == 1),
            ignore_index: self.ignore_index,
        })
    }
}

/// A [`Problem`] whose target has the prediction's shape.
#[derive(Debug, Clone, Copy)]
pub struct CheckedProblem<'a> {
    /// The label map.
    pub labels: Labels<'a>,
    /// Labels 0..allowed are allowed: the classes, or 2 with one channel.
    pub allowed: usize,
    /// The label of channel 0: 0, or 1 with one channel.
    pub first: i64,
    /// The label to leave out.
    pub ignore_index: Option<i64>,
}

impl CheckedProblem<'_> {
    /// The channel of `label`: `Some(channel)`, or `Some(-1)` for the background of a one-channel prediction, or `None`
    /// if the label is ignored.
    ///
    /// # Errors
    /// `Err(())` if the label is neither a class nor ignored.
    #[expect(clippy::result_unit_err, reason = "only the caller knows the index that the error must name")]
    pub fn channel(&self, label: i64) -> Result<Option<i32>, ()> {
        if Some(label) == self.ignore_index {
            Ok(None)
        } else if (0..self.allowed as i64).contains(&label) {
            Ok(Some((label - self.first) as i32))
        } else {
            Err(())
        }
    }
}
