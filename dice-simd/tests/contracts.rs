//! What others implement may be wrong, and what a caller asks for may be impossible: an error, and never a wrong number.

mod common;

use std::rc::Rc;
use std::sync::Arc;

use common::{Level, per_level};
use dice_core::loss::{Compound, CrossEntropy, Focal, GeneralizedDice, Options, SoftDice, Term};
use dice_core::{
    Activation, Cotangent, Error, ErrorKind, Evaluation, LossHead, Problem, Request, Statistics, Values, View, ViewMut,
};
use dice_simd::{Engine, Executor, Gradient, Serial, Workspace};

/// More logits than a pass takes on the caller's thread alone.
const SHAPE: [usize; 3] = [2, 2, 50_000];

fn with_volume<T>(run: impl FnOnce(&View<'_, f32>, &Problem<'_>) -> T) -> T {
    let logits: Vec<f32> = (0..SHAPE.iter().product()).map(|i: usize| (i * 37 % 101) as f32 / 25.0 - 2.0).collect();
    let labels: Vec<u8> = (0..100_000).map(|i| (i / 7 % 2) as u8).collect();
    let labels = View::map(&labels, &[2, 50_000]).unwrap();
    run(&View::channels_first(&logits, &SHAPE).unwrap(), &Problem::new(labels))
}

/// An executor that says any number of claimants and calls the claimant so often.
#[derive(Debug, Clone, Copy)]
struct Odd {
    claimants: usize,
    calls: usize,
}

impl Executor for Odd {
    fn claimants(&self) -> usize {
        self.claimants
    }
    fn run(&self, _limit: usize, claim: &(dyn Fn() + Sync)) {
        (0..self.calls).for_each(|_| claim());
    }
}

fn executors(level: &Level) {
    with_volume(|logits, problem| {
        let loss = SoftDice::default();
        let mut expected = vec![0.0_f32; 200_000];
        let mut view = ViewMut::channels_first(&mut expected, &SHAPE).unwrap();
        let value = level.engine_on(Serial).value_and_grad(logits, problem, &loss, &[1.0], &mut view).unwrap();
        for (claimants, calls) in [(0, 0), (0, 1), (1, 0), (2, 1), (2, 7), (usize::MAX, 1), (usize::MAX, 3)] {
            let engine = level.engine_on(Odd { claimants, calls });
            let mut gradient = vec![0.0_f32; 200_000];
            let view = ViewMut::channels_first(&mut gradient, &SHAPE).unwrap();
            let found = engine.value_and_grad(logits, problem, &loss, &[1.0], view).unwrap();
            assert_eq!((found, gradient), (value.clone(), expected.clone()), "{claimants} claimants, {calls} calls");
        }
        // One that never calls: every pass says so, and nothing is written.
        let engine = level.engine_on(Odd { claimants: 2, calls: 0 });
        let mut gradient = vec![7.0_f32; 200_000];
        assert_eq!(engine.value(logits, problem, &loss).unwrap_err(), Error::Executor);
        assert_eq!(engine.statistics(logits, problem, &loss.request()).unwrap_err(), Error::Executor);
        assert_eq!(engine.confusion(logits, problem).unwrap_err(), Error::Executor);
        let view = ViewMut::channels_first(&mut gradient, &SHAPE).unwrap();
        let checked = problem.with_checked_labels();
        let error = engine.pullback(logits, &checked, &value.cotangent, &[1.0], view).unwrap_err();
        assert_eq!((error.clone(), error.kind()), (Error::Executor, ErrorKind::Contract));
        assert!(gradient.iter().all(|&g| g == 7.0));
        // Pointers to executors are executors.
        let odd = Odd { claimants: 2, calls: 1 };
        let statistics = |engine: Engine<Box<dyn Executor>>| engine.statistics(logits, problem, &loss.request());
        let expected = level.engine_on(odd).statistics(logits, problem, &loss.request()).unwrap();
        assert_eq!(statistics(level.engine_on(Box::new(odd))).unwrap(), expected);
        assert_eq!(statistics(level.engine_on(Box::new(Arc::new(odd)))).unwrap(), expected);
        assert_eq!(statistics(level.engine_on(Box::new(&Serial))).unwrap(), expected);
    });
}
per_level!(executors);

/// A head that asks for the sums of soft Dice and then does as it likes.
struct Likes(fn(&Statistics, &mut Evaluation) -> Result<(), Error>);

impl LossHead for Likes {
    fn require(&self, request: &mut Request) {
        SoftDice::default().require(request);
    }
    fn differentiate(&self, statistics: &Statistics, evaluation: &mut Evaluation) -> Result<(), Error> {
        (self.0)(statistics, evaluation)
    }
}

#[test]
fn heads_that_do_not_keep_their_contract() {
    with_volume(|logits, problem| {
        let engine = Engine::serial();
        let mut workspace = Workspace::default();
        let mut demand = |head: Likes, what: &'static str| {
            let error = Err(Error::Head { what });
            // After a call with another loss, whose result must not pass for this one's.
            engine.value_into(logits, problem, &SoftDice::default(), &mut workspace).unwrap();
            assert_eq!(engine.value_into(logits, problem, &head, &mut workspace), error);
            let mut gradient = vec![7.0_f32; 200_000];
            let view = ViewMut::channels_first(&mut gradient, &SHAPE).unwrap();
            let found = engine.value_and_grad_into(logits, problem, &head, &[1.0], view, &mut workspace);
            assert_eq!(found, error);
            assert!(gradient.iter().all(|&g| g == 7.0), "{what}");
            // As a term of a compound, too.
            let dice = SoftDice::default();
            let compound = Compound { terms: vec![Term::new(&dice as &dyn LossHead), Term::new(&head)] };
            assert_eq!(engine.value(logits, problem, &compound).map(drop), error);
        };
        demand(Likes(|_, _| Ok(())), "it has not reset the evaluation");
        let another = "it has reset the evaluation to another table";
        demand(
            Likes(|table, evaluation| {
                let request = Request::overlap(Activation::None);
                evaluation.reset(&request, table.samples(), table.classes(), Values::One)
            }),
            another,
        );
        demand(Likes(|table, evaluation| evaluation.reset(table.request(), 3, 2, Values::One)), another);
        demand(Likes(|table, evaluation| evaluation.reset(table.request(), 2, 3, Values::One)), another);
        demand(
            Likes(|table, evaluation| {
                evaluation.reset(table.request(), 2, 2, Values::One)?;
                evaluation.values.push(0.0);
                Ok(())
            }),
            "it has changed the number of values or reports",
        );
    });
}

#[test]
fn pointers_to_heads_are_heads() {
    with_volume(|logits, problem| {
        let engine = Engine::serial();
        let expected = engine.value(logits, problem, &SoftDice::default()).unwrap();
        let heads: [Box<dyn LossHead>; 4] = [
            Box::new(SoftDice::default()),
            Box::new(Rc::new(SoftDice::default())),
            Box::new(Arc::new(SoftDice::default())),
            Box::new(Box::new(SoftDice::default())),
        ];
        for head in &heads {
            assert_eq!(engine.value(logits, problem, head).unwrap(), expected);
        }
    });
}

/// A loss scale, or one number per value, in the one call is that of the pullback.
fn upstream_in_one_call(level: &Level) {
    with_volume(|logits, problem| {
        let engine = level.engine();
        let loss = GeneralizedDice { reduction: dice_core::Reduction::None, ..GeneralizedDice::default() };
        for upstream in [&[65_536.0][..], &[0.5, -2.0]] {
            let evaluation = engine.value(logits, problem, &loss).unwrap();
            let (mut steps, mut one) = (vec![1.0_f32; 200_000], vec![1.0_f32; 200_000]);
            let view = ViewMut::channels_first(&mut steps, &SHAPE).unwrap();
            engine.pullback(logits, problem, &evaluation.cotangent, upstream, Gradient::Accumulate(view)).unwrap();
            let view = ViewMut::channels_first(&mut one, &SHAPE).unwrap();
            let found = engine.value_and_grad(logits, problem, &loss, upstream, Gradient::Accumulate(view)).unwrap();
            assert_eq!((found, &one), (evaluation, &steps));
            let mut in_place = logits.data().to_vec();
            let mut view = ViewMut::channels_first(&mut in_place, &SHAPE).unwrap();
            engine.value_and_grad_in_place(&mut view, problem, &loss, upstream).unwrap();
            let mut gradient = vec![0.0_f32; 200_000];
            let view = ViewMut::channels_first(&mut gradient, &SHAPE).unwrap();
            engine.value_and_grad(logits, problem, &loss, upstream, view).unwrap();
            assert_eq!(in_place, gradient);
        }
        let mut gradient = vec![7.0_f32; 200_000];
        for upstream in [&[][..], &[1.0, 2.0, 3.0]] {
            let view = ViewMut::channels_first(&mut gradient, &SHAPE).unwrap();
            let error = engine.value_and_grad(logits, problem, &loss, upstream, view).unwrap_err();
            assert_eq!(error, Error::Length { what: "upstream gradient", expected: 2, found: upstream.len() });
        }
        assert!(gradient.iter().all(|&g| g == 7.0));
    });
}
per_level!(upstream_in_one_call);

/// Shapes without a voxel whose other extents are such that no table, and no product with a tile, is a number.
fn extents_beside_a_zero(level: &Level) {
    let engine = level.engine();
    for shape in [[0, 1 << 51, 1], [1, 1 << 62, 0], [1 << 61, 2, 0], [1 << 40, 1 << 20, 0]] {
        let logits = View::<f32>::channels_first(&[], &shape).unwrap();
        let problem = Problem::new(View::<u8>::map(&[], &[shape[0], shape[2]]).unwrap());
        let loss = GeneralizedDice::default();
        match engine.value(&logits, &problem, &loss) {
            Ok(evaluation) => assert_eq!(evaluation.value(), 0.0, "{shape:?}"),
            Err(error) => assert!(matches!(error, Error::TooLarge { .. }), "{shape:?}: {error}"),
        }
        match engine.confusion(&logits, &problem) {
            Ok(confusion) => assert!(confusion.as_slice().iter().all(|&count| count == 0), "{shape:?}"),
            Err(error) => assert!(matches!(error, Error::TooLarge { what: "confusion", .. }), "{shape:?}: {error}"),
        }
    }
}
per_level!(extents_beside_a_zero);

#[test]
fn cotangents_of_impossible_extents() {
    let request = Request::overlap(Activation::Softmax);
    for (rows, classes) in [(usize::MAX, usize::MAX), (1, usize::MAX), (usize::MAX / 8, 1)] {
        let error = Cotangent::new(&request, rows, classes, Values::One).unwrap_err();
        assert!(matches!(error, Error::TooLarge { what: "cotangent", .. }), "{error}");
    }
    // More classes left out than there are: no class has a value, and no gradient.
    let cotangent = Cotangent::new(&request, 2, 2, Values::PerClass { first: 5 }).unwrap();
    assert_eq!(cotangent.values(), 0);
    with_volume(|logits, problem| {
        for upstream in [&[][..], &[1.0]] {
            let mut gradient = vec![7.0_f32; 200_000];
            let view = ViewMut::channels_first(&mut gradient, &SHAPE).unwrap();
            Engine::serial().pullback(logits, problem, &cotangent, upstream, view).unwrap();
            assert!(gradient.iter().all(|&g| g == 0.0));
        }
    });
}

/// A softmax of one channel has no gradient, whatever the loss.
fn one_channel(level: &Level) {
    let engine = level.engine();
    let (logits, labels) = (vec![0.5_f32; 64], vec![1_u8; 64]);
    let logits = View::channels_first(&logits, &[1, 1, 64]).unwrap();
    let problem = Problem::new(View::map(&labels, &[1, 64]).unwrap());
    let mut gradient = vec![7.0_f32; 64];
    let view = ViewMut::channels_first(&mut gradient, &[1, 1, 64]).unwrap();
    let error = engine.value_and_grad(&logits, &problem, &Compound::default(), &[1.0], view).unwrap_err();
    assert_eq!((error.clone(), error.kind()), (Error::OneChannelSoftmax, ErrorKind::Parameter));
    assert!(error.to_string().contains("sigmoid"), "{error}");
    assert!(gradient.iter().all(|&g| g == 7.0));
    // A confusion matrix asks for no activation.
    assert_eq!(engine.confusion(&logits, &problem).unwrap().as_slice(), [0, 0, 0, 64]);
}
per_level!(one_channel);

/// Of no sample, terms that pool the batch and terms that do not have no group together, in either order.
#[test]
fn no_samples_of_mixed_grouping() {
    let logits = View::<f32>::channels_first(&[], &[0, 3, 5]).unwrap();
    let problem = Problem::new(View::<u8>::map(&[], &[0, 5]).unwrap());
    for loss in [Compound::default(), CrossEntropy::default() + SoftDice::default()] {
        let view = ViewMut::<f32>::channels_first(&mut [], &[0, 3, 5]).unwrap();
        let found = Engine::serial().value_and_grad(&logits, &problem, &loss, &[1.0], view).unwrap();
        assert_eq!((found.value(), found.cotangent.rows(), found.classes.len()), (0.0, 0, 0));
    }
}

/// A loss scale that overflowed makes the gradient NaN or infinite wherever the loss depends on a logit, of labels as of the same dense
/// target, and leaves +0 where it does not.
fn upstream_that_is_not_finite(level: &Level) {
    let logits: Vec<f32> = (0..2 * 3 * 70).map(|i| (i * 37 % 101) as f32 / 25.0 - 2.0).collect();
    let labels: Vec<u8> = (0..140).map(|i| (i / 7 % 3) as u8).collect();
    let mut dense = vec![0.0_f64; 420];
    for (at, &label) in labels.iter().enumerate() {
        dense[(at / 70 * 3 + usize::from(label)) * 70 + at % 70] = 1.0;
    }
    let shape = [2, 3, 70];
    let logits = View::channels_first(&logits, &shape).unwrap();
    // One voxel of each sample does not count.
    let mask: Vec<bool> = (0..140).map(|i| i % 70 != 33).collect();
    let mask = View::map(&mask, &[2, 70]).unwrap();
    let of_labels = Problem::new(View::map(&labels, &[2, 70]).unwrap()).masked(mask);
    let of_dense = Problem::new(View::channels_first(&dense, &shape).unwrap()).masked(mask);
    for activation in [Activation::Softmax, Activation::Sigmoid] {
        let entropy = CrossEntropy { activation, ..CrossEntropy::default() };
        let focal = Focal { activation, ..Focal::default() };
        let squared = SoftDice::squared();
        let squared = SoftDice { options: Options { activation, ..squared.options.clone() }, ..squared };
        let dice = GeneralizedDice { activation, ..GeneralizedDice::default() };
        let losses: [Compound; 6] = [
            entropy.clone().into(),
            focal.clone().into(),
            squared.clone().into(),
            dice.clone().into(),
            dice + entropy,
            squared + focal,
        ];
        for loss in losses {
            for upstream in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let gradient = |problem| {
                    let mut gradient = vec![0.0_f32; 420];
                    let view = ViewMut::channels_first(&mut gradient, &shape).unwrap();
                    level.engine().value_and_grad(&logits, problem, &loss, &[upstream], view).unwrap();
                    gradient
                };
                let [found, expected] = [gradient(&of_dense), gradient(&of_labels)];
                for gradient in [found, expected] {
                    let is_right =
                        |(at, g): (usize, &f32)| if at % 70 == 33 { g.to_bits() == 0 } else { !g.is_finite() };
                    assert!(gradient.iter().enumerate().all(is_right), "{activation:?} {upstream}: {loss:?}");
                }
            }
        }
    }
}
per_level!(upstream_that_is_not_finite);
