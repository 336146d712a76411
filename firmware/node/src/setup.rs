//! How a node is set up: its holding registers, their ranges, and their form in storage.

use wangge_protocol::node::{NodeKind, holding as h};

use crate::modbus::{Refusal, checksum};

/// One register: where, and what it may be.
struct Spec {
    address: u16,
    range: core::ops::RangeInclusive<u16>,
    default: u16,
}

const fn spec(address: u16, least: u16, most: u16, default: u16) -> Spec {
    Spec {
        address,
        range: least..=most,
        default,
    }
}

const COMMON: [Spec; 4] = [
    spec(h::UNIT_ID, 1, 247, 247),
    spec(h::BAUD, 12, 1_152, 96),
    spec(h::PARITY, 0, 2, 0),
    spec(h::PERIOD, 1, 3_600, 60),
];
const BIN: [Spec; 8] = [
    spec(h::BIN_HEIGHT, 0, 8_000, 0),
    spec(h::BIN_FULL_AT, 0, 7_900, 300),
    spec(h::BIN_CHANGE, 1, 1_000, 50),
    spec(h::BIN_TILT_LIMIT, 50, 1_800, 450),
    spec(h::BIN_FIRE_AT, 300, 1_200, 600),
    spec(h::BIN_FIRE_RATE, 10, 1_000, 100),
    spec(h::BIN_LID_CONTACT, 0, 2, 0),
    spec(h::BIN_DIVIDER, 0, 1_000, 0),
];
const METER: [Spec; 4] = [
    spec(h::METER_PULSES, 1, 10_000, 1_000),
    spec(h::METER_DEBOUNCE, 1, 500, 20),
    spec(h::METER_BURST, 1, 65_534, 20_000),
    spec(h::METER_LEAK, 1, 10_080, 120),
];
/// Line speeds, in 100 baud.
const BAUDS: [u16; 8] = [12, 24, 48, 96, 192, 384, 576, 1_152];
/// Least height of a bin that is calibrated, mm.
const LEAST_HEIGHT: u16 = 200;

/// A divider by one: the battery itself is at the pin.
const LEAST_DIVIDER: u16 = 100;

/// Most values of a set-up.
const VALUES: usize = COMMON.len() + BIN.len();
/// Bytes of a stored set-up: layout, kind, values, checksum.
pub const STORED: usize = 2 + VALUES * 2 + 2;
/// Layout of a stored set-up.
const LAYOUT: u8 = 1;

/// Parity of the line; one stop bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parity {
    /// 8N1.
    None,
    /// 8O1.
    Odd,
    /// 8E1.
    Even,
}

/// A set-up that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    kind: NodeKind,
    values: [u16; VALUES],
}

impl Setup {
    /// What a node of this kind has before anybody sets it up.
    pub fn new(kind: NodeKind) -> Self {
        let mut values = [0; VALUES];
        for (value, spec) in values.iter_mut().zip(specs(kind)) {
            *value = spec.default;
        }
        Setup { kind, values }
    }

    /// A holding register's value.
    pub fn get(&self, address: u16) -> Option<u16> {
        self.index(address).map(|index| self.values[index])
    }

    /// Writes all or none.
    ///
    /// # Errors
    /// [`Refusal::Address`] where there is no such register, [`Refusal::Value`] for a value out
    /// of range or one that contradicts another.
    pub fn set(&mut self, first: u16, values: &[u16]) -> Result<(), Refusal> {
        let mut new = self.clone();
        for (offset, value) in (0u16..).zip(values) {
            let address = first.checked_add(offset).ok_or(Refusal::Address)?;
            let index = new.index(address).ok_or(Refusal::Address)?;
            new.values[index] = *value;
        }
        if !new.makes_sense() {
            return Err(Refusal::Value);
        }
        *self = new;
        Ok(())
    }

    /// What a node has that was given values when it was made: holding registers and what they
    /// hold, in any order.
    ///
    /// # Errors
    /// [`Refusal::Address`] for a register that this kind has not, [`Refusal::Value`] for values
    /// that make no sense together.
    pub fn initial(kind: NodeKind, values: &[(u16, u16)]) -> Result<Self, Refusal> {
        let mut setup = Setup::new(kind);
        for (address, value) in values {
            let index = setup.index(*address).ok_or(Refusal::Address)?;
            setup.values[index] = *value;
        }
        if setup.makes_sense() {
            Ok(setup)
        } else {
            Err(Refusal::Value)
        }
    }

    /// Unit id on the bus.
    pub fn unit(&self) -> u8 {
        // 1 to 247.
        self.value(h::UNIT_ID) as u8
    }

    /// Line speed, baud.
    pub fn baud(&self) -> u32 {
        u32::from(self.value(h::BAUD)) * 100
    }

    /// Parity of the line.
    pub fn parity(&self) -> Parity {
        match self.value(h::PARITY) {
            1 => Parity::Odd,
            2 => Parity::Even,
            _ => Parity::None,
        }
    }

    /// Between two measurements, s.
    pub fn period(&self) -> u16 {
        self.value(h::PERIOD)
    }

    /// A value that this kind has; 0 for one that it has not.
    pub(crate) fn value(&self, address: u16) -> u16 {
        self.get(address).unwrap_or(0)
    }

    /// As it is stored.
    pub fn to_bytes(&self) -> [u8; STORED] {
        let mut bytes = [0; STORED];
        bytes[0] = LAYOUT;
        // 1 or 2.
        bytes[1] = self.kind as u16 as u8;
        for (place, value) in bytes[2..STORED - 2].chunks_exact_mut(2).zip(self.values) {
            place.copy_from_slice(&value.to_be_bytes());
        }
        let sum = checksum(&bytes[..STORED - 2]);
        bytes[STORED - 2..].copy_from_slice(&sum);
        bytes
    }

    /// Reads what was stored; `None` if it is damaged, of another kind or layout, or nonsense:
    /// the node then says so and uses what it came with.
    pub fn from_bytes(kind: NodeKind, bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<2>()?;
        let ([layout, stored_kind], values) = body.split_first_chunk::<2>()?;
        let fits = bytes.len() == STORED && *layout == LAYOUT && checksum(body) == *sum;
        if !fits || u16::from(*stored_kind) != kind as u16 {
            return None;
        }
        let mut setup = Setup::new(kind);
        for (value, pair) in setup.values.iter_mut().zip(values.chunks_exact(2)) {
            *value = u16::from_be_bytes([pair[0], pair[1]]);
        }
        setup.makes_sense().then_some(setup)
    }

    fn index(&self, address: u16) -> Option<usize> {
        specs(self.kind).position(|spec| spec.address == address)
    }

    fn makes_sense(&self) -> bool {
        let in_range = specs(self.kind)
            .zip(self.values)
            .all(|(spec, value)| spec.range.contains(&value));
        let speed = BAUDS.contains(&self.value(h::BAUD));
        let height = self.value(h::BIN_HEIGHT);
        let bin = height == 0 || height >= LEAST_HEIGHT && self.value(h::BIN_FULL_AT) < height;
        let divider = self.value(h::BIN_DIVIDER);
        in_range && speed && bin && (divider == 0 || divider >= LEAST_DIVIDER)
    }
}

fn specs(kind: NodeKind) -> impl Iterator<Item = &'static Spec> {
    let own: &'static [Spec] = match kind {
        NodeKind::Bin => &BIN,
        NodeKind::Meter => &METER,
    };
    COMMON.iter().chain(own)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_hold_at_the_limit_and_beyond() {
        for kind in NodeKind::ALL {
            for spec in specs(*kind).filter(|s| s.address != h::BAUD) {
                let mut setup = Setup::new(*kind);
                if spec.address == h::BIN_FULL_AT {
                    setup.set(h::BIN_HEIGHT, &[8_000]).unwrap();
                }
                let (least, most) = (*spec.range.start(), *spec.range.end());
                let lowest = if spec.address == h::BIN_HEIGHT {
                    301
                } else {
                    least
                };
                for good in [lowest, most] {
                    assert_eq!(setup.set(spec.address, &[good]), Ok(()), "{}", spec.address);
                    assert_eq!(setup.get(spec.address), Some(good));
                }
                let before = setup.clone();
                for bad in [most + 1, most.saturating_mul(10).max(most + 1)] {
                    assert_eq!(setup.set(spec.address, &[bad]), Err(Refusal::Value));
                }
                if let Some(below) = least.checked_sub(1) {
                    assert_eq!(setup.set(spec.address, &[below]), Err(Refusal::Value));
                }
                assert_eq!(setup, before, "a refused value changes nothing");
            }
        }
    }

    #[test]
    fn a_bin_cannot_be_full_below_its_floor() {
        let mut setup = Setup::new(NodeKind::Bin);
        assert_eq!(setup.set(h::BIN_HEIGHT, &[300]), Err(Refusal::Value));
        assert_eq!(setup.set(h::BIN_HEIGHT, &[199, 100]), Err(Refusal::Value));
        assert_eq!(
            setup.set(h::BIN_HEIGHT, &[200, 100]),
            Ok(()),
            "both at once"
        );
    }

    #[test]
    fn half_a_write_is_no_write() {
        let mut setup = Setup::new(NodeKind::Bin);
        let before = setup.clone();
        assert_eq!(
            setup.set(h::UNIT_ID, &[5, 97]),
            Err(Refusal::Value),
            "no such speed"
        );
        assert_eq!(setup.set(h::PERIOD, &[5, 5, 5]), Err(Refusal::Address));
        assert_eq!(
            setup.set(h::METER_PULSES, &[1]),
            Err(Refusal::Address),
            "a meter's"
        );
        assert_eq!(setup.set(u16::MAX, &[1, 1]), Err(Refusal::Address));
        assert_eq!(setup, before);
    }

    #[test]
    fn every_single_damaged_byte_of_a_stored_setup_is_found() {
        let mut setup = Setup::new(NodeKind::Bin);
        setup.set(h::BIN_HEIGHT, &[1_200]).unwrap();
        let bytes = setup.to_bytes();
        assert_eq!(Setup::from_bytes(NodeKind::Bin, &bytes), Some(setup));
        assert_eq!(Setup::from_bytes(NodeKind::Meter, &bytes), None);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes;
                bad[at] ^= 1 << bit;
                assert_eq!(Setup::from_bytes(NodeKind::Bin, &bad), None, "byte {at}");
            }
            assert_eq!(Setup::from_bytes(NodeKind::Bin, &bytes[..at]), None);
        }
    }

    #[test]
    fn an_initial_set_up_is_taken_whole_or_refused() {
        let initial = Setup::initial;
        // Less than the default full mark until that is lowered, too.
        let low = [(h::BIN_HEIGHT, 250), (h::UNIT_ID, 9), (h::BIN_FULL_AT, 50)];
        let setup = initial(NodeKind::Bin, &low).unwrap();
        assert_eq!((setup.unit(), setup.value(h::BIN_HEIGHT)), (9, 250));
        assert_eq!(initial(NodeKind::Bin, &[]), Ok(Setup::new(NodeKind::Bin)));
        assert_eq!(initial(NodeKind::Meter, &low), Err(Refusal::Address));
        assert_eq!(initial(NodeKind::Bin, &low[..2]), Err(Refusal::Value));
        for unit in [0, 248, 2_480] {
            let refused = initial(NodeKind::Bin, &[(h::UNIT_ID, unit)]);
            assert_eq!(refused, Err(Refusal::Value));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_what_stays_makes_sense(
            writes in prop::collection::vec((0u16..40, prop::collection::vec(any::<u16>(), 1..8)), 1..20),
        ) {
            let mut setup = Setup::new(NodeKind::Bin);
            for (first, values) in writes {
                let _ = setup.set(first, &values);
                prop_assert!(setup.makes_sense());
                prop_assert_eq!(
                    Setup::from_bytes(NodeKind::Bin, &setup.to_bytes()),
                    Some(setup.clone())
                );
            }
        }
    }
}
