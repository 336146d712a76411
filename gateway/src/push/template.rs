//! One template, and what becomes of it.
//!
//! A template never makes structure: it fills one form field, one string of a JSON document, one
//! segment of a path, one header. Whatever a device is called, it cannot add a field.

use std::{fmt, sync::LazyLock};

use jiff::{Timestamp, tz::TimeZone};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, Value, value::ValueKind,
};

/// Longest template, bytes.
pub const MAX_SOURCE: usize = 4_096;
/// Longest text that a template may make, bytes.
pub const MAX_TEXT: usize = 16_384;
/// Steps of the template engine for one template; a long one needs a few hundred.
pub const FUEL: u64 = 20_000;

/// Why a template makes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("it has {0} bytes; at most {MAX_SOURCE} are possible")]
    Long(usize),
    #[error("{0}")]
    Engine(String),
    #[error("{0} is not known; see the list of names in docs/operator/profiles.md")]
    Unknown(String),
    #[error("it makes a {0}, and a text, number or truth value is needed")]
    NoText(String),
    #[error("it makes {0} bytes; at most {MAX_TEXT} are possible")]
    TooMuch(usize),
}

/// A template as it is written.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    source: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing to fill in.
    Literal,
    /// `{{ … }}` and nothing else: its value keeps its type.
    Expression,
    Text,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    // What is made is encoded as a whole, by the form's or the document's own rules.
    engine.set_auto_escape_callback(|_| AutoEscape::None);
    engine.set_fuel(Some(FUEL));
    engine.add_filter("local", local);
    engine.add_filter("fixed", fixed);
    engine.add_filter("cut", cut);
    engine
});

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// It is too long, or cannot be read.
    pub fn parse(source: &str) -> Result<Template, TemplateError> {
        if source.len() > MAX_SOURCE {
            return Err(TemplateError::Long(source.len()));
        }
        let kind = kind(source);
        let template = Template {
            source: source.to_owned(),
            kind,
        };
        match kind {
            Kind::Literal => {}
            Kind::Expression => drop(
                ENGINE
                    .compile_expression(template.expression())
                    .map_err(|e| engine(&e))?,
            ),
            Kind::Text => drop(ENGINE.template_from_str(source).map_err(|e| engine(&e))?),
        }
        Ok(template)
    }

    /// The value, with its type where the template is one expression; `None` where there is none
    /// to tell.
    ///
    /// # Errors
    /// A name that is not known, a failure of the engine, or too long a text.
    pub fn value(&self, facts: &Value) -> Result<Option<Value>, TemplateError> {
        match self.kind {
            Kind::Literal => Ok(Some(Value::from(self.source.as_str()))),
            Kind::Expression => {
                let expression = self.expression();
                let value = ENGINE
                    .compile_expression(expression)
                    .and_then(|e| e.eval(facts.clone()))
                    .map_err(|e| engine(&e))?;
                if value.is_undefined() {
                    return Err(TemplateError::Unknown(expression.trim().to_owned()));
                }
                let bytes = value.as_str().map_or(0, str::len);
                if bytes > MAX_TEXT {
                    return Err(TemplateError::TooMuch(bytes));
                }
                Ok(Some(value).filter(|value| !value.is_none()))
            }
            Kind::Text => {
                let text = ENGINE
                    .template_from_str(&self.source)
                    .and_then(|t| t.render(facts.clone()))
                    .map_err(|e| engine(&e))?;
                if text.len() > MAX_TEXT {
                    return Err(TemplateError::TooMuch(text.len()));
                }
                Ok(Some(Value::from(text)))
            }
        }
    }

    /// The value as text.
    ///
    /// # Errors
    /// See [`Template::value`]; also a list or table.
    pub fn text(&self, facts: &Value) -> Result<Option<String>, TemplateError> {
        let Some(value) = self.value(facts)? else {
            return Ok(None);
        };
        match value.kind() {
            ValueKind::String | ValueKind::Number | ValueKind::Bool => Ok(Some(value.to_string())),
            other => Err(TemplateError::NoText(other.to_string())),
        }
    }

    /// The value as JSON.
    ///
    /// # Errors
    /// See [`Template::value`]; also what JSON cannot say.
    pub fn json(&self, facts: &Value) -> Result<Option<serde_json::Value>, TemplateError> {
        let Some(value) = self.value(facts)? else {
            return Ok(None);
        };
        let json =
            serde_json::to_value(&value).map_err(|e| TemplateError::Engine(e.to_string()))?;
        let bytes = json.to_string().len();
        if bytes > MAX_TEXT {
            return Err(TemplateError::TooMuch(bytes));
        }
        Ok(Some(json))
    }

    fn expression(&self) -> &str {
        let inner = self.source.trim();
        let inner = inner.strip_prefix("{{").unwrap_or(inner);
        inner.strip_suffix("}}").unwrap_or(inner)
    }
}

fn kind(source: &str) -> Kind {
    let marks = ["{{", "{%", "{#"];
    let whole = source.trim();
    let inner = whole.strip_prefix("{{").and_then(|s| s.strip_suffix("}}"));
    match inner {
        Some(inner)
            if !inner.contains("}}") && !inner.starts_with('-') && !inner.ends_with('-') =>
        {
            Kind::Expression
        }
        _ if marks.iter().any(|mark| source.contains(mark)) => Kind::Text,
        _ => Kind::Literal,
    }
}

/// The engine's words, with the fuel's in ours.
fn engine(error: &Error) -> TemplateError {
    if error.kind() == ErrorKind::OutOfFuel {
        return TemplateError::Engine(format!("it takes more than {FUEL} steps"));
    }
    let detail = error.detail().unwrap_or_default();
    let what = error.kind().to_string();
    TemplateError::Engine(match detail {
        "" => what,
        detail => format!("{what}: {detail}"),
    })
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// `{{ occurred_at | local("%Y-%m-%d %H:%M:%S") }}`: a time in the station's zone. What is not
/// there stays so.
fn local(state: &State<'_, '_>, time: &Value, format: &str) -> Result<Value, Error> {
    if time.is_none() {
        return Ok(Value::from(()));
    }
    let text = time.as_str().unwrap_or_default();
    let at: Timestamp = text
        .parse()
        .map_err(|_| invalid(format!("{time} is no time")))?;
    let zone = state.lookup("time_zone");
    let zone = zone.as_ref().and_then(Value::as_str).unwrap_or("UTC");
    let zone = TimeZone::get(zone).map_err(|e| invalid(e.to_string()))?;
    let shown = jiff::fmt::strtime::format(format, &at.to_zoned(zone))
        .map_err(|e| invalid(e.to_string()))?;
    Ok(Value::from(shown))
}

/// `{{ x | fixed(6) }}`: a number as text with so many decimals.
fn fixed(number: &Value, decimals: usize) -> Result<Value, Error> {
    if number.is_none() {
        return Ok(Value::from(()));
    }
    let value = f64::try_from(number.clone())?;
    Ok(Value::from(format!("{value:.*}", decimals.min(12))))
}

/// `{{ text_zh | cut(200) }}`: the first so many characters, for fields with a limit.
fn cut(text: &Value, chars: usize) -> Result<Value, Error> {
    if text.is_none() {
        return Ok(Value::from(()));
    }
    let text = text
        .as_str()
        .ok_or_else(|| invalid(format!("{text} is no text")))?;
    Ok(Value::from(text.chars().take(chars).collect::<String>()))
}
