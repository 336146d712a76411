//! Edges: at every boundary, one second before it and one after.

mod properties;
mod texts;

use jiff::{SignedDuration, ToSpan, civil::Date};

use super::*;

const CHINA: &str = "Asia/Shanghai";
const NEW_YORK: &str = "America/New_York";
const MINUTE: Duration = Duration::from_secs(60);

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn window(text: &str) -> Window {
    Window::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn windows(texts: &[&str]) -> Vec<Window> {
    texts.iter().map(|t| window(t)).collect()
}

/// National day of 2026, with the Saturday that makes up for it.
fn days() -> Arc<Days> {
    Arc::new(Days {
        holidays: vec![Dates::parse("2026-10-01..2026-10-07").unwrap()],
        workdays: vec![Dates::parse("2026-10-10").unwrap()],
        valid_until: Some("2026-12-31".parse().unwrap()),
    })
}

fn calendar(windows: Windows, zone_name: &str) -> Calendar {
    Calendar {
        place: "gate/stall".into(),
        hours: Hours {
            windows,
            grace_in: Duration::ZERO,
            grace_out: Duration::ZERO,
        },
        days: days(),
        permits: Vec::new(),
        time_zone: zone(zone_name),
    }
}

fn allowed(texts: &[&str]) -> Calendar {
    calendar(Windows::Allowed(windows(texts)), CHINA)
}

fn permit(id: &str, from: &str, to: &str, texts: &[&str]) -> Permit {
    Permit {
        id: id.into(),
        zones: vec!["gate/stall".into()],
        holder: None,
        from: moment(from, &zone(CHINA), Edge::Start).unwrap(),
        to: moment(to, &zone(CHINA), Edge::End).unwrap(),
        windows: windows(texts),
    }
}

fn at(zone_name: &str, local: &str) -> Timestamp {
    let local: DateTime = local.parse().unwrap();
    zone(zone_name).to_timestamp(local).unwrap()
}

/// Open from the first second on and no second earlier, until the second and no second later.
#[track_caller]
fn open_exactly(calendar: &Calendar, from: Timestamp, to: Timestamp) {
    let second = SignedDuration::from_secs(1);
    for (moment, is_open) in [
        (from - second, false),
        (from, true),
        (from + second, true),
        (to - second, true),
        (to, false),
        (to + second, false),
    ] {
        let state = calendar.at(moment).state;
        let local = calendar.time_zone.to_datetime(moment);
        assert_eq!(
            matches!(state, State::Open(_)),
            is_open,
            "{local}: {state:?}"
        );
    }
}

#[test]
fn boundaries_of_windows() {
    for (text, from, to) in [
        ("17:00-22:00", "2026-11-25T17:00", "2026-11-25T22:00"),
        ("7:00-09:00", "2026-11-25T07:00", "2026-11-25T09:00"),
        // Thursday, Friday; a window is over at the end of its last day.
        ("thu-fri", "2026-11-26T00:00", "2026-11-28T00:00"),
        ("wed 00:00-24:00", "2026-11-25T00:00", "2026-11-26T00:00"),
        // Across midnight, into the day after the named one.
        ("wed 22:00-02:00", "2026-11-25T22:00", "2026-11-26T02:00"),
        ("sun 22:00-02:00", "2026-11-29T22:00", "2026-11-30T02:00"),
        ("wed 22:00-00:00", "2026-11-25T22:00", "2026-11-26T00:00"),
        // All but a minute of a day.
        ("wed 00:01-00:00", "2026-11-25T00:01", "2026-11-26T00:00"),
        ("wed 12:00-11:59", "2026-11-25T12:00", "2026-11-26T11:59"),
        // Around the week.
        ("fri-mon", "2026-11-27T00:00", "2026-12-01T00:00"),
        (
            "sun-mon 08:00-09:00",
            "2026-11-29T08:00",
            "2026-11-29T09:00",
        ),
        // Across the end of the year, and a leap day.
        (
            "2026-12-31 22:00-02:00",
            "2026-12-31T22:00",
            "2027-01-01T02:00",
        ),
        ("2028-02-29", "2028-02-29T00:00", "2028-03-01T00:00"),
        (
            "2028-02-28..2028-03-01",
            "2028-02-28T00:00",
            "2028-03-02T00:00",
        ),
        (
            "2027-02-28 22:00-06:00",
            "2027-02-28T22:00",
            "2027-03-01T06:00",
        ),
        // Holidays: seven days on end, also the Saturday and Sunday among them.
        ("holiday", "2026-10-01T00:00", "2026-10-08T00:00"),
        (
            "holiday 22:00-02:00",
            "2026-10-07T22:00",
            "2026-10-08T02:00",
        ),
    ] {
        open_exactly(&allowed(&[text]), at(CHINA, from), at(CHINA, to));
    }
}

#[test]
fn working_days_and_days_of_rest() {
    let (work, rest) = (allowed(&["workday"]), allowed(&["restday"]));
    for (day, works) in [
        ("2026-09-30", true),  // Wednesday
        ("2026-10-01", false), // holiday, Thursday
        ("2026-10-03", false), // holiday, Saturday
        ("2026-10-07", false), // holiday, Wednesday
        ("2026-10-08", true),
        ("2026-10-10", true), // Saturday that is worked
        ("2026-10-11", false),
        ("2026-10-17", false),
        // After the end of the table days of the week go alone.
        ("2027-01-01", true),
        ("2027-01-02", false),
    ] {
        for time in ["T00:00", "T23:59:59"] {
            let moment = at(CHINA, &format!("{day}{time}"));
            assert_eq!(work.at(moment).state.is_legal(), works, "{day}");
            assert_eq!(rest.at(moment).state.is_legal(), !works, "{day}");
        }
    }
    // The day of the week itself knows no holidays.
    let thursdays = allowed(&["thu"]);
    assert!(thursdays.at(at(CHINA, "2026-10-01T12:00")).state.is_legal());
}

#[test]
fn windows_that_touch_or_overlap_leave_no_hole() {
    let both = allowed(&["wed 17:00-19:00", "wed 19:00-22:00", "wed 21:00-23:00"]);
    open_exactly(
        &both,
        at(CHINA, "2026-11-25T17:00"),
        at(CHINA, "2026-11-25T23:00"),
    );
    let whole = allowed(&["00:00-24:00"]);
    let from = at(CHINA, "2026-11-25T00:00");
    assert_eq!(whole.timeline(from, from + 30 * 24 * HOUR).len(), 1);
    assert_eq!(whole.next_change(from), None);
    assert_eq!(calendar(Windows::None, CHINA).next_change(from), None);
}

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn watched_hours_are_the_other_way_round() {
    let watched = calendar(Windows::Watched(windows(&["workday 07:00-09:00"])), CHINA);
    let state = |local: &str| watched.at(at(CHINA, local)).state;
    for (local, legal) in [
        ("2026-11-25T06:59:59", true),
        ("2026-11-25T07:00", false),
        ("2026-11-25T08:59:59", false),
        ("2026-11-25T09:00", true),
        ("2026-11-28T08:00", true), // Saturday
        ("2026-10-01T08:00", true), // holiday
        ("2026-10-10T08:00", false),
    ] {
        assert_eq!(state(local).is_legal(), legal, "{local}");
    }
    // A permit in watched hours.
    let with = watched.with_permits(&[permit("P", "2026-11-25 08:00", "2026-11-25 08:30", &[])]);
    assert_eq!(
        with.at(at(CHINA, "2026-11-25T08:00")).state,
        State::Open(By::Permit(0))
    );
    assert_eq!(
        with.at(at(CHINA, "2026-11-25T08:30")).state,
        State::Forbidden
    );
    // Watched once in a long time.
    let once = calendar(Windows::Watched(windows(&["2027-06-01"])), CHINA);
    let next = once.next_change(at(CHINA, "2026-11-25T08:00")).unwrap();
    assert_eq!(
        (next.state, next.from),
        (State::Forbidden, at(CHINA, "2027-06-01T00:00"))
    );
}

#[test]
fn grace_on_both_sides_second_by_second() {
    let mut stall = allowed(&["wed 17:00-22:00"]);
    stall.hours.grace_in = 30 * MINUTE;
    stall.hours.grace_out = 45 * MINUTE;
    let by = By::Window(0);
    for (local, state) in [
        ("16:29:59", State::Forbidden),
        ("16:30:00", State::SetUp(by)),
        ("16:59:59", State::SetUp(by)),
        ("17:00:00", State::Open(by)),
        ("21:59:59", State::Open(by)),
        ("22:00:00", State::TakeDown(by)),
        ("22:44:59", State::TakeDown(by)),
        ("22:45:00", State::Forbidden),
    ] {
        let moment = at(CHINA, &format!("2026-11-25T{local}"));
        assert_eq!(stall.at(moment).state, state, "{local}");
    }
    let ended = stall.ended(at(CHINA, "2026-11-26T03:00")).unwrap();
    assert_eq!(ended.at, at(CHINA, "2026-11-25T22:00"));
    assert_eq!(ended.forbidden_since, at(CHINA, "2026-11-25T22:45"));
    // A week before, when the last window is just in sight, and when none is.
    assert!(stall.ended(at(CHINA, "2026-12-02T16:29")).is_some());
    let once = allowed(&["2026-11-25 17:00-22:00"]);
    assert_eq!(once.ended(at(CHINA, "2026-12-25T16:29")), None);
    // Grace that reaches from one use to the next leaves no forbidden second.
    let mut twice = allowed(&["wed 08:00-09:00", "wed 10:00-11:00"]);
    twice.hours.grace_out = 30 * MINUTE;
    twice.hours.grace_in = 30 * MINUTE;
    let from = at(CHINA, "2026-11-25T08:00");
    let states: Vec<_> = twice
        .timeline(from, from + 3 * HOUR)
        .iter()
        .map(|p| p.state)
        .collect();
    assert_eq!(
        states,
        [
            State::Open(By::Window(0)),
            State::TakeDown(By::Window(0)),
            State::SetUp(By::Window(1)),
            State::Open(By::Window(1)),
        ]
    );
}

#[test]
fn permits_overlap_and_end_to_the_second() {
    let plain = calendar(Windows::None, CHINA);
    let permits = [
        permit("A", "2026-11-25 08:00", "2026-11-25 12:00", &[]),
        permit("B", "2026-11-25 10:00", "2026-11-25 14:00", &[]),
        Permit {
            zones: vec!["gate/other".into()],
            ..permit("C", "2026-11-01", "2026-12-01", &[])
        },
    ];
    let both = plain.with_permits(&permits);
    assert_eq!(both.permits.len(), 2);
    open_exactly(
        &both,
        at(CHINA, "2026-11-25T08:00"),
        at(CHINA, "2026-11-25T14:00"),
    );
    let by = |local: &str| both.at(at(CHINA, local)).state;
    assert_eq!(by("2026-11-25T11:59:59"), State::Open(By::Permit(0)));
    assert_eq!(by("2026-11-25T12:00"), State::Open(By::Permit(1)));
    // Whole days: the last belongs to it.
    let whole = plain.with_permits(&[permit("D", "2026-11-25", "2026-11-25", &[])]);
    open_exactly(
        &whole,
        at(CHINA, "2026-11-25T00:00"),
        at(CHINA, "2026-11-26T00:00"),
    );
    // Only in windows, and these are cut at its ends.
    let evenings = permit(
        "E",
        "2026-11-25 23:00",
        "2026-11-27 01:00",
        &["22:00-02:00"],
    );
    let evenings = plain.with_permits(&[evenings]);
    for (from, to) in [
        ("2026-11-25T23:00", "2026-11-26T02:00"),
        ("2026-11-26T22:00", "2026-11-27T01:00"),
    ] {
        open_exactly(&evenings, at(CHINA, from), at(CHINA, to));
    }
    // The same window for a window and a permit is named by the window.
    let named = allowed(&["wed 08:00-09:00"]).with_permits(&permits);
    assert_eq!(
        named.at(at(CHINA, "2026-11-25T08:30")).state,
        State::Open(By::Window(0))
    );
}

#[test]
fn clocks_that_are_set() {
    let usa = |text: &str| calendar(Windows::Allowed(windows(&[text])), NEW_YORK);
    let utc = |text: &str| text.parse::<Timestamp>().unwrap();
    // 2026-03-08: 02:00 EST is followed by 03:00 EDT at 07:00Z.
    open_exactly(
        &usa("sun 02:30-03:30"),
        utc("2026-03-08T07:00:00Z"),
        utc("2026-03-08T07:30:00Z"),
    );
    open_exactly(
        &usa("sun 01:30-02:30"),
        utc("2026-03-08T06:30:00Z"),
        utc("2026-03-08T07:00:00Z"),
    );
    open_exactly(
        &usa("sat 22:00-04:00"),
        utc("2026-03-08T03:00:00Z"),
        utc("2026-03-08T08:00:00Z"),
    );
    // An hour that does not exist is not there.
    let none = usa("2026-03-08 02:00-03:00");
    let from = utc("2026-03-08T00:00:00Z");
    assert_eq!(none.timeline(from, from + 48 * HOUR).len(), 1);
    // 2026-11-01: 02:00 EDT is followed by 01:00 EST at 06:00Z.
    open_exactly(
        &usa("sun 01:30-01:45"),
        utc("2026-11-01T05:30:00Z"),
        utc("2026-11-01T06:45:00Z"),
    );
    open_exactly(
        &usa("sun 00:00-24:00"),
        utc("2026-11-01T04:00:00Z"),
        utc("2026-11-02T05:00:00Z"),
    );
    // A day whose midnight does not exist: Santiago, 2026-09-06, begins at 01:00.
    let chile = calendar(
        Windows::Allowed(windows(&["2026-09-06"])),
        "America/Santiago",
    );
    open_exactly(
        &chile,
        utc("2026-09-06T04:00:00Z"),
        utc("2026-09-07T03:00:00Z"),
    );
    // A day that does not exist at all: Samoa, 2011-12-30.
    let samoa = calendar(Windows::Allowed(windows(&["2011-12-30"])), "Pacific/Apia");
    let from = utc("2011-12-28T00:00:00Z");
    assert_eq!(samoa.timeline(from, from + 120 * HOUR).len(), 1);
    // China and UTC have none of this.
    for name in [CHINA, "UTC"] {
        let all = calendar(Windows::Allowed(windows(&["02:30-03:30"])), name);
        let from = utc("2026-01-01T12:00:00Z");
        let open = all.timeline(from, from + 365 * 24 * HOUR);
        let open = open.iter().filter(|p| p.state.is_legal());
        assert_eq!(open.count(), 365);
    }
}

#[test]
fn a_clock_that_jumps_is_answered_for_the_time_it_shows() {
    let mut gate = Gate::new(Arc::new(allowed(&["wed 17:00-22:00"])));
    let mut legal = |local: &str| gate.look(at(CHINA, local)).0.is_legal();
    assert!(!legal("2026-11-25T16:59:59"));
    assert!(legal("2026-11-25T17:00"));
    // Back, forward over a whole window, and by years.
    assert!(!legal("2026-11-25T16:59:59"));
    assert!(!legal("2026-11-25T22:00"));
    assert!(legal("2026-11-25T21:59:59"));
    assert!(!legal("2031-11-25T21:59:59"));
    assert!(legal("2026-11-25T21:59:59"));
}

#[test]
fn new_permits_count_at_once() {
    let mut gate = Gate::new(Arc::new(calendar(Windows::None, CHINA)));
    let moment = at(CHINA, "2026-11-25T09:00");
    assert_eq!(gate.look(moment).0, State::Forbidden);
    gate.set_permits(&[permit("A", "2026-11-25", "2026-11-25", &[])]);
    assert_eq!(gate.look(moment).0, State::Open(By::Permit(0)));
    gate.set_permits(&[]);
    assert_eq!(gate.look(moment).0, State::Forbidden);
}

#[test]
fn the_ends_of_time_are_no_edge() {
    for moment in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH] {
        for windows in [
            Windows::None,
            Windows::Allowed(windows(&["22:00-02:00"])),
            Windows::Watched(windows(&["22:00-02:00"])),
        ] {
            let calendar = calendar(windows, CHINA);
            calendar.at(moment);
            calendar.ended(moment);
            calendar.next_change(moment);
        }
    }
}

#[test]
fn the_table_ends_are_told_a_fortnight_ahead() {
    let days = days();
    let end: Date = "2026-12-31".parse().unwrap();
    let before = |n: i32| days.ends_in(end.checked_sub(n.days()).unwrap());
    assert_eq!(before(WARN_DAYS + 1), None);
    assert_eq!(before(WARN_DAYS), Some(WARN_DAYS));
    assert_eq!(before(0), Some(0));
    assert_eq!(before(-1), Some(-1));
    assert_eq!(before(-400), Some(-400));
    assert_eq!(Days::default().ends_in(end), None);
}
