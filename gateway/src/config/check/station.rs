//! The tables that a station has one of.

use std::{net::SocketAddr, path::Path, time::Duration};

use jiff::tz::TimeZone;

use super::{At, Checker, limits, suggest};
use crate::{
    config::platform as profile,
    config::{
        Listener, Profile, Quota, Retention, Station, Storage,
        raw::{RawConsole, RawPlatform, RawStation, RawStop, RawStorage, SizeText},
        units::show_size,
    },
};

/// Province-level codes of GB/T 2260, the first two digits of every division.
const PROVINCES: &[u8] = &[
    11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46, 50, 51, 52,
    53, 54, 61, 62, 63, 64, 65, 71, 81, 82,
];

pub(super) fn station(cx: &mut Checker<'_, '_>, raw: Option<&RawStation>) -> Station {
    let nothing = RawStation::default();
    let raw = raw.unwrap_or(&nothing);
    let root = At::Root;
    let at = root.key("station");
    let id = cx.id(at.key("id"), raw.id.as_ref());
    let name = cx.optional_text(at.key("name"), raw.name.as_ref(), &limits::NAME_CHARS);
    let grid = raw.unit_grid.clone().unwrap_or_default();
    if raw.unit_grid.is_some() {
        unit_grid(cx, at.key("unit_grid"), &grid);
    }
    let zone = raw.time_zone.as_deref().unwrap_or("Asia/Shanghai");
    let time_zone = TimeZone::get(zone).unwrap_or_else(|_| {
        let known: Vec<String> = jiff::tz::db().available().map(|n| n.to_string()).collect();
        let help = match suggest::nearest(zone, known.iter().map(String::as_str)) {
            Some(nearest) => format!("did you mean \"{nearest}\"?"),
            None => "an IANA name, e.g. \"Asia/Shanghai\"".to_owned(),
        };
        let message = format!("there is no time zone \"{zone}\"");
        cx.error(at.key("time_zone"), message, help);
        TimeZone::UTC
    });
    Station {
        name: name.unwrap_or_else(|| id.to_string()),
        id,
        unit_grid: grid,
        lon: raw.lon.unwrap_or_default(),
        lat: raw.lat.unwrap_or_default(),
        address: cx.optional_text(
            at.key("address"),
            raw.address.as_ref(),
            &limits::ADDRESS_CHARS,
        ),
        time_zone,
    }
}

/// 单元网格: 15 digits that begin with a division that exists.
pub(super) fn unit_grid(cx: &mut Checker<'_, '_>, at: At<'_>, grid: &str) {
    const HELP: &str = "15 digits: 6 division, 3 street, 3 community, 3 sequence, e.g. \
                        \"530102001001001\"";
    let digits = grid.len();
    if !grid.bytes().all(|b| b.is_ascii_digit()) {
        cx.error(at, "the unit grid code must be digits only", HELP);
    } else if digits != limits::UNIT_GRID_DIGITS {
        let message = format!("the unit grid code has {digits} digits, it must have 15");
        cx.error(at, message, HELP);
    } else {
        let province = grid.get(..2).and_then(|d| d.parse().ok()).unwrap_or(0u8);
        if !PROVINCES.contains(&province) {
            let message = format!("no division starts with {province:02} (GB/T 2260)");
            cx.error(at, message, HELP);
        } else if grid.get(2..4) == Some("00") {
            let message = "the division names a province; a unit grid lies in a county or district";
            cx.error(at, message, HELP);
        }
    }
}

pub(super) fn storage(
    cx: &mut Checker<'_, '_>,
    raw: Option<&RawStorage>,
    retention: Retention,
) -> Storage {
    let nothing = RawStorage::default();
    let raw = raw.unwrap_or(&nothing);
    let root = At::Root;
    let at = root.key("storage");
    let path = cx.path(raw.path.as_deref().unwrap_or_default());
    if raw.path.is_some() && path.exists() && !path.is_dir() {
        let message = format!("{} is no directory", path.display());
        cx.error(at.key("path"), message, "");
    }
    if path == Path::new("/") || raw.path.as_deref().is_some_and(str::is_empty) {
        let help = "a directory of its own, e.g. \"/var/lib/wangge\"";
        cx.error(
            at.key("path"),
            "the storage needs a directory of its own",
            help,
        );
    }
    Storage {
        path,
        quota: quota(cx, at, raw),
        retention,
        commit_interval: cx.duration(
            at.key("commit_interval"),
            raw.commit_interval.as_ref(),
            Duration::from_millis(4),
            &limits::COMMIT_INTERVAL,
        ),
    }
}

fn quota(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawStorage) -> Quota {
    let all = cx.size(
        at.key("quota"),
        raw.quota.as_ref(),
        2_000_000_000,
        &limits::QUOTA,
    );
    let usual = Quota::of(all);
    let most = usual.watermark();
    let mut class = |key, text: Option<&SizeText>, usual| {
        let bytes = cx.size(at.key(key), text, usual, &limits::CLASS_QUOTA);
        if bytes > most {
            let message = format!(
                "`{key}` is more than 85 % of `quota`, {}; the rest is for alerts alone",
                show_size(most)
            );
            cx.error(at.key(key), message, "make it smaller, or `quota` larger");
        }
        bytes
    };
    Quota {
        all,
        telemetry: class(
            "telemetry_quota",
            raw.telemetry_quota.as_ref(),
            usual.telemetry,
        ),
        pictures: class("picture_quota", raw.picture_quota.as_ref(), usual.pictures),
    }
}

/// What `wangge check` tries besides: can the directory be made and written?
pub(super) fn storage_writable(cx: &mut Checker<'_, '_>, storage: &Storage) {
    // The directory may not exist yet: then the nearest one above must let us make it.
    let Some(existing) = storage.path.ancestors().find(|p| p.exists()) else {
        return;
    };
    let probe = existing.join(format!(".wangge-check-{}", std::process::id()));
    let result = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&probe);
    match result {
        Ok(_) => {
            let _ = std::fs::remove_file(&probe);
        }
        Err(error) => {
            let root = At::Root;
            let at = root.key("storage");
            let message = format!("cannot write in {}: {error}", existing.display());
            let help = "give the directory to the user that the gateway runs as";
            cx.error(at.key("path"), message, help);
        }
    }
}

/// An address and port to listen on.
pub(super) fn socket(cx: &mut Checker<'_, '_>, at: At<'_>, text: &str) -> Option<SocketAddr> {
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            let message = format!(
                "`{}` is \"{text}\", which is no address and port",
                at.last_key()
            );
            cx.error(
                at,
                message,
                "an IP address and a port, e.g. \"127.0.0.1:1883\"",
            );
            None
        }
    }
}

/// Where the console listens when nothing is said.
pub(in crate::config) const CONSOLE: &str = "127.0.0.1:9464";

pub(super) fn console(
    cx: &mut Checker<'_, '_>,
    raw: Option<&RawConsole>,
    listener: Option<&Listener>,
) -> Option<SocketAddr> {
    let root = At::Root;
    let table = root.key("console");
    let at = table.key("listen");
    let text = raw.and_then(|c| c.listen.as_deref()).unwrap_or(CONSOLE);
    if text == "off" {
        return None;
    }
    let address = socket(cx, at, text)?;
    if !address.ip().is_loopback() {
        let message = format!("the console has no log-in yet, so {address} is too open");
        cx.error(
            at,
            message,
            format!("use a loopback address, e.g. \"{CONSOLE}\""),
        );
    }
    if let Some(listener) = listener
        && clash(address, listener.listen)
    {
        let message = format!("console and `listen` both want {address}");
        cx.error(at, message, "give one of them another port");
    }
    Some(address)
}

/// Whether two sockets cannot be open together.
fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let wide = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && (wide || a.ip() == b.ip())
}

pub(super) fn stop(cx: &mut Checker<'_, '_>, raw: Option<&RawStop>) -> Duration {
    let root = At::Root;
    let at = root.key("stop");
    cx.duration(
        at.key("deadline"),
        raw.and_then(|s| s.deadline.as_ref()),
        Duration::from_secs(10),
        &limits::STOP_DEADLINE,
    )
}

pub(super) fn platform(cx: &mut Checker<'_, '_>, raw: Option<&RawPlatform>) -> Option<Profile> {
    let root = At::Root;
    let named = raw.map_or((None, None), |p| (p.profile.as_deref(), p.file.as_deref()));
    profile(cx, root.key("platform"), named, ["profile", "file"])
}

/// A platform profile by its name or its file, which stand in these keys of a table.
pub(super) fn profile(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    (name, file): (Option<&str>, Option<&str>),
    [name_key, file_key]: [&str; 2],
) -> Option<Profile> {
    let (key, text, origin) = if let Some(file) = file {
        let given = [(name_key, name.is_some())];
        cx.useless(at, &given, &format!("`{file_key}` names the profile"));
        let text = cx.read_text(at.key(file_key), file, limits::FILE_BYTES)?;
        (file_key, text, cx.path(file).display().to_string())
    } else {
        let name = name.unwrap_or("default");
        let found = profile::SHIPPED.iter().find(|(known, _)| *known == name);
        let Some((_, text)) = found else {
            let known = profile::SHIPPED.iter().map(|(known, _)| *known);
            let table = format!("`{file_key}`");
            cx.unknown(at.key(name_key), "platform profile", name, known, &table);
            return None;
        };
        let origin = format!("platform profile {name}");
        (name_key, (*text).to_owned(), origin)
    };
    match profile::parse(&text, &origin) {
        Ok(profile) => Some(profile),
        Err(error) => {
            let message = format!("the platform profile is unusable: {error}");
            cx.error(at.key(key), message, "");
            None
        }
    }
}
