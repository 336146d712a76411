use super::*;

const HOUR: Duration = Duration::from_secs(3_600);
/// The two platforms of a station whose alerts go by tiers.
const BOTH: &[&[Tier]] = &[&[STREET], &[CITY]];

#[test]
fn without_tiers_everything_goes_everywhere() {
    let mut station = Station::new(&[&[], &[]]);
    for (id, severity) in [("a", Severity::Info), ("b", Severity::Critical)] {
        station.raise(id, severity);
        let all = Routed {
            uplinks: vec![0, 1],
            routing: None,
            hold: false,
        };
        assert_eq!(*station.last(), all);
        assert_eq!(station.tier(id), None);
    }
    station.pass(1_000 * HOUR);
    assert_eq!(station.sent.len(), 2, "nobody waits for a verdict");
    assert!(station.router.digest(station.now, "s").0.is_empty());
}

#[test]
fn severity_and_kind_say_where_an_alert_begins() {
    let mut station = Station::new(&[&[STREET], &[CITY], &[], &[COMMUNITY]]);
    for (id, severity, tier, uplinks, hold) in [
        ("info", Severity::Info, COMMUNITY, vec![2, 3], true),
        ("minor", Severity::Minor, COMMUNITY, vec![2, 3], true),
        ("major", Severity::Major, STREET, vec![0, 2], true),
        ("critical", Severity::Critical, CITY, vec![0, 1, 2], false),
    ] {
        station.raise(id, severity);
        assert_eq!(station.last().uplinks, uplinks, "{id}");
        assert_eq!(station.last().hold, hold, "{id}");
        assert_eq!(station.tier(id), Some(tier), "{id}");
    }
    // 暴露垃圾 has a time of its own in the default profile: four working hours.
    let kind = EventKind::GarbageExposed;
    station.tell("kind", kind, Severity::Minor, AlertState::Raised);
    assert_eq!(station.deadline("kind"), Some(local("2026-11-26 14:00")));
    assert_eq!(station.deadline("minor"), Some(local("2026-11-27 17:00")));
    assert_eq!(station.deadline("info"), None);
}

#[test]
fn what_nobody_settles_goes_up_with_its_pictures_once() {
    let mut station = Station::new(BOTH);
    station.raise("a", Severity::Minor);
    assert_eq!(station.last().uplinks, Vec::<u8>::new(), "kept here");
    assert!(station.last().hold && station.router.holds("a"));
    station.until("2026-11-27 16:59");
    assert_eq!(station.sent.len(), 1);

    station.until("2026-11-27 17:00");
    assert_eq!(station.sent.len(), 2);
    let routed = station.last();
    assert_eq!(routed.uplinks, [0]);
    let routing = routed.routing.clone().unwrap();
    assert_eq!(
        (routing.tier, routing.escalated_from),
        (STREET, Some(COMMUNITY))
    );
    let until = local("2026-11-30 17:00");
    assert_eq!(routing.deadline, Some(until.to_string()));

    // Later messages go there too, and do not say it again.
    station.tell(
        "a",
        EventKind::BinOverflow,
        Severity::Minor,
        AlertState::Updated,
    );
    assert_eq!(station.last().uplinks, [0]);
    assert_eq!(station.last().routing.clone().unwrap().escalated_from, None);

    station.until("2026-12-04 10:00");
    assert_eq!(station.sent.len(), 4);
    assert_eq!(station.last().uplinks, [0, 1], "the street keeps it");
    assert_eq!(station.tier("a"), Some(CITY));
    assert!(!station.router.holds("a"), "nobody is above the city");
    station.until("2026-12-31 10:00");
    assert_eq!(station.sent.len(), 4, "and nowhere to go");
    station.clear("a", Severity::Minor);
    assert_eq!(station.last().uplinks, [0, 1]);
    assert_eq!(station.last().routing.clone().unwrap().deadline, None);

    let row = |tier| {
        let c = station.counts(tier);
        [c.received, c.in_time, c.late, c.escalated]
    };
    assert_eq!(row(COMMUNITY), [1, 0, 1, 1]);
    assert_eq!(row(STREET), [1, 0, 1, 1]);
    assert_eq!(row(CITY), [1, 0, 1, 0]);
}

#[test]
fn a_verdict_or_the_end_stops_the_clock() {
    let mut station = Station::new(BOTH);
    station.raise("ended", Severity::Minor);
    station.raise("answered", Severity::Major);
    assert!(
        !station
            .router
            .verdict("nobody", VerdictStatus::Filed, station.now)
    );
    station.pass(HOUR);
    for status in [VerdictStatus::Accepted, VerdictStatus::Filed] {
        assert!(station.router.verdict("answered", status, station.now));
    }
    station.store();
    station.clear("ended", Severity::Minor);
    assert!(!station.router.holds("ended") && !station.router.holds("answered"));
    let mut station = station.restart(HOUR);
    station.until("2027-01-31 12:00");
    assert_eq!(station.sent.len(), 3);
    let settled = |tier| {
        let c = station.counts(tier);
        (c.received, c.in_time, c.late)
    };
    assert_eq!(settled(COMMUNITY), (1, 1, 0));
    assert_eq!(settled(STREET), (1, 1, 0));
    // The one that ended is forgotten; the other is still open.
    assert_eq!(station.tier("ended"), None);
    assert_eq!(station.tier("answered"), Some(STREET));
}

#[test]
fn what_was_settled_too_early_has_its_time_again() {
    let mut station = Station::new(BOTH);
    station.raise("a", Severity::Major);
    station.pass(HOUR);
    assert!(
        station
            .router
            .verdict("a", VerdictStatus::Accepted, station.now)
    );
    assert!(
        station
            .router
            .verdict("a", VerdictStatus::Closed, station.now)
    );
    station.store();
    station.clear("a", Severity::Major);
    station.until("2026-11-27 09:00");
    let mut station = station.restart(HOUR);
    station.tell(
        "a",
        EventKind::BinOverflow,
        Severity::Major,
        AlertState::Updated,
    );
    assert_eq!(station.deadline("a"), Some(local("2026-11-27 15:00")));
    station.until("2026-11-27 15:00");
    assert_eq!(station.tier("a"), Some(CITY));
    let c = station.counts(STREET);
    assert_eq!((c.received, c.in_time, c.late), (2, 1, 1));
    // Somebody who took it on has taken it on.
    assert!(
        station
            .router
            .verdict("a", VerdictStatus::Filed, station.now)
    );
    station.clear("a", Severity::Major);
    station.pass(Duration::from_secs(60));
    station.tell(
        "a",
        EventKind::BinOverflow,
        Severity::Major,
        AlertState::Updated,
    );
    assert_eq!(station.deadline("a"), None);
}

#[test]
fn an_alert_that_begins_again_keeps_its_deadline() {
    let mut station = Station::new(BOTH);
    station.raise("a", Severity::Minor);
    let deadline = station.deadline("a");
    station.until("2026-11-27 16:58");
    station.clear("a", Severity::Minor);
    assert_eq!(station.deadline("a"), None);
    station.until("2026-11-27 17:01");
    assert_eq!(station.sent.len(), 2, "it is over");
    station.tell(
        "a",
        EventKind::BinOverflow,
        Severity::Minor,
        AlertState::Updated,
    );
    assert_eq!(station.deadline("a"), deadline);
    station.pass(Duration::from_secs(1));
    assert_eq!(station.tier("a"), Some(STREET));
    assert!(MEMORY > crate::alert::REOPEN);
}

#[test]
fn a_tier_that_nobody_serves_is_passed_over() {
    // A community and its city.
    let mut station = Station::new(&[&[CITY]]);
    station.raise("minor", Severity::Minor);
    station.raise("major", Severity::Major);
    assert_eq!(station.tier("major"), Some(CITY));
    assert_eq!(station.last().uplinks, [0]);
    station.until("2026-11-27 17:00");
    assert_eq!(station.tier("minor"), Some(CITY));
    // A street alone gets what is meant for the city.
    let mut station = Station::new(&[&[STREET]]);
    station.raise("critical", Severity::Critical);
    assert_eq!(station.tier("critical"), Some(STREET));
    assert_eq!(station.last().uplinks, [0]);
}

#[test]
fn another_configuration_leaves_no_alert_behind() {
    let mut station = Station::new(BOTH);
    station.raise("minor", Severity::Minor);
    station.raise("major", Severity::Major);
    let (state, wall) = (station.state.clone(), station.now.wall);
    // The street's platform is gone: the city gets what it had.
    let next = Station::start(config(&[&[CITY]]), state.clone(), wall);
    assert_eq!(next.tier("major"), Some(CITY));
    assert_eq!(next.sent.len(), 1);
    assert_eq!(next.last().uplinks, [0]);
    assert_eq!(next.tier("minor"), Some(COMMUNITY));
    // Tiers are given up: all goes up.
    let next = Station::start(config(&[&[]]), state, wall);
    let told: Vec<_> = next
        .sent
        .iter()
        .map(|(id, _, r)| (&**id, &*r.uplinks))
        .collect();
    assert_eq!(told, [("major", &[0][..]), ("minor", &[0][..])]);
    let again = Station::start(config(&[&[]]), next.state, wall);
    assert_eq!(again.sent.len(), 0, "once");
    // Tiers begin while an alert is open that everybody has.
    let mut station = Station::new(&[&[], &[]]);
    station.raise("old", Severity::Minor);
    let mut next = Station::start(config(BOTH), station.state, station.now.wall);
    next.clear("old", Severity::Minor);
    assert_eq!(next.last().uplinks, [0, 1]);
    next.tell(
        "never seen",
        EventKind::BinFire,
        Severity::Critical,
        AlertState::Updated,
    );
    assert_eq!(next.last().uplinks, [0, 1]);
}

#[test]
fn a_restart_changes_nothing() {
    let mut station = Station::new(BOTH);
    station.raise("a", Severity::Minor);
    let deadline = station.deadline("a");
    let mut station = station.restart(HOUR);
    assert_eq!(station.deadline("a"), deadline);
    assert!(station.router.holds("a"));
    station.until("2026-11-27 17:00");
    let mut station = station.restart(HOUR);
    assert_eq!(station.sent.len(), 2, "escalated once");
    assert_eq!(station.tier("a"), Some(STREET));
    // It was off over the deadline.
    station.now.wall = local("2026-11-30 16:59");
    let station = station.restart(72 * HOUR);
    assert_eq!(station.sent.len(), 3);
    assert_eq!(station.tier("a"), Some(CITY));
}

#[test]
fn a_clock_that_is_set_neither_hastens_nor_delays() {
    let year = Duration::from_secs(365 * 86_400);
    let mut station = Station::new(BOTH);
    station.raise("a", Severity::Minor);
    let deadline = station.deadline("a").unwrap();
    // A year ahead while it runs, and right again three hours later.
    station.now.wall += year;
    station.tick();
    assert_eq!(
        station.sent.len(),
        1,
        "not overdue by a clock that is wrong"
    );
    assert!(station.deadline("a").unwrap() > station.now.wall);
    let mut station = station.restart(HOUR);
    station.pass(2 * HOUR);
    station.now.wall -= year;
    station.tick();
    assert_eq!(station.deadline("a"), Some(deadline));
    // A box without a clock starts in 1970, and learns the time a minute later.
    let (state, right) = (station.state.clone(), station.now.wall);
    let mut next = Station::start(config(BOTH), state, Timestamp::UNIX_EPOCH);
    assert_eq!(next.sent.len(), 0);
    next.raise("b", Severity::Minor);
    next.pass(Duration::from_secs(60));
    next.now.wall = right;
    next.tick();
    assert_eq!(next.deadline("a"), Some(deadline));
    assert_eq!(
        next.deadline("b"),
        Some(deadline),
        "raised on that day, as it turns out"
    );
    next.until("2026-11-27 17:00");
    assert_eq!(next.sent.len(), 3);
    // A minute is corrected without a word.
    let mut station = Station::new(BOTH);
    station.raise("a", Severity::Minor);
    station.now.wall += JUMP - Duration::from_millis(1);
    station.tick();
    assert_eq!(station.deadline("a"), Some(deadline));
}

#[test]
fn an_alert_that_the_ledger_lost_is_not_held_for_ever() {
    let mut station = Station::new(BOTH);
    station.raise("a", Severity::Info);
    station.raise("b", Severity::Info);
    station.router.reconcile(["b"].into_iter(), station.now);
    station.store();
    assert!(!station.router.holds("a") && station.router.holds("b"));
    let station = station.restart(HOUR);
    assert_eq!(
        (station.tier("a"), station.tier("b")),
        (None, Some(COMMUNITY))
    );
}

#[test]
fn what_cannot_be_read_is_named() {
    let state = vec![
        (b"route/a".to_vec(), b"{}".to_vec()),
        (b"digest/2026-11-26/aliens".to_vec(), b"{}".to_vec()),
        (b"digested".to_vec(), b"soon".to_vec()),
        (b"alert/x".to_vec(), b"the ledger's".to_vec()),
    ];
    let (_, unreadable) = Router::restore(&config(BOTH), &state);
    assert_eq!(unreadable.len(), 3, "{unreadable:?}");
    for (reason, part) in unreadable
        .iter()
        .zip(["route/a", "no day and kind", "digested"])
    {
        assert!(reason.contains(part), "{reason}");
    }
}
