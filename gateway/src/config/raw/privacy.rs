//! What is kept of pictures, for how long, and who may open what.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::DurationText;

/// How long pictures stay; every deletion is an entry in the audit log.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRetention {
    /// Pictures of delivered alerts; `30d` when left out.
    pub default: Option<DurationText>,
    /// Pictures whose alert no receiver confirmed, counted from when the alert was given up; `24h`
    /// when left out. While an alert still waits to be delivered, its pictures stay.
    pub unconfirmed: Option<DurationText>,
    /// Terms of single event kinds instead of `default`, e.g. `illegal_dumping = "90d"`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"illegal_dumping": "90d"}]))]
    pub kinds: BTreeMap<String, DurationText>,
}

/// What people in pictures are owed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPrivacy {
    /// Keep each picture also as it was before heads and plates were hidden, sealed for the holder
    /// of a second key; it stays at the station. Nothing of the kind is kept when left out.
    pub sealed_original: Option<RawSealed>,
}

/// Who may open sealed originals, and for how long they exist.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSealed {
    /// Public half of the key, as `wangge seal-key` printed it; the secret half never comes here.
    #[schemars(required, example = &"wp1-…")]
    pub recipient: Option<String>,
    /// How long they stay from when they were taken, delivered or not.
    #[schemars(required, example = &"72h")]
    pub keep: Option<DurationText>,
}
