//! One I2C bus for several sensors, with an end to its patience.

use core::cell::{Cell, RefCell};

use embedded_hal::i2c::{self, ErrorKind, ErrorType, I2c, Operation};

/// Driver crates wait for a sensor by asking again and again, some of them 65,535 times: with a
/// sensor that hangs that is half a minute, and the watchdog bites. Initialising the most
/// talkative one takes some 250 transactions; at 100 kHz so many as these are 0.4 s.
const PATIENCE: u32 = 1_000;

/// The bus; what drivers hold is a reference to it.
#[derive(Debug)]
pub struct Shared<I> {
    bus: RefCell<I>,
    left: Cell<u32>,
}

impl<I> Shared<I> {
    /// Takes the bus.
    pub fn new(bus: I) -> Self {
        Shared {
            bus: RefCell::new(bus),
            left: Cell::new(PATIENCE),
        }
    }

    /// A reading begins: it may take so many transactions.
    pub(super) fn renew(&self) {
        self.left.set(PATIENCE);
    }
}

/// Why a transaction failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed(ErrorKind);

impl Failed {
    pub(super) fn new(kind: ErrorKind) -> Self {
        Failed(kind)
    }
}

impl i2c::Error for Failed {
    fn kind(&self) -> ErrorKind {
        self.0
    }
}

impl<I: I2c> ErrorType for &Shared<I> {
    type Error = Failed;
}

impl<I: I2c> Shared<I> {
    fn ask(&self, what: impl FnOnce(&mut I) -> Result<(), I::Error>) -> Result<(), Failed> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or(Failed(ErrorKind::Other))?);
        let bus = self.bus.try_borrow_mut();
        let mut bus = bus.map_err(|_| Failed(ErrorKind::Other))?;
        what(&mut bus).map_err(|error| Failed(i2c::Error::kind(&error)))
    }
}

// Each as itself: a part's own driver knows shorter ways for the common ones.
impl<I: I2c> I2c for &Shared<I> {
    fn read(&mut self, address: u8, read: &mut [u8]) -> Result<(), Failed> {
        self.ask(|bus| bus.read(address, read))
    }

    fn write(&mut self, address: u8, write: &[u8]) -> Result<(), Failed> {
        self.ask(|bus| bus.write(address, write))
    }

    fn write_read(&mut self, address: u8, write: &[u8], read: &mut [u8]) -> Result<(), Failed> {
        self.ask(|bus| bus.write_read(address, write, read))
    }

    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Failed> {
        self.ask(|bus| bus.transaction(address, operations))
    }
}
