use tempfile::TempDir;
use tokio::sync::mpsc::unbounded_channel;
use wangge_protocol::Text;

use super::*;
use crate::{
    config::{self, Border, Condition, Side, Storage},
    observation::{Observation, Quality, Quantity},
    proof,
    rules::{Transition, fixtures},
};

/// A station with one bin, one uplink and a real spool.
struct Station {
    config: Config,
    spool: Spool,
    progress: SharedProgress,
}

impl Station {
    /// An engine with this ledger and nothing else to remember.
    fn engine(&self, ledger: Ledger, clock: Clock) -> Engine {
        let zone = self.config.station.time_zone.clone();
        let rules = rules::Engine::new(&self.config.devices, &[], zone, &[], clock.now());
        Engine::new(
            &self.config,
            rules,
            (ledger, Router::restore(&self.config, &[]).0),
            Notary::restore(&self.config, None, &[]),
            self.spool.clone(),
            clock,
            self.progress.clone(),
        )
    }

    fn open(dir: &TempDir) -> Station {
        let overflow = fixtures::rule(
            "overflow",
            EventKind::BinOverflow,
            Condition::Threshold {
                quantity: Quantity::Fill,
                side: Side::Above,
                raise: 90.0,
                clear: 80.0,
                hold: Duration::ZERO,
            },
        );
        let mut config =
            fixtures::config(vec![fixtures::device("bin-1", vec![overflow])], Vec::new());
        config.storage = Storage {
            path: dir.path().join("spool"),
            ..config.storage
        };
        config.uplinks = vec![config::Uplink {
            name: "city".into(),
            link: config::UplinkLink::Https {
                url: "https://127.0.0.1/".parse().unwrap(),
                tls: config::Tls {
                    ca_file: None,
                    client: None,
                },
                token: None,
            },
            border: Border::Receipt,
            alerts: true,
            verdicts: true,
            tiers: Vec::new(),
            streams: Vec::new(),
            line: config::Line::default(),
        }];
        let names = ["city".into(), routing::held::LANE.into()];
        let (spool, _) = Spool::open(&config.storage, &config.station.id, &names).unwrap();
        Station {
            config,
            spool,
            progress: SharedProgress::default(),
        }
    }

    /// Runs the engine over these levels, as from one start to its stop; returns the tokens that
    /// were acknowledged.
    async fn run(&self, levels: &[f64]) -> Vec<u64> {
        let clock = Clock::start();
        let state = self.spool.state().await.unwrap();
        let ledger = Ledger::restore(&self.config, &state, clock.now()).unwrap();
        let open: Vec<_> = ledger.open().collect();
        let rules = rules::Engine::new(
            &self.config.devices,
            &self.config.cameras,
            self.config.station.time_zone.clone(),
            &open,
            clock.now(),
        );
        let engine = Engine::new(
            &self.config,
            rules,
            (ledger, Router::restore(&self.config, &state).0),
            self.notary().await,
            self.spool.clone(),
            clock,
            self.progress.clone(),
        );
        let (arrivals, inbox) = mpsc::channel(16);
        let (acks, mut acknowledged) = unbounded_channel();
        let task = tokio::spawn(engine.run(inbox));
        for (token, level) in (0..).zip(levels) {
            let at = clock.now().wall;
            let observation = Observation {
                subject: "bin-1".into(),
                at,
                value: Value::Measurement {
                    quantity: Quantity::Fill,
                    value: *level,
                },
                quality: Quality::Good,
            };
            let arrival = Arrival {
                subject: "bin-1".into(),
                device_time: None,
                received: at,
                observations: vec![observation],
                payload: None,
                ack: Some(Ack {
                    to: acks.clone(),
                    token,
                }),
            };
            arrivals.send(arrival).await.unwrap();
        }
        drop((arrivals, acks));
        task.await.unwrap();
        let mut tokens = Vec::new();
        while let Some(token) = acknowledged.recv().await {
            tokens.push(token);
        }
        tokens
    }

    /// With the key and the chain as they are on disk.
    /// From a start to a stop after the clock was looked at, without any reading.
    async fn come_round(&self) {
        let clock = Clock::start();
        let state = self.spool.state().await.unwrap();
        let ledger = Ledger::restore(&self.config, &state, clock.now()).unwrap();
        let zone = self.config.station.time_zone.clone();
        let open: Vec<_> = ledger.open().collect();
        let rules = rules::Engine::new(&self.config.devices, &[], zone, &open, clock.now());
        let mut engine = Engine::new(
            &self.config,
            rules,
            (ledger, Router::restore(&self.config, &state).0),
            self.notary().await,
            self.spool.clone(),
            clock,
            self.progress.clone(),
        );
        engine.held.load(&engine.spool).await.unwrap();
        engine.look_at_clock();
        engine.restored();
        engine.tick();
        engine.commit().await;
    }

    async fn notary(&self) -> Notary {
        let (identity, _) = proof::Identity::open(&self.config.storage.path).unwrap();
        let state = self.spool.state().await.unwrap();
        Notary::restore(&self.config, Some(Arc::new(identity)), &state)
    }

    async fn bodies(&self) -> Vec<Vec<u8>> {
        let lane = Lane {
            uplink: 0,
            class: Class::Alert,
        };
        let entries = self.spool.peek(lane, None, 100).await.unwrap();
        entries.into_iter().map(|e| e.record.body).collect()
    }

    async fn messages(&self) -> Vec<AlertData> {
        let read = |body: Vec<u8>| serde_json::from_slice::<CloudEvent<AlertData>>(&body);
        let bodies = self.bodies().await.into_iter();
        bodies.map(|body| read(body).unwrap().data).collect()
    }
}

#[tokio::test]
async fn an_alert_keeps_its_id_over_a_restart_and_every_reading_is_acknowledged_once() {
    let dir = TempDir::new().unwrap();
    let station = Station::open(&dir);
    assert_eq!(station.run(&[50.0, 95.0, 96.0]).await, [0, 1, 2]);
    station.spool.clone().close().await.unwrap();
    drop(station);

    let station = Station::open(&dir);
    assert_eq!(station.run(&[97.0, 20.0]).await, [0, 1]);
    let messages = station.messages().await;
    let states: Vec<_> = messages.iter().map(|m| m.state).collect();
    assert_eq!(states, [AlertState::Raised, AlertState::Cleared]);
    assert_eq!(messages[0].alert_id, messages[1].alert_id);
    // Both are sealed, and the second follows the first.
    let bodies = station.bodies().await;
    let (identity, new) = proof::Identity::open(&station.config.storage.path).unwrap();
    assert!(!new);
    let mut previous = proof::message::BEGINNING.to_owned();
    for (n, body) in (1..).zip(&bodies) {
        assert!(proof::message::is_signed_by(body, identity.public()));
        let seal: wangge_protocol::Seal = serde_json::from_slice(body).unwrap();
        assert_eq!((seal.sequence, seal.previous), (n.to_string(), previous));
        assert_eq!(seal.confighash, station.config.hash);
        previous = proof::message::sha256(body);
    }
    let progress = station.progress.lock().unwrap();
    let count = progress.alerts[&(EventKind::BinOverflow, messages[0].source)];
    assert_eq!(
        count,
        AlertCount {
            raised: 0,
            updated: 0,
            cleared: 1
        }
    );
}

#[tokio::test]
async fn what_the_spool_does_not_take_is_not_acknowledged() {
    let dir = TempDir::new().unwrap();
    let station = Station::open(&dir);
    station.spool.clone().close().await.unwrap();
    let clock = Clock::start();
    let ledger = Ledger::restore(&station.config, &[], clock.now()).unwrap();
    let zone = station.config.station.time_zone.clone();
    let rules = rules::Engine::new(&station.config.devices, &[], zone, &[], clock.now());
    let mut engine = Engine::new(
        &station.config,
        rules,
        (ledger, Router::restore(&station.config, &[]).0),
        Notary::restore(&station.config, None, &[]),
        station.spool.clone(),
        clock,
        SharedProgress::default(),
    );
    let (to, mut acknowledged) = unbounded_channel();
    engine.storage_fault(Text {
        zh: "测试".to_owned(),
        en: "a test".to_owned(),
    });
    engine.acks.push(Ack { to, token: 1 });
    engine.commit().await;
    assert_eq!(acknowledged.recv().await, None, "dropped, not acknowledged");
}

#[tokio::test]
async fn a_picture_that_is_gone_does_not_keep_its_alert_back() {
    let dir = TempDir::new().unwrap();
    let station = Station::open(&dir);
    let clock = Clock::start();
    let mut ledger = Ledger::restore(&station.config, &[], clock.now()).unwrap();
    let store = station.spool.evidence();
    let kept = store
        .put(b"kept", "image/jpeg", "scene", clock.now().wall)
        .unwrap();
    let finding = Finding {
        subject: "bin-1".into(),
        rule: "overflow".to_owned(),
        kind: EventKind::BinOverflow,
        severity: wangge_protocol::Severity::Minor,
        what: Transition::Began,
        at: clock.now().wall,
        measurement: None,
        sighting: None,
        evidence: vec![fixtures::picture(1), kept.clone()],
        reason: None,
    };
    let outbound = ledger.apply(finding, clock.now()).unwrap();
    let mut engine = station.engine(ledger, clock);
    engine.outbound(outbound);
    // Beside a record that can never be stored.
    let mut huge = engine.batch.records[0].clone();
    huge.body = vec![b'x'; crate::spool::MAX_BODY + 1];
    engine.batch.records.insert(0, huge);
    engine.commit().await;
    let messages = station.messages().await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].evidence, [kept]);
    assert_eq!(station.progress.lock().unwrap().unforwardable, 1);
    let state = station.spool.state().await.unwrap();
    let alerts = state.iter().filter(|(key, _)| key.starts_with(b"alert/"));
    assert_eq!(alerts.count(), 1);
}

/// At a station whose one uplink is the street's.
#[tokio::test]
async fn what_the_community_does_not_settle_goes_up_with_its_pictures() {
    use wangge_protocol::{Routing, Tier};
    let dir = TempDir::new().unwrap();
    let mut station = Station::open(&dir);
    station.config.uplinks[0].tiers = vec![Tier::Street];
    let clock = Clock::start();
    let mut ledger = Ledger::restore(&station.config, &[], clock.now()).unwrap();
    let picture = station
        .spool
        .evidence()
        .put(b"before", "image/jpeg", "scene", clock.now().wall)
        .unwrap();
    let finding = Finding {
        subject: "bin-1".into(),
        rule: "overflow".to_owned(),
        kind: EventKind::BinOverflow,
        severity: wangge_protocol::Severity::Minor,
        what: Transition::Began,
        at: clock.now().wall,
        measurement: None,
        sighting: None,
        evidence: vec![picture.clone()],
        reason: None,
    };
    let outbound = ledger.apply(finding, clock.now()).unwrap();
    let mut engine = station.engine(ledger, clock);
    engine.outbound(outbound);
    engine.commit().await;
    let held = Lane {
        uplink: 1,
        class: Class::Alert,
    };
    assert_eq!(station.messages().await, [], "kept here");
    let copies = station.spool.peek(held, None, 9).await.unwrap();
    assert_eq!(copies.len(), 1);
    assert_eq!(copies[0].record.evidence, std::slice::from_ref(&picture));

    // Its deadline passes while the station is off.
    let mut state = station.spool.state().await.unwrap();
    let route = state.iter_mut().find(|(key, _)| key.starts_with(b"route/"));
    let (key, value) = route.unwrap().clone();
    let mut entry: serde_json::Value = serde_json::from_slice(&value).unwrap();
    entry["deadline"] = "2026-01-01T00:00:00Z".into();
    let batch = Batch {
        records: Vec::new(),
        state: vec![(key, Some(serde_json::to_vec(&entry).unwrap()))],
    };
    station.spool.append(batch).await.unwrap();
    station.come_round().await;

    let messages = station.messages().await;
    let [message] = &messages[..] else {
        panic!("one message: {messages:?}");
    };
    assert_eq!(message.state, AlertState::Updated);
    assert_eq!(message.evidence, [picture]);
    let routing = message.routing.clone().unwrap();
    assert_eq!(routing.escalated_from, Some(Tier::Community));
    assert!(matches!(
        routing,
        Routing {
            tier: Tier::Street,
            deadline: Some(_),
            ..
        }
    ));
    assert!(
        message.text.zh.contains("社区逾期未处置,转街道"),
        "{}",
        message.text.zh
    );
    let copies = station.spool.peek(held, None, 9).await.unwrap();
    assert_eq!(copies.len(), 0, "nobody is above the street");
    let open = station.progress.lock().unwrap().open.clone();
    assert_eq!(open[0].tier, Some(Tier::Street));
    // And only once.
    station.come_round().await;
    assert_eq!(station.messages().await.len(), 1);
}

#[tokio::test]
async fn copies_are_limited_and_found_again() {
    use crate::routing::held;
    let dir = TempDir::new().unwrap();
    let station = Station::open(&dir);
    let mut held = Held::new(1);
    let message = |n: usize| Outbound {
        event_id: format!("message {n}"),
        alert_id: format!("alert {n}"),
        device: "bin-1".to_owned(),
        kind: EventKind::BinOverflow,
        source: SourceKind::Mqtt,
        state: AlertState::Raised,
        severity: wangge_protocol::Severity::Minor,
        text: Text {
            zh: String::new(),
            en: String::new(),
        },
        evidence: Vec::new(),
        body: serde_json::to_vec(&serde_json::json!({
            "specversion": "1.0", "id": "x", "source": "x", "type": "x", "time": "x",
            "subject": format!("alert {n}"), "datacontenttype": "x", "dataschema": "x",
            "data": {"deep": [1]},
        }))
        .unwrap(),
        state_change: (Vec::new(), None),
    };
    let copies: Vec<_> = (0..held::MOST + 1)
        .map(|n| held.copy(&message(n)))
        .collect();
    let batch = Batch {
        records: copies.clone(),
        state: Vec::new(),
    };
    let seqs = station.spool.append(batch).await.unwrap();
    held.appended(&copies, &seqs);
    held.release(&station.spool, |_| true).await.unwrap();
    let stats = station.spool.stats().await.unwrap();
    let account = stats.streams[held::STREAM];
    assert_eq!(
        (account.held, account.receipted),
        (held::MOST as u64, 1),
        "the oldest made way"
    );
    let mut held = Held::new(1);
    held.load(&station.spool).await.unwrap();
    held.release(&station.spool, |alert| alert == "alert 7")
        .await
        .unwrap();
    let stats = station.spool.stats().await.unwrap();
    assert_eq!(stats.streams[held::STREAM].held, 1);
}

#[tokio::test]
async fn r11_a_damaged_storage_is_an_alert_of_its_own() {
    let dir = TempDir::new().unwrap();
    let station = Station::open(&dir);
    station.run(&[95.0]).await;
    station.spool.clone().close().await.unwrap();
    drop(station);
    std::fs::remove_dir_all(dir.path().join("spool/outbox")).unwrap();
    let station = Station::open(&dir);
    station.run(&[]).await;
    let alerts = station.messages().await;
    let fault = alerts.iter().find(|a| a.kind == EventKind::StorageFault);
    let text = &fault.unwrap().text;
    assert!(text.en.contains("records lost"), "{text:?}");
    assert!(text.zh.contains("丢失记录"), "{text:?}");
}
