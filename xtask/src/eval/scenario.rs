//! Scenarios as they are written.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// One scenario. What `scenes.py` alone reads (footage, things, weather) is kept as it is.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file's name without its ending.
    pub name: String,
    pub file: PathBuf,
    pub title: String,
    /// Kinds of conditions, e.g. `night`.
    pub tags: Vec<String>,
    /// Among the few for a quick run.
    pub quick: bool,
    /// A long recording in which nothing happens.
    pub quiet: bool,
    /// Of the set that nothing was tuned with.
    pub blind: bool,
    pub seconds: f64,
    /// When the recording begins; calendars go by it.
    pub start: String,
    /// Keys of a zone that the gateway must know.
    pub needs: Vec<String>,
    /// The camera's tables as they stand in a station's file.
    pub camera: toml::Table,
    pub events: Vec<Event>,
}

/// Something that must be told.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    #[serde(default)]
    pub what: What,
    /// The zone; none for the camera's health.
    pub zone: Option<String>,
    /// The alert's kind, where it is not the zone's.
    pub kind: Option<String>,
    /// Seconds into the clip at which it begins.
    pub from: f64,
    /// Until when it must have been told.
    pub by: f64,
    /// Who brought it: `person`, `vehicle` or `none`; not judged when left out.
    pub actor: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    #[default]
    Raised,
    Cleared,
}

#[derive(Deserialize)]
struct File {
    title: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    quick: bool,
    #[serde(default)]
    quiet: bool,
    seconds: f64,
    #[serde(default = "noon")]
    start: String,
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default)]
    camera: toml::Table,
    #[serde(default)]
    zone: Vec<toml::Table>,
    #[serde(default)]
    event: Vec<Event>,
}

fn noon() -> String {
    "2026-03-02T12:00:00+08:00".into()
}

/// Where they lie.
pub fn folder() -> PathBuf {
    wangge_tests::place::root().join("tests/evaluation")
}

/// All of them, by name.
///
/// # Errors
/// A file cannot be read or understood.
pub fn all() -> Result<Vec<Scenario>> {
    let mut all = Vec::new();
    for (name, blind) in [("scenarios", false), ("blind", true)] {
        let folder = folder().join(name);
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "toml") {
                all.push(read(path, blind)?);
            }
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

fn read(path: PathBuf, blind: bool) -> Result<Scenario> {
    let text = fs::read_to_string(&path)?;
    let file: File = toml::from_str(&text).with_context(|| path.display().to_string())?;
    let name = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for event in &file.event {
        ensure!(
            event.from < event.by && event.by <= file.seconds,
            "{name}: an event must end after it begins and within the clip: {event:?}"
        );
    }
    let mut camera = file.camera;
    let zones = file.zone.into_iter().map(toml::Value::Table).collect();
    camera.insert("zone".into(), toml::Value::Array(zones));
    Ok(Scenario {
        name,
        file: path,
        title: file.title,
        tags: file.tags,
        quick: file.quick,
        quiet: file.quiet,
        blind,
        seconds: file.seconds,
        start: file.start,
        needs: file.needs,
        camera,
        events: file.event,
    })
}

/// Those that this gateway's configuration can express; and why the others are left out.
///
/// # Errors
/// The gateway does not say what its configuration knows.
pub fn usable(
    all: Vec<Scenario>,
    programs: &std::path::Path,
) -> Result<(Vec<Scenario>, Vec<String>)> {
    let schema = Command::new(programs.join("wangge"))
        .args(["config", "schema"])
        .output()
        .context("cannot start wangge")?;
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout)?;
    let zone = schema
        .pointer("/$defs/RawZone/properties")
        .context("the configuration's schema has no zone")?;
    let (mut ready, mut skipped) = (Vec::new(), Vec::new());
    for scenario in all {
        match scenario
            .needs
            .iter()
            .find(|key| zone.get(key.as_str()).is_none())
        {
            Some(key) => skipped.push(format!(
                "{}: the configuration does not know `{key}` in a zone",
                scenario.name
            )),
            None => ready.push(scenario),
        }
    }
    Ok((ready, skipped))
}
