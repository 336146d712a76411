//! What an image is told about itself when it is built. `cargo xtask firmware` sets these
//! variables and writes the same into the image's manifest.

/// Firmware version, major and minor byte: `WANGGE_FIRMWARE_VERSION`, a number.
pub const FIRMWARE: u16 = match number(option_env!("WANGGE_FIRMWARE_VERSION"), 1) {
    version @ 0..=0xFFFF => version as u16,
    _ => panic!("WANGGE_FIRMWARE_VERSION has 16 bits"),
};

/// The image's counter: `WANGGE_IMAGE_COUNTER`.
pub const COUNTER: u32 = number(option_env!("WANGGE_IMAGE_COUNTER"), 1);

/// Whether images signed for development are taken: `WANGGE_DEVELOPMENT`. Without it, no.
pub const DEVELOPMENT: bool = option_env!("WANGGE_DEVELOPMENT").is_some();

const fn number(digits: Option<&str>, default: u32) -> u32 {
    let Some(digits) = digits else {
        return default;
    };
    match u32::from_str_radix(digits, 10) {
        Ok(number) => number,
        Err(_) => panic!("not a number"),
    }
}
