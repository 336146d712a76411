//! Messages from a platform, taken apart one by one: what is wrong with one entry is no reason to
//! refuse its neighbours.

use serde::de::DeserializeOwned;
use serde_json::{Value, value::RawValue};
use wangge_protocol::{AnswerAbout, Command, Verdict};

use super::{Item, MAX_BYTES, MAX_REASON, MAX_TOGETHER, MAX_WORD, Misfit, is_id, is_text, moment};

/// What a message held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    pub items: Vec<Item>,
    /// Entries, or whole messages, that cannot even be answered.
    pub refused: u64,
    /// Why the last of them was.
    pub complaint: Option<String>,
}

impl Parsed {
    fn refuse(&mut self, why: String) {
        self.refused += 1;
        self.complaint = Some(why);
    }
}

/// A message of verdicts: one JSON object, or an array of them.
pub fn verdicts(bytes: &[u8]) -> Parsed {
    list(bytes, AnswerAbout::Verdict)
}

/// A message of commands: one JSON object, or an array of them.
pub fn commands(bytes: &[u8]) -> Parsed {
    list(bytes, AnswerAbout::Command)
}

/// The answer of an HTTPS inbox: `{"verdicts": […], "commands": […]}`.
pub fn inbox(bytes: &[u8]) -> Parsed {
    #[derive(serde::Deserialize)]
    struct Raw<'m> {
        #[serde(default, borrow)]
        verdicts: Vec<&'m RawValue>,
        #[serde(default, borrow)]
        commands: Vec<&'m RawValue>,
    }
    let mut parsed = Parsed::default();
    let Some(bytes) = within(bytes, &mut parsed) else {
        return parsed;
    };
    match serde_json::from_slice::<Raw<'_>>(bytes) {
        Ok(Raw { verdicts, commands }) => {
            // Commands first: they are few, and one may be urgent.
            many(&commands, AnswerAbout::Command, &mut parsed);
            many(&verdicts, AnswerAbout::Verdict, &mut parsed);
        }
        Err(e) => parsed.refuse(format!("it is no inbox: {e}")),
    }
    parsed
}

fn list(bytes: &[u8], about: AnswerAbout) -> Parsed {
    let mut parsed = Parsed::default();
    let Some(bytes) = within(bytes, &mut parsed) else {
        return parsed;
    };
    let is_array = bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[');
    let entries = match is_array {
        true => serde_json::from_slice::<Vec<&RawValue>>(bytes),
        false => serde_json::from_slice::<&RawValue>(bytes).map(|one| vec![one]),
    };
    match entries {
        Ok(entries) => many(&entries, about, &mut parsed),
        Err(e) => parsed.refuse(format!("it is not JSON: {e}")),
    }
    parsed
}

fn within<'m>(bytes: &'m [u8], parsed: &mut Parsed) -> Option<&'m [u8]> {
    if bytes.len() > MAX_BYTES {
        let length = bytes.len();
        parsed.refuse(format!(
            "it has {length} bytes, at most {MAX_BYTES} are taken"
        ));
        return None;
    }
    Some(bytes)
}

fn many(entries: &[&RawValue], about: AnswerAbout, parsed: &mut Parsed) {
    if entries.len() > MAX_TOGETHER {
        let count = entries.len();
        parsed.refuse(format!(
            "{count} entries in one message, at most {MAX_TOGETHER} are taken; none was"
        ));
        return;
    }
    for entry in entries {
        match one(entry.get(), about) {
            Ok(item) => parsed.items.push(item),
            Err(why) => parsed.refuse(why),
        }
    }
}

/// One entry; an error where it cannot be answered.
fn one(text: &str, about: AnswerAbout) -> Result<Item, String> {
    let value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let word = |key: &str| value.get(key).and_then(Value::as_str);
    let Some(id) = word("id").filter(|id| is_id(id)).map(str::to_owned) else {
        return Err("an entry without an id of 1 to 64 printable ASCII characters".into());
    };
    let alert_id = match about {
        AnswerAbout::Verdict => word("alert_id").filter(|id| is_id(id)).map(str::to_owned),
        AnswerAbout::Command => None,
    };
    let read = match about {
        AnswerAbout::Verdict => typed::<Verdict>(&value)
            .and_then(|verdict| verdict_fault(&verdict).map_or(Ok(verdict), Err))
            .map(|verdict| Item::Verdict(Box::new(verdict))),
        AnswerAbout::Command => {
            typed::<Command>(&value).map(|command| Item::Command(Box::new(command)))
        }
    };
    Ok(read.unwrap_or_else(|reason| {
        Item::Misfit(Misfit {
            about,
            id,
            alert_id,
            reason,
        })
    }))
}

fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    let short = |e: serde_json::Error| e.to_string().chars().take(200).collect();
    T::deserialize(value).map_err(short)
}

/// What no type says.
fn verdict_fault(verdict: &Verdict) -> Option<String> {
    let too_long = |what: &str, most: usize| {
        Some(format!(
            "`{what}` may have {most} characters, and no control characters"
        ))
    };
    if !is_id(&verdict.alert_id) {
        return Some("`alert_id` is no alert's id".into());
    }
    if moment(&verdict.at).is_none() {
        return Some("`at` is no moment as RFC 3339 writes it".into());
    }
    let reason = verdict.reason.as_deref().unwrap_or_default();
    if !is_text(reason, MAX_REASON) {
        return too_long("reason", MAX_REASON);
    }
    for (what, text) in [("case_no", &verdict.case_no), ("by", &verdict.by)] {
        if text.as_deref().is_some_and(|text| !is_text(text, MAX_WORD)) {
            return too_long(what, MAX_WORD);
        }
    }
    let is_hash = |text: &str| {
        text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    if verdict
        .picture
        .as_deref()
        .is_some_and(|hash| !is_hash(hash))
    {
        return Some("`picture` is no SHA-256 in 64 lower-case hex digits".into());
    }
    let rejected = verdict.status == wangge_protocol::VerdictStatus::Rejected;
    if rejected && reason.trim().is_empty() {
        return Some("a rejection needs a `reason`".into());
    }
    None
}

#[cfg(test)]
mod tests;
