//! The linker's view of the part: where its image runs.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let part = wangge_linker::chosen()?;
    wangge_linker::memory(&[("FLASH", part.active), ("RAM", part.ram)], "")
}
