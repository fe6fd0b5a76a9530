//! Counting pairs of labels as sets of bits, on CPUs with AVX-512 that also count bits by the register.
//!
//! Of all pairs of sixteen classes, each would have to be compared with each voxel. Sorted by two bits of the true class, a voxel
//! is compared with a quarter of them, which saves more than the sorting takes. Then 512 voxels are a register for each bit of
//! their pairs, in any order, and the voxels of a pair are those that its bits have in common.

use std::arch::x86_64::*;

use pulp::cast;

use super::{SORTED, SORTED_TOGETHER, Sorted, SortedPairs};
use crate::block::BLOCK;

/// Registers of as many voxels as are counted at once.
const REGISTERS: usize = SORTED / 512;

/// Whether the CPU has the instructions, besides AVX-512 itself.
#[inline(always)]
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512vbmi2")
        && is_x86_feature_detected!("avx512vpopcntdq")
        && is_x86_feature_detected!("gfni")
}

/// See [`Lanes::sort_pairs`](super::Lanes::sort_pairs).
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vbmi2,avx512vpopcntdq,gfni,popcnt")]
pub(super) fn sort_pairs(
    sorted: &mut SortedPairs,
    truth: &[[u8; BLOCK]],
    prediction: &[[u8; BLOCK]],
    classes: usize,
) -> bool {
    assert!(truth.len() <= SORTED_TOGETHER, "more blocks than there is room for");
    let SortedPairs { pairs: rooms, lens, counts } = sorted;
    for (kind, (room, len)) in rooms.iter_mut().zip(&mut *lens).enumerate() {
        count_full(room, len, kind, classes, counts);
    }
    // In registers, since a byte that is stored might be theirs for all the compiler knows.
    let mut at = *lens;
    let mut greatest = _mm512_setzero_si512();
    for (truth, prediction) in truth.iter().zip(prediction) {
        let (truth, prediction): (__m512i, __m512i) = (cast(*truth), cast(*prediction));
        greatest = _mm512_max_epu8(greatest, _mm512_max_epu8(truth, prediction));
        let pairs = _mm512_or_si512(_mm512_slli_epi16::<4>(truth), prediction);
        let kinds = _mm512_and_si512(pairs, _mm512_set1_epi8(first_pair(3) as i8));
        for (kind, (room, at)) in rooms.iter_mut().zip(&mut at).enumerate() {
            let these = _mm512_cmpeq_epi8_mask(kinds, _mm512_set1_epi8(first_pair(kind) as i8));
            let to: &mut [u8; BLOCK] = room[*at..].first_chunk_mut().expect("there is room for a block");
            let (sorted, found) = (_mm512_maskz_compress_epi8(these, pairs), these.count_ones() as usize);
            // Most of the time is that of stores across the borders of cache lines.
            match to.first_chunk_mut::<{ BLOCK / 2 }>() {
                Some(half) if found <= BLOCK / 2 => *half = cast(_mm512_castsi512_si256(sorted)),
                _ => *to = cast(sorted),
            }
            *at += found;
        }
    }
    let are_classes = _mm512_cmpge_epu8_mask(greatest, _mm512_set1_epi8(classes as i8)) == 0;
    if are_classes {
        *lens = at;
    }
    are_classes
}

/// See [`Lanes::count_sorted`](super::Lanes::count_sorted).
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vbmi2,avx512vpopcntdq,gfni,popcnt")]
pub(super) fn count_sorted(sorted: &mut SortedPairs, classes: usize) {
    let SortedPairs { pairs: rooms, lens, counts } = sorted;
    for (kind, (room, len)) in rooms.iter_mut().zip(lens).enumerate() {
        count_full(room, len, kind, classes, counts);
        if *len > 0 {
            // Filled up with a pair that is taken off again.
            let pair = first_pair(kind);
            room[*len..SORTED].fill(pair);
            count_kind(room, kind, classes, counts);
            let part = &mut counts[usize::from(pair)][0];
            *part = part.wrapping_sub((SORTED - *len) as u64);
            *len = 0;
        }
    }
}

/// Counts the first [`SORTED`] pairs of a room if it has so many.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vpopcntdq,gfni")]
fn count_full(room: &mut Sorted, len: &mut usize, kind: usize, classes: usize, counts: &mut [[u64; 8]; 256]) {
    if *len >= SORTED {
        count_kind(room, kind, classes, counts);
        room.copy_within(SORTED..*len, 0);
        *len -= SORTED;
    }
}

/// The least pair of a kind.
const fn first_pair(kind: usize) -> u8 {
    (kind as u8) << 6
}

/// Counts the first [`SORTED`] pairs of a room, all of one kind.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vpopcntdq,gfni")]
fn count_kind(room: &Sorted, kind: usize, classes: usize, counts: &mut [[u64; 8]; 256]) {
    // By two bits each: of the true class the low ones, of the prediction the high ones and the low ones.
    let mut sets = [[[_mm512_setzero_si512(); REGISTERS]; 4]; 3];
    for (register, pairs) in room.as_chunks::<512>().0[..REGISTERS].iter().enumerate() {
        let planes = bit_planes(pairs);
        for (sets, bits) in sets.iter_mut().zip([4, 2, 0]) {
            for (set, voxels) in sets.iter_mut().zip(by_two_bits(planes[bits], planes[bits + 1])) {
                set[register] = voxels;
            }
        }
    }
    let [of_truth, of_high, of_low] = &sets;
    let counts = &mut counts[usize::from(first_pair(kind))..][..64];
    for (of_truth, counts) in of_truth.iter().zip(counts.chunks_exact_mut(16)).take(classes - 4 * kind) {
        for (low, of_low) in of_low.iter().enumerate() {
            let mut both = *of_truth;
            for (both, of_low) in both.iter_mut().zip(of_low) {
                *both = _mm512_and_si512(*both, *of_low);
            }
            for (high, of_high) in of_high.iter().enumerate().take((classes - low).div_ceil(4)) {
                let count = &mut counts[high * 4 + low];
                let mut sum = cast(*count);
                for (both, of_high) in both.iter().zip(of_high) {
                    sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_and_si512(*both, *of_high)));
                }
                *count = cast(sum);
            }
        }
    }
}

/// The voxels of each value of two bits.
#[inline]
#[target_feature(enable = "avx512f")]
fn by_two_bits(low: __m512i, high: __m512i) -> [__m512i; 4] {
    let neither = _mm512_andnot_si512(_mm512_or_si512(low, high), _mm512_set1_epi64(-1));
    [neither, _mm512_andnot_si512(high, low), _mm512_andnot_si512(low, high), _mm512_and_si512(low, high)]
}

/// A bit of each byte, for each of their eight bits; the bytes come in another order, the same for all of them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
fn bit_planes(bytes: &[u8; 512]) -> [__m512i; 8] {
    /// Multiplied with this matrix of bits, eight by eight, another one is transposed.
    const TURNED: i64 = 0x8040_2010_0804_0201_u64 as i64;
    const EVEN: [u8; 64] = every_other(0);
    const ODD: [u8; 64] = every_other(1);
    let turned = _mm512_set1_epi64(TURNED);
    let eight: [[u8; 64]; 8] = cast(*bytes);
    // Then the eighth part of a register is of eight voxels, a byte per bit. Three times the even bytes of two registers are
    // brought to one and the odd bytes to another: each register is of one bit.
    let mut x = [turned; 8];
    for (x, bytes) in x.iter_mut().zip(eight) {
        *x = _mm512_gf2p8affine_epi64_epi8::<0>(turned, cast(bytes));
    }
    for _ in 0..3 {
        let from = x;
        for i in 0..4 {
            x[i] = _mm512_permutex2var_epi8(from[2 * i], cast(EVEN), from[2 * i + 1]);
            x[4 + i] = _mm512_permutex2var_epi8(from[2 * i], cast(ODD), from[2 * i + 1]);
        }
    }
    x
}

/// The places of every second byte of two registers, from `first` on.
const fn every_other(first: u8) -> [u8; 64] {
    let mut places = [0; 64];
    let mut i = 0;
    while i < 64 {
        places[i] = first + 2 * i as u8;
        i += 1;
    }
    places
}
