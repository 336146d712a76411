//! Case platforms of the two shapes that ship, played by a Python program that knows nothing of
//! the uplink.

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;
use wangge_protocol::{AlertState, CloudEvent, EventKind, EvidenceRef, Routing, Tier};

use super::rig::*;
use crate::{
    config::{Border, Credentials, PushTarget, Tls, UplinkLink, platform},
    push::sample,
    spool::Class,
};

struct Platform {
    _process: Peer,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    port: u16,
    state: PathBuf,
    _dir: TempDir,
}

impl Platform {
    fn start(shape: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let state = dir.path().join("state.json");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/uplink/tests/push.py");
        let python = std::env::var("WANGGE_PYTHON").unwrap_or_else(|_| "python3".into());
        let mut child = Command::new(python)
            .args([script, shape])
            .arg(&state)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python is installed");
        let orders = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        answers.read_line(&mut port).unwrap();
        Platform {
            _process: Peer(child),
            orders,
            answers,
            port: port.trim().parse().unwrap(),
            state,
            _dir: dir,
        }
    }

    fn order(&mut self, line: &str) {
        writeln!(self.orders, "{line}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer, "ok\n");
    }

    fn state(&self) -> Value {
        serde_json::from_slice(&std::fs::read(&self.state).unwrap()).unwrap()
    }

    fn cases(&self) -> Vec<Value> {
        self.state()["cases"].as_array().unwrap().clone()
    }

    fn count(&self, what: &str) -> u64 {
        self.state()[what].as_u64().unwrap()
    }

    fn link(&self, profile: &str, password: &str) -> UplinkLink {
        let (_, text) = platform::SHIPPED
            .iter()
            .find(|(n, _)| *n == profile)
            .unwrap();
        let profile = platform::parse(text, profile).unwrap();
        UplinkLink::Push(Box::new(PushTarget {
            url: format!("http://127.0.0.1:{}/base", self.port)
                .parse()
                .unwrap(),
            tls: Tls {
                ca_file: None,
                client: None,
            },
            credentials: Some(Credentials {
                username: "station".into(),
                password: password.into(),
            }),
            push: profile.push.clone().unwrap(),
            profile: Arc::new(profile),
            home: sample::home(),
        }))
    }
}

/// Appends an alert of that kind and state; `alert` is its id for life.
async fn tell(
    station: &Station,
    alert: &str,
    kind: EventKind,
    state: AlertState,
    pictures: Vec<EvidenceRef>,
) {
    let (_, text) = platform::SHIPPED[0];
    let profile = platform::parse(text, "default").unwrap();
    let mut data = sample::alert(kind, state, true, &profile);
    data.alert_id = alert.to_owned();
    data.routing = Some(Routing {
        tier: Tier::City,
        escalated_from: None,
        deadline: None,
    });
    data.evidence.clone_from(&pictures);
    let id = Uuid::now_v7().to_string();
    let event = CloudEvent {
        specversion: "1.0".into(),
        id: id.clone(),
        source: "/stations/S1".into(),
        event_type: wangge_protocol::TYPE_RAISED.into(),
        subject: alert.into(),
        time: data.raised_at.clone(),
        datacontenttype: "application/json".into(),
        dataschema: wangge_protocol::SCHEMA_ALERT.into(),
        data,
    };
    let body = serde_json::to_vec(&event).unwrap();
    station.append(Class::Alert, &id, pictures, body).await;
}

fn new_id() -> String {
    Uuid::now_v7().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_with_its_picture_is_filed_by_a_form_in_a_session() {
    let mut platform = Platform::start("FORM");
    let station = Station::start(platform.link("eurbanmis", "secret"), Border::Receipt);
    let picture = station.picture(&[7; 40_000]);
    let alert = new_id();
    let kind = EventKind::IllegalDumping;
    tell(
        &station,
        &alert,
        kind,
        AlertState::Raised,
        vec![picture.clone()],
    )
    .await;
    until("the case is there", async || station.empty().await).await;
    let cases = platform.cases();
    assert_eq!(cases.len(), 1);
    let case = &cases[0];
    for (field, value) in [
        ("otherTaskNum", alert.replace('-', "")),
        ("subTypeID", "02".into()),
        ("subTypeName", "暴露垃圾".into()),
        ("mainTypeName", "市容环境".into()),
        ("eventSrcName", "视频智能识别".into()),
        ("cellID", "530102001001001".into()),
        ("coordinateX", "11433885.94".into()),
        ("createTime", "2026-11-26 09:15:00".into()),
        ("address", "海棠路12号".into()),
    ] {
        assert_eq!(case[field], json!(value), "{field}");
    }
    assert!(case.get("newInstCondID").is_none(), "there is none to tell");
    let name = format!("{}.jpg", &picture.sha256[..16]);
    assert_eq!(
        case["files"],
        json!([["files", name, "image/jpeg", 40_000]])
    );
    // Equipment is no case; news and the end are not told to this platform.
    tell(
        &station,
        &new_id(),
        EventKind::CameraFault,
        AlertState::Raised,
        vec![],
    )
    .await;
    tell(&station, &alert, kind, AlertState::Updated, vec![]).await;
    tell(&station, &alert, kind, AlertState::Cleared, vec![]).await;
    // The session ends, and another begins.
    platform.order("expire");
    tell(&station, &new_id(), kind, AlertState::Raised, vec![]).await;
    until("all is settled", async || station.empty().await).await;
    assert_eq!(platform.cases().len(), 2);
    assert_eq!(platform.count("logins"), 2);
    station.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_is_filed_once_although_answers_are_lost() {
    let mut platform = Platform::start("FORM");
    let station = Station::start(platform.link("eurbanmis", "secret"), Border::Receipt);
    let kind = EventKind::ShopOverflow;
    let mut wanted = Vec::new();
    // Half a reply after the case was kept; nothing kept at all; an error in HTTP 200; a server
    // that is away; one that is slow.
    for order in [
        "half 1",
        "drop 1",
        "fail 2",
        "status 2 500",
        "status 1 503",
        "slow 1 1500",
    ] {
        platform.order(order);
        let alert = new_id();
        tell(&station, &alert, kind, AlertState::Raised, vec![]).await;
        wanted.push(alert.replace('-', ""));
        until(order, async || station.empty().await).await;
    }
    let cases = platform.cases();
    let filed: Vec<_> = cases
        .iter()
        .map(|c| c["otherTaskNum"].as_str().unwrap())
        .collect();
    assert_eq!(filed, wanted, "each once, in order");
    assert!(platform.count("reports") > 8, "some were asked for again");
    assert_eq!(station.counters.poisoned.get(), 0);
    // After a restart the station knows nothing of what it filed, and asks.
    let station = station
        .relink(platform.link("eurbanmis", "secret"), Border::Receipt)
        .await;
    let again = Uuid::parse_str(&wanted[0]).unwrap().to_string();
    tell(&station, &again, kind, AlertState::Raised, vec![]).await;
    until("known", async || station.empty().await).await;
    assert_eq!(platform.cases().len(), wanted.len());
    station.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_with_a_token_and_pictures_ahead() {
    let mut platform = Platform::start("JSON");
    let station = Station::start(platform.link("yudao", "secret"), Border::Receipt);
    let kind = EventKind::StreetVendor;
    let pictures = vec![station.picture(&[1; 30_000]), station.picture(&[2; 20_000])];
    let alert = new_id();
    // The answer is lost after the pictures were taken: they are not uploaded twice.
    platform.order("drop 1");
    tell(&station, &alert, kind, AlertState::Raised, pictures).await;
    until("filed", async || station.empty().await).await;
    let case = &platform.cases()[0];
    assert_eq!(case["rptId"], json!(alert));
    assert_eq!(case["evtTypeId"], json!("05001"));
    assert_eq!(case["incidentCoordX"], json!(102.712_345));
    assert_eq!(case["evtLevel"], json!(2));
    assert_eq!(case["detection"]["humanConfirmed"], json!(false));
    assert!(
        case.get("evtCode").is_none(),
        "nobody counts for this profile"
    );
    let urls = case["fileUrls"].as_array().unwrap();
    assert_eq!(urls.len(), 2);
    let uploads = platform.state()["uploads"].clone();
    for url in urls {
        assert_eq!(uploads[url.as_str().unwrap()], json!(1), "{uploads}");
    }
    // The token expires with HTTP 200; the end is told.
    platform.order("expire");
    tell(&station, &alert, kind, AlertState::Cleared, vec![]).await;
    until("told", async || station.empty().await).await;
    assert_eq!(platform.state()["clears"][0]["rptId"], json!(alert));
    assert_eq!(platform.count("logins"), 2);
    // Of what it never had, the platform hears nothing.
    tell(&station, &new_id(), kind, AlertState::Cleared, vec![]).await;
    until("settled", async || station.empty().await).await;
    assert_eq!(platform.state()["clears"].as_array().unwrap().len(), 1);
    station.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_keeps_the_alert_and_says_so() {
    let mut platform = Platform::start("JSON");
    let station = Station::start(platform.link("yudao", "wrong"), Border::Receipt);
    tell(
        &station,
        &new_id(),
        EventKind::BinFire,
        AlertState::Raised,
        vec![],
    )
    .await;
    until("it was refused", async || platform.count("denied") > 0).await;
    until("it is shown", async || {
        station.counters.link.get().1.is_some()
    })
    .await;
    let complaint = station.counters.link.get().1.unwrap();
    assert!(complaint.contains("log-in fails"), "{complaint}");
    assert!(
        !complaint.contains("wrong"),
        "no password in the log: {complaint}"
    );
    assert!(!station.empty().await);
    platform.order("password wrong");
    // Somebody mends it: the station would ask again in a minute; a restart asks at once.
    let station = station
        .relink(platform.link("yudao", "wrong"), Border::Receipt)
        .await;
    until("filed", async || station.empty().await).await;
    assert_eq!(platform.cases().len(), 1);
    station.stop().await;
}
