//! What the station that is played sends: messages and pictures, new ones at every run.

use bytes::Bytes;
use jiff::Timestamp;
use jpeg_encoder::{ColorType, Encoder};
use rand::RngCore;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use wangge_protocol::{
    AlertData, AlertMeasurement, AlertState, Answer, AnswerAbout, AnswerResult, ClockQuality,
    ClockRecord, CloudEvent, Digest, EventKind, EvidenceRef, Gap, Place, PlatformCodes, Reading,
    SCHEMA_ALERT, SCHEMA_ANSWER, SCHEMA_CLOCK, SCHEMA_DIGEST, SCHEMA_GAP, SCHEMA_TELEMETRY, Seal,
    Severity, SourceKind, TYPE_ANSWER, TYPE_CLEARED, TYPE_CLOCK, TYPE_DIGEST, TYPE_GAP,
    TYPE_RAISED, TYPE_TELEMETRY, TYPE_UPDATED, Telemetry, Text,
};

use super::peer::{Content, Parcel};

/// The device that all messages are about: whoever sees one of them knows what it is.
const DEVICE: &str = "conformance-test";

/// Makes messages for one station.
#[derive(Debug)]
pub struct Maker {
    station: String,
}

impl Maker {
    pub fn new(station: &str) -> Self {
        Maker {
            station: station.to_owned(),
        }
    }

    /// `raised`, of a new alert.
    pub fn alert(&self, evidence: &[EvidenceRef]) -> CloudEvent<AlertData> {
        self.alert_message(&new_id(), 1, AlertState::Raised, evidence)
    }

    /// Message number `revision` of an alert.
    pub fn alert_message(
        &self,
        alert_id: &str,
        revision: u32,
        state: AlertState,
        evidence: &[EvidenceRef],
    ) -> CloudEvent<AlertData> {
        let now = Timestamp::now().to_string();
        let event_type = match state {
            AlertState::Raised => TYPE_RAISED,
            AlertState::Updated => TYPE_UPDATED,
            AlertState::Cleared => TYPE_CLEARED,
        };
        let data = AlertData {
            alert_id: alert_id.to_owned(),
            revision,
            state,
            kind: EventKind::BinOverflow,
            severity: Severity::Info,
            station: self.station.clone(),
            device: DEVICE.to_owned(),
            source: SourceKind::Mqtt,
            rule: "conformance".to_owned(),
            occurred_at: now.clone(),
            raised_at: now.clone(),
            cleared_at: (state == AlertState::Cleared).then(|| now.clone()),
            text: Text {
                zh: "接收端一致性测试，请忽略".to_owned(),
                en: "a test of the receiver, please ignore".to_owned(),
            },
            measurement: Some(AlertMeasurement {
                quantity: "fill".to_owned(),
                value: 93.0,
                unit: "%".to_owned(),
                limit: Some(90.0),
            }),
            sighting: None,
            verdict: None,
            place: Place {
                lon: 116.391_27,
                lat: 39.907_2,
                unit_grid: "110101001001001".to_owned(),
                address: None,
            },
            platform: PlatformCodes {
                profile: "default".to_owned(),
                event_code: None,
                class: None,
                subclass: None,
                name: None,
                condition: None,
                source_name: "一致性测试".to_owned(),
                source_id: None,
                crs: "wgs84".to_owned(),
                x: 116.391_27,
                y: 39.907_2,
            },
            evidence: evidence.to_vec(),
            routing: None,
        };
        self.event(event_type, SCHEMA_ALERT, alert_id, data)
    }

    /// One forwarded reading.
    pub fn readings(&self) -> CloudEvent<Telemetry<Value>> {
        let data = Telemetry {
            stream: "conformance".to_owned(),
            readings: vec![Reading {
                device: DEVICE.to_owned(),
                device_time: None,
                gateway_time: Timestamp::now().to_string(),
                alert: None,
                payload: json!({ "fill": 41.5 }),
            }],
        };
        self.event(TYPE_TELEMETRY, SCHEMA_TELEMETRY, "conformance", data)
    }

    /// A record of two readings that were dropped.
    pub fn gap(&self) -> CloudEvent<Gap> {
        let data = Gap {
            class: "telemetry".to_owned(),
            stream: "conformance".to_owned(),
            count: 2,
            first_seq: 1,
            last_seq: 2,
            reason: "quota".to_owned(),
        };
        self.event(TYPE_GAP, SCHEMA_GAP, "conformance", data)
    }

    /// The clock is known now.
    pub fn clock(&self) -> CloudEvent<ClockRecord> {
        let boot = new_id();
        let data = ClockRecord {
            boot: boot.clone(),
            booted_at: Timestamp::now().to_string(),
            offset_ms: 0,
            quality: ClockQuality::Synchronised,
        };
        self.event(TYPE_CLOCK, SCHEMA_CLOCK, &boot, data)
    }

    /// What became of the alerts of a day: nothing, there were none.
    pub fn digest(&self) -> CloudEvent<Digest> {
        let day = Timestamp::now().strftime("%Y-%m-%d").to_string();
        let data = Digest {
            station: self.station.clone(),
            from: day.clone(),
            to: day.clone(),
            part: 1,
            parts: 1,
            open: 0,
            rows: Vec::new(),
        };
        self.event(TYPE_DIGEST, SCHEMA_DIGEST, &day, data)
    }

    /// The answer to a verdict that nobody sent.
    pub fn answer(&self) -> CloudEvent<Answer> {
        let verdict = new_id();
        let data = Answer {
            in_reply_to: verdict.clone(),
            about: AnswerAbout::Verdict,
            alert_id: Some(new_id()),
            result: AnswerResult::UnknownAlert,
            reason: Some("a test of the receiver, please ignore".to_owned()),
            evidence: Vec::new(),
            at: Timestamp::now().to_string(),
        };
        self.event(TYPE_ANSWER, SCHEMA_ANSWER, &verdict, data)
    }

    fn event<T>(&self, event_type: &str, schema: &str, subject: &str, data: T) -> CloudEvent<T> {
        CloudEvent {
            specversion: "1.0".to_owned(),
            id: new_id(),
            source: format!("/stations/{}", self.station),
            event_type: event_type.to_owned(),
            subject: subject.to_owned(),
            time: Timestamp::now().to_string(),
            datacontenttype: "application/json".to_owned(),
            dataschema: schema.to_owned(),
            data,
        }
    }
}

/// A new UUIDv7.
pub fn new_id() -> String {
    Uuid::now_v7().to_string()
}

/// A message as a station writes it.
pub fn parcel<T: serde::Serialize>(event: &CloudEvent<T>) -> Parcel {
    let value = serde_json::to_vec(event);
    // Types whose keys are all text always serialise.
    raw(
        &event.id,
        channel(&event.event_type),
        value.unwrap_or_default(),
    )
}

/// A changed message; `id` is what a receipt for it must echo.
pub fn changed<T: serde::Serialize>(
    event: &CloudEvent<T>,
    change: impl FnOnce(&mut Map<String, Value>),
) -> Parcel {
    let mut value = serde_json::to_value(event).unwrap_or_default();
    if let Value::Object(map) = &mut value {
        change(map);
    }
    raw(
        &event.id,
        channel(&event.event_type),
        value.to_string().into_bytes(),
    )
}

/// A message with a seal that is whole, by a key that nobody knows.
pub fn stranger<T: serde::Serialize>(event: &CloudEvent<T>) -> Parcel {
    let seal = Seal {
        clock: ClockQuality::Synchronised,
        bootid: new_id(),
        uptimems: "1000".to_owned(),
        software: env!("CARGO_PKG_VERSION").to_owned(),
        confighash: "0".repeat(16),
        sequence: "1".to_owned(),
        previous: "0".repeat(64),
        keyid: "0".repeat(16),
        signature: "A".repeat(86),
    };
    let mut body = serde_json::to_vec(event).unwrap_or_default();
    let seal = serde_json::to_vec(&seal).unwrap_or_default();
    // Two objects become one; the signature stays last.
    body.pop();
    body.push(b',');
    body.extend(seal.iter().skip(1));
    raw(&event.id, channel(&event.event_type), body)
}

/// Any bytes in a message's place.
pub fn raw(id: &str, content: Content, bytes: Vec<u8>) -> Parcel {
    Parcel {
        id: id.to_owned(),
        sha256: hex::encode(Sha256::digest(&bytes)),
        content,
        bytes: bytes.into(),
    }
}

/// The same message in other words: indented, with every character beyond ASCII escaped.
pub fn rewritten<T: serde::Serialize>(event: &CloudEvent<T>) -> Parcel {
    let text = serde_json::to_string_pretty(event).unwrap_or_default();
    let mut escaped = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if c.is_ascii() {
            escaped.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04X}"));
            }
        }
    }
    escaped.push('\n');
    raw(&event.id, channel(&event.event_type), escaped.into_bytes())
}

/// The message with a key more, so that it has exactly `bytes` bytes.
pub fn padded<T: serde::Serialize>(event: &CloudEvent<T>, bytes: usize) -> Parcel {
    let mut body = serde_json::to_vec(event).unwrap_or_default();
    body.pop();
    body.extend(br#","padding":""#);
    body.resize(bytes.saturating_sub(2), b'x');
    body.extend(br#""}"#);
    raw(&event.id, channel(&event.event_type), body)
}

fn channel(event_type: &str) -> Content {
    match event_type {
        TYPE_GAP => Content::Gap,
        TYPE_TELEMETRY => Content::Telemetry,
        TYPE_ANSWER => Content::Answer,
        TYPE_DIGEST => Content::Digest,
        _ => Content::Alert,
    }
}

/// A picture that nobody has seen before.
#[derive(Clone, Debug)]
pub struct Picture {
    pub sha256: String,
    pub bytes: Bytes,
}

impl Picture {
    /// A JPEG of coarse noise, a few kilobytes.
    pub fn new() -> Self {
        Picture::of(noise())
    }

    /// A JPEG of exactly `size` bytes, filled up with comments, which decoders pass over.
    pub fn sized(size: usize) -> Self {
        /// Of a comment: its marker and its length.
        const HEAD: usize = 4;
        const LONGEST: usize = 60_000;
        let jpeg = noise();
        let (start, rest) = jpeg.split_at(2);
        let mut bytes = start.to_vec();
        let mut left = size.saturating_sub(jpeg.len());
        while left >= HEAD {
            let mut take = left.min(LONGEST);
            if (1..HEAD).contains(&(left - take)) {
                take -= HEAD;
            }
            bytes.extend([0xff, 0xfe]);
            // At most LONGEST, which fits.
            bytes.extend(u16::try_from(take - 2).unwrap_or_default().to_be_bytes());
            bytes.resize(bytes.len() + take - HEAD, b' ');
            left -= take;
        }
        bytes.extend_from_slice(rest);
        Picture::of(bytes)
    }

    fn of(bytes: Vec<u8>) -> Self {
        Picture {
            sha256: hex::encode(Sha256::digest(&bytes)),
            bytes: bytes.into(),
        }
    }

    /// As an alert names it.
    pub fn evidence(&self) -> EvidenceRef {
        EvidenceRef {
            sha256: self.sha256.clone(),
            bytes: self.bytes.len() as u64,
            media_type: "image/jpeg".to_owned(),
            role: "scene".to_owned(),
            taken_at: Timestamp::now().to_string(),
            thumbnail: None,
        }
    }

    /// To be sent.
    pub fn parcel(&self) -> Parcel {
        self.under(&self.sha256)
    }

    /// To be sent under a hash that may be another's.
    pub fn under(&self, name: &str) -> Parcel {
        Parcel {
            id: name.to_owned(),
            sha256: self.sha256.clone(),
            content: Content::Picture,
            bytes: self.bytes.clone(),
        }
    }
}

fn noise() -> Vec<u8> {
    const SIDE: u16 = 32;
    let mut pixels = vec![0; usize::from(SIDE) * usize::from(SIDE) * 3];
    rand::rng().fill_bytes(&mut pixels);
    let mut jpeg = Vec::new();
    // Size and colours are right, so only memory could fail it; an empty picture would be
    // refused by its receiver.
    let _ = Encoder::new(&mut jpeg, 80).encode(&pixels, SIDE, SIDE, ColorType::Rgb);
    jpeg
}
