//! What a platform's answer means.

use serde_json::Value as Json;

/// Something that a reply says.
#[derive(Clone, Debug, PartialEq)]
pub struct Sign {
    /// RFC 6901, e.g. `/hasError`.
    pub pointer: String,
    pub test: Test,
}

/// How a value is looked at.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// It is this.
    Equals(Json),
    /// It is anything but this; also when it is not there.
    Differs(Json),
    /// It is a text with this in it.
    Contains(String),
    /// It is there, and not null.
    There,
}

impl Sign {
    /// Whether a reply says so.
    pub fn is_in(&self, reply: &Json) -> bool {
        let value = reply.pointer(&self.pointer);
        match &self.test {
            Test::Equals(wanted) => value.is_some_and(|value| same(value, wanted)),
            Test::Differs(wanted) => !value.is_some_and(|value| same(value, wanted)),
            Test::Contains(part) => value
                .and_then(Json::as_str)
                .is_some_and(|text| text.contains(part)),
            Test::There => value.is_some_and(|value| !value.is_null()),
        }
    }
}

/// `200` and `"200"` are the same to platforms, and so are 1 and 1.0.
fn same(value: &Json, wanted: &Json) -> bool {
    match (value, wanted) {
        (Json::String(text), Json::Number(number)) | (Json::Number(number), Json::String(text)) => {
            *text == number.to_string()
        }
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        _ => value == wanted,
    }
}

/// A text or number at a place of a reply.
pub fn text_at(reply: &Json, pointer: &str) -> Option<String> {
    match reply.pointer(pointer)? {
        Json::String(text) if !text.is_empty() => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
