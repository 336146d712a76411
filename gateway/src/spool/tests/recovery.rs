//! R7, R11 and R13: damaged files. Each start succeeds, counts what is missing and says so.

use std::fs;

use super::super::lanes::record_key;
use super::*;

async fn filled(path: &Path, records: usize) {
    let (spool, _) = open(path);
    for chunk in (0..records).collect::<Vec<_>>().chunks(50) {
        let alerts = chunk.iter().map(|at| {
            let mut alert = record(ALERT, &format!("a{at}"));
            alert.body.resize(800, b' ');
            alert
        });
        spool.append(batch(alerts.collect())).await.unwrap();
    }
    spool.close().await.unwrap();
}

async fn lost_gaps(spool: &Spool) -> u64 {
    let gaps = spool.peek(GAP, None, 100).await.unwrap();
    let lost = gaps.iter().map(gap_of).filter(|gap| gap.reason == "lost");
    lost.map(|gap| gap.count).sum()
}

/// Whatever was broken: it starts, what it lost is counted and spooled, and it works.
async fn starts_with(path: &Path, total: u64) -> Recovery {
    let (spool, recovery) = open(path);
    let alerts = spool.peek(ALERT, None, 1_000).await.unwrap();
    let held = alerts.len() as u64;
    assert_eq!(
        held + recovery.lost + recovery.unreadable,
        total,
        "{recovery:?}"
    );
    assert_eq!(lost_gaps(&spool).await, recovery.lost);
    for entry in &alerts {
        assert_eq!(entry.record.body.len(), 800);
    }
    assert_accounted(&spool).await;
    let seqs = spool
        .append(batch(vec![record(ALERT, "new")]))
        .await
        .unwrap();
    assert!(seqs[0] > total, "numbers go on after what is lost");
    spool.close().await.unwrap();
    // And the next start is an ordinary one.
    let (spool, again) = open(path);
    assert!(again.is_clean(), "{again:?}");
    spool.close().await.unwrap();
    recovery
}

#[tokio::test]
async fn r07_a_bad_record_is_skipped_counted_and_becomes_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 5).await;
    let mut engine = SledEngine::open(&dir.path().join("outbox")).unwrap();
    let mut damage = WriteBatch::default();
    for seq in [2, 3, 5] {
        let key = record_key(0, seq);
        let mut frame = engine.get(&key).unwrap().unwrap();
        frame[100] ^= 1;
        damage.put(&key, &frame).unwrap();
    }
    engine.write(&damage, Cut::AnyPrefix).unwrap();
    engine.sync().unwrap();
    drop(engine);
    let report = check(dir.path()).unwrap();
    assert_eq!(report.lanes[0].unreadable, 3);
    assert!(!report.is_sound() && report.to_string().contains("UNREADABLE: 3"));

    let (spool, recovery) = open(dir.path());
    assert_eq!(
        (recovery.unreadable, recovery.held, recovery.lost),
        (3, 2, 0)
    );
    assert_eq!(
        ids(&spool.peek(ALERT, None, 9).await.unwrap()),
        ["a0", "a3"]
    );
    let gaps = spool.peek(GAP, None, 9).await.unwrap();
    let gaps: Vec<_> = gaps.iter().map(gap_of).collect();
    assert_eq!(gaps.len(), 2);
    assert!(
        gaps.iter()
            .all(|gap| gap.reason == "unreadable" && gap.class == "alert")
    );
    assert_eq!(
        (gaps[0].first_seq, gaps[0].last_seq, gaps[0].count),
        (2, 3, 2)
    );
    assert_eq!((gaps[1].first_seq, gaps[1].count), (5, 1));
    assert_accounted(&spool).await;
}

#[tokio::test]
async fn r11_a_truncated_snapshot_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // sled writes its snapshot when it opens.
    filled(dir.path(), 199).await;
    filled(dir.path(), 1).await;
    let mut cut = 0;
    for entry in fs::read_dir(dir.path().join("outbox")).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            let file = fs::File::options().write(true).open(entry.path()).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
            cut += 1;
        }
    }
    assert!(cut > 0, "sled wrote no snapshot");
    let recovery = starts_with(dir.path(), 200).await;
    assert_eq!((recovery.lost, recovery.rung), (0, Rung::WithoutSnapshot));
    assert!(recovery.quarantined.unwrap().join("db").exists());
}

#[tokio::test]
async fn r11_every_kind_of_broken_database_starts() {
    type Damage = (&'static str, fn(&Path));
    let damages: [Damage; 6] = [
        ("half the database is cut off", |outbox| {
            let file = fs::File::options()
                .write(true)
                .open(outbox.join("db"))
                .unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        }),
        ("the database is zeros", |outbox| {
            let len = fs::metadata(outbox.join("db")).unwrap().len();
            fs::write(outbox.join("db"), vec![0; len as usize]).unwrap();
        }),
        ("the database is noise", |outbox| {
            let len = fs::metadata(outbox.join("db")).unwrap().len() as u32;
            let noise: Vec<u8> = (0..len)
                .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
                .collect();
            fs::write(outbox.join("db"), noise).unwrap();
        }),
        ("a stretch in the middle is noise", |outbox| {
            let mut db = fs::read(outbox.join("db")).unwrap();
            let middle = db.len() / 4;
            for byte in &mut db[middle..middle + 5_000] {
                *byte ^= 0x5a;
            }
            fs::write(outbox.join("db"), db).unwrap();
        }),
        ("the configuration is noise", |outbox| {
            fs::write(outbox.join("conf"), b"noise").unwrap();
        }),
        ("the files are gone", |outbox| {
            fs::remove_dir_all(outbox).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path(), 600).await;
        damage(&dir.path().join("outbox"));
        // The noise may have hit a part of the log that is no longer used.
        let sound = match check(dir.path()) {
            Ok(report) => report.is_sound(),
            Err(error) => {
                assert!(matches!(error, SpoolError::Missing(_)), "{what}: {error}");
                false
            }
        };
        let recovery = starts_with(dir.path(), 600).await;
        assert_eq!(
            sound,
            recovery.lost == 0,
            "{what}: the check said otherwise"
        );
        eprintln!("{what}: {:?}, lost {}", recovery.rung, recovery.lost);
    }
}

#[tokio::test]
async fn r13_an_empty_database_is_noticed_by_the_mark() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 20).await;
    let (spool, _) = open(dir.path());
    spool.settle((1..=5).collect()).await.unwrap();
    spool.close().await.unwrap();
    fs::remove_dir_all(dir.path().join("outbox")).unwrap();
    let (spool, recovery) = open(dir.path());
    assert_eq!((recovery.held, recovery.lost), (0, 15));
    let gaps = spool.peek(GAP, None, 9).await.unwrap();
    let gap = gap_of(&gaps[0]);
    assert_eq!(
        (gap.class.as_str(), gap.count, gap.last_seq),
        ("unknown", 15, 20)
    );
    let stats = spool.stats().await.unwrap();
    assert_eq!(stats.streams[UNKNOWN_STREAM].dropped, 15);
    assert_accounted(&spool).await;
}

#[tokio::test]
async fn r13_an_older_copy_of_the_database_is_noticed_by_the_mark() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 10).await;
    let old = dir.path().join("old");
    fs::create_dir(&old).unwrap();
    for name in ["db", "conf"] {
        fs::copy(dir.path().join("outbox").join(name), old.join(name)).unwrap();
    }
    filled(dir.path(), 4).await;
    fs::remove_dir_all(dir.path().join("outbox")).unwrap();
    fs::rename(&old, dir.path().join("outbox")).unwrap();
    let recovery = starts_with(dir.path(), 14).await;
    assert_eq!((recovery.held, recovery.lost), (10, 4));
}

#[tokio::test]
async fn f35_a_second_daemon_and_the_check_are_refused_with_the_pid() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    spool.append(batch(vec![record(ALERT, "a")])).await.unwrap();
    let pid = Some(std::process::id());
    let second = Spool::open(&storage(dir.path()), "st-1", &uplinks()).unwrap_err();
    assert_eq!(
        second,
        SpoolError::Held {
            path: dir.path().into(),
            pid
        }
    );
    assert!(second.to_string().contains(&std::process::id().to_string()));
    assert_eq!(check(dir.path()).unwrap_err(), second);
    spool.append(batch(vec![record(ALERT, "b")])).await.unwrap();
    spool.close().await.unwrap();
    assert!(check(dir.path()).unwrap().is_sound());
}

#[tokio::test]
async fn check_tells_what_is_there_and_what_is_wrong_with_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let missing = check(&dir.path().join("nothing")).unwrap_err();
    assert!(missing.to_string().ends_with("nothing holds no spool"));
    let (spool, _) = open(dir.path());
    let evidence = spool.evidence();
    let put = |bytes: &[u8]| {
        let taken = jiff::Timestamp::UNIX_EPOCH;
        evidence.put(bytes, "image/jpeg", "scene", taken).unwrap()
    };
    let mut alert = record(ALERT, "a");
    alert.evidence = vec![put(b"sound"), put(b"corrupt"), put(b"missing")];
    let mut telemetry = record(TELEMETRY, "t");
    telemetry.count = 30;
    put(b"orphan");
    spool
        .append(batch(vec![alert.clone(), telemetry]))
        .await
        .unwrap();
    spool.close().await.unwrap();
    fs::write(evidence.path(&alert.evidence[1].sha256), b"changed").unwrap();
    fs::remove_file(evidence.path(&alert.evidence[2].sha256)).unwrap();

    let report = check(dir.path()).unwrap();
    assert_eq!((report.pictures, report.unnamed), (3, 1));
    assert_eq!(report.corrupt, [alert.evidence[1].sha256.clone()]);
    assert_eq!(report.missing, [alert.evidence[2].sha256.clone()]);
    let lanes: Vec<_> = report
        .lanes
        .iter()
        .map(|lane| (lane.class, lane.records, lane.readings))
        .collect();
    assert_eq!(lanes, [("alert", 1, 1), ("telemetry", 1, 30)]);
    let text = report.to_string();
    assert!(
        text.contains("platform")
            && text.contains("MISSING picture")
            && text.ends_with("NOT SOUND"),
        "{text}"
    );
    // Looking changed nothing.
    assert_eq!(check(dir.path()).unwrap(), report);
}

#[tokio::test]
async fn a_newer_layout_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 1).await;
    let mut engine = SledEngine::open(&dir.path().join("outbox")).unwrap();
    let mut newer = WriteBatch::default();
    newer.put(store::LAYOUT, &[2]).unwrap();
    engine.write(&newer, Cut::AnyPrefix).unwrap();
    engine.sync().unwrap();
    drop(engine);
    let refused = Spool::open(&storage(dir.path()), "st-1", &uplinks()).unwrap_err();
    assert!(
        matches!(refused, SpoolError::Newer { found: 2, .. }),
        "{refused}"
    );
    assert!(!dir.path().join("quarantine").exists());
}

#[tokio::test]
async fn r01_after_a_failed_sync_every_byte_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 120).await;
    let plan = home::Plan {
        station: "st-1".into(),
        quota: Quota::of(1 << 30),
        uplinks: uplinks(),
    };
    let mut home = home::Home::take(dir.path()).unwrap();
    let (mut store, recovery) = home.open(&plan, true).unwrap();
    assert!(recovery.is_clean(), "{recovery:?}");
    assert_eq!(store.peek(ALERT, None, 1_000).unwrap().len(), 120);
    store.commit().unwrap();
    home::close(store);
    drop(home);
    let quarantine = fs::read_dir(dir.path().join("quarantine")).unwrap();
    assert_eq!(quarantine.count(), 1);
    let (_spool, recovery) = open(dir.path());
    assert_eq!((recovery.held, recovery.is_clean()), (120, true));
}
