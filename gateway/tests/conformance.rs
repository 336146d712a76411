//! `wangge conformance` against receivers that keep the contract, and against some that break
//! one clause of it each.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // every line here is a test

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use wangge::{
    config::Tls,
    conformance::{self, Options, Report, Run, Target},
};
use wangge_platform::{
    mqtt::Broker,
    show::{Show, Style},
    store::Store,
};
use wangge_tests::{mosquitto::Mosquitto, place};

const PATIENCE: Duration = Duration::from_secs(20);

struct Peer(Child);

impl Drop for Peer {
    /// SIGKILL.
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn no_tls() -> Tls {
    Tls {
        ca_file: None,
        client: None,
    }
}

fn https(url: &str, ca: Option<&Path>, token: Option<&str>) -> Target {
    let tls = Tls {
        ca_file: ca.map(Path::to_owned),
        client: None,
    };
    Target::new(url, "S1", None, tls, token.map(str::to_owned), None).unwrap()
}

async fn try_it(target: Target, run: Run) -> Report {
    let options = Options {
        target,
        station: "S1".to_owned(),
        patience: PATIENCE,
        run,
    };
    let mut said = String::new();
    let report = conformance::run(&options, |lines| said.push_str(lines))
        .await
        .unwrap();
    println!("{said}{}", report.summary());
    report
}

/// `PASS` and the like of a clause.
fn status(report: &Report, clause: &str) -> String {
    let json = report.json();
    let clauses = json["clauses"].as_array().unwrap();
    let found = clauses.iter().find(|c| c["clause"] == clause).unwrap();
    found["status"].as_str().unwrap().to_owned()
}

/// A receiver written in Python, from the guide or broken.
struct Script {
    file: PathBuf,
    fault: Option<&'static str>,
    python: PathBuf,
    dir: TempDir,
    port: u16,
    process: Option<Peer>,
}

impl Script {
    fn guide() -> Option<Self> {
        let file = place::root().join("docs/operator/receiver.py");
        Script::new(file, None)
    }

    fn broken(fault: &'static str) -> Option<Self> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/broken_receiver.py");
        Script::new(file, Some(fault))
    }

    fn new(file: PathBuf, fault: Option<&'static str>) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("token"), "secret\n").unwrap();
        let mut script = Script {
            file,
            fault,
            python: python()?,
            dir,
            port: place::free_port().unwrap(),
            process: None,
        };
        script.restart();
        Some(script)
    }

    /// SIGKILL, and started again.
    fn restart(&mut self) {
        self.process = None;
        let child = Command::new(&self.python)
            .arg(&self.file)
            .args(self.fault)
            .arg(self.port.to_string())
            .arg(self.dir.path().join("received"))
            .arg("--token-file")
            .arg(self.dir.path().join("token"))
            .args(["--schemas".into(), place::root().join("protocol/schema")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(Peer(child));
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "never listens");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn target(&self) -> Target {
        let url = format!("http://127.0.0.1:{}", self.port);
        https(&url, None, Some("secret"))
    }

    fn notes(&self) -> PathBuf {
        self.dir.path().join("notes.json")
    }
}

/// An interpreter with the package `jsonschema`, where set-up has put one.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("WANGGE_CONTRACT_PYTHON").map(PathBuf::from);
    if python.is_none() {
        println!("skipped: no WANGGE_CONTRACT_PYTHON (cargo xtask setup)");
    }
    python
}

/// The reference receiver in this process, over TLS.
struct Reference {
    dir: TempDir,
    port: u16,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Reference {
    async fn start(dir: TempDir, port: u16) -> Self {
        let quiet = Show::new(Box::new(std::io::sink()), Style::Json);
        let store = Store::open(&dir.path().join("received"), quiet).unwrap();
        let tls = wangge_platform::tls::self_signed(
            vec!["127.0.0.1".to_owned()],
            &dir.path().join("ca.pem"),
        )
        .unwrap();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = CancellationToken::new();
        let serving = wangge_platform::http::serve(
            listener,
            Some(tls),
            Some("secret".into()),
            store,
            stop.clone(),
        );
        Reference {
            dir,
            port,
            stop,
            task: tokio::spawn(serving),
        }
    }

    async fn restart(self) -> Self {
        self.stop.cancel();
        self.task.await.unwrap();
        Reference::start(self.dir, self.port).await
    }

    fn target(&self) -> Target {
        let url = format!("https://127.0.0.1:{}", self.port);
        https(&url, Some(&self.dir.path().join("ca.pem")), Some("secret"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reference_receiver_keeps_every_clause_over_https() {
    let mut platform = Reference::start(TempDir::new().unwrap(), 0).await;
    let notes = platform.dir.path().join("notes.json");
    let all = Run::All {
        notes: Some(notes.clone()),
    };
    let report = try_it(platform.target(), all).await;
    assert!(report.holds());
    assert_eq!(report.failures(), [""; 0]);
    assert_eq!(status(&report, "C-30"), "PASS");
    platform = platform.restart().await;
    let report = try_it(platform.target(), Run::AfterRestart { notes }).await;
    assert_eq!(status(&report, "C-3"), "PASS");
    platform.stop.cancel();
    platform.task.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reference_receiver_keeps_every_clause_over_mqtt() {
    let dir = TempDir::new().unwrap();
    let broker = Mosquitto::start(dir.path(), "").unwrap();
    let quiet = Show::new(Box::new(std::io::sink()), Style::Json);
    let store = Store::open(&dir.path().join("received"), quiet).unwrap();
    let stop = CancellationToken::new();
    let platform = tokio::spawn(wangge_platform::mqtt::serve(
        Broker {
            host: "127.0.0.1".into(),
            port: broker.port(),
            tls: None,
            login: None,
            client_id: "platform".into(),
            prefix: "wangge/v1/+".into(),
        },
        store,
        None,
        stop.clone(),
    ));
    // The broker keeps nothing for a subscriber that was never there.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let url = format!("mqtt://127.0.0.1:{}", broker.port());
    let target = Target::new(&url, "S1", None, no_tls(), None, None).unwrap();
    let report = try_it(target, Run::All { notes: None }).await;
    assert!(report.holds());
    assert_eq!(report.failures(), [""; 0]);
    assert_eq!(status(&report, "C-41"), "PASS");
    assert_eq!(status(&report, "C-30"), "SKIPPED");
    stop.cancel();
    platform.await.unwrap().unwrap();
}

/// It takes as long as one answer, not as long as all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_nobody_listens_at_is_told_soon() {
    let dir = TempDir::new().unwrap();
    let broker = Mosquitto::start(dir.path(), "").unwrap();
    let url = format!("mqtt://127.0.0.1:{}", broker.port());
    let target = Target::new(&url, "S1", None, no_tls(), None, None).unwrap();
    let options = Options {
        target,
        station: "S1".to_owned(),
        patience: Duration::from_secs(2),
        run: Run::All { notes: None },
    };
    let begun = Instant::now();
    let report = conformance::run(&options, |_| {}).await.unwrap();
    assert_eq!(report.failures(), ["C-1"]);
    assert_eq!(status(&report, "C-2"), "SKIPPED");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guide_s_receiver_keeps_what_it_must_and_outlives_a_kill() {
    let Some(mut receiver) = Script::guide() else {
        return;
    };
    let notes = receiver.notes();
    let all = Run::All {
        notes: Some(notes.clone()),
    };
    let report = try_it(receiver.target(), all).await;
    assert!(report.holds());
    assert_eq!(status(&report, "C-24"), "NOT OFFERED");
    receiver.restart();
    let report = try_it(receiver.target(), Run::AfterRestart { notes }).await;
    assert_eq!(status(&report, "C-3"), "PASS");
}

/// Every fault is found, and nothing else is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_breaks_a_clause_is_told_which() {
    /// What nobody takes whose answers are no receipts.
    const EVERYTHING: &[&str] = &[
        "C-1", "C-2", "C-4", "C-5", "C-6", "C-7", "C-10", "C-11", "C-12", "C-18", "C-62", "C-13",
        "C-14", "C-15", "C-16", "C-17", "C-20", "C-21", "C-22", "C-23", "C-24", "C-25", "C-30",
        "C-31", "C-9", "C-52",
    ];
    let cases: &[(&str, &[&str])] = &[
        ("none", &[]),
        ("rehashes", &["C-2"]),
        ("echoes-name", &["C-21"]),
        ("forgets-repeats", &["C-4", "C-5", "C-6"]),
        ("overwrites", &["C-5"]),
        ("never-missing", &["C-21", "C-22", "C-25", "C-30"]),
        ("insists", &["C-25"]),
        ("strict", &["C-13"]),
        ("in-order", &["C-7"]),
        ("distrusts", &["C-62"]),
        ("racy", &["C-6"]),
        ("small-pictures", &["C-23"]),
        ("open", &["C-30"]),
        ("stores-first", &["C-30"]),
        ("crashes", &["C-5", "C-15", "C-16", "C-21"]),
        ("bad-request", &["C-5", "C-15", "C-16"]),
        ("empty", EVERYTHING),
        ("error-body", EVERYTHING),
        ("redirects", EVERYTHING),
        ("behind", EVERYTHING),
    ];
    for (fault, broken) in cases {
        println!("== {fault}");
        let Some(receiver) = Script::broken(fault) else {
            return;
        };
        let report = try_it(receiver.target(), Run::All { notes: None }).await;
        let failures = report.failures();
        if *broken == EVERYTHING {
            // Refusals have no bodies there either, so a few may hold by chance.
            assert!(failures.len() >= 15, "{fault}: {failures:?}");
            assert!(!report.holds());
            continue;
        }
        assert_eq!(failures, *broken, "{fault}");
        assert_eq!(report.holds(), broken.is_empty(), "{fault}");
    }
}

/// Only a schema check tells it, and only if there is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_does_not_look_at_schemas_holds_but_is_told() {
    let Some(receiver) = Script::broken("lax") else {
        return;
    };
    let report = try_it(receiver.target(), Run::All { notes: None }).await;
    assert_eq!(report.failures(), ["C-16"]);
    assert!(report.holds(), "C-16 is no must");
}

/// It answers as it should, and loses everything when it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_answers_before_it_stores_is_found_out_by_a_restart() {
    let Some(mut receiver) = Script::broken("careless") else {
        return;
    };
    let notes = receiver.notes();
    let all = Run::All {
        notes: Some(notes.clone()),
    };
    let report = try_it(receiver.target(), all).await;
    assert!(report.holds(), "only the restart tells");
    receiver.restart();
    let report = try_it(receiver.target(), Run::AfterRestart { notes }).await;
    assert_eq!(report.failures(), ["C-3"]);
}

fn wangge(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_wangge"))
        .arg("conformance")
        .args(args)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn the_exit_code_says_it_and_the_output_why() {
    let Some(receiver) = Script::broken("rehashes") else {
        return;
    };
    let url = format!("http://127.0.0.1:{}", receiver.port);
    let token = receiver.dir.path().join("token");
    let token = token.to_str().unwrap();
    let (code, said, _) = wangge(&["--target", &url, "--token-file", token]);
    assert_eq!(code, Some(1), "{said}");
    for part in ["FAIL         C-2", "sent ", "came ", "wanted ", " 1 fail, "] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (code, said, _) = wangge(&["--target", &url, "--token-file", token, "--json"]);
    assert_eq!(code, Some(1));
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["holds"], false);
    let nobody = format!("https://127.0.0.1:{}", place::free_port().unwrap());
    let ca = receiver.dir.path().join("none.pem");
    for (args, code, part) in [
        (vec!["--target", &nobody], 3, "cannot be reached"),
        (vec!["--target", "city"], 2, "--target city"),
        (
            vec!["--target", &nobody, "--ca", ca.to_str().unwrap()],
            2,
            "none.pem",
        ),
        (
            vec!["--target", &url, "--after-restart", "/nonexistent"],
            2,
            "/nonexistent",
        ),
    ] {
        let (was, _, said) = wangge(&args);
        assert_eq!(was, Some(code), "{args:?}: {said}");
        assert!(said.contains(part), "{part}: {said}");
    }
}
