//! The three steps, fast.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use dice_core::{Cotangent, Dims, Error, Evaluation, LossHead, Problem, Request, Statistics, Sum, View, ViewMut};

use crate::dispatch::{Kernel, dispatch};
use crate::executor::{Executor, Serial};
use crate::gather::{FirstBad, Source};
use crate::isa::{Isa, UnavailableIsa};
use crate::kernel::{Found, LabelCheck, PullbackPass, Slope, StatisticsPass};
use crate::lanes::DefaultFloatMode;
use crate::scatter::Sink;
use crate::tile::Tiles;

/// Logits below which a pass stays on the caller's thread: a hand-off to another thread costs more.
const PARALLEL_FROM: usize = 130_000;
/// Bytes of gradient from which it is written past the caches: about half of a last-level cache.
const STREAM_FROM: usize = 16 << 20;

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
    /// # Errors
    /// [`Error::ZeroClasses`], [`Error::ShapeMismatch`], [`Error::LabelOutOfRange`] (the first), and if asked for
    /// [`Error::NonFiniteLogit`] (the first).
    pub fn statistics(
        &self,
        logits: &View<'_, f32>,
        problem: &Problem<'_>,
        request: Request,
    ) -> Result<Statistics, Error> {
        self.statistics_range(logits, problem, request, 0..logits.layout().voxels())
    }

    /// Step 1 over the voxels `voxels` of every sample, counted in row-major order of the spatial axes. Ranges whose bounds
    /// are multiples of [`TILE_VOXELS`](crate::TILE_VOXELS) [merge](Statistics::merge) to the bits of the whole.
    ///
    /// # Errors
    /// As [`statistics`](Self::statistics), and [`Error::VoxelRange`].
    pub fn statistics_range(
        &self,
        logits: &View<'_, f32>,
        problem: &Problem<'_>,
        request: Request,
        voxels: Range<usize>,
    ) -> Result<Statistics, Error> {
        let checked = problem.check(logits.layout())?;
        let tiles = self.tiles(logits, voxels)?;
        let source = Source::new(*logits, checked);
        let found = Mutex::new(Found {
            statistics: Statistics::new(logits.layout().samples(), logits.layout().channels(), request),
            bad_label: FirstBad::default(),
            bad_logit: FirstBad::default(),
        });
        let non_finite = problem.non_finite;
        let pass = StatisticsPass { source: &source, tiles: &tiles, request, non_finite, found: &found };
        self.run(logits, &tiles, pass);
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        label_error(found.bad_label, &source)?;
        match found.bad_logit.0 {
            Some((index, value)) => Err(Error::NonFiniteLogit { index, value: value.into() }),
            None => Ok(found.statistics),
        }
    }

    /// Step 3: writes the gradient Σ_i upstream_i ∂L_i/∂z with respect to the logits to `gradient`, of the logits' shape and
    /// any layout.
    ///
    /// `upstream` holds one number, or one per value of the loss. Labels are looked at before anything is written, unless the
    /// problem says that they [were](Problem::labels_checked).
    ///
    /// # Errors
    /// As [`statistics`](Self::statistics) for the target, those of [`Cotangent::check`], and [`Error::ShapeMismatch`] for
    /// the gradient.
    pub fn pullback(
        &self,
        logits: &View<'_, f32>,
        problem: &Problem<'_>,
        cotangent: &Cotangent,
        upstream: &[f64],
        gradient: &mut ViewMut<'_, f32>,
    ) -> Result<(), Error> {
        self.pullback_range(logits, problem, cotangent, upstream, 0..logits.layout().voxels(), gradient)
    }

    /// Step 3 for the voxels `voxels` of every sample; the rest of `gradient` stays as it is.
    ///
    /// # Errors
    /// As [`pullback`](Self::pullback), and [`Error::VoxelRange`].
    pub fn pullback_range(
        &self,
        logits: &View<'_, f32>,
        problem: &Problem<'_>,
        cotangent: &Cotangent,
        upstream: &[f64],
        voxels: Range<usize>,
        gradient: &mut ViewMut<'_, f32>,
    ) -> Result<(), Error> {
        let layout = *logits.layout();
        let checked = problem.check(&layout)?;
        if gradient.layout().dims() != layout.dims() {
            let (expected, found) = (Dims::new(layout.dims()), Dims::new(gradient.layout().dims()));
            return Err(Error::ShapeMismatch { what: "gradient", expected, found });
        }
        cotangent.check(layout.samples(), layout.channels(), upstream)?;
        let source = Source::new(*logits, checked);
        let tiles = self.tiles(logits, voxels.clone())?;
        if !problem.labels_checked {
            let bad = Mutex::new(FirstBad::default());
            self.run(logits, &tiles, LabelCheck { source: &source, tiles: &tiles, bad: &bad });
            label_error(bad.into_inner().unwrap_or_else(PoisonError::into_inner), &source)?;
        }
        let tiles = self.tiles(logits, voxels)?;
        let slopes = slopes(cotangent, upstream);
        let bytes = size_of::<f32>() * layout.dims().iter().product::<usize>();
        let sink = Sink::new(gradient, bytes >= STREAM_FROM);
        let activation = cotangent.request().activation;
        let pass = PullbackPass { source: &source, tiles: &tiles, activation, slopes: &slopes, sink: &sink };
        self.run(logits, &tiles, pass);
        Ok(())
    }

    /// Steps 1 and 2: the loss of `logits`.
    ///
    /// # Errors
    /// As [`statistics`](Self::statistics) and [`LossHead::evaluate`].
    pub fn value(
        &self,
        logits: &View<'_, f32>,
        problem: &Problem<'_>,
        loss: &dyn LossHead,
    ) -> Result<Evaluation, Error> {
        let _mode = DefaultFloatMode::install();
        loss.evaluate(&self.statistics(logits, problem, loss.request())?)
    }

    /// All three steps: the loss of `logits` and, in `gradient`, the gradient of the (sum of the) loss with respect to them.
    /// An error leaves `gradient` untouched.
    ///
    /// # Errors
    /// As [`value`](Self::value) and [`pullback`](Self::pullback).
    pub fn value_and_grad(
        &self,
        logits: &View<'_, f32>,
        problem: &Problem<'_>,
        loss: &dyn LossHead,
        gradient: &mut ViewMut<'_, f32>,
    ) -> Result<Evaluation, Error> {
        let evaluation = self.value(logits, problem, loss)?;
        let checked = Problem { labels_checked: true, ..*problem };
        self.pullback(logits, &checked, &evaluation.cotangent, &[1.0], gradient)?;
        Ok(evaluation)
    }

    fn tiles(&self, logits: &View<'_, f32>, voxels: Range<usize>) -> Result<Tiles, Error> {
        let layout = logits.layout();
        if voxels.start > voxels.end || voxels.end > layout.voxels() {
            let Range { start, end } = voxels;
            return Err(Error::VoxelRange { start, end, voxels: layout.voxels() });
        }
        Ok(Tiles::new(layout.samples(), voxels))
    }

    /// Runs `pass` on as many threads as there is work for.
    fn run<P: Kernel<Output = ()> + Copy + Sync>(&self, logits: &View<'_, f32>, tiles: &Tiles, pass: P) {
        if tiles.len() == 0 {
            return;
        }
        let isa = self.isa;
        let claim = || {
            let _mode = DefaultFloatMode::install();
            dispatch(isa, pass);
        };
        let logits: usize = logits.layout().dims().iter().product();
        let claimants = if logits < PARALLEL_FROM { 1 } else { self.executor.claimants().min(tiles.len()) };
        if claimants > 1 { self.executor.run(claimants, &claim) } else { claim() }
    }
}

fn label_error(bad: FirstBad<i64>, source: &Source<'_>) -> Result<(), Error> {
    match bad.0 {
        Some((index, label)) => Err(Error::LabelOutOfRange { index, label, classes: source.problem().allowed }),
        None => Ok(()),
    }
}

/// Rounds to f32; a finite number stays so small that the mean over the classes is finite too.
fn in_range(slope: f64) -> f32 {
    const GREATEST: f64 = 1e30;
    (if slope.is_finite() { slope.clamp(-GREATEST, GREATEST) } else { slope }) as f32
}

/// The two values that ∂L/∂p of each row and class takes, upstream gradient included, rounded to f32 once.
fn slopes(cotangent: &Cotangent, upstream: &[f64]) -> Vec<Slope> {
    let _mode = DefaultFloatMode::install();
    let slope = |row, class| {
        let factor = cotangent.upstream(row, upstream);
        let outside = cotangent.get(row, class, Sum::Prediction);
        let inside = outside + cotangent.get(row, class, Sum::Intersection);
        Slope { inside: in_range(factor * inside), outside: in_range(factor * outside) }
    };
    let classes = 0..cotangent.classes();
    (0..cotangent.rows()).flat_map(|row| classes.clone().map(move |class| slope(row, class))).collect()
}
