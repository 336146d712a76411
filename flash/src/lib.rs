//! The technician's tool: from a bare board to a node that is signed, identified, tested and
//! labelled.
#![forbid(unsafe_code)]

pub mod adapters;
pub mod bench;
pub mod bus;
pub mod chip;
pub mod cli;
pub mod emulator;
pub mod journal;
pub mod label;
pub mod lang;
pub mod link;
pub mod plan;
pub mod port;
pub mod probe;
pub mod provision;
pub mod rom;
pub mod selftest;
pub mod signed;
pub mod simulator;
#[cfg(test)]
mod testing;
pub mod uf2;
pub mod ui;
pub mod wiring;
