//! What comes back from the platform, and the station's answer to it.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::EvidenceRef;

#[cfg(feature = "schema")]
use crate::{pattern, schema::ToString as _};

/// What the platform decided about an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Verdict {
    /// The platform's id of this verdict; the same id has the same effect once.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::PLATFORM_ID)))]
    pub id: String,
    /// The alert.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::UUID_V7)))]
    pub alert_id: String,
    /// What was decided.
    pub status: VerdictStatus,
    /// Why, in words; a rejection must have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 600), regex(pattern = pattern::TEXT)))]
    pub reason: Option<String>,
    /// The platform's number of the case (案卷编号).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 64), regex(pattern = pattern::TEXT)))]
    pub case_no: Option<String>,
    /// SHA-256 of a picture of the place after it was dealt with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::SHA256)))]
    pub picture: Option<String>,
    /// Who decided: a role or a unit, no person's name is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 64), regex(pattern = pattern::TEXT)))]
    pub by: Option<String>,
    /// When it was decided, RFC 3339.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::TIMESTAMP)))]
    pub at: String,
}

/// How far the platform is with an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum VerdictStatus {
    /// Somebody looked at it and takes it on (受理).
    Accepted,
    /// It is no case (不予立案), for the reason given.
    Rejected,
    /// It was filed as a case (立案).
    Filed,
    /// It was dealt with (处置).
    Resolved,
    /// The case is closed (结案).
    Closed,
}

impl VerdictStatus {
    /// Every status, in the order in which a case usually goes.
    pub const ALL: &'static [VerdictStatus] = &[
        VerdictStatus::Accepted,
        VerdictStatus::Rejected,
        VerdictStatus::Filed,
        VerdictStatus::Resolved,
        VerdictStatus::Closed,
    ];

    /// Name in messages.
    pub const fn slug(self) -> &'static str {
        match self {
            VerdictStatus::Accepted => "accepted",
            VerdictStatus::Rejected => "rejected",
            VerdictStatus::Filed => "filed",
            VerdictStatus::Resolved => "resolved",
            VerdictStatus::Closed => "closed",
        }
    }

    /// Name in Chinese.
    pub const fn name_zh(self) -> &'static str {
        match self {
            VerdictStatus::Accepted => "受理",
            VerdictStatus::Rejected => "不予立案",
            VerdictStatus::Filed => "立案",
            VerdictStatus::Resolved => "处置",
            VerdictStatus::Closed => "结案",
        }
    }

    /// Whether the alert is over with it, as far as the platform is concerned.
    pub const fn closes(self) -> bool {
        matches!(
            self,
            VerdictStatus::Rejected | VerdictStatus::Resolved | VerdictStatus::Closed
        )
    }

    /// Whether it says that there was something: everything but a rejection.
    pub const fn is_right(self) -> bool {
        !matches!(self, VerdictStatus::Rejected)
    }
}

/// What a platform may ask of a station. There is nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CommandVerb {
    /// Read the station's own configuration file again; nothing of it comes from outside.
    Reload,
    /// Take a picture of a zone now, masked as always, and deliver it with the answer.
    Picture,
    /// Hold one rule of one device or camera back until a time.
    Silence,
}

impl CommandVerb {
    /// Name in messages.
    pub const fn slug(self) -> &'static str {
        match self {
            CommandVerb::Reload => "reload",
            CommandVerb::Picture => "picture",
            CommandVerb::Silence => "silence",
        }
    }
}

/// Something that the platform asks of a station, signed by a key that the station knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Command {
    /// The platform's id of this command; the same id is carried out once.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::PLATFORM_ID)))]
    pub id: String,
    /// The station that it is for: a command for one is none for another.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 64), regex(pattern = pattern::TEXT)))]
    pub station: String,
    /// What to do.
    pub command: CommandVerb,
    /// `silence`: device or camera. `picture`: camera.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 64), regex(pattern = pattern::TEXT)))]
    pub device: Option<String>,
    /// `picture`: the zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 64), regex(pattern = pattern::TEXT)))]
    pub zone: Option<String>,
    /// `silence`: the rule, as alerts name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 64), regex(pattern = pattern::TEXT)))]
    pub rule: Option<String>,
    /// `silence`: until when, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::TIMESTAMP)))]
    pub until: Option<String>,
    /// Who asks for it: a role or a unit. It goes into the station's audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 64), regex(pattern = pattern::TEXT)))]
    pub by: Option<String>,
    /// Not to be carried out after this, RFC 3339.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::TIMESTAMP)))]
    pub not_after: String,
    /// First 16 hex digits of the SHA-256 of the 32 bytes of the public key.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::MODEL_HASH)))]
    pub keyid: String,
    /// Ed25519 over [`Command::signed_text`], base64url without padding: 86 letters.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::SIGNATURE)))]
    pub signature: String,
}

/// First line of what is signed, so that no signature for anything else fits.
const SIGNED: &str = "wangge-command-1";

impl Command {
    /// What is signed: UTF-8, one line for each value in this order, each with a line feed at its
    /// end, empty where the command has no such value: `wangge-command-1`, `id`, `station`,
    /// `command`, `device`, `zone`, `rule`, `until`, `by`, `not_after`, `keyid`. A value with a
    /// control character is refused, so that there is one reading only.
    pub fn signed_text(&self) -> String {
        let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
        let lines = [
            SIGNED.into(),
            self.id.clone(),
            self.station.clone(),
            self.command.slug().into(),
            or_empty(&self.device),
            or_empty(&self.zone),
            or_empty(&self.rule),
            or_empty(&self.until),
            or_empty(&self.by),
            self.not_after.clone(),
            self.keyid.clone(),
        ];
        lines.iter().fold(String::new(), |mut text, line: &String| {
            text.push_str(line);
            text.push('\n');
            text
        })
    }
}

/// The station's word on a verdict or a command.
pub const TYPE_ANSWER: &str = "cn.wangge.answer.v1";
/// `dataschema` of answers.
pub const SCHEMA_ANSWER: &str = "urn:wangge:schema:answer:1";

/// `data` of an answer; the CloudEvent's `subject` is `in_reply_to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Answer {
    /// Id of the verdict or command.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 64)))]
    pub in_reply_to: String,
    /// Which of both.
    pub about: AnswerAbout,
    /// The verdict's alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 64)))]
    pub alert_id: Option<String>,
    /// What became of it.
    pub result: AnswerResult,
    /// Why, or what was done, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The picture that was asked for, delivered under its hash before this message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<EvidenceRef>,
    /// When, RFC 3339.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::TIMESTAMP)))]
    pub at: String,
}

/// What an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AnswerAbout {
    /// A verdict.
    Verdict,
    /// A command.
    Command,
}

/// What became of a verdict or a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AnswerResult {
    /// Taken up, or carried out.
    Applied,
    /// It was before; nothing happened this time.
    Repeated,
    /// The station has no such alert, or no longer.
    UnknownAlert,
    /// It came after its `not_after`.
    Expired,
    /// Not signed by a key that the station knows, or for another station.
    Forbidden,
    /// It is not what the contract says; repeating it does not help.
    Invalid,
    /// It could not be carried out, for the reason given.
    Failed,
}

impl AnswerResult {
    /// Name in messages.
    pub const fn slug(self) -> &'static str {
        match self {
            AnswerResult::Applied => "applied",
            AnswerResult::Repeated => "repeated",
            AnswerResult::UnknownAlert => "unknown_alert",
            AnswerResult::Expired => "expired",
            AnswerResult::Forbidden => "forbidden",
            AnswerResult::Invalid => "invalid",
            AnswerResult::Failed => "failed",
        }
    }
}

/// What waits for a station, in answer to `GET <url>/inbox`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Inbox {
    /// Verdicts without an answer.
    #[serde(default)]
    pub verdicts: Vec<Verdict>,
    /// Commands without an answer.
    #[serde(default)]
    pub commands: Vec<Command>,
}
