//! Starts, watches and stops the real things that the stories, the demo and the benchmarks run:
//! the gateway and the receiving platform as built, Mosquitto, a NATS cluster, a pymodbus server,
//! a GStreamer RTSP server, Chromium.
//!
//! Nothing here sleeps for luck: whatever starts is waited for until it answers, ports are free
//! ones, and every process ends with the value that owns it, in a group of its own.

pub mod account;
pub mod browser;
pub mod chaos;
pub mod faketime;
pub mod gateway;
pub mod http;
pub mod modbus;
pub mod mosquitto;
pub mod mqtt;
pub mod nats;
pub mod node;
pub mod place;
pub mod platform;
pub mod process;
pub mod rtsp;
pub mod scene;
pub mod snapshot;
pub mod street;
pub mod usage;
pub mod wait;

pub use process::Process;
pub use scene::play;
pub use wait::until;
