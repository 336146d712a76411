//! What is wrong with a camera is said, once, and over when it is over; other sources go on.

use std::time::Duration;

use anyhow::ensure;
use wangge_tests::{gateway::Gateway, place, platform::Platform, play, rtsp::Camera};

use crate::words::{Bins, PATIENT, alert_of, bins, camera};

#[test]
fn a_camera_with_another_password_then_with_the_right_one() {
    play("camera_password", |dir| {
        let clip = place::clip("vtest-h265.mp4")?;
        let log = dir.join("camera.log");
        let wrong = Camera::start(&[("main", &clip)], 0, Some(("viewer", "changed")), &log)?;
        let (url, eye_port) = (wrong.url("main"), wrong.port());
        let platform = Platform::https(&dir.join("platform"))?;
        let port = place::free_port()?;
        let login = "username = \"viewer\"\npassword = \"a secret\"";
        let toml = bins(port) + &camera(&url, login)? + &platform.uplink("streams = [\"bins\"]");
        let mut gateway = Gateway::new(&dir.join("gateway"), &toml)?;
        gateway.start()?;
        let mut bins = Bins::new(port);
        bins.publish_for(Duration::from_secs(1))?;
        let told = alert_of(&platform, "gate", "camera_fault", "raised")?;
        let text = &told.body["data"]["text"];
        let said = |language: &str| text[language].as_str().unwrap_or_default();
        ensure!(
            said("en").contains("refuses user name or password"),
            "{text}"
        );
        ensure!(
            said("zh").contains("摄像头故障:用户名或密码错误,请检查"),
            "{text}"
        );
        drop(wrong);
        let _right = Camera::start(
            &[("main", &clip)],
            eye_port,
            Some(("viewer", "a secret")),
            &log,
        )?;
        alert_of(&platform, "gate", "camera_fault", "cleared")?;
        alert_of(&platform, "gate", "public_space_encroachment", "raised")?;
        bins.settle()?;
        gateway.drained(PATIENT)?;
        bins.all_arrived(&platform.received()?)?;
        gateway.stop()
    });
}
