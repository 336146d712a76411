//! What the line to a platform can bear.

use jiff::tz::TimeZone;

use crate::calendar::Calendar;

/// Bytes of a piece when nothing is written.
pub const CHUNK: u64 = 64 * 1024;

/// See the module.
#[derive(Clone, Debug)]
pub struct Line {
    /// Largest piece of a picture, bytes; a slow line is sent smaller ones.
    pub chunk: u64,
    pub pictures: Pictures,
    pub budget: Option<Budget>,
    /// When what can wait may go; at all times if there is none.
    pub windows: Option<Calendar>,
    /// Of days and months.
    pub time_zone: TimeZone,
}

impl Default for Line {
    /// A line that bears everything at all times.
    fn default() -> Self {
        Line {
            chunk: CHUNK,
            pictures: Pictures::Full,
            budget: None,
            windows: None,
            time_zone: TimeZone::UTC,
        }
    }
}

/// Which pictures go with an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pictures {
    /// The pictures themselves, before the alert.
    #[default]
    Full,
    /// A small one before the alert, the picture itself afterwards.
    ThumbnailFirst,
    /// A small one before the alert, the picture itself if the platform asks for it.
    ThumbnailOnly,
}

impl Pictures {
    /// Whether small ones are wanted at all.
    pub fn are_small(self) -> bool {
        self != Pictures::Full
    }

    /// Whether the pictures themselves follow by themselves.
    pub fn come_later(self) -> bool {
        self == Pictures::ThumbnailFirst
    }
}

/// Bytes that a line may carry in a time, in both directions together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub bytes: u64,
    pub per: Period,
}

/// Of the station's own calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    Day,
    Month,
}

impl Period {
    /// The word in a configuration file.
    pub fn word(self) -> &'static str {
        match self {
            Period::Day => "day",
            Period::Month => "month",
        }
    }
}
