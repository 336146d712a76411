//! The queue's book-keeping: every state changes in one place.

use super::{
    super::{
        lane::{Course, Lane, State, Token},
        pictures::Whose,
    },
    Queue,
};
use crate::spool::{Class, Seq};

impl Queue {
    /// Whether it was there.
    pub(super) fn remove(&mut self, class: Class, seq: Seq) -> bool {
        self.set(&Token::Entry(class, seq), State::Ready);
        let lane = self.lane_mut(class);
        lane.ready.remove(&seq);
        let Some(item) = lane.items.remove(&seq) else {
            return false;
        };
        if let Some(sha256) = item.sha256
            && self.sent.get(&sha256) == Some(&(class, seq))
        {
            self.sent.remove(&sha256);
        }
        for sha256 in &item.pictures {
            let token = Token::Picture(sha256.clone());
            let done = matches!(
                self.course(&token).map(|c| c.state),
                Some(State::Done { .. })
            );
            if self.pictures.users(sha256) == 1 && !done {
                // Out of every count and timer before it goes.
                self.set(&token, State::Ready);
            }
            self.pictures.release(sha256, Whose::Alert);
        }
        true
    }

    /// The one place where a state changes: counts, timers and ready sets follow it.
    pub(super) fn set(&mut self, token: &Token, next: State) {
        let Some(course) = self.course_mut(token) else {
            return;
        };
        let flew = course.flying();
        let before = std::mem::replace(&mut course.state, next);
        let flies = course.flying();
        if let State::Resting { until: at, .. } | State::Awaiting { due: at, .. } = before {
            self.timers.remove(&(at, token.clone()));
        }
        if let State::Resting { until: at, .. } | State::Awaiting { due: at, .. } = next {
            self.timers.insert((at, token.clone()));
        }
        self.flying = self.flying + usize::from(flies) - usize::from(flew);
        match token {
            Token::Entry(class, seq) => {
                // On the link only; what waits for receipts is bounded by the lane.
                let handed = |s| usize::from(matches!(s, State::Handed { .. }));
                let (now, was) = (handed(next), handed(before));
                match class {
                    Class::Telemetry => self.flying_telemetry = self.flying_telemetry + now - was,
                    Class::Alert => self.flying_alerts = self.flying_alerts + now - was,
                    Class::Gap => {}
                }
                let ready = &mut self.lane_mut(*class).ready;
                if next == State::Ready {
                    ready.insert(*seq);
                } else {
                    ready.remove(seq);
                }
            }
            Token::Picture(sha256) => self.pictures.moved(sha256, before, next),
        }
    }

    pub(super) fn tokens(&self, which: impl Fn(&Course) -> bool) -> Vec<Token> {
        let entries = [Class::Alert, Class::Gap, Class::Telemetry]
            .into_iter()
            .flat_map(|class| {
                let items = self.lane(class).items.iter();
                items.map(move |(seq, item)| (Token::Entry(class, *seq), &item.course))
            });
        let pictures = self
            .pictures
            .iter()
            .map(|(sha256, course)| (Token::Picture(sha256.clone()), course));
        entries
            .chain(pictures)
            .filter(|(_, course)| which(course))
            .map(|(token, _)| token)
            .collect()
    }

    pub(super) fn course(&self, token: &Token) -> Option<&Course> {
        match token {
            Token::Entry(class, seq) => self.lane(*class).items.get(seq).map(|i| &i.course),
            Token::Picture(sha256) => self.pictures.get(sha256).map(|(_, c)| c),
        }
    }

    pub(super) fn course_mut(&mut self, token: &Token) -> Option<&mut Course> {
        match token {
            Token::Entry(class, seq) => self
                .lane_mut(*class)
                .items
                .get_mut(seq)
                .map(|i| &mut i.course),
            Token::Picture(sha256) => self.pictures.get_mut(sha256),
        }
    }

    pub(super) fn lane(&self, class: Class) -> &Lane {
        match class {
            Class::Alert => &self.alerts,
            Class::Gap => &self.gaps,
            Class::Telemetry => &self.telemetry,
        }
    }

    pub(super) fn lane_mut(&mut self, class: Class) -> &mut Lane {
        match class {
            Class::Alert => &mut self.alerts,
            Class::Gap => &mut self.gaps,
            Class::Telemetry => &mut self.telemetry,
        }
    }
}
