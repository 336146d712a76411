//! Streams of readings.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{At, Checker, Seen, limits, profile};
use crate::config::{
    Device, Stream,
    raw::{RawConfig, RawStream},
};

pub(super) fn streams(
    cx: &mut Checker<'_, '_>,
    raw: &RawConfig,
    devices: &[Arc<Device>],
) -> Vec<Stream> {
    let root = At::Root;
    let list = root.key("stream");
    let mut seen = Seen::new();
    let mut streams = Vec::new();
    for (i, raw_stream) in raw.stream.iter().enumerate() {
        let at = list.index(i);
        let stream = stream(cx, at, raw_stream, devices, &raw.device);
        cx.unique(&mut seen, at.key("name"), "stream", &stream.name);
        if &*stream.name == "alerts" {
            let message = "\"alerts\" is the name of the alerts' own account";
            cx.error(at.key("name"), message, "choose another");
        }
        let carried = raw
            .uplink
            .iter()
            .any(|u| u.streams.iter().any(|s| **s == *stream.name));
        if !carried && !stream.name.is_empty() {
            let message = format!("no uplink carries stream \"{}\"", stream.name);
            let help = format!("add `streams = [\"{}\"]` to an `[[uplink]]`", stream.name);
            cx.warn(at, message, help);
        }
        streams.push(stream);
    }
    streams
}

fn stream(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: &RawStream,
    devices: &[Arc<Device>],
    written: &[crate::config::raw::RawDevice],
) -> Stream {
    let name = cx.id(at.key("name"), raw.name.as_ref());
    let list = at.key("devices");
    let mut seen = Seen::new();
    let mut chosen: BTreeSet<Arc<str>> = BTreeSet::new();
    for (i, pattern) in raw.devices.iter().enumerate() {
        let at = list.index(i);
        cx.unique(&mut seen, at, "entry", pattern);
        let before = chosen.len();
        let matching = devices.iter().filter(|d| matches(pattern, &d.id));
        let mut any = false;
        for device in matching {
            any = true;
            chosen.insert(device.id.clone());
        }
        // A device that was dropped for another fault is there all the same.
        any |= chosen.len() > before || written.iter().any(|d| d.id.as_deref() == Some(pattern));
        if !any && devices.len() >= written.len() {
            let ids = devices.iter().map(|d| &*d.id);
            if pattern.contains('*') {
                cx.error(at, format!("no device's id fits \"{pattern}\""), "");
            } else {
                cx.unknown(at, "device", pattern, ids, "a `[[device]]` table");
            }
        }
    }
    let list = at.key("fields");
    let mut seen = Seen::new();
    for (i, field) in raw.fields.iter().enumerate() {
        let at = list.index(i);
        profile::pointer(cx, at, field);
        cx.unique(&mut seen, at, "field", field);
    }
    Stream {
        name,
        devices: chosen.into_iter().collect(),
        thin: cx.duration(
            at.key("thin"),
            raw.thin.as_ref(),
            Duration::ZERO,
            &limits::THIN,
        ),
        batch: raw.batch.unwrap_or(true),
        fields: raw.fields.clone(),
    }
}

/// `*` stands for any text, also none.
fn matches(pattern: &str, id: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == id;
    };
    let Some(mut id) = id.strip_prefix(start) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let end = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match id.split_once(piece) {
            Some((_, after)) => id = after,
            None => return false,
        }
    }
    id.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, id, expected) in [
            ("bin-1", "bin-1", true),
            ("bin-1", "bin-10", false),
            ("*", "anything", true),
            ("bin-*", "bin-", true),
            ("bin-*", "meter-1", false),
            ("*-1", "bin-1", true),
            ("*-1", "bin-11", false),
            ("b*-*1", "bin-01", true),
            ("a*a", "a", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("**", "x", true),
        ] {
            assert_eq!(matches(pattern, id), expected, "{pattern} {id}");
        }
    }
}
