#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn numbers_survive_their_registers() {
    for value in [0, 1, 0xFFFF, 0x1_0000, 0x1234_5678, u32::MAX] {
        assert_eq!(long(words(value)), value);
    }
    assert_eq!(words(0x1234_5678), [0x1234, 0x5678], "high word first");
}

#[test]
fn codes_are_what_they_were_and_nothing_else() {
    for kind in NodeKind::ALL {
        assert_eq!(NodeKind::try_from(*kind as u16), Ok(*kind));
    }
    for quality in Quality::ALL {
        assert_eq!(Quality::try_from(*quality as u16), Ok(*quality));
    }
    let known = Quality::ALL.len() as u16;
    for code in [known, known + 1, known * 10, u16::MAX] {
        assert_eq!(Quality::try_from(code), Err(UnknownCode(code)));
    }
    for code in [0, 3, 30] {
        assert_eq!(NodeKind::try_from(code), Err(UnknownCode(code)));
    }
    for state in UpdateState::ALL {
        assert_eq!(UpdateState::try_from(*state as u16), Ok(*state));
    }
    for (error, code) in UpdateError::ALL.iter().zip(1..) {
        assert_eq!(*error as u16, code, "every reason has its place");
        assert_eq!(UpdateError::try_from(code), Ok(*error));
    }
    let known = UpdateError::ALL.len() as u16;
    for code in [0, known + 1, known * 10] {
        assert_eq!(UpdateError::try_from(code), Err(UnknownCode(code)));
    }
    let known = UpdateState::ALL.len() as u16;
    for code in [known, known + 1, known * 10] {
        assert_eq!(UpdateState::try_from(code), Err(UnknownCode(code)));
    }
}

#[test]
fn blocks_do_not_overlap() {
    let inputs = [
        (input::MAP_VERSION, input::COMMON_END),
        (input::BIN_FILL, input::BIN_END),
        (input::METER_VOLUME_LONG, input::METER_END),
        (input::OLDEST_RECORD, input::OLDEST_RECORD_END),
        (
            input::LOG,
            input::LOG + 1 + (LOG_ENTRIES * LOG_WORDS) as u16,
        ),
        (input::UPDATE_STATE, input::UPDATE_END),
    ];
    let holdings = [
        (holding::UNIT_ID, holding::COMMON_END),
        (holding::BIN_HEIGHT, holding::BIN_END),
        (holding::METER_PULSES, holding::METER_END),
        (
            holding::UPDATE_MANIFEST,
            holding::UPDATE_MANIFEST + (image::MANIFEST / 2) as u16,
        ),
        (holding::UPDATE_COMMAND, holding::UPDATE_CONFIRM),
        (holding::UPDATE_CONFIRM, holding::UPDATE_CONFIRM + 2),
        (holding::UPDATE_BLOCK, holding::UPDATE_END),
    ];
    for blocks in [&inputs[..], &holdings] {
        for pair in blocks.windows(2) {
            assert!(pair[0].1 <= pair[1].0, "{pair:?}");
        }
        assert!(
            blocks
                .iter()
                .all(|(from, to)| from < to && *to < INPUT_MIRROR)
        );
    }
}

#[test]
fn one_request_writes_a_block_of_an_update() {
    // Modbus allows 123 registers a request.
    for registers in [2 + UPDATE_BLOCK_WORDS, image::MANIFEST / 2] {
        assert!(registers <= 123, "{registers}");
    }
}

#[test]
fn one_request_reads_a_whole_block() {
    // Modbus allows 125 registers a request.
    for registers in [
        usize::from(input::OLDEST_RECORD_END),
        1 + LOG_ENTRIES * LOG_WORDS,
        usize::from(holding::METER_END),
    ] {
        assert!(registers <= 125, "{registers}");
    }
}
