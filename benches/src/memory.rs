//! The machine's own limits: how fast memory can be read, and read and written past the caches, by all threads.

use rayon::prelude::*;

/// f32 that a thread takes at a time.
const CHUNK: usize = 1 << 15;

/// Bytes of the last-level cache, 32 MiB where the system does not say.
pub fn last_level_cache() -> usize {
    let size = |index: usize| {
        let text = std::fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size")).ok()?;
        text.trim().strip_suffix('K')?.parse::<usize>().ok()
    };
    (0..5).filter_map(size).max().map_or(32 << 20, |kib| kib << 10)
}

/// Reads all of `data`.
pub fn read(data: &[f32]) -> f32 {
    data.par_chunks(CHUNK).map(sum).sum()
}

/// Reads all of `data` and streams as much to `to`.
///
/// # Panics
/// If the slices differ in length.
pub fn read_and_stream(data: &[f32], to: &mut [f32]) {
    assert_eq!(data.len(), to.len());
    data.par_chunks(CHUNK).zip(to.par_chunks_mut(CHUNK)).for_each(|(data, to)| stream(data, to));
}

/// Enough independent sums for any machine's loads to overlap.
fn sum(data: &[f32]) -> f32 {
    let (chunks, rest) = data.as_chunks::<64>();
    let mut sums = [0.0_f32; 64];
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += x;
        }
    }
    sums.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

#[cfg(target_arch = "x86_64")]
fn stream(data: &[f32], to: &mut [f32]) {
    use std::arch::x86_64::{_mm_loadu_ps, _mm_sfence, _mm_stream_ps};

    // SAFETY: any f32 may be seen as part of four.
    let (head, body, tail) = unsafe { to.align_to_mut::<[f32; 4]>() };
    let aligned = body.as_ptr().addr().is_multiple_of(16);
    let (data_head, data) = data.split_at(head.len());
    let (data_body, data_tail) = data.as_chunks::<4>();
    head.copy_from_slice(data_head);
    for (from, to) in data_body.iter().zip(body) {
        if aligned {
            // SAFETY: reads four f32 of the chunk.
            let four = unsafe { _mm_loadu_ps(from.as_ptr()) };
            // SAFETY: writes the four f32 of the chunk, aligned to 16 bytes.
            unsafe { _mm_stream_ps(to.as_mut_ptr(), four) };
        } else {
            *to = *from;
        }
    }
    tail.copy_from_slice(data_tail);
    // SAFETY: every x86-64 CPU has it.
    unsafe { _mm_sfence() };
}

#[cfg(not(target_arch = "x86_64"))]
fn stream(data: &[f32], to: &mut [f32]) {
    to.copy_from_slice(data);
}
