//! Killed at any point.

use super::*;
use AlertState::{Cleared, Raised, Updated};

/// What a platform would keep of one alert.
#[derive(Default)]
struct Kept {
    revision: u32,
    open: bool,
    cleared: u32,
    reopened: u32,
}

#[derive(Clone, Debug)]
enum Act {
    Read(f64),
    Health(bool),
    Wait(u64),
    Restart,
    /// Killed after the message was made and before it was durable.
    Lost(f64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0.0..100.0_f64).prop_map(Act::Read),
        2 => any::<bool>().prop_map(Act::Health),
        3 => (1u64..600).prop_map(Act::Wait),
        1 => Just(Act::Restart),
        1 => (0.0..100.0_f64).prop_map(Act::Lost),
    ]
}

proptest! {
    /// Killed at any point: each alert is raised once, its id and its revisions go on without
    /// a gap, it is cleared once for each time it was open, no (device, rule) has two alerts
    /// open, and when all is well in the end all are cleared.
    #[test]
    fn alerts_stay_whole_over_restarts(acts in prop::collection::vec(act(), 1..120)) {
        let mut s = Station::bin(vec![
            full(Duration::ZERO),
            silent(5 * MINUTE),
            healthy(EventKind::DeviceQuarantined),
        ]);
        let health = |s: &Station, ok| {
            let value = match ok {
                true => Value::Health(Health::Ok),
                false => fault(EventKind::DeviceQuarantined, "garbage"),
            };
            observed("bin-3", value, s.now)
        };
        for act in acts {
            match act {
                Act::Read(value) => s.reads(Quantity::Fill, value),
                Act::Health(ok) => {
                    let o = health(&s, ok);
                    s.see(&o);
                }
                Act::Wait(seconds) => s.pass(Duration::from_secs(seconds)),
                Act::Restart => s = s.restart(SECOND),
                Act::Lost(value) => {
                    let o = measured("bin-3", Quantity::Fill, value, s.now);
                    s.caused(&o);
                    s = s.restart(SECOND);
                    // Nobody acknowledged the reading, so it comes again.
                    s.reads(Quantity::Fill, value);
                }
            }
        }
        s.reads(Quantity::Fill, 0.0);
        let o = health(&s, true);
        s.see(&o);
        s.pass(REOPEN);

        let mut alerts: BTreeMap<&str, Kept> = BTreeMap::new();
        let mut open: BTreeMap<&str, &str> = BTreeMap::new();
        for Message { data, .. } in &s.sent {
            let kept = alerts.entry(&data.alert_id).or_default();
            prop_assert_eq!(data.revision, kept.revision + 1);
            kept.revision += 1;
            match data.state {
                Raised => {
                    prop_assert_eq!(data.revision, 1);
                    prop_assert_eq!(open.insert(&data.rule, &data.alert_id), None);
                }
                Updated => {
                    if !kept.open {
                        kept.reopened += 1;
                        prop_assert_eq!(open.insert(&data.rule, &data.alert_id), None);
                    }
                }
                Cleared => {
                    prop_assert!(kept.open, "cleared twice");
                    kept.cleared += 1;
                    prop_assert_eq!(open.remove(&*data.rule), Some(&*data.alert_id));
                }
            }
            kept.open = data.state != Cleared;
        }
        // Only silence can still be open or not: someone was heard just now.
        prop_assert!(open.keys().all(|rule| *rule == "silent"), "{:?}", open);
        for kept in alerts.values() {
            prop_assert_eq!(kept.cleared + u32::from(kept.open), 1 + kept.reopened);
        }
    }
}
