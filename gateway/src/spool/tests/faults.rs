//! The engine fails at its n-th write or sync, for every n: no false answer, and work goes on
//! when the cause is gone.

use std::{collections::BTreeSet, sync::Mutex};

use jiff::Timestamp;

use super::super::{command::Keeper, home::Rotated, mark::Counters, quota::Disk, store::Store};
use super::{engines::MemDisk, *};

/// Opens the memory engine; remembers what it was asked.
#[derive(Clone, Default)]
struct MemKeeper {
    disk: MemDisk,
    rewrites: Arc<Mutex<Vec<bool>>>,
}

impl Keeper for MemKeeper {
    fn open(&mut self, rewrite: bool) -> Result<(Store, Recovery), SpoolError> {
        self.rewrites.lock().unwrap().push(rewrite);
        let engine = Box::new(self.disk.engine());
        let now = Timestamp::UNIX_EPOCH;
        let quota = Quota::of(1 << 30);
        let loaded = Store::load(engine, "st-1".into(), quota, &uplinks(), None, now);
        let (mut store, recovery) = loaded.unwrap();
        // Proves that the engine can write again, as opening sled does.
        store.commit()?;
        Ok((store, recovery))
    }
    fn note(&mut self, _: Counters) -> Result<(), SpoolError> {
        Ok(())
    }
    fn sync_mark(&mut self) -> Result<(), SpoolError> {
        Ok(())
    }
    fn disk(&mut self) -> Disk {
        Disk::Roomy
    }
    fn rotate(&mut self, store: Store, _: Duration) -> Result<Rotated, SpoolError> {
        Ok(Rotated::NoRoom(Box::new(store)))
    }
}

fn start(keeper: &MemKeeper) -> (tempfile::TempDir, Spool) {
    let dir = tempfile::tempdir().unwrap();
    let evidence = evidence::EvidenceStore::open(&evidence_dir(dir.path())).unwrap();
    let storage = storage(dir.path());
    let (spool, _) = Spool::start(Box::new(keeper.clone()), Arc::new(evidence), &storage).unwrap();
    (dir, spool)
}

#[tokio::test]
async fn r01_no_answer_is_given_before_the_sync_whatever_fails() {
    let mut failed_somewhere = 0;
    for n in 1.. {
        let keeper = MemKeeper::default();
        let (_dir, spool) = start(&keeper);
        keeper.disk.fail_in(n);
        let mut answered = BTreeSet::new();
        let mut settled = BTreeSet::new();
        for at in 0..6u32 {
            let id = format!("a{at}");
            if spool.append(batch(vec![record(ALERT, &id)])).await.is_ok() {
                answered.insert(id);
            }
            if at == 3
                && let Ok(entries) = spool.peek(ALERT, None, 1).await
                && let Some(entry) = entries.first()
                && spool.settle(vec![entry.seq]).await.is_ok()
            {
                settled.insert(entry.record.id.clone());
            }
        }
        let failed = answered.len() < 6;
        failed_somewhere += u32::from(failed);
        let done = !failed && keeper.disk.operations() < n;
        if failed {
            let stats = spool.stats().await.unwrap();
            assert_eq!(stats.refusing.as_deref(), Some("injected"));
            let refused = spool.peek(ALERT, None, 1).await.unwrap_err();
            assert_eq!(refused.to_string(), "the spool refuses: injected");
        }
        drop(spool);
        keeper.disk.cut_power(0.5);
        keeper.disk.repair();
        let (_dir, spool) = start(&keeper);
        let entries = spool.peek(ALERT, None, 100).await.unwrap();
        let found: BTreeSet<_> = ids(&entries).into_iter().map(str::to_owned).collect();
        let missing: Vec<_> = answered
            .difference(&found)
            .filter(|id| !settled.contains(*id))
            .collect();
        assert!(missing.is_empty(), "n = {n}: {missing:?} answered and gone");
        assert_accounted(&spool).await;
        if done {
            break;
        }
    }
    assert!(failed_somewhere > 6, "{failed_somewhere}");
}

#[tokio::test]
async fn the_spool_opens_again_when_the_cause_is_gone_and_the_books_still_balance() {
    let keeper = MemKeeper::default();
    let (_dir, spool) = start(&keeper);
    for at in 0..4 {
        let alert = batch(vec![record(ALERT, &at.to_string())]);
        spool.append(alert).await.unwrap();
    }
    spool.settle(vec![1]).await.unwrap();
    spool.discard(vec![2], "poison").await.unwrap();
    // The write goes through, its sync fails.
    keeper.disk.fail_in(2);
    let error = spool
        .append(batch(vec![record(ALERT, "late")]))
        .await
        .unwrap_err();
    assert_eq!(error, SpoolError::Refusing("injected".into()));
    keeper.disk.repair();
    while spool.stats().await.unwrap().refusing.is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // After a failed sync what can be read may not be on disk.
    assert_eq!(keeper.rewrites.lock().unwrap().last(), Some(&true));
    spool
        .append(batch(vec![record(ALERT, "after")]))
        .await
        .unwrap();
    assert_accounted(&spool).await;
    let stats = spool.stats().await.unwrap();
    let account = stats.streams["alerts"];
    // "late" was written, so it is held although its sender was told otherwise.
    let entries = spool.peek(ALERT, None, 9).await.unwrap();
    assert_eq!(ids(&entries), ["2", "3", "late", "after"]);
    assert_eq!((account.accepted, account.receipted), (6, 1));
    assert_eq!((account.dropped, account.held), (1, 4));
}

#[tokio::test]
async fn a_receipt_that_was_taken_outlives_an_outage() {
    for n in 1..=4 {
        let keeper = MemKeeper::default();
        let (_dir, spool) = start(&keeper);
        let alert = |id| batch(vec![record(ALERT, id)]);
        spool.append(alert("a")).await.unwrap();
        spool.settle(vec![1]).await.unwrap();
        // The outage comes before the receipt's removal, or before that is synced.
        keeper.disk.fail_in(n);
        while spool.append(alert("b")).await.is_ok() {}
        // Unsynced writes are gone, as when sled closes on a full disk.
        keeper.disk.cut_power(0.0);
        keeper.disk.repair();
        while spool.stats().await.unwrap().refusing.is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        spool.append(alert("c")).await.unwrap();
        // Whoever settled it has forgotten it, so nobody would settle it again.
        let entries = spool.peek(ALERT, None, 100).await.unwrap();
        assert!(
            !ids(&entries).contains(&"a"),
            "n = {n}: {:?}",
            ids(&entries)
        );
    }
}
