//! From a file, or a text, to a configuration.

use std::{io::Read, path::Path};

use serde::Deserialize;

use super::{
    Config, check,
    document::Document,
    faults::{Fault, Faults, Level},
    limits,
    raw::RawConfig,
    shape, units,
};

/// What there is to say about a file.
#[derive(Debug)]
pub struct Inspection {
    /// There when the file has no error.
    pub config: Option<Config>,
    /// Errors and warnings, in the order of the file.
    pub faults: Faults,
}

/// Reads and checks a station's file. Warnings go to the log.
///
/// # Errors
/// Every fault of the file at once, each with its place and what to do about it.
pub fn load(path: &Path) -> Result<Config, Faults> {
    usable(inspect(path, false))
}

/// Checks a text; `origin` names it in faults, relative paths in it start at `base_dir`.
/// Warnings go to the log.
///
/// # Errors
/// Every fault of the text at once.
pub fn parse(text: &str, origin: &str, base_dir: &Path) -> Result<Config, Faults> {
    usable(inspect_text(text, origin, base_dir, false))
}

fn usable(inspection: Inspection) -> Result<Config, Faults> {
    let Inspection { config, faults } = inspection;
    let Some(config) = config else {
        return Err(faults);
    };
    for warning in faults.warnings() {
        tracing::warn!(
            file = %warning.file,
            line = warning.line,
            key = warning.key,
            "configuration: {}",
            warning.message
        );
    }
    Ok(config)
}

/// Reads and checks a station's file and keeps the warnings. `on_site` tries besides what only
/// the station's own machine can tell: whether the storage can be written.
pub fn inspect(path: &Path, on_site: bool) -> Inspection {
    let origin = path.display().to_string();
    match read(path) {
        Ok(text) => {
            let base_dir = path.parent().filter(|p| !p.as_os_str().is_empty());
            let base_dir = base_dir.unwrap_or(Path::new("."));
            inspect_text(&text, &origin, base_dir, on_site)
        }
        Err(reason) => {
            let help = "`wangge config sample > station.toml` writes one to start from";
            let message = format!("cannot read the configuration: {reason}");
            let mut faults = Faults::default();
            faults.push(Fault::of_file(&origin, message, Some(help.to_owned())));
            Inspection {
                config: None,
                faults,
            }
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    file.take(limits::FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| e.to_string())?;
    if bytes.len() as u64 > limits::FILE_BYTES {
        let most = units::show_size(limits::FILE_BYTES);
        return Err(format!("it is larger than {most}"));
    }
    text_of(bytes)
}

/// The bytes as text, or the line that is none: files come from editors that write GBK.
pub(super) fn text_of(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..valid).unwrap_or_default();
        let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
        format!("line {line} is not UTF-8; save the file as UTF-8")
    })
}

pub(super) fn inspect_text(text: &str, origin: &str, base_dir: &Path, on_site: bool) -> Inspection {
    let mut faults = Faults::default();
    let mut document = Document::parse(text, origin, &mut faults);
    // After a fault of syntax, keys may stand in the wrong table: what follows would mislead.
    let syntax = faults.errors().next().is_some();
    let mut config = None;
    if !syntax {
        shape::check(&mut document, &shape::STATION, &mut faults);
        match RawConfig::deserialize(toml::Deserializer::from(document.root.clone())) {
            Ok(raw) => {
                let checked = check::config(&raw, &document, base_dir, &mut faults);
                if let Some(checked) = &checked
                    && on_site
                {
                    check::on_site(checked, &document, base_dir, &mut faults);
                }
                config = checked;
            }
            Err(error) => {
                let span = error.span().unwrap_or_default();
                let message = error.message().to_owned();
                faults.push(document.fault_in(span, String::new(), message, None, Level::Error));
            }
        }
    }
    faults.sort();
    Inspection {
        config: config.filter(|_| faults.errors().next().is_none()),
        faults,
    }
}

/// Where the console of the station with this file listens, as far as the file can be read: for
/// asking a running gateway, whoever may not read its secrets included.
///
/// # Errors
/// One sentence, when the file cannot be read or names no address.
pub fn console_address(path: &Path) -> Result<std::net::SocketAddr, String> {
    let text = read(path).map_err(|reason| format!("{}: {reason}", path.display()))?;
    let table: toml::Table =
        toml::from_str(&text).map_err(|e| format!("{}: {}", path.display(), e.message()))?;
    let console = table.get("console").and_then(|c| c.get("listen"));
    match console.map_or(Some(check::CONSOLE), toml::Value::as_str) {
        Some("off") => Err(format!("{} switches the console off", path.display())),
        text => text
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| format!("{}: `console.listen` is no address", path.display())),
    }
}

/// A file to start from, with an explanation of every table.
pub fn sample() -> &'static str {
    include_str!("../../station.sample.toml")
}

/// JSON Schema of a station's file, for editors.
pub fn schema() -> serde_json::Value {
    shape::STATION.clone()
}
