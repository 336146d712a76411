//! Where the detector is when `[vision]` does not say: as the package installs it, else as
//! `cargo xtask setup` keeps it for the user who runs the gateway.

use std::path::{Path, PathBuf};

const MODEL: &str = "/usr/share/wangge/models/nanodet_g_416.toml";
const LITTER_MODEL: &str = "/usr/share/wangge/models/trash_bag.toml";
const ONNXRUNTIME: &str = "/usr/lib/wangge/libonnxruntime.so";

/// The default model's manifest.
pub(super) fn model() -> PathBuf {
    pick(MODEL, cache().and_then(|dir| kept_model(&dir, MODEL)))
}

/// The manifest of the model that knows rubbish; it need not be there.
pub(super) fn litter_model() -> PathBuf {
    pick(
        LITTER_MODEL,
        cache().and_then(|dir| kept_model(&dir, LITTER_MODEL)),
    )
}

/// The ONNX Runtime library.
pub(super) fn onnxruntime() -> PathBuf {
    pick(ONNXRUNTIME, cache().and_then(|dir| kept_library(&dir)))
}

/// What set-up keeps, unless the package is there; where neither is, the package is what misses.
fn pick(packaged: &str, kept: Option<PathBuf>) -> PathBuf {
    let packaged = PathBuf::from(packaged);
    match kept {
        Some(kept) if !packaged.exists() => kept,
        _ => packaged,
    }
}

/// What set-up keeps under the name of a packaged model.
fn kept_model(cache: &Path, packaged: &str) -> Option<PathBuf> {
    let name = Path::new(packaged).file_name()?;
    Some(cache.join("models").join(name)).filter(|path| path.exists())
}

/// The library of the newest version.
fn kept_library(cache: &Path) -> Option<PathBuf> {
    let versions = entries(cache).filter(|path| begins(path, "onnxruntime-"));
    entries(&versions.max()?).find(|path| begins(path, "libonnxruntime.so"))
}

fn cache() -> Option<PathBuf> {
    let given = |name| std::env::var_os(name).filter(|dir| !dir.is_empty());
    given("WANGGE_CACHE")
        .map(PathBuf::from)
        .or_else(|| given("XDG_CACHE_HOME").map(|dir| Path::new(&dir).join("wangge")))
        .or_else(|| given("HOME").map(|dir| Path::new(&dir).join(".cache/wangge")))
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
}

fn begins(path: &Path, with: &str) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with(with))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_set_up_keeps_is_found_and_a_package_goes_before_it() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(kept_model(dir.path(), MODEL), None);
        assert_eq!(kept_library(dir.path()), None);
        for (folder, file) in [
            ("models", "nanodet_g_416.toml"),
            ("onnxruntime-1.31.0-x86_64", "libonnxruntime.so.1.31.0"),
            ("onnxruntime-1.32.0-x86_64", "LICENSE"),
            ("onnxruntime-1.32.0-x86_64", "libonnxruntime.so.1.32.0"),
        ] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
            std::fs::write(dir.path().join(folder).join(file), "").unwrap();
        }
        let model = kept_model(dir.path(), MODEL).unwrap();
        assert!(model.ends_with("models/nanodet_g_416.toml"));
        let library = kept_library(dir.path()).unwrap();
        assert!(library.ends_with("libonnxruntime.so.1.32.0"));

        let absent = "/nonexistent/model.toml";
        assert_eq!(pick(absent, Some(model.clone())), model);
        assert_eq!(pick(absent, None), Path::new(absent));
        let packaged = library.display().to_string();
        assert_eq!(pick(&packaged, Some(model)), library);
    }
}
