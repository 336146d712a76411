//! Where observations come from: one module a protocol, each ending in a bounded channel of
//! arrivals.
pub mod modbus;
pub mod mqtt;
pub mod vision;
