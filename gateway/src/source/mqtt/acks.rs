//! Acknowledgements that wait for the disk and leave in the order in which the messages came
//! (MQTT 3.1.1, 4.6). Pure; one queue per connection.

use std::{collections::VecDeque, time::Duration};

use super::intake::Mark;

/// Messages of one connection that wait for the disk.
#[derive(Debug, Default)]
pub struct AckQueue {
    waiting: VecDeque<Waiting>,
    /// Token of the first in `waiting`; tokens count up by one.
    first: u64,
}

#[derive(Debug)]
struct Waiting {
    owed: Owed,
    mark: Option<Mark>,
    since: Duration,
    done: bool,
}

/// The packet that answers a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owed {
    /// QoS 1: PUBACK with this packet id.
    PubAck(u16),
    /// QoS 2: PUBREC with this packet id.
    PubRec(u16),
}

impl AckQueue {
    /// A message came; returns its token. Without a mark nobody needs to know when it is safe.
    pub fn push(&mut self, owed: Owed, mark: Option<Mark>, now: Duration) -> u64 {
        self.waiting.push_back(Waiting {
            owed,
            mark,
            since: now,
            done: false,
        });
        self.first + self.waiting.len() as u64 - 1
    }

    /// The message is safe. Unknown tokens (of an earlier connection) do nothing.
    pub fn done(&mut self, token: u64) -> Option<Mark> {
        let index = usize::try_from(token.checked_sub(self.first)?).ok()?;
        let waiting = self.waiting.get_mut(index)?;
        waiting.done = true;
        waiting.mark
    }

    /// Takes the next packet that may leave.
    pub fn pop(&mut self) -> Option<(Owed, Option<Mark>)> {
        self.waiting.front().filter(|w| w.done)?;
        self.first += 1;
        let waiting = self.waiting.pop_front()?;
        Some((waiting.owed, waiting.mark))
    }

    /// Those that are safe but wait behind one that is not.
    pub fn held_back(&self) -> impl Iterator<Item = Mark> + '_ {
        self.waiting
            .iter()
            .filter(|w| w.done)
            .filter_map(|w| w.mark)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the oldest one came.
    pub fn oldest(&self) -> Option<Duration> {
        self.waiting.front().map(|w| w.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_leave_in_order_and_once() {
        let mut queue = AckQueue::default();
        let tokens: Vec<_> = (1..=4)
            .map(|id| queue.push(Owed::PubAck(id), None, Duration::from_secs(id.into())))
            .collect();
        queue.done(tokens[1]);
        assert_eq!(queue.pop(), None);
        queue.done(tokens[0]);
        assert_eq!(queue.pop(), Some((Owed::PubAck(1), None)));
        assert_eq!(queue.pop(), Some((Owed::PubAck(2), None)));
        assert_eq!(queue.pop(), None);
        assert_eq!(queue.oldest(), Some(Duration::from_secs(3)));
        // Twice, or never given out.
        queue.done(tokens[0]);
        queue.done(999);
        assert_eq!(queue.pop(), None);
        assert_eq!(queue.len(), 2);
        let late = queue.push(Owed::PubRec(9), None, Duration::ZERO);
        for token in [late, tokens[3], tokens[2]] {
            queue.done(token);
        }
        let left: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(o, _)| o).collect();
        assert_eq!(left, [Owed::PubAck(3), Owed::PubAck(4), Owed::PubRec(9)]);
        assert!(queue.is_empty());
    }
}
