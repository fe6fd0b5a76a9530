//! From the fuzzer's bytes to numbers. Bytes that are used up count as zeros, for which every draw gives its plainest outcome.

use std::fmt::Debug;
use std::sync::LazyLock;

use arbitrary::Unstructured;

use crate::memory::Edge;

/// Prints what was drawn, if the environment asks for it: for whoever looks at a finding.
pub fn show(what: &str, drawn: &dyn Debug) {
    static IS_ASKED_FOR: LazyLock<bool> = LazyLock::new(|| std::env::var_os("FUZZ_SHOW").is_some());
    if *IS_ASKED_FOR {
        eprintln!("{what}: {drawn:#?}");
    }
}

pub struct Draw<'a> {
    bytes: Unstructured<'a>,
    /// Whether this execution breaks rules: if so, each place where one can be broken takes a byte to say whether it is.
    hostile: bool,
    edges: u64,
    lots: Random,
    /// Whether the memory or the description of a tensor is not what the harness believes it to be, so that a compact copy of
    /// it would be another one.
    pub tensor_is_spoiled: bool,
}

impl<'a> Draw<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        // FNV-1a.
        let hash = bytes
            .iter()
            .fold(0xCBF2_9CE4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3));
        let (bytes, lots) = (Unstructured::new(bytes), Random(hash | 1));
        let mut draw = Self { bytes, hostile: false, edges: 0, lots, tensor_is_spoiled: false };
        draw.hostile = draw.one_in(4);
        draw.edges = draw.word();
        draw
    }

    pub fn word(&mut self) -> u64 {
        self.bytes.arbitrary().unwrap_or_default()
    }

    fn byte(&mut self) -> u8 {
        self.bytes.arbitrary().unwrap_or_default()
    }

    /// From 0 to `end` - 1; `end` is at most 256.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    /// Whether to do what takes long, one time in `n`. All bytes together decide, so that what the fuzzer makes of a slow input is not
    /// slow again.
    pub fn by_lot(&mut self, n: u64) -> bool {
        (self.lots.word() >> 20).is_multiple_of(n)
    }

    /// Whether a rule is to be broken here.
    pub fn hostile(&mut self) -> bool {
        self.hostile && self.one_in(16)
    }

    /// The same of a tensor's description or memory.
    pub fn spoil(&mut self) -> bool {
        let spoil = self.hostile();
        self.tensor_is_spoiled |= spoil;
        spoil
    }

    pub fn edge(&mut self) -> Edge {
        self.edges = self.edges.rotate_right(1);
        if self.edges >> 63 == 0 { Edge::Back } else { Edge::Front }
    }

    /// The number of one of `end` variants.
    pub fn variant(&mut self, end: i32) -> i32 {
        if self.hostile() { self.pick(&[-1, end, i32::MAX, i32::MIN]) } else { self.below(end as usize) as i32 }
    }

    pub fn flag(&mut self) -> i32 {
        self.variant(2)
    }

    /// A number that a field of a loss may have: 0, or from 1e-30 to 1e30.
    pub fn number(&mut self) -> f64 {
        if self.hostile() {
            return self.pick(&[f64::NAN, -1.0, f64::INFINITY, 1e300, 1e-300, -0.0]);
        }
        self.pick(&[0.0, 0.0, 0.0, 1.0, 0.5, 1e-5, 1e-30, 1e30, 3.0, 100.0])
    }

    /// A number from 0 to 1.
    pub fn share(&mut self) -> f64 {
        if self.hostile() {
            return self.pick(&[f64::NAN, -1.0, f64::INFINITY, 1.5, 1e-300, -0.0]);
        }
        self.pick(&[0.0, 0.0, 0.5, 1.0, 0.25, 1e-6])
    }

    /// A length that should be `len`.
    pub fn len(&mut self, len: usize) -> usize {
        if self.hostile() { self.pick(&[len + 1, len.saturating_sub(1), 0, usize::MAX, 1 << 61]) } else { len }
    }

    /// Many numbers from a few bytes.
    pub fn random(&mut self) -> Random {
        Random(self.word() | 1)
    }
}

/// Marsaglia's xorshift.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
