//! Platform profiles: TOML files that say what a receiving platform calls our events.

use std::{collections::BTreeMap, fmt, ops::Range};

use serde::Deserialize;
use toml::Spanned;
use wangge_protocol::{EventKind, SourceKind};

use super::code::CodeTemplate;
use super::{Crs, EventCode, Profile};

/// The profile that a station has unless it names another.
pub const DEFAULT: &str = include_str!("../../../protocol/profiles/default.toml");

/// Longest id, bytes.
pub const MAX_ID: usize = 32;
/// Longest class or subclass, bytes; real platforms use up to three digits, or private ids.
pub const MAX_CODE: usize = 8;
/// Longest event code template, bytes.
pub const MAX_TEMPLATE: usize = 64;
/// Longest name of a subclass or source, bytes (twenty Chinese characters).
pub const MAX_NAME: usize = 60;

/// Everything that is wrong with a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileError {
    /// File name or other origin.
    pub origin: String,
    /// In the order of lines.
    pub faults: Vec<ProfileFault>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileFault {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            let end = if i == 0 { "" } else { "\n" };
            write!(f, "{end}{}:{}: {}", self.origin, fault.line, fault.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ProfileError {}

type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    id: Text,
    crs: Text,
    event_code: Option<Text>,
    sources: Spanned<BTreeMap<Text, Text>>,
    #[serde(default)]
    codes: BTreeMap<Text, RawCode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCode {
    class: Text,
    subclass: Text,
    name: Text,
}

/// Reads a profile; `origin` names it in errors.
///
/// # Errors
/// All faults at once, each with its line: unknown keys, kinds, sources and coordinate
/// systems, texts that are empty or too long, a template that cannot be used, a missing source.
pub fn parse(text: &str, origin: &str) -> Result<Profile, ProfileError> {
    let mut check = Check {
        text,
        faults: Vec::new(),
    };
    let profile = match toml::from_str::<Raw>(text) {
        Ok(raw) => Some(check.profile(raw)),
        Err(e) => {
            check.fault(e.span().unwrap_or_default(), e.message().trim().to_owned());
            None
        }
    };
    match profile {
        Some(profile) if check.faults.is_empty() => Ok(profile),
        _ => {
            check.faults.sort_by_key(|fault| fault.line);
            Err(ProfileError {
                origin: origin.to_owned(),
                faults: check.faults,
            })
        }
    }
}

struct Check<'a> {
    text: &'a str,
    faults: Vec<ProfileFault>,
}

impl Check<'_> {
    fn fault(&mut self, span: Range<usize>, message: String) {
        let before = self.text.as_bytes().iter().take(span.start);
        self.faults.push(ProfileFault {
            line: 1 + before.filter(|b| **b == b'\n').count(),
            message,
        });
    }

    fn text(&mut self, key: &str, text: Text, max: usize) -> String {
        let len = text.get_ref().len();
        if len == 0 || len > max {
            let message = format!("{key} has {len} bytes; 1 to {max} are possible");
            self.fault(text.span(), message);
        } else if text.get_ref().chars().any(char::is_control) {
            self.fault(
                text.span(),
                format!("{key} has a control character; remove it"),
            );
        }
        text.into_inner()
    }

    fn code(&mut self, key: &str, text: Text) -> String {
        if !text.get_ref().bytes().all(|b| b.is_ascii_alphanumeric()) {
            let message = format!("{key} may have digits and ASCII letters only");
            self.fault(text.span(), message);
        }
        self.text(key, text, MAX_CODE)
    }

    fn profile(&mut self, raw: Raw) -> Profile {
        let crs = match raw.crs.get_ref().as_str() {
            "gcj02" => Crs::Gcj02,
            "epsg3857" => Crs::Epsg3857,
            "wgs84" => Crs::Wgs84,
            other => {
                let message = format!("crs {other:?} is unknown; use wgs84, gcj02 or epsg3857");
                self.fault(raw.crs.span(), message);
                Crs::Wgs84
            }
        };
        let event_code = raw.event_code.map_or(String::new(), |template| {
            if let Err(e) = CodeTemplate::parse(template.get_ref()) {
                self.fault(template.span(), e.to_string());
            }
            self.text("event_code", template, MAX_TEMPLATE)
        });
        Profile {
            id: self.text("id", raw.id, MAX_ID),
            sources: self.sources(raw.sources),
            crs,
            event_code,
            codes: self.codes(raw.codes),
        }
    }

    fn sources(&mut self, raw: Spanned<BTreeMap<Text, Text>>) -> BTreeMap<SourceKind, String> {
        let slugs = || SourceKind::ALL.iter().map(|kind| kind.slug());
        let mut sources = BTreeMap::new();
        let span = raw.span();
        for (key, name) in raw.into_inner() {
            let Some(kind) = SourceKind::ALL.iter().find(|k| k.slug() == key.get_ref()) else {
                let message = unknown("source", key.get_ref(), slugs());
                self.fault(key.span(), message);
                continue;
            };
            let name = self.text(&format!("sources.{}", kind.slug()), name, MAX_NAME);
            sources.insert(*kind, name);
        }
        for kind in SourceKind::ALL {
            if !sources.contains_key(kind) {
                let message = format!("[sources] has no {}; add its name", kind.slug());
                self.fault(span.clone(), message);
            }
        }
        sources
    }

    fn codes(&mut self, raw: BTreeMap<Text, RawCode>) -> BTreeMap<EventKind, EventCode> {
        let slugs = || EventKind::ALL.iter().map(|kind| kind.slug());
        let mut codes = BTreeMap::new();
        for (key, code) in raw {
            let Ok(kind) = key.get_ref().parse::<EventKind>() else {
                let message = unknown("event kind", key.get_ref(), slugs());
                self.fault(key.span(), message);
                continue;
            };
            let code = EventCode {
                class: self.code(&format!("codes.{kind}.class"), code.class),
                subclass: self.code(&format!("codes.{kind}.subclass"), code.subclass),
                name: self.text(&format!("codes.{kind}.name"), code.name, MAX_NAME),
            };
            codes.insert(kind, code);
        }
        codes
    }
}

fn unknown<'a>(what: &str, key: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let near = known
        .clone()
        .map(|k| (strsim::damerau_levenshtein(k, key), k))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    match near {
        Some((_, k)) => format!("{what} {key:?} is unknown; did you mean {k}?"),
        None => format!(
            "{what} {key:?} is unknown; known are {}",
            known.collect::<Vec<_>>().join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_profile_has_the_classic_codes() {
        let profile = parse(DEFAULT, "default.toml").unwrap();
        let code = |kind| {
            let code: &EventCode = &profile.codes[&kind];
            format!("{}/{} {}", code.class, code.subclass, code.name)
        };
        assert_eq!(code(EventKind::IllegalDumping), "01/02 暴露垃圾");
        assert_eq!(code(EventKind::ShopOverflow), "05/04 店外经营");
        assert_eq!(code(EventKind::StreetVendor), "05/01 无照经营游商");
        assert_eq!(code(EventKind::VehicleParking), "05/05 机动车乱停放");
        assert_eq!(code(EventKind::NonmotorParking), "05/06 非机动车乱停放");
        assert_eq!(code(EventKind::IllegalStructure), "01/01 私搭乱建");
        assert_eq!(code(EventKind::MaterialPile), "05/07 乱堆物堆料");
        assert_eq!(code(EventKind::Flyposting), "02/01 非法小广告");
        assert_eq!(code(EventKind::WaterLeak), "04/02 自来水管破裂");
        for kind in [
            EventKind::GreenEncroachment,
            EventKind::PublicSpaceEncroachment,
            EventKind::MessyWiring,
            EventKind::DeviceSilent,
            EventKind::StorageFault,
        ] {
            assert!(
                !profile.codes.contains_key(&kind),
                "{kind} needs a local code"
            );
        }
        assert_eq!(profile.crs, Crs::Wgs84);
        assert_eq!(profile.sources[&SourceKind::Camera], "视频智能识别");
        assert_eq!(profile.sources[&SourceKind::Modbus], "物联感知设备");
    }

    #[test]
    fn every_fault_has_its_line() {
        let text = r#"id = ""
crs = "bd09"
event_code = "{division}{klass}"
[sources]
mqtt = "物联感知设备"
modbus = "物联感知设备"
kamera = "视频智能识别"
gateway = "a	b"
[codes]
bin_overflw = { class = "01", subclass = "02", name = "暴露垃圾" }
aliens_on_the_green = { class = "01", subclass = "02", name = "暴露垃圾" }
bin_fire = { class = "0-1", subclass = "123456789", name = "火" }
"#;
        let error = parse(text, "city.toml").unwrap_err();
        let shown = error.to_string();
        for expected in [
            "city.toml:1: id has 0 bytes; 1 to 32 are possible",
            "city.toml:2: crs \"bd09\" is unknown; use wgs84, gcj02 or epsg3857",
            "city.toml:3: event_code: {klass} is unknown",
            "city.toml:4: [sources] has no camera; add its name",
            "city.toml:7: source \"kamera\" is unknown; did you mean camera?",
            "city.toml:8: sources.gateway has a control character",
            "city.toml:10: event kind \"bin_overflw\" is unknown; did you mean bin_overflow?",
            "city.toml:11: event kind \"aliens_on_the_green\" is unknown; known are illegal_dumping",
            "city.toml:12: codes.bin_fire.class may have digits and ASCII letters only",
            "city.toml:12: codes.bin_fire.subclass has 9 bytes; 1 to 8 are possible",
        ] {
            assert!(shown.contains(expected), "{expected}\nis not in\n{shown}");
        }
        assert_eq!(error.faults.len(), 10, "{shown}");
    }

    #[test]
    fn syntax_and_shape_faults_have_their_line() {
        for (text, line, part) in [
            ("id = \"a\"\ncrs = \n", 2, ""),
            ("id = \"a\"\ncrs = 7\n[sources]\n", 2, "expected a string"),
            ("id = \"a\"\nkrs = \"wgs84\"\n", 2, "unknown field `krs`"),
            ("id = \"a\"\nid = \"b\"\n", 2, "duplicate key"),
        ] {
            let error = parse(text, "p").unwrap_err();
            assert_eq!(error.faults[0].line, line, "{error}");
            assert!(error.faults[0].message.contains(part), "{error}");
        }
        assert!(
            parse("", "p")
                .unwrap_err()
                .to_string()
                .contains("missing field `id`")
        );
    }

    #[test]
    fn limits_hold_at_one_more_and_ten_times() {
        let with = |name: &str| {
            parse(
                &DEFAULT.replace("name = \"店外经营\"", &format!("name = \"{name}\"")),
                "p",
            )
        };
        assert!(with(&"店".repeat(MAX_NAME / 3)).is_ok());
        assert!(with(&"n".repeat(MAX_NAME + 1)).is_err());
        assert!(with(&"店".repeat(MAX_NAME)).is_err());
        assert!(with(&"n".repeat(MAX_NAME * 10)).is_err());
    }
}
