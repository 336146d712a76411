//! CMSDK UARTs (Arm Cortex-M System Design Kit, DDI 0479, 4.3). The emulator sends at once and
//! waits until a byte was taken, so nothing is lost without interrupts.
#![allow(unsafe_code)]

const STATE: usize = 1;
const CONTROL: usize = 2;
const SPEED: usize = 4;
const SENDING: u32 = 1;
const RECEIVED: u32 = 2;

/// One UART.
pub struct Uart(*mut u32);

impl Uart {
    /// The bus.
    pub fn bus() -> Uart {
        Uart::at(0x4000_4000)
    }

    /// The distance sensor.
    pub fn sensor() -> Uart {
        Uart::at(0x4000_5000)
    }

    fn at(base: usize) -> Uart {
        let uart = Uart(base as *mut u32);
        // The emulator wants a divider; it does not keep to it.
        uart.write(SPEED, 16);
        uart.write(CONTROL, 3);
        uart
    }

    fn write(&self, register: usize, value: u32) {
        // SAFETY: registers of a UART that this program alone uses.
        unsafe { self.0.add(register).write_volatile(value) }
    }

    fn read(&self, register: usize) -> u32 {
        // SAFETY: as in `write`.
        unsafe { self.0.add(register).read_volatile() }
    }

    /// A byte that came.
    pub fn next(&mut self) -> Option<u8> {
        (self.read(STATE) & RECEIVED != 0).then(|| self.read(0) as u8)
    }

    /// Sends bytes, and waits until the last has left.
    pub fn send(&mut self, bytes: &[u8]) {
        for byte in bytes {
            while self.read(STATE) & SENDING != 0 {}
            self.write(0, u32::from(*byte));
        }
        while self.read(STATE) & SENDING != 0 {}
    }
}
