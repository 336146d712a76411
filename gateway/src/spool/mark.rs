//! The high-water mark (R13): what the engine had, written where the engine cannot lose it.
//!
//! Two slots, 4 KiB apart so that one torn write leaves the other whole:
//! `"WGM1"`, CRC-32C of the rest, turn u64, last u64, removed u64, little endian. The slot with
//! the higher turn counts. It is written after each group commit and synced at most once a
//! second: a mark that is a second old still proves every older loss, and a second sync per commit
//! would halve the rate on an SD card.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

const MAGIC: [u8; 4] = *b"WGM1";
const SLOT: usize = 32;
const APART: u64 = 4_096;

/// The engine's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Last sequence number given.
    pub last: u64,
    /// Records removed since the first.
    pub removed: u64,
}

impl Counters {
    /// Big endian, like the engine's keys.
    pub fn write_to(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.last.to_be_bytes());
        out.extend_from_slice(&self.removed.to_be_bytes());
    }

    /// Reads what `write_to` wrote, and returns what follows it.
    pub fn read_from(bytes: &[u8]) -> Option<(Counters, &[u8])> {
        let (last, rest) = bytes.split_first_chunk()?;
        let (removed, rest) = rest.split_first_chunk()?;
        let counters = Counters {
            last: u64::from_be_bytes(*last),
            removed: u64::from_be_bytes(*removed),
        };
        Some((counters, rest))
    }
}

/// The open file.
#[derive(Debug)]
pub struct Mark {
    file: File,
    turn: u64,
    unsynced: bool,
}

impl Mark {
    /// Opens or creates the file; `None` when it holds no mark (it is new, or both slots are bad).
    pub fn open(path: &Path) -> io::Result<(Mark, Option<Counters>)> {
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(path)?;
        if file.metadata()?.len() < APART * 2 {
            file.set_len(APART * 2)?;
            file.sync_all()?;
        }
        let newest = newest(&file)?;
        let mark = Mark {
            file,
            turn: newest.map_or(0, |(turn, _)| turn),
            unsynced: false,
        };
        Ok((mark, newest.map(|(_, counters)| counters)))
    }

    /// What the file holds, without touching it.
    pub fn read(path: &Path) -> Option<Counters> {
        let file = File::open(path).ok()?;
        newest(&file).ok()?.map(|(_, counters)| counters)
    }

    /// Writes the counters; call it after the engine's sync, never before.
    pub fn write(&mut self, counters: Counters) -> io::Result<()> {
        self.turn += 1;
        self.file
            .write_all_at(&encode(self.turn, counters), self.turn % 2 * APART)?;
        self.unsynced = true;
        Ok(())
    }

    /// Makes what was written durable, if anything was.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.unsynced {
            self.file.sync_data()?;
            self.unsynced = false;
        }
        Ok(())
    }
}

fn newest(file: &File) -> io::Result<Option<(u64, Counters)>> {
    let mut newest: Option<(u64, Counters)> = None;
    for at in [0, APART] {
        let mut slot = [0; SLOT];
        file.read_exact_at(&mut slot, at)?;
        if let Some(found) = decode(&slot)
            && newest.is_none_or(|(turn, _)| found.0 > turn)
        {
            newest = Some(found);
        }
    }
    Ok(newest)
}

fn encode(turn: u64, counters: Counters) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[8..16].copy_from_slice(&turn.to_le_bytes());
    slot[16..24].copy_from_slice(&counters.last.to_le_bytes());
    slot[24..32].copy_from_slice(&counters.removed.to_le_bytes());
    let sum = crc32c::crc32c(&slot[8..]);
    slot[..4].copy_from_slice(&MAGIC);
    slot[4..8].copy_from_slice(&sum.to_le_bytes());
    slot
}

fn decode(slot: &[u8; SLOT]) -> Option<(u64, Counters)> {
    let (magic, rest) = slot.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    if *magic != MAGIC || u32::from_le_bytes(*sum) != crc32c::crc32c(rest) {
        return None;
    }
    let (turn, rest) = rest.split_first_chunk::<8>()?;
    let (last, rest) = rest.split_first_chunk::<8>()?;
    let (removed, _) = rest.split_first_chunk::<8>()?;
    Some((
        u64::from_le_bytes(*turn),
        Counters {
            last: u64::from_le_bytes(*last),
            removed: u64::from_le_bytes(*removed),
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_slot_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mark");
        let (mut mark, found) = Mark::open(&path).unwrap();
        assert_eq!(found, None);
        for last in 1..=3 {
            mark.write(Counters { last, removed: 1 }).unwrap();
        }
        mark.sync().unwrap();
        let (_, found) = Mark::open(&path).unwrap();
        assert_eq!(
            found,
            Some(Counters {
                last: 3,
                removed: 1
            })
        );
        // Turn 3 is in the second slot; torn, the one before it counts.
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[0xff; 3], APART + 20).unwrap();
        let (_, found) = Mark::open(&path).unwrap();
        assert_eq!(found.unwrap().last, 2);
        file.write_all_at(&[0xff; 3], 20).unwrap();
        let (mut mark, found) = Mark::open(&path).unwrap();
        assert_eq!(found, None);
        mark.write(Counters {
            last: 9,
            removed: 9,
        })
        .unwrap();
        assert_eq!(Mark::open(&path).unwrap().1.unwrap().last, 9);
    }
}
