//! From a request to an answer.

use heapless::Vec;

use super::{MAX_FRAME, checksum};

/// Most registers that one request may read, and write (Application Protocol V1.1b3, 6.3, 6.12).
const MAX_READ: u16 = 125;
const MAX_WRITE: u16 = 123;

const READ_HOLDING: u8 = 3;
const READ_INPUT: u8 = 4;
const WRITE_ONE: u8 = 6;
const WRITE_MANY: u8 = 16;

/// Why a request is refused; the exception code of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// There is no such function here.
    Function = 1,
    /// There is no such register, or it cannot be written.
    Address = 2,
    /// The value, or the number of registers, is not possible.
    Value = 3,
    /// It should have worked, and did not: storage failed.
    Failure = 4,
}

/// What the server reads and writes.
pub trait Registers {
    /// An input register's value.
    fn input(&self, address: u16) -> Option<u16>;

    /// A holding register's value.
    fn holding(&self, address: u16) -> Option<u16>;

    /// Writes all of them or none.
    ///
    /// # Errors
    /// Why none was written.
    fn write(&mut self, first: u16, values: &[u16]) -> Result<(), Refusal>;
}

/// What the server counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames for this unit that were damaged.
    pub bad_frames: u16,
    /// Requests that were refused.
    pub exceptions: u16,
}

/// Answers one whole frame: fills `out` with the answer, checksum included, or leaves it empty
/// where none is due (another unit's frame, a broadcast).
pub fn answer(
    unit: u8,
    frame: &[u8],
    registers: &mut impl Registers,
    counts: &mut Counts,
    out: &mut Vec<u8, MAX_FRAME>,
) {
    out.clear();
    let [to, function, data @ .., _, _] = frame else {
        return;
    };
    if *to != unit && *to != 0 {
        return;
    }
    let broadcast = *to == 0;
    let mut body = Vec::new();
    let refused = serve(*function, data, registers, &mut body).err();
    if let Some(refusal) = refused {
        counts.exceptions = counts.exceptions.wrapping_add(1);
        body.clear();
        // One byte fits an empty buffer.
        let _ = body.push(refusal as u8);
    }
    if broadcast {
        return;
    }
    let function = if refused.is_some() {
        function | 0x80
    } else {
        *function
    };
    // A body has 252 bytes at most: it fits with unit, function and checksum.
    let _ = out.push(*to);
    let _ = out.push(function);
    let _ = out.extend_from_slice(&body);
    let sum = checksum(out);
    let _ = out.extend_from_slice(&sum);
}

/// Longest body of an answer: a count and 125 registers, with room to spare.
type Body = Vec<u8, { MAX_FRAME - 4 }>;

fn serve(
    function: u8,
    data: &[u8],
    registers: &mut impl Registers,
    body: &mut Body,
) -> Result<(), Refusal> {
    match function {
        READ_HOLDING | READ_INPUT => {
            let [a, b, c, d] = *data else {
                return Err(Refusal::Value);
            };
            let (first, count) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            if count == 0 || count > MAX_READ {
                return Err(Refusal::Value);
            }
            let end = first.checked_add(count - 1).ok_or(Refusal::Address)?;
            // 125 registers are 250 bytes.
            let _ = body.push((count * 2) as u8);
            for address in first..=end {
                let value = match function {
                    READ_INPUT => registers.input(address),
                    _ => registers.holding(address),
                };
                let value = value.ok_or(Refusal::Address)?;
                let _ = body.extend_from_slice(&value.to_be_bytes());
            }
        }
        WRITE_ONE => {
            let [a, b, c, d] = *data else {
                return Err(Refusal::Value);
            };
            registers.write(u16::from_be_bytes([a, b]), &[u16::from_be_bytes([c, d])])?;
            let _ = body.extend_from_slice(data);
        }
        WRITE_MANY => {
            let [a, b, c, d, bytes, values @ ..] = data else {
                return Err(Refusal::Value);
            };
            let count = u16::from_be_bytes([*c, *d]);
            let fits = count > 0 && count <= MAX_WRITE;
            if !fits
                || usize::from(count) * 2 != values.len()
                || usize::from(*bytes) != values.len()
            {
                return Err(Refusal::Value);
            }
            let words: Vec<u16, { MAX_WRITE as usize }> = values
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect();
            registers.write(u16::from_be_bytes([*a, *b]), &words)?;
            let _ = body.extend_from_slice(&[*a, *b, *c, *d]);
        }
        _ => return Err(Refusal::Function),
    }
    Ok(())
}
