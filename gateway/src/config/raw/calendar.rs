//! Holidays and permits as they are written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::limits;

/// Public holidays, and permits to use zones.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawCalendar {
    /// Public holidays: days, or first and last day.
    #[serde(default)]
    #[schemars(length(max = limits::MAX_DATES), example = ["2026-10-01..2026-10-07"])]
    pub holidays: Vec<String>,
    /// Saturdays and Sundays that are worked to make up for holidays (调休).
    #[serde(default)]
    #[schemars(length(max = limits::MAX_DATES), example = ["2026-10-10"])]
    pub workdays: Vec<String>,
    /// The last day that these lists know of; needed with them.
    #[schemars(example = &"2026-12-31")]
    pub valid_until: Option<String>,
    /// File with `holidays`, `workdays` and `valid_until`, which stations may share, instead of
    /// these three here.
    pub file: Option<String>,
    /// File with `[[permit]]` tables; read again whenever it changes.
    pub permits_file: Option<String>,
    /// Permits to use zones.
    #[serde(default)]
    #[schemars(length(max = limits::MAX_PERMITS))]
    pub permit: Vec<RawPermit>,
}

/// A file of holidays.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawDays {
    /// Public holidays: days, or first and last day.
    #[serde(default)]
    #[schemars(length(max = limits::MAX_DATES), example = ["2026-10-01..2026-10-07"])]
    pub holidays: Vec<String>,
    /// Saturdays and Sundays that are worked to make up for holidays (调休).
    #[serde(default)]
    #[schemars(length(max = limits::MAX_DATES), example = ["2026-10-10"])]
    pub workdays: Vec<String>,
    /// The last day that these lists know of; needed with them.
    #[schemars(example = &"2026-12-31")]
    pub valid_until: Option<String>,
}

/// A file of permits.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPermits {
    /// Permits to use zones.
    #[serde(default)]
    #[schemars(length(max = limits::MAX_PERMITS))]
    pub permit: Vec<RawPermit>,
}

/// A permit to use zones for a time.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPermit {
    /// Its number, unique; alerts name it.
    #[schemars(required, example = &"2026-0713")]
    pub id: Option<String>,
    /// Zones it is for, as `CAMERA/ZONE`.
    #[schemars(
        required,
        length(min = 1, max = limits::MAX_PERMIT_ZONES),
        extend("examples" = [["gate/stall"]])
    )]
    pub zones: Option<Vec<String>>,
    /// Whom it was given to; alerts name them.
    pub holder: Option<String>,
    /// Begin in local time, or with its offset as RFC 3339 has it; a date alone is its begin.
    #[schemars(required, example = &"2026-10-01 08:00")]
    pub from: Option<String>,
    /// End in the same way; a date alone is its end.
    #[schemars(required, example = &"2026-10-07 22:00")]
    pub to: Option<String>,
    /// Only at these times, by local time; at any time from `from` to `to` when left out.
    #[serde(default)]
    #[schemars(length(max = limits::MAX_WINDOWS), example = ["17:00-22:00"])]
    pub windows: Vec<String>,
}
