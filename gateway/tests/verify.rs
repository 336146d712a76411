//! `wangge verify` and `wangge identity` as a person calls them, and the verifier of the guide.

#![allow(clippy::unwrap_used)] // a test that cannot go on must fail

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

use serde_json::json;
use tempfile::TempDir;
use wangge::{
    clock::Stamp,
    proof::{
        Identity,
        chain::{Made, Sealer},
        key::key_file,
        message::sha256,
    },
};
use wangge_protocol::ClockQuality;

fn wangge(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wangge"))
        .args(args)
        .output()
        .expect("the program runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// A receiver's directory with four alerts and their pictures, as `wangge-platform` writes it.
struct Store {
    dir: TempDir,
    identity: Arc<Identity>,
    lines: Vec<serde_json::Value>,
}

impl Store {
    fn new() -> Store {
        let dir = TempDir::new().unwrap();
        let identity = Arc::new(Identity::open(dir.path()).unwrap().0);
        let made = Made {
            software: "0.1.0".into(),
            config_hash: "0123456789abcdef".into(),
        };
        let stamp = Stamp {
            quality: ClockQuality::Held,
            boot: "00000000-0000-4000-8000-000000000001".into(),
            uptime_ms: 5,
        };
        let mut sealer = Sealer::restore(Some(identity.clone()), made, &[]);
        fs::create_dir(dir.path().join("evidence")).unwrap();
        let mut lines = Vec::new();
        for n in 0..4_u64 {
            let picture = format!("picture {n}");
            let sha = sha256(picture.as_bytes());
            let file = dir.path().join(format!("evidence/{sha}.jpg"));
            fs::write(file, &picture).unwrap();
            let id = format!("id-{n}");
            let body = json!({
                "specversion": "1.0", "id": id, "source": "/stations/haitang",
                "type": "cn.wangge.alert.raised.v1",
                "data": {"text": "垃圾箱满溢", "evidence": [{"sha256": sha, "bytes": 9,
                    "media_type": "image/jpeg", "role": "scene", "taken_at": "2026-11-26T00:00:00Z"}]},
            });
            let sealed = sealer.seal("city", (&id, body.to_string().as_bytes()), false, &stamp);
            lines.push(json!({
                "received": 1_795_000_000_000 + n * 1_000, "id": id,
                "type": "cn.wangge.alert.raised.v1", "sha256": sha256(&sealed.body),
                "body": String::from_utf8(sealed.body).unwrap(),
            }));
        }
        let store = Store {
            dir,
            identity,
            lines,
        };
        store.write();
        store
    }

    fn events(&self) -> std::path::PathBuf {
        self.dir.path().join("events.jsonl")
    }

    fn write(&self) {
        let text: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(self.events(), text).unwrap();
    }

    fn body(&self, n: usize) -> &str {
        self.lines[n]["body"].as_str().unwrap()
    }

    fn picture(&self, n: usize) -> std::path::PathBuf {
        let sha = sha256(format!("picture {n}").as_bytes());
        self.dir.path().join(format!("evidence/{sha}.jpg"))
    }

    fn verify(&self, more: &[&str]) -> (Option<i32>, String) {
        let (key, events) = (self.identity.public().to_string(), self.events());
        let mut args = vec!["verify", "--key", &key, events.to_str().unwrap()];
        args.extend(more);
        let output = wangge(&args);
        (output.status.code(), said(&output))
    }

    fn broken(&self, at: &str, what: &str) {
        let (code, said) = self.verify(&[]);
        assert_eq!(code, Some(1), "{said}");
        let first = said.lines().next().unwrap();
        assert!(first.contains(at) && first.contains(what), "{said}");
    }
}

#[test]
fn a_store_is_whole_until_somebody_touches_it() {
    let mut store = Store::new();
    let (code, said) = store.verify(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("sequence 1 to 4") && said.contains("4 pictures looked at"),
        "{said}"
    );
    let whole = store.lines.clone();

    let altered = store.body(1).replace("垃圾箱满溢", "垃圾箱正常");
    store.lines[1]["sha256"] = sha256(altered.as_bytes()).into();
    store.lines[1]["body"] = altered.into();
    store.write();
    store.broken("line 2", "altered");

    store.lines = whole.clone();
    store.lines.remove(2);
    store.write();
    store.broken("line 3", "sequence 3 is missing");

    store.lines = whole.clone();
    store.lines.swap(1, 2);
    store.write();
    store.broken("line 3", "lines were moved");

    store.lines = whole;
    store.write();
    let (one, other) = (
        fs::read(store.picture(0)).unwrap(),
        fs::read(store.picture(1)).unwrap(),
    );
    fs::write(store.picture(0), other).unwrap();
    fs::write(store.picture(1), one).unwrap();
    store.broken("line 1", "altered or swapped");
    fs::remove_file(store.picture(0)).unwrap();
    store.broken("line 1", "is not there");
}

#[test]
fn a_cut_end_shows_by_the_hash_that_was_noted() {
    let mut store = Store::new();
    let head = sha256(store.body(3).as_bytes());
    assert_eq!(store.verify(&["--head", &head]).0, Some(0));
    store.lines.pop();
    store.write();
    assert_eq!(store.verify(&[]).0, Some(0));
    let (code, said) = store.verify(&["--head", &head]);
    assert!(
        code == Some(1) && said.contains("the newest messages are missing"),
        "{said}"
    );
}

#[test]
fn single_files_directories_and_exports_are_read() {
    let store = Store::new();
    let pictures = store.dir.path().join("evidence");
    let keys = store.dir.path().join("keys");
    fs::write(&keys, format!("haitang {}\n", store.identity.public())).unwrap();
    let out = TempDir::new().unwrap();
    let mut index = String::new();
    for n in 0..4 {
        fs::write(out.path().join(format!("{n}.json")), store.body(n)).unwrap();
        index += &format!(
            "{}\n",
            json!({"file": format!("{n}.json"), "sha256": sha256(store.body(n).as_bytes())})
        );
    }
    let verify = |what: &Path, more: &[&str]| {
        let mut args = vec!["verify", "--keys", keys.to_str().unwrap(), "--json"];
        args.extend(["--pictures", pictures.to_str().unwrap()]);
        args.push(what.to_str().unwrap());
        args.extend(more);
        let output = wangge(&args);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), report)
    };
    let (code, report) = verify(out.path(), &[]);
    assert_eq!(
        (code, &report["report"]["sealed"]),
        (Some(0), &json!(4)),
        "{report}"
    );
    fs::write(out.path().join("index.jsonl"), &index).unwrap();
    let (code, report) = verify(out.path(), &[]);
    assert_eq!(
        (code, &report["report"]["sealed"]),
        (Some(0), &json!(4)),
        "{report}"
    );
    // One alert alone is a part; that what came before is not here is no fault of it.
    let (code, report) = verify(&out.path().join("2.json"), &[]);
    assert_eq!(
        (code, &report["report"]["faults"][0]["what"]),
        (Some(1), &json!("removed"))
    );
    assert_eq!(verify(&out.path().join("2.json"), &["--part"]).0, Some(0));
    fs::write(out.path().join("index.jsonl"), "{\"file\":\"../keys\"}\n").unwrap();
    let (code, report) = verify(out.path(), &[]);
    assert_eq!(
        (code, &report["report"]["faults"][0]["what"]),
        (Some(1), &json!("unreadable"))
    );
}

#[test]
fn what_cannot_be_used_is_code_2() {
    let store = Store::new();
    let events = store.events();
    let events = events.to_str().unwrap();
    let missing = store.dir.path().join("nothing.jsonl");
    let secret = key_file(store.dir.path());
    let key = store.identity.public().to_string();
    for args in [
        &["verify", events][..],
        &["verify", "--key", &key],
        &["verify", "--key", "rubbish", events],
        &["verify", "--key", secret.to_str().unwrap(), events],
        &["verify", "--keys", events, events],
        &["verify", "--key", &key, missing.to_str().unwrap()],
        &["verify", "--key", &key, "--head", "abc", events],
        &["verify", "--key", &key, "--pictures", "/nowhere", events],
    ] {
        let output = wangge(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", said(&output));
    }
}

#[test]
fn the_key_is_printed_as_both_programs_read_it() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("station.toml");
    let sample = wangge::config::sample().replace("/var/lib/wangge", "data");
    fs::write(&file, sample).unwrap();
    let file = file.to_str().unwrap();
    let output = wangge(&["identity", "--config", file]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("when the station first starts"),
        "{}",
        said(&output)
    );
    let storage = wangge::config::load(Path::new(file)).unwrap().storage.path;
    fs::create_dir_all(&storage).unwrap();
    let (identity, _) = Identity::open(&storage).unwrap();
    let printed = said(&wangge(&["identity", "--config", file]));
    assert!(
        printed.contains(&format!(" {}\n", identity.public())),
        "{printed}"
    );
    let secret = fs::read_to_string(key_file(&storage)).unwrap();
    let secret: Vec<_> = secret
        .lines()
        .filter(|line| line.len() > 30 && !line.starts_with('-'))
        .collect();
    assert!(secret.iter().all(|line| !printed.contains(line)));
    assert!(
        wangge::proof::keys::Keys::parse(&printed).is_ok(),
        "{printed}"
    );
    // OpenSSL reads the PEM.
    let pem = dir.path().join("public.pem");
    fs::write(
        &pem,
        wangge(&["identity", "--pem", "--config", file]).stdout,
    )
    .unwrap();
    let openssl = Command::new("openssl")
        .args(["pkey", "-pubin", "-noout", "-text", "-in"])
        .arg(&pem)
        .output()
        .expect("openssl is installed");
    assert!(said(&openssl).contains("ED25519"), "{}", said(&openssl));
}

/// `docs/operator/verify.py`, as the guide says to call it.
#[test]
fn the_verifier_of_the_guide_agrees() {
    let python = std::env::var("WANGGE_PYTHON").unwrap_or_else(|_| "python3".into());
    let has = Command::new(&python)
        .args(["-c", "import cryptography"])
        .output();
    if !has.is_ok_and(|output| output.status.success()) {
        println!("skipped: {python} has no module cryptography");
        return;
    }
    let store = Store::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operator/verify.py");
    let file = store.dir.path().join("alert.json");
    let verify = || {
        Command::new(&python)
            .arg(script)
            .arg(store.identity.public().to_string())
            .arg(&file)
            .arg(store.dir.path().join("evidence"))
            .output()
            .unwrap()
    };
    fs::write(&file, store.body(2)).unwrap();
    let output = verify();
    assert!(output.status.success(), "{}", said(&output));
    let this = sha256(store.body(2).as_bytes());
    assert!(said(&output).contains(&format!(
        "sequence 3 previous {}",
        sha256(store.body(1).as_bytes())
    )));
    assert!(said(&output).contains(&this));
    fs::write(&file, store.body(2).replace("满溢", "正常")).unwrap();
    assert!(!verify().status.success());
    fs::write(&file, store.body(2)).unwrap();
    fs::write(store.picture(2), "another picture").unwrap();
    assert!(!verify().status.success());
}
