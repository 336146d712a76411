//! `wangge calendar show`.

use std::path::Path;

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, Time},
};

use super::{
    OK, USAGE, complain, print,
    status::{Language, language},
};
use crate::{
    calendar::{By, Calendar, Dates, Edge, Phase, State, Windows, instant},
    config::{self, Config},
};

/// Days shown at most: two months.
pub(super) const MAX_DAYS: i64 = 62;
/// One letter of a day's line stands for so many minutes.
const CELL: i8 = 30;

pub(super) fn show(path: &Path, zone: Option<&str>, from: Option<&str>, days: u16) -> u8 {
    let config = match config::load(path) {
        Ok(config) => config,
        Err(faults) => {
            complain(&format!("the configuration cannot be used\n\n{faults}"));
            return USAGE;
        }
    };
    let (permits, code) = match config.calendars.read_permits() {
        Ok(permits) => (permits, OK),
        Err(faults) => {
            complain(&format!(
                "the permits cannot be used; shown without them\n\n{faults}"
            ));
            (config.calendars.permits.clone(), USAGE)
        }
    };
    let zone_names = || config.calendars.zones.iter();
    if let Some(zone) = zone
        && !zone_names().any(|known| known == zone)
    {
        let known: Vec<&str> = zone_names().map(String::as_str).collect();
        complain(&format!(
            "there is no zone \"{zone}\"; known: {}",
            known.join(", ")
        ));
        return USAGE;
    }
    let now = Timestamp::now();
    let first = match from.map(Dates::parse) {
        Some(Ok(dates)) => dates.first,
        Some(Err(error)) => {
            complain(&format!("--from: {error}"));
            return USAGE;
        }
        None => config.station.time_zone.to_datetime(now).date(),
    };
    let text = page(&config, &permits, zone, first, days, language());
    match print(&text) {
        OK => code,
        failed => failed,
    }
}

fn page(
    config: &Config,
    permits: &[crate::calendar::Permit],
    only: Option<&str>,
    first: Date,
    days: u16,
    language: Language,
) -> String {
    let mut page = String::new();
    let zones = config.cameras.iter().flat_map(|c| &c.zones);
    for zone in zones.filter(|z| only.is_none_or(|only| only == &*z.calendar.place)) {
        let calendar = zone.calendar.with_permits(permits);
        head(&mut page, &calendar, language);
        let dates = (0..days).map_while(|n| first.checked_add(i64::from(n).days()).ok());
        for date in dates {
            day(&mut page, &calendar, date, language);
        }
        page.push('\n');
    }
    page.push_str(match language {
        Language::English => "█ permitted  ▒ set-up or take-down tolerated  · forbidden\n",
        Language::Chinese => "█ 允许  ▒ 布置或收摊宽限  · 不允许\n",
    });
    page
}

fn head(page: &mut String, calendar: &Calendar, language: Language) {
    let list = |windows: &[crate::calendar::Window]| {
        let all: Vec<String> = windows.iter().map(ToString::to_string).collect();
        all.join("; ")
    };
    let zh = language == Language::Chinese;
    let rule = match (&calendar.hours.windows, zh) {
        (Windows::None, true) => "全时段管控".to_owned(),
        (Windows::None, false) => "watched at all times".to_owned(),
        (Windows::Allowed(w), true) => format!("允许时段 {}", list(w)),
        (Windows::Allowed(w), false) => format!("allowed {}", list(w)),
        (Windows::Watched(w), true) => format!("管控时段 {}", list(w)),
        (Windows::Watched(w), false) => format!("watched {}", list(w)),
    };
    page.push_str(&format!("{}  {rule}\n", calendar.place));
}

fn day(page: &mut String, calendar: &Calendar, date: Date, language: Language) {
    let zone = &calendar.time_zone;
    let begin = instant(zone, date.at(0, 0, 0, 0), Edge::Start);
    let Ok(tomorrow) = date.tomorrow() else {
        return;
    };
    let end = instant(zone, tomorrow.at(0, 0, 0, 0), Edge::Start);
    let phases = calendar.timeline(begin, end);
    let mut line = String::new();
    for hour in 0..24i8 {
        for minute in (0..60).step_by(CELL as usize) {
            let at = instant(zone, date.at(hour, minute, 0, 0), Edge::Start);
            let state = phases.iter().find(|p| p.from <= at && at < p.to);
            line.push(match state.map(|p| p.state) {
                Some(State::Open(_)) => '█',
                Some(State::SetUp(_) | State::TakeDown(_)) => '▒',
                _ => '·',
            });
        }
    }
    let number = usize::from(date.weekday().to_monday_zero_offset() as u8);
    let (names, kinds): ([&str; 7], [&str; 3]) = match language {
        Language::English => (
            ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
            ["holiday", "workday", "restday"],
        ),
        Language::Chinese => (
            ["周一", "周二", "周三", "周四", "周五", "周六", "周日"],
            ["节假日", "工作日", "休息日"],
        ),
    };
    let kind = if calendar.days.is_holiday(date) {
        kinds[0]
    } else if calendar.days.is_workday(date) {
        kinds[1]
    } else {
        kinds[2]
    };
    let name = names.get(number).copied().unwrap_or_default();
    page.push_str(&format!("  {date} {name} |{line}| {kind}\n"));
    let all_day = phases.len() == 1;
    for phase in phases.iter().filter(|p| p.state.is_legal()) {
        page.push_str(&format!(
            "      {}  {}\n",
            span(calendar, *phase, date, all_day),
            words(calendar, phase.state, language)
        ));
    }
}

fn span(calendar: &Calendar, phase: Phase, date: Date, all_day: bool) -> String {
    let local = |at| calendar.time_zone.to_datetime(at);
    let show = |time: Time| format!("{:02}:{:02}", time.hour(), time.minute());
    let (from, to) = (local(phase.from), local(phase.to));
    let to = if to.date() == date {
        show(to.time())
    } else {
        "24:00".to_owned()
    };
    if all_day {
        return "00:00-24:00".to_owned();
    }
    format!("{}-{to}", show(from.time()))
}

fn words(calendar: &Calendar, state: State, language: Language) -> String {
    let zh = language == Language::Chinese;
    let (what, by) = match (state, zh) {
        (State::Open(by), true) => ("允许", by),
        (State::Open(by), false) => ("permitted", by),
        (State::SetUp(by), true) => ("布置宽限", by),
        (State::SetUp(by), false) => ("set-up", by),
        (State::TakeDown(by), true) => ("收摊宽限", by),
        (State::TakeDown(by), false) => ("take-down", by),
        (State::Forbidden, _) => return String::new(),
    };
    let text = calendar.words(by).text;
    match (by, zh) {
        (By::Unwatched, true) => "非管控时段".to_owned(),
        (By::Unwatched, false) => "not watched".to_owned(),
        (_, true) => format!("{what}:{}", text.zh),
        (_, false) => format!("{what}: {}", text.en),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        calendar::{Days, Hours, Permit, Window, moment},
        config::{Camera, Zone},
        rules::fixtures,
    };

    fn station() -> Config {
        let mut config = fixtures::config(vec![], vec![]);
        let calendar = Calendar {
            place: "gate/stall".into(),
            hours: Hours {
                windows: Windows::Allowed(vec![Window::parse("workday 17:00-22:00").unwrap()]),
                grace_in: std::time::Duration::from_secs(1800),
                grace_out: std::time::Duration::from_secs(1800),
            },
            days: Arc::new(Days {
                holidays: vec![Dates::parse("2026-10-01..2026-10-07").unwrap()],
                workdays: vec![Dates::parse("2026-10-10").unwrap()],
                valid_until: None,
            }),
            permits: vec![],
            time_zone: config.station.time_zone.clone(),
        };
        let zone = Zone {
            id: "stall".into(),
            kind: wangge_protocol::EventKind::StreetVendor,
            polygon: vec![],
            labels: vec![],
            objects: true,
            front: None,
            crop: false,
            fixtures: vec![],
            dwell: fixtures::MINUTE,
            take_down: true,
            calendar: Arc::new(calendar),
            shadow: None,
        };
        let mut camera: Camera = (*fixtures::camera("gate", vec![])).clone();
        camera.zones.push(zone);
        config.cameras = vec![Arc::new(camera)];
        config
    }

    #[test]
    fn days_as_an_installer_sees_them() {
        let config = station();
        let zone = &config.station.time_zone;
        let permit = Permit {
            id: "N1".into(),
            zones: vec!["gate/stall".into()],
            holder: Some("王记".into()),
            from: moment("2026-10-01 08:00", zone, Edge::Start).unwrap(),
            to: moment("2026-10-01 12:00", zone, Edge::End).unwrap(),
            windows: vec![],
        };
        let first = "2026-09-30".parse().unwrap();
        let shown = page(&config, &[permit], None, first, 3, Language::English);
        let dots = |n: usize| "·".repeat(n);
        let open = |n: usize| "█".repeat(n);
        let expected = format!(
            "gate/stall  allowed workday 17:00-22:00\n\
             \x20 2026-09-30 Wed |{}▒{}▒{}| workday\n\
             \x20     16:30-17:00  set-up: window workday 17:00-22:00\n\
             \x20     17:00-22:00  permitted: window workday 17:00-22:00\n\
             \x20     22:00-22:30  take-down: window workday 17:00-22:00\n\
             \x20 2026-10-01 Thu |{}▒{}▒{}| holiday\n\
             \x20     07:30-08:00  set-up: permit N1 (王记)\n\
             \x20     08:00-12:00  permitted: permit N1 (王记)\n\
             \x20     12:00-12:30  take-down: permit N1 (王记)\n\
             \x20 2026-10-02 Fri |{}| holiday\n\n\
             █ permitted  ▒ set-up or take-down tolerated  · forbidden\n",
            dots(33),
            open(10),
            dots(3),
            dots(15),
            open(8),
            dots(23),
            dots(48),
        );
        assert_eq!(shown, expected);
        let shown = page(
            &config,
            &[],
            Some("gate/stall"),
            first,
            1,
            Language::Chinese,
        );
        for words in [
            "允许时段 workday 17:00-22:00",
            "周三",
            "工作日",
            "17:00-22:00  允许:",
        ] {
            assert!(shown.contains(words), "{shown}");
        }
    }
}
