//! Chromium, as a hand on the mouse and the keyboard uses it: over ChromeDriver.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{Process, http};

/// Chromium takes its time on a busy machine.
const START: Duration = Duration::from_secs(30);
/// As Chromium starts where there is no screen, no sandbox of its own (root) and no network.
const ARGUMENTS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,900",
];
/// What the W3C's WebDriver calls the Enter key.
pub const ENTER: &str = "\u{E007}";

/// One window.
#[derive(Debug)]
pub struct Browser {
    /// Chromium ends with it.
    _driver: Process,
    port: u16,
    session: String,
}

impl Browser {
    /// Opens a window that prefers `language`, e.g. `en`; its log goes into `dir`.
    ///
    /// # Errors
    /// Chromium or its driver does not start.
    pub fn open(language: &str, dir: &Path) -> Result<Browser> {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0");
        let mut driver = Process::start("chromedriver", &command, &dir.join("browser.log"))?;
        let port = driver.ready("ChromeDriver", START, |log| {
            let line = log.lines().find(|l| l.contains("successfully on port"));
            let port = line.and_then(|l| l.trim_end_matches('.').rsplit(' ').next());
            Ok(port.and_then(|port| port.parse().ok()))
        })?;
        let profile = dir.join("browser");
        let mut arguments: Vec<String> = ARGUMENTS.iter().map(|a| (*a).to_owned()).collect();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        arguments.push(format!("--lang={language}"));
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": {
            "args": arguments,
            "prefs": { "intl.accept_languages": language },
        } } } });
        let session = http::post(port, "/session", &wanted)?;
        let session = session["value"]["sessionId"]
            .as_str()
            .with_context(|| format!("no session: {session}"))?
            .to_owned();
        Ok(Browser {
            _driver: driver,
            port,
            session,
        })
    }

    fn ask(&self, what: &str, body: &Value) -> Result<Value> {
        let path = format!("/session/{}/{what}", self.session);
        let mut answer = http::post(self.port, &path, body)?;
        let value = answer["value"].take();
        ensure!(value["error"].is_null(), "{what}: {}", value["message"]);
        Ok(value)
    }

    /// Shows a file.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn show(&self, page: &Path) -> Result<()> {
        let url = format!("file://{}", page.display());
        self.ask("url", &json!({ "url": url })).map(drop)
    }

    /// What a JavaScript expression is.
    ///
    /// # Errors
    /// It throws.
    pub fn value_of(&self, expression: &str) -> Result<Value> {
        let script = format!("return {expression};");
        self.ask("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Presses the mouse at a place of an element, as fractions of its width and height, drags
    /// it along the others, and lets go.
    ///
    /// # Errors
    /// There is no such element, or it cannot be seen.
    pub fn drag(&self, selector: &str, places: &[[f64; 2]]) -> Result<()> {
        let shape = self.value_of(&format!(
            "(e => {{ const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; }})(document.querySelector({}))",
            json!(selector)
        ))?;
        let [left, top, width, height]: [f64; 4] = serde_json::from_value(shape)?;
        let mut actions = Vec::new();
        for (index, [x, y]) in places.iter().enumerate() {
            let (x, y) = (left + x * width, top + y * height);
            actions.push(json!({ "type": "pointerMove", "duration": 20, "x": x.round() as i64, "y": y.round() as i64 }));
            if index == 0 {
                actions.push(json!({ "type": "pointerDown", "button": 0 }));
            }
        }
        actions.push(json!({ "type": "pointerUp", "button": 0 }));
        let mouse = json!({ "type": "pointer", "id": "mouse", "actions": actions });
        self.ask("actions", &json!({ "actions": [mouse] }))
            .map(drop)
    }

    /// Clicks at a place of an element.
    ///
    /// # Errors
    /// As [`Browser::drag`].
    pub fn click(&self, selector: &str, place: [f64; 2]) -> Result<()> {
        self.drag(selector, &[place])
    }

    /// Presses a key.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn press(&self, key: &str) -> Result<()> {
        let keys = json!({ "type": "key", "id": "keyboard", "actions": [
            { "type": "keyDown", "value": key },
            { "type": "keyUp", "value": key },
        ] });
        self.ask("actions", &json!({ "actions": [keys] })).map(drop)
    }

    /// Writes into a field, in place of what is in it, and leaves it.
    ///
    /// # Errors
    /// There is no such field.
    pub fn write(&self, selector: &str, text: &str) -> Result<()> {
        self.value_of(&format!(
            "(e => {{ e.focus(); e.value = {}; e.dispatchEvent(new Event('change', {{ bubbles: true }})); }})(document.querySelector({}))",
            json!(text),
            json!(selector)
        ))
        .map(drop)
    }
}
