//! Wangge: edge gateway for community stations.
//!
//! The modules stand in the order of the data's way; `pipeline` alone knows them all.
pub mod clock;
pub mod config;
pub mod counters;
pub mod observation;
pub mod rules;
pub mod source;
pub mod spool;
pub mod vision;
