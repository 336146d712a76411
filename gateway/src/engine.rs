//! The loop between sources and spool: takes arrivals in groups, steps rules and alerts, makes
//! the consequences durable in one commit, and only then acknowledges.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};
use tracing::{error, info, warn};
use wangge_protocol::{
    AlertData, AlertState, CloudEvent, EventKind, EvidenceRef, SourceKind, Text,
};

mod commit;
mod pictures;

use self::{commit::Outage, pictures::Share};
use crate::{
    alert::{self, Ledger, Outbound},
    clock::{Change, Clock, Reading},
    config::{Config, line::Pictures},
    console::{OpenAlert, ProofStatus, VerdictsStatus},
    observation::{Ack, Arrival, Health, Value},
    proof::Notary,
    routing::{self, DayRow, Router, held::Held},
    rules::{self, Finding},
    spool::{Batch, Class, Lane, Record, Spool},
    telemetry::Streams,
};

mod wayback;

pub use wayback::{Ends, Note, Wayback};

/// Subject of what concerns the gateway itself.
pub const GATEWAY: &str = "gateway";
/// Arrivals in one commit at most: bounds a commit's size, and with it the longest pause.
const GROUP: usize = 2_048;
/// How often rules look at the clock.
const TICK: Duration = Duration::from_secs(1);

/// What became of alerts since the start, per kind and source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertCount {
    pub raised: u64,
    pub updated: u64,
    pub cleared: u64,
}

/// What the console shows of the engine.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub alerts: BTreeMap<(EventKind, SourceKind), AlertCount>,
    /// Alerts that have not ended.
    pub open: Vec<OpenAlert>,
    /// Devices and cameras that are not well, and why.
    pub faults: BTreeMap<Arc<str>, Text>,
    /// Readings that no stream, and records that no spool could take.
    pub unforwardable: u64,
    /// Why the last commit failed, while it does.
    pub refused: Option<String>,
    /// What alerts are proved with.
    pub proof: ProofStatus,
    /// What the platform decided.
    pub verdicts: VerdictsStatus,
    /// Figures of each day, kind and tier.
    pub days: Arc<Vec<DayRow>>,
    /// When the loop last came round: the watchdog's proof of progress.
    pub alive: Option<Instant>,
}

/// Shared between the engine, which writes, and the console and watchdog, which read.
pub type SharedProgress = Arc<Mutex<Progress>>;

/// Everything that the loop owns.
#[derive(Debug)]
pub struct Engine {
    rules: rules::Engine,
    ledger: Ledger,
    notary: Notary,
    router: Router,
    /// Copies for alerts that may go on to another tier.
    held: Held,
    station: Arc<str>,
    streams: Streams,
    spool: Spool,
    clock: Clock,
    /// Which pictures each uplink gets.
    pictures: Vec<Pictures>,
    commit_interval: Duration,
    progress: SharedProgress,
    /// Devices whose readings were found too large, to say so once.
    told: HashSet<Arc<str>>,
    findings: Vec<Finding>,
    batch: Batch,
    acks: Vec<Ack>,
    /// Whether the console shows the alerts that are open now.
    shown: bool,
    /// Verdicts and commands, if anybody may give any.
    way: Option<Box<Wayback>>,
    /// The version of the days' figures that it shows.
    days_shown: u64,
    /// Where alerts go that cannot be stored.
    live: Vec<mpsc::Sender<Record>>,
    /// The spool refuses.
    outage: Option<Outage>,
}

impl Engine {
    /// Puts the parts together; `ledger` and `router` already know the alerts that are open.
    pub fn new(
        config: &Config,
        rules: rules::Engine,
        (ledger, router): (Ledger, Router),
        notary: Notary,
        spool: Spool,
        clock: Clock,
        progress: SharedProgress,
    ) -> Self {
        Engine {
            rules,
            ledger,
            notary,
            router,
            pictures: config.uplinks.iter().map(|u| u.line.pictures).collect(),
            // Behind the uplinks; the configuration has at most eight.
            held: Held::new(config.uplinks.len() as u8),
            station: config.station.id.clone(),
            streams: Streams::new(config),
            spool,
            clock,
            commit_interval: config.storage.commit_interval,
            progress,
            told: HashSet::new(),
            findings: Vec::new(),
            batch: Batch::default(),
            acks: Vec::new(),
            shown: false,
            way: None,
            days_shown: 0,
            live: Vec::new(),
            outage: None,
        }
    }

    /// Runs until every sender of `arrivals` is gone and what they sent is on disk.
    ///
    /// A commit that the spool refuses is tried again until it succeeds: nothing is acknowledged
    /// meanwhile, alerts go from memory, and when that is full sources stop taking more.
    pub async fn run(mut self, mut arrivals: mpsc::Receiver<Arrival>) {
        let mut group = Vec::with_capacity(GROUP);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_commit = Instant::now();
        if let Err(fault) = self.held.load(&self.spool).await {
            error!(%fault, "copies that an earlier run held cannot be read; they stay until the next start");
        }
        self.progress().proof.key = self.notary.key().map(str::to_owned);
        self.look_at_clock();
        self.restored();
        self.commit().await;
        loop {
            let (is_well, takes_more) = (self.outage.is_none(), self.takes_more());
            let retry_at = self.outage.as_ref().map(|outage| outage.retry_at);
            tokio::select! {
                biased;
                _ = tick.tick(), if takes_more => self.tick(),
                // What a platform decides is answered after it is stored, and comes again.
                work = wayback::next(&mut self.way), if is_well => self.work(work).await,
                () = sleep_until(retry_at), if !is_well => {}
                n = arrivals.recv_many(&mut group, GROUP), if takes_more => {
                    if n == 0 {
                        break;
                    }
                    // One sync serves all that arrives while it would be too early for the next:
                    // a lone reading waits for nothing, a thousand a second share their syncs.
                    let due = last_commit + self.commit_interval;
                    if Instant::now() < due && group.len() < GROUP {
                        tokio::time::sleep_until(due).await;
                        while group.len() < GROUP
                            && let Ok(next) = arrivals.try_recv()
                        {
                            group.push(next);
                        }
                    }
                    self.look_at_clock();
                    for arrival in group.drain(..) {
                        self.take(arrival);
                    }
                }
            }
            if !self.batch.records.is_empty()
                || !self.batch.state.is_empty()
                || !self.acks.is_empty()
            {
                last_commit = Instant::now();
            }
            self.commit().await;
            self.progress().alive = Some(Instant::now());
        }
        while !self.commit().await {
            sleep_until(self.outage.as_ref().map(|outage| outage.retry_at)).await;
        }
        info!(
            open_alerts = self.ledger.open().count(),
            "all that was received is on disk"
        );
    }

    fn take(&mut self, arrival: Arrival) {
        let now = self.clock.now();
        for observation in &arrival.observations {
            if let Value::Health(health) = &observation.value {
                let faults = &mut self.progress().faults;
                match health {
                    Health::Ok => faults.remove(&observation.subject),
                    Health::Fault { reason, .. } => {
                        faults.insert(observation.subject.clone(), reason.clone())
                    }
                };
            }
            self.rules.step(observation, now, &mut self.findings);
        }
        self.apply();
        self.ledger.heard(&arrival.subject);
        let alert = self.ledger.open_on(&arrival.subject);
        if let Err(fault) = self
            .streams
            .push(&arrival, alert, now, &mut self.batch.records)
        {
            self.progress().unforwardable += 1;
            if self.told.insert(arrival.subject.clone()) {
                warn!(%fault, "a reading is not forwarded");
            }
        }
        self.acks.extend(arrival.ack);
    }

    fn tick(&mut self) {
        self.look_at_clock();
        let now = self.clock.now();
        self.rules.tick(now, &mut self.findings);
        self.apply();
        let mut due = Vec::new();
        self.ledger.tick(now, &mut due);
        due.into_iter().for_each(|outbound| self.outbound(outbound));
        self.batch.state.extend(self.ledger.take_changes());
        // By a clock that is not believed nothing is overdue.
        if self.notary.doubt().is_none() {
            self.escalate();
            self.digest();
        }
        self.show_open();
        self.show_verdicts();
    }

    /// Asks how far the clock can be believed; the platform hears of what changed.
    fn look_at_clock(&mut self) {
        let change = self.notary.observe(Reading::now(), &mut self.batch.state);
        self.progress().proof.clock = self.notary.quality();
        let doubt = self.notary.doubt();
        self.rules.set_clock(doubt.is_none());
        self.ledger.set_clock(doubt);
        if !self.streams.is_empty() {
            self.streams
                .set_clock(self.notary.stamp(&mut self.batch.state));
        }
        if let Some(change) = change {
            self.clock_changed(&change);
        }
    }

    fn clock_changed(&mut self, change: &Change) {
        info!(booted_at = %change.booted_at, offset = %change.offset, quality = ?change.quality, "the clock was set; the platform is told by how much");
        let wall = self.clock.now().wall;
        self.batch.state.extend(self.ledger.correct(change, wall));
        self.ledger.recount_silences(self.clock.now());
        let (id, body) = self.notary.clock_message(change, wall);
        let uplinks = self.router.uplinks();
        self.seal(&uplinks, (&id, &body), &[]);
    }

    /// Puts a message into the batch for these uplinks.
    fn seal(&mut self, uplinks: &[u8], message: (&str, &[u8]), evidence: &[EvidenceRef]) {
        let store = self.spool.evidence();
        let Batch { records, state } = &mut self.batch;
        for (at, &uplink) in uplinks.iter().enumerate() {
            let (id, body) = self.notary.seal(uplink, message, at > 0, state);
            let pictures = self.pictures.get(usize::from(uplink));
            let share = Share::of(pictures.copied().unwrap_or_default(), evidence, &store);
            records.push(Record {
                lane: lane(uplink),
                stream: "alerts".to_owned(),
                id: id.clone(),
                count: 1,
                evidence: share.with_alert.clone(),
                body,
            });
            records.extend(share.later_record(uplink, &id));
        }
    }

    /// Alerts that nobody settled in time go on to the next tier.
    fn escalate(&mut self) {
        let now = self.clock.now();
        for alert in self.router.tick(now) {
            let tiers = (alert.from, alert.to);
            let made =
                self.ledger
                    .escalate(&alert.alert_id, tiers, alert.late, alert.evidence, now);
            match made {
                Some(outbound) => self.outbound(outbound),
                None => self.router.forget(&alert.alert_id, now),
            }
        }
    }

    /// Figures of the days before, when they are due.
    fn digest(&mut self) {
        let now = self.clock.now();
        let (parts, uplinks) = self.router.digest(now, &self.station);
        for part in parts {
            let (id, body) = alert::digest_message(part, now.wall);
            for &uplink in &uplinks {
                self.batch.records.push(Record {
                    lane: lane(uplink),
                    stream: "digest".to_owned(),
                    id: id.clone(),
                    count: 1,
                    evidence: Vec::new(),
                    body: body.clone(),
                });
            }
        }
    }

    /// Alerts whose devices or rules are gone, and what could not be read of the stored ones.
    fn restored(&mut self) {
        let restored = self.ledger.take_restored();
        for unreadable in &restored.unreadable {
            error!(%unreadable, "an open alert of an earlier run is lost");
        }
        self.batch.state.extend(restored.state);
        restored
            .cleared
            .into_iter()
            .for_each(|outbound| self.outbound(outbound));
        let open = self.ledger.list().map(|alert| alert.alert_id.as_str());
        self.router.reconcile(open, self.clock.now());
        if let Some(damage) = self.spool.damage() {
            error!(%damage.en, "the storage is not as it was left");
            self.storage_fault(damage);
        }
        self.show_open();
    }

    /// Findings become alert messages in the batch.
    fn apply(&mut self) {
        for finding in std::mem::take(&mut self.findings) {
            if let Some(outbound) = self.ledger.apply(finding, self.clock.now()) {
                self.outbound(outbound);
            }
        }
        self.batch.state.extend(self.ledger.take_changes());
    }

    fn outbound(&mut self, mut outbound: Outbound) {
        self.drop_lost_pictures(&mut outbound);
        {
            let mut progress = self.progress();
            let count = progress
                .alerts
                .entry((outbound.kind, outbound.source))
                .or_default();
            match outbound.state {
                AlertState::Raised => count.raised += 1,
                AlertState::Updated => count.updated += 1,
                AlertState::Cleared => count.cleared += 1,
            }
        }
        info!(kind = %outbound.kind, state = ?outbound.state, alert = %outbound.alert_id, text = %outbound.text.en, "alert");
        let change = routing::Change {
            alert_id: &outbound.alert_id,
            kind: outbound.kind,
            severity: outbound.severity,
            state: outbound.state,
            evidence: &outbound.evidence,
        };
        let routed = self.router.step(change, self.clock.now());
        if let Some(routing) = routed.routing
            && let Some(body) = alert::with_routing(&outbound.body, routing)
        {
            outbound.body = body;
        }
        let message = (outbound.event_id.as_str(), outbound.body.as_slice());
        self.seal(&routed.uplinks, message, &outbound.evidence);
        if routed.hold {
            let copy = self.held.copy(&outbound);
            self.batch.records.push(copy);
        }
        self.batch.state.push(outbound.state_change);
        if outbound.state == AlertState::Raised {
            self.known(&outbound.device, &outbound.alert_id);
        }
        self.shown = false;
    }

    /// An update may have waited until the picture that it names was swept, or the disk lost it:
    /// the message goes without it rather than not at all.
    fn drop_lost_pictures(&self, outbound: &mut Outbound) {
        let store = self.spool.evidence();
        if outbound.evidence.iter().all(|e| store.holds(&e.sha256)) {
            return;
        }
        outbound.evidence.retain(|e| store.holds(&e.sha256));
        warn!(alert = %outbound.alert_id, "a picture is gone; the alert goes without it");
        if let Ok(mut event) = serde_json::from_slice::<CloudEvent<AlertData>>(&outbound.body) {
            event.data.evidence.clone_from(&outbound.evidence);
            if let Ok(body) = serde_json::to_vec(&event) {
                outbound.body = body;
            }
        }
    }

    /// Renews what the console shows of open alerts; once a tick, however many changed.
    fn show_open(&mut self) {
        let counted = self.router.days_version() != self.days_shown;
        if std::mem::replace(&mut self.shown, true) && !counted {
            return;
        }
        let open = self.ledger.list().map(|a| OpenAlert {
            id: a.alert_id.clone(),
            subject: a.device.clone(),
            rule: a.rule.clone(),
            kind: a.kind,
            severity: a.severity,
            since: a.raised_at.clone(),
            tier: None,
            deadline: None,
            overdue: false,
        });
        let mut open: Vec<OpenAlert> = open.collect();
        for alert in &mut open {
            if let Some(place) = self.router.whereabouts(&alert.id) {
                alert.tier = Some(place.tier);
                alert.deadline = place.deadline.map(|at| at.to_string());
                alert.overdue = place.late;
            }
        }
        let days = counted.then(|| self.router.days());
        self.days_shown = self.router.days_version();
        let mut progress = self.progress();
        progress.open = open;
        if let Some(days) = days {
            progress.days = Arc::new(days);
        }
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sleep_until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}

/// Where alerts wait for an uplink.
fn lane(uplink: u8) -> Lane {
    Lane {
        uplink,
        class: Class::Alert,
    }
}

#[cfg(test)]
mod tests;
