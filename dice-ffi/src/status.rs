//! From errors and panics to statuses, and what a thread remembers of its last failure.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use dice_simd::DefaultFloatMode;
use dice_simd::core::Error;

use crate::arguments::{Growing, checked_struct};

/// `dice_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Status {
    Ok = 0,
    NullPointer = 1,
    StructSize = 2,
    InvalidArgument = 3,
    Shape = 4,
    Layout = 5,
    Unsupported = 6,
    Length = 7,
    Label = 8,
    NonFinite = 9,
    Overflow = 10,
    Unavailable = 11,
    Panic = 12,
    Weight = 13,
}

/// Every status with its few words.
const WORDS: [(Status, &CStr); 14] = [
    (Status::Ok, c"ok"),
    (Status::NullPointer, c"null pointer"),
    (Status::StructSize, c"wrong struct_size"),
    (Status::InvalidArgument, c"invalid argument"),
    (Status::Shape, c"shapes do not fit"),
    (Status::Layout, c"memory layout not allowed"),
    (Status::Unsupported, c"not supported"),
    (Status::Length, c"wrong length"),
    (Status::Label, c"label outside the classes"),
    (Status::NonFinite, c"not a finite number"),
    (Status::Overflow, c"sum too large"),
    (Status::Unavailable, c"not available on this machine"),
    (Status::Panic, c"error inside the library"),
    (Status::Weight, c"weight out of range"),
];

/// A failed call: the status, the sentence, and the numbers in it.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    status: Status,
    sentence: String,
    /// Where, what was found there, and what is needed; −1 for none.
    numbers: [i64; 3],
}

const NO_NUMBERS: [i64; 3] = [-1; 3];
/// What dice-core calls tensors with one number per voxel in [`Error::ShapeMismatch`].
const MAPS: [&str; 4] = ["label map", "predicted label map", "mask", "voxel weights"];

impl Failure {
    pub(crate) fn new(status: Status, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into(), numbers: NO_NUMBERS }
    }

    pub(crate) fn null(what: impl Display) -> Self {
        Self::new(Status::NullPointer, format!("{what} is NULL"))
    }

    /// With what was found and what is needed.
    pub(crate) fn numbers(self, found: i64, expected: i64) -> Self {
        Self { numbers: [self.numbers[0], found, expected], ..self }
    }

    /// With where it was found.
    pub(crate) fn at(mut self, index: usize) -> Self {
        self.numbers[0] = i64::try_from(index).unwrap_or(i64::MAX);
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let index = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let (status, numbers) = match &error {
            Error::LabelOutOfRange { index: at, label, classes }
            | Error::PredictionOutOfRange { index: at, label, classes } => {
                (Status::Label, [index(*at), *label, count(*classes)])
            }
            Error::NonFiniteLogit { index: at, .. } | Error::NonFiniteTarget { index: at, .. } => {
                (Status::NonFinite, [index(*at), -1, -1])
            }
            Error::Weight { index: at, .. } => (Status::Weight, [index(*at), -1, -1]),
            Error::DenseTarget | Error::UnsupportedSum { .. } => (Status::Unsupported, NO_NUMBERS),
            Error::ShapeMismatch { what, expected, found } => {
                let (expected, found) = (expected.as_slice(), found.as_slice());
                // The one channel of a map is not compared with the classes.
                let map = MAPS.contains(what) && found.get(1) == Some(&1);
                let axis = (0..expected.len().max(found.len()))
                    .filter(|&axis| !(map && axis == 1))
                    .find(|&axis| expected.get(axis) != found.get(axis));
                let extent = |dims: &[usize]| axis.and_then(|axis| dims.get(axis)).map_or(-1, |&dim| count(dim));
                (Status::Shape, [axis.map_or(-1, count), extent(found), extent(expected)])
            }
            Error::Rank { found, .. } => (Status::Shape, [-1, count(*found), -1]),
            Error::ZeroClasses { .. } => (Status::Shape, [1, 0, -1]),
            Error::TooLarge { .. } => (Status::Shape, NO_NUMBERS),
            Error::OutOfSlice { .. } => (Status::Layout, NO_NUMBERS),
            Error::SelfOverlap { axis, stride, .. } => (Status::Layout, [count(*axis), *stride as i64, -1]),
            Error::Length { expected, found, .. } => (Status::Length, [-1, count(*found), count(*expected)]),
            Error::StatisticsMismatch { expected, found, .. } => {
                (Status::Length, [-1, count(*found), count(*expected)])
            }
            Error::VoxelRange { end, voxels, .. } => (Status::InvalidArgument, [-1, count(*end), count(*voxels)]),
            Error::SampleRange { end, samples, .. } => (Status::InvalidArgument, [-1, count(*end), count(*samples)]),
            Error::SumOverflow => (Status::Overflow, NO_NUMBERS),
            _ => (Status::InvalidArgument, NO_NUMBERS),
        };
        Self { status, sentence: error.to_string(), numbers }
    }
}

thread_local! {
    static LAST: RefCell<Option<(Failure, CString)>> = const { RefCell::new(None) };
}

/// Runs the body of an entry point in the default floating-point mode, and remembers its failure.
pub(crate) fn call(body: impl FnOnce() -> Result<(), Failure>) -> i32 {
    let outcome = {
        let _mode = DefaultFloatMode::install();
        catch_unwind(AssertUnwindSafe(body))
    };
    let failure = match outcome {
        Ok(Ok(())) => return Status::Ok as i32,
        Ok(Err(failure)) => failure,
        Err(panic) => Failure::new(Status::Panic, format!("error inside the library: {}", message(&*panic))),
    };
    let status = failure.status as i32;
    let sentence = CString::new(failure.sentence.replace('\0', " ")).unwrap_or_default();
    // During thread exit there is nowhere to remember it, and nobody to ask.
    let _ = LAST.try_with(|last| last.replace(Some((failure, sentence))));
    status
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic")
}

/// `dice_error`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct ErrorInfo {
    struct_size: usize,
    status: i32,
    reserved: i32,
    index: i64,
    found: i64,
    expected: i64,
    #[cfg(feature = "grown")]
    grown: f64,
}

// SAFETY: all of its fields are numbers.
unsafe impl Growing for ErrorInfo {
    const FIRST: usize = 40;
}

/// See `dice.h`.
#[unsafe(no_mangle)]
pub extern "C" fn dice_status_string(status: i32) -> *const c_char {
    WORDS.iter().find(|(known, _)| *known as i32 == status).map_or(c"unknown status", |(_, words)| words).as_ptr()
}

/// See `dice.h`.
#[unsafe(no_mangle)]
pub extern "C" fn dice_last_error() -> *const c_char {
    let sentence = LAST.try_with(|last| last.borrow().as_ref().map_or(c"".as_ptr(), |(_, sentence)| sentence.as_ptr()));
    sentence.unwrap_or(c"".as_ptr())
}

/// See `dice.h`.
///
/// # Safety
/// `error` is NULL or points to a `dice_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_error_info(error: *mut ErrorInfo) -> i32 {
    // The error that is asked for must survive the asking.
    let last = LAST.try_with(|last| last.borrow().as_ref().map(|(failure, _)| failure.clone())).ok().flatten();
    call(|| {
        // SAFETY: the caller vouches for the pointer.
        let ErrorInfo { struct_size, .. } = unsafe { checked_struct(error.cast_const(), "error") }?;
        let (status, [index, found, expected]) = last.map_or((Status::Ok, NO_NUMBERS), |f| (f.status, f.numbers));
        let info = ErrorInfo {
            struct_size,
            status: status as i32,
            reserved: 0,
            index,
            found,
            expected,
            #[cfg(feature = "grown")]
            grown: 0.0,
        };
        // SAFETY: checked above to be not NULL, and of so many bytes.
        unsafe { ptr::copy_nonoverlapping((&raw const info).cast::<u8>(), error.cast::<u8>(), struct_size) };
        Ok(())
    })
}

/// See `dice.h`.
#[unsafe(no_mangle)]
pub extern "C" fn dice_version() -> u32 {
    let part = |text: &str| text.parse::<u32>().unwrap_or(0);
    let [major, minor, patch] =
        [env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"), env!("CARGO_PKG_VERSION_PATCH")].map(part);
    major << 16 | minor << 8 | patch
}
