//! The chip: its memory, and the ROM's side of AN3155.

use crate::rom::{ACK, BLOCK, Command, DEVICE_ID, FLASH_SIZE, NACK, SYNC, xor};

/// Where flash begins.
const FLASH: u32 = 0x0800_0000;
/// Where the ROM and what is burnt into the part begins, and how much of it there is.
const SYSTEM: u32 = 0x1FFF_F000;
const SYSTEM_SIZE: usize = 0x800;
const RAM: u32 = 0x2000_0000;
/// What the ROM takes of RAM for itself (AN2606).
const ROM_RAM: u32 = 0x200;

/// What kind of part it is.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// Product id.
    pub product: u16,
    /// Flash, KiB.
    pub flash_kib: u16,
    /// Bytes of a page.
    pub page: usize,
    /// RAM, KiB.
    pub ram_kib: u16,
    /// The ROM knows Extended Erase instead of Erase.
    pub extended: bool,
}

impl Model {
    /// STM32F100RB, on the discovery board.
    pub const F100RB: Model = Model {
        product: 0x420,
        flash_kib: 128,
        page: 1_024,
        ram_kib: 8,
        extended: false,
    };
    /// STM32F103C8, on "blue pill" boards.
    pub const F103C8: Model = Model {
        product: 0x410,
        flash_kib: 64,
        page: 1_024,
        ram_kib: 20,
        extended: false,
    };
    /// STM32F103CB.
    pub const F103CB: Model = Model {
        flash_kib: 128,
        ..Model::F103C8
    };
    /// STM32F051C8, which no image of ours fits.
    pub const F051C8: Model = Model {
        product: 0x440,
        flash_kib: 64,
        page: 1_024,
        ram_kib: 8,
        extended: true,
    };
}

/// Something that goes wrong, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Write number N (from 0) is refused.
    RefuseWrite(usize),
    /// The adapter is pulled out when write number N (from 0) comes.
    UnplugAtWrite(usize),
    /// The adapter is pulled out when read number N (from 0) comes.
    UnplugAtRead(usize),
    /// Byte number N (from 0) that comes in is not heard.
    LoseByte(usize),
    /// The answer to write number N (from 0) is lost on the way.
    LoseAnswer(usize),
    /// A bit of write number N (from 0) does not stay what it was.
    WeakCell(usize),
}

/// What the ROM waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its first byte.
    Asleep,
    /// A command and its complement.
    Command,
    /// Four bytes and their checksum.
    Address(Command),
    /// How many bytes to read.
    Count(u32),
    /// A block to write.
    Data(u32),
    /// Pages to erase.
    Pages,
    /// Pages to erase, two bytes each.
    WidePages,
}

/// A chip in its ROM.
#[derive(Debug)]
pub struct Chip {
    model: Model,
    flash: Vec<u8>,
    system: Vec<u8>,
    ram: Vec<u8>,
    phase: Phase,
    /// Line speed that the ROM found.
    baud: u32,
    buffer: Vec<u8>,
    protected: bool,
    started: Option<u32>,
    unplugged: bool,
    faults: Vec<Fault>,
    heard: usize,
    writes: usize,
    reads: usize,
    erased: Vec<u16>,
}

impl Chip {
    /// A part with this number, its flash erased, after a reset with BOOT0 at 1.
    pub fn new(model: Model, number: [u8; 12]) -> Chip {
        let mut system = vec![0xA5; SYSTEM_SIZE];
        let size = (FLASH_SIZE - SYSTEM) as usize;
        system[size..size + 2].copy_from_slice(&model.flash_kib.to_le_bytes());
        let id = (DEVICE_ID - SYSTEM) as usize;
        system[id..id + 12].copy_from_slice(&number);
        Chip {
            model,
            flash: vec![0xFF; usize::from(model.flash_kib) * 1_024],
            system,
            ram: vec![0; usize::from(model.ram_kib) * 1_024],
            phase: Phase::Asleep,
            baud: 0,
            buffer: Vec::new(),
            protected: false,
            started: None,
            unplugged: false,
            faults: Vec::new(),
            heard: 0,
            writes: 0,
            reads: 0,
            erased: Vec::new(),
        }
    }

    /// The same chip with something that will go wrong.
    #[must_use]
    pub fn with(mut self, fault: Fault) -> Chip {
        self.faults.push(fault);
        self
    }

    /// The same chip, protected against readout.
    #[must_use]
    pub fn protected(mut self) -> Chip {
        self.protected = true;
        self
    }

    /// Its flash.
    pub fn flash(&self) -> &[u8] {
        &self.flash
    }

    /// Its flash, to put something there.
    pub fn flash_mut(&mut self) -> &mut [u8] {
        &mut self.flash
    }

    /// Where its program was started, if it was.
    pub fn started(&self) -> Option<u32> {
        self.started
    }

    /// How many blocks were written.
    pub fn writes(&self) -> usize {
        self.writes
    }

    /// Pages that were erased, in order.
    pub fn erased(&self) -> &[u16] {
        &self.erased
    }

    /// Whether a fault pulled the adapter out.
    pub fn is_unplugged(&self) -> bool {
        self.unplugged
    }

    /// RESET with BOOT0 at 1.
    pub fn reset(&mut self) {
        self.phase = Phase::Asleep;
        self.buffer.clear();
        self.started = None;
        self.unplugged = false;
    }

    /// A byte comes at this speed; what the ROM says to it goes to `out`.
    pub fn byte(&mut self, byte: u8, baud: u32, out: &mut Vec<u8>) {
        let number = self.heard;
        self.heard += 1;
        if self.unplugged || self.started.is_some() || self.has(Fault::LoseByte(number)) {
            return;
        }
        if self.phase == Phase::Asleep {
            if byte == SYNC {
                self.baud = baud;
                self.to(Phase::Command);
                out.push(ACK);
            }
            return;
        }
        // At another speed than the one that it found, bytes arrive as others.
        let byte = if baud == self.baud {
            byte
        } else {
            byte.rotate_left(3) ^ 0x5A
        };
        self.buffer.push(byte);
        if self.buffer.len() < self.wanted() {
            return;
        }
        let frame = std::mem::take(&mut self.buffer);
        self.take(&frame, out);
    }

    /// How many bytes make the present phase complete, as far as can be told.
    fn wanted(&self) -> usize {
        let first = self.buffer.first().copied();
        match self.phase {
            Phase::Asleep => 1,
            Phase::Command | Phase::Count(_) => 2,
            Phase::Address(_) => 5,
            Phase::Data(_) => first.map_or(1, |count| usize::from(count) + 3),
            Phase::Pages => match first {
                None => 1,
                Some(0xFF) => 2,
                Some(count) => usize::from(count) + 3,
            },
            Phase::WidePages => match self.buffer[..] {
                [0xFF, low, ..] if low >= 0xF0 => 3,
                [high, low, ..] => usize::from(u16::from_be_bytes([high, low])) * 2 + 5,
                _ => 2,
            },
        }
    }

    fn take(&mut self, frame: &[u8], out: &mut Vec<u8>) {
        let fits = match self.phase {
            Phase::Command | Phase::Count(_) => frame[0] == !frame[1],
            Phase::Pages if frame[0] == 0xFF => frame[1] == 0,
            _ => xor(frame) == 0,
        };
        if !fits {
            return self.refuse(out);
        }
        match self.phase {
            Phase::Asleep => {}
            Phase::Command => self.command(frame[0], out),
            Phase::Address(command) => {
                let address = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
                self.address(command, address, out);
            }
            Phase::Count(address) => {
                let size = usize::from(frame[0]) + 1;
                match self.memory(address, size).map(<[u8]>::to_vec) {
                    Some(bytes) => {
                        out.push(ACK);
                        out.extend(bytes);
                        self.to(Phase::Command);
                    }
                    None => self.refuse(out),
                }
            }
            Phase::Data(address) => self.data(address, &frame[1..frame.len() - 1], out),
            Phase::Pages if frame[0] == 0xFF => {
                self.flash.fill(0xFF);
                self.done(out);
            }
            Phase::Pages => {
                let pages = frame[1..frame.len() - 1]
                    .iter()
                    .map(|page| u16::from(*page));
                self.erase(&pages.collect::<Vec<_>>(), out);
            }
            Phase::WidePages if frame[0] == 0xFF && frame[1] >= 0xF0 => {
                if frame[1] != 0xFF {
                    return self.refuse(out);
                }
                self.flash.fill(0xFF);
                self.done(out);
            }
            Phase::WidePages => {
                let pages = frame[2..frame.len() - 1].chunks_exact(2);
                let pages: Vec<u16> = pages.map(|p| u16::from_be_bytes([p[0], p[1]])).collect();
                self.erase(&pages, out);
            }
        }
    }

    fn command(&mut self, byte: u8, out: &mut Vec<u8>) {
        let known = Command::of(byte).filter(|command| match command {
            Command::Erase => !self.model.extended,
            Command::ExtendedErase => self.model.extended,
            _ => true,
        });
        let Some(command) = known else {
            return self.refuse(out);
        };
        let open = matches!(
            command,
            Command::Get | Command::GetVersion | Command::GetId | Command::ReadoutUnprotect
        );
        if self.protected && !open {
            return self.refuse(out);
        }
        match command {
            Command::Read if self.counted(Fault::UnplugAtRead) => self.unplugged = true,
            Command::Write if self.has(Fault::UnplugAtWrite(self.writes)) => self.unplugged = true,
            _ => {}
        }
        if self.unplugged {
            return;
        }
        out.push(ACK);
        let version = if self.model.extended { 0x31 } else { 0x22 };
        match command {
            Command::Get => {
                let erase = if self.model.extended { 0x44 } else { 0x43 };
                let list = [
                    0x00, 0x01, 0x02, 0x11, 0x21, 0x31, erase, 0x63, 0x73, 0x82, 0x92,
                ];
                out.extend([list.len() as u8, version]);
                out.extend(list);
                out.push(ACK);
            }
            Command::GetVersion => out.extend([version, 0, 0, ACK]),
            Command::GetId => {
                let [high, low] = self.model.product.to_be_bytes();
                out.extend([1, high, low, ACK]);
            }
            Command::Read | Command::Go | Command::Write => {
                return self.to(Phase::Address(command));
            }
            Command::Erase => return self.to(Phase::Pages),
            Command::ExtendedErase => return self.to(Phase::WidePages),
            // These start the chip anew.
            Command::WriteUnprotect => {
                out.push(ACK);
                return self.to(Phase::Asleep);
            }
            Command::ReadoutProtect => {
                self.protected = true;
                out.push(ACK);
                return self.to(Phase::Asleep);
            }
            Command::ReadoutUnprotect => {
                self.protected = false;
                self.flash.fill(0xFF);
                out.push(ACK);
                return self.to(Phase::Asleep);
            }
        }
        self.to(Phase::Command);
    }

    fn address(&mut self, command: Command, address: u32, out: &mut Vec<u8>) {
        let writable = address >= FLASH && self.flash_at(address, 1).is_some()
            || self.ram_at(address, 1).is_some();
        match command {
            Command::Read if self.memory(address, 1).is_some() => {
                out.push(ACK);
                self.to(Phase::Count(address));
            }
            Command::Write if writable => {
                out.push(ACK);
                self.to(Phase::Data(address));
            }
            Command::Go if writable => {
                out.push(ACK);
                self.started = Some(address);
            }
            _ => self.refuse(out),
        }
    }

    fn data(&mut self, address: u32, data: &[u8], out: &mut Vec<u8>) {
        let number = self.writes;
        self.writes += 1;
        let whole =
            data.len().is_multiple_of(4) && data.len() <= BLOCK && address.is_multiple_of(4);
        if !whole || self.has(Fault::RefuseWrite(number)) {
            return self.refuse(out);
        }
        let mut data = data.to_vec();
        if self.has(Fault::WeakCell(number)) {
            data[0] ^= 1;
        }
        if let Some(at) = self.flash_at(address, data.len()) {
            let cells = self.flash[at..at + data.len()].chunks_exact_mut(2);
            for (cell, new) in cells.zip(data.chunks_exact(2)) {
                // PM0075 §2.3.3: only an erased half-word is written, or any with zeros.
                if *cell == [0xFF, 0xFF] || new == [0, 0] {
                    cell.copy_from_slice(new);
                }
            }
        } else if let Some(at) = self.ram_at(address, data.len()) {
            self.ram[at..at + data.len()].copy_from_slice(&data);
        } else {
            return self.refuse(out);
        }
        if self.has(Fault::LoseAnswer(number)) {
            return self.to(Phase::Command);
        }
        self.done(out);
    }

    fn erase(&mut self, pages: &[u16], out: &mut Vec<u8>) {
        for page in pages {
            let from = usize::from(*page) * self.model.page;
            if let Some(cells) = self.flash.get_mut(from..from + self.model.page) {
                cells.fill(0xFF);
                self.erased.push(*page);
            }
        }
        self.done(out);
    }

    fn memory(&self, address: u32, size: usize) -> Option<&[u8]> {
        if let Some(at) = self.flash_at(address, size) {
            return Some(&self.flash[at..at + size]);
        }
        if let Some(at) = self.ram_at(address, size) {
            return Some(&self.ram[at..at + size]);
        }
        let at = address.checked_sub(SYSTEM)? as usize;
        self.system.get(at..at + size)
    }

    fn flash_at(&self, address: u32, size: usize) -> Option<usize> {
        let at = address.checked_sub(FLASH)? as usize;
        (at + size <= self.flash.len()).then_some(at)
    }

    fn ram_at(&self, address: u32, size: usize) -> Option<usize> {
        let at = address.checked_sub(RAM)? as usize;
        (at >= ROM_RAM as usize && at + size <= self.ram.len()).then_some(at)
    }

    fn done(&mut self, out: &mut Vec<u8>) {
        out.push(ACK);
        self.to(Phase::Command);
    }

    fn refuse(&mut self, out: &mut Vec<u8>) {
        out.push(NACK);
        self.to(Phase::Command);
    }

    fn to(&mut self, phase: Phase) {
        self.phase = phase;
        self.buffer.clear();
    }

    /// Whether this fault was asked for; it then happens no second time.
    fn has(&mut self, fault: Fault) -> bool {
        let before = self.faults.len();
        self.faults.retain(|one| *one != fault);
        self.faults.len() < before
    }

    /// The same for reads, which are counted here.
    fn counted(&mut self, fault: impl Fn(usize) -> Fault) -> bool {
        let number = self.reads;
        self.reads += 1;
        self.has(fault(number))
    }
}
