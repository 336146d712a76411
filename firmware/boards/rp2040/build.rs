//! The linker's view of the part: what its ROM loads first, and where the image runs.

use wangge_protocol::node::layout::Region;

/// How to read the flash chip; the part's ROM loads it.
const BOOT2: u32 = 256;
const SECTION: &str = "SECTIONS
{
  .boot2 ORIGIN(BOOT2) : { KEEP(*(.boot2)); } > BOOT2
}
INSERT BEFORE .text;
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let part = wangge_linker::chosen()?;
    let Region { from, size } = part.active;
    let boot2 = Region { from, size: BOOT2 };
    let flash = Region {
        from: from + BOOT2,
        size: size - BOOT2,
    };
    let regions = [("BOOT2", boot2), ("FLASH", flash), ("RAM", part.ram)];
    wangge_linker::memory(&regions, SECTION)
}
