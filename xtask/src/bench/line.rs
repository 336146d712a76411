//! A serial line at its real speed: a pty pair whose other end is a slave that takes as long
//! for every byte as a UART would.

use std::{
    fs::File,
    io::{Read, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A line whose slaves, units 1 to [`UNITS`], go on until the process ends.
#[derive(Debug)]
pub struct Line {
    /// What the gateway opens.
    pub path: PathBuf,
    /// Answered reads.
    pub answered: Arc<AtomicU64>,
    baud: u32,
}

/// Start, eight data bits, one stop bit.
const BITS_PER_BYTE: u32 = 10;
const REQUEST_BYTES: u32 = 8;
/// Slaves on the line: enough that it is never idle at the shortest interval a device may have.
pub const UNITS: u8 = 10;

impl Line {
    /// Opens a line.
    ///
    /// # Errors
    /// The system has no ptys left.
    pub fn open(baud: u32) -> Result<Line> {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).context("cannot open a pty")?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = ptsname(&master, Vec::new())?;
        let path = PathBuf::from(path.into_string().context("a pty with a strange name")?);
        // Held open: a pty whose other end nobody has open reads as an error, not as silence.
        let slave_end = File::options().read(true).write(true).open(&path)?;
        let mut raw = rustix::termios::tcgetattr(&slave_end)?;
        raw.make_raw();
        rustix::termios::tcsetattr(&slave_end, rustix::termios::OptionalActions::Now, &raw)?;
        let answered = Arc::new(AtomicU64::new(0));
        let line = Line {
            path,
            answered: answered.clone(),
            baud,
        };
        let byte = line.byte();
        thread::spawn(move || {
            let _open = slave_end;
            slaves(File::from(master), byte, &answered)
        });
        Ok(line)
    }

    fn byte(&self) -> Duration {
        Duration::from_secs(1) * BITS_PER_BYTE / self.baud
    }

    /// Reads a second of `registers` registers that the line has room for: request, reply and
    /// the silence of 3.5 characters before each (Modbus over Serial Line V1.02, 2.5.1.1).
    pub fn limit(&self, registers: u32) -> f64 {
        let bytes = f64::from(REQUEST_BYTES + 5 + 2 * registers) + 2.0 * 3.5;
        1.0 / (bytes * self.byte().as_secs_f64())
    }
}

fn slaves(mut port: File, byte: Duration, answered: &AtomicU64) {
    let mut request = [0; REQUEST_BYTES as usize];
    loop {
        if port.read_exact(&mut request).is_err() {
            return;
        }
        // A pty hands bytes over at once; on a wire the last would be here only now.
        let mut at = Instant::now() + byte * REQUEST_BYTES;
        let [unit, function, .., n, _, _] = request;
        if !(1..=UNITS).contains(&unit) || function != 3 || crc(&request[..6]) != request[6..] {
            continue;
        }
        let mut reply = vec![unit, function, n * 2];
        reply.extend((0..u16::from(n)).flat_map(u16::to_be_bytes));
        reply.extend(crc(&reply));
        at += byte.mul_f64(3.5) + byte * reply.len() as u32;
        thread::sleep(at.saturating_duration_since(Instant::now()));
        if port.write_all(&reply).is_err() {
            return;
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// CRC-16 of Modbus RTU, low byte first.
fn crc(bytes: &[u8]) -> [u8; 2] {
    let mut crc = 0xFFFFu16;
    for byte in bytes {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xA001
            } else {
                crc >> 1
            };
        }
    }
    crc.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_as_in_the_standard() {
        // Modbus over Serial Line V1.02, appendix B: 02 07 -> 41 12
        assert_eq!(crc(&[0x02, 0x07]), [0x41, 0x12]);
    }

    #[test]
    fn the_line_is_as_slow_as_a_wire() {
        let line = Line::open(9600).unwrap();
        let mut port = File::options()
            .read(true)
            .write(true)
            .open(&line.path)
            .unwrap();
        let mut request = vec![1, 3, 0, 0, 0, 20];
        request.extend(crc(&request));
        let begun = Instant::now();
        port.write_all(&request).unwrap();
        let mut reply = [0; 45];
        port.read_exact(&mut reply).unwrap();
        let took = begun.elapsed();
        assert_eq!(crc(&reply[..43]), reply[43..]);
        // 8 + 45 bytes and a silence at 1.04 ms each.
        assert!(
            took >= Duration::from_millis(58) && took < Duration::from_millis(200),
            "{took:?}"
        );
        assert!((line.limit(20) - 16.0).abs() < 0.1, "{}", line.limit(20));
    }
}
