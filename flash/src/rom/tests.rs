//! Against the simulated chip, over a pseudo terminal.
#![allow(clippy::unwrap_used)]

use std::{thread, time::Duration};

use serialport::{Parity, SerialPort};

use super::*;
use crate::{
    port,
    simulator::{Board, Chip, Fault, Model},
};

const NUMBER: [u8; 12] = *b"chip-no-0001";
const FLASH: u32 = 0x0800_0000;

fn plug(chip: Chip) -> Board {
    Board::plug(chip).unwrap()
}

fn open_at(board: &Board, baud: u32) -> Box<dyn SerialPort> {
    port::open(board.path().to_str().unwrap(), baud, Parity::Even).unwrap()
}

fn connect(board: &Board) -> Rom {
    Rom::connect(open_at(board, 115_200)).unwrap()
}

fn f103() -> Chip {
    Chip::new(Model::F103C8, NUMBER)
}

#[test]
fn says_what_it_is() {
    let board = plug(f103());
    let mut rom = connect(&board);
    assert_eq!(rom.version(), 0x22);
    assert_eq!(rom.product().unwrap(), 0x410);
    assert_eq!(rom.read(FLASH_SIZE, 2).unwrap(), [64, 0]);
    assert_eq!(rom.read(DEVICE_ID, 12).unwrap(), NUMBER);
    // A second tool finds it awake.
    drop(rom);
    assert_eq!(connect(&board).product().unwrap(), 0x410);
}

#[test]
fn writes_and_reads_every_length() {
    for length in [1, 3, 4, 255, 256] {
        let board = plug(f103());
        let mut rom = connect(&board);
        let block: Vec<u8> = (0..length).map(|n| n as u8).collect();
        rom.write(FLASH, &block).unwrap();
        assert_eq!(rom.read(FLASH, length).unwrap(), block, "{length}");
        drop(rom.start(FLASH).unwrap());
        assert_eq!(board.chip().started(), Some(FLASH));
    }
}

#[test]
fn erases_the_pages_that_were_named_and_no_other() {
    for model in [Model::F103CB, Model::F051C8] {
        let board = plug(Chip::new(model, NUMBER));
        board.chip().flash_mut().fill(0);
        let mut rom = connect(&board);
        rom.erase(&[0, 1, 50]).unwrap();
        let chip = board.chip();
        for (page, cells) in chip.flash().chunks(1_024).enumerate() {
            let blank = cells.iter().all(|cell| *cell == 0xFF);
            assert_eq!(blank, [0, 1, 50].contains(&page), "page {page}");
        }
    }
}

/// 128 pages are sent in one order; one more makes two orders.
#[test]
fn erases_more_pages_than_one_order_holds() {
    let board = plug(Chip::new(Model::F103CB, NUMBER));
    let pages: Vec<u16> = (0..128).chain([0]).collect();
    connect(&board).erase(&pages).unwrap();
    assert_eq!(board.chip().erased(), pages);
}

#[test]
fn a_protected_chip_is_told_from_a_disturbed_line() {
    let board = plug(f103().protected());
    board.chip().flash_mut().fill(0);
    let mut rom = connect(&board);
    assert!(matches!(rom.read(FLASH, 4), Err(RomError::Protected)));
    assert!(matches!(
        rom.write(FLASH, &[1; 4]),
        Err(RomError::Protected)
    ));
    assert!(matches!(rom.erase(&[0]), Err(RomError::Protected)));
    assert!(
        board.chip().flash().iter().all(|cell| *cell == 0),
        "erased without being asked to"
    );
    rom.readout_unprotect().unwrap();
    assert_eq!(rom.read(FLASH, 4).unwrap(), [0xFF; 4]);
}

#[test]
fn nothing_there_and_something_else_there_are_named() {
    // Its program runs: it does not listen.
    let board = plug(f103());
    let mut rom = connect(&board);
    rom.write(FLASH, &[0; 8]).unwrap();
    drop(rom.start(FLASH).unwrap());
    let error = Rom::connect(open_at(&board, 115_200)).unwrap_err();
    assert!(matches!(error, RomError::NoBootloader));
    assert!(error.to_string().contains("BOOT0"), "{error}");
    // Something that talks all the time, as a program does.
    let (mut other, mut ours) = serialport::TTYPort::pair().unwrap();
    ours.set_timeout(Duration::from_millis(100)).unwrap();
    let chatter = thread::spawn(move || {
        use std::io::Write as _;
        for _ in 0..100 {
            let _ = other.write_all(b"hello");
            thread::sleep(Duration::from_millis(5));
        }
    });
    let error = Rom::connect(Box::new(ours)).unwrap_err();
    assert!(matches!(error, RomError::NotABootloader(_)), "{error}");
    chatter.join().unwrap();
}

#[test]
fn another_speed_is_named_as_a_likely_cause() {
    let board = plug(f103());
    drop(connect(&board));
    let error = Rom::connect(open_at(&board, 9_600)).unwrap_err();
    assert!(error.to_string().contains("baud rate"), "{error}");
    board.chip().reset();
    assert!(Rom::connect(open_at(&board, 9_600)).is_ok());
}

#[test]
fn a_refused_or_unheard_block_is_written_again() {
    for fault in [Fault::RefuseWrite(1), Fault::LoseAnswer(1)] {
        let board = plug(f103().with(fault));
        let mut rom = connect(&board);
        for number in 0..3u32 {
            rom.write(FLASH + number * 8, &[number as u8 + 1; 8])
                .unwrap();
        }
        let expected = [[1; 8], [2; 8], [3; 8]].concat();
        assert_eq!(rom.read(FLASH, 24).unwrap(), expected, "{fault:?}");
    }
}

/// Whichever byte of a session is lost, what is in flash in the end is what was to be there, or
/// the client says that it is not.
#[test]
fn any_single_lost_byte_does_no_harm() {
    let session = |fault: Option<Fault>| {
        let mut chip = f103();
        if let Some(fault) = fault {
            chip = chip.with(fault);
        }
        let board = plug(chip);
        board.chip().flash_mut()[32_768..].fill(0x55);
        let result = Rom::connect(open_at(&board, 115_200)).and_then(|mut rom| {
            rom.erase(&[0])?;
            rom.write(FLASH, &[7; 16])?;
            rom.read(FLASH, 16)
        });
        let chip = board.chip();
        assert!(
            chip.flash()[32_768..].iter().all(|cell| *cell == 0x55),
            "{fault:?} erased what was not named"
        );
        if let Ok(read) = &result {
            assert_eq!(read, &[7; 16], "{fault:?}");
            assert_eq!(chip.flash()[..16], [7; 16], "{fault:?}");
        }
        result.is_ok()
    };
    assert!(session(None));
    // Sync 1, Get 2, erase 2 + 3, write 2 + 5 + 18, read 2 + 5 + 2.
    let session = &session;
    let fine = thread::scope(|scope| {
        let all: Vec<_> = (0..42)
            .map(|byte| scope.spawn(move || session(Some(Fault::LoseByte(byte)))))
            .collect();
        let ends = all.into_iter().map(|one| one.join().unwrap());
        ends.filter(|fine| *fine).count()
    });
    assert!(fine >= 30, "only {fine} of 42 were made good");
}

#[test]
fn an_adapter_that_is_gone_is_told() {
    let board = plug(f103().with(Fault::UnplugAtWrite(2)));
    let mut rom = connect(&board);
    rom.write(FLASH, &[1; 8]).unwrap();
    rom.write(FLASH + 8, &[1; 8]).unwrap();
    let error = rom.write(FLASH + 16, &[1; 8]).unwrap_err();
    assert!(matches!(error, RomError::Unplugged(_)), "{error}");
}

#[test]
fn what_is_not_erased_is_not_written_and_that_is_told() {
    let board = plug(f103());
    board.chip().flash_mut()[..4].copy_from_slice(&[1, 2, 3, 4]);
    let mut rom = connect(&board);
    // The ROM does not tell; only reading does.
    rom.write(FLASH, &[9; 4]).unwrap();
    assert_eq!(rom.read(FLASH, 4).unwrap(), [1, 2, 3, 4]);
    let board = plug(f103().with(Fault::RefuseWrite(0)));
    board.chip().flash_mut()[..4].copy_from_slice(&[1, 2, 3, 4]);
    let error = connect(&board).write(FLASH, &[9; 4]).unwrap_err();
    assert!(matches!(error, RomError::Torn(FLASH)), "{error}");
}

#[test]
fn an_address_that_is_not_there_is_refused() {
    let board = plug(f103());
    let mut rom = connect(&board);
    assert!(matches!(
        rom.read(FLASH + 64 * 1_024, 4),
        Err(RomError::Refused(_))
    ));
    // And the ROM is still in step.
    assert_eq!(rom.product().unwrap(), 0x410);
}
