//! The machine's own limits: how fast memory can be read, and read and written, by the threads of rayon's current pool.

use rayon::prelude::*;

/// Bytes that a thread takes at a time.
const CHUNK: usize = 1 << 17;

/// A cache line.
type Line = [u64; 8];

/// The whole cache lines of `data`, which is aligned to them but for at most one at each end.
fn lines<T>(data: &[T]) -> &[Line] {
    // SAFETY: numbers of any type may be seen as integers.
    unsafe { data.align_to::<Line>() }.1
}

/// Reads all of `data`.
pub fn read<T: Copy + Sync>(data: &[T]) -> u64 {
    lines(data).par_chunks(CHUNK / size_of::<Line>()).map(sum).reduce(|| 0, u64::wrapping_add)
}

/// Reads two tensors side by side.
pub fn read_both<T: Copy + Sync>(a: &[T], b: &[T]) -> u64 {
    let chunk = CHUNK / size_of::<Line>();
    let both = lines(a).par_chunks(chunk).zip(lines(b).par_chunks(chunk));
    both.map(|(a, b)| sum(a).wrapping_add(sum(b))).reduce(|| 0, u64::wrapping_add)
}

/// Reads all of `data` and writes as much to `to`, past the caches if `stream`.
///
/// # Panics
/// If the slices differ in length.
pub fn copy<T: Copy + Sync + Send>(data: &[T], to: &mut [T], stream: bool) {
    assert_eq!(data.len(), to.len());
    let chunk = CHUNK / size_of::<T>();
    data.par_chunks(chunk)
        .zip(to.par_chunks_mut(chunk))
        .for_each(|(data, to)| if stream { stream_lines(data, to) } else { to.copy_from_slice(data) });
}

/// Enough independent sums for any machine's loads to overlap.
fn sum(data: &[Line]) -> u64 {
    let (chunks, rest) = data.as_chunks::<4>();
    let mut sums = [[0_u64; 8]; 4];
    for chunk in chunks {
        for (sums, line) in sums.iter_mut().zip(chunk) {
            for (sum, x) in sums.iter_mut().zip(line) {
                *sum = sum.wrapping_add(*x);
            }
        }
    }
    sums.as_flattened().iter().chain(rest.as_flattened()).fold(0, |sum, x| sum.wrapping_add(*x))
}

#[cfg(target_arch = "x86_64")]
fn stream_lines<T: Copy>(data: &[T], to: &mut [T]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};

    // SAFETY: numbers of any type may be seen as integers.
    let (head, body, _) = unsafe { to.align_to_mut::<__m128i>() };
    let (head, body_bytes) = (head.len(), size_of_val(body));
    let middle = body_bytes / size_of::<T>();
    let from = data[head..head + middle].as_ptr().cast::<__m128i>();
    for (i, to) in body.iter_mut().enumerate() {
        // SAFETY: the middle of `data` is as long as `body`.
        let quarter = unsafe { _mm_loadu_si128(from.wrapping_add(i)) };
        // SAFETY: `to` is aligned to 16 bytes.
        unsafe { _mm_stream_si128(to, quarter) };
    }
    to[..head].copy_from_slice(&data[..head]);
    to[head + middle..].copy_from_slice(&data[head + middle..]);
    // SAFETY: every x86-64 CPU has it.
    unsafe { _mm_sfence() };
}

#[cfg(not(target_arch = "x86_64"))]
fn stream_lines<T: Copy>(data: &[T], to: &mut [T]) {
    to.copy_from_slice(data);
}
