//! Topics on which cameras publish pictures: whose, how large, how often. Nothing looks into
//! them here; what they are is for the vision child to find out.
//!
//! A picture is no telemetry. It is acknowledged as soon as it is handed over, whatever becomes
//! of it: an old one is worth nothing, so nobody is asked to send it again.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;

use super::intake::Message;
use crate::{
    clock::Now,
    config::{Camera, CameraInput},
    counters::SourceCounters,
    feed::{Feed, MAX_STILL},
};

/// Pictures a camera may send in the time that its configuration gives to one; so many may come
/// at once, after a network that held them back.
pub const BURST: u32 = 4;

/// The cameras behind one broker or listener.
#[derive(Debug, Default)]
pub struct Pictures {
    by_topic: HashMap<String, Slot>,
    feed: Feed,
}

#[derive(Debug)]
struct Slot {
    camera: Arc<str>,
    index: u16,
    rate: Mutex<Rate>,
    /// Said already that its pictures are too large.
    too_large: AtomicBool,
}

impl Pictures {
    /// Of those of all `cameras` (in their configured order) that publish by way of `via`.
    pub fn new(via: &str, cameras: &[Arc<Camera>], feed: Feed) -> Self {
        let by_topic = (0u16..)
            .zip(cameras)
            .filter_map(|(index, camera)| match &camera.input {
                CameraInput::Mqtt {
                    via: its,
                    topic,
                    every,
                } if **its == *via => {
                    let slot = Slot {
                        camera: Arc::clone(&camera.id),
                        index,
                        rate: Mutex::new(Rate::new(*every)),
                        too_large: AtomicBool::new(false),
                    };
                    Some((topic.clone(), slot))
                }
                _ => None,
            });
        Pictures {
            by_topic: by_topic.collect(),
            feed,
        }
    }

    /// Every topic, sorted.
    pub fn topics(&self) -> Vec<String> {
        let mut topics: Vec<_> = self.by_topic.keys().cloned().collect();
        topics.sort_unstable();
        topics
    }

    /// Whether a camera publishes there.
    pub fn has_topic(&self, topic: &str) -> bool {
        self.by_topic.contains_key(topic)
    }

    /// Whether whoever logged in may publish a picture there.
    pub fn may(&self, topic: &str, login: Option<&str>) -> bool {
        let slot = self.by_topic.get(topic);
        slot.is_some_and(|slot| login.is_none_or(|login| *slot.camera == *login))
    }

    /// A message on a camera's topic that is too large to be read; false: it is on none.
    pub fn oversize(&self, topic: &str, bytes: usize, counters: &SourceCounters) -> bool {
        let Some(slot) = self.by_topic.get(topic) else {
            return false;
        };
        for counter in [&counters.received, &counters.refused, &counters.garbage] {
            counter.add_one();
        }
        slot.warn_of_size(bytes);
        true
    }

    /// Takes a message on a camera's topic; false: it is on none.
    pub fn take(&self, m: &Message<'_>, counters: &SourceCounters, now: Now) -> bool {
        let Some(slot) = self.by_topic.get(m.topic) else {
            return false;
        };
        counters.received.add_one();
        let refused = if !self.may(m.topic, m.login) {
            Some(&counters.foreign)
        } else if m.retain {
            // From whenever: it does not show what is there now.
            Some(&counters.stale)
        } else if m.payload.len() > MAX_STILL {
            slot.warn_of_size(m.payload.len());
            Some(&counters.garbage)
        } else {
            let mut rate = slot.rate.lock().unwrap_or_else(PoisonError::into_inner);
            (!rate.admit(now.mono)).then_some(&counters.flooded)
        };
        match refused {
            Some(counter) => {
                counters.refused.add_one();
                counter.add_one();
            }
            None => {
                slot.too_large.store(false, Ordering::Relaxed);
                counters.accepted.add_one();
                self.feed
                    .offer(slot.index, Bytes::copy_from_slice(m.payload));
            }
        }
        true
    }
}

impl Slot {
    fn warn_of_size(&self, bytes: usize) {
        if self.too_large.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(
            camera = %self.camera,
            bytes,
            max = MAX_STILL,
            "its pictures are too large and dropped; set the camera to smaller ones"
        );
    }
}

/// A bucket of pictures.
#[derive(Debug)]
struct Rate {
    every: Duration,
    left: f64,
    last: Option<Duration>,
}

impl Rate {
    fn new(every: Duration) -> Self {
        Rate {
            every,
            left: BURST.into(),
            last: None,
        }
    }

    fn admit(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.last.replace(now).unwrap_or(now));
        let earned = passed.as_secs_f64() / self.every.as_secs_f64() * f64::from(BURST);
        self.left = (self.left + earned).min(BURST.into());
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn pictures(counters: &Arc<SourceCounters>) -> Pictures {
        let camera = crate::rules::fixtures::camera("gate", Vec::new());
        let mut camera = Arc::unwrap_or_clone(camera);
        camera.input = CameraInput::Mqtt {
            via: "field".into(),
            topic: "cams/gate".into(),
            every: Duration::from_secs(1),
        };
        let cameras = [Arc::new(camera)];
        assert!(
            Pictures::new("other", &cameras, Feed::default())
                .topics()
                .is_empty()
        );
        Pictures::new("field", &cameras, Feed::new(Arc::clone(counters)))
    }

    fn message<'a>(topic: &'a str, payload: &'a [u8]) -> Message<'a> {
        Message {
            topic,
            payload,
            dup: false,
            retain: false,
            waits: true,
            login: None,
        }
    }

    #[test]
    fn only_its_own_topic_login_and_size_pass() {
        let counters = Arc::new(SourceCounters::default());
        let pictures = pictures(&counters);
        let now = Clock::start().now();
        assert!(!pictures.take(&message("bins/1", b"x"), &counters, now));
        assert_eq!(counters.received.get(), 0);

        let largest = vec![0; MAX_STILL];
        let over = vec![0; MAX_STILL + 1];
        let huge = vec![0; MAX_STILL * 10];
        let of = |payload| message("cams/gate", payload);
        let logged_in = |login| Message {
            login: Some(login),
            ..of(b"x")
        };
        assert!(pictures.take(&of(&largest), &counters, now));
        assert!(pictures.take(&logged_in("gate"), &counters, now));
        assert_eq!(counters.accepted.get(), 2);
        for (refused, counter) in [
            (of(&over), &counters.garbage),
            (of(&huge), &counters.garbage),
            (logged_in("yard"), &counters.foreign),
            (
                Message {
                    retain: true,
                    ..of(b"x")
                },
                &counters.stale,
            ),
        ] {
            let before = counter.get();
            assert!(pictures.take(&refused, &counters, now));
            assert_eq!(counter.get(), before + 1);
        }
        assert_eq!((counters.accepted.get(), counters.refused.get()), (2, 4));
    }

    #[test]
    fn a_camera_may_send_its_rate_and_no_more() {
        let every = Duration::from_secs(1);
        // At the limit, one a hundred past it, ten times past it.
        for (per_second, admitted) in [(4.0, 400), (4.04, 404), (40.0, 404)] {
            let mut rate = Rate::new(every);
            let count = (0..(per_second * 100.0) as u32)
                .filter(|i| rate.admit(Duration::from_secs_f64(f64::from(*i) / per_second)))
                .count();
            assert!(count <= admitted && count + 5 >= admitted, "{count}");
        }
    }
}
