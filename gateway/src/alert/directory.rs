//! Who and where every subject is.

use std::{collections::HashMap, sync::Arc};

use wangge_protocol::{Place, SourceKind};

use super::{AlertError, MAX_ID};
use crate::config::{Config, Rule};

/// Every subject of a station.
#[derive(Debug)]
pub(super) struct Directory {
    subjects: HashMap<Arc<str>, Subject>,
    /// For parts of the gateway, which have no entry.
    station: Place,
    station_name: String,
}

#[derive(Debug)]
struct Subject {
    name: Option<String>,
    source: SourceKind,
    place: Place,
    rules: Vec<Arc<Rule>>,
}

/// One subject as messages show it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed<'a> {
    /// What people call it; its id if nobody named it.
    pub(super) name: &'a str,
    /// Address, or the station's name.
    pub(super) where_: &'a str,
    pub(super) source: SourceKind,
    pub(super) place: &'a Place,
}

impl Directory {
    pub(super) fn new(config: &Config) -> Result<Directory, AlertError> {
        let station = &config.station;
        limit("station", &station.id)?;
        let mut subjects = HashMap::new();
        for device in &config.devices {
            limit("device", &device.id)?;
            limit_rules(&device.rules)?;
            let subject = Subject {
                name: device.name.clone(),
                source: device.source(),
                place: Place {
                    lon: device.lon,
                    lat: device.lat,
                    unit_grid: device.unit_grid.clone(),
                    address: device.address.clone(),
                },
                rules: device.rules.clone(),
            };
            subjects.insert(device.id.clone(), subject);
        }
        for camera in &config.cameras {
            limit("camera", &camera.id)?;
            limit_rules(&camera.rules)?;
            let subject = Subject {
                name: camera.name.clone(),
                source: SourceKind::Camera,
                place: Place {
                    lon: camera.lon,
                    lat: camera.lat,
                    unit_grid: camera.unit_grid.clone(),
                    address: camera.address.clone(),
                },
                rules: camera.rules.clone(),
            };
            subjects.insert(camera.id.clone(), subject);
        }
        Ok(Directory {
            subjects,
            station: Place {
                lon: station.lon,
                lat: station.lat,
                unit_grid: station.unit_grid.clone(),
                address: station.address.clone(),
            },
            station_name: station.name.clone(),
        })
    }

    /// The subject; one that the configuration does not know is a part of the gateway.
    pub(super) fn find<'a>(&'a self, id: &'a str) -> Listed<'a> {
        match self.subjects.get(id) {
            Some(subject) => Listed {
                name: subject.name.as_deref().unwrap_or(id),
                where_: subject
                    .place
                    .address
                    .as_deref()
                    .unwrap_or(&self.station_name),
                source: subject.source,
                place: &subject.place,
            },
            None => Listed {
                name: id,
                where_: &self.station_name,
                source: SourceKind::Gateway,
                place: &self.station,
            },
        }
    }

    pub(super) fn knows(&self, id: &str) -> bool {
        self.subjects.contains_key(id)
    }

    pub(super) fn rule(&self, subject: &str, rule: &str) -> Option<&Rule> {
        let rules = &self.subjects.get(subject)?.rules;
        rules.iter().find(|r| r.id == rule).map(|r| &**r)
    }
}

fn limit_rules(rules: &[Arc<Rule>]) -> Result<(), AlertError> {
    rules.iter().try_for_each(|rule| limit("rule", &rule.id))
}

fn limit(what: &'static str, id: &str) -> Result<(), AlertError> {
    if id.len() > MAX_ID {
        let id = id.to_owned();
        return Err(AlertError::IdTooLong { what, id });
    }
    Ok(())
}
