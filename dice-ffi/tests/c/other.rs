//! A static library of somebody else's in Rust, to be linked beside libdice.a: it panics, and catches its panic.

/// Half of an even number, or -1.
#[unsafe(no_mangle)]
pub extern "C" fn other_half(number: i32) -> i32 {
    let half = || if number % 2 == 0 { number / 2 } else { panic!("{number} is odd") };
    std::panic::catch_unwind(half).unwrap_or(-1)
}
