//! Brokers, the embedded listener, buses, and the TLS and credentials of every connection.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use url::{Host, Url};

use super::{At, Checker, Seen, limits, station};
use crate::config::{
    Broker, BrokerAddr, Bus, BusLink, Camera, CameraInput, Credentials, Device, DeviceLink,
    Listener, Parity, Tls,
    raw::{RawBroker, RawBus, RawConfig, RawParity},
};

/// Default of [`limits::MAX_PAYLOAD`].
const PAYLOAD: u64 = 64_000;

/// Everything that devices hang on.
pub(super) struct Links {
    pub(super) brokers: Vec<Broker>,
    /// Without its passwords, which need the devices.
    pub(super) listener: Option<Listener>,
    pub(super) buses: Vec<Bus>,
}

impl Links {
    pub(super) fn vias(&self) -> impl Iterator<Item = &Arc<str>> + Clone {
        let brokers = self.brokers.iter().map(|b| &b.name);
        brokers.chain(self.listener.iter().map(|l| &l.name))
    }
}

pub(super) fn links(cx: &mut Checker<'_, '_>, raw: &RawConfig, station: &str) -> Links {
    let root = At::Root;
    let mut names = Seen::new();
    let list = root.key("broker");
    let mut brokers = Vec::new();
    for (i, raw) in raw.broker.iter().enumerate() {
        let at = list.index(i);
        let broker = broker(cx, at, raw, station);
        cx.unique(&mut names, at.key("name"), "broker", &broker.name);
        brokers.push(broker);
    }
    let listener = listener(cx, raw, &mut names);
    let list = root.key("bus");
    let mut names = Seen::new();
    let mut buses = Vec::new();
    for (i, raw) in raw.bus.iter().enumerate() {
        let at = list.index(i);
        let bus = bus(cx, at, raw);
        cx.unique(&mut names, at.key("name"), "bus", &bus.name);
        buses.push(bus);
    }
    shared_links(cx, &buses);
    Links {
        brokers,
        listener,
        buses,
    }
}

fn broker(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawBroker, station: &str) -> Broker {
    let name = cx.id(at.key("name"), raw.name.as_ref());
    let url = url(cx, at.key("url"), raw.url.as_deref(), &["mqtt", "mqtts"]);
    let addr = broker_addr(
        cx,
        at,
        url.as_ref(),
        Keys {
            username: raw.username.as_ref(),
            password: raw.password.as_ref(),
            password_file: raw.password_file.as_ref(),
            ca_file: raw.ca_file.as_ref(),
            client_cert: raw.client_cert.as_ref(),
            client_key: raw.client_key.as_ref(),
            client_id: raw.client_id.as_ref(),
        },
        &format!("wangge-{station}-{name}"),
    );
    Broker {
        name,
        addr,
        max_payload: cx.size(
            at.key("max_payload"),
            raw.max_payload.as_ref(),
            PAYLOAD,
            &limits::MAX_PAYLOAD,
        ) as usize,
    }
}

/// The keys that brokers and uplinks share.
#[derive(Clone, Copy, Default)]
pub(super) struct Keys<'r> {
    pub(super) username: Option<&'r String>,
    pub(super) password: Option<&'r String>,
    pub(super) password_file: Option<&'r String>,
    pub(super) ca_file: Option<&'r String>,
    pub(super) client_cert: Option<&'r String>,
    pub(super) client_key: Option<&'r String>,
    pub(super) client_id: Option<&'r String>,
}

pub(super) fn broker_addr(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    url: Option<&Url>,
    keys: Keys<'_>,
    default_client_id: &str,
) -> BrokerAddr {
    let secure = url.is_some_and(|u| u.scheme() == "mqtts");
    if let Some(url) = url
        && !matches!(url.path(), "" | "/")
    {
        let path = url.path();
        cx.error(
            at.key("url"),
            format!("an MQTT broker has no path `{path}`"),
            "remove it",
        );
    }
    let tls = secure.then(|| tls(cx, at, keys));
    if !secure && url.is_some() {
        let given = [
            ("ca_file", keys.ca_file.is_some()),
            ("client_cert", keys.client_cert.is_some()),
            ("client_key", keys.client_key.is_some()),
        ];
        cx.useless(at, &given, "the url is not `mqtts://`");
    }
    let credentials = credentials(cx, at, keys);
    if let Some(url) = url
        && !secure
        && credentials.is_some()
        && !is_loopback(url)
    {
        let message = "the password crosses the network in clear";
        cx.warn(at.key("url"), message, "use `mqtts://` if the broker can");
    }
    let client_id = keys.client_id.map_or(default_client_id, String::as_str);
    if client_id.is_empty() || client_id.len() > 128 || client_id.contains(char::is_control) {
        cx.error(at.key("client_id"), "a client id has 1 to 128 bytes", "");
    }
    BrokerAddr {
        host: url.map(host).unwrap_or_default(),
        port: url
            .and_then(Url::port)
            .unwrap_or(if secure { 8883 } else { 1883 }),
        tls,
        credentials,
        client_id: client_id.to_owned(),
    }
}

/// Host without the brackets of an IPv6 address.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned()
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        // Schemes that the URL standard does not know keep their host as text.
        Some(Host::Domain(name)) => {
            name == "localhost"
                || name
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|ip| ip.is_loopback())
        }
        None => false,
    }
}

/// A URL with one of the schemes, a host, and no password in it.
pub(super) fn url(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    text: Option<&str>,
    schemes: &[&str],
) -> Option<Url> {
    let text = text?;
    let starts: Vec<String> = schemes.iter().map(|s| format!("{s}://")).collect();
    let url = match Url::parse(text) {
        Ok(url) if schemes.contains(&url.scheme()) && text.contains("://") => url,
        Ok(_) | Err(url::ParseError::RelativeUrlWithoutBase) => {
            let message = format!(
                "`{}` must start with {}",
                at.last_key(),
                starts.join(" or ")
            );
            let first = schemes.first().copied().unwrap_or_default();
            let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
            // Whatever stands before an `@` may be a password.
            let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
            cx.error(at, message, format!("perhaps \"{first}://{rest}\""));
            return None;
        }
        Err(error) => {
            cx.error(at, format!("`{}` is no URL: {error}", at.last_key()), "");
            return None;
        }
    };
    if url.host_str().is_none_or(str::is_empty) {
        cx.error(at, format!("`{}` names no host", at.last_key()), "");
        return None;
    }
    if url.port() == Some(0) {
        cx.error(at, "there is no port 0", "");
    }
    if !url.username().is_empty() || url.password().is_some() {
        let help = "logs show URLs: put them into `username` and `password_file`";
        cx.error(at, "user name and password stand in the URL", help);
    }
    Some(url)
}

pub(super) fn credentials(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    keys: Keys<'_>,
) -> Option<Credentials> {
    let password = match (keys.password, keys.password_file) {
        (Some(_), Some(_)) => {
            let message = "there are both `password` and `password_file`";
            cx.error(at.key("password"), message, "keep `password_file`");
            Some(String::new())
        }
        (Some(password), None) => {
            let message = "whoever may read this file may read the password";
            cx.warn(
                at.key("password"),
                message,
                "move it into a `password_file`",
            );
            Some(password.clone())
        }
        (None, Some(file)) => Some(cx.secret(at.key("password_file"), file)),
        (None, None) => None,
    };
    match (keys.username, password) {
        (Some(username), Some(password)) => Some(Credentials {
            username: username.clone(),
            password,
        }),
        (Some(_), None) => {
            let message = "`username` without a password";
            cx.error(at.key("username"), message, "add `password_file = \"…\"`");
            None
        }
        (None, Some(_)) => {
            let key = keys.password.map_or("password_file", |_| "password");
            cx.error(
                at.key(key),
                "a password without `username`",
                "add `username = \"…\"`",
            );
            None
        }
        (None, None) => None,
    }
}

/// Reads the PEM files, so that a broken one is known before the first connection.
pub(super) fn tls(cx: &mut Checker<'_, '_>, at: At<'_>, keys: Keys<'_>) -> Tls {
    for (key, file) in [("ca_file", keys.ca_file), ("client_cert", keys.client_cert)] {
        let Some(file) = file else { continue };
        let at = at.key(key);
        let Some(pem) = cx.read(at, file, limits::FILE_BYTES) else {
            continue;
        };
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let reason = match certificates {
            Ok(some) if !some.is_empty() => continue,
            Ok(_) => "it holds no `-----BEGIN CERTIFICATE-----`".to_owned(),
            Err(error) => error.to_string(),
        };
        cx.error(
            at,
            format!("`{key}` {file} is no PEM certificate: {reason}"),
            "",
        );
    }
    if let Some(file) = keys.client_key {
        let at = at.key("client_key");
        if let Some(pem) = cx.read(at, file, limits::FILE_BYTES) {
            cx.private(at, file);
            if let Err(error) = PrivateKeyDer::from_pem_slice(&pem) {
                let help = "an unencrypted PKCS#8, PKCS#1 or SEC1 key in PEM";
                cx.error(
                    at,
                    format!("`client_key` {file} is unreadable: {error}"),
                    help,
                );
            }
        }
    }
    match (keys.client_cert, keys.client_key) {
        (Some(_), None) => cx.error(
            at.key("client_cert"),
            "`client_cert` without `client_key`",
            "a certificate and its key go together",
        ),
        (None, Some(_)) => cx.error(
            at.key("client_key"),
            "`client_key` without `client_cert`",
            "a certificate and its key go together",
        ),
        _ => {}
    }
    Tls {
        ca_file: keys.ca_file.map(|f| cx.path(f)),
        client: keys
            .client_cert
            .zip(keys.client_key)
            .map(|(cert, key)| (cx.path(cert), cx.path(key))),
    }
}

fn listener(cx: &mut Checker<'_, '_>, raw: &RawConfig, names: &mut Seen) -> Option<Listener> {
    let raw = raw.listen.as_ref()?;
    let root = At::Root;
    let at = root.key("listen");
    let name = match &raw.name {
        Some(_) => cx.id(at.key("name"), raw.name.as_ref()),
        None => "listen".into(),
    };
    cx.unique(names, at.key("name"), "broker", &name);
    let listen = station::socket(cx, at.key("address"), raw.address.as_deref()?)?;
    if !listen.ip().is_loopback() && raw.password_file.is_none() {
        let message = format!("anyone who reaches {listen} could speak for a device");
        let help = "add `password_file = \"…\"` with a line `DEVICE-ID:PASSWORD` a device";
        cx.error(at.key("address"), message, help);
    }
    Some(Listener {
        name,
        listen,
        passwords: BTreeMap::new(),
        max_payload: cx.size(
            at.key("max_payload"),
            raw.max_payload.as_ref(),
            PAYLOAD,
            &limits::MAX_PAYLOAD,
        ) as usize,
        max_connections: raw.max_connections.unwrap_or(1_000),
    })
}

/// The listener with its passwords: each of its devices needs one.
pub(super) fn listener_passwords(
    cx: &mut Checker<'_, '_>,
    raw: &RawConfig,
    listener: Option<Listener>,
    devices: &[Arc<Device>],
    cameras: &[Arc<Camera>],
) -> Option<Listener> {
    let mut listener = listener?;
    let Some(file) = raw.listen.as_ref().and_then(|l| l.password_file.as_ref()) else {
        return Some(listener);
    };
    let root = At::Root;
    let table = root.key("listen");
    let at = table.key("password_file");
    let text = cx.read_text(at, file, limits::PASSWORDS_BYTES)?;
    cx.private(at, file);
    let shown = cx.path(file);
    let shown = shown.display();
    for (n, line) in text.lines().enumerate() {
        let n = n + 1;
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once(':') {
            Some((id, password)) if !id.is_empty() && !password.is_empty() => {
                let before = listener.passwords.insert(id.into(), password.into());
                if before.is_some() {
                    cx.error(
                        at,
                        format!("{shown} line {n}: a second password for {id}"),
                        "",
                    );
                }
            }
            // The line may be a password: it is not shown.
            _ => cx.error(
                at,
                format!("{shown} line {n} is not `DEVICE-ID:PASSWORD`"),
                "",
            ),
        }
    }
    let mut ours: HashSet<&str> = devices
        .iter()
        .filter(|d| matches!(&d.link, DeviceLink::Mqtt { via, .. } if *via == listener.name))
        .map(|d| &*d.id)
        .collect();
    ours.extend(
        cameras
            .iter()
            .filter(|c| matches!(&c.input, CameraInput::Mqtt { via, .. } if *via == listener.name))
            .map(|c| &*c.id),
    );
    let mut without: Vec<&str> = ours
        .iter()
        .copied()
        .filter(|id| !listener.passwords.contains_key(*id))
        .collect();
    without.sort_unstable();
    if let Some(first) = without.first() {
        let n = without.len();
        let message = format!("{n} of the listener's devices have no password, {first} for one");
        cx.error(
            at,
            message,
            format!("add lines `DEVICE-ID:PASSWORD` to {shown}"),
        );
    }
    let strangers = listener
        .passwords
        .keys()
        .filter(|id| !ours.contains(id.as_str()));
    if let Some(stranger) = strangers.min() {
        let message =
            format!("{shown} has a password for {stranger}, which is none of our devices");
        cx.warn(at, message, "");
    }
    Some(listener)
}

fn bus(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawBus) -> Bus {
    let name = cx.id(at.key("name"), raw.name.as_ref());
    let serial_keys = [
        ("baud", raw.baud.is_some()),
        ("parity", raw.parity.is_some()),
        ("stop_bits", raw.stop_bits.is_some()),
    ];
    let nowhere = BusLink::Tcp {
        host: String::new(),
        port: 0,
    };
    let link = match (&raw.tcp, &raw.serial) {
        (Some(tcp), None) => {
            cx.useless(at, &serial_keys, "the bus is TCP");
            tcp_link(cx, at.key("tcp"), tcp).unwrap_or(nowhere)
        }
        (None, Some(serial)) => {
            if serial.is_empty() {
                cx.error(
                    at.key("serial"),
                    "`serial` names no device",
                    "e.g. \"/dev/ttyUSB0\"",
                );
            }
            BusLink::Rtu {
                path: cx.path(serial),
                baud: raw.baud.unwrap_or(9_600),
                parity: match raw.parity {
                    None | Some(RawParity::None) => Parity::None,
                    Some(RawParity::Even) => Parity::Even,
                    Some(RawParity::Odd) => Parity::Odd,
                },
                stop_bits: raw.stop_bits.unwrap_or(1),
            }
        }
        (both, _) => {
            let message = match both {
                Some(_) => "the bus has both `tcp` and `serial`",
                None => "the bus has neither `tcp` nor `serial`",
            };
            let help = "`tcp = \"192.168.1.5:502\"` or `serial = \"/dev/ttyUSB0\"`";
            cx.error(at, message, help);
            nowhere
        }
    };
    Bus {
        name,
        link,
        timeout: cx.duration(
            at.key("timeout"),
            raw.timeout.as_ref(),
            Duration::from_millis(500),
            &limits::BUS_TIMEOUT,
        ),
    }
}

fn tcp_link(cx: &mut Checker<'_, '_>, at: At<'_>, text: &str) -> Option<BusLink> {
    // A scheme that the URL standard does not know, so that no default port is cut off.
    let url = match Url::parse(&format!("modbus://{text}")) {
        Ok(url) if url.host_str().is_some_and(|h| !h.is_empty()) && url.path().is_empty() => url,
        _ => {
            let message = format!("`tcp` is \"{text}\", which is no host and port");
            cx.error(at, message, "e.g. \"192.168.1.5:502\"");
            return None;
        }
    };
    if url.port() == Some(0) {
        cx.error(at, "there is no port 0", "Modbus TCP is port 502");
    }
    Some(BusLink::Tcp {
        host: host(&url),
        port: url.port().unwrap_or(502),
    })
}

/// Two tasks on one serial line would talk into each other's replies.
fn shared_links(cx: &mut Checker<'_, '_>, buses: &[Bus]) {
    let root = At::Root;
    let list = root.key("bus");
    let mut seen = Seen::new();
    for (i, bus) in buses.iter().enumerate() {
        if let BusLink::Rtu { path, .. } = &bus.link {
            let at = list.index(i);
            let path = path.display().to_string();
            cx.unique(&mut seen, at.key("serial"), "serial line", &path);
        }
    }
}
