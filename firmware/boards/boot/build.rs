//! The linker's view of the part: the bootloader's own region of flash.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let part = wangge_linker::chosen()?;
    let swap = part.swap.ok_or("this part has no room for a bootloader")?;
    wangge_linker::memory(&[("FLASH", swap.boot), ("RAM", part.ram)], "")
}
