//! All that is stored, as bytes.

use crate::setup::STORED;

/// Bytes of a stored snapshot.
pub const SLOT: usize = 64;

/// Layout of a slot.
const LAYOUT: u8 = 1;
/// Where the bytes end that hold something.
const END: usize = 7 + STORED + 8 + 8 + 2 + 2;
const CRC: crc::Crc<u32, crc::NoTable> = crc::Crc::<u32, crc::NoTable>::new(&crc::CRC_32_ISO_HDLC);

/// What survives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// [`crate::setup::Setup::to_bytes`], if it was ever changed by a master.
    pub setup: Option<[u8; STORED]>,
    /// A meter's pulses, forwards and backwards; `None` if they were lost once.
    pub totals: Option<(u64, u64)>,
    /// How often the node started, modulo 65,536.
    pub starts: u16,
    /// No record has a number above this one yet.
    pub records: u16,
}

impl Snapshot {
    /// As it is written, number `number`: that (4), layout, set-up or not, pulses or not, set-up, pulses
    /// forwards (8) and backwards (8), starts (2), records (2), zeros, CRC-32 of all before;
    /// high byte first.
    pub(super) fn to_slot(&self, number: u32) -> [u8; SLOT] {
        let mut slot = [0; SLOT];
        let mut rest = &mut slot[..];
        let mut put = |bytes: &[u8]| {
            if let Some(place) = rest.split_off_mut(..bytes.len()) {
                place.copy_from_slice(bytes);
            }
        };
        put(&number.to_be_bytes());
        let has = [self.setup.is_some(), self.totals.is_some()].map(u8::from);
        put(&[LAYOUT, has[0], has[1]]);
        put(&self.setup.unwrap_or_default());
        let (forward, backward) = self.totals.unwrap_or_default();
        put(&forward.to_be_bytes());
        put(&backward.to_be_bytes());
        put(&self.starts.to_be_bytes());
        put(&self.records.to_be_bytes());
        let sum = CRC.checksum(&slot[..SLOT - 4]);
        slot[SLOT - 4..].copy_from_slice(&sum.to_be_bytes());
        slot
    }

    /// A slot's number and what it holds; `None` if it is not whole.
    pub(super) fn from_slot(slot: &[u8; SLOT]) -> Option<(u32, Snapshot)> {
        const { assert!(END <= SLOT - 4) };
        let (body, sum) = slot.split_last_chunk::<4>()?;
        if CRC.checksum(body).to_be_bytes() != *sum {
            return None;
        }
        let (number, body) = body.split_first_chunk()?;
        let ([layout, has_setup, has_totals], body) = body.split_first_chunk()?;
        let (setup, body) = body.split_first_chunk()?;
        let (forward, body) = body.split_first_chunk()?;
        let (backward, body) = body.split_first_chunk()?;
        let (starts, body) = body.split_first_chunk()?;
        let records = body.first_chunk()?;
        let snapshot = Snapshot {
            setup: (*has_setup == 1).then_some(*setup),
            totals: (*has_totals == 1)
                .then_some((u64::from_be_bytes(*forward), u64::from_be_bytes(*backward))),
            starts: u16::from_be_bytes(*starts),
            records: u16::from_be_bytes(*records),
        };
        (*layout == LAYOUT).then_some((u32::from_be_bytes(*number), snapshot))
    }
}
