//! What is written: windows, moments, sentences.

use super::*;

#[test]
fn windows_read_back_as_written() {
    for text in [
        "mon-fri 17:00-22:00",
        "mon,wed,fri 07:00-09:00",
        "workday,2026-10-01..2026-10-07 22:00-02:00",
        "restday,holiday 00:00-24:00",
        "fri-mon 00:00-24:00",
        "00:00-24:00",
    ] {
        assert_eq!(window(text).to_string(), text);
    }
    for (text, shown) in [
        ("Mon-Fri 7:00-9:00", "mon-fri 07:00-09:00"),
        ("mon, wed 7:00-9:00", "mon,wed 07:00-09:00"),
        ("holiday", "holiday 00:00-24:00"),
        ("22:00-00:00", "22:00-24:00"),
    ] {
        assert_eq!(window(text).to_string(), shown);
    }
}

#[test]
fn texts_that_are_no_windows() {
    use WindowError::*;
    let is = |text: &str| Window::parse(text).unwrap_err();
    assert_eq!(is(""), Empty);
    assert_eq!(is("  "), Empty);
    assert_eq!(is("17:00-17:00"), Equal("17:00".into()));
    assert_eq!(is("00:00-00:00"), Equal("00:00".into()));
    assert_eq!(is("24:00-24:00"), BeginsAtMidnight);
    assert_eq!(is("24:00-02:00"), BeginsAtMidnight);
    assert_eq!(is("17:00-24:01"), Time("24:01".into()));
    assert_eq!(is("17:60-18:00"), Time("17:60".into()));
    assert_eq!(is("23:59:60-24:00"), Time("23:59:60".into()));
    assert_eq!(is("25:00-26:00"), Time("25:00".into()));
    assert_eq!(is("+7:00-9:00"), Time("+7:00".into()));
    assert_eq!(is("17:0-18:00"), Time("17:0".into()));
    assert_eq!(is("17:00"), Span("17:00".into()));
    assert_eq!(is("17:00 - 22:00"), TwoSpans);
    assert_eq!(is("07:00-09:00 17:00-19:00"), TwoSpans);
    assert_eq!(is("07:00-09:00-11:00"), TwoSpans);
    assert_eq!(is("17:00-22:00 mon"), Order);
    assert_eq!(is("mo 17:00-22:00"), Day("mo".into()));
    assert_eq!(is("mon-fry"), Day("fry".into()));
    assert_eq!(is("monday"), Day("monday".into()));
    assert_eq!(is("mon,,tue"), Day("".into()));
    assert_eq!(is("mon-holiday"), Range("mon-holiday".into()));
    assert_eq!(is("17：00-22：00"), FullWidth('：'));
    assert!(matches!(is("2027-02-29"), Date(DateError::NoSuchDay(_))));
    assert!(matches!(is("2026-13-01"), Date(DateError::NoSuchDay(_))));
    assert!(matches!(is("2026-1-1"), Date(DateError::Form(_))));
    assert!(matches!(is("1999-12-31"), Date(DateError::Year(_))));
    assert!(matches!(is("2200-01-01"), Date(DateError::Year(_))));
    assert!(matches!(
        is("2026-10-07..2026-10-01"),
        Date(DateError::Backwards { .. })
    ));
    // 366 days are a year with its leap day; one more is a slip.
    assert!(Window::parse("2028-01-01..2028-12-31").is_ok());
    assert!(matches!(
        is("2028-01-01..2029-01-01"),
        Date(DateError::Long { .. })
    ));
    let many = |n: usize| vec!["mon"; n].join(",");
    assert!(Window::parse(&many(MAX_DAYS)).is_ok());
    assert_eq!(is(&many(MAX_DAYS + 1)), ManyDays);
    assert_eq!(is(&many(MAX_DAYS * 10)), ManyDays);
}

#[test]
fn moments() {
    let china = zone(CHINA);
    for (text, start, end) in [
        ("2026-10-01", "2026-09-30T16:00:00Z", "2026-10-01T16:00:00Z"),
        ("2028-02-29", "2028-02-28T16:00:00Z", "2028-02-29T16:00:00Z"),
        ("2026-12-31", "2026-12-30T16:00:00Z", "2026-12-31T16:00:00Z"),
        (
            "2026-10-01 17:00",
            "2026-10-01T09:00:00Z",
            "2026-10-01T09:00:00Z",
        ),
        (
            "2026-10-01T17:00:30",
            "2026-10-01T09:00:30Z",
            "2026-10-01T09:00:30Z",
        ),
        (
            "2026-10-01 24:00",
            "2026-10-01T16:00:00Z",
            "2026-10-01T16:00:00Z",
        ),
        (
            "2026-10-01T17:00:00+08:00",
            "2026-10-01T09:00:00Z",
            "2026-10-01T09:00:00Z",
        ),
        (
            "2026-10-01T17:00:00Z",
            "2026-10-01T17:00:00Z",
            "2026-10-01T17:00:00Z",
        ),
    ] {
        let moment = |edge| moment(text, &china, edge).unwrap().to_string();
        assert_eq!(
            (&*moment(Edge::Start), &*moment(Edge::End)),
            (start, end),
            "{text}"
        );
    }
    // Where clocks go back, a begin is the first of two and an end the second.
    let usa = zone(NEW_YORK);
    let twice = |edge| moment("2026-11-01 01:30", &usa, edge).unwrap().to_string();
    assert_eq!(twice(Edge::Start), "2026-11-01T05:30:00Z");
    assert_eq!(twice(Edge::End), "2026-11-01T06:30:00Z");
    for text in [
        "",
        "2026-10-1",
        "2026-10-01 5pm",
        "2026-10-01 25:00",
        "2026-10-01 17:00:61",
        "2026-10-01T17:00:00+25:00",
        "2026-10-01T17:00:00-13:00",
        "2026-10-01 17:00:60",
        "2026-10-01  17:00",
        "2026-10-01 17",
        "2026-02-30 10:00",
        "0000-01-01",
        "9999-12-31 23:59",
        "2026-10-01年17:00",
    ] {
        assert!(moment(text, &china, Edge::End).is_err(), "{text}");
    }
}

#[test]
fn sentences() {
    let mut stall = allowed(&["wed 17:00-22:00"]).with_permits(&[Permit {
        holder: Some("王记".into()),
        ..permit("2026-7", "2026-11-24 08:00", "2026-11-25 12:00", &[])
    }]);
    stall.hours.grace_in = 30 * MINUTE;
    stall.hours.grace_out = 30 * MINUTE;
    let say = |local: &str| {
        let moment = at(CHINA, local);
        let text = stall.permitted(stall.at(moment).state, moment);
        text.map(|t| (t.zh, t.en))
    };
    let is = |local: &str, zh: &str, en: &str| {
        assert_eq!(say(local), Some((zh.to_owned(), en.to_owned())));
    };
    is(
        "2026-11-25T17:00",
        "自17:00起允许(允许时段wed 17:00-22:00)",
        "permitted since 17:00 by window wed 17:00-22:00",
    );
    is(
        "2026-11-25T11:00",
        "自2026-11-24 08:00起允许(许可2026-7(王记))",
        "permitted since 2026-11-24 08:00 by permit 2026-7 (王记)",
    );
    is(
        "2026-11-25T16:40",
        "自16:30起允许布置,17:00开始(允许时段wed 17:00-22:00)",
        "set-up tolerated since 16:30, use begins at 17:00 (window wed 17:00-22:00)",
    );
    assert_eq!(say("2026-11-25T23:00"), None);
    let moment = at(CHINA, "2026-11-25T23:00");
    let text = stall.forbidden(stall.ended(moment).unwrap(), moment);
    assert_eq!(
        (&*text.zh, &*text.en),
        (
            "自22:30起不允许(允许时段wed 17:00-22:00于22:00结束)",
            "forbidden since 22:30 (window wed 17:00-22:00 ended at 22:00)"
        )
    );
}
