//! The three steps, fast.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use dice_core::{
    CheckedProblem, Confusion, Cotangent, Error, Evaluation, Labels, Layout, LossHead, Problem, Request, Statistics,
    Target, View, ViewMut,
};

use crate::executor::{Executor, Serial};
use crate::gather::{FirstBad, LabelMap, NotFinite, Planes, Source, Voxels};
use crate::isa::{Isa, UnavailableIsa};
use crate::kernel::{
    Found, FoundConfusion, FoundLabels, LabelPass, LogitConfusionPass, MapConfusionPass, PullbackPass, StatisticsPass,
};
use crate::lanes::DefaultFloatMode;
use crate::passes::{self, Float, Passes};
use crate::scatter::{Mode, Sink};
use crate::tile::{TILE_VOXELS, Tiles};
use crate::workspace::Workspace;

/// Logits below which a pass stays on the caller's thread: a hand-off to another thread costs more.
const PARALLEL_FROM: usize = 130_000;
/// Elements that a thread claims at once, if so many remain: long runs of memory, and threads that seldom meet.
const PER_CLAIM: usize = 1 << 16;
/// Fewer claims would let threads wait for the last one.
const CLAIMS_PER_THREAD: usize = 16;
/// Bytes of gradient from which it is written past the caches: about half of a last-level cache.
const STREAM_FROM: usize = 16 << 20;

/// Where a gradient goes. A view, or a `&mut` of one, is overwritten.
///
/// ```
/// # use dice_simd::{Engine, Gradient, Problem, View, ViewMut, loss::SoftDice};
/// let logits = View::channels_first(&[0.5_f32, -0.5, 1.0, 0.0], &[1, 2, 2])?;
/// let problem = Problem::new(View::map(&[0_u8, 1], &[1, 2])?);
/// let mut sum = [0.0_f32; 4];
/// for _ in 0..2 {
///     let gradient = Gradient::Accumulate(ViewMut::channels_first(&mut sum, &[1, 2, 2])?);
///     Engine::new().value_and_grad(&logits, &problem, &SoftDice::default(), &[1.0], gradient)?;
/// }
/// # Ok::<(), dice_simd::Error>(())
/// ```
///
/// Its element type may be any with the arithmetic of the prediction: an f32 gradient of f16 logits, for instance. It is
/// rounded once, after the upstream gradient, the weights and what is already there.
#[derive(Debug)]
pub enum Gradient<'a, G> {
    /// What the output holds is overwritten.
    Overwrite(ViewMut<'a, G>),
    /// The gradient is added to what the output holds.
    Accumulate(ViewMut<'a, G>),
}

impl<'a, G> From<&'a mut ViewMut<'_, G>> for Gradient<'a, G> {
    fn from(view: &'a mut ViewMut<'_, G>) -> Self {
        Self::Overwrite(view.reborrow())
    }
}

impl<'a, G> From<ViewMut<'a, G>> for Gradient<'a, G> {
    fn from(view: ViewMut<'a, G>) -> Self {
        Self::Overwrite(view)
    }
}

/// Runs tiles on rayon's current pool, or on the caller's thread if the feature `rayon` is off.
#[cfg(feature = "rayon")]
pub type DefaultExecutor = crate::executor::Rayon;
/// Runs tiles on rayon's current pool, or on the caller's thread if the feature `rayon` is off.
#[cfg(not(feature = "rayon"))]
pub type DefaultExecutor = Serial;

/// Runs the passes over voxels: an instruction set and an executor. Values and gradients do not depend on either (see
/// [`Isa`] for the one exception).
#[derive(Debug, Clone, Copy)]
pub struct Engine<X = DefaultExecutor> {
    isa: Isa,
    executor: X,
}

impl Engine {
    /// The best instruction set of this CPU under the [cap](crate::max_isa), on the default executor.
    pub fn new() -> Self {
        Self::with_executor(DefaultExecutor::default())
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine<Serial> {
    /// The best instruction set of this CPU under the [cap](crate::max_isa), on the caller's thread alone.
    pub fn serial() -> Self {
        Self::with_executor(Serial)
    }
}

#[allow(single_use_lifetimes, reason = "a lifetime in `impl Into` must have a name")]
impl<X: Executor> Engine<X> {
    /// The best instruction set of this CPU under the [cap](crate::max_isa), on `executor`.
    pub fn with_executor(executor: X) -> Self {
        Self { isa: Isa::effective(), executor }
    }

    /// The same on `isa`, whatever the cap.
    ///
    /// # Errors
    /// [`UnavailableIsa`] if this CPU does not have it.
    pub fn with_isa(self, isa: Isa) -> Result<Self, UnavailableIsa> {
        if isa.is_available() { Ok(Self { isa, ..self }) } else { Err(UnavailableIsa(isa)) }
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Step 1: the sums that `request` asks for, over all voxels of `logits` `[N, C, spatial…]`.
    ///
    /// ```
    /// # use dice_simd::{Engine, LossHead, Problem, View, ViewMut, loss::SoftDice};
    /// let logits = View::channels_first(&[0.5_f32, -0.5, 1.0, 0.0], &[1, 2, 2])?;
    /// let problem = Problem::new(View::map(&[0_u8, 1], &[1, 2])?);
    /// let (engine, loss) = (Engine::new(), SoftDice::default());
    /// let statistics = engine.statistics(&logits, &problem, &loss.request())?;
    /// let evaluation = loss.evaluate(&statistics)?;
    /// let mut gradient = [0.0_f32; 4];
    /// let output = ViewMut::channels_first(&mut gradient, &[1, 2, 2])?;
    /// engine.pullback(&logits, &problem, &evaluation.cotangent, &[1.0], output)?;
    /// # Ok::<(), dice_simd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Problem::check`] and [`Request::check`]; [`Error::LabelOutOfRange`] or [`Error::Weight`] (the first); and if asked for
    /// [`Error::NonFiniteTarget`] or [`Error::NonFiniteLogit`] (the first).
    pub fn statistics<T: Float>(
        &self,
        logits: &View<'_, T>,
        problem: &Problem<'_>,
        request: &Request,
    ) -> Result<Statistics, Error> {
        self.statistics_range(logits, problem, request, 0..logits.layout().voxels())
    }

    /// Step 1 over the voxels `voxels` of every sample, counted in row-major order of the spatial axes. Ranges whose bounds
    /// are multiples of [`TILE_VOXELS`](crate::TILE_VOXELS) [merge](Statistics::merge) to the bits of the whole.
    ///
    /// # Errors
    /// As [`statistics`](Self::statistics), and [`Error::VoxelRange`].
    pub fn statistics_range<T: Float>(
        &self,
        logits: &View<'_, T>,
        problem: &Problem<'_>,
        request: &Request,
        voxels: Range<usize>,
    ) -> Result<Statistics, Error> {
        let mut statistics = Statistics::default();
        self.statistics_into(logits, problem, request, voxels, &mut statistics)?;
        Ok(statistics)
    }

    /// As [`statistics_range`](Self::statistics_range), reusing the buffer of `statistics`, whatever it holds. After an error
    /// its sums mean nothing.
    ///
    /// # Errors
    /// As [`statistics_range`](Self::statistics_range).
    pub fn statistics_into<T: Float>(
        &self,
        logits: &View<'_, T>,
        problem: &Problem<'_>,
        request: &Request,
        voxels: Range<usize>,
        statistics: &mut Statistics,
    ) -> Result<(), Error> {
        self.take_statistics::<T::Arithmetic>(Planes::new(logits), problem, request, voxels, statistics)
    }

    fn take_statistics<R: Passes>(
        &self,
        logits: Planes<'_>,
        problem: &Problem<'_>,
        request: &Request,
        voxels: Range<usize>,
        statistics: &mut Statistics,
    ) -> Result<(), Error> {
        let _mode = DefaultFloatMode::install();
        let layout = *logits.layout();
        let checked = problem.check(&layout)?;
        request.check(layout.channels(), matches!(problem.target, Target::Labels(_)))?;
        let tiles = self.tiles(&layout, problem, voxels)?;
        let source = Source::new(logits, checked);
        statistics.reset(layout.samples(), layout.channels(), request)?;
        let (bad, not_finite) = (FirstBad::default(), NotFinite::default());
        let found = Mutex::new(Found { statistics, bad, not_finite, refused: None });
        let (non_finite, real) = (problem.non_finite, PhantomData::<R>);
        let pass = StatisticsPass { source: &source, tiles: &tiles, request, non_finite, found: &found, real };
        let ran = self.run(&layout, &tiles, |isa| R::claim_statistics(isa, pass));
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Where some thread has claimed the tiles, those that could not are no loss.
        ran.map_err(|error| found.refused.unwrap_or(error))?;
        source.voxels().error(found.bad)?;
        found.not_finite.error()
    }

    /// Step 3: writes the gradient Σ_i upstream_i ∂L_i/∂z with respect to the logits to `gradient`, of the logits' shape and
    /// any layout.
    ///
    /// `upstream` holds one number, or one per value of the loss. Labels and weights are looked at before anything is written,
    /// unless the problem says that they [were](Problem::labels_checked).
    ///
    /// # Errors
    /// As [`statistics`](Self::statistics) for the target and the weights, those of [`Cotangent::check`], and
    /// [`Error::ShapeMismatch`] for the gradient.
    pub fn pullback<'a, T: Float, G: Float<Arithmetic = T::Arithmetic>>(
        &self,
        logits: &View<'_, T>,
        problem: &Problem<'_>,
        cotangent: &Cotangent,
        upstream: &[f64],
        gradient: impl Into<Gradient<'a, G>>,
    ) -> Result<(), Error> {
        self.pullback_range(logits, problem, cotangent, upstream, 0..logits.layout().voxels(), gradient)
    }

    /// Step 3 for the voxels `voxels` of every sample; the rest of `gradient` stays as it is.
    ///
    /// # Errors
    /// As [`pullback`](Self::pullback), and [`Error::VoxelRange`].
    pub fn pullback_range<'a, T: Float, G: Float<Arithmetic = T::Arithmetic>>(
        &self,
        logits: &View<'_, T>,
        problem: &Problem<'_>,
        cotangent: &Cotangent,
        upstream: &[f64],
        voxels: Range<usize>,
        gradient: impl Into<Gradient<'a, G>>,
    ) -> Result<(), Error> {
        let layout = logits.layout();
        let (mut view, mode) = match gradient.into() {
            Gradient::Overwrite(view) => (view, overwrite::<G>(layout)),
            Gradient::Accumulate(view) => (view, Mode::Accumulate),
        };
        if view.layout().dims() != layout.dims() {
            let (expected, found) = (layout.written(), view.layout().written());
            return Err(Error::ShapeMismatch { what: "gradient", whose: "the logits'", expected, found });
        }
        let sink = Sink::new(&mut view, mode);
        self.pull_back::<T::Arithmetic>(Planes::new(logits), problem, cotangent, upstream, voxels, &sink)
    }

    /// As [`pullback`](Self::pullback); the gradient takes the place of the logits.
    ///
    /// # Errors
    /// As [`pullback`](Self::pullback).
    pub fn pullback_in_place<T: Float>(
        &self,
        logits: &mut ViewMut<'_, T>,
        problem: &Problem<'_>,
        cotangent: &Cotangent,
        upstream: &[f64],
    ) -> Result<(), Error> {
        let voxels = 0..logits.layout().voxels();
        self.pullback_range_in_place(logits, problem, cotangent, upstream, voxels)
    }

    /// As [`pullback_range`](Self::pullback_range); the gradient takes the place of these voxels' logits.
    ///
    /// # Errors
    /// As [`pullback_range`](Self::pullback_range).
    pub fn pullback_range_in_place<T: Float>(
        &self,
        logits: &mut ViewMut<'_, T>,
        problem: &Problem<'_>,
        cotangent: &Cotangent,
        upstream: &[f64],
        voxels: Range<usize>,
    ) -> Result<(), Error> {
        let layout = *logits.layout();
        let planes = Planes::of_output(logits);
        let sink = Sink::over(planes.elements(), layout, overwrite::<T>(&layout));
        self.pull_back::<T::Arithmetic>(planes, problem, cotangent, upstream, voxels, &sink)
    }

    fn pull_back<R: Passes>(
        &self,
        logits: Planes<'_>,
        problem: &Problem<'_>,
        cotangent: &Cotangent,
        upstream: &[f64],
        voxels: Range<usize>,
        sink: &Sink<'_>,
    ) -> Result<(), Error> {
        let _mode = DefaultFloatMode::install();
        let layout = *logits.layout();
        let checked = problem.check(&layout)?;
        cotangent.check(layout.samples(), layout.channels(), upstream)?;
        cotangent.request().check(layout.channels(), matches!(problem.target, Target::Labels(_)))?;
        let source = Source::new(logits, checked);
        if !problem.labels_checked && can_be_wrong(&checked) {
            self.look_at_labels(&layout, source.voxels(), voxels.clone(), 0)?;
        }
        let tiles = self.tiles(&layout, problem, voxels)?;
        let real = PhantomData::<R>;
        let pass = PullbackPass { source: &source, tiles: &tiles, cotangent, upstream, sink, real };
        self.run(&layout, &tiles, |isa| R::claim_pullback(isa, pass))
    }

    /// Steps 1 and 2: the loss of `logits`.
    ///
    /// # Errors
    /// As [`statistics`](Self::statistics) and [`LossHead::evaluate`].
    pub fn value<T: Float>(
        &self,
        logits: &View<'_, T>,
        problem: &Problem<'_>,
        loss: &dyn LossHead,
    ) -> Result<Evaluation, Error> {
        let mut workspace = Workspace::default();
        self.value_into(logits, problem, loss, &mut workspace)?;
        Ok(workspace.evaluation)
    }

    /// As [`value`](Self::value), in the buffers of `workspace`. After an error they hold nothing of meaning.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn value_into<T: Float>(
        &self,
        logits: &View<'_, T>,
        problem: &Problem<'_>,
        loss: &dyn LossHead,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        let _mode = DefaultFloatMode::install();
        let Workspace { request, statistics, evaluation } = workspace;
        request.clear();
        loss.require(request);
        self.statistics_into(logits, problem, request, 0..logits.layout().voxels(), statistics)?;
        loss.evaluate_into(statistics, evaluation)
    }

    /// All three steps: the loss of `logits` and, in `gradient`, the gradient Σ_i upstream_i ∂L_i/∂z with respect to them.
    /// `upstream` holds one number, 1 as a rule or a loss scale, or one per value of the loss. An error leaves `gradient` untouched.
    ///
    /// # Errors
    /// As [`value`](Self::value) and [`pullback`](Self::pullback).
    pub fn value_and_grad<'a, T: Float, G: Float<Arithmetic = T::Arithmetic>>(
        &self,
        logits: &View<'_, T>,
        problem: &Problem<'_>,
        loss: &dyn LossHead,
        upstream: &[f64],
        gradient: impl Into<Gradient<'a, G>>,
    ) -> Result<Evaluation, Error> {
        let mut workspace = Workspace::default();
        self.value_and_grad_into(logits, problem, loss, upstream, gradient, &mut workspace)?;
        Ok(workspace.evaluation)
    }

    /// As [`value_and_grad`](Self::value_and_grad), in the buffers of `workspace`. After an error they hold nothing of meaning.
    ///
    /// # Errors
    /// As [`value_and_grad`](Self::value_and_grad).
    pub fn value_and_grad_into<'a, T: Float, G: Float<Arithmetic = T::Arithmetic>>(
        &self,
        logits: &View<'_, T>,
        problem: &Problem<'_>,
        loss: &dyn LossHead,
        upstream: &[f64],
        gradient: impl Into<Gradient<'a, G>>,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        self.value_into(logits, problem, loss, workspace)?;
        let checked = Problem { labels_checked: true, ..*problem };
        self.pullback(logits, &checked, &workspace.evaluation.cotangent, upstream, gradient)
    }

    /// As [`value_and_grad`](Self::value_and_grad); the gradient takes the place of the logits.
    ///
    /// # Errors
    /// As [`value_and_grad`](Self::value_and_grad).
    pub fn value_and_grad_in_place<T: Float>(
        &self,
        logits: &mut ViewMut<'_, T>,
        problem: &Problem<'_>,
        loss: &dyn LossHead,
        upstream: &[f64],
    ) -> Result<Evaluation, Error> {
        let evaluation = self.value(&logits.as_view(), problem, loss)?;
        let checked = Problem { labels_checked: true, ..*problem };
        self.pullback_in_place(logits, &checked, &evaluation.cotangent, upstream)?;
        Ok(evaluation)
    }

    /// The confusion matrices of `logits` against the labels of `problem`, exact:
    ///
    /// ```
    /// # use dice_simd::{Engine, Problem, View};
    /// let logits = View::channels_first(&[0.5_f32, -0.5, 1.0, 0.0], &[1, 2, 2])?;
    /// let problem = Problem::new(View::map(&[0_u8, 1], &[1, 2])?);
    /// let confusion = Engine::new().confusion(&logits, &problem)?;
    /// assert_eq!((confusion.count(0, 0, 1), confusion.count(0, 1, 1)), (1, 1)); // class 0 taken for 1, class 1 found
    /// # Ok::<(), dice_simd::Error>(())
    /// ```
    ///
    /// The predicted class is that of the greatest
    /// logit, the least class if there are several; with one channel it is 1 where the logit is above 0. A voxel of weight 0
    /// is left out, any other counts once. NaN is never greatest.
    ///
    /// # Errors
    /// Those of [`Problem::check`]; [`Error::DenseTarget`]; [`Error::LabelOutOfRange`] or [`Error::Weight`] (the first).
    pub fn confusion<T: Float>(&self, logits: &View<'_, T>, problem: &Problem<'_>) -> Result<Confusion, Error> {
        let mut confusion = Confusion::default();
        self.confusion_into(logits, problem, &mut confusion)?;
        Ok(confusion)
    }

    /// As [`confusion`](Self::confusion), reusing the buffer of `confusion`, whatever it holds. After an error its counts mean
    /// nothing.
    ///
    /// # Errors
    /// As [`confusion`](Self::confusion).
    pub fn confusion_into<T: Float>(
        &self,
        logits: &View<'_, T>,
        problem: &Problem<'_>,
        confusion: &mut Confusion,
    ) -> Result<(), Error> {
        let _mode = DefaultFloatMode::install();
        let layout = *logits.layout();
        let checked = problem.check(&layout)?;
        if let Target::Dense(_) = problem.target {
            return Err(Error::DenseTarget);
        }
        let tiles = self.tiles(&layout, problem, 0..layout.voxels())?;
        let source = Source::new(Planes::new(logits), checked);
        let found = found_confusion(&layout, &checked, confusion)?;
        let real = PhantomData::<T::Arithmetic>;
        let pass = LogitConfusionPass { source: &source, tiles: &tiles, found: &found, real };
        self.run(&layout, &tiles, |isa| T::Arithmetic::claim_confusion(isa, pass))?;
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        source.voxels().error(found.bad)
    }

    /// The confusion matrices of a label map `[N, 1, spatial…]` of `classes` classes against the labels of `problem`, exact. A
    /// voxel of weight 0 is left out, any other counts once.
    ///
    /// # Errors
    /// Those of [`Problem::check_map`]; [`Error::LabelOutOfRange`], [`Error::PredictionOutOfRange`] or [`Error::Weight`] (the
    /// first).
    pub fn confusion_of_labels<'a>(
        &self,
        prediction: impl Into<Labels<'a>>,
        classes: usize,
        problem: &Problem<'_>,
    ) -> Result<Confusion, Error> {
        let mut confusion = Confusion::default();
        self.confusion_of_labels_into(prediction, classes, problem, &mut confusion)?;
        Ok(confusion)
    }

    /// As [`confusion_of_labels`](Self::confusion_of_labels), reusing the buffer of `confusion`, whatever it holds. After an
    /// error its counts mean nothing.
    ///
    /// # Errors
    /// As [`confusion_of_labels`](Self::confusion_of_labels).
    pub fn confusion_of_labels_into<'a>(
        &self,
        prediction: impl Into<Labels<'a>>,
        classes: usize,
        problem: &Problem<'_>,
        confusion: &mut Confusion,
    ) -> Result<(), Error> {
        let _mode = DefaultFloatMode::install();
        let prediction = prediction.into();
        let layout = *prediction.layout();
        let checked = problem.check_map(&layout, classes)?;
        let tiles = self.tiles(&layout, problem, 0..layout.voxels())?;
        let (voxels, prediction) = (Voxels::new(checked), LabelMap::new(prediction));
        let found = found_confusion(&layout, &checked, confusion)?;
        let pass = MapConfusionPass { prediction: &prediction, voxels: &voxels, tiles: &tiles, found: &found };
        self.run(&layout, &tiles, |isa| passes::claim_map_confusion(isa, pass))?;
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        voxels.error(found.bad)
    }

    /// Adds the volume of each class in the labels of `problem`, its number of voxels, to `volumes`, which has a place per class.
    ///
    /// So the volumes of a data set are counted map by map, in any order and on any machine: they are whole numbers, exact below
    /// 2^53, and the sums of several runs are added like numbers.
    /// [`ClassWeights::from_volumes`](dice_core::loss::ClassWeights::from_volumes) makes weights of them that any loss takes. A
    /// voxel of weight 0 is left out, any other counts once. After an error `volumes` is as it was.
    ///
    /// # Errors
    /// Those of [`Problem::check_map`] for a prediction of the target's shape; [`Error::LabelOutOfRange`] or [`Error::Weight`]
    /// (the first).
    pub fn add_volumes(&self, problem: &Problem<'_>, volumes: &mut [f64]) -> Result<(), Error> {
        let _mode = DefaultFloatMode::install();
        let layout = *problem.target.layout();
        let voxels = Voxels::new(problem.check_map(&layout, volumes.len())?);
        let found = self.look_at_labels(&layout, &voxels, 0..layout.voxels(), volumes.len())?;
        volumes.iter_mut().zip(found).for_each(|(into, voxels)| *into += voxels as f64);
        Ok(())
    }

    /// Checks labels and weights, and counts the voxels of so many classes.
    fn look_at_labels(
        &self,
        layout: &Layout,
        voxels: &Voxels<'_>,
        range: Range<usize>,
        classes: usize,
    ) -> Result<Vec<u64>, Error> {
        let tiles = self.tiles(layout, &voxels.problem().problem, range)?;
        let found = Mutex::new(FoundLabels::default());
        let pass = LabelPass { voxels, tiles: &tiles, classes, found: &found };
        self.run(layout, &tiles, |isa| passes::claim_labels(isa, pass))?;
        let FoundLabels { volumes, bad } = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        voxels.error(bad)?;
        Ok(volumes)
    }

    fn tiles(&self, layout: &Layout, problem: &Problem<'_>, voxels: Range<usize>) -> Result<Tiles, Error> {
        if voxels.start > voxels.end || voxels.end > layout.voxels() {
            let Range { start, end } = voxels;
            return Err(Error::VoxelRange { start, end, voxels: layout.voxels() });
        }
        // Without a voxel there may be any number of channels, and an executor may say anything.
        let elements = layout.channels().saturating_mul(TILE_VOXELS);
        let shares = elements.saturating_mul(self.claimants()).saturating_mul(CLAIMS_PER_THREAD);
        let run = (PER_CLAIM / elements).min(layout.dims().iter().product::<usize>() / shares);
        Ok(Tiles::new(layout.samples(), voxels, problem.offset, run.max(1)))
    }

    /// The threads that could claim tiles.
    fn claimants(&self) -> usize {
        self.executor.claimants().max(1)
    }

    /// Has as many threads as there is work for `claim` tiles on the engine's instruction set.
    ///
    /// # Errors
    /// [`Error::Executor`].
    fn run(&self, layout: &Layout, tiles: &Tiles, claim: impl Fn(Isa) + Sync) -> Result<(), Error> {
        if tiles.len() == 0 {
            return Ok(());
        }
        let isa = self.isa;
        let claim = || {
            let _mode = DefaultFloatMode::install();
            claim(isa);
        };
        let elements: usize = layout.dims().iter().product();
        let claimants = if elements < PARALLEL_FROM { 1 } else { self.claimants().min(tiles.len()) };
        if claimants > 1 {
            self.executor.run(claimants, &claim);
        } else {
            claim();
        }
        // Every claimant has returned, and none does before the last tile is claimed.
        if tiles.are_claimed() { Ok(()) } else { Err(Error::Executor) }
    }
}

/// How a gradient of this shape is overwritten.
fn overwrite<G>(layout: &Layout) -> Mode {
    let bytes = size_of::<G>() * layout.dims().iter().product::<usize>();
    if bytes >= STREAM_FROM { Mode::Stream } else { Mode::Overwrite }
}

/// Whether a voxel may have a label or a weight that cannot be.
fn can_be_wrong(checked: &CheckedProblem<'_>) -> bool {
    matches!(checked.problem.target, Target::Labels(_)) || checked.problem.voxel_weights.is_some()
}

fn found_confusion<'t>(
    layout: &Layout,
    checked: &CheckedProblem<'_>,
    confusion: &'t mut Confusion,
) -> Result<Mutex<FoundConfusion<'t>>, Error> {
    confusion.reset(layout.samples(), checked.allowed)?;
    Ok(Mutex::new(FoundConfusion { confusion, bad: FirstBad::default() }))
}
