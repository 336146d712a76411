//! Device profiles and rules as they are written.

use schemars::JsonSchema;
use serde::Deserialize;
use wangge_protocol::{EventKind, Severity};

use super::{DurationText, limits};
use crate::observation::Quantity;

/// What is true of every device of a type.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Wangge device profile")]
pub struct RawProfile {
    /// In a file of its own: the profile's name. In a `[profile.NAME]` table the key names it.
    pub name: Option<String>,
    /// For people, e.g. vendor and model.
    pub title: Option<String>,
    /// MQTT: how the payload is read.
    pub payload: Option<RawPayload>,
    /// Bin: whether a device must say its `height`.
    pub needs_height: Option<bool>,
    /// Bin: distance in mm at which it is full (blind zone and headroom); 0 when left out.
    #[schemars(range(min = 0.0, max = *limits::HEIGHT_MM.end()))]
    pub full_at_mm: Option<f64>,
    /// Modbus: what is read.
    #[serde(default)]
    #[schemars(length(max = limits::MAX_POINTS))]
    pub point: Vec<RawPoint>,
    /// Rules that each device gets.
    #[serde(default)]
    #[schemars(length(max = limits::MAX_RULES))]
    pub rule: Vec<RawRule>,
}

/// How an MQTT payload is read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RawPayload {
    /// The gateway's own JSON.
    Wangge,
    /// Milesight EM400 bytes.
    Em400,
    /// Anyone's JSON, by pointers (RFC 6901).
    JsonPointer(RawMapping),
}

/// Where the figures stand in someone's JSON.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawMapping {
    /// Pointer to the device's own id; it must equal the configured one.
    pub id: Option<String>,
    /// Pointer to the time: RFC 3339 text, or Unix seconds or milliseconds.
    pub time: Option<String>,
    /// Pointer to a number that rises with each message.
    pub seq: Option<String>,
    /// The figures.
    #[schemars(required, length(min = 1, max = limits::MAX_VALUES))]
    pub values: Option<Vec<RawMappingValue>>,
}

/// One figure in someone's JSON: `value * scale + offset`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawMappingValue {
    /// What it measures.
    #[schemars(required, example = &"fill")]
    pub quantity: Option<Quantity>,
    /// Where it stands, e.g. `/object/level`.
    #[schemars(required, example = &"/object/level")]
    pub pointer: Option<String>,
    /// Factor; 1 when left out.
    pub scale: Option<f64>,
    /// Added after the factor; 0 when left out.
    pub offset: Option<f64>,
}

/// One figure of a Modbus device: the sum of its parts `* scale + offset`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPoint {
    /// What it measures.
    #[schemars(required, example = &"flow")]
    pub quantity: Option<Quantity>,
    /// Its name in forwarded readings; the quantity's when left out.
    pub name: Option<String>,
    /// Registers; several are summed up (integer part and fraction of a totaliser).
    #[schemars(required, length(min = 1, max = limits::MAX_PARTS))]
    pub parts: Option<Vec<RawPart>>,
    /// Factor; 1 when left out.
    pub scale: Option<f64>,
    /// Added after the factor; 0 when left out.
    pub offset: Option<f64>,
    /// A reading that only rises.
    pub totaliser: Option<RawTotaliser>,
}

/// A reading that only rises.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawTotaliser {
    /// Value at which it starts again from zero.
    pub rollover: Option<f64>,
    /// Largest believable rise in an hour.
    #[schemars(required, example = 200.0)]
    pub max_per_hour: Option<f64>,
}

/// Registers that hold one number.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPart {
    /// Table; `holding` when left out.
    pub table: Option<RawTable>,
    /// Register address as the vendor's document gives it; see `base`.
    #[schemars(required, range(min = 0, max = 65_536), example = 0x1010)]
    pub address: Option<u32>,
    /// 1 where the vendor counts registers from 1; 0 when left out.
    #[schemars(range(min = 0, max = 1))]
    pub base: Option<u8>,
    /// `u16`, `i16`, `u32`, `i32`, `u64`, `i64`, `f32`, `f64`, `bcd1` to `bcd4` (registers of
    /// packed decimal), `bit0` to `bit15`.
    #[schemars(required, example = &"f32")]
    pub format: Option<String>,
    /// Bytes as they come on the wire, `a` the most significant; `abcd` when left out.
    pub order: Option<RawOrder>,
    /// Factor; 1 when left out.
    pub scale: Option<f64>,
}

/// Modbus table.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawTable {
    /// Function code 03.
    Holding,
    /// Function code 04.
    Input,
}

/// Order of bytes on the wire.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawOrder {
    /// Most significant byte first.
    Abcd,
    /// Words swapped: least significant register first.
    Cdab,
    /// Bytes swapped in each register.
    Badc,
    /// Least significant byte first.
    Dcba,
}

/// A rule. Beside an `id` of the profile, only what differs; else `kind`, `type` and that type's
/// fields.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRule {
    /// Unique per device.
    #[schemars(required, example = &"overflow")]
    pub id: Option<String>,
    /// `false` switches the profile's rule off.
    pub enabled: Option<bool>,
    /// Event kind of its alerts.
    pub kind: Option<EventKind>,
    /// Severity of its alerts; the kind's own when left out.
    pub severity: Option<Severity>,
    /// What it looks for.
    #[serde(rename = "type")]
    pub rule_type: Option<RawRuleType>,
    /// threshold, rate: which figure.
    pub quantity: Option<Quantity>,
    /// threshold: which side is bad; `above` when left out.
    pub side: Option<RawSide>,
    /// threshold: raised at or beyond this.
    pub raise: Option<f64>,
    /// threshold: cleared at or beyond this on the good side.
    pub clear: Option<f64>,
    /// threshold, night_flow, burst: how long it must be so.
    pub hold: Option<DurationText>,
    /// rate: change a minute; negative for a fall.
    pub per_minute: Option<f64>,
    /// rate: time over which the change is measured.
    pub window: Option<DurationText>,
    /// absence: silence that counts.
    pub after: Option<DurationText>,
    /// night_flow: start of the night, station time, e.g. `02:00`.
    pub from: Option<String>,
    /// night_flow: end of the night, e.g. `05:00`.
    pub to: Option<String>,
    /// night_flow: smallest flow that counts, m³/h.
    pub min_flow: Option<f64>,
    /// burst: flow at or above this, m³/h.
    pub flow: Option<f64>,
    /// Least time between two updates of one open alert; `10m` when left out.
    pub update_every: Option<DurationText>,
}

/// What a rule looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawRuleType {
    /// A figure beyond a limit, with hysteresis.
    Threshold,
    /// A figure that changes fast.
    Rate,
    /// A device that says nothing.
    Absence,
    /// Water that never stops at night.
    NightFlow,
    /// A flow so large that a pipe must have burst.
    Burst,
    /// What the device's own source says of it.
    Health,
}

/// Which side of a threshold is bad.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawSide {
    /// At or above `raise`.
    Above,
    /// At or below `raise`.
    Below,
}
