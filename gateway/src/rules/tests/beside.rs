//! Rubbish beside a bin that is full: a fault of the service, and nobody is blamed.

use super::*;
use Transition::Began;
use wangge_protocol::{Actor, Story};

/// A dumping zone beside bin `d`.
fn dumping() -> Arc<Rule> {
    rule(
        "dumping",
        EventKind::IllegalDumping,
        Condition::Presence {
            zone: "door".into(),
            labels: vec!["object".into()],
            dwell: 30 * SECOND,
            grace: MINUTE,
            bins: vec!["other".into(), "d".into()],
            among: Default::default(),
            calendar: Arc::default(),
        },
    )
}

fn left_by_someone(dwell: Duration) -> Value {
    let roles = ["before", "drop", "leaving", "after"];
    let pictures = roles.iter().zip(1..).map(|(role, n)| EvidenceRef {
        role: (*role).into(),
        ..picture(n)
    });
    let mut sighting = seen("object", dwell, pictures.collect());
    sighting.story = Some(Story {
        appeared_at: "2026-11-22T06:00:00Z".into(),
        actor_seen: true,
        actor: Some(Actor {
            label: "person".into(),
            track: 3,
            left_at: "2026-11-22T06:00:05Z".into(),
        }),
        litter: None,
    });
    Value::Sighting(sighting)
}

fn found(b: &mut Bench, value: Value) -> Finding {
    let observation = observed("c", value, b.now);
    b.engine.step(&observation, b.now, &mut b.out);
    assert_eq!(b.out.len(), 1);
    b.out.remove(0)
}

#[test]
fn beside_a_full_bin_it_is_an_overflow_without_an_actor_until_it_ends() {
    let mut b = Bench::new(vec![full(Duration::ZERO), dumping()]);
    assert_eq!(b.reads(Quantity::Fill, 95.0), [Began]);
    let finding = found(&mut b, left_by_someone(40 * SECOND));
    assert_eq!(
        (finding.kind, finding.severity),
        (EventKind::BinOverflow, Severity::Minor)
    );
    let sighting = finding.sighting.unwrap();
    assert_eq!(
        (sighting.full_bin.as_deref(), sighting.story),
        (Some("d"), None)
    );
    let roles: Vec<_> = finding.evidence.iter().map(|p| p.role.as_str()).collect();
    assert_eq!(roles, ["before", "after"], "nobody is shown");

    // Emptied meanwhile, what lies there is still not anybody's.
    assert_eq!(b.reads(Quantity::Fill, 10.0), [Transition::Ended]);
    let finding = found(&mut b, left_by_someone(90 * SECOND));
    assert_eq!(finding.what, Transition::Continues);
    assert_eq!(finding.sighting.unwrap().story, None);
    assert_eq!(b.sees(empty(MINUTE)), [Transition::Ended]);

    // What comes after that is judged anew.
    let finding = found(&mut b, left_by_someone(40 * SECOND));
    assert_eq!(finding.kind, EventKind::IllegalDumping);
    assert!(finding.sighting.unwrap().story.is_some());
    assert_eq!(finding.evidence.len(), 4);
}

#[test]
fn a_bin_that_fills_up_later_changes_nothing() {
    let mut b = Bench::new(vec![full(Duration::ZERO), dumping()]);
    assert_eq!(b.reads(Quantity::Fill, 89.9), []);
    let finding = found(&mut b, left_by_someone(40 * SECOND));
    assert_eq!(finding.kind, EventKind::IllegalDumping);
    assert_eq!(b.reads(Quantity::Fill, 95.0), [Began]);
    let finding = found(&mut b, left_by_someone(90 * SECOND));
    assert_eq!(finding.kind, EventKind::IllegalDumping);
    assert!(finding.sighting.unwrap().story.is_some());
}

#[test]
fn a_bin_that_was_full_before_a_restart_is_still_full() {
    let rules = vec![full(Duration::ZERO), dumping()];
    let mut b = Bench::restored(rules, TimeZone::UTC, &["full"]);
    let finding = found(&mut b, left_by_someone(40 * SECOND));
    assert_eq!(finding.kind, EventKind::BinOverflow);
}
