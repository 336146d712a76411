//! Buses and devices as they are written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{DurationText, LengthText, RawRule, limits};

/// One Modbus bus.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawBus {
    /// How devices refer to it.
    #[schemars(required, example = &"meters")]
    pub name: Option<String>,
    /// Modbus TCP: host and port, 502 when the port is left out.
    #[schemars(example = &"192.168.1.5:502")]
    pub tcp: Option<String>,
    /// Modbus RTU: the serial device.
    #[schemars(example = &"/dev/serial/by-id/usb-FTDI-if00-port0")]
    pub serial: Option<String>,
    /// Serial speed; 9600 when left out.
    #[schemars(extend("enum" = limits::BAUDS))]
    pub baud: Option<u32>,
    /// Serial parity; `none` when left out.
    pub parity: Option<RawParity>,
    /// Serial stop bits; 1 when left out.
    #[schemars(range(min = 1, max = 2))]
    pub stop_bits: Option<u8>,
    /// Longest wait for a reply; `500ms` when left out.
    pub timeout: Option<DurationText>,
}

/// Parity of a serial line.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawParity {
    /// No parity bit.
    None,
    /// Even parity.
    Even,
    /// Odd parity.
    Odd,
}

/// A bin, a meter: whatever has an id. `ids` makes a whole row of them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawDevice {
    /// Unique among devices and cameras; letters, digits, `.`, `_` and `-`.
    #[schemars(example = &"bin-1")]
    pub id: Option<String>,
    /// Many ids at once, e.g. `bin-{001..200}`; the rest of the table holds for each.
    #[schemars(example = &"bin-{001..200}")]
    pub ids: Option<String>,
    /// For people; `{id}` stands for the id.
    pub name: Option<String>,
    /// What the device is: a profile that ships with the gateway or a `[profile.NAME]` of this
    /// file.
    #[schemars(required, example = &"wangge-bin")]
    pub profile: Option<String>,
    /// MQTT: the broker or listener it publishes to; not needed if there is only one.
    pub via: Option<String>,
    /// MQTT: the topic it publishes on, without wildcards; `bins/{id}/up` when left out.
    pub topic: Option<String>,
    /// Modbus: its bus; not needed if there is only one.
    pub bus: Option<String>,
    /// Modbus: unit id 1 to 247, or `1..200` beside `ids`.
    pub unit_id: Option<RawUnitId>,
    /// Modbus: how often it is read; `10s` when left out.
    pub every: Option<DurationText>,
    /// Bin: from the sensor to the floor.
    pub height: Option<LengthText>,
    /// WGS-84 longitude, the station's when left out.
    #[schemars(range(min = -180.0, max = 180.0))]
    pub lon: Option<f64>,
    /// WGS-84 latitude, the station's when left out.
    #[schemars(range(min = -90.0, max = 90.0))]
    pub lat: Option<f64>,
    /// Address text, the station's when left out.
    pub address: Option<String>,
    /// Unit grid, the station's when left out.
    pub unit_grid: Option<String>,
    /// Messages a second that are believed, more is a flood; 2 when left out.
    #[schemars(range(min = *limits::MAX_RATE.start(), max = *limits::MAX_RATE.end()))]
    pub max_rate: Option<f64>,
    /// Changes to the profile's rules (same `id`), or rules of its own.
    #[serde(default)]
    #[schemars(length(max = limits::MAX_RULES))]
    pub rule: Vec<RawRule>,
}

/// One unit id, or one for each of `ids`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RawUnitId {
    /// One unit id.
    One(#[schemars(range(min = *limits::UNIT_ID.start(), max = *limits::UNIT_ID.end()))] u8),
    /// First and last, e.g. `1..200`.
    Range(#[schemars(regex(pattern = r"^[0-9]+\.\.[0-9]+$"))] String),
}
