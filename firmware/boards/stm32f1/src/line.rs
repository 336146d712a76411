//! Two serial lines: bytes are taken by interrupt, with the time at which they came.

use core::cell::RefCell;

use cortex_m::peripheral::NVIC;
use critical_section::Mutex;
use heapless::Deque;
use stm32f1xx_hal::{
    pac::{Interrupt, USART1, USART2, interrupt},
    rcc::Clocks,
    serial::{self, Config, Rx, Tx},
    time::U32Ext,
};
use wangge_node::{port, setup::Parity};

use crate::clock;

/// Bytes of the bus that wait for the main loop; at 115,200 baud 11 ms of them.
const BUS_WAITING: usize = 128;
/// Bytes of the sensor, which says everything again.
const SENSOR_WAITING: usize = 32;

/// What came over a line.
pub struct Byte {
    /// `None` where the line says that it was damaged.
    pub value: Option<u8>,
    /// When, µs.
    pub at: u64,
}

/// The same while it waits: of the time its low half, which lasts for 71 minutes.
struct Waiting {
    value: Option<u8>,
    at: u32,
}

/// One line's receiving half.
pub struct Line<P: serial::Instance, const N: usize> {
    rx: Mutex<RefCell<Option<Rx<P>>>>,
    bytes: Mutex<RefCell<Deque<Waiting, N>>>,
}

/// The bus.
pub static BUS: Line<USART1, BUS_WAITING> = Line::new();
/// The distance sensor.
pub static SENSOR: Line<USART2, SENSOR_WAITING> = Line::new();

impl<P: serial::Instance, const N: usize> Line<P, N> {
    const fn new() -> Self {
        Line {
            rx: Mutex::new(RefCell::new(None)),
            bytes: Mutex::new(RefCell::new(Deque::new())),
        }
    }

    /// The oldest byte that waits.
    pub fn next(&self) -> Option<Byte> {
        let Waiting { value, at } =
            critical_section::with(|cs| self.bytes.borrow_ref_mut(cs).pop_front())?;
        let now = clock::now_us();
        let ago = (now as u32).wrapping_sub(at);
        let at = now.saturating_sub(u64::from(ago));
        Some(Byte { value, at })
    }

    /// Takes what has come. When the main loop is late, the newest is dropped: the frame is
    /// spoilt either way, and silence will end it.
    fn take(&self, read: impl Fn(&mut Rx<P>) -> nb::Result<u8, ()>) {
        let at = clock::now_us() as u32;
        critical_section::with(|cs| {
            let mut rx = self.rx.borrow_ref_mut(cs);
            let Some(rx) = rx.as_mut() else { return };
            let value = match read(rx) {
                Ok(byte) => Some(byte),
                Err(nb::Error::WouldBlock) => return,
                Err(nb::Error::Other(())) => None,
            };
            let _ = self
                .bytes
                .borrow_ref_mut(cs)
                .push_back(Waiting { value, at });
        });
    }
}

/// The part's words for a line's settings.
pub fn config(line: port::Line) -> Config {
    let config = Config::default().baudrate(line.speed.bps());
    // The parity bit counts as one of the word's.
    match line.parity {
        Parity::None => config,
        Parity::Odd => config.wordlength_9bits().parity_odd(),
        Parity::Even => config.wordlength_9bits().parity_even(),
    }
}

/// Sets the bus anew.
pub fn set_bus(tx: &mut Tx<USART1>, line: port::Line, clocks: &Clocks) {
    critical_section::with(|cs| {
        if let Some(rx) = BUS.rx.borrow_ref_mut(cs).as_mut() {
            // Everything was sent, so it need not wait.
            let _ = serial::reconfigure(tx, rx, config(line), clocks);
        }
    });
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
