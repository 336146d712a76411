#![allow(clippy::unwrap_used)]

use rand::{Rng, SeedableRng, rngs::StdRng};
use wangge_boot::prepare;
use wangge_flash_sim::Flash;
use wangge_node::{
    modbus::Registers,
    node::{About, Node as Sensor},
    storage::Found,
    update::{Terms, Updatable, Update},
};
use wangge_protocol::node::{
    IdentityError,
    image::{SecretKey, kind_bit},
    layout::{BLUEPILL_128K, DISCOVERY, Part},
};

use super::*;

const OLD: u32 = 3;
const NEW: u32 = 4;

fn key() -> SecretKey {
    SecretKey::from_seed([5; 32])
}

fn binary(counter: u32) -> Vec<u8> {
    (0..5_001u32).map(|i| (i * 11 + counter) as u8).collect()
}

fn file(counter: u32) -> Vec<u8> {
    let manifest = Manifest {
        development: false,
        kinds: kind_bit(NodeKind::Bin),
        hardware: BLUEPILL_128K.hardware,
        firmware: 1,
        address: BLUEPILL_128K.active.from,
        counter,
        length: 0,
        hash: [0; 32],
        key: [0; 8],
        signature: [0; 64],
    };
    let mut file = key().sign(manifest, &binary(counter)).unwrap().to_vec();
    file.extend(binary(counter));
    file
}

/// The node's real updater with a flash, as the bus reaches it.
struct Bench {
    part: &'static Part,
    flash: Flash,
    node: Sensor,
    update: Update,
    starts: u32,
    blocks: u32,
}

impl Bench {
    fn new(part: &'static Part) -> Bench {
        let mut flash = Flash::new(part.flash.size as usize, 0);
        let (node, update) = start(part, &mut flash, OLD);
        Bench {
            part,
            flash,
            node,
            update,
            starts: 1,
            blocks: 0,
        }
    }

    /// The bootloader, and then whatever image is in ACTIVE.
    fn restart(&mut self) {
        let _ = prepare(&mut self.flash, self.part);
        let active = self.part.active.within(self.part.flash).start as usize;
        let runs_new = self.flash.bytes()[active..].starts_with(&binary(NEW));
        let counter = if runs_new { NEW } else { OLD };
        (self.node, self.update) = start(self.part, &mut self.flash, counter);
        self.starts += 1;
    }

    fn ask(&mut self, ask: &Ask, now: Duration) -> Heard {
        assert!(ask.is_of_an_update(), "{ask:?}");
        let mut served = Updatable {
            node: &mut self.node,
            update: &mut self.update,
            flash: &mut self.flash,
        };
        let heard = match ask {
            Ask::Read { address, count } => (*address..*address + *count)
                .map(|address| served.input(address))
                .collect::<Option<_>>()
                .map_or(Heard::Exception(2), Heard::Words),
            Ask::Write { address, values } => {
                self.blocks += u32::from(*address == holding::UPDATE_BLOCK);
                match served.write(*address, values) {
                    Ok(()) => Heard::Written,
                    Err(refusal) => Heard::Exception(refusal as u8),
                }
            }
        };
        for _ in 0..3 {
            if self.update.work(&mut self.flash, now.as_millis() as u64) {
                self.restart();
            }
        }
        heard
    }
}

fn start(part: &'static Part, flash: &mut Flash, counter: u32) -> (Sensor, Update) {
    let about = About {
        hardware: part.hardware,
        firmware: 1,
        counter,
        reset: 0,
    };
    let terms = Terms {
        part,
        kind: NodeKind::Bin,
        counter,
        keys: [key().public(), [0; 32]],
        development: false,
    };
    let node = Sensor::start(about, &Err(IdentityError::Blank), Ok(Found::Nothing));
    (node, Update::new(terms, flash, 0))
}

/// Drives a session until it ends, or for `most` questions. `lost` says what happens to a
/// question: 0 nothing, 1 it is lost, 2 its answer is.
fn drive(
    session: &mut Session,
    bench: &mut Bench,
    most: u32,
    mut lost: impl FnMut() -> u8,
) -> Result<bool, Failure> {
    let mut now = Duration::ZERO;
    let mut asked = 0;
    while asked < most {
        match session.step() {
            Step::Done => return Ok(true),
            Step::Wait(time) => now += time,
            Step::Ask(ask) => {
                asked += 1;
                now += Duration::from_millis(200);
                let heard = match lost() {
                    0 => bench.ask(&ask, now),
                    1 => Heard::Silent,
                    _ => {
                        bench.ask(&ask, now);
                        Heard::Silent
                    }
                };
                session.heard(&heard, now)?;
            }
        }
    }
    Ok(false)
}

#[test]
fn an_update_runs_through_and_each_block_goes_once() {
    let mut bench = Bench::new(&BLUEPILL_128K);
    let mut session = Session::new(file(NEW)).unwrap();
    assert_eq!(drive(&mut session, &mut bench, 1_000, || 0), Ok(true));
    assert_eq!(bench.update.state(), UpdateState::Idle);
    assert_eq!((bench.starts, bench.blocks), (2, 40));
    assert_eq!(session.node().map(|node| node.counter), Some(NEW));
    assert_eq!(session.progress(), (5_001, 5_001));
}

#[test]
fn a_session_that_is_broken_off_is_taken_up_by_the_next() {
    let mut bench = Bench::new(&BLUEPILL_128K);
    for _ in 0..100 {
        let mut session = Session::new(file(NEW)).unwrap();
        // Each is broken off after nine questions, two of them to find its place.
        match drive(&mut session, &mut bench, 9, || 0) {
            Ok(false) => {}
            Ok(true) => break,
            // It was the last question that was not answered.
            Err(failure) => {
                assert_eq!(failure, Failure::Refused(UpdateError::Older));
                break;
            }
        }
    }
    assert_eq!(bench.update.state(), UpdateState::Idle);
    assert_eq!((bench.starts, bench.blocks), (2, 40), "no block came twice");
}

#[test]
fn lost_questions_and_lost_answers_only_take_time() {
    for seed in 0..200 {
        let mut chance = StdRng::seed_from_u64(seed);
        let mut bench = Bench::new(&BLUEPILL_128K);
        let mut session = Session::new(file(NEW)).unwrap();
        let lost = || match chance.random_range(0..10) {
            0 => 1,
            1 => 2,
            _ => 0,
        };
        let done = drive(&mut session, &mut bench, 5_000, lost);
        assert_eq!(done, Ok(true), "seed {seed}");
        assert_eq!(bench.update.state(), UpdateState::Idle);
    }
}

#[test]
fn a_node_that_restarts_in_between_gets_the_image_again() {
    let mut bench = Bench::new(&BLUEPILL_128K);
    let mut session = Session::new(file(NEW)).unwrap();
    assert_eq!(drive(&mut session, &mut bench, 20, || 0), Ok(false));
    bench.restart();
    assert_eq!(drive(&mut session, &mut bench, 1_000, || 0), Ok(true));
    assert_eq!(bench.update.state(), UpdateState::Idle);
}

#[test]
fn a_node_that_never_answers_is_given_up() {
    let mut bench = Bench::new(&BLUEPILL_128K);
    let mut session = Session::new(file(NEW)).unwrap();
    assert_eq!(
        drive(&mut session, &mut bench, 1_000, || 1),
        Err(Failure::Silent)
    );
    let mut session = Session::new(file(NEW)).unwrap();
    assert_eq!(drive(&mut session, &mut bench, 20, || 0), Ok(false));
    assert_eq!(
        drive(&mut session, &mut bench, 1_000, || 1),
        Err(Failure::Silent)
    );
}

#[test]
fn what_is_wrong_with_an_image_is_said_before_or_by_the_node() {
    let refused = |file: Vec<u8>, part: &'static Part| {
        let mut bench = Bench::new(part);
        let mut session = Session::new(file).map_err(Failure::Refused)?;
        drive(&mut session, &mut bench, 1_000, || 0)
    };
    let is = |error| Err(Failure::Refused(error));
    let mut cut = file(NEW);
    cut.pop();
    assert_eq!(refused(cut, &BLUEPILL_128K), is(UpdateError::Length));
    let mut spoilt = file(NEW);
    spoilt[4_000] ^= 1;
    assert_eq!(refused(spoilt, &BLUEPILL_128K), is(UpdateError::Hash));
    assert_eq!(refused(file(OLD), &BLUEPILL_128K), is(UpdateError::Older));
    assert_eq!(refused(file(1), &BLUEPILL_128K), is(UpdateError::Older));
    assert_eq!(refused(file(NEW), &DISCOVERY), is(UpdateError::Hardware));
    let mut forged = file(NEW);
    forged[100] ^= 1;
    assert_eq!(refused(forged, &BLUEPILL_128K), is(UpdateError::Signature));
    let mut unsigned = file(NEW);
    unsigned[56..128].fill(0);
    assert_eq!(refused(unsigned, &BLUEPILL_128K), is(UpdateError::Unsigned));
    let mut other = file(NEW);
    other[7] = kind_bit(NodeKind::Meter) as u8;
    assert_eq!(refused(other, &BLUEPILL_128K), is(UpdateError::Product));
}

#[test]
fn an_image_that_does_not_start_is_told() {
    let mut bench = Bench::new(&BLUEPILL_128K);
    let mut session = Session::new(file(NEW)).unwrap();
    while bench.starts == 1 {
        assert_eq!(drive(&mut session, &mut bench, 1, || 0), Ok(false));
    }
    // Its watchdog bites at once.
    bench.restart();
    assert_eq!(
        drive(&mut session, &mut bench, 1_000, || 0),
        Err(Failure::WentBack)
    );
}

#[test]
fn a_node_that_is_not_heard_after_its_restart_is_told_so() {
    let mut bench = Bench::new(&BLUEPILL_128K);
    let mut session = Session::new(file(NEW)).unwrap();
    while bench.starts == 1 {
        assert_eq!(drive(&mut session, &mut bench, 1, || 0), Ok(false));
    }
    assert_eq!(
        drive(&mut session, &mut bench, 1_000, || 1),
        Err(Failure::Lost)
    );
}

#[test]
fn only_an_updates_registers_are_asked_for() {
    let write = |address, count| Ask::Write {
        address,
        values: vec![0; count],
    };
    let read = |address, count| Ask::Read { address, count };
    for good in [
        read(0, 20),
        read(0x200, 13),
        write(0x200, 64),
        write(0x240, 1),
        write(0x280, 66),
    ] {
        assert!(good.is_of_an_update(), "{good:?}");
    }
    for bad in [
        read(0, 0),
        read(0, 21),
        read(0x100, 65),
        read(0x200, 14),
        read(u16::MAX, 1),
        write(0, 1),
        write(4, 1),
        write(0x1FF, 2),
        write(0x280, 67),
        write(0x280, 660),
        write(u16::MAX, 1),
        write(0x200, 0),
    ] {
        assert!(!bad.is_of_an_update(), "{bad:?}");
    }
}
