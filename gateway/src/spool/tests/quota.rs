//! R5 and C6: telemetry is thinned, then refused; alerts are taken to the last byte and never dropped.

use super::*;

const QUOTA: u64 = 200_000;

fn small(path: &Path) -> Spool {
    let mut storage = storage(path);
    storage.quota = Quota::of(QUOTA);
    Spool::open(&storage, "st-1", &uplinks()).unwrap().0
}

fn kilobyte(lane: Lane, at: usize) -> Record {
    let mut record = record(lane, &format!("r{at}"));
    record.body.resize(1_000, b' ');
    record
}

#[tokio::test]
async fn r05_telemetry_is_thinned_oldest_first_with_a_gap_record() {
    let dir = tempfile::tempdir().unwrap();
    let spool = small(dir.path());
    for at in 0..400 {
        let work = batch(vec![kilobyte(TELEMETRY, at)]);
        spool.append(work).await.unwrap();
        let stats = spool.stats().await.unwrap();
        assert!(
            stats.used <= QUOTA * 85 / 100 + 1_000,
            "{} at {at}",
            stats.used
        );
    }
    let held = spool.peek(TELEMETRY, None, 1_000).await.unwrap();
    assert!(held.len() > 100, "{}", held.len());
    // The newest are there, without a hole.
    let expected: Vec<_> = (400 - held.len()..400).map(|at| format!("r{at}")).collect();
    assert_eq!(ids(&held), expected);
    let gaps = spool.peek(GAP, None, 100).await.unwrap();
    assert_eq!(gaps.len(), 1, "adjacent gaps are one record");
    let gap = gap_of(&gaps[0]);
    assert_eq!(gap.count as usize, 400 - held.len());
    assert_eq!(
        (gap.reason.as_str(), gap.stream.as_str()),
        ("quota", "bins")
    );
    assert_accounted(&spool).await;
    let stats = spool.stats().await.unwrap();
    assert_eq!(stats.streams["bins"].accepted, 400);
    assert_eq!(stats.streams["bins"].dropped, gap.count);
}

#[tokio::test]
async fn r05_above_the_watermark_only_alerts_are_taken_and_none_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let spool = small(dir.path());
    let mut alerts = 0;
    // Alerts push the telemetry out, then fill the reserve.
    spool
        .append(batch(vec![kilobyte(TELEMETRY, 9_999)]))
        .await
        .unwrap();
    let full = loop {
        match spool.append(batch(vec![kilobyte(ALERT, alerts)])).await {
            Ok(_) => alerts += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, SpoolError::Full(_)), "{full}");
    assert!(spool.stats().await.unwrap().used > QUOTA * 95 / 100);
    let refused = spool.append(batch(vec![kilobyte(TELEMETRY, 1)])).await;
    assert!(matches!(refused, Err(SpoolError::Full(_))));
    let held = spool.peek(ALERT, None, 1_000).await.unwrap();
    assert_eq!(held.len(), alerts);
    // Receipts make room again, first for alerts, later for telemetry.
    spool
        .settle(held[..20].iter().map(|entry| entry.seq).collect())
        .await
        .unwrap();
    spool
        .append(batch(vec![kilobyte(ALERT, alerts)]))
        .await
        .unwrap();
    let refused = spool.append(batch(vec![kilobyte(TELEMETRY, 2)])).await;
    assert!(matches!(refused, Err(SpoolError::Full(_))), "{refused:?}");
    // In one batch with an alert it does not hold the alert up, and is not lost silently.
    let both = batch(vec![kilobyte(TELEMETRY, 3), kilobyte(ALERT, alerts + 1)]);
    spool.append(both).await.unwrap();
    let stats = spool.stats().await.unwrap();
    assert_eq!(
        stats.streams["bins"].dropped,
        stats.streams["bins"].accepted
    );
    assert_balanced(&stats);
    spool
        .settle(held[20..].iter().map(|entry| entry.seq).collect())
        .await
        .unwrap();
    spool
        .append(batch(vec![kilobyte(TELEMETRY, 4)]))
        .await
        .unwrap();
    assert_eq!(ids(&spool.peek(TELEMETRY, None, 9).await.unwrap()), ["r4"]);
}

#[tokio::test]
async fn pictures_count_against_the_quota() {
    let dir = tempfile::tempdir().unwrap();
    let spool = small(dir.path());
    let picture = vec![7; QUOTA as usize * 6 / 10];
    let taken = jiff::Timestamp::UNIX_EPOCH;
    let evidence = spool
        .evidence()
        .put(&picture, "image/jpeg", "scene", taken)
        .unwrap();
    let mut alert = kilobyte(ALERT, 1);
    alert.evidence = vec![evidence];
    spool.append(batch(vec![alert])).await.unwrap();
    for at in 0..100 {
        // Thinned early, because the picture takes its part.
        spool
            .append(batch(vec![kilobyte(TELEMETRY, at)]))
            .await
            .unwrap();
    }
    let stats = spool.stats().await.unwrap();
    assert!(stats.used > picture.len() as u64 && stats.bytes > picture.len() as u64);
    assert!(stats.used <= stats.watermark, "{stats:?}");
    assert!(stats.classes["telemetry"].bytes < QUOTA / 4, "{stats:?}");
    assert_eq!(stats.classes["picture"].bytes, picture.len() as u64);
    assert_accounted(&spool).await;
}

#[tokio::test]
async fn r05_telemetry_has_a_quota_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = storage(dir.path());
    let quota = 50_000;
    storage.quota.telemetry = quota;
    let (spool, _) = Spool::open(&storage, "st-1", &uplinks()).unwrap();
    let mut most = 0;
    for at in 0..200 {
        spool
            .append(batch(vec![kilobyte(TELEMETRY, at)]))
            .await
            .unwrap();
        most = most.max(spool.stats().await.unwrap().classes["telemetry"].bytes);
    }
    assert!((quota * 9 / 10..=quota).contains(&most), "{most}");
    assert_accounted(&spool).await;
    // A batch that alone is larger becomes a gap, whatever else is there; what is there stays.
    let before = spool.peek(TELEMETRY, None, 1_000).await.unwrap();
    for size in [quota / 1_000 + 1, quota / 100] {
        let many = (0..size as usize).map(|at| kilobyte(TELEMETRY, 1_000 + at));
        spool.append(batch(many.collect())).await.unwrap();
        assert_eq!(spool.peek(TELEMETRY, None, 1_000).await.unwrap(), before);
    }
    let alert = batch(vec![kilobyte(ALERT, 1)]);
    spool.append(alert).await.unwrap();
    assert_accounted(&spool).await;
}

#[tokio::test]
async fn r05_pictures_have_a_quota_and_delivered_ones_make_room() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = storage(dir.path());
    storage.quota = Quota::of(1_000_000);
    storage.quota.pictures = 300_000;
    let (spool, _) = Spool::open(&storage, "st-1", &uplinks()).unwrap();
    let taken = jiff::Timestamp::UNIX_EPOCH;
    let put = |at: usize| {
        let picture = vec![at as u8; 30_000 - at];
        let store = spool.evidence();
        store.put(&picture, "image/jpeg", "scene", taken)
    };
    // Undelivered ones: no more than the quota, and the refusal says why.
    let mut held = 0;
    let refused = loop {
        match put(held) {
            Ok(picture) => {
                let mut alert = kilobyte(ALERT, held);
                alert.evidence = vec![picture];
                spool.append(batch(vec![alert])).await.unwrap();
                held += 1;
            }
            Err(error) => break error,
        }
    };
    assert_eq!(held, 10);
    assert!(refused.to_string().contains("picture_quota"), "{refused}");
    let stats = spool.stats().await.unwrap();
    assert_eq!(stats.classes["picture"].records, 10);
    // Their receipts make them go when new ones need the room, the oldest first.
    let first: Vec<_> = (1..=5).collect();
    let before = spool.peek(ALERT, None, 10).await.unwrap();
    spool.settle(first).await.unwrap();
    for at in 0..8 {
        // The first appends commit the receipts; what they free shows with the next one.
        let mut reading = kilobyte(TELEMETRY, at);
        reading.body.resize(10, b' ');
        spool.append(batch(vec![reading])).await.unwrap();
    }
    let store = spool.evidence();
    let is_there = |entry: &Entry| store.holds(&entry.record.evidence[0].sha256);
    let there: Vec<_> = before.iter().map(is_there).collect();
    assert!(
        there[5..].iter().all(|there| *there),
        "undelivered: {there:?}"
    );
    assert!(!there[0], "{there:?}");
    put(200).unwrap();
    let mut log = Vec::new();
    crate::audit::read(&crate::audit::audit_dir(dir.path()), |_, _, line| {
        log.push(line.to_owned());
    })
    .unwrap();
    assert!(
        log.iter().any(|line| line.contains("room was needed")),
        "{log:?}"
    );
    assert_accounted(&spool).await;
}
