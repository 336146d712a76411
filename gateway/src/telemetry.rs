//! Readings that are forwarded: which, how often, with which fields, alone or several in one
//! message. Pure; what it encodes is never changed afterwards.

use std::{collections::HashMap, fmt::Write as _, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::value::RawValue;
use uuid::Uuid;
use wangge_protocol::{SCHEMA_TELEMETRY, TYPE_TELEMETRY};

use crate::{
    clock::{Now, Stamp},
    config,
    observation::Arrival,
    spool::{Class, Lane, MAX_BODY, Record},
};

/// Room that the envelope takes in a message, so that readings know when it is full.
const ENVELOPE: usize = 768;
/// Largest single reading, encoded; a larger one cannot be forwarded.
pub const MAX_READING: usize = MAX_BODY - ENVELOPE;

/// Why a reading was not forwarded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TelemetryError {
    /// The message would not fit a spool record.
    #[error(
        "a reading of {device} takes {size} bytes in stream {stream}, more than {MAX_READING}: name the fields to keep with `fields`"
    )]
    TooLarge {
        device: String,
        stream: String,
        size: usize,
    },
}

/// All configured streams.
#[derive(Debug)]
pub struct Streams {
    source: String,
    streams: Vec<Stream>,
    /// What messages say of the clock, as further attributes.
    clock: String,
}

#[derive(Debug)]
struct Stream {
    name: Arc<str>,
    /// `None` takes every device.
    devices: Option<Vec<Arc<str>>>,
    thin: Duration,
    batch: bool,
    fields: Vec<String>,
    lanes: Vec<Lane>,
    last: HashMap<Arc<str>, Duration>,
    /// Encoded readings, separated by commas, of the message being filled.
    open: String,
    count: u32,
}

impl Streams {
    /// The streams of a configuration; one that no uplink carries forwards nothing.
    pub fn new(config: &config::Config) -> Self {
        let streams = config
            .streams
            .iter()
            .map(|s| Stream {
                name: s.name.clone(),
                devices: (!s.devices.is_empty()).then(|| s.devices.clone()),
                thin: s.thin,
                batch: s.batch,
                fields: s.fields.clone(),
                lanes: (0u8..)
                    .zip(&config.uplinks)
                    .filter(|(_, u)| u.streams.contains(&s.name))
                    .map(|(uplink, _)| Lane {
                        uplink,
                        class: Class::Telemetry,
                    })
                    .collect(),
                last: HashMap::new(),
                open: String::new(),
                count: 0,
            })
            .filter(|s| !s.lanes.is_empty())
            .collect();
        Streams {
            source: format!("/stations/{}", config.station.id),
            streams,
            clock: String::new(),
        }
    }

    /// Whether nothing is forwarded.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// What messages say of the clock from now on: nothing while it is believed.
    pub fn set_clock(&mut self, stamp: Option<Stamp>) {
        self.clock.clear();
        if let Some(stamp) = stamp {
            // Writing to a String cannot fail.
            let _ = write!(
                self.clock,
                ",\"clock\":\"{}\",\"bootid\":\"{}\",\"uptimems\":\"{}\"",
                stamp.quality.slug(),
                stamp.boot,
                stamp.uptime_ms
            );
        }
    }

    /// Takes an arrival into every stream that wants it. `alert` is the rule of an alert that is
    /// open on the device.
    ///
    /// # Errors
    /// The first stream whose message cannot hold the reading; the other streams still have it.
    pub fn push(
        &mut self,
        arrival: &Arrival,
        alert: Option<&str>,
        now: Now,
        out: &mut Vec<Record>,
    ) -> Result<(), TelemetryError> {
        let Some(payload) = &arrival.payload else {
            return Ok(());
        };
        let mut result = Ok(());
        for stream in &mut self.streams {
            if stream.wants(&arrival.subject, now) {
                let head = (self.source.as_str(), self.clock.as_str());
                let pushed = stream.push(head, arrival, payload, alert, now, out);
                result = result.and(pushed);
            }
        }
        result
    }

    /// Closes the messages being filled: the commit that makes them durable is about to start.
    pub fn flush(&mut self, now: Now, out: &mut Vec<Record>) {
        for stream in &mut self.streams {
            stream.close((&self.source, &self.clock), now.wall, out);
        }
    }
}

impl Stream {
    fn wants(&mut self, device: &Arc<str>, now: Now) -> bool {
        if self.devices.as_ref().is_some_and(|d| !d.contains(device)) {
            return false;
        }
        if self.thin.is_zero() {
            return true;
        }
        match self.last.get_mut(device) {
            Some(last) if now.mono.saturating_sub(*last) < self.thin => false,
            Some(last) => {
                *last = now.mono;
                true
            }
            None => {
                self.last.insert(device.clone(), now.mono);
                true
            }
        }
    }

    fn push(
        &mut self,
        head: (&str, &str),
        arrival: &Arrival,
        payload: &RawValue,
        alert: Option<&str>,
        now: Now,
        out: &mut Vec<Record>,
    ) -> Result<(), TelemetryError> {
        let selected;
        let payload = if self.fields.is_empty() {
            payload.get()
        } else {
            selected = select(payload, &self.fields);
            selected.as_str()
        };
        let mut reading = String::with_capacity(payload.len() + 160);
        reading.push_str("{\"device\":");
        push_json(&mut reading, &arrival.subject);
        if let Some(t) = arrival.device_time {
            let _ = write!(reading, ",\"device_time\":\"{t:.3}\"");
        }
        let _ = write!(reading, ",\"gateway_time\":\"{:.3}\"", arrival.received);
        if let Some(rule) = alert {
            reading.push_str(",\"alert\":");
            push_json(&mut reading, rule);
        }
        let _ = write!(reading, ",\"payload\":{payload}}}");
        if reading.len() > MAX_READING {
            return Err(TelemetryError::TooLarge {
                device: arrival.subject.to_string(),
                stream: self.name.to_string(),
                size: reading.len(),
            });
        }
        if self.count > 0 && self.open.len() + 1 + reading.len() > MAX_READING {
            self.close(head, now.wall, out);
        }
        if self.count > 0 {
            self.open.push(',');
        }
        self.open.push_str(&reading);
        self.count += 1;
        if !self.batch {
            self.close(head, now.wall, out);
        }
        Ok(())
    }

    fn close(&mut self, (source, clock): (&str, &str), wall: Timestamp, out: &mut Vec<Record>) {
        if self.count == 0 {
            return;
        }
        for lane in &self.lanes {
            // Each uplink gets an id of its own: its receipts settle its copy alone.
            let id = Uuid::now_v7().to_string();
            let mut body = String::with_capacity(self.open.len() + ENVELOPE);
            let _ = write!(
                body,
                "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"{source}\",\"type\":\"{TYPE_TELEMETRY}\",\"subject\":"
            );
            push_json(&mut body, &self.name);
            let _ = write!(
                body,
                ",\"time\":\"{wall:.3}\",\"datacontenttype\":\"application/json\",\"dataschema\":\"{SCHEMA_TELEMETRY}\"{clock},\"data\":{{\"stream\":"
            );
            push_json(&mut body, &self.name);
            let _ = write!(body, ",\"readings\":[{}]}}}}", self.open);
            out.push(Record {
                lane: *lane,
                stream: self.name.to_string(),
                id,
                count: self.count,
                evidence: Vec::new(),
                body: body.into_bytes(),
            });
        }
        self.open.clear();
        self.count = 0;
    }
}

/// Appends `text` as a JSON string.
fn push_json(out: &mut String, text: &str) {
    if text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// The named fields of an object: a plain name is a top-level key, a leading `/` an RFC 6901
/// pointer whose last part becomes the key. What is not there is left out.
fn select(payload: &RawValue, fields: &[String]) -> String {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(payload.get()) else {
        return "{}".to_owned();
    };
    let mut kept = serde_json::Map::new();
    for field in fields {
        let (found, key) = if field.starts_with('/') {
            (
                value.pointer(field),
                field.rsplit('/').next().unwrap_or(field),
            )
        } else {
            (value.get(field), field.as_str())
        };
        if let Some(found) = found {
            kept.insert(key.to_owned(), found.clone());
        }
    }
    serde_json::Value::Object(kept).to_string()
}

#[cfg(test)]
mod tests;
