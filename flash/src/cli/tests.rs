//! What can be asked for, and what is said to what cannot.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use clap::{CommandFactory as _, Parser};
use wangge_protocol::node::{image::SecretKey, layout::BLUEPILL};

use super::*;
use crate::signed::tests::file;

#[derive(Debug, Parser)]
struct Tool {
    #[command(flatten)]
    flash: FlashArgs,
}

fn parse(line: &str) -> Result<FlashArgs, clap::Error> {
    Tool::try_parse_from(["flash"].into_iter().chain(line.split_whitespace()))
        .map(|tool| tool.flash)
}

fn job_of(line: &str) -> Result<Job, (u8, String)> {
    job(parse(line).unwrap().board)
}

#[test]
fn the_options_fit_together() {
    Tool::command().debug_assert();
    for good in [
        "--image a.wgn",
        "--port /dev/ttyUSB0 --image a.wgn --batch",
        "--image a.wgn --probe",
        "--image a.wgn --probe 0483:3748",
        "--image a.wgn --drive",
        "--image a.wgn --simulate --simulate-mm 0 --boards 3",
        "--image a.wgn --simulate --keep",
        "--image a.wgn --identity-only --fresh",
        "list --json",
        "label --serial 1001 --serial 1002",
        "test --bus /dev/ttyUSB1 --unit 247 --parity even",
    ] {
        assert!(parse(good).is_ok(), "{good}");
    }
    for bad in [
        "--image a.wgn --port x --simulate",
        "--image a.wgn --port x --probe",
        "--image a.wgn --probe --drive",
        "--image a.wgn --unit 0",
        "--image a.wgn --unit 248",
        "--image a.wgn --unit 2470",
        "--image a.wgn --serial 0",
        "--image a.wgn --serial 1 --serials f",
        "--image a.wgn --batch --boards 2",
        "--image a.wgn --boards 0",
        "--image a.wgn --speed 115201",
        "--image a.wgn --boot0-inverted",
        "--image a.wgn list",
        "--image a.wgn --keep",
        "--image a.wgn --simulate --keep --batch",
        "--image a.wgn --simulate --bus x",
        "--image a.wgn --simulate --identity-only",
        "--image a.wgn --drive --identity-only",
        "--image a.wgn --height-mm 1300 --pulses-per-m3 10",
        "label",
        "label --serial 0",
        "test --unit 1",
        "test --bus x",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_wrong_is_said_before_a_board_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let key = SecretKey::from_seed([3; 32]);
    let release = put("release.key", hex::encode(key.public()).as_bytes());
    let image = put(
        "a.wgn",
        &file(&key, &BLUEPILL, BLUEPILL.active.from, &[1; 64]),
    );
    let dev = put(
        "dev.wgn",
        &file(
            &SecretKey::development(),
            &BLUEPILL,
            BLUEPILL.active.from,
            &[1; 64],
        ),
    );
    let good = format!("--image {image} --trust {release} --port /dev/none --height-mm 1300");
    let job = job_of(&format!("{good} --serial 7 --technician Li")).unwrap();
    assert_eq!(
        (job.serial, job.boards, job.technician.as_str()),
        (Some(7), Some(1), "Li")
    );
    assert_eq!(job_of(&format!("{good} --batch")).unwrap().boards, None);
    assert!(
        job_of(&format!(
            "--image {dev} --development --port x --height-mm 900"
        ))
        .is_ok()
    );
    for (line, said) in [
        (String::new(), "--image"),
        (
            format!("--image {image} --port x --height-mm 1300"),
            "--trust",
        ),
        (
            "--image /no/such.wgn --development --port x".to_owned(),
            "/no/such.wgn",
        ),
        (
            format!("--image {dev} --trust {release} --port x --height-mm 900"),
            "development",
        ),
        (
            format!("--image {release} --trust {release} --port x"),
            "not a node's image",
        ),
        (
            format!("--image {image} --trust {release} --port x"),
            "--height-mm",
        ),
        (
            format!("{good} --full-at-mm 1300"),
            "--full-at-mm 1300 makes no sense",
        ),
        (
            format!("{} --full-at-mm 300", good.replace("1300", "9000")),
            "--height-mm 9000 makes no sense",
        ),
        (format!("{good} --baud 9601"), "speeds are"),
        (
            format!("--image {image} --trust {release} --port x --kind bin --pulses-per-m3 5"),
            "not for a bin",
        ),
        (
            format!("--image {image} --trust {release} --port x --pulses-per-m3 5"),
            "not for a meter",
        ),
        (format!("{good} --kind meter"), "wrong product"),
        (format!("{good} --boot {release}"), "not a node's image"),
        (format!("{good} --batch --serial 7"), "--serials"),
    ] {
        let (code, told) = job_of(&line).map(|job| job.boards).unwrap_err();
        assert!(told.contains(said), "{line}: {told}");
        assert_eq!(code, USAGE, "{line}");
    }
}

#[test]
fn a_bootloader_beside_the_image_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("bluepill128.wgn");
    assert_eq!(beside(&image), None);
    fs::write(dir.path().join("bluepill128-boot.wgn"), "").unwrap();
    assert_eq!(
        beside(&image),
        Some(dir.path().join("bluepill128-boot.wgn"))
    );
    assert_eq!(beside(Path::new("/")), None);
}
