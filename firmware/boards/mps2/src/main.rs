//! A sensor node on QEMU's `mps2-an385` (Cortex-M3). There is no such board in a street: it is
//! here because its RAM can be kept in a file and so play a flash that outlasts the emulator,
//! which the emulated STM32's cannot. The node, its updater, its storage and the bootloader are
//! the same code as on an STM32F1.
//!
//! UART 0 is the bus, UART 1 the ultrasonic sensor.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod clock;
mod flash;
mod uart;
mod watchdog;

use cortex_m_rt::entry;
use panic_halt as _;
use wangge_node::{
    drivers::SerialUltrasonic,
    node::{About, Node},
    port::{Line, Port},
    release,
    storage::{self, Storage},
    update::{Terms, Updatable, Update},
};
use wangge_protocol::node::{
    Quality,
    layout::{self, Part},
    log, reset,
};

use crate::{clock::Clock, flash::Flash, uart::Uart};

static PART: Part = layout::MPS2;
/// Between two looks at the sensor's silence and the stack, and two feedings of the watchdog, ms.
const LOOK_EVERY: u64 = 1_000;

#[entry]
fn main() -> ! {
    let Some(core) = cortex_m::Peripherals::take() else {
        // They are taken once, here.
        cortex_m::peripheral::SCB::sys_reset()
    };
    let mut clock = Clock::start(core.SYST);
    let (mut bus, mut sensor) = (Uart::bus(), Uart::sensor());
    let mut flash = Flash::new();
    let identity = storage::identity(&mut flash, &PART);
    let (mut storage, found) = Storage::mount(&mut flash, PART.storage.within(PART.flash));
    let about = About {
        hardware: PART.hardware,
        firmware: release::FIRMWARE,
        counter: release::COUNTER,
        reset: reset::UNKNOWN,
    };
    let mut node = Node::start(about, &identity, found);
    let terms = Terms::of(&PART, about.counter, &identity);
    let mut update = Update::new(terms, &mut flash, 0);
    let mut told = update.news();
    let mut port = Port::new(Line::of(&node.setup));
    let mut ultrasonic = SerialUltrasonic::default();
    let mut looked = None;
    loop {
        let ms = clock.now_us() / 1_000;
        while let Some(byte) = sensor.next() {
            let reading = ultrasonic.byte(byte, ms);
            if let (Some(reading), Some((bin, setup))) = (reading, node.bin()) {
                bin.distance(reading, ms, setup);
            }
        }
        if looked.is_none_or(|at| ms - at >= LOOK_EVERY) {
            looked = Some(ms);
            watchdog::feed();
            node.vitals.stack_left = wangge_stack::left();
            if let Some((bin, setup)) = node.bin() {
                // There is no I2C here.
                bin.acceleration(Err(Quality::Missing));
                bin.temperature(Err(Quality::Missing), ms);
                if ultrasonic.is_silent(ms) {
                    bin.distance(Err(Quality::Missing), ms, setup);
                }
            }
        }
        node.tick(ms);
        if let Some(snapshot) = node.to_save() {
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

        while let Some(byte) = bus.next() {
            if port.byte(Some(byte), clock.now_us(), &node) {
                break;
            }
        }
        let mut served = Updatable {
            node: &mut node,
            update: &mut update,
            flash: &mut flash,
        };
        if let Some(answer) = port.answer(&mut served, clock.now_us()) {
            bus.send(answer);
        }
        // The emulator's line has no speed.
        let _ = port.changed_line(&node.setup);
    }
}
