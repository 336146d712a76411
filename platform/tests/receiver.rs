//! The receiver as built, over real sockets: what it stores, what it refuses, what it prints.
#![allow(clippy::unwrap_used)] // every line here is a test

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use wangge_platform::{MAX_EVENT, MAX_PICTURE, sha256};

const ID: &str = "0190f5c8-7b1e-7cc3-98c4-dc0c0c07398f";

/// `wangge-platform` with HTTP on a port of its own choice and JSON output.
struct Receiver {
    child: Child,
    address: String,
    out: BufReader<std::process::ChildStdout>,
}

impl Receiver {
    fn start(dir: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_wangge-platform"))
            .arg("--store")
            .arg(dir)
            .args(["--http", "127.0.0.1:0"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut receiver = Receiver {
            out: BufReader::new(child.stdout.take().unwrap()),
            child,
            address: String::new(),
        };
        let line = receiver.line();
        receiver.address = line
            .rsplit("http://")
            .next()
            .unwrap()
            .trim_end_matches(['"', '}'])
            .into();
        if let Ok(value) = serde_json::from_str::<Value>(&line) {
            receiver.address = value["address"].as_str().unwrap().replace("http://", "");
        }
        receiver
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn json(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    fn send(&self, method: &str, path: &str, extra: &str, body: &[u8]) -> (u16, Value) {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n{extra}\r\n",
            body.len()
        );
        socket.write_all(head.as_bytes()).unwrap();
        // A receiver that refuses the length may close before it has read the body.
        let _ = socket.write_all(body);
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    fn post(&self, body: &[u8]) -> (u16, Value) {
        self.send("POST", "/events", "", body)
    }

    fn put(&self, name: &str, body: &[u8]) -> (u16, Value) {
        self.send("PUT", &format!("/evidence/{name}"), "", body)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // SIGKILL: what was acknowledged must be there all the same.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn alert(id: &str, pictures: &[&str]) -> Value {
    let now = "2026-01-01T08:30:00Z";
    let evidence: Vec<Value> = pictures
        .iter()
        .map(|p| json!({"sha256": p, "bytes": 4, "media_type": "image/jpeg", "role": "scene", "taken_at": now}))
        .collect();
    json!({
        "specversion": "1.0", "id": id, "source": "/stations/S1",
        "type": "cn.wangge.alert.raised.v1", "subject": ID, "time": now,
        "datacontenttype": "application/json", "dataschema": "urn:wangge:schema:alert:1",
        "data": {
            "alert_id": ID, "revision": 1, "state": "raised", "kind": "illegal_dumping",
            "severity": "major", "station": "S1", "device": "cam-1", "source": "camera",
            "rule": "zone", "occurred_at": now, "raised_at": now,
            "text": {"zh": "有人乱倒\u{1b}[2J垃圾", "en": "rubbish was dumped"},
            "place": {"lon": 121.4, "lat": 31.2, "unit_grid": "310101001001001"},
            "platform": {"profile": "default", "source_name": "视频", "crs": "wgs84", "x": 121.4, "y": 31.2},
            "evidence": evidence,
        }
    })
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

#[test]
fn a_message_is_stored_once_across_a_kill_and_its_repeats_get_the_same_answer() {
    let dir = TempDir::new().unwrap();
    let body = bytes(&alert(ID, &[]));
    let stored = json!({"id": ID, "sha256": sha256(&body), "status": "stored"});
    for _ in 0..2 {
        let receiver = Receiver::start(dir.path(), &["--json"]);
        for _ in 0..2 {
            assert_eq!(receiver.post(&body), (200, stored.clone()));
        }
        // The same id with other bytes.
        let mut other = alert(ID, &[]);
        other["data"]["revision"] = 2.into();
        let (status, receipt) = receiver.post(&bytes(&other));
        assert_eq!((status, &receipt["status"]), (200, &json!("refused")));
    }
    let text = std::fs::read_to_string(dir.path().join("events.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 1);
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["body"].as_str().unwrap().as_bytes(), body);
}

#[test]
fn a_line_cut_off_by_a_crash_is_removed_and_its_message_taken_again() {
    let dir = TempDir::new().unwrap();
    let other = "0190f5c8-7b1e-7cc3-98c4-dc0c0c073990";
    let (first, second) = (bytes(&alert(ID, &[])), bytes(&alert(other, &[])));
    let receiver = Receiver::start(dir.path(), &["--json"]);
    receiver.post(&first);
    receiver.post(&second);
    drop(receiver);
    let path = dir.path().join("events.jsonl");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 20]).unwrap();
    let receiver = Receiver::start(dir.path(), &["--json"]);
    assert_eq!(receiver.post(&second).1["status"], "stored");
    drop(receiver);
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(
        text.lines()
            .all(|l| serde_json::from_str::<Value>(l).is_ok())
    );
}

#[test]
fn an_alert_waits_for_its_picture() {
    let dir = TempDir::new().unwrap();
    let mut receiver = Receiver::start(dir.path(), &["--json"]);
    let picture = [0xff, 0xd8, 0xff, 1];
    let hash = sha256(&picture);
    let body = bytes(&alert(ID, &[&hash]));
    let (_, receipt) = receiver.post(&body);
    assert_eq!(receipt["status"], "evidence_missing");
    assert!(receipt["reason"].as_str().unwrap().contains(&hash));
    let (_, receipt) = receiver.put(&hash, b"other bytes");
    assert_eq!(receipt["status"], "refused");
    assert_ne!(receipt["sha256"], receipt["id"]);
    for _ in 0..2 {
        assert_eq!(
            receiver.put(&hash, &picture),
            (200, json!({"id": hash, "sha256": hash, "status": "stored"}))
        );
    }
    assert_eq!(receiver.post(&body).1["status"], "stored");
    let refused = receiver.json();
    assert_eq!(refused["event"], "refused");
    assert_eq!(receiver.json()["event"], "picture");
    let shown = receiver.json();
    assert_eq!(
        (&shown["event"], &shown["source"], &shown["kind"]),
        (&json!("alert"), &json!("camera"), &json!("illegal_dumping"))
    );
    let path = shown["pictures"][0].as_str().unwrap();
    assert!(path.ends_with(".jpg"));
    assert_eq!(std::fs::read(path).unwrap(), picture);
}

#[test]
fn a_person_reads_one_line_an_alert_in_both_languages() {
    let dir = TempDir::new().unwrap();
    let mut receiver = Receiver::start(dir.path(), &[]);
    receiver.post(&bytes(&alert(ID, &[])));
    let line = receiver.line();
    for part in [
        "08:30:00",
        "发生 raised",
        "重要 major",
        "乱倒垃圾",
        "S1/cam-1",
        "rubbish was dumped",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(
        !line.contains('\u{1b}'),
        "the station's words move the cursor: {line:?}"
    );
}

#[test]
fn what_is_no_message_is_refused_with_its_reason() {
    let dir = TempDir::new().unwrap();
    let receiver = Receiver::start(dir.path(), &["--json"]);
    let change = |f: &dyn Fn(&mut Value)| {
        let mut value = alert(ID, &[]);
        f(&mut value);
        bytes(&value)
    };
    let deep = [b"[".repeat(5_000), b"]".repeat(5_000)].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("not JSON", Vec::new()),
        ("not JSON", b"{\"id\":".to_vec()),
        ("not JSON", vec![0xff, 0xfe]),
        ("not JSON", deep),
        ("dataschema", b"{}".to_vec()),
        ("dataschema", b"[]".to_vec()),
        (
            "dataschema",
            change(&|v| v["dataschema"] = "urn:other".into()),
        ),
        (
            "/data/kind",
            change(&|v| v["data"]["kind"] = "unheard_of".into()),
        ),
        (
            "/data",
            change(&|v| drop(v["data"].as_object_mut().unwrap().remove("device"))),
        ),
        ("/id", change(&|v| v["id"] = "".into())),
        (
            "/data/place/lon",
            change(&|v| v["data"]["place"]["lon"] = "east".into()),
        ),
    ];
    for (said, body) in cases {
        let (status, receipt) = receiver.post(&body);
        assert_eq!(
            (status, &receipt["status"]),
            (200, &json!("refused")),
            "{receipt}"
        );
        let reason = receipt["reason"].as_str().unwrap();
        assert!(reason.contains(said), "{said}: {reason}");
        assert_eq!(receipt["sha256"], sha256(&body));
        // The message's id, or for want of one the hash again.
        let read = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        let id = if read["id"] == ID { ID } else { &sha256(&body) };
        assert_eq!(receipt["id"], id);
    }
    assert_eq!(std::fs::read(dir.path().join("events.jsonl")).unwrap(), b"");
}

#[test]
fn limits_hold_at_the_limit_beyond_it_and_far_beyond_it() {
    let dir = TempDir::new().unwrap();
    let receiver = Receiver::start(dir.path(), &["--json"]);
    for (size, taken) in [
        (MAX_PICTURE, true),
        (MAX_PICTURE + 1, false),
        (MAX_PICTURE * 10, false),
    ] {
        let picture = vec![7; size];
        let (status, _) = receiver.put(&sha256(&picture), &picture);
        assert_eq!(status, if taken { 200 } else { 413 }, "{size}");
    }
    let (_, receipt) = receiver.post(&vec![b' '; MAX_EVENT]);
    assert_eq!(receipt["status"], "refused");
    for size in [MAX_EVENT + 1, MAX_EVENT * 10] {
        assert_eq!(receiver.post(&vec![b' '; size]).0, 413);
    }
}

#[test]
fn without_the_token_nothing_is_taken() {
    let dir = TempDir::new().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "secret\n").unwrap();
    let store = dir.path().join("store");
    let receiver = Receiver::start(&store, &["--json", "--token-file", token.to_str().unwrap()]);
    let body = bytes(&alert(ID, &[]));
    for given in [
        "",
        "authorization: Bearer guess\r\n",
        "authorization: Bearer \r\n",
    ] {
        assert_eq!(receiver.send("POST", "/events", given, &body).0, 401);
    }
    let (status, receipt) =
        receiver.send("POST", "/events", "authorization: Bearer secret\r\n", &body);
    assert_eq!((status, &receipt["status"]), (200, &json!("stored")));
}

#[test]
fn a_picture_s_name_is_a_hash() {
    let dir = TempDir::new().unwrap();
    let receiver = Receiver::start(dir.path(), &["--json"]);
    let upper = sha256(b"x").to_uppercase();
    for name in ["scene.jpg", "..", "%2e%2e", &upper, &sha256(b"x")[1..], ""] {
        assert_eq!(receiver.put(name, b"x").0, 404, "{name}");
    }
}

#[test]
fn the_page_shows_each_alert_once_with_its_newest_words_and_pictures() {
    let dir = TempDir::new().unwrap();
    let receiver = Receiver::start(dir.path(), &["--json"]);
    let picture = [0xff, 0xd8, 0xff, 1];
    let hash = sha256(&picture);
    receiver.put(&hash, &picture);
    let mut second = alert("0190f5c8-7b1e-7cc3-98c4-dc0c0c073990", &[&hash]);
    second["type"] = "cn.wangge.alert.updated.v1".into();
    second["data"]["state"] = "updated".into();
    second["data"]["revision"] = 2.into();
    second["data"]["text"]["en"] = "<script>alert(1)</script> & more".into();
    // The newer message comes first.
    for message in [second, alert(ID, &[])] {
        assert_eq!(receiver.post(&bytes(&message)).1["status"], "stored");
    }
    drop(receiver);
    let run = || {
        Command::new(env!("CARGO_BIN_EXE_wangge-platform"))
            .arg("--store")
            .arg(dir.path())
            .arg("--html")
            .output()
            .unwrap()
    };
    let output = run();
    let path = String::from_utf8(output.stdout).unwrap();
    let page = std::fs::read_to_string(path.trim()).unwrap();
    assert_eq!(page.matches("<article").count(), 1);
    for part in [
        "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more",
        "乱倒垃圾",
        "2 条消息",
        &format!("src=\"evidence/{hash}.jpg\""),
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("<script>"));
    std::fs::remove_file(dir.path().join("events.jsonl")).unwrap();
    let output = run();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("events.jsonl"));
}

/// The guide's commands, by a client that is not ours.
#[test]
fn curl_delivers_a_picture_with_the_made_certificate() {
    let dir = TempDir::new().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let picture = [0xff, 0xd8, 0xff, 1];
    std::fs::write(file("scene.jpg"), picture).unwrap();
    let mut receiver = Receiver::start(
        &dir.path().join("store"),
        &[
            "--json",
            "--https",
            "127.0.0.1:0",
            "--write-ca",
            &file("ca.pem"),
        ],
    );
    let address = receiver.json()["address"].as_str().unwrap().to_owned();
    let url = format!(
        "{}/evidence/{}",
        address.replace("127.0.0.1", "localhost"),
        sha256(&picture)
    );
    for _ in 0..2 {
        let output = Command::new("curl")
            .args([
                "-sS",
                "--cacert",
                &file("ca.pem"),
                "-T",
                &file("scene.jpg"),
                &url,
            ])
            .output()
            .unwrap();
        let receipt: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(receipt["status"], "stored");
    }
}

#[test]
fn what_cannot_be_served_is_said_at_once() {
    let dir = TempDir::new().unwrap();
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_wangge-platform"))
            .arg("--store")
            .arg(dir.path())
            .args(args)
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    for (args, said) in [
        (&[] as &[&str], "--https, --http or --mqtt"),
        (&["--http", "0.0.0.0:0"], "only loopback"),
        (&["--https", "127.0.0.1:0"], "--write-ca"),
        (&["--mqtt", "nowhere"], "HOST:PORT"),
        (
            &["--http", "127.0.0.1:0", "--token-file", "/nonexistent"],
            "/nonexistent",
        ),
    ] {
        let text = run(args);
        assert!(text.contains(said), "{args:?}: {text}");
    }
    std::fs::write(dir.path().join("events.jsonl"), "someone's own file\n").unwrap();
    let text = run(&["--http", "127.0.0.1:0"]);
    assert!(
        text.contains("events.jsonl") && text.contains("line 1"),
        "{text}"
    );
}

/// The OpenAPI document against the receiver, by a program that others wrote: whatever it makes
/// up, the answer is one that the document names, and never 5xx.
#[test]
fn what_the_openapi_document_says_is_what_is_answered() {
    let Some(python) = std::env::var_os("WANGGE_CONTRACT_PYTHON") else {
        println!("skipped: schemathesis is not installed (cargo xtask setup)");
        return;
    };
    let dir = TempDir::new().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "secret\n").unwrap();
    let store = dir.path().join("store");
    // Into a file: a pipe that nobody reads would hold the receiver up.
    let said = dir.path().join("said");
    let mut child = Command::new(env!("CARGO_BIN_EXE_wangge-platform"))
        .arg("--store")
        .arg(&store)
        .args(["--http", "127.0.0.1:0", "--json", "--token-file"])
        .arg(&token)
        .stdout(std::fs::File::create(&said).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = loop {
        let text = std::fs::read_to_string(&said).unwrap();
        if let Some(line) = text.lines().next().filter(|_| text.contains('\n')) {
            let line: Value = serde_json::from_str(line).unwrap();
            break line["address"].as_str().unwrap().to_owned();
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/openapi.yaml");
    let output = Command::new(Path::new(&python).with_file_name("schemathesis"))
        .current_dir(dir.path())
        .args(["run", document, "--url", &address])
        .args(["--header", "Authorization: Bearer secret"])
        // It cannot write the media type of pieces, and would wait as long as an inbox lets it.
        .args(["--exclude-operation-id", "patchPicture"])
        .args(["--exclude-operation-id", "getInbox"])
        .args(["--phases", "coverage,fuzzing", "--max-examples", "10"])
        .args(["--seed", "7", "--no-color", "--generation-database", "none"])
        .args(["--request-timeout", "60", "--suppress-health-check", "all"])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,ignored_auth",
        ])
        .output()
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        said.contains("3 selected / 5 total"),
        "the document lost operations"
    );
}
