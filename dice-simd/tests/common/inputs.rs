//! A prediction and everything that it may be compared with, of any element types, each tensor in its own place.

use std::fmt::Debug;

use dice_core::half::{bf16, f16};
use dice_core::{Dense, Error, Labels, LossHead, Problem, Target};
use dice_simd::{Engine, Executor, Float};

use super::{Placed, Random, Tensor, map_of};

/// An element type of predictions and gradients, as the tests see it.
pub(crate) trait Number: Float + Into<f64> + PartialEq + Debug {
    const NAME: &'static str;
    /// By how much one rounding to the type may be off, relative, and, near 0, absolute.
    const ROUNDING: (f64, f64);
    /// The least number that is not subnormal.
    const LEAST_NORMAL: f64;
    /// Whether the kernels compute in f64.
    const IS_DOUBLE: bool = false;
    fn of(x: f64) -> Self;
}

impl Number for f16 {
    const NAME: &'static str = "f16";
    const LEAST_NORMAL: f64 = 1.0 / 16_384.0;
    const ROUNDING: (f64, f64) = (1.0 / 2048.0, 1.0 / 33_554_432.0);
    fn of(x: f64) -> Self {
        Self::from_f64(x)
    }
}
impl Number for bf16 {
    const NAME: &'static str = "bf16";
    const LEAST_NORMAL: f64 = f32::MIN_POSITIVE as f64;
    const ROUNDING: (f64, f64) = (1.0 / 256.0, 1e-40);
    fn of(x: f64) -> Self {
        Self::from_f64(x)
    }
}
impl Number for f32 {
    const NAME: &'static str = "f32";
    const LEAST_NORMAL: f64 = f32::MIN_POSITIVE as f64;
    const ROUNDING: (f64, f64) = (1.0 / 16_777_216.0, 1e-45);
    fn of(x: f64) -> Self {
        x as Self
    }
}
impl Number for f64 {
    const NAME: &'static str = "f64";
    const LEAST_NORMAL: f64 = Self::MIN_POSITIVE;
    const ROUNDING: (f64, f64) = (1.0 / 9_007_199_254_740_992.0, 0.0);
    const IS_DOUBLE: bool = true;
    fn of(x: f64) -> Self {
        x
    }
}

/// Calls `$body` with `$t` and `$g` standing for the types of logits and gradient of these names.
macro_rules! with_types {
    ($types:expr, |$t:ident, $g:ident| $body:expr) => {{
        use dice_core::half::{bf16, f16};
        macro_rules! run {
            ($a:ty, $b:ty) => {{
                type $t = $a;
                type $g = $b;
                $body
            }};
        }
        match $types {
            ("f16", "f16") => run!(f16, f16),
            ("f16", "bf16") => run!(f16, bf16),
            ("f16", "f32") => run!(f16, f32),
            ("bf16", "f16") => run!(bf16, f16),
            ("bf16", "bf16") => run!(bf16, bf16),
            ("bf16", "f32") => run!(bf16, f32),
            ("f32", "f16") => run!(f32, f16),
            ("f32", "bf16") => run!(f32, bf16),
            ("f32", "f32") => run!(f32, f32),
            ("f64", "f64") => run!(f64, f64),
            (logits, gradient) => unreachable!("no gradient of {gradient} for logits of {logits}"),
        }
    }};
}
pub(crate) use with_types;

/// The types of logits and gradient that go together.
pub(crate) const TYPES: [(&str, &str); 10] = [
    ("f16", "f16"),
    ("f16", "bf16"),
    ("f16", "f32"),
    ("bf16", "f16"),
    ("bf16", "bf16"),
    ("bf16", "f32"),
    ("f32", "f16"),
    ("f32", "bf16"),
    ("f32", "f32"),
    ("f64", "f64"),
];

/// Makes an enum of tensors over element types, from numbers of one type.
macro_rules! any_tensor {
    ($name:ident of $number:ty, seen as $view:ident, {
        $($variant:ident($element:ty) = $text:literal, $convert:expr, $back:expr, $see:expr;)*
    }) => {
        #[derive(Debug, Clone)]
        pub(crate) enum $name {
            $($variant(Tensor<$element>),)*
        }

        impl $name {
            pub(crate) const NAMES: &'static [&'static str] = &[$($text),*];

            /// `numbers` in row-major order, in the element type of this name.
            pub(crate) fn new(name: &str, place: Placed, numbers: &[$number], elsewhere: $number) -> Self {
                match name {
                    $($text => {
                        let convert: fn($number) -> $element = $convert;
                        let numbers: Vec<$element> = numbers.iter().map(|&x| convert(x)).collect();
                        Self::$variant(Tensor::placed(place, &numbers, convert(elsewhere)))
                    })*
                    name => unreachable!("no tensor of {name}"),
                }
            }

            pub(crate) fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $text,)*
                }
            }

            pub(crate) fn place(&self) -> &Placed {
                match self {
                    $(Self::$variant(tensor) => &tensor.place,)*
                }
            }

            pub(crate) fn view(&self) -> $view<'_> {
                match self {
                    $(Self::$variant(tensor) => $see(tensor.view()),)*
                }
            }

            /// The numbers in row-major order.
            pub(crate) fn numbers(&self) -> Vec<$number> {
                match self {
                    $(Self::$variant(tensor) => {
                        let back: fn($element) -> $number = $back;
                        tensor.place.gather(&tensor.data).into_iter().map(back).collect()
                    })*
                }
            }

            /// Writes to a place of memory.
            pub(crate) fn set(&mut self, element: usize, number: $number) {
                match self {
                    $(Self::$variant(tensor) => {
                        [tensor.data[element]] = [number].map($convert);
                    })*
                }
            }

            pub(crate) fn moved(&self, place: Placed) -> Self {
                match self {
                    $(Self::$variant(tensor) => Self::$variant(tensor.moved(place, <$element>::default())),)*
                }
            }
        }
    };
}

any_tensor!(LabelTensor of i64, seen as Labels, {
    Bool(bool) = "bool", |x| x != 0, i64::from, Labels::from;
    // Bytes as truth values: any but 0 is true.
    Truth(u8) = "truth", |x| if x == 0 { 0 } else { 100 + x as u8 }, |x| i64::from(x != 0), Labels::Bool;
    U8(u8) = "u8", |x| x as u8, i64::from, Labels::from;
    I8(i8) = "i8", |x| x as i8, i64::from, Labels::from;
    U16(u16) = "u16", |x| x as u16, i64::from, Labels::from;
    I16(i16) = "i16", |x| x as i16, i64::from, Labels::from;
    U32(u32) = "u32", |x| x as u32, i64::from, Labels::from;
    I32(i32) = "i32", |x| x as i32, i64::from, Labels::from;
    U64(u64) = "u64", |x| x as u64, |x| i64::try_from(x).unwrap_or(i64::MAX), Labels::from;
    I64(i64) = "i64", |x| x, |x| x, Labels::from;
});

impl LabelTensor {
    /// The names of those that hold labels of so many classes.
    pub(crate) fn holding(classes: usize) -> &'static [&'static str] {
        let truth_values = 2;
        if classes > 2 { &Self::NAMES[truth_values..] } else { Self::NAMES }
    }
}

any_tensor!(DenseTensor of f64, seen as Dense, {
    Bool(bool) = "bool", |x| x != 0.0, |x| f64::from(u8::from(x)), Dense::from;
    Truth(u8) = "truth", |x| if x == 0.0 { 0 } else { 200 }, |x| f64::from(u8::from(x != 0)), Dense::Bool;
    U8(u8) = "u8", |x| x as u8, f64::from, Dense::from;
    F16(f16) = "f16", f16::from_f64, f64::from, Dense::from;
    Bf16(bf16) = "bf16", bf16::from_f64, f64::from, Dense::from;
    F32(f32) = "f32", |x| x as f32, f64::from, Dense::from;
    F64(f64) = "f64", |x| x, f64::from, Dense::from;
});

/// What a prediction is compared with.
#[derive(Debug, Clone)]
pub(crate) enum Truth {
    Labels(LabelTensor),
    Dense(DenseTensor),
}

impl Truth {
    pub(crate) fn target(&self) -> Target<'_> {
        match self {
            Self::Labels(labels) => labels.view().into(),
            Self::Dense(dense) => dense.view().into(),
        }
    }

    fn moved(&self, place: Placed) -> Self {
        match self {
            Self::Labels(labels) => Self::Labels(labels.moved(place)),
            Self::Dense(dense) => Self::Dense(dense.moved(place)),
        }
    }
}

/// What becomes of what the place of a gradient holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Overwrite,
    Accumulate,
    InPlace,
}

/// A prediction, all that a [`Problem`] may hold, and the place of a gradient.
#[derive(Debug, Clone)]
pub(crate) struct Inputs<T> {
    pub(crate) logits: Tensor<T>,
    pub(crate) truth: Truth,
    pub(crate) mask: Option<Tensor<u8>>,
    pub(crate) weights: Option<Tensor<f32>>,
    pub(crate) sample_weights: Option<Vec<f32>>,
    pub(crate) ignored: Option<i64>,
    pub(crate) offset: usize,
    pub(crate) gradient: Placed,
}

impl<T: Number> Inputs<T> {
    /// Compact tensors: numbers in row-major order, labels of one byte.
    pub(crate) fn labelled(shape: &[usize], logits: &[f64], labels: &[i64]) -> Self {
        let truth = Truth::Labels(LabelTensor::new("u8", Placed::channels_first(&map_of(shape)), labels, 0));
        Self::new(shape, logits, truth)
    }

    /// Compact logits, and a truth; every voxel counts.
    pub(crate) fn new(shape: &[usize], logits: &[f64], truth: Truth) -> Self {
        let logits: Vec<T> = logits.iter().map(|&z| T::of(z)).collect();
        let place = Placed::channels_first(shape);
        Self {
            logits: Tensor::placed(place.clone(), &logits, T::of(f64::NAN)),
            truth,
            mask: None,
            weights: None,
            sample_weights: None,
            ignored: None,
            offset: 0,
            gradient: place,
        }
    }

    /// The same with mask, voxel weights and sample weights, drawn at random.
    pub(crate) fn weighted(self, random: &mut Random) -> Self {
        let map = Placed::channels_first(&map_of(self.shape()));
        let mask: Vec<u8> = (0..map.len).map(|_| u8::from(!random.once_in(9))).collect();
        let weights: Vec<f32> = (0..map.len).map(|_| random.within(0.0, 3.0)).collect();
        Self {
            sample_weights: Some((0..self.samples()).map(|_| random.within(0.5, 2.0)).collect()),
            mask: Some(Tensor::placed(map.clone(), &mask, 0)),
            weights: Some(Tensor::placed(map, &weights, f32::NAN)),
            ..self
        }
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.logits.place.shape
    }

    pub(crate) fn samples(&self) -> usize {
        self.shape()[0]
    }

    pub(crate) fn classes(&self) -> usize {
        self.shape()[1]
    }

    pub(crate) fn voxels(&self) -> usize {
        self.shape()[2..].iter().product()
    }

    pub(crate) fn problem(&self) -> Problem<'_> {
        Problem {
            ignore_index: self.ignored,
            mask: self.mask.as_ref().map(Tensor::view),
            voxel_weights: self.weights.as_ref().map(Tensor::view),
            sample_weights: self.sample_weights.as_deref(),
            offset: self.offset,
            ..Problem::new(self.truth.target())
        }
    }

    /// m and g of every voxel: g of all channels, in row-major order. A voxel that does not count has m = 0.
    pub(crate) fn weights_and_targets(&self) -> (Vec<f64>, Vec<f64>) {
        let (samples, classes, voxels) = (self.samples(), self.classes(), self.voxels());
        let labels = match &self.truth {
            Truth::Labels(labels) => Some(labels.numbers()),
            Truth::Dense(_) => None,
        };
        let mask = self.mask.as_ref().map(|mask| mask.place.gather(&mask.data));
        let weights = self.weights.as_ref().map(|weights| weights.place.gather(&weights.data));
        let mut m = vec![1.0; samples * voxels];
        for (at, m) in m.iter_mut().enumerate() {
            let masked = mask.as_ref().is_some_and(|mask| mask[at] == 0);
            if masked || labels.as_ref().is_some_and(|labels| Some(labels[at]) == self.ignored) {
                *m = 0.0;
                continue;
            }
            let of_sample = self.sample_weights.as_ref().map_or(1.0, |weights| weights[at / voxels]);
            *m = f64::from(weights.as_ref().map_or(1.0, |weights| weights[at]) * of_sample);
        }
        let g = match (&self.truth, labels) {
            (Truth::Dense(dense), _) => dense.numbers(),
            (Truth::Labels(_), labels) => {
                let labels = labels.expect("read above");
                let mut g = vec![0.0; samples * classes * voxels];
                for (at, g) in g.iter_mut().enumerate() {
                    let (sample, class) = (at / (classes * voxels), at / voxels % classes);
                    let first = i64::from(classes == 1);
                    *g = f64::from(labels[sample * voxels + at % voxels].wrapping_sub(first) == class as i64);
                }
                g
            }
        };
        (m, g)
    }

    /// The same contents with every tensor compact and channels first.
    pub(crate) fn compact(&self) -> Self {
        let compact = |place: &Placed| Placed::channels_first(&place.shape);
        Self {
            logits: self.logits.moved(compact(&self.logits.place), T::of(0.0)),
            truth: match &self.truth {
                Truth::Labels(labels) => self.truth.moved(compact(labels.place())),
                Truth::Dense(dense) => self.truth.moved(compact(dense.place())),
            },
            mask: self.mask.as_ref().map(|mask| mask.moved(compact(&mask.place), 0)),
            weights: self.weights.as_ref().map(|weights| weights.moved(compact(&weights.place), 0.0)),
            sample_weights: self.sample_weights.clone(),
            gradient: compact(&self.gradient),
            ..*self
        }
    }

    /// The words of the statistics, the values and the gradient in the element type `G`, to be compared bit for bit; or the errors
    /// that they end with, and the gradient that is as it was.
    pub(crate) fn bits<G: Number<Arithmetic = T::Arithmetic>, X: Executor>(
        &self,
        engine: &Engine<X>,
        loss: &dyn LossHead,
    ) -> AnyBits {
        let (logits, problem) = (self.logits.view(), self.problem());
        let statistics = engine.statistics(&logits, &problem, &loss.request());
        let mut data = vec![G::of(-12_345.0); self.gradient.len];
        let mut view = self.gradient.view_mut(&mut data);
        let evaluation = engine.value_and_grad(&logits, &problem, loss, &[1.0], &mut view);
        AnyBits {
            words: statistics.map(|found| found.as_limbs().to_vec()),
            values: evaluation.map(|found| found.values.iter().map(|x| x.to_bits()).collect()),
            gradient: bits_of(&self.gradient.gather(&data)),
        }
    }
}

/// What must be the same everywhere, whatever the element types.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AnyBits {
    pub(crate) words: Result<Vec<i64>, Error>,
    pub(crate) values: Result<Vec<u64>, Error>,
    /// See [`bits_of`].
    pub(crate) gradient: Vec<u64>,
}

impl AnyBits {
    /// As `assert_eq`, without printing whole volumes.
    #[track_caller]
    pub(crate) fn demand(&self, expected: &Self, context: &dyn std::fmt::Display) {
        assert_eq!(self.words, expected.words, "{context}: words of the statistics");
        assert_eq!(self.values, expected.values, "{context}: values");
        demand_equal(&self.gradient, &expected.gradient, context);
    }
}

/// Demands the same [bits](bits_of) of two gradients.
#[track_caller]
pub(crate) fn demand_equal(found: &[u64], expected: &[u64], context: &dyn std::fmt::Display) {
    assert_eq!(found.len(), expected.len(), "{context}");
    if let Some(at) = (0..found.len()).find(|&i| found[i] != expected[i]) {
        let (found, expected) = (f64::from_bits(found[at]), f64::from_bits(expected[at]));
        panic!("{context}: element {at} of the gradient is {found:e} and should be {expected:e}");
    }
}

/// The bits of numbers of any type as f64, in which every one is exact, and the sign of a NaN is kept.
pub(crate) fn bits_of<G: Number>(numbers: &[G]) -> Vec<u64> {
    numbers.iter().map(|&x| Into::<f64>::into(x).to_bits()).collect()
}
