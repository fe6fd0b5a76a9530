//! The logical vector that every kernel computes on: sixteen lanes.
//!
//! Sixteen f32 are one register of AVX-512, two of AVX2, four of NEON, and an array of the scalar level; sixteen f64 twice as
//! many. Whatever the registers, each operation rounds each lane alike, so a kernel written over [`Lanes`] gives the same bits
//! on all of them. One file per instruction set, and nothing but instructions in it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod bits;
mod float_mode;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod scalar;

use std::hint::black_box;

use half::{bf16, f16};

use crate::block::{BLOCK, LANES, LINE, Row};
use crate::real::Real;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub use float_mode::DefaultFloatMode;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use portable::Portable;
pub(crate) use scalar::Scalar;

/// The operations that the kernels need. A value of an implementing type proves that the CPU has the instructions.
///
/// Comparisons with NaN are false. All methods are `#[inline(always)]`: they become instructions only inside a function
/// that is compiled for them, see [`Kernel`].
pub(crate) trait Lanes: Copy {
    /// What a lane holds.
    type R: Real;
    /// Sixteen of them.
    type F: Copy;
    /// Sixteen i32.
    type I: Copy;
    /// Sixteen truth values.
    type M: Copy;

    /// Whether kernels are compiled for the level that are nothing but faster than others, to the same bits: plain passes, those for
    /// halves, for a number of classes, and for several groups of sums at once. A level without them is there to be compared with,
    /// or for old CPUs.
    const IS_TUNED: bool = false;

    /// Runs a kernel as a function of its own, compiled for the instruction set: for what must not be repeated in every kernel
    /// that calls it, and for the loops in which the time is spent, which so have all registers.
    fn call<K: Kernel<R = Self::R>, const GROUP: usize>(self, kernel: K) -> K::Output;

    fn splat(self, x: Self::R) -> Self::F;
    /// x, which the compiler must have at hand here. Between the steps of several computations that do not depend on each
    /// other it keeps them interleaved: left alone, the compiler finishes one before it begins the next, and the CPU, which
    /// looks only so far ahead, waits for one result after the other.
    #[inline(always)]
    fn pin(self, x: Self::F) -> Self::F {
        x
    }
    fn load(self, from: &[Self::R; LANES]) -> Self::F;
    /// Asks for the cache line of an address, which need not be valid, to be brought to the L1 cache, and goes on at once.
    #[inline(always)]
    fn prefetch(self, _line: *const u8) {}
    /// The same, to the L2 cache: more lines can be on their way there.
    #[inline(always)]
    fn prefetch_to_l2(self, _line: *const u8) {}
    fn store(self, to: &mut [Self::R; LANES], x: Self::F);
    /// Writes a cache line past the caches, for outputs that nobody reads soon; [`fence`](Self::fence) before others may read
    /// it.
    ///
    /// # Safety
    /// `to` is valid for writes and aligned to [`LINE`] bytes.
    #[inline(always)]
    unsafe fn stream_line(self, to: *mut [u8; LINE], line: &[u8; LINE]) {
        // SAFETY: the caller's promise.
        unsafe { to.write(*line) };
    }
    /// The same, of half a line.
    ///
    /// # Safety
    /// `to` is valid for writes and aligned to half a line.
    #[inline(always)]
    unsafe fn stream_half_line(self, to: *mut [u8; LINE / 2], half: &[u8; LINE / 2]) {
        // SAFETY: the caller's promise.
        unsafe { to.write(*half) };
    }
    /// Orders all streamed stores before whatever follows.
    fn fence(self);

    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// a · b + c, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// a > b ? a : b, so b if either is NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// −|a|.
    fn neg_abs(self, a: Self::F) -> Self::F;
    /// See [`power`](Real::power).
    fn power(self, shifted: Self::F) -> Self::F;
    /// (1 + u) · [`power`](Self::power).
    #[inline(always)]
    fn scale(self, u: Self::F, shifted: Self::F) -> Self::F {
        let power = self.power(shifted);
        self.fma(power, u, power)
    }
    /// That, and that − 1: the 1 is taken from the power, which leaves small differences their last places.
    #[inline(always)]
    fn scale_and_less_one(self, u: Self::F, shifted: Self::F) -> [Self::F; 2] {
        let power = self.power(shifted);
        [self.fma(power, u, power), self.fma(power, u, self.sub(power, self.splat(Self::R::ONE)))]
    }
    /// Whether they are +0 and −1 wherever n is less, too, whatever u may be there.
    const SCALES_ALL: bool = false;
    /// See [`split`](Real::split).
    fn split(self, x: Self::F) -> [Self::F; 2];

    fn gt(self, a: Self::F, b: Self::F) -> Self::M;
    /// m ? a : b.
    fn select(self, m: Self::M, a: Self::F, b: Self::F) -> Self::F;
    /// The lanes that a constant chooses.
    #[inline(always)]
    fn chosen(self, choice: &Choice) -> Self::M {
        self.eq(self.load_i(&choice.lanes), self.splat_i(-1))
    }
    /// x; [`NAN`](Real::NAN) where it is NaN, so that outputs have the same bits on all levels.
    #[inline(always)]
    fn canonical(self, x: Self::F) -> Self::F {
        // A number is above 0 or below 1.
        let rest = self.select(self.gt(self.splat(Self::R::ONE), x), x, self.splat(Self::R::NAN));
        self.select(self.gt(x, self.splat(Self::R::ZERO)), x, rest)
    }
    /// m ? a : +0.
    #[inline(always)]
    fn keep(self, m: Self::M, a: Self::F) -> Self::F {
        self.select(m, a, self.splat(Self::R::ZERO))
    }
    /// m ? a · b + c : c.
    #[inline(always)]
    fn fma_where(self, m: Self::M, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        self.select(m, self.fma(a, b, c), c)
    }

    fn splat_i(self, x: i32) -> Self::I;
    fn load_i(self, from: &[i32; LANES]) -> Self::I;
    /// Sixteen bytes minus `offset`.
    #[inline(always)]
    fn load_bytes(self, from: &[u8; LANES], offset: i32) -> Self::I {
        self.load_i(&from.map(|byte| i32::from(byte) - offset))
    }
    fn store_i(self, to: &mut [i32; LANES], x: Self::I);
    fn eq(self, a: Self::I, b: Self::I) -> Self::M;
    /// m ? a : b.
    fn select_i(self, m: Self::M, a: Self::I, b: Self::I) -> Self::I;

    /// Adds each lane to its f64 sum.
    fn accumulate(self, sums: &mut [f64; LANES], x: Self::F);

    /// The bytes of a block.
    type Bytes: Copy;
    fn load_block(self, block: &[u8; BLOCK]) -> Self::Bytes;
    fn max_bytes(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// Whether one of the bytes is greater than `limit`.
    fn any_above(self, bytes: Self::Bytes, limit: u8) -> bool;

    /// A truth value for each byte of a block.
    type B: Copy;
    /// How often truth values were true, in parts, each of up to 255 counts of [`PART_BYTES`](Self::PART_BYTES) bytes of a block.
    type T: Copy;
    const PART_BYTES: usize;
    fn equal_bytes(self, bytes: Self::Bytes, byte: u8) -> Self::B;
    fn both(self, a: Self::B, b: Self::B) -> Self::B;
    fn tally(self) -> Self::T;
    fn count(self, tally: Self::T, b: Self::B) -> Self::T;
    fn total(self, tally: Self::T) -> u64;

    /// Whether the methods below are there that look bytes up.
    const LOOKS_UP: bool = false;
    /// What `table` holds at each place; the places are below 16, or at least 0x80, where 0 is found.
    #[inline(always)]
    fn look_up(self, _table: &[u8; 16], _places: Self::Bytes) -> Self::Bytes {
        unreachable!("this level does not look up")
    }
    /// The low four bits of each byte, and the high four.
    #[inline(always)]
    fn nibbles(self, _bytes: Self::Bytes) -> [Self::Bytes; 2] {
        unreachable!("this level does not look up")
    }
    #[inline(always)]
    fn and(self, _a: Self::Bytes, _b: Self::Bytes) -> Self::Bytes {
        unreachable!("this level does not look up")
    }
    #[inline(always)]
    fn or(self, _a: Self::Bytes, _b: Self::Bytes) -> Self::Bytes {
        unreachable!("this level does not look up")
    }
    /// Adds bytes to the parts of a tally.
    #[inline(always)]
    fn add_bytes(self, _tally: Self::T, _bytes: Self::Bytes) -> Self::T {
        unreachable!("this level does not look up")
    }
    /// Adds the low four bits of each part of a tally to one, and the high four bits to another.
    #[inline(always)]
    fn add_nibbles(self, _tallies: [Self::T; 2], _nibbles: Self::T) -> [Self::T; 2] {
        unreachable!("this level does not look up")
    }

    /// Whether the two methods below are there.
    #[inline(always)]
    fn sorts_pairs(self) -> bool {
        false
    }
    /// Sorts pairs of labels below `classes`, at most 16, of at most [`SORTED_TOGETHER`] blocks, and counts them, but for some that
    /// stay sorted. False, and none of them is counted, if a label is not below.
    #[inline(always)]
    fn sort_pairs(
        self,
        _sorted: &mut SortedPairs,
        _truth: &[[u8; BLOCK]],
        _prediction: &[[u8; BLOCK]],
        _classes: usize,
    ) -> bool {
        unreachable!("this level does not sort pairs")
    }
    /// Counts the pairs that stayed sorted.
    #[inline(always)]
    fn count_sorted(self, _sorted: &mut SortedPairs, _classes: usize) {
        unreachable!("this level does not sort pairs")
    }

    /// Whether the methods below have instructions; otherwise number by number is the way.
    const TRANSPOSES: bool = false;
    /// From the numbers of sixteen voxels as they lie in memory, `N` of each side by side, to a vector per number.
    #[inline(always)]
    fn apart<const N: usize>(self, x: [Self::F; N]) -> [Self::F; N] {
        apart_by_element(self, x)
    }
    /// And back.
    #[inline(always)]
    fn together<const N: usize>(self, x: [Self::F; N]) -> [Self::F; N] {
        together_by_element(self, x)
    }
    /// Lanes of a register.
    const REGISTER: usize = LANES;
    /// The lanes of each register in another order: `places` says where each comes from, all counted in the vector.
    #[inline(always)]
    fn permute(self, _x: Self::F, _places: &[i32; LANES]) -> Self::F {
        unreachable!("this level does not transpose")
    }
    /// The 4 × 4 matrices that four vectors are, quarter by quarter, transposed.
    #[inline(always)]
    fn transpose(self, _x: [Self::F; 4]) -> [Self::F; 4] {
        unreachable!("this level does not transpose")
    }
    /// Whether the two methods below have instructions, too, and registers enough to use them on eight vectors.
    const ZIPS_QUARTERS: bool = false;
    /// From two vectors of four quarters each to the even quarters of both and the odd ones.
    #[inline(always)]
    fn unzip_quarters(self, _x: [Self::F; 2]) -> [Self::F; 2] {
        unreachable!("this level does not transpose")
    }
    /// And back.
    #[inline(always)]
    fn zip_quarters(self, _x: [Self::F; 2]) -> [Self::F; 2] {
        unreachable!("this level does not transpose")
    }

    /// Widens sixteen half-precision numbers, exactly.
    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> Self::F {
        self.load(&from.map(|x| Self::R::from_f64(x.to_f64())))
    }
    /// Widens sixteen bfloat16 numbers, exactly.
    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> Self::F {
        self.load(&from.map(|x| Self::R::from_f32(f32::from_bits(u32::from(x.to_bits()) << 16))))
    }
    /// Rounds to the nearest bfloat16 numbers, ties to even, in integers: the hardware's instruction flushes subnormals.
    #[inline(always)]
    fn store_bf16(self, to: &mut [bf16; LANES], x: Self::F) {
        let mut lanes = [Self::R::ZERO; LANES];
        self.store(&mut lanes, x);
        *to = lanes.map(|x| bf16::from_f32(x.to_f64() as f32));
    }
    /// Rounds to the nearest half-precision numbers, ties to even.
    #[inline(always)]
    fn store_f16(self, to: &mut [f16; LANES], x: Self::F) {
        let mut lanes = [Self::R::ZERO; LANES];
        self.store(&mut lanes, x);
        *to = lanes.map(|x| f16::from_f32(x.to_f64() as f32));
    }
}

/// Code over [`Lanes`], to be compiled once per instruction set.
pub(crate) trait Kernel {
    /// The arithmetic.
    type R: Real;
    type Output;

    /// Runs on `lanes`, `GROUP` vectors at a time: as many as the registers of the instruction set hold well. Must be
    /// `#[inline(always)]`, like all that it calls, to be compiled for the instruction set.
    fn run<L: Lanes<R = Self::R>, const GROUP: usize>(self, lanes: L) -> Self::Output;
}

/// A kernel bound to its lanes, in the form that pulp's `vectorize` compiles for an instruction set.
struct OnLanes<K, L, const GROUP: usize>(K, L);

impl<K: Kernel, L: Lanes<R = K::R>, const GROUP: usize> pulp::NullaryFnOnce for OnLanes<K, L, GROUP> {
    type Output = K::Output;

    #[inline(always)]
    fn call(self) -> K::Output {
        // What the registers do not hold is spilled to the stack. The compiler aligns it to the registers' size only where some
        // variable asks for that, and a spill across two cache lines is slow.
        black_box(&Row([0_u8; BLOCK]));
        self.0.run::<L, GROUP>(self.1)
    }
}

/// Some lanes, in both forms that levels have of truth values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    /// −1 where a lane is chosen, 0 elsewhere.
    lanes: [i32; LANES],
    bits: u16,
}

impl Choice {
    pub(crate) const NONE: Self = Self { lanes: [0; LANES], bits: 0 };

    pub(crate) const fn and(mut self, lane: usize) -> Self {
        self.lanes[lane] = -1;
        self.bits |= 1 << lane;
        self
    }
}

/// See [`Lanes::apart`].
#[inline(always)]
fn apart_by_element<L: Lanes, const N: usize>(lanes: L, mut x: [L::F; N]) -> [L::F; N] {
    let mut numbers = [[L::R::ZERO; LANES]; N];
    for (numbers, x) in numbers.iter_mut().zip(&x) {
        lanes.store(numbers, *x);
    }
    let numbers = numbers.as_flattened();
    for (number, x) in x.iter_mut().enumerate() {
        *x = lanes.load(&std::array::from_fn(|voxel| numbers[voxel * N + number]));
    }
    x
}

/// See [`Lanes::together`].
#[inline(always)]
fn together_by_element<L: Lanes, const N: usize>(lanes: L, mut x: [L::F; N]) -> [L::F; N] {
    let mut numbers = [[L::R::ZERO; LANES]; N];
    for (numbers, x) in numbers.iter_mut().zip(&x) {
        lanes.store(numbers, *x);
    }
    for (vector, x) in x.iter_mut().enumerate() {
        let place = |lane: usize| vector * LANES + lane;
        *x = lanes.load(&std::array::from_fn(|lane| numbers[place(lane) % N][place(lane) / N]));
    }
    x
}

/// Pairs of labels below 16, a byte `truth << 4 | prediction` each, sorted by the high two bits of the truth.
#[derive(Debug)]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only AVX-512 sorts"))]
#[repr(align(64))]
pub(crate) struct SortedPairs {
    pairs: [Sorted; 4],
    lens: [usize; 4],
    /// How often each pair was counted: the sum of its eight parts, modulo 2^64.
    pub(crate) counts: [[u64; 8]; 256],
}

/// So many pairs of a kind are counted at once.
const SORTED: usize = 2048;
/// And the pairs of so many blocks beyond them find room.
pub(crate) const SORTED_TOGETHER: usize = 16;
/// The room of a kind.
type Sorted = [u8; SORTED + SORTED_TOGETHER * BLOCK];

impl Default for SortedPairs {
    fn default() -> Self {
        Self { pairs: [[0; size_of::<Sorted>()]; 4], lens: [0; 4], counts: [[0; 8]; 256] }
    }
}

/// Bytes, and their truth values as bytes of 0 and 1, for levels whose compiler makes the best of it.
macro_rules! bytes_as_arrays {
    () => {
        type Bytes = [u8; BLOCK];
        #[inline(always)]
        fn load_block(self, block: &[u8; BLOCK]) -> [u8; BLOCK] {
            *block
        }
        #[inline(always)]
        fn max_bytes(self, a: [u8; BLOCK], b: [u8; BLOCK]) -> [u8; BLOCK] {
            std::array::from_fn(|i| a[i].max(b[i]))
        }
        #[inline(always)]
        fn any_above(self, bytes: [u8; BLOCK], limit: u8) -> bool {
            bytes.iter().fold(0, |greatest, &byte| byte.max(greatest)) > limit
        }

        type B = [u8; BLOCK];
        type T = [u8; BLOCK];
        const PART_BYTES: usize = 1;
        #[inline(always)]
        fn equal_bytes(self, bytes: [u8; BLOCK], byte: u8) -> [u8; BLOCK] {
            bytes.map(|other| u8::from(other == byte))
        }
        #[inline(always)]
        fn both(self, a: [u8; BLOCK], b: [u8; BLOCK]) -> [u8; BLOCK] {
            std::array::from_fn(|i| a[i] & b[i])
        }
        #[inline(always)]
        fn tally(self) -> [u8; BLOCK] {
            [0; BLOCK]
        }
        #[inline(always)]
        fn count(self, tally: [u8; BLOCK], b: [u8; BLOCK]) -> [u8; BLOCK] {
            std::array::from_fn(|i| tally[i] + b[i])
        }
        #[inline(always)]
        fn total(self, tally: [u8; BLOCK]) -> u64 {
            tally.iter().map(|&count| u64::from(count)).sum()
        }
    };
}
use bytes_as_arrays;

/// The operations that are spelled alike for f32 and f64: `$each!(i in $n => expression)` makes an array of the expression
/// for each register i.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! each {
    ($i:ident in 1 => $e:expr) => {{
        const $i: usize = 0;
        [$e]
    }};
    ($i:ident in 2 => $e:expr) => {
        [{ const $i: usize = 0; $e }, { const $i: usize = 1; $e }]
    };
    ($i:ident in 4 => $e:expr) => {
        [
            { const $i: usize = 0; $e }, { const $i: usize = 1; $e },
            { const $i: usize = 2; $e }, { const $i: usize = 3; $e },
        ]
    };
    ($i:ident in 8 => $e:expr) => {
        [
            { const $i: usize = 0; $e }, { const $i: usize = 1; $e },
            { const $i: usize = 2; $e }, { const $i: usize = 3; $e },
            { const $i: usize = 4; $e }, { const $i: usize = 5; $e },
            { const $i: usize = 6; $e }, { const $i: usize = 7; $e },
        ]
    };
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use each;
