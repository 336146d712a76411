//! From an ELF file to a signed image.

use std::{fs, path::Path, str::FromStr};

use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSegment, elf, read::elf::ElfFile32};
use wangge_protocol::node::{
    NodeKind,
    image::{DEV_KEY_ID, Manifest, SecretKey, kind_bit},
    layout::{Part, Region},
};

/// A firmware version, major and minor byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub u16);

impl FromStr for Version {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (major, minor) = text.split_once('.').context("MAJOR.MINOR is expected")?;
        let number = |part: &str| part.parse::<u8>().context("a number from 0 to 255");
        Ok(Version(u16::from_be_bytes([
            number(major)?,
            number(minor)?,
        ])))
    }
}

/// Who signs, and what the images are.
pub struct Signer {
    key: SecretKey,
    counter: u32,
    version: Version,
}

impl Signer {
    /// With the key of a file, or the one for development.
    ///
    /// # Errors
    /// The file cannot be read, is no key, or is the key for development, which is no secret.
    pub fn new(file: Option<&Path>, counter: u32, version: Version) -> Result<Self> {
        let key = match file {
            Some(file) => read_key(file)?,
            None => SecretKey::development(),
        };
        Ok(Signer {
            key,
            counter,
            version,
        })
    }

    /// How the key is called.
    pub fn id(&self) -> String {
        let id = hex::encode(self.key.id());
        match self.key.id() {
            DEV_KEY_ID => format!("{id} (development: a release refuses it)"),
            _ => id,
        }
    }

    /// The image file of an ELF file for this part.
    ///
    /// # Errors
    /// It is not linked for the part, or does not fit.
    pub fn image(&self, part: &Part, elf: &[u8]) -> Result<Vec<u8>> {
        self.file(part, "image", part.active, elf)
    }

    /// The same for its bootloader, which the technician's tool writes. A node that is offered
    /// one as an update refuses its address.
    ///
    /// # Errors
    /// As [`Signer::image`].
    pub fn bootloader(&self, part: &Part, region: Region, elf: &[u8]) -> Result<Vec<u8>> {
        self.file(part, "bootloader", region, elf)
    }

    fn file(&self, part: &Part, what: &str, region: Region, elf: &[u8]) -> Result<Vec<u8>> {
        let (address, binary) = binary(elf)?;
        ensure!(
            address == region.from,
            "the {what} for {} is linked for {address:#x}, not {:#x}",
            part.board,
            region.from
        );
        ensure!(
            binary.len() <= region.size as usize,
            "the {what} for {} has {} bytes; {} fit",
            part.board,
            binary.len(),
            region.size
        );
        let manifest = Manifest {
            development: false,
            // One image is either kind of node.
            kinds: kind_bit(NodeKind::Bin) | kind_bit(NodeKind::Meter),
            hardware: part.hardware,
            firmware: self.version.0,
            address,
            counter: self.counter,
            length: 0,
            hash: [0; 32],
            key: [0; 8],
            signature: [0; 64],
        };
        let mut file = self.key.sign(manifest, &binary)?.to_vec();
        file.extend(binary);
        Ok(file)
    }
}

fn read_key(file: &Path) -> Result<SecretKey> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let seed = hex::decode(text.trim())
        .ok()
        .and_then(|b| b.try_into().ok());
    let Some(seed) = seed else {
        bail!(
            "{} is no secret key: 64 hexadecimal digits are expected (`wangge node keygen`)",
            file.display()
        );
    };
    let key = SecretKey::from_seed(seed);
    ensure!(
        key.id() != DEV_KEY_ID,
        "{} holds the key for development, which everybody has: it signs no release",
        file.display()
    );
    Ok(key)
}

/// What an ELF file puts into flash: the address of the first byte, and all bytes from there on.
pub fn binary(elf: &[u8]) -> Result<(u32, Vec<u8>)> {
    let file = ElfFile32::<object::Endianness>::parse(elf)?;
    let endian = file.endian();
    let mut pieces = Vec::new();
    for segment in file.segments() {
        let header = segment.elf_program_header();
        let data = segment.data()?;
        if header.p_type.get(endian) == elf::PT_LOAD && !data.is_empty() {
            pieces.push((header.p_paddr.get(endian), data));
        }
    }
    pieces.sort_by_key(|(at, _)| *at);
    let (from, _) = *pieces.first().context("an ELF file with nothing to load")?;
    let mut binary = Vec::new();
    for (at, data) in pieces {
        let offset = (at - from) as usize;
        ensure!(offset >= binary.len(), "an ELF file whose parts overlap");
        binary.resize(offset, 0xFF);
        binary.extend(data);
    }
    Ok((from, binary))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_two_bytes() -> Result<()> {
        assert_eq!("0.1".parse::<Version>()?, Version(1));
        assert_eq!("255.255".parse::<Version>()?, Version(0xFFFF));
        for bad in ["1", "256.0", "0.256", "1.2.3", "-1.0", ""] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
        Ok(())
    }

    #[test]
    fn a_release_is_not_signed_with_what_everybody_has_or_with_no_key() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let with = |text: &str| -> Result<String> {
            let file = dir.path().join("key");
            fs::write(&file, text)?;
            Signer::new(Some(&file), 1, Version(1)).map(|signer| signer.id())
        };
        let good = "07".repeat(32);
        assert_eq!(with(&good)?, with(&format!("{good}\n"))?);
        let development = "7361c497d009d51e556aae9dacde999da27ddf6c7a3acbf0237803e1ea00bb54";
        for bad in ["", development, "07", &"07".repeat(33), &"zz".repeat(32)] {
            assert!(with(bad).is_err(), "{bad}");
        }
        assert!(Signer::new(Some(&dir.path().join("none")), 1, Version(1)).is_err());
        assert!(
            Signer::new(None, 1, Version(1))?
                .id()
                .contains("development")
        );
        Ok(())
    }
}
