//! The demo's terminal: alerts as they arrive at the platform, and one line of state below.

use std::{
    io::IsTerminal,
    str::FromStr,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use wangge_protocol::EventKind;
use wangge_tests::platform::{Event, Received};

/// Where there is no terminal, the state is said this often.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Shows what is new.
pub struct Screen {
    bar: ProgressBar,
    terminal: bool,
    shown: usize,
    said: Instant,
}

impl Screen {
    /// Takes the terminal, or standard output without one.
    pub fn open() -> Screen {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        } else {
            ProgressBar::hidden()
        };
        Screen {
            bar,
            terminal,
            shown: 0,
            said: Instant::now(),
        }
    }

    /// A line of its own.
    pub fn say(&self, line: &str) {
        self.bar.suspend(|| println!("{line}"));
    }

    /// Shows the alert messages that were not shown yet.
    pub fn alerts(&mut self, received: &Received) {
        for event in received.alerts().skip(self.shown) {
            self.shown += 1;
            self.say(&self.lines(event, received));
        }
    }

    /// The state, in a place that is written over.
    pub fn state(&mut self, state: &str) {
        if self.terminal {
            self.bar.set_message(state.to_owned());
        } else if self.said.elapsed() >= SAY_EVERY {
            self.said = Instant::now();
            println!("  {state}");
        }
    }

    fn lines(&self, event: &Event, received: &Received) -> String {
        let data = &event.body["data"];
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let kind = text(&data["kind"]);
        let name = EventKind::from_str(&kind).map_or("", EventKind::name_zh);
        let (state, hue) = match data["state"].as_str() {
            Some("raised") => ("● 发生 raised", "1;31"),
            Some("cleared") => ("○ 解除 cleared", "32"),
            _ => ("◐ 更新 updated", "33"),
        };
        let time = text(&event.body["time"]);
        let mut lines = format!(
            "{}  {}  {name} {kind}  {}",
            time.get(11..19).unwrap_or(&time),
            self.paint(state, hue),
            self.paint(&text(&data["device"]), "1")
        );
        lines += &format!("\n          {}", text(&data["text"]["zh"]));
        lines += &format!("\n          {}", text(&data["text"]["en"]));
        for picture in received.evidence(event).unwrap_or_default() {
            lines += &format!("\n          picture: {}", picture.display());
        }
        lines
    }

    fn paint(&self, text: &str, hue: &str) -> String {
        if self.terminal {
            format!("\x1b[{hue}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
