//! `[[uplink]]`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::SizeText;
use crate::config::limits;

/// Where alerts and streams are delivered.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawUplink {
    /// Names the queue on disk: keep it, or undelivered alerts stay behind.
    #[schemars(required, example = &"city")]
    pub name: Option<String>,
    /// `mqtts://host:8883`, `mqtt://host:1883` or `https://host/path`.
    #[schemars(required, example = &"https://platform.example/wangge")]
    pub url: Option<String>,
    /// `push` for a platform's own case interface, as `[push]` of its profile describes it; when
    /// left out, a receiver of our messages.
    #[serde(rename = "type")]
    pub kind: Option<RawUplinkType>,
    /// `push`: a platform profile that ships with the gateway; the station's own when left out.
    pub profile: Option<String>,
    /// `push`: a platform profile file instead.
    pub profile_file: Option<String>,
    /// MQTT: start of all topics; `wangge/v1/STATION` when left out.
    pub topic_prefix: Option<String>,
    /// MQTT and `push`: user name.
    pub username: Option<String>,
    /// MQTT and `push`: password, for trials only; prefer `password_file`.
    pub password: Option<String>,
    /// MQTT and `push`: file with the password, readable by the gateway alone.
    pub password_file: Option<String>,
    /// HTTPS: file with the bearer token, readable by the gateway alone.
    pub token_file: Option<String>,
    /// PEM file of a private CA; the system's CAs when left out.
    pub ca_file: Option<String>,
    /// PEM file of the gateway's own certificate.
    pub client_cert: Option<String>,
    /// PEM file of its key, readable by the gateway alone.
    pub client_key: Option<String>,
    /// MQTT: client id; `wangge-STATION-NAME` when left out.
    pub client_id: Option<String>,
    /// What counts as delivered: the platform's own `receipt` (when left out), or the `broker`'s
    /// acknowledgement where the broker is the durable border.
    pub border: Option<RawBorder>,
    /// Whether alerts go this way; `true` when left out.
    pub alerts: Option<bool>,
    /// Whether verdicts on alerts and commands are taken from there; as `alerts` when left out.
    pub verdicts: Option<bool>,
    /// Who is at the other end: `community`, `street`, `city`, or several of them. An uplink with
    /// a tier gets the alerts that the platform profile's `[routing]` sends there; one without
    /// gets all.
    #[schemars(example = &"street")]
    pub tier: Option<RawTiers>,
    /// Streams that go this way.
    #[serde(default)]
    #[schemars(example = ["bins"])]
    pub streams: Vec<String>,
    /// Largest piece in which a large picture goes, so that an alert can overtake it and a cut
    /// costs one piece; `64KiB` when left out.
    pub chunk: Option<SizeText>,
    /// Which pictures go with an alert: `full` (when left out), `thumbnail-first`, the pictures
    /// themselves following later, or `thumbnail-only`, when the platform asks for them.
    pub pictures: Option<RawPictures>,
    /// Bytes that may cross the line in a day or month, `SIZE/day` or `SIZE/month`; when they are
    /// spent, alerts only.
    #[schemars(
        regex(pattern = r"^[0-9]+(\.[0-9]+)?([KMGT]i?)?B/(day|month)$"),
        example = &"200MiB/month"
    )]
    pub budget: Option<String>,
    /// When readings and late pictures may go, by local time; at all times when left out.
    #[schemars(
        length(min = 1, max = limits::MAX_WINDOWS),
        extend("examples" = [["22:00-06:00"]])
    )]
    pub windows: Option<Vec<String>>,
}

/// Which pictures go with an alert.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RawPictures {
    /// The pictures themselves, before the alert.
    Full,
    /// A small one before the alert, the picture itself afterwards.
    ThumbnailFirst,
    /// A small one before the alert, the picture itself if the platform asks for it.
    ThumbnailOnly,
}

/// What is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawUplinkType {
    /// A receiver of our messages, which answers with receipts.
    Receiver,
    /// A platform's own case interface.
    Push,
}

/// One tier or several.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum RawTiers {
    One(RawTier),
    Many(Vec<RawTier>),
}

/// Who deals with alerts.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawTier {
    /// The station's own community: also gets what is kept at the station.
    Community,
    /// The street office (街道).
    Street,
    /// The city, or its district.
    City,
}

/// What counts as delivered.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawBorder {
    /// The platform's own receipt with id and hash.
    Receipt,
    /// The broker's PUBACK. A broker acknowledges what its rules drop, so choose it only for a
    /// broker known to store.
    Broker,
}
