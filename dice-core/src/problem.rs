//! What a prediction is compared with, and which of its voxels count.

use core::ops::Range;

use half::{bf16, f16};

use crate::error::Error;
use crate::view::{Layout, View};

/// Makes an enum of views over the element types.
macro_rules! any_view {
    ($(#[$attribute:meta])* $name:ident as $number:ty { $($(#[$doc:meta])* $variant:ident($element:ty) => $convert:expr,)* }) => {
        any_view! { @enum $(#[$attribute])* $name as $number {
            /// A byte per voxel: 0 is false, which is the number 0, and any other is true, which is 1.
            Bool(u8) => |byte| <$number>::from(byte != 0),
            $($(#[$doc])* $variant($element) => $convert,)*
        } }

        $(
            impl<'a> From<View<'a, $element>> for $name<'a> {
                fn from(view: View<'a, $element>) -> Self {
                    Self::$variant(view)
                }
            }
        )*

        impl<'a> From<View<'a, bool>> for $name<'a> {
            fn from(view: View<'a, bool>) -> Self {
                Self::U8(view.as_u8())
            }
        }
    };
    (@enum $(#[$attribute:meta])* $name:ident as $number:ty { $($(#[$doc:meta])* $variant:ident($element:ty) => $convert:expr,)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy)]
        #[non_exhaustive]
        pub enum $name<'a> {
            $($(#[$doc])* $variant(View<'a, $element>),)*
        }

        impl $name<'_> {
            /// Extents and strides.
            pub fn layout(&self) -> &Layout {
                match self {
                    $(Self::$variant(view) => view.layout(),)*
                }
            }

            /// The element `element` of the borrowed slice, see [`Layout::origin`] and [`Walk::runs`](crate::Walk::runs).
            ///
            /// # Panics
            /// If `element` lies outside the slice.
            pub fn at(&self, element: usize) -> $number {
                match self {
                    $(Self::$variant(view) => $convert(view.data()[element]),)*
                }
            }

            /// The samples `samples` alone.
            ///
            /// # Errors
            /// [`Error::SampleRange`].
            pub fn samples(&self, samples: Range<usize>) -> Result<Self, Error> {
                Ok(match self {
                    $(Self::$variant(view) => Self::$variant(view.samples(samples)?),)*
                })
            }
        }
    };
}

any_view! {
    /// A map of hard labels `[N, spatial…]`. `bool` is 0 and 1.
    Labels as i64 {
        /// One unsigned byte per voxel.
        U8(u8) => i64::from,
        /// One signed byte per voxel.
        I8(i8) => i64::from,
        /// Two unsigned bytes per voxel.
        U16(u16) => i64::from,
        /// Two signed bytes per voxel.
        I16(i16) => i64::from,
        /// Four unsigned bytes per voxel.
        U32(u32) => i64::from,
        /// Four signed bytes per voxel.
        I32(i32) => i64::from,
        /// Eight unsigned bytes per voxel. A label above 2^63 − 1 is no class, and named as that.
        U64(u64) => |label| i64::try_from(label).unwrap_or(i64::MAX),
        /// Eight signed bytes per voxel.
        I64(i64) => i64::from,
    }
}

any_view! {
    /// A one-hot or soft target `[N, C, spatial…]`: how much of each voxel belongs to each class. `bool` is 0 and 1.
    Dense as f64 {
        /// Integers, 0 and 1 as a rule.
        U8(u8) => f64::from,
        /// IEEE half precision.
        F16(f16) => f64::from,
        /// The upper half of an f32.
        Bf16(bf16) => f64::from,
        /// Single precision.
        F32(f32) => f64::from,
        /// Double precision; f32 kernels round it.
        F64(f64) => f64::from,
    }
}

/// The truth that a prediction is compared with.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Target<'a> {
    /// One class per voxel. With one channel a label is 0 (background) or 1 (the class).
    Labels(Labels<'a>),
    /// A number per voxel and class.
    Dense(Dense<'a>),
}

impl Target<'_> {
    /// Extents and strides.
    pub fn layout(&self) -> &Layout {
        match self {
            Self::Labels(labels) => labels.layout(),
            Self::Dense(dense) => dense.layout(),
        }
    }
}

impl<'a> From<Labels<'a>> for Target<'a> {
    fn from(labels: Labels<'a>) -> Self {
        Self::Labels(labels)
    }
}

impl<'a> From<Dense<'a>> for Target<'a> {
    fn from(dense: Dense<'a>) -> Self {
        Self::Dense(dense)
    }
}

/// A view of a type that only labels have is a label map, and one that only a dense target has is that. Of bytes, which both may
/// be, it is a label map.
macro_rules! targets {
    ($($kind:ident: $($element:ty),*;)*) => {
        $($(
            impl<'a> From<View<'a, $element>> for Target<'a> {
                fn from(view: View<'a, $element>) -> Self {
                    Self::$kind(view.into())
                }
            }
        )*)*
    };
}

targets! {
    Labels: bool, u8, i8, u16, i16, u32, i32, u64, i64;
    Dense: f16, bf16, f32, f64;
}

/// What [`Problem::masked`] takes: a view of bytes, 0 or not, or of `bool`.
#[derive(Debug, Clone, Copy)]
pub struct Mask<'a>(View<'a, u8>);

impl<'a> From<View<'a, u8>> for Mask<'a> {
    fn from(view: View<'a, u8>) -> Self {
        Self(view)
    }
}

impl<'a> From<View<'a, bool>> for Mask<'a> {
    fn from(view: View<'a, bool>) -> Self {
        Self(view.as_u8())
    }
}

/// What becomes of a logit that has no probability (NaN; +∞, or nothing but −∞, under a softmax; ±∞ where the prediction is
/// used as it is) and of a value of a dense target that is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NonFinite {
    /// The value and the gradient become NaN, as mixed-precision training loops expect.
    #[default]
    Propagate,
    /// The statistics pass reports the first one as [`Error::NonFiniteTarget`] or [`Error::NonFiniteLogit`].
    Error,
}

/// A target with the rules for reading it. One problem serves any number of predictions of its shape.
///
/// A voxel has the weight m = sample weight × voxel weight, and 0 where the mask or the ignored label takes it out. A voxel of
/// weight 0 is never looked at: its logits may be NaN, its label impossible, its gradient is +0.
///
/// ```
/// # use dice_core::{Problem, View};
/// let (labels, mask, weights) = ([0, 1, 255, 1_u8], [true, true, true, false], [1.0, 2.0, 1.0, 1.0_f32]);
/// let map = [2, 2]; // [N, spatial…]
/// let problem = Problem::new(View::map(&labels, &map)?)
///     .ignoring(255)
///     .masked(View::map(&mask, &map)?)
///     .weighing_voxels(View::map(&weights, &map)?)
///     .weighing_samples(&[1.0, 0.5]);
/// // A soft target.
/// let soft = Problem::new(View::channels_first(&[0.25_f32; 8], &[2, 2, 2])?);
/// # Ok::<(), dice_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// The truth: labels of the prediction's samples and spatial extents, or a dense target of its shape.
    pub target: Target<'a>,
    /// A label, inside or outside the classes, whose voxels are left out of every sum and have gradient +0. Not for dense
    /// targets.
    pub ignore_index: Option<i64>,
    /// `[N, spatial…]`: only voxels with a number other than 0 count.
    pub mask: Option<View<'a, u8>>,
    /// `[N, spatial…]`: weights from 0 to [`GREATEST_WEIGHT`](Self::GREATEST_WEIGHT).
    pub voxel_weights: Option<View<'a, f32>>,
    /// One weight per sample, from 0 to [`GREATEST_WEIGHT`](Self::GREATEST_WEIGHT).
    pub sample_weights: Option<&'a [f32]>,
    /// Where the prediction is a part of a larger volume, such as a slab of it: the index there of its first voxel, in
    /// row-major order. Parts whose bounds are multiples of the tile then merge to the bits of the whole.
    pub offset: usize,
    /// What becomes of a logit without a probability.
    pub non_finite: NonFinite,
    /// The caller vouches that every label is a class or ignored, and every weight in range, so that a fast pullback on its
    /// own need not look again. A voxel whose label or weight is not is then ignored.
    pub labels_checked: bool,
}

impl<'a> Problem<'a> {
    /// The greatest weight of a voxel, a sample, or both together.
    pub const GREATEST_WEIGHT: f32 = 1e8;
    /// The greatest [offset](Self::offset): a quarter of the address space, 2^62 on machines of 64 bits.
    pub const GREATEST_OFFSET: usize = usize::MAX / 4 + 1;

    /// Every voxel of `target` counts.
    pub fn new(target: impl Into<Target<'a>>) -> Self {
        Self {
            target: target.into(),
            ignore_index: None,
            mask: None,
            voxel_weights: None,
            sample_weights: None,
            offset: 0,
            non_finite: NonFinite::default(),
            labels_checked: false,
        }
    }

    /// The same with `label` ignored.
    #[must_use]
    pub fn ignoring(self, label: i64) -> Self {
        Self { ignore_index: Some(label), ..self }
    }

    /// The same, in which only the voxels count whose number in `mask` `[N, spatial…]` is not 0.
    #[must_use]
    pub fn masked(self, mask: impl Into<Mask<'a>>) -> Self {
        Self { mask: Some(mask.into().0), ..self }
    }

    /// The same with a weight per voxel, `[N, spatial…]`.
    #[must_use]
    pub fn weighing_voxels(self, weights: View<'a, f32>) -> Self {
        Self { voxel_weights: Some(weights), ..self }
    }

    /// The same with a weight per sample.
    #[must_use]
    pub fn weighing_samples(self, weights: &'a [f32]) -> Self {
        Self { sample_weights: Some(weights), ..self }
    }

    /// The same for a part of a larger volume, see [`offset`](Self::offset).
    #[must_use]
    pub fn at(self, offset: usize) -> Self {
        Self { offset, ..self }
    }

    /// The same, where a logit without a probability is an error.
    #[must_use]
    pub fn refusing_non_finite(self) -> Self {
        Self { non_finite: NonFinite::Error, ..self }
    }

    /// The same, whose labels and weights the caller [vouches for](Self::labels_checked).
    #[must_use]
    pub fn with_checked_labels(self) -> Self {
        Self { labels_checked: true, ..self }
    }

    /// The samples `samples` alone, for a prediction of [those](View::samples).
    ///
    /// # Errors
    /// [`Error::SampleRange`].
    pub fn samples(&self, samples: Range<usize>) -> Result<Self, Error> {
        Ok(Self {
            target: match self.target {
                Target::Labels(labels) => labels.samples(samples.clone())?.into(),
                Target::Dense(dense) => dense.samples(samples.clone())?.into(),
            },
            mask: self.mask.map(|mask| mask.samples(samples.clone())).transpose()?,
            voxel_weights: self.voxel_weights.map(|weights| weights.samples(samples.clone())).transpose()?,
            sample_weights: match self.sample_weights {
                Some(weights) => {
                    let Range { start, end } = samples;
                    let error = Error::SampleRange { start, end, samples: weights.len() };
                    Some(weights.get(samples).ok_or(error)?)
                }
                None => None,
            },
            ..*self
        })
    }

    /// Checks the problem against the layout of a prediction.
    ///
    /// # Errors
    /// [`Error::ZeroClasses`], [`Error::ShapeMismatch`], [`Error::MapWithChannels`], [`Error::Length`] and [`Error::Weight`] of the sample weights,
    /// [`Error::InvalidParameter`] of an ignored label beside a dense target, [`Error::Offset`] beyond
    /// [`GREATEST_OFFSET`](Self::GREATEST_OFFSET).
    pub fn check(&self, logits: &Layout) -> Result<CheckedProblem<'a>, Error> {
        if logits.channels() == 0 {
            return Err(Error::ZeroClasses { shape: logits.written() });
        }
        self.check_grid(logits, "the logits'")?;
        let one_channel = logits.channels() == 1;
        Ok(CheckedProblem { problem: *self, allowed: logits.channels().max(2), first: i64::from(one_channel) })
    }

    /// Checks the problem against a label map of `classes` classes as prediction.
    ///
    /// # Errors
    /// As [`check`](Self::check), [`Error::DenseTarget`], and [`Error::InvalidParameter`] of more than 2^31 − 1 classes.
    pub fn check_map(&self, prediction: &Layout, classes: usize) -> Result<CheckedProblem<'a>, Error> {
        if classes == 0 {
            return Err(Error::ZeroClasses { shape: prediction.written() });
        }
        // A class is an i32 to the passes.
        if i32::try_from(classes).is_err() {
            let value = classes as f64;
            return Err(Error::InvalidParameter { name: "classes", value, requirement: "at most 2147483647" });
        }
        if let Target::Dense(_) = self.target {
            return Err(Error::DenseTarget);
        }
        let target = self.target.layout();
        if prediction.channels() != 1 && prediction.dims().len() == target.dims().len() {
            return Err(Error::MapWithChannels { what: "predicted label map", shape: prediction.written() });
        }
        if prediction.channels() != 1 || !prediction.same_grid(target) {
            let (expected, found) = (target.written(), prediction.written());
            return Err(Error::ShapeMismatch { what: "predicted label map", whose: "the target's", expected, found });
        }
        self.check_grid(prediction, "the label maps'")?;
        Ok(CheckedProblem { problem: *self, allowed: classes, first: 0 })
    }

    /// Checks everything against the samples and voxels of a prediction, the logits' or the label maps'.
    fn check_grid(&self, logits: &Layout, whose: &'static str) -> Result<(), Error> {
        let mismatch = |what, found: &Layout| {
            let (expected, found) = (logits.written(), found.written());
            Err(Error::ShapeMismatch { what, whose, expected, found })
        };
        let check_map = |what, map: &Layout| {
            if map.channels() != 1 && map.dims().len() == logits.dims().len() {
                return Err(Error::MapWithChannels { what, shape: map.written() });
            }
            if map.channels() == 1 && map.same_grid(logits) { Ok(()) } else { mismatch(what, map) }
        };
        match self.target {
            Target::Labels(labels) => check_map("label map", labels.layout())?,
            Target::Dense(dense) if dense.layout().dims() != logits.dims() => {
                return mismatch("dense target", dense.layout());
            }
            Target::Dense(_) if self.ignore_index.is_some() => {
                let value = self.ignore_index.map_or(0.0, |label| label as f64);
                let requirement = "absent where the target is dense";
                return Err(Error::InvalidParameter { name: "ignore_index", value, requirement });
            }
            _ => {}
        }
        if let Some(mask) = self.mask {
            check_map("mask", mask.layout())?;
        }
        if let Some(weights) = self.voxel_weights {
            check_map("voxel weights", weights.layout())?;
        }
        if let Some(weights) = self.sample_weights {
            if weights.len() != logits.samples() {
                let (expected, found) = (logits.samples(), weights.len());
                return Err(Error::Length { what: "sample weights", expected, found });
            }
            if let Some(sample) = weights.iter().position(|&weight| !is_weight(weight)) {
                let (index, value) = (sample as u64, weights[sample].into());
                return Err(Error::Weight { what: "sample weights", index, value });
            }
        }
        if self.offset > Self::GREATEST_OFFSET {
            return Err(Error::Offset { offset: self.offset, greatest: Self::GREATEST_OFFSET });
        }
        Ok(())
    }
}

fn is_weight(weight: f32) -> bool {
    (0.0..=Problem::GREATEST_WEIGHT).contains(&weight)
}

/// A [`Problem`] that fits a prediction.
#[derive(Debug, Clone, Copy)]
pub struct CheckedProblem<'a> {
    /// The problem.
    pub problem: Problem<'a>,
    /// Labels 0..allowed are allowed: the classes, or 2 with one channel.
    pub allowed: usize,
    /// The label of channel 0: 0, or 1 with one channel.
    pub first: i64,
}

impl CheckedProblem<'_> {
    /// The channel of `label`: `Some(channel)`, or `Some(-1)` for the background of a one-channel prediction, or `None`
    /// if the label is ignored.
    ///
    /// # Errors
    /// `Err(())` if the label is neither a class nor ignored.
    #[expect(clippy::result_unit_err, reason = "only the caller knows the index that the error must name")]
    pub fn channel(&self, label: i64) -> Result<Option<i32>, ()> {
        if Some(label) == self.problem.ignore_index {
            Ok(None)
        } else if (0..self.allowed as i64).contains(&label) {
            Ok(Some((label - self.first) as i32))
        } else {
            Err(())
        }
    }

    /// The weight of a voxel of `sample` whose voxel weight is `weight`, mask and ignored label apart: the product of both,
    /// rounded to f32.
    ///
    /// # Errors
    /// `Err(())` if the voxel weight, or the product, is no weight.
    #[expect(clippy::result_unit_err, reason = "only the caller knows the index that the error must name")]
    pub fn weight(&self, sample: usize, weight: f32) -> Result<f32, ()> {
        let product = self.problem.sample_weights.map_or(1.0, |weights| weights[sample]) * weight;
        if is_weight(weight) && is_weight(product) { Ok(product) } else { Err(()) }
    }

    /// Whether all voxels count alike that are neither ignored nor masked out.
    pub fn is_unweighted(&self) -> bool {
        self.problem.voxel_weights.is_none() && self.problem.sample_weights.is_none()
    }
}
