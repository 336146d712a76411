//! Ultrasonic sensors that send their distance over a serial line (A02YYUW and its family):
//! 9600 8N1, four bytes: 0xFF, high byte, low byte, sum of the three modulo 256; mm.

use heapless::Vec;
use wangge_protocol::node::Quality;

use crate::waste_bin::Reading;

const HEAD: u8 = 0xFF;
/// The data sheet promises a reading every 0.1 to 0.3 s; ten of the slower ones missing are
/// no chance, ms.
const SILENT_AFTER: u64 = 3_000;
/// Nearer than this it cannot see, mm; it then sends 0 or something below.
const BLIND: u16 = 30;
/// Farther than this it does not see, mm.
const FARTHEST: u16 = 4_500;

/// Reads its bytes.
#[derive(Debug, Default)]
pub struct SerialUltrasonic {
    frame: Vec<u8, 4>,
    /// When the last whole reading came, ms.
    heard: u64,
}

impl SerialUltrasonic {
    /// One byte at `now`, ms; a reading when a frame is whole.
    pub fn byte(&mut self, byte: u8, now: u64) -> Option<Reading<u16>> {
        if self.frame.is_empty() && byte != HEAD {
            return None;
        }
        // There is room: a frame of four leaves at once.
        let _ = self.frame.push(byte);
        let [head, high, low, sum] = *self.frame.as_slice() else {
            return None;
        };
        if head.wrapping_add(high).wrapping_add(low) != sum {
            // The head may have been a data byte, and the true one come after it. To begin anew
            // behind all four would meet the same data byte each time where nothing moves.
            let later = self.frame.iter().skip(1);
            self.frame = later.skip_while(|b| **b != HEAD).copied().collect();
            return None;
        }
        self.frame.clear();
        self.heard = now;
        let mm = u16::from_be_bytes([high, low]);
        Some(match mm {
            _ if mm < BLIND => Err(Quality::TooNear),
            _ if mm > FARTHEST => Err(Quality::NoEcho),
            _ => Ok(mm),
        })
    }

    /// Whether it has said nothing for so long that it must be missing.
    pub fn is_silent(&self, now: u64) -> bool {
        now.saturating_sub(self.heard) >= SILENT_AFTER
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec as List;

    use proptest::prelude::*;

    use super::*;

    fn frame(mm: u16) -> [u8; 4] {
        let [high, low] = mm.to_be_bytes();
        let sum = HEAD.wrapping_add(high).wrapping_add(low);
        [HEAD, high, low, sum]
    }

    fn read(sensor: &mut SerialUltrasonic, bytes: &[u8]) -> List<Reading<u16>> {
        bytes.iter().filter_map(|b| sensor.byte(*b, 1)).collect()
    }

    #[test]
    fn the_data_sheets_frame() {
        // 0xFF 0x07 0xA1 0xA7 is 1,953 mm.
        let mut sensor = SerialUltrasonic::default();
        assert_eq!(read(&mut sensor, &[0xFF, 0x07, 0xA1, 0xA7]), [Ok(1_953)]);
    }

    #[test]
    fn limits() {
        let mut sensor = SerialUltrasonic::default();
        for (mm, expected) in [
            (0, Err(Quality::TooNear)),
            (BLIND - 1, Err(Quality::TooNear)),
            (BLIND, Ok(BLIND)),
            (FARTHEST, Ok(FARTHEST)),
            (FARTHEST + 1, Err(Quality::NoEcho)),
            (u16::MAX, Err(Quality::NoEcho)),
        ] {
            assert_eq!(read(&mut sensor, &frame(mm)), [expected], "{mm}");
        }
    }

    #[test]
    fn silence_is_noticed_at_the_limit() {
        let mut sensor = SerialUltrasonic::default();
        for byte in frame(900) {
            sensor.byte(byte, 10_000);
        }
        assert!(!sensor.is_silent(10_000 + SILENT_AFTER - 1));
        assert!(sensor.is_silent(10_000 + SILENT_AFTER));
    }

    #[test]
    fn a_low_byte_like_a_head_is_not_taken_for_one_for_ever() {
        // 0x06FF, begun in its middle.
        let mut sensor = SerialUltrasonic::default();
        let mut readings = read(&mut sensor, &frame(0x06FF)[2..]);
        for _ in 0..2 {
            readings.extend(read(&mut sensor, &frame(0x06FF)));
        }
        assert_eq!(readings.last(), Some(&Ok(0x06FF)));
    }

    proptest! {
        #[test]
        fn after_any_rubbish_two_frames_are_enough(
            rubbish in prop::collection::vec(any::<u8>(), 0..40),
            mm in BLIND..FARTHEST,
        ) {
            let mut sensor = SerialUltrasonic::default();
            read(&mut sensor, &rubbish);
            // The rubbish may end within what looks like a frame; no byte of ours but the head
            // is 0xFF below 4,500 mm, except a low byte or a sum.
            let mut readings = List::new();
            for _ in 0..2 {
                readings.extend(read(&mut sensor, &frame(mm)));
            }
            prop_assert_eq!(readings.last(), Some(&Ok(mm)));
        }
    }
}
