//! From what is written to what is valid: every fault is collected, nothing stops at the first.
//!
//! A check returns a harmless value where it found a fault; the configuration is only handed
//! out when there was none.

mod calendar;
mod camera;
mod commands;
mod device;
mod ground;
mod input;
mod installed;
mod line;
mod link;
mod polygon;
mod preset;
mod privacy;
mod profile;
mod rule;
mod station;
mod stream;
mod uplink;

use std::{
    collections::HashMap,
    fs::File,
    io::Read,
    ops::RangeInclusive,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    Config, Vision,
    document::{At, Document},
    faults::{Faults, Level},
    limits,
    raw::{DurationText, LengthText, RawConfig, SizeText},
    suggest,
    units::{self, UnitError},
};

pub(super) use calendar::permits_file;
pub(super) use station::CONSOLE;

/// Turns a file's raw form into a configuration; it may only be used if `faults` has no error,
/// and there is none without a platform profile.
pub(super) fn config(
    raw: &RawConfig,
    document: &Document<'_>,
    base_dir: &Path,
    faults: &mut Faults,
) -> Option<Config> {
    let mut cx = Checker {
        document,
        faults,
        base_dir,
    };
    let station = station::station(&mut cx, raw.station.as_ref());
    let retention = privacy::retention(&mut cx, raw.retention.as_ref(), raw.privacy.as_ref());
    let storage = station::storage(&mut cx, raw.storage.as_ref(), retention);
    let links = link::links(&mut cx, raw, &station.id);
    let mut profiles = profile::Profiles::new(&mut cx, &raw.profile);
    let devices = device::devices(&mut cx, raw, &station, &links, &mut profiles);
    let vision = camera::vision(&mut cx, raw);
    let vias: Vec<_> = links.vias().cloned().collect();
    let own = calendar::own(&mut cx, raw, &station);
    let known = camera::Known {
        labels: vision.as_ref().and_then(|v| v.labels.as_ref()),
        devices: &devices,
        own: &own,
    };
    let cameras = camera::cameras(&mut cx, raw, &station, &vias, known);
    let listener = link::listener_passwords(&mut cx, raw, links.listener, &devices, &cameras);
    let written = raw.calendar.as_ref();
    let calendars = calendar::calendars(&mut cx, written, &station, own, &cameras);
    let streams = stream::streams(&mut cx, raw, &devices);
    let local = line::Local {
        station: &station,
        days: &calendars.days,
    };
    let profile = station::platform(&mut cx, raw.platform.as_ref()).map(Arc::new);
    let uplinks = uplink::uplinks(&mut cx, raw, local, &streams, profile.as_ref());
    let verdicts = commands::verdicts(&mut cx, raw.verdicts.as_ref());
    let commands = commands::commands(&mut cx, raw.commands.as_ref());
    let console = station::console(&mut cx, raw.console.as_ref(), listener.as_ref());
    let stop_deadline = station::stop(&mut cx, raw.stop.as_ref());
    Some(Config {
        station,
        storage,
        brokers: links.brokers,
        listener,
        buses: links.buses,
        cameras,
        calendars,
        vision: vision.map(|v| Vision {
            thumbnails: uplinks.iter().any(|u| u.line.pictures.are_small()),
            ..v.vision
        }),
        devices,
        streams,
        uplinks,
        verdicts,
        commands,
        profile: profile?,
        console,
        stop_deadline,
        hash: document.hash(),
    })
}

/// What only the station's own machine can tell.
pub(super) fn on_site(
    config: &Config,
    document: &Document<'_>,
    base_dir: &Path,
    faults: &mut Faults,
) {
    let mut cx = Checker {
        document,
        faults,
        base_dir,
    };
    station::storage_writable(&mut cx, &config.storage);
    calendar::on_site(&mut cx, &config.calendars, jiff::Timestamp::now());
    if let Some(vision) = &config.vision {
        camera::model_loads(&mut cx, vision);
    }
}

/// Where a check reports, and what it needs to do so.
struct Checker<'c, 'd> {
    document: &'c Document<'d>,
    faults: &'c mut Faults,
    /// Relative paths start here: the directory of the file.
    base_dir: &'c Path,
}

/// Names seen so far, and the line of each.
type Seen = HashMap<String, usize>;

impl Checker<'_, '_> {
    fn error(&mut self, at: At<'_>, message: impl Into<String>, help: impl Into<String>) {
        let help = Some(help.into()).filter(|h| !h.is_empty());
        let fault = self
            .document
            .fault_at(at, message.into(), help, Level::Error);
        self.faults.push(fault);
    }

    fn warn(&mut self, at: At<'_>, message: impl Into<String>, help: impl Into<String>) {
        let help = Some(help.into()).filter(|h| !h.is_empty());
        let fault = self
            .document
            .fault_at(at, message.into(), help, Level::Warning);
        self.faults.push(fault);
    }

    /// A reference to something that is not there.
    fn unknown<'k>(
        &mut self,
        at: At<'_>,
        what: &str,
        name: &str,
        known: impl Iterator<Item = &'k str> + Clone,
        table: &str,
    ) {
        /// A longer list helps nobody.
        const LISTED: usize = 12;
        let help = match suggest::nearest(name, known.clone()) {
            Some(nearest) => format!("did you mean \"{nearest}\"?"),
            None => match known.clone().take(LISTED).collect::<Vec<_>>() {
                none if none.is_empty() => format!("there is none yet; add {table}"),
                some if some.len() == LISTED => format!("known: {}, …", some.join(", ")),
                some => format!("known: {}", some.join(", ")),
            },
        };
        self.error(at, format!("there is no {what} \"{name}\""), help);
    }

    /// Reports a name that was there before.
    fn unique(&mut self, seen: &mut Seen, at: At<'_>, what: &str, name: &str) -> bool {
        if name.is_empty() {
            return true;
        }
        let line = self.document.line(at);
        match seen.get(name) {
            Some(first) => {
                let help = format!("the first is in line {first}");
                self.error(at, format!("{what} \"{name}\" is there twice"), help);
                false
            }
            None => {
                seen.insert(name.to_owned(), line);
                true
            }
        }
    }

    fn chars(&mut self, at: At<'_>, text: &str, range: &RangeInclusive<usize>) {
        let n = text.chars().count();
        if !range.contains(&n) {
            let (low, high) = (range.start(), range.end());
            let message = format!(
                "`{}` has {n} characters, it must have {low} to {high}",
                at.last_key()
            );
            self.error(at, message, "");
        }
        if text.chars().any(char::is_control) {
            let message = format!("`{}` contains a control character", at.last_key());
            self.error(at, message, "");
        }
    }

    fn optional_text(
        &mut self,
        at: At<'_>,
        text: Option<&String>,
        range: &RangeInclusive<usize>,
    ) -> Option<String> {
        let text = text?;
        self.chars(at, text, range);
        Some(text.clone())
    }

    /// An id or name that stands in topics and file names; empty if it was not there.
    fn id(&mut self, at: At<'_>, text: Option<&String>) -> Arc<str> {
        match text {
            Some(text) => {
                self.id_text(at, text);
                text.as_str().into()
            }
            None => "".into(),
        }
    }

    /// Whether the shape check took something away here, and said so.
    fn was_reported(&self, at: At<'_>) -> bool {
        self.document.removed(at)
    }

    fn id_text(&mut self, at: At<'_>, text: &str) -> bool {
        let n = text.chars().count();
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if let Some(bad) = text.chars().find(|&c| !good(c)) {
            let message = format!("`{}` contains {bad:?}", at.last_key());
            let help = "letters a-z and A-Z, digits, `.`, `_` and `-` are allowed; put other \
                        words into `name`";
            self.error(at, message, help);
            return false;
        }
        if !limits::ID_CHARS.contains(&n) || text.starts_with('.') {
            let (low, high) = (limits::ID_CHARS.start(), limits::ID_CHARS.end());
            let message = format!(
                "`{}` must have {low} to {high} characters and not start with a dot",
                at.last_key()
            );
            self.error(at, message, "");
            return false;
        }
        true
    }

    fn quantity<T: PartialOrd + Copy>(
        &mut self,
        at: At<'_>,
        text: &str,
        parse: fn(&str) -> Result<T, UnitError>,
        show: fn(T) -> String,
        range: &RangeInclusive<T>,
    ) -> Option<T> {
        let (low, high) = (show(*range.start()), show(*range.end()));
        match parse(text) {
            Ok(value) if range.contains(&value) => Some(value),
            Ok(_) => {
                let message = format!(
                    "`{}` is {text}, it must be from {low} to {high}",
                    at.last_key()
                );
                self.error(at, message, "");
                None
            }
            Err(error) => {
                let message = format!("`{}` is \"{text}\": {error}", at.last_key());
                self.error(at, message, format!("from \"{low}\" to \"{high}\""));
                None
            }
        }
    }

    fn duration(
        &mut self,
        at: At<'_>,
        text: Option<&DurationText>,
        default: Duration,
        range: &RangeInclusive<Duration>,
    ) -> Duration {
        text.and_then(|t| self.quantity(at, &t.0, units::duration, units::show_duration, range))
            .unwrap_or(default)
    }

    fn size(
        &mut self,
        at: At<'_>,
        text: Option<&SizeText>,
        default: u64,
        range: &RangeInclusive<u64>,
    ) -> u64 {
        text.and_then(|t| self.quantity(at, &t.0, units::size, units::show_size, range))
            .unwrap_or(default)
    }

    fn length_mm(
        &mut self,
        at: At<'_>,
        text: &LengthText,
        range: &RangeInclusive<f64>,
    ) -> Option<f64> {
        self.quantity(at, &text.0, units::length_mm, units::show_length, range)
    }

    /// A path as the file means it.
    fn path(&self, text: &str) -> PathBuf {
        self.base_dir.join(text)
    }

    /// Opens a regular file, or says why not.
    fn open(&mut self, at: At<'_>, path: &Path) -> Option<File> {
        let key = at.last_key();
        let shown = path.display();
        // Asked first, because opening a FIFO would wait for ever.
        let reason = match std::fs::metadata(path) {
            Ok(meta) if meta.is_file() => match File::open(path) {
                Ok(file) => return Some(file),
                Err(error) => error.to_string(),
            },
            Ok(_) => "it is no regular file".to_owned(),
            Err(error) => error.to_string(),
        };
        let message = format!("cannot read `{key}` {shown}: {reason}");
        let written = self.document.text_at(at).unwrap_or("/");
        let help = if Path::new(written).is_relative() {
            format!("relative paths start at {}", self.base_dir.display())
        } else {
            String::new()
        };
        self.error(at, message, help);
        None
    }

    /// A file that has to be there and readable.
    fn file(&mut self, at: At<'_>, text: &str) -> PathBuf {
        let path = self.path(text);
        let _ = self.open(at, &path);
        path
    }

    fn read(&mut self, at: At<'_>, text: &str, most: u64) -> Option<Vec<u8>> {
        let path = self.path(text);
        let file = self.open(at, &path)?;
        let mut bytes = Vec::new();
        let result = file.take(most + 1).read_to_end(&mut bytes);
        let reason = match result {
            Ok(n) if n as u64 <= most => return Some(bytes),
            Ok(_) => format!("it is larger than {}", units::show_size(most)),
            Err(error) => error.to_string(),
        };
        let shown = path.display();
        let message = format!("cannot read `{}` {shown}: {reason}", at.last_key());
        self.error(at, message, "");
        None
    }

    fn read_text(&mut self, at: At<'_>, text: &str, most: u64) -> Option<String> {
        let bytes = self.read(at, text, most)?;
        let read = String::from_utf8(bytes).ok();
        if read.is_none() {
            let shown = self.path(text);
            self.error(at, format!("{} is not UTF-8 text", shown.display()), "");
        }
        read
    }

    /// A secret's file must not be for everyone: no writing by the group, nothing for others.
    fn private(&mut self, at: At<'_>, text: &str) {
        const FORBIDDEN: u32 = 0o027;
        let path = self.path(text);
        let Ok(meta) = std::fs::metadata(&path) else {
            return; // Reported where it is read.
        };
        let mode = meta.permissions().mode() & 0o777;
        if mode & FORBIDDEN != 0 {
            let shown = path.display();
            let message = format!("{shown} is a secret, but its mode is {mode:o}");
            self.error(at, message, format!("chmod 640 {shown}, or 600"));
        }
    }

    /// A password or token from a file: its first line.
    fn secret(&mut self, at: At<'_>, text: &str) -> String {
        let Some(secret) = self.read_text(at, text, limits::SECRET_BYTES) else {
            return String::new();
        };
        self.private(at, text);
        let secret = secret.trim_end_matches(['\n', '\r']);
        if secret.is_empty() || secret.contains(char::is_control) {
            let shown = self.path(text);
            let message = format!("{} must hold one line with the secret", shown.display());
            self.error(at, message, "");
        }
        secret.to_owned()
    }

    /// Keys that do nothing here, because something else was chosen.
    fn useless(&mut self, at: At<'_>, keys: &[(&str, bool)], why: &str) {
        for (key, present) in keys {
            if *present {
                self.error(
                    at.key(key),
                    format!("`{key}` does nothing here: {why}"),
                    "remove it",
                );
            }
        }
    }
}

/// MQTT topics that something is published on.
fn topic_fault(topic: &str) -> Option<&'static str> {
    if topic.contains(['+', '#']) {
        Some("a wildcard stands for many topics, and one device publishes on one")
    } else if topic.contains('\0') || topic.chars().any(char::is_control) {
        Some("it contains a control character")
    } else if topic.starts_with('$') {
        Some("topics that start with `$` belong to the broker")
    } else if !limits::TOPIC_BYTES.contains(&topic.len()) {
        Some("it must have 1 to 256 bytes")
    } else if topic.starts_with('/') || topic.ends_with('/') || topic.contains("//") {
        Some("it has an empty level, which is a typing mistake more often than a wish")
    } else {
        None
    }
}
