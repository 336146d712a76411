//! Anyone else's JSON, read through RFC 6901 pointers from the configuration.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{MAX_ID, Parsed, PayloadError, Values, raw, time};
use crate::{bilingual::Bilingual, config::JsonMapping, observation::Quantity};

/// What a mapped value should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Expected {
    #[error("an id")]
    Id,
    #[error("a whole number from 0")]
    Seq,
    #[error("RFC 3339 text or Unix seconds or milliseconds")]
    Time,
    #[error("a finite number")]
    Figure,
}

impl Bilingual for Expected {
    fn zh(&self) -> String {
        match self {
            Expected::Id => "编号",
            Expected::Seq => "非负整数",
            Expected::Time => "时间(RFC 3339 文本,或 Unix 秒或毫秒数)",
            Expected::Figure => "有限数值",
        }
        .into()
    }
}

pub fn parse(mapping: &JsonMapping, text: &str) -> Result<Parsed<'static>, PayloadError> {
    let Strict(root) = serde_json::from_str(text).map_err(|e| PayloadError::Json(e.to_string()))?;
    let fault = |pointer: &str, expected: Expected, found: &Value| {
        let mut found = found.to_string();
        if let Some((cut, _)) = found.char_indices().nth(40) {
            found.truncate(cut);
            found.push('…');
        }
        PayloadError::Mapped {
            pointer: pointer.to_owned(),
            expected,
            found,
        }
    };

    let id = match find(&root, &mapping.id) {
        None => None,
        Some((_, Value::String(id))) if !id.is_empty() && id.len() <= MAX_ID => {
            Some(Cow::Owned(id.clone()))
        }
        Some((_, Value::Number(id))) => Some(Cow::Owned(id.to_string())),
        Some((pointer, other)) => return Err(fault(pointer, Expected::Id, other)),
    };
    let seq = match find(&root, &mapping.seq) {
        None => None,
        Some((pointer, value)) => Some(
            value
                .as_u64()
                .or_else(|| value.as_str()?.parse().ok())
                .ok_or_else(|| fault(pointer, Expected::Seq, value))?,
        ),
    };
    let time = match find(&root, &mapping.time) {
        None => None,
        Some((pointer, value)) => {
            let time = match value {
                Value::String(text) => match text.parse::<f64>() {
                    Ok(number) => time::from_number(number),
                    Err(_) => time::from_text(text),
                },
                Value::Number(n) => match (n.as_i64(), n.as_f64()) {
                    (Some(n), _) => time::from_integer(n),
                    (None, Some(n)) => time::from_number(n),
                    (None, None) => Err("no time".to_owned()),
                },
                _ => Err("no time".to_owned()),
            };
            Some(time.map_err(|_| fault(pointer, Expected::Time, value))?)
        }
    };

    let mut values = Values::default();
    let mut found = false;
    for map in &mapping.values {
        let Some(value) = root.pointer(&map.pointer).filter(|v| !v.is_null()) else {
            continue;
        };
        let figure = match value {
            Value::Bool(yes) if map.quantity == Quantity::Tilt => {
                values.set(map.quantity, if *yes { 90.0 } else { 0.0 });
                found = true;
                continue;
            }
            Value::Number(n) => n.as_f64(),
            Value::String(text) => text.trim().parse::<f64>().ok(),
            _ => None,
        };
        let figure = figure
            .map(|v| v * map.scale + map.offset)
            .filter(|v| v.is_finite())
            .ok_or_else(|| fault(&map.pointer, Expected::Figure, value))?;
        values.set(map.quantity, figure);
        found = true;
    }
    if !found {
        let wanted: Vec<_> = mapping.values.iter().map(|v| v.pointer.as_str()).collect();
        return Err(PayloadError::NothingMapped(wanted.join(", ")));
    }

    let payload = if root.is_object() {
        raw(text.to_owned())?
    } else {
        raw(format!("{{\"payload\":{text}}}"))?
    };
    Ok(Parsed {
        id,
        seq,
        time,
        values,
        payload,
    })
}

/// `null` is how most vendors say "no value".
fn find<'a>(root: &'a Value, pointer: &'a Option<String>) -> Option<(&'a str, &'a Value)> {
    let pointer = pointer.as_deref()?;
    let value = root.pointer(pointer).filter(|v| !v.is_null())?;
    Some((pointer, value))
}

/// A JSON value in which no object has a key twice: `serde_json::Value` keeps the last one and
/// says nothing.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::from(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::from(v))
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<Value, E> {
        Number::from_f64(v)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let Strict(value) = map.next_value()?;
            if let Some(key) = object.contains_key(&key).then_some(&key) {
                return Err(A::Error::custom(format_args!(
                    "the key {key:?} stands there twice"
                )));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}
