//! Chips on an I2C bus as tables of registers, for drivers that say a lot.

use core::cell::{Cell, RefCell};
use std::collections::HashMap;

use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};

/// The bus and its chips.
#[derive(Debug, Default)]
pub struct Fake {
    registers: RefCell<HashMap<(u8, u8), u8>>,
    unplugged: Cell<bool>,
    asked: Cell<u32>,
}

impl Fake {
    /// Chip, register, value. What a driver writes is not kept: the tables are what a chip says.
    pub fn with(values: &[(u8, u8, u8)]) -> Fake {
        let fake = Fake::default();
        for (chip, register, value) in values {
            fake.set(*chip, *register, *value);
        }
        fake
    }

    pub fn set(&self, chip: u8, register: u8, value: u8) {
        self.registers.borrow_mut().insert((chip, register), value);
    }

    pub fn unplug(&self) {
        self.unplugged.set(true);
    }

    pub fn plug(&self) {
        self.unplugged.set(false);
    }

    /// How many transactions there were.
    pub fn asked(&self) -> u32 {
        self.asked.get()
    }
}

impl ErrorType for &Fake {
    type Error = ErrorKind;
}

impl I2c for &Fake {
    fn transaction(&mut self, chip: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        self.asked.set(self.asked.get() + 1);
        let registers = self.registers.borrow();
        if self.unplugged.get() || !registers.keys().any(|(at, _)| *at == chip) {
            return Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));
        }
        let mut register = 0;
        for operation in operations {
            match operation {
                Operation::Write(bytes) => register = bytes.first().copied().unwrap_or(0),
                Operation::Read(bytes) => {
                    for byte in bytes.iter_mut() {
                        *byte = registers.get(&(chip, register)).copied().unwrap_or(0);
                        register = register.wrapping_add(1);
                    }
                }
            }
        }
        Ok(())
    }
}
