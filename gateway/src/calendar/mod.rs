//! When a zone may be used: weekly windows, holidays, permits. Pure; time is an argument.
//!
//! A zone's time is cut into phases without a gap or an overlap ([`Calendar::timeline`]): use is
//! permitted by a window or a permit, tolerated shortly before (set-up) or after (take-down), or
//! forbidden. What stands there is counted in forbidden time alone.
//!
//! Windows are local time of the station. Where clocks are set forward, a time that is skipped
//! is the moment of the jump; where they are set back, a window begins at the first of two equal
//! times and ends at the second. So a window is always one piece.

mod days;
mod gate;
mod permit;
#[cfg(test)]
mod tests;
mod timeline;
mod window;
mod words;

use std::{sync::Arc, time::Duration};

use jiff::{Timestamp, civil::DateTime, tz::AmbiguousOffset, tz::TimeZone};
use serde::{Deserialize, Serialize};

pub use days::{DateError, Dates, Days, WARN_DAYS, YEARS};
pub use gate::{Ended, Gate};
pub use permit::{MomentError, Permit, moment};
pub use window::{DAY_WORDS, MAX_DAYS, Window, WindowError};
pub use words::{Words, clock};

/// How far back the end of the last use is looked for: a week, and a day for its grace.
pub const LOOK_BACK: Duration = Duration::from_secs(8 * 86_400);
/// How far ahead a change is looked for: a year, and a month for good measure.
pub const LOOK_AHEAD: Duration = Duration::from_secs(400 * 86_400);

/// What is configured of one zone's times; it goes to the child as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    pub windows: Windows,
    /// Set-up is tolerated so long before use is permitted.
    pub grace_in: Duration,
    /// Take-down is tolerated so long after.
    pub grace_out: Duration,
}

/// What windows mean.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Windows {
    /// Forbidden at all times, but for permits.
    #[default]
    None,
    /// Permitted within.
    Allowed(Vec<Window>),
    /// Forbidden within, and nobody's business outside.
    Watched(Vec<Window>),
}

/// One zone's calendar.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    /// `camera/zone`, as permits name it.
    pub place: Arc<str>,
    pub hours: Hours,
    pub days: Arc<Days>,
    /// Those for this zone alone.
    pub permits: Vec<Permit>,
    pub time_zone: TimeZone,
}

impl Default for Calendar {
    /// Forbidden at all times.
    fn default() -> Self {
        Calendar {
            place: "".into(),
            hours: Hours::default(),
            days: Arc::default(),
            permits: Vec::new(),
            time_zone: TimeZone::UTC,
        }
    }
}

/// What permits a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// A window, by its place in the list.
    Window(usize),
    /// A permit, by its place in [`Calendar::permits`].
    Permit(usize),
    /// It is outside the watched hours.
    Unwatched,
}

/// What goes for a zone at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open(By),
    /// Use is about to be permitted.
    SetUp(By),
    /// Use has ended lately.
    TakeDown(By),
    Forbidden,
}

impl State {
    /// Whether what is there now counts against nobody.
    pub fn is_legal(self) -> bool {
        self != State::Forbidden
    }
}

/// A stretch of time in which one thing goes, from `from` up to but not at `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    pub state: State,
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Calendar {
    /// With other permits; those for other zones are passed over.
    pub fn with_permits<'p>(&self, permits: impl IntoIterator<Item = &'p Permit>) -> Calendar {
        let ours = permits.into_iter().filter(|p| p.is_for(&self.place));
        Calendar {
            permits: ours.cloned().collect(),
            ..self.clone()
        }
    }

    /// Whether anything is ever permitted.
    pub fn is_plain(&self) -> bool {
        self.hours.windows == Windows::None && self.permits.is_empty()
    }
}

/// Which of two equal local times, where clocks are set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// A beginning: the first.
    Start,
    /// An end: the second.
    End,
}

/// The moment of a local time. Beyond the years that can be told it is the nearest that can.
pub fn instant(zone: &TimeZone, local: DateTime, edge: Edge) -> Timestamp {
    let extreme = if local.year() < 1970 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    let with = |offset: jiff::tz::Offset| offset.to_timestamp(local).unwrap_or(extreme);
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => with(offset),
        AmbiguousOffset::Fold { before, .. } if edge == Edge::Start => with(before),
        AmbiguousOffset::Fold { after, .. } => with(after),
        AmbiguousOffset::Gap { after, .. } => {
            // By the later clock it is before the jump.
            let before = with(after);
            let jump = zone.following(before).next();
            jump.map_or(before, |jump| jump.timestamp())
        }
    }
}
