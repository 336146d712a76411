//! A node on a pseudo terminal, for tests: registers behind the firmware's own Modbus server.
#![allow(clippy::unwrap_used)]

use std::{
    collections::HashMap,
    io::{self, Read as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serialport::{SerialPort as _, TTYPort};
use wangge_node::modbus::{Counts, Refusal, Registers, answer};
use wangge_protocol::node::{Identity, NodeKind, words};

use crate::simulator::Board;

/// What a node says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub unit: u8,
    /// It speaks at this speed alone; at another one, rubbish comes. 0 is every speed.
    pub baud: u32,
    pub inputs: HashMap<u16, u16>,
    pub holdings: HashMap<u16, u16>,
}

impl Registers for Said {
    fn input(&self, address: u16) -> Option<u16> {
        self.inputs.get(&address).copied()
    }

    fn holding(&self, address: u16) -> Option<u16> {
        self.holdings.get(&address).copied()
    }

    fn write(&mut self, _: u16, _: &[u16]) -> Result<(), Refusal> {
        Err(Refusal::Address)
    }
}

impl Said {
    /// A bin node with this identity whose sensors are all well.
    pub(crate) fn good(identity: &Identity, firmware: u16, counter: u32) -> Said {
        let mut common = vec![1, identity.kind as u16, identity.hardware, firmware];
        common.extend(words(counter));
        common.extend(words((identity.serial >> 32) as u32));
        common.extend(words(identity.serial as u32));
        common.extend([0, 9, 1, 0, 3_300, 900, 0, 0, 0, 0]);
        let own = match identity.kind {
            NodeKind::Bin => (32, vec![385, 800, 0, 12, 0, 215, 0, 0, 3_600, 0, 0, 1]),
            NodeKind::Meter => (64, vec![0; 9]),
        };
        let unit = identity.initial.iter().find(|(register, _)| *register == 0);
        Said {
            unit: unit.map_or(247, |(_, unit)| *unit as u8),
            baud: 0,
            inputs: (0..).zip(common).chain((own.0..).zip(own.1)).collect(),
            holdings: identity.initial.iter().copied().collect(),
        }
    }

    /// What a chip that was flashed and started would say; nothing before that.
    pub(crate) fn of_board(board: &Board, firmware: u16, counter: u32) -> Option<Said> {
        let chip = board.chip();
        chip.started()?;
        let part = wangge_protocol::node::layout::BLUEPILL;
        let at = part.identity.within(part.flash).start as usize;
        let identity = Identity::from_bytes(&chip.flash()[at..]).ok()?;
        Some(Said::good(&identity, firmware, counter))
    }
}

/// A bus with one node on it.
#[derive(Debug)]
pub(crate) struct Slave {
    pub path: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Slave {
    /// `says` is asked at every request.
    pub(crate) fn start(mut says: impl FnMut() -> Option<Said> + Send + 'static) -> Slave {
        let (mut line, end) = TTYPort::pair().unwrap();
        let path = end.name().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            line.set_timeout(Duration::from_millis(10)).unwrap();
            let mut frame = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let mut byte = [0];
                match line.read(&mut byte) {
                    Ok(_) => frame.push(byte[0]),
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => frame.clear(),
                    Err(_) => return,
                }
                // Only reads come here, and they have eight bytes.
                if frame.len() < 8 {
                    continue;
                }
                let request = std::mem::take(&mut frame);
                let Some(said) = says() else { continue };
                let baud = end.baud_rate().unwrap_or(0);
                let mut out = heapless::Vec::new();
                answer(
                    said.unit,
                    &request,
                    &mut said.clone(),
                    &mut Counts::default(),
                    &mut out,
                );
                if said.baud != 0 && baud != said.baud {
                    out.iter_mut()
                        .for_each(|byte| *byte = byte.rotate_left(2) ^ 0xA5);
                }
                line.write_all(&out).unwrap();
            }
        });
        Slave {
            path,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Slave {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}
