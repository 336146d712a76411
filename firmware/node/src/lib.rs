//! The portable part of the sensor firmware.
//!
//! ```text
//! driver --raw--> bin / meter --figures--> node (registers) <--request-- modbus <--bytes-- line
//! ```
//! Everything here is pure: it takes the time as an argument, in microseconds or milliseconds
//! since the start, and does no input or output but through embedded-hal traits. Boards
//! (`firmware/boards/`) bring pins, clocks and the main loop.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(test)]
extern crate std;

pub mod drivers;
pub mod log;
pub mod meter;
pub mod modbus;
pub mod node;
pub mod port;
pub mod records;
pub mod release;
pub mod setup;
pub mod storage;
pub mod update;
pub mod waste_bin;
