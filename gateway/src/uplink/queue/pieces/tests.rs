use std::collections::BTreeSet;

use proptest::prelude::*;
use wangge_protocol::ReceiptStatus;

use super::*;
use crate::{
    config::Border,
    spool::{Class, Entry, Lane as SpoolLane, Record},
    uplink::queue::{Allowance, Queue},
};

mod overtaking;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const CHUNK: u64 = 64 * 1024;

fn evidence(sha256: &str, bytes: u64, role: &str) -> wangge_protocol::EvidenceRef {
    wangge_protocol::EvidenceRef {
        sha256: sha256.to_owned(),
        bytes,
        media_type: "image/jpeg".into(),
        role: role.to_owned(),
        taken_at: "2026-01-01T00:00:00Z".into(),
        thumbnail: None,
    }
}

fn name(n: u8) -> String {
    hex::encode([n; 32])
}

fn body(seq: Seq, kind: &str, subject: &str) -> Vec<u8> {
    format!(r#"{{"id":"id-{seq}","type":"cn.wangge.alert.{kind}.v1","subject":"{subject}"}}"#)
        .into_bytes()
}

fn record(class: Class, seq: Seq, pictures: &[(u8, u64)], body: Vec<u8>) -> Entry {
    Entry {
        seq,
        record: Record {
            lane: SpoolLane { uplink: 0, class },
            stream: "s".into(),
            id: format!("id-{seq}"),
            count: 1,
            evidence: pictures
                .iter()
                .map(|(n, bytes)| evidence(&name(*n), *bytes, "scene"))
                .collect(),
            body,
        },
    }
}

fn alert(seq: Seq, pictures: &[(u8, u64)]) -> Entry {
    record(
        Class::Alert,
        seq,
        pictures,
        body(seq, "raised", &format!("a{seq}")),
    )
}

fn late(seq: Seq, pictures: &[(u8, u64)]) -> Entry {
    record(Class::Telemetry, seq, pictures, b"{}".to_vec())
}

fn queue(chunk: u64, entries: &[Entry]) -> Queue {
    let pieces = Pieces::of(chunk);
    let mut queue = Queue::new(Border::Receipt, true, pieces, Arc::default(), 1);
    feed(&mut queue, entries);
    queue.connected();
    queue
}

fn feed(queue: &mut Queue, entries: &[Entry]) {
    queue.appended(entries.iter().map(|e| e.seq).max().unwrap_or(0));
    while let Some(want) = queue.want() {
        let found = entries
            .iter()
            .filter(|e| e.record.lane.class == want.class && want.after.is_none_or(|a| e.seq > a))
            .take(want.max);
        queue.load(want, found.cloned().collect());
    }
}

fn word(id: &str, sha256: &str, status: ReceiptStatus, offset: Option<u64>) -> Receipt {
    Receipt {
        id: id.to_owned(),
        sha256: sha256.to_owned(),
        status,
        offset,
        reason: None,
    }
}

fn stored(entry: &Entry) -> Receipt {
    use sha2::{Digest, Sha256};
    let sha256 = hex::encode(Sha256::digest(&entry.record.body));
    word(&entry.record.id, &sha256, ReceiptStatus::Stored, None)
}

/// A receiver of one alert and one picture, as the contract wants it.
#[derive(Debug)]
struct Receiver {
    alert: Entry,
    total: u64,
    knows_pieces: bool,
    held: u64,
    /// How often the picture became whole, and the alert was taken.
    pictures: u32,
    alerts: u32,
    /// Bytes that came.
    bytes: u64,
    wholes: u32,
}

impl Receiver {
    fn new(alert: Entry, total: u64, knows_pieces: bool) -> Self {
        Receiver {
            alert,
            total,
            knows_pieces,
            held: 0,
            pictures: 0,
            alerts: 0,
            bytes: 0,
            wholes: 0,
        }
    }

    /// `None` is silence.
    fn take(&mut self, token: &Token, piece: Piece) -> Option<Receipt> {
        let Token::Picture(sha256) = token else {
            let mut receipt = stored(&self.alert);
            if self.pictures == 0 {
                receipt.status = ReceiptStatus::EvidenceMissing;
            } else if self.alerts == 0 {
                self.alerts = 1;
            }
            return Some(receipt);
        };
        if piece != Piece::Whole && !self.knows_pieces {
            return None;
        }
        match piece {
            Piece::Whole => {
                self.wholes += 1;
                self.bytes += self.total;
                self.held = self.total;
            }
            Piece::Ask => {}
            Piece::Part { offset, length } => {
                self.bytes += length;
                if offset == self.held {
                    self.held += length;
                }
            }
        }
        assert!(self.held <= self.total);
        if self.held == self.total {
            self.pictures = 1;
        }
        Some(match self.pictures {
            1 => word(sha256, sha256, ReceiptStatus::Stored, None),
            _ => word(sha256, sha256, ReceiptStatus::Partial, Some(self.held)),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Arrives,
    Lost,
    AnswerLost,
    Doubled,
    AnswerLate,
    LinkBreaks,
    ReceiverForgets,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Arrives),
        1 => Just(Fate::Lost),
        1 => Just(Fate::AnswerLost),
        1 => Just(Fate::Doubled),
        1 => Just(Fate::AnswerLate),
        1 => Just(Fate::LinkBreaks),
        1 => Just(Fate::ReceiverForgets),
    ]
}

/// One alert with one picture over a link of which the first messages have these fates.
fn course(fates: &[Fate], total: u64, chunk: u64, mqtt: bool, knows_pieces: bool) -> Receiver {
    let entry = alert(1, &[(1, total)]);
    let mut q = queue(chunk, std::slice::from_ref(&entry));
    let mut receiver = Receiver::new(entry, total, knows_pieces);
    let mut fates = fates.iter().copied();
    let mut late: Vec<Receipt> = Vec::new();
    let mut now = S;
    for _ in 0..4_000 {
        now += 500 * MS;
        q.expire(now);
        for receipt in std::mem::take(&mut late).into_iter().rev() {
            q.receipt(&receipt, now);
        }
        while let Some(token) = q.next(now) {
            let piece = match &token {
                Token::Picture(sha256) => q.picture(sha256).unwrap().1,
                Token::Entry(..) => Piece::Whole,
            };
            let fate = fates.next().unwrap_or(Fate::Arrives);
            if fate == Fate::ReceiverForgets && receiver.pictures == 0 {
                receiver.held = 0;
            }
            let lost = matches!(fate, Fate::Lost | Fate::LinkBreaks);
            let mut answer = match lost {
                true => None,
                false => receiver.take(&token, piece),
            };
            if fate == Fate::Doubled {
                answer = receiver.take(&token, piece);
            }
            if fate == Fate::LinkBreaks {
                q.lost(now, false);
                q.connected();
                continue;
            }
            if fate == Fate::AnswerLost {
                answer = None;
            }
            if mqtt {
                if fate != Fate::Lost {
                    q.transmitted(&token, now);
                }
                match answer {
                    Some(receipt) if fate == Fate::AnswerLate => late.push(receipt),
                    Some(receipt) => {
                        q.receipt(&receipt, now);
                        if fate == Fate::Doubled {
                            q.receipt(&receipt, now);
                        }
                    }
                    // A connection that takes nothing any more is given up.
                    None if fate == Fate::Lost => {
                        q.lost(now, false);
                        q.connected();
                    }
                    None => {}
                }
                continue;
            }
            match answer {
                Some(receipt) if receipt.status == ReceiptStatus::Partial => {
                    q.held(&token, receipt.offset.unwrap(), now);
                }
                Some(receipt) => q.answer(&token, &receipt, now),
                None if !lost && fate != Fate::AnswerLost => q.no_pieces(&token, now),
                None => q.unanswered(&token, None, now),
            }
        }
        if q.take_settled() == [1] {
            assert!(q.take_poison().is_empty());
            return receiver;
        }
    }
    panic!("not delivered: {receiver:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is lost, doubled, late or forgotten, the picture arrives once and the alert after it.
    #[test]
    fn a_picture_in_pieces_arrives_once_and_its_alert_after_it(
        fates in proptest::collection::vec(fate(), 0..60),
        total in 1_u64..400_000,
        chunk in prop_oneof![Just(SMALLEST), Just(FIRST), Just(CHUNK), Just(2 << 20)],
        mqtt in any::<bool>(),
        knows_pieces in any::<bool>(),
    ) {
        let receiver = course(&fates, total, chunk, mqtt, knows_pieces);
        prop_assert_eq!((receiver.pictures, receiver.alerts), (1, 1));
        // A fate costs a piece, not the picture, unless the receiver forgets all of it.
        let forgets = fates.contains(&Fate::ReceiverForgets);
        if receiver.wholes == 0 && !forgets {
            let most = total + (fates.len() as u64 + 2) * chunk.max(FIRST);
            prop_assert!(receiver.bytes <= most, "{} of {total}", receiver.bytes);
        }
    }
}

#[test]
fn an_undisturbed_picture_crosses_the_line_once() {
    for mqtt in [true, false] {
        let receiver = course(&[], 2 << 20, CHUNK, mqtt, true);
        assert_eq!((receiver.bytes, receiver.wholes), (2 << 20, 0));
        let small = course(&[], FIRST, CHUNK, mqtt, true);
        assert_eq!(small.wholes, 1, "not worth a question");
    }
}

#[test]
fn a_receiver_without_pieces_gets_pictures_whole_and_is_not_asked_again_for_an_hour() {
    for mqtt in [true, false] {
        let entries = [alert(1, &[(1, 100_000)]), alert(2, &[(2, 100_000)])];
        let mut q = queue(CHUNK, &entries[..1]);
        let mut now = S;
        let mut sent = Vec::new();
        let mut settled = BTreeSet::new();
        while settled.len() < 2 && now < 600 * S {
            now += 500 * MS;
            if settled.len() == 1 {
                feed(&mut q, &entries);
            }
            q.expire(now);
            while let Some(token) = q.next(now) {
                q.transmitted(&token, now);
                match &token {
                    Token::Entry(_, seq) => {
                        let mut receipt = stored(&entries[usize::try_from(*seq).unwrap() - 1]);
                        if sent.last() == Some(&Piece::Ask) {
                            receipt.status = ReceiptStatus::EvidenceMissing;
                        }
                        q.receipt(&receipt, now);
                    }
                    Token::Picture(sha256) => {
                        let piece = q.picture(sha256).unwrap().1;
                        sent.push(piece);
                        if piece == Piece::Whole {
                            q.receipt(&word(sha256, sha256, ReceiptStatus::Stored, None), now);
                        } else if !mqtt {
                            q.no_pieces(&token, now);
                        }
                    }
                }
            }
            settled.extend(q.take_settled());
        }
        assert_eq!(
            sent,
            [Piece::Ask, Piece::Whole, Piece::Whole],
            "mqtt: {mqtt}"
        );
    }
}

#[test]
fn a_receiver_that_takes_a_piece_for_a_picture_gets_the_picture_whole_and_it_counts_as_no_strike() {
    let wrong = |token: &Token, q: &mut Queue, answer: u8, now| match answer {
        0 => q.refused(token, "its bytes do not have this hash", now),
        1 => q.failed(token, now),
        2 => q.answer(
            token,
            &word(&name(9), &name(9), ReceiptStatus::Stored, None),
            now,
        ),
        _ => q.unanswered(token, None, now),
    };
    for answer in 0..4 {
        let mut q = queue(CHUNK, &[late(1, &[(1, 100_000)])]);
        let mut now = S;
        let mut wholes = 0;
        while q.take_settled().is_empty() {
            assert!(now < 900 * S, "answer {answer}");
            assert!(q.take_poison().is_empty(), "answer {answer}");
            q.expire(now);
            while let Some(token) = q.next(now) {
                match q.picture(&name(1)).unwrap().1 {
                    Piece::Ask if answer < 3 => q.held(&token, 0, now),
                    Piece::Whole => {
                        wholes += 1;
                        let stored = word(&name(1), &name(1), ReceiptStatus::Stored, None);
                        q.answer(&token, &stored, now);
                    }
                    _ => wrong(&token, &mut q, answer, now),
                }
            }
            now += 500 * MS;
        }
        assert_eq!(wholes, 1);
    }
}

#[test]
fn a_receiver_that_never_gets_on_is_not_asked_at_full_speed() {
    let entry = alert(1, &[(1, 1 << 20)]);
    let mut q = queue(CHUNK, &[entry]);
    let mut asked = 0;
    let mut now = S;
    while now < 300 * S {
        q.expire(now);
        while let Some(token) = q.next(now) {
            match &token {
                Token::Picture(_) => {
                    asked += 1;
                    q.held(&token, 0, now);
                }
                Token::Entry(..) => q.failed(&token, now),
            }
        }
        now += 10 * MS;
    }
    assert!((5..60).contains(&asked), "{asked} in 5 min");
    let token = Token::Picture(name(1).into());
    q.expire(now + 600 * S);
    q.next(now + 600 * S);
    q.held(&token, u64::MAX, now);
    assert!(
        q.pictures.held(&name(1)).unwrap_or(0) <= 1 << 20,
        "nonsense is not believed"
    );
}

#[test]
fn late_pictures_wait_for_what_is_more_urgent_and_settle_their_record() {
    let entries = [
        late(1, &[(1, 100), (2, 100)]),
        record(Class::Telemetry, 2, &[], b"reading".to_vec()),
        alert(3, &[(3, 100)]),
    ];
    let mut q = queue(CHUNK, &entries);
    q.allow(Allowance::Urgent);
    let token = |n| Token::Picture(name(n).into());
    let sent = |q: &mut Queue| std::iter::from_fn(|| q.next(S)).collect::<Vec<_>>();
    assert_eq!(sent(&mut q), [token(3)], "its alert waits for it");
    q.allow(Allowance::All);
    let reading = Token::Entry(Class::Telemetry, 2);
    assert_eq!(sent(&mut q), [reading, token(1)]);
    q.receipt(&word(&name(1), &name(1), ReceiptStatus::Stored, None), S);
    assert!(q.take_settled().is_empty(), "one is missing");
    assert_eq!(sent(&mut q), [token(2)]);
    q.receipt(&word(&name(2), &name(2), ReceiptStatus::Stored, None), S);
    assert_eq!(q.take_settled(), [1]);
}

#[test]
fn a_late_picture_that_is_refused_becomes_a_gap() {
    let mut q = queue(CHUNK, &[late(1, &[(1, 100)])]);
    let mut now = S;
    for _ in 0..crate::uplink::queue::STRIKES {
        q.expire(now);
        let token = q.next(now).unwrap();
        q.refused(&token, "too large", now);
        now += 120 * S;
    }
    assert_eq!(q.take_poison().len(), 1);
    assert!(q.take_settled().is_empty());
}

#[test]
fn the_platform_gets_a_picture_that_it_asks_for() {
    let mut q = queue(CHUNK, &[late(1, &[(1, 100)])]);
    q.allow(Allowance::Urgent);
    assert_eq!(q.next(S), None, "outside the window");
    let missing = |n| word(&name(n), &name(n), ReceiptStatus::EvidenceMissing, None);
    assert!(q.receipt(&missing(1), S));
    let token = Token::Picture(name(1).into());
    assert_eq!(q.next(S), Some(token), "asked for");
    q.receipt(&word(&name(1), &name(1), ReceiptStatus::Stored, None), S);
    assert_eq!(q.take_settled(), [1]);
    // One that nothing here names any more: whoever has the files is asked, and only then.
    assert!(q.receipt(&missing(2), S));
    assert!(q.receipt(&missing(2), S));
    assert_eq!(q.take_asked(), [Arc::from(name(2).as_str())]);
    q.bring(&name(2).as_str().into(), 100);
    assert_eq!(q.next(S), Some(Token::Picture(name(2).into())));
    q.allow(Allowance::Alerts);
    q.lost(S, false);
    q.connected();
    assert_eq!(q.next(S), None, "the budget is spent");
    // Requests are bounded.
    for n in 0..u8::MAX {
        q.receipt(&missing(n), S);
    }
    assert!(q.take_asked().len() <= ASKED);
}

#[test]
fn with_a_spent_budget_alerts_and_their_pictures_go_alone() {
    let entries = [
        record(Class::Gap, 1, &[], b"gap".to_vec()),
        record(Class::Telemetry, 2, &[], b"reading".to_vec()),
        alert(3, &[]),
        alert(4, &[(4, 100)]),
        late(5, &[(5, 100)]),
    ];
    let mut q = queue(CHUNK, &entries);
    q.allow(Allowance::Alerts);
    let sent: Vec<_> = std::iter::from_fn(|| q.next(S)).collect();
    let picture = Token::Picture(name(4).into());
    assert_eq!(sent, [Token::Entry(Class::Alert, 3), picture]);
}

#[test]
fn pieces_follow_the_speed_of_the_line_within_their_limits() {
    let mut pieces = Pieces::of(CHUNK);
    for _ in 0..10 {
        pieces.took(pieces.size(), 100 * MS);
    }
    assert_eq!(pieces.size(), CHUNK);
    for _ in 0..10 {
        pieces.took(pieces.size(), 3 * S);
    }
    assert_eq!(pieces.size(), SMALLEST);
    assert!(pieces.is_slow());
    pieces.link_takes(1_000);
    assert_eq!(pieces.size(), 1_000, "what the broker takes");
}
