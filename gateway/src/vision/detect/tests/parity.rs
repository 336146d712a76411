//! Whole networks against reference implementations, on pictures.

// The figures are of interest when the test passes, too.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;

use super::*;

/// Class, score, box; best first.
type Seen = Vec<(usize, f32, [f32; 4])>;

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

/// Half of the model's threshold is reached by much that is no thing; here that is welcome, as
/// every score comes from the whole network.
#[test]
fn nanodet_sees_on_pictures_what_the_reference_sees() {
    let model = wangge_models::load(&wangge_tests::place::model().unwrap()).unwrap();
    let mut detector = Detector::load(runtime(), &model).unwrap();
    let reference: BTreeMap<String, BTreeMap<String, Seen>> =
        serde_json::from_str(include_str!("../golden/pictures.json")).unwrap();
    let pictures = &reference["nanodet_g_416"];
    assert!(pictures.values().map(Vec::len).sum::<usize>() > 50);
    for (picture, expected) in pictures {
        let file = checkout("models/trash_bag/golden").join(picture);
        same(&look(&mut detector, &file), expected, picture);
    }
}

/// Weights beside a shipped manifest that the set-up does not fetch: their makers publish them on
/// GitHub alone, and the suite needs no more than package registries. What it runs of these
/// families all the same is the decoding of their outputs, against numpy's (`oracle.rs`).
fn elsewhere(id: &str) -> Model {
    let manifest = manifest(id);
    let file = manifest.file.to_str().unwrap();
    let weights = wangge_tests::place::weights(file)
        .unwrap_or_else(|| panic!("{file} is not there: WANGGE_MODELS names a folder that has it"));
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(weights, dir.path().join(file)).unwrap();
    let to = dir.path().join("m.toml");
    std::fs::copy(checkout(&format!("models/manifests/{id}.toml")), &to).unwrap();
    wangge_models::load(&to).unwrap()
}

#[test]
#[ignore = "its weights are not the product's, so the set-up does not fetch them: WANGGE_MODELS names their folder"]
fn yolox_sees_what_the_reference_sees() {
    let reference = include_str!("../golden/yolox_nano.json");
    sees_the_same(&elsewhere("yolox_nano"), reference);
}

#[test]
#[ignore = "its weights are not the product's, so the set-up does not fetch them: WANGGE_MODELS names their folder"]
fn picodet_sees_what_the_reference_sees() {
    let reference = include_str!("../golden/picodet_s_416.json");
    sees_the_same(&elsewhere("picodet_s_416"), reference);
}

/// Any pictures against any reference: `WANGGE_PHOTOGRAPHS` names a folder of pictures and the
/// `reference.json` that `models/oracle/photographs.py` made of them.
#[test]
#[ignore = "compares photographs of your own, which a suite cannot have: see models/oracle/photographs.py"]
fn photographs_as_the_reference_sees_them() {
    let folder = PathBuf::from(std::env::var_os("WANGGE_PHOTOGRAPHS").unwrap());
    let text = std::fs::read_to_string(folder.join("reference.json")).unwrap();
    let reference: BTreeMap<String, BTreeMap<String, Seen>> = serde_json::from_str(&text).unwrap();
    for (id, pictures) in reference {
        let model = match id.as_str() {
            "nanodet_g_416" => wangge_models::load(&wangge_tests::place::model().unwrap()).unwrap(),
            id => elsewhere(id),
        };
        let mut detector = Detector::load(runtime(), &model).unwrap();
        let (mut sure, mut found, mut shift, mut overlap) = (0, 0, 0.0, 0.0);
        for (file, expected) in pictures {
            let seen = look(&mut detector, &folder.join(file));
            for (class, score, bbox) in expected {
                // Below the threshold either side may leave it out.
                if score < model.manifest.threshold {
                    continue;
                }
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
}
