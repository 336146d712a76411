//! The batch log: one row of CSV for every board that was tried, appended and synced, never
//! rewritten.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// One row. Figures are text where a spreadsheet would otherwise change them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// When it ended, RFC 3339.
    pub time: String,
    /// Serial number of the node.
    pub serial: u64,
    /// Number of the chip, hex; empty where it cannot be read.
    pub chip: String,
    /// Part, as in the data sheet.
    pub part: String,
    /// `bin` or `meter`.
    pub kind: String,
    /// Unit id on the bus.
    pub unit: u8,
    /// Line of the bus, e.g. `9600 8N1`.
    pub line: String,
    /// SHA-256 of the image.
    pub image: String,
    /// Version of the image.
    pub version: String,
    /// Counter of the image.
    pub counter: u32,
    /// `pass`, `fail`, `flashed` (not tested), `interrupted`.
    pub result: String,
    /// What failed.
    pub why: String,
    /// How long it took, s.
    pub seconds: String,
    /// Who did it.
    pub technician: String,
    /// `yes` if there was no board.
    pub simulated: String,
}

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be opened, read or written.
    #[error("{path}: {error}")]
    Io {
        /// The log.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is something else.
    #[error("{path}: this is no batch log of this tool: {why}")]
    Foreign {
        /// The log.
        path: PathBuf,
        /// How that shows.
        why: String,
    },
    /// The serial number belongs to somebody else.
    #[error(
        "serial number {serial} is in the log already, for chip {other}, since {time}: \
         two nodes with one number cannot be told apart. Give another --serial"
    )]
    Taken {
        /// The number.
        serial: u64,
        /// Whose it is.
        other: String,
        /// Since when.
        time: String,
    },
    /// The chip has another serial number.
    #[error(
        "this chip is in the log as serial number {known}; leave --serial out to keep it, or give \
         --renumber if its old label was removed"
    )]
    Known {
        /// Its number.
        known: u64,
    },
    /// Nobody has this serial number.
    #[error("{path}: no node with serial number {serial}")]
    Unknown {
        /// The log.
        path: PathBuf,
        /// The number.
        serial: u64,
    },
    /// What was done last with this node failed.
    #[error("serial number {serial} did not pass when it was flashed last, {time}: {why}")]
    Failed {
        /// The number.
        serial: u64,
        /// When.
        time: String,
        /// What failed.
        why: String,
    },
    /// The node had a newer image.
    #[error(
        "this image is older (counter {new}) than the one that the board got before (counter {old}); \
         --allow-older flashes it all the same"
    )]
    Older {
        /// The image's counter.
        new: u32,
        /// The counter in the log.
        old: u32,
    },
}

/// The log on disk.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    rows: Vec<Row>,
}

impl Journal {
    /// Reads a log; one that does not exist yet is empty.
    ///
    /// # Errors
    /// [`JournalError::Io`], [`JournalError::Foreign`].
    pub fn open(path: &Path) -> Result<Journal, JournalError> {
        let mut rows = Vec::new();
        match fs::read(path) {
            Ok(bytes) => {
                let mut reader = csv::ReaderBuilder::new()
                    .flexible(true)
                    .from_reader(&*bytes);
                let foreign = |why: String| JournalError::Foreign {
                    path: path.to_owned(),
                    why,
                };
                let header = reader.headers().map_err(|e| foreign(e.to_string()))?;
                if !bytes.is_empty() && header != &header_record() {
                    return Err(foreign("its first line is another one".to_owned()));
                }
                // A row that a power cut left half is no reason to refuse the others.
                rows.extend(reader.deserialize().filter_map(Result::ok));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error(path)(error)),
        }
        Ok(Journal {
            path: path.to_owned(),
            rows,
        })
    }

    /// Makes sure that rows can be appended, before a board is touched.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn is_writable(&self) -> Result<(), JournalError> {
        let opened = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path);
        opened.map(drop).map_err(io_error(&self.path))
    }

    /// The row of a node whose label is to be printed once more: the last of its serial number,
    /// of a real board if there is one.
    ///
    /// # Errors
    /// [`JournalError::Unknown`], [`JournalError::Failed`].
    pub fn labelled(&self, serial: u64) -> Result<&Row, JournalError> {
        let last = |simulated| {
            let mut rows = self.comparable(simulated).rev();
            rows.find(|row| row.serial == serial)
        };
        let row = last(false).or_else(|| last(true));
        let row = row.ok_or_else(|| JournalError::Unknown {
            path: self.path.clone(),
            serial,
        })?;
        match row.result.as_str() {
            "pass" | "flashed" => Ok(row),
            _ => Err(JournalError::Failed {
                serial,
                time: row.time.clone(),
                why: row.why.clone(),
            }),
        }
    }

    /// Reads it again, for what others have appended.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn reread(&mut self) -> Result<(), JournalError> {
        *self = Journal::open(&self.path)?;
        Ok(())
    }

    /// The last serial number that this chip was given.
    pub fn serial_of(&self, chip: &str, simulated: bool) -> Option<u64> {
        self.of_chip(chip, simulated).map(|row| row.serial)
    }

    fn of_chip(&self, chip: &str, simulated: bool) -> Option<&Row> {
        let mut rows = self.comparable(simulated).rev();
        rows.find(|row| !chip.is_empty() && row.chip == chip)
    }

    /// Whether this chip may get this number and image.
    ///
    /// # Errors
    /// [`JournalError::Taken`], [`JournalError::Known`], [`JournalError::Older`].
    pub fn admit(&self, new: &Row, renumber: bool, allow_older: bool) -> Result<(), JournalError> {
        let simulated = new.simulated == yes_or_no(true);
        let taken = self
            .comparable(simulated)
            .find(|row| row.serial == new.serial && row.chip != new.chip);
        if let Some(row) = taken {
            return Err(JournalError::Taken {
                serial: new.serial,
                other: row.chip.clone(),
                time: row.time.clone(),
            });
        }
        let Some(before) = self.of_chip(&new.chip, simulated) else {
            return Ok(());
        };
        if before.serial != new.serial && !renumber {
            return Err(JournalError::Known {
                known: before.serial,
            });
        }
        if before.counter > new.counter && !allow_older {
            return Err(JournalError::Older {
                new: new.counter,
                old: before.counter,
            });
        }
        Ok(())
    }

    /// Appends a row; when this returns it is on disk.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn append(&mut self, row: Row) -> Result<(), JournalError> {
        self.write(&row).map_err(io_error(&self.path))?;
        self.rows.push(row);
        Ok(())
    }

    fn write(&self, row: &Row) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(&self.path)?;
        // Another bench may use the same log.
        file.lock()?;
        let length = file.metadata()?.len();
        let mut text = Vec::new();
        if length > 0 && last_byte(&mut file)? != b'\n' {
            text.push(b'\n');
        }
        let mut writer = csv::WriterBuilder::new()
            .has_headers(false)
            .from_writer(text);
        if length == 0 {
            writer.write_record(&header_record())?;
        }
        writer.serialize(harmless(row)).map_err(io::Error::other)?;
        let text = writer
            .into_inner()
            .map_err(|e| io::Error::other(e.to_string()))?;
        file.write_all(&text)?;
        file.sync_all()
    }

    fn comparable(&self, simulated: bool) -> impl DoubleEndedIterator<Item = &Row> {
        let simulated = yes_or_no(simulated);
        self.rows
            .iter()
            .filter(move |row| row.simulated == simulated)
    }
}

/// How it stands in the log.
pub fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// The row without anything that a spreadsheet would take for a formula.
fn harmless(row: &Row) -> Row {
    let quoted = |text: &String| match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.clone(),
    };
    Row {
        technician: quoted(&row.technician),
        why: quoted(&row.why),
        ..row.clone()
    }
}

fn header_record() -> csv::StringRecord {
    csv::StringRecord::from(vec![
        "time",
        "serial",
        "chip",
        "part",
        "kind",
        "unit",
        "line",
        "image",
        "version",
        "counter",
        "result",
        "why",
        "seconds",
        "technician",
        "simulated",
    ])
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> JournalError {
    let path = path.to_owned();
    move |error| JournalError::Io {
        path: path.clone(),
        error,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn row(serial: u64, chip: &str, counter: u32) -> Row {
        Row {
            time: "2026-01-01T00:00:00Z".to_owned(),
            serial,
            chip: chip.to_owned(),
            counter,
            result: "pass".to_owned(),
            simulated: yes_or_no(false).to_owned(),
            ..Row::default()
        }
    }

    #[test]
    fn rows_come_back_and_the_header_is_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.csv");
        let mut first = row(1, "aa", 3);
        first.technician = "Li, \"Xiao\"\nMing".to_owned();
        Journal::open(&path).unwrap().append(first.clone()).unwrap();
        Journal::open(&path)
            .unwrap()
            .append(row(2, "bb", 3))
            .unwrap();
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.rows, [first, row(2, "bb", 3)]);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches("serial,chip").count(), 1);
        assert!(text.contains("\"Li, \"\"Xiao\"\"\nMing\""), "{text}");
    }

    #[test]
    fn nothing_in_it_is_a_formula() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.csv");
        let mut journal = Journal::open(&path).unwrap();
        for name in ["=cmd()", "+1", "-1", "@a", "\ta"] {
            let mut bad = row(1, "aa", 1);
            bad.technician = name.to_owned();
            bad.why = name.to_owned();
            journal.append(bad).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        for record in csv::Reader::from_reader(text.as_bytes()).records() {
            let record = record.unwrap();
            assert!(record[11].starts_with('\'') && record[13].starts_with('\''));
        }
    }

    #[test]
    fn a_row_that_was_cut_short_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.csv");
        let mut journal = Journal::open(&path).unwrap();
        journal.append(row(1, "aa", 1)).unwrap();
        journal.append(row(2, "bb", 1)).unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        Journal::open(&path)
            .unwrap()
            .append(row(3, "cc", 1))
            .unwrap();
        let serials: Vec<u64> = Journal::open(&path)
            .unwrap()
            .rows
            .iter()
            .map(|r| r.serial)
            .collect();
        assert_eq!(serials, [1, 3]);
    }

    #[test]
    fn what_another_bench_wrote_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.csv");
        let mut ours = Journal::open(&path).unwrap();
        let mut theirs = Journal::open(&path).unwrap();
        theirs.append(row(1, "aa", 1)).unwrap();
        assert!(ours.admit(&row(1, "bb", 1), false, false).is_ok());
        ours.reread().unwrap();
        assert!(ours.admit(&row(1, "bb", 1), false, false).is_err());
    }

    #[test]
    fn a_label_is_that_of_the_last_row_if_it_passed() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&dir.path().join("log.csv")).unwrap();
        let mut again = row(1, "aa", 2);
        again.unit = 9;
        let mut failed = row(2, "bb", 1);
        failed.result = "fail".to_owned();
        let mut simulated = row(1, "sim", 1);
        simulated.simulated = yes_or_no(true).to_owned();
        let mut practice = simulated.clone();
        practice.serial = 3;
        for row in [
            row(1, "aa", 1),
            again,
            row(2, "bb", 1),
            failed,
            simulated,
            practice,
        ] {
            journal.append(row).unwrap();
        }
        assert_eq!(journal.labelled(1).unwrap().unit, 9);
        assert_eq!(journal.labelled(3).unwrap().chip, "sim");
        assert!(matches!(
            journal.labelled(2),
            Err(JournalError::Failed { .. })
        ));
        assert!(matches!(
            journal.labelled(4),
            Err(JournalError::Unknown { .. })
        ));
    }

    #[test]
    fn a_log_that_cannot_be_written_is_told_before() {
        let dir = tempfile::tempdir().unwrap();
        let good = dir.path().join("log.csv");
        assert!(Journal::open(&good).unwrap().is_writable().is_ok());
        // An empty log is one, and gets its header with the first row.
        Journal::open(&good)
            .unwrap()
            .append(row(1, "aa", 1))
            .unwrap();
        assert_eq!(Journal::open(&good).unwrap().rows.len(), 1);
        let bad = dir.path().join("missing/log.csv");
        assert!(Journal::open(&bad).unwrap().is_writable().is_err());
    }

    #[test]
    fn another_file_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("prices.csv");
        fs::write(&path, "apples,pears\n1,2\n").unwrap();
        assert!(matches!(
            Journal::open(&path),
            Err(JournalError::Foreign { .. })
        ));
    }

    #[test]
    fn a_number_belongs_to_one_chip() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&dir.path().join("log.csv")).unwrap();
        journal.append(row(1, "aa", 5)).unwrap();
        let ask = |new: &Row, renumber, older| journal.admit(new, renumber, older);
        assert!(matches!(
            ask(&row(1, "bb", 5), false, false),
            Err(JournalError::Taken { .. })
        ));
        assert!(matches!(
            ask(&row(2, "aa", 5), false, false),
            Err(JournalError::Known { known: 1 })
        ));
        assert!(ask(&row(2, "aa", 5), true, false).is_ok());
        assert!(ask(&row(1, "aa", 5), false, false).is_ok(), "flashed again");
        assert!(matches!(
            ask(&row(1, "aa", 4), false, false),
            Err(JournalError::Older { new: 4, old: 5 })
        ));
        assert!(ask(&row(1, "aa", 4), false, true).is_ok());
        assert_eq!(journal.serial_of("aa", false), Some(1));
        assert_eq!(journal.serial_of("", false), None);
        // A simulated board takes no real number.
        let mut simulated = row(1, "bb", 5);
        simulated.simulated = yes_or_no(true).to_owned();
        assert!(ask(&simulated, false, false).is_ok());
    }
}
