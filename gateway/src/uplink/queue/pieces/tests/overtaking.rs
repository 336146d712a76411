//! What overtakes what on a slow line.

use super::*;

/// 64 kbit/s, in order of sending.
struct Slow {
    free: Duration,
    pipe: Vec<(Duration, Token, u64)>,
}

impl Slow {
    const BYTES_PER_SECOND: f64 = 8_000.0;

    fn send(&mut self, token: Token, bytes: u64, now: Duration) {
        let took = Duration::from_secs_f64((bytes + 100) as f64 / Self::BYTES_PER_SECOND);
        self.free = self.free.max(now) + took;
        self.pipe.push((self.free, token, bytes));
    }

    fn arrived(&mut self, now: Duration) -> Vec<(Token, u64)> {
        let (done, rest) = self.pipe.drain(..).partition(|(at, ..)| *at <= now);
        self.pipe = rest;
        done.into_iter()
            .map(|(_, token, n): (_, _, u64)| (token, n))
            .collect()
    }
}

/// Runs `entries` over a slow line and adds `fresh` at 100 s; when it arrived, after that.
fn overtakes(entries: Vec<Entry>, fresh: Entry) -> Duration {
    let mut q = queue(CHUNK, &entries);
    let mut line = Slow {
        free: S,
        pipe: Vec::new(),
    };
    let mut held = std::collections::HashMap::<String, u64>::new();
    let raised = 100 * S;
    let mut all = entries.clone();
    let mut now = S;
    while now < 400 * S {
        if now >= raised && all.len() == entries.len() {
            all.push(fresh.clone());
        }
        feed(&mut q, &all);
        q.expire(now);
        while let Some(token) = q.next(now) {
            let bytes = match &token {
                Token::Entry(..) => 1_500,
                Token::Picture(sha256) => match q.picture(sha256).unwrap().1 {
                    Piece::Whole => q.pictures.total(sha256),
                    Piece::Ask => 0,
                    Piece::Part { length, .. } => length,
                },
            };
            line.send(token, bytes, now);
        }
        for (token, bytes) in line.arrived(now) {
            q.transmitted(&token, now);
            match &token {
                Token::Entry(_, seq) => {
                    let entry = all.iter().find(|e| e.seq == *seq).unwrap();
                    if *seq == fresh.seq {
                        return now - raised;
                    }
                    q.receipt(&stored(entry), now);
                }
                Token::Picture(sha256) => {
                    let total = q.pictures.total(sha256);
                    let held = held.entry(sha256.to_string()).or_default();
                    *held += bytes;
                    let (status, offset) = match *held >= total {
                        true => (ReceiptStatus::Stored, None),
                        false => (ReceiptStatus::Partial, Some(*held)),
                    };
                    q.receipt(&word(sha256, sha256, status, offset), now);
                }
            }
        }
        q.take_settled();
        now += 20 * MS;
    }
    panic!("the fresh alert did not arrive");
}

#[test]
fn a_fresh_alert_overtakes_a_large_picture_on_a_slow_line() {
    let waited = overtakes(vec![alert(1, &[(1, 2 << 20)])], alert(2, &[]));
    println!("2 MiB picture at 64 kbit/s: a fresh alert arrives after {waited:?}");
    assert!(waited <= 5 * S, "{waited:?}");
    let waited = overtakes(vec![late(1, &[(1, 2 << 20)])], alert(2, &[]));
    assert!(waited <= 5 * S, "{waited:?}");
}

#[test]
fn a_fresh_alert_overtakes_ten_thousand_older_ones_on_a_slow_line() {
    let backlog: Vec<Entry> = (1..=10_000).map(|seq| alert(seq, &[])).collect();
    let waited = overtakes(backlog, alert(10_001, &[]));
    println!("10,000 alerts at 64 kbit/s: a fresh one arrives after {waited:?}");
    assert!(waited <= 5 * S, "{waited:?}");
}

#[test]
fn what_goes_on_with_an_older_alert_does_not_overtake_it() {
    let mut entries: Vec<Entry> = (1..=300).map(|seq| alert(seq, &[])).collect();
    let mut q = queue(CHUNK, &entries);
    entries.push(record(Class::Alert, 301, &[], body(301, "cleared", "a300")));
    entries.push(alert(302, &[]));
    let mut order = Vec::new();
    let mut now = S;
    while order.len() < entries.len() && now < 60 * S {
        feed(&mut q, &entries);
        while let Some(token) = q.next(now) {
            let Token::Entry(_, seq) = token else {
                continue;
            };
            order.push(seq);
            q.receipt(&stored(&entries[usize::try_from(seq).unwrap() - 1]), now);
        }
        q.take_settled();
        now += 100 * MS;
    }
    let place = |seq| order.iter().position(|s| *s == seq).unwrap();
    assert!(place(302) < 100, "the new one overtakes");
    assert!(place(301) > place(300), "{order:?}");
    assert_eq!(order.len(), order.iter().collect::<BTreeSet<_>>().len());
    assert!(
        q.alerts.ahead.is_empty(),
        "remembered no longer than needed"
    );
}

#[test]
fn an_alert_that_waits_for_its_picture_holds_up_its_own_messages_only() {
    let entries = [
        alert(1, &[(1, 100)]),
        record(Class::Alert, 2, &[], body(2, "updated", "a1")),
        alert(3, &[]),
    ];
    let mut q = queue(CHUNK, &entries);
    let sent: Vec<_> = std::iter::from_fn(|| q.next(S)).collect();
    let picture = Token::Picture(name(1).into());
    assert_eq!(sent, [Token::Entry(Class::Alert, 3), picture]);
    q.receipt(&word(&name(1), &name(1), ReceiptStatus::Stored, None), S);
    let sent: Vec<_> = std::iter::from_fn(|| q.next(S)).collect();
    assert_eq!(sent, [1, 2].map(|seq| Token::Entry(Class::Alert, seq)));
}
