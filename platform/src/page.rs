//! What was received, as a page to look at: `index.html` in the store's folder, with every alert,
//! what became of it, and its pictures.

use std::{
    collections::HashMap,
    fmt::Write,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use anyhow::Context;
use wangge_protocol::{
    AlertData, AlertState, CloudEvent, Gap, SCHEMA_ALERT, SCHEMA_GAP, SCHEMA_TELEMETRY, Severity,
};

use crate::store::Line;

/// Alerts on the page at most, the newest.
pub const MAX_ALERTS: usize = 500;

const STYLE: &str = "\
body{font:15px/1.5 system-ui,'Noto Sans CJK SC',sans-serif;margin:2em auto;max-width:60em;padding:0 1em;color:#222;background:#fff}
article{border-left:.4em solid #888;padding:.2em 1em;margin:1.2em 0;background:#f6f6f4}
article.major,article.critical{border-color:#b3261e}article.minor{border-color:#b7791f}article.cleared{border-color:#2e7d32}
h2{font-size:1.1em;margin:.3em 0}p{margin:.3em 0}small{color:#666}
figure{display:inline-block;margin:.5em 1em .5em 0;max-width:100%}img{max-width:26em;width:100%;display:block}
code{font-size:.85em;overflow-wrap:anywhere}";

/// An alert, from all its messages.
struct Alert {
    newest: CloudEvent<AlertData>,
    messages: usize,
    received: u64,
}

#[derive(Default)]
struct Received {
    alerts: Vec<Alert>,
    /// Alert's id -> place in `alerts`.
    places: HashMap<String, usize>,
    gaps: Vec<(String, Gap)>,
    readings: usize,
}

/// Writes the page; returns its path.
///
/// # Errors
/// The store cannot be read, or the page cannot be written.
pub fn write(store: &Path) -> anyhow::Result<PathBuf> {
    let mut received = Received::default();
    let file = store.join("events.jsonl");
    let events =
        File::open(&file).with_context(|| format!("{}: cannot be read", file.display()))?;
    for (number, line) in BufReader::new(events).lines().enumerate() {
        let line = line.with_context(|| file.display().to_string())?;
        // A receiver that runs may be writing the last one.
        let Ok(line) = serde_json::from_str::<Line>(&line) else {
            continue;
        };
        received
            .take(&line)
            .with_context(|| format!("{}: line {}", file.display(), number + 1))?;
    }
    let page = store.join("index.html");
    fs::write(&page, received.html(&pictures(store)?))
        .with_context(|| format!("{}: cannot be written", page.display()))?;
    Ok(page)
}

/// Hash -> path from the page.
fn pictures(store: &Path) -> anyhow::Result<HashMap<String, String>> {
    let mut pictures = HashMap::new();
    for entry in fs::read_dir(store.join("evidence"))? {
        let path = entry?.path();
        // What is not complete is no picture.
        if path.extension().is_some_and(|e| e == "part" || e == "new") {
            continue;
        }
        if let (Some(name), Some(hash)) = (
            path.file_name().and_then(|n| n.to_str()),
            path.file_stem().and_then(|n| n.to_str()),
        ) {
            pictures.insert(hash.to_owned(), format!("evidence/{name}"));
        }
    }
    Ok(pictures)
}

impl Received {
    fn take(&mut self, line: &Line) -> anyhow::Result<()> {
        let head: CloudEvent<serde_json::Value> = serde_json::from_str(&line.body)?;
        match &*head.dataschema {
            SCHEMA_ALERT => {
                let message: CloudEvent<AlertData> = serde_json::from_str(&line.body)?;
                let id = message.data.alert_id.clone();
                match self.places.get(&id).and_then(|i| self.alerts.get_mut(*i)) {
                    Some(alert) => {
                        alert.messages += 1;
                        // They may come in any order.
                        if message.data.revision > alert.newest.data.revision {
                            alert.newest = message;
                        }
                    }
                    None => {
                        self.places.insert(id, self.alerts.len());
                        self.alerts.push(Alert {
                            newest: message,
                            messages: 1,
                            received: line.received,
                        });
                    }
                }
            }
            SCHEMA_GAP => {
                let gap: CloudEvent<Gap> = serde_json::from_str(&line.body)?;
                self.gaps.push((gap.source, gap.data));
            }
            SCHEMA_TELEMETRY => self.readings += 1,
            _ => {}
        }
        Ok(())
    }

    fn html(mut self, pictures: &HashMap<String, String>) -> String {
        self.alerts.sort_by_key(|a| std::cmp::Reverse(a.received));
        let shown = self.alerts.len().min(MAX_ALERTS);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"zh\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <title>Wangge 告警 alerts</title><style>{STYLE}</style></head><body>\n\
             <h1>告警 Alerts</h1>\n<p>{} 条告警 alerts{}, {} 条读数消息 messages with readings</p>\n",
            self.alerts.len(),
            match shown < self.alerts.len() {
                true => format!("（显示最新 the newest {shown}）"),
                false => String::new(),
            },
            self.readings
        );
        // Writing to a String cannot fail, here and below.
        for (source, gap) in &self.gaps {
            let _ = writeln!(
                page,
                "<p>缺失 gap: {} × {} {} ({}), {}</p>",
                gap.count,
                escape(&gap.class),
                escape(&gap.stream),
                escape(&gap.reason),
                escape(source)
            );
        }
        for alert in self.alerts.iter().take(MAX_ALERTS) {
            article(&mut page, alert, pictures);
        }
        page.push_str("</body></html>\n");
        page
    }
}

fn article(page: &mut String, alert: &Alert, pictures: &HashMap<String, String>) {
    let data = &alert.newest.data;
    let (class, severity) = match data.severity {
        Severity::Info => ("info", "提示 info"),
        Severity::Minor => ("minor", "一般 minor"),
        Severity::Major => ("major", "重要 major"),
        Severity::Critical => ("critical", "紧急 critical"),
    };
    let (class, state) = match data.state {
        AlertState::Raised => (class, "发生 raised"),
        AlertState::Updated => (class, "更新 updated"),
        AlertState::Cleared => ("cleared", "解除 cleared"),
    };
    let _ = writeln!(
        page,
        "<article class=\"{class}\"><h2>{} <small>{}</small></h2>\
         <p>{}<br>{}</p><p><small>{state} · {severity} · {}/{} · {} – {} · {} 条消息 messages</small></p>",
        data.kind.name_zh(),
        data.kind,
        escape(&data.text.zh),
        escape(&data.text.en),
        escape(&data.station),
        escape(&data.device),
        escape(&data.occurred_at),
        escape(data.cleared_at.as_deref().unwrap_or("…")),
        alert.messages
    );
    for picture in &data.evidence {
        let small = || pictures.get(picture.thumbnail.as_ref()?);
        let _ = match pictures.get(&picture.sha256).or_else(small) {
            Some(path) => writeln!(
                page,
                "<figure><a href=\"{path}\"><img loading=\"lazy\" src=\"{path}\" alt=\"{role}\"></a>\
                 <figcaption><small>{role} {}</small></figcaption></figure>",
                escape(&picture.taken_at),
                path = escape(path),
                role = escape(&picture.role)
            ),
            None => writeln!(page, "<p>缺图 no picture {}</p>", escape(&picture.sha256)),
        };
    }
    let _ = writeln!(
        page,
        "<p><code>{}</code></p></article>",
        escape(&data.alert_id)
    );
}

/// What a station says is text, never markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
