//! Whole networks against reference implementations, on pictures.

// The figures are of interest when the test passes, too.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;

use super::*;

/// Class, score, box; best first.
type Seen = Vec<(usize, f32, [f32; 4])>;
/// What a network sees in each picture.
type Reference = BTreeMap<String, BTreeMap<String, Seen>>;

/// A folder that lies in the checkout.
fn checkout(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}

fn look(detector: &mut Detector, file: &Path) -> Vec<Detection> {
    let frame = first_frame(file);
    let placement = Placement::new(&detector.manifest.input, frame.width(), frame.height());
    let scaled = Scalers::default()
        .scale(&frame, detector.packed(), placement.width, placement.height)
        .unwrap();
    let plane = &scaled.planes()[0];
    detector
        .look(plane.data(), plane.line_size(), placement)
        .unwrap()
}

/// The same things in the same places: for pictures that need no scaling, of which nothing but
/// the last digits may differ.
fn same(found: &[Detection], expected: &Seen, picture: &str) {
    assert_eq!(found.len(), expected.len(), "{picture}: {found:#?}");
    for (class, score, bbox) in expected {
        let same = |d: &&Detection| {
            d.class == *class && (d.score - score).abs() < 0.002 && iou(d.bbox, *bbox) > 0.98
        };
        assert!(
            found.iter().any(|d| same(&d)),
            "{picture}: {class} {score} {bbox:?} of {found:#?}"
        );
    }
}

/// The model that ships with its weights, on the pictures that lie beside it: what
/// `models/recipes/trash_bag/golden.py` made of them.
#[test]
fn the_litter_model_sees_what_its_recipe_saw() {
    #[derive(Deserialize)]
    struct Expected {
        threshold: f32,
        pictures: Vec<Picture>,
    }
    #[derive(Deserialize)]
    struct Picture {
        picture: String,
        detections: Vec<Thing>,
    }
    #[derive(Deserialize)]
    struct Thing {
        r#box: [f32; 4],
        score: f32,
    }
    let folder = checkout("models/trash_bag");
    let model = wangge_models::load(&folder.join("trash_bag.toml")).unwrap();
    let text = std::fs::read_to_string(folder.join("golden/expected.json")).unwrap();
    let expected: Expected = serde_json::from_str(&text).unwrap();
    assert_eq!(model.manifest.threshold, expected.threshold);
    let mut detector = Detector::load(runtime(), &model).unwrap();
    let mut sure = 0;
    for picture in expected.pictures {
        let things = picture.detections.iter();
        let things: Seen = things.map(|t| (0, t.score, t.r#box)).collect();
        sure += things.iter().filter(|t| t.1 >= expected.threshold).count();
        let file = folder.join("golden").join(&picture.picture);
        same(&look(&mut detector, &file), &things, &picture.picture);
    }
    assert!(sure >= 6, "a reference that finds something: {sure}");
}

/// A manifest that ships, with its weights beside it. Those of the other families are published on
/// GitHub alone, and the set-up needs no more than package registries: where nobody put them, the
/// test says that it is skipped, and is not counted as passed. What runs of these families
/// everywhere is the decoding of their outputs, against numpy's (`oracle.rs`).
fn network(id: &str) -> Option<Model> {
    if id == "nanodet_g_416" {
        return Some(wangge_models::load(&wangge_tests::place::model().unwrap()).unwrap());
    }
    let file = manifest(id).file;
    let Some(weights) = wangge_tests::place::weights(file.to_str().unwrap()) else {
        println!(
            "skipped: {} is not there, see WANGGE_MODELS",
            file.display()
        );
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(weights, dir.path().join(file)).unwrap();
    let to = dir.path().join("m.toml");
    std::fs::copy(checkout(&format!("models/manifests/{id}.toml")), &to).unwrap();
    Some(wangge_models::load(&to).unwrap())
}

#[test]
fn nanodet_sees_what_the_reference_sees() {
    let golden = include_str!("../golden/nanodet_g_416.json");
    assert!(sees("nanodet_g_416", golden), "the set-up fetches it");
}

#[test]
fn yolox_sees_what_the_reference_sees() {
    sees("yolox_nano", include_str!("../golden/yolox_nano.json"));
}

#[test]
fn picodet_sees_what_the_reference_sees() {
    sees(
        "picodet_s_416",
        include_str!("../golden/picodet_s_416.json"),
    );
}

/// A picture of the footage, and pictures that need no scaling; false if the network is not there.
fn sees(id: &str, golden: &str) -> bool {
    let Some(model) = network(id) else {
        return false;
    };
    sees_the_same(&model, golden);
    let reference: Reference =
        serde_json::from_str(include_str!("../golden/pictures.json")).unwrap();
    let mut detector = Detector::load(runtime(), &model).unwrap();
    let threshold = model.manifest.threshold;
    let mut sure = 0;
    for (picture, expected) in &reference[id] {
        let file = checkout("models/trash_bag/golden").join(picture);
        same(&look(&mut detector, &file), expected, picture);
        sure += expected.iter().filter(|e| e.1 >= threshold).count();
    }
    assert!(sure >= 3, "a reference that sees something: {sure}");
    if let Some(folder) = std::env::var_os("WANGGE_PHOTOGRAPHS") {
        photographs(id, &mut detector, Path::new(&folder));
    }
    true
}

/// Photographs of yours against the `reference.json` that `models/oracle/photographs.py` made of
/// them. They are scaled by other means there, so the sure things only have to be the same on the
/// whole.
fn photographs(id: &str, detector: &mut Detector, folder: &Path) {
    let text = std::fs::read_to_string(folder.join("reference.json")).unwrap();
    let mut reference: Reference = serde_json::from_str(&text).unwrap();
    let pictures = reference.remove(id).unwrap_or_default();
    let threshold = detector.manifest.threshold;
    let (mut sure, mut found, mut shift, mut overlap) = (0, 0, 0.0, 0.0);
    for (file, expected) in pictures {
        let seen = look(detector, &folder.join(file));
        // Below the threshold either side may leave it out.
        for (class, score, bbox) in expected.into_iter().filter(|e| e.1 >= threshold) {
            sure += 1;
            let same = seen.iter().filter(|d| d.class == class);
            let best = same.max_by(|a, b| iou(a.bbox, bbox).total_cmp(&iou(b.bbox, bbox)));
            if let Some(d) = best.filter(|d| iou(d.bbox, bbox) >= 0.5) {
                found += 1;
                shift += (d.score - score).abs();
                overlap += iou(d.bbox, bbox);
            }
        }
    }
    let each = found.max(1) as f32;
    println!(
        "{id}: {found} of {sure} things found; scores differ by {:.4}, boxes overlap by {:.4}",
        shift / each,
        overlap / each
    );
    assert!(sure > 0, "{id}: the reference sees nothing");
    assert!(found * 100 >= sure * 97, "{id}: {found} of {sure}");
    assert!(shift / each < 0.03 && overlap / each > 0.95, "{id}");
}
