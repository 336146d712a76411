//! What the person, or the program, at the other end of standard output sees.

use std::{
    collections::HashMap,
    fmt,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use wangge_protocol::{AlertData, AlertState, CloudEvent, Counts, Digest, Receipt, Severity};

use crate::{
    check::{Body, Event},
    pipe::Pipe,
};

pub use crate::pipe::Drained;

/// Writes one line for each thing that is new.
pub struct Show {
    out: Box<dyn Write + Send>,
    style: Style,
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For people: alerts, gaps and refusals.
    Text { colour: bool },
    /// For programs: everything, one JSON object a line.
    Json,
}

impl Style {
    fn of_stdout(json: bool) -> Self {
        match json {
            true => Style::Json,
            false => Style::Text {
                colour: io::stdout().is_terminal(),
            },
        }
    }
}

impl fmt::Debug for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Show")
            .field("style", &self.style)
            .finish_non_exhaustive()
    }
}

impl Show {
    /// Writes to `out`.
    pub fn new(out: Box<dyn Write + Send>, style: Style) -> Self {
        Show { out, style }
    }

    /// Standard output; colour if it is a terminal.
    pub fn stdout(json: bool) -> Self {
        Show::new(Box::new(io::stdout()), Style::of_stdout(json))
    }

    /// Standard output, which may be read slowly or not at all: receiving does not wait for it.
    /// [`Drained`] tells, once the `Show` is gone, that all was written.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn piped(json: bool) -> io::Result<(Self, Drained)> {
        let (pipe, drained) = Pipe::new(io::stdout(), json)?;
        Ok((Show::new(Box::new(pipe), Style::of_stdout(json)), drained))
    }

    /// Ready to receive at this address.
    pub fn listening(&mut self, what: &str, address: &str) {
        self.line(
            || json!({"event": "listening", "transport": what, "address": address}),
            |_| Some(format!("接收中 receiving: {what} {address}")),
        );
    }

    /// A page was written.
    pub fn wrote(&mut self, page: &Path) {
        self.line(
            || json!({"event": "page", "path": page}),
            |_| Some(page.display().to_string()),
        );
    }

    /// What a command answers.
    pub fn said(&mut self, text: &str) {
        self.line(|| json!({"said": text}), |_| Some(text.to_owned()));
    }

    /// A new message that was stored.
    pub fn event(&mut self, event: &Event, pictures: &HashMap<String, PathBuf>) {
        match &event.body {
            Body::Alert(alert) => {
                let paths: Vec<&Path> = alert
                    .data
                    .evidence
                    .iter()
                    .filter_map(|e| {
                        // A large picture may come later than the alert, or not at all.
                        let small = || pictures.get(e.thumbnail.as_ref()?);
                        pictures.get(&e.sha256).or_else(small)
                    })
                    .map(PathBuf::as_path)
                    .collect();
                self.line(
                    || alert_json(alert, &paths),
                    |colour| Some(alert_text(alert, &paths, colour)),
                );
            }
            Body::Telemetry { stream, readings } => self.line(
                || json!({"event": "telemetry", "id": event.id, "stream": stream, "readings": readings}),
                |_| None,
            ),
            Body::Answer(answer) => self.line(
                || {
                    json!({"event": "answer", "id": event.id, "about": answer.about,
                           "in_reply_to": answer.in_reply_to, "alert": answer.alert_id,
                           "result": answer.result, "reason": answer.reason})
                },
                |_| {
                    let reason = answer.reason.as_deref().unwrap_or_default();
                    Some(format!(
                        "答复 answer: {} {}  {} {}",
                        plain(&answer.in_reply_to),
                        answer.result.slug(),
                        event.source,
                        plain(reason)
                    ))
                },
            ),
            Body::Gap(gap) => self.line(
                || tagged("gap", &event.id, json!(gap)),
                |_| {
                    Some(format!(
                        "缺失 gap: {} × {} ({})  {}",
                        gap.count, gap.class, gap.reason, event.source
                    ))
                },
            ),
            Body::Clock(clock) => self.line(
                || json!({"event": "clock", "id": event.id, "clock": clock}),
                |_| {
                    Some(format!(
                        "校时 clock: booted {} ({:+} ms)  {}",
                        clock.booted_at, clock.offset_ms, event.source
                    ))
                },
            ),
            Body::Digest(digest) => self.line(
                || tagged("digest", &event.id, json!(digest)),
                |_| Some(digest_text(digest)),
            ),
        }
    }

    /// A new picture that was stored.
    pub fn picture(&mut self, sha256: &str, path: &Path, bytes: usize) {
        self.line(
            || json!({"event": "picture", "sha256": sha256, "path": path, "bytes": bytes}),
            |_| None,
        );
    }

    /// Something that was refused.
    pub fn refused(&mut self, receipt: &Receipt) {
        let reason = receipt.reason.as_deref().unwrap_or_default();
        self.line(
            || json!({"event": "refused", "id": receipt.id, "sha256": receipt.sha256, "reason": reason}),
            |_| Some(format!("拒收 refused: {}: {reason}", receipt.id)),
        );
    }

    fn line(&mut self, json: impl FnOnce() -> Value, text: impl FnOnce(bool) -> Option<String>) {
        let line = match self.style {
            Style::Json => Some(json().to_string()),
            Style::Text { colour } => text(colour),
        };
        if let Some(mut line) = line {
            line.push('\n');
            // Whoever closed our output does not want to see it; receiving goes on.
            let _ = self
                .out
                .write_all(line.as_bytes())
                .and_then(|()| self.out.flush());
        }
    }
}

fn alert_json(alert: &CloudEvent<AlertData>, paths: &[&Path]) -> Value {
    let data = &alert.data;
    json!({
        "event": "alert",
        "id": alert.id,
        "alert": data.alert_id,
        "state": data.state,
        "kind": data.kind,
        "severity": data.severity,
        "station": data.station,
        "device": data.device,
        "source": data.source,
        "occurred_at": data.occurred_at,
        "raised_at": data.raised_at,
        "text": data.text,
        "pictures": paths,
    })
}

fn tagged(event: &str, id: &str, mut value: Value) -> Value {
    if let Value::Object(map) = &mut value {
        map.insert("event".to_owned(), event.into());
        map.insert("id".to_owned(), id.into());
    }
    value
}

fn digest_text(digest: &Digest) -> String {
    let mut sum = Counts::default();
    for row in &digest.rows {
        sum.add(&row.counts);
    }
    format!(
        "汇总 digest: {} {}..{}  新增 received {}  按期 in time {}  超期 late {}  升级 escalated {}  未结 open {}",
        digest.station,
        digest.from,
        digest.to,
        sum.received,
        sum.in_time,
        sum.late,
        sum.escalated,
        digest.open
    )
}

fn alert_text(alert: &CloudEvent<AlertData>, paths: &[&Path], colour: bool) -> String {
    let data = &alert.data;
    let (state, hue) = match (data.state, data.severity) {
        (AlertState::Cleared, _) => ("解除 cleared", "32"),
        (state, severity) => {
            let hue = match severity {
                Severity::Critical => "1;31",
                Severity::Major => "31",
                Severity::Minor => "33",
                Severity::Info => "36",
            };
            match state {
                AlertState::Raised => ("发生 raised", hue),
                _ => ("更新 updated", hue),
            }
        }
    };
    let severity = match data.severity {
        Severity::Info => "提示 info",
        Severity::Minor => "一般 minor",
        Severity::Major => "重要 major",
        Severity::Critical => "紧急 critical",
    };
    // RFC 3339 in UTC, which the schema has checked: the time of day stands at 11..19.
    let time = alert.time.get(11..19).unwrap_or(&alert.time);
    let head = format!(
        "{time}Z {state} [{severity}] {} {}",
        data.kind.name_zh(),
        data.kind
    );
    let head = match colour {
        true => format!("\x1b[{hue}m{head}\x1b[0m"),
        false => head,
    };
    let mut line = format!(
        "{head}  {}/{}  {} | {}",
        plain(&data.station),
        plain(&data.device),
        plain(&data.text.zh),
        plain(&data.text.en)
    );
    for path in paths {
        line.push_str(&format!("  图片 picture: {}", path.display()));
    }
    line
}

/// A station's words must not move the cursor of whoever reads them.
fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}
