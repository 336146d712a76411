//! Which of a node's two images starts.
//!
//! ```text
//! node:        image into DFU -> mark_updated -> restart
//! bootloader:  prepare: swaps ACTIVE and DFU page by page -> starts the new image, on trial
//! node:        confirm -> it stays          no confirm -> restart
//! bootloader:                                             prepare: swaps back
//! ```
//! The swap and its progress are embassy-boot's. What is added here is care for the page that
//! says how far things are: half-words of an STM32F1 are not written and pages not erased at
//! once, and when the power fails in between, what stands there can be any mixture of the bits
//! before and after (see `careful.rs`). The rest of the flash is safe by the order in which
//! embassy-boot copies: a page is erased only when its content is whole somewhere else.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod careful;

use core::cell::RefCell;

use careful::Careful;
use embassy_boot::{BlockingFirmwareState, BootLoader, BootLoaderConfig, State};
use embassy_embedded_hal::flash::partition::BlockingPartition;
use embassy_sync::blocking_mutex::{Mutex, raw::NoopRawMutex};
use embedded_storage::nor_flash::NorFlash;
use wangge_protocol::node::layout::{Part, Region};

/// Why it cannot be said or changed which image starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    /// The part has room for one image only.
    #[error("this part has no room for two images")]
    OneImage,
    /// The flash failed.
    #[error("the flash cannot be read, erased or written")]
    Flash,
}

/// Largest unit of writing that is supported, bytes.
const MOST_WRITE: usize = 8;
/// Bytes that are copied at once; a page is a multiple of it.
const COPY: usize = 128;

type Shared<'f, F> = Mutex<NoopRawMutex, RefCell<&'f mut F>>;
type Piece<'s, 'f, F> = BlockingPartition<'s, NoopRawMutex, &'f mut F>;

fn piece<'s, 'f, F: NorFlash>(
    flash: &'s Shared<'f, F>,
    part: &Part,
    region: Region,
) -> Piece<'s, 'f, F> {
    let range = region.within(part.flash);
    BlockingPartition::new(flash, range.start, region.size)
}

/// For the bootloader: finishes a swap that is marked or was interrupted, or takes back one that
/// was not confirmed. Afterwards the image in ACTIVE can be started.
///
/// # Errors
/// [`BootError`]; what stands in ACTIVE may then still start, and starting it is the best that
/// can be done.
pub fn prepare<F: NorFlash>(flash: &mut F, part: &Part) -> Result<(), BootError> {
    let swap = part.swap.ok_or(BootError::OneImage)?;
    let flash = Shared::new(RefCell::new(flash));
    let mut loader = BootLoader::new(BootLoaderConfig {
        active: piece(&flash, part, part.active),
        dfu: piece(&flash, part, swap.dfu),
        state: Careful(piece(&flash, part, swap.state)),
    });
    let mut copy = [0; COPY];
    let prepared = loader.prepare_boot(&mut copy);
    prepared.map(drop).map_err(|_| BootError::Flash)
}

fn with_state<F: NorFlash, T>(
    flash: &mut F,
    part: &Part,
    work: impl FnOnce(
        &mut BlockingFirmwareState<'_, Careful<Piece<'_, '_, F>>>,
    ) -> Result<T, embassy_boot::FirmwareUpdaterError>,
) -> Result<T, BootError> {
    let swap = part.swap.ok_or(BootError::OneImage)?;
    let flash = Shared::new(RefCell::new(flash));
    let mut word = [0; MOST_WRITE];
    let word = word.get_mut(..F::WRITE_SIZE).ok_or(BootError::Flash)?;
    let mut state = BlockingFirmwareState::new(Careful(piece(&flash, part, swap.state)), word);
    work(&mut state).map_err(|_| BootError::Flash)
}

/// Whether the image that runs is on trial.
///
/// # Errors
/// [`BootError`].
pub fn on_trial<F: NorFlash>(flash: &mut F, part: &Part) -> Result<bool, BootError> {
    with_state(flash, part, |state| Ok(state.get_state()? == State::Swap))
}

/// The image in DFU is whole and good: it starts at the next restart, on trial. Not while an
/// image is on trial.
///
/// # Errors
/// [`BootError`].
pub fn mark_updated<F: NorFlash>(flash: &mut F, part: &Part) -> Result<(), BootError> {
    with_state(flash, part, |state| state.mark_updated())
}

/// The image that runs stays.
///
/// # Errors
/// [`BootError`].
pub fn confirm<F: NorFlash>(flash: &mut F, part: &Part) -> Result<(), BootError> {
    with_state(flash, part, |state| state.mark_booted())
}

#[cfg(test)]
mod tests;
