//! Peers' conventions by their names.

use std::ffi::{CStr, c_char};
use std::ptr;
use std::sync::OnceLock;

use dice_simd::loss::Compound;

use crate::arguments::{Alternatives, check_address, check_size, checked_output, grown};
use crate::memory;
use crate::status::{Failure, Status, call};
use crate::term::{Term, write};

const COUNT: usize = Compound::PRESETS.len();
/// The bytes of all names, each with the NUL behind it.
const NAME_BYTES: usize = {
    let (mut bytes, mut preset) = (0, 0);
    while preset < COUNT {
        bytes += Compound::PRESETS[preset].0.len() + 1;
        preset += 1;
    }
    bytes
};
/// The names as C has them, one behind the other, and where each begins.
static NAMES: ([u8; NAME_BYTES], [usize; COUNT]) = {
    let (mut names, mut starts) = ([0; NAME_BYTES], [0; COUNT]);
    let (mut end, mut preset) = (0, 0);
    while preset < COUNT {
        starts[preset] = end;
        let (name, mut at) = (Compound::PRESETS[preset].0.as_bytes(), 0);
        while at < name.len() {
            names[end + at] = name[at];
            at += 1;
        }
        end += name.len() + 1;
        preset += 1;
    }
    (names, starts)
};

/// The presets that were asked for. Terms that are handed out point into them, so they are never freed.
static PRESETS: [OnceLock<Compound>; COUNT] = [const { OnceLock::new() }; COUNT];

/// More bytes than a preset takes.
const BYTES_OF_A_PRESET: usize = 1 << 14;

fn name(preset: usize) -> &'static CStr {
    CStr::from_bytes_until_nul(&NAMES.0[NAMES.1[preset]..]).unwrap_or_default()
}

fn preset(preset: usize) -> Result<&'static Compound, Failure> {
    if PRESETS[preset].get().is_none() {
        memory::find(Some(BYTES_OF_A_PRESET), format_args!("the preset {:?}", name(preset)))?;
    }
    Ok(PRESETS[preset].get_or_init(Compound::PRESETS[preset].1))
}

/// See `dice.h`.
#[unsafe(no_mangle)]
pub extern "C" fn dice_loss_preset_name(index: usize) -> *const c_char {
    if index < COUNT { name(index).as_ptr() } else { ptr::null() }
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
        let wanted = unsafe { CStr::from_ptr(name) };
        // SAFETY: the caller vouches for the pointer.
        let num_terms = unsafe { checked_output(num_terms, 1, 1, "num_terms") }?;
        let known = (0..COUNT).find(|&known| self::name(known) == wanted).ok_or_else(|| {
            let bytes = wanted.to_bytes();
            let (shown, cut) = if bytes.len() > 64 { (&bytes[..64], "...") } else { (bytes, "") };
            let known = Alternatives(Compound::PRESETS.iter().map(|(name, _)| name));
            let sentence = format_args!("no preset is named \"{}{cut}\", but {known}", shown.escape_ascii());
            Failure::new(Status::InvalidArgument, sentence)
        })?;
        let preset = preset(known)?;
        let needed = preset.terms.len();
        if !terms.is_null() || capacity != 0 {
            if capacity < needed {
                let sentence = format_args!("terms: capacity {capacity} where {wanted:?} has {needed}");
                let failure = Failure::new(Status::Length, sentence);
                return Err(failure.numbers(i64::try_from(capacity).unwrap_or(i64::MAX), needed as i64));
            }
            check_size::<Term>(term_size, "term_size")?;
            check_address(terms.cast_const(), needed, "terms")?;
            let unknown = || Failure::new(Status::Unsupported, format_args!("{wanted:?} cannot be said in terms"));
            let written = preset.terms.iter().map(write).collect::<Option<Vec<_>>>().ok_or_else(unknown)?;
            // SAFETY: a term has as many bytes.
            if written.iter().any(|term| unsafe { grown(term, term_size) } != *term) {
                let sentence = format_args!("term_size is {term_size}, of an older header than {wanted:?} needs");
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
