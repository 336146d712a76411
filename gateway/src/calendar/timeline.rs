//! From windows and permits to phases.

use std::{cmp::Reverse, time::Duration};

use jiff::{Timestamp, ToSpan, civil::Date};

use super::{
    By, Calendar, Edge, Ended, LOOK_AHEAD, LOOK_BACK, Phase, State, Window, Windows, instant,
};

/// Time in which use is permitted, from `from` up to but not at `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) by: By,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// A look ahead goes by so much at a time.
const STEP: Duration = Duration::from_secs(7 * 86_400);
/// How long what is found at a moment is good for, if nothing changes before.
const AT_ONCE: Duration = Duration::from_secs(86_400);

impl Calendar {
    /// What goes at `at`, and until when at least. The phase is given from `at` on.
    pub fn at(&self, at: Timestamp) -> Phase {
        let until = later(at, AT_ONCE);
        let found = self.timeline(at, until).into_iter().next();
        found.unwrap_or(Phase {
            state: State::Forbidden,
            from: at,
            to: until,
        })
    }

    /// All phases from `from` up to `to`: they follow each other without gap or overlap.
    pub fn timeline(&self, from: Timestamp, to: Timestamp) -> Vec<Phase> {
        let (grace_in, grace_out) = (self.hours.grace_in, self.hours.grace_out);
        let spans = self.spans(earlier(from, grace_out), later(to, grace_in));
        let mut edges: Vec<Timestamp> = spans
            .iter()
            .flat_map(|s| {
                [
                    earlier(s.from, grace_in),
                    s.from,
                    s.to,
                    later(s.to, grace_out),
                ]
            })
            .filter(|edge| from < *edge && *edge < to)
            .chain([from, to])
            .collect();
        edges.sort_unstable();
        edges.dedup();
        let mut phases: Vec<Phase> = Vec::new();
        for (from, to) in edges.iter().zip(edges.iter().skip(1)) {
            let state = state(&spans, *from, grace_in, grace_out);
            match phases.last_mut() {
                Some(last) if last.state == state => last.to = *to,
                _ => phases.push(Phase {
                    state,
                    from: *from,
                    to: *to,
                }),
            }
        }
        phases
    }

    /// When next something else goes; `None` if nothing changes within [`LOOK_AHEAD`].
    pub fn next_change(&self, at: Timestamp) -> Option<Phase> {
        let now = self.at(at).state;
        let mut from = at;
        let end = later(at, LOOK_AHEAD);
        while from < end {
            let to = later(from, STEP).min(end);
            let phases = self.timeline(from, to);
            if let Some(other) = phases.into_iter().find(|p| p.state != now) {
                return Some(other);
            }
            from = to;
        }
        None
    }

    /// The use that ended last before forbidden `at`, and since when it is forbidden.
    pub fn ended(&self, at: Timestamp) -> Option<Ended> {
        let grace = self.hours.grace_out;
        let spans = self.spans(earlier(earlier(at, LOOK_BACK), grace), at);
        let over = spans.iter().filter(|s| later(s.to, grace) <= at);
        let last = over.max_by_key(|s| (s.to, Reverse(s.by)))?;
        Some(Ended {
            by: last.by,
            at: last.to,
            forbidden_since: later(last.to, grace),
        })
    }

    /// The permitted time around or next to `at` that `by` stands for.
    pub(super) fn span_of(&self, by: By, at: Timestamp) -> Option<Span> {
        let (grace_in, grace_out) = (self.hours.grace_in, self.hours.grace_out);
        let spans = self.spans(earlier(at, grace_out), later(at, grace_in));
        let near = |s: &&Span| {
            s.by == by && earlier(s.from, grace_in) <= at && at < later(s.to, grace_out)
        };
        spans.iter().find(near).copied()
    }

    /// Permitted times that touch the time from `from` to `to`, whole.
    fn spans(&self, from: Timestamp, to: Timestamp) -> Vec<Span> {
        let mut spans = Vec::new();
        match &self.hours.windows {
            Windows::None => {}
            Windows::Allowed(windows) => {
                for (i, window) in windows.iter().enumerate() {
                    self.windows(window, By::Window(i), from, to, &mut spans);
                }
            }
            Windows::Watched(windows) => self.unwatched(windows, from, to, &mut spans),
        }
        for (i, permit) in self.permits.iter().enumerate() {
            let by = By::Permit(i);
            if permit.to <= from || to < permit.from {
                continue;
            }
            let whole = Span {
                by,
                from: permit.from,
                to: permit.to,
            };
            if permit.windows.is_empty() {
                spans.push(whole);
                continue;
            }
            let first = spans.len();
            for window in &permit.windows {
                self.windows(window, by, from, to, &mut spans);
            }
            for span in spans.iter_mut().skip(first) {
                span.from = span.from.max(whole.from);
                span.to = span.to.min(whole.to);
            }
        }
        spans.retain(|s| s.from < s.to && s.from <= to && from <= s.to);
        spans
    }

    fn windows(
        &self,
        window: &Window,
        by: By,
        from: Timestamp,
        to: Timestamp,
        out: &mut Vec<Span>,
    ) {
        let day = |at: Timestamp| self.time_zone.to_datetime(at).date();
        // A window that crosses midnight began the day before; one more for a day that a
        // country left out.
        let mut date = day(from).checked_sub(2.days()).unwrap_or(Date::MIN);
        let last = day(to);
        while date <= last {
            if window.is_on(date, &self.days)
                && let Some((begin, end)) = window.on(date)
            {
                out.push(Span {
                    by,
                    from: instant(&self.time_zone, begin, Edge::Start),
                    to: instant(&self.time_zone, end, Edge::End),
                });
            }
            match date.tomorrow() {
                Ok(next) => date = next,
                Err(_) => break,
            }
        }
    }

    /// What lies between watched times.
    fn unwatched(&self, windows: &[Window], from: Timestamp, to: Timestamp, out: &mut Vec<Span>) {
        let (begin, end) = (earlier(from, LOOK_BACK), later(to, LOOK_BACK));
        let mut watched = Vec::new();
        for window in windows {
            self.windows(window, By::Unwatched, begin, end, &mut watched);
        }
        watched.retain(|s| s.from < s.to);
        watched.sort_unstable_by_key(|s| s.from);
        let mut free = begin;
        for span in watched {
            if free < span.from {
                out.push(Span {
                    by: By::Unwatched,
                    from: free,
                    to: span.from,
                });
            }
            free = free.max(span.to);
        }
        if free < end {
            out.push(Span {
                by: By::Unwatched,
                from: free,
                to: end,
            });
        }
    }
}

fn state(spans: &[Span], at: Timestamp, grace_in: Duration, grace_out: Duration) -> State {
    let open = spans.iter().filter(|s| s.from <= at && at < s.to);
    if let Some(by) = open.map(|s| s.by).min() {
        return State::Open(by);
    }
    let over = spans
        .iter()
        .filter(|s| s.to <= at && at < later(s.to, grace_out));
    if let Some(last) = over.max_by_key(|s| (s.to, Reverse(s.by))) {
        return State::TakeDown(last.by);
    }
    let soon = spans
        .iter()
        .filter(|s| at < s.from && earlier(s.from, grace_in) <= at);
    match soon.min_by_key(|s| (s.from, s.by)) {
        Some(next) => State::SetUp(next.by),
        None => State::Forbidden,
    }
}

pub(super) fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}

pub(super) fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
