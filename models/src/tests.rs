use super::*;

/// The least that is an ONNX file: a version, a producer, an empty network.
const WEIGHTS: &[u8] = b"\x08\x08\x12\x1enot much of a network, but one\x3a\x00";

fn manifest(edit: impl Fn(String) -> String) -> String {
    edit(format!(
        r#"id = "m"
family = "yolox"
file = "m.onnx"
bytes = {}
sha256 = "{}"
licence = "Apache-2.0"
origin = "a test"
threshold = 0.4
nms_iou = 0.6
labels = ["person", "car"]
[input]
width = 416
height = 416
colour = "bgr"
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
fit = "corner"
pad = 114
"#,
        WEIGHTS.len(),
        hex::encode(Sha256::digest(WEIGHTS))
    ))
}

/// A folder with a manifest and, if given, weights.
fn folder(text: &str, weights: Option<&[u8]>) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.toml");
    std::fs::write(&path, text).unwrap();
    if let Some(weights) = weights {
        std::fs::write(dir.path().join("m.onnx"), weights).unwrap();
    }
    (dir, path)
}

#[test]
fn the_named_bytes_load() {
    let (_dir, path) = folder(&manifest(|m| m), Some(WEIGHTS));
    let model = load(&path).unwrap();
    assert_eq!(model.weights, WEIGHTS);
    assert_eq!(model.manifest.family, Family::Yolox);
    assert_eq!(model.manifest.labels, ["person", "car"]);
}

#[test]
fn missing_weights_are_named_with_what_to_do() {
    let (_dir, path) = folder(&manifest(|m| m), None);
    let text = load(&path).unwrap_err().to_string();
    assert!(
        text.contains("m.onnx") && text.contains("fetch the model"),
        "{text}"
    );
}

#[test]
fn missing_manifest_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let text = load(&dir.path().join("none.toml")).unwrap_err().to_string();
    assert!(text.contains("none.toml"), "{text}");
}

#[test]
fn truncated_weights_are_told_from_wrong_ones() {
    let (_dir, path) = folder(&manifest(|m| m), Some(&WEIGHTS[..WEIGHTS.len() - 1]));
    let text = load(&path).unwrap_err().to_string();
    assert!(text.contains("truncated, 35 of 36 bytes"), "{text}");
}

#[test]
fn one_changed_bit_is_refused() {
    let mut bytes = WEIGHTS.to_vec();
    bytes[7] ^= 1;
    let (_dir, path) = folder(&manifest(|m| m), Some(&bytes));
    assert!(matches!(load(&path), Err(ModelError::WrongHash { .. })));
}

#[test]
fn weights_that_lie_in_another_file_are_refused() {
    let weights = b"\x08\x08\x3a\x06\x2a\x04\x6a\x02\x0a\x00";
    let text = manifest(|m| {
        m.replace("bytes = 36", "bytes = 10").replace(
            &hex::encode(Sha256::digest(WEIGHTS)),
            &hex::encode(Sha256::digest(weights)),
        )
    });
    let (_dir, path) = folder(&text, Some(weights));
    let text = load(&path).unwrap_err().to_string();
    assert!(
        text.contains("m.onnx") && text.contains("external data"),
        "{text}"
    );
}

#[test]
fn weights_beyond_the_named_size_are_not_read_to_the_end() {
    for size in [WEIGHTS.len() + 1, WEIGHTS.len() * 10] {
        let mut bytes = WEIGHTS.to_vec();
        bytes.resize(size, 0);
        let (_dir, path) = folder(&manifest(|m| m), Some(&bytes));
        assert!(matches!(
            load(&path),
            Err(ModelError::TooLarge { limit: 36, .. })
        ));
    }
}

#[test]
fn a_manifest_at_its_limit_loads_and_one_byte_more_does_not() {
    let text = manifest(|m| m);
    for (size, fits) in [
        (MAX_MANIFEST, true),
        (MAX_MANIFEST + 1, false),
        (MAX_MANIFEST * 10, false),
    ] {
        let padded = format!("{text}#{}", "x".repeat(size as usize - text.len() - 1));
        let (_dir, path) = folder(&padded, Some(WEIGHTS));
        assert_eq!(load(&path).is_ok(), fits, "{size}");
    }
}

#[test]
fn a_bad_manifest_says_what_is_wrong() {
    for (from, to, expect) in [
        ("m.onnx", "../m.onnx", "plain file name"),
        ("m.onnx", "/etc/passwd", "plain file name"),
        ("m.onnx", "..", "plain file name"),
        ("nms_iou = 0.6\n", "", "nms_iou"),
        ("\"yolox\"", "\"yolov9\"", "yolov9"),
        ("threshold = 0.4", "threshold = 1.4", "threshold"),
        ("threshold = 0.4", "threshold = nan", "threshold"),
        ("nms_iou", "nms_ious", "nms_ious"),
        ("width = 416", "width = 417", "multiple of 32"),
        ("width = 416", "width = 2080", "multiple of 32"),
        ("std = [1.0,", "std = [0.0,", "std"),
        ("[\"person\", \"car\"]", "[]", "labels"),
        ("\"car\"", "\"person\"", "twice"),
        ("bytes = 36", "bytes = 134217729", "bytes"),
        ("\"m\"", "\"m m\"", "id"),
        ("Apache-2.0", "", "licence"),
    ] {
        let text = manifest(|m| m.replace(from, to));
        let error = Manifest::parse(&text).unwrap_err();
        assert!(error.contains(expect), "{from} -> {to}: {error}");
    }
    let text = manifest(|m| m.replace("sha256 = \"", "sha256 = \"F"));
    assert!(
        Manifest::parse(&text)
            .unwrap_err()
            .contains("64 lower-case hex")
    );
}

#[test]
fn every_family_has_its_names() {
    for (name, family) in [
        ("nanodet", Family::Nanodet),
        ("yolox", Family::Yolox),
        ("picodet", Family::Picodet),
        ("yolov5", Family::Yolov5),
        ("yolov8", Family::Yolov8),
        ("yolo11", Family::Yolov8),
        ("rtdetr", Family::Rtdetr),
        ("dfine", Family::Rtdetr),
    ] {
        let text = manifest(|m| m.replace("yolox", name));
        assert_eq!(Manifest::parse(&text).unwrap().family, family, "{name}");
    }
}

#[test]
fn only_what_needs_no_suppression_may_leave_it_out() {
    let text = manifest(|m| m.replace("nms_iou = 0.6\n", "").replace("yolox", "rtdetr"));
    assert_eq!(Manifest::parse(&text).unwrap().max_overlap(), 1.0);
    assert_eq!(
        Manifest::parse(&manifest(|m| m)).unwrap().max_overlap(),
        0.6
    );
}

#[test]
fn shipped_manifests_are_valid_and_named_after_their_id() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let manifest = Manifest::parse(&text).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        assert_eq!(path.file_stem().unwrap().to_str(), Some(&*manifest.id));
        assert_eq!(manifest.labels.len(), 80, "COCO");
        ids.push(manifest.id);
    }
    ids.sort();
    assert_eq!(ids, ["nanodet_g_416", "picodet_s_416", "yolox_nano"]);
}
