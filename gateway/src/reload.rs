//! The station's file, read again while it runs.
//!
//! What can be taken up without a restart is: rules of devices, what cameras look for and where,
//! calendars, names, addresses and places, who may command the station. Everything else is named
//! as waiting for a restart, so that nobody believes that it goes. A file with a fault changes
//! nothing at all.

use std::{path::PathBuf, sync::Arc};

use toml::{Table, Value};

use crate::config::{self, Camera, Config, Device, Rule};

/// Changes that are named in one sentence; more are counted.
const NAMED: usize = 6;

/// Reads the file again.
#[derive(Debug)]
pub struct Reloader {
    path: PathBuf,
    /// What runs: as it was started, with what was taken up since.
    running: Config,
    /// The file as the gateway was started with.
    started: Table,
    /// The file as it was read last.
    last: Table,
}

/// A file that can be used.
#[derive(Debug)]
pub struct Reloaded {
    /// What runs, with what of the file could be taken up.
    pub config: Config,
    /// What changed and what it needs, in one sentence.
    pub said: String,
}

impl Reloader {
    /// For a gateway that was started with `config`, read from `path` a moment ago.
    ///
    /// # Errors
    /// A sentence, when the file cannot be read any more.
    pub fn new(path: PathBuf, config: &Config) -> Result<Self, String> {
        let table = read(&path)?;
        Ok(Reloader {
            path,
            running: config.clone(),
            started: table.clone(),
            last: table,
        })
    }

    /// Reads and checks the whole file. Blocks.
    ///
    /// # Errors
    /// Its first faults, as `wangge check` shows them all; then nothing changed.
    pub fn read(&mut self) -> Result<Reloaded, String> {
        let fresh = config::load(&self.path).map_err(|faults| {
            let mut errors = faults.errors();
            let first = errors.next().map_or_else(String::new, ToString::to_string);
            let more = errors.count();
            let first = first.split_whitespace().collect::<Vec<_>>().join(" ");
            match more {
                0 => first,
                more => format!("{first} (and {more} more; see `wangge check`)"),
            }
        })?;
        let table = read(&self.path)?;
        let compared = is_compared(&self.running) || is_compared(&fresh);
        let changed = |before: &Table, is_hot: bool| {
            let mut found = Vec::new();
            differ(before, &table, &mut Vec::new(), &mut found);
            found.retain(|path| hot(path, compared) == is_hot);
            let mut named: Vec<_> = found.iter().map(|path| path.join(" ")).collect();
            named.dedup();
            named
        };
        let said = sentence(&changed(&self.last, true), &changed(&self.started, false));
        let config = merged(&self.running, &fresh, compared);
        self.running = config.clone();
        self.last = table;
        Ok(Reloaded { config, said })
    }
}

fn read(path: &PathBuf) -> Result<Table, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    text.parse::<Table>()
        .map_err(|e| format!("{}: {}", path.display(), e.message()))
}

fn sentence(applied: &[String], waiting: &[String]) -> String {
    let list = |changes: &[String]| {
        let named = changes.iter().take(NAMED).cloned();
        let mut text = named.collect::<Vec<_>>().join(", ");
        if changes.len() > NAMED {
            text.push_str(&format!(" and {} more", changes.len() - NAMED));
        }
        text
    };
    match (applied.is_empty(), waiting.is_empty()) {
        (true, true) => "nothing changed".to_owned(),
        (false, true) => format!("taken up: {}", list(applied)),
        (true, false) => format!("waits for a restart: {}", list(waiting)),
        (false, false) => format!(
            "taken up: {}; waits for a restart: {}",
            list(applied),
            list(waiting)
        ),
    }
}

/// Where two tables differ, as paths of keys; entries of lists are named by what names them.
fn differ(before: &Table, after: &Table, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let keys = before
        .keys()
        .chain(after.keys().filter(|k| !before.contains_key(*k)));
    for key in keys {
        path.push(key.clone());
        match (before.get(key), after.get(key)) {
            (Some(a), Some(b)) if a == b => {}
            (Some(Value::Table(a)), Some(Value::Table(b))) => differ(a, b, path, found),
            (a, b) => match (named(a), named(b)) {
                (Some(a), Some(b)) => entries(&a, &b, path, found),
                _ => found.push(path.clone()),
            },
        }
        path.pop();
    }
}

type Named<'t> = Vec<(String, &'t Table)>;

/// A list of tables with their names; an empty one where there is none. `None`: something else.
fn named(value: Option<&Value>) -> Option<Named<'_>> {
    let Some(value) = value else {
        return Some(Vec::new());
    };
    let list = value.as_array()?;
    list.iter()
        .map(|entry| {
            let entry = entry.as_table()?;
            let name = ["id", "ids", "name"]
                .iter()
                .find_map(|key| entry.get(*key)?.as_str());
            Some((format!("\"{}\"", name?), entry))
        })
        .collect()
}

fn entries(
    before: &Named<'_>,
    after: &Named<'_>,
    path: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) {
    for (name, a) in before {
        path.push(name.clone());
        match after.iter().find(|(other, _)| other == name) {
            Some((_, b)) => differ(a, b, path, found),
            None => found.push(path.clone()),
        }
        path.pop();
    }
    for (name, _) in after {
        if !before.iter().any(|(other, _)| other == name) {
            path.push(name.clone());
            found.push(path.clone());
            path.pop();
        }
    }
}

/// Whether something is tried in the shadow. The comparison of both sides goes by the zones that
/// it began with, so cameras and calendars then stay as they are.
fn is_compared(config: &Config) -> bool {
    let mut zones = config.cameras.iter().flat_map(|camera| &camera.zones);
    let model = config.vision.as_ref().is_some_and(|v| v.shadow.is_some());
    model || zones.any(|zone| zone.shadow.is_some())
}

/// Whether a change at this path is taken up.
fn hot(path: &[String], compared: bool) -> bool {
    const OF_SUBJECTS: [&str; 5] = ["name", "address", "lon", "lat", "unit_grid"];
    const OF_VIEWS: [&str; 4] = ["zone", "masks", "fps", "ground"];
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["device", _, "rule", ..] | ["profile", _, "rule", ..] => true,
        ["device" | "camera", _, key] => OF_SUBJECTS.contains(key),
        ["camera", _, "zone", _, "severity"] => true,
        ["camera", _, key, ..] if OF_VIEWS.contains(key) => !compared,
        ["calendar", ..] => !compared,
        ["commands" | "verdicts", ..] => true,
        _ => false,
    }
}

/// What runs, with what can be taken up of `fresh`.
fn merged(running: &Config, fresh: &Config, compared: bool) -> Config {
    let devices = running.devices.iter().map(|device| {
        let Some(new) = fresh.devices.iter().find(|new| new.id == device.id) else {
            return device.clone();
        };
        Arc::new(Device {
            name: new.name.clone(),
            rules: new.rules.clone(),
            unit_grid: new.unit_grid.clone(),
            lon: new.lon,
            lat: new.lat,
            address: new.address.clone(),
            ..Device::clone(device)
        })
    });
    let cameras = running.cameras.iter().map(|camera| {
        let Some(new) = fresh.cameras.iter().find(|new| new.id == camera.id) else {
            return camera.clone();
        };
        // Where its pictures come from stays, and whatever is compared.
        let view = if compared { camera } else { new };
        let rules = view.rules.iter().map(|rule| {
            let severity = new.rules.iter().find(|new| new.id == rule.id);
            let severity = severity.map_or(rule.severity, |new| new.severity);
            Arc::new(Rule {
                severity,
                ..Rule::clone(rule)
            })
        });
        Arc::new(Camera {
            input: camera.input.clone(),
            name: new.name.clone(),
            rules: rules.collect(),
            unit_grid: new.unit_grid.clone(),
            lon: new.lon,
            lat: new.lat,
            address: new.address.clone(),
            ..Camera::clone(view)
        })
    });
    let calendars = if compared { running } else { fresh };
    Config {
        devices: devices.collect(),
        cameras: cameras.collect(),
        calendars: calendars.calendars.clone(),
        hash: fresh.hash.clone(),
        verdicts: fresh.verdicts.clone(),
        commands: fresh.commands.clone(),
        ..running.clone()
    }
}

#[cfg(test)]
mod tests;
