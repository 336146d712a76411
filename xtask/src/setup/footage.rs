//! Real footage for the demo's camera and the stories'.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{
    cache::{Cache, expect_sha256, sha256},
    packages,
    progress::Step,
};

/// A car park with people, 768x576, 80 s at 10 frames a second.
const CLIP: &str = "usr/share/doc/opencv-doc/examples/data/vtest.avi";
const CLIP_SHA256: &str = "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf";

/// As station cameras send it: no B-frames, a key frame every 1.5 s.
const ENCODINGS: &[(&str, &[&str])] = &[
    (
        "vtest-h264.mp4",
        &[
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-crf",
            "23",
            "-bf",
            "0",
            "-g",
            "15",
            "-keyint_min",
            "15",
            "-sc_threshold",
            "0",
            "-pix_fmt",
            "yuv420p",
        ],
    ),
    (
        "vtest-h265.mp4",
        &[
            "-c:v",
            "libx265",
            "-preset",
            "superfast",
            "-tag:v",
            "hvc1",
            "-pix_fmt",
            "yuv420p",
            "-x265-params",
            "keyint=15:min-keyint=15:scenecut=0:bframes=0:open-gop=0:log-level=error",
        ],
    ),
];

/// Makes the clips if they are not there; returns their folder.
pub fn ensure(cache: &Cache) -> Result<PathBuf> {
    let step = Step::begin("footage");
    let home = cache.path("footage");
    fs::create_dir_all(&home)?;
    let (mut scratch, mut made) = (None, false);
    for (name, encoding) in ENCODINGS {
        let (clip, stamp) = (home.join(name), home.join(format!("{name}.made")));
        // ffmpeg's output differs between versions, so each result is held against its own hash.
        let expected = |hash: &str| format!("{CLIP_SHA256} {} -> {hash}\n", encoding.join(" "));
        let there = fs::read_to_string(&stamp)
            .ok()
            .is_some_and(|s| sha256(&clip).is_ok_and(|hash| expected(&hash) == s));
        if there {
            continue;
        }
        step.doing(&format!("making {name}"));
        let scratch = match &scratch {
            Some(dir) => dir,
            None => {
                let dir = cache.scratch()?;
                source(&step, dir.path())?;
                scratch.insert(dir)
            }
        };
        let new = scratch.path().join(name);
        step.run(
            Command::new("ffmpeg")
                .args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y", "-i"])
                .arg(scratch.path().join("vtest.avi"))
                .arg("-an")
                .args(*encoding)
                .args(["-movflags", "+faststart"])
                .arg(&new),
        )?;
        let hash = sha256(&new)?;
        fs::rename(&new, &clip)?;
        fs::write(&stamp, expected(&hash))?;
        made = true;
    }
    step.done(if made { "made" } else { "there" });
    Ok(home)
}

/// Lays `vtest.avi` into the scratch directory.
fn source(step: &Step, scratch: &Path) -> Result<()> {
    let (installed, clip) = (Path::new("/").join(CLIP), scratch.join("vtest.avi"));
    if installed.is_file() {
        fs::copy(&installed, &clip)?;
    } else {
        step.doing("fetching Debian's opencv-doc");
        packages::extract(step, "opencv-doc", CLIP, scratch)?;
        fs::rename(scratch.join(CLIP), &clip)
            .context("Debian's opencv-doc does not hold vtest.avi")?;
    }
    expect_sha256(&clip, CLIP_SHA256)
}
