//! The flash chip beside the part, for storage and the identity page.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_read,
};
use wangge_protocol::node::layout::PICO;

/// The whole flash; addresses count from its start.
pub struct Flash(());

impl Flash {
    /// There is one; `main` makes it.
    pub fn new() -> Flash {
        Flash(())
    }
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    #[allow(unsafe_code)]
    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        let mut from = (PICO.flash.from + offset) as *const u8;
        for byte in bytes {
            // SAFETY: within the flash, which is mapped to memory, as was checked above; nothing
            // writes it.
            unsafe {
                *byte = from.read_volatile();
                from = from.add(1);
            }
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        PICO.flash.size as usize
    }
}

// Writing has to run from RAM while the chip is not mapped; that is not written yet. What a node
// without it keeps is lost at its next start, and it says so.
impl NorFlash for Flash {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, _from: u32, _to: u32) -> Result<(), NorFlashErrorKind> {
        Err(NorFlashErrorKind::Other)
    }

    fn write(&mut self, _offset: u32, _bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        Err(NorFlashErrorKind::Other)
    }
}
