//! Whatever happens, in whatever order: nobody who should have an alert is left out.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Raise(u8, usize, usize),
    Update(u8),
    Clear(u8),
    Verdict(u8),
    Pass(u32),
    Jump(i32),
    Restart(u32),
    Reconfigure(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..8_u8, 0..4_usize, 0..EventKind::ALL.len()).prop_map(|(a, s, k)| Step::Raise(a, s, k)),
        2 => (0..8_u8).prop_map(Step::Update),
        2 => (0..8_u8).prop_map(Step::Clear),
        1 => (0..8_u8).prop_map(Step::Verdict),
        4 => (1..400_000_u32).prop_map(Step::Pass),
        1 => (-40_000_000..40_000_000_i32).prop_map(Step::Jump),
        1 => (1..200_000_u32).prop_map(Step::Restart),
        1 => (0..STATIONS.len()).prop_map(Step::Reconfigure),
    ]
}

const STATIONS: &[&[&[Tier]]] = &[
    &[&[]],
    &[&[STREET], &[CITY]],
    &[&[CITY]],
    &[&[STREET], &[]],
    &[&[STREET, CITY]],
    &[&[COMMUNITY], &[STREET]],
];

const SEVERITIES: [Severity; 4] = [
    Severity::Info,
    Severity::Minor,
    Severity::Major,
    Severity::Critical,
];

/// What an outsider knows of an alert.
#[derive(Clone, Debug)]
struct Known {
    kind: EventKind,
    severity: Severity,
    open: bool,
    /// Uplinks that got it, of the configuration in force.
    had: BTreeSet<u8>,
    tier: Option<Tier>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn no_alert_is_lost_between_tiers(first in 0..STATIONS.len(), steps in prop::collection::vec(step(), 1..60)) {
        let mut station = Station::new(STATIONS[first]);
        let mut known: BTreeMap<String, Known> = BTreeMap::new();
        let mut raised = 0_u32;
        for step in steps {
            let mut told = station.sent.len();
            match step {
                Step::Raise(a, severity, kind) => {
                    let id = format!("{a}-{raised}");
                    raised += 1;
                    let (kind, severity) = (EventKind::ALL[kind], SEVERITIES[severity]);
                    known.insert(id.clone(), Known { kind, severity, open: true, had: BTreeSet::new(), tier: None });
                    station.tell(&id, kind, severity, AlertState::Raised);
                }
                Step::Update(a) | Step::Clear(a) | Step::Verdict(a) => {
                    let found = known.iter().rev().find(|(id, k)| id.starts_with(&format!("{a}-")) && k.open);
                    if let Some((id, k)) = found.map(|(id, k)| (id.clone(), k.clone())) {
                        match step {
                            Step::Verdict(_) => {
                                prop_assert!(station.router.verdict(&id, VerdictStatus::Filed, station.now));
                                station.store();
                            }
                            Step::Clear(_) => {
                                known.get_mut(&id).unwrap().open = false;
                                station.tell(&id, k.kind, k.severity, AlertState::Cleared);
                            }
                            _ => station.tell(&id, k.kind, k.severity, AlertState::Updated),
                        }
                    }
                }
                Step::Pass(seconds) => station.pass(Duration::from_secs(seconds.into())),
                Step::Jump(seconds) => {
                    station.now.wall += jiff::SignedDuration::from_secs(seconds.into());
                    station.tick();
                }
                Step::Restart(off) => station = station.restart(Duration::from_secs(off.into())),
                Step::Reconfigure(to) => {
                    let wall = station.now.wall;
                    let same = format!("{:?}", station.config.uplinks) == format!("{:?}", config(STATIONS[to]).uplinks);
                    station = Station::start(config(STATIONS[to]), station.state, wall);
                    // Who is at the other end now has not seen what was sent to others.
                    if !same {
                        known.values_mut().for_each(|k| k.had.clear());
                    }
                    told = 0;
                }
            }
            for (id, state, routed) in station.sent.iter().skip(told) {
                let k = known.get_mut(id).unwrap();
                // Whoever had it gets all that follows.
                prop_assert!(k.had.iter().all(|u| routed.uplinks.contains(u)), "{:?} {} {:?}", k, id, routed);
                prop_assert!(k.open || *state == AlertState::Cleared);
                k.had.extend(&routed.uplinks);
                if let Some(routing) = &routed.routing {
                    if let Some(from) = routing.escalated_from {
                        prop_assert!(from != routing.tier);
                    }
                    k.tier = Some(routing.tier);
                }
            }
            station.tick();
            // Every open alert is somewhere: with the community, or with an uplink; and nobody is
            // let off a deadline.
            let tiers: BTreeSet<Tier> = station.config.uplinks.iter().flat_map(|u| u.tiers.clone()).collect();
            for (id, k) in known.iter().filter(|(_, k)| k.open) {
                let Some(Whereabouts { tier, deadline, .. }) = station.router.whereabouts(id) else {
                    prop_assert!(tiers.is_empty(), "{} is unknown", id);
                    continue;
                };
                prop_assert!(tier == COMMUNITY || tiers.contains(&tier), "{} is at {:?}", id, tier);
                prop_assert!(deadline.is_none_or(|at| at > station.now.wall), "{} {:?}", id, k);
            }
        }
    }

    /// At every tier: received = in time + late, once all is over.
    #[test]
    fn the_books_balance(steps in prop::collection::vec(step(), 1..60)) {
        let mut station = Station::new(STATIONS[1]);
        let mut open: BTreeMap<String, Severity> = BTreeMap::new();
        let kind = EventKind::BinOverflow;
        for (n, step) in steps.into_iter().enumerate() {
            let first = open.first_key_value().map(|(id, severity)| (id.clone(), *severity));
            match (step, first) {
                (Step::Raise(_, severity, _), _) => {
                    open.insert(n.to_string(), SEVERITIES[severity]);
                    station.raise(&n.to_string(), SEVERITIES[severity]);
                }
                (Step::Update(_), Some((id, severity))) => {
                    station.tell(&id, kind, severity, AlertState::Updated);
                }
                (Step::Clear(_), Some((id, severity))) => {
                    open.remove(&id);
                    station.clear(&id, severity);
                }
                (Step::Verdict(_), Some((id, _))) => {
                    station.router.verdict(&id, VerdictStatus::Rejected, station.now);
                    station.store();
                }
                // Two months are kept; these are fewer.
                (Step::Pass(seconds), _) => station.pass(Duration::from_secs(u64::from(seconds) / 6)),
                (Step::Restart(_), _) => station = station.restart(Duration::from_secs(60)),
                _ => {}
            }
        }
        for (id, severity) in &open {
            station.clear(id, *severity);
        }
        station.pass(SETTLED_MEMORY);
        let mut begun = 0;
        for tier in Tier::ALL {
            let c = station.counts(tier);
            prop_assert_eq!(c.received, c.in_time + c.late, "{:?} {:?}", tier, c);
            prop_assert!(c.escalated <= c.late);
            begun += c.received - c.escalated;
        }
        let raised = station.sent.iter().filter(|(_, state, _)| *state == AlertState::Raised).count();
        // What a verdict settled and began again counts once more.
        prop_assert!(begun as usize >= raised);
        prop_assert!(station.state.keys().all(|key| !key.starts_with(b"route/")));
    }
}
