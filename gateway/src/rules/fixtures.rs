//! Devices, cameras and observations for tests of rules and alerts.

use std::{sync::Arc, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use wangge_protocol::{EventKind, EvidenceRef};

use crate::{
    bilingual::text,
    clock::Now,
    config::platform as profile,
    config::{
        Among, Calendars, Camera, CameraInput, Condition, Config, Device, DeviceLink,
        DeviceProfile, Rule, Side, Station, Storage,
    },
    observation::{Health, Observation, Quality, Quantity, Sighting, Value},
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) fn timestamp(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// What a source says of a fault, `en` in English.
pub(crate) fn fault(what: EventKind, en: &str) -> Value {
    let reason = text("发生故障", en);
    Value::Health(Health::Fault { what, reason })
}

/// `mono` after a start at 2026-11-22 14:00 in China.
pub(crate) fn at(mono: Duration) -> Now {
    Now {
        wall: timestamp("2026-11-22T06:00:00Z") + mono,
        mono,
    }
}

pub(crate) fn rule(id: &str, kind: EventKind, when: Condition) -> Arc<Rule> {
    Arc::new(Rule {
        id: id.into(),
        kind,
        severity: kind.default_severity(),
        when,
        update_every: 15 * MINUTE,
    })
}

pub(crate) fn full(hold: Duration) -> Arc<Rule> {
    let when = Condition::Threshold {
        quantity: Quantity::Fill,
        side: Side::Above,
        raise: 90.0,
        clear: 80.0,
        hold,
    };
    rule("full", EventKind::BinOverflow, when)
}

pub(crate) fn silent(after: Duration) -> Arc<Rule> {
    let when = Condition::Absence { after };
    rule("silent", EventKind::DeviceSilent, when)
}

pub(crate) fn healthy(kind: EventKind) -> Arc<Rule> {
    rule("health", kind, Condition::Health)
}

pub(crate) fn stall(dwell: Duration, grace: Duration) -> Arc<Rule> {
    let when = Condition::Presence {
        zone: "door".into(),
        labels: vec!["umbrella".into(), "chair".into()],
        dwell,
        grace,
        bins: Vec::new(),
        among: Among::All,
        calendar: Arc::default(),
    };
    rule("stall", EventKind::ShopOverflow, when)
}

pub(crate) fn device(id: &str, rules: Vec<Arc<Rule>>) -> Arc<Device> {
    Arc::new(Device {
        id: id.into(),
        name: Some("3号垃圾箱".into()),
        profile: Arc::new(DeviceProfile {
            name: "bin".into(),
            title: "bin".into(),
            payload: None,
            points: Vec::new(),
            rules: Vec::new(),
            needs_height: false,
            full_at_mm: 0.0,
        }),
        link: DeviceLink::Mqtt {
            via: "broker".into(),
            topic: format!("bins/{id}"),
        },
        height_mm: None,
        rules,
        unit_grid: "530102001002001".into(),
        lon: 102.7,
        lat: 25.04,
        address: Some("海棠路12号".into()),
        max_rate: 1.0,
    })
}

pub(crate) fn camera(id: &str, rules: Vec<Arc<Rule>>) -> Arc<Camera> {
    Arc::new(Camera {
        id: id.into(),
        name: None,
        input: CameraInput::File {
            path: "street.mp4".into(),
            repeat: false,
        },
        zones: Vec::new(),
        masks: Vec::new(),
        fps: 2.0,
        ground: None,
        rules,
        unit_grid: "530102001002001".into(),
        lon: 102.7,
        lat: 25.04,
        address: None,
    })
}

pub(crate) fn observed(subject: &str, value: Value, now: Now) -> Observation {
    Observation {
        subject: subject.into(),
        at: now.wall,
        value,
        quality: Quality::Good,
    }
}

pub(crate) fn measured(subject: &str, quantity: Quantity, value: f64, now: Now) -> Observation {
    observed(subject, Value::Measurement { quantity, value }, now)
}

pub(crate) fn picture(n: u8) -> EvidenceRef {
    EvidenceRef {
        sha256: format!("{n:064x}"),
        bytes: 48_123,
        media_type: "image/jpeg".into(),
        role: "scene".into(),
        taken_at: "2026-11-22T06:00:00Z".into(),
        thumbnail: None,
    }
}

pub(crate) fn sighting(label: &str, dwell: Duration, evidence: Vec<EvidenceRef>) -> Value {
    Value::Sighting(seen(label, dwell, evidence))
}

pub(crate) fn seen(label: &str, dwell: Duration, evidence: Vec<EvidenceRef>) -> Box<Sighting> {
    Box::new(Sighting {
        zone: "door".into(),
        present: true,
        label: label.into(),
        score: 0.75,
        bbox: [0.25, 0.25, 0.5, 0.75],
        track: 7,
        dwell,
        model: "yolox-nano".into(),
        model_hash: "0123456789abcdef".into(),
        evidence,
        story: None,
        overrun: None,
        left_behind: false,
    })
}

/// The zone, watched and found empty for `dwell`.
pub(crate) fn empty(dwell: Duration) -> Value {
    let mut sighting = seen("", dwell, Vec::new());
    sighting.present = false;
    Value::Sighting(sighting)
}

pub(crate) fn config(devices: Vec<Arc<Device>>, cameras: Vec<Arc<Camera>>) -> Config {
    Config {
        station: Station {
            id: "haitang".into(),
            name: "海棠社区城管工作室".into(),
            unit_grid: "530102001002000".into(),
            lon: 102.712_345,
            lat: 25.04,
            address: None,
            time_zone: TimeZone::get("Asia/Shanghai").unwrap(),
        },
        storage: Storage {
            path: "spool".into(),
            quota: crate::config::Quota::of(1 << 30),
            retention: crate::config::Retention {
                default: HOUR,
                unconfirmed: HOUR,
                kinds: Default::default(),
                sealed: HOUR,
            },
            commit_interval: Duration::ZERO,
        },
        brokers: Vec::new(),
        listener: None,
        buses: Vec::new(),
        cameras,
        calendars: Calendars::default(),
        vision: None,
        devices,
        streams: Vec::new(),
        uplinks: Vec::new(),
        verdicts: crate::config::Verdicts { reopen_after: HOUR },
        commands: crate::config::Commands {
            keys: Vec::new(),
            max_silence: 24 * HOUR,
        },
        profile: Arc::new(profile::parse(profile::DEFAULT, "default.toml").unwrap()),
        console: None,
        stop_deadline: 10 * SECOND,
        hash: "0123456789abcdef".into(),
    }
}
