//! The recorded cases of other libraries, in this crate's terms.
//!
//! A file per owner translates its parameters; one that is not known is an error, so that none is overlooked.

#![allow(dead_code, reason = "every test file is a crate of its own and uses its own part of this module")]

mod keras;
mod kornia;
mod monai;
mod niftynet;
mod nnunet;
mod others;
mod refused;
mod segmentation_models;

use std::collections::BTreeMap;

use dice_core::loss::Compound;
use dice_core::{Activation, Dense, Labels, LossHead, Problem, Reduction, View, ViewMut, reference};
use serde_json::Value;

use crate::common::UNWRITTEN;
pub(crate) use refused::REFUSED;

/// Why a case cannot be run.
pub(crate) type Refusal = String;

/// The file of cases.
pub(crate) struct File {
    json: Value,
}

impl File {
    pub(crate) fn read() -> Self {
        Self { json: serde_json::from_str(include_str!("../data/peer_cases.json")).unwrap() }
    }

    pub(crate) fn meta(&self) -> &Value {
        &self.json["meta"]
    }

    pub(crate) fn cases(&self) -> impl Iterator<Item = Recorded<'_>> {
        let of = |json| Recorded { json, tensors: &self.json["tensors"] };
        self.json["cases"].as_array().unwrap().iter().map(of)
    }
}

/// A recorded case.
#[derive(Clone, Copy)]
pub(crate) struct Recorded<'a> {
    pub(crate) json: &'a Value,
    tensors: &'a Value,
}

/// The number of a JSON number; NaN of null.
fn number(value: &Value) -> f64 {
    if value.is_null() { f64::NAN } else { value.as_f64().unwrap_or_else(|| panic!("not a number: {value}")) }
}

/// The numbers of a list, or of lists of lists.
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        value => vec![number(value)],
    }
}

impl<'a> Recorded<'a> {
    pub(crate) fn name(&self) -> &'a str {
        self.text("name")
    }

    pub(crate) fn text(&self, key: &str) -> &'a str {
        self.json[key].as_str().unwrap()
    }

    fn has(&self, key: &str) -> bool {
        !self.json[key].is_null()
    }

    fn dims(&self, key: &str) -> Vec<usize> {
        self.json[key]["shape"].as_array().unwrap().iter().map(|dim| dim.as_u64().unwrap() as usize).collect()
    }

    fn tensor(&self, key: &str) -> Vec<f64> {
        numbers(&self.tensors[self.json[key]["values"].as_u64().unwrap() as usize])
    }

    /// The values, and the gradient if there is one.
    pub(crate) fn expected(&self) -> (Vec<f64>, Option<Vec<f64>>) {
        (numbers(&self.json["values"]), self.has("gradient").then(|| numbers(&self.json["gradient"])))
    }

    /// The value in the owner's own test, with its relative and absolute tolerance.
    pub(crate) fn published(&self) -> Option<(Vec<f64>, f64, f64)> {
        let published = &self.json["published"];
        let of = |key: &str| number(&published[key]);
        (!published.is_null()).then(|| (numbers(&published["values"]), of("relative"), of("absolute")))
    }

    /// Whose the case is.
    pub(crate) fn owner(&self) -> &'static str {
        match self.text("loss").split_once('.') {
            Some(("smp", _)) => "segmentation_models.pytorch",
            Some(("nnunet", _)) => "nnU-Net",
            Some(("kornia", _)) => "kornia",
            Some(("keras", _)) => "keras",
            Some(("niftynet", _)) => "NiftyNet",
            Some(("torch", _)) => "torch",
            Some(("torchmetrics", _)) => "torchmetrics",
            Some(("burn", _)) => "burn",
            Some((other, _)) => panic!("no owner {other}"),
            None if self.text("loss") == "JDTLoss" => "JDTLosses",
            None if self.text("loss") == "GWDL" => "GeneralizedWassersteinDiceLoss",
            None => "MONAI",
        }
    }

    /// The case in this crate's terms, or what the crate lacks.
    pub(crate) fn translate(&self) -> Result<Case, Refusal> {
        let loss = self.text("loss");
        if self.has("metric") {
            return Err("a metric".into());
        }
        if !self.has("input") {
            return Err(format!("{loss} is not a loss of sums"));
        }
        let object = self.json["params"].as_object().unwrap();
        let mut params = Params { left: object.iter().map(|(key, value)| (key.clone(), value.clone())).collect() };
        let case = match loss.split_once('.') {
            Some(("smp", loss)) => segmentation_models::translate(self, loss, &mut params),
            Some(("nnunet", loss)) => nnunet::translate(self, loss, &mut params),
            Some(("kornia", loss)) => kornia::translate(self, loss, &mut params),
            Some(("keras", loss)) => keras::translate(self, loss, &mut params),
            Some(("niftynet", loss)) => niftynet::translate(self, loss, &mut params),
            Some(_) => others::translate(self, loss, &mut params),
            None if loss == "JDTLoss" => others::translate(self, loss, &mut params),
            None => monai::translate(self, loss, &mut params),
        }?;
        match params.left.first_key_value() {
            Some((key, value)) => Err(format!("{key} = {value}")),
            None => Ok(case),
        }
    }
}

/// The parameters of a case that nobody has asked for yet.
pub(crate) struct Params {
    left: BTreeMap<String, Value>,
}

impl Params {
    /// The parameter as it stands, null too.
    fn raw(&mut self, key: &str) -> Option<Value> {
        self.left.remove(key)
    }

    /// The parameter; none if it is null.
    fn take(&mut self, key: &str) -> Option<Value> {
        self.raw(key).filter(|value| !value.is_null())
    }

    fn flag(&mut self, key: &str, default: bool) -> bool {
        self.take(key).map_or(default, |value| value.as_bool().unwrap())
    }

    fn number(&mut self, key: &str) -> Option<f64> {
        self.take(key).map(|value| number(&value))
    }

    fn numbers(&mut self, key: &str) -> Option<Vec<f64>> {
        self.take(key).map(|value| numbers(&value))
    }

    fn text(&mut self, key: &str) -> Option<String> {
        self.take(key).map(|value| value.as_str().unwrap().to_lowercase())
    }

    /// Writes the number over `field` if there is one.
    fn set(&mut self, key: &str, field: &mut f64) {
        if let Some(number) = self.number(key) {
            *field = number;
        }
    }
}

/// What stands between the input as passed and the logits, with the chain rule.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Input {
    Plain,
    /// An activation of the owner's that this crate has not.
    Tanh,
    /// Probabilities that the owner divides by their sum, which is a softmax of their logarithms.
    Logarithm,
}

/// The truth.
#[derive(Clone)]
pub(crate) enum Truth {
    /// `[N, spatial…]`.
    Labels(Vec<i32>),
    /// As the prediction is stored.
    Dense(Vec<f64>),
}

/// A recorded case in the crate's terms.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) loss: Compound,
    /// `[N, C, spatial…]`.
    pub(crate) shape: Vec<usize>,
    pub(crate) channels_last: bool,
    /// The input as passed.
    pub(crate) passed: Vec<f64>,
    pub(crate) input: Input,
    pub(crate) truth: Truth,
    pub(crate) ignored: Option<i64>,
    /// `[N, spatial…]`.
    pub(crate) mask: Option<Vec<u8>>,
    /// `[N, spatial…]`.
    pub(crate) weights: Option<Vec<f32>>,
    /// The owner leaves channel 0 out before the activation.
    pub(crate) drop_first: bool,
    /// What is recorded is a score, 1 minus the loss.
    pub(crate) is_score: bool,
}

/// Which element types and forms a case is run with.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Form {
    /// As it is recorded, in f64.
    Recorded,
    /// The logits in f32.
    Single,
    /// The labels as a one-hot target, with what is ignored as a mask.
    Dense,
}

impl Case {
    /// The tensors of a case. A target of the prediction's shape is dense if there are several channels or if it is not
    /// of 0 and 1.
    fn new(recorded: &Recorded<'_>) -> Result<Self, Refusal> {
        let mut shape = recorded.dims("input");
        let layout = recorded.json["params"]["layout"].as_str().unwrap_or_default();
        let channels_last = layout.starts_with("channels-last");
        let target_shape = recorded.dims("target");
        let same = target_shape == shape;
        if channels_last {
            shape[1..].rotate_right(1);
        }
        if let [voxels] = shape[..] {
            shape = vec![1, 1, voxels];
        }
        let target = recorded.tensor("target");
        let is_hard = |values: &[f64]| values.iter().all(|g| g.fract() == 0.0);
        let map = [&shape[..1], &shape[2..]].concat();
        let dense = same && (shape[1] > 1 || !target.iter().all(|&g| g == 0.0 || g == 1.0 || g == 255.0));
        let truth = if dense {
            Truth::Dense(target)
        } else if target_shape.iter().product::<usize>() == map.iter().product::<usize>() && is_hard(&target) {
            Truth::Labels(target.into_iter().map(|g| g as i32).collect())
        } else {
            return Err(format!("a target of shape {target_shape:?}"));
        };
        let mut case = Self {
            loss: Compound { terms: Vec::new() },
            shape,
            channels_last,
            passed: recorded.tensor("input"),
            input: Input::Plain,
            truth,
            ignored: None,
            mask: None,
            weights: None,
            drop_first: false,
            is_score: false,
        };
        if recorded.has("mask") {
            let values = recorded.tensor("mask");
            let voxels = map.iter().product();
            // One mask for all samples stands once.
            let weights: Vec<f32> = values.iter().cycle().take(voxels).map(|&weight| weight as f32).collect();
            if weights.iter().all(|&weight| weight == 0.0 || weight == 1.0) {
                case.mask = Some(weights.into_iter().map(|weight| weight as u8).collect());
            } else {
                case.weights = Some(weights);
            }
        }
        Ok(case)
    }

    /// With the labels as a one-hot target.
    fn into_dense(mut self) -> Self {
        let Truth::Labels(labels) = &self.truth else { return self };
        let (classes, voxels) = (self.classes(), self.voxels());
        let first = i32::from(classes == 1);
        let mut target = vec![0.0; self.passed.len()];
        let mut mask = self.mask.clone().unwrap_or_else(|| vec![1; labels.len()]);
        for (at, &label) in labels.iter().enumerate() {
            if Some(i64::from(label)) == self.ignored {
                mask[at] = 0;
            } else if mask[at] != 0 && label >= first {
                target[self.at(at / voxels, (label - first) as usize, at % voxels)] = 1.0;
            }
        }
        debug_assert!(labels.iter().all(|&label| label < classes.max(2) as i32 || Some(label.into()) == self.ignored));
        (self.truth, self.mask, self.ignored) = (Truth::Dense(target), Some(mask), None);
        self
    }

    pub(crate) fn classes(&self) -> usize {
        self.shape[1]
    }

    fn voxels(&self) -> usize {
        self.shape[2..].iter().product()
    }

    /// Where a class of a voxel is stored.
    fn at(&self, sample: usize, class: usize, voxel: usize) -> usize {
        if self.channels_last {
            (sample * self.voxels() + voxel) * self.classes() + class
        } else {
            (sample * self.classes() + class) * self.voxels() + voxel
        }
    }

    fn is_dense(&self) -> bool {
        matches!(self.truth, Truth::Dense(_))
    }

    /// Whether a voxel may belong to a class in part.
    fn is_soft(&self) -> bool {
        matches!(&self.truth, Truth::Dense(target) if target.iter().any(|&g| g != 0.0 && g != 1.0))
    }

    /// Whether the loss has a head that is of labels alone.
    pub(crate) fn is_of_labels_only(&self) -> bool {
        self.loss.request().check(self.classes(), false).is_err()
    }

    /// Values and gradient of their sum, the gradient stored as the input is.
    pub(crate) fn run(&self, form: Form) -> (Vec<f64>, Vec<f64>) {
        let case = if form == Form::Dense || self.drop_first { self.clone().into_dense() } else { self.clone() };
        let (mut logits, mut slopes) = (case.passed.clone(), vec![1.0; case.passed.len()]);
        for (z, slope) in logits.iter_mut().zip(&mut slopes) {
            match case.input {
                Input::Plain => {}
                Input::Tanh => {
                    *z = z.tanh();
                    *slope = 1.0 - *z * *z;
                }
                Input::Logarithm => (*z, *slope) = (z.ln(), 1.0 / *z),
            }
        }
        let (values, mut gradient) = if form == Form::Single {
            case.evaluate(&logits.iter().map(|&z| z as f32).collect::<Vec<_>>())
        } else {
            case.evaluate(&logits)
        };
        gradient.iter_mut().zip(slopes).for_each(|(slope, chain)| *slope *= chain);
        if case.is_score {
            gradient.iter_mut().for_each(|slope| *slope = -*slope);
            return (values.into_iter().map(|value| 1.0 - value).collect(), gradient);
        }
        (values, gradient)
    }

    fn evaluate<T: Copy + Into<f64>>(&self, logits: &[T]) -> (Vec<f64>, Vec<f64>) {
        let strides = if self.channels_last {
            let view = View::channels_last(logits, &self.shape).unwrap();
            view.layout().strides().to_vec()
        } else {
            View::channels_first(logits, &self.shape).unwrap().layout().strides().to_vec()
        };
        let (mut shape, mut start) = (self.shape.clone(), 0);
        if self.drop_first {
            shape[1] -= 1;
            start = self.at(0, 1, 0);
        }
        let prediction = View::strided(logits, &shape, &strides, start).unwrap();
        let mut gradient = vec![if self.drop_first { 0.0 } else { UNWRITTEN }; logits.len()];
        let mut output = ViewMut::strided(&mut gradient, &shape, &strides, start).unwrap();
        let map = [&shape[..1], &shape[2..]].concat();
        let mut problem = match &self.truth {
            Truth::Labels(labels) => Problem::new(Labels::from(View::map(labels, &map).unwrap())),
            Truth::Dense(target) => Problem::new(Dense::from(View::strided(target, &shape, &strides, start).unwrap())),
        };
        problem.ignore_index = self.ignored;
        problem.mask = self.mask.as_ref().map(|mask| View::map(mask, &map).unwrap());
        problem.voxel_weights = self.weights.as_ref().map(|weights| View::map(weights, &map).unwrap());
        let values = reference::value_and_grad(&prediction, &problem, &self.loss, &mut output).unwrap();
        (values, gradient)
    }
}

/// The reduction of that name.
fn reduction(name: &str) -> Result<Reduction, Refusal> {
    match name {
        "mean" => Ok(Reduction::Mean),
        "sum" => Ok(Reduction::Sum),
        "none" => Ok(Reduction::None),
        other => Err(format!("reduction {other}")),
    }
}

/// The activation of that name.
fn activation(name: &str) -> Result<Activation, Refusal> {
    match name {
        "none" => Ok(Activation::None),
        "softmax" => Ok(Activation::Softmax),
        "sigmoid" => Ok(Activation::Sigmoid),
        other => Err(format!("activation {other}")),
    }
}
