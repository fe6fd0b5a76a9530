//! `dice_term`: a term of a loss as a struct of numbers, and the way from it to a head and back.

mod fields;
mod read;
mod write;

pub(crate) use fields::{Term, WEIGHTINGS};
pub(crate) use read::{Room, read};
pub(crate) use write::write;

#[cfg(test)]
mod tests;
