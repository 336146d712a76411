//! The node on its bus: bytes in, answers out, and a line that changes its speed after the
//! answer to the request that asked for it.

use heapless::Vec;

use crate::{
    modbus::{self, Heard, MAX_FRAME, Receiver, Registers},
    node::Node,
    setup::{Parity, Setup},
};

/// How a serial line is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Baud.
    pub speed: u32,
    /// With one stop bit.
    pub parity: Parity,
}

impl Line {
    /// As the set-up says.
    pub fn of(setup: &Setup) -> Line {
        Line {
            speed: setup.baud(),
            parity: setup.parity(),
        }
    }
}

/// What a port serves: a node, alone or with what updates it.
pub trait Served: Registers {
    /// The node.
    fn node(&mut self) -> &mut Node;
}

impl Served for Node {
    fn node(&mut self) -> &mut Node {
        self
    }
}

/// The bus's side of a node.
#[derive(Debug)]
pub struct Port {
    line: Line,
    receiver: Receiver,
    out: Vec<u8, MAX_FRAME>,
}

impl Port {
    /// On a line that is set so.
    pub fn new(line: Line) -> Self {
        Port {
            line,
            receiver: Receiver::new(line.speed),
            out: Vec::new(),
        }
    }

    /// A byte came at `at`, µs; `None` for one that the line says is damaged. `true` when it
    /// ended a frame: ask for the answer before the next byte.
    pub fn byte(&mut self, value: Option<u8>, at: u64, node: &Node) -> bool {
        match value {
            Some(value) => self.receiver.byte(value, at),
            None => self.receiver.damaged(at),
        }
        self.receiver.poll(node.setup.unit(), at).is_some()
    }

    /// What is to be sent at `now`, µs, if a request ended that has an answer.
    pub fn answer(&mut self, served: &mut impl Served, now: u64) -> Option<&[u8]> {
        let unit = served.node().setup.unit();
        let heard = self.receiver.poll(unit, now)?;
        self.out.clear();
        match heard {
            Heard::Frame => {
                let mut counts = served.node().counts;
                let frame = self.receiver.frame();
                modbus::answer(unit, frame, served, &mut counts, &mut self.out);
                served.node().counts = counts;
            }
            Heard::Bad if self.receiver.frame().first() == Some(&unit) => {
                let counts = &mut served.node().counts;
                counts.bad_frames = counts.bad_frames.wrapping_add(1);
            }
            Heard::Bad => {}
        }
        self.receiver.clear();
        (!self.out.is_empty()).then_some(&self.out)
    }

    /// How the line is to be set from now on, if the set-up changed it; ask after the answer
    /// went out.
    pub fn changed_line(&mut self, setup: &Setup) -> Option<Line> {
        let line = Line::of(setup);
        if line == self.line {
            return None;
        }
        self.line = line;
        self.receiver = Receiver::new(line.speed);
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::vec::Vec as List;

    use proptest::prelude::*;
    use wangge_protocol::node::{IdentityError, holding as h, input};

    use super::*;
    use crate::{modbus::checksum, node::About, storage::Found};

    struct Bench {
        node: Node,
        port: Port,
        now: u64,
    }

    impl Bench {
        fn new() -> Bench {
            let blank = Err(IdentityError::Blank);
            let node = Node::start(About::default(), &blank, Ok(Found::Nothing));
            let port = Port::new(Line::of(&node.setup));
            Bench { node, port, now: 0 }
        }

        /// Sends a body with its checksum, after a silence.
        fn ask(&mut self, body: &[u8]) -> List<u8> {
            let mut frame = body.to_vec();
            frame.extend(checksum(body));
            self.raw(&frame)
        }

        fn raw(&mut self, bytes: &[u8]) -> List<u8> {
            self.now += 100_000;
            let mut sent = List::new();
            for byte in bytes {
                self.now += 100;
                if self.port.byte(Some(*byte), self.now, &self.node) {
                    sent.extend(self.port.answer(&mut self.node, self.now).unwrap_or(&[]));
                }
            }
            self.now += 100_000;
            sent.extend(self.port.answer(&mut self.node, self.now).unwrap_or(&[]));
            sent
        }
    }

    #[test]
    fn unit_and_line_change_after_the_answer() {
        let mut bench = Bench::new();
        let write = [16, 0, 0, 0, 3, 6, 0, 9, 4, 128, 0, 2];
        let answer = bench.ask(&[&[247][..], &write].concat());
        assert_eq!(answer[..6], [247, 16, 0, 0, 0, 3], "the old unit answers");
        let line = bench.port.changed_line(&bench.node.setup);
        let expected = Line {
            speed: 115_200,
            parity: Parity::Even,
        };
        assert_eq!(line, Some(expected));
        assert_eq!(bench.port.changed_line(&bench.node.setup), None);
        assert!(bench.ask(&[247, 3, 0, 0, 0, 1]).is_empty());
        assert_eq!(bench.ask(&[9, 3, 0, 0, 0, 1])[..5], [9, 3, 2, 0, 9]);
    }

    #[test]
    fn a_broadcast_is_obeyed_and_not_answered() {
        let mut bench = Bench::new();
        assert!(bench.ask(&[0, 6, 0, 3, 0, 30]).is_empty());
        assert_eq!(bench.node.setup.period(), 30);
        assert!(bench.ask(&[0, 16, 0, 3, 0, 1, 2, 0, 31]).is_empty());
        assert_eq!(bench.node.setup.period(), 31);
        // Refused ones, and reading, which makes no sense to all at once.
        assert!(bench.ask(&[0, 6, 0, 3, 0, 0]).is_empty());
        assert!(bench.ask(&[0, 3, 0, 0, 0, 1]).is_empty());
        assert_eq!(bench.node.setup.period(), 31);
    }

    proptest! {
        #[test]
        fn whatever_comes_the_node_lives_and_says_only_what_it_may(
            frames in prop::collection::vec(
                (0u8..3, prop::sample::select(std::vec![3u8, 4, 6, 16, 5, 43]),
                 prop::collection::vec(any::<u8>(), 0..270), any::<bool>()),
                1..30,
            ),
        ) {
            let mut bench = Bench::new();
            for (unit, function, data, whole) in frames {
                let unit = [0, bench.node.setup.unit(), 1][usize::from(unit)];
                let body = [&[unit, function][..], &data].concat();
                let before = bench.node.setup.clone();
                let answer = if whole { bench.ask(&body) } else { bench.raw(&body) };
                prop_assert!(answer.len() <= MAX_FRAME);
                if let Some((body, sum)) = answer.split_last_chunk::<2>() {
                    prop_assert_eq!(checksum(body), *sum);
                    prop_assert_eq!(answer[0], before.unit(), "only its own unit");
                }
                // It still answers a good request.
                let unit = bench.node.setup.unit();
                let good = bench.ask(&[unit, 4, 0, input::MAP_VERSION as u8, 0, 1]);
                prop_assert_eq!(good.len(), 7);
                let page = bench.ask(&[unit, 3, 0, h::UNIT_ID as u8, 0, 1]);
                prop_assert_eq!(page[4], unit);
            }
        }
    }
}
