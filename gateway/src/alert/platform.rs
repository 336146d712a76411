//! What the receiving platform calls an alert and its place.

use std::{collections::BTreeMap, sync::Arc};

use wangge_protocol::{EventKind, PlatformCodes, Severity};

use super::directory::Listed;
use crate::{
    config::{
        Profile,
        code::{CodeTemplate, TemplateError},
    },
    geo,
};

/// The station's platform profile at work.
#[derive(Debug)]
pub(super) struct Platform {
    profile: Arc<Profile>,
    template: CodeTemplate,
    /// The last number used in each series of event codes.
    last: BTreeMap<String, u64>,
}

impl Platform {
    pub(super) fn new(profile: Arc<Profile>) -> Result<Platform, TemplateError> {
        Ok(Platform {
            template: CodeTemplate::parse(&profile.event_code)?,
            profile,
            last: BTreeMap::new(),
        })
    }

    /// Numbers that an earlier run used.
    pub(super) fn used(&mut self, series: &BTreeMap<String, u64>) {
        for (series, &number) in series {
            let last = self.last.entry(series.clone()).or_default();
            *last = number.max(*last);
        }
    }

    /// Whether one of these numbers is the last of its series.
    pub(super) fn needs(&self, series: &BTreeMap<String, u64>) -> bool {
        series.iter().any(|(s, n)| self.last.get(s) == Some(n))
    }

    /// Codes for a new alert; a number that is used up is added to `series`.
    pub(super) fn codes(
        &mut self,
        kind: EventKind,
        severity: Severity,
        subject: Listed<'_>,
        series: &mut BTreeMap<String, u64>,
    ) -> PlatformCodes {
        let entry = self.profile.codes.get(&kind);
        let code = entry.and_then(|code| {
            self.template
                .code(&subject.place.unit_grid, code.words(), |series| {
                    self.last.get(series).copied()
                })
        });
        let mut codes = PlatformCodes {
            profile: self.profile.id.clone(),
            event_code: code.as_ref().map(|code| code.text.clone()),
            class: entry.map(|code| code.class.clone()),
            subclass: entry.map(|code| code.subclass.clone()),
            name: entry.map(|code| code.name.clone()),
            condition: self
                .profile
                .condition(kind, severity)
                .map(|condition| condition.name.clone()),
            source_name: String::new(),
            source_id: None,
            crs: String::new(),
            x: 0.0,
            y: 0.0,
        };
        self.locate(&mut codes, subject);
        if let Some((name, number)) = code.and_then(|code| code.series) {
            self.last.insert(name.clone(), number);
            series.insert(name, number);
        }
        codes
    }

    /// Source and coordinates as they are configured now; codes stay as they were given.
    pub(super) fn locate(&self, codes: &mut PlatformCodes, subject: Listed<'_>) {
        if let Some(source) = self.profile.sources.get(&subject.source) {
            codes.source_name = source.name.clone();
            codes.source_id = source.id.clone();
        }
        codes.crs = self.profile.crs.slug().into();
        (codes.x, codes.y) =
            geo::from_wgs84(subject.place.lon, subject.place.lat, self.profile.crs);
    }
}
