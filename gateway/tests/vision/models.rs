//! Models and libraries that cannot be used: the reason reaches the alert, and mending the file
//! mends the station.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use wangge::config::Vision;
use wangge_protocol::EventKind;
use wangge_tests::place;

use crate::rig::{Rig, camera, file, vision};

fn a_camera() -> wangge::config::Camera {
    camera(file(&place::clip("vtest-h264.mp4").unwrap(), true))
}

/// A copy of the model's folder, to be damaged.
fn model() -> (TempDir, PathBuf) {
    let manifest = place::model().unwrap();
    let dir = tempfile::tempdir().unwrap();
    for name in ["nanodet_g_416.toml", "nanodet_g_416.onnx"] {
        fs::copy(manifest.parent().unwrap().join(name), dir.path().join(name)).unwrap();
    }
    let path = dir.path().join("nanodet_g_416.toml");
    (dir, path)
}

async fn reason(vision: Vision) -> String {
    let mut rig = Rig::with(vec![a_camera()], vision);
    let reason = rig.fault(EventKind::VisionFault).await;
    rig.stop().await;
    reason
}

fn with_model(model: &Path) -> Vision {
    Vision {
        model: model.to_path_buf(),
        ..vision()
    }
}

#[tokio::test]
async fn a_missing_model_is_named_and_used_once_it_is_there() {
    let (dir, manifest) = model();
    let weights = dir.path().join("nanodet_g_416.onnx");
    let away = dir.path().join("away");
    fs::rename(&weights, &away).unwrap();
    let mut rig = Rig::with(vec![a_camera()], with_model(&manifest));
    let reason = rig.fault(EventKind::VisionFault).await;
    assert!(
        reason.contains("nanodet_g_416.onnx") && reason.contains("fetch the model"),
        "{reason}"
    );
    fs::rename(&away, &weights).unwrap();
    rig.well().await;
    rig.stop().await;
}

#[tokio::test]
async fn truncated_and_changed_weights_are_told_apart() {
    let (dir, manifest) = model();
    let weights = dir.path().join("nanodet_g_416.onnx");
    let mut bytes = fs::read(&weights).unwrap();

    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let truncated = reason(with_model(&manifest)).await;
    assert!(
        truncated.contains("truncated, 7577541 of 15155083 bytes"),
        "{truncated}"
    );

    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&weights, &bytes).unwrap();
    let changed = reason(with_model(&manifest)).await;
    assert!(
        changed.contains("sha256 is") && changed.contains("18380a4e"),
        "{changed}"
    );
}

#[tokio::test]
async fn a_model_of_another_shape_is_refused_with_both_shapes() {
    let (_dir, manifest) = model();
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("width = 416", "width = 320")).unwrap();
    let reason = reason(with_model(&manifest)).await;
    assert!(
        reason.contains("input `images`") && reason.contains("416") && reason.contains("320"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_model_of_another_family_is_refused() {
    let (_dir, manifest) = model();
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"nanodet\"", "\"yolox\"")).unwrap();
    let reason = reason(with_model(&manifest)).await;
    assert!(
        reason.contains("the number of outputs is 2") && reason.contains("yolox"),
        "{reason}"
    );
}

#[tokio::test]
async fn weights_that_are_no_network_are_refused() {
    let (dir, manifest) = model();
    let junk = vec![7u8; 1000];
    fs::write(dir.path().join("nanodet_g_416.onnx"), &junk).unwrap();
    let text = fs::read_to_string(&manifest).unwrap();
    let hash = {
        use sha2::Digest;
        format!("{:x}", sha2::Sha256::digest(&junk))
    };
    let text = text
        .replace(
            "18380a4e8a1ac9697fdb06d1faf6418a237c1c5354e1ef3c07604f8e0e65031c",
            &hash,
        )
        .replace("bytes = 15155083", "bytes = 1000");
    fs::write(&manifest, text).unwrap();
    let reason = reason(with_model(&manifest)).await;
    assert!(
        reason.contains("nanodet_g_416.onnx") && reason.contains("not an ONNX file"),
        "{reason}"
    );
}

/// A manifest for one of the hostile networks that `models/oracle/make.py` writes.
fn hostile(name: &str) -> (TempDir, PathBuf) {
    let fixtures = place::root().join("models/oracle/fixtures");
    let bytes = fs::read(fixtures.join(name).with_extension("onnx")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("m.onnx"), &bytes).unwrap();
    let sha256 = {
        use sha2::Digest;
        format!("{:x}", sha2::Sha256::digest(&bytes))
    };
    let text = format!(
        r#"id = "{name}"
family = "yolox"
file = "m.onnx"
bytes = {}
sha256 = "{sha256}"
licence = "Apache-2.0"
origin = "models/oracle/make.py"
threshold = 0.4
nms_iou = 0.6
labels = ["person"]
[input]
width = 32
height = 32
colour = "bgr"
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
fit = "corner"
"#,
        bytes.len()
    );
    let path = dir.path().join("m.toml");
    fs::write(&path, text).unwrap();
    (dir, path)
}

/// 825 bytes that ask for 280 MB: far below the child's limit of a gigabyte, far beyond what so
/// small a model may take.
#[tokio::test]
async fn a_small_file_that_asks_for_much_memory_is_refused() {
    let (_dir, manifest) = hostile("bomb");
    let reason = reason(with_model(&manifest)).await;
    assert!(
        reason.contains("model bomb: loading it needs more memory") && reason.contains("825 bytes"),
        "{reason}"
    );
}

#[tokio::test]
async fn weights_in_another_file_are_refused() {
    let (_dir, manifest) = hostile("external_data");
    let reason = reason(with_model(&manifest)).await;
    assert!(
        reason.contains("m.onnx") && reason.contains("external data"),
        "{reason}"
    );
}

#[tokio::test]
async fn operators_from_elsewhere_are_refused() {
    let (_dir, manifest) = hostile("foreign_operator");
    let reason = reason(with_model(&manifest)).await;
    assert!(reason.contains("\"evil.ops\""), "{reason}");
}

/// The limit that holds while a model is loaded is gone afterwards, and two networks share the
/// work of two threads.
#[tokio::test]
async fn two_threads_have_a_network_each() {
    let two = Vision {
        threads: 2,
        ..vision()
    };
    let mut other = a_camera();
    other.id = "other".into();
    let mut rig = Rig::with(vec![a_camera(), other], two);
    rig.picture().await;
    let pid = rig.child_started().await;
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let space = limits
        .lines()
        .find(|l| l.starts_with("Max address space"))
        .unwrap();
    // Only the soft one was lowered.
    let columns: Vec<_> = space.split_whitespace().skip(3).take(2).collect();
    assert!(columns.len() == 2 && columns[0] == columns[1], "{space}");
    rig.stop().await;
}

#[tokio::test]
async fn a_library_that_is_missing_or_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.so");
    fs::write(&text, "not a library").unwrap();
    // A library, but another one.
    let other = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"]
        .map(|d| Path::new(d).join("libavutil.so.57"))
        .into_iter()
        .find(|p| p.exists());
    for library in [Some(dir.path().join("none.so")), Some(text), other]
        .into_iter()
        .flatten()
    {
        let reason = reason(Vision {
            onnxruntime: library.clone(),
            ..vision()
        })
        .await;
        assert!(
            reason.contains(library.to_str().unwrap()) && reason.contains("set `onnxruntime`"),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn a_label_that_the_model_does_not_know_is_a_fault_of_that_camera() {
    let mut wrong = a_camera();
    wrong.id = "wrong".into();
    wrong.zones[0].labels = vec!["persn".into()];
    let mut rig = Rig::start(vec![wrong, a_camera()]);
    let reason = rig.fault(EventKind::CameraFault).await;
    assert!(
        reason.contains("\"persn\"") && reason.contains("person, bicycle"),
        "{reason}"
    );
    rig.picture().await;
    rig.stop().await;
}
