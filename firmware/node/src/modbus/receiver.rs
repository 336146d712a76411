//! From bytes to frames.

use heapless::Vec;

use super::{MAX_FRAME, is_whole};

/// How long the line is silent between two frames at `baud`, µs: 3.5 characters of 11 bits, and
/// 1.75 ms above 19,200 baud (Modbus over Serial Line V1.02, 2.5.1.1).
pub const fn silence_us(baud: u32) -> u64 {
    if baud > 19_200 {
        1_750
    } else if baud == 0 {
        u64::MAX
    } else {
        38_500_000 / baud as u64
    }
}

/// Collects bytes until they are a frame.
///
/// A frame ends with silence. One that is addressed to us and complete by its own length ends
/// at once, so that an adapter that dribbles its bytes or a main loop that comes round late
/// costs nothing. A byte with a line error spoils its frame.
#[derive(Debug)]
pub struct Receiver {
    bytes: Vec<u8, MAX_FRAME>,
    /// More bytes than a frame has, or a byte with an error: nothing until the next silence.
    spoilt: bool,
    /// When the last byte came, µs.
    last: u64,
    silence: u64,
}

/// A frame ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is whole.
    Frame,
    /// Its checksum or its length is wrong.
    Bad,
}

impl Receiver {
    /// For a line at `baud`.
    pub const fn new(baud: u32) -> Self {
        Receiver {
            bytes: Vec::new(),
            spoilt: false,
            last: 0,
            silence: silence_us(baud),
        }
    }

    /// A byte came at `now`, µs.
    pub fn byte(&mut self, byte: u8, now: u64) {
        if now.saturating_sub(self.last) >= self.silence {
            self.clear();
        }
        self.last = now;
        self.spoilt |= self.bytes.push(byte).is_err();
    }

    /// The line gave a byte that it says is damaged (framing, parity, overrun).
    pub fn damaged(&mut self, now: u64) {
        self.byte(0, now);
        self.spoilt = true;
    }

    /// Whether a frame has ended by `now`, µs. Call [`Receiver::clear`] after it was used.
    pub fn poll(&self, unit: u8, now: u64) -> Option<Heard> {
        let first = *self.bytes.first()?;
        let ours = first == unit || first == 0;
        let complete = !self.spoilt && expected(&self.bytes) == Some(self.bytes.len());
        if ours && complete && is_whole(&self.bytes) {
            return Some(Heard::Frame);
        }
        if now.saturating_sub(self.last) < self.silence {
            return None;
        }
        if !self.spoilt && is_whole(&self.bytes) {
            return Some(Heard::Frame);
        }
        Some(Heard::Bad)
    }

    /// What came since the last silence.
    pub fn frame(&self) -> &[u8] {
        &self.bytes
    }

    /// Ready for the next.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spoilt = false;
    }
}

/// Length of a request by its own words; `None` while it cannot be told.
fn expected(request: &[u8]) -> Option<usize> {
    match *request.get(1)? {
        3 | 4 | 6 => Some(8),
        16 => Some(9 + usize::from(*request.get(6)?)),
        _ => None,
    }
}
