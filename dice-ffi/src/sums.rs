//! What a loss of the caller's own needs of a table and a cotangent: where the sums are.

use dice_simd::accumulator::{self, WORDS, Words};
use dice_simd::{Statistics, Sum};

use crate::arguments::{Memory, checked_output, checked_slice, variant};
use crate::buffers::{Buffers, with_buffers};
use crate::loss::LossStruct;
use crate::passes::{table_extents, table_len};
use crate::status::{Failure, Status, call};

/// A sum that a table holds.
#[derive(Clone, Copy)]
enum Wanted {
    OfClass(Sum),
    /// The place among the accumulators of a sample that belong to no class.
    OfNoClass(usize),
}

/// At the place that is its number.
const WANTED: [Wanted; Sum::ALL.len() + Statistics::OF_NO_CLASS] = {
    let mut wanted = [Wanted::OfNoClass(0); Sum::ALL.len() + Statistics::OF_NO_CLASS];
    let mut place = 0;
    while place < wanted.len() {
        wanted[place] = match place.checked_sub(Sum::ALL.len()) {
            Some(place) => Wanted::OfNoClass(place),
            None => Wanted::OfClass(Sum::ALL[place]),
        };
        place += 1;
    }
    wanted
};

/// An index below `end`.
fn index(what: &str, found: i64, end: usize) -> Result<usize, Failure> {
    usize::try_from(found).ok().filter(|&index| index < end).ok_or_else(|| {
        let sentence = format_args!("{what} = {found}: must be at least 0 and less than {end}");
        Failure::new(Status::InvalidArgument, sentence).numbers(found, i64::try_from(end).unwrap_or(i64::MAX))
    })
}

/// See `dice.h`.
///
/// # Safety
/// Each pointer is NULL or valid, as are those behind it; `table` points to `num` words.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_statistics_sum(
    loss: *const LossStruct,
    table: *const i64,
    num: usize,
    samples: i64,
    classes: i64,
    sample: i64,
    class_index: i64,
    term: i64,
    sum: i32,
    value: *mut f64,
) -> i32 {
    let summed = |Buffers { loss: kept, .. }: &mut Buffers| {
        // SAFETY: the caller vouches for the pointer.
        unsafe { kept.read(loss) }?;
        let (samples, classes) = table_extents(samples, classes)?;
        let expected = table_len(kept, samples, classes)?;
        // SAFETY: the caller vouches for the buffer.
        let words = unsafe { checked_slice(table, num, "table") }?;
        if num != expected {
            let sentence = format_args!("table: length {num} where {expected} is expected");
            let failure = Failure::new(Status::Length, sentence);
            return Err(failure.numbers(i64::try_from(num).unwrap_or(i64::MAX), expected as i64));
        }
        // SAFETY: the caller vouches for the pointer.
        let value = unsafe { checked_output(value, 1, 1, "value") }?;
        value.memory().check_apart(&Memory::new(table, num, "table"))?;
        let place = match variant(&WANTED, sum, "sum")? {
            Wanted::OfNoClass(place) => place,
            Wanted::OfClass(sum) => {
                let class = index("class_index", class_index, classes)?;
                Statistics::OF_NO_CLASS + class * kept.request().columns() + kept.column(term, sum)?
            }
        };
        let rows = if sample == -1 { 0..samples } else { index("sample", sample, samples).map(|row| row..row + 1)? };
        let per_sample = Statistics::accumulators_per_sample(classes, kept.request());
        let accumulators = words.as_chunks::<WORDS>().0;
        let mut total: Words = [0; WORDS];
        rows.for_each(|row| accumulator::merge(&mut total, &accumulators[row * per_sample + place]));
        value.write([accumulator::value(&total)?].into_iter());
        Ok(())
    };
    call(|| with_buffers(summed))
}

/// See `dice.h`.
///
/// # Safety
/// Each pointer is NULL or valid, as are those behind it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_cotangent_index(
    loss: *const LossStruct,
    classes: i64,
    group: i64,
    class_index: i64,
    term: i64,
    sum: i32,
    place: *mut usize,
) -> i32 {
    let found = |Buffers { loss: kept, .. }: &mut Buffers| {
        // SAFETY: the caller vouches for the pointer.
        unsafe { kept.read(loss) }?;
        let (_, classes) = table_extents(0, classes)?;
        let group = index("group", group, usize::MAX)?;
        let class = index("class_index", class_index, classes)?;
        let sum = variant(&Sum::ALL, sum, "sum")?;
        // SAFETY: the caller vouches for the pointer.
        let place = unsafe { checked_output(place, 1, 1, "index") }?;
        let column = kept.column(term, sum)?;
        let row = group.checked_mul(classes).and_then(|row| row.checked_add(class));
        let index = row.and_then(|row| row.checked_mul(kept.request().columns())?.checked_add(column));
        let too_large = || Failure::new(Status::Shape, "no cotangent can have so many groups");
        place.write([index.ok_or_else(too_large)?].into_iter());
        Ok(())
    };
    call(|| with_buffers(found))
}
