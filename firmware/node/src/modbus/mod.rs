//! Modbus RTU, the server's side (Modbus over Serial Line V1.02, Modbus Application Protocol
//! V1.1b3): [`Receiver`] finds frames in bytes and silence, [`answer`] answers them.

mod receiver;
mod server;

pub use receiver::{Heard, Receiver, silence_us};
pub use server::{Counts, Refusal, Registers, answer};

/// Longest frame: unit, 253 bytes of PDU, checksum.
pub const MAX_FRAME: usize = 256;

const CRC: crc::Crc<u16, crc::NoTable> = crc::Crc::<u16, crc::NoTable>::new(&crc::CRC_16_MODBUS);

/// The checksum of a frame's bytes, as it goes over the line: low byte first.
pub fn checksum(bytes: &[u8]) -> [u8; 2] {
    CRC.checksum(bytes).to_le_bytes()
}

/// Whether a frame ends in its own checksum.
fn is_whole(frame: &[u8]) -> bool {
    match frame.split_last_chunk::<2>() {
        Some((body, sum)) => body.len() >= 2 && checksum(body) == *sum,
        None => false,
    }
}

#[cfg(test)]
mod tests;
