//! A prediction, its labels and a gradient, each lying in memory in its own way.

use dice_core::loss::GeneralizedDice;
use dice_core::{Cotangent, Error, Evaluation, LossHead, Problem, Request, Statistics, View, ViewMut, reference};
use dice_simd::{Engine, Executor};

use super::Random;

/// Stands in outputs before a call.
pub(crate) const UNWRITTEN: f32 = -12_345.0;

/// How an axis is stepped along.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    /// Takes every `step`-th place.
    pub(crate) step: usize,
    /// Unused places after each turn of the finer axes.
    pub(crate) gap: usize,
    /// Runs backwards.
    pub(crate) flipped: bool,
    /// Stands still: stride 0.
    pub(crate) repeated: bool,
}

impl Axis {
    pub(crate) const PLAIN: Self = Self { step: 1, gap: 0, flipped: false, repeated: false };
    pub(crate) const FLIPPED: Self = Self { flipped: true, ..Self::PLAIN };
    pub(crate) const REPEATED: Self = Self { repeated: true, ..Self::PLAIN };
    /// As a crop leaves a row, plane or volume.
    pub(crate) const CROPPED: Self = Self { gap: 3, ..Self::PLAIN };
    /// Every second voxel.
    pub(crate) const SAMPLED: Self = Self { step: 2, gap: 1, ..Self::PLAIN };
}

/// How a tensor of some shape lies in a slice.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<isize>,
    pub(crate) start: usize,
    pub(crate) len: usize,
}

impl Placed {
    /// `order` lists the axes from the coarsest to the finest.
    pub(crate) fn new(shape: &[usize], order: &[usize], axes: &[Axis]) -> Self {
        let mut placed = Self { shape: shape.to_vec(), strides: vec![0; shape.len()], start: 0, len: 1 };
        for &axis in order.iter().rev() {
            let Axis { step, gap, flipped, repeated } = axes[axis];
            if repeated {
                continue;
            }
            let stride = (placed.len + gap) * step;
            // An axis without extent has nowhere to reach, and no element at all.
            let reach = stride * shape[axis].saturating_sub(1);
            placed.strides[axis] = if flipped { -(stride as isize) } else { stride as isize };
            placed.start += if flipped { reach } else { 0 };
            placed.len += reach;
        }
        placed
    }

    /// The same after `margin` places of something else.
    pub(crate) fn behind(self, margin: usize) -> Self {
        Self { start: self.start + margin, len: self.len + margin, ..self }
    }

    /// NCDHW.
    pub(crate) fn channels_first(shape: &[usize]) -> Self {
        let order: Vec<usize> = (0..shape.len()).collect();
        Self::new(shape, &order, &vec![Axis::PLAIN; shape.len()])
    }

    /// NDHWC.
    pub(crate) fn channels_last(shape: &[usize]) -> Self {
        let order: Vec<usize> = [0].into_iter().chain(2..shape.len()).chain([1]).collect();
        Self::new(shape, &order, &vec![Axis::PLAIN; shape.len()])
    }

    /// The element of every index, in the order of the indices (row-major).
    pub(crate) fn elements(&self) -> Vec<usize> {
        let mut elements = vec![self.start as isize];
        for (&dim, &stride) in self.shape.iter().zip(&self.strides) {
            let along = |&first: &isize| (0..dim as isize).map(move |i| first + i * stride);
            elements = elements.iter().flat_map(along).collect();
        }
        elements.into_iter().map(|element| usize::try_from(element).unwrap()).collect()
    }

    pub(crate) fn view_mut<'a, T>(&self, data: &'a mut [T]) -> ViewMut<'a, T> {
        ViewMut::strided(data, &self.shape, &self.strides, self.start).unwrap()
    }

    /// The tensor as a compact one.
    pub(crate) fn gather<T: Copy>(&self, data: &[T]) -> Vec<T> {
        self.elements().into_iter().map(|element| data[element]).collect()
    }
}

/// A tensor and the slice that it lies in.
#[derive(Debug, Clone)]
pub(crate) struct Tensor<T> {
    pub(crate) place: Placed,
    pub(crate) data: Vec<T>,
}

impl<T: Copy> Tensor<T> {
    /// Fills the places of the tensor, in memory order, and all others with `elsewhere`.
    fn fill(place: Placed, elsewhere: T, mut element: impl FnMut() -> T) -> Self {
        let mut places = place.elements();
        places.sort_unstable();
        places.dedup();
        let mut data = vec![elsewhere; place.len];
        places.into_iter().for_each(|at| data[at] = element());
        Self { place, data }
    }

    /// Puts `numbers`, in row-major order, into their places, and `elsewhere` into all others. Of several indices with one
    /// place the last has it.
    pub(crate) fn placed(place: Placed, numbers: &[T], elsewhere: T) -> Self {
        let elements = place.elements();
        assert_eq!(elements.len(), numbers.len());
        let mut data = vec![elsewhere; place.len];
        elements.into_iter().zip(numbers).for_each(|(at, &number)| data[at] = number);
        Self { place, data }
    }

    pub(crate) fn view(&self) -> View<'_, T> {
        View::strided(&self.data, &self.place.shape, &self.place.strides, self.place.start).unwrap()
    }

    /// The same tensor in another place.
    pub(crate) fn moved(&self, place: Placed, elsewhere: T) -> Self {
        let mut data = vec![elsewhere; place.len];
        for (from, to) in self.place.elements().into_iter().zip(place.elements()) {
            data[to] = self.data[from];
        }
        Self { place, data }
    }
}

/// A prediction, its labels `[N, 1, spatial…]` and the place of a gradient.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) logits: Tensor<f32>,
    pub(crate) labels: Tensor<u8>,
    pub(crate) gradient: Placed,
    pub(crate) ignored: Option<i64>,
}

/// `[N, 1, spatial…]` of `[N, C, spatial…]`.
pub(crate) fn map_of(shape: &[usize]) -> Vec<usize> {
    let mut map = shape.to_vec();
    map[1] = 1;
    map
}

impl Scene {
    /// Contents for three placements of one grid. What lies between the elements of a tensor is poison: NaN, and a label that
    /// no prediction has.
    pub(crate) fn placed(
        random: &mut Random,
        [logits, labels, gradient]: [Placed; 3],
        mut logit: impl FnMut(&mut Random) -> f32,
        mut label: impl FnMut(&mut Random) -> u8,
    ) -> Self {
        let logits = Tensor::fill(logits, f32::NAN, || logit(random));
        let labels = Tensor::fill(labels, 254, || label(random));
        Self { logits, labels, gradient, ignored: None }
    }

    /// A compact, channels-first scene of this shape.
    pub(crate) fn new(
        random: &mut Random,
        shape: &[usize],
        logit: impl FnMut(&mut Random) -> f32,
        label: impl FnMut(&mut Random) -> u8,
    ) -> Self {
        let places = [shape.to_vec(), map_of(shape), shape.to_vec()].map(|shape| Placed::channels_first(&shape));
        Self::placed(random, places, logit, label)
    }

    /// Logits in −4..4, every class or background, nothing ignored.
    pub(crate) fn plain(seed: u64, shape: &[usize]) -> Self {
        let labels = shape[1].max(2);
        Self::new(&mut Random(seed), shape, |r| r.within(-4.0, 4.0), |r| r.below(labels) as u8)
    }

    pub(crate) fn ignoring(self, label: i64) -> Self {
        Self { ignored: Some(label), ..self }
    }

    /// The same contents with every tensor compact and channels first.
    pub(crate) fn compact(&self) -> Self {
        self.moved([&self.logits.place, &self.labels.place, &self.gradient].map(|it| Placed::channels_first(&it.shape)))
    }

    /// The same contents elsewhere.
    pub(crate) fn moved(&self, [logits, labels, gradient]: [Placed; 3]) -> Self {
        let (logits, labels) = (self.logits.moved(logits, f32::NAN), self.labels.moved(labels, 254));
        Self { logits, labels, gradient, ignored: self.ignored }
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
        Problem { ignore_index: self.ignored, ..Problem::new(self.labels.view()) }
    }

    pub(crate) fn statistics<X: Executor>(&self, engine: &Engine<X>, request: &Request) -> Result<Statistics, Error> {
        engine.statistics(&self.logits.view(), &self.problem(), request)
    }

    pub(crate) fn expected_statistics(&self, request: &Request) -> Statistics {
        reference::statistics(&self.logits.view(), &self.problem(), request).unwrap()
    }

    /// The gradient of the textbook, compact.
    pub(crate) fn expected_gradient(&self, cotangent: &Cotangent, upstream: &[f64]) -> Vec<f64> {
        let mut gradient = vec![f64::from(UNWRITTEN); self.logits.place.shape.iter().product()];
        let mut view = ViewMut::channels_first(&mut gradient, self.shape()).unwrap();
        reference::pullback(&self.logits.view(), &self.problem(), cotangent, upstream, &mut view).unwrap();
        gradient
    }

    /// Lets `write` fill the gradient, demands that it fills exactly the elements of the view, and makes it compact.
    pub(crate) fn gradient<E>(
        &self,
        write: impl FnOnce(&mut ViewMut<'_, f32>) -> Result<E, Error>,
    ) -> Result<(E, Vec<f32>), Error> {
        let mut data = vec![UNWRITTEN; self.gradient.len];
        let made = write(&mut self.gradient.view_mut(&mut data));
        let written = self.gradient.gather(&data);
        let elsewhere = data.iter().filter(|&&x| x == UNWRITTEN).count();
        let expected = if made.is_ok() { data.len() - written.len() } else { data.len() };
        assert_eq!(elsewhere, expected, "exactly the elements of the view are written, and none after an error");
        Ok((made?, written))
    }

    /// The gradient of an engine, compact.
    pub(crate) fn pullback<X: Executor>(
        &self,
        engine: &Engine<X>,
        cotangent: &Cotangent,
        upstream: &[f64],
    ) -> Result<Vec<f32>, Error> {
        let (logits, problem) = (self.logits.view(), self.problem());
        let (_, gradient) = self.gradient(|view| engine.pullback(&logits, &problem, cotangent, upstream, view))?;
        Ok(gradient)
    }

    /// All three steps of an engine.
    pub(crate) fn value_and_grad<X: Executor>(
        &self,
        engine: &Engine<X>,
        loss: &GeneralizedDice,
    ) -> Result<(Evaluation, Vec<f32>), Error> {
        let (logits, problem) = (self.logits.view(), self.problem());
        self.gradient(|view| engine.value_and_grad(&logits, &problem, loss, &[1.0], view))
    }

    /// The words of the statistics, the values and the gradient, to be compared bit for bit.
    pub(crate) fn bits<X: Executor>(&self, engine: &Engine<X>, loss: &GeneralizedDice) -> Bits {
        let words = self.statistics(engine, &loss.request()).unwrap().as_limbs().to_vec();
        let (evaluation, gradient) = self.value_and_grad(engine, loss).unwrap();
        Bits {
            words,
            values: evaluation.values.iter().map(|x| x.to_bits()).collect(),
            gradient: bits_of_f32(&gradient),
        }
    }
}

/// What must be the same everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bits {
    pub(crate) words: Vec<i64>,
    pub(crate) values: Vec<u64>,
    pub(crate) gradient: Vec<u32>,
}

impl Bits {
    /// As `assert_eq`, without printing whole volumes.
    #[track_caller]
    pub(crate) fn demand(&self, expected: &Self, context: &dyn std::fmt::Display) {
        assert_eq!(self.words, expected.words, "{context}: words of the statistics");
        assert_eq!(self.values, expected.values, "{context}: values");
        demand_same(&self.gradient, &expected.gradient, context);
    }
}

/// Demands the same bits of two gradients.
#[track_caller]
pub(crate) fn demand_same(found: &[u32], expected: &[u32], context: &dyn std::fmt::Display) {
    assert_eq!(found.len(), expected.len(), "{context}");
    if let Some(at) = (0..found.len()).find(|&i| found[i] != expected[i]) {
        let (found, expected) = (f32::from_bits(found[at]), f32::from_bits(expected[at]));
        panic!("{context}: element {at} of the gradient is {found:e} and should be {expected:e}");
    }
}

/// The bits of numbers: those of NaN are the same on all levels, too.
pub(crate) fn bits_of_f32(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|x| x.to_bits()).collect()
}
