//! Cameras against real peers: GStreamer's RTSP server, Mosquitto, an HTTP camera, files, and, for faults that no peer can
//! produce, a scripted camera.
//!
//! Needs what set-up lays out (`cargo xtask test`): model, library, footage.

// Clippy's exception for tests does not reach the helpers of an integration test.
#![allow(clippy::unwrap_used, missing_debug_implementations)]

mod calendar;
mod cameras;
mod economy;
mod faults;
mod ground;
mod models;
mod odd;
mod pavement;
mod process;
mod replay;
mod rig;
mod scripted;
mod sealed;
mod shadow;
mod stills;
mod thumbnails;
mod tls;
mod views;
mod wanted;
