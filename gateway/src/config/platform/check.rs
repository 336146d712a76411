//! Reads a profile and checks it, all faults at once.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use serde::Deserialize;
use toml::{Spanned, Value};
use wangge_protocol::{EventKind, Severity, SourceKind};

use super::{
    Crs, DEFAULTS, EventCode, FilingCondition, MAX_CODE, MAX_CONDITIONS, MAX_ID, MAX_NAME,
    MAX_TEMPLATE, Profile, ProfileError, ProfileFault, ReportSource,
    push::RawPush,
    routing::{RawDigest, RawRoute, RawWorking},
};
use crate::{config::code::CodeTemplate, geo::Grid, routing::Term};

pub(super) type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    id: Text,
    crs: Text,
    grid: Option<Spanned<Grid>>,
    event_code: Option<Text>,
    event_code_length: Option<Spanned<usize>>,
    sources: Spanned<BTreeMap<Text, Spanned<Value>>>,
    #[serde(default)]
    codes: BTreeMap<Text, RawCode>,
    #[serde(default)]
    condition: Vec<RawCondition>,
    working_time: Option<RawWorking>,
    routing: Option<Spanned<BTreeMap<Text, Spanned<RawRoute>>>>,
    digest: Option<RawDigest>,
    push: Option<RawPush>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCode {
    class: Text,
    class_name: Option<Text>,
    middle: Option<Text>,
    subclass: Text,
    name: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCondition {
    kind: Text,
    severity: Option<Text>,
    id: Option<Text>,
    name: Text,
    deadline: Option<Text>,
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

pub(super) struct Check<'a> {
    text: &'a str,
    pub(super) faults: Vec<ProfileFault>,
}

impl Check<'_> {
    pub(super) fn fault(&mut self, span: Range<usize>, message: String) {
        let before = self.text.as_bytes().iter().take(span.start);
        self.faults.push(ProfileFault {
            line: 1 + before.filter(|b| **b == b'\n').count(),
            message,
        });
    }

    pub(super) fn text(&mut self, key: &str, text: Text, max: usize) -> String {
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
        let crs = self.crs(&raw.crs, raw.grid);
        let codes = self.codes(raw.codes);
        let event_code = raw.event_code.map_or(String::new(), |template| {
            self.event_code(&template, raw.event_code_length.as_ref(), &codes);
            self.text("event_code", template, MAX_TEMPLATE)
        });
        let working = raw.working_time.map(|raw| self.working(raw));
        let working = working.or_else(|| DEFAULTS.as_ref().map(|d| d.working.clone()));
        let working = working.unwrap_or_else(super::routing::around_the_clock);
        let mut plan = self.plan(raw.routing, raw.digest);
        let conditions = self.conditions(raw.condition, &mut plan.conditions);
        self.deadlines_come(&plan, &working);
        let mut profile = Profile {
            id: self.text("id", raw.id, MAX_ID),
            sources: self.sources(raw.sources),
            crs,
            event_code,
            codes,
            conditions,
            working,
            routing: plan,
            push: None,
        };
        if let Some(raw) = raw.push {
            profile.push = self.push(raw, &profile).map(Arc::new);
        }
        profile
    }

    fn crs(&mut self, crs: &Text, grid: Option<Spanned<Grid>>) -> Crs {
        match (crs.get_ref().as_str(), &grid) {
            ("gcj02", None) => Crs::Gcj02,
            ("epsg3857", None) => Crs::Epsg3857,
            ("wgs84", None) => Crs::Wgs84,
            ("grid", Some(grid)) => {
                if let Err(reason) = grid.get_ref().check() {
                    self.fault(grid.span(), reason);
                }
                Crs::Grid(*grid.get_ref())
            }
            ("grid", None) => {
                let message = "crs is grid, and there is no [grid] that says which".to_owned();
                self.fault(crs.span(), message);
                Crs::Wgs84
            }
            ("gcj02" | "epsg3857" | "wgs84", Some(grid)) => {
                let message = "[grid] does nothing here; write crs = \"grid\"".to_owned();
                self.fault(grid.span(), message);
                Crs::Wgs84
            }
            (other, _) => {
                let message =
                    format!("crs {other:?} is unknown; use wgs84, gcj02, epsg3857 or grid");
                self.fault(crs.span(), message);
                Crs::Wgs84
            }
        }
    }

    /// Codes of every kind have the length that the platform expects, if the profile says it.
    fn event_code(
        &mut self,
        text: &Text,
        length: Option<&Spanned<usize>>,
        codes: &BTreeMap<EventKind, EventCode>,
    ) {
        const GRID: &str = "530102001001001";
        let template = match CodeTemplate::parse(text.get_ref()) {
            Ok(template) => template,
            Err(e) => return self.fault(text.span(), e.to_string()),
        };
        for (kind, code) in codes {
            if template.has_middle() && code.middle.is_none() {
                let message = format!("event_code has a {{middle}}, and codes.{kind} has none");
                self.fault(text.span(), message);
            }
            let made = template.code(GRID, code.words(), |_| None);
            let chars = made.map_or(0, |made| made.text.chars().count());
            if let Some(length) = length
                && *length.get_ref() != chars
            {
                let message = format!(
                    "the code of {kind} has {chars} characters, and event_code_length is {}",
                    length.get_ref()
                );
                self.fault(length.span(), message);
            }
        }
    }

    fn sources(
        &mut self,
        raw: Spanned<BTreeMap<Text, Spanned<Value>>>,
    ) -> BTreeMap<SourceKind, ReportSource> {
        let slugs = || SourceKind::ALL.iter().map(|kind| kind.slug());
        let mut sources = BTreeMap::new();
        let span = raw.span();
        for (key, value) in raw.into_inner() {
            let Some(kind) = SourceKind::ALL.iter().find(|k| k.slug() == key.get_ref()) else {
                let message = unknown("source", key.get_ref(), slugs());
                self.fault(key.span(), message);
                continue;
            };
            let at = format!("sources.{}", kind.slug());
            if let Some(source) = self.source(&at, value) {
                sources.insert(*kind, source);
            }
        }
        for kind in SourceKind::ALL {
            if !sources.contains_key(kind) {
                let message = format!("[sources] has no {}; add its name", kind.slug());
                self.fault(span.clone(), message);
            }
        }
        sources
    }

    /// A name, or `{ id = "11", name = "…" }`.
    fn source(&mut self, at: &str, value: Spanned<Value>) -> Option<ReportSource> {
        let span = value.span();
        let text = |value: &Value| {
            value
                .as_str()
                .map(|t| Spanned::new(span.clone(), t.to_owned()))
        };
        let (id, name) = match value.get_ref() {
            Value::Table(table) if table.keys().all(|k| k == "id" || k == "name") => {
                (table.get("id").map(text), table.get("name").and_then(text))
            }
            value => (None, text(value)),
        };
        let (Some(name), None | Some(Some(_))) = (name, &id) else {
            let message = format!("{at} is a name, or {{ id = \"11\", name = \"…\" }}");
            self.fault(span, message);
            // It is there, only wrong.
            return Some(ReportSource::default());
        };
        Some(ReportSource {
            id: id.flatten().map(|id| self.code(&format!("{at}.id"), id)),
            name: self.text(at, name, MAX_NAME),
        })
    }

    fn codes(&mut self, raw: BTreeMap<Text, RawCode>) -> BTreeMap<EventKind, EventCode> {
        let mut codes = BTreeMap::new();
        for (key, code) in raw {
            let Some(kind) = self.kind(&key) else {
                continue;
            };
            let class_name = code.class_name;
            let code = EventCode {
                class: self.code(&format!("codes.{kind}.class"), code.class),
                class_name: class_name
                    .map(|name| self.text(&format!("codes.{kind}.class_name"), name, MAX_NAME)),
                middle: code
                    .middle
                    .map(|middle| self.code(&format!("codes.{kind}.middle"), middle)),
                subclass: self.code(&format!("codes.{kind}.subclass"), code.subclass),
                name: self.text(&format!("codes.{kind}.name"), code.name, MAX_NAME),
            };
            codes.insert(kind, code);
        }
        codes
    }

    fn conditions(
        &mut self,
        raw: Vec<RawCondition>,
        deadlines: &mut Vec<(EventKind, Option<Severity>, Term)>,
    ) -> Vec<FilingCondition> {
        let many = raw.len();
        let mut conditions = Vec::new();
        for (i, raw) in raw.into_iter().enumerate() {
            if i == MAX_CONDITIONS {
                let message = format!("{many} conditions; at most {MAX_CONDITIONS} are possible");
                self.fault(raw.kind.span(), message);
            }
            let kind = self.kind(&raw.kind);
            let severity = raw.severity.as_ref().and_then(|text| self.severity(text));
            let deadline = raw.deadline.as_ref().and_then(|text| self.term(text));
            let condition = (
                raw.id.map(|id| self.code("condition.id", id)),
                self.text("condition.name", raw.name, MAX_NAME),
            );
            let Some(kind) = kind else { continue };
            deadlines.extend(deadline.map(|deadline| (kind, severity, deadline)));
            conditions.push(FilingCondition {
                kind,
                severity,
                id: condition.0,
                name: condition.1,
            });
        }
        conditions
    }

    pub(super) fn kind(&mut self, text: &Text) -> Option<EventKind> {
        let kind = text.get_ref().parse().ok();
        if kind.is_none() {
            let slugs = EventKind::ALL.iter().map(|kind| kind.slug());
            let message = unknown("event kind", text.get_ref(), slugs);
            self.fault(text.span(), message);
        }
        kind
    }

    pub(super) fn severity(&mut self, text: &Text) -> Option<Severity> {
        let severity = super::routing::severity(text.get_ref());
        if severity.is_none() {
            let message = format!(
                "severity {:?} is unknown; use info, minor, major or critical",
                text.get_ref()
            );
            self.fault(text.span(), message);
        }
        severity
    }

    pub(super) fn term(&mut self, text: &Text) -> Option<Term> {
        match Term::parse(text.get_ref()) {
            Ok(term) => Some(term),
            Err(error) => {
                self.fault(text.span(), error.to_string());
                None
            }
        }
    }
}

pub(super) fn unknown<'a>(
    what: &str,
    key: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> String {
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
