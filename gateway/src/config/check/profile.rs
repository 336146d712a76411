//! Device profiles: those that ship with the gateway and those of the file itself.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    rc::Rc,
    sync::Arc,
};

use serde::Deserialize;
use wangge_protocol::EventKind;

use super::{At, Checker, Seen, limits, rule, suggest};
use crate::{
    config::{
        ByteOrder, DeviceProfile, JsonMapping, JsonValueMapping, Payload, Point, RegisterFormat,
        RegisterPart, RegisterTable, Totaliser,
        document::Document,
        faults::{Faults, Level},
        raw::{
            RawMapping, RawOrder, RawPart, RawPayload, RawPoint, RawProfile, RawRule, RawRuleType,
            RawTable, RawTotaliser,
        },
        shape,
    },
    observation::Quantity,
};

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../profiles/devices/", $name, ".toml")))),*]
    };
}

/// Profiles that ship with the gateway, by name.
const EMBEDDED: &[(&str, &str)] = embedded![
    "electromagnetic-meter",
    "em400-tld",
    "tuf-2000m",
    "wangge-bin",
    "wangge-bin-node",
    "wangge-meter-node"
];

/// A profile, and what the device checks need of its raw form.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) profile: Arc<DeviceProfile>,
    /// As written, so that a device can change single fields.
    pub(super) rules: Vec<RawRule>,
    /// What its devices measure, where the profile lists it.
    pub(super) quantities: Option<Vec<Quantity>>,
}

/// Profiles by name; the embedded ones are read when a device first asks.
pub(super) struct Profiles<'p> {
    own: &'p BTreeMap<String, RawProfile>,
    read: HashMap<String, Option<Rc<Known>>>,
}

impl<'p> Profiles<'p> {
    pub(super) fn new(cx: &mut Checker<'_, '_>, own: &'p BTreeMap<String, RawProfile>) -> Self {
        let root = At::Root;
        let table = root.key("profile");
        let mut read = HashMap::new();
        for (name, raw) in own {
            let at = table.key(name);
            cx.id_text(at, name);
            if EMBEDDED.iter().any(|(known, _)| known == name) {
                let message = format!("\"{name}\" is a profile that ships with the gateway");
                cx.error(at, message, "choose another name");
            }
            if raw.name.as_ref().is_some_and(|n| n != name) {
                cx.error(at.key("name"), "the table's key is the name", "remove it");
            }
            read.insert(name.clone(), Some(Rc::new(profile(cx, at, name, raw))));
        }
        Profiles { own, read }
    }

    pub(super) fn get(
        &mut self,
        cx: &mut Checker<'_, '_>,
        at: At<'_>,
        name: &str,
    ) -> Option<Rc<Known>> {
        if let Some(known) = self.read.get(name) {
            return known.clone();
        }
        let known = match EMBEDDED.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Some(Rc::new(embedded(name, text, cx.faults)?)),
            None => {
                let own = self.own.keys().map(String::as_str);
                let all = EMBEDDED.iter().map(|(known, _)| *known).chain(own);
                cx.unknown(at, "profile", name, all, "a `[profile.NAME]` table");
                None
            }
        };
        self.read.insert(name.to_owned(), known.clone());
        known
    }
}

/// Reads a profile file.
pub(super) fn embedded(name: &str, text: &str, faults: &mut Faults) -> Option<Known> {
    let origin = format!("device profile {name}");
    let mut document = Document::parse(text, &origin, faults);
    shape::check(&mut document, &shape::DEVICE_PROFILE, faults);
    let root = document.root.clone();
    let raw = match RawProfile::deserialize(toml::Deserializer::from(root)) {
        Ok(raw) => raw,
        Err(error) => {
            let span = error.span().unwrap_or_default();
            let message = error.message().to_owned();
            faults.push(document.fault_in(span, String::new(), message, None, Level::Error));
            return None;
        }
    };
    let mut cx = Checker {
        document: &document,
        faults,
        base_dir: Path::new("/"),
    };
    let root = At::Root;
    if raw.name.as_deref() != Some(name) {
        cx.error(
            root.key("name"),
            format!("`name` must be \"{name}\", as the file's"),
            "",
        );
    }
    Some(profile(&mut cx, root, name, &raw))
}

fn profile(cx: &mut Checker<'_, '_>, at: At<'_>, name: &str, raw: &RawProfile) -> Known {
    let payload = raw.payload.as_ref().map(|raw| payload(cx, at, raw));
    let points = points(cx, at, &raw.point);
    match (&payload, points.is_empty()) {
        (Some(_), false) => {
            let message = "the profile has both `payload` (MQTT) and `[[point]]` (Modbus)";
            cx.error(at, message, "make two profiles of it");
        }
        (None, true)
            if !cx.was_reported(at.key("payload")) && !cx.was_reported(at.key("point")) =>
        {
            let message = "the profile has neither `payload` (MQTT) nor `[[point]]` (Modbus)";
            cx.error(at, message, "for example `payload = \"wangge\"`");
        }
        _ => {}
    }
    let needs_height = raw.needs_height.unwrap_or(false);
    let quantities = quantities(payload.as_ref(), &points, needs_height);
    let rules = default_rules(cx, at, raw);
    let list = at.key("rule");
    let mut seen = Seen::new();
    let mut typed = Vec::new();
    for (i, raw) in rules.iter().enumerate() {
        let at = list.index(i);
        if let Some(id) = &raw.id {
            cx.unique(&mut seen, at.key("id"), "rule", id);
        }
        typed.extend(rule::rule(cx, at, raw, quantities.as_deref()).map(Arc::new));
    }
    let title = cx.optional_text(at.key("title"), raw.title.as_ref(), &limits::NAME_CHARS);
    Known {
        profile: Arc::new(DeviceProfile {
            name: name.to_owned(),
            title: title.unwrap_or_else(|| name.to_owned()),
            payload,
            points,
            rules: typed,
            needs_height,
            full_at_mm: raw.full_at_mm.unwrap_or_default(),
        }),
        rules,
        quantities,
    }
}

/// The profile's rules, and one for the device's health if there is none: every device can be
/// quarantined.
fn default_rules(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawProfile) -> Vec<RawRule> {
    let mut rules = raw.rule.clone();
    let health = |r: &RawRule| r.rule_type == Some(RawRuleType::Health);
    if !rules.iter().any(health) {
        if rules.iter().any(|r| r.id.as_deref() == Some("health")) {
            let message = "the id \"health\" belongs to the rule about the device itself";
            cx.error(at.key("rule"), message, "rename it");
        }
        rules.push(RawRule {
            id: Some("health".to_owned()),
            kind: Some(EventKind::DeviceQuarantined),
            rule_type: Some(RawRuleType::Health),
            ..RawRule::default()
        });
    }
    rules
}

fn quantities(
    payload: Option<&Payload>,
    points: &[Point],
    needs_height: bool,
) -> Option<Vec<Quantity>> {
    let mut all: Vec<Quantity> = match payload {
        Some(Payload::JsonPointer(mapping)) => mapping.values.iter().map(|v| v.quantity).collect(),
        // A message of these brings what it brings.
        Some(Payload::Wangge | Payload::Em400) => return None,
        None => points.iter().map(|p| p.quantity).collect(),
    };
    // The gateway works out how full a bin is from distance and height.
    if needs_height && all.contains(&Quantity::Distance) {
        all.push(Quantity::Fill);
    }
    Some(all)
}

fn payload(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawPayload) -> Payload {
    match raw {
        RawPayload::Wangge => Payload::Wangge,
        RawPayload::Em400 => Payload::Em400,
        RawPayload::JsonPointer(raw) => {
            let at = at.key("payload");
            Payload::JsonPointer(mapping(cx, at.key("json_pointer"), raw))
        }
    }
}

fn mapping(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawMapping) -> JsonMapping {
    for (key, text) in [("id", &raw.id), ("time", &raw.time), ("seq", &raw.seq)] {
        if let Some(text) = text {
            pointer(cx, at.key(key), text);
        }
    }
    let list = at.key("values");
    let mut seen = Seen::new();
    let mut values = Vec::new();
    for (i, raw) in raw.values.iter().flatten().enumerate() {
        let at = list.index(i);
        let (scale, offset) = scaling(cx, at, raw.scale, raw.offset);
        if let Some(text) = &raw.pointer {
            pointer(cx, at.key("pointer"), text);
        }
        let (Some(quantity), Some(pointer)) = (raw.quantity, &raw.pointer) else {
            continue;
        };
        cx.unique(&mut seen, at.key("quantity"), "quantity", quantity.slug());
        values.push(JsonValueMapping {
            quantity,
            pointer: pointer.clone(),
            scale,
            offset,
        });
    }
    JsonMapping {
        id: raw.id.clone(),
        time: raw.time.clone(),
        seq: raw.seq.clone(),
        values,
    }
}

/// RFC 6901: `/` before each step, `~0` and `~1` the only escapes.
pub(super) fn pointer(cx: &mut Checker<'_, '_>, at: At<'_>, text: &str) {
    let bad_escape = text
        .split('~')
        .skip(1)
        .any(|rest| !rest.starts_with(['0', '1']));
    if !text.starts_with('/') || bad_escape {
        let message = format!("\"{text}\" is no JSON pointer (RFC 6901)");
        let help = format!(
            "for example \"/{}\"",
            text.trim_start_matches('/').replace('.', "/")
        );
        cx.error(at, message, help);
    }
}

fn scaling(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    scale: Option<f64>,
    offset: Option<f64>,
) -> (f64, f64) {
    if scale == Some(0.0) {
        cx.error(
            at.key("scale"),
            "a scale of 0 makes every figure the same",
            "",
        );
    }
    (scale.unwrap_or(1.0), offset.unwrap_or(0.0))
}

fn points(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &[RawPoint]) -> Vec<Point> {
    let list = at.key("point");
    let mut seen = Seen::new();
    let mut points = Vec::new();
    for (i, raw) in raw.iter().enumerate() {
        let at = list.index(i);
        let (scale, offset) = scaling(cx, at, raw.scale, raw.offset);
        let parts = parts(cx, at, raw.parts.as_deref().unwrap_or_default());
        let totaliser = raw
            .totaliser
            .as_ref()
            .and_then(|raw| totaliser(cx, at, raw));
        let Some(quantity) = raw.quantity else {
            continue;
        };
        let name = raw
            .name
            .clone()
            .unwrap_or_else(|| quantity.slug().to_owned());
        cx.id_text(at.key("name"), &name);
        cx.unique(&mut seen, at.key("name"), "point", &name);
        points.push(Point {
            quantity,
            name,
            parts,
            scale,
            offset,
            totaliser,
        });
    }
    points
}

fn totaliser(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawTotaliser) -> Option<Totaliser> {
    let at = at.key("totaliser");
    for (key, value) in [
        ("rollover", raw.rollover),
        ("max_per_hour", raw.max_per_hour),
    ] {
        if value.is_some_and(|v| v <= 0.0) {
            cx.error(at.key(key), format!("`{key}` must be more than 0"), "");
        }
    }
    Some(Totaliser {
        rollover: raw.rollover,
        max_per_hour: raw.max_per_hour?,
    })
}

fn parts(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &[RawPart]) -> Vec<RegisterPart> {
    let list = at.key("parts");
    let mut parts = Vec::new();
    for (i, raw) in raw.iter().enumerate() {
        let at = list.index(i);
        let (scale, _) = scaling(cx, at, raw.scale, None);
        let format = raw
            .format
            .as_deref()
            .and_then(|text| format(cx, at.key("format"), text));
        let base = u32::from(raw.base.unwrap_or(0));
        let (Some(address), Some(format)) = (raw.address, format) else {
            continue;
        };
        let width = u32::from(width(format));
        let Some(address) = address
            .checked_sub(base)
            .filter(|a| a + width <= 65_536)
            .and_then(|a| u16::try_from(a).ok())
        else {
            let message = format!(
                "address {address} with base {base} and {width} registers leaves the table of 65,536"
            );
            cx.error(at.key("address"), message, "");
            continue;
        };
        parts.push(RegisterPart {
            table: match raw.table {
                None | Some(RawTable::Holding) => RegisterTable::Holding,
                Some(RawTable::Input) => RegisterTable::Input,
            },
            address,
            format,
            order: match raw.order {
                None | Some(RawOrder::Abcd) => ByteOrder::Abcd,
                Some(RawOrder::Cdab) => ByteOrder::Cdab,
                Some(RawOrder::Badc) => ByteOrder::Badc,
                Some(RawOrder::Dcba) => ByteOrder::Dcba,
            },
            scale,
        });
    }
    parts
}

/// Registers that a format fills.
fn width(format: RegisterFormat) -> u8 {
    match format {
        RegisterFormat::U16 | RegisterFormat::I16 | RegisterFormat::Bit(_) => 1,
        RegisterFormat::U32 | RegisterFormat::I32 | RegisterFormat::F32 => 2,
        RegisterFormat::U64 | RegisterFormat::I64 | RegisterFormat::F64 => 4,
        RegisterFormat::Bcd(registers) => registers,
    }
}

fn format(cx: &mut Checker<'_, '_>, at: At<'_>, text: &str) -> Option<RegisterFormat> {
    const PLAIN: &[(&str, RegisterFormat)] = &[
        ("u16", RegisterFormat::U16),
        ("i16", RegisterFormat::I16),
        ("u32", RegisterFormat::U32),
        ("i32", RegisterFormat::I32),
        ("u64", RegisterFormat::U64),
        ("i64", RegisterFormat::I64),
        ("f32", RegisterFormat::F32),
        ("f64", RegisterFormat::F64),
    ];
    let number = |prefix| text.strip_prefix(prefix)?.parse().ok();
    if let Some((_, format)) = PLAIN.iter().find(|(name, _)| *name == text) {
        return Some(*format);
    }
    if let Some(n) = number("bcd").filter(|n| limits::BCD_REGISTERS.contains(n)) {
        return Some(RegisterFormat::Bcd(n));
    }
    if let Some(n) = number("bit").filter(|n| *n < 16) {
        return Some(RegisterFormat::Bit(n));
    }
    let help = match suggest::nearest(text, PLAIN.iter().map(|(name, _)| *name)) {
        Some(nearest) => format!("did you mean \"{nearest}\"?"),
        None => "u16, i16, u32, i32, u64, i64, f32, f64, bcd1 to bcd4, bit0 to bit15".to_owned(),
    };
    cx.error(at, format!("there is no register format \"{text}\""), help);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_profiles_are_without_fault() {
        for (name, text) in EMBEDDED {
            let mut faults = Faults::default();
            let known = embedded(name, text, &mut faults);
            assert_eq!(faults.iter().count(), 0, "{faults}");
            let known = known.expect("a profile");
            assert!(!known.profile.rules.is_empty(), "{name} has no rules");
            assert_ne!(known.profile.title, *name, "{name} has no title");
        }
    }
}
