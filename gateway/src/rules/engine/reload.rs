//! Other rules for a running engine.

use std::sync::Arc;

use super::{Engine, Figure, Ruled, Subject};
use crate::{
    clock::Now,
    config::{Config, Rule},
};

impl Engine {
    /// Goes by the rules of `config` from now on, for subjects that it knows. A condition that is
    /// the same goes on as it stands. One that changed begins anew; if it is in `open`, it holds
    /// until an observation says otherwise.
    pub fn reconfigure(&mut self, config: &Config, open: &[(Arc<str>, String)], now: Now) {
        let devices = config.devices.iter().map(|d| (&d.id, &d.rules));
        let cameras = config.cameras.iter().map(|c| (&c.id, &c.rules));
        for (id, rules) in devices.chain(cameras) {
            let known = self.index.get(id);
            let Some(subject) = known.and_then(|&i| self.subjects.get_mut(i)) else {
                continue;
            };
            let mut next = Subject::new(id.clone(), rules, &config.station.time_zone, now);
            let holds = open.iter().filter(|(subject, _)| subject == id);
            holds.for_each(|(_, rule)| next.latch(rule));
            if let Some(permits) = &self.permits {
                let presences = next.presences.iter_mut();
                presences.for_each(|p| p.condition.set_permits(permits));
            }
            next.heard = subject.heard;
            for (next, last) in next.figures.iter_mut().zip(&mut subject.figures) {
                keep::<Figure>(next, last);
            }
            keep(&mut next.presences, &mut subject.presences);
            keep(&mut next.healths, &mut subject.healths);
            keep(&mut next.absences, &mut subject.absences);
            *subject = next;
            match subject.overflows() {
                true => drop(self.full.insert(id.clone())),
                false => drop(self.full.remove(id)),
            }
        }
    }
}

/// Conditions that did not change keep what they know.
fn keep<C>(next: &mut [Ruled<C>], last: &mut Vec<Ruled<C>>) {
    let same = |a: &Rule, b: &Rule| a.id == b.id && a.when == b.when;
    for ruled in next {
        if let Some(at) = last.iter().position(|l| same(&l.rule, &ruled.rule)) {
            ruled.condition = last.swap_remove(at).condition;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wangge_protocol::EventKind;

    use super::*;
    use crate::{
        calendar::{Calendar, Permit},
        config::{Condition, Side},
        observation::{Quantity, Value},
        rules::{Finding, Transition, fixtures::*},
    };

    fn overflow(id: &str, raise: f64, hold: Duration) -> Arc<Rule> {
        rule(
            id,
            EventKind::BinOverflow,
            Condition::Threshold {
                quantity: Quantity::Fill,
                side: Side::Above,
                raise,
                clear: raise - 10.0,
                hold,
            },
        )
    }

    fn station(rules: Vec<Arc<Rule>>) -> Config {
        config(vec![device("bin-1", rules)], Vec::new())
    }

    fn engine(config: &Config, now: Now) -> Engine {
        let tz = config.station.time_zone.clone();
        Engine::new(&config.devices, &config.cameras, tz, &[], now)
    }

    fn reads(engine: &mut Engine, value: f64, now: Now) -> Vec<Transition> {
        let mut out: Vec<Finding> = Vec::new();
        let seen = measured("bin-1", Quantity::Fill, value, now);
        engine.step(&seen, now, &mut out);
        out.iter().map(|f| f.what).collect()
    }

    #[test]
    fn a_new_limit_counts_from_the_next_reading() {
        let mut now = at(Duration::ZERO);
        let mut engine = engine(&station(vec![overflow("full", 90.0, Duration::ZERO)]), now);
        assert_eq!(reads(&mut engine, 80.0, now), []);
        engine.reconfigure(
            &station(vec![overflow("full", 75.0, Duration::ZERO)]),
            &[],
            now,
        );
        now.mono += Duration::from_secs(1);
        assert_eq!(reads(&mut engine, 80.0, now), [Transition::Began]);
        // Open, and the limit goes up: it ends with the next reading, not silently.
        let open = [("bin-1".into(), "full".to_owned())];
        engine.reconfigure(
            &station(vec![overflow("full", 95.0, Duration::ZERO)]),
            &open,
            now,
        );
        assert_eq!(reads(&mut engine, 80.0, now), [Transition::Ended]);
    }

    #[test]
    fn what_did_not_change_goes_on() {
        let hold = Duration::from_secs(60);
        let mut now = at(Duration::ZERO);
        let mut engine = engine(&station(vec![overflow("full", 90.0, hold)]), now);
        assert_eq!(reads(&mut engine, 95.0, now), []);
        now.mono += Duration::from_secs(40);
        let more = vec![overflow("full", 90.0, hold), overflow("half", 50.0, hold)];
        engine.reconfigure(&station(more), &[], now);
        now.mono += Duration::from_secs(30);
        // 70 s above its limit in all, over the reload.
        assert_eq!(reads(&mut engine, 95.0, now), [Transition::Began]);
        // A rule that is gone says nothing more.
        engine.reconfigure(&station(Vec::new()), &[], now);
        assert_eq!(reads(&mut engine, 10.0, now), []);
    }

    #[test]
    fn a_zone_that_changed_knows_the_permits_that_go() {
        let now = at(Duration::ZERO);
        let zone = |dwell| {
            let calendar = Calendar {
                place: "gate/door".into(),
                ..Default::default()
            };
            let mut rule = Rule::clone(&stall(dwell, SECOND));
            if let Condition::Presence { calendar: of, .. } = &mut rule.when {
                *of = Arc::new(calendar);
            }
            config(Vec::new(), vec![camera("gate", vec![Arc::new(rule)])])
        };
        let mut engine = engine(&zone(MINUTE), now);
        let permit = Permit {
            id: "N1".into(),
            zones: vec!["gate/door".into()],
            holder: None,
            from: now.wall - HOUR,
            to: now.wall + HOUR,
            windows: Vec::new(),
        };
        let mut found = Vec::new();
        let said = observed("permits", Value::Permits(vec![permit].into()), now);
        engine.step(&said, now, &mut found);
        engine.reconfigure(&zone(2 * SECOND), &[], now);
        let stands = observed("gate", sighting("chair", MINUTE, Vec::new()), now);
        engine.step(&stands, now, &mut found);
        assert_eq!(found, [], "it is permitted");
    }
}
