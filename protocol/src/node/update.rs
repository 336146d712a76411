//! How an update stands, and why an image is refused: small enumerations as registers.

use super::UnknownCode;

/// What the node's receiver does; input register [`super::input::UPDATE_STATE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum UpdateState {
    /// This part has no room for two images, or no boot loader: it is updated with the
    /// technician's tool.
    Unsupported = 0,
    /// Nothing is under way.
    Idle = 1,
    /// The manifest's signature is being checked; the node may be late with its answers.
    CheckingManifest = 2,
    /// Blocks are awaited from [`super::input::UPDATE_NEXT`] on.
    Receiving = 3,
    /// The image in flash is being hashed.
    CheckingImage = 4,
    /// The image is good and marked; it starts at the next restart.
    Ready = 5,
    /// A new image runs on trial until [`super::holding::UPDATE_CONFIRM`] is written.
    Trial = 6,
    /// Refused; [`super::input::UPDATE_ERROR`] says why. A new BEGIN starts again.
    Failed = 7,
}

impl UpdateState {
    /// Every state.
    pub const ALL: &'static [UpdateState] = &[
        UpdateState::Unsupported,
        UpdateState::Idle,
        UpdateState::CheckingManifest,
        UpdateState::Receiving,
        UpdateState::CheckingImage,
        UpdateState::Ready,
        UpdateState::Trial,
        UpdateState::Failed,
    ];
}

impl TryFrom<u16> for UpdateState {
    type Error = UnknownCode;

    fn try_from(code: u16) -> Result<Self, UnknownCode> {
        let found = UpdateState::ALL.iter().find(|state| **state as u16 == code);
        found.copied().ok_or(UnknownCode(code))
    }
}

/// Why an image, or a step of an update, is refused; input register
/// [`super::input::UPDATE_ERROR`], where 0 is no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum UpdateError {
    /// It does not begin like an image.
    NotAnImage = 1,
    /// A format, or a flag, that this version does not know.
    Format = 2,
    /// It is for another kind of node.
    Product = 3,
    /// It is for another board.
    Hardware = 4,
    /// It is linked for another place in flash.
    Address = 5,
    /// It is empty, cut short, or does not fit.
    Length = 6,
    /// It is not newer than what runs.
    Older = 7,
    /// Nobody signed it.
    Unsigned = 8,
    /// It is signed with a key that is not trusted here.
    UnknownKey = 9,
    /// It is signed for development, which a release refuses.
    Development = 10,
    /// The signature is wrong.
    Signature = 11,
    /// The image is not the one that was signed.
    Hash = 12,
    /// Flash cannot be read, erased or written.
    Flash = 13,
    /// A block that is not the next one, or not a whole block.
    Order = 14,
    /// A step that is not possible in this state.
    State = 15,
    /// This node cannot be updated over the bus.
    Unsupported = 16,
    /// A confirmation for an image that is not the one on trial.
    NotOnTrial = 17,
}

impl UpdateError {
    /// Every reason.
    pub const ALL: &'static [UpdateError] = &[
        UpdateError::NotAnImage,
        UpdateError::Format,
        UpdateError::Product,
        UpdateError::Hardware,
        UpdateError::Address,
        UpdateError::Length,
        UpdateError::Older,
        UpdateError::Unsigned,
        UpdateError::UnknownKey,
        UpdateError::Development,
        UpdateError::Signature,
        UpdateError::Hash,
        UpdateError::Flash,
        UpdateError::Order,
        UpdateError::State,
        UpdateError::Unsupported,
        UpdateError::NotOnTrial,
    ];

    /// For people.
    pub const fn says(self) -> &'static str {
        match self {
            UpdateError::NotAnImage => "this is not a node's image",
            UpdateError::Format => "the image has a format that this version does not know",
            UpdateError::Product => "the image is for another kind of node",
            UpdateError::Hardware => "the image is for another board",
            UpdateError::Address => "the image is linked for another place in flash",
            UpdateError::Length => "the image is empty, cut short, or does not fit",
            UpdateError::Older => "the image is not newer than the one that runs",
            UpdateError::Unsigned => "the image is not signed",
            UpdateError::UnknownKey => "the image is signed with a key that is not trusted",
            UpdateError::Development => {
                "the image is signed for development, which a release refuses"
            }
            UpdateError::Signature => "the image's signature is wrong",
            UpdateError::Hash => "the image is damaged: it is not the one that was signed",
            UpdateError::Flash => "the node's flash cannot be written",
            UpdateError::Order => "a block came out of turn",
            UpdateError::State => "this step is not possible now",
            UpdateError::Unsupported => {
                "this node has no room for two images: update it with `wangge flash`"
            }
            UpdateError::NotOnTrial => "the image that runs is not the one to be confirmed",
        }
    }
}

impl core::fmt::Display for UpdateError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.says())
    }
}

impl core::error::Error for UpdateError {}

impl TryFrom<u16> for UpdateError {
    type Error = UnknownCode;

    fn try_from(code: u16) -> Result<Self, UnknownCode> {
        let found = UpdateError::ALL.iter().find(|error| **error as u16 == code);
        found.copied().ok_or(UnknownCode(code))
    }
}
