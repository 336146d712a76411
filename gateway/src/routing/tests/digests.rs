use wangge_protocol::Digest;

use super::*;

const BOTH: &[&[Tier]] = &[&[STREET], &[CITY]];

fn digest(station: &mut Station) -> Vec<Digest> {
    let (parts, uplinks) = station.router.digest(station.now, "s1");
    assert_eq!(uplinks, [0], "the default's goes to the street");
    station.store();
    parts
}

#[test]
fn each_morning_tells_of_the_day_before() {
    let mut station = Station::new(BOTH);
    station.raise("a", Severity::Minor);
    assert_eq!(digest(&mut station), [], "nothing was before");
    station.until("2026-11-27 08:29");
    assert_eq!(digest(&mut station), []);
    station.until("2026-11-27 08:30");
    let [told] = &digest(&mut station)[..] else {
        panic!("one")
    };
    assert_eq!((&*told.from, &*told.to), ("2026-11-26", "2026-11-26"));
    assert_eq!((told.open, told.part, told.parts), (1, 1, 1));
    assert_eq!(told.rows.len(), 1);
    assert_eq!(told.rows[0].counts.received, 1);
    assert_eq!(digest(&mut station), [], "once");
    // It was off for two mornings: one digest of three days, at once.
    let mut station = station.restart(Duration::from_secs(3 * 86_400 - 3_600));
    let [told] = &digest(&mut station)[..] else {
        panic!("one")
    };
    assert_eq!((&*told.from, &*told.to), ("2026-11-27", "2026-11-29"));
    let late: u32 = told.rows.iter().map(|row| row.counts.late).sum();
    assert_eq!(
        late, 0,
        "it was off at the deadline, and found it out today"
    );
    // A clock that is set back tells of no day twice, and of days to come again.
    station.now.wall = local("2026-11-20 09:00");
    assert_eq!(digest(&mut station), []);
    station.until("2026-11-21 08:30");
    assert_eq!(digest(&mut station).len(), 1);
}

#[test]
fn mondays_tell_of_the_week() {
    let mut config = config(BOTH);
    let mut profile = (*config.profile).clone();
    if let Some(plan) = &mut profile.routing.digest {
        plan.every = Every::Week;
    }
    config.profile = Arc::new(profile);
    let mut station = Station::start(config, State::new(), local("2026-11-25 09:00"));
    assert_eq!(digest(&mut station), []);
    for day in ["2026-11-26 09:00", "2026-11-29 23:59", "2026-11-30 08:29"] {
        station.until(day);
        assert_eq!(digest(&mut station), [], "{day}");
    }
    station.until("2026-11-30 08:30");
    let told = digest(&mut station);
    assert_eq!((&*told[0].from, &*told[0].to), ("2026-11-25", "2026-11-29"));
    // The next Monday's is late by a day.
    station.until("2026-12-08 03:00");
    let told = digest(&mut station);
    assert_eq!((&*told[0].from, &*told[0].to), ("2026-11-30", "2026-12-06"));
}

#[test]
fn a_long_digest_has_parts_that_fit() {
    let mut station = Station::new(BOTH);
    assert_eq!(digest(&mut station), []);
    for (i, kind) in EventKind::ALL.iter().enumerate() {
        for severity in [Severity::Info, Severity::Major, Severity::Critical] {
            let id = format!("{i}{severity:?}");
            station.tell(&id, *kind, severity, AlertState::Raised);
        }
    }
    station.until("2026-11-27 09:00");
    let parts = digest(&mut station);
    let rows: usize = parts.iter().map(|part| part.rows.len()).sum();
    assert!(
        rows > 40 && parts.len() == rows.div_ceil(digest::ROWS),
        "{rows}"
    );
    let schemas = wangge_protocol::schemas();
    let (_, schema) = schemas.iter().find(|(n, _)| *n == "digest.json").unwrap();
    let schema = jsonschema::validator_for(schema).unwrap();
    for mut part in parts {
        // As large as it can be.
        part.station = "s".repeat(64);
        part.rows.resize(digest::ROWS, part.rows[0].clone());
        for row in &mut part.rows {
            row.kind = EventKind::PublicSpaceEncroachment;
            row.tier = COMMUNITY;
            row.counts = Counts {
                received: u32::MAX,
                in_time: u32::MAX,
                late: u32::MAX,
                escalated: u32::MAX,
            };
        }
        let (_, body) = crate::alert::digest_message(part, station.now.wall);
        assert!(body.len() <= crate::spool::MAX_BODY, "{}", body.len());
        schema
            .validate(&serde_json::from_slice(&body).unwrap())
            .unwrap();
    }
}

#[test]
fn figures_are_kept_for_two_months() {
    let mut station = Station::new(BOTH);
    for day in 0..100 {
        station.raise(&format!("{day}"), Severity::Info);
        station.pass(Duration::from_secs(86_400));
    }
    let days = station.router.days();
    assert_eq!(days.len(), usize::try_from(KEPT_DAYS).unwrap());
    let kept = station.state.keys().filter(|k| k.starts_with(b"digest/"));
    assert_eq!(kept.count(), days.len());
    let next = station.restart(Duration::from_secs(60));
    assert_eq!(next.router.days(), days);
}
