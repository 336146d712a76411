//! Whole boards: a simulated chip, and a node on a bus that comes alive when the chip is started.
#![allow(clippy::unwrap_used)]

use std::{fs, io, thread, time::Duration};

use std::sync::atomic::AtomicUsize;

use wangge_protocol::node::{
    Identity, Quality,
    image::SecretKey,
    layout::{BLUEPILL, DISCOVERY, Part},
};

use super::*;
use crate::{
    lang::Lang,
    signed::tests::file,
    simulator::{Chip, Fault, Model},
    testing::{Said, Slave},
};

const IMAGE: usize = 5_000;

struct Case {
    dir: tempfile::TempDir,
    key: SecretKey,
    stop: Arc<AtomicBool>,
}

impl Case {
    fn new() -> Case {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("serials"), "1001").unwrap();
        Case {
            dir,
            key: SecretKey::from_seed([3; 32]),
            stop: Arc::new(AtomicBool::new(false)),
        }
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn trust(&self) -> Trust {
        let key = self.put("key", hex::encode(self.key.public()).as_bytes());
        Trust::read(&[key], false).unwrap()
    }

    fn image(&self, part: &Part) -> (PathBuf, Image) {
        let binary: Vec<u8> = (0..IMAGE).map(|n| (n % 250) as u8).collect();
        let path = self.put(
            "image.wgn",
            &file(&self.key, part, part.active.from, &binary),
        );
        let image = self.trust().open(&path).unwrap();
        (path, image)
    }

    fn job(&self, target: Target, part: &Part) -> Job {
        let (image_path, image) = self.image(part);
        Job {
            target,
            image,
            image_path,
            boot: None,
            trust: self.trust(),
            kind: NodeKind::Bin,
            wishes: Wishes {
                unit: 17,
                height: Some(1_300),
                ..Wishes::default()
            },
            serial: None,
            serials: Some(self.dir.path().join("serials")),
            bus: None,
            test: true,
            labels: self.dir.path().join("labels"),
            technician: "Li".to_owned(),
            identity_only: false,
            fresh: false,
            unprotect: false,
            renumber: false,
            allow_older: false,
            keep: false,
            boards: Some(1),
        }
    }

    fn serial(&self, board: &Board, slave: Option<&Slave>) -> Job {
        let target = Target::Serial {
            port: board.path().display().to_string(),
            baud: 115_200,
            wiring: Wiring::default(),
        };
        let mut job = self.job(target, &BLUEPILL);
        job.bus = slave.map(|slave| slave.path.clone());
        job.test = slave.is_some();
        job
    }

    fn run(&self, job: Job) -> Report {
        self.run_in(job, Lang::En)
    }

    fn run_in(&self, job: Job, lang: Lang) -> Report {
        let ui = Ui::new(lang, io::sink());
        let journal = Journal::open(&self.dir.path().join("log.csv")).unwrap();
        Bench::new(job, journal, ui, self.stop.clone()).run()
    }

    /// One board, and what the log has of it.
    fn one(&self, job: Job) -> Outcome {
        self.run(job).boards()[0].clone()
    }
}

fn plug(chip: Chip) -> Arc<Board> {
    Arc::new(Board::plug(chip).unwrap())
}

fn chip(number: u8) -> Chip {
    Chip::new(Model::F103C8, [number; 12])
}

/// A node that says what the chip's flash makes it; `change` spoils it.
fn node(board: &Arc<Board>, change: impl Fn(&mut Said) + Send + 'static) -> Slave {
    let board = board.clone();
    Slave::start(move || {
        let mut said = Said::of_board(&board, 0x0102, 7)?;
        change(&mut said);
        Some(said)
    })
}

fn identity(board: &Board) -> Option<Identity> {
    let at = BLUEPILL.identity.within(BLUEPILL.flash).start as usize;
    Identity::from_bytes(&board.chip().flash()[at..]).ok()
}

#[test]
fn a_bare_board_becomes_a_node_with_label_and_row() {
    let case = Case::new();
    let board = plug(chip(1));
    board.chip().flash_mut().fill(0x33);
    let bus = node(&board, |_| {});
    let outcome = case.one(case.serial(&board, Some(&bus)));
    assert!(outcome.passed(), "{outcome:?}");
    assert_eq!(
        (outcome.row.serial, outcome.row.result.as_str()),
        (1_001, "pass")
    );
    assert_eq!(outcome.row.chip, "01".repeat(12));
    assert!(outcome.label.unwrap().ends_with("1001.png"));
    let who = identity(&board).unwrap();
    assert_eq!(
        (who.serial, who.update_keys[0]),
        (1_001, Some(case.key.public()))
    );
    assert_eq!(who.initial[..], [(0, 17), (16, 1_300)]);
    assert!(
        fs::read_to_string(case.dir.path().join("log.csv"))
            .unwrap()
            .contains("Li,no")
    );
    let chip = board.chip();
    assert_eq!(chip.flash()[..4], [0, 1, 2, 3]);
    // The page behind the image was left alone, storage was not.
    assert_eq!(chip.flash()[5 * 1_024], 0x33);
    let storage = BLUEPILL.storage.within(BLUEPILL.flash);
    assert!(
        chip.flash()[storage.start as usize..storage.end as usize]
            .iter()
            .all(|b| *b == 0xFF)
    );
}

#[test]
fn a_node_that_comes_back_keeps_its_number_and_its_totals() {
    let case = Case::new();
    let board = plug(chip(1));
    assert!(case.one(case.serial(&board, None)).passed());
    let storage = BLUEPILL.storage.within(BLUEPILL.flash).start as usize;
    let again = |fresh: bool| {
        board.chip().reset();
        board.chip().flash_mut()[storage] = 0x77;
        let mut job = case.serial(&board, None);
        job.fresh = fresh;
        assert_eq!(case.one(job).row.serial, 1_001);
        board.chip().flash()[storage]
    };
    assert_eq!(again(false), 0x77);
    assert_eq!(again(true), 0xFF);
}

#[test]
fn a_number_that_is_another_chip_s_is_refused_before_anything_is_erased() {
    let case = Case::new();
    assert!(case.one(case.serial(&plug(chip(1)), None)).passed());
    let other = plug(chip(2));
    let mut job = case.serial(&other, None);
    job.serial = Some(1_001);
    let outcome = case.one(job);
    assert!(
        outcome
            .error
            .unwrap()
            .contains("1001 is in the log already")
    );
    assert!(other.chip().erased().is_empty());
    assert_eq!(case.one(case.serial(&other, None)).row.serial, 1_002);
}

#[test]
fn the_wrong_chip_is_refused_with_a_sentence_before_anything_is_erased() {
    for (model, said) in [
        (Model::F103CB, "bluepill128"),
        (Model::F100RB, "discovery"),
        (Model::F051C8, "STM32F05x"),
    ] {
        let case = Case::new();
        let board = plug(Chip::new(model, [1; 12]));
        let outcome = case.one(case.serial(&board, None));
        let told = outcome.error.clone().unwrap();
        assert!(told.contains(said), "{told}");
        assert!(board.chip().erased().is_empty());
        assert!(!outcome.passed() && outcome.code == 1);
        assert!(
            !case.dir.path().join("log.csv").exists(),
            "no number, no row"
        );
    }
}

#[test]
fn a_part_with_two_images_gets_bootloader_and_image() {
    let case = Case::new();
    let board = plug(Chip::new(Model::F100RB, [1; 12]));
    let mut job = case.serial(&board, None);
    (job.image_path, job.image) = case.image(&DISCOVERY);
    let without = case.one(job);
    assert!(without.error.unwrap().contains("--boot"));
    assert_eq!((without.code, board.chip().erased()), (2, &[][..]));
    let mut job = case.serial(&board, None);
    (job.image_path, job.image) = case.image(&DISCOVERY);
    let path = case.put(
        "boot.wgn",
        &file(&case.key, &DISCOVERY, DISCOVERY.flash.from, &[9; 900]),
    );
    let boot = job.trust.open(&path).unwrap();
    job.boot = Some((path, boot));
    assert!(case.one(job).passed());
    let chip = board.chip();
    let active = DISCOVERY.active.within(DISCOVERY.flash).start as usize;
    assert_eq!((chip.flash()[0], chip.flash()[active + 3]), (9, 3));
    assert_eq!(chip.started(), Some(DISCOVERY.flash.from));
}

/// The adapter is pulled out at every single block of writing and reading back; each time the
/// tool says so, and the board can be flashed again.
#[test]
fn unplugged_at_any_block_it_can_be_tried_again() {
    let whole = plug(chip(1));
    assert!(Case::new().one(Case::new().serial(&whole, None)).passed());
    let writes = whole.chip().writes();
    let reads = writes + 60;
    let faults = (0..writes)
        .map(Fault::UnplugAtWrite)
        .chain((0..reads).map(Fault::UnplugAtRead));
    let unplugged = AtomicUsize::new(0);
    let all: Vec<Fault> = faults.collect();
    let try_one = |fault: Fault| {
        let case = Case::new();
        let board = plug(chip(1).with(fault));
        let outcome = case.one(case.serial(&board, None));
        if outcome.passed() {
            assert!(
                matches!(fault, Fault::UnplugAtRead(_)),
                "{fault:?} was not noticed"
            );
            return;
        }
        unplugged.fetch_add(1, Ordering::Relaxed);
        let told = outcome.error.unwrap();
        assert!(told.contains("adapter is gone"), "{fault:?}: {told}");
        // Plugged in again.
        let flash = board.chip().flash().to_vec();
        let board = plug(chip(1));
        board.chip().flash_mut().copy_from_slice(&flash);
        let again = case.one(case.serial(&board, None));
        assert!(again.passed(), "{fault:?}: {again:?}");
    };
    thread::scope(|scope| {
        for some in all.chunks(all.len().div_ceil(8)) {
            scope.spawn(|| some.iter().copied().for_each(&try_one));
        }
    });
    let unplugged = unplugged.into_inner();
    assert!(
        unplugged > writes + 20,
        "only {unplugged} of {writes} and {reads} were tried"
    );
}

#[test]
fn chinese_says_what_to_do_before_the_details() {
    let case = Case::new();
    let board = plug(Chip::new(Model::F100RB, [1; 12]));
    let report = case.run_in(case.serial(&board, None), Lang::Zh);
    let told = report.boards()[0].error.clone().unwrap();
    assert!(
        told.starts_with("镜像不符") && told.contains("discovery"),
        "{told}"
    );
}

#[test]
fn a_bit_that_does_not_stay_is_found() {
    let case = Case::new();
    let board = plug(chip(1).with(Fault::WeakCell(3)));
    let outcome = case.one(case.serial(&board, None));
    let told = outcome.error.unwrap();
    assert!(told.contains("0x08000300"), "{told}");
    assert_eq!(outcome.row.result, "fail");
    assert!(outcome.label.is_none());
}

#[test]
fn a_protected_chip_is_unprotected_only_on_request() {
    let case = Case::new();
    let board = plug(chip(1).protected());
    let told = case.one(case.serial(&board, None)).error.unwrap();
    assert!(told.contains("--unprotect"), "{told}");
    board.chip().reset();
    let mut job = case.serial(&board, None);
    job.unprotect = true;
    assert!(case.one(job).passed());
}

#[test]
fn a_unit_id_that_somebody_answers_to_is_refused() {
    let case = Case::new();
    let board = plug(chip(1));
    let who = Identity {
        kind: NodeKind::Bin,
        hardware: 1,
        serial: 9,
        update_keys: [None; 2],
        initial: [(0, 17)].into_iter().collect(),
    };
    let taken = Slave::start(move || Some(Said::good(&who, 1, 1)));
    let outcome = case.one(case.serial(&board, Some(&taken)));
    assert!(outcome.error.unwrap().contains("unit 17 answers"));
    assert!(board.chip().erased().is_empty());
}

#[test]
fn sensors_that_fail_fail_the_board() {
    for (quality, value) in [
        (Quality::Missing, 65_535),
        (Quality::Stuck, 65_535),
        (Quality::OutOfRange, 65_535),
        // A node that lies is caught, too.
        (Quality::Good, 9_000),
    ] {
        let case = Case::new();
        let board = plug(chip(1));
        let bus = node(&board, move |said| {
            said.inputs.insert(34, quality as u16);
            said.inputs.insert(33, value);
        });
        let outcome = case.one(case.serial(&board, Some(&bus)));
        assert!(!outcome.passed() && outcome.label.is_none());
        assert_eq!(outcome.row.result, "fail");
        assert!(outcome.row.why.contains("distance"), "{:?}", outcome.row);
    }
}

#[test]
fn a_baud_mismatch_is_named() {
    let case = Case::new();
    let board = plug(chip(1));
    let bus = node(&board, |said| said.baud = 19_200);
    let outcome = case.one(case.serial(&board, Some(&bus)));
    let told = outcome.error.unwrap();
    assert!(
        told.contains("answers at 19200 8N1: a baud rate mismatch"),
        "{told}"
    );
    assert_eq!(outcome.row.result, "fail");
}

#[test]
fn a_node_that_took_no_identity_is_found_at_the_factory_s_unit() {
    let case = Case::new();
    let board = plug(chip(1));
    let bus = node(&board, |said| said.unit = 247);
    let told = case.one(case.serial(&board, Some(&bus))).error.unwrap();
    assert!(told.contains("answers as unit 247"), "{told}");
}

#[test]
fn the_identity_alone_is_written_over_the_same_program_only() {
    let case = Case::new();
    let board = plug(chip(1));
    assert!(case.one(case.serial(&board, None)).passed());
    let only = |unit, fresh| {
        board.chip().reset();
        let mut job = case.serial(&board, None);
        job.identity_only = true;
        job.fresh = fresh;
        job.wishes.unit = unit;
        case.one(job)
    };
    let erased = board.chip().erased().len();
    // What a master set up, and totals.
    let stored = BLUEPILL.storage.within(BLUEPILL.flash).start as usize;
    board.chip().flash_mut()[stored] = 1;
    assert!(only(18, false).passed());
    assert_eq!(identity(&board).unwrap().initial[0], (0, 18));
    assert_eq!(board.chip().erased().len(), erased + 1);
    assert_eq!(board.chip().flash()[stored], 1);
    assert!(only(20, true).passed());
    assert_eq!(board.chip().flash()[stored], 0xFF);
    board.chip().flash_mut()[100] ^= 1;
    let other = only(19, false);
    assert_eq!(other.code, 2);
    assert!(other.error.unwrap().contains("program is another one"));
    assert_eq!(identity(&board).unwrap().initial[0], (0, 20));
}

#[test]
fn an_older_image_than_the_board_had_is_refused() {
    let case = Case::new();
    let board = plug(chip(1));
    let mut job = case.serial(&board, None);
    job.image.manifest.counter = 8;
    assert!(case.one(job).passed());
    board.chip().reset();
    assert!(
        case.one(case.serial(&board, None))
            .error
            .unwrap()
            .contains("older")
    );
    board.chip().reset();
    let mut job = case.serial(&board, None);
    job.allow_older = true;
    assert!(case.one(job).passed());
}

#[test]
fn ctrl_c_while_it_writes_is_told_and_logged() {
    let case = Case::new();
    let board = plug(chip(1));
    let (stop, watched) = (case.stop.clone(), board.clone());
    let presses = thread::spawn(move || {
        while watched.chip().writes() < 5 {
            thread::sleep(Duration::from_millis(1));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let outcome = case.one(case.serial(&board, None));
    presses.join().unwrap();
    assert!(outcome.error.unwrap().contains("interrupted after"));
    assert_eq!(outcome.row.result, "interrupted");
    case.stop.store(false, Ordering::Relaxed);
    board.chip().reset();
    let again = case.one(case.serial(&board, None));
    assert!(again.passed() && again.row.serial == 1_001);
}

/// Boards are swapped behind the same adapter; nobody touches the keyboard.
#[test]
fn a_batch_goes_from_board_to_board() {
    let case = Case::new();
    let board = plug(chip(1));
    let swapped = board.clone();
    let hands = thread::spawn(move || {
        for number in 2..=4 {
            while swapped.chip().started().is_none() {
                thread::sleep(Duration::from_millis(2));
            }
            // The same board once more is no next board.
            swapped.chip().reset();
            thread::sleep(Duration::from_millis(900));
            assert_eq!(swapped.chip().started(), None, "flashed twice");
            if number < 4 {
                *swapped.chip() = chip(number);
            }
        }
    });
    let mut job = case.serial(&board, None);
    job.boards = Some(3);
    let report = case.run(job);
    hands.join().unwrap();
    assert_eq!((report.passed, report.failed, report.code()), (3, 0, 0));
    let serials: Vec<u64> = report
        .boards()
        .iter()
        .map(|board| board.row.serial)
        .collect();
    assert_eq!(serials, [1_001, 1_002, 1_003]);
    assert_eq!(report.json()["boards"][2]["log"]["serial"], 1_003);
}

#[test]
fn a_drive_gets_image_and_identity() {
    use wangge_protocol::node::layout::PICO;
    let case = Case::new();
    let drive = case.dir.path().join("drive");
    fs::create_dir(&drive).unwrap();
    fs::write(drive.join("INFO_UF2.TXT"), "Board-ID: RPI-RP2").unwrap();
    let mut job = case.job(Target::Drive(Some(drive.clone())), &PICO);
    job.test = false;
    assert!(case.one(job).passed());
    let file = fs::read(drive.join("wangge.uf2")).unwrap();
    // 5,000 bytes of image in blocks of 256, and one block of identity.
    assert_eq!(file.len(), (20 + 1) * 512);
    assert!(file.windows(4).any(|w| w == b"WGID"));
    let mut job = case.job(Target::Drive(Some(drive)), &BLUEPILL);
    job.test = false;
    assert!(case.one(job).error.unwrap().contains("wrong image"));
}

#[test]
fn without_a_board_it_says_what_to_do() {
    let case = Case::new();
    let board = plug(chip(1));
    let mut job = case.serial(&board, None);
    let Target::Serial { port, .. } = &mut job.target else {
        return;
    };
    *port = "/dev/ttyUSB-no-such".to_owned();
    let outcome = case.one(job);
    assert_eq!(outcome.code, 3);
    assert!(outcome.error.unwrap().contains("wangge flash list"));
    // Its program runs.
    drop(
        crate::rom::Rom::connect(
            crate::port::open(
                &board.path().display().to_string(),
                115_200,
                serialport::Parity::Even,
            )
            .unwrap(),
        )
        .unwrap()
        .start(BLUEPILL.flash.from)
        .unwrap(),
    );
    let outcome = case.one(case.serial(&board, None));
    assert_eq!(outcome.code, 3);
    assert!(outcome.error.unwrap().contains("BOOT0"));
}
