//! Random courses of events against the queue's invariants.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

impl Queue {
    pub(super) fn unsettled(&self) -> bool {
        [&self.alerts, &self.gaps, &self.telemetry]
            .iter()
            .any(|lane| !lane.items.is_empty())
    }

    /// Counts, timers and ready sets against the states that they follow.
    fn audit(&self) {
        let flying = self.tokens(Course::flying);
        assert_eq!(self.flying, flying.len());
        let flying_pictures = flying
            .iter()
            .filter(|t| matches!(t, Token::Picture(_)))
            .count();
        assert_eq!(self.pictures.flying(), flying_pictures);
        let handed = self.tokens(|c| matches!(c.state, State::Handed { .. }));
        let telemetry = handed
            .iter()
            .filter(|t| matches!(t, Token::Entry(Class::Telemetry, _)));
        assert_eq!(self.flying_telemetry, telemetry.count());
        let alerts = handed
            .iter()
            .filter(|t| matches!(t, Token::Entry(Class::Alert, _)));
        assert_eq!(self.flying_alerts, alerts.count());
        for lane in [&self.alerts, &self.gaps, &self.telemetry] {
            let ready: BTreeSet<_> = lane
                .items
                .iter()
                .filter(|(_, i)| i.course.state == State::Ready)
                .map(|(seq, _)| *seq)
                .collect();
            assert_eq!(lane.ready, ready);
        }
        let timed: BTreeSet<_> = self
            .tokens(|c| matches!(c.state, State::Resting { .. } | State::Awaiting { .. }))
            .into_iter()
            .collect();
        let timers: BTreeSet<_> = self.timers.iter().map(|(_, token)| token.clone()).collect();
        assert_eq!(timers, timed);
        assert_eq!(self.timers.len(), timed.len());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(u8, Option<u8>),
    Run(u16),
    Ack,
    Answer(u8),
    Break(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3_u8, proptest::option::of(0..4_u8)).prop_map(|(c, p)| Step::Append(c, p)),
        5 => (1..8_000_u16).prop_map(Step::Run),
        3 => Just(Step::Ack),
        5 => (0..12_u8).prop_map(Step::Answer),
        1 => any::<bool>().prop_map(Step::Break),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever happens on the way, everything is settled once or is poison, never neither and
    /// never both, as soon as the receiver behaves again.
    #[test]
    fn everything_is_settled_once(steps in proptest::collection::vec(step(), 1..80)) {
        let mut q = queue(Border::Receipt, Vec::new());
        let mut now = S;
        let mut all: Vec<Entry> = Vec::new();
        let mut done: BTreeMap<Seq, &str> = BTreeMap::new();
        let mut out: Vec<Token> = Vec::new();
        let mut first_sent: BTreeMap<Class, Seq> = BTreeMap::new();
        let finish = std::iter::repeat_n(Step::Run(20_000), 60);
        let calm_from = steps.len();
        for (number, step) in steps.into_iter().chain(finish).enumerate() {
            let calm = number >= calm_from;
            match step {
                Step::Append(class, picture) => {
                    let class = [Class::Alert, Class::Gap, Class::Telemetry][usize::from(class)];
                    let name = picture.map(|p| format!("p{p}"));
                    let pictures: Vec<&str> = match class {
                        Class::Alert => name.as_deref().into_iter().collect(),
                        _ => Vec::new(),
                    };
                    all.push(entry(class, all.len() as Seq + 1, &pictures));
                    feed(&mut q, all.clone());
                }
                Step::Run(ms) => {
                    now += MS * u32::from(ms);
                    if calm {
                        q.connected();
                    }
                    feed(&mut q, all.clone());
                    let sent = drain(&mut q, now);
                    for token in &sent {
                        if let Token::Entry(class, seq) = token {
                            let last = first_sent.entry(*class).or_insert(0);
                            if *seq > *last {
                                let skipped = all.iter().any(|e| {
                                    e.record.lane.class == *class
                                        && e.seq > *last
                                        && e.seq < *seq
                                        // Who waits for a picture may be overtaken.
                                        && e.record.evidence.is_empty()
                                });
                                prop_assert!(!skipped, "{class:?} {seq} before its elders");
                                *last = *seq;
                            }
                        }
                    }
                    out.extend(sent);
                    if calm {
                        for token in std::mem::take(&mut out) {
                            q.transmitted(&token, now);
                            let receipt = match &token {
                                Token::Entry(_, seq) => stored(*seq),
                                Token::Picture(p) => picture_word(p, ReceiptStatus::Stored),
                            };
                            q.receipt(&receipt, now);
                        }
                    }
                }
                Step::Ack => {
                    for token in &out {
                        q.transmitted(token, now);
                    }
                }
                Step::Answer(kind) => {
                    let Some(token) = out.get(usize::from(kind) % out.len().max(1)).cloned() else {
                        continue;
                    };
                    let status = match kind % 4 {
                        0 | 1 => ReceiptStatus::Stored,
                        2 => ReceiptStatus::EvidenceMissing,
                        _ => ReceiptStatus::Refused,
                    };
                    match (kind, &token) {
                        (9, _) => q.failed(&token, now),
                        (10, _) => q.unanswered(&token, None, now),
                        (_, Token::Entry(_, seq)) => {
                            q.receipt(&about(*seq, status), now);
                        }
                        (_, Token::Picture(p)) => {
                            q.receipt(&picture_word(p, status), now);
                        }
                    }
                }
                Step::Break(closed) => {
                    q.lost(now, closed);
                    now += S;
                    q.connected();
                }
            }
            q.audit();
            for seq in q.take_settled() {
                prop_assert!(done.insert(seq, "settled").is_none());
            }
            for (seq, _) in q.take_poison() {
                prop_assert!(done.insert(seq, "poison").is_none());
            }
        }
        prop_assert_eq!(done.len(), all.len());
    }
}
