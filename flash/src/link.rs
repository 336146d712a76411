//! A chip that can be read, erased and written: through its ROM, or through a debug probe.

use std::sync::atomic::{AtomicBool, Ordering};

use wangge_protocol::node::layout::Part;

use crate::{
    chip::Found,
    plan::{Piece, pages},
    probe::{Probe, ProbeError},
    rom::{BLOCK, DEVICE_ID, FLASH_SIZE, Rom, RomError},
};

/// Pages that are erased with one order; between two orders Ctrl-C is heard.
const ERASED_AT_ONCE: usize = 16;

/// Why a chip could not be talked to.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Its ROM.
    #[error(transparent)]
    Rom(#[from] RomError),
    /// The probe.
    #[error(transparent)]
    Probe(#[from] ProbeError),
}

/// Why a board is not flashed.
#[derive(Debug, thiserror::Error)]
pub enum FlashError {
    /// It went wrong on the way.
    #[error(
        "{doing} stopped at the {what}, 0x{address:08X}, after {done} of {total} bytes: {error}. \
         The board is not damaged; it has no working program now and can simply be flashed again"
    )]
    Stopped {
        /// Erasing, writing or reading back.
        doing: &'static str,
        /// Which piece.
        what: &'static str,
        /// Where.
        address: u32,
        /// Bytes before.
        done: usize,
        /// Bytes in all.
        total: usize,
        /// Why.
        error: LinkError,
    },
    /// What was read back is something else.
    #[error(
        "the {what} was not stored: 0x{address:08X} holds 0x{there:02X} instead of 0x{wanted:02X}. \
         Flash the board again; if it fails at the same place, its flash is worn out or the supply weak"
    )]
    Differs {
        /// Which piece.
        what: &'static str,
        /// Where.
        address: u32,
        /// What is there.
        there: u8,
        /// What was written.
        wanted: u8,
    },
    /// Somebody pressed Ctrl-C.
    #[error(
        "interrupted after {done} of {total} bytes. The board is not damaged; it has no working program \
         now and can simply be flashed again"
    )]
    Interrupted {
        /// Bytes before.
        done: usize,
        /// Bytes in all.
        total: usize,
    },
}

/// What is being done with the flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Pages are erased.
    Erase,
    /// Blocks are written.
    Write,
    /// They are read back.
    Verify,
}

/// A chip.
#[derive(Debug)]
pub enum Link {
    /// Its ROM bootloader.
    Rom(Rom),
    /// A probe on its debug port.
    Probe(Probe),
}

impl Link {
    /// What the chip says about itself.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn found(&mut self) -> Result<Found, LinkError> {
        let rom = match self {
            Link::Rom(rom) => rom,
            Link::Probe(probe) => return Ok(probe.found()?),
        };
        let product = rom.product()?;
        // Other families keep these elsewhere; they are refused by their product id.
        let is_f1 = crate::rom::part(product).is_some_and(|part| part.is_f1);
        let (mut size, mut number) = ([0; 2], [0; 12]);
        if is_f1 {
            size.copy_from_slice(&rom.read(FLASH_SIZE, 2)?);
            number.copy_from_slice(&rom.read(DEVICE_ID, 12)?);
        }
        Ok(Found {
            product,
            flash_kib: u16::from_le_bytes(size),
            number,
        })
    }

    /// Reads flash.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn read(&mut self, address: u32, length: usize) -> Result<Vec<u8>, LinkError> {
        match self {
            Link::Rom(rom) => Ok(rom.read(address, length)?),
            Link::Probe(probe) => Ok(probe.read(address, length)?),
        }
    }

    /// Erases what the pieces take, writes them and reads them back; `progress` is told the
    /// stage, the bytes done and the bytes in all.
    ///
    /// # Errors
    /// See [`FlashError`].
    pub fn put(
        &mut self,
        part: &Part,
        pieces: &[Piece],
        stop: &AtomicBool,
        progress: &mut dyn FnMut(Stage, usize, usize),
    ) -> Result<(), FlashError> {
        match self {
            Link::Rom(rom) => {
                erase(rom, part, pieces, stop, progress)?;
                write(rom, pieces, stop, progress)?;
                verify(rom, pieces, stop, progress)
            }
            // It erases, writes and reads back in one go.
            Link::Probe(probe) => download(probe, pieces, stop, progress),
        }
    }

    /// Starts the program.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn start(self, part: &Part) -> Result<(), LinkError> {
        match self {
            Link::Rom(rom) => Ok(rom.start(part.flash.from).map(drop)?),
            Link::Probe(probe) => Ok(probe.reset()?),
        }
    }
}

fn total(pieces: &[Piece]) -> usize {
    pieces.iter().map(|piece| piece.bytes.len()).sum()
}

fn go_on(stop: &AtomicBool, done: usize, total: usize) -> Result<(), FlashError> {
    match stop.load(Ordering::Relaxed) {
        true => Err(FlashError::Interrupted { done, total }),
        false => Ok(()),
    }
}

fn erase(
    rom: &mut Rom,
    part: &Part,
    pieces: &[Piece],
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Stage, usize, usize),
) -> Result<(), FlashError> {
    let pages = pages(part, pieces);
    let page = part.page as usize;
    let (mut done, total) = (0, pages.len() * page);
    for some in pages.chunks(ERASED_AT_ONCE) {
        go_on(stop, done, total)?;
        rom.erase(some).map_err(|error| FlashError::Stopped {
            doing: "erasing",
            what: "flash",
            address: part.flash.from + u32::from(some[0]) * part.page,
            done,
            total,
            error: error.into(),
        })?;
        done += some.len() * page;
        progress(Stage::Erase, done, total);
    }
    Ok(())
}

/// Goes through the pieces by blocks; `act` is given a block's address and what it should hold,
/// and returns what it holds where that was read.
fn blocks(
    pieces: &[Piece],
    stop: &AtomicBool,
    (stage, doing): (Stage, &'static str),
    progress: &mut dyn FnMut(Stage, usize, usize),
    mut act: impl FnMut(u32, &[u8]) -> Result<Option<Vec<u8>>, RomError>,
) -> Result<(), FlashError> {
    let (mut done, total) = (0, total(pieces));
    for piece in pieces {
        for (number, block) in piece.bytes.chunks(BLOCK).enumerate() {
            go_on(stop, done, total)?;
            let address = piece.address + (number * BLOCK) as u32;
            let there = act(address, block).map_err(|error| FlashError::Stopped {
                doing,
                what: piece.what,
                address,
                done,
                total,
                error: error.into(),
            })?;
            if let Some(there) = there {
                differs(piece.what, address, &there, block)?;
            }
            done += block.len();
            progress(stage, done, total);
        }
    }
    Ok(())
}

fn write(
    rom: &mut Rom,
    pieces: &[Piece],
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Stage, usize, usize),
) -> Result<(), FlashError> {
    let stage = (Stage::Write, "writing");
    blocks(pieces, stop, stage, progress, |address, block| {
        // Erased flash holds this already.
        if block.iter().any(|byte| *byte != 0xFF) {
            rom.write(address, block)?;
        }
        Ok(None)
    })
}

fn verify(
    rom: &mut Rom,
    pieces: &[Piece],
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Stage, usize, usize),
) -> Result<(), FlashError> {
    let stage = (Stage::Verify, "reading back");
    blocks(pieces, stop, stage, progress, |address, block| {
        rom.read(address, block.len()).map(Some)
    })
}

/// Whether flash holds what it should.
///
/// # Errors
/// [`FlashError::Differs`] with the first place that does not.
pub fn differs(
    what: &'static str,
    from: u32,
    there: &[u8],
    wanted: &[u8],
) -> Result<(), FlashError> {
    let mut pairs = (from..).zip(there.iter().zip(wanted));
    match pairs.find(|(_, (there, wanted))| there != wanted) {
        None => Ok(()),
        Some((address, (there, wanted))) => Err(FlashError::Differs {
            what,
            address,
            there: *there,
            wanted: *wanted,
        }),
    }
}

fn download(
    probe: &Probe,
    pieces: &[Piece],
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Stage, usize, usize),
) -> Result<(), FlashError> {
    let (mut done, total) = (0, total(pieces));
    for piece in pieces {
        go_on(stop, done, total)?;
        let written = probe.download(piece.address, &piece.bytes);
        written.map_err(|error| FlashError::Stopped {
            doing: "writing",
            what: piece.what,
            address: piece.address,
            done,
            total,
            error: error.into(),
        })?;
        done += piece.bytes.len();
        progress(Stage::Write, done, total);
    }
    Ok(())
}
