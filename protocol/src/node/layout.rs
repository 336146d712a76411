//! Where what lies in a node's flash, part by part. The one truth: linker scripts, bootloader,
//! storage and the flash tool all read it here.
//!
//! ```text
//! 128 KiB  | bootloader | its state | image that runs | image that waits | storage | identity |
//!  64 KiB  | image that runs                                             | storage | identity |
//! ```
//! Parts with 64 KiB have no room for a second image, so they are not updated over the bus.

/// A piece of flash, in whole pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Address of its first byte, as the core sees it.
    pub from: u32,
    /// Bytes.
    pub size: u32,
}

impl Region {
    const fn new(from: u32, kib: u32) -> Region {
        Region {
            from,
            size: kib * 1024,
        }
    }

    /// Address behind its last byte.
    pub const fn end(self) -> u32 {
        self.from + self.size
    }

    /// Where it lies counted from the start of the flash, as drivers of flash count.
    pub const fn within(self, flash: Region) -> core::ops::Range<u32> {
        self.from - flash.from..self.end() - flash.from
    }
}

/// Where the two images of a part with a bootloader lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swap {
    /// The bootloader.
    pub boot: Region,
    /// How far a swap of the images is, and what has been confirmed.
    pub state: Region,
    /// Where an image waits to be swapped in: one page more than the image that runs.
    pub dfu: Region,
}

/// A part, and how its flash is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The board's name in commands and file names.
    pub board: &'static str,
    /// The part's name as printed on it.
    pub name: &'static str,
    /// What stands in [`super::input::HARDWARE`], in the identity page and in signed images:
    /// family in the high byte, board in the low one. Two parts whose images differ have two.
    pub hardware: u16,
    /// All of the flash.
    pub flash: Region,
    /// All of the RAM.
    pub ram: Region,
    /// What is erased at once, bytes.
    pub page: u32,
    /// Bootloader and second image, where there is room.
    pub swap: Option<Swap>,
    /// Where the image runs.
    pub active: Region,
    /// Set-up, totals, starts: written by the node.
    pub storage: Region,
    /// Who the node is: written by the flash tool, never by the node.
    pub identity: Region,
}

const STM32_RAM: u32 = 0x2000_0000;

/// An STM32F1 with 128 KiB.
const fn stm32f1_128k(
    board: &'static str,
    name: &'static str,
    hardware: u16,
    ram_kib: u32,
) -> Part {
    Part {
        board,
        name,
        hardware,
        flash: Region::new(0x0800_0000, 128),
        ram: Region::new(STM32_RAM, ram_kib),
        page: 1024,
        swap: Some(Swap {
            boot: Region::new(0x0800_0000, 6),
            state: Region::new(0x0800_1800, 2),
            dfu: Region::new(0x0800_FC00, 56),
        }),
        active: Region::new(0x0800_2000, 55),
        storage: Region::new(0x0801_DC00, 8),
        identity: Region::new(0x0801_FC00, 1),
    }
}

/// STM32F100RB on ST's value line discovery board, which QEMU runs, too.
pub const DISCOVERY: Part = stm32f1_128k("discovery", "STM32F100RB", 0x0100, 8);

/// STM32F103CB: "blue pill" boards with the larger flash.
pub const BLUEPILL_128K: Part = stm32f1_128k("bluepill128", "STM32F103CB", 0x0104, 20);

/// STM32F103C8: "blue pill" boards.
pub const BLUEPILL: Part = Part {
    board: "bluepill",
    name: "STM32F103C8",
    hardware: 0x0103,
    flash: Region::new(0x0800_0000, 64),
    ram: Region::new(STM32_RAM, 20),
    page: 1024,
    swap: None,
    active: Region::new(0x0800_0000, 55),
    storage: Region::new(0x0800_DC00, 8),
    identity: Region::new(0x0800_FC00, 1),
};

/// RP2040 with 2 MiB beside it: Raspberry Pi Pico.
pub const PICO: Part = Part {
    board: "pico",
    name: "RP2040",
    hardware: 0x0200,
    flash: Region::new(0x1000_0000, 2 * 1024),
    ram: Region::new(STM32_RAM, 264),
    page: 4096,
    swap: None,
    active: Region::new(0x1000_0000, 2 * 1024 - 36),
    storage: Region::new(0x101F_7000, 32),
    identity: Region::new(0x101F_F000, 4),
};

/// No part at all: an emulator's board whose RAM, kept in a file, plays the flash, so that
/// updates can be tried with the real images. Divided like a part with 128 KiB.
pub const MPS2: Part = {
    const FROM: u32 = 0x2100_0000;
    const fn region(at: u32, kib: u32) -> Region {
        Region::new(FROM + at, kib)
    }
    Part {
        board: "mps2",
        name: "QEMU mps2",
        hardware: 0x0F00,
        flash: region(0, 128),
        ram: Region::new(STM32_RAM, 64),
        page: 1024,
        swap: Some(Swap {
            boot: region(0, 6),
            state: region(0x1800, 2),
            dfu: region(0xFC00, 56),
        }),
        active: region(0x2000, 55),
        storage: region(0x1_DC00, 8),
        identity: region(0x1_FC00, 1),
    }
};

/// Every part that is supported.
pub const PARTS: &[Part] = &[DISCOVERY, BLUEPILL_128K, BLUEPILL, PICO, MPS2];

impl Part {
    /// The part with this hardware id.
    pub fn of(hardware: u16) -> Option<&'static Part> {
        PARTS.iter().find(|part| part.hardware == hardware)
    }

    /// The part on the board of this name.
    pub fn on(board: &str) -> Option<&'static Part> {
        PARTS.iter().find(|part| part.board == board)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    extern crate alloc;

    use super::*;

    #[test]
    fn regions_are_whole_pages_within_the_flash_and_do_not_overlap() {
        for part in PARTS {
            let mut regions = alloc::vec![part.active, part.storage, part.identity];
            regions.extend(part.swap.iter().flat_map(|s| [s.boot, s.state, s.dfu]));
            regions.sort_by_key(|region| region.from);
            for region in &regions {
                assert_eq!(region.from % part.page, 0, "{}", part.board);
                assert!(region.size > 0 && region.size % part.page == 0);
                assert!(region.from >= part.flash.from && region.end() <= part.flash.end());
            }
            for pair in regions.windows(2) {
                assert!(pair[0].end() <= pair[1].from, "{}: {pair:?}", part.board);
            }
        }
    }

    #[test]
    fn a_swap_has_its_spare_page_and_starts_where_the_core_does() {
        for part in PARTS {
            let Some(swap) = part.swap else {
                assert_eq!(part.active.from, part.flash.from, "{}", part.board);
                continue;
            };
            assert_eq!(swap.boot.from, part.flash.from);
            assert_eq!(swap.dfu.size, part.active.size + part.page);
        }
    }

    #[test]
    fn a_part_is_found_by_its_id_and_its_board_alone() {
        for part in PARTS {
            assert_eq!(Part::of(part.hardware), Some(part));
            assert_eq!(Part::on(part.board), Some(part));
        }
        assert_eq!(Part::of(0), None);
        assert_eq!(Part::on("teapot"), None);
        let identity = DISCOVERY.identity.within(DISCOVERY.flash);
        assert_eq!(identity, 0x1_FC00..0x2_0000);
    }
}
