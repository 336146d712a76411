use proptest::prelude::*;
use serde_json::json;
use wangge_protocol::VerdictStatus;

use super::*;
use crate::down::MAX_ID;

const ALERT: &str = "01936b2a-7c4e-7a10-8b1c-0123456789ac";

fn verdict(id: &str) -> Value {
    json!({"id": id, "alert_id": ALERT, "status": "filed", "case_no": "案2026-17",
           "at": "2026-11-26T02:00:00Z"})
}

fn reason_of(value: &Value) -> String {
    match &verdicts(value.to_string().as_bytes()).items[..] {
        [Item::Misfit(misfit)] => misfit.reason.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_and_many_are_taken() {
    let one = verdicts(verdict("v1").to_string().as_bytes());
    let [Item::Verdict(read)] = &one.items[..] else {
        panic!("{one:?}");
    };
    assert_eq!(
        (read.id.as_str(), read.status),
        ("v1", VerdictStatus::Filed)
    );
    let many = json!([verdict("v1"), verdict("v2")]).to_string();
    assert_eq!(verdicts(format!("\n {many}").as_bytes()).items.len(), 2);
    assert_eq!(verdicts(b"[]"), Parsed::default());
}

#[test]
fn a_bad_entry_leaves_its_neighbours() {
    let many = json!([verdict("v1"), {"id": "v2"}, 17, {"id": "x y"}, verdict("v3")]);
    let parsed = verdicts(many.to_string().as_bytes());
    assert_eq!((parsed.items.len(), parsed.refused), (3, 2));
    let Item::Misfit(misfit) = &parsed.items[1] else {
        panic!("{parsed:?}");
    };
    assert_eq!(misfit.id, "v2");
    assert!(misfit.reason.contains("alert_id"), "{}", misfit.reason);
}

#[test]
fn what_is_wrong_is_said() {
    for (key, value, said) in [
        ("status", json!("maybe"), "maybe"),
        ("status", json!("rejected"), "needs a `reason`"),
        ("at", json!("yesterday"), "`at`"),
        ("alert_id", json!("a b"), "`alert_id`"),
        ("picture", json!("abc"), "`picture`"),
        ("case_no", json!("一\n二"), "`case_no`"),
    ] {
        let mut bad = verdict("v1");
        bad[key] = value;
        let reason = reason_of(&bad);
        assert!(reason.contains(said), "{key}: {reason}");
    }
}

#[test]
fn texts_end_at_their_limits() {
    for (key, most) in [
        ("reason", MAX_REASON),
        ("case_no", MAX_WORD),
        ("by", MAX_WORD),
    ] {
        for (length, good) in [(most, true), (most + 1, false), (most * 10, false)] {
            let mut value = verdict("v1");
            value[key] = "垃".repeat(length).into();
            let parsed = verdicts(value.to_string().as_bytes());
            let taken = matches!(parsed.items[..], [Item::Verdict(_)]);
            assert_eq!(taken, good, "{key} of {length}");
        }
    }
    for (length, answered) in [(MAX_ID, 1), (MAX_ID + 1, 0), (MAX_ID * 10, 0)] {
        let parsed = verdicts(verdict(&"i".repeat(length)).to_string().as_bytes());
        assert_eq!(parsed.items.len(), answered, "id of {length}");
    }
}

#[test]
fn messages_end_at_their_limits() {
    for (count, taken) in [
        (MAX_TOGETHER, MAX_TOGETHER),
        (MAX_TOGETHER + 1, 0),
        (10_000, 0),
    ] {
        let many: Vec<_> = (0..count).map(|i| json!({"id": i.to_string()})).collect();
        let bytes = serde_json::to_vec(&many).unwrap();
        let parsed = commands(&bytes);
        assert_eq!(parsed.items.len(), taken, "{count}");
        assert_eq!(parsed.refused, u64::from(taken == 0));
    }
    let mut long = b"[]".to_vec();
    for (length, refused) in [(MAX_BYTES, 0), (MAX_BYTES + 1, 1), (MAX_BYTES * 10, 1)] {
        long.resize(length, b' ');
        assert_eq!(verdicts(&long).refused, refused, "{length}");
    }
}

#[test]
fn an_inbox_has_both() {
    let text = json!({"verdicts": [verdict("v1")], "commands": [{"id": "c1"}], "more": 1});
    let parsed = inbox(text.to_string().as_bytes());
    assert_eq!((parsed.items.len(), parsed.refused), (2, 0));
    assert_eq!(inbox(b"{}"), Parsed::default());
    for garbage in [
        &b""[..],
        b"[1,2]",
        b"{\"verdicts\": 3}",
        b"\xff\xfe",
        b"{\"verdicts\": [{]}",
    ] {
        let parsed = inbox(garbage);
        assert_eq!((parsed.items.len(), parsed.refused), (0, 1), "{garbage:?}");
    }
}

#[test]
fn deep_nesting_ends() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(verdicts(deep.as_bytes()).items, []);
}

proptest! {
    #[test]
    fn garbage_is_refused_and_nothing_else(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for parsed in [verdicts(&bytes), commands(&bytes), inbox(&bytes)] {
            prop_assert!(parsed.items.iter().all(|item| matches!(item, Item::Misfit(_))));
        }
    }
}
