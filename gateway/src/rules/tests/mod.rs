mod beside;
mod calendar;
mod figures;
mod flow;
mod properties;
mod state;

use std::{sync::Arc, time::Duration};

use jiff::{Span, Timestamp, civil, tz::TimeZone};
use proptest::prelude::*;
use wangge_protocol::{EventKind, Severity};

use super::{fixtures::*, rate::Rate, *};
use crate::{
    clock::Now,
    config::{Condition, Rule, Side},
    observation::{Health, Observation, Quality, Quantity, Value},
};

/// One device `d` and one camera `c` with the same rules, on a clock that the test moves.
struct Bench {
    engine: Engine,
    now: Now,
    out: Vec<Finding>,
}

impl Bench {
    fn new(rules: Vec<Arc<Rule>>) -> Self {
        Self::restored(rules, TimeZone::UTC, &[])
    }

    fn restored(rules: Vec<Arc<Rule>>, tz: TimeZone, open: &[&str]) -> Self {
        let now = at(Duration::ZERO);
        let open: Vec<_> = open.iter().map(|r| ("d".into(), r.to_string())).collect();
        Bench {
            engine: Engine::new(
                &[device("d", rules.clone())],
                &[camera("c", rules)],
                tz,
                &open,
                now,
            ),
            now,
            out: Vec::new(),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now.wall += time;
        self.now.mono += time;
    }

    fn taken(&mut self) -> Vec<Transition> {
        self.out.drain(..).map(|f| f.what).collect()
    }

    fn see(&mut self, observation: &Observation) -> Vec<Transition> {
        self.engine.step(observation, self.now, &mut self.out);
        self.taken()
    }

    fn reads(&mut self, quantity: Quantity, value: f64) -> Vec<Transition> {
        self.see(&measured("d", quantity, value, self.now))
    }

    fn sees(&mut self, value: Value) -> Vec<Transition> {
        self.see(&observed("c", value, self.now))
    }

    fn ticks(&mut self) -> Vec<Transition> {
        self.engine.tick(self.now, &mut self.out);
        self.taken()
    }
}

fn heating() -> Arc<Rule> {
    rule(
        "heating",
        EventKind::BinFire,
        Condition::Rate {
            quantity: Quantity::Temperature,
            per_minute: 10.0,
            window: 2 * MINUTE,
        },
    )
}

fn night(from: &str, to: &str, hold: Duration) -> Arc<Rule> {
    rule(
        "leak",
        EventKind::WaterLeak,
        Condition::NightFlow {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            min_flow: 0.02,
            hold,
        },
    )
}
