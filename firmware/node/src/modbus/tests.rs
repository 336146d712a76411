#![allow(clippy::unwrap_used)]

use std::vec::Vec as List;

use proptest::prelude::*;

use super::*;

const UNIT: u8 = 7;
const BAUD: u32 = 9_600;

/// Registers 0 to 9 hold their address plus 100; holding registers 0 to 4 can be written with
/// anything below 1,000.
struct Bench {
    holding: [u16; 5],
}

impl Registers for Bench {
    fn input(&self, address: u16) -> Option<u16> {
        (address < 10).then_some(address + 100)
    }

    fn holding(&self, address: u16) -> Option<u16> {
        self.holding.get(usize::from(address)).copied()
    }

    fn write(&mut self, first: u16, values: &[u16]) -> Result<(), Refusal> {
        let from = usize::from(first);
        let places = self
            .holding
            .get_mut(from..from + values.len())
            .ok_or(Refusal::Address)?;
        if values.iter().any(|v| *v >= 1_000) {
            return Err(Refusal::Value);
        }
        places.copy_from_slice(values);
        Ok(())
    }
}

fn framed(body: &[u8]) -> List<u8> {
    [body, &checksum(body)].concat()
}

fn ask(bench: &mut Bench, body: &[u8]) -> List<u8> {
    let (mut counts, mut out) = (Counts::default(), heapless::Vec::new());
    answer(UNIT, &framed(body), bench, &mut counts, &mut out);
    out.to_vec()
}

fn bench() -> Bench {
    Bench { holding: [0; 5] }
}

#[test]
fn the_checksum_is_the_standards() {
    // Modbus over Serial Line V1.02, and every serial tool: 01 03 00 00 00 0A has C5 CD.
    assert_eq!(checksum(&[1, 3, 0, 0, 0, 0x0A]), [0xC5, 0xCD]);
}

#[test]
fn golden_frames() {
    let mut bench = bench();
    assert_eq!(
        ask(&mut bench, &[7, 4, 0, 1, 0, 2]),
        framed(&[7, 4, 4, 0, 101, 0, 102])
    );
    assert_eq!(
        ask(&mut bench, &[7, 6, 0, 2, 1, 4]),
        framed(&[7, 6, 0, 2, 1, 4])
    );
    assert_eq!(
        ask(&mut bench, &[7, 3, 0, 2, 0, 1]),
        framed(&[7, 3, 2, 1, 4])
    );
    let many = [7, 16, 0, 0, 0, 2, 4, 0, 5, 0, 6];
    assert_eq!(ask(&mut bench, &many), framed(&[7, 16, 0, 0, 0, 2]));
    assert_eq!(bench.holding, [5, 6, 260, 0, 0]);
}

#[test]
fn what_cannot_be_answered_says_why_and_changes_nothing() {
    let cases: [(&[u8], Refusal); 13] = [
        (&[7, 5, 0, 0, 0xFF, 0], Refusal::Function),
        (&[7, 0x2B, 0x0E, 1, 0], Refusal::Function),
        (&[7, 4, 0, 9, 0, 2], Refusal::Address),
        (&[7, 4, 0xFF, 0xFF, 0, 2], Refusal::Address),
        (&[7, 3, 0, 5, 0, 1], Refusal::Address),
        (&[7, 4, 0, 0, 0, 0], Refusal::Value),
        (&[7, 4, 0, 0, 0, 126], Refusal::Value),
        (&[7, 4, 0, 0, 4, 0], Refusal::Value),
        (&[7, 3, 0, 0, 0], Refusal::Value),
        (&[7, 6, 0, 0, 3, 0xE8], Refusal::Value),
        (&[7, 16, 0, 4, 0, 2, 4, 0, 1, 0, 1], Refusal::Address),
        (&[7, 16, 0, 0, 0, 2, 4, 0, 1], Refusal::Value),
        (&[7, 16, 0, 0, 0, 0, 0], Refusal::Value),
    ];
    for (body, refusal) in cases {
        let mut bench = bench();
        let expected = framed(&[7, body[1] | 0x80, refusal as u8]);
        assert_eq!(ask(&mut bench, body), expected, "{body:?}");
        assert_eq!(bench.holding, [0; 5], "{body:?}");
    }
}

#[test]
fn a_whole_read_fits_one_frame() {
    struct Wide;
    impl Registers for Wide {
        fn input(&self, address: u16) -> Option<u16> {
            Some(address)
        }
        fn holding(&self, _: u16) -> Option<u16> {
            None
        }
        fn write(&mut self, _: u16, _: &[u16]) -> Result<(), Refusal> {
            Err(Refusal::Address)
        }
    }
    let (mut counts, mut out) = (Counts::default(), heapless::Vec::new());
    answer(
        UNIT,
        &framed(&[7, 4, 0, 0, 0, 125]),
        &mut Wide,
        &mut counts,
        &mut out,
    );
    assert_eq!(out.len(), 5 + 250);
    assert!(is_whole(&out));
}

#[test]
fn a_broadcast_is_done_and_not_answered() {
    let mut bench = bench();
    assert!(ask(&mut bench, &[0, 6, 0, 1, 0, 9]).is_empty());
    assert_eq!(bench.holding[1], 9);
    assert!(
        ask(&mut bench, &[8, 6, 0, 1, 0, 1]).is_empty(),
        "another unit's"
    );
    assert_eq!(bench.holding[1], 9);
}

/// Feeds bytes that come evenly; the whole frames that were heard, and how many were bad.
fn hear(receiver: &mut Receiver, bytes: &[u8], from: u64, gap: u64) -> (List<List<u8>>, usize) {
    let (mut frames, mut bad) = (List::new(), 0);
    let mut now = from;
    let mut look = |receiver: &mut Receiver, now| match receiver.poll(UNIT, now) {
        Some(Heard::Frame) => {
            frames.push(receiver.frame().to_vec());
            receiver.clear();
        }
        Some(Heard::Bad) => {
            bad += 1;
            receiver.clear();
        }
        None => {}
    };
    for byte in bytes {
        now += gap;
        receiver.byte(*byte, now);
        look(receiver, now);
    }
    look(receiver, now + silence_us(BAUD));
    (frames, bad)
}

#[test]
fn silence_is_that_of_the_standard() {
    assert_eq!(silence_us(9_600), 4_010);
    assert_eq!(silence_us(19_200), 2_005);
    assert_eq!(silence_us(115_200), 1_750);
}

#[test]
fn a_frame_ends_by_its_length_and_others_by_silence() {
    let mut receiver = Receiver::new(BAUD);
    let ours = framed(&[7, 4, 0, 1, 0, 2]);
    let theirs = framed(&[9, 4, 4, 0, 1, 0, 2]);
    let (frames, bad) = hear(&mut receiver, &ours, 0, 1_146);
    assert_eq!((frames, bad), (List::from([ours.clone()]), 0));
    let (frames, bad) = hear(&mut receiver, &theirs, 100_000, 1_146);
    assert_eq!((frames, bad), (List::from([theirs]), 0));
    // A function whose length nobody knows ends by silence.
    let odd = framed(&[7, 0x41, 1, 2, 3]);
    let (frames, bad) = hear(&mut receiver, &odd, 200_000, 1_146);
    assert_eq!((frames, bad), (List::from([odd]), 0));
}

#[test]
fn a_pause_inside_a_frame_spoils_it_at_the_limit_only() {
    let request = framed(&[7, 4, 0, 1, 0, 2]);
    for (pause, heard) in [(silence_us(BAUD) - 1, 1), (silence_us(BAUD), 0)] {
        let mut receiver = Receiver::new(BAUD);
        hear(&mut receiver, &[], 0, 0);
        let mut now = 10_000;
        for (i, byte) in request.iter().enumerate() {
            now += if i == 4 { pause } else { 1_000 };
            receiver.byte(*byte, now);
        }
        let got = usize::from(receiver.poll(UNIT, now) == Some(Heard::Frame));
        assert_eq!(got, heard, "{pause}");
    }
}

#[test]
fn a_line_error_and_an_endless_frame_are_bad() {
    let request = framed(&[7, 4, 0, 1, 0, 2]);
    let mut receiver = Receiver::new(BAUD);
    receiver.byte(request[0], 10_000);
    receiver.damaged(11_000);
    for (i, byte) in request[2..].iter().enumerate() {
        receiver.byte(*byte, 12_000 + i as u64 * 1_000);
    }
    assert_eq!(receiver.poll(UNIT, 17_000), None, "not at once");
    assert_eq!(receiver.poll(UNIT, 30_000), Some(Heard::Bad));
    for bytes in [MAX_FRAME + 1, MAX_FRAME * 10] {
        let mut receiver = Receiver::new(BAUD);
        let (frames, bad) = hear(&mut receiver, &std::vec![7; bytes], 10_000, 1_000);
        assert_eq!((frames.len(), bad), (0, 1), "{bytes}");
    }
}

proptest! {
    #[test]
    fn no_damaged_request_is_taken(at in 0usize..8, bit in 0u8..8) {
        let mut request = framed(&[7, 4, 0, 1, 0, 2]);
        request[at] ^= 1 << bit;
        let (frames, _) = hear(&mut Receiver::new(BAUD), &request, 10_000, 1_000);
        prop_assert!(frames.is_empty(), "{frames:?}");
    }

    #[test]
    fn whatever_comes_a_request_after_a_silence_is_heard(
        rubbish in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let mut receiver = Receiver::new(BAUD);
        hear(&mut receiver, &rubbish, 10_000, 1_000);
        let request = framed(&[7, 4, 0, 1, 0, 2]);
        let (frames, bad) = hear(&mut receiver, &request, 10_000_000, 1_000);
        prop_assert_eq!((frames, bad), (List::from([request]), 0));
    }

    #[test]
    fn any_frame_is_answered_whole_or_not_at_all(body in prop::collection::vec(any::<u8>(), 0..254)) {
        let mut bench = bench();
        let answer = ask(&mut bench, &body);
        prop_assert!(answer.is_empty() || is_whole(&answer));
        prop_assert!(answer.len() <= MAX_FRAME);
        if let Some(first) = answer.first() {
            prop_assert_eq!(*first, UNIT);
        }
    }
}
