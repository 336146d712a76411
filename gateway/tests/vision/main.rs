//! Cameras against real peers: GStreamer's RTSP server, files, and, for faults that no peer can
//! produce, a scripted camera.
//!
//! Needs what set-up lays out (`cargo xtask test`): model, library, footage.

// Clippy's exception for tests does not reach the helpers of an integration test.
#![allow(clippy::unwrap_used, missing_debug_implementations)]

mod cameras;
mod faults;
mod models;
mod process;
mod rig;
mod scripted;
mod shadow;
