//! A sensor node on an STM32F1: bin or meter, as its identity page says.
//!
//! | pin | what |
//! |---|---|
//! | PA9, PA10 | RS-485 transceiver: DI, RO (USART1) |
//! | PA8 | RS-485 direction: high while sending (DE and /RE together) |
//! | PA3 | serial ultrasonic sensor's TX (USART2), 9600 8N1 |
//! | PA2 | the sensor's RX; left high, the sensor then sends filtered values |
//! | PB0 | bin: the lid's contact; meter: the pulse contact; to ground, the part pulls up |
//! | PB1 | meter: the second contact, a quarter turn behind, if there is one |
//! | PA1 | bin: the battery's divider, if there is one |
//! | PB6, PB7 | bin: I2C clock and data of VL53L0X, LIS2DH12, TMP102, whichever are fitted |
#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod clock;
mod contacts;
mod flash;
mod line;
mod volts;

use cortex_m::peripheral::DWT;
use cortex_m_rt::entry;
use panic_halt as _;
use stm32f1xx_hal::{
    flash::FlashExt,
    i2c,
    pac::{self, RCC, USART1},
    prelude::*,
    serial::{Config, Tx},
    watchdog::IndependentWatchdog,
};
use wangge_node::{
    drivers::{OnI2c, SerialUltrasonic, Shared, without_i2c},
    meter::Edge,
    node::{About, Node},
    port::{Line, Port},
    release,
    storage::{self, Storage},
    update::{Terms, Updatable, Update},
};
use wangge_protocol::node::{
    INVALID, holding,
    layout::{self, Part},
    log, reset,
};

use crate::{flash::Flash, volts::Volts};

#[cfg(feature = "discovery")]
static PART: Part = layout::DISCOVERY;
#[cfg(feature = "bluepill")]
static PART: Part = layout::BLUEPILL;
#[cfg(feature = "bluepill128")]
static PART: Part = layout::BLUEPILL_128K;

/// Without proof of progress for so long the watchdog starts the node again, ms. Sending the
/// longest frame at 1,200 baud takes 2.3 s.
const WATCHDOG_MS: u32 = 4_000;
/// Between two looks at supply, battery, lid and stack, ms.
const LOOK_EVERY: u64 = 1_000;

#[entry]
fn main() -> ! {
    let (Some(mut core), Some(p)) = (cortex_m::Peripherals::take(), pac::Peripherals::take())
    else {
        // They are taken once, here.
        cortex_m::peripheral::SCB::sys_reset()
    };
    let reset = why_started(&p.RCC);
    // The internal oscillator, 8 MHz: enough, and there is no crystal to fail in the cold.
    let mut rcc = p.RCC.constrain();
    clock::start(core.SYST, rcc.clocks.hclk().raw());
    let mut watchdog = IndependentWatchdog::new(p.IWDG);
    watchdog.start(WATCHDOG_MS.millis());

    let mut gpioa = p.GPIOA.split(&mut rcc);
    let mut gpiob = p.GPIOB.split(&mut rcc);
    let mut direction = gpioa.pa8.into_push_pull_output(&mut gpioa.crh);
    direction.set_low();
    let _battery = gpioa.pa1.into_analog(&mut gpioa.crl);
    contacts::start(
        gpiob.pb0.into_pull_up_input(&mut gpiob.crl),
        gpiob.pb1.into_pull_up_input(&mut gpiob.crl),
    );
    let mut volts = Volts::new(p.ADC1, p.PWR, &mut rcc);

    let mut flash = Flash::new(p.FLASH.constrain());
    let identity = storage::identity(&mut flash, &PART);
    let (mut storage, found) = Storage::mount(&mut flash, PART.storage.within(PART.flash));
    let about = About {
        hardware: PART.hardware,
        firmware: release::FIRMWARE,
        counter: release::COUNTER,
        reset,
    };
    let mut node = Node::start(about, &identity, found);
    let mut update = Update::new(Terms::of(&PART, about.counter, &identity), &mut flash, 0);
    let mut told = update.news();
    let mut port = Port::new(Line::of(&node.setup));

    let bus_pins = (
        gpioa.pa9.into_alternate_push_pull(&mut gpioa.crh),
        gpioa.pa10,
    );
    let config = line::config(Line::of(&node.setup));
    let (mut bus, rx) = p.USART1.serial(bus_pins, config, &mut rcc).split();
    line::listen_bus(rx);
    let sensor_pins = (
        gpioa.pa2.into_alternate_push_pull(&mut gpioa.crl),
        gpioa.pa3,
    );
    let config = Config::default().baudrate(9_600.bps());
    let (_sensor, rx) = p.USART2.serial(sensor_pins, config, &mut rcc).split();
    line::listen_sensor(rx);

    // The driver of I2C measures its patience with the core's cycle counter. Where that stands
    // still, as in an emulator, it would wait for ever.
    core.DCB.enable_trace();
    core.DWT.enable_cycle_counter();
    let i2c = counts_cycles().then(|| {
        let pins = (gpiob.pb6, gpiob.pb7);
        let mode = i2c::Mode::standard(100.kHz());
        let i2c = p
            .I2C1
            .blocking_i2c(pins, mode, &mut rcc, 1_000, 1, 1_000, 1_000);
        Shared::new(i2c)
    });
    let mut on_i2c = i2c.as_ref().map(OnI2c::new);

    let mut ultrasonic = SerialUltrasonic::default();
    let mut looked = None;
    loop {
        watchdog.feed();
        let ms = clock::now_us() / 1_000;

        while let Some(byte) = line::SENSOR.next() {
            let reading = byte.value.and_then(|b| ultrasonic.byte(b, byte.at / 1_000));
            if let (Some(reading), Some((bin, setup))) = (reading, node.bin()) {
                bin.distance(reading, ms, setup);
            }
        }
        let debounce = node.setup.get(holding::METER_DEBOUNCE);
        while let Some((edge, at)) = debounce.and_then(contacts::next_pulse) {
            if let Some((meter, _)) = node.meter() {
                meter.pulse(edge == Edge::Forward, at);
            }
        }
        if looked.is_none_or(|at| ms - at >= LOOK_EVERY) {
            looked = Some(ms);
            node.vitals.supply = volts.supply().unwrap_or(INVALID);
            node.vitals.stack_left = wangge_stack::left();
            if let Some((bin, setup)) = node.bin() {
                // Sensors that are missing fail once a second, like those that send nonsense.
                let silent = ultrasonic.is_silent(ms);
                match &mut on_i2c {
                    Some(sensors) => sensors.read(bin, setup, ms, silent),
                    None => without_i2c(bin, setup, ms, silent),
                }
                bin.battery(volts.battery());
                if let Some(closed) = contacts::is_closed() {
                    bin.lid(closed);
                }
            }
        }
        node.tick(ms);
        let at_once = volts
            .supply_falls()
            .then(|| node.to_save_at_once())
            .flatten();
        if let Some(snapshot) = at_once.or_else(|| node.to_save()) {
            let result = storage.save(&mut flash, &snapshot);
            node.saved(&snapshot, result);
        }

        if update.work(&mut flash, ms) {
            cortex_m::peripheral::SCB::sys_reset();
        }
        if told != update.news() {
            told = update.news();
            node.note(log::UPDATE, told);
        }

        while let Some(byte) = line::BUS.next() {
            if port.byte(byte.value, byte.at, &node) {
                break;
            }
        }
        let mut served = Updatable {
            node: &mut node,
            update: &mut update,
            flash: &mut flash,
        };
        if let Some(answer) = port.answer(&mut served, clock::now_us()) {
            direction.set_high();
            send(&mut bus, answer);
            direction.set_low();
        }
        if let Some(line) = port.changed_line(&node.setup) {
            line::set_bus(&mut bus, line, &rcc.clocks);
        }
    }
}

/// Whether the core's cycle counter runs.
fn counts_cycles() -> bool {
    let before = DWT::cycle_count();
    cortex_m::asm::delay(100);
    DWT::cycle_count() != before
}

/// Sends bytes, and waits until the last has left.
fn send(bus: &mut Tx<USART1>, bytes: &[u8]) {
    for byte in bytes {
        // It cannot fail, only wait.
        let _ = nb::block!(bus.write_u8(*byte));
    }
    let _ = nb::block!(bus.flush());
}

/// What the part says about its last reset; the next reset's word will be its own.
fn why_started(rcc: &RCC) -> u16 {
    let csr = rcc.csr().read();
    let why = if csr.iwdgrstf().bit_is_set() || csr.wwdgrstf().bit_is_set() {
        reset::WATCHDOG
    } else if csr.sftrstf().bit_is_set() {
        reset::SOFTWARE
    } else if csr.porrstf().bit_is_set() {
        reset::POWER
    } else if csr.pinrstf().bit_is_set() {
        reset::PIN
    } else {
        reset::UNKNOWN
    };
    rcc.csr().modify(|_, w| w.rmvf().set_bit());
    why
}
