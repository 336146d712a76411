//! How a sensor node is updated over its bus, as a question at a time.
//!
//! [`Session`] is pure: it says what to ask ([`Step::Ask`]) or how long to wait, takes the answer
//! and the time, and says what comes next. Whoever drives it brings the bus: the running gateway,
//! or a serial port of its own. A new session finds by itself where an earlier one was broken
//! off, because the node says what it has.
#![forbid(unsafe_code)]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wangge_protocol::node::{
    MAP_VERSION, NodeKind, UPDATE_BLOCK_BYTES, UpdateError, UpdateState, holding,
    image::{self, MANIFEST, Manifest},
    input, long, update_command, words,
};

/// Questions in a row without an answer before the node is given up.
const MOST_SILENT: u32 = 15;
/// Steps in a row that brought nothing on, before it is given up.
const MOST_STUCK: u32 = 20;
/// Between two looks at a node that is busy.
const LOOK_AGAIN: Duration = Duration::from_millis(300);
/// A restart, the swap of two images on an STM32F1 (7 s), and as much again.
const RESTART_WITHIN: Duration = Duration::from_secs(60);

/// What to ask the node: its input registers, or a write of holding registers (function 16).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// Read input registers.
    Read { address: u16, count: u16 },
    /// Write holding registers.
    Write { address: u16, values: Vec<u16> },
}

impl Ask {
    /// Whether it stays within what an update needs: who the node is, and the update's registers.
    pub fn is_of_an_update(&self) -> bool {
        let within = |from: u16, count: usize, first: u16, end: u16| {
            count > 0 && from >= first && usize::from(from) + count <= usize::from(end)
        };
        match self {
            Ask::Read { address, count } => {
                let count = usize::from(*count);
                within(*address, count, 0, input::COMMON_END)
                    || within(*address, count, input::UPDATE_STATE, input::UPDATE_END)
            }
            Ask::Write { address, values } => within(
                *address,
                values.len(),
                holding::UPDATE_MANIFEST,
                holding::UPDATE_END,
            ),
        }
    }
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    /// The registers that were asked for.
    Words(Vec<u16>),
    /// They were written.
    Written,
    /// The node refuses, with this exception code.
    Exception(u8),
    /// Nothing came that could be believed.
    Silent,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask this, and give the answer to [`Session::heard`].
    Ask(Ask),
    /// Come back after this time.
    Wait(Duration),
    /// The new image runs and stays.
    Done,
}

/// Why an update ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// What answers is not a node that this version knows.
    #[error(
        "unit answers with register map {0}, not {MAP_VERSION}: it is no node that this version knows"
    )]
    Map(u16),
    /// The image, or the node's state, does not allow it.
    #[error("{0}")]
    Refused(#[from] UpdateError),
    /// The node says no without saying why.
    #[error("the node refuses with exception {0}")]
    Exception(u8),
    /// It does not answer.
    #[error(
        "the node does not answer; start the update again when it does: it goes on where it was"
    )]
    Silent,
    /// It does not answer since it restarted for the new image.
    #[error(
        "the node does not answer since its restart; if the new image does not work, the old one \
         comes back by itself within five minutes: look at the node then, before another try"
    )]
    Lost,
    /// It is on trial with, or waits for a restart into, another image.
    #[error("the node is busy with another image; try again after its restart")]
    Busy,
    /// The new image did not start, or went back.
    #[error("the node runs its old image again: the new one did not start")]
    WentBack,
    /// It answers, and nothing changes.
    #[error("the update does not get on")]
    Stuck,
}

/// Who the node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Bin or meter.
    pub kind: NodeKind,
    /// Board family and board.
    pub hardware: u16,
    /// Version of its firmware.
    pub firmware: u16,
    /// Counter of its image.
    pub counter: u32,
    /// Serial number; 0 if it has none.
    pub serial: u64,
    /// Bits of [`wangge_protocol::node::status`].
    pub status: u16,
}

impl Node {
    /// The question that [`Node::from_words`] reads the answer of.
    pub const ASK: Ask = Ask::Read {
        address: 0,
        count: input::COMMON_END,
    };

    /// From the registers from 0 to [`input::COMMON_END`].
    ///
    /// # Errors
    /// [`Failure::Map`] for a map, or a kind of node, that is not known here.
    pub fn from_words(words: &[u16]) -> Result<Node, Failure> {
        let at = |address: u16| words.get(usize::from(address)).copied().unwrap_or(0);
        let pair = |address: u16| long([at(address), at(address + 1)]);
        let kind = NodeKind::try_from(at(input::KIND));
        match (at(input::MAP_VERSION), kind) {
            (MAP_VERSION, Ok(kind)) => Ok(Node {
                kind,
                hardware: at(input::HARDWARE),
                firmware: at(input::FIRMWARE),
                counter: pair(input::IMAGE_COUNTER),
                serial: u64::from(pair(input::SERIAL)) << 32 | u64::from(pair(input::SERIAL + 2)),
                status: at(input::STATUS),
            }),
            (map, _) => Err(Failure::Map(map)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Who,
    Look,
    Manifest,
    Begin,
    Block,
    Finish,
    Restart,
    /// Until then the new image has to answer.
    Started(Duration),
    Confirm,
    Done,
}

/// One update of one node.
#[derive(Debug)]
pub struct Session {
    manifest: Manifest,
    file: Vec<u8>,
    phase: Phase,
    node: Option<Node>,
    /// Offset of the next block.
    next: u32,
    /// BEGIN was written in this session.
    begun: bool,
    /// The node has all of the image and found it good.
    finished: bool,
    /// The new image was seen to run.
    restarted: bool,
    silent: u32,
    stuck: u32,
    pause: Option<Duration>,
}

impl Session {
    /// With an image file; its signature is the node's to judge.
    ///
    /// # Errors
    /// It is no image, or damaged.
    pub fn new(file: Vec<u8>) -> Result<Session, UpdateError> {
        let (manifest, binary) = image::split(&file)?;
        let mut hasher = image::Hasher::default();
        hasher.update(binary);
        if hasher.finish() != manifest.hash {
            return Err(UpdateError::Hash);
        }
        Ok(Session {
            manifest,
            file,
            phase: Phase::Who,
            node: None,
            next: 0,
            begun: false,
            finished: false,
            restarted: false,
            silent: 0,
            stuck: 0,
            pause: None,
        })
    }

    /// What the image says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Who answers, once that is known.
    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// Bytes that the node has, of all.
    pub fn progress(&self) -> (u32, u32) {
        (self.next.min(self.manifest.length), self.manifest.length)
    }

    /// What to do now.
    pub fn step(&mut self) -> Step {
        if let Some(pause) = self.pause.take() {
            return Step::Wait(pause);
        }
        let write = |address: u16, values: Vec<u16>| Step::Ask(Ask::Write { address, values });
        let command = |code: u16| write(holding::UPDATE_COMMAND, vec![code]);
        match self.phase {
            Phase::Who | Phase::Started(_) => Step::Ask(Node::ASK),
            Phase::Look => Step::Ask(Ask::Read {
                address: input::UPDATE_STATE,
                count: input::UPDATE_END - input::UPDATE_STATE,
            }),
            Phase::Manifest => write(
                holding::UPDATE_MANIFEST,
                words_of(&self.file[..MANIFEST]).collect(),
            ),
            Phase::Begin => command(update_command::BEGIN),
            Phase::Block => {
                let mut values = words(self.next).to_vec();
                values.extend(words_of(&self.block()));
                write(holding::UPDATE_BLOCK, values)
            }
            Phase::Finish => command(update_command::FINISH),
            Phase::Restart => command(update_command::RESTART),
            Phase::Confirm => write(
                holding::UPDATE_CONFIRM,
                words(self.manifest.counter).to_vec(),
            ),
            Phase::Done => Step::Done,
        }
    }

    fn block(&self) -> [u8; UPDATE_BLOCK_BYTES] {
        let mut block = [0xFF; UPDATE_BLOCK_BYTES];
        let rest = self.file.get(MANIFEST + self.next as usize..);
        for (place, byte) in block.iter_mut().zip(rest.unwrap_or_default()) {
            *place = *byte;
        }
        block
    }

    /// What came of the question that [`Session::step`] gave, at `now` of any steady clock.
    ///
    /// # Errors
    /// Why the update cannot go on.
    pub fn heard(&mut self, heard: &Heard, now: Duration) -> Result<(), Failure> {
        if let Phase::Started(until) = self.phase {
            return self.after_restart(heard, until, now);
        }
        if *heard == Heard::Silent {
            self.silent += 1;
            if self.silent > MOST_SILENT {
                return Err(Failure::Silent);
            }
            self.pause = Some(LOOK_AGAIN * self.silent.min(6));
            // What was asked may have been done; the node says.
            if !matches!(self.phase, Phase::Who | Phase::Manifest) {
                self.phase = Phase::Look;
            }
            return Ok(());
        }
        self.silent = 0;
        match (self.phase, heard) {
            (Phase::Who, Heard::Words(words)) => self.who(words),
            (Phase::Look, Heard::Words(words)) => self.look(words, now),
            (Phase::Who, Heard::Exception(code)) => Err(Failure::Exception(*code)),
            (Phase::Manifest, Heard::Written) => {
                self.phase = Phase::Begin;
                Ok(())
            }
            (Phase::Block, Heard::Written) => {
                self.stuck = 0;
                self.next += UPDATE_BLOCK_BYTES as u32;
                if self.next >= self.manifest.length {
                    self.phase = Phase::Finish;
                }
                Ok(())
            }
            (Phase::Restart, Heard::Written) => {
                self.phase = Phase::Started(now + RESTART_WITHIN);
                self.pause = Some(Duration::from_secs(1));
                Ok(())
            }
            (phase, Heard::Written) => {
                self.begun |= phase == Phase::Begin;
                self.phase = Phase::Look;
                Ok(())
            }
            // The node's error register says why.
            (phase, Heard::Exception(_)) => {
                self.begun |= phase == Phase::Begin;
                self.stuck()?;
                self.phase = Phase::Look;
                Ok(())
            }
            _ => self.stuck(),
        }
    }

    fn stuck(&mut self) -> Result<(), Failure> {
        self.stuck += 1;
        if self.stuck > MOST_STUCK {
            return Err(Failure::Stuck);
        }
        Ok(())
    }

    fn who(&mut self, words: &[u16]) -> Result<(), Failure> {
        let node = Node::from_words(words)?;
        self.node = Some(node);
        if !self.manifest.serves(node.kind) {
            return Err(UpdateError::Product.into());
        }
        if self.manifest.hardware != node.hardware {
            return Err(UpdateError::Hardware.into());
        }
        if self.manifest.counter < node.counter {
            return Err(UpdateError::Older.into());
        }
        self.phase = Phase::Look;
        Ok(())
    }

    fn look(&mut self, words: &[u16], now: Duration) -> Result<(), Failure> {
        let at = |address: u16| {
            let index = usize::from(address - input::UPDATE_STATE);
            words.get(index).copied().unwrap_or(0)
        };
        let error = UpdateError::try_from(at(input::UPDATE_ERROR)).ok();
        let hash = (input::UPDATE_HASH..input::UPDATE_TRIAL_LEFT).map(at);
        let ours = hash.eq(words_of(&self.manifest.hash[..8]));
        let running = self.node.map_or(0, |node| node.counter);
        let Ok(state) = UpdateState::try_from(at(input::UPDATE_STATE)) else {
            return Err(UpdateError::Format.into());
        };
        match state {
            UpdateState::Unsupported => Err(UpdateError::Unsupported.into()),
            UpdateState::Trial if running == self.manifest.counter => {
                self.stuck()?;
                self.restarted = true;
                self.phase = Phase::Confirm;
                Ok(())
            }
            // It restarted, and only the answer was lost: who is it now?
            UpdateState::Trial if self.finished => {
                self.stuck()?;
                self.phase = Phase::Who;
                Ok(())
            }
            UpdateState::Trial => Err(Failure::Busy),
            UpdateState::Idle if running == self.manifest.counter => {
                if !self.restarted {
                    return Err(UpdateError::Older.into());
                }
                self.phase = Phase::Done;
                Ok(())
            }
            UpdateState::Ready if ours => {
                self.stuck()?;
                self.next = self.manifest.length;
                self.finished = true;
                self.phase = Phase::Restart;
                Ok(())
            }
            UpdateState::Ready => Err(Failure::Busy),
            UpdateState::CheckingManifest | UpdateState::CheckingImage => {
                self.stuck()?;
                self.pause = Some(LOOK_AGAIN);
                Ok(())
            }
            UpdateState::Receiving if ours => {
                let next = long([at(input::UPDATE_NEXT), at(input::UPDATE_NEXT + 1)]);
                self.next = next;
                self.phase = match next >= self.manifest.length {
                    true => Phase::Finish,
                    false => Phase::Block,
                };
                self.stuck()
            }
            UpdateState::Failed if self.begun => {
                Err(error.map_or(Failure::Stuck, Failure::Refused))
            }
            // The restart was asked for, its answer lost, and it has started anew.
            UpdateState::Idle if self.finished => {
                self.phase = Phase::Started(now + RESTART_WITHIN);
                Ok(())
            }
            UpdateState::Idle | UpdateState::Receiving | UpdateState::Failed => {
                self.stuck()?;
                self.next = 0;
                self.phase = Phase::Manifest;
                Ok(())
            }
        }
    }

    fn after_restart(
        &mut self,
        heard: &Heard,
        until: Duration,
        now: Duration,
    ) -> Result<(), Failure> {
        if let Heard::Words(words) = heard {
            let node = Node::from_words(words)?;
            self.node = Some(node);
            if node.counter == self.manifest.counter {
                self.silent = 0;
                self.stuck = 0;
                self.phase = Phase::Look;
                return Ok(());
            }
        }
        if now >= until {
            return Err(match heard {
                Heard::Silent => Failure::Lost,
                _ => Failure::WentBack,
            });
        }
        self.pause = Some(LOOK_AGAIN);
        Ok(())
    }
}

fn words_of(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    let pairs = bytes.chunks_exact(2);
    pairs.map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

#[cfg(test)]
mod tests;
