//! From errors and panics to statuses, and what a thread remembers of its last failure.

use std::any::Any;
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int};
use std::fmt::{self, Display, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use dice_simd::{DefaultFloatMode, Error, ErrorKind, MAX_AXES};

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
pub(crate) const WORDS: [(Status, &CStr); 14] = [
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

/// A failed call: the status, and the numbers in its sentence.
///
/// The sentence itself is in the thread's room for it, where a new failure's takes its place, for the way from here to the caller
/// must not allocate. So a failure is made when the call fails, and not before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    /// Where, what was found there, and what is needed; −1 for none.
    pub(crate) numbers: [i64; 3],
}

const NO_NUMBERS: [i64; 3] = [-1; 3];
/// What dice-core calls tensors with one number per voxel in [`Error::ShapeMismatch`].
const MAPS: [&str; 4] = ["label map", "predicted label map", "mask", "voxel weights"];

impl Failure {
    pub(crate) fn new(status: Status, sentence: impl Display) -> Self {
        SENTENCE.with(|text| text.put(sentence));
        Self { status, numbers: NO_NUMBERS }
    }

    pub(crate) fn null(what: impl Display) -> Self {
        Self::new(Status::NullPointer, format_args!("{what} is NULL"))
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

/// What dice-core calls a tensor, and what the caller of the C interface does.
const ARGUMENTS: [(&str, &str); 6] = [
    ("label map", "problem.target"),
    ("dense target", "problem.target"),
    ("predicted label map", "prediction"),
    ("mask", "problem.mask"),
    ("voxel weights", "problem.voxel_weights"),
    ("sample weights", "problem.sample_weights"),
];

impl From<Error> for Failure {
    fn from(mut error: Error) -> Self {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let index = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let numbers = match &error {
            Error::LabelOutOfRange { index: at, label, classes }
            | Error::PredictionOutOfRange { index: at, label, classes } => [index(*at), *label, count(*classes)],
            Error::NonFiniteLogit { index: at, .. }
            | Error::NonFiniteTarget { index: at, .. }
            | Error::Weight { index: at, .. } => [index(*at), -1, -1],
            Error::ShapeMismatch { what, whose, expected, found } => {
                let beside_logits = *whose == "the logits'";
                let difference =
                    first_difference(MAPS.contains(what), beside_logits, expected.as_slice(), found.as_slice());
                difference.map_or(NO_NUMBERS, |numbers| numbers.map(|number| number.map_or(-1, count)))
            }
            Error::MapWithChannels { shape, .. } => [1, shape.as_slice().get(1).map_or(-1, |&dim| count(dim)), 1],
            Error::Rank { found, .. } => [-1, count(*found), -1],
            Error::ZeroClasses { .. } => [1, 0, -1],
            Error::SelfOverlap { axis, stride, .. } => [count(*axis), *stride as i64, -1],
            Error::Length { expected, found, .. } | Error::StatisticsMismatch { expected, found, .. } => {
                [-1, count(*found), count(*expected)]
            }
            Error::VoxelRange { end, voxels, .. } => [-1, count(*end), count(*voxels)],
            Error::SampleRange { end, samples, .. } => [-1, count(*end), count(*samples)],
            _ => NO_NUMBERS,
        };
        let status = match error.kind() {
            ErrorKind::Shape => Status::Shape,
            ErrorKind::Layout => Status::Layout,
            ErrorKind::Unsupported => Status::Unsupported,
            ErrorKind::Length => Status::Length,
            ErrorKind::Label => Status::Label,
            ErrorKind::Weight => Status::Weight,
            ErrorKind::NonFinite => Status::NonFinite,
            ErrorKind::Overflow => Status::Overflow,
            ErrorKind::OutOfMemory => Status::Unavailable,
            _ => Status::InvalidArgument,
        };
        if let Error::ShapeMismatch { what, .. }
        | Error::MapWithChannels { what, .. }
        | Error::Length { what, .. }
        | Error::Weight { what, .. } = &mut error
        {
            *what = ARGUMENTS.iter().find(|(known, _)| known == what).map_or(*what, |(_, argument)| argument);
        }
        let failure = match error {
            Error::MapWithChannels { what: "problem.target", .. } => {
                Self::new(status, format_args!("{error}: problem.dense_target = 1"))
            }
            Error::OneChannelSoftmax => Self::new(status, format_args!("{error} (term.activation = DICE_SIGMOID)")),
            _ => Self::new(status, &error),
        };
        Self { numbers, ..failure }
    }
}

/// The first axis in which two shapes differ, as the expected one counts it, and what each has there. A map may have no axis for its
/// one channel, which is not compared.
fn first_difference(
    is_map: bool,
    beside_logits: bool,
    expected: &[usize],
    found: &[usize],
) -> Option<[Option<usize>; 3]> {
    let without_channel = |dims: &[usize], has_channel: bool| -> [Option<usize>; MAX_AXES] {
        let skipped = |axis: usize| if has_channel && axis > 0 { axis + 1 } else { axis };
        std::array::from_fn(|axis| dims.get(skipped(axis)).copied())
    };
    let longer = |ours: &[usize], theirs: &[usize]| is_map && ours.len() == theirs.len() + 1;
    let of_expected = is_map && beside_logits || longer(expected, found);
    let of_found = is_map && beside_logits && found.len() == expected.len() || longer(found, expected);
    let [ours, theirs] = [without_channel(expected, of_expected), without_channel(found, of_found)];
    let axis = (0..MAX_AXES).find(|&axis| ours[axis] != theirs[axis])?;
    let counted = if of_expected && axis > 0 { axis + 1 } else { axis };
    Some([Some(counted), theirs[axis], ours[axis]])
}

/// Bytes of a sentence, the NUL at its end among them: a longer one is cut.
const SENTENCE_BYTES: usize = 1024;
/// How a sentence ends that was cut.
const CUT: &str = "...";

/// A sentence as a C string, at the same place as long as its thread lives.
#[derive(Debug)]
pub(crate) struct Sentence {
    bytes: [Cell<u8>; SENTENCE_BYTES],
    len: Cell<usize>,
}

impl Sentence {
    const fn empty() -> Self {
        Self { bytes: [const { Cell::new(0) }; SENTENCE_BYTES], len: Cell::new(0) }
    }

    fn put(&self, sentence: impl Display) {
        self.len.set(0);
        let mut end = self;
        // What does not fit is cut, and no other error is possible.
        let _ = write!(end, "{sentence}");
        self.bytes[self.len.get()].set(0);
    }

    fn copy(&self, other: &Self) {
        self.bytes.iter().zip(&other.bytes).for_each(|(to, from)| to.set(from.get()));
        self.len.set(other.len.get());
    }

    pub(crate) fn as_ptr(&self) -> *const c_char {
        self.bytes.as_ptr().cast()
    }
}

impl Write for &Sentence {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let (start, room) = (self.len.get(), SENTENCE_BYTES - 1);
        // A NUL would end it.
        let put = |place: usize, byte: u8| self.bytes[place].set(if byte == 0 { b' ' } else { byte });
        let end = start + text.len();
        if end <= room {
            (start..).zip(text.bytes()).for_each(|(place, byte)| put(place, byte));
            self.len.set(end);
            return Ok(());
        }
        // No half of a character stays.
        let mut kept = (room - CUT.len()).saturating_sub(start).min(text.len());
        while !text.is_char_boundary(kept) {
            kept -= 1;
        }
        (start..).zip(text[..kept].bytes()).for_each(|(place, byte)| put(place, byte));
        let mut kept = start + kept;
        if kept > room - CUT.len() {
            kept = room - CUT.len();
            while self.bytes[kept].get() & 0xc0 == 0x80 {
                kept -= 1;
            }
        }
        (kept..).zip(CUT.bytes()).for_each(|(place, byte)| put(place, byte));
        self.len.set(kept + CUT.len());
        Err(fmt::Error)
    }
}

thread_local! {
    /// That of the failure on its way.
    static SENTENCE: Sentence = const { Sentence::empty() };
    /// The last call's that failed, and its sentence.
    static LAST: (Cell<Option<Failure>>, Sentence) = const { (Cell::new(None), Sentence::empty()) };
}

/// While it lives, this thread is not cancelled: a call may come by what the C library calls a cancellation point, a file that is read
/// or a thread that is waited for, and Rust's frames cannot be unwound from there.
pub(crate) struct Uncancelled {
    #[cfg(target_os = "linux")]
    found: c_int,
}

#[cfg(target_os = "linux")]
const PTHREAD_CANCEL_DISABLE: c_int = 1;
#[cfg(target_os = "linux")]
unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, found: *mut c_int) -> c_int;
}

impl Uncancelled {
    pub(crate) fn new() -> Self {
        #[cfg(target_os = "linux")]
        {
            let mut found = 0;
            // SAFETY: a state that there is, and a place for the one before.
            unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &raw mut found) };
            Self { found }
        }
        #[cfg(not(target_os = "linux"))]
        Self {}
    }
}

#[cfg(target_os = "linux")]
impl Drop for Uncancelled {
    fn drop(&mut self) {
        // SAFETY: the state that this thread had.
        unsafe { pthread_setcancelstate(self.found, ptr::null_mut()) };
    }
}

/// Runs the body of an entry point in the default floating-point mode, and remembers its failure.
pub(crate) fn call(body: impl FnOnce() -> Result<(), Failure>) -> i32 {
    let _uncancelled = Uncancelled::new();
    let outcome = {
        let _mode = DefaultFloatMode::install();
        catch_unwind(AssertUnwindSafe(body))
    };
    let failure = match outcome {
        Ok(Ok(())) => return Status::Ok as i32,
        Ok(Err(failure)) => failure,
        Err(panic) => Failure::new(Status::Panic, format_args!("error inside the library: {}", message(&*panic))),
    };
    LAST.with(|(last, sentence)| {
        last.set(Some(failure));
        SENTENCE.with(|text| sentence.copy(text));
    });
    failure.status as i32
}

/// The status and numbers of the thread's last failure.
pub(crate) fn last_failure() -> (Status, [i64; 3]) {
    LAST.with(|(last, _)| last.get()).map_or((Status::Ok, NO_NUMBERS), |failure| (failure.status, failure.numbers))
}

/// Its sentence.
pub(crate) fn last_sentence() -> *const c_char {
    LAST.with(|(_, sentence)| sentence.as_ptr())
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic")
}
