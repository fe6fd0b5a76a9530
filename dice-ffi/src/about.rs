//! What the library says of itself and of a thread's last failure.

use std::ffi::c_char;
use std::ptr;

use crate::arguments::{Growing, checked_struct};
use crate::status::{WORDS, call, last_failure, last_sentence};

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
    last_sentence()
}

/// See `dice.h`.
///
/// # Safety
/// `error` is NULL or points to a `dice_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_error_info(error: *mut ErrorInfo) -> i32 {
    // The error that is asked for must survive the asking.
    let (status, [index, found, expected]) = last_failure();
    call(|| {
        // SAFETY: the caller vouches for the pointer.
        let ErrorInfo { struct_size, .. } = unsafe { checked_struct(error.cast_const(), "error") }?;
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
