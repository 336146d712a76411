//! The page of the boot state, written so that no cut of the power turns one state into another.
//!
//! embassy-boot's states are F0 (swap), D0 (booted), C0 (reverted), E0, and what is erased, which
//! counts as booted. Two of its steps rest on more than flash promises:
//! - D0 and C0 are written over FF bit by bit: F0 is on the way. With the power cut there the
//!   next start would swap what must not be swapped. So they are not written; erased will do.
//! - The page is erased while F0 stands in it: if F0 outlasts the record of progress, an old swap
//!   begins again. So F0 is made 00 first, which flash allows without erasing.

use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

/// Swap, in embassy-boot's terms.
const SWAP: u8 = 0xF0;
/// Largest unit of writing, bytes.
const ZEROS: [u8; super::MOST_WRITE] = [0; super::MOST_WRITE];

/// The state's page.
pub(crate) struct Careful<F>(pub F);

impl<F: ErrorType> ErrorType for Careful<F> {
    type Error = F::Error;
}

impl<F: ReadNorFlash> ReadNorFlash for Careful<F> {
    const READ_SIZE: usize = F::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl<F: NorFlash> NorFlash for Careful<F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        if from == 0 {
            self.0.write(0, &ZEROS[..F::WRITE_SIZE])?;
        }
        self.0.erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        if offset == 0 && bytes.iter().any(|byte| *byte != SWAP) {
            return Ok(());
        }
        self.0.write(offset, bytes)
    }
}
