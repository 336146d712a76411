//! Where observations come from.

pub mod vision;
