//! Alerts to try a profile on: one of every kind, with and without all that an alert may have.

use wangge_protocol::{
    AlertData, AlertMeasurement, AlertSighting, AlertState, EventKind, EvidenceRef, Place,
    PlatformCodes, Routing, SourceKind, Text, Tier,
};

use super::Home;
use crate::config::{Profile, code::CodeTemplate};

const TIME: &str = "2026-11-26T01:15:30.25Z";

/// A station to try a profile at.
pub fn home() -> Home {
    Home {
        station: "kunming-wuhua-01".into(),
        station_name: "海棠社区城管工作室".into(),
        time_zone: "Asia/Shanghai".into(),
    }
}

/// An alert of a kind; `full` says whether it has all that it may have.
pub fn alert(kind: EventKind, state: AlertState, full: bool, profile: &Profile) -> AlertData {
    let source = match kind {
        EventKind::BinOverflow | EventKind::BinFire | EventKind::BinTilt => SourceKind::Mqtt,
        EventKind::WaterLeak | EventKind::BurstSuspected => SourceKind::Modbus,
        EventKind::StorageFault | EventKind::VisionFault => SourceKind::Gateway,
        _ => SourceKind::Camera,
    };
    AlertData {
        alert_id: "01936b2a-7c4e-7a10-8b1c-0123456789ac".into(),
        revision: match state {
            AlertState::Raised => 1,
            AlertState::Updated => 2,
            AlertState::Cleared => 3,
        },
        state,
        kind,
        severity: kind.default_severity(),
        station: home().station,
        device: "gate".into(),
        source,
        rule: "sample".into(),
        occurred_at: "2026-11-26T01:15:00Z".into(),
        raised_at: TIME.into(),
        cleared_at: (state == AlertState::Cleared).then(|| "2026-11-26T02:00:00Z".into()),
        text: Text {
            zh: format!("海棠路12号“东门”发现{}。", kind.name_zh()),
            en: format!("A sample of {kind} at 东门 (海棠路12号)."),
        },
        measurement: full.then(|| AlertMeasurement {
            quantity: "fill".into(),
            value: 93.0,
            unit: "%".into(),
            limit: Some(90.0),
        }),
        sighting: full.then(|| AlertSighting {
            zone: "door".into(),
            label: "object".into(),
            score: 0.75,
            bbox: [0.25, 0.25, 0.5, 0.75],
            dwell_s: 31.5,
            track: 7,
            model: "nanodet-g-416".into(),
            model_hash: "0123456789abcdef".into(),
            human_confirmed: false,
            story: None,
            full_bin: None,
            overrun: None,
            forbidden_since: None,
            permit: None,
        }),
        place: Place {
            lon: 102.712_345,
            lat: 25.04,
            unit_grid: "530102001001001".into(),
            address: full.then(|| "海棠路12号".into()),
        },
        platform: PlatformCodes {
            profile: profile.id.clone(),
            event_code: event_code(kind, profile),
            class: None,
            subclass: None,
            name: None,
            condition: None,
            source_name: String::new(),
            source_id: None,
            crs: profile.crs.slug().into(),
            x: 0.0,
            y: 0.0,
        },
        evidence: if full { vec![picture()] } else { Vec::new() },
        routing: full.then(|| Routing {
            tier: Tier::City,
            escalated_from: (state == AlertState::Updated).then_some(Tier::Street),
            deadline: Some("2026-11-27T09:00:00Z".into()),
        }),
    }
}

/// A picture to try uploads with.
pub fn picture() -> EvidenceRef {
    EvidenceRef {
        sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into(),
        bytes: 48_123,
        media_type: "image/jpeg".into(),
        role: "scene".into(),
        taken_at: "2026-11-26T01:15:29Z".into(),
        thumbnail: None,
    }
}

fn event_code(kind: EventKind, profile: &Profile) -> Option<String> {
    let code = profile.codes.get(&kind)?;
    let template = CodeTemplate::parse(&profile.event_code).ok()?;
    let made = template.code("530102001001001", code.words(), |_| Some(41))?;
    Some(made.text)
}
