//! Asking a node over Modbus RTU, byte by byte, so that what goes wrong on the line can be told:
//! silence, rubbish (another baud rate, two nodes at once), a refusal.

use std::{
    io::{self, Read as _, Write as _},
    time::{Duration, Instant},
};

use serialport::{ClearBuffer, Parity, SerialPort};
use wangge_node::modbus::checksum;
use wangge_protocol::node::MAP_VERSION;

use crate::port;

/// How long a node may think; ours answer within milliseconds.
const THINKS: Duration = Duration::from_millis(400);
/// A pause that ends an answer. USB adapters deliver every 16 ms, and a busy computer is later.
const PAUSE: Duration = Duration::from_millis(80);
/// Silence after which no more of an old answer comes.
const SETTLED: Duration = Duration::from_millis(200);
/// How often a question is asked.
const TRIES: usize = 3;
/// Speeds that nodes can have; the likely ones first.
const SPEEDS: [u32; 8] = [9_600, 115_200, 19_200, 38_400, 57_600, 4_800, 2_400, 1_200];

/// How a line is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Speed, baud.
    pub baud: u32,
    /// Parity; one stop bit.
    pub parity: Parity,
}

impl Line {
    /// As it stands on labels: `9600 8N1`.
    pub fn text(self) -> String {
        let letter = match self.parity {
            Parity::None => 'N',
            Parity::Odd => 'O',
            Parity::Even => 'E',
        };
        format!("{} 8{letter}1", self.baud)
    }
}

/// Why there is no answer to a question.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Nobody said anything.
    #[error("unit {unit} does not answer at {}", .line.text())]
    Silence {
        /// Who was asked.
        unit: u8,
        /// How.
        line: Line,
    },
    /// Somebody did, but nobody can make it out.
    #[error(
        "what comes from the bus at {} is no Modbus answer ({} bytes, 0x{first:02X} first): \
         the likely cause is another baud rate or parity; else two nodes with one unit id, or A and B swapped",
        .line.text(),
        .count
    )]
    Rubbish {
        /// How it was listened to.
        line: Line,
        /// How much came.
        count: usize,
        /// The first byte.
        first: u8,
    },
    /// The node refused.
    #[error("unit {unit} refuses: Modbus exception {code}")]
    Exception {
        /// Who.
        unit: u8,
        /// Why.
        code: u8,
    },
    /// What answers is no node of ours.
    #[error(
        "unit {unit} answers with register map {map}, not {MAP_VERSION}: it is another device, or a node \
         of another generation than this tool"
    )]
    Foreign {
        /// Who.
        unit: u8,
        /// Its first register.
        map: u16,
    },
    /// The adapter went away.
    #[error("the bus adapter: {0}")]
    Io(#[from] io::Error),
    /// The port cannot be opened.
    #[error("{path}: {error}. {}", port::advice(.error))]
    Port {
        /// Which.
        path: String,
        /// Why.
        error: serialport::Error,
    },
}

/// A master on a bus.
#[derive(Debug)]
pub struct Bus {
    port: Box<dyn SerialPort>,
    line: Line,
}

impl Bus {
    /// Opens a port.
    ///
    /// # Errors
    /// [`BusError::Port`].
    pub fn open(path: &str, line: Line) -> Result<Bus, BusError> {
        let port = port::open(path, line.baud, line.parity).map_err(|error| BusError::Port {
            path: path.to_owned(),
            error,
        })?;
        Ok(Bus { port, line })
    }

    /// Input registers (function 04).
    ///
    /// # Errors
    /// See [`BusError`].
    pub fn inputs(&mut self, unit: u8, first: u16, count: u16) -> Result<Vec<u16>, BusError> {
        self.read(unit, 4, first, count)
    }

    /// Holding registers (function 03).
    ///
    /// # Errors
    /// See [`BusError`].
    pub fn holdings(&mut self, unit: u8, first: u16, count: u16) -> Result<Vec<u16>, BusError> {
        self.read(unit, 3, first, count)
    }

    /// Whether anybody says anything, sense or not, when this unit is asked.
    ///
    /// # Errors
    /// The adapter failed.
    pub fn is_taken(&mut self, unit: u8) -> Result<bool, BusError> {
        match self.inputs(unit, 0, 1) {
            Ok(_) | Err(BusError::Rubbish { .. } | BusError::Exception { .. }) => Ok(true),
            Err(BusError::Silence { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn read(
        &mut self,
        unit: u8,
        function: u8,
        first: u16,
        count: u16,
    ) -> Result<Vec<u16>, BusError> {
        let mut tries = 1;
        loop {
            match self.ask(unit, function, first, count) {
                Err(BusError::Silence { .. } | BusError::Rubbish { .. }) if tries < TRIES => {
                    tries += 1;
                    // The rest of a late answer would be taken for the beginning of the next.
                    self.settle()?;
                }
                result => return result,
            }
        }
    }

    /// Reads until nothing comes any more, for a second at most.
    fn settle(&mut self) -> io::Result<()> {
        let end = Instant::now() + Duration::from_secs(1);
        self.port.set_timeout(SETTLED).map_err(io::Error::from)?;
        while Instant::now() < end {
            match self.port.read(&mut [0; 256]) {
                Ok(_) => {}
                // Ctrl-C in a batch: this board's test is brought to its end.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn ask(
        &mut self,
        unit: u8,
        function: u8,
        first: u16,
        count: u16,
    ) -> Result<Vec<u16>, BusError> {
        let mut request = vec![unit, function];
        request.extend(first.to_be_bytes());
        request.extend(count.to_be_bytes());
        request.extend(checksum(&request));
        self.port
            .clear(ClearBuffer::Input)
            .map_err(io::Error::from)?;
        self.port.write_all(&request)?;
        self.port.flush()?;
        let wanted = 5 + usize::from(count) * 2;
        let mut heard = self.hear(wanted, &request)?;
        // Some adapters hear themselves.
        if heard.starts_with(&request) {
            heard.drain(..request.len());
        }
        if heard.is_empty() {
            return Err(BusError::Silence {
                unit,
                line: self.line,
            });
        }
        self.answer(&heard, unit, function, count)
    }

    fn answer(
        &self,
        heard: &[u8],
        unit: u8,
        function: u8,
        count: u16,
    ) -> Result<Vec<u16>, BusError> {
        let rubbish = || BusError::Rubbish {
            line: self.line,
            count: heard.len(),
            first: heard.first().copied().unwrap_or(0),
        };
        let Some((body, sum)) = heard.split_last_chunk::<2>() else {
            return Err(rubbish());
        };
        if checksum(body) != *sum || body.first() != Some(&unit) {
            return Err(rubbish());
        }
        match body {
            [_, refused, code] if *refused == function | 0x80 => {
                Err(BusError::Exception { unit, code: *code })
            }
            [_, same, bytes, words @ ..]
                if *same == function
                    && usize::from(*bytes) == words.len()
                    && words.len() == usize::from(count) * 2 =>
            {
                let pairs = words.chunks_exact(2);
                Ok(pairs
                    .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                    .collect())
            }
            _ => Err(rubbish()),
        }
    }

    /// Everything that comes until as much as is wanted is there, or it pauses.
    fn hear(&mut self, wanted: usize, own: &[u8]) -> io::Result<Vec<u8>> {
        // Ten bits a byte; eleven with parity.
        let bytes = (wanted + own.len()) as u32;
        let sending = Duration::from_secs(1) * 11 * bytes / self.line.baud;
        let end = Instant::now() + THINKS + sending;
        let mut heard = Vec::new();
        let mut buffer = [0; 256];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let patience = if heard.is_empty() {
                left
            } else {
                left.min(PAUSE)
            };
            self.port.set_timeout(patience).map_err(io::Error::from)?;
            match self.port.read(&mut buffer) {
                Ok(0) => return Ok(heard),
                Ok(count) => heard.extend(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(heard),
                Err(error) => return Err(error),
            }
            let echo = if heard.starts_with(own) { own.len() } else { 0 };
            if heard.len() >= wanted + echo || Instant::now() >= end {
                return Ok(heard);
            }
        }
    }
}

/// Where a node that does not answer may be hiding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hiding {
    /// It answers with its line set otherwise.
    OtherLine(Line),
    /// It answers as another unit: its set-up was not taken.
    OtherUnit(u8),
    /// Nothing answers anywhere.
    Nowhere,
}

/// Looks for a node that does not answer where it should: other speeds and parities, then the
/// unit id that nodes come with. Takes up to half a minute.
///
/// # Errors
/// The port cannot be opened, or the adapter failed.
pub fn look_for(path: &str, unit: u8, line: Line, factory: u8) -> Result<Hiding, BusError> {
    if factory != unit && Bus::open(path, line)?.ask(factory, 4, 0, 1).is_ok() {
        return Ok(Hiding::OtherUnit(factory));
    }
    for parity in [Parity::None, Parity::Even, Parity::Odd] {
        for baud in SPEEDS {
            let other = Line { baud, parity };
            if other != line && Bus::open(path, other)?.ask(unit, 4, 0, 1).is_ok() {
                return Ok(Hiding::OtherLine(other));
            }
        }
    }
    Ok(Hiding::Nowhere)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use wangge_protocol::node::{Identity, NodeKind};

    use super::*;
    use crate::testing::{Said, Slave};

    const LINE: Line = Line {
        baud: 9_600,
        parity: Parity::None,
    };

    fn said() -> Said {
        let who = Identity {
            kind: NodeKind::Bin,
            hardware: 0x0103,
            serial: 5,
            update_keys: [None; 2],
            initial: [(0, 17)].into_iter().collect(),
        };
        Said::good(&who, 1, 1)
    }

    #[test]
    fn answers_refusals_and_silence_are_told_apart() {
        let slave = Slave::start(|| Some(said()));
        let mut bus = Bus::open(&slave.path, LINE).unwrap();
        assert_eq!(bus.inputs(17, 0, 3).unwrap(), [1, 1, 0x0103]);
        assert_eq!(bus.holdings(17, 0, 1).unwrap(), [17]);
        let refused = bus.inputs(17, 200, 1);
        assert!(matches!(
            refused,
            Err(BusError::Exception { unit: 17, code: 2 })
        ));
        assert!(matches!(
            bus.inputs(18, 0, 1),
            Err(BusError::Silence { unit: 18, .. })
        ));
        assert!(bus.is_taken(17).unwrap() && !bus.is_taken(18).unwrap());
    }

    #[test]
    fn rubbish_names_the_baud_rate_and_still_takes_the_unit() {
        let slave = Slave::start(|| {
            Some(Said {
                baud: 19_200,
                ..said()
            })
        });
        let mut bus = Bus::open(&slave.path, LINE).unwrap();
        let told = bus.inputs(17, 0, 3).unwrap_err().to_string();
        assert!(told.contains("baud rate or parity"), "{told}");
        assert!(bus.is_taken(17).unwrap());
        drop(bus);
        let right = Line {
            baud: 19_200,
            ..LINE
        };
        assert_eq!(
            look_for(&slave.path, 17, LINE, 247).unwrap(),
            Hiding::OtherLine(right)
        );
    }

    /// Answers of every shape that is not one: never a value, never a panic.
    #[test]
    fn what_is_no_answer_is_rubbish() {
        let slave = Slave::start(|| None);
        let bus = Bus::open(&slave.path, LINE).unwrap();
        let whole = |body: &[u8]| [body, &checksum(body)].concat();
        let good = whole(&[17, 4, 2, 0, 9]);
        assert_eq!(bus.answer(&good, 17, 4, 1).unwrap(), [9]);
        for bad in [
            &good[..good.len() - 1],
            &good[1..],
            &[0x11],
            &[],
            &whole(&[18, 4, 2, 0, 9]),
            &whole(&[17, 3, 2, 0, 9]),
            &whole(&[17, 4, 4, 0, 9, 0, 9]),
            &whole(&[17, 4, 3, 0, 9]),
            &whole(&[17]),
            &whole(&[]),
        ] {
            let answer = bus.answer(bad, 17, 4, 1);
            assert!(matches!(answer, Err(BusError::Rubbish { .. })), "{bad:?}");
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(bus.answer(&bad, 17, 4, 1).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_line_is_written_as_on_labels() {
        assert_eq!(LINE.text(), "9600 8N1");
        let even = Line {
            baud: 115_200,
            parity: Parity::Even,
        };
        assert_eq!(even.text(), "115200 8E1");
    }
}
