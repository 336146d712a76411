//! Platform profiles: the receiving platform's codes, sources and coordinates.

use std::collections::BTreeMap;

use serde::Deserialize;
use wangge_protocol::{EventKind, SourceKind};

use super::{Crs, EventCode, Profile};

/// Profiles that ship with the gateway, by name.
pub(super) const EMBEDDED: &[(&str, &str)] = &[(
    "default",
    "id = \"default\"\ncrs = \"wgs84\"\nevent_code = \"{division}{class}{subclass}\"\n[sources]\nmqtt = \"物联感知设备\"\nmodbus = \"物联感知设备\"\ncamera = \"视频智能识别\"\ngateway = \"物联感知设备\"\n",
)];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlatformProfile {
    id: String,
    sources: BTreeMap<SourceKind, String>,
    crs: String,
    event_code: String,
    #[serde(default)]
    codes: BTreeMap<EventKind, RawCode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCode {
    class: String,
    subclass: String,
    name: String,
}

/// Reads a profile.
pub(super) fn parse(text: &str, origin: &str) -> Result<Profile, String> {
    let raw: RawPlatformProfile =
        toml::from_str(text).map_err(|e| format!("{origin}: {}", e.message()))?;
    let crs = match raw.crs.as_str() {
        "wgs84" => Crs::Wgs84,
        "gcj02" => Crs::Gcj02,
        "epsg3857" => Crs::Epsg3857,
        other => return Err(format!("{origin}: unknown crs {other}")),
    };
    let codes = raw.codes.into_iter().map(|(kind, c)| {
        let code = EventCode {
            class: c.class,
            subclass: c.subclass,
            name: c.name,
        };
        (kind, code)
    });
    Ok(Profile {
        id: raw.id,
        sources: raw.sources,
        crs,
        event_code: raw.event_code,
        codes: codes.collect(),
    })
}
