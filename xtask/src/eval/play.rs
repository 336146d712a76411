//! A scenario's clip through `wangge replay`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{
    judge::{self, Outcome, Said, State},
    scenario::Scenario,
};
use crate::setup::Kit;

/// What all replays share.
pub struct Player {
    pub programs: PathBuf,
    pub kit: Kit,
    pub pictures: Option<PathBuf>,
}

/// What became of one scenario.
#[derive(Clone, Debug)]
pub struct Played {
    pub name: String,
    pub title: String,
    pub tags: Vec<String>,
    pub quiet: bool,
    /// Length of the clip, and how long it took.
    pub seconds: f64,
    pub took: Duration,
    pub outcome: Outcome,
}

/// Plays all of them, `jobs` at a time.
///
/// # Errors
/// A replay fails.
pub fn all<'s>(
    player: &Player,
    work: impl Iterator<Item = (&'s Scenario, &'s PathBuf)> + Send,
    jobs: usize,
) -> Result<Vec<Played>> {
    let (work, done) = (Mutex::new(work), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    loop {
                        let next = work.lock().map_err(|e| anyhow::anyhow!("{e}"))?.next();
                        let Some((scenario, clip)) = next else {
                            return Ok(());
                        };
                        let played = one(player, scenario, clip)
                            .with_context(|| format!("scenario {}", scenario.name))?;
                        eprintln!("{}", super::report::line(&played));
                        done.lock()
                            .map_err(|e| anyhow::anyhow!("{e}"))?
                            .push(played);
                    }
                })
            })
            .collect();
        for worker in workers {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a worker panicked"))??;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    done.into_inner().map_err(|e| anyhow::anyhow!("{e}"))
}

fn one(player: &Player, scenario: &Scenario, clip: &Path) -> Result<Played> {
    let work = wangge_tests::place::root()
        .join("target/xtask-eval/work")
        .join(&scenario.name);
    fs::create_dir_all(&work)?;
    let station = work.join("station.toml");
    fs::write(&station, station_file(player, scenario)?)?;
    let lines = work.join("alerts.jsonl");
    let log = work.join("replay.log");
    let begun = Instant::now();
    let mut command = Command::new(player.programs.join("wangge"));
    command
        .arg("replay")
        .arg(clip)
        .args(["--camera", "gate", "--start", &scenario.start, "--config"])
        .arg(&station)
        .arg("--json")
        .arg(&lines)
        .stdin(Stdio::null())
        .stdout(fs::File::create(work.join("replay.txt"))?)
        .stderr(fs::File::create(&log)?);
    if let Some(folder) = &player.pictures {
        command.arg("--pictures").arg(folder.join(&scenario.name));
    }
    let status = command.status().context("cannot start wangge")?;
    ensure!(
        status.success(),
        "wangge replay ended with {status}: {}",
        fs::read_to_string(&log)?
    );
    let said = fs::read_to_string(&lines)?
        .lines()
        .map(said)
        .collect::<Result<Vec<_>>>()?;
    Ok(Played {
        name: scenario.name.clone(),
        title: scenario.title.clone(),
        tags: scenario.tags.clone(),
        quiet: scenario.quiet,
        seconds: scenario.seconds,
        took: begun.elapsed(),
        outcome: judge::judge(&scenario.events, &said),
    })
}

/// A station with this one camera.
fn station_file(player: &Player, scenario: &Scenario) -> Result<String> {
    let mut camera = toml::Table::new();
    camera.insert("id".into(), "gate".into());
    // Never opened: the clip takes its place.
    camera.insert("url".into(), "rtsp://127.0.0.1/gate".into());
    camera.extend(scenario.camera.clone());
    let mut station: toml::Table = toml::from_str(
        r#"
        [station]
        id = "evaluation"
        unit_grid = "530102001001001"
        lon = 102.7
        lat = 25.05
        [storage]
        path = "storage"
        "#,
    )?;
    let mut vision = toml::Table::new();
    let text = |path: &Path| toml::Value::from(path.display().to_string());
    vision.insert("model".into(), text(&player.kit.model));
    vision.insert("onnxruntime".into(), text(&player.kit.onnxruntime));
    station.insert("vision".into(), vision.into());
    station.insert("camera".into(), vec![toml::Value::Table(camera)].into());
    Ok(toml::to_string(&station)?)
}

/// One line of what `wangge replay --json` wrote.
fn said(line: &str) -> Result<Said> {
    let line: Value = serde_json::from_str(line)?;
    let data = line
        .pointer("/event/data")
        .context("a line without an alert")?;
    let text = |pointer: &str| {
        data.pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let actor = match data
        .pointer("/sighting/story/actor_seen")
        .and_then(Value::as_bool)
    {
        Some(true) => text("/sighting/story/actor/label"),
        Some(false) => Some("none".into()),
        None => None,
    };
    let rule = text("/rule").context("an alert without a rule")?;
    Ok(Said {
        at: line
            .get("after_s")
            .and_then(Value::as_f64)
            .context("a line without a time")?,
        state: match text("/state").as_deref() {
            Some("raised") => State::Raised,
            Some("updated") => State::Updated,
            Some("cleared") => State::Cleared,
            other => bail!("an alert with the state {other:?}"),
        },
        alert: text("/alert_id").context("an alert without an id")?,
        kind: text("/kind").context("an alert without a kind")?,
        zone: rule.strip_prefix("zone:").map(str::to_owned),
        actor,
        text: text("/text/en").unwrap_or_default(),
    })
}
