//! Holidays and permits of a station, and the file of permits that changes while it runs.

use std::{io::Read, path::PathBuf, sync::Arc};

use jiff::{Timestamp, tz::TimeZone};
use wangge_protocol::Text;

use super::{
    check,
    faults::{Fault, Faults},
    limits, load, units,
};
use crate::calendar::{Days, Permit};

/// What all zones share.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendars {
    pub days: Arc<Days>,
    /// Those of the station's own file.
    pub permits: Arc<[Permit]>,
    /// Where others are, read while the station runs.
    pub permits_file: Option<PathBuf>,
    /// Every zone, as permits name it.
    pub zones: Arc<[String]>,
    pub time_zone: TimeZone,
}

impl Default for Calendars {
    fn default() -> Self {
        Calendars {
            days: Arc::default(),
            permits: Arc::default(),
            permits_file: None,
            zones: Arc::default(),
            time_zone: TimeZone::UTC,
        }
    }
}

impl Calendars {
    /// The station's own permits and those of the file.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn read_permits(&self) -> Result<Arc<[Permit]>, Faults> {
        let Some(path) = &self.permits_file else {
            return Ok(self.permits.clone());
        };
        let origin = path.display().to_string();
        let of_file = |message: String, help: Option<&str>| {
            let mut faults = Faults::default();
            let help = help.map(str::to_owned);
            faults.push(Fault::of_file(&origin, message, help));
            faults
        };
        let message = |reason: String| format!("cannot read `permits_file`: {reason}");
        let unreadable = |reason: String| of_file(message(reason), None);
        // Asked first, because opening a FIFO would wait for ever.
        let meta = std::fs::metadata(path).map_err(|e| {
            let help = "a `[[permit]]` table for each permit; an empty file where there is none";
            let missing = e.kind() == std::io::ErrorKind::NotFound;
            of_file(message(e.to_string()), missing.then_some(help))
        })?;
        if !meta.is_file() {
            return Err(unreadable("it is no regular file".into()));
        }
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| {
                file.take(limits::CALENDAR_BYTES + 1)
                    .read_to_end(&mut bytes)
            })
            .map_err(|e| unreadable(e.to_string()))?;
        if bytes.len() as u64 > limits::CALENDAR_BYTES {
            let most = units::show_size(limits::CALENDAR_BYTES);
            return Err(unreadable(format!("it is larger than {most}")));
        }
        let text = load::text_of(bytes).map_err(unreadable)?;
        let mut permits = self.permits.to_vec();
        permits.extend(check::permits_file(&text, &origin, self)?);
        Ok(permits.into())
    }

    /// That the table of holidays ends soon, or has ended.
    pub fn days_end(&self, now: Timestamp) -> Option<Text> {
        let today = self.time_zone.to_datetime(now).date();
        let left = self.days.ends_in(today)?;
        let end = self.days.valid_until?;
        Some(if left < 0 {
            Text {
                zh: format!("节假日表已于{end}到期,之后只按星期判断"),
                en: format!("the table of holidays ended on {end}; days go by the week alone"),
            }
        } else {
            Text {
                zh: format!("节假日表将于{end}到期,还剩{left}天"),
                en: format!("the table of holidays ends on {end}, in {left} days"),
            }
        })
    }
}
