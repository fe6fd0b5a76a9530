//! Tensors of any element type and strides, each in an exact span, and compact copies of them.

use half::{bf16, f16};

use crate::abi;
use crate::draw::{Draw, Random};
use crate::memory::{Edge, Memory, SLOT, Span};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    U8,
    Bool,
    I8,
    U16,
    I16,
    I32,
    I64,
    F16,
    Bf16,
    F32,
    F64,
}

impl Dtype {
    pub const LABELS: [Self; 7] = [Self::U8, Self::Bool, Self::I8, Self::U16, Self::I16, Self::I32, Self::I64];
    pub const DENSE: [Self; 6] = [Self::U8, Self::Bool, Self::F16, Self::Bf16, Self::F32, Self::F64];
    pub const FLOATS: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::F64];
    const ALL: [Self; 11] = [
        Self::U8,
        Self::Bool,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::F16,
        Self::Bf16,
        Self::F32,
        Self::F64,
    ];

    /// One of these; one of all where a rule is broken.
    pub fn draw(draw: &mut Draw<'_>, from: &[Self]) -> Self {
        if draw.hostile() { draw.pick(&Self::ALL) } else { draw.pick(from) }
    }

    pub fn size(self) -> usize {
        match self {
            Self::U8 | Self::Bool | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }

    /// DLPack's code of the kind of number.
    fn code(self) -> u8 {
        match self {
            Self::I8 | Self::I16 | Self::I32 | Self::I64 => 0,
            Self::U8 | Self::U16 => 1,
            Self::F16 | Self::F32 | Self::F64 => 2,
            Self::Bf16 => 4,
            Self::Bool => 6,
        }
    }

    /// The number as an element.
    fn write(self, number: f64, to: &mut [u8]) {
        match self {
            Self::U8 => to.copy_from_slice(&(number as u8).to_ne_bytes()),
            // C's memory may hold any byte.
            Self::Bool => to.copy_from_slice(&(number as u8).to_ne_bytes()),
            Self::I8 => to.copy_from_slice(&(number as i8).to_ne_bytes()),
            Self::U16 => to.copy_from_slice(&(number as u16).to_ne_bytes()),
            Self::I16 => to.copy_from_slice(&(number as i16).to_ne_bytes()),
            Self::I32 => to.copy_from_slice(&(number as i32).to_ne_bytes()),
            Self::I64 => to.copy_from_slice(&(number as i64).to_ne_bytes()),
            Self::F16 => to.copy_from_slice(&f16::from_f64(number).to_ne_bytes()),
            Self::Bf16 => to.copy_from_slice(&bf16::from_f64(number).to_ne_bytes()),
            Self::F32 => to.copy_from_slice(&(number as f32).to_ne_bytes()),
            Self::F64 => to.copy_from_slice(&number.to_ne_bytes()),
        }
    }

    /// Whether it is a zero, of either sign.
    fn is_zero(self, element: &[u8]) -> bool {
        let is_float = matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64);
        let (last, others) = element.split_last().expect("an element has a byte");
        is_float && others.iter().all(|&byte| byte == 0) && last.trailing_zeros() >= 7
    }

    /// The first element that differs in a bit, but for the sign of a zero: where a term has slope 0, it is not yet the same on every
    /// level.
    pub fn first_difference(self, ours: &[u8], theirs: &[u8]) -> Option<usize> {
        if ours == theirs {
            return None;
        }
        assert_eq!(ours.len(), theirs.len(), "lengths differ");
        let pairs = ours.chunks_exact(self.size()).zip(theirs.chunks_exact(self.size()));
        pairs.into_iter().position(|(a, b)| a != b && !(self.is_zero(a) && self.is_zero(b)))
    }
}

/// Where the elements of a tensor lie.
#[derive(Clone, Debug)]
pub struct Layout {
    pub dtype: Dtype,
    pub shape: Vec<i64>,
    /// None for compact.
    pub strides: Option<Vec<i64>>,
    /// Of each element in row-major order, its place in the span; none where all lie in that order.
    places: Vec<usize>,
    /// The place of index (0, 0, ...).
    start: usize,
    /// Elements from the first to the last one.
    len: usize,
}

/// Strides of axes that lie in memory in this order, the last one densest, with `gap` elements left out behind each row.
fn strides_in_order(shape: &[i64], order: &[usize], gap: i64) -> Vec<i64> {
    let mut strides = vec![0; shape.len()];
    let mut stride = 1;
    for &axis in order.iter().rev() {
        strides[axis] = stride;
        stride = (stride * shape[axis].max(1)) + gap;
    }
    strides
}

impl Layout {
    pub fn compact(dtype: Dtype, shape: &[i64]) -> Self {
        Self::strided(dtype, shape, None).expect("shapes are small")
    }

    /// The layout with these strides, if its span is not too long.
    fn strided(dtype: Dtype, shape: &[i64], strides: Option<Vec<i64>>) -> Option<Self> {
        let order: Vec<usize> = (0..shape.len()).collect();
        let steps = strides.clone().unwrap_or_else(|| strides_in_order(shape, &order, 0));
        let (mut lowest, mut highest) = (0, 0);
        for (&extent, &step) in shape.iter().zip(&steps) {
            let reach = (extent - 1).checked_mul(step)?;
            if reach < 0 { lowest += reach } else { highest += reach }
        }
        let count: i64 = shape.iter().product();
        if count == 0 {
            (lowest, highest) = (0, -1);
        }
        let len = usize::try_from(highest - lowest + 1).ok()?;
        if len * dtype.size() > SLOT {
            return None;
        }
        let (start, mut places) = (-lowest, Vec::new());
        let mut index = vec![0; shape.len()];
        let mut place = start;
        for _ in 0..if strides.is_some() { count } else { 0 } {
            places.push(place as usize);
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                place += steps[axis];
                if index[axis] < shape[axis] {
                    break;
                }
                place -= shape[axis] * steps[axis];
                index[axis] = 0;
            }
        }
        Some(Self { dtype, shape: shape.to_vec(), strides, places, start: start as usize, len })
    }

    /// Any layout of that shape: compact, channels last, axes in any order with gaps and backwards, broadcast, or of any small
    /// strides.
    pub fn draw(draw: &mut Draw<'_>, dtype: Dtype, shape: &[i64]) -> Self {
        let rank = shape.len();
        let mut order: Vec<usize> = (0..rank).collect();
        let strides = match draw.below(8) {
            0 | 1 => None,
            2 => Some(strides_in_order(shape, &order, 0)),
            3 | 4 if rank > 1 => {
                order.remove(1);
                order.push(1);
                let gap = draw.pick(&[0, 0, 1, 3]);
                Some(strides_in_order(shape, &order, gap))
            }
            3..=5 => {
                for axis in (1..rank).rev() {
                    order.swap(axis, draw.below(axis + 1));
                }
                let gap = draw.pick(&[0, 0, 1, 2, 5, 64]);
                let mut strides = strides_in_order(shape, &order, gap);
                let (backwards, doubled) = (draw.below(256), draw.below(4) == 3);
                for (axis, stride) in strides.iter_mut().enumerate() {
                    *stride *= if backwards >> (axis % 8) & 1 == 1 { -1 } else { 1 };
                    *stride *= if doubled { 2 } else { 1 };
                }
                Some(strides)
            }
            6 => {
                let mut strides = strides_in_order(shape, &order, 0);
                let broadcast = draw.below(256);
                strides.iter_mut().enumerate().filter(|(axis, _)| broadcast >> axis & 1 == 1).for_each(|(_, s)| *s = 0);
                Some(strides)
            }
            _ => Some((0..rank).map(|_| draw.below(24) as i64 - 8).collect()),
        };
        Self::strided(dtype, shape, strides).unwrap_or_else(|| Self::compact(dtype, shape))
    }

    /// Whether two indices have the same place.
    pub fn overlaps_itself(&self) -> bool {
        let mut places = self.places.clone();
        places.sort_unstable();
        places.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// A span with these numbers in row-major order. What lies between them is no valid number or label.
    pub fn fill(&self, mut number: impl FnMut(usize) -> f64) -> Vec<u8> {
        let size = self.dtype.size();
        let mut elements = vec![0; self.count() * size];
        for (index, element) in elements.chunks_exact_mut(size).enumerate() {
            self.dtype.write(number(index), element);
        }
        self.scatter(&elements)
    }

    fn count(&self) -> usize {
        if self.is_compact() { self.len } else { self.places.len() }
    }

    fn is_compact(&self) -> bool {
        self.strides.is_none()
    }

    /// A span with these elements in row-major order.
    pub fn scatter(&self, elements: &[u8]) -> Vec<u8> {
        if self.is_compact() {
            return elements.to_vec();
        }
        let mut span = vec![GAP; self.len * self.dtype.size()];
        match self.dtype.size() {
            1 => self.scatter_sized::<1>(elements, &mut span),
            2 => self.scatter_sized::<2>(elements, &mut span),
            4 => self.scatter_sized::<4>(elements, &mut span),
            _ => self.scatter_sized::<8>(elements, &mut span),
        }
        span
    }

    fn scatter_sized<const SIZE: usize>(&self, elements: &[u8], span: &mut [u8]) {
        let (span, _) = span.as_chunks_mut::<SIZE>();
        let (elements, _) = elements.as_chunks::<SIZE>();
        elements.iter().zip(&self.places).for_each(|(element, &place)| span[place] = *element);
    }

    /// The elements of a span in row-major order.
    pub fn gather(&self, span: &[u8]) -> Vec<u8> {
        if self.is_compact() {
            return span.to_vec();
        }
        match self.dtype.size() {
            1 => self.gather_sized::<1>(span),
            2 => self.gather_sized::<2>(span),
            4 => self.gather_sized::<4>(span),
            _ => self.gather_sized::<8>(span),
        }
    }

    fn gather_sized<const SIZE: usize>(&self, span: &[u8]) -> Vec<u8> {
        let (span, _) = span.as_chunks::<SIZE>();
        let elements: Vec<[u8; SIZE]> = self.places.iter().map(|&place| span[place]).collect();
        elements.into_flattened()
    }

    /// Whether all bytes between the elements are as they were filled.
    pub fn has_its_gaps(&self, span: &[u8]) -> bool {
        self.is_compact() || self.scatter(&self.gather(span)) == span
    }

    /// The struct that describes a span of this layout.
    pub fn describe(&self, memory: &mut Memory, span: Span, edge: Edge) -> abi::Tensor {
        abi::Tensor {
            data: span.first.wrapping_add(self.start * self.dtype.size()).cast(),
            device_type: 1,
            device_id: 0,
            ndim: self.shape.len() as i32,
            code: self.dtype.code(),
            bits: 8 * self.dtype.size() as u8,
            lanes: 1,
            shape: memory.values(&self.shape, edge),
            strides: self.strides.as_ref().map_or(std::ptr::null(), |strides| memory.values(strides, edge)),
            byte_offset: 0,
        }
    }
}

/// Of every byte that belongs to no element: NaN, no label of small tensors, a voxel that counts.
const GAP: u8 = 0xFF;

/// What the library is told of a tensor: that it begins elsewhere and has an offset, or, where a rule is broken, something that
/// it must refuse without a look at the elements.
pub fn disguise(draw: &mut Draw<'_>, memory: &mut Memory, layout: &Layout, mut tensor: abi::Tensor) -> abi::Tensor {
    let offset = draw.pick(&[0, 0, 0, 8, 64, 4096]);
    tensor.byte_offset = offset;
    tensor.data = tensor.data.wrapping_byte_sub(offset as usize);
    if !draw.spoil() {
        return tensor;
    }
    let (rank, edge) = (layout.shape.len(), draw.edge());
    let axis = draw.below(rank.max(1));
    match draw.below(12) {
        0 => tensor.device_type = draw.pick(&[0, 2, -1, i32::MAX]),
        1 => tensor.ndim = draw.pick(&[0, -1, 9, i32::MAX, i32::MIN]),
        // Fewer axes than shape and strides have: a tensor too, within the same span.
        2 => tensor.ndim -= 1,
        3 => tensor.bits = draw.pick(&[0, 1, 24, 128, 255]),
        4 => tensor.lanes = draw.pick(&[0, 2, u16::MAX]),
        5 => tensor.code = draw.pick(&[3, 5, 7, 255]),
        6 => tensor.shape = std::ptr::null(),
        7 => tensor.shape = tensor.shape.wrapping_byte_add(4),
        8 => {
            let mut shape = layout.shape.clone();
            match draw.below(3) {
                0 => shape[axis] = draw.pick(&[-1, i64::MIN]),
                // With strides, what is left out of the span stays out of it.
                1 => shape[axis] = 0,
                // Together more than can be.
                _ => {
                    shape[axis] = 1 << 62;
                    shape[(axis + 1) % rank] = 1 << 62;
                    if rank == 1 {
                        shape[axis] = -5;
                    }
                }
            }
            tensor.shape = memory.values(&shape, edge);
        }
        9 => {
            let order: Vec<usize> = (0..rank).collect();
            let mut strides = strides_in_order(&layout.shape, &order, 0);
            // Along an axis of extent 1 a stride means nothing.
            if layout.shape[axis] != 1 {
                strides[axis] = draw.pick(&[i64::MIN, i64::MAX, i64::MIN + 1]);
            }
            let stays = layout.shape[axis] == 1 && layout.strides.is_some();
            tensor.strides = if stays { tensor.strides } else { memory.values(&strides, edge) };
        }
        // Beyond the address space.
        10 => tensor.byte_offset = draw.pick(&[u64::MAX, u64::MAX - 7]),
        _ if layout.dtype.size() > 1 && draw.below(2) == 1 => tensor.data = tensor.data.wrapping_byte_add(1),
        _ => {
            tensor.data = std::ptr::null_mut();
            tensor.byte_offset = 0;
        }
    }
    tensor
}

/// The numbers of a tensor of logits: of any scale, and now and then none that is finite.
pub fn logit(random: &mut Random, scale: f64, specials: u64) -> f64 {
    let word = random.word();
    if specials > 0 && word >> 40 & 0xFF < specials {
        let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e30, -1e30, 0.0, -0.0, 1e-40];
        return special[(word >> 50) as usize % special.len()];
    }
    (random.unit() - 0.5) * scale
}
