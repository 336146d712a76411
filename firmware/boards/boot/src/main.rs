//! The bootloader: finishes or takes back a swap of the two images, then starts what is in ACTIVE.
//!
//! A node whose power is cut at any moment comes through here again and goes on where it was. The
//! watchdog runs before the image starts, so one that hangs at once is restarted, and if it was
//! on trial, the old one comes back.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

#[cfg(not(feature = "mps2"))]
#[path = "../../stm32f1/src/flash.rs"]
mod flash;
#[cfg(feature = "mps2")]
#[path = "../../mps2/src/flash.rs"]
mod flash;
#[cfg(feature = "mps2")]
#[path = "../../mps2/src/watchdog.rs"]
mod watchdog;

use cortex_m_rt::entry;
use panic_halt as _;
use wangge_protocol::node::layout::{self, Part};

use crate::flash::Flash;

#[cfg(feature = "discovery")]
const PART: Part = layout::DISCOVERY;
#[cfg(feature = "bluepill128")]
const PART: Part = layout::BLUEPILL_128K;
#[cfg(feature = "mps2")]
const PART: Part = layout::MPS2;

#[entry]
fn main() -> ! {
    let mut flash = open();
    // Whatever went wrong, what stands in ACTIVE is the best there is.
    let _ = wangge_boot::prepare(&mut flash, &PART);
    start()
}

/// The flash; and the watchdog at its longest, some 26 s, of which a swap takes less than 10. If
/// it bites in the middle of one, the swap goes on afterwards.
#[cfg(not(feature = "mps2"))]
fn open() -> Flash {
    use stm32f1xx_hal::{flash::FlashExt, pac, prelude::*, watchdog::IndependentWatchdog};

    let Some(p) = pac::Peripherals::take() else {
        // They are taken once, here.
        cortex_m::peripheral::SCB::sys_reset()
    };
    IndependentWatchdog::new(p.IWDG).start(26_000.millis());
    Flash::new(p.FLASH.constrain())
}

#[cfg(feature = "mps2")]
fn open() -> Flash {
    watchdog::feed();
    Flash::new()
}

/// Starts the image in ACTIVE.
#[allow(unsafe_code)]
fn start() -> ! {
    let vectors = PART.active.from as *const u32;
    // SAFETY: the first two words of ACTIVE are in flash, which can always be read.
    let (stack, code) = unsafe { (vectors.read(), vectors.add(1).read()) };
    let in_ram = stack > PART.ram.from && stack <= PART.ram.end();
    let in_active = code > PART.active.from && code < PART.active.end();
    if in_ram && in_active {
        // SAFETY: they are a stack in RAM and code in ACTIVE; no interrupt was ever enabled
        // here, and nothing of the bootloader is used afterwards.
        unsafe { cortex_m::asm::bootload(vectors) }
    }
    // There is no image. The watchdog comes round; the flash tool can write one at any time.
    loop {
        cortex_m::asm::nop();
    }
}
