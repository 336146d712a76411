//! Whole files: what is accepted, what is reported, and where.

mod commands;
mod documents;
mod faults;
mod files;
mod limits;
mod typed;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{Config, Faults, Inspection, load};

/// A directory with a station's files.
pub(super) struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    pub(super) fn new() -> Self {
        Site {
            dir: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file that only its owner may read.
    pub(super) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        self.file_with_mode(name, content, 0o600)
    }

    pub(super) fn file_with_mode(
        &self,
        name: &str,
        content: impl AsRef<[u8]>,
        mode: u32,
    ) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        path
    }

    /// A model's manifest and a library, as far as the configuration looks at them.
    pub(super) fn vision(&self) -> String {
        self.file("model.toml", MANIFEST);
        self.file("libonnxruntime.so", "not a library, but a file");
        "[vision]\nmodel = \"model.toml\"\nonnxruntime = \"libonnxruntime.so\"\n".to_owned()
    }

    pub(super) fn inspect(&self, text: &str) -> Inspection {
        load::inspect_text(text, "station.toml", self.path(), false)
    }

    /// The configuration of a text without error.
    pub(super) fn good(&self, text: &str) -> Config {
        let inspection = self.inspect(text);
        inspection
            .config
            .unwrap_or_else(|| panic!("{}\nin\n{text}", inspection.faults))
    }

    pub(super) fn faults(&self, text: &str) -> Faults {
        self.inspect(text).faults
    }
}

const MANIFEST: &str = include_str!("../../../../models/manifests/nanodet_g_416.toml");

/// A station with a listener, one bin and one uplink.
pub(super) const STATION: &str = r#"
[station]
id = "s1"
unit_grid = "530102001001001"
lon = 102.7
lat = 25.05
[storage]
path = "data"
[[uplink]]
name = "city"
url = "http://127.0.0.1:8080"
[listen]
address = "127.0.0.1:1883"
"#;

/// One bin, below [`STATION`].
pub(super) const BIN: &str = r#"
[[device]]
id = "bin-1"
profile = "wangge-bin"
height = "1.2m"
"#;

/// A Modbus bus with a meter, below [`STATION`].
pub(super) const METER: &str = r#"
[[bus]]
name = "meters"
tcp = "192.168.1.5"
[[device]]
id = "meter-1"
profile = "tuf-2000m"
unit_id = 1
"#;
