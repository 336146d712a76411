//! Modbus TCP and RTU.
mod decode;
mod link;
mod plan;
mod schedule;
mod totaliser;
