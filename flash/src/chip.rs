//! Which of the supported parts a chip is, and whether an image is for it.

use wangge_protocol::node::layout::{BLUEPILL, BLUEPILL_128K, DISCOVERY, Part};

use crate::rom;

/// What a chip says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Product id of the ROM or the debug unit.
    pub product: u16,
    /// Flash, KiB, as burnt into the part.
    pub flash_kib: u16,
    /// Its own number.
    pub number: [u8; 12],
}

impl Found {
    /// The number as it stands in the log.
    pub fn hex(&self) -> String {
        hex::encode(self.number)
    }

    /// For people.
    pub fn name(&self) -> String {
        let family = rom::part(self.product).map_or("unknown part", |part| part.name);
        format!("{family} (0x{:03X}), {} KiB", self.product, self.flash_kib)
    }
}

/// Why this chip cannot take this image.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChipError {
    /// No image is made for it.
    #[error(
        "this chip is an {0}. Images exist for STM32F103C8, STM32F103CB and STM32F100RB: \
         look at what is printed on the chip, and take another board"
    )]
    Unsupported(String),
    /// The image is for another one.
    #[error(
        "wrong image: it is for {wanted}, and this board is {there}. Take the image whose name \
         begins with \"{there_board}\", or another board"
    )]
    Other {
        /// Part of the image.
        wanted: String,
        /// Part of the chip.
        there: String,
        /// Board of the chip.
        there_board: &'static str,
    },
}

/// The supported part that this is.
///
/// # Errors
/// [`ChipError::Unsupported`].
pub fn part(found: &Found) -> Result<&'static Part, ChipError> {
    match (found.product, found.flash_kib) {
        (0x420, 128..) => Ok(&DISCOVERY),
        (0x410, 128..) => Ok(&BLUEPILL_128K),
        (0x410, 64..) => Ok(&BLUEPILL),
        _ => Err(ChipError::Unsupported(found.name())),
    }
}

/// Whether an image of this hardware id is for this part.
///
/// # Errors
/// [`ChipError::Other`].
pub fn takes(part: &Part, hardware: u16) -> Result<(), ChipError> {
    if part.hardware == hardware {
        return Ok(());
    }
    let name = |part: &Part| format!("{} ({})", part.name, part.board);
    Err(ChipError::Other {
        wanted: Part::of(hardware).map_or(format!("hardware {hardware:04X}"), name),
        there: name(part),
        there_board: part.board,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(product: u16, flash_kib: u16) -> Found {
        Found {
            product,
            flash_kib,
            number: [0; 12],
        }
    }

    #[test]
    fn each_part_is_known_by_product_and_size() {
        assert_eq!(part(&found(0x410, 64)), Ok(&BLUEPILL));
        assert_eq!(part(&found(0x410, 128)), Ok(&BLUEPILL_128K));
        assert_eq!(part(&found(0x420, 128)), Ok(&DISCOVERY));
        for (product, kib) in [
            (0x410, 63),
            (0x410, 32),
            (0x420, 64),
            (0x440, 64),
            (0xFFF, 128),
        ] {
            let error = part(&found(product, kib)).map(|part| part.board);
            assert!(
                matches!(error, Err(ChipError::Unsupported(_))),
                "{product:X}"
            );
        }
    }

    #[test]
    fn another_part_s_image_is_refused_by_name() {
        assert_eq!(takes(&BLUEPILL, BLUEPILL.hardware), Ok(()));
        let told = takes(&BLUEPILL, DISCOVERY.hardware).map_err(|e| e.to_string());
        let told = told.err().unwrap_or_default();
        assert!(
            told.contains("STM32F100RB") && told.contains("STM32F103C8"),
            "{told}"
        );
        assert!(takes(&BLUEPILL, BLUEPILL_128K.hardware).is_err());
        assert!(takes(&BLUEPILL, 0xBEEF).is_err());
    }
}
