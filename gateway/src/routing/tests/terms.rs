use proptest::prelude::*;

use super::*;

fn work() -> WorkTime {
    let profile = fixtures::config(vec![], vec![]).profile;
    WorkTime {
        hours: profile.working.hours.clone(),
        urgent: profile.working.urgent.clone(),
        days: days(),
        time_zone: zone(),
    }
}

fn due(from: &str, term: &str) -> Timestamp {
    work().due(local(from), Term::parse(term).unwrap()).unwrap()
}

#[test]
fn working_hours_pass_in_working_hours_only() {
    // The default's: 09:00-12:00 and 13:00-17:00 on working days.
    for (from, term, expected) in [
        ("2026-11-26 09:00", "2工作时", "2026-11-26 11:00"),
        ("2026-11-26 11:00", "2工作时", "2026-11-26 14:00"),
        ("2026-11-26 11:30", "1工作时", "2026-11-26 13:30"),
        // In the lunch break, at night, at the weekend.
        ("2026-11-26 12:30", "4工作时", "2026-11-26 17:00"),
        ("2026-11-26 23:59", "1工作时", "2026-11-27 10:00"),
        ("2026-11-28 00:00", "1工作时", "2026-11-30 10:00"),
        // Friday at four: an hour then, three on Monday.
        ("2026-11-27 16:00", "4工作时", "2026-11-30 12:00"),
        // The holidays of October, and the Saturday that makes up for them.
        ("2026-09-30 16:00", "2工作时", "2026-10-08 10:00"),
        ("2026-10-09 16:00", "2工作时", "2026-10-10 10:00"),
        // Leap day 2028 is a Tuesday.
        ("2028-02-28 16:30", "1工作时", "2028-02-29 09:30"),
        ("2028-02-29 16:30", "1工作时", "2028-03-01 09:30"),
        // New Year.
        ("2026-12-31 16:00", "2工作时", "2027-01-01 10:00"),
        // Urgent hours go on through the night.
        ("2026-11-28 23:00", "2紧急工作时", "2026-11-29 01:00"),
    ] {
        assert_eq!(due(from, term), local(expected), "{term} from {from}");
    }
}

#[test]
fn a_working_day_ends_with_the_next_working_days_hours() {
    for (from, term, expected) in [
        ("2026-11-26 09:00", "1工作日", "2026-11-27 17:00"),
        ("2026-11-26 23:59", "1工作日", "2026-11-27 17:00"),
        ("2026-11-27 00:00", "1工作日", "2026-11-30 17:00"),
        ("2026-11-29 12:00", "1工作日", "2026-11-30 17:00"),
        ("2026-11-26 09:00", "7 working days", "2026-12-07 17:00"),
        ("2026-09-30 10:00", "2工作日", "2026-10-09 17:00"),
        ("2026-09-30 10:00", "3工作日", "2026-10-10 17:00"),
        ("2028-02-28 10:00", "1工作日", "2028-02-29 17:00"),
    ] {
        assert_eq!(due(from, term), local(expected), "{term} from {from}");
    }
}

#[test]
fn hours_across_midnight_and_those_that_overlap() {
    let window = |text: &str| crate::calendar::Window::parse(text).unwrap();
    let night = WorkTime {
        hours: vec![window("22:00-02:00"), window("01:00-03:00")],
        ..work()
    };
    let due = |from: &str, n| night.due(local(from), Term::WorkingHours(n)).unwrap();
    assert_eq!(due("2026-11-26 21:00", 5), local("2026-11-27 03:00"));
    assert_eq!(due("2026-11-27 00:30", 1), local("2026-11-27 01:30"));
    assert_eq!(due("2026-11-27 02:30", 1), local("2026-11-27 22:30"));
    // Where there are no hours, nothing is ever due.
    let never = WorkTime {
        hours: vec![window("2020-01-01 09:00-10:00")],
        ..work()
    };
    let from = local("2026-11-26 09:00");
    assert_eq!(never.due(from, Term::WorkingHours(1)), None);
    assert_eq!(never.due(from, Term::WorkingDays(1)), None);
    assert_eq!(work().due(Timestamp::MAX, Term::UrgentHours(1)), None);
}

#[test]
fn deadlines_as_they_are_written() {
    for (text, term) in [
        ("4工作时", Term::WorkingHours(4)),
        ("4 工作时", Term::WorkingHours(4)),
        ("1 working hour", Term::WorkingHours(1)),
        ("500个工作日", Term::WorkingDays(500)),
        ("2 urgent hours", Term::UrgentHours(2)),
    ] {
        assert_eq!(Term::parse(text), Ok(term), "{text}");
        assert_eq!(Term::parse(&term.to_string()), Ok(term));
    }
    for text in ["0工作时", "501工作日", "5000工作日", "99999999999工作时"] {
        assert!(
            matches!(Term::parse(text), Err(TermError::Number(_))),
            "{text}"
        );
    }
    for text in [
        "",
        "4",
        "4h",
        "四工作时",
        "工作时",
        "-1工作时",
        "1.5工作时",
        "4工作时2",
    ] {
        assert!(
            matches!(Term::parse(text), Err(TermError::Form(_))),
            "{text}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Who begins later is not due earlier, more time is not due earlier, and nothing is due at
    /// once.
    #[test]
    fn order_is_kept(minute in 0..(3 * 525_600_i64), more in 0..10_000_i64, n in 1..80_u16) {
        let from = local("2026-01-01 00:00") + jiff::SignedDuration::from_mins(minute);
        let to = from + jiff::SignedDuration::from_mins(more);
        for term in [Term::WorkingHours, Term::WorkingDays, Term::UrgentHours] {
            let due = |from, n| work().due(from, term(n)).unwrap();
            prop_assert!(due(from, n) > from);
            prop_assert!(due(from, n) <= due(to, n));
            prop_assert!(due(from, n) < due(from, n + 1));
        }
        // An hour and n of them are n + 1 of them.
        let hours = |from, n| work().due(from, Term::WorkingHours(n)).unwrap();
        prop_assert_eq!(hours(hours(from, 1), n), hours(from, n + 1));
        // It is due in working hours, up to their end.
        let at = zone().to_datetime(hours(from, n));
        prop_assert!(days().is_workday(at.date()), "{}", at);
        let minute = i32::from(at.hour()) * 60 + i32::from(at.minute());
        prop_assert!((541..=720).contains(&minute) || (781..=1020).contains(&minute)
            || (minute == 540 || minute == 780) && at.subsec_nanosecond() + i32::from(at.second()) > 0, "{}", at);
    }
}
