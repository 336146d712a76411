//! What a sensor node says over Modbus RTU: register map, device kinds, flags.
//!
//! Registers are 16 bits, addresses count from 0 as on the wire, numbers of 32 bits take two
//! registers, high word first (`ABCD`). Input registers (function 04) are what the node measured
//! and what it is; the same addresses can be read with function 03 from [`INPUT_MIRROR`] on, for
//! masters that know no other function. Holding registers (functions 03, 06, 16) are how it is set
//! up. What was not measured, or cannot be believed, is [`INVALID`] and never a plausible figure;
//! the quality register beside it says why.

mod identity;
pub mod image;
pub mod layout;
mod map;
mod quality;
mod update;

pub use identity::{IDENTITY_BYTES, Identity, IdentityError, MOST_VALUES, UPDATE_KEYS};
pub use map::*;
pub use quality::{NodeKind, Quality, UnknownCode};
pub use update::{UpdateError, UpdateState};

/// Version of this map. A master reads it first; a change that would mislead an older master
/// raises it.
pub const MAP_VERSION: u16 = 1;

/// A register whose figure is not known. For signed registers it is −32,768 ([`INVALID_SIGNED`]).
pub const INVALID: u16 = 0xFFFF;

/// A signed register whose figure is not known.
pub const INVALID_SIGNED: u16 = 0x8000;

/// A figure of 32 bits that is not known.
pub const INVALID_LONG: u32 = 0xFFFF_FFFF;

/// Input register N is holding register `INPUT_MIRROR + N`, read only.
pub const INPUT_MIRROR: u16 = 0x4000;

/// High and low register of a number.
pub const fn words(value: u32) -> [u16; 2] {
    [(value >> 16) as u16, value as u16]
}

/// The number of two registers.
pub const fn long(words: [u16; 2]) -> u32 {
    (words[0] as u32) << 16 | words[1] as u32
}

#[cfg(test)]
mod tests;
