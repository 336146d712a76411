//! Slow links and long backlogs.

use super::*;

#[test]
fn a_live_alert_overtakes_a_backlog_on_a_slow_link() {
    // 64 kbit/s: a 3.5 KB message each 0.44 s, in order of sending.
    const EACH: Duration = Duration::from_millis(440);
    let backlog: Vec<_> = (1..=5_000)
        .map(|s| entry(Class::Telemetry, s, &[]))
        .collect();
    let mut q = queue(Border::Receipt, backlog.clone());
    let mut now = S;
    let mut free = now;
    let mut pipe: Vec<(Duration, Token)> = Vec::new();
    let mut waited = None;
    while now < 200 * S {
        if now == 100 * S {
            let mut all = backlog.clone();
            all.push(entry(Class::Alert, 6_000, &[]));
            feed(&mut q, all);
        }
        for token in drain(&mut q, now) {
            free = free.max(now) + EACH;
            pipe.push((free, token));
        }
        let (done, rest) = pipe.into_iter().partition(|(at, _)| *at <= now);
        pipe = rest;
        for (at, token) in done {
            q.transmitted(&token, now);
            if let Token::Entry(class, seq) = token {
                if class == Class::Alert {
                    waited = Some(at - 100 * S);
                }
                q.receipt(&stored(seq), now);
            }
        }
        q.take_settled();
        now += 20 * MS;
    }
    let waited = waited.unwrap();
    assert!(waited <= 5 * S, "{waited:?}");
}

#[test]
fn the_drain_keeps_its_rate_and_reaches_it() {
    let backlog: Vec<_> = (1..=40_000)
        .map(|s| entry(Class::Telemetry, s, &[]))
        .collect();
    let mut q = Queue::new(Border::Receipt, true, Pieces::of(PIECE), Arc::default(), 1);
    q.connected();
    let mut now = Duration::ZERO;
    let mut sent = 0;
    while now < 5 * S {
        feed_some(&mut q, &backlog);
        for token in drain(&mut q, now) {
            if let Token::Entry(_, seq) = token {
                sent += 1;
                q.receipt(&stored(seq), now + MS);
            }
        }
        now += MS;
    }
    let most = DRAIN_PER_SECOND * 5.0 + TELEMETRY_LOADED as f64;
    assert!(f64::from(sent) <= most, "{sent}");
    assert!(f64::from(sent) >= DRAIN_PER_SECOND * 4.5, "{sent}");
}

fn feed_some(queue: &mut Queue, entries: &[Entry]) {
    while let Some(want) = queue.want() {
        let start = want.after.map_or(0, |a| usize::try_from(a).unwrap());
        let found: Vec<_> = match want.class {
            Class::Telemetry => entries.iter().skip(start).take(want.max).cloned().collect(),
            _ => Vec::new(),
        };
        queue.load(want, found);
    }
}
