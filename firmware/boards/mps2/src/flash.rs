//! RAM that plays a flash, with an STM32F1's habits: half-words that are written once, pages of
//! 1 KiB. The emulator keeps it in a file, so it outlasts the emulator, however that ends.
#![allow(unsafe_code)]

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

use crate::PART;

/// The whole flash; addresses count from its start.
pub struct Flash(());

impl Flash {
    pub fn new() -> Flash {
        Flash(())
    }
}

fn half_word(offset: u32) -> *mut u16 {
    (PART.flash.from + offset) as *mut u16
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        for (at, byte) in (offset..).zip(bytes) {
            let from = (PART.flash.from + at) as *const u8;
            // SAFETY: within the flash, by the check above; the emulator has RAM there.
            *byte = unsafe { from.read_volatile() };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        PART.flash.size as usize
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 2;
    const ERASE_SIZE: usize = 1024;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        for at in (from..to).step_by(2) {
            // SAFETY: within the flash and aligned, by the check above.
            unsafe { half_word(at).write_volatile(0xFFFF) }
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        for (at, pair) in (offset..).step_by(2).zip(bytes.chunks_exact(2)) {
            let word = u16::from_le_bytes([pair[0], pair[1]]);
            // SAFETY: within the flash and aligned, by the check above.
            let was = unsafe { half_word(at).read_volatile() };
            if was != 0xFFFF && word != 0 {
                // It is not erased.
                return Err(NorFlashErrorKind::Other);
            }
            // SAFETY: as before.
            unsafe { half_word(at).write_volatile(word) }
        }
        Ok(())
    }
}
