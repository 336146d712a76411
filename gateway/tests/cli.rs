//! The program as a person or systemd calls it: output and exit codes.

use std::{
    fs,
    process::{Command, Output},
    sync::Arc,
};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use wangge::console::{self, StationStatus, Status, StorageStatus};

fn wangge(args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_wangge"))
        .args(args)
        .env("LANG", "C")
        .env_remove("LC_ALL")
        .env_remove("LC_MESSAGES")
        .output();
    output.expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn the_sample_can_be_checked_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let sample = text(&wangge(&["config", "sample"]).stdout);
    assert_eq!(sample, wangge::config::sample());
    let file = dir.path().join("station.toml");
    fs::write(&file, sample.replace("/var/lib/wangge", "data")).expect("written");
    let file = file.to_str().expect("a path");
    let output = wangge(&["check", "--config", file]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("is ready to run with 1 device, 0 cameras"));
    let output = wangge(&["check", "--json", "--config", file]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report, serde_json::json!({ "ok": true, "faults": [] }));
}

#[test]
fn a_broken_file_is_code_2_with_every_fault() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("station.toml");
    let broken = wangge::config::sample()
        .replace("lat = 25.05", "lat = 125.05")
        .replace("height = \"1.2m\"", "hieght = \"1.2m\"");
    fs::write(&file, broken).expect("written");
    let file = file.to_str().expect("a path");
    let output = wangge(&["check", "--config", file]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stdout);
    assert!(
        said.contains("did you mean `height`?") && said.contains("2 errors"),
        "{said}"
    );
    let report = wangge(&["check", "--json", "--config", file]);
    assert_eq!(report.status.code(), Some(2));
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).expect("JSON");
    assert_eq!(
        report["faults"].as_array().map(Vec::len),
        Some(2),
        "{report}"
    );
    assert_eq!(report["faults"][0]["key"], "station.lat");
    let output = wangge(&["run", "--config", file]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("2 errors"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn usage_faults_are_code_2() {
    assert_eq!(wangge(&["rnu"]).status.code(), Some(2));
    assert_eq!(
        wangge(&["run", "--config", "/nowhere/s.toml"])
            .status
            .code(),
        Some(2)
    );
    assert_eq!(wangge(&["status", "--url", "x"]).status.code(), Some(2));
    assert_eq!(wangge(&["--version"]).status.code(), Some(0));
}

#[test]
fn schema_and_completions_are_printed() {
    let schema: serde_json::Value =
        serde_json::from_slice(&wangge(&["config", "schema"]).stdout).expect("JSON");
    assert_eq!(schema, wangge::config::schema());
    let script = text(&wangge(&["completion", "bash"]).stdout);
    assert!(script.contains("_wangge"), "{script}");
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let program = env!("CARGO_BIN_EXE_wangge");
    let line = format!("set -o pipefail; {program} config schema | head -c 1");
    let status = Command::new("bash").args(["-c", &line]).status();
    assert!(status.expect("bash").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_asks_a_running_gateway() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = listener.local_addr().expect("an address");
    let url = format!("http://{address}");
    let stop = CancellationToken::new();
    let refusing = Arc::new(std::sync::Mutex::new(None::<String>));
    let why = refusing.clone();
    let source: console::StatusSource = Arc::new(move || {
        let refusing = why.lock().expect("unpoisoned").clone();
        Box::pin(async move {
            Status {
                station: StationStatus {
                    id: "s1".to_owned(),
                    name: "五华区".to_owned(),
                },
                storage: StorageStatus {
                    refusing,
                    ..StorageStatus::default()
                },
                ..Status::default()
            }
        })
    });
    let task = tokio::spawn(console::serve(listener, source, stop.clone()));
    let ask = |args: Vec<String>| {
        tokio::task::spawn_blocking(move || {
            wangge(&args.iter().map(String::as_str).collect::<Vec<_>>())
        })
    };
    let args = |more: &[&str]| -> Vec<String> {
        ["status"]
            .iter()
            .chain(more)
            .map(|s| (*s).to_owned())
            .collect()
    };

    let output = ask(args(&["--url", &url])).await.expect("ran");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("五华区 (s1)"));

    // The file only has to say where the console is: whoever asks may not read its secrets.
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("station.toml");
    fs::write(&file, format!("[console]\nlisten = \"{address}\"\n")).expect("written");
    let file = file.to_str().expect("a path").to_owned();
    let output = ask(args(&["--json", "--config", &file]))
        .await
        .expect("ran");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let status: Status = serde_json::from_slice(&output.stdout).expect("a status");
    assert_eq!(status.station.id, "s1");

    *refusing.lock().expect("unpoisoned") = Some("disk full".to_owned());
    let output = ask(args(&["--url", &url])).await.expect("ran");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("disk full"));

    stop.cancel();
    task.await.expect("stopped");
    let output = ask(args(&["--url", &url])).await.expect("ran");
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("does `wangge run` run?"));
}
