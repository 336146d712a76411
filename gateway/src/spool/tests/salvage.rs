//! `wangge spool export`: everything that can be read becomes a file, and nothing is changed.

use std::{collections::BTreeSet, fs};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::*;

async fn filled(path: &Path, alerts: usize) {
    let (spool, _) = open(path);
    let mut records = Vec::new();
    for at in 0..alerts {
        let mut alert = record(ALERT, &format!("a{at}"));
        alert.body = format!("{{\"n\":{at},\"pad\":\"{}\"}}", "x".repeat(700)).into_bytes();
        if at < 3 {
            let taken = jiff::Timestamp::UNIX_EPOCH;
            let picture = format!("picture {at}").into_bytes();
            let picture = spool.evidence().put(&picture, "image/jpeg", "scene", taken);
            alert.evidence = vec![picture.unwrap()];
        }
        records.push(alert);
    }
    records.push(record(TELEMETRY, "t"));
    for some in records.chunks(50) {
        spool.append(batch(some.to_vec())).await.unwrap();
    }
    spool.close().await.unwrap();
}

fn index(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join("index.jsonl")).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for line in &lines {
        let body = fs::read(out.join(line["file"].as_str().unwrap())).unwrap();
        let hash = hex::encode(Sha256::digest(&body));
        assert_eq!(line["sha256"], hash.as_str());
        for picture in line["evidence"].as_array().unwrap() {
            if let Some(file) = picture["file"].as_str() {
                let hash = hex::encode(Sha256::digest(fs::read(out.join(file)).unwrap()));
                assert_eq!(picture["sha256"], hash.as_str());
            }
        }
    }
    lines
}

/// Every file with its content and time of change.
fn state_of(dir: &Path) -> BTreeSet<(String, Vec<u8>, std::time::SystemTime)> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(state_of(&path));
        } else {
            let modified = entry.metadata().unwrap().modified().unwrap();
            let name = path.display().to_string();
            all.insert((name, fs::read(&path).unwrap(), modified));
        }
    }
    all
}

fn exported(path: &Path) -> (tempfile::TempDir, ExportReport) {
    let out = tempfile::tempdir().unwrap();
    let before = state_of(path);
    let report = export(path, out.path(), &mut |_| {}).unwrap();
    assert_eq!(state_of(path), before, "only read");
    (out, report)
}

#[tokio::test]
async fn a_sound_spool_is_exported_whole() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 120).await;
    let (out, report) = exported(dir.path());
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.written.records, report.written.pictures), (121, 3));
    let lines = index(out.path());
    assert_eq!(lines.len(), 121);
    let first = &lines[0];
    assert_eq!(first["uplink"], "platform");
    assert_eq!(
        (&first["class"], &first["seq"]),
        (&"alert".into(), &1.into())
    );
    assert_eq!(first["origin"], "held");
    assert!(first["evidence"][0]["file"].is_string());
    assert_eq!(lines[120]["stream"], "bins");
    assert!(!out.path().join(".work").exists());

    // The same directory again is refused, and so is one inside the storage.
    let again = export(dir.path(), out.path(), &mut |_| {}).unwrap_err();
    assert!(matches!(again, ExportError::NotEmpty(_)), "{again}");
    let inside = dir.path().join("salvaged");
    let refused = export(dir.path(), &inside, &mut |_| {}).unwrap_err();
    assert!(matches!(refused, ExportError::Inside(_)), "{refused}");
    assert!(!inside.exists());
}

#[tokio::test]
async fn what_sled_cannot_read_is_found_in_the_bare_file() {
    type Damage = (&'static str, usize, fn(&Path));
    // Of 400 alerts, at least so many come back.
    let damages: [Damage; 4] = [
        ("a snapshot is cut off", 400, |outbox| {
            for entry in fs::read_dir(outbox).unwrap().flatten() {
                if entry.file_name().to_string_lossy().starts_with("snap.") {
                    fs::write(entry.path(), b"cut").unwrap();
                }
            }
        }),
        ("the configuration is noise", 390, |outbox| {
            fs::write(outbox.join("conf"), b"noise").unwrap();
        }),
        ("the beginning is noise", 300, |outbox| {
            let mut db = fs::read(outbox.join("db")).unwrap();
            db[..4_096].fill(0x5a);
            fs::write(outbox.join("db"), db).unwrap();
        }),
        ("a stretch is noise", 300, |outbox| {
            let mut db = fs::read(outbox.join("db")).unwrap();
            let middle = db.len() / 8;
            db[middle..middle + 9_000].fill(0x5a);
            fs::write(outbox.join("db"), db).unwrap();
        }),
    ];
    for (what, least, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path(), 400).await;
        // sled writes its snapshot when it opens.
        let (spool, _) = open(dir.path());
        spool.close().await.unwrap();
        damage(&dir.path().join("outbox"));
        let (out, report) = exported(dir.path());
        let lines = index(out.path());
        let ids: BTreeSet<_> = lines
            .iter()
            .map(|line| line["id"].as_str().unwrap())
            .collect();
        let alerts = ids.iter().filter(|id| id.starts_with('a')).count();
        eprintln!(
            "{what}: {alerts} of 400, {:?}, lost {}",
            report.origins, report.lost
        );
        assert!(alerts >= least, "{what}: {alerts}");
        assert_eq!(ids.len(), lines.len(), "{what}: each once");
        assert_eq!(report.written.records as usize, lines.len());
        if alerts < 400 {
            assert!(!report.is_whole(), "{what}");
        }
    }
}

#[tokio::test]
async fn what_was_put_into_quarantine_is_exported_too() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 200).await;
    let ruin = || {
        let path = dir.path().join("outbox/db");
        let mut db = fs::read(&path).unwrap();
        // The header of the first segment.
        db[..20].fill(0x5a);
        fs::write(path, db).unwrap();
    };
    ruin();
    // The daemon starts afresh, and the next alert comes in.
    let (spool, recovery) = open(dir.path());
    assert_eq!((recovery.rung, recovery.lost), (Rung::Fresh, 201));
    spool
        .append(batch(vec![record(ALERT, "new")]))
        .await
        .unwrap();
    assert_accounted(&spool).await;
    spool.close().await.unwrap();
    ruin();
    let (out, report) = exported(dir.path());
    assert!(!report.is_whole() && report.lost > 0, "{report:?}");
    let lines = index(out.path());
    let has = |id: &str| lines.iter().any(|line| line["id"] == id);
    assert!(
        has("new") && has("a0") && has("a199") && has("t"),
        "{report:?}"
    );
    assert!(lines.iter().all(|line| line["origin"] == "carved"));
    let from_quarantine = |line: &&Value| line["from"].as_str().unwrap().starts_with("quarantine/");
    assert!(lines.iter().filter(from_quarantine).count() >= 200);
}

#[tokio::test]
async fn missing_and_changed_pictures_are_named() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3).await;
    let evidence = evidence::EvidenceStore::open(&evidence_dir(dir.path())).unwrap();
    let hashes: Vec<_> = ["picture 0", "picture 1"]
        .map(|picture| hex::encode(Sha256::digest(picture)))
        .into();
    fs::remove_file(evidence.path(&hashes[0])).unwrap();
    fs::write(evidence.path(&hashes[1]), b"swapped").unwrap();
    let (out, report) = exported(dir.path());
    assert!(!report.is_whole());
    assert_eq!(report.missing_pictures, hashes);
    let lines = index(out.path());
    assert_eq!(lines[0]["evidence"][0]["fault"], "missing");
    assert_eq!(lines[1]["evidence"][0]["fault"], "corrupt");
    assert!(lines[1]["evidence"][0]["file"].is_null());
    assert!(lines[2]["evidence"][0]["fault"].is_null());
}

#[tokio::test]
async fn f35_an_export_while_the_daemon_runs_is_refused_with_the_pid() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let out = tempfile::tempdir().unwrap();
    let refused = export(dir.path(), out.path(), &mut |_| {}).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains(&std::process::id().to_string()),
        "{refused}"
    );
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
    spool.append(batch(vec![record(ALERT, "a")])).await.unwrap();
    spool.close().await.unwrap();
    let nothing = export(&dir.path().join("nothing"), out.path(), &mut |_| {}).unwrap_err();
    assert!(
        nothing.to_string().ends_with("nothing holds no spool"),
        "{nothing}"
    );
}
