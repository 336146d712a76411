//! The technician's tool: from a bare board to a node that is signed, identified, tested and
//! labelled.
#![forbid(unsafe_code)]

pub mod chip;
pub mod journal;
pub mod label;
pub mod lang;
pub mod plan;
pub mod port;
pub mod rom;
pub mod simulator;
pub mod uf2;
