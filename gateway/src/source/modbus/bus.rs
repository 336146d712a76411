//! The task that owns one bus: takes turns from the schedule, polls, passes arrivals on.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use wangge_node_update::{Ask, Heard};
use wangge_protocol::Text;

use super::{
    device::Member,
    errand::{self, Errand, Errands},
    link::Link,
    plan::Plan,
    poll::{Outcome, Unit},
    schedule::{Lane, Next, SILENT_AFTER, Schedule, Settled},
    words::refusal_zh,
};
use crate::{
    bilingual::{Bilingual, text},
    clock::{Clock, Now},
    config::{Bus, BusLink, Device, DeviceLink},
    counters::SourceCounters,
    observation::Arrival,
};

/// How long a host that grants no second connection, or drops one for the other, is left with
/// one.
const ALONE_FOR: Duration = Duration::from_secs(60);

/// A second connection that is idle for longer is given back.
const ASIDE_IDLE: Duration = Duration::from_secs(1);

/// What a unit refused is tried again after this long; its firmware may have been replaced.
const RELEARN_AFTER: Duration = Duration::from_secs(24 * 3600);

/// A unit, whose figures go to these devices.
#[derive(Debug)]
struct Station {
    unit: Unit,
    members: Vec<Member>,
    /// Refused polls in a row.
    refusals: u32,
    learnt_at: Duration,
}

struct State {
    schedule: Schedule,
    /// `None` while on a lane.
    stations: Vec<Option<Station>>,
}

struct Shared {
    bus: Bus,
    out: mpsc::Sender<Arrival>,
    clock: Clock,
    counters: Arc<SourceCounters>,
    /// Never held across an await.
    state: Mutex<State>,
    wake_main: Notify,
    wake_aside: Notify,
}

/// The receiver of arrivals has gone.
struct Closed;

/// Polls every device of `devices` that is on `bus` until `stop`, or until `out` closes, and
/// does `errands` in between.
pub async fn run(
    bus: Bus,
    devices: Vec<Arc<Device>>,
    errands: mpsc::Receiver<Errand>,
    out: mpsc::Sender<Arrival>,
    clock: Clock,
    counters: Arc<SourceCounters>,
    stop: CancellationToken,
) {
    let (stations, periods) = stations(&bus, &devices);
    if stations.is_empty() {
        tracing::warn!(bus = &*bus.name, "no device is on this bus");
        stop.cancelled().await;
        return;
    }
    let has_aside = matches!(bus.link, BusLink::Tcp { .. }) && stations.len() > 1;
    let schedule = Schedule::new(&periods, bus.timeout, has_aside, clock.now().mono);
    let shared = Shared {
        bus,
        out,
        clock,
        counters,
        state: Mutex::new(State {
            schedule,
            stations: stations.into_iter().map(Some).collect(),
        }),
        wake_main: Notify::new(),
        wake_aside: Notify::new(),
    };
    let (mut errands, mut none) = (Errands::new(errands), Errands::none());
    let both = async {
        tokio::select! {
            Closed = shared.lane(Lane::Main, &mut errands) => (),
            Closed = shared.lane(Lane::Aside, &mut none), if has_aside => (),
        }
    };
    stop.run_until_cancelled(both).await;
}

/// One station a unit id, polled at the shortest period of its devices.
fn stations(bus: &Bus, devices: &[Arc<Device>]) -> (Vec<Station>, Vec<Duration>) {
    let mut by_unit: BTreeMap<u8, Vec<(Arc<Device>, Duration)>> = BTreeMap::new();
    for device in devices {
        if let DeviceLink::Modbus {
            bus: name,
            unit_id,
            every,
        } = &device.link
            && *name == bus.name
        {
            by_unit
                .entry(*unit_id)
                .or_default()
                .push((device.clone(), *every));
        }
    }
    by_unit
        .into_iter()
        .map(|(id, devices)| {
            let every = devices.iter().map(|(_, e)| *e).min().unwrap_or_default();
            let parts = devices
                .iter()
                .flat_map(|(d, _)| &d.profile.points)
                .flat_map(|p| &p.parts);
            let station = Station {
                unit: Unit::new(id, Plan::new(parts)),
                members: devices
                    .into_iter()
                    .map(|(d, e)| Member::new(d, e, every))
                    .collect(),
                refusals: 0,
                learnt_at: Duration::ZERO,
            };
            (station, every)
        })
        .unzip()
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn lane(&self, lane: Lane, errands: &mut Errands) -> Closed {
        let mut link = Link::new(self.bus.link.clone(), self.bus.timeout);
        let wake = match lane {
            Lane::Main => &self.wake_main,
            Lane::Aside => &self.wake_aside,
        };
        loop {
            let now = self.clock.now().mono;
            let next = self.state().schedule.next(lane, now);
            if let Some(errand) = errands.turn(!matches!(next, Next::Poll { .. })) {
                self.errand(&mut link, errand).await;
                continue;
            }
            match next {
                Next::Poll { unit, patience } => {
                    if let Err(closed) = self.turn(lane, &mut link, unit, patience).await {
                        return closed;
                    }
                }
                Next::Sleep(until) => {
                    let pause = until.saturating_sub(now).max(Duration::from_millis(1));
                    if lane == Lane::Aside && pause > ASIDE_IDLE {
                        link.close();
                    }
                    tokio::select! {
                        () = tokio::time::sleep(pause) => (),
                        () = wake.notified() => (),
                        () = errands.arrival() => (),
                    }
                }
                Next::Rest => {
                    if lane == Lane::Aside {
                        link.close();
                    }
                    tokio::select! {
                        () = wake.notified() => (),
                        () = errands.arrival() => (),
                    }
                }
            }
        }
    }

    async fn errand(&self, link: &mut Link, errand: Errand) {
        let Errand { unit, ask, reply } = errand;
        let heard = errand::ask(link, unit, &ask, self.bus.timeout).await;
        if let (Heard::Silent, Ask::Read { count, .. }) = (&heard, &ask) {
            // Its answer may still come, and must not pass for a poll's.
            let mut state = self.state();
            let mut here = state.stations.iter_mut().flatten();
            if let Some(station) = here.find(|station| station.unit.id == unit) {
                station.unit.owes(*count);
            }
        }
        // Who asked may have gone.
        let _ = reply.send(heard);
    }

    async fn turn(
        &self,
        lane: Lane,
        link: &mut Link,
        index: usize,
        patience: Duration,
    ) -> Result<(), Closed> {
        let taken = {
            let mut state = self.state();
            state.schedule.begin(index);
            state.stations.get_mut(index).and_then(Option::take)
        };
        let Some(mut station) = taken else {
            return Ok(());
        };
        let outcome = station.unit.poll(link, patience).await;
        let now = self.clock.now();
        let mut arrivals = Vec::with_capacity(station.members.len());
        {
            let mut state = self.state();
            let lost_aside = lane == Lane::Aside
                && (outcome.is_lost() || matches!(outcome, Outcome::Unreachable(_)));
            if lost_aside {
                state.schedule.stay_alone(now.mono + ALONE_FOR);
            }
            let settled = match &outcome {
                Outcome::Answered { took } | Outcome::Refused { took, .. } => {
                    Some(state.schedule.answered(index, *took, now.mono))
                }
                Outcome::Silent(_) => Some(state.schedule.silent(index, now.mono)),
                Outcome::Unreachable(_) => {
                    state.schedule.give_back(index);
                    None
                }
            };
            if lost_aside || settled.is_some_and(|s| s.changed) {
                self.wake_main.notify_one();
                self.wake_aside.notify_one();
            }
            match settled {
                Some(settled) => {
                    self.counters.missed.add(settled.late);
                    self.settle(&mut station, &outcome, settled, now, &mut arrivals);
                    state.put_back(index, station);
                }
                None => {
                    state.put_back(index, station);
                    if let (Lane::Main, Outcome::Unreachable(error)) = (lane, &outcome) {
                        self.unreachable(&mut state, &error.told(), now, &mut arrivals);
                    }
                }
            }
        }
        for arrival in arrivals {
            self.out.send(arrival).await.map_err(|_| Closed)?;
        }
        Ok(())
    }

    /// Books one poll and makes the arrivals it is worth.
    fn settle(
        &self,
        station: &mut Station,
        outcome: &Outcome,
        settled: Settled,
        now: Now,
        arrivals: &mut Vec<Arrival>,
    ) {
        let unit = station.unit.id;
        let bus = &*self.bus.name;
        match outcome {
            Outcome::Answered { .. } => {
                self.counters.received.add_one();
                self.counters.accepted.add_one();
                station.refusals = 0;
                if station.members.iter().any(Member::is_silent) {
                    tracing::info!(bus, unit, "answers again");
                }
                station.relearn(now.mono);
                let Station { unit, members, .. } = station;
                arrivals.extend(members.iter_mut().filter_map(|m| m.answered(unit, now)));
            }
            Outcome::Refused { code, .. } => {
                self.counters.received.add_one();
                self.counters.refused.add_one();
                station.refusals = station.refusals.saturating_add(1);
                tracing::debug!(bus, unit, %code, "refuses");
                if station.refusals >= SILENT_AFTER {
                    let zh = refusal_zh(*code);
                    let reason = text(
                        format!("总线 {bus} 单元 {unit} 拒绝所有读取:{zh}"),
                        format!("unit {unit} on bus {bus} refuses every read: {code}"),
                    );
                    self.report_silent(station, &reason, now, arrivals);
                }
            }
            Outcome::Silent(error) => {
                self.counters.faults.add_one();
                tracing::debug!(bus, unit, %error, misses = settled.misses, "no usable answer");
                if settled.misses >= SILENT_AFTER {
                    let reason = text(
                        format!("总线 {bus} 单元 {unit}:{}", error.zh()),
                        format!("unit {unit} on bus {bus}: {error}"),
                    );
                    self.report_silent(station, &reason, now, arrivals);
                }
            }
            // Nobody's poll; `unreachable` books it.
            Outcome::Unreachable(_) => {}
        }
    }

    fn unreachable(&self, state: &mut State, why: &Text, now: Now, arrivals: &mut Vec<Arrival>) {
        self.counters.faults.add_one();
        let bus = &*self.bus.name;
        tracing::debug!(bus, why = why.en, "unreachable");
        let State { schedule, stations } = state;
        schedule.unreachable(now.mono, |index, settled| {
            self.counters.missed.add(settled.late);
            if settled.misses >= SILENT_AFTER
                && let Some(Some(station)) = stations.get_mut(index)
            {
                let reason = text(
                    format!("总线 {bus} {}", why.zh),
                    format!("bus {bus}: {}", why.en),
                );
                self.report_silent(station, &reason, now, arrivals);
            }
        });
    }

    fn report_silent(
        &self,
        station: &mut Station,
        reason: &Text,
        now: Now,
        arrivals: &mut Vec<Arrival>,
    ) {
        let before = arrivals.len();
        arrivals.extend(
            station
                .members
                .iter_mut()
                .filter_map(|m| m.silent(reason.clone(), now)),
        );
        if arrivals.len() > before {
            tracing::warn!(
                bus = &*self.bus.name,
                unit = station.unit.id,
                reason = reason.en,
                "silent"
            );
        }
    }
}

impl State {
    fn put_back(&mut self, index: usize, station: Station) {
        if let Some(place) = self.stations.get_mut(index) {
            *place = Some(station);
        }
    }
}

impl Station {
    /// Forgets what the unit refused once it may have become another one: after a silence, and
    /// once a day.
    fn relearn(&mut self, mono: Duration) {
        let was_away = self.members.iter().any(Member::is_silent);
        if was_away || mono.saturating_sub(self.learnt_at) >= RELEARN_AFTER {
            self.learnt_at = mono;
            if self.unit.plan.has_learnt() {
                self.unit.plan.forget();
            }
        }
    }
}
