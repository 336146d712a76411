//! Metres over a shop-front line, through the real child.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use wangge::{
    config::{Camera, Zone},
    observation::Health,
    source::vision::replay::Step,
    vision::ground::{Front, Line, Marked, Point, Survey},
};
use wangge_protocol::{EventKind, Overrun, Text};

use crate::{
    pavement::{self, Block, HEIGHT, Part, SHOP, WIDTH, image},
    replay::play,
    rig::{Rig, camera, file, health, sighting},
};

/// Six seconds of an empty pavement, then of `blocks`.
fn clip(dir: &Path, blocks: &[Block]) -> PathBuf {
    pavement::clip(dir, &[Part::of(6, &[]), Part::of(34, blocks)])
}

/// Six points taped on the pavement; the line a metre before the shop.
fn measuring(clip: &Path) -> Camera {
    let taped = [
        [-3.0, 5.0],
        [3.0, 5.0],
        [3.0, 8.0],
        [-3.0, 8.0],
        [0.0, 6.0],
        [1.5, 7.0],
    ];
    let marked = |metres: Point| Marked {
        image: image(metres),
        metres,
    };
    let survey = Survey {
        points: taped.map(marked).to_vec(),
        picture: [WIDTH as f64, HEIGHT as f64],
        point_error: 1.0,
        tape_error: 0.02,
    };
    let fit = survey.fit().unwrap();
    let line = Line {
        points: vec![[-3.0, SHOP], [3.0, SHOP]],
        road: [0.0, 2.0],
        limit: 1.0,
        tolerance: 0.3,
        reach: 3.0,
    };
    let front = Front::new(fit.plane.clone(), &line, None).unwrap();
    let dwell = Duration::from_secs(5);
    Camera {
        zones: vec![Zone {
            id: "front".into(),
            kind: EventKind::ShopOverflow,
            polygon: front.polygon().to_vec(),
            front: Some(Arc::new(front)),
            labels: vec![],
            objects: true,
            fixtures: vec![],
            dwell,
            crop: false,
            take_down: false,
            calendar: Arc::default(),
            shadow: None,
        }],
        masks: vec![],
        rules: vec![],
        ground: Some((survey, fit)),
        ..camera(file(clip, false))
    }
}

async fn measured(blocks: &[Block]) -> Overrun {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::start(vec![measuring(&clip(dir.path(), blocks))]);
    let seen = rig
        .until("metres with a picture", |arrival| {
            sighting(arrival).filter(|s| !s.evidence.is_empty())
        })
        .await;
    rig.stop().await;
    seen.overrun.expect("metres")
}

#[tokio::test]
async fn a_box_sixty_centimetres_over_the_line_is_measured_within_its_error() {
    let over = measured(&[[-0.6, 0.9, 6.4, 7.4, 0.7]]).await;
    assert!((over.metres - 0.6).abs() <= over.error_m, "{over:?}");
    assert!((over.along_m - 1.5).abs() <= over.along_error_m, "{over:?}");
    assert!(over.error_m < 0.25, "{over:?}");
    assert!((over.limit_m - 1.0).abs() < 1e-9);
}

#[tokio::test]
async fn two_boxes_along_one_front_are_told_together() {
    let over = measured(&[[-2.2, -1.0, 6.4, 7.0, 0.5], [0.6, 2.0, 6.1, 7.2, 0.6]]).await;
    assert!((over.metres - 0.9).abs() <= over.error_m, "{over:?}");
    assert!((over.along_m - 2.6).abs() <= over.along_error_m, "{over:?}");
}

#[tokio::test]
async fn what_stands_within_the_line_is_not_told() {
    let dir = tempfile::tempdir().unwrap();
    let clip = clip(dir.path(), &[[-0.6, 0.9, 7.2, 7.9, 0.7]]);
    let mut rig = Rig::start(vec![measuring(&clip)]);
    // Emptiness is told; nothing else is, long after the dwell.
    let told = tokio::time::timeout(Duration::from_secs(25), async {
        loop {
            let arrival = rig.arrivals.recv().await?;
            if let Some(seen) = sighting(&arrival).filter(|s| s.present) {
                return Some(seen);
            }
        }
    });
    if let Ok(seen) = told.await {
        panic!("{seen:?}");
    }
    rig.stop().await;
}

/// Of a recording of a box that comes and stays: whether metres were told, and what was said to
/// be wrong with the camera.
async fn told(parts: &[Part<'_>]) -> (bool, Option<Text>) {
    let dir = tempfile::tempdir().unwrap();
    let clip = pavement::clip(dir.path(), parts);
    let (steps, frames) = play(measuring(&clip), vec![clip]).await;
    frames.unwrap();
    let mut told = (false, None);
    for step in steps {
        let Step::Arrival(arrival, _) = step else {
            continue;
        };
        told.0 |= sighting(&arrival).is_some_and(|seen| seen.overrun.is_some());
        if let Some(Health::Fault { reason, .. }) = health(&arrival) {
            told.1 = Some(reason.clone());
        }
    }
    told
}

#[tokio::test]
async fn a_camera_that_was_knocked_measures_nothing_and_says_so() {
    let over: &[Block] = &[[-0.6, 0.9, 6.4, 7.4, 0.7]];
    // A little more than half a degree: about as much as a bracket gives when a ladder hits it.
    let knocked = |seconds, blocks| Part {
        knocked: 0.012,
        ..Part::of(seconds, blocks)
    };
    // A quiet camera is looked at every 15 s: three looks until it has lasted for 20 s.
    let (metres, fault) = told(&[Part::of(8, &[]), knocked(60, &[]), knocked(14, over)]).await;
    let fault = fault.expect("the knock is told");
    assert!(
        fault.en.contains("knocked a little") && fault.zh.contains("轻微偏移"),
        "{fault:?}"
    );
    assert!(!metres, "metres of a view that was not surveyed");
    // The same without the knock.
    let (metres, fault) = told(&[Part::of(8, &[]), Part::of(14, over)]).await;
    assert!(metres && fault.is_none(), "{metres} {fault:?}");
}

#[tokio::test]
async fn a_camera_that_was_turned_away_measures_nothing_and_says_so() {
    let over: &[Block] = &[[-0.6, 0.9, 6.4, 7.4, 0.7]];
    let turned = |seconds, blocks| Part {
        knocked: 0.12,
        ..Part::of(seconds, blocks)
    };
    let (metres, fault) = told(&[Part::of(12, &[]), turned(26, &[]), turned(14, over)]).await;
    let fault = fault.expect("the turn is told");
    assert!(fault.zh.starts_with("画面偏移"), "{fault:?}");
    assert!(!metres, "metres of a view that was not surveyed");
}
