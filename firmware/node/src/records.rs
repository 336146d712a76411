//! Records that wait for the gateway's receipt.
//!
//! A master that polls sees what is, not what was in between. So whatever is worth telling is
//! numbered and kept until the gateway writes that number to the receipt register.

use heapless::Deque;

/// How many wait at most; the oldest is then overwritten, counted and logged.
pub const KEPT: usize = 16;

/// Numbers are reserved so many at a time, so that storage is not written for every record and
/// no number comes twice after a restart.
const RESERVED: u16 = 64;

/// One record: what a bin or a meter was like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Rises by one, from 1; after 65,535 comes 1.
    pub number: u16,
    /// Uptime, s.
    pub at: u32,
    /// The figures, as in the registers that the record is about.
    pub figures: [u16; 4],
}

/// The queue.
#[derive(Debug, Default)]
pub struct Records {
    waiting: Deque<Record, KEPT>,
    newest: u16,
    /// Up to here numbers are reserved.
    reserved: u16,
    lost: u16,
}

impl Records {
    /// Goes on behind the numbers that storage says were reserved.
    pub fn after(reserved: u16) -> Self {
        Records {
            newest: reserved,
            reserved,
            ..Records::default()
        }
    }

    /// Up to which number none has been given yet, for storage; changes now and then.
    pub fn reserved(&self) -> u16 {
        self.reserved
    }

    /// Adds one; returns the number of the record that it pushed out, if any.
    pub fn push(&mut self, at: u32, figures: [u16; 4]) -> Option<u16> {
        let pushed_out = if self.waiting.is_full() {
            self.lost = self.lost.wrapping_add(1);
            self.waiting.pop_front().map(|record| record.number)
        } else {
            None
        };
        let used_up = self.newest == self.reserved;
        self.newest = self.newest.checked_add(1).unwrap_or(1);
        if used_up {
            self.reserved = self.newest.checked_add(RESERVED - 1).unwrap_or(RESERVED);
        }
        // There is room now.
        let _ = self.waiting.push_back(Record {
            number: self.newest,
            at,
            figures,
        });
        pushed_out
    }

    /// The gateway has everything up to `number`. A number that nothing waits under changes
    /// nothing: a receipt may come twice.
    pub fn receipt(&mut self, number: u16) {
        if !self.waiting.iter().any(|record| record.number == number) {
            return;
        }
        while let Some(record) = self.waiting.pop_front() {
            if record.number == number {
                break;
            }
        }
    }

    /// The one that waits longest.
    pub fn oldest(&self) -> Option<&Record> {
        self.waiting.front()
    }

    /// Number of the newest, 0 before the first.
    pub fn newest(&self) -> u16 {
        self.newest
    }

    /// How many were overwritten, modulo 65,536.
    pub fn lost(&self) -> u16 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_waits_for_its_receipt_and_the_receipt_may_come_twice() {
        let mut records = Records::default();
        for at in 0..3 {
            assert_eq!(records.push(at, [0; 4]), None);
        }
        records.receipt(2);
        assert_eq!(records.oldest().map(|r| r.number), Some(3));
        records.receipt(2);
        records.receipt(99);
        assert_eq!(records.oldest().map(|r| r.number), Some(3));
        records.receipt(3);
        assert_eq!(records.oldest(), None);
    }

    #[test]
    fn what_does_not_fit_is_counted_at_the_limit_and_beyond() {
        let mut records = Records::default();
        for at in 0..KEPT as u32 {
            assert_eq!(records.push(at, [0; 4]), None);
        }
        assert_eq!(records.lost(), 0);
        assert_eq!(records.push(99, [0; 4]), Some(1));
        for at in 0..KEPT as u32 * 9 - 1 {
            records.push(at, [0; 4]);
        }
        assert_eq!(records.lost(), KEPT as u16 * 9);
        assert_eq!(records.newest(), KEPT as u16 * 10);
    }

    #[test]
    fn no_number_comes_twice_however_often_it_restarts() {
        let mut stored = 0;
        let mut seen = std::collections::HashSet::new();
        for records_made in [0u32, 1, 63, 64, 65, 200, 1, 1] {
            let mut records = Records::after(stored);
            for at in 0..records_made {
                records.push(at, [0; 4]);
                stored = records.reserved();
                assert!(seen.insert(records.newest()), "{}", records.newest());
            }
        }
        assert_eq!(stored, 64 * 11, "one write in 64 records");
    }

    #[test]
    fn numbers_go_round_without_zero() {
        let mut records = Records::default();
        for at in 0..65_536 {
            records.push(at, [0; 4]);
        }
        assert_eq!(records.newest(), 1);
        records.receipt(65_535);
        assert_eq!(records.oldest().map(|r| r.number), Some(1));
    }
}
