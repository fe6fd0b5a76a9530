//! Order-free sums of f64 numbers.
//!
//! Floating-point addition depends on the order, and with it on the number of threads. So the f64 sum of each tile is
//! added to a fixed-point integer instead: integer addition is associative, hence any order of tiles, threads, files
//! and ranks gives **the same bits**, and an all-reduce that sums `int64` is enough to merge two tables.
//!
//! An accumulator is [`WORDS`] consecutive `i64`: eight limbs of 32 bits each, least significant first, that span 2^-96
//! to 2^160, then four counters, of NaN, +∞, −∞ and of numbers too large for the limbs. Limbs are signed and have 31
//! bits of head room, so 2^31 numbers may be added, or canonical accumulators merged, before [`normalise`] must carry.
//! Bits below 2^-96 are cut off (towards zero) as each number is added.

use crate::error::Error;

/// Fixed-point limbs of an accumulator.
pub const LIMBS: usize = 8;
/// `i64` words of an accumulator: limbs and counters.
pub const WORDS: usize = LIMBS + 4;

const LIMB_BITS: u32 = 32;
const LIMB_MASK: i64 = (1 << LIMB_BITS) - 1;
/// The limbs that a number reaches into: 53 bits that start at any bit of a limb.
const LIMBS_OF_A_NUMBER: usize = 3;
/// The lowest bit of the lowest limb is worth 2^-GRID.
const GRID: i32 = 96;

const NAN: usize = LIMBS;
const POSITIVE_INFINITY: usize = LIMBS + 1;
const NEGATIVE_INFINITY: usize = LIMBS + 2;
const TOO_LARGE: usize = LIMBS + 3;

/// One accumulator in a table of words.
pub type Words = [i64; WORDS];

/// Adds `x`.
pub fn add(words: &mut Words, x: f64) {
    const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    let bits = x.to_bits();
    let exponent = ((bits >> MANTISSA_BITS) & 0x7ff) as i32;
    if exponent == 0x7ff {
        let counter = match (x.is_nan(), x > 0.0) {
            (true, _) => NAN,
            (false, true) => POSITIVE_INFINITY,
            (false, false) => NEGATIVE_INFINITY,
        };
        words[counter] += 1;
        return;
    }
    // |x| = mantissa · 2^(shift − GRID). A subnormal (exponent 0) lies far below the grid: its mantissa is cut to 0.
    let mut mantissa = (bits & ((1 << MANTISSA_BITS) - 1)) | (1 << MANTISSA_BITS);
    let mut shift = exponent - 1023 - MANTISSA_BITS as i32 + GRID;
    if shift < 0 {
        mantissa = mantissa.checked_shr(shift.unsigned_abs()).unwrap_or(0);
        shift = 0;
    }
    let (limb, within) = (shift as u32 / LIMB_BITS, shift as u32 % LIMB_BITS);
    let mut rest = u128::from(mantissa) << within;
    let sign = if x < 0.0 { -1 } else { 1 };
    for word in words[..LIMBS].iter_mut().skip(limb as usize).take(LIMBS_OF_A_NUMBER) {
        *word += sign * (rest as i64 & LIMB_MASK);
        rest >>= LIMB_BITS;
    }
    if rest != 0 || limb as usize >= LIMBS {
        words[TOO_LARGE] += 1;
    }
}

/// Adds `from`, word by word, and [`normalise`]s.
pub fn merge(into: &mut Words, from: &Words) {
    for (word, &other) in into.iter_mut().zip(from) {
        *word = word.wrapping_add(other);
    }
    normalise(into);
}

/// Brings the limbs to their canonical form: all but the top one in 0..2^32. The value stays.
pub fn normalise(words: &mut Words) {
    let limbs = carried(words, 1);
    words[..LIMBS].copy_from_slice(&limbs);
}

/// The limbs of `sign` (1 or −1) times the sum, in their canonical form.
fn carried(words: &Words, sign: i64) -> [i64; LIMBS] {
    let mut limbs = [0; LIMBS];
    let mut carry = 0;
    for (limb, &word) in limbs.iter_mut().zip(words) {
        let sum = word.wrapping_mul(sign).wrapping_add(carry);
        *limb = sum & LIMB_MASK;
        carry = sum >> LIMB_BITS;
    }
    // The top limb keeps what it has no limb above to carry to.
    limbs[LIMBS - 1] |= carry << LIMB_BITS;
    limbs
}

/// The sum, rounded once to the nearest f64; NaN or ±∞ if such numbers were added.
///
/// # Errors
/// [`Error::SumOverflow`] if the sum, or a number that was added, does not fit.
pub fn value(words: &Words) -> Result<f64, Error> {
    let (positive, negative) = (words[POSITIVE_INFINITY] != 0, words[NEGATIVE_INFINITY] != 0);
    if words[NAN] != 0 || (positive && negative) {
        return Ok(f64::NAN);
    }
    if positive || negative {
        return Ok(if positive { f64::INFINITY } else { f64::NEG_INFINITY });
    }
    let mut canonical = carried(words, 1);
    let top = canonical[LIMBS - 1];
    if words[TOO_LARGE] != 0 || i32::try_from(top).is_err() {
        return Err(Error::SumOverflow);
    }
    let negative = top < 0;
    if negative {
        canonical = carried(words, -1);
    }
    let Some(highest) = canonical.iter().rposition(|&limb| limb != 0) else {
        return Ok(0.0);
    };
    // The three highest limbs hold at least 65 significant bits. An f64 needs 54, CPUs convert 63 at once, and whatever lies
    // below only matters as "not zero".
    let lowest = highest.saturating_sub(2);
    let window = canonical[lowest..=highest].iter().rev().fold(0_u128, |bits, &limb| bits << LIMB_BITS | limb as u128);
    let zeros = window.leading_zeros();
    let significant = window << zeros;
    let below = significant << 63 != 0 || canonical[..lowest].iter().any(|&limb| limb != 0);
    let exponent = lowest as i32 * LIMB_BITS as i32 - GRID + 65 - zeros as i32;
    let magnitude = ((significant >> 65) as i64 | i64::from(below)) as f64 * power_of_two(exponent);
    Ok(if negative { -magnitude } else { magnitude })
}

/// 2^exponent for a normal result.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << (f64::MANTISSA_DIGITS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn sum(numbers: impl IntoIterator<Item = f64>) -> Result<f64, Error> {
        let mut words = [0; WORDS];
        for x in numbers {
            add(&mut words, x);
        }
        value(&words)
    }

    #[test]
    fn single_numbers_come_back_exactly() {
        for x in [0.0, 1.0, -1.0, 0.1, -1e30, 1e47, 2_f64.powi(-96), 3.5 * 2_f64.powi(-44), 5e8 + 0.125] {
            assert_eq!(sum([x]), Ok(x));
        }
        assert_eq!(sum([2_f64.powi(-97)]), Ok(0.0), "below the grid");
        assert_eq!(sum([f64::MIN_POSITIVE / 8.0]), Ok(0.0), "subnormal");
        assert_eq!(sum([-0.0]).map(f64::to_bits), Ok(0), "zero has no sign");
    }

    #[test]
    fn cancellation_is_exact_and_rounding_is_to_even() {
        assert_eq!(sum([1e30, 1.0, -1e30]), Ok(1.0));
        let big = 2_f64.powi(53);
        assert_eq!(sum([big, 1.0]), Ok(big), "tie to even");
        assert_eq!(sum([big, 1.0, 2_f64.powi(-90)]), Ok(big + 2.0), "sticky bit below the window");
        assert_eq!(sum([big + 2.0, 1.0]), Ok(big + 4.0), "tie to even, upwards");
        assert_eq!(sum([-big, -1.0, -2_f64.powi(-90)]), Ok(-big - 2.0));
    }

    #[test]
    fn special_numbers_are_counted() {
        assert!(sum([1.0, f64::NAN]).unwrap().is_nan());
        assert_eq!(sum([f64::INFINITY, 1.0]), Ok(f64::INFINITY));
        assert_eq!(sum([f64::NEG_INFINITY, 1.0]), Ok(f64::NEG_INFINITY));
        assert!(sum([f64::INFINITY, f64::NEG_INFINITY]).unwrap().is_nan());
        assert_eq!(sum([1e49]), Err(Error::SumOverflow));
        assert_eq!(sum([1e300]), Err(Error::SumOverflow));
        assert_eq!(sum([2_f64.powi(158), 2_f64.powi(158), 2_f64.powi(158)]), Err(Error::SumOverflow));
        assert_eq!(sum([2_f64.powi(158), 2_f64.powi(158), -2_f64.powi(158)]), Ok(2_f64.powi(158)));
    }

    proptest! {
        #[test]
        fn any_order_and_any_cut_give_the_same_words(
            numbers in prop::collection::vec((-1.0_f64..1.0, -90_i32..140).prop_map(|(m, e)| m * libm::exp2(f64::from(e))), 0..40),
            cut in 0_usize..40,
        ) {
            let add_all = |numbers: &[f64]| {
                let mut words = [0; WORDS];
                numbers.iter().for_each(|&x| add(&mut words, x));
                normalise(&mut words);
                words
            };
            let whole = add_all(&numbers);
            let reversed: Vec<f64> = numbers.iter().rev().copied().collect();
            prop_assert_eq!(add_all(&reversed), whole);
            let (left, right) = numbers.split_at(cut.min(numbers.len()));
            let mut merged = add_all(left);
            merge(&mut merged, &add_all(right));
            prop_assert_eq!(merged, whole);
        }

        #[test]
        fn integers_are_exact(numbers in prop::collection::vec(-(1_i64 << 50)..(1 << 50), 0..100)) {
            let exact: i64 = numbers.iter().sum();
            prop_assert_eq!(sum(numbers.iter().map(|&x| x as f64)), Ok(exact as f64));
        }
    }
}
