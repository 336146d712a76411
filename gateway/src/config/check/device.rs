//! Devices: ids and their ranges, the link, the place, the rules.

use std::{collections::HashMap, ops::RangeInclusive, sync::Arc, time::Duration};

use super::{
    At, Checker, Seen, limits,
    link::Links,
    profile::{Known, Profiles},
    rule, station, topic_fault, units,
};
use crate::config::{
    Device, DeviceLink, Rule, Station,
    raw::{RawConfig, RawDevice, RawUnitId},
};

/// Default for `every`.
const EVERY: Duration = Duration::from_secs(10);
/// Default for `max_rate`, messages a second.
const MAX_RATE: f64 = 2.0;

/// What must be unique over all devices.
#[derive(Default)]
struct Taken {
    ids: Seen,
    /// Broker, topic.
    topics: Seen,
    /// Bus, unit id.
    units: Seen,
}

pub(super) fn devices(
    cx: &mut Checker<'_, '_>,
    raw: &RawConfig,
    station: &Station,
    links: &Links,
    profiles: &mut Profiles<'_>,
) -> Vec<Arc<Device>> {
    let root = At::Root;
    let list = root.key("device");
    let mut taken = Taken::default();
    let mut devices = Vec::new();
    for (i, raw) in raw.device.iter().enumerate() {
        let at = list.index(i);
        let ids = ids(cx, at, raw);
        let room = limits::MAX_DEVICES.saturating_sub(devices.len());
        if ids.len() > room {
            let most = limits::MAX_DEVICES;
            let message = format!("with these there are more than {most} devices");
            cx.error(at.key("ids"), message, "split the station");
            break;
        }
        let known = raw
            .profile
            .as_deref()
            .and_then(|name| profiles.get(cx, at.key("profile"), name));
        let Some(known) = known else {
            // The ids count all the same: others may refer to them.
            for id in ids {
                cx.unique(&mut taken.ids, at.key("id"), "device", &id);
            }
            continue;
        };
        devices.extend(row(cx, at, raw, ids, &known, station, links, &mut taken));
    }
    unused_links(cx, raw, links, &devices);
    devices
}

/// The ids of one table: one, or a whole row.
fn ids(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawDevice) -> Vec<String> {
    match (&raw.id, &raw.ids) {
        (Some(_), Some(_)) => {
            cx.error(
                at.key("ids"),
                "there are both `id` and `ids`",
                "keep one of them",
            );
            Vec::new()
        }
        (Some(id), None) => {
            if id.contains('{') {
                let message = "`id` is one id; a range belongs in `ids`";
                cx.error(at.key("id"), message, format!("`ids = \"{id}\"`"));
                return Vec::new();
            }
            cx.id_text(at.key("id"), id);
            vec![id.clone()]
        }
        (None, Some(pattern)) => match expand(pattern) {
            Ok(ids) => {
                if let Some(first) = ids.first() {
                    cx.id_text(at.key("ids"), first);
                }
                ids
            }
            Err(reason) => {
                let message = format!("`ids` is \"{pattern}\": {reason}");
                cx.error(at.key("ids"), message, "e.g. `ids = \"bin-{001..200}\"`");
                Vec::new()
            }
        },
        (None, None) => {
            cx.error(
                at,
                "the device has no id",
                "`id = \"bin-1\"`, or `ids = \"bin-{001..200}\"`",
            );
            Vec::new()
        }
    }
}

/// `bin-{001..200}`: as many digits as the first number has.
fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let parts = pattern.split_once('{').and_then(|(before, rest)| {
        let (range, after) = rest.split_once('}')?;
        let (first, last) = range.split_once("..")?;
        Some((before, first, last, after))
    });
    let Some((before, first, last, after)) = parts else {
        return Err("it has no range like {001..200}".into());
    };
    if after.contains('{') {
        return Err("it has more than one range".into());
    }
    let number = |text: &str| match text.parse::<usize>() {
        Ok(n) if text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(n),
        _ => Err(format!("\"{text}\" is no number of up to nine digits")),
    };
    let (low, high) = (number(first)?, number(last)?);
    if low > high {
        return Err(format!("the range runs backwards, from {first} to {last}"));
    }
    if high - low >= limits::MAX_DEVICES {
        return Err(format!(
            "it makes more than {} devices",
            limits::MAX_DEVICES
        ));
    }
    let width = first.len();
    Ok((low..=high)
        .map(|n| format!("{before}{n:0width$}{after}"))
        .collect())
}

/// All devices of one table.
fn row(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: &RawDevice,
    ids: Vec<String>,
    known: &Known,
    station: &Station,
    links: &Links,
    taken: &mut Taken,
) -> Vec<Arc<Device>> {
    let rules = rules(cx, at, raw, known);
    let height_mm = height(cx, at, raw, known);
    let name = cx.optional_text(at.key("name"), raw.name.as_ref(), &limits::NAME_CHARS);
    let address = cx.optional_text(
        at.key("address"),
        raw.address.as_ref(),
        &limits::ADDRESS_CHARS,
    );
    if let Some(grid) = &raw.unit_grid {
        station::unit_grid(cx, at.key("unit_grid"), grid);
    }
    half_a_place(cx, at, raw.lon, raw.lat);
    let many = raw.ids.is_some();
    let id_key = if many { "ids" } else { "id" };
    let link = if known.profile.payload.is_some() {
        Link::Mqtt(mqtt(cx, at, raw, links))
    } else {
        Link::Modbus(modbus(cx, at, raw, links, ids.len()))
    };
    let mut devices = Vec::with_capacity(ids.len());
    for (n, id) in ids.into_iter().enumerate() {
        cx.unique(&mut taken.ids, at.key(id_key), "device", &id);
        let link = match &link {
            Link::Mqtt(Some((via, topic))) => {
                let topic = topic.replace("{id}", &id);
                let key = format!("{via} {topic}");
                if n > 0 && !raw.topic.as_deref().unwrap_or("{id}").contains("{id}") {
                    if n == 1 {
                        let message = "all of these devices would share one topic";
                        cx.error(at.key("topic"), message, "put `{id}` into it");
                    }
                } else if !via.is_empty() {
                    cx.unique(&mut taken.topics, at.key("topic"), "topic", &key);
                }
                DeviceLink::Mqtt {
                    via: via.clone(),
                    topic,
                }
            }
            Link::Modbus(Some((bus, units, every))) => {
                let unit_id = units.clone().nth(n).unwrap_or_default();
                cx.unique(
                    &mut taken.units,
                    at.key("unit_id"),
                    "unit id on bus",
                    &format!("{bus} {unit_id}"),
                );
                DeviceLink::Modbus {
                    bus: bus.clone(),
                    unit_id,
                    every: *every,
                }
            }
            // Reported; the id counts all the same.
            Link::Mqtt(None) | Link::Modbus(None) => continue,
        };
        devices.push(Arc::new(Device {
            name: name.as_ref().map(|name| name.replace("{id}", &id)),
            id: id.into(),
            profile: known.profile.clone(),
            link,
            height_mm,
            rules: rules.clone(),
            unit_grid: raw.unit_grid.as_ref().unwrap_or(&station.unit_grid).clone(),
            lon: raw.lon.unwrap_or(station.lon),
            lat: raw.lat.unwrap_or(station.lat),
            address: address.clone().or_else(|| station.address.clone()),
            max_rate: raw.max_rate.unwrap_or(MAX_RATE),
        }));
    }
    devices
}

enum Link {
    /// Broker and topic with its `{id}`.
    Mqtt(Option<(Arc<str>, String)>),
    /// Bus, unit ids, how often.
    Modbus(Option<(Arc<str>, RangeInclusive<u8>, Duration)>),
}

fn mqtt(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: &RawDevice,
    links: &Links,
) -> Option<(Arc<str>, String)> {
    let modbus_keys = [
        ("bus", raw.bus.is_some()),
        ("unit_id", raw.unit_id.is_some()),
        ("every", raw.every.is_some()),
    ];
    cx.useless(at, &modbus_keys, "the profile's devices speak MQTT");
    let topic = raw.topic.as_deref().unwrap_or("bins/{id}/up");
    // `{id}` is no wildcard, but its braces are nothing that a topic should have either.
    if let Some(reason) = topic_fault(&topic.replace("{id}", "id")) {
        let message = format!("`topic` is \"{topic}\": {reason}");
        cx.error(at.key("topic"), message, "e.g. `topic = \"bins/{id}/up\"`");
    }
    let via = choose(
        cx,
        at,
        Choice {
            key: "via",
            chosen: raw.via.as_deref(),
            what: "broker",
            table: "a `[[broker]]` or a `[listen]` table",
        },
        links.vias(),
    )?;
    Some((via, topic.to_owned()))
}

fn modbus(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: &RawDevice,
    links: &Links,
    devices: usize,
) -> Option<(Arc<str>, RangeInclusive<u8>, Duration)> {
    let mqtt_keys = [
        ("via", raw.via.is_some()),
        ("topic", raw.topic.is_some()),
        ("max_rate", raw.max_rate.is_some()),
    ];
    cx.useless(at, &mqtt_keys, "the profile's devices speak Modbus");
    let every = cx.duration(at.key("every"), raw.every.as_ref(), EVERY, &limits::EVERY);
    let bus = choose(
        cx,
        at,
        Choice {
            key: "bus",
            chosen: raw.bus.as_deref(),
            what: "bus",
            table: "a `[[bus]]` table",
        },
        links.buses.iter().map(|b| &b.name),
    );
    let waits = links.buses.iter().find(|b| Some(&b.name) == bus.as_ref());
    if let Some(bus) = waits.filter(|b| b.timeout > every) {
        let wait = units::show_duration(bus.timeout);
        let message = format!("one silent unit holds the bus up for {wait}, longer than `every`");
        let help = format!("a shorter `timeout` for bus \"{}\"", bus.name);
        cx.warn(at.key("every"), message, help);
    }
    let units = unit_ids(cx, at, raw.unit_id.as_ref(), devices);
    Some((bus?, units?, every))
}

fn unit_ids(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: Option<&RawUnitId>,
    devices: usize,
) -> Option<RangeInclusive<u8>> {
    let (low, high) = (limits::UNIT_ID.start(), limits::UNIT_ID.end());
    match raw {
        None => {
            if !cx.was_reported(at.key("unit_id")) {
                cx.error(at, "`unit_id` is missing", "for example `unit_id = 1`");
            }
            None
        }
        Some(RawUnitId::One(unit)) if devices <= 1 => Some(*unit..=*unit),
        Some(RawUnitId::One(_)) => {
            let message = format!("{devices} devices cannot share one unit id");
            cx.error(
                at.key("unit_id"),
                message,
                format!("e.g. `unit_id = \"1..{devices}\"`"),
            );
            None
        }
        Some(RawUnitId::Range(text)) => {
            let range = text.split_once("..").and_then(|(a, b)| {
                let (a, b): (u8, u8) = (a.parse().ok()?, b.parse().ok()?);
                (limits::UNIT_ID.contains(&a) && limits::UNIT_ID.contains(&b) && a <= b)
                    .then_some(a..=b)
            });
            let Some(range) = range else {
                let message =
                    format!("`unit_id` is \"{text}\", which is no range from {low} to {high}");
                cx.error(at.key("unit_id"), message, "e.g. `unit_id = \"1..200\"`");
                return None;
            };
            if range.len() != devices {
                let n = range.len();
                let message = format!("{n} unit ids for {devices} devices");
                cx.error(at.key("unit_id"), message, "there must be one for each");
                return None;
            }
            Some(range)
        }
    }
}

struct Choice<'c> {
    key: &'c str,
    chosen: Option<&'c str>,
    what: &'c str,
    table: &'c str,
}

/// The one that is named, or the only one there is.
fn choose<'l>(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    choice: Choice<'_>,
    there: impl Iterator<Item = &'l Arc<str>> + Clone,
) -> Option<Arc<str>> {
    let names = there.clone().map(|n| &**n).filter(|n| !n.is_empty());
    if let Some(name) = choice.chosen {
        let found = there.clone().find(|n| ***n == *name).cloned();
        if found.is_none() {
            cx.unknown(at.key(choice.key), choice.what, name, names, choice.table);
        }
        return found;
    }
    let mut all = there;
    match (all.next(), all.next()) {
        (Some(only), None) => Some(only.clone()),
        (None, _) => {
            let message = format!("there is no {} for this device", choice.what);
            cx.error(at, message, format!("add {}", choice.table));
            None
        }
        (Some(_), Some(_)) => {
            let names: Vec<&str> = names.collect();
            let message = format!("there are several, so `{}` must name one", choice.key);
            cx.error(at, message, format!("one of {}", names.join(", ")));
            None
        }
    }
}

fn height(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawDevice, known: &Known) -> Option<f64> {
    let profile = &known.profile;
    let Some(text) = &raw.height else {
        if profile.needs_height && !cx.was_reported(at.key("height")) {
            let message = format!("profile \"{}\" needs the bin's `height`", profile.name);
            cx.error(
                at,
                message,
                "from the sensor to the floor, for example `height = \"1.2m\"`",
            );
        }
        return None;
    };
    let at = at.key("height");
    let mm = cx.length_mm(at, text, &limits::HEIGHT_MM)?;
    if mm <= profile.full_at_mm {
        let message = format!(
            "a bin {} high would always be full: profile \"{}\" calls it full at {} mm",
            text.0, profile.name, profile.full_at_mm
        );
        cx.error(at, message, "measure from the sensor to the floor");
    }
    Some(mm)
}

/// The profile's rules with this device's changes.
fn rules(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawDevice, known: &Known) -> Vec<Arc<Rule>> {
    if raw.rule.is_empty() {
        return known.profile.rules.clone();
    }
    let list = at.key("rule");
    let mut seen = Seen::new();
    let mut changes = HashMap::new();
    let mut own = Vec::new();
    for (i, change) in raw.rule.iter().enumerate() {
        let at = list.index(i);
        let Some(id) = &change.id else { continue };
        if !cx.unique(&mut seen, at.key("id"), "rule", id) {
            continue;
        }
        if let Some(base) = known.rules.iter().find(|r| r.id.as_ref() == Some(id)) {
            if change.rule_type.is_some_and(|t| Some(t) != base.rule_type) {
                let message = format!("the profile's rule \"{id}\" is of another type");
                cx.error(
                    at.key("type"),
                    message,
                    "give a rule of your own another id",
                );
                continue;
            }
            let merged = rule::merge(base, change);
            changes.insert(
                id.clone(),
                rule::rule(cx, at, &merged, known.quantities.as_deref()),
            );
        } else if change.rule_type.is_none() && change.kind.is_none() {
            let ids = known.rules.iter().filter_map(|r| r.id.as_deref());
            let what = format!("rule in profile \"{}\" named", known.profile.name);
            cx.unknown(
                at.key("id"),
                &what,
                id,
                ids,
                "`kind`, `type` and that type's fields",
            );
        } else {
            own.extend(rule::rule(cx, at, change, known.quantities.as_deref()));
        }
    }
    let kept = known
        .profile
        .rules
        .iter()
        .filter_map(|rule| match changes.remove(&rule.id) {
            Some(changed) => changed.map(Arc::new),
            None => Some(rule.clone()),
        });
    let mut rules: Vec<Arc<Rule>> = kept.collect();
    // A rule that the profile has switched off and this device switches on.
    rules.extend(changes.into_values().flatten().map(Arc::new));
    rules.extend(own.into_iter().map(Arc::new));
    if rules.len() > limits::MAX_RULES {
        let message = format!(
            "{} rules, at most {} are allowed",
            rules.len(),
            limits::MAX_RULES
        );
        cx.error(list, message, "");
    }
    rules
}

/// One coordinate of its own and one of the station's is a place where nothing is.
pub(super) fn half_a_place(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    lon: Option<f64>,
    lat: Option<f64>,
) {
    let (there, missing) = match (lon, lat) {
        (Some(_), None) => ("lon", "lat"),
        (None, Some(_)) => ("lat", "lon"),
        _ => return,
    };
    if !cx.was_reported(at.key(missing)) {
        cx.error(at.key(there), format!("`{there}` without `{missing}`"), "");
    }
}

/// A link that no device uses is a slip more often than a wish.
fn unused_links(cx: &mut Checker<'_, '_>, raw: &RawConfig, links: &Links, devices: &[Arc<Device>]) {
    // A device that was dropped for a fault would make its link look unused.
    let written = raw.device.iter();
    let used = |name: &str| {
        let by_name = written
            .clone()
            .any(|d| d.via.as_deref() == Some(name) || d.bus.as_deref() == Some(name));
        by_name
            || devices.iter().any(|d| match &d.link {
                DeviceLink::Mqtt { via, .. } => &**via == name,
                DeviceLink::Modbus { bus, .. } => &**bus == name,
            })
    };
    let root = At::Root;
    let unused = "no device uses it";
    let list = root.key("broker");
    for (i, broker) in links.brokers.iter().enumerate() {
        if !used(&broker.name) {
            cx.warn(
                list.index(i),
                format!("broker \"{}\": {unused}", broker.name),
                "",
            );
        }
    }
    if let Some(listener) = &links.listener
        && !used(&listener.name)
    {
        cx.warn(root.key("listen"), format!("listener: {unused}"), "");
    }
    let list = root.key("bus");
    for (i, bus) in links.buses.iter().enumerate() {
        if !used(&bus.name) {
            cx.warn(list.index(i), format!("bus \"{}\": {unused}", bus.name), "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_expand_with_their_zeros() {
        assert_eq!(
            expand("bin-{08..11}").expect("a range"),
            ["bin-08", "bin-09", "bin-10", "bin-11"]
        );
        assert_eq!(expand("{9..10}-x").expect("a range"), ["9-x", "10-x"]);
        assert_eq!(expand("a{5..5}").expect("a range"), ["a5"]);
        assert_eq!(
            expand("{00001..10000}").expect("a range").len(),
            limits::MAX_DEVICES
        );
    }

    #[test]
    fn bad_ranges_say_why() {
        for (pattern, reason) in [
            ("bin-1", "no range"),
            ("bin-{1..2", "no range"),
            ("bin-{1-2}", "no range"),
            ("bin-{a..b}", "no number"),
            ("bin-{+1..2}", "no number"),
            ("bin-{..2}", "no number"),
            ("bin-{2..1}", "backwards"),
            ("{1..2}{1..2}", "more than one"),
            ("{0..10000}", "more than 10000"),
            ("{0..999999999}", "more than 10000"),
            ("{0..99999999999999999999}", "no number"),
        ] {
            let error = expand(pattern).expect_err(pattern);
            assert!(error.contains(reason), "{pattern}: {error}");
        }
    }
}
