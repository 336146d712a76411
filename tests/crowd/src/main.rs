//! `wangge-crowd`: plays many stations against a broker and prints what it measured, a line of
//! JSON a phase. `cargo xtask fleet simulate` starts it with everything it needs.
//!
//! A station here keeps the real uplink's rules: TLS, an account of its own, a clean session,
//! receipts before anything is sent, the picture before its alert, two pictures on their way at
//! most, everything repeated that has no receipt, and its back-off with jitter.

#![allow(clippy::print_stdout)] // what it prints is what it is for

mod link;
mod message;
mod phases;
mod station;
mod stats;

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Result;
use clap::Parser;

/// What to play.
#[derive(Debug, Parser)]
pub struct Options {
    /// Brokers; stations take them in turn.
    #[arg(long, required = true, value_delimiter = ',')]
    broker: Vec<SocketAddr>,
    /// CA of the brokers, PEM.
    #[arg(long)]
    ca: PathBuf,
    /// Folder with a password in a file per station; the file's name is the station.
    #[arg(long)]
    passwords: PathBuf,
    /// How many of them connect.
    #[arg(long)]
    stations: usize,
    /// New connections a second at the start.
    #[arg(long, default_value_t = 200.0)]
    connect_rate: f64,
    /// Alerts a second of all stations together.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// How long the steady phase is.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Bytes of an alert's picture; 0: none.
    #[arg(long, default_value_t = 150_000)]
    picture: usize,
    /// An outage of the network for so many minutes, of which none are waited: what would have
    /// come is there at its end.
    #[arg(long, default_value_t = 0)]
    outage: u64,
    /// QoS at which receipts are subscribed.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    receipt_qos: u8,
    /// Only publish so many alerts each, and wait for the broker's acknowledgements.
    #[arg(long)]
    park: Option<u64>,
    /// Processes of the broker, to be measured.
    #[arg(long, value_delimiter = ',')]
    watch: Vec<u32>,
}

#[tokio::main]
async fn main() -> Result<()> {
    phases::play(Options::parse()).await
}
