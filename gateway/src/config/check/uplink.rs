//! Uplinks: where to, with which words, and whether there is anything to send.

use std::sync::Arc;

use url::Url;
use wangge_protocol::Tier;

use super::{
    At, Checker, Seen,
    line::{self, Local},
    link::{self, Keys},
    topic_fault,
};
use crate::{
    calendar::Window,
    config::{
        Border, Profile, PushTarget, Station, Stream, Tls, Uplink, UplinkLink,
        raw::{RawBorder, RawConfig, RawTier, RawTiers, RawUplink, RawUplinkType},
    },
    push::Home,
};

pub(super) fn uplinks(
    cx: &mut Checker<'_, '_>,
    raw: &RawConfig,
    local: Local<'_>,
    streams: &[Stream],
    profile: Option<&Arc<Profile>>,
) -> Vec<Uplink> {
    let root = At::Root;
    let list = root.key("uplink");
    let mut seen = Seen::new();
    let mut uplinks = Vec::new();
    for (i, raw) in raw.uplink.iter().enumerate() {
        let at = list.index(i);
        if let Some(name) = &raw.name {
            cx.unique(&mut seen, at.key("name"), "uplink", name);
        }
        uplinks.extend(uplink(cx, at, raw, (local, profile), streams));
    }
    unserved(cx, list, &uplinks);
    let tiered = uplinks.iter().any(|u| u.alerts && !u.tiers.is_empty());
    let hours = profile.map(|profile| &profile.working.hours);
    if tiered
        && hours.is_some_and(|hours| hours.iter().any(Window::needs_table))
        && local.days.valid_until.is_none()
    {
        let message = "deadlines go by working days, and there is no table of holidays";
        let help = "add `[calendar]` with `holidays`, `workdays` and `valid_until`";
        cx.warn(list, message, help);
    }
    if raw.uplink.is_empty() {
        if !cx.was_reported(list) {
            let help = "add an `[[uplink]]`; `wangge config sample` shows one";
            cx.warn(list, "there is no `[[uplink]]`: alerts go nowhere", help);
        }
    } else if !raw.uplink.iter().any(|u| u.alerts.unwrap_or(true)) {
        cx.warn(
            list,
            "no uplink carries alerts",
            "set `alerts = true` on one of them",
        );
    }
    uplinks
}

fn uplink(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: &RawUplink,
    (local, profile): (Local<'_>, Option<&Arc<Profile>>),
    streams: &[Stream],
) -> Option<Uplink> {
    let station = local.station;
    let name = cx.id(at.key("name"), raw.name.as_ref());
    let carried = carried(cx, at, raw, streams);
    let alerts = raw.alerts.unwrap_or(true);
    if !alerts && raw.streams.is_empty() && !cx.was_reported(at.key("streams")) {
        let message = "the uplink has nothing to send";
        cx.error(
            at.key("alerts"),
            message,
            "give it `streams = […]`, or leave `alerts` out",
        );
    }
    let border = match raw.border {
        None | Some(RawBorder::Receipt) => Border::Receipt,
        Some(RawBorder::Broker) => Border::Broker,
    };
    let line = line::line(cx, at, raw, local, border == Border::Broker);
    let push = raw.kind == Some(RawUplinkType::Push);
    let schemes: &[&str] = match push {
        true => &["https", "http"],
        false => &["mqtts", "mqtt", "https", "http"],
    };
    let url = link::url(cx, at.key("url"), raw.url.as_deref(), schemes);
    let keys = Keys {
        username: raw.username.as_ref(),
        password: raw.password.as_ref(),
        password_file: raw.password_file.as_ref(),
        ca_file: raw.ca_file.as_ref(),
        client_cert: raw.client_cert.as_ref(),
        client_key: raw.client_key.as_ref(),
        client_id: raw.client_id.as_ref(),
    };
    if !push {
        let of_push = [
            ("profile", raw.profile.is_some()),
            ("profile_file", raw.profile_file.is_some()),
        ];
        cx.useless(at, &of_push, "it is for `type = \"push\"`");
    }
    let url = url?;
    if matches!(url.scheme(), "mqtt" | "http") && !link::is_loopback(&url) {
        let message = "alerts and pictures cross the network in clear";
        cx.warn(
            at.key("url"),
            message,
            format!("use `{}s://` if the platform can", url.scheme()),
        );
    }
    let link = if push {
        case_platform(cx, at, raw, (url, keys), station, profile)?
    } else if url.scheme().starts_with("mqtt") {
        cx.useless(
            at,
            &[("token_file", raw.token_file.is_some())],
            "MQTT takes a password",
        );
        let addr = link::broker_addr(
            cx,
            at,
            Some(&url),
            keys,
            &format!("wangge-{}-{name}", station.id),
        );
        let prefix = raw.topic_prefix.clone();
        let prefix = prefix.unwrap_or_else(|| format!("wangge/v1/{}", station.id));
        if let Some(reason) = topic_fault(&prefix) {
            let message = format!("`topic_prefix` is \"{prefix}\": {reason}");
            cx.error(
                at.key("topic_prefix"),
                message,
                "e.g. \"wangge/v1/STATION\"",
            );
        }
        UplinkLink::Mqtt { addr, prefix }
    } else {
        https(cx, at, raw, url, keys)
    };
    Some(Uplink {
        name,
        link,
        border,
        alerts,
        // A case platform answers in its own way.
        verdicts: !push && raw.verdicts.unwrap_or(alerts),
        tiers: tiers(cx, at, raw, alerts),
        streams: carried,
        line,
    })
}

/// A platform's own case interface, reached as its profile says.
fn case_platform(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: &RawUplink,
    (url, keys): (Url, Keys<'_>),
    station: &Station,
    profile: Option<&Arc<Profile>>,
) -> Option<UplinkLink> {
    let not_here = [
        ("topic_prefix", raw.topic_prefix.is_some()),
        ("client_id", raw.client_id.is_some()),
        ("border", raw.border.is_some()),
        ("token_file", raw.token_file.is_some()),
        ("streams", !raw.streams.is_empty()),
    ];
    cx.useless(
        at,
        &not_here,
        "a case interface takes alerts only, as its profile says",
    );
    let named = (raw.profile.as_deref(), raw.profile_file.as_deref());
    let profile = match named {
        (None, None) => profile.cloned()?,
        named => Arc::new(super::station::profile(
            cx,
            at,
            named,
            ["profile", "profile_file"],
        )?),
    };
    let Some(push) = profile.push.clone() else {
        let message = format!("the platform profile {} has no [push]", profile.id);
        let help = "name one that has: `profile = \"eurbanmis\"`, \"yudao\", or `profile_file`";
        cx.error(at.key("type"), message, help);
        return None;
    };
    let credentials = link::credentials(cx, at, keys);
    if push.login.is_some() && credentials.is_none() {
        let message = "the profile logs in, and there is no `username`";
        cx.error(
            at.key("username"),
            message,
            "add `username` and `password_file`",
        );
    }
    if push.login.is_none() && credentials.is_some() {
        cx.useless(at, &[("username", true)], "the profile does not log in");
    }
    Some(UplinkLink::Push(Box::new(PushTarget {
        tls: tls(cx, at, raw, &url, keys),
        url,
        credentials,
        push,
        profile,
        home: Home {
            station: station.id.to_string(),
            station_name: station.name.clone(),
            time_zone: station
                .time_zone
                .iana_name()
                .unwrap_or("Asia/Shanghai")
                .to_owned(),
        },
    })))
}

/// Who is at the other end.
fn tiers(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawUplink, alerts: bool) -> Vec<Tier> {
    let at = at.key("tier");
    let written: &[RawTier] = match &raw.tier {
        None => return Vec::new(),
        Some(RawTiers::One(one)) => std::slice::from_ref(one),
        Some(RawTiers::Many(many)) => many,
    };
    if !alerts {
        let message = "`tier` does nothing here: the uplink carries no alerts";
        cx.error(at, message, "remove it");
    }
    if written.is_empty() {
        let message = "`tier` is empty, so the uplink would get no alert";
        cx.error(at, message, "leave it out for the alerts of all tiers");
    }
    let mut tiers: Vec<Tier> = written
        .iter()
        .map(|tier| match tier {
            RawTier::Community => Tier::Community,
            RawTier::Street => Tier::Street,
            RawTier::City => Tier::City,
        })
        .collect();
    tiers.sort_unstable();
    tiers.dedup();
    tiers
}

/// Tiers that nobody serves, at a station that has tiers.
fn unserved(cx: &mut Checker<'_, '_>, list: At<'_>, uplinks: &[Uplink]) {
    let with_alerts = || uplinks.iter().filter(|u| u.alerts);
    let tiered = with_alerts().any(|u| !u.tiers.is_empty());
    if !tiered || with_alerts().any(|u| u.tiers.is_empty()) {
        return;
    }
    let served = |tier| with_alerts().any(|u| u.tiers.contains(&tier));
    for (tier, other) in [(Tier::Street, Tier::City), (Tier::City, Tier::Street)] {
        if !served(tier) {
            let message = if served(other) {
                format!(
                    "no uplink has tier \"{}\": its alerts go to \"{}\"",
                    tier.slug(),
                    other.slug()
                )
            } else {
                format!(
                    "no uplink has tier \"{}\": its alerts stay here",
                    tier.slug()
                )
            };
            cx.warn(
                list,
                message,
                "give an uplink both: `tier = [\"street\", \"city\"]`",
            );
        }
    }
}

fn https(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: &RawUplink,
    url: Url,
    keys: Keys<'_>,
) -> UplinkLink {
    let of_mqtt = [
        ("topic_prefix", raw.topic_prefix.is_some()),
        ("username", raw.username.is_some()),
        ("password", raw.password.is_some()),
        ("password_file", raw.password_file.is_some()),
        ("client_id", raw.client_id.is_some()),
        ("border", matches!(raw.border, Some(RawBorder::Broker))),
    ];
    cx.useless(at, &of_mqtt, "it is for MQTT; HTTPS takes a `token_file`");
    let tls = tls(cx, at, raw, &url, keys);
    if url.query().is_some() || url.fragment().is_some() {
        let message = "the receiver's address has a `?` or `#` part";
        cx.error(
            at.key("url"),
            message,
            "`/events` and `/evidence/…` are put behind it",
        );
    }
    let token = raw.token_file.as_ref();
    let token = token.map(|file| cx.secret(at.key("token_file"), file));
    UplinkLink::Https { url, tls, token }
}

fn tls(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawUplink, url: &Url, keys: Keys<'_>) -> Tls {
    if url.scheme() == "https" {
        return link::tls(cx, at, keys);
    }
    let of_tls = [
        ("ca_file", raw.ca_file.is_some()),
        ("client_cert", raw.client_cert.is_some()),
        ("client_key", raw.client_key.is_some()),
    ];
    cx.useless(at, &of_tls, "the url is not `https://`");
    Tls {
        ca_file: None,
        client: None,
    }
}

fn carried(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: &RawUplink,
    streams: &[Stream],
) -> Vec<Arc<str>> {
    let list = at.key("streams");
    let mut seen = Seen::new();
    let mut carried = Vec::new();
    for (i, name) in raw.streams.iter().enumerate() {
        let at = list.index(i);
        cx.unique(&mut seen, at, "stream", name);
        match streams.iter().find(|s| *s.name == **name) {
            Some(stream) => carried.push(stream.name.clone()),
            None => {
                let known = streams.iter().map(|s| &*s.name);
                cx.unknown(at, "stream", name, known, "a `[[stream]]` table");
            }
        }
    }
    carried
}
