use super::*;

const BAG: Bbox = [0.50, 0.60, 0.55, 0.66];

pub(super) fn zone() -> Stories {
    let polygon = Polygon::new(vec![[0.2, 0.4], [0.8, 0.4], [0.8, 0.9], [0.2, 0.9]]);
    Stories::new(polygon, Duration::from_secs(30))
}

pub(super) fn blob(id: u64, bbox: Bbox, since: f32) -> Blob {
    Blob {
        id,
        bbox,
        rim: Vec::new(),
        area: (bbox[2] - bbox[0]) * (bbox[3] - bbox[1]),
        change: Change::Appeared,
        since: Duration::from_secs_f32(since),
        stable: Duration::ZERO,
        settled: true,
    }
}

pub(super) fn person(track: u64, x: f32) -> Visitor {
    Visitor {
        track,
        class: 0,
        bbox: [x, 0.45, x + 0.06, 0.67],
    }
}

/// Five looks a second; `scene` gives blobs and visitors of a moment.
pub(super) fn play(
    zone: &mut Stories,
    seconds: std::ops::Range<u32>,
    scene: impl Fn(f32) -> (Vec<Blob>, Vec<Visitor>),
) -> Vec<(f32, Event)> {
    let mut all = Vec::new();
    for tick in seconds.start * 5..seconds.end * 5 {
        let at = tick as f32 / 5.0;
        let (blobs, visitors) = scene(at);
        let mut out = Vec::new();
        zone.look(&blobs, &visitors, Duration::from_secs_f32(at), &mut out);
        all.extend(out.into_iter().map(|e| (at, e)));
    }
    all
}

pub(super) fn told(events: &[(f32, Event)]) -> Vec<(f32, Option<Actor>)> {
    events
        .iter()
        .filter_map(|(at, e)| match e {
            Event::Present {
                picture: true,
                actor,
                ..
            } => Some((*at, *actor)),
            _ => None,
        })
        .collect()
}

/// Somebody comes from the left, is at the bag's place at 10 s, and goes on.
fn walker(at: f32) -> Vec<Visitor> {
    let x = 0.02 + at * 0.048;
    if x < 0.95 { vec![person(7, x)] } else { vec![] }
}

#[test]
fn a_thing_that_is_called_a_truck_for_a_moment_did_not_bring_itself() {
    let scene = |walks: bool| {
        move |at: f32| {
            let mut visitors = if walks { walker(at) } else { vec![] };
            if (10.6..12.0).contains(&at) {
                let bbox = [0.495, 0.59, 0.56, 0.665];
                visitors.push(Visitor {
                    track: 9,
                    class: 7,
                    bbox,
                });
            }
            let lies = at >= 12.5;
            let blobs = if lies {
                vec![blob(1, BAG, 10.5)]
            } else {
                vec![]
            };
            (blobs, visitors)
        }
    };
    for (walks, actor) in [(true, Some(7)), (false, None)] {
        let told = told(&play(&mut zone(), 0..80, scene(walks)));
        let tracks: Vec<_> = told.iter().map(|(_, a)| a.map(|a| a.track)).collect();
        assert_eq!(tracks, [actor], "{told:?}");
    }
}

#[test]
fn left_by_a_walker_and_told_once() {
    let events = play(&mut zone(), 0..80, |at| {
        let lies = at >= 12.5;
        (
            if lies {
                vec![blob(1, BAG, 10.5)]
            } else {
                vec![]
            },
            walker(at),
        )
    });
    assert!(matches!(events[0].1, Event::Noticed { story: 1, .. }));
    assert!(
        matches!(events.iter().find(|(_, e)| matches!(e, Event::Left { .. })), Some((at, _)) if *at < 18.0)
    );
    let told = told(&events);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!((told[0].0 - 40.5).abs() < 0.5);
    let actor = told[0].1.unwrap();
    assert_eq!((actor.track, actor.class), (7, 0));
}

#[test]
fn it_is_watched_closely_until_it_has_been_told_of() {
    let mut zone = zone();
    assert_eq!(zone.need(), Need::Idle);
    // Somebody stands beside it, within reach, until 15 s.
    let lies = |at: f32| {
        let thing = (at >= 12.5).then(|| blob(1, BAG, 10.5));
        let someone = (at < 15.0).then(|| person(7, 0.43));
        (Vec::from_iter(thing), Vec::from_iter(someone))
    };
    play(&mut zone, 0..16, lies);
    assert_eq!(zone.need(), Need::Attention, "they are still near");
    play(&mut zone, 16..25, lies);
    assert_eq!(zone.need(), Need::Followed, "until it has lain long enough");
    play(&mut zone, 25..45, lies);
    assert_eq!(zone.need(), Need::Idle, "told");
}

#[test]
fn nobody_seen_is_an_answer_and_a_passer_by_afterwards_is_not_the_actor() {
    let events = play(&mut zone(), 0..80, |at| {
        let lies = at >= 2.5;
        // The walker is at the place eight seconds after it lay there.
        (
            if lies {
                vec![blob(1, BAG, 0.5)]
            } else {
                vec![]
            },
            walker(at),
        )
    });
    assert_eq!(told(&events).len(), 1);
    assert_eq!(told(&events)[0].1, None);
}

#[test]
fn of_two_the_one_who_was_there_when_it_came() {
    let events = play(&mut zone(), 0..80, |at| {
        let early = person(3, 0.48);
        let mut visitors = walker(at);
        if at < 2.0 {
            visitors.push(early);
        }
        (
            if at >= 12.5 {
                vec![blob(1, BAG, 10.5)]
            } else {
                vec![]
            },
            visitors,
        )
    });
    assert_eq!(told(&events)[0].1.unwrap().track, 7);
}

#[test]
fn whose_owner_stays_is_not_left() {
    let events = play(&mut zone(), 0..300, |at| {
        // Beside the bag, reading.
        (
            if at >= 5.0 {
                vec![blob(1, BAG, 3.0)]
            } else {
                vec![]
            },
            vec![person(5, 0.44)],
        )
    });
    assert!(told(&events).is_empty());
    let claims = events.iter().any(
        |(_, e)| matches!(e, Event::Present { dwell, .. } if *dwell >= Duration::from_secs(30)),
    );
    assert!(!claims, "no dwell is claimed that a rule would fire on");
}

#[test]
fn who_passes_when_it_has_lain_long_enough_delays_nothing_and_who_stops_there_does() {
    let lies = |at: f32| Vec::from_iter((at >= 12.5).then(|| blob(1, BAG, 10.5)));
    // Somebody walks by the bag from 39 to 42 s.
    let passes = |at: f32| {
        let walks = (39.0..42.0).contains(&at);
        Vec::from_iter(walks.then(|| person(3, 0.40 + 0.05 * (at - 39.0))))
    };
    let events = play(&mut zone(), 0..80, |at| (lies(at), passes(at)));
    let (at, _) = told(&events)[0];
    assert!((at - 40.5).abs() < 0.5, "{at}");
    // One who stops before it, and is followed anew every second, as in a crowd.
    let stops = |at: f32| Vec::from_iter((at >= 20.0).then(|| person(at as u64, 0.49)));
    let events = play(&mut zone(), 0..80, |at| (lies(at), stops(at)));
    assert!(told(&events).is_empty(), "{events:?}");
}

#[test]
fn a_crowd_that_passes_is_not_somebody_who_stands_there() {
    let lies = |at: f32| Vec::from_iter((at >= 12.5).then(|| blob(1, BAG, 10.5)));
    // One every two seconds, each before the bag for a second and a half; the tracker takes every
    // fourth for the first.
    let crowd = |at: f32| {
        let one = |n: u32| {
            let x = 0.30 + 0.06 * (at - 2.0 * n as f32);
            (0.30..0.80)
                .contains(&x)
                .then(|| person(100 + u64::from(n % 3), x))
        };
        (0..50).filter_map(one).collect()
    };
    let events = play(&mut zone(), 0..90, |at| (lies(at), crowd(at)));
    let told = told(&events);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!((40.0..55.0).contains(&told[0].0), "{told:?}");
}

#[test]
fn a_parked_vehicle_explains_what_is_under_its_box() {
    let car = Visitor {
        track: 9,
        class: 2,
        bbox: [0.4, 0.5, 0.7, 0.75],
    };
    let events = play(&mut zone(), 0..200, |at| {
        // Seen only every ten seconds by the detector.
        let seen = (at as u32).is_multiple_of(10);
        (
            vec![blob(1, BAG, 1.0)],
            if seen { vec![car] } else { vec![] },
        )
    });
    assert!(told(&events).is_empty());
}

#[test]
fn a_growing_pile_is_told_again_as_the_same_story() {
    let events = play(&mut zone(), 0..120, |at| {
        let large = [0.48, 0.58, 0.58, 0.68];
        (
            vec![blob(1, if at < 60.0 { BAG } else { large }, 1.0)],
            vec![],
        )
    });
    let told = told(&events);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!((told[1].0 - 60.0).abs() < 0.5);
}

#[test]
fn what_is_taken_away_is_over() {
    let events = play(&mut zone(), 0..60, |at| {
        (
            if at < 45.0 {
                vec![blob(1, BAG, 1.0)]
            } else {
                vec![]
            },
            vec![],
        )
    });
    assert!(matches!(
        events.last(),
        Some((
            _,
            Event::Over {
                story: 1,
                told: true
            }
        ))
    ));
    let events = play(&mut zone(), 0..60, |at| {
        (
            if at < 5.0 {
                vec![blob(1, BAG, 1.0)]
            } else {
                vec![]
            },
            vec![],
        )
    });
    assert!(matches!(
        events.last(),
        Some((
            _,
            Event::Over {
                story: 1,
                told: false
            }
        ))
    ));
}

#[test]
fn outside_the_zone_and_taken_things_are_no_story() {
    let outside = play(&mut zone(), 0..60, |_| {
        (vec![blob(1, [0.05, 0.6, 0.1, 0.66], 1.0)], vec![])
    });
    assert!(outside.is_empty());
    let removed = play(&mut zone(), 0..60, |_| {
        (
            vec![Blob {
                change: Change::Removed,
                ..blob(1, BAG, 1.0)
            }],
            vec![],
        )
    });
    assert!(removed.is_empty());
}

#[test]
fn limits_hold() {
    let mut zone = zone();
    let blobs: Vec<_> = (0..MAX_STORIES as u64 * 10)
        .map(|id| blob(id, BAG, 0.0))
        .collect();
    let crowd: Vec<_> = (0..3000).map(|id| person(id, 0.0)).collect();
    let mut out = Vec::new();
    for second in 0..60 {
        zone.look(&blobs, &crowd, Duration::from_secs(second), &mut out);
    }
    assert_eq!(zone.stories.len(), MAX_STORIES);
    assert_eq!(zone.boxes.len(), MAX_BOXES);
}

#[test]
fn while_permitted_nothing_is_told_and_what_stays_counts_from_then_on() {
    let mut zone = zone();
    let lies = |_| (vec![blob(1, BAG, 1.0)], vec![]);
    zone.permit(true, Duration::ZERO);
    assert_eq!(play(&mut zone, 0..600, lies), []);
    assert!(zone.occupied() && zone.need() == Need::Idle);
    zone.permit(false, Duration::from_secs(600));
    let events = play(&mut zone, 600..700, lies);
    let told = told(&events);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        (told[0].0 - 630.0).abs() < 0.5,
        "a dwell after it was forbidden"
    );
    let claims = events.iter().filter_map(|(at, e)| match e {
        Event::Present { dwell, since, .. } => Some((*at, *dwell, *since)),
        _ => None,
    });
    for (at, dwell, since) in claims {
        assert!(
            dwell <= Duration::from_secs_f32(at - 600.0),
            "{at}: {dwell:?}"
        );
        assert_eq!(since, Duration::from_secs(1), "it came when it came");
    }
    // Permitted again, and then not: it begins anew.
    zone.permit(true, Duration::from_secs(700));
    assert_eq!(play(&mut zone, 700..710, lies), []);
    zone.permit(false, Duration::from_secs(710));
    let again = play(&mut zone, 710..800, lies);
    assert!(again.iter().any(|(at, e)| {
        matches!(e, Event::Present { picture: true, .. }) && (at - 740.0).abs() < 0.5
    }));
}
