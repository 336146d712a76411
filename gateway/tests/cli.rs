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

/// The sample with its camera switched on, a model that is only named, and `ground` as given.
fn surveyed(dir: &std::path::Path, last_point: &str) -> String {
    fs::write(
        dir.join("model.toml"),
        fs::read(model()).expect("a manifest"),
    )
    .expect("written");
    fs::write(dir.join("lib.so"), "not a library, but a file").expect("written");
    let file = dir.join("station.toml");
    let sample = wangge::config::sample().replace("/var/lib/wangge", "data");
    let camera = format!(
        "[vision]\nmodel = \"model.toml\"\nonnxruntime = \"lib.so\"\n\
         [[camera]]\nid = \"market\"\nurl = \"rtsp://192.168.1.20/s\"\n\
         masks = [[[0.0, 0.0], [0.2, 0.0], [0.2, 0.2], [0.0, 0.2]]]\n\
         [camera.ground]\npoints = [\n\
         {{ image = [0.2435, 0.3475], metres = [0, 0] }},\n\
         {{ image = [0.7565, 0.3475], metres = [6, 0] }},\n\
         {{ image = [0.8603, 0.5928], metres = [6, 3] }},\n\
         {{ image = [0.1397, 0.5928], metres = [0, 3] }},\n\
         {{ image = [0.5000, 0.4495], metres = [3, 1.5] }},\n\
         {{ image = [0.3364, 0.5146], metres = {last_point} }},\n]\n\
         [[camera.zone]]\nid = \"shops\"\nkind = \"shop_overflow\"\n\
         [camera.zone.line]\npoints = [[0, 0], [6, 0]]\nroad = [3, 5]\nlimit = \"1m\"\n"
    );
    fs::write(&file, sample + &camera).expect("written");
    file.to_str().expect("a path").to_owned()
}

fn model() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/manifests/nanodet_g_416.toml")
}

#[test]
fn ground_judges_a_survey_and_draws_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = surveyed(dir.path(), "[1.5, 2.25]");
    let output = wangge(&["ground", "--config", &file]);
    let said = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{said}{}",
        text(&output.stderr)
    );
    assert!(said.contains("camera market: 6 points"), "{said}");
    assert!(said.contains("zone shops: measurable to ± 0."), "{said}");
    println!("{said}");

    // A grey still of the same shape, and one that is none.
    let (still, chart) = (dir.path().join("still.jpg"), dir.path().join("chart.jpg"));
    let encoder = jpeg_encoder::Encoder::new_file(&still, 80).expect("a file");
    let pixels = vec![200; 960 * 540 * 3];
    encoder
        .encode(&pixels, 960, 540, jpeg_encoder::ColorType::Rgb)
        .expect("a JPEG");
    let draw = |still: &std::path::Path| {
        let (still, chart) = (
            still.to_str().expect("a path"),
            chart.to_str().expect("a path"),
        );
        let args = [
            "ground",
            "--config",
            &file,
            "--still",
            still,
            "--picture",
            chart,
        ];
        wangge(&args)
    };
    let output = draw(&still);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let drawn = fs::read(&chart).expect("a chart");
    assert!(drawn.starts_with(&[0xff, 0xd8]) && drawn.ends_with(&[0xff, 0xd9]));
    assert!(drawn.len() > 20_000, "{} bytes: only paper", drawn.len());
    let mut kept = fs::read(&still).expect("a still");
    kept.truncate(100);
    fs::write(&still, &kept).expect("written");
    let output = draw(&still);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("no JPEG"),
        "{}",
        text(&output.stderr)
    );

    for (args, says) in [
        (
            vec!["ground", "--config", &file, "--camera", "none"],
            "has no `ground`",
        ),
        (vec!["ground", "--config", "none.toml"], ""),
        (
            vec!["ground", "--config", &file, "--still", "s.jpg"],
            "--picture",
        ),
    ] {
        let output = wangge(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            text(&output.stderr).contains(says),
            "{}",
            text(&output.stderr)
        );
    }
    // A mistyped figure is an error of the file, with its line.
    let file = surveyed(dir.path(), "[1.5, 1.25]");
    let output = wangge(&["check", "--config", &file]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stdout);
    assert!(said.contains("camera[1].ground.points[6]"), "{said}");
    assert!(said.contains("1.5, 1.25"), "{said}");
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
