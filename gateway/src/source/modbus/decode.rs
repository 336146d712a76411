//! Registers to figures: every word and byte order, BCD, bits, sums of parts. Pure.

use crate::{
    bilingual::Bilingual,
    config::{ByteOrder, Point, RegisterFormat, RegisterPart, RegisterTable},
};

/// Most registers that one BCD figure may span: 16 digits, all of which an `f64` holds exactly
/// up to 9.007e15.
pub const MAX_BCD_REGISTERS: u8 = 4;

/// Why a figure could not be made of its registers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error(
        "{} register {address} holds a nibble that is no decimal digit (BCD {raw:X?})",
        table_name(*table)
    )]
    Bcd {
        table: RegisterTable,
        address: u16,
        raw: Vec<u16>,
    },
    #[error("{} register {address} holds no finite number ({raw:X?})", table_name(*table))]
    NotFinite {
        table: RegisterTable,
        address: u16,
        raw: Vec<u16>,
    },
    /// The device refuses this register, so it was not read.
    #[error("the device refuses {} register {address}", table_name(*table))]
    Refused { table: RegisterTable, address: u16 },
}

impl Bilingual for DecodeError {
    fn zh(&self) -> String {
        let name = |table: &RegisterTable| match table {
            RegisterTable::Holding => "保持寄存器",
            RegisterTable::Input => "输入寄存器",
        };
        match self {
            DecodeError::Bcd {
                table,
                address,
                raw,
            } => format!("{} {address} 含非十进制数字(BCD {raw:X?})", name(table)),
            DecodeError::NotFinite {
                table,
                address,
                raw,
            } => format!("{} {address} 不是有限数值({raw:X?})", name(table)),
            DecodeError::Refused { table, address } => {
                format!("设备拒绝读取{} {address}", name(table))
            }
        }
    }
}

/// The table's name for people.
const fn table_name(table: RegisterTable) -> &'static str {
    match table {
        RegisterTable::Holding => "holding",
        RegisterTable::Input => "input",
    }
}

/// How many registers a format takes.
pub const fn width(format: RegisterFormat) -> u16 {
    match format {
        RegisterFormat::U16 | RegisterFormat::I16 | RegisterFormat::Bit(_) => 1,
        RegisterFormat::U32 | RegisterFormat::I32 | RegisterFormat::F32 => 2,
        RegisterFormat::U64 | RegisterFormat::I64 | RegisterFormat::F64 => 4,
        RegisterFormat::Bcd(registers) => registers as u16,
    }
}

/// Whether every part is a 32-bit float, so that the figure means no more digits than that.
pub fn is_single(point: &Point) -> bool {
    point.parts.iter().all(|p| p.format == RegisterFormat::F32)
}

/// A point's figure in its quantity's unit, `words` giving the registers of a part or `None`
/// where they were refused.
pub fn point<'a>(
    point: &Point,
    mut words: impl FnMut(&RegisterPart) -> Option<&'a [u16]>,
) -> Result<f64, DecodeError> {
    let mut sum = 0.0;
    for p in &point.parts {
        let raw = words(p).ok_or(DecodeError::Refused {
            table: p.table,
            address: p.address,
        })?;
        sum += part(p, raw)? * p.scale;
    }
    let value = sum * point.scale + point.offset;
    match point.parts.first() {
        // Finite parts may still overflow together.
        Some(first) if !value.is_finite() => Err(not_finite(first, &[])),
        _ => Ok(value),
    }
}

/// One part's bare figure, unscaled. `words` has the part's [`width`].
pub fn part(part: &RegisterPart, words: &[u16]) -> Result<f64, DecodeError> {
    use RegisterFormat::{Bcd, Bit, F32, F64, I16, I32, I64, U16, U32, U64};
    let bits = arrange(words, part.order);
    // `as` keeps the low bits, which are all there are for the width; signs follow from the type.
    #[expect(
        clippy::cast_precision_loss,
        reason = "64-bit counters beyond 2^53 round"
    )]
    let value = match part.format {
        U16 | U32 | U64 => bits as f64,
        I16 => f64::from(bits as u16 as i16),
        I32 => f64::from(bits as u32 as i32),
        I64 => bits as i64 as f64,
        F32 => f64::from(f32::from_bits(bits as u32)),
        F64 => f64::from_bits(bits),
        Bit(bit) => f64::from(u8::from(bits.checked_shr(bit.into()).unwrap_or(0) & 1 == 1)),
        Bcd(_) => bcd(bits, words.len()).ok_or_else(|| DecodeError::Bcd {
            table: part.table,
            address: part.address,
            raw: words.to_vec(),
        })? as f64,
    };
    if value.is_finite() {
        Ok(value)
    } else {
        Err(not_finite(part, words))
    }
}

fn not_finite(part: &RegisterPart, words: &[u16]) -> DecodeError {
    DecodeError::NotFinite {
        table: part.table,
        address: part.address,
        raw: words.to_vec(),
    }
}

/// Up to four registers as one integer, most significant byte first.
fn arrange(words: &[u16], order: ByteOrder) -> u64 {
    let swap_bytes = matches!(order, ByteOrder::Badc | ByteOrder::Dcba);
    let push = |acc: u64, word: &u16| {
        let word = if swap_bytes { word.swap_bytes() } else { *word };
        acc << 16 | u64::from(word)
    };
    match order {
        ByteOrder::Abcd | ByteOrder::Badc => words.iter().fold(0, push),
        ByteOrder::Cdab | ByteOrder::Dcba => words.iter().rev().fold(0, push),
    }
}

fn bcd(bits: u64, registers: usize) -> Option<u64> {
    (0..registers * 4).rev().try_fold(0, |acc: u64, nibble| {
        let digit = bits.checked_shr(u32::try_from(nibble * 4).ok()?)? & 0xF;
        (digit < 10).then_some(acc * 10 + digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ByteOrder::{Abcd, Badc, Cdab, Dcba};
    use RegisterFormat::{Bcd, Bit, F32, F64, I16, I32, I64, U16, U32, U64};

    fn of(format: RegisterFormat, order: ByteOrder, words: &[u16]) -> Result<f64, DecodeError> {
        let p = RegisterPart {
            table: RegisterTable::Holding,
            address: 7,
            format,
            order,
            scale: 1.0,
        };
        part(&p, words)
    }

    #[test]
    fn sixteen_and_thirty_two_bits_in_every_order() {
        for (format, order, words, value) in [
            (U16, Abcd, &[0xFFFE][..], 65534.0),
            (U16, Cdab, &[0xFFFE], 65534.0),
            (U16, Badc, &[0x0102], 513.0),
            (U16, Dcba, &[0x0102], 513.0),
            (I16, Abcd, &[0xFFFE], -2.0),
            (I16, Badc, &[0xFEFF], -2.0),
            (U32, Abcd, &[0x0001, 0x0002], 65538.0),
            (U32, Cdab, &[0x0002, 0x0001], 65538.0),
            (U32, Badc, &[0x0100, 0x0200], 65538.0),
            (U32, Dcba, &[0x0200, 0x0100], 65538.0),
            (U32, Abcd, &[0xFFFF, 0xFFFF], 4_294_967_295.0),
            (I32, Abcd, &[0xFFFF, 0xFFFE], -2.0),
            (I32, Cdab, &[0xFFFE, 0xFFFF], -2.0),
            (I32, Dcba, &[0xFEFF, 0xFFFF], -2.0),
            // The meter's published answer 01 03 04 00 00 C1 48.
            (F32, Cdab, &[0x0000, 0xC148], -12.5),
            (F32, Abcd, &[0xC148, 0x0000], -12.5),
            (F32, Badc, &[0x48C1, 0x0000], -12.5),
            (F32, Dcba, &[0x0000, 0x48C1], -12.5),
        ] {
            assert_eq!(
                of(format, order, words),
                Ok(value),
                "{format:?} {order:?} {words:X?}"
            );
        }
    }

    #[test]
    fn sixty_four_bits_in_every_order() {
        // 0x0102030405060708 and pi.
        let n = 72_623_859_790_382_856.0;
        let pi = std::f64::consts::PI; // 400921FB54442D18
        for (format, order, words, value) in [
            (U64, Abcd, [0x0102, 0x0304, 0x0506, 0x0708], n),
            (U64, Cdab, [0x0708, 0x0506, 0x0304, 0x0102], n),
            (U64, Badc, [0x0201, 0x0403, 0x0605, 0x0807], n),
            (U64, Dcba, [0x0807, 0x0605, 0x0403, 0x0201], n),
            (I64, Abcd, [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE], -2.0),
            (I64, Cdab, [0xFFFE, 0xFFFF, 0xFFFF, 0xFFFF], -2.0),
            (I64, Dcba, [0xFEFF, 0xFFFF, 0xFFFF, 0xFFFF], -2.0),
            (F64, Abcd, [0x4009, 0x21FB, 0x5444, 0x2D18], pi),
            (F64, Cdab, [0x2D18, 0x5444, 0x21FB, 0x4009], pi),
            (F64, Badc, [0x0940, 0xFB21, 0x4454, 0x182D], pi),
            (F64, Dcba, [0x182D, 0x4454, 0xFB21, 0x0940], pi),
        ] {
            assert_eq!(of(format, order, &words), Ok(value), "{format:?} {order:?}");
        }
    }

    #[test]
    fn bcd_and_bits() {
        assert_eq!(of(Bcd(1), Abcd, &[0x1234]), Ok(1234.0));
        assert_eq!(of(Bcd(2), Abcd, &[0x0012, 0x3456]), Ok(123_456.0));
        assert_eq!(of(Bcd(2), Cdab, &[0x3456, 0x0012]), Ok(123_456.0));
        assert_eq!(of(Bcd(2), Dcba, &[0x5634, 0x1200]), Ok(123_456.0));
        assert_eq!(
            of(Bcd(4), Abcd, &[0x9007, 0x1992, 0x5474, 0x0992]),
            Ok(9_007_199_254_740_992.0)
        );
        for bad in [0x00A0, 0xF000, 0x000C] {
            let error = of(Bcd(1), Abcd, &[bad]).unwrap_err();
            assert!(matches!(error, DecodeError::Bcd { address: 7, .. }));
            assert!(error.to_string().contains("holding register 7"), "{error}");
        }
        assert_eq!(of(Bit(0), Abcd, &[0x8001]), Ok(1.0));
        assert_eq!(of(Bit(1), Abcd, &[0x8001]), Ok(0.0));
        assert_eq!(of(Bit(15), Abcd, &[0x8001]), Ok(1.0));
        assert_eq!(of(Bit(7), Badc, &[0x8000]), Ok(1.0));
        assert_eq!(of(Bit(200), Abcd, &[0xFFFF]), Ok(0.0));
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        for words in [[0x7FC0, 0], [0x7F80, 0], [0xFF80, 0], [0xFFFF, 0xFFFF]] {
            assert!(matches!(
                of(F32, Abcd, &words),
                Err(DecodeError::NotFinite { address: 7, .. })
            ));
        }
        assert!(of(F64, Abcd, &[0x7FF0, 0, 0, 0]).is_err());
        assert!(of(F64, Abcd, &[0x7FF8, 0, 0, 1]).is_err());
    }

    #[test]
    fn a_point_sums_scales_and_shifts() {
        let part = |address, format, scale| RegisterPart {
            table: RegisterTable::Holding,
            address,
            format,
            order: Cdab,
            scale,
        };
        let mut total = Point {
            quantity: crate::observation::Quantity::Volume,
            name: "total".into(),
            parts: vec![part(0, I32, 1.0), part(2, F32, 0.5)],
            scale: 10.0,
            offset: -1.0,
            totaliser: None,
        };
        let image = [1234u16, 0, 0x0000, 0x3F00]; // 1234 and 0.5
        let read = |p: &RegisterPart| {
            let start = usize::from(p.address);
            image.get(start..start + usize::from(width(p.format)))
        };
        assert_eq!(point(&total, read), Ok((1234.0 + 0.25) * 10.0 - 1.0));
        assert!(!is_single(&total));
        assert_eq!(
            point(&total, |p| if p.address == 2 { None } else { read(p) }),
            Err(DecodeError::Refused {
                table: RegisterTable::Holding,
                address: 2
            })
        );
        total.parts.remove(0);
        total.scale = f64::MAX;
        total.parts[0].scale = 10.0;
        assert!(is_single(&total));
        assert!(matches!(
            point(&total, read),
            Err(DecodeError::NotFinite { .. })
        ));
    }

    #[test]
    fn every_fault_is_told_in_both_languages() {
        let (table, address) = (RegisterTable::Holding, 7);
        let raw = || vec![0xABCD];
        crate::bilingual::assert_bilingual([
            DecodeError::Bcd {
                table,
                address,
                raw: raw(),
            },
            DecodeError::NotFinite {
                table,
                address,
                raw: raw(),
            },
            DecodeError::Refused { table, address },
        ]);
        let input = DecodeError::Refused {
            table: RegisterTable::Input,
            address,
        };
        assert_eq!(input.to_string(), "the device refuses input register 7");
        assert_eq!(input.zh(), "设备拒绝读取输入寄存器 7");
    }
}
