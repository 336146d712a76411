//! Who a node will be: its serial number and its first set-up.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use wangge_node::setup::Setup;
use wangge_protocol::node::{Identity, MOST_VALUES, NodeKind, holding as h};

/// What the technician wants set; what is left out stays as the node comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Unit id on the bus.
    pub unit: u8,
    /// Line speed, baud.
    pub baud: Option<u32>,
    /// 0 none, 1 odd, 2 even.
    pub parity: Option<u16>,
    /// Between measurements, s.
    pub period: Option<u16>,
    /// From the sensor to the empty bin's floor, mm.
    pub height: Option<u16>,
    /// Distance at which the bin is full, mm.
    pub full_at: Option<u16>,
    /// Pulses of a meter per m³.
    pub pulses: Option<u16>,
}

/// Why a node cannot be like this.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// Such a value makes no sense.
    #[error("{option} {value} makes no sense: {range}")]
    Nonsense {
        /// The option.
        option: &'static str,
        /// What was given.
        value: u32,
        /// What would do.
        range: &'static str,
    },
    /// It is the other kind's.
    #[error("{option} is not for a {kind}")]
    NotForKind {
        /// The option.
        option: &'static str,
        /// What the node is.
        kind: &'static str,
    },
    /// A bin without a height shows no level.
    #[error(
        "a bin shows no level without its height: give --height-mm, from the sensor to the empty bin's floor"
    )]
    NoHeight,
    /// The counter's file.
    #[error("{path}: {error}. The file holds the next free serial number, e.g. 1001")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It holds something else.
    #[error(
        "{path}: this is no serial number: {text:?}. Write the next free one into the file, e.g. 1001"
    )]
    Counter {
        /// The file.
        path: PathBuf,
        /// What it holds.
        text: String,
    },
}

const HEIGHT: &str = "the floor of a bin is 200 to 8000 mm from the sensor, and the full mark is nearer than the floor";

impl Wishes {
    /// The set-up as holding registers and values, checked as the node will check it.
    ///
    /// # Errors
    /// [`ProvisionError::Nonsense`], [`ProvisionError::NotForKind`],
    /// [`ProvisionError::NoHeight`].
    pub fn values(&self, kind: NodeKind) -> Result<Vec<(u16, u16)>, ProvisionError> {
        let mut setup = Setup::new(kind);
        let mut values = Vec::new();
        let mut set = |option, value: u32, first: u16, words: &[u16], range| {
            if setup.get(first).is_none() {
                return Err(ProvisionError::NotForKind {
                    option,
                    kind: kind.slug(),
                });
            }
            setup
                .set(first, words)
                .map_err(|_| ProvisionError::Nonsense {
                    option,
                    value,
                    range,
                })?;
            values.extend((first..).zip(words.iter().copied()));
            Ok(())
        };
        let unit = u16::from(self.unit);
        set(
            "--unit",
            unit.into(),
            h::UNIT_ID,
            &[unit],
            "units are 1 to 247",
        )?;
        if let Some(baud) = self.baud {
            // What is no multiple of 100 is refused as 0 is.
            let hundreds = if baud % 100 == 0 { baud / 100 } else { 0 };
            let hundreds = u16::try_from(hundreds).unwrap_or(0);
            const SPEEDS: &str =
                "speeds are 1200, 2400, 4800, 9600, 19200, 38400, 57600 and 115200";
            set("--baud", baud, h::BAUD, &[hundreds], SPEEDS)?;
        }
        if let Some(parity) = self.parity {
            set(
                "--parity",
                parity.into(),
                h::PARITY,
                &[parity],
                "none, odd or even",
            )?;
        }
        if let Some(period) = self.period {
            set(
                "--period",
                period.into(),
                h::PERIOD,
                &[period],
                "periods are 1 to 3600 s",
            )?;
        }
        match (self.height, self.full_at) {
            // 0 is how a bin without calibration comes, and nothing to ask for.
            (Some(0), _) => {
                return Err(ProvisionError::Nonsense {
                    option: "--height-mm",
                    value: 0,
                    range: HEIGHT,
                });
            }
            (Some(height), Some(full)) => {
                let mut alone = Setup::new(kind);
                let (option, value) = match alone.set(h::BIN_HEIGHT, &[height]) {
                    Ok(()) => ("--full-at-mm", full),
                    Err(_) => ("--height-mm", height),
                };
                set(option, value.into(), h::BIN_HEIGHT, &[height, full], HEIGHT)?;
            }
            (Some(height), None) => {
                set(
                    "--height-mm",
                    height.into(),
                    h::BIN_HEIGHT,
                    &[height],
                    HEIGHT,
                )?;
            }
            (None, Some(full)) => {
                set("--full-at-mm", full.into(), h::BIN_FULL_AT, &[full], HEIGHT)?;
            }
            (None, None) => {}
        }
        if let Some(pulses) = self.pulses {
            const PULSES: &str = "meters give 1 to 10000 pulses per m³";
            set(
                "--pulses-per-m3",
                pulses.into(),
                h::METER_PULSES,
                &[pulses],
                PULSES,
            )?;
        }
        if kind == NodeKind::Bin && self.height.is_none() {
            return Err(ProvisionError::NoHeight);
        }
        Ok(values)
    }

    /// The identity page of a node with these wishes.
    ///
    /// # Errors
    /// As [`Wishes::values`].
    pub fn identity(
        &self,
        kind: NodeKind,
        hardware: u16,
        serial: u64,
        update_keys: [Option<[u8; 32]>; 2],
    ) -> Result<Identity, ProvisionError> {
        let values = self.values(kind)?;
        debug_assert!(values.len() <= MOST_VALUES);
        Ok(Identity {
            kind,
            hardware,
            serial,
            update_keys,
            initial: values.into_iter().collect(),
        })
    }

    /// The set-up that the node will have.
    ///
    /// # Errors
    /// As [`Wishes::values`].
    pub fn setup(&self, kind: NodeKind) -> Result<Setup, ProvisionError> {
        let mut setup = Setup::new(kind);
        for run in runs(&self.values(kind)?) {
            // It was just checked.
            let _ = setup.set(run.0, &run.1);
        }
        Ok(setup)
    }
}

/// Neighbouring registers together, as they have to be written.
fn runs(values: &[(u16, u16)]) -> Vec<(u16, Vec<u16>)> {
    let mut runs: Vec<(u16, Vec<u16>)> = Vec::new();
    for (register, value) in values {
        match runs.last_mut() {
            Some((first, run)) if *first + run.len() as u16 == *register => run.push(*value),
            _ => runs.push((*register, vec![*value])),
        }
    }
    runs
}

/// Takes the next serial number of a counter's file, which then holds the one after it. A number
/// is taken before the board is flashed, so that none is ever given twice; a failed board may
/// waste one.
///
/// # Errors
/// [`ProvisionError::Io`], [`ProvisionError::Counter`].
pub fn next_serial(path: &Path) -> Result<u64, ProvisionError> {
    let io_error = |error| ProvisionError::Io {
        path: path.to_owned(),
        error,
    };
    // Another bench may count in the same file; the lock is beside it, because the file itself is
    // replaced.
    let lock = File::create(path.with_extension("lock")).map_err(io_error)?;
    lock.lock().map_err(io_error)?;
    let text = fs::read_to_string(path).map_err(io_error)?;
    let serial = text.trim().parse().ok().filter(|serial| *serial != 0);
    let (Some(serial), Some(next)) = (serial, serial.and_then(|s: u64| s.checked_add(1))) else {
        return Err(ProvisionError::Counter {
            path: path.to_owned(),
            text: text.chars().take(40).collect(),
        });
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(io_error)?;
    writeln!(new, "{next}").map_err(io_error)?;
    new.as_file().sync_all().map_err(io_error)?;
    new.persist(path).map_err(|e| io_error(e.error))?;
    File::open(folder)
        .and_then(|dir| dir.sync_all())
        .map_err(io_error)?;
    Ok(serial)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn bin(height: u16, full_at: u16) -> Wishes {
        Wishes {
            unit: 17,
            height: Some(height),
            full_at: Some(full_at),
            ..Wishes::default()
        }
    }

    #[test]
    fn wishes_become_registers() {
        let mut wishes = bin(1_300, 250);
        wishes.baud = Some(115_200);
        let values = wishes.values(NodeKind::Bin).unwrap();
        assert_eq!(values, [(0, 17), (1, 1_152), (16, 1_300), (17, 250)]);
        let setup = wishes.setup(NodeKind::Bin).unwrap();
        assert_eq!((setup.unit(), setup.baud()), (17, 115_200));
        assert_eq!(setup.get(h::BIN_HEIGHT), Some(1_300));
    }

    #[test]
    fn nonsense_is_refused_with_what_would_do() {
        for (height, full_at) in [
            (0, 0),
            (199, 100),
            (8_001, 100),
            (300, 300),
            (1_000, 1_001),
            (u16::MAX, 0),
        ] {
            let told = bin(height, full_at)
                .values(NodeKind::Bin)
                .unwrap_err()
                .to_string();
            assert!(told.contains("200 to 8000"), "{told}");
        }
        assert!(bin(200, 199).values(NodeKind::Bin).is_ok());
        assert!(bin(8_000, 7_900).values(NodeKind::Bin).is_ok());
        for unit in [0, 248, 255] {
            let wishes = Wishes {
                unit,
                ..bin(1_000, 100)
            };
            assert!(wishes.values(NodeKind::Bin).is_err(), "unit {unit}");
        }
        for baud in [0, 9_601, 300, 230_400, 6_553_600 * 2 + 9_600] {
            let wishes = Wishes {
                baud: Some(baud),
                ..bin(1_000, 100)
            };
            assert!(wishes.values(NodeKind::Bin).is_err(), "{baud} baud");
        }
    }

    #[test]
    fn a_kind_has_its_own_options() {
        let none = Wishes {
            unit: 1,
            ..Wishes::default()
        };
        assert!(matches!(
            none.values(NodeKind::Bin),
            Err(ProvisionError::NoHeight)
        ));
        assert!(none.values(NodeKind::Meter).is_ok());
        let meter = Wishes {
            pulses: Some(100),
            ..none.clone()
        };
        assert!(meter.values(NodeKind::Meter).is_ok());
        assert!(matches!(
            meter.values(NodeKind::Bin),
            Err(ProvisionError::NotForKind { .. })
        ));
        assert!(matches!(
            bin(1_000, 100).values(NodeKind::Meter),
            Err(ProvisionError::NotForKind { .. })
        ));
        for pulses in [0, 10_001] {
            let wishes = Wishes {
                pulses: Some(pulses),
                ..none.clone()
            };
            assert!(wishes.values(NodeKind::Meter).is_err(), "{pulses} pulses");
        }
    }

    #[test]
    fn no_number_is_given_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("serials");
        fs::write(&path, "1001\n").unwrap();
        let mut numbers: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| next_serial(&path).unwrap()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        numbers.sort_unstable();
        assert_eq!(numbers, (1_001..1_009).collect::<Vec<_>>());
        assert_eq!(fs::read_to_string(&path).unwrap(), "1009\n");
    }

    #[test]
    fn a_counter_that_is_none_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("serials");
        assert!(matches!(next_serial(&path), Err(ProvisionError::Io { .. })));
        for bad in ["", "0", "-1", "abc", "18446744073709551615", "1 2"] {
            fs::write(&path, bad).unwrap();
            assert!(
                matches!(next_serial(&path), Err(ProvisionError::Counter { .. })),
                "{bad}"
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), bad, "left alone");
        }
    }
}
