//! Holidays, permits and the windows of zones.

use std::{path::Path, sync::Arc, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use serde::de::DeserializeOwned;

use super::{At, Checker, Seen, limits, suggest};
use crate::{
    calendar::{
        Calendar, DAY_WORDS, Dates, Days, Edge, Hours, Permit, Window, WindowError, Windows, moment,
    },
    config::{
        Calendars, Camera, Station,
        document::Document,
        faults::{Faults, Level},
        raw::{RawCalendar, RawConfig, RawDays, RawPermit, RawPermits, RawZone},
        shape,
    },
};

/// Default for `grace_in` and `grace_out`.
const NO_GRACE: Duration = Duration::ZERO;

/// What the station's file itself says, before its zones are known.
#[derive(Debug, Default)]
pub(super) struct Own {
    pub(super) days: Arc<Days>,
    /// The zones that they name are checked in [`calendars`].
    pub(super) permits: Vec<Permit>,
}

/// The station's days and its own permits.
pub(super) fn own(cx: &mut Checker<'_, '_>, raw: &RawConfig, station: &Station) -> Own {
    let root = At::Root;
    let at = root.key("calendar");
    let Some(raw) = &raw.calendar else {
        return Own::default();
    };
    Own {
        days: days(cx, at, raw),
        permits: permits(cx, at.key("permit"), &raw.permit, &station.time_zone, &[]),
    }
}

fn days(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawCalendar) -> Arc<Days> {
    let own = RawDays {
        holidays: raw.holidays.clone(),
        workdays: raw.workdays.clone(),
        valid_until: raw.valid_until.clone(),
    };
    let Some(file) = &raw.file else {
        return Arc::new(table(cx, at, &own));
    };
    let here = [
        ("holidays", !own.holidays.is_empty()),
        ("workdays", !own.workdays.is_empty()),
        ("valid_until", own.valid_until.is_some()),
    ];
    cx.useless(at, &here, "the lists are in `file`");
    let text = cx.read_text(at.key("file"), file, limits::CALENDAR_BYTES);
    let origin = cx.path(file).display().to_string();
    let read = text.and_then(|text| {
        of_file(
            &text,
            &origin,
            cx.faults,
            &shape::DAYS,
            |cx, raw: &RawDays| table(cx, At::Root, raw),
        )
    });
    Arc::new(read.unwrap_or_default())
}

/// Parses, walks and types a file of its own, and checks it.
fn of_file<R: DeserializeOwned, T>(
    text: &str,
    origin: &str,
    faults: &mut Faults,
    schema: &serde_json::Value,
    check: impl FnOnce(&mut Checker<'_, '_>, &R) -> T,
) -> Option<T> {
    let before = faults.errors().count();
    let mut document = Document::parse(text, origin, faults);
    if faults.errors().count() > before {
        return None;
    }
    shape::check(&mut document, schema, faults);
    let root = document.root.clone();
    match R::deserialize(toml::Deserializer::from(root)) {
        Ok(raw) => {
            let mut cx = Checker {
                document: &document,
                faults,
                base_dir: Path::new("/"),
            };
            Some(check(&mut cx, &raw))
        }
        Err(error) => {
            let span = error.span().unwrap_or_default();
            let message = error.message().to_owned();
            faults.push(document.fault_in(span, String::new(), message, None, Level::Error));
            None
        }
    }
}

fn table(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawDays) -> Days {
    let valid_until = raw.valid_until.as_ref().and_then(|text| {
        let at = at.key("valid_until");
        let dates = dates(cx, at, text)?;
        if dates.first != dates.last {
            cx.error(at, "`valid_until` is one day", "for example \"2026-12-31\"");
        }
        Some(dates.last)
    });
    let holidays = list(cx, at.key("holidays"), &raw.holidays);
    let workdays = list(cx, at.key("workdays"), &raw.workdays);
    let all = || holidays.iter().chain(&workdays);
    match (valid_until, all().map(|d| d.last).max()) {
        (None, Some(_)) if raw.valid_until.is_none() && !cx.was_reported(at.key("valid_until")) => {
            let help = "for example `valid_until = \"2026-12-31\"`: the last day that the lists \
                        know of, so that somebody is told before it";
            cx.error(at.key("valid_until"), "`valid_until` is missing", help);
        }
        (Some(end), Some(last)) if last > end => {
            let message = format!("the lists go on until {last}, after `valid_until`");
            cx.error(at.key("valid_until"), message, "");
        }
        _ => {}
    }
    for (i, work) in workdays.iter().enumerate() {
        let both = holidays
            .iter()
            .find(|h| h.first <= work.last && work.first <= h.last);
        if let Some(both) = both {
            let message = format!("{work} is among the holidays ({both}) too");
            let help = "a day is either";
            cx.error(at.key("workdays").index(i), message, help);
        }
    }
    Days {
        holidays,
        workdays,
        valid_until,
    }
}

fn list(cx: &mut Checker<'_, '_>, at: At<'_>, texts: &[String]) -> Vec<Dates> {
    let texts = texts.iter().enumerate();
    texts
        .filter_map(|(i, text)| dates(cx, at.index(i), text))
        .collect()
}

fn dates(cx: &mut Checker<'_, '_>, at: At<'_>, text: &str) -> Option<Dates> {
    match Dates::parse(text) {
        Ok(dates) => Some(dates),
        Err(error) => {
            let help = "dates are written 2026-10-01 or 2026-10-01..2026-10-07";
            cx.error(at, format!("`{}`: {error}", at.last_key()), help);
            None
        }
    }
}

pub(super) fn windows(cx: &mut Checker<'_, '_>, at: At<'_>, texts: &[String]) -> Vec<Window> {
    let mut windows = Vec::new();
    for (i, text) in texts.iter().enumerate() {
        match Window::parse(text) {
            Ok(window) => windows.push(window),
            Err(error) => {
                let message = format!("`{}`: \"{text}\" is no window: {error}", at.last_key());
                cx.error(at.index(i), message, window_help(&error));
            }
        }
    }
    windows
}

fn window_help(error: &WindowError) -> String {
    let WindowError::Day(word) = error else {
        return error.help().into();
    };
    let lower = word.to_lowercase();
    let week = DAY_WORDS.iter().copied().take(7);
    let begins = |day: &&str| lower.starts_with(*day);
    let meant = week
        .clone()
        .find(begins)
        .or_else(|| suggest::nearest(word, DAY_WORDS.iter().copied()));
    match meant {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => error.help().into(),
    }
}

/// One zone's calendar, with the station's own permits.
pub(super) fn zone(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: &RawZone,
    place: String,
    station: &Station,
    Own { days, permits }: &Own,
) -> Calendar {
    let (allowed, watched) = (at.key("allowed"), at.key("watched"));
    let parsed = match (&raw.allowed, &raw.watched) {
        (Some(_), Some(_)) => {
            let help = "`allowed` is when things may be there, `watched` when anybody looks";
            cx.error(watched, "the zone has both `allowed` and `watched`", help);
            Windows::None
        }
        (Some(texts), None) => Windows::Allowed(windows(cx, allowed, texts)),
        (None, Some(texts)) => Windows::Watched(windows(cx, watched, texts)),
        (None, None) => Windows::None,
    };
    let by_table = match &parsed {
        Windows::Allowed(list) | Windows::Watched(list) => list.as_slice(),
        Windows::None => &[],
    };
    let key = if raw.allowed.is_some() {
        allowed
    } else {
        watched
    };
    if days.holidays.is_empty() && days.valid_until.is_none() {
        for (i, window) in by_table.iter().enumerate() {
            if window.names_holidays() {
                let message = format!("\"{window}\" never comes: no holidays are listed");
                cx.warn(key.index(i), message, "add `[calendar]` with `holidays`");
            } else if window.needs_table() {
                let message =
                    format!("\"{window}\" goes by days of the week alone: no holidays are listed");
                cx.warn(key.index(i), message, "add `[calendar]` with `holidays`");
            }
        }
    }
    let range = &limits::USE_GRACE;
    let hours = Hours {
        windows: parsed,
        grace_in: cx.duration(at.key("grace_in"), raw.grace_in.as_ref(), NO_GRACE, range),
        grace_out: cx.duration(at.key("grace_out"), raw.grace_out.as_ref(), NO_GRACE, range),
    };
    Calendar {
        place: place.into(),
        hours,
        days: days.clone(),
        permits: Vec::new(),
        time_zone: station.time_zone.clone(),
    }
    .with_permits(permits)
}

/// What all zones share, now that they are known.
pub(super) fn calendars(
    cx: &mut Checker<'_, '_>,
    raw: Option<&RawCalendar>,
    station: &Station,
    own: Own,
    cameras: &[Arc<Camera>],
) -> Calendars {
    let root = At::Root;
    let at = root.key("calendar");
    let zones: Vec<String> = cameras
        .iter()
        .flat_map(|c| c.zones.iter().map(|z| z.calendar.place.to_string()))
        .collect();
    if let Some(raw) = raw {
        zones_of(cx, at.key("permit"), &raw.permit, &zones);
    }
    let file = raw.and_then(|raw| raw.permits_file.as_ref());
    if file.is_some() && zones.is_empty() {
        let message = "permits without a zone do nothing";
        cx.warn(at.key("permits_file"), message, "");
    }
    Calendars {
        days: own.days,
        permits: own.permits.into(),
        permits_file: file.map(|file| cx.path(file)),
        zones: zones.into(),
        time_zone: station.time_zone.clone(),
    }
}

/// Reports zones that permits name and that are not there.
fn zones_of(cx: &mut Checker<'_, '_>, list: At<'_>, raw: &[RawPermit], known: &[String]) {
    for (i, raw) in raw.iter().enumerate() {
        let at = list.index(i);
        for (i, name) in raw.zones.iter().flatten().enumerate() {
            if !known.contains(name) {
                let all = known.iter().map(String::as_str);
                let at = at.key("zones");
                cx.unknown(at.index(i), "zone", name, all, "zones to cameras");
            }
        }
    }
}

fn permits(
    cx: &mut Checker<'_, '_>,
    list: At<'_>,
    raw: &[RawPermit],
    zone: &TimeZone,
    taken: &[Permit],
) -> Vec<Permit> {
    let mut seen = Seen::new();
    let mut permits = Vec::new();
    for (i, raw) in raw.iter().enumerate() {
        let at = list.index(i);
        let id = cx.optional_text(at.key("id"), raw.id.as_ref(), &limits::ID_CHARS);
        let id = id.unwrap_or_default();
        cx.unique(&mut seen, at.key("id"), "permit", &id);
        if taken.iter().any(|p| p.id == id) {
            let message = format!("permit \"{id}\" stands in the station's file too");
            cx.error(at.key("id"), message, "keep one of them");
        }
        let moment = |cx: &mut Checker<'_, '_>, key, text: Option<&String>, edge| {
            let at = at.key(key);
            match moment(text?, zone, edge) {
                Ok(moment) => Some(moment),
                Err(error) => {
                    let help = "for example \"2026-10-01 17:00\" in local time, or \"2026-10-01\"";
                    cx.error(at, format!("`{key}`: {error}"), help);
                    None
                }
            }
        };
        let from = moment(cx, "from", raw.from.as_ref(), Edge::Start);
        let to = moment(cx, "to", raw.to.as_ref(), Edge::End);
        let holder = cx.optional_text(at.key("holder"), raw.holder.as_ref(), &limits::NAME_CHARS);
        let windows = windows(cx, at.key("windows"), &raw.windows);
        let (Some(from), Some(to)) = (from, to) else {
            continue;
        };
        if from >= to {
            let message = "`to` is not after `from`";
            cx.error(at.key("to"), message, "a permit lasts for some time");
        }
        permits.push(Permit {
            id,
            zones: raw.zones.clone().unwrap_or_default(),
            holder,
            from,
            to,
            windows,
        });
    }
    permits
}

/// Checks the text of a file of permits against the station that it is for.
pub(in crate::config) fn permits_file(
    text: &str,
    origin: &str,
    calendars: &Calendars,
) -> Result<Vec<Permit>, Faults> {
    let mut faults = Faults::default();
    let read = of_file(
        text,
        origin,
        &mut faults,
        &shape::PERMITS,
        |cx, raw: &RawPermits| {
            let root = At::Root;
            let list = root.key("permit");
            zones_of(cx, list, &raw.permit, &calendars.zones);
            let zone = &calendars.time_zone;
            permits(cx, list, &raw.permit, zone, &calendars.permits)
        },
    );
    faults.sort();
    match read {
        Some(permits) if faults.errors().next().is_none() => Ok(permits),
        _ => Err(faults),
    }
}

/// What the station's own machine can tell: whether the permits can be read, and whether the
/// table of holidays is about to end.
pub(super) fn on_site(cx: &mut Checker<'_, '_>, calendars: &Calendars, now: Timestamp) {
    let root = At::Root;
    let at = root.key("calendar");
    if let Some(end) = calendars.days_end(now) {
        let help = "add the next year's as soon as they are announced, and a later `valid_until`";
        cx.warn(at, end.en, help);
    }
    if calendars.permits_file.is_some()
        && let Err(faults) = calendars.read_permits()
    {
        cx.faults.0.extend(faults.0);
    }
}
