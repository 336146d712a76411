//! An installer draws a camera's zones with the mouse, and the station watches them.

use std::fs;

use anyhow::{Context, Result, ensure};
use wangge_tests::{
    browser::{Browser, ENTER},
    gateway::{Gateway, wangge},
    place,
    platform::Platform,
    play,
    rtsp::Camera,
};

use crate::words::{alert_of, camera};

/// Most of the lawn and the path of the footage, where people walk.
const PATH: [[f64; 2]; 4] = [[0.05, 0.3], [0.95, 0.3], [0.95, 0.95], [0.05, 0.95]];
/// A window.
const WINDOW: [[f64; 2]; 3] = [[0.8, 0.02], [0.98, 0.02], [0.9, 0.2]];

#[test]
fn a_zone_is_drawn_in_a_browser_and_alerts() {
    play("drawing", |dir| {
        let clip = place::clip("vtest-h264.mp4")?;
        let eye = Camera::start(&[("main", &clip)], 0, None, &dir.join("camera.log"))?;
        let platform = Platform::https(&dir.join("platform"))?;
        let whole = camera(&eye.url("main"), "")?;
        let bare = &whole[..whole.find("[[camera.zone]]").context("a zone")?];
        let uplink = platform.uplink("");
        let mut gateway = Gateway::new(&dir.join("gateway"), &format!("{uplink}{bare}"))?;

        let page = dir.join("gate.html");
        let config = gateway.config();
        let (config, out) = (config.display().to_string(), page.display().to_string());
        let made = wangge(&[
            "draw", "--config", &config, "--camera", "gate", "--out", &out,
        ])?;
        let said = String::from_utf8_lossy(&made.stdout).into_owned();
        ensure!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        ensure!(said.contains("768 × 576"), "the camera's own size: {said}");

        let browser = Browser::open("en", dir)?;
        browser.show(&page)?;
        let shown = browser.value_of(
            "(async () => { const i = new Image(); i.src = document.querySelector('image').getAttribute('href'); await i.decode(); return [i.naturalWidth, i.naturalHeight]; })()",
        )?;
        ensure!(
            shown == serde_json::json!([768, 576]),
            "the picture: {shown}"
        );

        draw(&browser, "zone", &PATH)?;
        ensure!(lines(&browser)?.contains("kind = \"illegal_dumping\""));
        browser.write("#shapes select", "public_space_encroachment")?;
        browser.write("#shapes input[aria-label=id]", "path")?;
        draw(&browser, "mask", &WINDOW)?;
        // The mask's last corner was meant to be higher.
        browser.drag("#view", &[WINDOW[2], [0.9, 0.15]])?;
        let drawn = lines(&browser)?;
        ensure!(drawn.contains("id = \"path\""), "{drawn}");
        ensure!(browser.value_of("document.querySelectorAll('.fault').length")? == 0);

        // It goes where the page says: the camera is the file's last table.
        let people = drawn.replace("\"stall\"", "\"people\"") + "\ndwell = \"2s\"\n";
        gateway.configure(&format!("{uplink}{bare}{people}"))?;
        let check = wangge(&["check", "--config", &config])?;
        ensure!(
            check.status.success(),
            "{}",
            String::from_utf8_lossy(&check.stdout)
        );
        gateway.start()?;
        let raised = alert_of(&platform, "gate", "public_space_encroachment", "raised")?;
        ensure!(
            raised.body["data"]["sighting"]["zone"] == "path",
            "{}",
            raised.body
        );
        gateway.stop()?;

        // What is drawn already is shown, and only what is changed has to be written.
        let made = wangge(&[
            "draw", "--config", &config, "--camera", "gate", "--out", &out,
        ])?;
        ensure!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        browser.show(&page)?;
        ensure!(lines(&browser)?.starts_with('#'), "{}", lines(&browser)?);
        browser.drag("#view", &[PATH[0], [0.1, 0.35]])?;
        let moved = lines(&browser)?;
        ensure!(
            moved.starts_with("# zone \"path\"") && !moved.contains("masks"),
            "{moved}"
        );
        ensure!(corner(&moved)? == [0.1, 0.35], "{moved}");

        // Crossed lines are told at once, in the language that is asked for.
        browser.drag("#view", &[[0.1, 0.35], [0.99, 0.6]])?;
        let fault = || browser.value_of("document.querySelector('.fault').textContent");
        ensure!(fault()? == "crosses itself: drag a corner", "{}", fault()?);
        browser.click("#language", [0.5, 0.5])?;
        ensure!(fault()? == "边线自相交,请拖动角点", "{}", fault()?);
        Ok(())
    });
}

#[test]
fn a_camera_that_shows_nothing_is_told() {
    play("drawing_nothing", |dir| {
        let port = place::free_port()?;
        let toml = camera(&format!("rtsp://127.0.0.1:{port}/main"), "")?;
        let config = Gateway::new(&dir.join("gateway"), &toml)?.config();
        let (config, out) = (config.display().to_string(), dir.join("gate.html"));
        let page = out.display().to_string();
        let draw = |more: &[&str]| {
            let arguments = ["draw", "--config", &config, "--out", &page];
            wangge(&[&arguments, more].concat())
        };
        let said =
            |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();

        let dead = draw(&["--camera", "gate"])?;
        ensure!(dead.status.code() == Some(1), "{:?}", dead.status);
        ensure!(
            said(&dead).contains("gate: camera does not answer at"),
            "{}",
            said(&dead)
        );
        let unknown = draw(&["--camera", "door"])?;
        ensure!(unknown.status.code() == Some(2), "{:?}", unknown.status);
        ensure!(said(&unknown).contains("it has gate"), "{}", said(&unknown));
        let text = dir.join("still.jpg");
        fs::write(&text, "no picture")?;
        let still = text.display().to_string();
        let no_picture = draw(&["--camera", "gate", "--still", &still])?;
        ensure!(
            no_picture.status.code() == Some(1),
            "{:?}",
            no_picture.status
        );
        ensure!(
            said(&no_picture).contains("still.jpg is no JPEG"),
            "{}",
            said(&no_picture)
        );
        ensure!(!out.exists(), "no page without a picture");
        Ok(())
    });
}

fn draw(browser: &Browser, tool: &str, corners: &[[f64; 2]]) -> Result<()> {
    browser.click(&format!("#tool-{tool}"), [0.5, 0.5])?;
    for corner in corners {
        browser.click("#view", *corner)?;
    }
    browser.press(ENTER)
}

fn lines(browser: &Browser) -> Result<String> {
    let text = browser.value_of("document.querySelector('#toml').textContent")?;
    Ok(text.as_str().context("lines")?.to_owned())
}

/// The first corner of the polygon, to two digits: a mouse moves by whole pixels.
fn corner(lines: &str) -> Result<[f64; 2]> {
    let polygon = lines.split("polygon = ").nth(1).context("a polygon")?;
    let points: Vec<[f64; 2]> = serde_json::from_str(polygon.lines().next().unwrap_or_default())?;
    let first = points.first().context("a corner")?;
    Ok(first.map(|x| (x * 100.0).round() / 100.0))
}
