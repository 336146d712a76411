//! Flash memory for tests on the host, with the habits of an STM32F1's (PM0075) and with power
//! that can be cut in the middle of every single write and erase.
//!
//! What is written are half-words, one after another; a half-word can be written only when it is
//! erased, or with zero. What is erased are pages. Each half-word and each page is one step, and
//! [`Flash::cut_at`] names the step in which the power fails. The step is then left torn: of a
//! half-word any of the bits that were to become 0 may have done so; of a page any of the bits
//! may have become 1, each for itself, as cells do that are not all alike.
//!
//! Bits that read differently from one time to the next, which half-erased cells can, are not
//! played.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read,
    check_write,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Bytes that are erased at once.
pub const PAGE: usize = 1024;
/// Bytes that are written at once.
pub const WRITE: usize = 2;

/// Why the flash did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlashError {
    /// The power is off.
    #[error("the power is off")]
    PowerCut,
    /// The half-word there is not erased (PGERR).
    #[error("the half-word at {0:#x} is not erased")]
    NotErased(u32),
    /// This flash cannot be written at all.
    #[error("this memory cannot be written")]
    ReadOnly,
    /// Out of bounds or not aligned.
    #[error("{0}")]
    Request(NorFlashErrorKind),
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            FlashError::Request(kind) => *kind,
            _ => NorFlashErrorKind::Other,
        }
    }
}

/// The flash, which stays what it is while the power is off.
#[derive(Clone, Debug)]
pub struct Flash {
    bytes: Vec<u8>,
    erased: Vec<u32>,
    steps: u64,
    cut_at: Option<u64>,
    on: bool,
    read_only: bool,
    chance: StdRng,
}

impl Flash {
    /// Erased, of so many bytes (whole pages). `seed` decides how torn steps look.
    pub fn new(size: usize, seed: u64) -> Flash {
        Flash {
            bytes: vec![0xFF; size],
            erased: vec![0; size / PAGE],
            steps: 0,
            cut_at: None,
            on: true,
            read_only: false,
            chance: StdRng::seed_from_u64(seed),
        }
    }

    /// The power fails in step `step`, counted from 0 since the flash is new.
    pub fn cut_at(&mut self, step: u64) {
        self.cut_at = Some(step);
    }

    /// Whether the power is on.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// The power comes back, and is not cut again until [`Flash::cut_at`] says so.
    pub fn power_on(&mut self) {
        self.on = true;
        self.cut_at = None;
    }

    /// From now on nothing can be written or erased, as in an emulator's ROM.
    pub fn make_read_only(&mut self) {
        self.read_only = true;
    }

    /// How many half-words were written and pages erased, begun ones included.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// How often each page was erased.
    pub fn erased(&self) -> &[u32] {
        &self.erased
    }

    /// What it holds.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it holds, to be changed as only a test can.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Counts a step; whether the power fails in it.
    fn step(&mut self) -> bool {
        let fails = self.cut_at == Some(self.steps);
        self.steps += 1;
        self.on &= !fails;
        fails
    }

    /// How likely it is that a bit has got as far as it should have.
    fn progress(&mut self) -> f64 {
        match self.chance.random_range(0..4) {
            0 => 0.0,
            1 => 1.0,
            // Hardly begun, or nearly done: a few bits of a whole page.
            2 => {
                let few = self.chance.random_range(0.0..0.002);
                if self.chance.random() { few } else { 1.0 - few }
            }
            _ => self.chance.random(),
        }
    }

    /// A byte of which each bit is 1 with this chance.
    fn bits(&mut self, chance: f64) -> u8 {
        if chance >= 1.0 {
            return 0xFF;
        }
        (0..8).fold(0, |byte, _| {
            byte << 1 | u8::from(self.chance.random_bool(chance))
        })
    }

    fn powered(&self) -> Result<(), FlashError> {
        if self.on {
            Ok(())
        } else {
            Err(FlashError::PowerCut)
        }
    }
}

impl ErrorType for Flash {
    type Error = FlashError;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.powered()?;
        check_read(self, offset, bytes.len()).map_err(FlashError::Request)?;
        let from = offset as usize;
        bytes.copy_from_slice(&self.bytes[from..from + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        self.powered()?;
        check_erase(self, from, to).map_err(FlashError::Request)?;
        if self.read_only {
            return Err(FlashError::ReadOnly);
        }
        for page in from as usize / PAGE..to as usize / PAGE {
            let fails = self.step();
            let chance = if fails { self.progress() } else { 1.0 };
            for at in page * PAGE..(page + 1) * PAGE {
                self.bytes[at] |= self.bits(chance);
            }
            self.erased[page] += 1;
            self.powered()?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.powered()?;
        check_write(self, offset, bytes.len()).map_err(FlashError::Request)?;
        if self.read_only {
            return Err(FlashError::ReadOnly);
        }
        for (at, new) in (offset..).step_by(WRITE).zip(bytes.chunks_exact(WRITE)) {
            let place = at as usize..at as usize + WRITE;
            if self.bytes[place.clone()] != [0xFF; WRITE] && new != [0; WRITE] {
                return Err(FlashError::NotErased(at));
            }
            let fails = self.step();
            let chance = if fails { self.progress() } else { 1.0 };
            for (at, new) in place.zip(new) {
                let left_alone = !self.bits(chance);
                self.bytes[at] &= new | left_alone;
            }
            self.powered()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_half_word_is_written_once_until_it_is_erased() {
        let mut flash = Flash::new(2 * PAGE, 0);
        flash.write(4, &[1, 2, 3, 4]).unwrap();
        assert_eq!(flash.write(6, &[3, 4]), Err(FlashError::NotErased(6)));
        flash.write(6, &[0, 0]).unwrap();
        assert_eq!(flash.bytes()[4..10], [1, 2, 0, 0, 0xFF, 0xFF]);
        flash.erase(0, PAGE as u32).unwrap();
        assert!(flash.bytes().iter().all(|b| *b == 0xFF));
        assert_eq!(flash.erased(), [1, 0]);
        assert_eq!(flash.steps(), 4);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut flash = Flash::new(2 * PAGE, 0);
        let end = 2 * PAGE as u32;
        let request = |kind| Err(FlashError::Request(kind));
        assert_eq!(flash.write(end - 2, &[0; 2]), Ok(()));
        assert_eq!(
            flash.write(end, &[0; 2]),
            request(NorFlashErrorKind::OutOfBounds)
        );
        assert_eq!(
            flash.write(1, &[0; 2]),
            request(NorFlashErrorKind::NotAligned)
        );
        assert_eq!(
            flash.erase(0, end + PAGE as u32),
            request(NorFlashErrorKind::OutOfBounds)
        );
        assert_eq!(flash.erase(2, end), request(NorFlashErrorKind::NotAligned));
        assert_eq!(flash.steps(), 1, "what is refused is no step");
        flash.make_read_only();
        assert_eq!(flash.write(0, &[0; 2]), Err(FlashError::ReadOnly));
        assert_eq!(flash.erase(0, end), Err(FlashError::ReadOnly));
    }

    #[test]
    fn a_cut_tears_one_step_and_nothing_else() {
        let (mut nothing, mut all, mut partly) = (0, 0, 0);
        for seed in 0..200 {
            let mut flash = Flash::new(PAGE, seed);
            flash.cut_at(1);
            let written = [0x12, 0x34, 0x56, 0x78, 0x9A, 0xBC];
            assert_eq!(flash.write(0, &written), Err(FlashError::PowerCut));
            assert_eq!(flash.read(0, &mut [0; 2]), Err(FlashError::PowerCut));
            flash.power_on();
            let bytes = flash.bytes();
            assert_eq!(bytes[..2], written[..2], "done before");
            assert_eq!(bytes[4..6], [0xFF; 2], "not begun");
            assert_eq!([bytes[2] & 0x56, bytes[3] & 0x78], [0x56, 0x78]);
            match &bytes[2..4] {
                [0xFF, 0xFF] => nothing += 1,
                [0x56, 0x78] => all += 1,
                _ => partly += 1,
            }
        }
        assert!(nothing > 20 && all > 20 && partly > 20);
    }

    #[test]
    fn an_erase_is_torn_bit_by_bit() {
        let mut kinds = [0; 3];
        for seed in 0..200 {
            let mut flash = Flash::new(PAGE, seed);
            flash.bytes_mut().fill(0x50);
            flash.cut_at(0);
            assert_eq!(flash.erase(0, PAGE as u32), Err(FlashError::PowerCut));
            assert!(flash.bytes().iter().all(|b| b & 0x50 == 0x50));
            let changed = flash.bytes().iter().filter(|b| **b != 0x50).count();
            kinds[usize::from(changed > 0) + usize::from(changed == PAGE)] += 1;
        }
        assert!(kinds.iter().all(|count| *count > 20), "{kinds:?}");
    }
}
