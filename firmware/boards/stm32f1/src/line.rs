//! Two serial lines: bytes are taken by interrupt, with the time at which they came.

use core::cell::RefCell;

use cortex_m::peripheral::NVIC;
use critical_section::Mutex;
use heapless::Deque;
use stm32f1xx_hal::{
    pac::{Interrupt, USART1, USART2, interrupt},
    serial::Rx,
};

use crate::clock;

/// Bytes that wait for the main loop; at 115,200 baud 11 ms of them.
const WAITING: usize = 128;

/// What came over a line.
#[derive(Clone, Copy)]
pub struct Byte {
    /// `None` where the line says that it was damaged.
    pub value: Option<u8>,
    /// When, µs.
    pub at: u64,
}

/// One line's receiving half.
pub struct Line<P: stm32f1xx_hal::serial::Instance> {
    rx: Mutex<RefCell<Option<Rx<P>>>>,
    bytes: Mutex<RefCell<Deque<Byte, WAITING>>>,
}

/// The bus.
pub static BUS: Line<USART1> = Line::new();
/// The distance sensor.
pub static SENSOR: Line<USART2> = Line::new();

impl<P: stm32f1xx_hal::serial::Instance> Line<P> {
    const fn new() -> Self {
        Line {
            rx: Mutex::new(RefCell::new(None)),
            bytes: Mutex::new(RefCell::new(Deque::new())),
        }
    }

    /// The oldest byte that waits.
    pub fn next(&self) -> Option<Byte> {
        critical_section::with(|cs| self.bytes.borrow_ref_mut(cs).pop_front())
    }

    /// Takes what has come. When the main loop is late, the newest is dropped: the frame is
    /// spoilt either way, and silence will end it.
    fn take(&self, read: impl Fn(&mut Rx<P>) -> nb::Result<u8, ()>) {
        let at = clock::now_us();
        critical_section::with(|cs| {
            let mut rx = self.rx.borrow_ref_mut(cs);
            let Some(rx) = rx.as_mut() else { return };
            let value = match read(rx) {
                Ok(byte) => Some(byte),
                Err(nb::Error::WouldBlock) => return,
                Err(nb::Error::Other(())) => None,
            };
            let _ = self.bytes.borrow_ref_mut(cs).push_back(Byte { value, at });
        });
    }
}

/// Starts taking bytes from the bus.
pub fn listen_bus(mut rx: Rx<USART1>) {
    rx.listen();
    critical_section::with(|cs| BUS.rx.borrow_ref_mut(cs).replace(rx));
    unmask(Interrupt::USART1);
}

/// Starts taking bytes from the sensor.
pub fn listen_sensor(mut rx: Rx<USART2>) {
    rx.listen();
    critical_section::with(|cs| SENSOR.rx.borrow_ref_mut(cs).replace(rx));
    unmask(Interrupt::USART2);
}

/// Lets an interrupt through.
#[allow(unsafe_code)]
fn unmask(interrupt: Interrupt) {
    // SAFETY: no critical section rests on the mask of a single interrupt; everything that the
    // handlers share is behind `critical_section::Mutex`.
    unsafe { NVIC::unmask(interrupt) }
}

#[interrupt]
fn USART1() {
    BUS.take(|rx| rx.read().map_err(|e| e.map(|_| ())));
}

#[interrupt]
fn USART2() {
    SENSOR.take(|rx| rx.read().map_err(|e| e.map(|_| ())));
}
