//! The identity page: who a node is, whose images it takes, and how it is set up at first.
//!
//! The flash tool writes it once; the node only reads it. Numbers have their high byte first.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `WGID` |
//! | 4 | 1 | layout of this page, 1 |
//! | 5 | 1 | [`NodeKind`] |
//! | 6 | 2 | hardware id ([`super::layout::Part::hardware`]) |
//! | 8 | 8 | serial number, not 0 |
//! | 16 | 64 | two Ed25519 public keys for updates; 32 zeros are none |
//! | 80 | 1 | how many values of the initial set-up follow, up to [`MOST_VALUES`] |
//! | 81 | 1 | 0 |
//! | 82 | 96 | values: holding register, then what to write to it; unused ones are 0 |
//! | 178 | 4 | CRC-32 (ISO-HDLC, as in zlib) of all before |

use heapless::Vec;

use super::{NodeKind, UnknownCode};

/// Bytes of an encoded identity; the rest of its page is not used.
pub const IDENTITY_BYTES: usize = 182;
/// Most values of an initial set-up.
pub const MOST_VALUES: usize = 24;
/// How many update keys a node can trust.
pub const UPDATE_KEYS: usize = 2;

const MAGIC: [u8; 4] = *b"WGID";
const LAYOUT: u8 = 1;
const NO_KEY: [u8; 32] = [0; 32];
const CRC: crc::Crc<u32, crc::NoTable> = crc::Crc::<u32, crc::NoTable>::new(&crc::CRC_32_ISO_HDLC);

/// Who a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What it is built as.
    pub kind: NodeKind,
    /// For which hardware.
    pub hardware: u16,
    /// Its serial number; not 0.
    pub serial: u64,
    /// Ed25519 public keys whose images it takes.
    pub update_keys: [Option<[u8; 32]>; UPDATE_KEYS],
    /// Its set-up before anybody else sets it up: holding registers and their values.
    pub initial: Vec<(u16, u16), MOST_VALUES>,
}

/// Why a page tells no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Nothing was ever written there.
    #[error("the identity page is blank: the node was never provisioned")]
    Blank,
    /// It does not begin like one.
    #[error("this is no identity page")]
    Magic,
    /// Fewer bytes than one has.
    #[error("an identity has {IDENTITY_BYTES} bytes, not {0}")]
    Short(usize),
    /// Something in it was changed or never finished.
    #[error("the identity page is damaged: its checksum is wrong")]
    Checksum,
    /// It is of a later layout.
    #[error("the identity page has layout {0}, which this version does not know")]
    Layout(u8),
    /// It is for no kind of node that this version knows.
    #[error("the identity page names an unknown kind of node: {0}")]
    Kind(UnknownCode),
    /// The serial number is 0.
    #[error("the identity page has no serial number")]
    Serial,
    /// It counts more values than it has room for.
    #[error("the identity page counts {0} values of set-up; {MOST_VALUES} have room")]
    Values(u8),
}

impl Identity {
    /// As it is written.
    pub fn to_bytes(&self) -> [u8; IDENTITY_BYTES] {
        let mut bytes = [0; IDENTITY_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = LAYOUT;
        // Kinds are small.
        bytes[5] = self.kind as u16 as u8;
        bytes[6..8].copy_from_slice(&self.hardware.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.serial.to_be_bytes());
        for (place, key) in bytes[16..80].chunks_exact_mut(32).zip(self.update_keys) {
            place.copy_from_slice(&key.unwrap_or(NO_KEY));
        }
        // At most MOST_VALUES.
        bytes[80] = self.initial.len() as u8;
        for (place, (register, value)) in bytes[82..178].chunks_exact_mut(4).zip(&self.initial) {
            place[..2].copy_from_slice(&register.to_be_bytes());
            place[2..].copy_from_slice(&value.to_be_bytes());
        }
        let sum = CRC.checksum(&bytes[..178]);
        bytes[178..].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// Reads a page, or as much of it as has [`IDENTITY_BYTES`].
    ///
    /// # Errors
    /// Whatever is wrong with it; [`IdentityError::Blank`] is what a bare board has.
    pub fn from_bytes(page: &[u8]) -> Result<Self, IdentityError> {
        let Some(bytes) = page.first_chunk::<IDENTITY_BYTES>() else {
            return Err(IdentityError::Short(page.len()));
        };
        if bytes.iter().all(|byte| *byte == 0xFF) {
            return Err(IdentityError::Blank);
        }
        if bytes[..4] != MAGIC {
            return Err(IdentityError::Magic);
        }
        if CRC.checksum(&bytes[..178]).to_be_bytes() != bytes[178..] {
            return Err(IdentityError::Checksum);
        }
        if bytes[4] != LAYOUT {
            return Err(IdentityError::Layout(bytes[4]));
        }
        let kind = NodeKind::try_from(u16::from(bytes[5])).map_err(IdentityError::Kind)?;
        let mut serial = [0; 8];
        serial.copy_from_slice(&bytes[8..16]);
        let serial = u64::from_be_bytes(serial);
        if serial == 0 {
            return Err(IdentityError::Serial);
        }
        let mut update_keys = [None; UPDATE_KEYS];
        for (key, place) in update_keys.iter_mut().zip(bytes[16..80].chunks_exact(32)) {
            let mut read = NO_KEY;
            read.copy_from_slice(place);
            *key = (read != NO_KEY).then_some(read);
        }
        let count = usize::from(bytes[80]);
        if count > MOST_VALUES {
            return Err(IdentityError::Values(bytes[80]));
        }
        let word = |pair: &[u8]| u16::from_be_bytes([pair[0], pair[1]]);
        let values = bytes[82..178].chunks_exact(4).take(count);
        Ok(Identity {
            kind,
            hardware: word(&bytes[6..8]),
            serial,
            update_keys,
            initial: values.map(|v| (word(&v[..2]), word(&v[2..]))).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    extern crate alloc;

    use proptest::prelude::*;

    use super::*;
    use crate::node::holding;

    fn example() -> Identity {
        Identity {
            kind: NodeKind::Meter,
            hardware: 0x0104,
            serial: 0x1122_3344_5566_7788,
            update_keys: [None, Some([0xAB; 32])],
            initial: Vec::from_slice(&[(holding::UNIT_ID, 7), (holding::METER_PULSES, 100)])
                .unwrap(),
        }
    }

    #[test]
    fn the_bytes_are_what_they_were() {
        let bytes = example().to_bytes();
        let mut expected = alloc::vec![
            b'W', b'G', b'I', b'D', 1, 2, 0x01, 0x04, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
            0x88,
        ];
        expected.extend([0; 32]);
        expected.extend([0xAB; 32]);
        expected.extend([2, 0, 0, 0, 0, 7, 0, 32, 0, 100]);
        expected.resize(178, 0);
        assert_eq!(bytes[..178], expected);
        // Computed by zlib's crc32 of the bytes above.
        assert_eq!(bytes[178..], GOLDEN_SUM);
    }

    const GOLDEN_SUM: [u8; 4] = [0xEA, 0xD8, 0x58, 0xE0];

    /// Bytes that were changed with a checksum that fits them.
    fn with_sum(mut bytes: [u8; IDENTITY_BYTES]) -> [u8; IDENTITY_BYTES] {
        let sum = CRC.checksum(&bytes[..178]);
        bytes[178..].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    #[test]
    fn what_is_wrong_is_said() {
        let read = Identity::from_bytes;
        assert_eq!(read(&[0xFF; 1024]), Err(IdentityError::Blank));
        assert_eq!(read(&[0; 1024]), Err(IdentityError::Magic));
        assert_eq!(read(&[]), Err(IdentityError::Short(0)));
        let good = example().to_bytes();
        for (at, value, error) in [
            (4, 2, IdentityError::Layout(2)),
            (5, 0, IdentityError::Kind(UnknownCode(0))),
            (5, 3, IdentityError::Kind(UnknownCode(3))),
            (80, 25, IdentityError::Values(25)),
            (80, 240, IdentityError::Values(240)),
        ] {
            let mut bytes = good;
            bytes[at] = value;
            assert_eq!(read(&bytes), Err(IdentityError::Checksum));
            assert_eq!(read(&with_sum(bytes)), Err(error));
        }
        let mut bytes = good;
        bytes[8..16].fill(0);
        assert_eq!(read(&with_sum(bytes)), Err(IdentityError::Serial));
    }

    #[test]
    fn one_bit_or_a_missing_end_is_noticed() {
        let good = example().to_bytes();
        assert_eq!(Identity::from_bytes(&good), Ok(example()));
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good;
                bad[at] ^= 1 << bit;
                assert!(Identity::from_bytes(&bad).is_err(), "byte {at}");
            }
            // Writing it was interrupted.
            let mut torn = good;
            torn[at..].fill(0xFF);
            assert!(Identity::from_bytes(&torn).is_err(), "from byte {at}");
            let short = Identity::from_bytes(&good[..at]);
            assert_eq!(short, Err(IdentityError::Short(at)));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            meter in any::<bool>(),
            hardware: u16,
            serial in 1..=u64::MAX,
            keys in prop::array::uniform2(prop::option::of(prop::array::uniform32(1u8..))),
            initial in prop::collection::vec(any::<(u16, u16)>(), 0..=MOST_VALUES),
        ) {
            let kind = if meter { NodeKind::Meter } else { NodeKind::Bin };
            let initial = Vec::from_slice(&initial).unwrap();
            let identity = Identity { kind, hardware, serial, update_keys: keys, initial };
            let mut page = alloc::vec![0xFF; 1024];
            page[..IDENTITY_BYTES].copy_from_slice(&identity.to_bytes());
            prop_assert_eq!(Identity::from_bytes(&page), Ok(identity));
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), sum: bool) {
            let _ = Identity::from_bytes(&bytes);
            if sum && let Some(whole) = bytes.first_chunk_mut::<IDENTITY_BYTES>() {
                whole[..4].copy_from_slice(&MAGIC);
                let _ = Identity::from_bytes(&with_sum(*whole));
            }
        }
    }
}
