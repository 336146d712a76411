//! Our side of the line.

use std::{
    io::{self, Read, Write},
    time::Duration,
};

use serialport::{ClearBuffer, SerialPort};

use super::{ACK, BLOCK, Command, NACK, SYNC, xor};

/// For an answer to a command.
const PROMPT: Duration = Duration::from_millis(1_000);
/// For an answer to the first byte; a ROM that hears it answers within a millisecond.
const SYNC_PATIENCE: Duration = Duration::from_millis(250);
/// Erasing one page takes 40 ms at most (DS5319, table 29); this leaves room.
const ERASE_PAGE: Duration = Duration::from_millis(100);
/// Erasing the whole part; 40 ms by the data sheet, seconds on copies of the part.
const ERASE_ALL: Duration = Duration::from_secs(30);
/// How often one block is tried.
const TRIES: usize = 3;
/// Fills a command that was cut short, so that the ROM refuses it. As a count it never fits its own
/// checksum, and 0xFF and 0x00 would be the order to erase everything.
const FILLER: u8 = 0x02;

/// Why the ROM could not be talked to.
#[derive(Debug, thiserror::Error)]
pub enum RomError {
    /// Nothing answered the first byte.
    #[error(
        "no bootloader answers. Is BOOT0 at 1 (3.3 V), and was RESET pressed after that? Are TX and RX crossed \
         (adapter TX to PA10, adapter RX to PA9), the grounds joined, and is the board powered? A bootloader that \
         was talked to at another baud rate answers again only after RESET"
    )]
    NoBootloader,
    /// Something answered, but no bootloader.
    #[error(
        "what answers does not speak as an STM32 bootloader does (0x{0:02X} came): the likely cause is a program that is running on \
         the board (put BOOT0 at 1 and press RESET), or a baud rate other than the one that this board was talked \
         to at before (press RESET)"
    )]
    NotABootloader(u8),
    /// It was refused although the line is in order.
    #[error("the chip refuses to {0}")]
    Refused(&'static str),
    /// Reading or writing is refused as a whole.
    #[error(
        "the chip is protected against reading and writing. If its program may be lost, \
         --unprotect removes the protection by erasing all of the chip"
    )]
    Protected,
    /// It fell silent.
    #[error(
        "the chip stopped answering while it was asked to {0}; check the wires, press RESET and try again"
    )]
    Silent(&'static str),
    /// An answer that AN3155 does not know.
    #[error("the chip answered 0x{byte:02X} when it was asked to {doing}: the line is disturbed")]
    Nonsense {
        /// What was asked.
        doing: &'static str,
        /// What came.
        byte: u8,
    },
    /// A block holds something that was not written, and is not blank either.
    #[error(
        "flash at 0x{0:08X} holds what was not written to it: the supply may be weak, or the flash worn out"
    )]
    Torn(u32),
    /// The command is not in this ROM.
    #[error("this chip's bootloader cannot {0}")]
    Unable(&'static str),
    /// The adapter went away.
    #[error("the adapter is gone ({0}); plug it in again")]
    Unplugged(io::Error),
    /// The port said no.
    #[error("the port: {0}")]
    Port(#[from] serialport::Error),
}

impl RomError {
    /// Whether the line, and not the chip, may be at fault, so that another try may do.
    fn is_passing(&self) -> bool {
        matches!(
            self,
            RomError::Silent(_) | RomError::Nonsense { .. } | RomError::Refused(_)
        )
    }
}

/// A chip whose ROM answers.
#[derive(Debug)]
pub struct Rom {
    port: Box<dyn SerialPort>,
    version: u8,
    commands: Vec<u8>,
}

impl Rom {
    /// Wakes the ROM on a port that is open with even parity, and asks what it can do.
    ///
    /// # Errors
    /// Nothing answers, something else does, or the port failed.
    pub fn connect(port: Box<dyn SerialPort>) -> Result<Rom, RomError> {
        let mut rom = Rom {
            port,
            version: 0,
            commands: Vec::new(),
        };
        rom.sync()?;
        // In step, but not understood: the ROM hears at another speed.
        rom.retried(Rom::get).map_err(|error| match error {
            RomError::Refused(_) => RomError::NotABootloader(NACK),
            RomError::Nonsense { byte, .. } => RomError::NotABootloader(byte),
            error => error,
        })?;
        Ok(rom)
    }

    /// Version of the ROM's protocol, a decimal digit in each half of the byte.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// The part's product id.
    ///
    /// # Errors
    /// See [`RomError`].
    pub fn product(&mut self) -> Result<u16, RomError> {
        const DOING: &str = "say what it is";
        self.command(Command::GetId, DOING)?;
        let count = self.byte(DOING)?;
        let mut id = vec![0; usize::from(count) + 1];
        self.fill(&mut id, DOING)?;
        self.acknowledged(DOING)?;
        Ok(id.iter().fold(0, |all, byte| all << 8 | u16::from(*byte)))
    }

    /// Reads any number of bytes.
    ///
    /// # Errors
    /// See [`RomError`]; [`RomError::Protected`] if the chip lets nobody read.
    pub fn read(&mut self, address: u32, length: usize) -> Result<Vec<u8>, RomError> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = address + bytes.len() as u32;
            let size = (length - bytes.len()).min(BLOCK);
            bytes.extend(self.retried(|rom| rom.read_block(at, size))?);
        }
        Ok(bytes)
    }

    /// Writes one block, 1 to 256 bytes, into erased flash. A block of odd length is filled up
    /// with 0xFF to whole words, as AN3155 asks.
    ///
    /// # Errors
    /// See [`RomError`]. After a disturbed answer the block is read back first: flash can be
    /// written once.
    pub fn write(&mut self, address: u32, block: &[u8]) -> Result<(), RomError> {
        let mut block = block.to_vec();
        block.resize(block.len().next_multiple_of(4).min(BLOCK), 0xFF);
        let mut last = match self.write_block(address, &block) {
            Err(error) if error.is_passing() => error,
            result => return result,
        };
        for _ in 1..TRIES {
            self.resync()?;
            let there = self.read(address, block.len())?;
            if there == block {
                return Ok(());
            }
            if there.iter().any(|byte| *byte != 0xFF) {
                return Err(RomError::Torn(address));
            }
            last = match self.write_block(address, &block) {
                Err(error) if error.is_passing() => error,
                result => return result,
            };
        }
        Err(last)
    }

    /// Erases pages. This is not repeated by itself: half an order to erase must not become
    /// another one.
    ///
    /// # Errors
    /// See [`RomError`].
    pub fn erase(&mut self, pages: &[u16]) -> Result<(), RomError> {
        const DOING: &str = "erase pages";
        // 255 in the count's place would erase everything.
        for some in pages.chunks(128) {
            let patience = PROMPT + ERASE_PAGE * some.len() as u32;
            let count = (some.len() - 1) as u16;
            let mut order = Vec::new();
            if self.can(Command::Erase) {
                self.command(Command::Erase, DOING)?;
                order.push(count as u8);
                for page in some {
                    let page = u8::try_from(*page).map_err(|_| RomError::Unable(DOING))?;
                    order.push(page);
                }
            } else if self.can(Command::ExtendedErase) {
                self.command(Command::ExtendedErase, DOING)?;
                order.extend(count.to_be_bytes());
                some.iter()
                    .for_each(|page| order.extend(page.to_be_bytes()));
            } else {
                return Err(RomError::Unable(DOING));
            }
            order.push(xor(&order));
            self.send(&order)?;
            self.acknowledged_within(patience, DOING)?;
        }
        Ok(())
    }

    /// Starts the program whose vector table is at `address`. The ROM is gone afterwards; the
    /// port is given back.
    ///
    /// # Errors
    /// See [`RomError`].
    pub fn start(mut self, address: u32) -> Result<Box<dyn SerialPort>, RomError> {
        const DOING: &str = "start the program";
        self.command(Command::Go, DOING)?;
        self.address(address, DOING)?;
        Ok(self.port)
    }

    /// Removes readout protection; the chip erases all of its flash and starts anew.
    ///
    /// # Errors
    /// See [`RomError`].
    pub fn readout_unprotect(&mut self) -> Result<(), RomError> {
        const DOING: &str = "remove its protection";
        self.command(Command::ReadoutUnprotect, DOING)?;
        self.acknowledged_within(ERASE_ALL, DOING)?;
        self.sync()
    }

    fn sync(&mut self) -> Result<(), RomError> {
        self.port.clear(ClearBuffer::All)?;
        self.port.set_timeout(SYNC_PATIENCE)?;
        let mut other = None;
        for _ in 0..TRIES {
            self.send(&[SYNC])?;
            match self.maybe_byte()? {
                // One that is awake already takes 0x7F for a command, waits for its complement,
                // and refuses: it is in step again.
                Some(ACK | NACK) => return Ok(()),
                Some(byte) => other = Some(byte),
                None => {}
            }
            if other.is_some() {
                self.port.clear(ClearBuffer::Input)?;
            }
        }
        Err(other.map_or(RomError::NoBootloader, RomError::NotABootloader))
    }

    /// Brings a ROM that waits for the rest of something back to waiting for a command.
    fn resync(&mut self) -> Result<(), RomError> {
        self.port.set_timeout(Duration::from_millis(50))?;
        // The longest thing that it may wait for: a block with count and checksum.
        for _ in 0..BLOCK + 2 {
            self.port.clear(ClearBuffer::Input)?;
            self.send(&[FILLER])?;
            if self.maybe_byte()? == Some(NACK) {
                return Ok(());
            }
        }
        Err(RomError::Silent("take up again after a disturbance"))
    }

    fn get(&mut self) -> Result<(), RomError> {
        const DOING: &str = "list its commands";
        self.command(Command::Get, DOING)?;
        let count = self.byte(DOING)?;
        let mut list = vec![0; usize::from(count) + 1];
        self.fill(&mut list, DOING)?;
        self.acknowledged(DOING)?;
        self.version = list.remove(0);
        self.commands = list;
        Ok(())
    }

    fn can(&self, command: Command) -> bool {
        self.commands.contains(&(command as u8))
    }

    fn retried<T>(
        &mut self,
        mut work: impl FnMut(&mut Rom) -> Result<T, RomError>,
    ) -> Result<T, RomError> {
        let mut tries = 1;
        loop {
            match work(self) {
                Err(error) if error.is_passing() && tries < TRIES => self.resync()?,
                result => return result,
            }
            tries += 1;
        }
    }

    fn read_block(&mut self, address: u32, size: usize) -> Result<Vec<u8>, RomError> {
        const DOING: &str = "read";
        self.command(Command::Read, DOING)?;
        self.address(address, DOING)?;
        let count = (size - 1) as u8;
        self.send(&[count, !count])?;
        self.acknowledged(DOING)?;
        let mut bytes = vec![0; size];
        self.fill(&mut bytes, DOING)?;
        Ok(bytes)
    }

    fn write_block(&mut self, address: u32, block: &[u8]) -> Result<(), RomError> {
        const DOING: &str = "write";
        self.command(Command::Write, DOING)?;
        self.address(address, DOING)?;
        let mut data = vec![(block.len() - 1) as u8];
        data.extend(block);
        data.push(xor(&data));
        self.send(&data)?;
        self.acknowledged(DOING)
    }

    fn command(&mut self, command: Command, doing: &'static str) -> Result<(), RomError> {
        let byte = command as u8;
        self.send(&[byte, !byte])?;
        match self.acknowledged(doing) {
            // These the ROM has, so a refusal of the very command means protection (AN3155 §3.4).
            Err(RomError::Refused(_))
                if matches!(command, Command::Read | Command::Write | Command::Go)
                    || matches!(command, Command::Erase | Command::ExtendedErase) =>
            {
                // A disturbed command is refused in the same way: ask once more before saying so.
                self.send(&[byte, !byte])?;
                match self.acknowledged(doing) {
                    Err(RomError::Refused(_)) => Err(RomError::Protected),
                    result => result,
                }
            }
            result => result,
        }
    }

    fn address(&mut self, address: u32, doing: &'static str) -> Result<(), RomError> {
        let mut bytes = address.to_be_bytes().to_vec();
        bytes.push(xor(&bytes));
        self.send(&bytes)?;
        self.acknowledged(doing)
    }

    fn acknowledged(&mut self, doing: &'static str) -> Result<(), RomError> {
        self.acknowledged_within(PROMPT, doing)
    }

    fn acknowledged_within(
        &mut self,
        patience: Duration,
        doing: &'static str,
    ) -> Result<(), RomError> {
        self.port.set_timeout(patience)?;
        let answer = self.maybe_byte()?;
        self.port.set_timeout(PROMPT)?;
        match answer {
            Some(ACK) => Ok(()),
            Some(NACK) => Err(RomError::Refused(doing)),
            Some(byte) => Err(RomError::Nonsense { doing, byte }),
            None => Err(RomError::Silent(doing)),
        }
    }

    fn byte(&mut self, doing: &'static str) -> Result<u8, RomError> {
        self.maybe_byte()?.ok_or(RomError::Silent(doing))
    }

    fn maybe_byte(&mut self) -> Result<Option<u8>, RomError> {
        let mut byte = [0];
        match self.port.read_exact(&mut byte) {
            Ok(()) => Ok(Some(byte[0])),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(None),
            Err(error) => Err(RomError::Unplugged(error)),
        }
    }

    fn fill(&mut self, bytes: &mut [u8], doing: &'static str) -> Result<(), RomError> {
        match self.port.read_exact(bytes) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(RomError::Silent(doing)),
            Err(error) => Err(RomError::Unplugged(error)),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), RomError> {
        self.port.write_all(bytes).map_err(RomError::Unplugged)
    }
}
