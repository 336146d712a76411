//! R5 and C6: telemetry is thinned, then refused; alerts are taken to the last byte and never dropped.

use super::*;

const QUOTA: u64 = 200_000;

fn small(path: &Path) -> Spool {
    let mut storage = storage(path);
    storage.quota = QUOTA;
    Spool::open(&storage, "st-1", &uplinks()).unwrap().0
}

fn kilobyte(lane: Lane, at: usize) -> Record {
    let mut record = record(lane, &format!("r{at}"));
    record.body.resize(1_000, b' ');
    record
}

#[tokio::test]
async fn r5_telemetry_is_thinned_oldest_first_with_a_gap_record() {
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
    let stats = spool.stats().await.unwrap();
    assert_balanced(&stats);
    assert_eq!(stats.streams["bins"].accepted, 400);
    assert_eq!(stats.streams["bins"].dropped, gap.count);
}

#[tokio::test]
async fn r5_above_the_watermark_only_alerts_are_taken_and_none_is_dropped() {
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
    let picture = vec![7; QUOTA as usize * 9 / 10];
    let taken = jiff::Timestamp::UNIX_EPOCH;
    let evidence = spool
        .evidence()
        .put(&picture, "image/jpeg", "scene", taken)
        .unwrap();
    let refused = spool.append(batch(vec![kilobyte(TELEMETRY, 1)])).await;
    assert!(matches!(refused, Err(SpoolError::Full(_))));
    let mut alert = kilobyte(ALERT, 1);
    alert.evidence = vec![evidence];
    spool.append(batch(vec![alert])).await.unwrap();
    let stats = spool.stats().await.unwrap();
    assert!(stats.used > picture.len() as u64 && stats.bytes > picture.len() as u64);
}
