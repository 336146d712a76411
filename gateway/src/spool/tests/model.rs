//! Random work on three engines against a model of a few lines (R12).

use jiff::Timestamp;
use proptest::prelude::*;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use super::super::{load::copy, quota::Disk, store::Store};
use super::{engines::*, *};

#[derive(Clone, Debug)]
enum Step {
    /// Alerts, telemetry records and readings in each, one batch.
    Append {
        alerts: u8,
        telemetry: u8,
        readings: u32,
    },
    /// The one at this share of all that is held.
    Settle(f64),
    /// A receipt, a discarded record, a batch with state, all written but not synced when the
    /// power goes; the last number is how much of it reaches the disk.
    Cut(f64, f64, u8, f64),
    Discard(f64),
    PutState(u8, u8),
    DropState(u8),
    Reopen,
    /// Into a fresh database (R10).
    Rotate,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3u8, 0..4u8, 1..40u32).prop_map(|(alerts, telemetry, readings)| Step::Append {
            alerts, telemetry, readings
        }),
        6 => (0.0..1.0).prop_map(Step::Settle),
        2 => (0.0..1.0, 0.0..2.0, 0..4u8, 0.0..=1.0)
            .prop_map(|(settle, discard, state, kept)| Step::Cut(settle, discard, state, kept)),
        2 => (0.0..1.0).prop_map(Step::Discard),
        1 => (0..4u8, any::<u8>()).prop_map(|(key, value)| Step::PutState(key, value)),
        1 => (0..4u8).prop_map(Step::DropState),
        1 => Just(Step::Reopen),
        1 => Just(Step::Rotate),
    ]
}

/// What must be true: everything accepted is held, receipted or in a gap record.
#[derive(Default)]
struct Model {
    held: BTreeMap<Seq, Record>,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Readings of `bins` and `alerts`, since the beginning.
    accepted: u64,
    receipted: u64,
    next_id: u64,
}

impl Model {
    fn pick(&self, share: f64) -> Option<Seq> {
        let at = (share * self.held.len() as f64) as usize;
        self.held.keys().nth(at).copied()
    }
}

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

fn load(engine: Box<dyn Engine>, quota: u64) -> Store {
    let quota = Quota::of(quota);
    let (mut store, recovery) =
        Store::load(engine, "st-1".into(), quota, &uplinks(), None, now()).unwrap();
    assert_eq!((recovery.lost, recovery.unreadable), (0, 0));
    store.commit().unwrap();
    store
}

fn all(store: &mut Store, lane: Lane) -> Vec<Entry> {
    // In small bites, to exercise `after`.
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let after = entries.last().map(|entry| entry.seq);
        let more = store.peek(lane, after, 3).unwrap();
        if more.is_empty() {
            return entries;
        }
        entries.extend(more);
    }
}

/// Runs the steps; `cut` makes what was not synced vanish (or does nothing), `renew` copies an
/// engine into a fresh one, which `open` opens from then on.
fn run(
    steps: &[Step],
    quota: u64,
    open: &dyn Fn() -> Box<dyn Engine>,
    cut: &dyn Fn(f64),
    renew: &dyn Fn(&dyn Engine),
) -> Result<(), TestCaseError> {
    let mut store = load(open(), quota);
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append {
                alerts,
                telemetry,
                readings,
            } => {
                let mut records = Vec::new();
                for at in 0..alerts + telemetry {
                    model.next_id += 1;
                    let lane = if at < *alerts { ALERT } else { TELEMETRY };
                    let mut record = record(lane, &format!("e{}", model.next_id));
                    record.count = if at < *alerts { 1 } else { *readings };
                    record.body.resize(700, b' ');
                    records.push(record);
                }
                let work = batch(records);
                match store.stage(&work, Disk::Roomy, 0, now()) {
                    Ok(seqs) => {
                        for (seq, record) in seqs.iter().zip(work.records) {
                            model.accepted += u64::from(record.count);
                            model.held.insert(*seq, record);
                        }
                    }
                    Err(SpoolError::Full(_)) => {}
                    Err(error) => panic!("{error}"),
                }
                store.commit().unwrap();
            }
            Step::Settle(share) => {
                if let Some(seq) = model.pick(*share) {
                    // A repeated receipt and one for nothing change nothing.
                    store.settle(vec![seq, seq, u64::MAX]);
                    store.commit().unwrap();
                    let record = model.held.remove(&seq).unwrap();
                    model.receipted += u64::from(record.count);
                }
            }
            Step::Cut(settle, discard, key, kept) => {
                let settled = model.pick(*settle);
                let discarded = model.pick(*discard).filter(|seq| Some(*seq) != settled);
                store.settle(settled.into_iter().collect());
                store.apply_receipts().unwrap();
                if let Some(seq) = discarded {
                    store.discard(vec![seq], "poison", now()).unwrap();
                }
                let records = vec![record(ALERT, "cut 1"), record(TELEMETRY, "cut 2")];
                let value = model.state.get(&vec![*key]).map_or(0, |value| value[0]);
                let changes = vec![(vec![*key], Some(vec![value.wrapping_add(1)]))];
                let work = Batch {
                    records,
                    state: changes,
                };
                let staged = store.stage(&work, Disk::Roomy, 0, now());
                store.write_staged().unwrap();
                drop(store);
                cut(*kept);
                // Which asserts that nothing looks lost.
                store = load(open(), quota);
                let mut found = all(&mut store, ALERT);
                found.extend(all(&mut store, TELEMETRY));
                let is_there = |seq: Seq| found.iter().any(|entry| entry.seq == seq);
                // A receipt may be forgotten; a drop is undone whole or not at all.
                for seq in [settled, discarded].into_iter().flatten() {
                    if !is_there(seq) {
                        let record = model.held.remove(&seq).unwrap();
                        if Some(seq) == settled {
                            model.receipted += u64::from(record.count);
                        }
                    }
                }
                if let Ok(seqs) = staged {
                    // The batch is there with its state, or neither is.
                    let state: BTreeMap<_, _> = store.state().unwrap().into_iter().collect();
                    let new = state.get(&vec![*key]) == Some(&vec![value.wrapping_add(1)]);
                    let is_new =
                        |entry: &&Entry| entry.seq == seqs[0] && entry.record.id == "cut 1";
                    let alert = found.iter().find(is_new);
                    prop_assert_eq!(alert.is_some(), new);
                    if new {
                        model.state.insert(vec![*key], vec![value.wrapping_add(1)]);
                        for (seq, record) in seqs.into_iter().zip(work.records) {
                            model.accepted += 1;
                            model.held.insert(seq, record);
                        }
                    }
                }
            }
            Step::Discard(share) => {
                if let Some(seq) = model.pick(*share) {
                    store.discard(vec![seq, seq], "poison", now()).unwrap();
                    store.commit().unwrap();
                    model.held.remove(&seq).unwrap();
                }
            }
            Step::PutState(key, value) => {
                let state = vec![(vec![*key], Some(vec![*value]))];
                let work = Batch {
                    records: vec![],
                    state,
                };
                store.stage(&work, Disk::Roomy, 0, now()).unwrap();
                store.commit().unwrap();
                model.state.insert(vec![*key], vec![*value]);
            }
            Step::DropState(key) => {
                let state = vec![(vec![*key], None)];
                let work = Batch {
                    records: vec![],
                    state,
                };
                store.stage(&work, Disk::Roomy, 0, now()).unwrap();
                store.commit().unwrap();
                model.state.remove(&vec![*key]);
            }
            Step::Reopen => {
                drop(store);
                cut(0.0);
                store = load(open(), quota);
            }
            Step::Rotate => {
                let counters = store.counters();
                renew(store.engine());
                drop(store);
                store = load(open(), quota);
                prop_assert_eq!(store.counters(), counters);
            }
        }
        let telemetry = all(&mut store, TELEMETRY);
        let gaps = all(&mut store, GAP);
        // What the quota dropped is for the gap records to tell; alerts it never touches.
        model.held.retain(|seq, record| {
            record.lane.class == Class::Alert || telemetry.iter().any(|entry| entry.seq == *seq)
        });
        let mut found = telemetry;
        found.extend(all(&mut store, ALERT));
        found.sort_by_key(|entry| entry.seq);
        let found: BTreeMap<_, _> = found.into_iter().map(|e| (e.seq, e.record)).collect();
        prop_assert_eq!(&found, &model.held);
        let state: BTreeMap<_, _> = store.state().unwrap().into_iter().collect();
        prop_assert_eq!(&state, &model.state);

        let held: u64 = model
            .held
            .values()
            .map(|record| u64::from(record.count))
            .sum();
        let gapped: u64 = gaps.iter().map(|entry| gap_of(entry).count).sum();
        prop_assert_eq!(model.accepted, held + model.receipted + gapped);
        let accounts = store.accounts();
        let account_held: u64 = ["alerts", "bins"]
            .iter()
            .filter_map(|stream| accounts.get(*stream))
            .map(|account| account.held)
            .sum();
        prop_assert_eq!(account_held, held);
        for account in accounts.values() {
            prop_assert_eq!(
                account.accepted,
                account.receipted + account.dropped + account.held
            );
        }
        let counters = store.counters();
        prop_assert_eq!(counters.last, counters.removed + store.live());
        let class_bytes: u64 = store.live_bytes();
        prop_assert!(class_bytes <= quota);
    }
    Ok(())
}

fn quotas() -> impl Strategy<Value = u64> {
    prop_oneof![Just(1 << 30), Just(40_000)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn r12_the_model_holds_on_memory(
        steps in proptest::collection::vec(step(), 1..80), quota in quotas(),
    ) {
        let disk = RefCell::new(MemDisk::default());
        let open = || -> Box<dyn Engine> { Box::new(disk.borrow().engine()) };
        let renew = |from: &dyn Engine| {
            let fresh = MemDisk::default();
            copy(from, &mut fresh.engine()).unwrap();
            disk.replace(fresh);
        };
        run(&steps, quota, &open, &|kept| disk.borrow().cut_power(kept), &renew)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn r12_the_model_holds_on_sled(
        steps in proptest::collection::vec(step(), 1..60), quota in quotas(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let count = Cell::new(0);
        let at = || dir.path().join(count.get().to_string());
        let open = || -> Box<dyn Engine> { Box::new(SledEngine::open(&at()).unwrap()) };
        let renew = |from: &dyn Engine| {
            count.set(count.get() + 1);
            copy(from, &mut SledEngine::open(&at()).unwrap()).unwrap();
        };
        run(&steps, quota, &open, &|_| {}, &renew)?;
    }

    #[test]
    fn r12_the_model_holds_on_redb(
        steps in proptest::collection::vec(step(), 1..60), quota in quotas(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let count = Cell::new(0);
        let at = || dir.path().join(count.get().to_string());
        let open = || -> Box<dyn Engine> { Box::new(RedbEngine::open(&at())) };
        let renew = |from: &dyn Engine| {
            count.set(count.get() + 1);
            copy(from, &mut RedbEngine::open(&at())).unwrap();
        };
        run(&steps, quota, &open, &|_| {}, &renew)?;
    }
}
