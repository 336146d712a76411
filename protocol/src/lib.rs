//! The words that Wangge's sensor firmware, gateway and receiving platform share.
//!
//! The core needs neither `std` nor an allocator. The JSON messages (alert, telemetry, evidence,
//! receipt, gap) are behind the feature `alloc`; their JSON Schemas, which `protocol/schema/`
//! holds and a test compares, behind `schema`.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(test)]
extern crate std;

#[cfg(feature = "alloc")]
mod alert;
#[cfg(feature = "alloc")]
mod delivery;
#[cfg(feature = "alloc")]
mod down;
mod kind;
pub mod node;
#[cfg(feature = "schema")]
mod pattern;
#[cfg(feature = "alloc")]
mod proof;
#[cfg(feature = "alloc")]
mod reading;
#[cfg(feature = "alloc")]
mod routing;
#[cfg(feature = "schema")]
mod schema;

#[cfg(feature = "alloc")]
pub use alert::*;
#[cfg(feature = "alloc")]
pub use delivery::*;
#[cfg(feature = "alloc")]
pub use down::*;
pub use kind::{EventKind, Severity, UnknownKind};
#[cfg(feature = "alloc")]
pub use proof::*;
#[cfg(feature = "alloc")]
pub use reading::DeviceReading;
#[cfg(feature = "alloc")]
pub use routing::*;
#[cfg(feature = "schema")]
pub use schema::schemas;
