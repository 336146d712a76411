//! STM32's bootloader in ROM, over a serial line: ST's application note AN3155.
//!
//! It runs when the chip starts with BOOT0 at 1 (AN2606), finds the line's speed from the first
//! byte 0x7F, and speaks 8E1. Every command is a byte and its complement; addresses and data end
//! in the exclusive or of their bytes; each step is acknowledged.

mod client;
mod parts;
#[cfg(test)]
mod tests;

pub use client::{Rom, RomError};
pub use parts::{DEVICE_ID, FLASH_SIZE, Part, part};

/// Answer: done.
pub const ACK: u8 = 0x79;
/// Answer: refused.
pub const NACK: u8 = 0x1F;
/// What the ROM measures the line's speed by.
pub const SYNC: u8 = 0x7F;
/// Most bytes of one read or write.
pub const BLOCK: usize = 256;

/// Commands of AN3155 that are used or simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Command {
    /// Version and list of commands.
    Get = 0x00,
    /// Version and protection counters.
    GetVersion = 0x01,
    /// The part's product id.
    GetId = 0x02,
    /// Up to 256 bytes from anywhere.
    Read = 0x11,
    /// Starts the program at an address.
    Go = 0x21,
    /// Up to 256 bytes to flash or RAM.
    Write = 0x31,
    /// Pages, numbered in one byte.
    Erase = 0x43,
    /// Pages, numbered in two bytes: what ROMs from version 3.0 on have instead.
    ExtendedErase = 0x44,
    /// Pages can be written again.
    WriteUnprotect = 0x73,
    /// Nobody can read the flash from now on.
    ReadoutProtect = 0x82,
    /// They can again, after all of it was erased.
    ReadoutUnprotect = 0x92,
}

impl Command {
    /// All of them.
    pub const ALL: [Command; 11] = [
        Command::Get,
        Command::GetVersion,
        Command::GetId,
        Command::Read,
        Command::Go,
        Command::Write,
        Command::Erase,
        Command::ExtendedErase,
        Command::WriteUnprotect,
        Command::ReadoutProtect,
        Command::ReadoutUnprotect,
    ];

    /// The command of a byte.
    pub fn of(byte: u8) -> Option<Command> {
        Command::ALL
            .into_iter()
            .find(|command| *command as u8 == byte)
    }
}

/// Exclusive or of all bytes.
pub(crate) fn xor(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}
