//! Any call of `dice.h` on any arguments: nothing but the elements is read, nothing but the outputs is written, refused calls
//! change nothing, and what is accepted has the bits that it has on compact copies.
//!
//! Valid memory is what the header asks for. A wrong argument is one that the library can see to be wrong: NULL, misaligned,
//! a number that means nothing, a length or extent that cannot be. So whatever faults here is the library's.

#![no_main]

// The library, whose functions are called by their names in C.
use dice as _;

mod abi;
mod draw;
mod loss;
mod memory;
mod outcome;
mod passes;
mod scene;
mod tables;
mod tensor;

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;

use draw::Draw;
use memory::Memory;
use outcome::checked;

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::new(Memory::new());
}

fuzz_target!(|bytes: &[u8]| MEMORY.with_borrow_mut(|memory| execute(bytes, memory)));

fn execute(bytes: &[u8], memory: &mut Memory) {
    memory.clear();
    let mut draw = Draw::new(bytes);
    // Scalar and portable kernels take ten times as long.
    let is_slow = draw.by_lot(64);
    let slow = draw.pick(&[abi::ISA_SCALAR, abi::ISA_PORTABLE]);
    passes::set_level(if is_slow { slow } else { abi::ISA_BEST });
    // SAFETY: a number.
    checked(unsafe { abi::dice_set_num_threads(draw.pick(&[2, 1, 0])) });
    match draw.below(16) {
        0 | 1 => passes::value(&mut draw, memory),
        2..=5 => passes::value_and_grad(&mut draw, memory),
        6 | 7 => passes::statistics(&mut draw, memory),
        8 | 9 => passes::pullback(&mut draw, memory),
        10 => passes::in_place(&mut draw, memory),
        11 => passes::confusion(&mut draw, memory),
        12 => passes::volumes(&mut draw, memory),
        13 => tables::tables(&mut draw, memory),
        14 => tables::presets(&mut draw, memory),
        _ => tables::process(&mut draw, memory),
    }
}
