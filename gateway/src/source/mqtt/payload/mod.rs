//! Bytes of one message -> what they say. Pure, and strict: a payload is either understood
//! whole or refused with the place that is wrong; nothing is guessed.

use std::{borrow::Cow, str};

use jiff::Timestamp;
use serde_json::value::RawValue;

use self::{em400::Torn, pointer::Expected};
use crate::{bilingual::Bilingual, config::Payload, observation::Quantity};

mod em400;
mod pointer;
mod time;
mod wangge;

/// Deepest nesting of objects and arrays in a JSON payload: sensors send one or two levels,
/// network servers around five; the receivers behind us recurse.
pub const MAX_DEPTH: usize = 16;
/// Most fields of one JSON object in our own schema.
pub const MAX_FIELDS: usize = 64;
/// Longest id that a payload may claim, bytes.
pub const MAX_ID: usize = 128;

/// What one message says.
#[derive(Debug)]
pub struct Parsed<'a> {
    /// The id that the device claims for itself.
    pub id: Option<Cow<'a, str>>,
    /// Its message number.
    pub seq: Option<u64>,
    /// Its clock.
    pub time: Option<Timestamp>,
    pub values: Values,
    /// The payload's own fields as one JSON object.
    pub payload: Box<RawValue>,
}

/// At most one figure per quantity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Values([Option<f64>; Quantity::ALL.len()]);

impl Values {
    /// The figure for `quantity`, if the message has one.
    pub fn get(&self, quantity: Quantity) -> Option<f64> {
        self.0.get(quantity as usize).copied().flatten()
    }

    /// Sets the figure for `quantity`.
    pub fn set(&mut self, quantity: Quantity, value: f64) {
        if let Some(slot) = self.0.get_mut(quantity as usize) {
            *slot = Some(value);
        }
    }

    /// What is there, in the order of [`Quantity::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Quantity, f64)> + '_ {
        Quantity::ALL
            .iter()
            .filter_map(|q| self.get(*q).map(|v| (*q, v)))
    }
}

/// Why a payload is not understood; the text says where and what was expected.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum PayloadError {
    #[error("the payload is empty")]
    Empty,
    #[error("the payload has {len} bytes, at most {max} are taken")]
    TooLarge { len: usize, max: usize },
    #[error("the payload is no UTF-8: byte {at} is wrong")]
    NotUtf8 { at: usize },
    #[error("the payload nests deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// Syntax, type, duplicate key; the text begins with the JSON pointer.
    #[error("{0}")]
    Json(String),
    /// None of the mapping's pointers points at anything.
    #[error("none of the mapped values is in the payload: {0}")]
    NothingMapped(String),
    /// A mapped value of another type.
    #[error("{pointer}: {expected} is expected, not {found}")]
    Mapped {
        pointer: String,
        expected: Expected,
        found: String,
    },
    /// EM400 bytes that make no sense.
    #[error("EM400 payload, byte {at}: {what}")]
    Tlv { at: usize, what: Torn },
}

impl Bilingual for PayloadError {
    fn zh(&self) -> String {
        match self {
            PayloadError::Empty => "报文为空".into(),
            PayloadError::TooLarge { len, max } => {
                format!("报文为 {len} 字节,上限 {max} 字节")
            }
            PayloadError::NotUtf8 { at } => format!("报文第 {at} 字节不是 UTF-8"),
            PayloadError::TooDeep => format!("报文嵌套超过 {MAX_DEPTH} 层"),
            PayloadError::Json(what) => format!("JSON 有误:{what}"),
            PayloadError::NothingMapped(wanted) => {
                format!("报文中没有任何已映射的值:{wanted}")
            }
            PayloadError::Mapped {
                pointer,
                expected,
                found,
            } => format!("{pointer}:应为{},实为 {found}", expected.zh()),
            PayloadError::Tlv { at, what } => {
                format!("EM400 报文第 {at} 字节:{}", what.zh())
            }
        }
    }
}

/// Reads `bytes` as the profile says.
///
/// # Errors
/// Whatever is wrong with the first thing that is.
pub fn parse<'a>(
    profile: &Payload,
    bytes: &'a [u8],
    max: usize,
) -> Result<Parsed<'a>, PayloadError> {
    if bytes.is_empty() {
        return Err(PayloadError::Empty);
    }
    if bytes.len() > max {
        return Err(PayloadError::TooLarge {
            len: bytes.len(),
            max,
        });
    }
    match profile {
        Payload::Wangge => wangge::parse(json_text(bytes)?),
        Payload::JsonPointer(mapping) => pointer::parse(mapping, json_text(bytes)?),
        Payload::Em400 => em400::parse(bytes),
    }
}

/// UTF-8 and nesting, before any parser sees it.
fn json_text(bytes: &[u8]) -> Result<&str, PayloadError> {
    let text = str::from_utf8(bytes).map_err(|e| PayloadError::NotUtf8 {
        at: e.valid_up_to() + 1,
    })?;
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for b in bytes {
        if in_string {
            match b {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match b {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(PayloadError::TooDeep);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(text)
}

/// Text that is already known to be JSON, as it stands.
fn raw(json: String) -> Result<Box<RawValue>, PayloadError> {
    RawValue::from_string(json).map_err(|e| PayloadError::Json(e.to_string()))
}

#[cfg(test)]
mod tests;
