//! What a call says and leaves behind, and whether that is what `dice.h` promises.

use std::ffi::CStr;
use std::ptr;

use crate::abi::{self, ErrorInfo};
use crate::draw::show;
use crate::memory::{Edge, Memory, Span};
use crate::tensor::{Dtype, Layout};

/// A buffer that a call may write to.
pub struct Output {
    pub span: Span,
    before: Vec<u8>,
    layout: Layout,
}

impl Output {
    /// Room for numbers side by side, with something in it.
    pub fn numbers(memory: &mut Memory, edge: Edge, dtype: Dtype, num: usize) -> Self {
        Self::tensor(memory, edge, &Layout::compact(dtype, &[num as i64]), &vec![0x5A; num * dtype.size()])
    }

    /// A tensor with these elements in row-major order.
    pub fn tensor(memory: &mut Memory, edge: Edge, layout: &Layout, elements: &[u8]) -> Self {
        let before = layout.scatter(elements);
        Self { span: memory.output(&before, edge), before, layout: layout.clone() }
    }

    pub fn as_ptr<T>(&self) -> *mut T {
        self.span.as_ptr()
    }

    /// The elements in row-major order.
    pub fn elements(&self) -> Vec<u8> {
        self.layout.gather(&self.span.bytes())
    }

    pub fn is_untouched(&self) -> bool {
        self.span.bytes() == self.before
    }
}

/// What a call has said and written.
pub struct Outcome {
    info: ErrorInfo,
    written: Vec<(Dtype, Vec<u8>)>,
}

impl Outcome {
    /// Of a call that has returned `status` and may have written to `outputs`: all of it as promised.
    pub fn new(status: i32, outputs: &[&Output]) -> Self {
        let info = checked(status);
        show("outcome", &info);
        let written = outputs.iter().map(|output| {
            assert!(status == abi::OK || output.is_untouched(), "refused with {status}, and an output has changed");
            let span = output.span.bytes();
            assert!(output.layout.has_its_gaps(&span), "written between the elements of an output");
            (output.layout.dtype, output.layout.gather(&span))
        });
        Self { info, written: written.collect() }
    }

    /// What is in an output, in row-major order.
    pub fn written(&self, output: usize) -> &[u8] {
        &self.written[output].1
    }

    pub fn is_ok(&self) -> bool {
        self.info.status == abi::OK
    }

    /// Whether the call has looked at the elements: whatever it says of them does not depend on where they lie.
    pub fn is_of_elements(&self) -> bool {
        [abi::OK, abi::LABEL, abi::NON_FINITE, abi::OVERFLOW, abi::WEIGHT].contains(&self.info.status)
    }

    pub fn assert_same(&self, other: &Self, what: &str) {
        assert_eq!(self.info, other.info, "{what}: another status");
        if !self.is_ok() {
            return;
        }
        assert_eq!(self.written.len(), other.written.len(), "{what}: another number of outputs");
        for (output, ((dtype, ours), (_, theirs))) in self.written.iter().zip(&other.written).enumerate() {
            if let Some(index) = dtype.first_difference(ours, theirs) {
                let of = |bytes: &[u8]| bytes[index * dtype.size()..][..dtype.size()].to_vec();
                panic!(
                    "{what}: element {index} of output {output}, of {dtype:?}, is {:02x?} and {:02x?}",
                    of(ours),
                    of(theirs)
                );
            }
        }
    }
}

/// What `dice_error_info` has of this status of a call, if the call failed.
pub fn checked(status: i32) -> ErrorInfo {
    assert!((abi::OK..=abi::WEIGHT).contains(&status) && status != abi::PANIC, "status {status}");
    if status == abi::OK {
        return ErrorInfo::default();
    }
    // SAFETY: takes nothing.
    let sentence = unsafe { abi::dice_last_error() }.cast::<u8>();
    assert!(!sentence.is_null(), "no sentence");
    // SAFETY: the sentence ends before its 1024th byte: the call promises so, and a sanitizer sees if it does not.
    let len = (0..1024).find(|&at| unsafe { sentence.wrapping_add(at).read() } == 0).expect("a sentence ends");
    assert!(len > 0, "an empty sentence");
    // SAFETY: its 0 was found.
    let sentence = unsafe { CStr::from_ptr(sentence.cast()) };
    assert!(sentence.to_str().is_ok(), "a sentence is UTF-8");
    let mut info = ErrorInfo { struct_size: size_of::<ErrorInfo>(), ..ErrorInfo::default() };
    // SAFETY: the struct is valid.
    let asked = unsafe { abi::dice_error_info(ptr::from_mut(&mut info)) };
    assert_eq!((asked, info.status), (abi::OK, status), "dice_error_info has another status");
    info
}
