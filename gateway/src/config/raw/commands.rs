//! What comes back from the platform.

use schemars::JsonSchema;
use serde::Deserialize;

use super::DurationText;
use crate::config::limits;

/// What follows from the platform's verdicts on alerts.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawVerdicts {
    /// An alert that the platform resolved or closed is opened again if its condition still holds
    /// after so long; `30m` when left out. Longer than the slowest sensor's interval.
    pub reopen_after: Option<DurationText>,
}

/// Commands of the platform: reload, a picture of a zone, silence a rule until a time. Nobody may
/// give any when this is left out.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawCommands {
    /// Ed25519 public keys of those who may, 32 bytes in base64 or base64url, or PEM, as
    /// `wangge-platform key` prints them. Two while a key is being changed.
    #[schemars(required, length(max = limits::MAX_COMMAND_KEYS), example = ["…"])]
    pub keys: Option<Vec<String>>,
    /// Longest time for which a rule may be silenced; `24h` when left out.
    pub max_silence: Option<DurationText>,
}
