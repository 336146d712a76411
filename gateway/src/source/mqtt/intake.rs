//! From one MQTT message to one [`Arrival`]: whose it is, whether it is believed, what it says.
//! Shared by the broker client and the listener; no I/O.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use wangge_protocol::{EventKind, Text};

use super::{
    guard::{Fate, Guard, Identity, Verdict, believable},
    payload::{self, Parsed, PayloadError, Values},
    pictures::Pictures,
};
use crate::{
    bilingual::Bilingual,
    clock::Now,
    config::{Device, DeviceLink, Payload},
    counters::{Counter, SourceCounters},
    observation::{Arrival, Health, Observation, Quality, Quantity, Value},
};

/// Unknown topics that are remembered, so that each is reported once; further ones are only
/// counted.
pub const MAX_UNKNOWN: usize = 1024;
/// A distance may exceed the bin's height by this factor (a sloping floor, an open lid) before
/// it is no distance into this bin.
const HEIGHT_TOLERANCE: f64 = 1.1;
/// Characters of somebody else's topic or id that go into a log line or reason.
const MAX_SHOWN: usize = 80;

/// Every device behind one broker or listener.
#[derive(Debug)]
pub struct Intake {
    /// The broker's or listener's name, for logs.
    via: Arc<str>,
    max_payload: usize,
    by_topic: HashMap<String, usize>,
    by_id: HashMap<Arc<str>, usize>,
    slots: Vec<Slot>,
    /// What is published on topics of cameras is none of this module's business.
    pictures: Pictures,
    unknown: Mutex<HashSet<u64>>,
    hasher: RandomState,
    counters: Arc<SourceCounters>,
}

#[derive(Debug)]
struct Slot {
    device: Arc<Device>,
    guard: Mutex<Guard>,
}

/// One PUBLISH.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub topic: &'a str,
    pub payload: &'a [u8],
    pub dup: bool,
    pub retain: bool,
    /// QoS 1 or 2.
    pub waits: bool,
    /// The device that logged in on this connection, where devices log in.
    pub login: Option<&'a str>,
}

/// Names an accepted message for [`Intake::settle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    slot: usize,
    key: u64,
}

/// What became of a message. Without an arrival it is to be acknowledged at once: a broker would
/// deliver it for ever.
#[derive(Debug, Default)]
pub struct Taken {
    pub arrival: Option<Arrival>,
    pub mark: Option<Mark>,
    /// News about the device itself, to be passed on before the arrival.
    pub report: Option<Box<Arrival>>,
}

/// Why a message of a known device is not believed.
#[derive(Debug, thiserror::Error)]
enum Offence {
    #[error("it sends more than its {0} messages a second; the rest is dropped")]
    Flood(f64),
    #[error("not understood: {0}")]
    Garbage(#[from] PayloadError),
    #[error("it calls itself {0:?}")]
    ForeignId(String),
    #[error("it publishes to {0:?}, which is not its topic")]
    ForeignTopic(String),
    #[error("message {0} was taken before or is older than what was taken: a replay")]
    Replay(String),
}

impl Bilingual for Offence {
    fn zh(&self) -> String {
        match self {
            Offence::Flood(rate) => format!("每秒报文超过 {rate} 条,多余的已丢弃"),
            Offence::Garbage(error) => format!("报文无法解析:{}", error.zh()),
            Offence::ForeignId(id) => format!("报文中自称 {id:?},与本设备编号不符"),
            Offence::ForeignTopic(topic) => format!("向不属于它的主题 {topic:?} 发布报文"),
            Offence::Replay(which) => {
                format!("报文 {which} 已收过,或早于已收的报文,疑似重放")
            }
        }
    }
}

impl Intake {
    /// The devices that publish by way of `via`.
    pub fn new(
        via: Arc<str>,
        max_payload: usize,
        devices: &[Arc<Device>],
        counters: Arc<SourceCounters>,
        now: Now,
    ) -> Intake {
        let mut intake = Intake {
            via,
            max_payload,
            by_topic: HashMap::new(),
            by_id: HashMap::new(),
            slots: Vec::new(),
            pictures: Pictures::default(),
            unknown: Mutex::default(),
            hasher: RandomState::new(),
            counters,
        };
        for device in devices {
            let DeviceLink::Mqtt { via, topic } = &device.link else {
                continue;
            };
            if *via != intake.via {
                continue;
            }
            let slot = intake.slots.len();
            intake.by_topic.insert(topic.clone(), slot);
            intake.by_id.insert(device.id.clone(), slot);
            intake.slots.push(Slot {
                device: device.clone(),
                guard: Mutex::new(Guard::new(device.max_rate, now)),
            });
        }
        intake
    }

    /// With cameras, too.
    pub fn with_pictures(mut self, pictures: Pictures) -> Intake {
        self.pictures = pictures;
        self
    }

    /// The cameras.
    pub fn pictures(&self) -> &Pictures {
        &self.pictures
    }

    /// Every topic that a device or camera publishes on, sorted.
    pub fn topics(&self) -> Vec<String> {
        let mut topics: Vec<_> = self.by_topic.keys().cloned().collect();
        topics.extend(self.pictures.topics());
        topics.sort_unstable();
        topics
    }

    /// Whether a device or camera publishes there.
    pub fn has_topic(&self, topic: &str) -> bool {
        self.by_topic.contains_key(topic) || self.pictures.has_topic(topic)
    }

    /// Judges and reads one message.
    pub fn take(&self, m: Message<'_>, now: Now) -> Taken {
        if self.pictures.take(&m, &self.counters, now) {
            return Taken::default();
        }
        self.counters.received.add_one();
        let (slot, entry) = match self.whose(m.topic, m.login, now) {
            Ok(found) => found,
            Err(refused) => return *refused,
        };
        let mut guard = lock(&entry.guard);
        if !guard.admit(now) {
            let offence = Offence::Flood(entry.device.max_rate);
            return self.refuse(entry, &mut guard, offence, &self.counters.flooded, now);
        }
        let profile = entry.device.profile.payload.as_ref();
        let parsed = match payload::parse(
            profile.unwrap_or(&Payload::Wangge),
            m.payload,
            self.max_payload,
        ) {
            Ok(parsed) => parsed,
            Err(e) => {
                return self.refuse(entry, &mut guard, e.into(), &self.counters.garbage, now);
            }
        };
        if let Some(id) = &parsed.id
            && *entry.device.id != **id
        {
            let offence = Offence::ForeignId(shown(id));
            return self.refuse(entry, &mut guard, offence, &self.counters.foreign, now);
        }
        // The broker sends what it retains at every subscription: it says nothing about now,
        // unless its own clock does.
        if m.retain && parsed.time.is_none_or(|time| !believable(time, now)) {
            tracing::debug!(topic = m.topic, "retained message of no known age ignored");
            self.counters.refused.add_one();
            self.counters.stale.add_one();
            return Taken::default();
        }
        let identity = Identity {
            seq: parsed.seq,
            time: parsed.time,
            digest: crc32c::crc32c(m.payload),
            // A retained copy comes again by the broker's doing, as a redelivery does.
            dup: m.dup || m.retain,
            waits: m.waits,
        };
        match guard.judge(identity, now) {
            Verdict::Fresh | Verdict::Again => {}
            Verdict::Repeat => {
                self.counters.repeated.add_one();
                return Taken {
                    mark: identity.key().map(|key| Mark { slot, key }),
                    ..Taken::default()
                };
            }
            Verdict::Replay => {
                let which = parsed.seq.map_or_else(
                    || parsed.time.map(|t| t.to_string()).unwrap_or_default(),
                    |seq| seq.to_string(),
                );
                let offence = Offence::Replay(which);
                return self.refuse(entry, &mut guard, offence, &self.counters.replayed, now);
            }
        }
        let (at, quality, changed) = guard.date(parsed.time, now);
        drop(guard);
        if changed {
            clock_news(&entry.device, parsed.time, quality);
        }
        self.counters.accepted.add_one();
        Taken {
            mark: identity.key().map(|key| Mark { slot, key }),
            arrival: Some(arrival(&entry.device, parsed, at, quality, now)),
            report: None,
        }
    }

    /// A message that is too large to be read.
    pub fn oversize(&self, topic: &str, len: usize, login: Option<&str>, now: Now) -> Taken {
        if self.pictures.oversize(topic, len, &self.counters) {
            return Taken::default();
        }
        self.counters.received.add_one();
        match self.whose(topic, login, now) {
            Ok((_, entry)) => {
                let max = self.max_payload;
                let offence = Offence::Garbage(PayloadError::TooLarge { len, max });
                let mut guard = lock(&entry.guard);
                self.refuse(entry, &mut guard, offence, &self.counters.garbage, now)
            }
            Err(refused) => *refused,
        }
    }

    /// Whose topic it is, if the one who logged in may use it.
    fn whose(
        &self,
        topic: &str,
        login: Option<&str>,
        now: Now,
    ) -> Result<(usize, &Slot), Box<Taken>> {
        let found = self
            .by_topic
            .get(topic)
            .and_then(|slot| Some((*slot, self.slots.get(*slot)?)));
        match (found, login) {
            (Some((slot, entry)), Some(login)) if *entry.device.id == *login => Ok((slot, entry)),
            (Some((slot, entry)), None) => Ok((slot, entry)),
            (_, Some(login)) => Err(Box::new(self.foreign_topic(login, topic, now))),
            (None, None) => Err(Box::new(self.unknown(topic))),
        }
    }

    /// An accepted message has come as far as `fate`.
    pub fn settle(&self, mark: Mark, fate: Fate) {
        if let Some(entry) = self.slots.get(mark.slot) {
            lock(&entry.guard).settle(mark.key, fate);
        }
    }

    /// Nobody could reach us for `absence`; `device` limits it to one device by id.
    pub fn grant(&self, device: Option<&str>, absence: Duration) {
        match device {
            Some(id) => {
                if let Some(entry) = self.by_id.get(id).and_then(|slot| self.slots.get(*slot)) {
                    lock(&entry.guard).grant(absence);
                }
            }
            None => {
                for entry in &self.slots {
                    lock(&entry.guard).grant(absence);
                }
            }
        }
    }

    /// Reports of devices whose quarantine has ended. To be called every few seconds.
    pub fn tick(&self, now: Now) -> Vec<Arrival> {
        self.slots
            .iter()
            .filter(|entry| lock(&entry.guard).release(now))
            .map(|entry| {
                tracing::info!(device = %entry.device.id, "out of quarantine");
                health(&entry.device, Health::Ok, now)
            })
            .collect()
    }

    /// Something is wrong with the device's channel rather than with a message: reported once
    /// like an offence.
    pub fn quarantine(&self, topic: &str, reason: Text, now: Now) -> Option<Arrival> {
        let entry = self.slots.get(*self.by_topic.get(topic)?)?;
        let mut guard = lock(&entry.guard);
        self.report(entry, &mut guard, reason, now)
    }

    fn unknown(&self, topic: &str) -> Taken {
        self.counters.refused.add_one();
        self.counters.unknown.add_one();
        let mut seen = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = self.hasher.hash_one(topic);
        if seen.len() < MAX_UNKNOWN && seen.insert(hash) {
            tracing::warn!(
                via = %self.via,
                topic = shown(topic),
                "no device has this topic; its messages are dropped. \
                 Add the device to the configuration or stop it"
            );
            if seen.len() == MAX_UNKNOWN {
                tracing::warn!(
                    via = %self.via,
                    "{MAX_UNKNOWN} unknown topics; further ones are counted, not named"
                );
            }
        }
        Taken::default()
    }

    fn foreign_topic(&self, login: &str, topic: &str, now: Now) -> Taken {
        let Some(entry) = self.by_id.get(login).and_then(|slot| self.slots.get(*slot)) else {
            // It may log in, but no device here has its name.
            return self.unknown(topic);
        };
        let mut guard = lock(&entry.guard);
        let offence = Offence::ForeignTopic(shown(topic));
        self.refuse(entry, &mut guard, offence, &self.counters.foreign, now)
    }

    fn refuse(
        &self,
        entry: &Slot,
        guard: &mut Guard,
        offence: Offence,
        counter: &Counter,
        now: Now,
    ) -> Taken {
        self.counters.refused.add_one();
        counter.add_one();
        Taken {
            report: self.report(entry, guard, offence.told(), now).map(Box::new),
            ..Taken::default()
        }
    }

    fn report(&self, entry: &Slot, guard: &mut Guard, reason: Text, now: Now) -> Option<Arrival> {
        if !guard.offend(now) {
            return None;
        }
        tracing::warn!(via = %self.via, device = %entry.device.id, "quarantined: {}", reason.en);
        let fault = Health::Fault {
            what: EventKind::DeviceQuarantined,
            reason,
        };
        Some(health(&entry.device, fault, now))
    }
}

/// No code panics while it holds one of these locks; what is behind stays usable if one does.
fn lock(guard: &Mutex<Guard>) -> MutexGuard<'_, Guard> {
    guard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn clock_news(device: &Device, time: Option<Timestamp>, quality: Quality) {
    if quality == Quality::ClockSuspect {
        let time = time.unwrap_or_default();
        tracing::warn!(device = %device.id, %time, "its clock is wrong; the gateway's is used");
    } else {
        tracing::info!(device = %device.id, "its clock is right again");
    }
}

fn health(device: &Device, state: Health, now: Now) -> Arrival {
    Arrival {
        subject: device.id.clone(),
        device_time: None,
        received: now.wall,
        observations: vec![Observation {
            subject: device.id.clone(),
            at: now.wall,
            value: Value::Health(state),
            quality: Quality::Good,
        }],
        payload: None,
        ack: None,
    }
}

fn arrival(device: &Device, m: Parsed<'_>, at: Timestamp, quality: Quality, now: Now) -> Arrival {
    let mut observations: Vec<_> = m
        .values
        .iter()
        .map(|(quantity, value)| observe(device, quantity, value, at, quality))
        .collect();
    if let Some(fill) = fill(device, &m.values) {
        observations.push(observe(device, Quantity::Fill, fill, at, quality));
    }
    Arrival {
        subject: device.id.clone(),
        device_time: m.time,
        received: now.wall,
        observations,
        payload: Some(m.payload),
        ack: None,
    }
}

fn observe(
    device: &Device,
    quantity: Quantity,
    value: f64,
    at: Timestamp,
    quality: Quality,
) -> Observation {
    let (low, high) = quantity.plausible();
    let beyond_bin = quantity == Quantity::Distance
        && device
            .height_mm
            .is_some_and(|height| value > height * HEIGHT_TOLERANCE);
    let plausible = (low..=high).contains(&value) && !beyond_bin;
    Observation {
        subject: device.id.clone(),
        at,
        value: Value::Measurement { quantity, value },
        quality: if plausible {
            quality
        } else {
            Quality::Implausible
        },
    }
}

/// Fill in percent from the distance to the rubbish, where the sensor does not say it itself:
/// `(height - distance) / (height - full)`, within 0 to 100.
fn fill(device: &Device, values: &Values) -> Option<f64> {
    if values.get(Quantity::Fill).is_some() {
        return None;
    }
    let height = device.height_mm?;
    let distance = values.get(Quantity::Distance)?;
    let range = height - device.profile.full_at_mm;
    if range <= 0.0 || !(0.0..=height * HEIGHT_TOLERANCE).contains(&distance) {
        return None;
    }
    Some(((height - distance) / range * 100.0).clamp(0.0, 100.0))
}

/// Somebody else's text, short and on one line.
fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(MAX_SHOWN)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
