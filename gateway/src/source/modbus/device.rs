//! What a poll means for one device: its observations, its payload, and its health.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::value::RawValue;
use wangge_protocol::{EventKind, Text};

use super::{decode, plan::Span, poll::Unit, totaliser::Watch};
use crate::{
    bilingual::{Bilingual, text},
    clock::Now,
    config::Device,
    derive,
    observation::{Arrival, Health, Observation, Quality, Value},
};

/// So many polls without any doubtful figure, and a meter's fault is over.
pub const CLEAN_POLLS: u32 = 3;

/// A device on a unit; a unit may carry several.
#[derive(Debug)]
pub struct Member {
    device: Arc<Device>,
    every: Duration,
    tolerance: Duration,
    /// Arrivals before this are for the unit's other devices.
    due: Duration,
    figures: Vec<Figure>,
    /// The fault that was reported and is not over.
    fault: Option<EventKind>,
    clean: u32,
    /// Length of the last payload.
    payload_len: usize,
}

#[derive(Debug)]
struct Figure {
    /// `"name":`
    key: String,
    is_single: bool,
    watch: Option<Watch>,
}

impl Member {
    /// A device that was never heard, on a unit that is polled every `unit_every`.
    pub fn new(device: Arc<Device>, every: Duration, unit_every: Duration) -> Self {
        let figures = device
            .profile
            .points
            .iter()
            .map(|p| Figure {
                key: format!("{}:", serde_json::Value::from(p.name.as_str())),
                is_single: decode::is_single(p),
                watch: p.totaliser.map(Watch::new),
            })
            .collect();
        Member {
            device,
            every,
            // A poll that is a little early on the unit's grid still counts.
            tolerance: unit_every / 2,
            due: Duration::ZERO,
            figures,
            fault: None,
            clean: 0,
            payload_len: 0,
        }
    }

    /// The unit answered. `None` where this device's own period is longer than the unit's and
    /// it is not its turn.
    pub fn answered(&mut self, unit: &Unit, now: Now) -> Option<Arrival> {
        if now.mono + self.tolerance < self.due {
            return None;
        }
        self.due = now.mono + self.every;
        let device = self.device.clone();
        let mut observations = Vec::with_capacity(self.figures.len() + 1);
        let mut payload = String::with_capacity(self.payload_len + 16);
        payload.push('{');
        let mut doubt = None;
        for (point, figure) in device.profile.points.iter().zip(&mut self.figures) {
            let value = match decode::point(point, |part| unit.words(&Span::of(part))) {
                Ok(value) => value,
                Err(error) => {
                    doubt.get_or_insert_with(|| {
                        let name = &point.name;
                        let zh = format!("测点 {name} 无法读取:{}", error.zh());
                        text(zh, format!("{name}: {error}"))
                    });
                    continue;
                }
            };
            let mut quality = Quality::Good;
            if let Some(watch) = &mut figure.watch
                && !watch.check(value, now.mono)
            {
                quality = Quality::Implausible;
                doubt.get_or_insert_with(|| {
                    let name = &point.name;
                    text(
                        format!("累计读数 {name} 倒退或突增至 {value:.3}"),
                        format!("{name} fell or jumped to {value:.3}"),
                    )
                });
            }
            derive::finish_as(
                &device,
                &device.id,
                now.wall,
                point.quantity,
                value,
                quality,
                &mut observations,
            );
            if payload.len() > 1 {
                payload.push(',');
            }
            payload.push_str(&figure.key);
            // A single-precision figure is written with the digits that it has.
            #[expect(clippy::cast_possible_truncation, reason = "it was single before")]
            let written = if figure.is_single && (value as f32).is_finite() {
                write!(payload, "{}", value as f32)
            } else {
                write!(payload, "{value}")
            };
            debug_assert!(written.is_ok());
        }
        payload.push('}');
        self.payload_len = payload.len();
        if let Some(health) = self.health_after(doubt) {
            observations.push(self.health(health, now.wall));
        }
        Some(Arrival {
            subject: device.id.clone(),
            device_time: None,
            received: now.wall,
            observations,
            payload: RawValue::from_string(payload).ok(),
            ack: None,
        })
    }

    /// The unit has been silent, or has refused, for too long; `None` if that was said before.
    pub fn silent(&mut self, reason: Text, now: Now) -> Option<Arrival> {
        if self.fault == Some(EventKind::DeviceSilent) {
            return None;
        }
        self.fault = Some(EventKind::DeviceSilent);
        let health = Health::Fault {
            what: EventKind::DeviceSilent,
            reason,
        };
        Some(Arrival {
            subject: self.device.id.clone(),
            device_time: None,
            received: now.wall,
            observations: vec![self.health(health, now.wall)],
            payload: None,
            ack: None,
        })
    }

    /// Whether the last word on this device was that it is silent.
    pub fn is_silent(&self) -> bool {
        self.fault == Some(EventKind::DeviceSilent)
    }

    fn health_after(&mut self, doubt: Option<Text>) -> Option<Health> {
        match doubt {
            Some(reason) => {
                self.clean = 0;
                let is_news = self.fault != Some(EventKind::MeterFault);
                self.fault = Some(EventKind::MeterFault);
                is_news.then_some(Health::Fault {
                    what: EventKind::MeterFault,
                    reason,
                })
            }
            None => {
                self.clean = self.clean.saturating_add(1);
                let over = match self.fault {
                    None => false,
                    Some(EventKind::MeterFault) => self.clean >= CLEAN_POLLS,
                    Some(_) => true,
                };
                over.then(|| {
                    self.fault = None;
                    Health::Ok
                })
            }
        }
    }

    fn health(&self, health: Health, at: Timestamp) -> Observation {
        Observation {
            subject: self.device.id.clone(),
            at,
            value: Value::Health(health),
            quality: Quality::Good,
        }
    }
}
