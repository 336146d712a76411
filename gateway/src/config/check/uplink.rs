//! Uplinks: where to, with which words, and whether there is anything to send.

use std::sync::Arc;

use super::{
    At, Checker, Seen,
    line::{self, Local},
    link::{self, Keys},
    topic_fault,
};
use crate::config::{
    Border, Stream, Tls, Uplink, UplinkLink,
    raw::{RawBorder, RawConfig, RawUplink},
};

pub(super) fn uplinks(
    cx: &mut Checker<'_, '_>,
    raw: &RawConfig,
    local: Local<'_>,
    streams: &[Stream],
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
        uplinks.extend(uplink(cx, at, raw, local, streams));
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
    local: Local<'_>,
    streams: &[Stream],
) -> Option<Uplink> {
    let station = &local.station.id;
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
    let schemes = ["mqtts", "mqtt", "https", "http"];
    let url = link::url(cx, at.key("url"), raw.url.as_deref(), &schemes);
    let keys = Keys {
        username: raw.username.as_ref(),
        password: raw.password.as_ref(),
        password_file: raw.password_file.as_ref(),
        ca_file: raw.ca_file.as_ref(),
        client_cert: raw.client_cert.as_ref(),
        client_key: raw.client_key.as_ref(),
        client_id: raw.client_id.as_ref(),
    };
    let url = url?;
    if matches!(url.scheme(), "mqtt" | "http") && !link::is_loopback(&url) {
        let message = "alerts and pictures cross the network in clear";
        cx.warn(
            at.key("url"),
            message,
            format!("use `{}s://` if the platform can", url.scheme()),
        );
    }
    let link = if url.scheme().starts_with("mqtt") {
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
            &format!("wangge-{station}-{name}"),
        );
        let prefix = raw.topic_prefix.clone();
        let prefix = prefix.unwrap_or_else(|| format!("wangge/v1/{station}"));
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
        verdicts: raw.verdicts.unwrap_or(alerts),
        streams: carried,
        line,
    })
}

fn https(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: &RawUplink,
    url: url::Url,
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
    let tls = if url.scheme() == "https" {
        link::tls(cx, at, keys)
    } else {
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
    };
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
