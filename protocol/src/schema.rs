//! JSON Schema (draft 2020-12) of every message, for platform teams and for the drift check.

use alloc::vec::Vec;

pub(crate) use alloc::string::ToString;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::{
    AlertData, Answer, ClockRecord, CloudEvent, Command, DeviceReading, Digest, Gap, Inbox,
    Receipt, SCHEMA_ALERT, SCHEMA_ANSWER, SCHEMA_CLOCK, SCHEMA_DIGEST, SCHEMA_GAP,
    SCHEMA_TELEMETRY, Seal, TYPE_ANSWER, TYPE_CLEARED, TYPE_CLOCK, TYPE_DIGEST, TYPE_GAP,
    TYPE_RAISED, TYPE_TELEMETRY, TYPE_UPDATED, Telemetry, Verdict, pattern,
};

/// File name under `protocol/schema/` and content of every schema.
///
/// An unknown key is no error in any of them: a receiver that is older than the gateway must
/// not refuse its alerts.
pub fn schemas() -> Vec<(&'static str, Value)> {
    let mut alert = envelope::<AlertData>(
        "Wangge alert",
        SCHEMA_ALERT,
        &[TYPE_RAISED, TYPE_UPDATED, TYPE_CLEARED],
    );
    alert["properties"]["subject"]["pattern"] = pattern::UUID_V7.into();
    // `type` and `data.state` say the same, and a cleared alert says when.
    alert["allOf"] = [
        (TYPE_RAISED, "raised"),
        (TYPE_UPDATED, "updated"),
        (TYPE_CLEARED, "cleared"),
    ]
    .iter()
    .map(|&(event_type, state)| {
        let mut data = json!({ "properties": { "state": { "const": state } } });
        if state == "cleared" {
            data["required"] = json!(["cleared_at"]);
        }
        json!({
            "if": { "properties": { "type": { "const": event_type } } },
            "then": { "properties": { "data": data } },
        })
    })
    .collect();
    sealed(&mut alert);
    let mut clock = envelope::<ClockRecord>("Wangge clock message", SCHEMA_CLOCK, &[TYPE_CLOCK]);
    sealed(&mut clock);
    // What is not sealed says something of the clock only while it is not believed.
    let mut telemetry = envelope::<Telemetry<Map<alloc::string::String, Value>>>(
        "Wangge telemetry",
        SCHEMA_TELEMETRY,
        &[TYPE_TELEMETRY],
    );
    attributes(&mut telemetry, |name| {
        ["clock", "bootid", "uptimems"].contains(&name)
    });
    let mut verdict = plain::<Verdict>("Wangge verdict", "urn:wangge:schema:verdict:1");
    reasoned(&mut verdict);
    let mut inbox = plain::<Inbox>("Wangge inbox", "urn:wangge:schema:inbox:1");
    reasoned(&mut inbox["$defs"]["Verdict"]);
    alloc::vec![
        ("alert.json", alert),
        ("clock.json", clock),
        ("telemetry.json", telemetry),
        (
            "gap.json",
            envelope::<Gap>("Wangge gap record", SCHEMA_GAP, &[TYPE_GAP]),
        ),
        (
            "digest.json",
            envelope::<Digest>("Wangge digest", SCHEMA_DIGEST, &[TYPE_DIGEST]),
        ),
        (
            "receipt.json",
            plain::<Receipt>("Wangge receipt", "urn:wangge:schema:receipt:1"),
        ),
        ("verdict.json", verdict),
        (
            "command.json",
            plain::<Command>("Wangge command", "urn:wangge:schema:command:1"),
        ),
        ("inbox.json", inbox),
        (
            "answer.json",
            envelope::<Answer>("Wangge answer", SCHEMA_ANSWER, &[TYPE_ANSWER]),
        ),
        (
            "reading.json",
            plain::<DeviceReading>("Wangge device reading", "urn:wangge:schema:reading:1"),
        ),
    ]
}

/// A rejection says why.
fn reasoned(verdict: &mut Value) {
    verdict["if"] = json!({ "properties": { "status": { "const": "rejected" } } });
    verdict["then"] = json!({
        "required": ["reason"],
        "properties": { "reason": { "type": "string", "minLength": 1 } },
    });
}

/// Adds the members of a seal. None is required: a station may be older, or without its key.
fn sealed(schema: &mut Value) {
    attributes(schema, |_| true);
}

/// Adds those members of [`Seal`] that are wanted.
fn attributes(schema: &mut Value, wanted: impl Fn(&str) -> bool) {
    let mut seal = plain::<Seal>("", "");
    if let Value::Object(properties) = seal["properties"].take() {
        for (name, value) in properties.into_iter().filter(|(name, _)| wanted(name)) {
            schema["properties"][name] = value;
        }
    }
    schema["$defs"]["ClockQuality"] = seal["$defs"]["ClockQuality"].take();
}

fn plain<T: JsonSchema>(title: &str, id: &str) -> Value {
    let mut schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>();
    schema.insert("title".into(), title.into());
    schema.insert("$id".into(), id.into());
    schema.to_value()
}

fn envelope<T>(title: &str, data_schema: &str, types: &[&str]) -> Value
where
    CloudEvent<T>: JsonSchema,
{
    let mut schema = plain::<CloudEvent<T>>(title, data_schema);
    schema["properties"]["type"]["enum"] = types.iter().copied().collect();
    schema["properties"]["dataschema"]["const"] = data_schema.into();
    schema
}
