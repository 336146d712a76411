//! What a node that was just flashed says about itself and its sensors, held against what is
//! plausible.

mod judge;
#[cfg(test)]
mod tests;
mod words;

use std::{
    thread,
    time::{Duration, Instant},
};

use wangge_protocol::node::{MAP_VERSION, NodeKind, holding, input};

pub use judge::{Expected, Readings, judge};
pub use words::Check;

use crate::bus::{Bus, BusError};

/// How long sensors may take to begin: the slowest measures once in ten seconds.
const SETTLES: Duration = Duration::from_secs(15);
/// How long a node may take to start: bootloader and image check included.
const STARTS: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);

/// How a line of the self-test came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// Right for some nodes and wrong for others: the technician knows.
    Attention,
    /// Not as it should be.
    Fail,
}

/// One line of the self-test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub check: Check,
    /// How it came out.
    pub verdict: Verdict,
    /// What the node says.
    pub value: String,
    /// What would be plausible.
    pub expected: String,
}

/// Who a node says it is, where nobody knows better.
#[derive(Clone, Copy, Debug)]
pub struct Who {
    serial: u64,
    kind: NodeKind,
    hardware: u16,
    firmware: u16,
    counter: u32,
}

impl Who {
    /// Asks it.
    ///
    /// # Errors
    /// The node does not answer, what answers is none, or the bus failed.
    pub fn ask(bus: &mut Bus, unit: u8) -> Result<Who, BusError> {
        let words = bus.inputs(unit, 0, input::COMMON_END)?;
        let readings = Readings {
            common: words,
            own: Vec::new(),
            set: Vec::new(),
        };
        let map = readings.at(input::MAP_VERSION);
        if map != MAP_VERSION {
            return Err(BusError::Foreign { unit, map });
        }
        Ok(Who {
            serial: readings.serial(),
            kind: NodeKind::try_from(readings.at(input::KIND)).unwrap_or(NodeKind::Bin),
            hardware: readings.at(input::HARDWARE),
            firmware: readings.at(input::FIRMWARE),
            counter: readings.counter(),
        })
    }

    /// As expectations: only the sensors and the node's health can then fail.
    pub fn expected(&self) -> Expected<'static> {
        Expected {
            serial: self.serial,
            kind: self.kind,
            hardware: self.hardware,
            firmware: self.firmware,
            counter: self.counter,
            values: &[],
            emulated: false,
        }
    }
}

/// Waits for the node, reads it until its sensors have begun, and judges what it says.
///
/// # Errors
/// The node does not answer, or the bus failed.
pub fn run(bus: &mut Bus, unit: u8, expected: &Expected<'_>) -> Result<Vec<Finding>, BusError> {
    let begun = Instant::now();
    loop {
        match bus.inputs(unit, input::MAP_VERSION, 1) {
            Ok(_) => break,
            Err(error @ (BusError::Silence { .. } | BusError::Rubbish { .. })) => {
                if begun.elapsed() > STARTS {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    let begun = Instant::now();
    loop {
        let readings = read(bus, unit, expected)?;
        if !readings.is_starting() || begun.elapsed() > SETTLES {
            return Ok(judge(&readings, expected));
        }
        thread::sleep(PAUSE);
    }
}

fn read(bus: &mut Bus, unit: u8, expected: &Expected<'_>) -> Result<Readings, BusError> {
    let common = bus.inputs(unit, 0, input::COMMON_END)?;
    let (first, end) = match expected.kind {
        NodeKind::Bin => (input::BIN_FILL, input::BIN_END),
        NodeKind::Meter => (input::METER_VOLUME, input::METER_END),
    };
    // A node of the other kind refuses these; the line about the kind says so.
    let own = match bus.inputs(unit, first, end - first) {
        Err(BusError::Exception { .. }) => Vec::new(),
        result => result?,
    };
    let mut set = Vec::new();
    for (register, _) in expected.values {
        let value = match bus.holdings(unit, *register, 1) {
            Err(BusError::Exception { .. }) => None,
            result => result?.first().copied(),
        };
        // The receipt is no set-up, and never wished for.
        debug_assert!(*register != holding::RECEIPT);
        set.push((*register, value));
    }
    Ok(Readings { common, own, set })
}
