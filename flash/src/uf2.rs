//! UF2, the form in which an RP2040 takes images: files of 512-byte blocks copied onto the drive
//! `RPI-RP2` (github.com/microsoft/uf2; RP2040 data sheet §2.8.4).

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::plan::Piece;

/// Family id of the RP2040.
pub const RP2040: u32 = 0xE48B_FF56;

const MAGIC: [u32; 2] = [0x0A32_4655, 0x9E5D_5157];
const MAGIC_END: u32 = 0x0AB1_6F30;
const FAMILY_PRESENT: u32 = 0x2000;
/// Bytes of flash in a block.
const PAYLOAD: usize = 256;
/// What the drive says about itself.
const INFO: &str = "INFO_UF2.TXT";
/// Where drives are mounted; below each is a folder a user or a drive.
const MOUNTS: [&str; 3] = ["/media", "/run/media", "/mnt"];

/// Why the drive does not take it.
#[derive(Debug, thiserror::Error)]
pub enum Uf2Error {
    /// There is none.
    #[error(
        "no RPI-RP2 drive is mounted. Hold BOOTSEL while the board is plugged in, mount the drive, \
         or name its folder with --drive"
    )]
    NoDrive,
    /// It is something else.
    #[error("{path}: this is no drive of an RP2040's bootloader: {why}")]
    OtherDrive {
        /// The folder.
        path: PathBuf,
        /// How that shows.
        why: &'static str,
    },
    /// It went away or is full.
    #[error(
        "{path}: {error}. The board's flash may be half written: hold BOOTSEL, plug it in again \
         and start anew"
    )]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// The file's bytes. Blocks are whole pages of 256 bytes, filled up with 0xFF; blank ones within
/// a piece are kept, because the ROM erases only what it is given.
pub fn encode(pieces: &[Piece], family: u32) -> Vec<u8> {
    let blocks: Vec<(u32, &[u8])> = pieces
        .iter()
        .flat_map(|piece| {
            let parts = piece.bytes.chunks(PAYLOAD).enumerate();
            parts.map(|(number, part)| (piece.address + (number * PAYLOAD) as u32, part))
        })
        .collect();
    let mut file = Vec::with_capacity(blocks.len() * 512);
    for (number, (address, part)) in blocks.iter().enumerate() {
        let head = [
            MAGIC[0],
            MAGIC[1],
            FAMILY_PRESENT,
            *address,
            PAYLOAD as u32,
            number as u32,
            blocks.len() as u32,
            family,
        ];
        head.iter().for_each(|word| file.extend(word.to_le_bytes()));
        let mut data = [0; 476];
        data[..PAYLOAD].fill(0xFF);
        data[..part.len()].copy_from_slice(part);
        file.extend(data);
        file.extend(MAGIC_END.to_le_bytes());
    }
    file
}

/// Checks that a folder is the drive of an RP2040.
///
/// # Errors
/// [`Uf2Error::OtherDrive`].
pub fn check_drive(folder: &Path) -> Result<(), Uf2Error> {
    let other = |why| Uf2Error::OtherDrive {
        path: folder.to_owned(),
        why,
    };
    let info =
        fs::read_to_string(folder.join(INFO)).map_err(|_| other("it has no INFO_UF2.TXT"))?;
    match info.contains("RPI-RP2") {
        true => Ok(()),
        false => Err(other("its INFO_UF2.TXT names another board")),
    }
}

/// Looks for the drive where drives are mounted.
///
/// # Errors
/// [`Uf2Error::NoDrive`].
pub fn find_drive() -> Result<PathBuf, Uf2Error> {
    let below = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.filter_map(|e| e.ok().map(|e| e.path())).collect()
    };
    MOUNTS
        .iter()
        .flat_map(|mount| below(Path::new(mount)))
        .flat_map(|first| {
            let mut both = below(&first);
            both.push(first);
            both
        })
        .find(|folder| check_drive(folder).is_ok())
        .ok_or(Uf2Error::NoDrive)
}

/// Copies a file onto the drive and waits until it is there; the board then starts by itself.
///
/// # Errors
/// [`Uf2Error::OtherDrive`], [`Uf2Error::Io`].
pub fn copy(file: &[u8], folder: &Path) -> Result<(), Uf2Error> {
    check_drive(folder)?;
    let path = folder.join("wangge.uf2");
    let put = || {
        let mut target = File::create(&path)?;
        target.write_all(file)?;
        target.sync_all()
    };
    put().map_err(|error| Uf2Error::Io {
        path: path.clone(),
        error,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn pieces() -> Vec<Piece> {
        vec![
            Piece {
                what: "image",
                address: 0x1000_0000,
                bytes: vec![7; 260],
            },
            Piece {
                what: "identity",
                address: 0x101F_F000,
                bytes: vec![9; 4],
            },
        ]
    }

    /// Field by field as the specification has them.
    #[test]
    fn the_bytes_are_as_specified() {
        let file = encode(&pieces(), RP2040);
        assert_eq!(file.len(), 3 * 512);
        assert_eq!(&file[..8], b"UF2\n\x57\x51\x5D\x9E");
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        for (number, address) in [0x1000_0000, 0x1000_0100, 0x101F_F000]
            .into_iter()
            .enumerate()
        {
            let at = number * 512;
            assert_eq!(word(at + 8), 0x2000);
            assert_eq!(word(at + 12), address);
            assert_eq!(word(at + 16), 256);
            assert_eq!(word(at + 20), number as u32);
            assert_eq!(word(at + 24), 3);
            assert_eq!(word(at + 28), 0xE48B_FF56);
            assert_eq!(word(at + 508), 0x0AB1_6F30);
        }
        assert_eq!(file[32..288], [7; 256]);
        assert_eq!(file[512 + 32..512 + 36], [7; 4]);
        assert_eq!(file[512 + 36..512 + 288], [0xFF; 252]);
    }

    #[test]
    fn only_the_right_drive_gets_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let error = copy(&[1], dir.path()).unwrap_err();
        assert!(matches!(error, Uf2Error::OtherDrive { .. }), "{error}");
        let info = dir.path().join(INFO);
        fs::write(
            &info,
            "UF2 Bootloader v3.0\nModel: Other\nBoard-ID: SAMD21\n",
        )
        .unwrap();
        assert!(copy(&[1], dir.path()).is_err());
        assert!(!dir.path().join("wangge.uf2").exists());
        fs::write(
            &info,
            "UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n",
        )
        .unwrap();
        let file = encode(&pieces(), RP2040);
        copy(&file, dir.path()).unwrap();
        assert_eq!(fs::read(dir.path().join("wangge.uf2")).unwrap(), file);
    }
}
