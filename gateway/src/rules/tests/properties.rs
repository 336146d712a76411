//! What holds whatever comes.

use super::*;
use Transition::{Began, Continues, Ended};

fn all_rules() -> Vec<Arc<Rule>> {
    vec![
        full(MINUTE),
        heating(),
        silent(10 * MINUTE),
        night("02:00", "05:00", HOUR),
        stall(10 * SECOND, MINUTE),
        healthy(EventKind::CameraFault),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    let quantity = prop::sample::select(Quantity::ALL);
    let number = prop_oneof![
        8 => -10.0..110.0_f64,
        1 => prop::num::f64::ANY,
    ];
    prop_oneof![
        8 => (quantity, number).prop_map(|(quantity, value)| Value::Measurement { quantity, value }),
        2 => (0u64..40, any::<bool>()).prop_map(|(s, present)| {
            let dwell = Duration::from_secs(s * 3);
            if present { sighting("chair", dwell, vec![]) } else { empty(dwell) }
        }),
        1 => prop::sample::select(EventKind::ALL).prop_map(|what| {
            fault(what, what.slug())
        }),
        1 => Just(Value::Health(Health::Ok)),
    ]
}

proptest! {
    /// Whatever comes, each (subject, rule) goes began, continues*, ended, began… and nothing
    /// else, through wall-clock jumps too.
    #[test]
    fn every_rule_alternates(
        steps in prop::collection::vec((any_value(), 0u64..900, -400i64..400), 1..200)
    ) {
        let mut b = Bench::new(all_rules());
        let mut open = std::collections::HashMap::new();
        for (value, later, jump_days) in steps {
            b.pass(Duration::from_secs(later));
            if jump_days % 10 == 0 {
                b.now.wall += jiff::SignedDuration::from_hours(jump_days * 24);
            }
            let o = observed("d", value, b.now);
            b.engine.step(&o, b.now, &mut b.out);
            b.engine.tick(b.now, &mut b.out);
            for f in b.out.drain(..) {
                let is_open = open.entry((f.subject.clone(), f.rule.clone())).or_insert(false);
                match f.what {
                    Began => prop_assert!(!*is_open, "{} raised twice", f.rule),
                    Continues | Ended => prop_assert!(*is_open, "{} is not open", f.rule),
                }
                *is_open = f.what != Ended;
            }
        }
    }

    /// Implausible values and values that are no numbers reach no rule.
    #[test]
    fn implausible_values_find_nothing(
        steps in prop::collection::vec((any_value(), 0u64..60), 1..100)
    ) {
        let mut b = Bench::new(vec![full(Duration::ZERO), heating(), stall(SECOND, SECOND)]);
        for (value, later) in steps {
            b.pass(Duration::from_secs(later));
            let mut o = observed("d", value, b.now);
            o.quality = match &o.value {
                Value::Measurement { value, .. } if !value.is_finite() => Quality::Good,
                _ => Quality::Implausible,
            };
            prop_assert_eq!(b.see(&o), []);
        }
    }

    /// Inside the band nothing ever changes, so noise cannot make a rule chatter.
    #[test]
    fn hysteresis_never_chatters(
        values in prop::collection::vec(80.0..90.0_f64, 1..100), from_above in any::<bool>()
    ) {
        let mut b = Bench::new(vec![full(Duration::ZERO)]);
        b.reads(Quantity::Fill, if from_above { 95.0 } else { 10.0 });
        for value in values {
            let seen = b.reads(Quantity::Fill, value);
            prop_assert!(!seen.contains(&Began) && !seen.contains(&Ended), "{value}: {seen:?}");
        }
    }

    /// Between any Began and the Ended before it, the figure really crossed the whole band.
    #[test]
    fn every_change_crosses_the_band(
        values in prop::collection::vec(0.0..100.0_f64, 1..300)
    ) {
        let mut b = Bench::new(vec![full(Duration::ZERO)]);
        for value in values {
            for what in b.reads(Quantity::Fill, value) {
                match what {
                    Began => prop_assert!(value >= 90.0),
                    Continues => prop_assert!(value >= 80.0),
                    Ended => prop_assert!(value < 80.0),
                }
            }
        }
    }
}
