//! `dice.h` as Rust has it: structs and functions, by their names there.

use std::ffi::{c_char, c_void};

/// `dice_tensor`, with its device and dtype written out.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Tensor {
    pub data: *mut c_void,
    pub device_type: i32,
    pub device_id: i32,
    pub ndim: i32,
    pub code: u8,
    pub bits: u8,
    pub lanes: u16,
    pub shape: *const i64,
    pub strides: *const i64,
    pub byte_offset: u64,
}

/// `dice_problem`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Problem {
    pub struct_size: usize,
    pub target: *const Tensor,
    pub dense_target: i32,
    pub use_ignore_index: i32,
    pub ignore_index: i64,
    pub mask: *const Tensor,
    pub voxel_weights: *const Tensor,
    pub sample_weights: *const f32,
    pub num_sample_weights: usize,
    pub voxel_offset: i64,
    pub error_on_non_finite: i32,
    pub labels_checked: i32,
}

/// `dice_term`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Term {
    pub kind: i32,
    pub activation: i32,
    pub grouping: i32,
    pub reduction: i32,
    pub exclude_background: i32,
    pub transform: i32,
    pub left_out: i32,
    pub reserved: i32,
    pub factor: f64,
    pub transform_exponent: f64,
    pub transform_least: f64,
    pub class_weights: *const f64,
    pub num_class_weights: usize,
    pub weight_mode: i32,
    pub overlap: i32,
    pub empty: i32,
    pub volumes: i32,
    pub pooling: i32,
    pub order: i32,
    pub complement: i32,
    pub class_transform: i32,
    pub class_transform_exponent: f64,
    pub class_transform_least: f64,
    pub smooth_numerator: f64,
    pub smooth_denominator: f64,
    pub least_denominator: f64,
    pub softening: f64,
    pub weighting: i32,
    pub absent: i32,
    pub raw_weights: i32,
    pub weighed_volume: i32,
    pub zero_non_finite: i32,
    pub doubled: i32,
    pub absent_epsilon: f64,
    pub least_union: f64,
    pub least_intersection: f64,
    pub false_positives: f64,
    pub false_negatives: f64,
    pub exponents: *const f64,
    pub num_exponents: usize,
    pub exponent_least: f64,
    pub mcc_smoothing: f64,
    pub binary: i32,
    pub divisor: i32,
    pub use_alpha: i32,
    pub reserved_too: i32,
    pub alpha: f64,
    pub label_smoothing: f64,
    pub positive_weights: *const f64,
    pub num_positive_weights: usize,
    pub cost_weighting: i32,
    pub normalise_costs: i32,
    pub costs: *const f64,
    pub num_costs: usize,
}

impl Term {
    /// The default generalised Dice loss.
    pub fn zero() -> Self {
        // SAFETY: numbers and pointers, for which zero and NULL are valid.
        unsafe { std::mem::zeroed() }
    }
}

/// `dice_loss`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Loss {
    pub struct_size: usize,
    pub term_size: usize,
    pub terms: *const Term,
    pub num_terms: usize,
}

/// `dice_error`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct ErrorInfo {
    pub struct_size: usize,
    pub status: i32,
    pub reserved: i32,
    pub index: i64,
    pub found: i64,
    pub expected: i64,
}

/// `dice_executor`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Executor {
    pub struct_size: usize,
    pub context: *mut c_void,
    pub run: Option<unsafe extern "C" fn(*mut c_void, i32, unsafe extern "C" fn(*mut c_void), *mut c_void)>,
    pub threads: i32,
    pub reserved: i32,
}

// As dice-ffi/abi.txt has them; dice_class_report is six f64.
const _: () = {
    assert!(size_of::<Tensor>() == 48);
    assert!(size_of::<Problem>() == 80);
    assert!(size_of::<Term>() == 320);
    assert!(size_of::<Loss>() == 32);
    assert!(size_of::<ErrorInfo>() == 40);
    assert!(size_of::<Executor>() == 32);
};

/// The numbers of a `dice_class_report`.
pub const REPORT_NUMBERS: usize = 6;

pub const OK: i32 = 0;
pub const LABEL: i32 = 8;
pub const NON_FINITE: i32 = 9;
pub const OVERFLOW: i32 = 10;
pub const PANIC: i32 = 12;
pub const WEIGHT: i32 = 13;

pub const ISA_SCALAR: i32 = 0;
pub const ISA_PORTABLE: i32 = 1;
pub const ISA_NEON: i32 = 2;
pub const ISA_BEST: i32 = 4;

unsafe extern "C" {
    pub fn dice_version() -> u32;
    pub fn dice_status_string(status: i32) -> *const c_char;
    pub fn dice_last_error() -> *const c_char;
    pub fn dice_error_info(error: *mut ErrorInfo) -> i32;
    pub fn dice_loss_preset(
        name: *const c_char,
        term_size: usize,
        terms: *mut Term,
        capacity: usize,
        num_terms: *mut usize,
    ) -> i32;
    pub fn dice_loss_preset_name(index: usize) -> *const c_char;
    pub fn dice_class_weights_from_volumes(volumes: *const f64, num: usize, weighting: i32, weights: *mut f64) -> i32;
    pub fn dice_value(
        logits: *const Tensor,
        problem: *const Problem,
        loss: *const Loss,
        values: *mut f64,
        num_values: usize,
    ) -> i32;
    pub fn dice_value_and_grad(
        logits: *const Tensor,
        problem: *const Problem,
        loss: *const Loss,
        upstream: *const f64,
        num_upstream: usize,
        values: *mut f64,
        num_values: usize,
        mode: i32,
        gradient: *const Tensor,
    ) -> i32;
    pub fn dice_tile_voxels() -> i64;
    pub fn dice_statistics_len(logits: *const Tensor, loss: *const Loss, num: *mut usize) -> i32;
    pub fn dice_statistics(
        logits: *const Tensor,
        problem: *const Problem,
        loss: *const Loss,
        table: *mut i64,
        num: usize,
    ) -> i32;
    pub fn dice_statistics_range(
        logits: *const Tensor,
        problem: *const Problem,
        loss: *const Loss,
        start: i64,
        end: i64,
        table: *mut i64,
        num: usize,
    ) -> i32;
    pub fn dice_statistics_merge(from: *const i64, num: usize, into: *mut i64, num_into: usize) -> i32;
    pub fn dice_statistics_sum(
        loss: *const Loss,
        table: *const i64,
        num: usize,
        samples: i64,
        classes: i64,
        sample: i64,
        class_index: i64,
        term: i64,
        sum: i32,
        value: *mut f64,
    ) -> i32;
    pub fn dice_evaluation_len(
        loss: *const Loss,
        samples: i64,
        classes: i64,
        num_values: *mut usize,
        num_cotangent: *mut usize,
        num_reports: *mut usize,
    ) -> i32;
    pub fn dice_loss_evaluate(
        loss: *const Loss,
        table: *const i64,
        num: usize,
        samples: i64,
        classes: i64,
        values: *mut f64,
        num_values: usize,
        cotangent: *mut f64,
        num_cotangent: usize,
        reports: *mut f64,
        num_reports: usize,
    ) -> i32;
    pub fn dice_cotangent_index(
        loss: *const Loss,
        classes: i64,
        group: i64,
        class_index: i64,
        term: i64,
        sum: i32,
        index: *mut usize,
    ) -> i32;
    pub fn dice_pullback(
        logits: *const Tensor,
        problem: *const Problem,
        loss: *const Loss,
        cotangent: *const f64,
        num_cotangent: usize,
        upstream: *const f64,
        num_upstream: usize,
        mode: i32,
        gradient: *const Tensor,
    ) -> i32;
    pub fn dice_pullback_range(
        logits: *const Tensor,
        problem: *const Problem,
        loss: *const Loss,
        cotangent: *const f64,
        num_cotangent: usize,
        upstream: *const f64,
        num_upstream: usize,
        start: i64,
        end: i64,
        mode: i32,
        gradient: *const Tensor,
    ) -> i32;
    pub fn dice_add_volumes(problem: *const Problem, volumes: *mut f64, num: usize) -> i32;
    pub fn dice_confusion(
        prediction: *const Tensor,
        problem: *const Problem,
        classes: i64,
        counts: *mut i64,
        num: usize,
    ) -> i32;
    pub fn dice_isa_name(isa: i32) -> *const c_char;
    pub fn dice_effective_isa() -> i32;
    pub fn dice_set_max_isa(isa: i32) -> i32;
    pub fn dice_set_num_threads(threads: i32) -> i32;
    pub fn dice_set_executor(executor: *const Executor) -> i32;
    pub fn dice_shutdown() -> i32;
}
