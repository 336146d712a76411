//! Our own JSON schema: one flat object,
//! `{"id","seq","time","fill","distance","temperature","tilt","battery","voltage","flow","volume","level",…}`.
//!
//! Known fields have known types; unknown ones are passed on untouched. One pass, and the text
//! is forwarded as it came.

use std::{borrow::Cow, fmt};

use jiff::Timestamp;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::{MAX_FIELDS, MAX_ID, Parsed, PayloadError, Values, raw, time};
use crate::observation::Quantity;

pub fn parse(text: &str) -> Result<Parsed<'_>, PayloadError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let fields = json
        .deserialize_any(Object)
        .and_then(|fields| json.end().map(|()| fields))
        .map_err(|e| PayloadError::Json(e.to_string()))?;
    Ok(Parsed {
        id: fields.id,
        seq: fields.seq,
        time: fields.time,
        values: fields.values,
        payload: raw(text.to_owned())?,
    })
}

#[derive(Default)]
struct Fields<'a> {
    id: Option<Cow<'a, str>>,
    seq: Option<u64>,
    time: Option<Timestamp>,
    values: Values,
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        let mut others: Vec<Cow<'de, str>> = Vec::new();
        let mut count = 0;
        while let Some(key) = map.next_key_seed(Text)? {
            count += 1;
            if count > MAX_FIELDS {
                return Err(A::Error::custom(format_args!(
                    "more than {MAX_FIELDS} fields"
                )));
            }
            // The pointer goes in front of whatever the value's own parser complains about.
            let fresh = match &*key {
                "id" => {
                    let id = map.next_value_seed(Text).map_err(|e| at(&key, e))?;
                    if id.is_empty() || id.len() > MAX_ID {
                        return Err(at(&key, format_args!("1 to {MAX_ID} bytes are expected")));
                    }
                    fields.id.replace(id).is_none()
                }
                "seq" => {
                    let seq = map.next_value().map_err(|e| at(&key, e))?;
                    fields.seq.replace(seq).is_none()
                }
                "time" => {
                    let time = map.next_value_seed(Time).map_err(|e| at(&key, e))?;
                    fields.time.replace(time).is_none()
                }
                other => match quantity(other) {
                    Some(quantity) => {
                        let value = map
                            .next_value_seed(Figure { quantity })
                            .map_err(|e| at(&key, e))?;
                        let fresh = fields.values.get(quantity).is_none();
                        fields.values.set(quantity, value);
                        fresh
                    }
                    None => {
                        map.next_value::<IgnoredAny>().map_err(|e| at(&key, e))?;
                        if others.contains(&key) {
                            false
                        } else {
                            others.push(key.clone());
                            true
                        }
                    }
                },
            };
            if !fresh {
                return Err(at(&key, "stands there twice"));
            }
        }
        if count == 0 {
            return Err(A::Error::custom("the object has no fields"));
        }
        Ok(fields)
    }
}

fn at<E: Error>(key: &str, what: impl fmt::Display) -> E {
    let key: String = key.chars().take(MAX_ID).collect();
    let key = key.replace('~', "~0").replace('/', "~1");
    E::custom(format_args!("/{key}: {what}"))
}

fn quantity(key: &str) -> Option<Quantity> {
    Quantity::ALL.iter().copied().find(|q| q.slug() == key)
}

/// A string, borrowed where the JSON has no escapes.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(v.to_owned()))
    }
}

/// A number; for a tilt also yes or no.
struct Figure {
    quantity: Quantity,
}

impl<'de> DeserializeSeed<'de> for Figure {
    type Value = f64;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<f64, D::Error> {
        d.deserialize_any(self)
    }
}

impl Visitor<'_> for Figure {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.quantity {
            Quantity::Tilt => f.write_str("a number (degrees) or true or false"),
            quantity => write!(f, "a number ({})", quantity.unit()),
        }
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<f64, E> {
        if v.is_finite() {
            Ok(v)
        } else {
            Err(E::custom("not a finite number"))
        }
    }

    fn visit_u64<E>(self, v: u64) -> Result<f64, E> {
        Ok(v as f64)
    }

    fn visit_i64<E>(self, v: i64) -> Result<f64, E> {
        Ok(v as f64)
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<f64, E> {
        if self.quantity == Quantity::Tilt {
            Ok(if v { 90.0 } else { 0.0 })
        } else {
            Err(E::invalid_type(serde::de::Unexpected::Bool(v), &self))
        }
    }
}

struct Time;

impl<'de> DeserializeSeed<'de> for Time {
    type Value = Timestamp;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Timestamp, D::Error> {
        d.deserialize_any(self)
    }
}

impl Visitor<'_> for Time {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RFC 3339 text or Unix seconds or milliseconds")
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Timestamp, E> {
        time::from_text(v).map_err(E::custom)
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<Timestamp, E> {
        time::from_number(v).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<Timestamp, E> {
        time::from_integer(v).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<Timestamp, E> {
        match i64::try_from(v) {
            Ok(v) => self.visit_i64(v),
            Err(_) => Err(E::custom(format_args!("{v} is no time"))),
        }
    }
}
