//! Opening serial ports.

use std::{io, time::Duration};

use serialport::{ErrorKind, Parity, SerialPort};

/// Until a caller says otherwise.
const PATIENCE: Duration = Duration::from_secs(1);
/// Where Linux has its pseudo terminals.
const PSEUDO: &str = "/dev/pts/";

/// What to do about a port that cannot be opened.
pub fn advice(error: &serialport::Error) -> &'static str {
    match error.kind() {
        ErrorKind::Io(io::ErrorKind::PermissionDenied) => {
            "You may need to be in the group dialout: sudo usermod -aG dialout $USER, then log in again"
        }
        _ => "`wangge flash list` shows what is plugged in",
    }
}

/// Opens a port for eight bits and one stop bit.
///
/// # Errors
/// There is no such port, somebody else has it, or it cannot do this.
pub fn open(path: &str, baud: u32, parity: Parity) -> serialport::Result<Box<dyn SerialPort>> {
    // Pseudo terminals, which simulated boards are on, carry bytes and refuse to have parity.
    let parity = match path.starts_with(PSEUDO) {
        true => Parity::None,
        false => parity,
    };
    serialport::new(path, baud)
        .parity(parity)
        .timeout(PATIENCE)
        .open()
}
