//! Time since the start, from the core's own timer.

use cortex_m::peripheral::{SYST, syst::SystClkSource};

/// Largest value of the timer.
const MOST: u32 = 0xFF_FFFF;

/// The timer, which counts microseconds down: the emulator's reference clock has 1 MHz.
pub struct Clock {
    last: u32,
    now: u64,
}

impl Clock {
    /// From now on.
    pub fn start(mut syst: SYST) -> Clock {
        syst.set_clock_source(SystClkSource::External);
        syst.set_reload(MOST);
        syst.clear_current();
        syst.enable_counter();
        Clock { last: 0, now: 0 }
    }

    /// Microseconds since the start; ask more often than every 16 s.
    pub fn now_us(&mut self) -> u64 {
        let count = SYST::get_current();
        self.now += u64::from(self.last.wrapping_sub(count) & MOST);
        self.last = count;
        self.now
    }
}
