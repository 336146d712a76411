//! The queues: where each begins and ends, what it holds, and the keys of its records.

use std::ops::{Deref, DerefMut};

use super::{Class, Seq, quota::frame_cost};

/// First byte of a record's key.
pub const RECORD: u8 = 2;

/// One lane's whereabouts.
#[derive(Clone, Debug, Default)]
pub struct LaneState {
    /// No record before this is live.
    pub first: Seq,
    /// No record after this.
    pub last: Seq,
    /// Live records.
    pub records: u64,
    /// What they cost in the quota.
    pub bytes: u64,
}

/// All lanes; a lane's place is the lane id of its uplink × 3 + its class.
#[derive(Debug, Default)]
pub struct Lanes(Vec<LaneState>);

impl Deref for Lanes {
    type Target = [LaneState];
    fn deref(&self) -> &[LaneState] {
        &self.0
    }
}

impl DerefMut for Lanes {
    fn deref_mut(&mut self) -> &mut [LaneState] {
        &mut self.0
    }
}

impl Lanes {
    /// Makes room for the lanes of the uplink with lane id `uplink`.
    pub fn grow(&mut self, uplink: usize) {
        let len = (uplink + 1) * Class::ALL.len();
        if self.0.len() < len {
            self.0.resize_with(len, LaneState::default);
        }
    }

    /// Live records of an uplink.
    pub fn held_by(&self, uplink: usize) -> u64 {
        self.0
            .iter()
            .skip(uplink * Class::ALL.len())
            .take(Class::ALL.len())
            .map(|lane| lane.records)
            .sum()
    }

    /// A record joined.
    pub fn admit(&mut self, lane: usize, seq: Seq, frame: usize) {
        self.grow(uplink_of(lane));
        let lane = &mut self.0[lane];
        if lane.records == 0 {
            lane.first = seq;
        }
        lane.first = lane.first.min(seq);
        lane.last = lane.last.max(seq);
        lane.records += 1;
        lane.bytes += frame_cost(frame);
    }

    /// A record left.
    pub fn release(&mut self, lane: usize, frame: usize) {
        let lane = &mut self.0[lane];
        lane.records = lane.records.saturating_sub(1);
        lane.bytes = lane.bytes.saturating_sub(frame_cost(frame));
    }
}

/// Lane id of the uplink that a lane belongs to.
pub fn uplink_of(lane: usize) -> usize {
    lane / Class::ALL.len()
}

/// Class of a lane.
pub fn class_of(lane: usize) -> Class {
    Class::ALL[lane % Class::ALL.len()]
}

/// Place of an uplink's lane.
pub fn lane_of(uplink: usize, class: Class) -> usize {
    uplink * Class::ALL.len() + class as usize
}

/// The key of a record.
pub fn record_key(lane: usize, seq: Seq) -> [u8; 11] {
    let mut key = [RECORD; 11];
    // There are at most 255 uplinks.
    key[1] = uplink_of(lane) as u8;
    key[2] = class_of(lane) as u8;
    key[3..].copy_from_slice(&seq.to_be_bytes());
    key
}

/// Lane and number in a record's key.
pub fn parse_key(key: &[u8]) -> Option<(usize, Seq)> {
    let [RECORD, uplink, class, seq @ ..] = key else {
        return None;
    };
    let class = *Class::ALL.get(usize::from(*class))?;
    let seq = Seq::from_be_bytes(seq.try_into().ok()?);
    Some((lane_of(usize::from(*uplink), class), seq))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r06_keys_sort_by_uplink_class_and_number() {
        let mut keys = Vec::new();
        for uplink in [0, 1, 254] {
            for class in Class::ALL {
                for seq in [0, 1, 255, 256, u64::MAX] {
                    let lane = lane_of(uplink, class);
                    let key = record_key(lane, seq);
                    assert_eq!(parse_key(&key), Some((lane, seq)));
                    keys.push(key);
                }
            }
        }
        assert!(keys.is_sorted());
        for bad in [&b""[..], &[2], &[2, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0], &[2; 12]] {
            assert_eq!(parse_key(bad), None);
        }
    }
}
