//! Whatever is configured and asked.

use proptest::prelude::*;

use super::*;

fn any_window() -> impl Strategy<Value = Window> {
    let days = prop::sample::select(vec![
        "",
        "mon-fri",
        "sat-sun",
        "fri-mon",
        "wed",
        "workday",
        "restday",
        "holiday",
        "2026-10-01..2026-10-03",
        "2026-03-08",
        "2026-11-01",
    ]);
    (days, 0u16..1440, 1u16..1440).prop_map(|(days, from, length)| {
        let to = (from + length) % 1440;
        let time = |m: u16| format!("{:02}:{:02}", m / 60, m % 60);
        window(&format!("{days} {}-{}", time(from), time(to)))
    })
}

fn any_calendar() -> impl Strategy<Value = Calendar> {
    let list = || prop::collection::vec(any_window(), 1..4);
    let kinds = prop_oneof![
        list().prop_map(Windows::Allowed),
        list().prop_map(Windows::Watched),
        Just(Windows::None),
    ];
    let names = prop::sample::select(vec![CHINA, "UTC", NEW_YORK, "Australia/Lord_Howe"]);
    let permits = prop::collection::vec((0i64..300 * 86_400, 1i64..20 * 86_400, list()), 0..3);
    (kinds, names, permits, 0u64..90_000, 0u64..90_000).prop_map(
        |(kinds, name, permits, grace_in, grace_out)| {
            let mut made = calendar(kinds, name);
            made.hours.grace_in = Duration::from_secs(grace_in.min(86_400));
            made.hours.grace_out = Duration::from_secs(grace_out.min(86_400));
            let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
            made.permits = permits
                .into_iter()
                .enumerate()
                .map(|(i, (from, length, windows))| {
                    let from = start + SignedDuration::from_secs(from);
                    Permit {
                        from,
                        to: from + SignedDuration::from_secs(length),
                        // Every other one goes at any time.
                        windows: if i % 2 == 0 { windows } else { Vec::new() },
                        ..permit("P", "2026-01-01", "2026-01-01", &[])
                    }
                })
                .collect();
            made
        },
    )
}

proptest! {
    /// Whatever is asked, each moment has one answer, and it is the same however it is asked.
    #[test]
    fn each_moment_has_exactly_one_state(
        calendar in any_calendar(),
        from in 0i64..360 * 86_400,
        length in 1i64..20 * 86_400,
        inside in 0.0f64..1.0,
    ) {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let from = start + SignedDuration::from_secs(from);
        let to = from + SignedDuration::from_secs(length);
        let phases = calendar.timeline(from, to);
        prop_assert_eq!(phases.first().map(|p| p.from), Some(from));
        prop_assert_eq!(phases.last().map(|p| p.to), Some(to));
        for pair in phases.windows(2) {
            prop_assert_eq!(pair[0].to, pair[1].from, "no gap, no overlap");
            prop_assert_ne!(pair[0].state, pair[1].state);
        }
        let moment = from + SignedDuration::from_secs((length as f64 * inside) as i64);
        let holding: Vec<_> = phases.iter().filter(|p| p.from <= moment && moment < p.to).collect();
        prop_assert_eq!(holding.len(), 1);
        prop_assert_eq!(holding[0].state, calendar.at(moment).state);
        let mut gate = Gate::new(Arc::new(calendar.clone()));
        for phase in &phases {
            prop_assert_eq!(gate.look(phase.from).0, phase.state);
        }
    }

    /// The next change is one, and nothing changes before it.
    #[test]
    fn the_next_change_is_the_next(
        calendar in any_calendar(),
        from in 0i64..360 * 86_400,
        inside in 0.0f64..1.0,
    ) {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let from = start + SignedDuration::from_secs(from);
        let now = calendar.at(from).state;
        let end = match calendar.next_change(from) {
            Some(next) => {
                prop_assert!(next.from > from);
                prop_assert_ne!(next.state, now);
                prop_assert_eq!(calendar.at(next.from).state, next.state);
                next.from
            }
            None => from + LOOK_AHEAD,
        };
        let length = end.duration_since(from).as_secs_f64() * inside;
        let between = from + SignedDuration::from_secs(length as i64);
        prop_assert_eq!(calendar.at(between).state, now);
    }

    /// What has ended has ended: forbidden from then on until now, open just before.
    #[test]
    fn what_ended_last_was_open(calendar in any_calendar(), from in 0i64..360 * 86_400) {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let moment = start + SignedDuration::from_secs(from);
        if calendar.at(moment).state == State::Forbidden
            && let Some(ended) = calendar.ended(moment)
        {
            prop_assert!(ended.at <= ended.forbidden_since && ended.forbidden_since <= moment);
            prop_assert_eq!(calendar.at(ended.forbidden_since).state, State::Forbidden);
            let before = calendar.at(ended.at - SignedDuration::from_nanos(1)).state;
            prop_assert!(matches!(before, State::Open(_)), "{:?}", before);
        }
    }

    #[test]
    fn no_text_and_no_time_panics(
        text in "\\PC{0,40}",
        near in "(mon|fri|holiday|20[0-9]{2}-[0-9]{2}-[0-9]{2}|[0-9]{1,2}:[0-9]{2}|[-,. :T+Z])*",
        time in any::<i64>(),
    ) {
        let usa = zone(NEW_YORK);
        for text in [text, near] {
            if let Ok(window) = Window::parse(&text) {
                prop_assert_eq!(Window::parse(&window.to_string()), Ok(window));
            }
            let _ = Dates::parse(&text);
            let _ = moment(&text, &usa, Edge::Start);
            let _ = moment(&text, &usa, Edge::End);
        }
        if let Ok(moment) = Timestamp::from_microsecond(time) {
            for kind in [Windows::Allowed, Windows::Watched] {
                let calendar = calendar(kind(windows(&["fri-mon 22:00-02:00"])), NEW_YORK);
                let state = calendar.at(moment).state;
                let _ = calendar.permitted(state, moment);
                let _ = calendar.ended(moment);
            }
        }
    }
}
