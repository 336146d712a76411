mod clock;
mod content;
mod life;
mod limits;
mod restarts;
mod verdicts;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::prelude::*;
use wangge_protocol::{
    AlertData, AlertMeasurement, AlertSighting, AlertState, CloudEvent, EventKind, Severity,
    SourceKind,
};

use super::*;
use crate::{
    bilingual::text,
    clock::Now,
    config::{Condition, Config, Crs, Rule},
    observation::{Health, Observation, Quantity, Value},
    rules::{Engine, Finding, Transition, fixtures::*},
    spool::MAX_BODY,
};

type State = BTreeMap<Vec<u8>, Vec<u8>>;
type Message = CloudEvent<AlertData>;

/// A gateway's rules and alerts, and what its spool and platform would have.
struct Station {
    config: Config,
    now: Now,
    engine: Engine,
    ledger: Ledger,
    /// What is durable.
    state: State,
    sent: Vec<Message>,
    restored: Vec<Unreadable>,
}

impl Station {
    fn new(config: Config) -> Self {
        Self::start(config, State::new(), at(Duration::ZERO))
    }

    fn bin(rules: Vec<Arc<Rule>>) -> Self {
        Self::new(config(vec![device("bin-3", rules)], vec![]))
    }

    fn start(config: Config, state: State, now: Now) -> Self {
        let stored: Vec<_> = state.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let mut ledger = Ledger::restore(&config, &stored, now).unwrap();
        let restored = ledger.take_restored();
        assert_eq!(ledger.take_restored(), Restored::default());
        let open: Vec<_> = ledger.open().collect();
        let engine = Engine::new(
            &config.devices,
            &config.cameras,
            config.station.time_zone.clone(),
            &open,
            now,
        );
        let mut station = Station {
            config,
            now,
            engine,
            ledger,
            state,
            sent: Vec::new(),
            restored: restored.unreadable,
        };
        for change in restored.state {
            station.store(change);
        }
        for outbound in restored.cleared {
            station.send(outbound);
        }
        station
    }

    /// Kill and start again `off` later, with what was durable.
    fn restart(self, off: Duration) -> Self {
        let now = Now {
            wall: self.now.wall + off,
            mono: Duration::ZERO,
        };
        let mut next = Station::start(self.config, self.state, now);
        next.sent.splice(0..0, self.sent);
        next
    }

    fn pass(&mut self, time: Duration) {
        self.now.wall += time;
        self.now.mono += time;
        self.tick();
    }

    fn tick(&mut self) {
        let (mut findings, mut due) = (Vec::new(), Vec::new());
        self.engine.tick(self.now, &mut findings);
        due.extend(
            findings
                .into_iter()
                .filter_map(|f| self.ledger.apply(f, self.now)),
        );
        self.ledger.tick(self.now, &mut due);
        due.into_iter().for_each(|o| self.send(o));
        self.keep();
    }

    /// What goes with no message.
    fn keep(&mut self) {
        for change in self.ledger.take_changes() {
            self.store(change);
        }
    }

    fn reads(&mut self, quantity: Quantity, value: f64) {
        self.see(&measured("bin-3", quantity, value, self.now));
    }

    fn see(&mut self, observation: &Observation) {
        for outbound in self.caused(observation) {
            self.send(outbound);
        }
        self.ledger.heard(&observation.subject);
        self.keep();
    }

    fn caused(&mut self, observation: &Observation) -> Vec<Outbound> {
        let mut findings = Vec::new();
        self.engine.step(observation, self.now, &mut findings);
        findings
            .into_iter()
            .filter_map(|f| self.ledger.apply(f, self.now))
            .collect()
    }

    /// One durable batch: the message and the state that goes with it.
    fn send(&mut self, outbound: Outbound) {
        assert!(outbound.body.len() <= MAX_BODY);
        let message: Message = serde_json::from_slice(&outbound.body).unwrap();
        assert_eq!(message.id, outbound.event_id);
        assert_eq!(message.data.alert_id, outbound.alert_id);
        assert_eq!(message.data.evidence, outbound.evidence);
        assert_eq!(message.data.state, outbound.state);
        self.sent.push(message);
        self.store(outbound.state_change);
    }

    fn store(&mut self, (key, value): (Vec<u8>, Option<Vec<u8>>)) {
        match value {
            Some(value) => self.state.insert(key, value),
            None => self.state.remove(&key),
        };
    }

    fn states(&self) -> Vec<AlertState> {
        self.sent.iter().map(|m| m.data.state).collect()
    }

    fn ids(&self) -> std::collections::BTreeSet<&str> {
        self.sent.iter().map(|m| &*m.data.alert_id).collect()
    }
}

fn alert_schema() -> jsonschema::Validator {
    let schemas = wangge_protocol::schemas();
    let (_, schema) = schemas.iter().find(|(n, _)| *n == "alert.json").unwrap();
    jsonschema::validator_for(schema).unwrap()
}

fn plain(kind: EventKind, what: Transition, now: Now) -> Finding {
    Finding {
        subject: "bin-3".into(),
        rule: "r".into(),
        kind,
        severity: kind.default_severity(),
        what,
        at: now.wall,
        measurement: None,
        sighting: None,
        evidence: Vec::new(),
        reason: None,
    }
}
