//! How much of the stack was never used: the start-up code paints all of it.
#![no_std]
#![deny(unsafe_code)]

use cortex_m_rt::STACK_PAINT_VALUE;

#[allow(unsafe_code)]
// SAFETY: the start-up code's linker script has the symbol.
unsafe extern "C" {
    /// The lowest word of the stack, which the linker places.
    static _stack_end: u32;
}

/// Bytes at the stack's end that still have their paint.
#[allow(unsafe_code)]
pub fn left() -> u16 {
    let mut bytes: u16 = 0;
    // SAFETY: only the address is taken; the linker gives the symbol one in RAM.
    let mut word = &raw const _stack_end;
    // SAFETY: reads aligned words from the stack's end upwards and stops at the first that was
    // used. Frames that are in use lie above it, so no word is read that anybody writes.
    while bytes < u16::MAX - 8 && unsafe { word.read_volatile() } == STACK_PAINT_VALUE {
        bytes += 4;
        // SAFETY: the word was painted, so it lies below the frame that is in use now.
        word = unsafe { word.add(1) };
    }
    bytes
}
