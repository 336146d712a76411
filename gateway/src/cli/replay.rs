//! `wangge replay`: a recording through a camera's zones and rules.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use jiff::Timestamp;
use serde_json::{json, value::RawValue};
use tracing_subscriber::filter::LevelFilter;
use wangge_protocol::AlertState;

use super::{FAILED, OK, USAGE, camera, complain, print, run::block_on, run::start_log, status};
use crate::{
    config,
    replay::{self, Alert, Pictures, Replay, Summary, Told},
    source::vision::{PROGRAM, replay::Recording},
};

/// Clips of one replay at most: a day in files of a minute.
const MAX_CLIPS: usize = 1440;
/// How often the bar is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// What `wangge replay` is asked for.
#[derive(Debug, Args)]
pub struct Replayed {
    /// Video files of the camera, in the order of their time; one begins where the last ended.
    #[arg(required = true, value_name = "CLIP")]
    clips: Vec<PathBuf>,
    /// The station's file.
    #[arg(long, value_name = "FILE", default_value = super::CONFIG)]
    config: PathBuf,
    /// The camera whose zones, masks and rules are tried.
    #[arg(long, value_name = "ID")]
    camera: String,
    /// When the recording begins, e.g. 2026-03-01T18:30:00+08:00; now, when left out.
    ///
    /// It stands in the alerts and in the pictures, and calendars go by it.
    #[arg(long, value_name = "TIME")]
    start: Option<Timestamp>,
    /// Write each alert's message as a line of JSON, `-` for standard output.
    ///
    /// A line holds `after_s` (seconds from the recording's beginning), `clip`, `into_s` (seconds
    /// into that clip), `at` and `event`: the message as the platform would have got it.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the alerts' pictures into this folder, masked as the station would have.
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
}

pub(super) fn replay(args: Replayed) -> u8 {
    start_log(LevelFilter::WARN, false);
    let config = match config::load(&args.config) {
        Ok(config) => config,
        Err(faults) => {
            complain(&format!("the configuration cannot be used\n\n{faults}"));
            return USAGE;
        }
    };
    match prepare(&args, config) {
        Ok((what, lines)) => play(what, lines),
        Err(reason) => {
            complain(&reason);
            USAGE
        }
    }
}

/// Everything that can be wrong with the command line is found before anything is played.
fn prepare(args: &Replayed, mut config: config::Config) -> Result<(Replay, Option<Lines>), String> {
    // The station goes by the file of permits too, and goes on without one that is broken; who
    // tries a zone should hear of it at once.
    let permits = config.calendars.read_permits();
    config.calendars.permits = permits.map_err(|f| format!("the permits cannot be used\n\n{f}"))?;
    let camera = camera(&config, &args.config, &args.camera)?.clone();
    let Some(vision) = config.vision.clone() else {
        return Err(format!("{} configures no vision", args.config.display()));
    };
    if args.clips.len() > MAX_CLIPS {
        let count = args.clips.len();
        return Err(format!(
            "{count} clips; one replay takes {MAX_CLIPS} at most"
        ));
    }
    let mut clips = Vec::new();
    for clip in &args.clips {
        // Opened, not only looked for: it may not be ours to read.
        File::open(clip).map_err(|e| format!("{}: {e}", clip.display()))?;
        let absolute = std::path::absolute(clip);
        clips.push(absolute.map_err(|e| format!("{}: {e}", clip.display()))?);
    }
    let program = std::env::current_exe().map_err(|e| format!("cannot find own program: {e}"))?;
    let lines = args.json.as_deref().map(Lines::open).transpose()?;
    let replay = Replay {
        camera,
        vision,
        recording: Recording {
            clips,
            start: args.start.unwrap_or_else(Timestamp::now),
        },
        pictures: Pictures::new(args.pictures.clone()),
        program: program.with_file_name(PROGRAM),
        config,
    };
    Ok((replay, lines))
}

fn play(what: Replay, lines: Option<Lines>) -> u8 {
    let begun = Instant::now();
    let start = what.recording.start;
    let mut screen = Screen {
        several: what.recording.clips.len() > 1,
        start,
        pictures: what.pictures.clone(),
        chinese: status::chinese(),
        bar: io::stderr().is_terminal().then(Bar::default),
        lines,
        counts: [0; 3],
        failed: None,
    };
    let mut summary = None;
    let code = block_on(async {
        summary = Some(replay::run(what, |told| screen.tell(told)).await?);
        Ok(())
    });
    screen.wipe();
    let written = screen.finish();
    match summary {
        Some(_) if written != OK => written,
        Some(summary) => screen.sum_up(&summary, begun.elapsed()),
        None => code,
    }
}

/// Where lines of JSON go.
enum Lines {
    Output,
    File(BufWriter<File>, PathBuf),
}

impl Lines {
    fn open(path: &Path) -> Result<Self, String> {
        if path == Path::new("-") {
            return Ok(Lines::Output);
        }
        let file = File::create(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Lines::File(BufWriter::new(file), path.to_path_buf()))
    }

    fn write(&mut self, line: &str) -> Result<(), String> {
        match self {
            Lines::Output => match print(line) {
                OK => Ok(()),
                _ => Err("standard output is gone".into()),
            },
            Lines::File(file, path) => file
                .write_all(line.as_bytes())
                .and_then(|()| file.flush())
                .map_err(|e| format!("{}: {e}", path.display())),
        }
    }
}

/// What a person sees.
struct Screen {
    several: bool,
    start: Timestamp,
    pictures: Pictures,
    chinese: bool,
    bar: Option<Bar>,
    lines: Option<Lines>,
    /// Raised, updated, cleared.
    counts: [u32; 3],
    failed: Option<String>,
}

impl Screen {
    fn tell(&mut self, told: Told) {
        match told {
            Told::Length(length) => {
                if let Some(bar) = &mut self.bar {
                    bar.length = Some(length);
                }
            }
            Told::Upto(upto) => {
                if let Some(bar) = &mut self.bar {
                    bar.draw(upto);
                }
            }
            Told::Alert(alert) => self.alert(&alert),
        }
    }

    fn alert(&mut self, alert: &Alert) {
        self.wipe();
        let (count, state) = match alert.message.state {
            AlertState::Raised => (0, ["raised ", "新告警"]),
            AlertState::Updated => (1, ["updated", "更新  "]),
            AlertState::Cleared => (2, ["cleared", "解除  "]),
        };
        if let Some(n) = self.counts.get_mut(count) {
            *n += 1;
        }
        if let Some(lines) = &mut self.lines {
            let written = line(alert).and_then(|line| lines.write(&line));
            self.failed = self.failed.take().or(written.err());
            if matches!(lines, Lines::Output) {
                return;
            }
        }
        let clip = match alert.clip.file_name() {
            Some(name) if self.several => format!("{} ", name.to_string_lossy()),
            _ => String::new(),
        };
        let (word, sentence) = match (state, self.chinese) {
            ([_, zh], true) => (zh, &alert.message.text.zh),
            ([en, _], false) => (en, &alert.message.text.en),
        };
        let mut text = format!("{clip}{}  {word}  {sentence}\n", clock(alert.into));
        for picture in &alert.message.evidence {
            if let Some(path) = self.pictures.path(self.start, picture) {
                text.push_str(&format!("{:12}{}\n", "", path.display()));
            }
        }
        print(&text);
    }

    fn wipe(&mut self) {
        if let Some(bar) = &mut self.bar {
            bar.wipe();
        }
    }

    fn finish(&mut self) -> u8 {
        match self.failed.take() {
            Some(reason) => {
                complain(&format!("the JSON could not be written: {reason}"));
                FAILED
            }
            None => OK,
        }
    }

    fn sum_up(&self, summary: &Summary, took: Duration) -> u8 {
        let [raised, updated, cleared] = self.counts;
        let (played, took) = (clock(summary.played), clock(took));
        let text = if self.chinese {
            format!("录像{played},用时{took}:新告警{raised}条,更新{updated}条,解除{cleared}条\n")
        } else {
            format!(
                "{played} of recording in {took}: {raised} raised, {updated} updated, {cleared} cleared\n"
            )
        };
        // Standard output may belong to the JSON.
        let _ = io::stderr().lock().write_all(text.as_bytes());
        let lost = summary.frames.refused;
        if lost > 0 {
            let of = summary.frames.received;
            complain(&format!(
                "{lost} of {of} frames were damaged and not looked at"
            ));
        }
        OK
    }
}

fn line(alert: &Alert) -> Result<String, String> {
    let body = String::from_utf8(alert.message.body.clone()).map_err(|e| e.to_string())?;
    let event = RawValue::from_string(body).map_err(|e| e.to_string())?;
    let tenths = |d: Duration| (d.as_secs_f64() * 10.0).round() / 10.0;
    let line = json!({
        "after_s": tenths(alert.after),
        "clip": alert.clip.display().to_string(),
        "into_s": tenths(alert.into),
        "at": alert.at.to_string(),
        "event": event,
    });
    Ok(format!("{line}\n"))
}

/// `1:02:03.4` or `02:03.4`.
fn clock(time: Duration) -> String {
    let tenths = (time.as_secs_f64() * 10.0).round() as u64;
    let (seconds, tenth) = (tenths / 10, tenths % 10);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes:02}:{seconds:02}.{tenth}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}.{tenth}"),
    }
}

/// How far it is, on a terminal's last line.
#[derive(Default)]
struct Bar {
    length: Option<Duration>,
    drawn: Option<Instant>,
    there: bool,
}

impl Bar {
    fn draw(&mut self, upto: Duration) {
        if self.drawn.is_some_and(|last| last.elapsed() < DRAW_EVERY) {
            return;
        }
        self.drawn = Some(Instant::now());
        self.there = true;
        let text = match self.length {
            Some(length) if !length.is_zero() => {
                let share = (upto.as_secs_f64() / length.as_secs_f64()).clamp(0.0, 1.0);
                let full = (share * 30.0) as usize;
                format!(
                    "\r[{}{}] {:3.0} %  {} / {}\x1b[K",
                    "#".repeat(full),
                    ".".repeat(30 - full),
                    share * 100.0,
                    clock(upto),
                    clock(length)
                )
            }
            _ => format!("\r{}\x1b[K", clock(upto)),
        };
        show(&text);
    }

    fn wipe(&mut self) {
        if std::mem::take(&mut self.there) {
            show("\r\x1b[K");
        }
    }
}

/// A bar that cannot be drawn is none.
fn show(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_players_show_them() {
        for (seconds, text) in [
            (0.0, "00:00.0"),
            (62.34, "01:02.3"),
            (59.96, "01:00.0"),
            (3723.4, "1:02:03.4"),
        ] {
            assert_eq!(clock(Duration::from_secs_f64(seconds)), text);
        }
    }
}
