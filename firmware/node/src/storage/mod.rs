//! What survives a loss of power: set-up, totals, starts.
//!
//! All of it is one [`Snapshot`] of [`SLOT`] bytes with a number and a checksum. Snapshots are
//! written one behind the other through all pages, round and round; the one with the highest
//! number counts. A page is erased when its turn comes and never while it holds the newest
//! snapshot, so that whatever a power cut leaves torn, the newest whole snapshot is the one
//! before it or the one that was being written.
//!
//! `sequential-storage` 8.0.2 was tried first. It takes a page whose erasing was interrupted for
//! a blank or a good one when its two marks survive or vanish together: of 60,000 power cuts in
//! the flash of `firmware/flash-sim`, 3 lost a value and 9 left a map that could not be written
//! any more.
//!
//! Wear: a page takes 10,000 erasures (data sheet of STM32F103x8, table 30), and 8 pages hold
//! 128 snapshots, so 1,280,000 can be written. A meter whose water never stops writes one in ten
//! minutes ([`crate::node::SAVE_TOTALS_AFTER`]), 52,560 a year: 24 years. A bin writes one in 64
//! records, at one record a minute 8,200 a year.

mod snapshot;

pub use snapshot::{SLOT, Snapshot};

use core::ops::Range;

use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use wangge_protocol::node::{IDENTITY_BYTES, Identity, IdentityError, layout::Part};

/// What was found in storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It was never written.
    Nothing,
    /// It was written, and nothing of it is whole.
    Lost,
    /// This.
    Snapshot(Snapshot),
}

/// What the flash would not do. The number is the argument of [`wangge_protocol::node::log`]'s
/// `STORAGE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[repr(u16)]
pub enum StorageError {
    /// Read.
    #[error("the storage cannot be read")]
    Read = 1,
    /// Keep what was written.
    #[error("the storage does not keep what is written")]
    Write = 2,
    /// Erase a page.
    #[error("the storage cannot be erased")]
    Erase = 3,
}

/// Reads a part's identity page; one that cannot be read is as good as a foreign one.
///
/// # Errors
/// What is wrong with the page.
pub fn identity(flash: &mut impl ReadNorFlash, part: &Part) -> Result<Identity, IdentityError> {
    let mut page = [0; IDENTITY_BYTES];
    flash
        .read(part.identity.within(part.flash).start, &mut page)
        .map_err(|_| IdentityError::Magic)?;
    Identity::from_bytes(&page)
}

/// Where in the flash snapshots go.
#[derive(Debug)]
pub struct Storage {
    /// Counted from the start of the flash; whole pages, two at least.
    region: Range<u32>,
    /// Where the newest whole snapshot lies.
    newest: Option<u32>,
    /// Its number; 0 before the first.
    number: u32,
    /// Where the next may go.
    next: u32,
}

impl Storage {
    /// Looks for the newest snapshot in `region` of `flash`.
    pub fn mount<F: NorFlash>(
        flash: &mut F,
        region: Range<u32>,
    ) -> (Storage, Result<Found, StorageError>) {
        let mut storage = Storage {
            next: region.start,
            region,
            newest: None,
            number: 0,
        };
        let found = storage.look(flash);
        (storage, found)
    }

    fn look<F: NorFlash>(&mut self, flash: &mut F) -> Result<Found, StorageError> {
        let mut best = None;
        let (mut written, mut last_written) = (0, self.region.start);
        for at in self.region.clone().step_by(SLOT) {
            let slot = read(flash, at)?;
            if is_blank(&slot) {
                continue;
            }
            written += 1;
            last_written = at;
            if let Some((number, snapshot)) = Snapshot::from_slot(&slot)
                && number > self.number
            {
                (self.number, self.newest, best) = (number, Some(at), Some(snapshot));
            }
        }
        if let Some(newest) = self.newest {
            self.next = self.after(newest);
        }
        Ok(match best {
            Some(snapshot) => Found::Snapshot(snapshot),
            // The very first snapshot was torn: there was nothing before it.
            None if written == 0 || written == 1 && last_written == self.region.start => {
                Found::Nothing
            }
            None => Found::Lost,
        })
    }

    /// Writes a snapshot, and reads it back. After an error the one before still stands.
    ///
    /// # Errors
    /// No page takes it.
    pub fn save<F: NorFlash>(
        &mut self,
        flash: &mut F,
        snapshot: &Snapshot,
    ) -> Result<(), StorageError> {
        const { assert!(SLOT.is_multiple_of(F::WRITE_SIZE) && F::ERASE_SIZE.is_multiple_of(SLOT)) };
        let page = F::ERASE_SIZE as u32;
        let number = self.number.saturating_add(1);
        let slot = snapshot.to_slot(number);
        let mut error = StorageError::Write;
        for _ in self.region.clone().step_by(SLOT) {
            let at = self.next;
            if at.is_multiple_of(page) {
                if self.newest.is_some_and(|newest| newest / page == at / page) {
                    // All the others were tried.
                    return Err(error);
                }
                if flash.erase(at, at + page).is_err() {
                    error = StorageError::Erase;
                }
            }
            self.next = self.after(at);
            if !is_blank(&read(flash, at)?) {
                continue;
            }
            if flash.write(at, &slot).is_ok() && read(flash, at)? == slot {
                (self.number, self.newest) = (number, Some(at));
                return Ok(());
            }
        }
        Err(error)
    }

    /// The slot behind this one.
    fn after(&self, at: u32) -> u32 {
        let next = at + SLOT as u32;
        if next < self.region.end {
            next
        } else {
            self.region.start
        }
    }
}

fn read<F: NorFlash>(flash: &mut F, at: u32) -> Result<[u8; SLOT], StorageError> {
    let mut slot = [0; SLOT];
    flash.read(at, &mut slot).map_err(|_| StorageError::Read)?;
    Ok(slot)
}

fn is_blank(slot: &[u8]) -> bool {
    slot.iter().all(|byte| *byte == 0xFF)
}

#[cfg(test)]
mod tests;
