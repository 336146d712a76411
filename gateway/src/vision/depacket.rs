//! RTP payloads to access units: H.264 (RFC 6184) and H.265 (RFC 7798).
//!
//! `retina` has a depacketizer, but it gathers an access unit without limit, so a camera that
//! never sets the mark bit takes all memory within a second. This one stops at [`MAX_UNIT`].
//! Output is Annex B with the parameter sets before each key frame, as libavcodec likes it.

use retina::rtp::ReceivedPacket;

use crate::bilingual::Bilingual;

/// Largest access unit, bytes; key frames of a 4K camera stay below 3 MB.
pub const MAX_UNIT: usize = 8 << 20;
/// Largest parameter set, bytes.
pub const MAX_PARAMETER_SET: usize = 4096;
/// Packets that cannot be understood, without a whole access unit between them: more are no
/// accident.
pub const MAX_MALFORMED: u32 = 25;
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// The two codings that cameras use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    H264,
    H265,
}

impl Coding {
    /// libavcodec's decoder.
    pub fn decoder(self) -> &'static str {
        match self {
            Coding::H264 => "h264",
            Coding::H265 => "hevc",
        }
    }
}

/// One compressed picture.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AccessUnit {
    /// Annex B.
    pub data: Vec<u8>,
    /// RTP timestamp, unwrapped, in the stream's clock.
    pub timestamp: i64,
    /// Can be decoded on its own.
    pub key: bool,
    /// No other picture refers to it.
    pub disposable: bool,
}

/// Why a packet was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DepacketError {
    /// See [`MAX_UNIT`].
    #[error("sends a picture of more than {} MiB without end", MAX_UNIT >> 20)]
    TooLarge,
    /// The packet says something that its RFC does not allow.
    #[error("sends video that is no H.264 or H.265 ({0})")]
    Malformed(&'static str),
}

impl Bilingual for DepacketError {
    fn zh(&self) -> String {
        match self {
            DepacketError::TooLarge => {
                format!("单帧画面超过 {} MiB 仍未结束", MAX_UNIT >> 20)
            }
            // In which way helps only whoever has the standard at hand, and the log tells them.
            DepacketError::Malformed(_) => "码流不是规范的 H.264 或 H.265".into(),
        }
    }
}

/// Kinds of NAL units that matter here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nal {
    /// Slice data: (key, disposable).
    Slice(bool, bool),
    /// Index into the parameter sets, in the order they must be sent.
    Parameters(usize),
    /// An H.264 recovery point: decoding may begin here although it is no IDR.
    RecoveryPoint,
    Other,
}

/// Gathers packets into access units.
#[derive(Debug)]
pub struct Depacketizer {
    coding: Coding,
    /// VPS (H.265 only), SPS, PPS as last seen.
    parameters: [Vec<u8>; 3],
    unit: Building,
    /// Start within `unit.data` of a NAL unit that is still coming in pieces.
    fragment: Option<usize>,
    /// Packets since the last whole access unit that could not be understood.
    malformed: u32,
    /// The timestamp of the unit that a mark ended last.
    marked: Option<i64>,
    /// This camera's marks stand behind each slice, and do not end pictures.
    marks_slices: bool,
}

#[derive(Debug, Default)]
struct Building {
    data: Vec<u8>,
    timestamp: Option<i64>,
    key: bool,
    referenced: bool,
    slices: bool,
    /// Which of the parameter sets it brings itself.
    brings: [bool; 3],
    /// A packet of it is missing.
    damaged: bool,
}

impl Depacketizer {
    /// `parameters` are the NAL units from the SDP, if it had any.
    pub fn new<'p>(coding: Coding, parameters: impl Iterator<Item = &'p [u8]>) -> Self {
        let mut depacketizer = Depacketizer {
            coding,
            parameters: Default::default(),
            unit: Building::default(),
            fragment: None,
            malformed: 0,
            marked: None,
            marks_slices: false,
        };
        for nal in parameters {
            depacketizer.remember(nal);
        }
        depacketizer
    }

    /// Takes a packet; returns access units that are complete (two if a timestamp changed
    /// without the mark bit). Damaged units are not returned; see [`Pushed::lost`].
    ///
    /// # Errors
    /// After an error the stream should be given up.
    pub fn push(&mut self, packet: &ReceivedPacket) -> Result<Pushed, DepacketError> {
        self.take(
            packet.payload(),
            packet.timestamp().elapsed(),
            packet.mark(),
            packet.loss() > 0,
        )
    }

    pub(super) fn take(
        &mut self,
        payload: &[u8],
        timestamp: i64,
        mark: bool,
        loss: bool,
    ) -> Result<Pushed, DepacketError> {
        let mut pushed = Pushed::default();
        let timestamp = match self.unit.timestamp {
            // The clock of some cameras runs on within a picture.
            Some(begun) if begun != timestamp && !loss && self.goes_on(payload) => begun,
            _ => timestamp,
        };
        if self.unit.timestamp.is_some_and(|t| t != timestamp) {
            // Some cameras forget the mark; with a loss it may have been in the lost packet.
            self.unit.damaged |= loss;
            self.finish(&mut pushed);
        }
        self.unit.timestamp = Some(timestamp);
        if loss {
            self.unit.damaged = true;
            self.abandon_fragment();
        }
        match self.payload(payload) {
            // A camera may stumble: that costs a picture, and not the stream.
            Err(DepacketError::Malformed(_)) if self.malformed < MAX_MALFORMED => {
                self.malformed += 1;
                self.unit.damaged = true;
                self.abandon_fragment();
            }
            done => done?,
        }
        // Within a fragment a mark can end nothing: some cameras set it on every packet.
        if mark && self.fragment.is_none() && !self.marks_slices {
            self.marked = Some(timestamp);
            self.finish(&mut pushed);
        }
        Ok(pushed)
    }

    fn payload(&mut self, payload: &[u8]) -> Result<(), DepacketError> {
        use DepacketError::Malformed;
        // Some cameras send empty packets as keep-alive.
        let Some(&first) = payload.first() else {
            return Ok(());
        };
        match self.coding {
            Coding::H264 => match first & 0x1f {
                1..=23 => self.nal(payload),
                24 => self.aggregate(payload.get(1..).unwrap_or_default()),
                28 => {
                    let &[indicator, header, ref rest @ ..] = payload else {
                        return Err(Malformed("fragment without header"));
                    };
                    let nal = [(indicator & 0xe0) | (header & 0x1f)];
                    self.piece(header, &nal, rest)
                }
                // Reserved: makers put what is their own there.
                0 | 30 | 31 => Ok(()),
                _ => Err(Malformed("packet type")),
            },
            Coding::H265 => match (first >> 1) & 0x3f {
                0..=47 => self.nal(payload),
                48 => self.aggregate(payload.get(2..).unwrap_or_default()),
                49 => {
                    let &[b0, b1, header, ref rest @ ..] = payload else {
                        return Err(Malformed("fragment without header"));
                    };
                    let nal = [(b0 & 0x81) | ((header & 0x3f) << 1), b1];
                    self.piece(header, &nal, rest)
                }
                51..=63 => Ok(()),
                _ => Err(Malformed("packet type")),
            },
        }
    }

    /// Several NAL units in one packet, each behind its 16-bit length.
    fn aggregate(&mut self, mut rest: &[u8]) -> Result<(), DepacketError> {
        while let [high, low, tail @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let (Some(nal), Some(after)) = (tail.get(..length), tail.get(length..)) else {
                return Err(DepacketError::Malformed("aggregate longer than its packet"));
            };
            if !nal.is_empty() {
                self.nal(nal)?;
            }
            rest = after;
        }
        Ok(())
    }

    /// A piece of a NAL unit; `header` carries start (0x80) and end (0x40).
    fn piece(&mut self, header: u8, nal: &[u8], rest: &[u8]) -> Result<(), DepacketError> {
        if header & 0x80 != 0 {
            self.abandon_fragment();
            self.room(START_CODE.len() + nal.len())?;
            self.fragment = Some(self.unit.data.len());
            self.unit.data.extend(START_CODE);
            self.unit.data.extend(nal);
        }
        let Some(start) = self.fragment else {
            // Its start was lost, which the sequence numbers have told already.
            self.unit.damaged = true;
            return Ok(());
        };
        self.room(rest.len())?;
        self.unit.data.extend(rest);
        if header & 0x40 != 0 {
            self.fragment = None;
            let whole = self.unit.data.split_off(start);
            self.nal(whole.get(START_CODE.len()..).unwrap_or_default())?;
        }
        Ok(())
    }

    /// A whole NAL unit.
    fn nal(&mut self, nal: &[u8]) -> Result<(), DepacketError> {
        match self.kind(nal) {
            Nal::Parameters(index) => {
                self.remember(nal);
                if let Some(brings) = self.unit.brings.get_mut(index) {
                    *brings = true;
                }
            }
            Nal::Slice(key, disposable) => {
                // The rest of a picture whose first slices went out as a whole one.
                if !self.unit.slices && self.unit.timestamp == self.marked && self.continues(nal) {
                    self.marks_slices = true;
                    self.unit.damaged = true;
                }
                self.unit.key |= key;
                self.unit.referenced |= !disposable;
                self.unit.slices = true;
            }
            Nal::RecoveryPoint => self.unit.key = true,
            Nal::Other => {}
        }
        self.room(START_CODE.len() + nal.len())?;
        self.unit.data.extend(START_CODE);
        self.unit.data.extend(nal);
        Ok(())
    }

    fn kind(&self, nal: &[u8]) -> Nal {
        let Some(&first) = nal.first() else {
            return Nal::Other;
        };
        match self.coding {
            Coding::H264 => match first & 0x1f {
                5 => Nal::Slice(true, false),
                1..=4 => Nal::Slice(false, first & 0x60 == 0),
                7 => Nal::Parameters(1),
                8 => Nal::Parameters(2),
                6 if nal.get(1) == Some(&6) => Nal::RecoveryPoint,
                _ => Nal::Other,
            },
            Coding::H265 => match (first >> 1) & 0x3f {
                kind @ 0..=15 => Nal::Slice(false, kind % 2 == 0),
                16..=21 => Nal::Slice(true, false),
                kind @ 32..=34 => Nal::Parameters(usize::from(kind) - 32),
                _ => Nal::Other,
            },
        }
    }

    /// Whether a packet belongs to the picture that is being put together, whatever its timestamp:
    /// the next piece of a NAL unit, or a slice that is not the first one.
    fn goes_on(&self, payload: &[u8]) -> bool {
        let (piece, begun) = match (self.coding, payload) {
            (Coding::H264, [indicator, header, byte, ..]) if indicator & 0x1f == 28 => {
                (Some(*header), vec![header & 0x1f, *byte])
            }
            (Coding::H265, [b0, b1, header, byte, ..]) if (b0 >> 1) & 0x3f == 49 => {
                (Some(*header), vec![(header & 0x3f) << 1, *b1, *byte])
            }
            _ => (None, payload.iter().take(3).copied().collect()),
        };
        if piece.is_some_and(|header| header & 0x80 == 0) {
            return self.fragment.is_some();
        }
        let is_slice = matches!(self.kind(&begun), Nal::Slice(..));
        self.unit.slices && is_slice && self.continues(&begun)
    }

    /// Whether a slice is not the first one of its picture. Its header begins with that: the
    /// number of its first macroblock, zero as a set bit, or a flag.
    fn continues(&self, slice: &[u8]) -> bool {
        let header = match self.coding {
            Coding::H264 => 1,
            Coding::H265 => 2,
        };
        slice.get(header).is_some_and(|byte| byte & 0x80 == 0)
    }

    fn remember(&mut self, nal: &[u8]) {
        if let Nal::Parameters(index) = self.kind(nal)
            && nal.len() <= MAX_PARAMETER_SET
            && let Some(place) = self.parameters.get_mut(index)
        {
            place.clear();
            place.extend(nal);
        }
    }

    fn room(&self, more: usize) -> Result<(), DepacketError> {
        if self.unit.data.len() + more > MAX_UNIT {
            return Err(DepacketError::TooLarge);
        }
        Ok(())
    }

    fn abandon_fragment(&mut self) {
        if let Some(start) = self.fragment.take() {
            self.unit.data.truncate(start);
            self.unit.damaged = true;
        }
    }

    fn finish(&mut self, pushed: &mut Pushed) {
        self.abandon_fragment();
        let unit = std::mem::take(&mut self.unit);
        let Some(timestamp) = unit.timestamp else {
            return;
        };
        if unit.damaged {
            pushed.lost += 1;
            return;
        }
        if !unit.slices {
            // Parameter sets or supplements alone: remembered, nothing to show.
            return;
        }
        self.malformed = 0;
        let mut data = unit.data;
        let mut sets = self.parameters.iter().zip(unit.brings);
        // Some cameras repeat one set and leave the others to the session description. All go
        // before it then, in their order: one refers to the other.
        if unit.key && sets.any(|(set, brings)| !set.is_empty() && !brings) {
            let mut whole = Vec::with_capacity(data.len() + 3 * 64);
            for set in self.parameters.iter().filter(|set| !set.is_empty()) {
                whole.extend(START_CODE);
                whole.extend(set);
            }
            whole.append(&mut data);
            data = whole;
        }
        pushed.units.push(AccessUnit {
            data,
            timestamp,
            key: unit.key,
            disposable: !unit.referenced,
        });
    }
}

/// What one packet completed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Whole access units.
    pub units: Vec<AccessUnit>,
    /// Access units that lacked packets.
    pub lost: u64,
}

#[cfg(test)]
mod tests;
