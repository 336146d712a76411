//! What comes back from platforms, in the loop: verdicts and commands become changes of state and
//! an answer in one commit.

mod page;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};
use uuid::Uuid;
use wangge_protocol::{
    Answer, AnswerAbout, AnswerResult, CloudEvent, Command, EvidenceRef, SCHEMA_ANSWER,
    TYPE_ANSWER, Verdict, VerdictStatus,
};

use super::Engine;
use crate::{
    audit::{Audit, Event, What},
    config::Config,
    down::{ANSWERS, Ask, Book, Change, Clerk, HUSH, Inbound, Item, MAX_HELD, Order},
    reload::{Reloaded, Reloader},
    source::vision::View,
    spool::{Class, Lane, Record},
};

/// Things that are taken from the way back before readings have their turn.
const TOGETHER: usize = 64;
/// Repeats that are remembered for [`HUSH`].
const MAX_ANSWERED: usize = 4_096;
/// A camera gives a picture within this, or there is none; a quiet one is looked at rarely.
const PICTURE_PATIENCE: Duration = Duration::from_secs(90);
/// Letters of the reason in an answer.
const MAX_SAID: usize = 400;
/// Something to be told to the engine, besides what comes from platforms.
#[derive(Debug)]
pub enum Note {
    /// SIGHUP: read the file again.
    Reload,
    /// The file was read.
    Reloaded(Box<Result<Reloaded, String>>, Option<Pending>),
    /// A picture was taken, or not.
    Pictured(Result<EvidenceRef, String>, Pending),
}

/// A command that is being carried out.
#[derive(Debug)]
pub struct Pending {
    uplink: u8,
    id: String,
    /// To be stored with the answer.
    changes: Vec<Change>,
}

/// Everything about the way back that the engine owns.
#[derive(Debug)]
pub struct Wayback {
    book: Book,
    clerk: Clerk,
    inbox: mpsc::Receiver<Inbound>,
    notes: (mpsc::Sender<Note>, mpsc::Receiver<Note>),
    /// Where pictures come from, if there are cameras.
    pictures: Option<mpsc::Sender<Ask>>,
    reloader: Option<Arc<Mutex<Reloader>>>,
    views: watch::Sender<View>,
    audit: Arc<Mutex<Audit>>,
    /// What was answered a moment ago, and when (monotonic).
    answered: HashMap<(u8, AnswerAbout, String, String), Duration>,
    /// Commands that are being carried out: their answer is still to come.
    at_work: HashSet<String>,
    by_status: BTreeMap<VerdictStatus, u64>,
    by_result: BTreeMap<AnswerResult, u64>,
    deferred: u64,
    reloaded: Option<String>,
    is_shown: bool,
}

/// What the way back is made of.
#[derive(Debug)]
pub struct Ends {
    pub inbox: mpsc::Receiver<Inbound>,
    pub notes: (mpsc::Sender<Note>, mpsc::Receiver<Note>),
    pub pictures: Option<mpsc::Sender<Ask>>,
    pub reloader: Option<Reloader>,
    /// To whoever watches the cameras.
    pub views: watch::Sender<View>,
    pub audit: Arc<Mutex<Audit>>,
}

impl Wayback {
    /// With what an earlier run left in `state`.
    pub fn restore(config: &Config, state: &[(Vec<u8>, Vec<u8>)], ends: Ends) -> Self {
        let book = Book::restore(state);
        let clerk = Clerk::restore(&config.station.id, &config.commands, state);
        Wayback {
            book,
            clerk,
            inbox: ends.inbox,
            notes: ends.notes,
            pictures: ends.pictures,
            reloader: ends.reloader.map(|r| Arc::new(Mutex::new(r))),
            views: ends.views,
            audit: ends.audit,
            answered: HashMap::new(),
            at_work: HashSet::new(),
            by_status: BTreeMap::new(),
            by_result: BTreeMap::new(),
            deferred: 0,
            reloaded: None,
            is_shown: false,
        }
    }

    /// The next thing to do. Cancel-safe.
    async fn next(&mut self) -> Work {
        let mut came = Vec::new();
        tokio::select! {
            Some(note) = self.notes.1.recv() => Work::Note(note),
            1.. = self.inbox.recv_many(&mut came, TOGETHER) => Work::Came(came),
            else => std::future::pending().await,
        }
    }

    /// Whether it was answered a moment ago; notes that it is answered now.
    fn is_echo(&mut self, key: (u8, AnswerAbout, String, String), now: Duration) -> bool {
        let fresh = |at: &Duration| now.saturating_sub(*at) < HUSH;
        if self.answered.get(&key).is_some_and(fresh) {
            return true;
        }
        if self.answered.len() >= MAX_ANSWERED {
            self.answered.retain(|_, at| fresh(at));
        }
        if self.answered.len() < MAX_ANSWERED {
            self.answered.insert(key, now);
        }
        false
    }
}

/// What [`Wayback::next`] found.
#[derive(Debug)]
pub(super) enum Work {
    Came(Vec<Inbound>),
    Note(Note),
}

/// Waits for work; for ever where there is no way back.
pub(super) async fn next(way: &mut Option<Box<Wayback>>) -> Work {
    match way {
        Some(way) => way.next().await,
        None => std::future::pending().await,
    }
}

impl Engine {
    /// Takes verdicts and commands from now on.
    #[must_use]
    pub fn with_wayback(mut self, mut way: Wayback) -> Self {
        // Raised by a version that did not keep this book.
        self.ledger.list().for_each(|alert| way.book.raised(alert));
        self.batch.state.extend(way.book.take_changes());
        self.way = Some(Box::new(way));
        self
    }

    pub(super) async fn work(&mut self, work: Work) {
        match work {
            Work::Came(came) => {
                // Nobody takes our answers: then nothing more is done that needs one.
                let stats = self.spool.stats().await.unwrap_or_default();
                let held = stats.streams.get(ANSWERS).map_or(0, |account| account.held);
                let room = MAX_HELD.saturating_sub(held) as usize;
                let left_out = came.len().saturating_sub(room) as u64;
                if let Some(way) = &mut self.way {
                    way.deferred += left_out;
                }
                for inbound in came.into_iter().take(room) {
                    self.came(inbound).await;
                }
            }
            Work::Note(Note::Reload) => self.start_reload(None),
            Work::Note(Note::Reloaded(read, pending)) => self.reloaded(*read, pending),
            Work::Note(Note::Pictured(picture, pending)) => match picture {
                Ok(picture) => {
                    let said = "the picture is the station's, masked as always";
                    self.finish(pending, AnswerResult::Applied, said, vec![picture]);
                }
                Err(why) => self.finish(pending, AnswerResult::Failed, &why, Vec::new()),
            },
        }
        if let Some(way) = &mut self.way {
            way.is_shown = false;
            self.batch.state.extend(way.book.take_changes());
        }
        self.batch.state.extend(self.ledger.take_changes());
    }

    async fn came(&mut self, Inbound { uplink, item }: Inbound) {
        let (about, id, alert_id) = match &item {
            Item::Verdict(v) => (AnswerAbout::Verdict, &v.id, Some(&v.alert_id)),
            Item::Command(c) => (AnswerAbout::Command, &c.id, None),
            Item::Misfit(m) => (m.about, &m.id, m.alert_id.as_ref()),
        };
        let alert = alert_id.cloned().unwrap_or_default();
        let key = (uplink, about, id.clone(), alert);
        let now = self.clock.now();
        let Some(way) = &mut self.way else { return };
        let is_at_work = about == AnswerAbout::Command && way.at_work.contains(id);
        if is_at_work || way.is_echo(key, now.mono) {
            return;
        }
        match item {
            Item::Verdict(verdict) => self.verdict(uplink, &verdict),
            Item::Command(command) => self.command(uplink, *command).await,
            Item::Misfit(misfit) => {
                let (result, reason) = (AnswerResult::Invalid, Some(misfit.reason));
                let alert_id = misfit.alert_id;
                let answer = self.to_answer(misfit.about, misfit.id, alert_id, result, reason);
                self.answer(uplink, answer);
            }
        }
    }

    fn verdict(&mut self, uplink: u8, verdict: &Verdict) {
        let Some(way) = &mut self.way else { return };
        let now = self.clock.now().wall;
        let now = self.notary.doubt().is_none().then_some(now);
        let judged = way.book.judge(verdict, now);
        if let Some(status) = judged.now_standing {
            let alert = way.book.alert(&verdict.alert_id);
            if let Some(device) = alert.map(|alert| alert.device.clone()) {
                self.judged(&device, &verdict.alert_id, status);
            }
        }
        let (id, alert_id) = (verdict.id.clone(), Some(verdict.alert_id.clone()));
        let about = AnswerAbout::Verdict;
        let answer = self.to_answer(about, id, alert_id, judged.result, judged.reason);
        self.answer(uplink, answer);
    }

    /// A verdict stands from now on: whatever depends on it is told here.
    pub(super) fn judged(&mut self, device: &str, alert_id: &str, status: VerdictStatus) {
        info!(
            alert = alert_id,
            verdict = status.slug(),
            "the platform decided"
        );
        if let Some(way) = &mut self.way {
            *way.by_status.entry(status).or_default() += 1;
        }
        let now = self.clock.now();
        self.router.verdict(alert_id, status, now);
        if let Some(outbound) = self.ledger.judge(device, alert_id, status, now) {
            self.outbound(outbound);
        }
        self.shown = false;
    }

    async fn command(&mut self, uplink: u8, command: Command) {
        let now = self.clock.now();
        let Some(way) = &mut self.way else { return };
        let is_clock_believed = self.notary.doubt().is_none();
        let checked = way.clerk.check(&command, now, is_clock_believed);
        let (what, why) = match &checked {
            Ok((order, _)) => (What::Command, Ok(order)),
            Err(refusal) => (What::CommandRefused, Err(refusal)),
        };
        let is_worth_noting = match why {
            Ok(_) => true,
            Err(refusal) => refusal.is_signed && refusal.result != AnswerResult::Repeated,
        };
        if is_worth_noting {
            let why = described(&command, why.err().map(|refusal| refusal.reason.as_str()));
            let event = Event {
                what,
                object: command.id.clone(),
                kind: Some(command.command.slug().to_owned()),
                why,
            };
            if let Err(fault) = self.note(event).await {
                warn!(%fault, "a command is not carried out, because it cannot be noted");
                let reason = Some(format!("the audit log cannot be written: {fault}"));
                let (about, result) = (AnswerAbout::Command, AnswerResult::Failed);
                let answer = self.to_answer(about, command.id, None, result, reason);
                return self.answer(uplink, answer);
            }
        }
        match checked {
            Ok((order, changes)) => {
                info!(
                    id = command.id,
                    key = command.keyid,
                    ?order,
                    "a command of the platform"
                );
                let id = command.id;
                let pending = Pending {
                    uplink,
                    id,
                    changes,
                };
                self.carry_out(order, pending);
            }
            Err(refusal) => {
                warn!(id = command.id, result = refusal.result.slug(), reason = %refusal.reason, "a command is not carried out");
                let (about, reason) = (AnswerAbout::Command, Some(refusal.reason));
                let answer = self.to_answer(about, command.id, None, refusal.result, reason);
                self.answer(uplink, answer);
            }
        }
    }

    fn carry_out(&mut self, order: Order, pending: Pending) {
        let now = self.clock.now();
        if let Some(way) = &mut self.way {
            way.at_work.insert(pending.id.clone());
        }
        match order {
            Order::Silence {
                device,
                rule,
                until,
            } => match self.ledger.silence(&device, &rule, until, now) {
                Ok(()) => {
                    let said = format!("rule {rule} of {device} is silent until {until}");
                    self.finish(pending, AnswerResult::Applied, &said, Vec::new());
                }
                Err(why) => self.finish(pending, AnswerResult::Failed, &why, Vec::new()),
            },
            Order::Reload => self.start_reload(Some(pending)),
            Order::Picture { camera, zone } => self.ask_picture(camera, zone, pending),
        }
    }

    fn ask_picture(&mut self, camera: Arc<str>, zone: Arc<str>, pending: Pending) {
        let Some(way) = &self.way else { return };
        let Some(pictures) = way.pictures.clone() else {
            let why = "this station has no camera";
            return self.finish(pending, AnswerResult::Failed, why, Vec::new());
        };
        let notes = way.notes.0.clone();
        tokio::spawn(async move {
            let (reply, answer) = oneshot::channel();
            let ask = Ask {
                camera,
                zone,
                reply,
            };
            let stopped = || Err("picture analysis does not run".to_owned());
            let taken = async {
                match pictures.send(ask).await {
                    Ok(()) => answer.await.unwrap_or_else(|_| stopped()),
                    Err(_) => stopped(),
                }
            };
            let seconds = PICTURE_PATIENCE.as_secs();
            let picture = tokio::time::timeout(PICTURE_PATIENCE, taken)
                .await
                .unwrap_or_else(|_| Err(format!("the camera gave no picture for {seconds} s")));
            // An engine that has ended answers after the next start, if it is asked again.
            let _ = notes.send(Note::Pictured(picture, pending)).await;
        });
    }

    fn start_reload(&mut self, pending: Option<Pending>) {
        let Some(way) = &self.way else { return };
        let Some(reloader) = way.reloader.clone() else {
            if let Some(pending) = pending {
                let why = "this gateway was not started from a file";
                self.finish(pending, AnswerResult::Failed, why, Vec::new());
            }
            return;
        };
        let notes = way.notes.0.clone();
        // It reads the file, certificates and keys.
        tokio::task::spawn_blocking(move || {
            let mut reloader = reloader.lock().unwrap_or_else(PoisonError::into_inner);
            let read = Box::new(reloader.read());
            let _ = notes.blocking_send(Note::Reloaded(read, pending));
        });
    }

    fn reloaded(&mut self, read: Result<Reloaded, String>, pending: Option<Pending>) {
        let applied = read.and_then(|reloaded| {
            self.reconfigure(&reloaded.config)?;
            Ok(reloaded.said)
        });
        let (result, said) = match applied {
            Ok(said) => {
                info!("configuration read again: {said}");
                (AnswerResult::Applied, said)
            }
            Err(why) => {
                let why = format!("the old configuration goes on: {why}");
                warn!("{why}");
                (AnswerResult::Failed, why)
            }
        };
        if let Some(way) = &mut self.way {
            let at = self.clock.now().wall.strftime("%Y-%m-%dT%H:%M:%SZ");
            way.reloaded = Some(format!("{at} {said}"));
        }
        if let Some(pending) = pending {
            self.finish(pending, result, &said, Vec::new());
        }
    }

    /// Rules, names and places are those of `config` from now on.
    fn reconfigure(&mut self, config: &Config) -> Result<(), String> {
        let now = self.clock.now();
        let ended = self.ledger.reconfigure(config, now);
        let ended = ended.map_err(|fault| fault.to_string())?;
        let open: Vec<_> = self.ledger.open().collect();
        self.rules.reconfigure(config, &open, now);
        self.router.reconfigure(config);
        self.notary.reconfigure(config);
        if let Some(way) = &mut self.way {
            way.clerk.reconfigure(&config.commands);
            // The rules go by it already: what the old view still sees of a zone that is no more
            // means nothing to them.
            way.views.send_replace(View {
                cameras: config.cameras.clone(),
                calendars: config.calendars.clone(),
            });
        }
        ended
            .into_iter()
            .for_each(|outbound| self.outbound(outbound));
        Ok(())
    }

    fn finish(
        &mut self,
        pending: Pending,
        result: AnswerResult,
        said: &str,
        evidence: Vec<EvidenceRef>,
    ) {
        self.batch.state.extend(pending.changes);
        if let Some(way) = &mut self.way {
            way.at_work.remove(&pending.id);
        }
        let (about, reason) = (AnswerAbout::Command, Some(said.to_owned()));
        let mut answer = self.to_answer(about, pending.id, None, result, reason);
        answer.evidence = evidence;
        self.answer(pending.uplink, answer);
    }

    fn to_answer(
        &self,
        about: AnswerAbout,
        in_reply_to: String,
        alert_id: Option<String>,
        result: AnswerResult,
        reason: Option<String>,
    ) -> Answer {
        Answer {
            in_reply_to,
            about,
            alert_id,
            result,
            reason: reason.map(|reason| {
                let one_line = reason.replace(char::is_control, " ");
                one_line.chars().take(MAX_SAID).collect()
            }),
            evidence: Vec::new(),
            at: self.clock.now().wall.to_string(),
        }
    }

    /// The answer leaves by the uplink that it answers.
    fn answer(&mut self, uplink: u8, answer: Answer) {
        if let Some(way) = &mut self.way {
            *way.by_result.entry(answer.result).or_default() += 1;
        }
        let id = Uuid::now_v7().to_string();
        let event = CloudEvent {
            specversion: "1.0".into(),
            id: id.clone(),
            source: format!("/stations/{}", self.station),
            event_type: TYPE_ANSWER.into(),
            subject: answer.in_reply_to.clone(),
            time: answer.at.clone(),
            datacontenttype: "application/json".into(),
            dataschema: SCHEMA_ANSWER.into(),
            data: &answer,
        };
        self.batch.records.push(Record {
            lane: Lane {
                uplink,
                class: Class::Gap,
            },
            stream: ANSWERS.to_owned(),
            id,
            count: 1,
            // Strings only: this cannot fail.
            body: serde_json::to_vec(&event).unwrap_or_default(),
            evidence: answer.evidence,
        });
    }

    /// An entry in the audit log, on disk when this returns.
    async fn note(&self, event: Event) -> Result<(), String> {
        let Some(way) = &self.way else { return Ok(()) };
        let (audit, now) = (way.audit.clone(), self.clock.now().wall);
        let written = tokio::task::spawn_blocking(move || {
            let mut audit = audit.lock().unwrap_or_else(PoisonError::into_inner);
            audit.append(&[event], now)
        });
        match written.await {
            Ok(written) => written.map_err(|fault| fault.to_string()),
            Err(panic) => Err(panic.to_string()),
        }
    }

    /// An alert was raised: from now on it can be judged.
    pub(super) fn known(&mut self, device: &str, alert_id: &str) {
        let Some(way) = &mut self.way else { return };
        if let Some(alert) = self.ledger.alert(device, alert_id) {
            way.book.raised(alert);
        }
        self.batch.state.extend(way.book.take_changes());
    }
}

/// A command for the audit log.
fn described(command: &Command, refused: Option<&str>) -> String {
    let mut text = command.command.slug().to_owned();
    let parts = [
        ("of", &command.device),
        ("zone", &command.zone),
        ("rule", &command.rule),
        ("until", &command.until),
        ("for", &command.by),
    ];
    for (word, value) in parts {
        if let Some(value) = value {
            text.push_str(&format!(" {word} {value}"));
        }
    }
    text.push_str(&format!(", key {}", command.keyid));
    match refused {
        Some(why) => format!("{text}: {why}"),
        None => text,
    }
}
