//! Small enumerations as registers.

/// A code that this version does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCode(pub u16);

impl core::fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "code {} has no meaning in this version", self.0)
    }
}

impl core::error::Error for UnknownCode {}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum NodeKind {
    /// Level, tilt, temperature of a waste bin.
    Bin = 1,
    /// Pulses of a water meter.
    Meter = 2,
}

impl NodeKind {
    /// Every kind.
    pub const ALL: &'static [NodeKind] = &[NodeKind::Bin, NodeKind::Meter];

    /// The word on labels and in commands.
    pub const fn slug(self) -> &'static str {
        match self {
            NodeKind::Bin => "bin",
            NodeKind::Meter => "meter",
        }
    }
}

impl TryFrom<u16> for NodeKind {
    type Error = UnknownCode;

    fn try_from(code: u16) -> Result<Self, UnknownCode> {
        let found = NodeKind::ALL.iter().find(|kind| **kind as u16 == code);
        found.copied().ok_or(UnknownCode(code))
    }
}

/// Whether a measurement can be believed, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Quality {
    /// It can.
    Good = 0,
    /// Nothing was measured since the start.
    Starting = 1,
    /// The sensor does not answer: missing, unplugged or broken.
    Missing = 2,
    /// It answers what it cannot have measured.
    OutOfRange = 3,
    /// It has given the same figure for too long, to the last digit.
    Stuck = 4,
    /// Something is nearer than the sensor can see (blind zone).
    TooNear = 5,
    /// Nothing came back: nothing is near enough, or it swallows the sound.
    NoEcho = 6,
    /// The set-up is nonsense, so the figure would be, too.
    Unconfigured = 7,
}

impl Quality {
    /// Every quality.
    pub const ALL: &'static [Quality] = &[
        Quality::Good,
        Quality::Starting,
        Quality::Missing,
        Quality::OutOfRange,
        Quality::Stuck,
        Quality::TooNear,
        Quality::NoEcho,
        Quality::Unconfigured,
    ];
}

impl TryFrom<u16> for Quality {
    type Error = UnknownCode;

    fn try_from(code: u16) -> Result<Self, UnknownCode> {
        let found = Quality::ALL.iter().find(|quality| **quality as u16 == code);
        found.copied().ok_or(UnknownCode(code))
    }
}
