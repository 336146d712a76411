//! Time since the start, from the core's own timer.

use core::cell::Cell;

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use cortex_m_rt::exception;
use critical_section::Mutex;

use crate::contacts;

/// Milliseconds since the start.
static MS: Mutex<Cell<u64>> = Mutex::new(Cell::new(0));
/// Ticks of the timer in a millisecond.
static TICKS: Mutex<Cell<u32>> = Mutex::new(Cell::new(1));

/// Starts the clock; `hclk` is the core's frequency, Hz.
///
/// The timer runs from the reference clock, an eighth of the core's. Where the core says how
/// many of its ticks are 10 ms, and says that this is exact, that is believed before what we
/// set up ourselves: an emulator's clock tree need not follow its registers. ST's parts say
/// that their figure is not exact.
pub fn start(mut syst: SYST, hclk: u32) {
    let per_ms = if SYST::has_reference_clock() && SYST::is_precise() {
        (SYST::get_ticks_per_10ms() + 1) / 10
    } else {
        hclk / 8 / 1_000
    };
    critical_section::with(|cs| TICKS.borrow(cs).set(per_ms.max(1)));
    syst.set_clock_source(SystClkSource::External);
    syst.set_reload(per_ms.max(2) - 1);
    syst.clear_current();
    syst.enable_counter();
    syst.enable_interrupt();
}

/// Microseconds since the start.
pub fn now_us() -> u64 {
    critical_section::with(|cs| {
        let (ms, ticks) = (MS.borrow(cs).get(), TICKS.borrow(cs).get());
        let left = SYST::get_current();
        // The timer may have come round while interrupts wait.
        let round = cortex_m::peripheral::SCB::is_pendst_pending();
        let (ms, left) = if round {
            (ms + 1, SYST::get_current())
        } else {
            (ms, left)
        };
        ms * 1_000 + u64::from((ticks.saturating_sub(left)) * 1_000 / ticks)
    })
}

#[exception]
fn SysTick() {
    let now = critical_section::with(|cs| {
        let ms = MS.borrow(cs);
        ms.set(ms.get() + 1);
        ms.get()
    });
    contacts::sample(now);
}
