use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use wangge_protocol::{EvidenceRef, Receipt, ReceiptStatus};

use super::{answers::LONGEST_HOLD, *};
use crate::{
    spool::{Lane as SpoolLane, Record},
    uplink::lane::Course,
};

const MS: Duration = Duration::from_millis(1);
/// Larger than the pictures of most tests.
const PIECE: u64 = 64 * 1024;
const S: Duration = Duration::from_secs(1);

fn entry(class: Class, seq: Seq, pictures: &[&str]) -> Entry {
    Entry {
        seq,
        record: Record {
            lane: SpoolLane { uplink: 0, class },
            stream: "s".into(),
            id: format!("id-{seq}"),
            count: 1,
            evidence: pictures
                .iter()
                .map(|p| EvidenceRef {
                    sha256: (*p).to_owned(),
                    bytes: 9,
                    media_type: "image/jpeg".into(),
                    role: "scene".into(),
                    taken_at: "2026-01-01T00:00:00Z".into(),
                    thumbnail: None,
                })
                .collect(),
            body: format!("body {seq}").into_bytes(),
        },
    }
}

fn word(id: &str, sha256: String, status: ReceiptStatus) -> Receipt {
    Receipt {
        id: id.into(),
        sha256,
        status,
        offset: None,
        reason: Some("because".into()),
    }
}

fn about(seq: Seq, status: ReceiptStatus) -> Receipt {
    let sha256 = hex::encode(Sha256::digest(format!("body {seq}")));
    word(&format!("id-{seq}"), sha256, status)
}

fn stored(seq: Seq) -> Receipt {
    about(seq, ReceiptStatus::Stored)
}

fn picture_word(sha256: &str, status: ReceiptStatus) -> Receipt {
    word(sha256, sha256.into(), status)
}

fn queue(border: Border, entries: Vec<Entry>) -> Queue {
    let mut queue = Queue::new(border, true, Pieces::of(PIECE), Arc::default(), 1);
    feed(&mut queue, entries);
    queue.connected();
    queue
}

/// Loads as the courier would, from a spool that holds `entries`.
fn feed(queue: &mut Queue, entries: Vec<Entry>) {
    if let Some(last) = entries.iter().map(|e| e.seq).max() {
        queue.appended(last);
    }
    while let Some(want) = queue.want() {
        let found: Vec<_> = entries
            .iter()
            .filter(|e| e.record.lane.class == want.class && want.after.is_none_or(|a| e.seq > a))
            .take(want.max)
            .cloned()
            .collect();
        queue.load(want, found);
    }
}

fn drain(queue: &mut Queue, now: Duration) -> Vec<Token> {
    queue.expire(now);
    std::iter::from_fn(|| queue.next(now)).collect()
}

fn alert(seq: Seq) -> Token {
    Token::Entry(Class::Alert, seq)
}

fn telemetry(seq: Seq) -> Token {
    Token::Entry(Class::Telemetry, seq)
}

fn picture(sha256: &str) -> Token {
    Token::Picture(sha256.into())
}

#[test]
fn alerts_go_before_gaps_before_telemetry_each_in_order() {
    let mut q = queue(
        Border::Receipt,
        vec![
            entry(Class::Telemetry, 1, &[]),
            entry(Class::Gap, 2, &[]),
            entry(Class::Telemetry, 3, &[]),
            entry(Class::Alert, 4, &[]),
            entry(Class::Alert, 5, &[]),
        ],
    );
    assert_eq!(
        drain(&mut q, S),
        [
            alert(4),
            alert(5),
            Token::Entry(Class::Gap, 2),
            telemetry(1),
            telemetry(3)
        ]
    );
}

#[test]
fn nothing_is_sent_without_a_connection() {
    let mut q = Queue::new(Border::Receipt, true, Pieces::of(PIECE), Arc::default(), 1);
    feed(&mut q, vec![entry(Class::Alert, 1, &[])]);
    assert_eq!(drain(&mut q, S), []);
    q.connected();
    assert_eq!(drain(&mut q, S), [alert(1)]);
}

#[test]
fn a_receipt_settles_only_with_our_id_and_hash() {
    let mut q = queue(Border::Receipt, vec![entry(Class::Alert, 1, &[])]);
    drain(&mut q, S);
    let mut wrong_hash = stored(1);
    wrong_hash.sha256 = "0".repeat(64);
    let mut wrong_id = stored(1);
    wrong_id.id = "id-2".into();
    let mut short = stored(1);
    short.sha256.pop();
    for strange in [
        wrong_hash,
        wrong_id,
        short,
        stored(2),
        picture_word("p", ReceiptStatus::Stored),
    ] {
        assert!(!q.receipt(&strange, S), "{strange:?}");
    }
    assert_eq!(q.counters.strange_receipts.get(), 5);
    assert!(q.take_settled().is_empty());
    assert!(q.receipt(&stored(1), S));
    assert_eq!(q.take_settled(), [1]);
    assert!(!q.receipt(&stored(1), S), "a repeat settles nothing");
    assert!(q.take_settled().is_empty());
    assert_eq!(q.counters.receipted.get(), 1);
}

#[test]
fn nothing_is_settled_by_a_puback_unless_the_broker_is_the_border() {
    let mut q = queue(Border::Receipt, vec![entry(Class::Alert, 1, &[])]);
    drain(&mut q, S);
    q.transmitted(&alert(1), S);
    assert!(q.take_settled().is_empty());
    let mut q = queue(Border::Broker, vec![entry(Class::Alert, 1, &[])]);
    drain(&mut q, S);
    q.transmitted(&alert(1), S);
    q.transmitted(&alert(1), S);
    assert_eq!(q.take_settled(), [1]);
}

#[test]
fn a_reconnect_sends_again_whatever_has_no_receipt_in_order() {
    let mut q = queue(
        Border::Receipt,
        (1..=4).map(|s| entry(Class::Telemetry, s, &[])).collect(),
    );
    assert_eq!(drain(&mut q, S).len(), 4);
    q.transmitted(&telemetry(1), S);
    q.transmitted(&telemetry(2), S);
    q.receipt(&stored(3), S);
    q.lost(S, false);
    assert_eq!(drain(&mut q, 2 * S), []);
    q.connected();
    assert_eq!(
        drain(&mut q, 2 * S),
        [telemetry(1), telemetry(2), telemetry(4)]
    );
    assert_eq!(q.counters.resent.get(), 3);
    // A receipt for the first sending is as good.
    assert!(q.receipt(&stored(1), 2 * S));
}

#[test]
fn a_silent_platform_is_probed_with_one_message_and_its_first_word_frees_all() {
    let mut q = queue(
        Border::Receipt,
        (1..=20).map(|s| entry(Class::Telemetry, s, &[])).collect(),
    );
    q.window = Window::new(1_000);
    for seq in 1..=20 {
        q.next(S).unwrap();
        q.transmitted(&telemetry(seq), S);
    }
    assert_eq!(q.due(), Some(S + RECEIPT_TIMEOUT));
    let mut now = S + RECEIPT_TIMEOUT;
    let mut probes = 0;
    while now < 120 * S {
        let sent = drain(&mut q, now);
        assert!(sent.len() <= 1, "{sent:?} at {now:?}");
        for token in sent {
            probes += 1;
            q.transmitted(&token, now);
        }
        now += 100 * MS;
    }
    assert!((10..=30).contains(&probes), "{probes} probes in 2 min");
    assert!(q.receipt(&stored(1), now));
    let sent = drain(&mut q, now);
    assert!(sent.len() >= 15, "{sent:?}");
}

#[test]
fn a_busy_platform_gets_patience_before_a_repeat() {
    let mut q = queue(
        Border::Receipt,
        vec![
            entry(Class::Telemetry, 1, &[]),
            entry(Class::Telemetry, 2, &[]),
        ],
    );
    drain(&mut q, S);
    q.transmitted(&telemetry(1), S);
    q.transmitted(&telemetry(2), S);
    q.receipt(&stored(2), 3 * S);
    assert_eq!(drain(&mut q, S + RECEIPT_TIMEOUT), []);
    assert_eq!(drain(&mut q, S + RECEIPT_TIMEOUT * 3), []);
    // One receipt is really lost: it is asked for again, and nobody else has to wait.
    let late = S + RECEIPT_TIMEOUT * (PATIENCE + 1) + 2 * S;
    q.expire(late);
    assert_eq!(drain(&mut q, late + S), [telemetry(1)]);
}

#[test]
fn a_picture_goes_before_its_alert_and_once() {
    let mut q = queue(
        Border::Receipt,
        vec![
            entry(Class::Alert, 1, &["p"]),
            entry(Class::Alert, 2, &[]),
            entry(Class::Alert, 3, &["p"]),
        ],
    );
    assert_eq!(
        drain(&mut q, S),
        [alert(2), picture("p")],
        "who waits for a picture holds up nobody else"
    );
    q.transmitted(&picture("p"), S);
    assert_eq!(drain(&mut q, S), []);
    assert!(q.receipt(&picture_word("p", ReceiptStatus::Stored), S));
    assert_eq!(drain(&mut q, S), [alert(1), alert(3)]);
    for seq in 1..=3 {
        q.receipt(&stored(seq), S);
    }
    // The alert's end names the same picture, which the receiver has.
    feed(&mut q, vec![entry(Class::Alert, 4, &["p"])]);
    assert_eq!(drain(&mut q, S), [alert(4)]);
}

#[test]
fn a_missing_picture_is_sent_again_before_its_alert() {
    let mut q = queue(Border::Receipt, vec![entry(Class::Alert, 1, &["p"])]);
    drain(&mut q, S);
    q.receipt(&picture_word("p", ReceiptStatus::Stored), S);
    assert_eq!(drain(&mut q, S), [alert(1)]);
    assert!(q.receipt(&about(1, ReceiptStatus::EvidenceMissing), S));
    assert_eq!(drain(&mut q, 30 * S), [picture("p")]);
    q.receipt(&picture_word("p", ReceiptStatus::Stored), 30 * S);
    assert_eq!(drain(&mut q, 60 * S), [alert(1)]);
    q.receipt(&stored(1), 60 * S);
    assert_eq!(q.take_settled(), [1]);
    assert!(q.take_poison().is_empty());
}

#[test]
fn an_alert_does_not_wait_for_ever_for_a_picture_that_nobody_acknowledges() {
    let mut q = queue(
        Border::Receipt,
        vec![entry(Class::Alert, 1, &["p"]), entry(Class::Alert, 2, &[])],
    );
    assert_eq!(drain(&mut q, S), [alert(2), picture("p")]);
    q.transmitted(&alert(2), S);
    q.transmitted(&picture("p"), S);
    let late = S + RECEIPT_TIMEOUT;
    // The platform is silent, so one at a time; but it is the alert's turn.
    assert_eq!(drain(&mut q, late), [alert(1)]);
    assert!(q.receipt(&stored(1), late));
    assert_eq!(drain(&mut q, late), [alert(2)]);
}

#[test]
fn a_refused_alert_makes_way_after_three_strikes() {
    let mut q = queue(
        Border::Receipt,
        vec![entry(Class::Alert, 1, &[]), entry(Class::Alert, 2, &[])],
    );
    assert_eq!(drain(&mut q, S), [alert(1), alert(2)]);
    q.receipt(&stored(2), S);
    let mut now = S;
    for strike in 1..=STRIKES {
        assert!(q.take_poison().is_empty());
        assert!(q.receipt(&about(1, ReceiptStatus::Refused), now));
        assert!(
            !q.receipt(&about(1, ReceiptStatus::Refused), now),
            "a repeated refusal is no strike"
        );
        if strike < STRIKES {
            now = q.due().unwrap();
            assert_eq!(drain(&mut q, now), [alert(1)]);
        }
    }
    assert_eq!(q.take_poison(), [(1, "poison: because".to_owned())]);
    assert_eq!(q.take_settled(), [2]);
    assert_eq!(drain(&mut q, now + 600 * S), []);
}

#[test]
fn a_refused_picture_costs_the_picture_and_the_platform_decides_about_the_alert() {
    for accepted in [true, false] {
        let mut q = queue(Border::Receipt, vec![entry(Class::Alert, 1, &["p"])]);
        let mut now = S;
        let mut answers = Vec::new();
        for _ in 0..100 {
            for token in drain(&mut q, now) {
                answers.push(token.clone());
                match token {
                    Token::Picture(_) => q.refused(&token, "413", now),
                    _ if accepted => assert!(q.receipt(&stored(1), now)),
                    _ => assert!(q.receipt(&about(1, ReceiptStatus::EvidenceMissing), now)),
                }
            }
            now += 10 * S;
        }
        if accepted {
            assert_eq!(q.take_settled(), [1], "{answers:?}");
            assert!(q.take_poison().is_empty());
        } else {
            assert_eq!(q.take_poison().len(), 1, "{answers:?}");
        }
        let tries = answers.iter().filter(|t| **t == picture("p")).count();
        assert!(tries <= STRIKES as usize, "{answers:?}");
    }
}

#[test]
fn a_link_that_dies_under_a_picture_gives_up_the_picture_and_never_an_alert() {
    let mut q = queue(
        Border::Receipt,
        vec![
            entry(Class::Alert, 1, &["big"]),
            entry(Class::Alert, 2, &[]),
            entry(Class::Telemetry, 3, &[]),
        ],
    );
    let mut now = S;
    let mut connections = 0;
    // A broker that closes on an oversized packet, as Mosquitto's max_packet_size does.
    while q.unsettled() && connections < 20 {
        connections += 1;
        for _ in 0..20 {
            let sent = drain(&mut q, now);
            if sent.contains(&picture("big")) {
                q.lost(now, true);
                break;
            }
            for token in sent {
                q.transmitted(&token, now);
                if let Token::Entry(_, seq) = token {
                    q.receipt(&stored(seq), now);
                }
            }
            now += S;
        }
        now += 30 * S;
        q.connected();
    }
    let mut settled = q.take_settled();
    settled.sort_unstable();
    assert_eq!(settled, [1, 2, 3], "after {connections} connections");
    assert!(q.take_poison().is_empty());
}

#[test]
fn a_broker_that_restarts_under_alerts_loses_none() {
    let mut q = queue(Border::Receipt, vec![entry(Class::Alert, 1, &[])]);
    let mut now = S;
    for _ in 0..50 {
        assert_eq!(drain(&mut q, now), [alert(1)]);
        q.lost(now, true);
        q.connected();
        now += S;
    }
    assert!(q.take_poison().is_empty());
    drain(&mut q, now);
    assert!(q.receipt(&stored(1), now));
    assert_eq!(q.take_settled(), [1]);
}

#[test]
fn one_failing_message_does_not_slow_the_others() {
    let mut q = queue(
        Border::Receipt,
        (1..=300).map(|s| entry(Class::Alert, s, &[])).collect(),
    );
    // Reload as lanes empty.
    let all: Vec<_> = (1..=300).map(|s| entry(Class::Alert, s, &[])).collect();
    let mut now = S;
    let mut settled = BTreeSet::new();
    while settled.len() < 299 && now < 60 * S {
        q.expire(now);
        while let Some(Token::Entry(_, seq)) = q.next(now) {
            if seq == 7 {
                q.failed(&alert(7), now);
            } else {
                q.receipt(&stored(seq), now);
            }
        }
        settled.extend(q.take_settled());
        feed(&mut q, all.clone());
        now += 10 * MS;
    }
    assert_eq!(settled.len(), 299);
    assert!(now < 5 * S, "took {now:?}");
}

#[test]
fn a_receiver_that_fails_everything_is_held_off_longer_and_longer() {
    let mut q = queue(
        Border::Receipt,
        (1..=60).map(|s| entry(Class::Alert, s, &[])).collect(),
    );
    let mut now = S;
    let mut tries = 0;
    while now < 300 * S {
        for token in drain(&mut q, now) {
            tries += 1;
            q.failed(&token, now);
        }
        now += 20 * MS;
    }
    // The first round was out before the first answer came.
    let tries = tries - 16;
    assert!((10..=40).contains(&tries), "{tries} more in 5 min");
    // It works again: everything goes at once.
    now += 60 * S;
    let mut settled = 0;
    for _ in 0..2_000 {
        q.expire(now);
        while let Some(Token::Entry(_, seq)) = q.next(now) {
            q.receipt(&stored(seq), now);
        }
        settled += q.take_settled().len();
        now += 50 * MS;
    }
    assert_eq!(settled, 60);
}

#[test]
fn what_the_receiver_asks_for_is_waited_and_not_more_than_an_hour() {
    for (asked, waited) in [(7 * S, 7 * S), (900_000 * S, LONGEST_HOLD)] {
        let mut q = queue(Border::Receipt, vec![entry(Class::Alert, 1, &[])]);
        let token = q.next(S).unwrap();
        q.unanswered(&token, Some(asked), S);
        assert_eq!(drain(&mut q, S + waited - MS), []);
        assert_eq!(drain(&mut q, S + waited), [alert(1)]);
    }
}

#[test]
fn a_quiet_spool_is_asked_once_per_batch_and_no_alert_is_overlooked() {
    let mut q = queue(Border::Receipt, Vec::new());
    let mut looks = 0;
    let mut all = Vec::new();
    for seq in 1..=300 {
        let class = if seq % 10 == 0 {
            Class::Alert
        } else {
            Class::Telemetry
        };
        all.push(entry(class, seq, &[]));
        q.appended(seq);
        while let Some(want) = q.want() {
            looks += 1;
            let found: Vec<_> = all
                .iter()
                .filter(|e| {
                    e.record.lane.class == want.class && want.after.is_none_or(|a| e.seq > a)
                })
                .take(want.max)
                .cloned()
                .collect();
            q.load(want, found);
        }
        for token in drain(&mut q, S * u32::try_from(seq).unwrap()) {
            if let Token::Entry(_, sent) = token {
                assert_eq!(sent, seq, "sent as soon as it is there");
                q.receipt(&stored(sent), S);
            }
        }
    }
    assert_eq!(q.take_settled().len(), 300);
    // One look per telemetry batch, three where an alert was among them.
    assert!(looks <= 270 + 3 * 30 + 3, "{looks}");
}

#[test]
fn an_alert_between_two_readings_of_one_commit_is_not_overlooked() {
    let mut q = queue(
        Border::Receipt,
        vec![
            entry(Class::Telemetry, 1, &[]),
            entry(Class::Telemetry, 2, &[]),
        ],
    );
    drain(&mut q, S);
    let all = vec![
        entry(Class::Telemetry, 3, &[]),
        entry(Class::Alert, 4, &[]),
        entry(Class::Telemetry, 5, &[]),
    ];
    feed(&mut q, all);
    assert_eq!(drain(&mut q, S), [alert(4), telemetry(3), telemetry(5)]);
}

#[test]
fn what_is_appended_while_the_spool_answers_is_not_overlooked() {
    let mut q = queue(Border::Receipt, Vec::new());
    q.appended(1);
    let want = q.want().unwrap();
    assert_eq!(want.class, Class::Telemetry);
    q.appended(2);
    q.load(want, vec![entry(Class::Telemetry, 1, &[])]);
    let want = q.want().unwrap();
    q.load(want, Vec::new());
    // Sequence number 2 was in none of the looks so far: it is in another lane.
    assert_eq!(q.want().map(|w| w.class), Some(Class::Alert));
}

#[test]
fn identical_messages_are_both_settled() {
    let mut twin = entry(Class::Alert, 2, &[]);
    twin.record.id = "id-1".into();
    twin.record.body = b"body 1".to_vec();
    let mut q = queue(Border::Receipt, vec![entry(Class::Alert, 1, &[]), twin]);
    let mut now = S;
    for _ in 0..20 {
        for token in drain(&mut q, now) {
            q.transmitted(&token, now);
            q.receipt(&stored(1), now);
        }
        now += 5 * S;
    }
    let mut settled = q.take_settled();
    settled.sort_unstable();
    assert_eq!(settled, [1, 2]);
}

mod memory;
mod model;
mod speed;
