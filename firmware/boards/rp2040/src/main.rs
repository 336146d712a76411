//! A sensor node on an RP2040: bin or meter, as its identity page says.
//!
//! | pin | what |
//! |---|---|
//! | GP0, GP1 | RS-485 transceiver: DI, RO (UART0) |
//! | GP2 | RS-485 direction: high while sending (DE and /RE together) |
//! | GP5 | serial ultrasonic sensor's TX (UART1), 9600 8N1 |
//! | GP4 | the sensor's RX; left high, the sensor then sends filtered values |
//! | GP6, GP7 | bin: I2C data and clock of VL53L0X, LIS2DH12, TMP102, whichever are fitted |
//! | GP8 | bin: the lid's contact; meter: the pulse contact; to ground, the part pulls up |
//! | GP9 | meter: the second contact, a quarter turn behind, if there is one |
//!
//! Both lines have hardware queues of 32 bytes, and the loop comes round more often than they
//! fill, so nothing here needs an interrupt. Supply and battery are not
//! measured, and nothing is stored: the status says so.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod flash;

use cortex_m_rt::entry;
use embedded_hal::digital::{InputPin, OutputPin};
use fugit::RateExtU32;
use heapless::Vec;
use panic_halt as _;
use rp2040_hal::{
    Clock, I2C, Sio, Timer, Watchdog,
    clocks::init_clocks_and_plls,
    gpio::{FunctionI2C, FunctionUart, Pins, PullUp},
    pac,
    uart::{DataBits, StopBits, UartConfig, UartPeripheral},
};
use wangge_node::{
    drivers::{OnI2c, SerialUltrasonic, Shared},
    meter::{Edge, Pulses},
    modbus::MAX_FRAME,
    node::{About, Node},
    port::{Line, Port},
    release,
    setup::Parity,
    storage::{self, Storage},
};
use wangge_protocol::node::{INVALID, holding, layout::PICO, reset};

use crate::flash::Flash;

/// How to read the flash chip of a Pico; the part's ROM runs it first.
#[allow(unsafe_code)]
// SAFETY: the linker puts it where the ROM looks for it; nothing else has this section.
#[unsafe(link_section = ".boot2")]
#[used]
static BOOT2: [u8; 256] = rp2040_boot2::BOOT_LOADER_W25Q080;

/// The crystal of a Pico, Hz.
const CRYSTAL: u32 = 12_000_000;
/// Without proof of progress for so long the watchdog starts the node again, us.
const WATCHDOG_US: u32 = 4_000_000;
/// Between two looks at sensors, lid and stack, ms.
const LOOK_EVERY: u64 = 1_000;

#[entry]
fn main() -> ! {
    let Some(mut p) = pac::Peripherals::take() else {
        // They are taken once, here.
        cortex_m::peripheral::SCB::sys_reset()
    };
    let about = About {
        hardware: PICO.hardware,
        firmware: release::FIRMWARE,
        counter: release::COUNTER,
        reset: why_started(&p),
    };
    let mut watchdog = Watchdog::new(p.WATCHDOG);
    let clocks = init_clocks_and_plls(
        CRYSTAL,
        p.XOSC,
        p.CLOCKS,
        p.PLL_SYS,
        p.PLL_USB,
        &mut p.RESETS,
        &mut watchdog,
    );
    let Ok(clocks) = clocks else {
        // A crystal that does not swing: again, until it does.
        cortex_m::peripheral::SCB::sys_reset()
    };
    watchdog.start(fugit::MicrosDurationU32::micros(WATCHDOG_US));
    let timer = Timer::new(p.TIMER, &mut p.RESETS, &clocks);
    let sio = Sio::new(p.SIO);
    let pins = Pins::new(p.IO_BANK0, p.PADS_BANK0, sio.gpio_bank0, &mut p.RESETS);
    let mut direction = pins.gpio2.into_push_pull_output();
    let Ok(()) = direction.set_low();
    let mut first = pins.gpio8.into_pull_up_input();
    let mut second = pins.gpio9.into_pull_up_input();

    let mut flash = Flash::new();
    let identity = storage::identity(&mut flash, &PICO);
    let (mut storage, found) = Storage::mount(&mut flash, PICO.storage.within(PICO.flash));
    let mut node = Node::start(about, &identity, found);
    let mut port = Port::new(Line::of(&node.setup));

    let clock = clocks.peripheral_clock.freq();
    let bus_pins = (
        pins.gpio0.into_function::<FunctionUart>(),
        pins.gpio1.into_function::<FunctionUart>(),
    );
    let bus = UartPeripheral::new(p.UART0, bus_pins, &mut p.RESETS);
    let mut bus = bus.enable(config(Line::of(&node.setup)), clock).ok();
    let sensor_pins = (
        pins.gpio4.into_function::<FunctionUart>(),
        pins.gpio5.into_function::<FunctionUart>(),
    );
    let sensor_line = Line {
        speed: 9_600,
        parity: Parity::None,
    };
    let sensor = UartPeripheral::new(p.UART1, sensor_pins, &mut p.RESETS);
    let sensor = sensor.enable(config(sensor_line), clock).ok();
    let i2c = Shared::new(I2C::i2c1(
        p.I2C1,
        pins.gpio6.reconfigure::<FunctionI2C, PullUp>(),
        pins.gpio7.reconfigure::<FunctionI2C, PullUp>(),
        100.kHz(),
        &mut p.RESETS,
        &clocks.system_clock,
    ));
    let mut on_i2c = OnI2c::new(&i2c);

    let mut ultrasonic = SerialUltrasonic::default();
    let mut pulses = Pulses::default();
    // What is being sent.
    let mut out: Vec<u8, MAX_FRAME> = Vec::new();
    let mut looked = None;
    node.vitals.supply = INVALID;
    loop {
        watchdog.feed();
        let us = timer.get_counter().ticks();
        let ms = us / 1_000;

        let mut byte = [0];
        while let Some(Ok(1)) = sensor.as_ref().map(|line| line.read_raw(&mut byte)) {
            let reading = ultrasonic.byte(byte[0], ms);
            if let (Some(reading), Some((bin, setup))) = (reading, node.bin()) {
                bin.distance(reading, ms, setup);
            }
        }
        let closed = first.is_low() == Ok(true);
        if let Some(debounce) = node.setup.get(holding::METER_DEBOUNCE) {
            let edge = pulses.sample(closed, Some(second.is_low() == Ok(true)), debounce, ms);
            if let (Some(edge), Some((meter, _))) = (edge, node.meter()) {
                meter.pulse(edge == Edge::Forward, ms);
            }
        }
        if looked.is_none_or(|at| ms - at >= LOOK_EVERY) {
            looked = Some(ms);
            node.vitals.stack_left = wangge_stack::left();
            if let Some((bin, setup)) = node.bin() {
                on_i2c.read(bin, setup, ms, ultrasonic.is_silent(ms));
                bin.lid(closed);
            }
        }
        node.tick(ms);
        if let Some(snapshot) = node.to_save() {
            let result = storage.save(&mut flash, &snapshot);
            node.saved(&snapshot, result);
        }

        let Some(line) = &bus else { continue };
        if !out.is_empty() {
            // As much as the queue takes; the line is ours until the last bit has left.
            let left = line.write_raw(&out).map_or(out.len(), <[u8]>::len);
            let sent = out.len() - left;
            out.rotate_left(sent);
            out.truncate(left);
            continue;
        }
        if line.uart_is_busy() {
            continue;
        }
        let Ok(()) = direction.set_low();
        if let Some(new) = port.changed_line(&node.setup) {
            let line = bus.take().map(|line| line.disable());
            bus = line.and_then(|line| line.enable(config(new), clock).ok());
            continue;
        }
        loop {
            let value = match line.read_raw(&mut byte) {
                Ok(_) => Some(byte[0]),
                Err(nb::Error::WouldBlock) => break,
                Err(nb::Error::Other(_)) => None,
            };
            if port.byte(value, us, &node) {
                break;
            }
        }
        if let Some(answer) = port.answer(&mut node, us) {
            // It has the length of a frame at most.
            let _ = out.extend_from_slice(answer);
            let Ok(()) = direction.set_high();
        }
    }
}

/// The part's words for a line's settings.
fn config(line: Line) -> UartConfig {
    let parity = match line.parity {
        Parity::None => None,
        Parity::Odd => Some(rp2040_hal::uart::Parity::Odd),
        Parity::Even => Some(rp2040_hal::uart::Parity::Even),
    };
    UartConfig::new(line.speed.Hz(), DataBits::Eight, parity, StopBits::One)
}

/// What the part says about its last reset.
fn why_started(p: &pac::Peripherals) -> u16 {
    let watchdog = p.WATCHDOG.reason().read();
    let chip = p.VREG_AND_CHIP_RESET.chip_reset().read();
    if watchdog.timer().bit_is_set() {
        reset::WATCHDOG
    } else if watchdog.force().bit_is_set() {
        reset::SOFTWARE
    } else if chip.had_por().bit_is_set() {
        reset::POWER
    } else if chip.had_run().bit_is_set() {
        reset::PIN
    } else {
        reset::UNKNOWN
    }
}
