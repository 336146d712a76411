//! Taking a new image over the bus.
//!
//! ```text
//! Idle/Failed --BEGIN--> CheckingManifest --signature good--> Receiving --blocks, FINISH-->
//! CheckingImage --hash good, marked--> Ready --RESTART--> (bootloader swaps) --> Trial --CONFIRM--> Idle
//! ```
//! Everything that the manifest says is judged before the first block is taken; the signature
//! covers the image by its hash. Blocks go to flash as they come. What is known of a transfer
//! under way is in RAM: after a restart of the node it starts again, after one of the gateway it
//! goes on where it was, because [`input::UPDATE_NEXT`] and [`input::UPDATE_HASH`] say where
//! that is. What takes time (the signature, the hash) is done in [`Update::work`], when the
//! answer has left.

use embedded_storage::nor_flash::NorFlash;
use wangge_protocol::node::{
    INPUT_MIRROR, Identity, IdentityError, NodeKind, UPDATE_BLOCK_BYTES, UPDATE_BLOCK_WORDS,
    UPDATE_KEYS, UpdateError, UpdateState, holding as h,
    image::{Hasher, MANIFEST, Manifest},
    input,
    layout::{Part, Region},
    long, status, update_command as command, words,
};

use crate::{
    modbus::{Refusal, Registers},
    node::Node,
    port::Served,
    release,
};

/// How long an image on trial waits for its confirmation, ms.
pub const TRIAL_MS: u64 = 180_000;
/// Least RAM of a part that is updated over the bus, bytes. Checking a signature takes 6 KiB of
/// stack, beside some 4 KiB that a node has in use.
const LEAST_RAM: u32 = 12 * 1024;
/// How much of the image is hashed at once, bytes.
const HASHED_AT_ONCE: u32 = 1_024;

/// The confirmation's second register.
const CONFIRM_LOW: u16 = h::UPDATE_CONFIRM + 1;

/// What the updater has to know of the node it is in.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The part it runs on.
    pub part: &'static Part,
    /// What the node is.
    pub kind: NodeKind,
    /// Counter of the image that runs; only newer ones are taken.
    pub counter: u32,
    /// Keys whose signature is trusted, from the identity page; zeros are none.
    pub keys: [[u8; 32]; UPDATE_KEYS],
    /// Images signed for development are welcome: never in a release.
    pub development: bool,
}

impl Terms {
    /// For a node on `part` with this identity page: without one it trusts nobody.
    pub fn of(
        part: &'static Part,
        counter: u32,
        identity: &Result<Identity, IdentityError>,
    ) -> Self {
        let known = identity.as_ref().ok();
        Terms {
            part,
            kind: known.map_or(NodeKind::Bin, |identity| identity.kind),
            counter,
            keys: known.map_or([[0; 32]; UPDATE_KEYS], |identity| {
                identity.update_keys.map(Option::unwrap_or_default)
            }),
            development: release::DEVELOPMENT,
        }
    }
}

/// The receiver.
#[derive(Debug)]
pub struct Update {
    terms: Terms,
    state: UpdateState,
    error: Option<UpdateError>,
    /// The manifest as it is written.
    window: [u8; MANIFEST],
    /// The one that was accepted.
    manifest: Option<Manifest>,
    /// Receiving: offset of the next block. Checking: how much is hashed.
    next: u32,
    hasher: Hasher,
    /// When a trial ends, ms.
    trial_until: u64,
    restart: bool,
    now: u64,
}

impl Update {
    /// Reads from `flash` whether this image is on trial, which then lasts [`TRIAL_MS`] from
    /// `now`, ms.
    pub fn new(terms: Terms, flash: &mut impl NorFlash, now: u64) -> Self {
        let state = match wangge_boot::on_trial(flash, terms.part) {
            _ if terms.part.ram.size < LEAST_RAM => UpdateState::Unsupported,
            Ok(true) => UpdateState::Trial,
            Ok(false) => UpdateState::Idle,
            Err(_) => UpdateState::Unsupported,
        };
        Update {
            terms,
            state,
            error: None,
            window: [0; MANIFEST],
            manifest: None,
            next: 0,
            hasher: Hasher::default(),
            trial_until: now + TRIAL_MS,
            restart: false,
            now,
        }
    }

    /// How it stands.
    pub fn state(&self) -> UpdateState {
        self.state
    }

    /// State and error as the argument of a log entry; it changes when there is news.
    pub fn news(&self) -> u16 {
        (self.state as u16) << 8 | self.error.map_or(0, |error| error as u16)
    }

    /// Does what takes time, a piece of it at each call; call it when nothing is to be answered.
    /// The signature alone takes as long as all that an STM32F1 does in about a second. True
    /// when the node has to restart.
    pub fn work(&mut self, flash: &mut impl NorFlash, now: u64) -> bool {
        self.now = now;
        match self.state {
            UpdateState::CheckingManifest => {
                let good = self.manifest.as_ref().map(|manifest| {
                    let Terms {
                        keys, development, ..
                    } = &self.terms;
                    manifest.check(keys, *development)
                });
                match good {
                    Some(Ok(())) => self.state = UpdateState::Receiving,
                    Some(Err(error)) => self.fail(error),
                    None => self.fail(UpdateError::State),
                }
            }
            UpdateState::CheckingImage => {
                if let Err(error) = self.check_image(flash) {
                    self.fail(error);
                }
            }
            UpdateState::Trial => self.restart |= now >= self.trial_until,
            _ => {}
        }
        self.restart
    }

    fn check_image(&mut self, flash: &mut impl NorFlash) -> Result<(), UpdateError> {
        let dfu = self.dfu()?;
        let manifest = self.manifest.as_ref().ok_or(UpdateError::State)?;
        let until = manifest.length.min(self.next + HASHED_AT_ONCE);
        while self.next < until {
            let mut bytes = [0; UPDATE_BLOCK_BYTES];
            let count = (until - self.next).min(UPDATE_BLOCK_BYTES as u32);
            flash
                .read(dfu.start + self.next, &mut bytes)
                .map_err(|_| UpdateError::Flash)?;
            self.hasher.update(&bytes[..count as usize]);
            self.next += count;
        }
        if self.next < manifest.length {
            return Ok(());
        }
        if core::mem::take(&mut self.hasher).finish() != manifest.hash {
            return Err(UpdateError::Hash);
        }
        wangge_boot::mark_updated(flash, self.terms.part).map_err(|_| UpdateError::Flash)?;
        self.state = UpdateState::Ready;
        Ok(())
    }

    fn fail(&mut self, error: UpdateError) {
        self.state = UpdateState::Failed;
        self.error = Some(error);
        self.manifest = None;
        self.next = 0;
    }

    /// Where a new image goes, counted from the start of the flash.
    fn dfu(&self) -> Result<core::ops::Range<u32>, UpdateError> {
        let Part { swap, flash, .. } = self.terms.part;
        let dfu: Region = swap.ok_or(UpdateError::Unsupported)?.dfu;
        Ok(dfu.within(*flash))
    }

    /// An input register of the update's block.
    pub fn input(&self, address: u16) -> Option<u16> {
        let length = self.manifest.as_ref().map_or(0, |m| m.length);
        let counter = self.manifest.as_ref().map_or(0, |m| m.counter);
        let half =
            |number: u32, first: u16| words(number).get(usize::from(address - first)).copied();
        match address {
            input::UPDATE_STATE => Some(self.state as u16),
            input::UPDATE_ERROR => Some(self.error.map_or(0, |error| error as u16)),
            input::UPDATE_NEXT..input::UPDATE_LENGTH => half(self.next, input::UPDATE_NEXT),
            input::UPDATE_LENGTH..input::UPDATE_COUNTER => half(length, input::UPDATE_LENGTH),
            input::UPDATE_COUNTER..input::UPDATE_HASH => half(counter, input::UPDATE_COUNTER),
            input::UPDATE_HASH..input::UPDATE_TRIAL_LEFT => {
                let at = usize::from(address - input::UPDATE_HASH) * 2;
                let pair = self
                    .manifest
                    .as_ref()
                    .map_or([0; 2], |m| [m.hash[at], m.hash[at + 1]]);
                Some(u16::from_be_bytes(pair))
            }
            input::UPDATE_TRIAL_LEFT => Some(match self.state {
                // Three minutes at most.
                UpdateState::Trial => (self.trial_until.saturating_sub(self.now) / 1_000) as u16,
                _ => 0,
            }),
            _ => None,
        }
    }

    /// A holding register of the update's block.
    pub fn holding(&self, address: u16) -> Option<u16> {
        match address {
            h::UPDATE_MANIFEST..h::UPDATE_COMMAND => {
                let at = usize::from(address - h::UPDATE_MANIFEST) * 2;
                Some(u16::from_be_bytes([self.window[at], self.window[at + 1]]))
            }
            // What can only be written reads as nothing.
            h::UPDATE_COMMAND..=CONFIRM_LOW | h::UPDATE_BLOCK..h::UPDATE_END => Some(0),
            _ => None,
        }
    }

    /// Writes to the update's block; what is refused shows in [`input::UPDATE_ERROR`].
    ///
    /// # Errors
    /// [`Refusal::Address`] for a write that begins or ends where none may,
    /// [`Refusal::Failure`] where flash failed, [`Refusal::Value`] for all else.
    pub fn write(
        &mut self,
        flash: &mut impl NorFlash,
        first: u16,
        values: &[u16],
    ) -> Result<(), Refusal> {
        let done = match (first, values) {
            (h::UPDATE_MANIFEST..h::UPDATE_COMMAND, _) => {
                return self.write_manifest(first, values);
            }
            (h::UPDATE_COMMAND, [code]) => self.command(*code),
            (h::UPDATE_CONFIRM, [high, low]) => self.confirm(flash, long([*high, *low])),
            (h::UPDATE_BLOCK, [high, low, block @ ..]) if block.len() == UPDATE_BLOCK_WORDS => {
                self.block(flash, long([*high, *low]), block)
            }
            _ => return Err(Refusal::Address),
        };
        done.map_err(|error| {
            self.error = Some(error);
            match error {
                UpdateError::Flash => Refusal::Failure,
                _ => Refusal::Value,
            }
        })
    }

    fn write_manifest(&mut self, first: u16, values: &[u16]) -> Result<(), Refusal> {
        let at = usize::from(first - h::UPDATE_MANIFEST) * 2;
        let place = self.window.get_mut(at..at + values.len() * 2);
        let place = place.ok_or(Refusal::Address)?;
        for (pair, value) in place.chunks_exact_mut(2).zip(values) {
            pair.copy_from_slice(&value.to_be_bytes());
        }
        Ok(())
    }

    fn command(&mut self, code: u16) -> Result<(), UpdateError> {
        match (code, self.state) {
            (_, UpdateState::Unsupported) => Err(UpdateError::Unsupported),
            // The old image waits in the place of a new one; and what is marked is marked.
            (command::BEGIN | command::ABORT, UpdateState::Trial | UpdateState::Ready) => {
                Err(UpdateError::State)
            }
            (command::BEGIN, _) => self.begin().inspect_err(|error| self.fail(*error)),
            (command::ABORT, _) => {
                self.manifest = None;
                self.next = 0;
                self.state = UpdateState::Idle;
                Ok(())
            }
            (command::FINISH, UpdateState::Receiving) => {
                let manifest = self.manifest.as_ref().ok_or(UpdateError::State)?;
                if self.next < manifest.length {
                    return Err(UpdateError::Length);
                }
                self.next = 0;
                self.hasher = Hasher::default();
                self.state = UpdateState::CheckingImage;
                Ok(())
            }
            // Its answer may have been lost.
            (command::FINISH, UpdateState::CheckingImage | UpdateState::Ready) => Ok(()),
            (command::RESTART, UpdateState::Ready) => {
                self.restart = true;
                Ok(())
            }
            _ => Err(UpdateError::State),
        }
    }

    fn begin(&mut self) -> Result<(), UpdateError> {
        self.error = None;
        let manifest = Manifest::from_bytes(&self.window)?;
        let Terms {
            part,
            kind,
            counter,
            development,
            ..
        } = self.terms;
        if !manifest.serves(kind) {
            return Err(UpdateError::Product);
        }
        if manifest.hardware != part.hardware {
            return Err(UpdateError::Hardware);
        }
        if manifest.address != part.active.from {
            return Err(UpdateError::Address);
        }
        if manifest.length > part.active.size {
            return Err(UpdateError::Length);
        }
        if manifest.counter <= counter {
            return Err(UpdateError::Older);
        }
        if manifest.development && !development {
            return Err(UpdateError::Development);
        }
        self.manifest = Some(manifest);
        self.next = 0;
        self.state = UpdateState::CheckingManifest;
        Ok(())
    }

    fn block(
        &mut self,
        flash: &mut impl NorFlash,
        offset: u32,
        block: &[u16],
    ) -> Result<(), UpdateError> {
        if self.state == UpdateState::Unsupported {
            return Err(UpdateError::Unsupported);
        }
        if self.state != UpdateState::Receiving {
            return Err(UpdateError::State);
        }
        let dfu = self.dfu()?;
        let length = self.manifest.as_ref().map_or(0, |m| m.length);
        let whole = offset.is_multiple_of(UPDATE_BLOCK_BYTES as u32) && offset < length;
        if !whole || offset > self.next {
            return Err(UpdateError::Order);
        }
        let mut bytes = [0; UPDATE_BLOCK_BYTES];
        for (pair, word) in bytes.chunks_exact_mut(2).zip(block) {
            pair.copy_from_slice(&word.to_be_bytes());
        }
        let is_next = offset == self.next;
        let at = dfu.start + offset;
        if is_next && let Err(error) = put(flash, self.terms.part.page, at, &bytes) {
            // What is half written cannot be written again.
            self.fail(error);
            return Err(error);
        }
        let mut there = [0; UPDATE_BLOCK_BYTES];
        flash.read(at, &mut there).map_err(|_| UpdateError::Flash)?;
        match (is_next, there == bytes) {
            (true, true) => self.next += UPDATE_BLOCK_BYTES as u32,
            (true, false) => {
                self.fail(UpdateError::Flash);
                return Err(UpdateError::Flash);
            }
            // Its answer was lost, so it came again.
            (false, true) => {}
            (false, false) => return Err(UpdateError::Order),
        }
        Ok(())
    }

    fn confirm(&mut self, flash: &mut impl NorFlash, counter: u32) -> Result<(), UpdateError> {
        if counter != self.terms.counter {
            return Err(UpdateError::NotOnTrial);
        }
        match self.state {
            UpdateState::Unsupported => Err(UpdateError::Unsupported),
            UpdateState::Trial => {
                wangge_boot::confirm(flash, self.terms.part).map_err(|_| UpdateError::Flash)?;
                self.state = UpdateState::Idle;
                Ok(())
            }
            // It is confirmed; the answer may have been lost.
            _ => Ok(()),
        }
    }
}

/// Writes a block; the first of a page erases the page.
fn put(flash: &mut impl NorFlash, page: u32, at: u32, bytes: &[u8]) -> Result<(), UpdateError> {
    let erased = if at.is_multiple_of(page) {
        flash.erase(at, at + page)
    } else {
        Ok(())
    };
    erased
        .and_then(|()| flash.write(at, bytes))
        .map_err(|_| UpdateError::Flash)
}

/// A node with its updater and its flash, as the Modbus server sees it.
#[derive(Debug)]
pub struct Updatable<'a, F> {
    /// What measures, and how it is set up.
    pub node: &'a mut Node,
    /// The receiver of images.
    pub update: &'a mut Update,
    /// Where they go.
    pub flash: &'a mut F,
}

impl<F: NorFlash> Registers for Updatable<'_, F> {
    fn input(&self, address: u16) -> Option<u16> {
        match address {
            input::UPDATE_STATE..input::UPDATE_END => self.update.input(address),
            input::STATUS => {
                let trial = match self.update.state {
                    UpdateState::Trial => status::TRIAL,
                    _ => 0,
                };
                self.node.input(address).map(|status| status | trial)
            }
            _ => self.node.input(address),
        }
    }

    fn holding(&self, address: u16) -> Option<u16> {
        match address {
            h::UPDATE_MANIFEST..h::UPDATE_END => self.update.holding(address),
            INPUT_MIRROR.. => self.input(address - INPUT_MIRROR),
            _ => self.node.holding(address),
        }
    }

    fn write(&mut self, first: u16, values: &[u16]) -> Result<(), Refusal> {
        match first {
            h::UPDATE_MANIFEST..h::UPDATE_END => self.update.write(self.flash, first, values),
            _ => self.node.write(first, values),
        }
    }
}

impl<F: NorFlash> Served for Updatable<'_, F> {
    fn node(&mut self) -> &mut Node {
        self.node
    }
}

#[cfg(test)]
mod tests;
