//! The part's own flash, for storage and the identity page.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use stm32f1xx_hal::flash::{self, FlashSize, FlashWriter, Parts, SectorSize};

use crate::PART;

/// The whole flash; addresses count from its start.
///
/// Whatever is written or erased is read back, so flash that is worn, protected or an
/// emulator's is told from flash that took it. While a page is erased, 40 ms at most, the core
/// stands still, interrupts too: it runs from the same flash.
pub struct Flash(Parts);

impl Flash {
    pub fn new(parts: Parts) -> Flash {
        Flash(parts)
    }

    fn writer(&mut self) -> FlashWriter<'_> {
        // Both parts have pages of 1 KiB.
        let size = if PART.flash.size > 64 * 1024 {
            FlashSize::Sz128K
        } else {
            FlashSize::Sz64K
        };
        self.0.writer(SectorSize::Sz1K, size)
    }
}

/// It was not erased, is protected, or is something else afterwards than was written.
fn failed(_: flash::Error) -> NorFlashErrorKind {
    NorFlashErrorKind::Other
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        let odd = (offset % 2) as usize;
        // It reads from even addresses only.
        let length = bytes.len() + odd;
        let writer = self.writer();
        let read = writer.read(offset - odd as u32, length).map_err(failed)?;
        bytes.copy_from_slice(&read[odd..]);
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
        self.writer()
            .erase(from, (to - from) as usize)
            .map_err(failed)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        self.writer().write(offset, bytes).map_err(failed)
    }
}
