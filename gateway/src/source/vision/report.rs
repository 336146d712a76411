//! What the child says, checked and turned into arrivals.
//!
//! The child parses hostile video, so nothing it says is taken on trust: numbers must be in
//! range, labels among those the zone asked for, pictures JPEG.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use wangge_protocol::{Actor, EventKind, EvidenceRef, Litter, Overrun, Story, Text};

use crate::{
    bilingual::{Bilingual, text},
    calendar::Permit,
    clock::Clock,
    config::{Camera, Zone},
    counters::SourceCounters,
    observation::{Arrival, Health, Observation, Quality, Sighting, Value, Witnessed},
    seal::{self, Recipient},
    vision::thumbnail,
    vision::wire::{self, CameraProgress, CameraState, MAX_PICTURES, OBJECT, Report},
};

use super::{Sinks, failure::Failure, jpeg};

/// A camera's time that differs more from ours is not believed.
const MAX_CLOCK_ERROR: Duration = Duration::from_secs(600);
/// Metres over a line, and along one, that a child is believed.
const MAX_OVERRUN: f64 = 100.0;
const MAX_ALONG: f64 = 1_000.0;
/// Longest sentence that is taken from the child, letters.
const MAX_REASON: usize = 400;

/// What the child says that it has to do without.
pub fn weaknesses(report: &Report) -> Option<Vec<String>> {
    match report {
        Report::Ready { weaknesses, .. } => {
            Some(weaknesses.iter().map(|said| sentence(said)).collect())
        }
        Report::Weakness { reason } => Some(vec![sentence(reason)]),
        _ => None,
    }
}

/// What a message led to.
#[derive(Debug)]
pub enum Outcome {
    Nothing,
    /// To be passed on.
    Arrival(Arrival),
    /// The child cannot work, and why.
    Fatal(Text),
    /// A picture that was asked for, kept, or why there is none.
    Pictured(u64, Result<EvidenceRef, String>),
}

/// Turns messages into arrivals; remembers each camera's health so that a change is told once.
pub struct Reporter {
    cameras: Vec<Arc<Camera>>,
    health: Vec<Option<Health>>,
    progress: Vec<CameraProgress>,
    model: (String, String),
    /// Originals that are sealed for somebody else are not kept.
    sealed_for: Option<Recipient>,
    sinks: Sinks,
    clock: Clock,
    /// Of a recording: the time up to which it has been looked at.
    recorded: Option<Timestamp>,
    counters: Arc<SourceCounters>,
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reporter")
            .field("cameras", &self.cameras.len())
            .finish_non_exhaustive()
    }
}

impl Reporter {
    pub fn new(
        cameras: Vec<Arc<Camera>>,
        sinks: Sinks,
        clock: Clock,
        counters: Arc<SourceCounters>,
    ) -> Self {
        Reporter {
            health: vec![None; cameras.len()],
            progress: Vec::new(),
            cameras,
            model: Default::default(),
            sealed_for: None,
            sinks,
            clock,
            recorded: None,
            counters,
        }
    }

    /// From now on, times are those of a recording that has been looked at up to `at`.
    pub fn recorded(&mut self, at: Timestamp) {
        self.recorded = Some(at);
    }

    fn now(&self) -> Timestamp {
        self.recorded.unwrap_or_else(|| self.clock.now().wall)
    }

    /// Keeps originals that are sealed for `recipient`.
    pub fn keep_sealed(&mut self, recipient: Option<Recipient>) {
        self.sealed_for = recipient;
    }

    /// Whoever compares needs the permits that the rules go by.
    pub fn witness_permits(&self, permits: Arc<[Permit]>) {
        if let Some(witness) = &self.sinks.witness {
            witness(Witnessed::Permits(permits));
        }
    }

    pub fn cameras(&self) -> &[Arc<Camera>] {
        &self.cameras
    }

    /// The cameras as they are configured from now on, the same ones in the same order.
    pub fn look_at(&mut self, cameras: Vec<Arc<Camera>>) {
        self.cameras = cameras;
    }

    /// Another child begins to count.
    pub fn child_replaced(&mut self) {
        self.progress.clear();
    }

    /// The child is gone: every camera is blind. `None` where that has been said.
    pub fn child_failed(&mut self, failure: &Failure) -> Option<Arrival> {
        self.counters.faults.add_one();
        self.child_replaced();
        let now = self.now();
        let fault = Health::Fault {
            what: EventKind::VisionFault,
            reason: both(text(
                failure.zh(),
                format!("picture analysis stopped: {failure}"),
            )),
        };
        let mut observations = Vec::new();
        for (camera, health) in self.cameras.iter().zip(&mut self.health) {
            let said = matches!(
                health,
                Some(Health::Fault {
                    what: EventKind::VisionFault,
                    ..
                })
            );
            if !said {
                *health = Some(fault.clone());
                observations.push(Observation {
                    subject: Arc::clone(&camera.id),
                    at: now,
                    value: Value::Health(fault.clone()),
                    quality: Quality::Good,
                });
            }
        }
        let subject = Arc::clone(&observations.first()?.subject);
        Some(arrival(subject, now, observations))
    }

    /// Takes a message of the child.
    pub async fn take(&mut self, report: Report) -> Outcome {
        match report {
            Report::Ready {
                model,
                model_hash,
                weaknesses,
            } => {
                tracing::info!("vision: model {} loaded", sentence(&model));
                for weakness in weaknesses.iter().take(8) {
                    tracing::warn!("vision: {}", sentence(weakness));
                }
                let hash = model_hash.chars().take(16).collect();
                self.model = (sentence(&model), hash);
                Outcome::Nothing
            }
            Report::Fatal { reason } => Outcome::Fatal(both(reason)),
            Report::Weakness { reason } => {
                tracing::warn!("vision: {}", sentence(&reason));
                Outcome::Nothing
            }
            Report::Progress(cameras) => {
                self.count(&cameras);
                Outcome::Nothing
            }
            Report::Camera { camera, state } => self.camera(camera, state),
            Report::Pictured {
                camera,
                ask,
                picture,
            } => {
                let now = self.now();
                let known = usize::from(camera) < self.cameras.len();
                let picture = match picture {
                    Ok(picture) if known => {
                        let taken = believable(picture.at_us, now).unwrap_or(now);
                        self.keep(picture, taken).await
                    }
                    Ok(_) => Err("a picture of no camera".to_owned()),
                    Err(why) => Err(sentence(&why)),
                };
                Outcome::Pictured(ask, picture)
            }
            // Said for whoever plays a recording, or draws.
            Report::Played { .. } | Report::Overview { .. } => Outcome::Nothing,
            Report::Sighting(sighting) => match self.sighting(sighting).await {
                Ok(Some(arrival)) => Outcome::Arrival(arrival),
                Ok(None) => Outcome::Nothing,
                Err(reason) => {
                    self.counters.faults.add_one();
                    tracing::warn!("vision: sighting not believed: {reason}");
                    Outcome::Nothing
                }
            },
        }
    }

    /// Adds what is new since the last message to the counters.
    fn count(&mut self, cameras: &[CameraProgress]) {
        self.progress
            .resize(self.cameras.len(), CameraProgress::default());
        for (now, last) in cameras.iter().zip(&mut self.progress) {
            let passed = |now: u64, last: u64| now.saturating_sub(last);
            self.counters
                .received
                .add(passed(now.received, last.received));
            let accepted = passed(now.decoded, last.decoded) + passed(now.skipped, last.skipped);
            self.counters.accepted.add(accepted);
            self.counters.refused.add(passed(now.dropped, last.dropped));
        }
        if let Some(witness) = &self.sinks.witness {
            for ((now, last), camera) in cameras.iter().zip(&self.progress).zip(&self.cameras) {
                witness(Witnessed::Looks {
                    subject: Arc::clone(&camera.id),
                    live: now.detected.saturating_sub(last.detected),
                    shadow: now.shadowed.saturating_sub(last.shadowed),
                });
            }
        }
        let known = cameras.iter().take(self.cameras.len());
        for (now, last) in known.zip(&mut self.progress) {
            *last = *now;
        }
    }

    fn camera(&mut self, index: u16, state: CameraState) -> Outcome {
        let index = usize::from(index);
        let (Some(camera), Some(health)) = (self.cameras.get(index), self.health.get_mut(index))
        else {
            return Outcome::Nothing;
        };
        let new = match state {
            CameraState::Playing => Health::Ok,
            CameraState::Ended => {
                tracing::info!("camera {}: file played to its end", camera.id);
                return Outcome::Nothing;
            }
            CameraState::Fault(reason) => Health::Fault {
                what: EventKind::CameraFault,
                reason: both(reason),
            },
        };
        if health.as_ref() == Some(&new) {
            return Outcome::Nothing;
        }
        if let Health::Fault { reason, .. } = &new {
            self.counters.faults.add_one();
            tracing::warn!("camera {}: {}", camera.id, reason.en);
        }
        *health = Some(new.clone());
        let now = self.now();
        let observation = Observation {
            subject: Arc::clone(&camera.id),
            at: now,
            value: Value::Health(new),
            quality: Quality::Good,
        };
        Outcome::Arrival(arrival(Arc::clone(&camera.id), now, vec![observation]))
    }

    /// `None` for a shadow's, which is compared and goes no further.
    async fn sighting(&self, seen: wire::Sighting) -> Result<Option<Arrival>, String> {
        let camera = self
            .cameras
            .get(usize::from(seen.camera))
            .ok_or("unknown camera")?;
        let zone = camera
            .zones
            .get(usize::from(seen.zone))
            .ok_or("unknown zone")?;
        let asked = zone.labels.contains(&seen.label) || (zone.objects && seen.label == OBJECT);
        if seen.present && !asked {
            return Err("label that was not asked for".into());
        }
        if seen.left_behind && !zone.take_down {
            return Err("something left behind where nothing can be".into());
        }
        if seen.pictures.len() > MAX_PICTURES {
            return Err("more pictures than a sighting has".into());
        }
        if !seen.shadow && zone.shadow.is_some() {
            return Err("a shadow zone's sighting that is to be acted upon".into());
        }
        if seen.shadow && !seen.pictures.is_empty() {
            return Err("a shadow's sighting with a picture".into());
        }
        let fractions = seen.bbox.iter().chain([&seen.score]);
        if fractions.into_iter().any(|v| !(0.0..=1.0).contains(v)) {
            return Err("box or score out of range".into());
        }
        let overrun = seen.overrun.map(|o| measured(o, zone)).transpose()?;
        let now = self.now();
        let (at, quality) = match believable(seen.at_us, now) {
            Some(at) => (at, Quality::Good),
            None => (now, Quality::ClockSuspect),
        };
        let mut evidence = Vec::new();
        for picture in seen.pictures {
            let taken = believable(picture.at_us, now).unwrap_or(at);
            match self.keep(picture, taken).await {
                Ok(kept) => evidence.push(kept),
                // An alert without its picture is worth more than none.
                Err(e) => tracing::error!("camera {}: picture not kept: {e}", camera.id),
            }
        }
        let is_shadow = seen.shadow;
        let (model, model_hash) = self.model.clone();
        let observation = Observation {
            subject: Arc::clone(&camera.id),
            at,
            value: Value::Sighting(Box::new(Sighting {
                zone: Arc::clone(&zone.id),
                present: seen.present,
                label: if seen.present {
                    seen.label
                } else {
                    String::new()
                },
                score: seen.score,
                bbox: seen.bbox,
                track: seen.track,
                dwell: Duration::from_micros(seen.dwell_us),
                model,
                model_hash,
                evidence,
                story: seen.story.map(|story| told(story, at)),
                overrun,
                left_behind: seen.left_behind,
            })),
            quality,
        };
        if let Some(witness) = &self.sinks.witness {
            witness(match is_shadow {
                true => Witnessed::Shadow(observation.clone()),
                false => Witnessed::Live(observation.clone()),
            });
        }
        Ok((!is_shadow).then(|| arrival(Arc::clone(&camera.id), now, vec![observation])))
    }

    async fn keep(&self, picture: wire::Picture, at: Timestamp) -> Result<EvidenceRef, String> {
        let wire::Picture {
            role,
            jpeg,
            sealed,
            thumbnail,
            ..
        } = picture;
        jpeg::check(&jpeg).map_err(str::to_owned)?;
        let small = |t: &Vec<u8>| t.len() <= thumbnail::MAX_BYTES && jpeg::check(t).is_ok();
        let thumbnail = thumbnail.filter(small);
        let keep = Arc::clone(&self.sinks.keep);
        let expected = |sealed: &Vec<u8>| {
            let recipient = self.sealed_for.as_ref();
            recipient.is_some_and(|recipient| seal::is_for(sealed, recipient))
        };
        let sealed = sealed.filter(expected);
        // It waits for the disk.
        let kept = tokio::task::spawn_blocking(move || {
            let mut kept = keep(&jpeg, "image/jpeg", role.slug(), at)?;
            if let Some(thumbnail) = thumbnail {
                // Without it, the picture itself goes first.
                match keep(&thumbnail, "image/jpeg", "thumbnail", at) {
                    Ok(small) => kept.thumbnail = Some(small.sha256),
                    Err(e) => tracing::error!("thumbnail not kept: {e}"),
                }
            }
            if let Some(sealed) = sealed {
                // The picture itself is there; without its original it still counts.
                if let Err(e) = keep(&sealed, seal::MEDIA_TYPE, &kept.sha256, at) {
                    tracing::error!("sealed original not kept: {e}");
                }
            }
            Ok(kept)
        });
        kept.await.map_err(|e| e.to_string())?
    }
}

/// A camera's time, if it is near ours.
fn believable(at_us: i64, now: Timestamp) -> Option<Timestamp> {
    Timestamp::from_microsecond(at_us)
        .ok()
        .filter(|at| at.duration_since(now).unsigned_abs() <= MAX_CLOCK_ERROR)
}

/// Metres that can be: in range, larger than their error, and not less exact than the zone asks.
fn measured(seen: wire::Overrun, zone: &Zone) -> Result<Overrun, String> {
    let front = zone
        .front
        .as_ref()
        .ok_or("metres in a zone without a line")?;
    let good = |value: f64, most: f64| (0.0..=most).contains(&value);
    let sure = good(seen.metres, MAX_OVERRUN) && seen.metres > seen.error;
    if !sure || !good(seen.error, front.tolerance()) {
        return Err("metres over the line out of range".into());
    }
    if !good(seen.along, MAX_ALONG) || !good(seen.along_error, MAX_ALONG) {
        return Err("metres along the line out of range".into());
    }
    // Nobody measures a pavement to less than a millimetre.
    let rounded = |metres: f64| (metres * 1_000.0).round() / 1_000.0;
    Ok(Overrun {
        metres: rounded(seen.metres),
        error_m: rounded(seen.error),
        along_m: rounded(seen.along),
        along_error_m: rounded(seen.along_error),
        limit_m: rounded(front.limit()),
    })
}

/// Times of a story lie before its telling, as far as a day: a thing lies long.
fn told(story: wire::Story, at: Timestamp) -> Story {
    let time = |us: i64| {
        let believed = Timestamp::from_microsecond(us).ok().filter(|t| {
            *t <= at && at.duration_since(*t).unsigned_abs() <= Duration::from_secs(86_400)
        });
        believed.unwrap_or(at).to_string()
    };
    Story {
        appeared_at: time(story.appeared_us),
        actor_seen: story.actor.is_some(),
        actor: story.actor.map(|actor| Actor {
            label: sentence(&actor.label),
            track: actor.track,
            left_at: time(actor.left_us),
        }),
        litter: story
            .litter
            .filter(|litter| (0.0..=1.0).contains(&litter.score))
            .map(|litter| Litter {
                score: litter.score,
                likely: litter.likely,
                model: sentence(&litter.model),
                model_hash: litter.model_hash.chars().take(16).collect(),
            }),
    }
}

fn arrival(subject: Arc<str>, now: Timestamp, observations: Vec<Observation>) -> Arrival {
    Arrival {
        subject,
        device_time: None,
        received: now,
        observations,
        payload: None,
        ack: None,
    }
}

/// [`sentence`] in each language.
fn both(said: Text) -> Text {
    text(sentence(&said.zh), sentence(&said.en))
}

/// One line of limited length, whatever was said.
fn sentence(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(MAX_REASON).map(printable).collect()
}

#[cfg(test)]
mod tests;
