mod digests;
mod life;
mod properties;
mod terms;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use wangge_protocol::{AlertState, Counts, EventKind, Severity, Tier, VerdictStatus};

use super::*;
use crate::{
    calendar::{Dates, Days},
    clock::Now,
    config::{Border, Config, Uplink, UplinkLink},
    rules::fixtures,
};

type State = BTreeMap<Vec<u8>, Vec<u8>>;

const COMMUNITY: Tier = Tier::Community;
const STREET: Tier = Tier::Street;
const CITY: Tier = Tier::City;

fn zone() -> TimeZone {
    TimeZone::get("Asia/Shanghai").unwrap()
}

/// A local time in Shanghai, e.g. `2026-11-26 09:00`.
fn local(text: &str) -> Timestamp {
    let time: DateTime = text.replace(' ', "T").parse().unwrap();
    zone().to_timestamp(time).unwrap()
}

/// The year's first days of the National Day holiday, and a Saturday that makes up for them.
fn days() -> Arc<Days> {
    Arc::new(Days {
        holidays: vec![Dates::parse("2026-10-01..2026-10-07").unwrap()],
        workdays: vec![Dates::parse("2026-10-10").unwrap()],
        valid_until: None,
    })
}

fn config(tiers: &[&[Tier]]) -> Config {
    let mut config = fixtures::config(vec![], vec![]);
    config.calendars.days = days();
    config.uplinks = tiers
        .iter()
        .enumerate()
        .map(|(i, tiers)| Uplink {
            name: format!("u{i}").into(),
            link: UplinkLink::Https {
                url: "https://127.0.0.1/".parse().unwrap(),
                tls: crate::config::Tls {
                    ca_file: None,
                    client: None,
                },
                token: None,
            },
            border: Border::Receipt,
            alerts: true,
            verdicts: false,
            tiers: tiers.to_vec(),
            line: crate::config::Line::default(),
            streams: Vec::new(),
        })
        .collect();
    config
}

/// A router with its disk, and whatever its uplinks got.
struct Station {
    config: Config,
    router: Router,
    state: State,
    now: Now,
    /// Alert, what it says, uplinks.
    sent: Vec<(String, AlertState, Routed)>,
}

impl Station {
    /// At 09:00 on a Thursday, in working hours.
    fn new(tiers: &[&[Tier]]) -> Self {
        Self::start(config(tiers), State::new(), local("2026-11-26 09:00"))
    }

    fn start(config: Config, state: State, wall: Timestamp) -> Self {
        let stored: Vec<_> = state.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let (router, unreadable) = Router::restore(&config, &stored);
        assert_eq!(unreadable, Vec::<String>::new());
        let mono = Duration::ZERO;
        let mut station = Station {
            config,
            router,
            state,
            now: Now { wall, mono },
            sent: Vec::new(),
        };
        station.tick();
        station
    }

    /// Kill and start again `off` later, with what was durable.
    fn restart(self, off: Duration) -> Self {
        let mut next = Self::start(self.config, self.state, self.now.wall + off);
        next.sent.splice(0..0, self.sent);
        next
    }

    fn store(&mut self) {
        for (key, value) in self.router.take_state() {
            match value {
                Some(value) => self.state.insert(key, value),
                None => self.state.remove(&key),
            };
        }
    }

    fn tell(&mut self, id: &str, kind: EventKind, severity: Severity, state: AlertState) {
        let evidence = [fixtures::picture(7)];
        let change = Change {
            alert_id: id,
            kind,
            severity,
            state,
            evidence: if state == AlertState::Raised {
                &evidence
            } else {
                &[]
            },
        };
        let routed = self.router.step(change, self.now);
        self.store();
        self.sent.push((id.to_owned(), state, routed));
    }

    fn raise(&mut self, id: &str, severity: Severity) {
        self.tell(id, EventKind::BinOverflow, severity, AlertState::Raised);
    }

    fn clear(&mut self, id: &str, severity: Severity) {
        self.tell(id, EventKind::BinOverflow, severity, AlertState::Cleared);
    }

    fn tick(&mut self) {
        for escalation in self.router.tick(self.now) {
            let change = Change {
                alert_id: &escalation.alert_id,
                kind: EventKind::BinOverflow,
                severity: Severity::Minor,
                state: AlertState::Updated,
                evidence: &escalation.evidence,
            };
            let routed = self.router.step(change, self.now);
            self.sent
                .push((escalation.alert_id, AlertState::Updated, routed));
        }
        self.store();
    }

    fn pass(&mut self, time: Duration) {
        self.now.wall += time;
        self.now.mono += time;
        self.tick();
    }

    /// Goes on to a local time.
    fn until(&mut self, text: &str) {
        let time = local(text).duration_since(self.now.wall);
        self.pass(Duration::try_from(time).unwrap());
    }

    fn last(&self) -> &Routed {
        &self.sent.last().unwrap().2
    }

    fn tier(&self, id: &str) -> Option<Tier> {
        self.router.whereabouts(id).map(|place| place.tier)
    }

    fn deadline(&self, id: &str) -> Option<Timestamp> {
        self.router.whereabouts(id)?.deadline
    }

    /// Over all days.
    fn counts(&self, tier: Tier) -> Counts {
        let mut sum = Counts::default();
        for row in self.router.days() {
            if row.tier == tier {
                sum.add(&row.counts);
            }
        }
        sum
    }
}
