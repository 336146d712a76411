//! Metres over a shop-front line, through the real child: a rendered pavement whose every metre
//! is known.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use wangge::{
    config::{Camera, Zone},
    vision::ground::{Front, Line, Marked, Point, Survey},
};
use wangge_protocol::{EventKind, Overrun};

use crate::rig::{Rig, camera, file, sighting};

const WIDTH: usize = 832;
const HEIGHT: usize = 468;
/// Pixels.
const FOCAL: f64 = 700.0;
/// The camera is so high, and looks down by so much (radians).
const UP: f64 = 3.5;
const TILT: f64 = 0.5;
/// The wall of the shop is this far from the camera, which stands across the pavement.
const SHOP: f64 = 8.0;
const FPS: usize = 5;

/// A thing on the pavement: left, right, near, far, high, in metres.
type Block = [f64; 5];

fn image([x, y]: Point) -> Point {
    let depth = y * TILT.cos() + UP * TILT.sin();
    let below = UP * TILT.cos() - y * TILT.sin();
    [
        0.5 + FOCAL * x / depth / WIDTH as f64,
        0.5 + FOCAL * below / depth / HEIGHT as f64,
    ]
}

/// Brightness of the scene in every pixel: paving of half a metre, a wall with windows, a block.
fn render(blocks: &[Block]) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(WIDTH * HEIGHT);
    for row in 0..HEIGHT {
        for column in 0..WIDTH {
            let u = (column as f64 + 0.5 - WIDTH as f64 / 2.0) / FOCAL;
            let v = (row as f64 + 0.5 - HEIGHT as f64 / 2.0) / FOCAL;
            let ray = [u, TILT.cos() - v * TILT.sin(), -TILT.sin() - v * TILT.cos()];
            pixels.push(shade(ray, blocks));
        }
    }
    pixels
}

fn shade(ray: [f64; 3], blocks: &[Block]) -> u8 {
    let to_ground = if ray[2] < 0.0 {
        -UP / ray[2]
    } else {
        f64::INFINITY
    };
    let to_wall = SHOP / ray[1];
    for [left, right, near, far, high] in blocks {
        let (from, to) = ([*left, *near, 0.0], [*right, *far, *high]);
        let (mut enter, mut leave, mut side) = (0.0f64, to_ground.min(to_wall), 0);
        for axis in 0..3 {
            let start = if axis == 2 { UP } else { 0.0 };
            let (a, b) = (
                (from[axis] - start) / ray[axis],
                (to[axis] - start) / ray[axis],
            );
            if a.min(b) > enter {
                (enter, side) = (a.min(b), axis);
            }
            leave = leave.min(a.max(b));
        }
        if enter < leave {
            return [60, 45, 85][side];
        }
    }
    if to_ground < to_wall {
        let (x, y) = (ray[0] * to_ground, ray[1] * to_ground);
        let tile =
            ((x * 2.0).floor() as i64 * 7919 + (y * 2.0).floor() as i64 * 104_729).rem_euclid(23);
        let joint = (x * 2.0).rem_euclid(1.0) < 0.06 || (y * 2.0).rem_euclid(1.0) < 0.06;
        if joint { 110 } else { 165 + tile as u8 }
    } else {
        let (x, z) = (ray[0] * to_wall, UP + ray[2] * to_wall);
        let window = x.rem_euclid(1.6) < 1.0 && (0.6..2.2).contains(&z);
        if window { 70 } else { 140 }
    }
}

/// Six seconds of an empty pavement, then of `blocks`, with the noise of a camera.
fn clip(dir: &Path, blocks: &[Block]) -> PathBuf {
    let path = dir.join("pavement.mp4");
    let mut encoder = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-loglevel",
            "error",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "gray",
        ])
        .args([
            "-s",
            &format!("{WIDTH}x{HEIGHT}"),
            "-r",
            &FPS.to_string(),
            "-i",
            "-",
        ])
        .args([
            "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast",
        ])
        .args(["-crf", "18", "-bf", "0", "-g", "5", "-y"])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("ffmpeg is installed");
    let mut input = encoder.stdin.take().unwrap();
    let (empty, full) = (render(&[]), render(blocks));
    let mut random = 9u64;
    for frame in 0..40 * FPS {
        let scene = if frame < 6 * FPS { &empty } else { &full };
        let noisy: Vec<u8> = scene
            .iter()
            .map(|value| {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                value.wrapping_add_signed((random >> 62) as i8 - 2)
            })
            .collect();
        input.write_all(&noisy).unwrap();
    }
    drop(input);
    assert!(encoder.wait().unwrap().success());
    path
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
