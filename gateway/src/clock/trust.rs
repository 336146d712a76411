//! How far the time of day can be believed; pure.
//!
//! Three witnesses are heard: the time of day, the kernel's steady clock, which no setting moves,
//! and whether the kernel's time is disciplined by a source. What is before the program was
//! built, or before a time that was once known to be right, is wrong. A clock that was believed
//! and then leaps away from the steady clock is not believed until it comes back, or a time
//! source says so.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use wangge_protocol::ClockQuality;

/// A clock that leaps further than this without a time source is not believed, ms. Nobody's
/// clock drifts so far unnoticed, and no calendar is so exact that less would matter.
pub const LEAP_MS: i64 = 600_000;
/// A setting of the clock by more than this is told, ms; less is the source's fine work.
pub const STEP_MS: i64 = 2_000;
/// A synchronised time is noted so often, as the floor of later starts.
const NOTE_EVERY: Duration = Duration::from_secs(3_600);

/// State keys; their values are JSON.
const FLOOR: &[u8] = b"clock/floor";
const OWED: &[u8] = b"clock/owed";

/// When the program was built: every clock that says less is wrong.
pub fn built() -> Timestamp {
    let seconds = env!("WANGGE_BUILT").parse();
    seconds
        .ok()
        .and_then(|s| Timestamp::from_second(s).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// What the witnesses say at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub wall: Timestamp,
    /// Since the machine started.
    pub uptime: Duration,
    /// A time source disciplines the kernel's clock.
    pub synchronised: bool,
}

impl Reading {
    /// The time of day at which the machine started, by this clock, Unix ms.
    fn zero(&self) -> i64 {
        self.wall.as_millisecond() - millis(self.uptime)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// What a message says of the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub quality: ClockQuality,
    /// The kernel's id of this start.
    pub boot: Arc<str>,
    pub uptime_ms: u64,
}

/// Something that the platform must hear about the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub quality: ClockQuality,
    pub boot: Arc<str>,
    /// When the machine started, by the clock as it is now.
    pub booted_at: Timestamp,
    /// What the clock says now minus what it would say had it not been set.
    pub offset: SignedDuration,
}

/// A value to store; `None` removes.
pub type StateChange = (Vec<u8>, Option<Vec<u8>>);

#[derive(Debug, Serialize, Deserialize)]
struct Floor {
    /// A time that was right.
    at: Timestamp,
}

/// A clock that is not believed: of which start, and what it said. Times that were written by it
/// can be put right when it is known when that start really was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    boot: Arc<str>,
    /// When the machine started, by that clock, Unix ms.
    zero: i64,
}

impl Change {
    /// What to add to times that were written by a doubted clock; `None` if it is another start's.
    pub fn mends(&self, doubt: &Doubt) -> Option<SignedDuration> {
        let ours = doubt.boot == self.boot;
        ours.then(|| SignedDuration::from_millis(self.booted_at.as_millisecond() - doubt.zero))
    }
}

/// The judge.
#[derive(Debug)]
pub struct Trust {
    boot: Arc<str>,
    floor: Timestamp,
    /// What was read last.
    last: Option<Reading>,
    quality: ClockQuality,
    /// [`Reading::zero`] when the clock was last believed.
    anchor: Option<i64>,
    /// It leapt; whether the kernel called it synchronised all the same.
    leapt: Option<bool>,
    /// The doubt in which the first message was made that nobody has put right yet.
    owed: Option<Doubt>,
    noted: Option<Duration>,
}

impl Trust {
    /// Before the first reading; `state` is the spool's.
    pub fn restore(boot: &str, state: &[(Vec<u8>, Vec<u8>)]) -> Trust {
        fn stored<T: for<'d> Deserialize<'d>>(
            state: &[(Vec<u8>, Vec<u8>)],
            key: &[u8],
        ) -> Option<T> {
            let (_, value) = state.iter().find(|(k, _)| k == key)?;
            // What cannot be read says nothing; the build time still does.
            serde_json::from_slice(value).ok()
        }
        let floor = stored::<Floor>(state, FLOOR).map_or(Timestamp::MIN, |floor| floor.at);
        Trust {
            boot: boot.into(),
            floor: floor.max(built()),
            last: None,
            quality: ClockQuality::Unknown,
            anchor: None,
            leapt: None,
            owed: stored::<Doubt>(state, OWED),
            noted: None,
        }
    }

    /// How far the clock is believed, by the last reading.
    pub fn quality(&self) -> ClockQuality {
        self.quality
    }

    /// Whether times of day are times of day.
    pub fn is_known(&self) -> bool {
        self.quality != ClockQuality::Unknown
    }

    /// Hears the witnesses. Returns what the platform must be told; what must be stored is
    /// appended to `state`.
    pub fn observe(&mut self, reading: Reading, state: &mut Vec<StateChange>) -> Option<Change> {
        let before = self.last.replace(reading);
        self.quality = self.judge(reading, before);
        if !self.is_known() {
            return None;
        }
        let zero = reading.zero();
        let was = self.anchor.replace(zero);
        self.note(reading, state);

        let owed = self.owed.take();
        if owed.is_some() {
            state.push((OWED.to_vec(), None));
        }
        let owed = owed.filter(|owed| owed.boot == self.boot);
        let set = was.filter(|was| (zero - was).abs() >= STEP_MS);
        let from = owed.map(|owed| owed.zero).or(set)?;
        Some(Change {
            quality: self.quality,
            boot: self.boot.clone(),
            booted_at: Timestamp::from_millisecond(zero).unwrap_or(reading.wall),
            offset: SignedDuration::from_millis(zero - from),
        })
    }

    fn judge(&mut self, reading: Reading, before: Option<Reading>) -> ClockQuality {
        if reading.wall < built() {
            // A time source that says this is no better than none.
            return ClockQuality::Unknown;
        }
        let zero = reading.zero();
        let away = self.anchor.map_or(0, |anchor| (zero - anchor).abs());
        let regained = reading.synchronised && before.is_some_and(|before| !before.synchronised);
        if away > LEAP_MS && !regained && self.leapt.is_none() {
            self.leapt = Some(reading.synchronised);
        }
        if let Some(synchronised_then) = self.leapt {
            let vouched = match synchronised_then {
                // The kernel had not noticed; its word counts again when it is given anew.
                true => regained,
                false => reading.synchronised,
            };
            if away > LEAP_MS && !vouched {
                return ClockQuality::Unknown;
            }
            self.leapt = None;
        }
        match reading.synchronised {
            true => ClockQuality::Synchronised,
            false if reading.wall < self.floor => ClockQuality::Unknown,
            false => ClockQuality::Held,
        }
    }

    /// Notes a time that is known to be right, at first and then every hour. It may be earlier
    /// than the one noted before: that was wrong then.
    fn note(&mut self, reading: Reading, state: &mut Vec<StateChange>) {
        let due = self
            .noted
            .is_none_or(|at| reading.uptime.saturating_sub(at) >= NOTE_EVERY);
        if self.quality != ClockQuality::Synchronised || !due {
            return;
        }
        self.noted = Some(reading.uptime);
        self.floor = reading.wall;
        let floor = Floor { at: reading.wall };
        // A timestamp: this cannot fail.
        let value = serde_json::to_vec(&floor).unwrap_or_default();
        state.push((FLOOR.to_vec(), Some(value)));
    }

    /// The clock as it is now, if it is not believed.
    pub fn doubt(&self) -> Option<Doubt> {
        let reading = self.last.filter(|_| !self.is_known())?;
        Some(Doubt {
            boot: self.boot.clone(),
            zero: reading.zero(),
        })
    }

    /// For a message that is made now; what must be stored with it is appended to `state`.
    pub fn stamp(&mut self, state: &mut Vec<StateChange>) -> Stamp {
        let is_owed = self
            .owed
            .as_ref()
            .is_some_and(|owed| owed.boot == self.boot);
        if let Some(doubt) = self.doubt().filter(|_| !is_owed) {
            // A string and a number: this cannot fail.
            let value = serde_json::to_vec(&doubt).unwrap_or_default();
            state.push((OWED.to_vec(), Some(value)));
            self.owed = Some(doubt);
        }
        let uptime = self.last.map_or(Duration::ZERO, |reading| reading.uptime);
        Stamp {
            quality: self.quality,
            boot: self.boot.clone(),
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests;
