//! What may go over a line now, by its windows and its budget, and what has gone.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tracing::{info, warn};

use super::{
    budget::{Level, Meter},
    queue::Allowance,
    tariff::Tariff,
};
use crate::{
    calendar::Calendar,
    clock::Now,
    config::Line,
    counters::{LineState, UplinkCounters},
};

/// How often the windows are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// Start of the keys under which spent bytes are stored.
const PREFIX: &str = "budget/";
/// A pooled HTTPS connection is closed after so long without a request.
pub const POOLED: Duration = Duration::from_secs(90);

/// See the module.
#[derive(Debug)]
pub struct Gate {
    uplink: Arc<str>,
    windows: Option<Calendar>,
    open: bool,
    looked: Option<Duration>,
    meter: Option<Meter>,
    told: Level,
    tariff: Tariff,
    /// Time between two pings, where there are some.
    pings: Option<Duration>,
    /// Until when pings are counted.
    pinged: Option<Duration>,
    counters: Arc<UplinkCounters>,
}

impl Gate {
    /// `state` are the spool's entries, with what an earlier run stored.
    pub fn new(
        uplink: Arc<str>,
        line: &Line,
        (tariff, pings): (Tariff, Option<Duration>),
        state: &[(Vec<u8>, Vec<u8>)],
        counters: Arc<UplinkCounters>,
        now: Timestamp,
    ) -> Self {
        let key = key(&uplink);
        let stored = state.iter().find(|(k, _)| *k == key);
        let meter = line.budget.map(|budget| {
            let stored = stored.map(|(_, value)| value.as_slice());
            Meter::new(budget, line.time_zone.clone(), stored, now)
        });
        let mut gate = Gate {
            uplink,
            windows: line.windows.clone(),
            open: true,
            looked: None,
            meter,
            told: Level::Ample,
            tariff,
            pings,
            pinged: None,
            counters,
        };
        gate.tell();
        gate
    }

    /// What may go now.
    pub fn allowance(&mut self, now: Now) -> Allowance {
        let due = self.looked.is_none_or(|at| now.mono >= at + LOOK_EVERY);
        if due {
            self.looked = Some(now.mono);
            if let Some(windows) = &self.windows {
                let open = windows.at(now.wall).state.is_legal();
                if open != self.open {
                    info!(uplink = %self.uplink, open, "transmission window");
                }
                self.open = open;
            }
            if let Some(meter) = &mut self.meter {
                meter.turn(now.wall);
            }
            self.tell();
        }
        let spent = self
            .meter
            .as_ref()
            .is_some_and(|m| m.level() == Level::Spent);
        match (spent, self.open) {
            (true, _) => Allowance::Alerts,
            (false, false) => Allowance::Urgent,
            (false, true) => Allowance::All,
        }
    }

    /// When to look again.
    pub fn due(&self) -> Option<Duration> {
        let needed = self.windows.is_some() || self.meter.is_some();
        needed.then(|| self.looked.map_or(Duration::ZERO, |at| at + LOOK_EVERY))
    }

    /// A message of so many bytes is sent; a connection may have to be made for it.
    pub fn sent(&mut self, bytes: usize, is_new_connection: bool, now: Now) {
        let mut cost = self.tariff.message(bytes as u64);
        if is_new_connection {
            cost += self.tariff.connection();
        }
        self.add(cost, now);
    }

    /// So many receipts came in one message.
    pub fn received(&mut self, receipts: usize, now: Now) {
        self.add(self.tariff.receipts(receipts), now);
    }

    /// The connection stands.
    pub fn connected(&mut self, now: Now) {
        if self.pings.is_some() {
            self.pinged = Some(now.mono);
            self.add(self.tariff.connection(), now);
        }
    }

    /// It does not.
    pub fn lost(&mut self, now: Now) {
        self.count_pings(now);
        self.pinged = None;
    }

    fn count_pings(&mut self, now: Now) {
        let (Some(every), Some(until)) = (self.pings, self.pinged) else {
            return;
        };
        let passed = now.mono.saturating_sub(until).as_nanos() / every.as_nanos().max(1);
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        if passed > 0 {
            self.pinged = Some(until + every.saturating_mul(passed));
            self.add(self.tariff.ping() * u64::from(passed), now);
        }
    }

    fn add(&mut self, bytes: u64, now: Now) {
        self.counters.carried.add(bytes);
        if let Some(meter) = &mut self.meter {
            meter.add(bytes, now.wall);
            self.tell();
        }
    }

    /// What has to be stored, as key and value.
    pub fn take_changed(&mut self, now: Now) -> Option<(Vec<u8>, Vec<u8>)> {
        self.count_pings(now);
        let value = self.meter.as_mut()?.take_changed()?;
        Some((key(&self.uplink), value))
    }

    /// The exact figure at the end.
    pub fn last(&mut self, now: Now) -> Option<(Vec<u8>, Vec<u8>)> {
        self.count_pings(now);
        Some((key(&self.uplink), self.meter.as_ref()?.exact()))
    }

    /// Shows people how it stands; says once that it has become worse.
    fn tell(&mut self) {
        let meter = self.meter.as_ref();
        self.counters.line.set(LineState {
            open: self.windows.is_some().then_some(self.open),
            budget: meter.map(|m| (m.budget(), m.spent())),
        });
        let Some(meter) = meter else { return };
        let (level, budget) = (meter.level(), meter.budget());
        if level > self.told {
            let (spent, of, per) = (meter.spent(), budget.bytes, budget.per.word());
            match level {
                Level::Ample => {}
                Level::Low => {
                    warn!(uplink = %self.uplink, spent, of, "80 % of the {per}'s budget is spent");
                }
                Level::Spent => {
                    warn!(uplink = %self.uplink, spent, of, "the {per}'s budget is spent: alerts only until the next {per}");
                }
            }
        }
        self.told = level;
    }
}

fn key(uplink: &str) -> Vec<u8> {
    format!("{PREFIX}{uplink}").into_bytes()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::{
        calendar::{Hours, Window, Windows},
        config::line::{Budget, Period},
        uplink::tariff::Kind,
    };

    const TARIFF: Tariff = Tariff {
        tls: false,
        kind: Kind::Mqtt { topic: 40 },
    };

    fn gate(line: &Line, state: &[(Vec<u8>, Vec<u8>)], now: Now) -> Gate {
        let pings = Some(Duration::from_secs(60));
        Gate::new(
            "city".into(),
            line,
            (TARIFF, pings),
            state,
            Arc::default(),
            now.wall,
        )
    }

    fn now(wall: &str, mono: u64) -> Now {
        Now {
            wall: wall.parse().unwrap(),
            mono: Duration::from_secs(mono),
        }
    }

    #[test]
    fn what_can_wait_waits_for_its_window() {
        let line = Line {
            windows: Some(Calendar {
                hours: Hours {
                    windows: Windows::Allowed(vec![Window::parse("22:00-06:00").unwrap()]),
                    ..Hours::default()
                },
                time_zone: TimeZone::get("Asia/Shanghai").unwrap(),
                ..Calendar::default()
            }),
            ..Line::default()
        };
        let mut gate = gate(&line, &[], now("2026-11-26T00:00:00Z", 0));
        for (wall, mono, allowance) in [
            ("2026-11-26T13:59:59Z", 100, Allowance::Urgent),
            ("2026-11-26T14:00:00Z", 200, Allowance::All),
            ("2026-11-26T21:59:59Z", 300, Allowance::All),
            ("2026-11-26T22:00:00Z", 400, Allowance::Urgent),
        ] {
            assert_eq!(gate.allowance(now(wall, mono)), allowance, "{wall}");
        }
    }

    #[test]
    fn a_spent_budget_lets_alerts_pass_over_a_restart_until_the_next_day() {
        let line = Line {
            budget: Some(Budget {
                bytes: 1_000_000,
                per: Period::Day,
            }),
            ..Line::default()
        };
        let start = now("2026-11-26T00:00:00Z", 0);
        let mut first = gate(&line, &[], start);
        assert_eq!(first.allowance(start), Allowance::All);
        first.sent(900_000, false, start);
        assert_eq!(first.allowance(start), Allowance::All);
        first.sent(100_000, false, start);
        assert_eq!(first.allowance(start), Allowance::Alerts, "at once");
        let stored = first.take_changed(start).unwrap();
        let mut second = gate(&line, &[stored], start);
        assert_eq!(second.allowance(start), Allowance::Alerts);
        let tomorrow = now("2026-11-27T00:00:00Z", 86_400);
        assert_eq!(second.allowance(tomorrow), Allowance::All);
    }

    #[test]
    fn an_idle_connection_costs_its_pings() {
        let line = Line::default();
        let start = now("2026-11-26T00:00:00Z", 0);
        let mut gate = gate(&line, &[], start);
        gate.connected(start);
        let hello = gate.counters.carried.get();
        gate.lost(now("2026-11-26T01:00:00Z", 3_600));
        assert_eq!(gate.counters.carried.get() - hello, 60 * TARIFF.ping());
        gate.lost(now("2026-11-26T02:00:00Z", 7_200));
        assert_eq!(gate.counters.carried.get() - hello, 60 * TARIFF.ping());
    }
}
