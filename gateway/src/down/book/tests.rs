use proptest::prelude::*;
use wangge_protocol::{AlertState, Place, PlatformCodes, Severity, SourceKind, Text};

use super::*;

fn alert(id: &str, device: &str) -> AlertData {
    AlertData {
        alert_id: id.into(),
        revision: 1,
        state: AlertState::Raised,
        kind: EventKind::BinOverflow,
        severity: Severity::Minor,
        station: "s".into(),
        device: device.into(),
        source: SourceKind::Mqtt,
        rule: "full".into(),
        occurred_at: "2026-11-26T01:00:00Z".into(),
        raised_at: "2026-11-26T01:00:00Z".into(),
        cleared_at: None,
        text: Text {
            zh: "满".into(),
            en: "full".into(),
        },
        measurement: None,
        sighting: None,
        place: Place {
            lon: 0.0,
            lat: 0.0,
            unit_grid: "530102001001001".into(),
            address: None,
        },
        platform: PlatformCodes {
            profile: "default".into(),
            event_code: None,
            class: None,
            subclass: None,
            name: None,
            condition: None,
            source_name: "物联".into(),
            source_id: None,
            crs: "wgs84".into(),
            x: 0.0,
            y: 0.0,
        },
        verdict: None,
        evidence: Vec::new(),
        routing: None,
    }
}

fn verdict(id: &str, alert: &str, status: VerdictStatus, minute: u32) -> Verdict {
    Verdict {
        id: id.into(),
        alert_id: alert.into(),
        status,
        reason: Some("no such thing there".into()),
        case_no: None,
        picture: None,
        by: None,
        at: format!("2026-11-26T02:{minute:02}:00Z"),
    }
}

/// The book over a restart.
fn restarted(stored: &mut BTreeMap<Vec<u8>, Vec<u8>>, book: &mut Book) -> Book {
    for (key, value) in book.take_changes() {
        match value {
            Some(value) => drop(stored.insert(key, value)),
            None => drop(stored.remove(&key)),
        }
    }
    let state: Vec<_> = stored.clone().into_iter().collect();
    Book::restore(&state)
}

#[test]
fn a_verdict_counts_once_and_survives_a_restart() {
    let mut book = Book::default();
    let mut stored = BTreeMap::new();
    book.raised(&alert("a1", "bin-1"));
    let rejected = verdict("v1", "a1", VerdictStatus::Rejected, 1);
    assert_eq!(
        book.judge(&rejected, None).now_standing,
        Some(VerdictStatus::Rejected)
    );
    for _ in 0..3 {
        book = restarted(&mut stored, &mut book);
        assert_eq!(book.judge(&rejected, None).result, AnswerResult::Repeated);
    }
    assert_eq!(
        book.precision().collect::<Vec<_>>(),
        [("bin-1", "full", Tally { right: 0, wrong: 1 })]
    );
    // The platform thought again.
    let filed = verdict("v2", "a1", VerdictStatus::Filed, 2);
    assert_eq!(
        book.judge(&filed, None).now_standing,
        Some(VerdictStatus::Filed)
    );
    book = restarted(&mut stored, &mut book);
    assert_eq!(
        book.precision().collect::<Vec<_>>(),
        [("bin-1", "full", Tally { right: 1, wrong: 0 })]
    );
    assert_eq!(book.recent().count(), 1);
}

#[test]
fn a_late_verdict_is_noted_and_changes_nothing() {
    let mut book = Book::default();
    book.raised(&alert("a1", "bin-1"));
    book.judge(&verdict("v2", "a1", VerdictStatus::Closed, 9), None);
    let late = book.judge(&verdict("v1", "a1", VerdictStatus::Rejected, 3), None);
    assert_eq!(
        (late.result, late.now_standing),
        (AnswerResult::Applied, None)
    );
    assert_eq!(
        late.reason.unwrap(),
        "noted, and nothing changes: verdict v2 (closed, 2026-11-26T02:09:00Z) is later"
    );
    assert_eq!(
        book.judge(&verdict("v1", "a1", VerdictStatus::Rejected, 3), None)
            .result,
        AnswerResult::Repeated
    );
}

/// A platform's clock was a year ahead for a moment.
#[test]
fn a_verdict_of_the_future_does_not_bar_those_after_it() {
    let mut book = Book::default();
    book.raised(&alert("a1", "bin-1"));
    let now = |text: &str| Some(text.parse().unwrap());
    let mut wild = verdict("v1", "a1", VerdictStatus::Filed, 0);
    wild.at = "2027-11-26T02:00:00Z".into();
    let judged = book.judge(&wild, now("2026-11-26T02:03:00Z"));
    assert_eq!(judged.now_standing, Some(VerdictStatus::Filed));
    assert!(judged.reason.unwrap().contains("2026-11-26T02:03:00Z"));
    let again = book.judge(&wild, now("2026-11-26T02:04:00Z"));
    assert_eq!(again.result, AnswerResult::Repeated);
    let right = verdict("v2", "a1", VerdictStatus::Rejected, 5);
    let judged = book.judge(&right, now("2026-11-26T02:05:00Z"));
    assert_eq!(
        (judged.now_standing, judged.reason),
        (Some(VerdictStatus::Rejected), None)
    );
    // A clock that is a little ahead is taken at its word.
    let ahead = verdict("v3", "a1", VerdictStatus::Closed, 15);
    assert_eq!(book.judge(&ahead, now("2026-11-26T02:05:00Z")).reason, None);
}

#[test]
fn an_id_is_not_used_twice_for_different_things() {
    let mut book = Book::default();
    book.raised(&alert("a1", "bin-1"));
    book.judge(&verdict("v1", "a1", VerdictStatus::Filed, 3), None);
    for other in [
        verdict("v1", "a1", VerdictStatus::Rejected, 3),
        verdict("v1", "a1", VerdictStatus::Filed, 4),
    ] {
        assert_eq!(book.judge(&other, None).result, AnswerResult::Invalid);
    }
}

#[test]
fn unknown_alerts_are_said_to_be() {
    let mut book = Book::default();
    let judged = book.judge(&verdict("v1", "a9", VerdictStatus::Filed, 3), None);
    assert_eq!(judged.result, AnswerResult::UnknownAlert);
    assert_eq!(book.take_changes(), []);
}

#[test]
fn verdicts_on_one_alert_end_at_their_limit() {
    let mut book = Book::default();
    book.raised(&alert("a1", "bin-1"));
    for n in 0..MAX_VERDICTS {
        let v = verdict(&format!("v{n}"), "a1", VerdictStatus::Filed, 3);
        assert_eq!(book.judge(&v, None).result, AnswerResult::Applied);
    }
    for n in MAX_VERDICTS..MAX_VERDICTS * 10 {
        let v = verdict(&format!("v{n}"), "a1", VerdictStatus::Filed, 3);
        assert_eq!(book.judge(&v, None).result, AnswerResult::Failed);
    }
    let (_, value) = book.take_changes().pop().unwrap();
    assert!(value.unwrap().len() < crate::spool::MAX_VALUE);
}

#[test]
fn the_largest_entry_can_be_stored() {
    let mut book = Book::default();
    let long = "d".repeat(64);
    let mut data = alert(&long, &long);
    data.rule.clone_from(&long);
    book.raised(&data);
    for n in 0..MAX_VERDICTS {
        let mut v = verdict(&format!("{n:064}"), &long, VerdictStatus::Rejected, 3);
        v.reason = Some("\"".repeat(600));
        v.case_no = Some("\"".repeat(64));
        v.by = Some("垃".repeat(64));
        v.picture = Some("a".repeat(64));
        book.judge(&v, None);
    }
    for (_, value) in book.take_changes() {
        assert!(value.unwrap_or_default().len() <= crate::spool::MAX_VALUE);
    }
}

#[test]
fn the_oldest_alerts_make_way_and_stay_counted() {
    let mut book = Book::default();
    book.raised(&alert("a00000", "bin-1"));
    book.judge(&verdict("v", "a00000", VerdictStatus::Filed, 3), None);
    for n in 1..=MAX_ALERTS {
        book.raised(&alert(&format!("a{n:05}"), "bin-1"));
    }
    assert_eq!(book.alerts.len(), MAX_ALERTS);
    assert!(book.alert("a00000").is_none());
    assert_eq!(book.recent().count(), 0);
    assert_eq!(
        book.precision().next().unwrap().2,
        Tally { right: 1, wrong: 0 }
    );
    let removed = book.take_changes();
    assert!(
        removed
            .iter()
            .any(|(key, value)| key == b"verdict/a00000" && value.is_none())
    );
}

prop_compose! {
    fn any_verdict()(n in 0usize..6, alert in 0usize..3) -> Verdict {
        // An id always says the same, as the contract asks.
        let status = VerdictStatus::ALL[(n * 7 + alert) % 5];
        verdict(&format!("v{n}"), &format!("a{alert}"), status, (n as u32 * 3) % 4)
    }
}

proptest! {
    /// Any order, any repeats, restarts in between: the same end.
    #[test]
    fn every_order_ends_in_the_same_state(
        (verdicts, shuffled) in prop::collection::vec(any_verdict(), 0..30)
            .prop_flat_map(|v| (Just(v.clone()), Just(v).prop_shuffle())),
        repeats in prop::collection::vec(0usize..30, 0..10),
        restart in 0usize..30,
    ) {
        let run = |order: &[Verdict], restart: Option<usize>| {
            let mut book = Book::default();
            let mut stored = BTreeMap::new();
            for n in 0..3 {
                book.raised(&alert(&format!("a{n}"), &format!("bin-{n}")));
            }
            for (n, verdict) in order.iter().enumerate() {
                if restart == Some(n) {
                    book = restarted(&mut stored, &mut book);
                }
                book.judge(verdict, None);
            }
            let mut standing: Vec<_> =
                book.alerts.values().map(|known| known.standing.clone()).collect();
            standing.sort_by_key(|s| s.as_ref().map(|s| s.id.clone()));
            let precision: Vec<_> =
                book.precision().map(|(d, r, t)| (d.to_owned(), r.to_owned(), t)).collect();
            (standing, precision)
        };
        let mut again = shuffled.clone();
        for repeat in repeats {
            again.extend(shuffled.get(repeat).cloned());
        }
        let once = run(&verdicts, None);
        prop_assert_eq!(&once, &run(&again, Some(restart)));
        // Every judged alert is counted once.
        let judged = once.0.iter().flatten().count() as u64;
        prop_assert_eq!(once.1.iter().map(|(_, _, t)| t.judged()).sum::<u64>(), judged);
    }
}
