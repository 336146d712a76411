//! R1 to R9 through the handle, on sled.

use super::*;
use std::fs;

fn picture(spool: &Spool, bytes: &[u8]) -> EvidenceRef {
    spool
        .evidence()
        .put(bytes, "image/jpeg", "scene", jiff::Timestamp::UNIX_EPOCH)
        .unwrap()
}

#[tokio::test]
async fn r01_what_was_answered_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, recovery) = open(dir.path());
    assert!(recovery.is_clean() && recovery.held == 0);
    let mut appended = spool.appended();
    let alerts = batch(vec![
        record(ALERT, "a"),
        record(TELEMETRY, "t"),
        record(ALERT, "b"),
    ]);
    assert_eq!(spool.append(alerts).await.unwrap(), [1, 2, 3]);
    assert_eq!(*appended.borrow_and_update(), 3);
    // Not closed: dropping the last handle is enough, and so would a kill be.
    drop(spool);
    let (spool, recovery) = reopen(dir.path()).await;
    assert_eq!((recovery.held, recovery.is_clean()), (3, true));
    let entries = spool.peek(ALERT, None, 10).await.unwrap();
    assert_eq!(ids(&entries), ["a", "b"]);
    assert_eq!(entries[1].record, record(ALERT, "b"));
    assert_eq!(*spool.appended().borrow(), 3);
}

/// The thread of a dropped handle needs a moment to let go of the lock.
async fn reopen(path: &Path) -> (Spool, Recovery) {
    loop {
        match Spool::open(&storage(path), "st-1", &uplinks()) {
            Err(SpoolError::Held { .. }) => tokio::task::yield_now().await,
            opened => return opened.unwrap(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_many_appends_share_a_sync() {
    let dir = tempfile::tempdir().unwrap();
    let mut slow = storage(dir.path());
    slow.commit_interval = Duration::from_millis(5);
    let (spool, _) = Spool::open(&slow, "st-1", &uplinks()).unwrap();
    let before = spool.stats().await.unwrap().syncs;
    let work = (0..400).map(|at| {
        let spool = spool.clone();
        tokio::spawn(async move {
            let alert = batch(vec![record(ALERT, &at.to_string())]);
            spool.append(alert).await.unwrap()[0]
        })
    });
    let mut seqs = Vec::new();
    for task in work.collect::<Vec<_>>() {
        seqs.push(task.await.unwrap());
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=400).collect::<Vec<_>>());
    let stats = spool.stats().await.unwrap();
    assert!(stats.syncs - before < 100, "{} syncs", stats.syncs - before);
    assert_eq!(stats.streams["alerts"].held, 400);
}

#[tokio::test]
async fn r03_a_body_over_the_limit_is_refused_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let sized = |size: usize| {
        let mut alert = record(ALERT, "sized");
        alert.body = vec![b'x'; size];
        batch(vec![record(ALERT, "with it"), alert])
    };
    spool.append(sized(MAX_BODY)).await.unwrap();
    for size in [MAX_BODY + 1, MAX_BODY * 10] {
        let error = spool.append(sized(size)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the body of \"sized\" is {size} bytes, the limit is 3584; send less per message"
            )
        );
    }
    // Nothing of a refused batch was taken.
    assert_eq!(spool.peek(ALERT, None, 10).await.unwrap().len(), 2);
    let state = |key: usize, value: usize| Batch {
        records: Vec::new(),
        state: vec![(vec![b'k'; key], Some(vec![b'v'; value]))],
    };
    spool.append(state(MAX_STATE_KEY, MAX_VALUE)).await.unwrap();
    for bad in [
        state(MAX_STATE_KEY + 1, 1),
        state(MAX_STATE_KEY * 10, 1),
        state(1, MAX_VALUE + 1),
        state(1, MAX_VALUE * 10),
    ] {
        let error = spool.append(bad).await.unwrap_err();
        assert!(matches!(error, SpoolError::TooLarge { .. }), "{error}");
    }
    let other = Lane { uplink: 1, ..ALERT };
    let error = spool.append(batch(vec![record(other, "x")])).await;
    assert_eq!(error.unwrap_err(), SpoolError::NoUplink(1));
}

#[tokio::test]
async fn r04_a_record_may_only_name_pictures_that_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let mut alert = record(ALERT, "a");
    alert.evidence = vec![picture(&spool, b"jpeg")];
    spool.append(batch(vec![alert.clone()])).await.unwrap();
    let mut without = record(ALERT, "b");
    without.evidence = alert.evidence.clone();
    without.evidence[0].sha256 = "00".repeat(32);
    let error = spool.append(batch(vec![without])).await.unwrap_err();
    assert_eq!(error, SpoolError::NoEvidence("00".repeat(32)));
    let entries = spool.peek(ALERT, None, 10).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].record, alert);
}

#[tokio::test]
async fn r04_missing_pictures_are_counted_and_old_dates_delete_nothing_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let evidence = spool.evidence();
    let [named, gone, orphan] = [&b"named"[..], b"gone", b"orphan"].map(|p| picture(&spool, p));
    let mut alert = record(ALERT, "a");
    alert.evidence = vec![named.clone(), gone.clone()];
    spool.append(batch(vec![alert])).await.unwrap();
    spool.close().await.unwrap();
    let old = std::time::SystemTime::now() - Duration::from_secs(86_400);
    for picture in [&named, &gone, &orphan] {
        let path = evidence.path(&picture.sha256);
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(old).unwrap();
    }
    fs::remove_file(evidence.path(&gone.sha256)).unwrap();
    let (spool, recovery) = open(dir.path());
    assert_eq!((recovery.evidence_missing, recovery.evidence_swept), (1, 0));
    assert!(!recovery.is_clean());
    assert!(evidence.holds(&named.sha256) && evidence.holds(&orphan.sha256));

    // The receipt starts the retention; the next start finds the picture young.
    spool.settle(vec![1]).await.unwrap();
    spool.close().await.unwrap();
    let (spool, recovery) = open(dir.path());
    assert_eq!((recovery.held, recovery.evidence_swept), (0, 0));
    assert!(spool.evidence().holds(&named.sha256));
}

#[tokio::test]
async fn r06_numbers_are_never_given_twice() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3u64 {
        let (spool, recovery) = open(dir.path());
        assert_eq!(recovery.held, 0);
        let seqs = spool
            .append(batch(vec![record(ALERT, "a"), record(TELEMETRY, "t")]))
            .await;
        assert_eq!(seqs.unwrap(), [round * 2 + 1, round * 2 + 2]);
        spool
            .settle(vec![round * 2 + 1, round * 2 + 2])
            .await
            .unwrap();
        spool.close().await.unwrap();
    }
}

#[tokio::test]
async fn r08_a_record_leaves_only_with_its_receipt() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let alerts = (0..5).map(|at| record(ALERT, &format!("a{at}"))).collect();
    spool.append(batch(alerts)).await.unwrap();
    for _ in 0..2 {
        let entries = spool.peek(ALERT, None, 2).await.unwrap();
        assert_eq!(ids(&entries), ["a0", "a1"]);
        let more = spool.peek(ALERT, Some(entries[1].seq), 9).await.unwrap();
        assert_eq!(ids(&more), ["a2", "a3", "a4"]);
    }
    // Out of order, twice, and for nothing.
    spool.settle(vec![3]).await.unwrap();
    spool.settle(vec![1, 3, 99]).await.unwrap();
    let entries = spool.peek(ALERT, None, 9).await.unwrap();
    assert_eq!(ids(&entries), ["a1", "a3", "a4"]);
    let stats = spool.stats().await.unwrap();
    let account = stats.streams["alerts"];
    assert_eq!(
        (account.accepted, account.receipted, account.held),
        (5, 2, 3)
    );
    assert_balanced(&stats);
    spool.close().await.unwrap();
    let (spool, recovery) = open(dir.path());
    assert_eq!(recovery.held, 3);
    assert_eq!(spool.peek(ALERT, None, 9).await.unwrap(), entries);
    let account = spool.stats().await.unwrap().streams["alerts"];
    assert_eq!(
        (account.accepted, account.receipted, account.held),
        (3, 0, 3)
    );
}

#[tokio::test]
async fn r08_receipts_become_durable_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    spool.append(batch(vec![record(ALERT, "a")])).await.unwrap();
    let before = spool.stats().await.unwrap().syncs;
    spool.settle(vec![1]).await.unwrap();
    while spool.stats().await.unwrap().syncs == before {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn r09_what_is_discarded_becomes_a_gap_record() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let mut readings = record(TELEMETRY, "t");
    readings.count = 30;
    let mut records = vec![record(ALERT, "a"), record(ALERT, "b"), record(ALERT, "c")];
    records.push(readings);
    spool.append(batch(records)).await.unwrap();
    spool.discard(vec![2, 2], "poison").await.unwrap();
    // Adjacent, for the same reason: one record that grows, until somebody has read it.
    spool.discard(vec![3, 77], "poison").await.unwrap();
    spool.discard(vec![4], "poison").await.unwrap();
    let gaps = spool.peek(GAP, None, 10).await.unwrap();
    assert_eq!(gaps.len(), 2);
    let gap = gap_of(&gaps[0]);
    assert_eq!(
        (gap.class.as_str(), gap.stream.as_str()),
        ("alert", "alerts")
    );
    assert_eq!((gap.count, gap.first_seq, gap.last_seq), (2, 2, 3));
    assert_eq!(gap.reason, "poison");
    let gap = gap_of(&gaps[1]);
    assert_eq!(
        (gap.class.as_str(), gap.stream.as_str()),
        ("telemetry", "bins")
    );
    assert_eq!((gap.count, gap.first_seq, gap.last_seq), (30, 4, 4));

    // They were read, so their bytes stay as they are (C3).
    spool.discard(vec![1], "poison").await.unwrap();
    let more = spool.peek(GAP, None, 10).await.unwrap();
    assert_eq!(more.len(), 3);
    assert_eq!(more[..2], gaps[..]);
    let stats = spool.stats().await.unwrap();
    assert_balanced(&stats);
    assert_eq!(
        (
            stats.streams["alerts"].dropped,
            stats.streams["bins"].dropped
        ),
        (3, 30)
    );
    assert_eq!(stats.streams[GAP_STREAM].held, 3);
    // A gap record that the receiver will not take does not breed another one.
    spool
        .discard(more.iter().map(|entry| entry.seq).collect(), "poison")
        .await
        .unwrap();
    assert!(spool.peek(GAP, None, 10).await.unwrap().is_empty());
    assert_balanced(&spool.stats().await.unwrap());
}

#[tokio::test]
async fn r09_records_with_something_between_them_are_not_one_gap() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let alerts = (0..3).map(|at| record(ALERT, &at.to_string())).collect();
    spool.append(batch(alerts)).await.unwrap();
    spool.discard(vec![1, 3], "poison").await.unwrap();
    let gaps = spool.peek(GAP, None, 10).await.unwrap();
    let ranges: Vec<_> = gaps.iter().map(|gap| gap_of(gap).first_seq).collect();
    assert_eq!(ranges, [1, 3]);
}

#[tokio::test]
async fn state_survives_and_goes_with_its_batch() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let entry = |key: &str, value: Option<&str>| (key.into(), value.map(Into::into));
    let work = Batch {
        records: vec![record(ALERT, "a")],
        state: vec![entry("open/b", Some("2")), entry("open/a", Some("1"))],
    };
    spool.append(work).await.unwrap();
    let work = Batch {
        records: Vec::new(),
        state: vec![entry("open/b", None), entry("open/c", Some(""))],
    };
    spool.append(work).await.unwrap();
    spool.close().await.unwrap();
    let (spool, _) = open(dir.path());
    let state = spool.state().await.unwrap();
    assert_eq!(
        state,
        [("open/a".into(), "1".into()), ("open/c".into(), "".into())]
    );
}

#[tokio::test]
async fn uplinks_are_known_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let open = |uplinks: &[&str]| {
        let uplinks: Vec<Arc<str>> = uplinks.iter().map(|name| (*name).into()).collect();
        Spool::open(&storage(dir.path()), "st-1", &uplinks).unwrap()
    };
    let second = Lane { uplink: 1, ..ALERT };
    let (spool, _) = open(&["a", "b"]);
    spool
        .append(batch(vec![record(ALERT, "for a"), record(second, "for b")]))
        .await
        .unwrap();
    spool.close().await.unwrap();
    let (spool, recovery) = open(&["b", "c"]);
    assert_eq!(recovery.strangers, [("a".to_owned(), 1)]);
    assert_eq!(ids(&spool.peek(ALERT, None, 9).await.unwrap()), ["for b"]);
    assert!(spool.peek(second, None, 9).await.unwrap().is_empty());
    spool.close().await.unwrap();
    let (spool, _) = open(&["c", "a"]);
    assert_eq!(ids(&spool.peek(second, None, 9).await.unwrap()), ["for a"]);
}
