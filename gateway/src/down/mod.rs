//! What comes back from a platform: verdicts on alerts, and commands. Pure.
//!
//! ```text
//! uplink --bytes--> inbox --Inbound--> engine: clerk (commands), book (verdicts) --> ledger
//!                                        |
//!                                        +--> Answer, through the spool like any message
//! ```
//! [`inbox`] takes messages apart; [`clerk`] decides whether a command may be carried out;
//! [`book`] keeps what was decided about which alert, and how often a rule was right.
//!
//! Nothing is done before it is on disk together with its answer, so a platform repeats what has
//! no answer, and a repeat has no further effect.

pub mod book;
pub mod clerk;
pub mod inbox;
pub mod precision;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::sync::oneshot;
use wangge_protocol::{AnswerAbout, Command, EvidenceRef, Verdict};

pub use book::Book;
pub use clerk::{Clerk, Order};

/// Account of answers, and end of their MQTT topic.
pub const ANSWERS: &str = "answers";
/// Verdicts and commands of one message at most.
pub const MAX_TOGETHER: usize = 256;
/// Longest message from a platform, bytes.
pub const MAX_BYTES: usize = 256 * 1024;
/// Letters of an id: printable ASCII, so that logs and files can hold it.
pub const MAX_ID: usize = 64;
/// Letters of a reason.
pub const MAX_REASON: usize = 600;
/// Letters of a number, a role.
pub const MAX_WORD: usize = 64;
/// Verdicts and commands a minute, of all uplinks; what comes beyond is not taken, and comes
/// again because it has no answer.
pub const PER_MINUTE: u32 = 600;
/// Answers that wait for their receipts at most; beyond, nothing is taken.
pub const MAX_HELD: u64 = 2_000;
/// A repeat that comes so soon after its answer is not answered again: the first is on its way.
pub const HUSH: Duration = Duration::from_secs(20);
/// What can wait for the engine.
pub const WAITING: usize = 512;

/// Something that came, and over which uplink, by its position in the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Inbound {
    pub uplink: u8,
    pub item: Item,
}

/// A verdict, a command, or what was meant to be one.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Verdict(Box<Verdict>),
    Command(Box<Command>),
    Misfit(Misfit),
}

/// It does not keep to the contract, but says who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    pub about: AnswerAbout,
    pub id: String,
    pub alert_id: Option<String>,
    /// What is wrong with it.
    pub reason: String,
}

/// Somebody wants a picture of a zone.
#[derive(Debug)]
pub struct Ask {
    pub camera: Arc<str>,
    pub zone: Arc<str>,
    /// The picture, kept, or why there is none.
    pub reply: oneshot::Sender<Result<EvidenceRef, String>>,
}

/// [`PER_MINUTE`] as a bucket that fills by the monotonic clock.
#[derive(Debug, Default)]
pub struct Gate {
    used: f64,
    at: Duration,
}

impl Gate {
    /// Whether one more may pass at `now` (monotonic).
    pub fn passes(&mut self, now: Duration) -> bool {
        let most = f64::from(PER_MINUTE);
        let minutes = now.saturating_sub(self.at).as_secs_f64() / 60.0;
        self.used = (self.used - minutes * most).max(0.0);
        self.at = now;
        let passes = self.used + 1.0 <= most;
        if passes {
            self.used += 1.0;
        }
        passes
    }
}

/// A change of what is stored: key, and value or removal.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// Whether an id can be answered at all.
fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// At most `most` letters, and none that moves a cursor.
fn is_text(text: &str, most: usize) -> bool {
    text.chars().count() <= most && !text.contains(char::is_control)
}

/// A moment, as messages write it.
fn moment(text: &str) -> Option<Timestamp> {
    (text.len() <= 40).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_lets_a_minutes_worth_pass() {
        let mut gate = Gate::default();
        let minute = Duration::from_secs(60);
        let passed =
            |gate: &mut Gate, now| (0..PER_MINUTE * 10).filter(|_| gate.passes(now)).count();
        assert_eq!(passed(&mut gate, minute), PER_MINUTE as usize);
        assert_eq!(passed(&mut gate, minute), 0);
        assert_eq!(passed(&mut gate, minute * 3 / 2), PER_MINUTE as usize / 2);
    }
}
