//! Peers' conventions by their names.

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::sync::OnceLock;

use dice_simd::loss::Compound;

use crate::arguments::{Alternatives, check_address, check_size, checked_output, grown};
use crate::status::{Failure, Status, call};
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
/// `name` is NULL or a C string, `terms` is NULL or points to `capacity` of them, `term_size` bytes each, `num_terms` is NULL or
/// points to a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_loss_preset(
    name: *const c_char,
    term_size: usize,
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
            let bytes = name.to_bytes();
            let (shown, cut) = if bytes.len() > 64 { (&bytes[..64], "...") } else { (bytes, "") };
            let known = Alternatives(Compound::PRESETS.iter().map(|(name, _)| name));
            let sentence = format_args!("no preset is named \"{}{cut}\", but {known}", shown.escape_ascii());
            Failure::new(Status::InvalidArgument, sentence)
        })?;
        let needed = preset.terms.len();
        if !terms.is_null() || capacity != 0 {
            if capacity < needed {
                let sentence = format_args!("terms: capacity {capacity} where {name:?} has {needed}");
                let failure = Failure::new(Status::Length, sentence);
                return Err(failure.numbers(i64::try_from(capacity).unwrap_or(i64::MAX), needed as i64));
            }
            check_size::<Term>(term_size, "term_size")?;
            check_address(terms.cast_const(), needed, "terms")?;
            let unknown = || Failure::new(Status::Unsupported, format_args!("{name:?} cannot be said in terms"));
            let written = preset.terms.iter().map(write).collect::<Option<Vec<_>>>().ok_or_else(unknown)?;
            // SAFETY: a term has as many bytes.
            if written.iter().any(|term| unsafe { grown(term, term_size) } != *term) {
                let sentence = format_args!("term_size is {term_size}, of an older header than {name:?} needs");
                return Err(Failure::new(Status::StructSize, sentence));
            }
            for (index, term) in written.iter().enumerate() {
                let to = terms.wrapping_byte_add(index * term_size).cast::<u8>();
                // SAFETY: there is room for `capacity` terms of that size, and `needed` are not more.
                unsafe { ptr::copy_nonoverlapping(ptr::from_ref(term).cast::<u8>(), to, term_size) };
            }
        }
        num_terms.write([needed].into_iter());
        Ok(())
    })
}
