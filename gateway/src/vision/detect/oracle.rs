//! The real detector, with ONNX Runtime, over the small networks of `models/oracle`, against
//! what numpy decoders saw in them.
//!
//! Tolerances: two runtimes sum in another order, so a score may differ by [`SCORE`] and an edge
//! by [`EDGE`] of the picture. Number, classes and what is suppressed must be the same.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{tests::runtime, *};

/// Largest difference of a score.
const SCORE: f32 = 1e-4;
/// Largest difference of an edge, fraction of the picture.
const EDGE: f32 = 5e-4;

#[derive(Deserialize)]
struct Expected {
    /// Width and height.
    picture: [usize; 2],
    /// Class, score, box.
    expected: Vec<(usize, f32, [f32; 4])>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/oracle/fixtures")
}

/// The picture that `make.py` made too, packed.
fn picture(width: usize, height: usize, packed: Packed) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            let channel = |c: usize| {
                let cell = (x / 8 + 3 * c) * 37 + (y / 8 + c) * 59 + (x / 8) * (y / 8) * 23;
                ((cell + x * 2 + y) % 256) as u8
            };
            pixels.extend(match packed {
                Packed::Rgb => [0, 1, 2].map(channel),
                Packed::Bgr => [2, 1, 0].map(channel),
            });
        }
    }
    pixels
}

fn check(name: &str) {
    let model = wangge_models::load(&folder().join(name).with_extension("toml")).unwrap();
    let text = std::fs::read_to_string(folder().join(name).with_extension("json")).unwrap();
    let Expected {
        picture: [width, height],
        expected,
    } = serde_json::from_str(&text).unwrap();

    let mut detector = Detector::load(runtime(), &model).unwrap();
    let placement = Placement::new(&model.manifest.input, width, height);
    let pixels = picture(placement.width, placement.height, detector.packed());
    let found = detector
        .look(&pixels, placement.width * 3, placement)
        .unwrap();
    assert_eq!(found.len(), expected.len(), "{name}");
    for (class, score, bbox) in &expected {
        let same = |d: &&Detection| {
            let edges = d.bbox.iter().zip(bbox);
            d.class == *class
                && (d.score - score).abs() < SCORE
                && edges
                    .into_iter()
                    .all(|(is, wanted)| (is - wanted).abs() < EDGE)
        };
        assert!(
            found.iter().any(|d| same(&d)),
            "{name}: {class} {score} {bbox:?} is not in {found:#?}"
        );
    }
    assert!(found.is_sorted_by(|a, b| a.score >= b.score), "{name}");
}

#[test]
fn every_family_at_two_sizes() {
    let families = [
        "yolov5",
        "yolov8",
        "rtdetr",
        "rtdetr_deploy",
        "nanodet",
        "yolox",
        "picodet",
    ];
    for family in families {
        for size in ["128x64", "192x128"] {
            check(&format!("{family}_{size}"));
        }
    }
}

/// The other way round: a network of one family is none of another.
#[test]
fn a_network_is_refused_as_one_of_another_family() {
    for (network, other) in [
        ("yolov5_128x64", "yolov8"),
        ("yolov8_128x64", "yolox"),
        ("yolox_128x64", "yolov5"),
        ("rtdetr_128x64", "nanodet"),
        ("nanodet_128x64", "rtdetr"),
    ] {
        let mut model =
            wangge_models::load(&folder().join(network).with_extension("toml")).unwrap();
        let text = std::fs::read_to_string(folder().join(network).with_extension("toml")).unwrap();
        let family = format!("family = \"{}\"", network.split('_').next().unwrap());
        let text = text.replace(&family, &format!("nms_iou = 0.5\nfamily = \"{other}\""));
        let text = match text.matches("nms_iou").count() {
            2 => text.replacen("nms_iou = 0.5\n", "", 1),
            _ => text,
        };
        model.manifest = Manifest::parse(&text).unwrap();
        let error = Detector::load(runtime(), &model).unwrap_err();
        assert!(
            matches!(error, DetectError::Shape { .. }) && error.to_string().contains(other),
            "{network} as {other}: {error}"
        );
    }
}
