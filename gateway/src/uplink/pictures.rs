//! Pictures that messages in memory name: which are still to be sent, and which the receiver has.
//!
//! An alert's own pictures and those that the platform asked for are *urgent*: they go before
//! anything but alerts. Those that may come later, because a thumbnail went ahead, are *late*.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use super::{
    lane::{Course, State},
    link::Piece,
};

/// Delivered pictures that are remembered after their alert is settled, because the alert's
/// later messages name them again: 1,024 hashes, 100 KB.
const REMEMBERED: usize = 1_024;

#[derive(Debug)]
struct Picture {
    course: Course,
    /// Order of first naming.
    order: u64,
    /// Alerts in memory that wait for it.
    users: usize,
    /// Records in memory that stand for it, with no alert waiting.
    late_users: usize,
    /// The platform asked for it.
    asked: bool,
    media_type: String,
    /// Bytes.
    total: u64,
    /// What the receiver has of it, if that is known.
    held: Option<u64>,
    /// What was sent last.
    piece: Piece,
    /// Questions in a row that nobody answered.
    unanswered: u32,
}

impl Picture {
    fn key(&self) -> (bool, u64) {
        (self.users == 0 && !self.asked, self.order)
    }
}

/// Who wants a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// An alert that waits for it.
    Alert,
    /// A record that stands for it.
    Late,
    /// The platform, which asked.
    Platform,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Pictures {
    by_hash: HashMap<Arc<str>, Picture>,
    /// Urgent ones first, then in the order of naming.
    ready: BTreeMap<(bool, u64), Arc<str>>,
    named: u64,
    flying: usize,
    delivered: VecDeque<Arc<str>>,
    remembered: HashSet<Arc<str>>,
}

impl Pictures {
    /// Somebody wants this picture of `total` bytes.
    pub fn want(&mut self, sha256: &Arc<str>, media_type: String, total: u64, whose: Whose) {
        if !self.by_hash.contains_key(sha256) {
            let mut course = Course::new();
            // Who asks says that it is not there.
            if self.remembered.contains(sha256) && whose != Whose::Platform {
                course.state = State::Done { delivered: true };
            }
            let picture = Picture {
                course,
                order: self.named,
                users: 0,
                late_users: 0,
                asked: false,
                media_type,
                total,
                held: None,
                piece: Piece::Whole,
                unanswered: 0,
            };
            self.named += 1;
            self.by_hash.insert(sha256.clone(), picture);
        }
        self.change(sha256, |picture| match whose {
            Whose::Alert => picture.users += 1,
            Whose::Late => picture.late_users += 1,
            Whose::Platform => picture.asked = true,
        });
    }

    /// Changes who wants it, and its place among those that are ready with it.
    fn change(&mut self, sha256: &Arc<str>, change: impl FnOnce(&mut Picture)) {
        let Some(picture) = self.by_hash.get_mut(sha256) else {
            return;
        };
        self.ready.remove(&picture.key());
        change(picture);
        if picture.course.state == State::Ready {
            self.ready.insert(picture.key(), sha256.clone());
        }
    }

    /// How many want it.
    pub fn users(&self, sha256: &str) -> usize {
        self.by_hash
            .get(sha256)
            .map_or(0, |p| p.users + p.late_users + usize::from(p.asked))
    }

    /// One of them no longer does; the last one takes it along.
    pub fn release(&mut self, sha256: &Arc<str>, whose: Whose) {
        self.change(sha256, |picture| match whose {
            Whose::Alert => picture.users = picture.users.saturating_sub(1),
            Whose::Late => picture.late_users = picture.late_users.saturating_sub(1),
            Whose::Platform => picture.asked = false,
        });
        if self.users(sha256) == 0
            && let Some(picture) = self.by_hash.remove(sha256)
        {
            self.ready.remove(&picture.key());
        }
    }

    /// Whether the platform asked for it.
    pub fn is_asked(&self, sha256: &str) -> bool {
        self.by_hash.get(sha256).is_some_and(|p| p.asked)
    }

    /// How many the platform asked for and has not got.
    pub fn asked(&self) -> usize {
        self.by_hash.values().filter(|p| p.asked).count()
    }

    /// Whether an alert that names it may go: the receiver has it, will not have it, or was
    /// silent about it once.
    pub fn clear(&self, sha256: &str) -> bool {
        self.by_hash
            .get(sha256)
            .is_none_or(|p| matches!(p.course.state, State::Done { .. } | State::Resting { .. }))
    }

    /// The next to send; `late` says whether it may be one that nobody waits for.
    pub fn next(&self, late: bool) -> Option<Arc<str>> {
        let ((is_late, _), sha256) = self.ready.first_key_value()?;
        (late || !is_late).then(|| sha256.clone())
    }

    /// Bytes of the whole.
    pub fn total(&self, sha256: &str) -> u64 {
        self.by_hash.get(sha256).map_or(0, |p| p.total)
    }

    /// What the receiver has of it, if that is known.
    pub fn held(&self, sha256: &str) -> Option<u64> {
        self.by_hash.get(sha256)?.held
    }

    /// Notes what the receiver has of it; `None` to ask again.
    pub fn set_held(&mut self, sha256: &str, held: Option<u64>) {
        if let Some(picture) = self.by_hash.get_mut(sha256) {
            picture.held = held;
        }
    }

    /// Nobody can be sure any more what the receiver has.
    pub fn forget_held(&mut self) {
        self.by_hash.values_mut().for_each(|p| p.held = None);
    }

    /// What was sent of it last.
    pub fn piece(&self, sha256: &str) -> Piece {
        self.by_hash.get(sha256).map_or(Piece::Whole, |p| p.piece)
    }

    /// Notes what is sent of it now.
    pub fn set_piece(&mut self, sha256: &str, piece: Piece) {
        if let Some(picture) = self.by_hash.get_mut(sha256) {
            picture.piece = piece;
        }
    }

    /// Questions about it in a row that nobody answered.
    pub fn unanswered(&self, sha256: &str) -> u32 {
        self.by_hash.get(sha256).map_or(0, |p| p.unanswered)
    }

    /// Counts a question that nobody answered, or one that somebody did.
    pub fn set_unanswered(&mut self, sha256: &str, unanswered: u32) {
        if let Some(picture) = self.by_hash.get_mut(sha256) {
            picture.unanswered = unanswered;
        }
    }

    /// How many are on their way or wait for their receipt.
    pub fn flying(&self) -> usize {
        self.flying
    }

    /// e.g. `image/jpeg`, as the alert says.
    pub fn media_type(&self, sha256: &str) -> Option<&str> {
        self.by_hash.get(sha256).map(|p| p.media_type.as_str())
    }

    pub fn get(&self, sha256: &str) -> Option<(&Arc<str>, &Course)> {
        self.by_hash
            .get_key_value(sha256)
            .map(|(sha256, p)| (sha256, &p.course))
    }

    pub fn get_mut(&mut self, sha256: &str) -> Option<&mut Course> {
        self.by_hash.get_mut(sha256).map(|p| &mut p.course)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Course)> {
        self.by_hash.iter().map(|(sha256, p)| (sha256, &p.course))
    }

    /// Keeps the ready set, the count and the memory in step with a change of state.
    pub fn moved(&mut self, sha256: &Arc<str>, before: State, next: State) {
        let Some(picture) = self.by_hash.get(sha256) else {
            return;
        };
        if next == State::Ready {
            self.ready.insert(picture.key(), sha256.clone());
        } else {
            self.ready.remove(&picture.key());
        }
        let flies = |s| usize::from(matches!(s, State::Handed { .. } | State::Awaiting { .. }));
        self.flying = self.flying + flies(next) - flies(before);
        match (before, next) {
            (State::Done { delivered: true }, _) => {
                self.remembered.remove(sha256);
            }
            (_, State::Done { delivered: true }) => {
                if self.remembered.insert(sha256.clone()) {
                    self.delivered.push_back(sha256.clone());
                }
                while self.delivered.len() > REMEMBERED {
                    if let Some(oldest) = self.delivered.pop_front() {
                        self.remembered.remove(&oldest);
                    }
                }
            }
            _ => {}
        }
    }
}
