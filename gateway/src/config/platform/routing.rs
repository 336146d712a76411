//! Tiers, deadlines, working hours and digests of a profile.

use std::collections::BTreeMap;

use jiff::{
    Timestamp,
    civil::{Time, date},
    tz::TimeZone,
};
use serde::Deserialize;
use toml::Spanned;
use wangge_protocol::{EventKind, Severity, Tier};

use super::{
    DEFAULTS, Working,
    check::{Check, Text, unknown},
};
use crate::{
    calendar::Window,
    config::limits,
    routing::{DigestPlan, Every, Plan, Route, Start, WorkTime},
};

/// What `tier` may say.
const TIERS: [&str; 4] = ["community", "street", "city", "all"];
/// By severity, in its order.
const SEVERITIES: [(&str, Severity); 4] = [
    ("info", Severity::Info),
    ("minor", Severity::Minor),
    ("major", Severity::Major),
    ("critical", Severity::Critical),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWorking {
    hours: Spanned<Vec<Text>>,
    urgent: Option<Spanned<Vec<Text>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoute {
    tier: Text,
    deadline: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDigest {
    every: Text,
    at: Text,
    tier: Text,
}

pub(super) fn severity(text: &str) -> Option<Severity> {
    let found = SEVERITIES.iter().find(|(slug, _)| *slug == text);
    found.map(|(_, severity)| *severity)
}

/// Working hours where nobody says any.
pub(super) fn around_the_clock() -> Working {
    let always: Vec<Window> = Window::parse("00:00-24:00").into_iter().collect();
    Working {
        hours: always.clone(),
        urgent: always,
    }
}

/// Everything goes everywhere at once.
fn everywhere() -> Plan {
    let all = Route {
        start: Start::All,
        deadline: None,
    };
    Plan {
        severities: [all; 4],
        kinds: BTreeMap::new(),
        conditions: Vec::new(),
        digest: None,
    }
}

impl Check<'_> {
    pub(super) fn working(&mut self, raw: RawWorking) -> Working {
        let hours = self.windows("working_time.hours", raw.hours);
        let urgent = match raw.urgent {
            Some(urgent) => self.windows("working_time.urgent", urgent),
            None => around_the_clock().urgent,
        };
        Working { hours, urgent }
    }

    fn windows(&mut self, key: &str, raw: Spanned<Vec<Text>>) -> Vec<Window> {
        let many = raw.get_ref().len();
        if !(1..=limits::MAX_WINDOWS).contains(&many) {
            let most = limits::MAX_WINDOWS;
            let message = format!("{key} has {many} windows; 1 to {most} are possible");
            self.fault(raw.span(), message);
        }
        let mut windows = Vec::new();
        for text in raw.into_inner() {
            match Window::parse(text.get_ref()) {
                Ok(window) => windows.push(window),
                Err(error) => {
                    let message = format!("{key}: {error}; {}", error.help());
                    self.fault(text.span(), message);
                }
            }
        }
        windows
    }

    /// `[routing]`: a route for each severity, and for kinds that go another way.
    pub(super) fn plan(
        &mut self,
        raw: Option<Spanned<BTreeMap<Text, Spanned<RawRoute>>>>,
        digest: Option<RawDigest>,
    ) -> Plan {
        let digest = digest.and_then(|raw| self.digest(&raw));
        let Some(raw) = raw else {
            let plan = DEFAULTS.as_ref().map(|d| d.routing.clone());
            return Plan {
                conditions: Vec::new(),
                digest,
                ..plan.unwrap_or_else(everywhere)
            };
        };
        let span = raw.span();
        let mut plan = everywhere();
        let mut missing = Vec::from(SEVERITIES);
        for (key, route) in raw.into_inner() {
            let route = self.route(route.get_ref());
            if let Some(severity) = severity(key.get_ref()) {
                missing.retain(|(_, s)| *s != severity);
                let at = SEVERITIES.iter().position(|(_, s)| *s == severity);
                if let (Some(route), Some(slot)) =
                    (route, at.and_then(|i| plan.severities.get_mut(i)))
                {
                    *slot = route;
                }
            } else if let Ok(kind) = key.get_ref().parse::<EventKind>() {
                plan.kinds.extend(route.map(|route| (kind, route)));
            } else {
                let severities = SEVERITIES.iter().map(|(slug, _)| *slug);
                let kinds = EventKind::ALL.iter().map(|kind| kind.slug());
                let message = unknown(
                    "severity or event kind",
                    key.get_ref(),
                    severities.chain(kinds),
                );
                self.fault(key.span(), message);
            }
        }
        for (slug, _) in missing {
            let message = format!("[routing] does not say where {slug} alerts go");
            self.fault(span.clone(), message);
        }
        plan.digest = digest;
        plan
    }

    fn route(&mut self, raw: &RawRoute) -> Option<Route> {
        let start = match raw.tier.get_ref().as_str() {
            "all" => Some(Start::All),
            _ => self.tier(&raw.tier, &TIERS).map(Start::At),
        };
        let deadline = raw.deadline.as_ref().and_then(|text| self.term(text));
        start.map(|start| Route { start, deadline })
    }

    fn tier(&mut self, text: &Text, possible: &[&str]) -> Option<Tier> {
        let tier = Tier::ALL.into_iter().find(|t| t.slug() == text.get_ref());
        if tier.is_none() {
            let message = unknown("tier", text.get_ref(), possible.iter().copied());
            self.fault(text.span(), message);
        }
        tier
    }

    fn digest(&mut self, raw: &RawDigest) -> Option<DigestPlan> {
        let every = match raw.every.get_ref().as_str() {
            "day" => Some(Every::Day),
            "week" => Some(Every::Week),
            other => {
                let message = format!("digest.every is {other:?}; use day or week");
                self.fault(raw.every.span(), message);
                None
            }
        };
        let at = raw.at.get_ref();
        let time = (at.len() == 5).then(|| at.parse::<Time>().ok()).flatten();
        if time.is_none() {
            let message = format!("digest.at is {at:?}, which is no time as in 08:30");
            self.fault(raw.at.span(), message);
        }
        let tier = self.tier(&raw.tier, &["street", "city"]);
        if tier == Some(Tier::Community) {
            let message = "digest.tier: the community has `wangge digest`; use street or city";
            self.fault(raw.tier.span(), message.to_owned());
        }
        Some(DigestPlan {
            every: every?,
            at: time?,
            tier: tier?,
        })
    }

    /// A deadline that no day's hours can bring is none.
    pub(super) fn deadlines_come(&mut self, plan: &Plan, working: &Working) {
        if !self.faults.is_empty() {
            return;
        }
        let work = WorkTime {
            hours: working.hours.clone(),
            urgent: working.urgent.clone(),
            days: Default::default(),
            time_zone: TimeZone::UTC,
        };
        let from = date(2026, 1, 1).at(0, 0, 0, 0);
        let from = TimeZone::UTC
            .to_timestamp(from)
            .unwrap_or(Timestamp::UNIX_EPOCH);
        let routes = plan.severities.iter().chain(plan.kinds.values());
        let terms = routes.filter_map(|route| route.deadline);
        let terms = terms.chain(plan.conditions.iter().map(|(_, _, term)| *term));
        let never: Vec<_> = terms
            .filter(|term| work.due(from, *term).is_none())
            .collect();
        if let Some(term) = never.first() {
            let message = format!(
                "a deadline of {term} never comes: [working_time] has too few hours for it"
            );
            self.fault(0..0, message);
        }
    }
}
