//! Calls without a tensor: of tables and cotangents, names, versions, and what is set for the process.

use std::ffi::CStr;
use std::ptr;

use crate::abi::{self, ErrorInfo};
use crate::draw::Draw;
use crate::loss;
use crate::memory::{Edge, Memory};
use crate::outcome::{Outcome, Output, checked};
use crate::tensor::{Dtype, Layout};

/// Evaluation, sums and merging of tables that no pass has made.
pub fn tables(draw: &mut Draw<'_>, memory: &mut Memory) {
    let (samples, classes) = (draw.below(4) as i64, 1 + draw.below(6) as i64);
    let loss = loss::draw(draw, memory, classes);
    let extent = |draw: &mut Draw<'_>, extent: i64| {
        if draw.hostile() { draw.pick(&[0, -1, i64::MIN, i64::MAX, 1 << 32, 1 << 59]) } else { extent }
    };
    let (said_samples, said_classes) = (extent(draw, samples), extent(draw, classes));
    let [values, cotangent, reports, index] = [(); 4].map(|()| Output::numbers(memory, Edge::Back, Dtype::I64, 1));
    // SAFETY: pointers are NULL, misaligned or valid.
    let status = unsafe {
        let (values, cotangent, reports) = (values.as_ptr(), cotangent.as_ptr(), reports.as_ptr());
        abi::dice_evaluation_len(loss, said_samples, said_classes, values, cotangent, reports)
    };
    let lens = Outcome::new(status, &[&values, &cotangent, &reports]);
    let len = |place: usize| usize::from_ne_bytes(lens.written(place).try_into().expect("a number"));
    let sum = draw.variant(14);
    let [group, class, term] = [draw.below(4) as i64, draw.below(6) as i64, draw.below(4) as i64]
        .map(|place| if draw.hostile() { draw.pick(&[-1, i64::MIN, i64::MAX]) } else { place });
    // SAFETY: likewise.
    let status = unsafe { abi::dice_cotangent_index(loss, said_classes, group, class, term, sum, index.as_ptr()) };
    let placed = Outcome::new(status, &[&index]);
    if !lens.is_ok() || (said_samples, said_classes) != (samples, classes) {
        return;
    }
    if placed.is_ok() && group == 0 && samples > 0 && class < classes {
        let index = usize::from_ne_bytes(placed.written(0).try_into().expect("a number"));
        assert!(index < len(1), "a place outside of the cotangent");
    }

    // A column is what a cotangent has per class and group; three more accumulators belong to no class. The library says how many
    // words that makes.
    let shape = [samples, classes];
    let logits = Layout::compact(Dtype::F32, &shape);
    let span = memory.input(&logits.fill(|_| 0.0), Edge::Back);
    let tensor = logits.describe(memory, span, Edge::Back);
    let tensor = memory.values(&[tensor], Edge::Back);
    let num = Output::numbers(memory, Edge::Back, Dtype::I64, 1);
    // SAFETY: likewise.
    let status = unsafe { abi::dice_statistics_len(tensor, loss, num.as_ptr()) };
    assert!(Outcome::new(status, &[&num]).is_ok(), "a table whose parts have lengths has none");
    let num = usize::from_ne_bytes(num.elements().try_into().expect("a number"));

    let said = draw.len(num);
    let table = words(draw, memory, if said == num + 1 { said } else { num });
    let edge = draw.edge();
    let [wants_values, wants_cotangent, wants_reports] = [(); 3].map(|()| !draw.one_in(4));
    let evaluate = |memory: &mut Memory| {
        let output = |memory: &mut Memory, is_wanted: bool, len: usize| {
            Output::numbers(memory, edge, Dtype::F64, if is_wanted { len } else { 0 })
        };
        let values = output(memory, wants_values, len(0));
        let cotangent = output(memory, wants_cotangent, len(1));
        let reports = output(memory, wants_reports, len(2) * abi::REPORT_NUMBERS);
        let place = |output: &Output, is_wanted| if is_wanted { output.as_ptr::<f64>() } else { ptr::null_mut() };
        // SAFETY: there is room for as many numbers as the library says, and as many words as is said, if that is possible.
        let status = unsafe {
            abi::dice_loss_evaluate(
                loss,
                table,
                said,
                samples,
                classes,
                place(&values, wants_values),
                if wants_values { len(0) } else { 0 },
                place(&cotangent, wants_cotangent),
                if wants_cotangent { len(1) } else { 0 },
                place(&reports, wants_reports),
                if wants_reports { len(2) } else { 0 },
            )
        };
        Outcome::new(status, &[&values, &cotangent, &reports])
    };
    let first = evaluate(memory);
    first.assert_same(&evaluate(memory), "the same table again");

    let value = Output::numbers(memory, Edge::Back, Dtype::F64, 1);
    let sample = if draw.one_in(2) { -1 } else { group };
    // SAFETY: likewise.
    let status = unsafe {
        abi::dice_statistics_sum(loss, table, said, samples, classes, sample, class, term, sum, value.as_ptr())
    };
    Outcome::new(status, &[&value]);

    let other = words(draw, memory, num);
    let merged = |memory: &mut Memory, tables: [*const i64; 2]| {
        let into = Output::tensor(memory, edge, &Layout::compact(Dtype::I64, &[num as i64]), &vec![0; 8 * num]);
        for table in tables {
            // SAFETY: tables of as many words.
            checked(unsafe { abi::dice_statistics_merge(table, num, into.as_ptr(), num) });
        }
        into.elements()
    };
    assert!(merged(memory, [table, other]) == merged(memory, [other, table]), "merging depends on the order");
    let (from, into) = (draw.len(num), draw.len(num));
    let output = Output::numbers(memory, edge, Dtype::I64, num + 1);
    let input = words(draw, memory, num + 1);
    // Lengths of words that there are, or of more than can be.
    // SAFETY: likewise.
    let status = unsafe { abi::dice_statistics_merge(input, from, output.as_ptr(), into) };
    Outcome::new(status, &[&output]);
}

/// Words that may be those of a table.
fn words(draw: &mut Draw<'_>, memory: &mut Memory, num: usize) -> *const i64 {
    let (shift, few) = (draw.pick(&[40, 63, 33, 20, 0]), draw.one_in(2));
    let mut random = draw.random();
    let words: Vec<i64> = (0..num)
        .map(|place| {
            let word = random.word() as i64 >> shift;
            if few && place % 8 != 3 { 0 } else { word }
        })
        .collect();
    let edge = draw.edge();
    memory.values(&words, edge)
}

/// `dice_loss_preset`, of a preset's name or of any bytes.
pub fn presets(draw: &mut Draw<'_>, memory: &mut Memory) {
    let edge = draw.edge();
    // SAFETY: a number.
    let known = unsafe { abi::dice_loss_preset_name(draw.below(256)) };
    let name = if known.is_null() || draw.one_in(4) {
        let mut name: Vec<u8> = (0..draw.below(256)).map(|_| 1 + draw.below(255) as u8).collect();
        name.push(0);
        memory.input(&name, edge).as_ptr()
    } else {
        // SAFETY: a name of the library's.
        let known = unsafe { CStr::from_ptr(known) };
        memory.input(known.to_bytes_with_nul(), edge).as_ptr()
    };
    let name = if draw.hostile() { ptr::null() } else { name };
    let term_size = loss::size(draw, size_of::<abi::Term>());
    let (capacity, is_null) = (draw.below(5), draw.one_in(8));
    let bytes = if is_null { 0 } else { capacity * term_size.min(size_of::<abi::Term>() + 8) };
    let terms = Output::numbers(memory, edge, Dtype::U8, bytes);
    let num = Output::numbers(memory, edge, Dtype::I64, 1);
    let first = if is_null { ptr::null_mut() } else { terms.as_ptr() };
    // SAFETY: there is room for as many terms of that size as is said, if terms of that size can be.
    let status = unsafe { abi::dice_loss_preset(name, term_size, first, capacity, num.as_ptr()) };
    Outcome::new(status, &[&terms, &num]);
}

/// Names, versions and what is set for the process.
pub fn process(draw: &mut Draw<'_>, memory: &mut Memory) {
    let number = draw.pick(&[0, 1, 2, 3, 4, 5, 13, 14, -1, i32::MIN, i32::MAX]);
    // SAFETY: a number.
    let status = unsafe { abi::dice_status_string(number) };
    // SAFETY: a number.
    let level = unsafe { abi::dice_isa_name(number) };
    for text in [status, level] {
        assert!(!text.is_null(), "a text is NULL");
        // SAFETY: a text of the library's.
        assert!(unsafe { CStr::from_ptr(text) }.to_str().is_ok_and(|text| !text.is_empty()), "a text is no text");
    }
    // SAFETY: takes nothing.
    assert!(unsafe { abi::dice_version() } > 0, "no version");
    // SAFETY: a number.
    let preset = unsafe { abi::dice_loss_preset_name(usize::MAX - number.unsigned_abs() as usize) };
    assert!(preset.is_null(), "a preset too many");
    match draw.below(4) {
        // SAFETY: a number.
        0 => drop(checked(unsafe { abi::dice_set_num_threads(number) })),
        1 => set(draw, number),
        2 => executor(draw),
        _ => {
            let edge = draw.edge();
            let size = loss::size(draw, size_of::<ErrorInfo>());
            let bytes = [size.to_ne_bytes().as_slice(), &[0x5A; 32]].concat();
            let error = Output::tensor(memory, edge, &Layout::compact(Dtype::U8, &[40]), &bytes);
            let first = error.as_ptr::<ErrorInfo>();
            let misplaced = [ptr::null_mut(), first.wrapping_byte_add(4)];
            let first = if draw.hostile() { draw.pick(&misplaced) } else { first };
            // SAFETY: the pointer is NULL, misaligned or valid.
            Outcome::new(unsafe { abi::dice_error_info(first) }, &[&error]);
        }
    }
    if draw.one_in(64) {
        // SAFETY: takes nothing.
        checked(unsafe { abi::dice_shutdown() });
    }
}

/// A cap for the level, any number.
fn set(draw: &mut Draw<'_>, number: i32) {
    if draw.one_in(2) {
        // SAFETY: a number; one of another architecture is refused.
        checked(unsafe { abi::dice_set_max_isa(draw.below(5) as i32) });
    } else {
        // SAFETY: a number.
        checked(unsafe { abi::dice_set_max_isa(number) });
    }
    // SAFETY: takes nothing.
    assert!((0..5).contains(&unsafe { abi::dice_effective_isa() }), "a level that there is not");
}

/// An executor that cannot be.
fn executor(draw: &mut Draw<'_>) {
    unsafe extern "C" fn run(
        _: *mut std::ffi::c_void,
        _: i32,
        claim: unsafe extern "C" fn(*mut std::ffi::c_void),
        argument: *mut std::ffi::c_void,
    ) {
        // SAFETY: as the library says.
        unsafe { claim(argument) };
    }
    let executor = abi::Executor {
        struct_size: loss::size(draw, size_of::<abi::Executor>()),
        context: ptr::null_mut(),
        run: if draw.one_in(2) { None } else { Some(run) },
        threads: draw.pick(&[0, 1, -1, i32::MAX]),
        reserved: draw.pick(&[0, 1]),
    };
    // SAFETY: the struct says its size, or one that is refused.
    checked(unsafe { abi::dice_set_executor(&raw const executor) });
    // SAFETY: NULL is allowed.
    checked(unsafe { abi::dice_set_executor(ptr::null()) });
}
