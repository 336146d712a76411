//! Adapters whose DTR and RTS reach the board's RESET and BOOT0, so that no hand has to.

use std::{thread, time::Duration};

use serialport::SerialPort;

/// Long enough for NRST's capacitor (100 nF against 40 kΩ).
const PULSE: Duration = Duration::from_millis(50);
/// Until the ROM listens.
const WAKES: Duration = Duration::from_millis(100);

/// A line of the adapter. It is active low, as TTL adapters have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Pin {
    /// Data terminal ready.
    Dtr,
    /// Request to send.
    Rts,
}

/// What is wired to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wiring {
    /// The line on NRST; without it RESET is pressed by hand.
    pub reset: Option<Pin>,
    /// The line on BOOT0; without it the jumper is moved by hand.
    pub boot0: Option<Pin>,
    /// A transistor between line and BOOT0 turns its level round.
    pub is_inverted: bool,
}

impl Wiring {
    /// Starts the chip's ROM, as far as wires can.
    ///
    /// # Errors
    /// The adapter has no such line.
    pub fn into_rom(&self, port: &mut dyn SerialPort) -> serialport::Result<()> {
        self.restart(port, true)
    }

    /// Starts the chip's program; false if a hand has to.
    ///
    /// # Errors
    /// The adapter has no such line.
    pub fn into_program(&self, port: &mut dyn SerialPort) -> serialport::Result<bool> {
        let can = self.reset.is_some() && self.boot0.is_some();
        if can {
            self.restart(port, false)?;
        }
        Ok(can)
    }

    fn restart(&self, port: &mut dyn SerialPort, rom: bool) -> serialport::Result<()> {
        if let Some(pin) = self.boot0 {
            // Asserted is low.
            set(port, pin, rom == self.is_inverted)?;
        }
        if let Some(pin) = self.reset {
            set(port, pin, true)?;
            thread::sleep(PULSE);
            set(port, pin, false)?;
            thread::sleep(WAKES);
        }
        Ok(())
    }
}

fn set(port: &mut dyn SerialPort, pin: Pin, asserted: bool) -> serialport::Result<()> {
    match pin {
        Pin::Dtr => port.write_data_terminal_ready(asserted),
        Pin::Rts => port.write_request_to_send(asserted),
    }
}
