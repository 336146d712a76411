//! A bin node on an STM32F1.
//!
//! | pin | what |
//! |---|---|
//! | PA9, PA10 | RS-485 transceiver: DI, RO (USART1) |
//! | PA8 | RS-485 direction: high while sending (DE and /RE together) |
//! | PA3 | serial ultrasonic sensor's TX (USART2), 9600 8N1 |
//! | PA2 | the sensor's RX; left high, the sensor then sends filtered values |
#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod clock;
mod line;

use cortex_m_rt::entry;
use heapless::Vec;
use panic_halt as _;
use stm32f1xx_hal::{pac, prelude::*, serial::Config, watchdog::IndependentWatchdog};
use wangge_node::{
    drivers::SerialUltrasonic,
    modbus::{self, Heard, Receiver},
    node::{Identity, Node},
    waste_bin::Bin,
};
use wangge_protocol::node::{Quality, status};

/// Board family 1 (STM32F1) and its revision.
#[cfg(feature = "discovery")]
const HARDWARE: u16 = 0x0100;
#[cfg(feature = "bluepill")]
const HARDWARE: u16 = 0x0103;
const FIRMWARE: u16 = 0x0001;
const COUNTER: u32 = 1;
/// Without proof of progress for so long the watchdog starts the node again, ms. Sending the
/// longest frame at 1,200 baud takes 2.3 s.
const WATCHDOG_MS: u32 = 4_000;

#[entry]
fn main() -> ! {
    let (Some(core), Some(p)) = (cortex_m::Peripherals::take(), pac::Peripherals::take()) else {
        // They are taken once, here.
        cortex_m::peripheral::SCB::sys_reset()
    };
    // The internal oscillator, 8 MHz: enough, and there is no crystal to fail in the cold.
    let mut rcc = p.RCC.constrain();
    clock::start(core.SYST, rcc.clocks.hclk().raw());
    let mut watchdog = IndependentWatchdog::new(p.IWDG);
    watchdog.start(WATCHDOG_MS.millis());

    let mut gpioa = p.GPIOA.split(&mut rcc);
    let mut direction = gpioa.pa8.into_push_pull_output(&mut gpioa.crh);
    direction.set_low();

    let identity = Identity {
        hardware: HARDWARE,
        firmware: FIRMWARE,
        counter: COUNTER,
        serial: 0,
    };
    let mut node = Node::new(Bin::default(), identity, None);
    // Nothing here writes to flash yet, so a set-up does not survive a restart: say so.
    node.status |= status::STORAGE;

    let bus_pins = (
        gpioa.pa9.into_alternate_push_pull(&mut gpioa.crh),
        gpioa.pa10,
    );
    let config = Config::default().baudrate(node.setup.baud().bps());
    let (mut bus, rx) = p.USART1.serial(bus_pins, config, &mut rcc).split();
    line::listen_bus(rx);
    let sensor_pins = (
        gpioa.pa2.into_alternate_push_pull(&mut gpioa.crl),
        gpioa.pa3,
    );
    let config = Config::default().baudrate(9_600.bps());
    let (_sensor, rx) = p.USART2.serial(sensor_pins, config, &mut rcc).split();
    line::listen_sensor(rx);

    let mut receiver = Receiver::new(node.setup.baud());
    let mut ultrasonic = SerialUltrasonic::default();
    let mut missing_told = 0;
    let mut out = Vec::new();
    loop {
        watchdog.feed();
        let now = clock::now_us();
        let ms = now / 1_000;

        while let Some(byte) = line::SENSOR.next() {
            let reading = byte.value.and_then(|b| ultrasonic.byte(b, byte.at / 1_000));
            if let Some(reading) = reading {
                node.device.distance(reading, ms, &node.setup);
            }
        }
        // A sensor that is missing fails once a second, like one that sends nonsense.
        if ultrasonic.is_silent(ms) && ms - missing_told >= 1_000 {
            missing_told = ms;
            node.device.distance(Err(Quality::Missing), ms, &node.setup);
        }
        node.tick(ms);

        let unit = node.setup.unit();
        while let Some(byte) = line::BUS.next() {
            match byte.value {
                Some(value) => receiver.byte(value, byte.at),
                None => receiver.damaged(byte.at),
            }
            if receiver.poll(unit, byte.at).is_some() {
                break;
            }
        }
        match receiver.poll(unit, clock::now_us()) {
            Some(Heard::Frame) => {
                let mut counts = node.counts;
                modbus::answer(unit, receiver.frame(), &mut node, &mut counts, &mut out);
                node.counts = counts;
                receiver.clear();
                if !out.is_empty() {
                    direction.set_high();
                    for byte in &out {
                        // It cannot fail, only wait.
                        let _ = nb::block!(bus.write_u8(*byte));
                    }
                    let _ = nb::block!(bus.flush());
                    direction.set_low();
                }
            }
            Some(Heard::Bad) => {
                if receiver.frame().first() == Some(&unit) {
                    node.counts.bad_frames = node.counts.bad_frames.wrapping_add(1);
                }
                receiver.clear();
            }
            None => {}
        }
    }
}
