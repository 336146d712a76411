//! Walks a document by its JSON Schema: unknown keys, wrong types, what is missing, ranges.
//!
//! Serde would stop at the first of these. What is wrong is reported and taken out, so that the
//! rest can be typed and checked too.

use std::{collections::HashSet, sync::LazyLock};

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};
use toml::{Spanned, de::DeValue};

use super::{
    document::{At, Document, Table},
    faults::{Faults, Level},
    raw::{RawConfig, RawDays, RawPermits, RawProfile},
    suggest,
};

/// Schema of a station's file.
pub(super) static STATION: LazyLock<Value> = LazyLock::new(schema_of::<RawConfig>);
/// Schema of a device profile file.
pub(super) static DEVICE_PROFILE: LazyLock<Value> = LazyLock::new(schema_of::<RawProfile>);
/// Schema of a file of holidays.
pub(super) static DAYS: LazyLock<Value> = LazyLock::new(schema_of::<RawDays>);
/// Schema of a file of permits.
pub(super) static PERMITS: LazyLock<Value> = LazyLock::new(schema_of::<RawPermits>);

fn schema_of<T: JsonSchema>() -> Value {
    let schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>();
    let mut schema = schema.to_value();
    without_null(&mut schema);
    schema
}

/// TOML has no null: an optional key is left out. Its trace in the schema would only puzzle.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|t| t != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".into(), only);
                }
            }
            if let Some(Value::Array(branches)) = map.get_mut("anyOf") {
                branches.retain(|b| b.get("type") != Some(&Value::from("null")));
                if let [Value::Object(only)] = branches.as_slice() {
                    let only = only.clone();
                    map.remove("anyOf");
                    for (key, value) in only {
                        // The field's own words come before its type's.
                        map.entry(key).or_insert(value);
                    }
                }
            }
            map.values_mut().for_each(without_null);
        }
        _ => {}
    }
}

/// Reports every fault of shape in `document` and removes what caused it.
pub(super) fn check(document: &mut Document<'_>, schema: &Value, faults: &mut Faults) {
    let mut root = std::mem::replace(&mut document.root, Spanned::new(0..0, Table::new()));
    let mut walk = Walk {
        schema,
        document,
        faults,
        removed: HashSet::new(),
    };
    let span = root.span();
    walk.table(root.get_mut(), span, schema, At::Root);
    let removed = walk.removed;
    document.mark_removed(removed);
    document.root = root;
}

struct Walk<'w, 'd> {
    schema: &'w Value,
    document: &'w Document<'d>,
    faults: &'w mut Faults,
    removed: HashSet<String>,
}

impl<'w> Walk<'w, '_> {
    fn fault(
        &mut self,
        span: std::ops::Range<usize>,
        at: At<'_>,
        message: String,
        help: Option<String>,
    ) {
        let fault = self
            .document
            .fault_in(span, at.to_string(), message, help, Level::Error);
        self.faults.push(fault);
    }

    /// The schemas that a value may follow, references resolved.
    fn leaves(&self, schema: &'w Value, into: &mut Vec<&'w Value>) {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            if let Some(target) = self.schema.pointer(reference.trim_start_matches('#')) {
                self.leaves(target, into);
            }
            return;
        }
        let branches = schema.get("oneOf").or_else(|| schema.get("anyOf"));
        match branches.and_then(Value::as_array) {
            Some(branches) => branches.iter().for_each(|b| self.leaves(b, into)),
            None => into.push(schema),
        }
    }

    /// False when the value has to go.
    fn value(&mut self, value: &mut Spanned<DeValue<'_>>, schema: &'w Value, at: At<'_>) -> bool {
        let mut leaves = Vec::new();
        self.leaves(schema, &mut leaves);
        let span = value.span();
        let choice = leaves.len() > 1;
        let found = json_type(value.get_ref());
        leaves.retain(|leaf| {
            let wanted = type_of(leaf);
            wanted == found || (wanted == "number" && found == "integer")
        });
        let Some(leaf) = leaves.first().copied() else {
            let mut all = Vec::new();
            self.leaves(schema, &mut all);
            let mut wanted: Vec<&str> = all.iter().map(|l| in_words(type_of(l))).collect();
            wanted.dedup();
            let message = format!(
                "`{}` must be {}, not {}",
                at.last_key(),
                wanted.join(" or "),
                in_words(found)
            );
            self.fault(span, at, message, self.example(schema, at));
            return false;
        };
        match value.get_mut() {
            DeValue::Table(table) => {
                self.table(table, span, leaf, at);
                // A choice whose key was wrong is no choice at all.
                !choice || required(leaf).all(|key| table.contains_key(key))
            }
            DeValue::Array(items) => {
                let mut whole = true;
                if let Some(schema) = leaf.get("items") {
                    let of_tables = {
                        let mut inner = Vec::new();
                        self.leaves(schema, &mut inner);
                        inner.iter().any(|l| type_of(l) == "object")
                    };
                    let all = std::mem::replace(items, std::iter::empty().collect());
                    for (index, mut item) in all.into_iter().enumerate() {
                        if self.value(&mut item, schema, at.index(index)) {
                            items.push(item);
                        } else {
                            // A list of figures with a hole in it means something else.
                            whole &= of_tables;
                        }
                    }
                }
                whole && self.length(items.len(), span, leaf, at)
            }
            DeValue::String(text) => self.choice(text, span, &leaves, at),
            DeValue::Integer(number) => {
                let digits = i64::from_str_radix(number.as_str(), number.radix());
                self.range(digits.ok().map(|n| n as f64), span, leaf, schema, at)
            }
            DeValue::Float(number) => {
                let number = number.as_str().parse().ok().filter(|n: &f64| n.is_finite());
                self.range(number, span, leaf, schema, at)
            }
            DeValue::Boolean(_) | DeValue::Datetime(_) => true,
        }
    }

    fn table(
        &mut self,
        table: &mut Table<'_>,
        span: std::ops::Range<usize>,
        schema: &'w Value,
        at: At<'_>,
    ) {
        static NOTHING: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
        let properties = schema
            .get("properties")
            .and_then(Value::as_object)
            .unwrap_or(&NOTHING);
        let others = schema
            .get("additionalProperties")
            .filter(|schema| schema.is_object());
        let mut missing: Vec<&str> = required(schema)
            .filter(|key| !table.contains_key(*key))
            .collect();
        if let Some(most) = schema.get("maxProperties").and_then(Value::as_u64)
            && table.len() as u64 > most
        {
            let message = format!("{} tables here, at most {most} are allowed", table.len());
            self.fault(span.clone(), at, message, None);
        }
        let here = at;
        for (key, mut value) in std::mem::take(table) {
            let name: &str = key.get_ref();
            let at = here.key(name);
            if let Some(schema) = properties.get(name).or(others) {
                if self.value(&mut value, schema, at) {
                    table.insert(key, value);
                } else {
                    self.removed.insert(at.to_string());
                }
                continue;
            }
            let help = match suggest::nearest(name, properties.keys().map(String::as_str)) {
                Some(nearest) => {
                    // The misspelt key is the missing one: one fault, not two.
                    missing.retain(|m| *m != nearest);
                    self.removed.insert(here.key(nearest).to_string());
                    format!("did you mean `{nearest}`?")
                }
                None => {
                    let known: Vec<&str> = properties.keys().map(String::as_str).collect();
                    format!("known here: {}", known.join(", "))
                }
            };
            let message = format!("unknown key `{name}`");
            self.fault(key.span(), at, message, Some(help));
        }
        for key in missing {
            let field = properties.get(key).unwrap_or(&Value::Null);
            let message = match at {
                At::Root => format!("there is no `[{key}]` table"),
                _ => format!("`{key}` is missing"),
            };
            let help = self.example(field, at.key(key));
            let first_line = span.start..span.start.saturating_add(1).min(span.end);
            self.fault(first_line, at.key(key), message, help);
        }
    }

    /// False when there are too few; too many are reported and kept, so that what refers to
    /// them is not reported as well.
    fn length(&mut self, n: usize, span: std::ops::Range<usize>, leaf: &Value, at: At<'_>) -> bool {
        let limit = |key| leaf.get(key).and_then(Value::as_u64).map(|n| n as usize);
        let (least, most) = (limit("minItems"), limit("maxItems"));
        if let Some(least) = least
            && n < least
        {
            let message = format!(
                "`{}` has {n} entries, at least {least} are needed",
                at.last_key()
            );
            self.fault(span, at, message, self.example(leaf, at));
            return false;
        }
        if let Some(most) = most
            && n > most
        {
            let message = format!(
                "`{}` has {n} entries, at most {most} are allowed",
                at.last_key()
            );
            self.fault(span, at, message, None);
            // A pair with three figures is no pair.
            return least != Some(most);
        }
        true
    }

    fn range(
        &mut self,
        number: Option<f64>,
        span: std::ops::Range<usize>,
        leaf: &'w Value,
        schema: &'w Value,
        at: At<'_>,
    ) -> bool {
        let limit = |key| leaf.get(key).and_then(Value::as_f64);
        let low = limit("minimum").unwrap_or(f64::MIN);
        let high = limit("maximum").unwrap_or(f64::MAX);
        let key = at.last_key();
        let Some(number) = number else {
            let message = format!("`{key}` must be a finite number");
            self.fault(span, at, message, self.example(schema, at));
            return false;
        };
        if !(low..=high).contains(&number) {
            let message = if low == f64::MIN {
                format!("`{key}` is {number}, the most is {high}")
            } else if high == f64::MAX {
                format!("`{key}` is {number}, the least is {low}")
            } else {
                format!("`{key}` is {number}, it must be from {low} to {high}")
            };
            self.fault(span, at, message, self.example(schema, at));
            return false;
        }
        let choices = leaf
            .get("enum")
            .or_else(|| schema.get("enum"))
            .and_then(Value::as_array);
        if let Some(choices) = choices
            && !choices.iter().any(|c| c.as_f64() == Some(number))
        {
            let known: Vec<String> = choices.iter().map(Value::to_string).collect();
            let message = format!("`{key}` is {number}, which it cannot be");
            self.fault(
                span,
                at,
                message,
                Some(format!("one of {}", known.join(", "))),
            );
            return false;
        }
        true
    }

    fn choice(
        &mut self,
        text: &str,
        span: std::ops::Range<usize>,
        leaves: &[&'w Value],
        at: At<'_>,
    ) -> bool {
        let mut known = Vec::new();
        for leaf in leaves {
            match (leaf.get("const"), leaf.get("enum")) {
                (Some(one), _) => known.extend(one.as_str()),
                (_, Some(Value::Array(many))) => {
                    known.extend(many.iter().filter_map(Value::as_str))
                }
                // Any text will do.
                _ => return true,
            }
        }
        if known.contains(&text) {
            return true;
        }
        let help = match suggest::nearest(text, known.iter().copied()) {
            Some(nearest) => format!("did you mean \"{nearest}\"?"),
            None => format!("one of {}", known.join(", ")),
        };
        let message = format!("`{}` cannot be \"{text}\"", at.last_key());
        self.fault(span, at, message, Some(help));
        false
    }

    /// "for example `timeout = "500ms"`", from the schema's own example.
    fn example(&self, schema: &'w Value, at: At<'_>) -> Option<String> {
        let mut leaves = vec![schema];
        self.leaves(schema, &mut leaves);
        let first = |key| leaves.iter().find_map(|l| l.get(key)?.as_array()?.first());
        let value = first("examples")
            .or_else(|| first("enum"))
            .or_else(|| leaves.iter().find_map(|l| l.get("const")))?;
        let value = toml::Value::try_from(value).ok()?;
        Some(format!("for example `{} = {value}`", at.last_key()))
    }
}

/// Keys that a table must have.
fn required(schema: &Value) -> impl Iterator<Item = &str> {
    let keys = schema.get("required").and_then(Value::as_array);
    keys.into_iter().flatten().filter_map(Value::as_str)
}

/// JSON type that a leaf asks for.
fn type_of(leaf: &Value) -> &str {
    let one = |v: &Value| match v {
        Value::Number(_) => "number",
        _ => "string",
    };
    match (leaf.get("type"), leaf.get("const"), leaf.get("enum")) {
        (Some(Value::String(name)), ..) => name,
        (_, Some(value), _) => one(value),
        (_, _, Some(Value::Array(values))) => values.first().map_or("string", one),
        _ => "object",
    }
}

fn json_type(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "string",
        DeValue::Integer(_) => "integer",
        DeValue::Float(_) => "number",
        DeValue::Boolean(_) => "boolean",
        DeValue::Datetime(_) => "datetime",
        DeValue::Array(_) => "array",
        DeValue::Table(_) => "object",
    }
}

fn in_words(json_type: &str) -> &str {
    match json_type {
        "string" => "text in quotes",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "datetime" => "a date",
        "array" => "a list",
        "object" => "a table",
        other => other,
    }
}
