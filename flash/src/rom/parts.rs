//! What the ROM's product id means (AN2606, table of device dependent parameters), and where the
//! part keeps its size and its number (RM0008 §30, RM0041 §25).

/// Half-word with the flash's size, KiB.
pub const FLASH_SIZE: u32 = 0x1FFF_F7E0;
/// The part's own number, 96 bits.
pub const DEVICE_ID: u32 = 0x1FFF_F7E8;

/// A family of parts with one product id.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// What the ROM says.
    pub product: u16,
    /// Its name in ST's documents.
    pub name: &'static str,
    /// Whether it belongs to the STM32F1 series, whose registers and page sizes this tool knows.
    pub is_f1: bool,
    /// Bytes of a flash page.
    pub page: u32,
}

const PARTS: &[Part] = &[
    f1(0x410, "STM32F101/F103 medium density", 1_024),
    f1(0x412, "STM32F101/F103 low density", 1_024),
    f1(0x414, "STM32F101/F103 high density", 2_048),
    f1(0x418, "STM32F105/F107", 2_048),
    f1(0x420, "STM32F100 low and medium density", 1_024),
    f1(0x428, "STM32F100 high density", 2_048),
    f1(0x430, "STM32F101/F103 XL density", 2_048),
    other(0x411, "STM32F205/F207"),
    other(0x413, "STM32F405/F407"),
    other(0x422, "STM32F302/F303"),
    other(0x423, "STM32F401xB/C"),
    other(0x431, "STM32F411"),
    other(0x433, "STM32F401xD/E"),
    other(0x440, "STM32F05x"),
    other(0x444, "STM32F03x"),
    other(0x448, "STM32F07x"),
    other(0x460, "STM32G07x/G08x"),
    other(0x466, "STM32G03x/G04x"),
];

const fn f1(product: u16, name: &'static str, page: u32) -> Part {
    Part {
        product,
        name,
        is_f1: true,
        page,
    }
}

const fn other(product: u16, name: &'static str) -> Part {
    Part {
        product,
        name,
        is_f1: false,
        page: 0,
    }
}

/// The family of a product id, if this tool has heard of it.
pub fn part(product: u16) -> Option<&'static Part> {
    PARTS.iter().find(|part| part.product == product)
}
