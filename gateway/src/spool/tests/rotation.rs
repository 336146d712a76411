//! R10: the database is replaced by a fresh one; a crash at any step costs nothing.

use std::fs;

use super::super::{home, load::copy, rotate};
use super::*;

/// Works, and returns what is held: some settled, some dropped, some state.
async fn worked(path: &Path) -> (Vec<Entry>, StateEntries) {
    let (spool, _) = open(path);
    let records = (0..60).map(|at| {
        let lane = if at % 3 == 0 { ALERT } else { TELEMETRY };
        let mut record = record(lane, &format!("r{at}"));
        record.body.resize(900, b' ');
        record
    });
    let state = vec![(b"open/a".to_vec(), Some(b"1".to_vec()))];
    let records = records.collect();
    spool.append(Batch { records, state }).await.unwrap();
    spool.settle((1..=20).collect()).await.unwrap();
    spool.discard(vec![31, 40], "poison").await.unwrap();
    let held = everything(&spool).await;
    assert_accounted(&spool).await;
    spool.close().await.unwrap();
    held
}

async fn everything(spool: &Spool) -> (Vec<Entry>, StateEntries) {
    let mut all = Vec::new();
    for lane in [ALERT, GAP, TELEMETRY] {
        all.extend(spool.peek(lane, None, 1_000).await.unwrap());
    }
    (all, spool.state().await.unwrap())
}

#[tokio::test]
async fn r10_rotation_keeps_records_state_numbers_and_accounts() {
    let dir = tempfile::tempdir().unwrap();
    let held = worked(dir.path()).await;
    let (spool, _) = open(dir.path());
    let before = spool.stats().await.unwrap();
    let inode = |path: &Path| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path.join("outbox/db")).unwrap().ino()
    };
    let old = inode(dir.path());
    assert!(spool.rotate().await.unwrap());
    assert_ne!(inode(dir.path()), old, "a fresh file");
    let after = spool.stats().await.unwrap();
    assert_eq!(after.streams, before.streams);
    assert_eq!((after.rotations, after.classes), (1, before.classes));
    assert_eq!(everything(&spool).await, held);
    // Numbers go on, receipts find their records, and the next start misses nothing.
    let seqs = spool
        .append(batch(vec![record(ALERT, "new")]))
        .await
        .unwrap();
    assert!(seqs[0] > held.0.iter().map(|entry| entry.seq).max().unwrap());
    spool.settle(vec![held.0[0].seq]).await.unwrap();
    assert!(spool.rotate().await.unwrap());
    assert_accounted(&spool).await;
    spool.close().await.unwrap();
    let (spool, recovery) = open(dir.path());
    assert!(recovery.is_clean(), "{recovery:?}");
    assert_eq!(recovery.held as usize, held.0.len());
    assert_accounted(&spool).await;
    spool.close().await.unwrap();
    for left_over in ["outbox.new", "outbox.next", "outbox.old", "quarantine"] {
        assert!(!dir.path().join(left_over).exists(), "{left_over}");
    }
    assert!(check(dir.path()).unwrap().is_sound());
}

#[tokio::test]
async fn r10_a_crash_at_any_step_loses_nothing() {
    type Crash = (&'static str, fn(&Path));
    let crashes: [Crash; 6] = [
        ("while copying", |root| {
            let new = root.join("outbox.new");
            home::copy_files(&root.join("outbox"), &new, false).unwrap();
            let db = fs::File::options().write(true).open(new.join("db"));
            db.unwrap().set_len(70_000).unwrap();
        }),
        ("after the copy", |root| copied(root, "outbox.new")),
        ("before the old one is moved", |root| {
            copied(root, "outbox.next")
        }),
        ("between the renames", |root| {
            copied(root, "outbox.next");
            fs::rename(root.join("outbox"), root.join("outbox.old")).unwrap();
        }),
        ("before the old one is deleted", |root| {
            copied(root, "outbox.next");
            fs::rename(root.join("outbox"), root.join("outbox.old")).unwrap();
            fs::rename(root.join("outbox.next"), root.join("outbox")).unwrap();
        }),
        ("while the old one is deleted", |root| {
            copied(root, "outbox.next");
            fs::rename(root.join("outbox"), root.join("outbox.old")).unwrap();
            fs::rename(root.join("outbox.next"), root.join("outbox")).unwrap();
            fs::remove_file(root.join("outbox.old/conf")).unwrap();
        }),
    ];
    for (when, crash) in crashes {
        let dir = tempfile::tempdir().unwrap();
        let held = worked(dir.path()).await;
        crash(dir.path());
        let report = check(dir.path()).unwrap();
        assert!(report.is_sound(), "{when}: {report}");
        let (spool, recovery) = open(dir.path());
        assert!(recovery.is_clean(), "{when}: {recovery:?}");
        assert_eq!(everything(&spool).await, held, "{when}");
        assert_accounted(&spool).await;
        assert!(spool.rotate().await.unwrap(), "{when}");
        assert_eq!(everything(&spool).await, held, "{when}");
        spool.close().await.unwrap();
        for left_over in ["outbox.new", "outbox.next", "outbox.old"] {
            assert!(!dir.path().join(left_over).exists(), "{when}: {left_over}");
        }
    }
}

/// The outbox, copied as a rotation does it.
fn copied(root: &Path, name: &str) {
    let from = SledEngine::open(&root.join("outbox")).unwrap();
    let mut into = SledEngine::open(&root.join(name)).unwrap();
    copy(&from, &mut into).unwrap();
    home::close((from, into));
}

#[tokio::test]
async fn r10_a_copy_that_holds_less_does_not_take_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let held = worked(dir.path()).await;
    let plan = home::Plan {
        station: "st-1".into(),
        quota: Quota::of(1 << 30),
        uplinks: uplinks(),
    };
    let mut home = home::Home::take(dir.path()).unwrap();
    let (mut store, _) = home.open(&plan, false).unwrap();
    store.commit().unwrap();
    // A record that is counted and cannot be copied.
    let key = lanes::record_key(0, held.0[0].seq);
    let mut behind = WriteBatch::default();
    behind.remove(&key);
    store.engine.write(&behind, Cut::AnyPrefix).unwrap();
    let Err(refused) = home.rotate(&plan, store, Duration::ZERO) else {
        panic!("replaced by less");
    };
    assert!(
        refused.to_string().contains("the old one stays"),
        "{refused}"
    );
    assert!(!dir.path().join("outbox.next").exists());
    // It opens as before, with what is there.
    let (store, recovery) = home.open(&plan, false).unwrap();
    assert_eq!(
        (recovery.lost, recovery.held as usize),
        (1, held.0.len() - 1)
    );
    home::close(store);
}

#[tokio::test]
async fn r10_rotation_gives_back_what_a_drained_database_took() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    for round in 0..60 {
        let records = (0..200).map(|at| {
            let mut record = record(TELEMETRY, &format!("{round}-{at}"));
            record.body.resize(3_000, b' ');
            record
        });
        spool.append(batch(records.collect())).await.unwrap();
    }
    loop {
        let entries = spool.peek(TELEMETRY, None, 1_000).await.unwrap();
        if entries.is_empty() {
            break;
        }
        let seqs = entries.iter().map(|entry| entry.seq).collect();
        spool.settle(seqs).await.unwrap();
    }
    let before = spool.stats().await.unwrap();
    assert!(spool.rotate().await.unwrap());
    let after = spool.stats().await.unwrap();
    eprintln!("{} bytes before, {} after", before.bytes, after.bytes);
    assert!(after.bytes < 8 << 20, "{}", after.bytes);
    assert!(after.bytes * 2 < before.bytes, "{}", before.bytes);
    assert_accounted(&spool).await;
}

#[test]
fn r10_what_is_read_while_a_crash_waits_to_be_finished() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    assert_eq!(rotate::place(root), root.join("outbox"));
    fs::create_dir(root.join("outbox.next")).unwrap();
    assert_eq!(rotate::place(root), root.join("outbox.next"));
    fs::create_dir(root.join("outbox")).unwrap();
    assert_eq!(rotate::place(root), root.join("outbox"));
}
