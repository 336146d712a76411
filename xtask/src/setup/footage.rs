//! Real footage for the demo's camera and the stories'.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{
    cache::{Cache, expect_sha256, intact, sha256},
    packages,
    progress::Step,
};

/// Where Debian's opencv-doc has them.
const FOLDER: &str = "usr/share/doc/opencv-doc/examples/data";
/// A car park with people, 768x576, 80 s at 10 frames a second.
const CLIP: &str = "vtest.avi";
const CLIP_SHA256: &str = "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf";

/// A street in an old town, and a tree in the wind.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "leuvenA.jpg",
        "b2977cdbd9fb3f94dadd6f76cf586d145676deb8a22b5f0f42149d21c058c09f",
    ),
    (
        "tree.avi",
        "4666099d0f704e310047b2f0a5ec9f936cb76a7271de9a2e70a0c57f82ac82dc",
    ),
];

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
                fetch(&step, &[(CLIP, CLIP_SHA256)], dir.path())?;
                scratch.insert(dir)
            }
        };
        let new = scratch.path().join(name);
        step.run(
            Command::new("ffmpeg")
                .args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y", "-i"])
                .arg(scratch.path().join(CLIP))
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

/// Lays what the blind set is made of into a folder if it is not there; returns the folder.
pub fn ensure_examples(cache: &Cache) -> Result<PathBuf> {
    let step = Step::begin("OpenCV's examples");
    let home = cache.path("examples");
    if EXAMPLES
        .iter()
        .all(|(name, hash)| intact(&home.join(name), hash))
    {
        step.done("there");
        return Ok(home);
    }
    fs::create_dir_all(&home)?;
    let scratch = cache.scratch()?;
    fetch(&step, EXAMPLES, scratch.path())?;
    for (name, _) in EXAMPLES {
        fs::rename(scratch.path().join(name), home.join(name))?;
    }
    step.done("made");
    Ok(home)
}

/// Lays files of OpenCV's examples into the scratch directory.
fn fetch(step: &Step, files: &[(&str, &str)], scratch: &Path) -> Result<()> {
    let installed = Path::new("/").join(FOLDER);
    if files.iter().all(|(name, _)| installed.join(name).is_file()) {
        for (name, _) in files {
            fs::copy(installed.join(name), scratch.join(name))?;
        }
    } else {
        step.doing("fetching Debian's opencv-doc");
        let inner: Vec<_> = files.iter().map(|(n, _)| format!("{FOLDER}/{n}")).collect();
        packages::extract(step, "opencv-doc", &inner, scratch)?;
        for (name, _) in files {
            fs::rename(scratch.join(FOLDER).join(name), scratch.join(name))
                .with_context(|| format!("Debian's opencv-doc does not hold {name}"))?;
        }
    }
    files
        .iter()
        .try_for_each(|(name, hash)| expect_sha256(&scratch.join(name), hash))
}
