//! Modbus TCP and RTU: meters and other devices that have to be asked.
//!
//! One task per bus ([`bus`]) takes turns from a pure queue ([`schedule`]), asks for the
//! registers that a pure planner chose ([`plan`]) over a guarded connection ([`link`],
//! [`poll`]), makes figures of them ([`decode`]), doubts those that cannot follow from the ones
//! before ([`totaliser`]), and passes one arrival per device and poll on ([`device`]).
//!
//! Read-only: functions 03 and 04. The one exception are [`errand`]s to sensor nodes of ours,
//! whose update is written to them.
mod bus;
mod decode;
mod device;
mod errand;
mod link;
mod plan;
mod poll;
mod schedule;
mod totaliser;
mod words;

#[cfg(test)]
mod tests;

pub use bus::run;
pub use decode::MAX_BCD_REGISTERS;
pub use errand::{Direct, Errand};
pub use plan::{MAX_HOLE, MAX_REGISTERS};
pub use schedule::SILENT_AFTER;
