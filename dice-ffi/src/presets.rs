//! Peers' conventions by their names.

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::sync::OnceLock;

use dice_simd::core::loss::Compound;

use crate::status::{Failure, Status, call, checked_output};
use crate::term::{Term, write};

/// Every preset with its name. Terms that are handed out point into it, so it is never freed.
fn presets() -> &'static [(CString, Compound)] {
    static PRESETS: OnceLock<Vec<(CString, Compound)>> = OnceLock::new();
    PRESETS.get_or_init(|| {
        let named = |&(name, make): &(&str, fn() -> Compound)| Some((CString::new(name).ok()?, make()));
        Compound::PRESETS.iter().filter_map(named).collect()
    })
}

/// See `dice.h`.
#[unsafe(no_mangle)]
pub extern "C" fn dice_loss_preset_name(index: usize) -> *const c_char {
    presets().get(index).map_or(ptr::null(), |(name, _)| name.as_ptr())
}

/// See `dice.h`.
///
/// # Safety
/// `name` is NULL or a C string, `terms` is NULL or points to `capacity` of them, `num_terms` is NULL or points to a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_loss_preset(
    name: *const c_char,
    terms: *mut Term,
    capacity: usize,
    num_terms: *mut usize,
) -> i32 {
    call(|| {
        if name.is_null() {
            return Err(Failure::null("name"));
        }
        // SAFETY: not NULL; the caller vouches for the string.
        let name = unsafe { CStr::from_ptr(name) };
        // SAFETY: the caller vouches for the pointer.
        let num_terms = unsafe { checked_output(num_terms, 1, 1, "num_terms") }?;
        let known = presets().iter().find(|(known, _)| known.as_c_str() == name);
        let (_, preset) = known.ok_or_else(|| {
            let names: Vec<_> = presets().iter().map(|(name, _)| name.to_string_lossy()).collect();
            let sentence = format!("no preset is named {:?}; there are {}", name.to_string_lossy(), names.join(", "));
            Failure::new(Status::InvalidArgument, sentence)
        })?;
        let needed = preset.terms.len();
        if !terms.is_null() || capacity != 0 {
            if capacity < needed {
                let sentence = format!("terms: capacity {capacity} where {name:?} has {needed}");
                let failure = Failure::new(Status::Length, sentence);
                return Err(failure.numbers(i64::try_from(capacity).unwrap_or(i64::MAX), needed as i64));
            }
            let unknown = || Failure::new(Status::Unsupported, format!("{name:?} cannot be said in terms"));
            let written = preset.terms.iter().map(write).collect::<Option<Vec<_>>>().ok_or_else(unknown)?;
            // SAFETY: the caller vouches for the terms.
            unsafe { checked_output(terms, needed, needed, "terms") }?.write(written.into_iter());
        }
        num_terms.write([needed].into_iter());
        Ok(())
    })
}
