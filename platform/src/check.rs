//! Whether a message is what the contract says.

use jsonschema::Validator;
use serde_json::Value;
use wangge_protocol::{
    AlertData, Answer, ClockRecord, CloudEvent, Digest, EvidenceRef, Gap, SCHEMA_ALERT,
    SCHEMA_ANSWER, SCHEMA_CLOCK, SCHEMA_DIGEST, SCHEMA_GAP, SCHEMA_TELEMETRY,
};

use crate::MAX_EVENT;

/// A message that keeps to its schema.
#[derive(Clone, Debug)]
pub struct Event {
    pub id: String,
    /// `/stations/<id>`
    pub source: String,
    pub event_type: String,
    pub body: Body,
}

/// What it says.
#[derive(Clone, Debug)]
pub enum Body {
    Alert(Box<CloudEvent<AlertData>>),
    /// Stream and number of readings.
    Telemetry {
        stream: String,
        readings: usize,
    },
    Gap(Gap),
    Clock(ClockRecord),
    Digest(Digest),
    /// To a verdict or a command.
    Answer(Answer),
}

impl Event {
    /// Pictures that it names.
    pub fn evidence(&self) -> &[EvidenceRef] {
        match &self.body {
            Body::Alert(alert) => &alert.data.evidence,
            Body::Answer(answer) => &answer.evidence,
            Body::Telemetry { .. } | Body::Gap(_) | Body::Clock(_) | Body::Digest(_) => &[],
        }
    }
}

/// Why a message is refused, and its id if it has one that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unfit {
    pub id: Option<String>,
    pub reason: String,
}

/// The schemas, compiled.
#[derive(Debug)]
pub struct Checker {
    alert: Validator,
    telemetry: Validator,
    gap: Validator,
    clock: Validator,
    answer: Validator,
    digest: Validator,
}

impl Checker {
    /// # Errors
    /// A schema in the program itself that does not compile.
    pub fn new() -> anyhow::Result<Self> {
        let compile = |name: &str, text: &str| {
            let schema: Value = serde_json::from_str(text)?;
            jsonschema::validator_for(&schema)
                .map_err(|e| anyhow::anyhow!("protocol/schema/{name}: {e}"))
        };
        Ok(Checker {
            alert: compile(
                "alert.json",
                include_str!("../../protocol/schema/alert.json"),
            )?,
            telemetry: compile(
                "telemetry.json",
                include_str!("../../protocol/schema/telemetry.json"),
            )?,
            gap: compile("gap.json", include_str!("../../protocol/schema/gap.json"))?,
            clock: compile(
                "clock.json",
                include_str!("../../protocol/schema/clock.json"),
            )?,
            answer: compile(
                "answer.json",
                include_str!("../../protocol/schema/answer.json"),
            )?,
            digest: compile(
                "digest.json",
                include_str!("../../protocol/schema/digest.json"),
            )?,
        })
    }

    /// Reads and checks one message.
    ///
    /// # Errors
    /// What is wrong with it, naming the place.
    pub fn check(&self, bytes: &[u8]) -> Result<Event, Unfit> {
        let unfit = |id: Option<&str>, reason: String| Unfit {
            id: id.map(str::to_owned),
            reason,
        };
        if bytes.len() > MAX_EVENT {
            let reason = format!("{} bytes; {MAX_EVENT} is the limit", bytes.len());
            return Err(unfit(None, reason));
        }
        let value: Value =
            serde_json::from_slice(bytes).map_err(|e| unfit(None, format!("not JSON: {e}")))?;
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        // Only what could be a message's: an answer must be a receipt even then.
        let id = text("id").filter(|id| is_id(id));
        let schema = match text("dataschema") {
            Some(SCHEMA_ALERT) => &self.alert,
            Some(SCHEMA_TELEMETRY) => &self.telemetry,
            Some(SCHEMA_GAP) => &self.gap,
            Some(SCHEMA_CLOCK) => &self.clock,
            Some(SCHEMA_ANSWER) => &self.answer,
            Some(SCHEMA_DIGEST) => &self.digest,
            other => return Err(unfit(id, format!("dataschema {other:?} is not known here"))),
        };
        if let Some(error) = schema.iter_errors(&value).next() {
            return Err(unfit(id, format!("{}: {error}", error.instance_path)));
        }
        let read = |e: serde_json::Error| unfit(id, e.to_string());
        let body = match text("dataschema") {
            Some(SCHEMA_ALERT) => Body::Alert(serde_json::from_slice(bytes).map_err(read)?),
            Some(SCHEMA_ANSWER) => Body::Answer(
                serde_json::from_slice::<CloudEvent<Answer>>(bytes)
                    .map_err(read)?
                    .data,
            ),
            Some(SCHEMA_GAP) => Body::Gap(
                serde_json::from_slice::<CloudEvent<Gap>>(bytes)
                    .map_err(read)?
                    .data,
            ),
            Some(SCHEMA_CLOCK) => Body::Clock(
                serde_json::from_slice::<CloudEvent<ClockRecord>>(bytes)
                    .map_err(read)?
                    .data,
            ),
            Some(SCHEMA_DIGEST) => Body::Digest(
                serde_json::from_slice::<CloudEvent<Digest>>(bytes)
                    .map_err(read)?
                    .data,
            ),
            _ => {
                let data = value.get("data");
                let readings = data
                    .and_then(|d| d.get("readings"))
                    .and_then(Value::as_array)
                    .map_or(0, Vec::len);
                let stream = data
                    .and_then(|d| d.get("stream"))
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned();
                Body::Telemetry { stream, readings }
            }
        };
        Ok(Event {
            id: id.unwrap_or_default().to_owned(),
            source: text("source").unwrap_or_default().to_owned(),
            event_type: text("type").unwrap_or_default().to_owned(),
            body,
        })
    }
}

/// A UUID as stations write it.
fn is_id(id: &str) -> bool {
    let at = |i: usize, b: u8| match i {
        8 | 13 | 18 | 23 => b == b'-',
        _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
    };
    id.len() == 36 && id.bytes().enumerate().all(|(i, b)| at(i, b))
}
