//! Cameras against real peers: GStreamer's RTSP server, files, and, for faults that no peer can
//! produce, a scripted camera.
//!
//! Needs what set-up lays out (`cargo xtask test`): model, library, footage.

mod cameras;
mod faults;
mod models;
mod process;
mod rig;
mod scripted;
