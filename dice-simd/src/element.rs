//! The element types of tensors, and how they become the numbers that kernels compute with.

use std::ptr;

use dice_core::half::{bf16, f16};

use crate::block::{LANES, LINE};
use crate::lanes::Lanes;
use crate::real::Real;

/// Where the elements of a tensor lie, and what they are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Elements {
    Bool(*mut Bool),
    U8(*mut u8),
    F16(*mut f16),
    Bf16(*mut bf16),
    F32(*mut f32),
    F64(*mut f64),
}

/// A byte: 0 is false, and any other is true.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Bool(u8);

/// Calls `$body` with `$pointer` bound to the pointer of whatever type.
macro_rules! with_pointer {
    ($elements:expr, $pointer:ident => $body:expr) => {
        match $elements {
            Elements::Bool($pointer) => $body,
            Elements::U8($pointer) => $body,
            Elements::F16($pointer) => $body,
            Elements::Bf16($pointer) => $body,
            Elements::F32($pointer) => $body,
            Elements::F64($pointer) => $body,
        }
    };
}
pub(crate) use with_pointer;

/// An element type that can be read.
pub(crate) trait Element: Copy + 'static {
    fn elements(pointer: *mut Self) -> Elements;
    /// The elements as they are, if they are of this type.
    fn borrow(elements: Elements) -> Option<*mut Self>;

    /// Exact, but for an f64 that is to be computed with in f32.
    fn widen<R: Real>(self) -> R;

    #[inline(always)]
    fn load<L: Lanes>(lanes: L, from: &[Self; LANES]) -> L::F {
        lanes.load(&from.map(Self::widen))
    }
}

/// An element type that gradients are written in.
pub(crate) trait Output: Element {
    /// Rounded to nearest, ties to even.
    fn narrow<R: Real>(x: R) -> Self;

    #[inline(always)]
    fn store<L: Lanes>(lanes: L, to: &mut [Self; LANES], x: L::F) {
        let mut numbers = [L::R::ZERO; LANES];
        lanes.store(&mut numbers, x);
        *to = numbers.map(Self::narrow);
    }
    /// Writes elements past the caches, for outputs that nobody reads soon; [`Lanes::fence`] before others may read them.
    ///
    /// # Safety
    /// `to` is valid for writes, and aligned to as many bytes as the elements have, 64 at most.
    #[inline(always)]
    unsafe fn stream<L: Lanes>(lanes: L, to: *mut [Self; LANES], elements: &[Self; LANES]) {
        let (to, from, bytes) = (to.cast::<u8>(), ptr::from_ref(elements).cast::<u8>(), size_of_val(elements));
        const { assert!(size_of::<Self>() >= 2, "sixteen elements are half a line at least") };
        if bytes == LINE / 2 {
            // SAFETY: so many bytes the elements are.
            let half = unsafe { &*from.cast() };
            // SAFETY: the caller's promise.
            return unsafe { lanes.stream_half_line(to.cast(), half) };
        }
        for start in (0..bytes).step_by(LINE) {
            // SAFETY: the elements are whole lines.
            let line = unsafe { &*from.wrapping_add(start).cast() };
            // SAFETY: the caller's promise.
            unsafe { lanes.stream_line(to.wrapping_add(start).cast(), line) };
        }
    }
}

impl Element for Bool {
    fn elements(pointer: *mut Self) -> Elements {
        Elements::Bool(pointer)
    }
    #[inline(always)]
    fn borrow(elements: Elements) -> Option<*mut Self> {
        if let Elements::Bool(pointer) = elements { Some(pointer) } else { None }
    }
    #[inline(always)]
    fn widen<R: Real>(self) -> R {
        R::from_u8(self.0.min(1))
    }
}

impl Element for u8 {
    fn elements(pointer: *mut Self) -> Elements {
        Elements::U8(pointer)
    }
    #[inline(always)]
    fn borrow(elements: Elements) -> Option<*mut Self> {
        if let Elements::U8(pointer) = elements { Some(pointer) } else { None }
    }
    #[inline(always)]
    fn widen<R: Real>(self) -> R {
        R::from_u8(self)
    }
}

impl Element for f16 {
    fn elements(pointer: *mut Self) -> Elements {
        Elements::F16(pointer)
    }
    #[inline(always)]
    fn borrow(elements: Elements) -> Option<*mut Self> {
        if let Elements::F16(pointer) = elements { Some(pointer) } else { None }
    }
    #[inline(always)]
    fn widen<R: Real>(self) -> R {
        R::from_f32(self.to_f32())
    }
    #[inline(always)]
    fn load<L: Lanes>(lanes: L, from: &[Self; LANES]) -> L::F {
        lanes.load_f16(from)
    }
}

impl Output for f16 {
    #[inline(always)]
    fn narrow<R: Real>(x: R) -> Self {
        Self::from_f32(x.to_f64() as f32)
    }
    #[inline(always)]
    fn store<L: Lanes>(lanes: L, to: &mut [Self; LANES], x: L::F) {
        lanes.store_f16(to, x);
    }
}

impl Element for bf16 {
    fn elements(pointer: *mut Self) -> Elements {
        Elements::Bf16(pointer)
    }
    #[inline(always)]
    fn borrow(elements: Elements) -> Option<*mut Self> {
        if let Elements::Bf16(pointer) = elements { Some(pointer) } else { None }
    }
    #[inline(always)]
    fn widen<R: Real>(self) -> R {
        R::from_f32(f32::from_bits(u32::from(self.to_bits()) << 16))
    }
    #[inline(always)]
    fn load<L: Lanes>(lanes: L, from: &[Self; LANES]) -> L::F {
        lanes.load_bf16(from)
    }
}

impl Output for bf16 {
    #[inline(always)]
    fn narrow<R: Real>(x: R) -> Self {
        Self::from_f32(x.to_f64() as f32)
    }
    #[inline(always)]
    fn store<L: Lanes>(lanes: L, to: &mut [Self; LANES], x: L::F) {
        lanes.store_bf16(to, x);
    }
}

impl Element for f32 {
    fn elements(pointer: *mut Self) -> Elements {
        Elements::F32(pointer)
    }
    #[inline(always)]
    fn borrow(elements: Elements) -> Option<*mut Self> {
        if let Elements::F32(pointer) = elements { Some(pointer) } else { None }
    }
    #[inline(always)]
    fn widen<R: Real>(self) -> R {
        R::from_f32(self)
    }
}

impl Output for f32 {
    #[inline(always)]
    fn narrow<R: Real>(x: R) -> Self {
        x.to_f64() as Self
    }
}

impl Element for f64 {
    fn elements(pointer: *mut Self) -> Elements {
        Elements::F64(pointer)
    }
    #[inline(always)]
    fn borrow(elements: Elements) -> Option<*mut Self> {
        if let Elements::F64(pointer) = elements { Some(pointer) } else { None }
    }
    #[inline(always)]
    fn widen<R: Real>(self) -> R {
        R::from_f64(self)
    }
}

impl Output for f64 {
    #[inline(always)]
    fn narrow<R: Real>(x: R) -> Self {
        x.to_f64()
    }
}
