//! The process that looks at pictures is killed again and again: readings and alerts don't
//! notice, and it is back within seconds.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use wangge_tests::{gateway::Gateway, place, platform::Platform, play, rtsp::Camera, until};

use crate::words::{Bins, PATIENT, SOON, alert_of, bins, camera};

#[test]
fn the_vision_child_is_killed() {
    play("child_killed", |dir| {
        let clip = place::clip("vtest-h264.mp4")?;
        let eye = Camera::start(&[("main", &clip)], 0, None, &dir.join("camera.log"))?;
        let platform = Platform::https(&dir.join("platform"))?;
        let port = place::free_port()?;
        let toml =
            bins(port) + &camera(&eye.url("main"), "")? + &platform.uplink("streams = [\"bins\"]");
        let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
        gateway.start()?;
        let mut bins = Bins::new(port);
        for _ in 0..2 {
            let victim = child(&gateway, None)?;
            kill_process(
                Pid::from_raw(i32::try_from(victim)?).context("a process id")?,
                Signal::KILL,
            )?;
            bins.publish_for(Duration::from_secs(2))?;
            child(&gateway, Some(victim))?;
        }
        let acknowledged = bins.settle()?;
        ensure!(acknowledged > 100, "only {acknowledged} readings in all");
        // The new child sees what the first would have.
        alert_of(&platform, "gate", "public_space_encroachment", "raised")?;
        gateway.drained(PATIENT)?;
        bins.all_arrived(&platform.received()?)?;
        gateway.stop()
    });
}

/// Waits for a vision child other than this one.
fn child(gateway: &Gateway, but: Option<u32>) -> Result<u32> {
    until("a vision child", SOON, || {
        Ok(gateway.vision()?.filter(|pid| Some(*pid) != but))
    })
}
