//! What a device of our own sends over MQTT.

use alloc::string::String;
use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use crate::{pattern, schema::ToString as _};

/// One reading as a Wangge sensor node publishes it: JSON, QoS 1, on its own topic.
///
/// A node sends the quantities that it has; a key that is not there was not measured. Keys
/// that are not listed are forwarded with the reading and otherwise ignored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeviceReading {
    /// The device's own id; must be the one that its topic belongs to.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 64)))]
    pub id: String,
    /// Rises by one with every reading; starts again after the node lost power.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// When it was measured, RFC 3339 UTC; left out by a node that has no clock.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = pattern::TIMESTAMP)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// How full the bin is, %.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 100)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<f64>,
    /// Sensor to surface, mm.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 50_000)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<f64>,
    /// °C.
    #[cfg_attr(feature = "schema", schemars(range(min = -60, max = 300)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Degrees from upright.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 180)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tilt: Option<f64>,
    /// Battery left, %.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 100)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub battery: Option<f64>,
    /// Supply voltage, V.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 60)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voltage: Option<f64>,
    /// Momentary flow, m³/h; negative is backwards.
    #[cfg_attr(feature = "schema", schemars(range(min = -100_000, max = 100_000)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<f64>,
    /// Meter reading, m³.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 10_000_000_000_u64)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<f64>,
    /// Anything else a rule may look at, without a unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
}
