//! A rendered pavement before a shop, of which every metre is known.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use wangge::vision::ground::Point;

/// Pixels.
pub const WIDTH: usize = 832;
pub const HEIGHT: usize = 468;
const FOCAL: f64 = 700.0;
/// The camera is so high, and looks down by so much (radians).
const UP: f64 = 3.5;
const TILT: f64 = 0.5;
/// The wall of the shop is this far from the camera, which stands across the pavement.
pub const SHOP: f64 = 8.0;
const FPS: usize = 5;

/// A thing on the pavement: left, right, near, far, high, in metres.
pub type Block = [f64; 5];

/// Where a place on the ground is in the picture, fractions.
pub fn image([x, y]: Point) -> Point {
    let depth = y * TILT.cos() + UP * TILT.sin();
    let below = UP * TILT.cos() - y * TILT.sin();
    [
        0.5 + FOCAL * x / depth / WIDTH as f64,
        0.5 + FOCAL * below / depth / HEIGHT as f64,
    ]
}

/// What is to be seen for so long.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    pub seconds: usize,
    /// The camera looks down by so much more than it did, radians.
    pub knocked: f64,
    pub blocks: &'a [Block],
}

impl<'a> Part<'a> {
    pub fn of(seconds: usize, blocks: &'a [Block]) -> Self {
        Part {
            seconds,
            knocked: 0.0,
            blocks,
        }
    }
}

/// Brightness of the scene in every pixel: paving of half a metre, a wall with windows, a block.
fn render(part: &Part<'_>) -> Vec<u8> {
    let tilt = TILT + part.knocked;
    let mut pixels = Vec::with_capacity(WIDTH * HEIGHT);
    for row in 0..HEIGHT {
        for column in 0..WIDTH {
            let u = (column as f64 + 0.5 - WIDTH as f64 / 2.0) / FOCAL;
            let v = (row as f64 + 0.5 - HEIGHT as f64 / 2.0) / FOCAL;
            let ray = [u, tilt.cos() - v * tilt.sin(), -tilt.sin() - v * tilt.cos()];
            pixels.push(shade(ray, part.blocks));
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

/// The parts one after the other, with the noise of a camera.
pub fn clip(dir: &Path, parts: &[Part<'_>]) -> PathBuf {
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
    let mut random = 9u64;
    for part in parts {
        let scene = render(part);
        for _ in 0..part.seconds * FPS {
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
    }
    drop(input);
    assert!(encoder.wait().unwrap().success());
    path
}
