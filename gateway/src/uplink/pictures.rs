//! Pictures that alerts in memory name: which are still to be sent, and which the receiver has.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use super::lane::{Course, State};

/// Delivered pictures that are remembered after their alert is settled, because the alert's
/// later messages name them again: 1,024 hashes, 100 KB.
const REMEMBERED: usize = 1_024;

#[derive(Debug)]
struct Picture {
    course: Course,
    /// Order of first naming.
    order: u64,
    /// Alerts in memory that name it.
    users: usize,
    media_type: String,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Pictures {
    by_hash: HashMap<Arc<str>, Picture>,
    ready: BTreeMap<u64, Arc<str>>,
    named: u64,
    flying: usize,
    delivered: VecDeque<Arc<str>>,
    remembered: HashSet<Arc<str>>,
}

impl Pictures {
    /// An alert that came into memory names this picture.
    pub fn want(&mut self, sha256: &Arc<str>, media_type: String) {
        if let Some(picture) = self.by_hash.get_mut(sha256) {
            picture.users += 1;
            return;
        }
        let order = self.named;
        self.named += 1;
        let mut course = Course::new();
        if self.remembered.contains(sha256) {
            course.state = State::Done { delivered: true };
        } else {
            self.ready.insert(order, sha256.clone());
        }
        self.by_hash.insert(
            sha256.clone(),
            Picture {
                course,
                order,
                users: 1,
                media_type,
            },
        );
    }

    /// How many alerts in memory name it.
    pub fn users(&self, sha256: &str) -> usize {
        self.by_hash.get(sha256).map_or(0, |p| p.users)
    }

    /// An alert that named it left memory; the last one takes it along.
    pub fn release(&mut self, sha256: &str) {
        let Some(picture) = self.by_hash.get_mut(sha256) else {
            return;
        };
        picture.users -= 1;
        if picture.users == 0 {
            self.ready.remove(&picture.order);
            self.by_hash.remove(sha256);
        }
    }

    /// Whether an alert that names it may go: the receiver has it, will not have it, or was
    /// silent about it once.
    pub fn clear(&self, sha256: &str) -> bool {
        self.by_hash
            .get(sha256)
            .is_none_or(|p| matches!(p.course.state, State::Done { .. } | State::Resting { .. }))
    }

    /// The next to send.
    pub fn next(&self) -> Option<Arc<str>> {
        self.ready
            .first_key_value()
            .map(|(_, sha256)| sha256.clone())
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
            self.ready.insert(picture.order, sha256.clone());
        } else {
            self.ready.remove(&picture.order);
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
