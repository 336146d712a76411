//! Wangge: edge gateway for community stations.
//!
//! `pipeline` wires the stages in the order of the data's way and alone knows them all.
pub mod alert;
pub mod audit;
mod bilingual;
pub mod calendar;
pub mod cli;
pub mod clock;
pub mod config;
pub mod conformance;
pub mod console;
pub mod counters;
pub mod derive;
pub mod down;
pub mod engine;
pub mod feed;
pub mod geo;
pub mod nodes;
pub mod observation;
pub mod pipeline;
pub mod proof;
pub mod push;
pub mod reload;
pub mod replay;
pub mod routing;
pub mod rules;
pub mod seal;
pub mod shadow;
pub mod simulate;
pub mod source;
pub mod spool;
pub mod status;
pub mod telemetry;
pub mod tls;
pub mod uplink;
pub mod vision;
mod width;
