//! Losses of several terms, with all fields of their kinds.

use std::ptr;

use crate::abi;
use crate::draw::{Draw, show};
use crate::memory::Memory;

/// `dice_term.kind`.
mod kind {
    pub(super) const GENERALIZED_DICE: i32 = 0;
    pub(super) const SOFT_DICE: i32 = 1;
    pub(super) const JACCARD: i32 = 2;
    pub(super) const TVERSKY: i32 = 3;
    pub(super) const FOCAL_TVERSKY: i32 = 4;
    pub(super) const WASSERSTEIN: i32 = 5;
    pub(super) const MCC: i32 = 6;
    pub(super) const CROSS_ENTROPY: i32 = 7;
    pub(super) const COUNT: i32 = 9;
}

/// A loss for so many classes, in memory that can only be read.
pub fn draw(draw: &mut Draw<'_>, memory: &mut Memory, classes: i64) -> *const abi::Loss {
    let num_terms = draw.pick(&[1, 1, 1, 0, 2, 2, 3, 4]);
    // Terms with several values go together only where all have as many.
    let reduction = draw.variant(3);
    let terms: Vec<abi::Term> = (0..num_terms)
        .map(|_| {
            let term = term(draw, memory, classes);
            abi::Term { reduction: if draw.one_in(8) { draw.variant(3) } else { reduction }, ..term }
        })
        .collect();
    show("terms", &terms);
    let edge = draw.edge();
    let mut loss = abi::Loss {
        struct_size: size(draw, size_of::<abi::Loss>()),
        term_size: size(draw, size_of::<abi::Term>()),
        terms: if terms.is_empty() { ptr::null() } else { memory.values(&terms, edge) },
        num_terms,
    };
    if draw.hostile() {
        match draw.below(3) {
            0 => loss.terms = ptr::null(),
            1 => loss.terms = loss.terms.wrapping_byte_add(4),
            _ => loss.num_terms = draw.pick(&[usize::MAX, 1 << 60]),
        }
    }
    let loss = memory.values(&[loss], edge);
    if draw.hostile() { draw.pick(&[ptr::null(), loss.wrapping_byte_add(4)]) } else { loss }
}

/// The size that a struct says it has.
pub fn size(draw: &mut Draw<'_>, size: usize) -> usize {
    if draw.hostile() { draw.pick(&[0, 8, size - 8, size + 8, size - 1, usize::MAX]) } else { size }
}

fn term(draw: &mut Draw<'_>, memory: &mut Memory, classes: i64) -> abi::Term {
    let mut term = abi::Term::zero();
    term.kind = draw.variant(kind::COUNT);
    term.activation = draw.variant(3);
    if draw.one_in(3) {
        term.exclude_background = draw.flag();
        term.grouping = draw.variant(3);
        term.factor = draw.number() * draw.pick(&[1.0, -1.0]);
        if draw.one_in(8) {
            (term.left_out, term.factor) = (draw.flag(), 0.0);
        }
    }
    if draw.one_in(3) {
        [term.transform_exponent, term.transform_least] = transform(draw, &mut term.transform);
    }
    let all = classes.clamp(0, 128) as usize;
    let staying = if term.exclude_background == 1 && all > 1 { all - 1 } else { all };
    let is_fixed = term.kind == kind::GENERALIZED_DICE && {
        term.weighting = draw.variant(4);
        term.weighting == 3
    };
    if is_fixed || (term.kind != kind::GENERALIZED_DICE && draw.one_in(4)) {
        (term.class_weights, term.num_class_weights) = numbers(draw, memory, staying);
    }
    match term.kind {
        kind::GENERALIZED_DICE => generalized_dice(draw, &mut term),
        kind::SOFT_DICE | kind::JACCARD | kind::TVERSKY | kind::FOCAL_TVERSKY | kind::MCC => {
            ratio(draw, memory, staying, &mut term);
        }
        kind::WASSERSTEIN => {
            term.empty = draw.variant(4);
            term.smooth_numerator = draw.number();
            term.smooth_denominator = draw.number();
            term.cost_weighting = draw.variant(2);
            term.normalise_costs = draw.flag();
            (term.costs, term.num_costs) = costs(draw, memory, all);
        }
        _ => voxel_loss(draw, memory, staying, all, &mut term),
    }
    if draw.hostile() {
        // Of no kind, or of another one.
        match draw.below(6) {
            0 => term.reserved = 1,
            1 => term.reserved_too = -1,
            2 => term.mcc_smoothing = 1.0,
            3 => term.doubled = 1,
            4 => term.alpha = 0.5,
            _ => term.absent_epsilon = f64::NAN,
        }
    }
    term
}

/// A transform, with its exponent and its least argument.
fn transform(draw: &mut Draw<'_>, transform: &mut i32) -> [f64; 2] {
    *transform = draw.variant(6);
    let exponent = draw.pick(&[0.5, 1.0, 2.0, 0.01, 100.0]);
    let least = draw.share();
    match *transform {
        1 => [0.0, least],
        2 | 5 => [exponent, least],
        _ => [0.0; 2],
    }
}

fn generalized_dice(draw: &mut Draw<'_>, term: &mut abi::Term) {
    term.overlap = draw.variant(2);
    term.empty = draw.variant(4);
    term.smooth_numerator = draw.number();
    term.smooth_denominator = draw.number();
    term.absent = draw.variant(5);
    if term.absent == 2 || term.absent == 3 {
        term.absent_epsilon = draw.number();
    }
    term.raw_weights = draw.flag();
    term.weighed_volume = draw.variant(2);
    term.zero_non_finite = draw.flag();
    term.least_union = draw.number();
}

/// The kinds with a ratio per class.
fn ratio(draw: &mut Draw<'_>, memory: &mut Memory, staying: usize, term: &mut abi::Term) {
    let kind = term.kind;
    term.overlap = draw.variant(2);
    term.empty = draw.variant(4);
    term.smooth_numerator = draw.number();
    term.smooth_denominator = draw.number();
    if draw.one_in(3) {
        term.weight_mode = draw.variant(2);
        term.pooling = draw.variant(3);
        term.order = draw.variant(3);
        term.softening = draw.share();
        [term.class_transform_exponent, term.class_transform_least] = transform(draw, &mut term.class_transform);
    }
    if draw.one_in(4) {
        term.complement = draw.flag();
    }
    if matches!(kind, kind::SOFT_DICE | kind::TVERSKY | kind::FOCAL_TVERSKY) && draw.one_in(2) {
        term.volumes = draw.variant(3);
    }
    if kind != kind::MCC {
        term.least_denominator = draw.number();
    }
    match kind {
        kind::SOFT_DICE => term.least_intersection = draw.number(),
        kind::JACCARD => term.doubled = draw.flag(),
        kind::MCC => term.mcc_smoothing = or_naught(draw),
        _ => {
            term.false_positives = draw.number();
            term.false_negatives = draw.number();
        }
    }
    if kind == kind::FOCAL_TVERSKY {
        term.exponent_least = draw.pick(&[0.0, -1.0, 1e-7, 0.5, 1.0]);
        (term.exponents, term.num_exponents) = exponents(draw, memory, staying);
    }
}

/// Cross-entropy and focal.
fn voxel_loss(draw: &mut Draw<'_>, memory: &mut Memory, staying: usize, all: usize, term: &mut abi::Term) {
    let is_binary = term.activation == 1 || (term.activation == 2 && draw.one_in(2));
    if is_binary {
        term.binary = 1;
        if draw.one_in(3) {
            (term.positive_weights, term.num_positive_weights) = numbers(draw, memory, staying);
        }
    }
    if draw.hostile() {
        term.binary = draw.flag();
    }
    term.divisor = draw.variant(7);
    term.weight_mode = draw.variant(2);
    if term.kind == kind::CROSS_ENTROPY {
        term.label_smoothing = draw.share();
        return;
    }
    if draw.one_in(2) {
        (term.use_alpha, term.alpha) = (1, draw.share());
    }
    (term.exponents, term.num_exponents) = exponents(draw, memory, all);
}

/// A number of which 0 stands for a default, and -1 for 0.
fn or_naught(draw: &mut Draw<'_>) -> f64 {
    if draw.one_in(4) { -1.0 } else { draw.number() }
}

/// No exponents, one, or one per class.
fn exponents(draw: &mut Draw<'_>, memory: &mut Memory, classes: usize) -> (*const f64, usize) {
    let len = draw.pick(&[0, 1, 1, classes]);
    array(draw, memory, len, |draw| draw.pick(&[2.0, 1.0, 0.5, 0.75, 3.0, 0.01, 100.0]))
}

/// One number per class.
fn numbers(draw: &mut Draw<'_>, memory: &mut Memory, classes: usize) -> (*const f64, usize) {
    array(draw, memory, classes, |draw| draw.number())
}

/// What it costs to mistake one class for another: nothing on the diagonal.
fn costs(draw: &mut Draw<'_>, memory: &mut Memory, classes: usize) -> (*const f64, usize) {
    let mut place = 0;
    let mut random = draw.random();
    array(draw, memory, classes * classes, |draw| {
        place += 1;
        match (place - 1) % (classes + 1) {
            0 if !draw.hostile() => 0.0,
            _ => (random.unit() * 4.0).ceil() / 4.0,
        }
    })
}

/// Numbers in memory that can only be read, as many as their length says, unless that is impossible.
fn array(
    draw: &mut Draw<'_>,
    memory: &mut Memory,
    len: usize,
    mut number: impl FnMut(&mut Draw<'_>) -> f64,
) -> (*const f64, usize) {
    let said = draw.len(len);
    if said == 0 && !draw.hostile() {
        return (ptr::null(), 0);
    }
    let numbers: Vec<f64> = (0..said.min(len + 1)).map(|_| number(draw)).collect();
    let edge = draw.edge();
    let first = memory.values(&numbers, edge);
    if draw.hostile() { (draw.pick(&[ptr::null(), first.wrapping_byte_add(1)]), said) } else { (first, said) }
}
