//! A place for one story, kept when it fails.

use std::{fs, path::Path};

use anyhow::Result;

use crate::place;

/// Plays a story in an empty directory under `target/stories/`; what it wrote is kept if it
/// fails, for whoever looks into it.
///
/// # Panics
/// The story failed.
pub fn play(name: &str, story: impl FnOnce(&Path) -> Result<()>) {
    let dir = place::root().join("target/stories").join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("target/stories can be written");
    match story(&dir) {
        Ok(()) => _ = fs::remove_dir_all(&dir),
        Err(e) => panic!("{name}: {e:#}\nits files are in {}", dir.display()),
    }
}
