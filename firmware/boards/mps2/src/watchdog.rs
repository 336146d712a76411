//! The CMSDK watchdog (Arm Cortex-M System Design Kit, DDI 0479, 4.5). It has two stages: the
//! first is an NMI, in which nobody does anything (cortex-m-rt waits there for ever), the second
//! the reset.
#![allow(unsafe_code)]

const BASE: usize = 0x4000_8000;
const LOAD: usize = 0;
const CONTROL: usize = 2;
const CLEAR: usize = 3;
/// Interrupt and reset.
const BOTH: u32 = 3;
/// Half of 26 s, an STM32F1's longest, at 25 MHz. The emulator's clock is the machine's: an
/// emulator that gets no processor for so long would be restarted, too.
const STAGE: u32 = 13 * 25_000_000;

/// Begins its time anew, and starts it the first time. For the emulator that is work: once a
/// second is enough.
pub fn feed() {
    for (register, value) in [(LOAD, STAGE), (CLEAR, 1), (CONTROL, BOTH)] {
        // SAFETY: registers of the watchdog; they cannot touch memory.
        unsafe { (BASE as *mut u32).add(register).write_volatile(value) }
    }
}
