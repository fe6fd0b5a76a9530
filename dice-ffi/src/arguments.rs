//! What a caller hands over: numbers, pointers, buffers, and structs that may be older than this library.

use std::fmt::{Display, Formatter, Result as Written};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;

use crate::status::{Failure, Status};

/// Refuses a reserved field that is not 0, so that it can have a meaning in a later version.
pub(crate) fn reserved(field: i32, what: &str) -> Result<(), Failure> {
    if field == 0 {
        return Ok(());
    }
    let failure = Failure::new(Status::InvalidArgument, format_args!("{what}.reserved = {field}: must be 0"));
    Err(failure.numbers(field.into(), 0))
}

/// The variant that a number stands for: its place in the list.
pub(crate) fn variant<T: Copy>(variants: &[T], number: i32, what: impl Display) -> Result<T, Failure> {
    usize::try_from(number).ok().and_then(|place| variants.get(place).copied()).ok_or_else(|| {
        let sentence = format_args!("{what} = {number}: must be from 0 to {}", variants.len() - 1);
        Failure::new(Status::InvalidArgument, sentence).numbers(number.into(), -1)
    })
}

/// A field that is 0 or 1.
pub(crate) fn flag(number: i32, what: impl Display) -> Result<bool, Failure> {
    variant(&[false, true], number, what)
}

/// A C struct that may grow at its end. A caller says how much of it he has; the rest is zero, which stands for a default.
///
/// # Safety
/// Implementors are `repr(C)` and valid for any bits.
pub(crate) unsafe trait Growing: Copy {
    /// Its size in the first version with this soname: no caller has less.
    const FIRST: usize;
}

/// Refuses a size that no version of `T` up to this library's has.
pub(crate) fn check_size<T: Growing>(size: usize, what: impl Display) -> Result<(), Failure> {
    let known = size_of::<T>();
    if (T::FIRST..=known).contains(&size) && size.is_multiple_of(align_of::<T>()) {
        return Ok(());
    }
    let failure = if T::FIRST < known {
        let sentence = format_args!("{what} is {size} where {} to {known} is expected", T::FIRST);
        Failure::new(Status::StructSize, sentence)
    } else {
        Failure::new(Status::StructSize, format_args!("{what} is {size} where {known} is expected"))
    };
    Err(failure.numbers(i64::try_from(size).unwrap_or(i64::MAX), known as i64))
}

/// The struct of which a caller has the first `size` bytes.
///
/// # Safety
/// `size` is not greater than that of `T`, and as many bytes at `pointer` may be read.
pub(crate) unsafe fn grown<T: Growing>(pointer: *const T, size: usize) -> T {
    let mut whole = MaybeUninit::<T>::zeroed();
    // SAFETY: as the caller vouches; `whole` has room for them, and is nobody else's.
    unsafe { ptr::copy_nonoverlapping(pointer.cast::<u8>(), whole.as_mut_ptr().cast::<u8>(), size) };
    // SAFETY: any bits are valid.
    unsafe { whole.assume_init() }
}

/// The struct behind `pointer`, whose first field is its size, if it is not NULL, aligned, and of a size that this library knows.
///
/// # Safety
/// `pointer` is NULL or points to a `size_t`, and if that is a size of `T`, to as many bytes.
pub(crate) unsafe fn checked_struct<T: Growing>(pointer: *const T, what: &str) -> Result<T, Failure> {
    // SAFETY: as the caller vouches, there is a `size_t` if it is not NULL.
    let size = *unsafe { checked_pointer(pointer.cast::<usize>(), what) }?;
    check_size::<T>(size, format_args!("{what}.struct_size"))?;
    // SAFETY: as the caller vouches.
    Ok(unsafe { grown(pointer, size) })
}

/// Refuses a pointer to `len` values that is NULL or misaligned, and a length that cannot be. What it points to is not looked at.
pub(crate) fn check_address<T>(pointer: *const T, len: usize, what: impl Display) -> Result<(), Failure> {
    if pointer.is_null() {
        return Err(Failure::null(what));
    }
    if !pointer.is_aligned() {
        return Err(Failure::new(Status::Layout, format_args!("{what} is misaligned")));
    }
    if len > isize::MAX as usize / size_of::<T>() {
        return Err(Failure::new(Status::Length, format_args!("{what}: a length of {len} is impossible")));
    }
    Ok(())
}

/// The value behind `pointer`, if it is not NULL and aligned.
///
/// # Safety
/// `pointer` is NULL, misaligned, or points to a `T` that lives as long as `'a`.
pub(crate) unsafe fn checked_pointer<'a, T>(pointer: *const T, what: impl Display) -> Result<&'a T, Failure> {
    check_address(pointer, 1, what)?;
    // SAFETY: not NULL and aligned; the caller vouches for the rest.
    Ok(unsafe { &*pointer })
}

/// The `len` values at `pointer`, which may be NULL if there are none.
///
/// # Safety
/// `pointer` is NULL, misaligned, or points to `len` values that live as long as `'a` and that nobody writes to.
pub(crate) unsafe fn checked_slice<'a, T>(
    pointer: *const T,
    len: usize,
    what: impl Display,
) -> Result<&'a [T], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    check_address(pointer, len, what)?;
    // SAFETY: not NULL, aligned, of a possible size; the caller vouches for the rest.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// The memory of an input or output.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    what: &'static str,
    addresses: Range<usize>,
}

impl Memory {
    /// That of the `len` values at `pointer`.
    pub(crate) fn new<T>(pointer: *const T, len: usize, what: &'static str) -> Self {
        let first = pointer.addr();
        Self { what, addresses: first..first.saturating_add(len.saturating_mul(size_of::<T>())) }
    }

    /// Refuses an output that reaches into an input, or into another output.
    pub(crate) fn check_apart(&self, other: &Self) -> Result<(), Failure> {
        let (ours, theirs) = (&self.addresses, &other.addresses);
        if ours.is_empty() || theirs.is_empty() || ours.end <= theirs.start || theirs.end <= ours.start {
            return Ok(());
        }
        let sentence = format_args!("the memory of {} overlaps that of {}", self.what, other.what);
        Err(Failure::new(Status::Layout, sentence))
    }

    /// The same of an output that may be this input as a whole.
    pub(crate) fn check_same_or_apart(&self, input: &Self) -> Result<(), Failure> {
        if self.addresses == input.addresses { Ok(()) } else { self.check_apart(input) }
    }
}

/// Where `values` go: `len` of them, at `pointer`.
///
/// # Safety
/// `pointer` is NULL, misaligned, or points to room for `len` values that nobody else uses.
pub(crate) unsafe fn checked_output<T: Copy>(
    pointer: *mut T,
    len: usize,
    expected: usize,
    what: &'static str,
) -> Result<Output<T>, Failure> {
    if len != expected {
        let failure = Failure::new(Status::Length, format_args!("{what}: length {len} where {expected} is expected"));
        return Err(failure.numbers(i64::try_from(len).unwrap_or(i64::MAX), expected as i64));
    }
    if len > 0 {
        check_address(pointer.cast_const(), len, what)?;
    }
    Ok(Output { pointer, len, what })
}

/// A buffer of the caller's that a successful call fills.
#[derive(Debug)]
pub(crate) struct Output<T> {
    pointer: *mut T,
    len: usize,
    what: &'static str,
}

impl<T: Copy> Output<T> {
    pub(crate) fn memory(&self) -> Memory {
        Memory::new(self.pointer, self.len, self.what)
    }

    /// Fills the buffer.
    ///
    /// # Panics
    /// If there are not as many `values` as the buffer is long.
    pub(crate) fn write(self, values: impl ExactSizeIterator<Item = T>) {
        assert_eq!(values.len(), self.len, "the length was checked");
        for (place, value) in values.enumerate() {
            assert!(place < self.len, "an iterator of that length");
            // SAFETY: `checked_output` found the pointer not NULL and aligned, and its caller vouches for room for `len` values.
            unsafe { self.pointer.wrapping_add(place).write(value) };
        }
    }
}

/// "a, b or c".
pub(crate) struct Alternatives<I>(pub(crate) I);

impl<I: Clone + ExactSizeIterator<Item: Display>> Display for Alternatives<I> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Written {
        let len = self.0.len();
        self.0.clone().enumerate().try_for_each(|(place, item)| {
            let before = match place {
                0 => "",
                _ if place + 1 < len => ", ",
                _ => " or ",
            };
            write!(formatter, "{before}{item}")
        })
    }
}
