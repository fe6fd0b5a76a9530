//! Logits, a problem and a loss that mostly fit each other, each tensor in a drawn layout and again as a compact copy.

use std::ptr;

use crate::abi;
use crate::draw::{Draw, show};
use crate::loss;
use crate::memory::{Edge, Memory};
use crate::tensor::{Dtype, Layout, disguise, logit};

/// What every pass reads.
#[derive(Clone, Copy)]
pub struct Inputs {
    pub logits: *const abi::Tensor,
    pub problem: *const abi::Problem,
    pub loss: *const abi::Loss,
}

/// A tensor that the library reads.
pub struct Operand {
    pub layout: Layout,
    /// In row-major order.
    pub elements: Vec<u8>,
    pub drawn: *const abi::Tensor,
    pub compact: *const abi::Tensor,
}

impl Operand {
    pub fn new(draw: &mut Draw<'_>, memory: &mut Memory, layout: Layout, number: impl FnMut(usize) -> f64) -> Self {
        let edge = draw.edge();
        let bytes = layout.fill(number);
        // What broadcasting has written several times is what was written last.
        let elements = layout.gather(&bytes);
        let span = memory.input(&bytes, edge);
        let tensor = layout.describe(memory, span, edge);
        let tensor = disguise(draw, memory, &layout, tensor);
        let drawn = memory.values(&[tensor], edge);
        let copy = Layout::compact(layout.dtype, &layout.shape);
        let span = memory.input(&elements, Edge::Back);
        let compact = copy.describe(memory, span, Edge::Back);
        let compact = memory.values(&[compact], Edge::Back);
        show("tensor", &tensor);
        show("its extents and strides", &(&layout.shape, &layout.strides));
        Self { layout, elements, drawn, compact }
    }
}

pub struct Scene {
    pub logits: Operand,
    pub samples: i64,
    pub classes: i64,
    /// Of a sample.
    pub voxels: i64,
    /// [N, spatial...] or [N, 1, spatial...].
    pub map: Vec<i64>,
    /// Index of the first voxel in the whole volume.
    pub offset: i64,
    pub is_large: bool,
    pub drawn: Inputs,
    pub compact: Inputs,
}

impl Scene {
    pub fn draw(draw: &mut Draw<'_>, memory: &mut Memory) -> Self {
        let (shape, is_large) = shape(draw);
        let (samples, classes) = (shape[0], shape[1]);
        let voxels = shape[2..].iter().product();
        let dtype = Dtype::draw(draw, &Dtype::FLOATS);
        let layout = Layout::draw(draw, dtype, &shape);
        let scale = draw.pick(&[4.0, 1.0, 40.0, 0.01, 400.0, 1e30]);
        let specials = draw.pick(&[0, 0, 0, 0, 1, 8, 255]);
        let mut random = draw.random();
        let logits = Operand::new(draw, memory, layout, |_| logit(&mut random, scale, specials));

        let map = map(draw, &shape);
        let dense = draw.one_in(4);
        let mut problem = abi::Problem {
            struct_size: loss::size(draw, size_of::<abi::Problem>()),
            target: ptr::null(),
            dense_target: if draw.hostile() { draw.flag() } else { i32::from(dense) },
            use_ignore_index: if dense && !draw.hostile() { 0 } else { draw.flag() },
            ignore_index: draw.pick(&[0, 1, 2, 255, -1, -100, i64::MIN, i64::MAX]),
            mask: ptr::null(),
            voxel_weights: ptr::null(),
            sample_weights: ptr::null(),
            num_sample_weights: 0,
            voxel_offset: 0,
            error_on_non_finite: draw.flag(),
            labels_checked: draw.flag(),
        };
        // Where the first bound of a tile lies somewhere in the tensors, and where it does not.
        let before_bound = draw.below(128) as i64;
        // SAFETY: takes nothing.
        let tile = unsafe { abi::dice_tile_voxels() };
        problem.voxel_offset = draw.pick(&[0, 0, tile - before_bound, tile, 3 * tile - before_bound, before_bound]);
        if draw.hostile() {
            problem.voxel_offset = draw.pick(&[-1, i64::MIN, i64::MAX, i64::MAX - before_bound]);
        }

        let target = if dense {
            dense_target(draw, memory, &shape)
        } else {
            labels(draw, memory, &map, classes, problem.ignore_index)
        };
        let mask = draw.one_in(4).then(|| mask(draw, memory, &shape));
        let voxel_weights = draw.one_in(4).then(|| voxel_weights(draw, memory, &shape));
        if draw.one_in(4) {
            (problem.sample_weights, problem.num_sample_weights) = sample_weights(draw, memory, samples);
        }
        let loss = loss::draw(draw, memory, classes);
        show("problem", &problem);
        let of = |operand: Option<&Operand>, is_drawn| {
            operand.map_or(ptr::null(), |operand| if is_drawn { operand.drawn } else { operand.compact })
        };
        let [drawn, compact] = [true, false].map(|is_drawn| abi::Problem {
            target: of(Some(&target), is_drawn),
            mask: of(mask.as_ref(), is_drawn),
            voxel_weights: of(voxel_weights.as_ref(), is_drawn),
            ..problem
        });
        let edge = draw.edge();
        let compact = Inputs { logits: logits.compact, problem: memory.values(&[compact], edge), loss };
        let mut drawn = Inputs { logits: logits.drawn, problem: memory.values(&[drawn], edge), loss };
        if draw.spoil() {
            match draw.below(3) {
                0 => drawn.logits = draw.pick(&[ptr::null(), drawn.logits.wrapping_byte_add(1)]),
                1 => drawn.problem = draw.pick(&[ptr::null(), drawn.problem.wrapping_byte_add(4)]),
                _ => drawn.problem = memory.values(&[abi::Problem { target: ptr::null(), ..problem }], edge),
            }
        }
        Self { logits, samples, classes, voxels, map, offset: problem.voxel_offset, is_large, drawn, compact }
    }
}

/// The shape of the logits, and whether they are so many that threads share them.
fn shape(draw: &mut Draw<'_>) -> (Vec<i64>, bool) {
    if draw.by_lot(4096) {
        let voxels = 8180 + draw.below(24) as i64;
        return match draw.below(3) {
            0 => (vec![1, draw.pick(&[16, 17]), voxels], true),
            1 => (vec![2, 9, 2, voxels / 2], true),
            _ => (vec![1, draw.pick(&[1, 2, 3]), 2, voxels / 2], false),
        };
    }
    let mut shape = vec![draw.pick(&[1, 1, 2, 3, 1, 5]), draw.pick(&[2, 3, 4, 1, 5, 6, 7, 14, 15, 33, 101])];
    let most: i64 = if draw.by_lot(32) { 3000 } else { 300 };
    let mut room = (most / (shape[0] * shape[1])).max(1);
    for _ in 0..draw.below(7) {
        let most = draw.pick(&[3, 4, 9, 20, 256]);
        let extent = (1 + draw.below(most) as i64).min(room);
        shape.push(extent);
        room /= extent;
    }
    if draw.one_in(64) {
        let axis = draw.below(shape.len());
        shape[axis] = 0;
    }
    (shape, false)
}

/// The shape of a map for logits of this shape.
fn map(draw: &mut Draw<'_>, shape: &[i64]) -> Vec<i64> {
    let mut map = shape.to_vec();
    if draw.one_in(4) {
        map[1] = 1;
    } else {
        map.remove(1);
    }
    if draw.hostile() {
        match draw.below(3) {
            0 => map.push(1),
            1 => map[0] += 1,
            _ => map.extend([1; 8]),
        }
    }
    map
}

fn labels(draw: &mut Draw<'_>, memory: &mut Memory, map: &[i64], classes: i64, ignored: i64) -> Operand {
    let dtype = Dtype::draw(draw, &Dtype::LABELS);
    let layout = Layout::draw(draw, dtype, map);
    let present = 1 + draw.below(classes.clamp(2, 128) as usize) as u64;
    let [often_ignored, are_wrong] = [draw.one_in(3), draw.one_in(8)];
    let wrong = draw.pick(&[-1.0, classes as f64, 255.0, 1e18, -1e18]);
    let mut random = draw.random();
    Operand::new(draw, memory, layout, |_| match random.word() >> 32 {
        word if often_ignored && word % 4 == 3 => ignored as f64,
        word if are_wrong && word % 32 == 5 => wrong,
        word => ((word >> 8) % present) as f64,
    })
}

/// A map of labels as prediction, for [`labels`] of the same shape.
pub fn prediction(draw: &mut Draw<'_>, memory: &mut Memory, map: &[i64], classes: i64) -> Operand {
    labels(draw, memory, map, classes, 0)
}

fn dense_target(draw: &mut Draw<'_>, memory: &mut Memory, shape: &[i64]) -> Operand {
    let dtype = Dtype::draw(draw, &Dtype::DENSE);
    let layout = Layout::draw(draw, dtype, shape);
    let is_soft = draw.one_in(2);
    let specials = draw.pick(&[0, 0, 0, 0, 0, 8]);
    let mut random = draw.random();
    Operand::new(draw, memory, layout, |_| {
        if is_soft { logit(&mut random, 1.0, specials) + 0.5 } else { (random.word() >> 60 & 1) as f64 }
    })
}

fn mask(draw: &mut Draw<'_>, memory: &mut Memory, shape: &[i64]) -> Operand {
    let dtype = Dtype::draw(draw, &[Dtype::U8, Dtype::Bool]);
    let map = map(draw, shape);
    let layout = Layout::draw(draw, dtype, &map);
    let (inside, rarely) = (draw.pick(&[1.0, 255.0]), draw.pick(&[1, 0, 7]));
    let mut random = draw.random();
    Operand::new(draw, memory, layout, |_| if random.word() >> 32 & rarely == rarely { inside } else { 0.0 })
}

fn voxel_weights(draw: &mut Draw<'_>, memory: &mut Memory, shape: &[i64]) -> Operand {
    let dtype = Dtype::draw(draw, &[Dtype::F32]);
    let map = map(draw, shape);
    let layout = Layout::draw(draw, dtype, &map);
    let mut random = draw.random();
    let palette = weights(draw);
    Operand::new(draw, memory, layout, |_| palette[(random.word() >> 32) as usize % palette.len()])
}

fn sample_weights(draw: &mut Draw<'_>, memory: &mut Memory, samples: i64) -> (*const f32, usize) {
    let num = draw.len(samples as usize);
    let palette = weights(draw);
    let weights: Vec<f32> = (0..num.min(samples as usize + 1)).map(|_| draw.pick(&palette) as f32).collect();
    let edge = draw.edge();
    let first = memory.values(&weights, edge);
    if draw.hostile() { (draw.pick(&[ptr::null(), first.wrapping_byte_add(1)]), num) } else { (first, num) }
}

/// Weights of voxels or samples, the last one of some of them impossible.
fn weights(draw: &mut Draw<'_>) -> [f64; 4] {
    draw.pick(&[
        [1.0, 0.5, 0.0, 2.0],
        [1.0, 1.0, 1.0, 1.0],
        [0.0, 1.0, 1.0, 0.0],
        [1e8, 1e-8, 1e-45, 3.0],
        [0.0, 0.0, 0.0, 0.0],
        [1.0, 0.1, 0.0, -1.0],
        [1.0, 0.1, 0.0, f64::NAN],
    ])
}
