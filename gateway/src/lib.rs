//! Wangge: edge gateway for community stations.
//!
//! The modules stand in the order of the data's way; `pipeline` alone knows them all.
pub mod alert;
pub mod clock;
pub mod config;
pub mod console;
pub mod counters;
pub mod derive;
pub mod geo;
pub mod observation;
pub mod rules;
pub mod simulate;
pub mod source;
pub mod spool;
pub mod tls;
mod width;
