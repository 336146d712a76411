//! The addresses. Units and ranges stand beside each.

/// Input registers: who it is and how it fares.
pub mod input {
    /// [`super::super::MAP_VERSION`].
    pub const MAP_VERSION: u16 = 0;
    /// [`super::super::NodeKind`].
    pub const KIND: u16 = 1;
    /// Hardware: board family in the high byte, revision in the low one.
    pub const HARDWARE: u16 = 2;
    /// Firmware version, major in the high byte, minor in the low one.
    pub const FIRMWARE: u16 = 3;
    /// The image's counter, 32 bits; rises with every release and never goes back.
    pub const IMAGE_COUNTER: u16 = 4;
    /// Serial number, 64 bits, high word first; 0 before provisioning.
    pub const SERIAL: u16 = 6;
    /// Seconds since the start, 32 bits.
    pub const UPTIME: u16 = 10;
    /// How often it started, modulo 65,536.
    pub const STARTS: u16 = 12;
    /// Bits of [`super::status`].
    pub const STATUS: u16 = 13;
    /// Supply, mV, 0 to 6,000.
    pub const SUPPLY: u16 = 14;
    /// Bytes of stack that were never used, 0 to 65,534.
    pub const STACK_LEFT: u16 = 15;
    /// Frames for this unit with a wrong checksum or length, modulo 65,536.
    pub const BAD_FRAMES: u16 = 16;
    /// Requests that were answered with an exception, modulo 65,536.
    pub const EXCEPTIONS: u16 = 17;
    /// Number of the newest record that waits for a receipt, modulo 65,536; 0 is none yet.
    pub const RECORD: u16 = 18;
    /// Records that were overwritten before their receipt came, modulo 65,536.
    pub const RECORDS_LOST: u16 = 19;
    /// How many of the registers from 0 on exist.
    pub const COMMON_END: u16 = 20;

    /// Fill level, 0.1 %, 0 to 1,000.
    pub const BIN_FILL: u16 = 32;
    /// Distance from the sensor to the rubbish, mm, 0 to 8,000.
    pub const BIN_DISTANCE: u16 = 33;
    /// [`super::super::Quality`] of the two above.
    pub const BIN_DISTANCE_QUALITY: u16 = 34;
    /// Tilt from upright, 0.1°, 0 to 1,800.
    pub const BIN_TILT: u16 = 35;
    /// [`super::super::Quality`] of the tilt.
    pub const BIN_TILT_QUALITY: u16 = 36;
    /// Temperature, signed, 0.1 °C, −400 to 1,250.
    pub const BIN_TEMPERATURE: u16 = 37;
    /// How it rises, signed, 0.1 °C/min.
    pub const BIN_TEMPERATURE_RATE: u16 = 38;
    /// [`super::super::Quality`] of the two above.
    pub const BIN_TEMPERATURE_QUALITY: u16 = 39;
    /// Battery, mV, 0 to 6,000.
    pub const BIN_BATTERY: u16 = 40;
    /// 0 closed, 1 open, 0xFFFF no contact fitted.
    pub const BIN_LID: u16 = 41;
    /// Bits of [`super::bin_flags`].
    pub const BIN_FLAGS: u16 = 42;
    /// Seconds since the distance was measured, 0 to 65,534.
    pub const BIN_AGE: u16 = 43;
    /// Where the bin's registers end.
    pub const BIN_END: u16 = 44;

    /// Water that went through forwards, litres, 64 bits; all ones when it is not known.
    pub const METER_VOLUME_LONG: u16 = 60;
    /// The same in 32 bits; not known, too, when it does not fit.
    pub const METER_VOLUME: u16 = 64;
    /// Backwards, litres, 32 bits.
    pub const METER_REVERSE: u16 = 66;
    /// Flow, signed, l/h, 32 bits.
    pub const METER_FLOW: u16 = 68;
    /// [`super::super::Quality`] of the three above.
    pub const METER_QUALITY: u16 = 70;
    /// Bits of [`super::meter_flags`].
    pub const METER_FLAGS: u16 = 71;
    /// For how many minutes water has run without a pause, 0 to 65,534.
    pub const METER_RUNNING: u16 = 72;
    /// Where the meter's registers end.
    pub const METER_END: u16 = 73;

    /// The record that waits longest for its receipt: number (0 is none), uptime in s (2), then
    /// four figures. Of a bin: fill, distance, temperature, flags; of a meter: volume (2), flow
    /// in l/h modulo 65,536, flags.
    pub const OLDEST_RECORD: u16 = 96;
    /// Where it ends.
    pub const OLDEST_RECORD_END: u16 = 103;

    /// The log: number of the newest entry, then [`super::LOG_ENTRIES`] entries of
    /// [`super::LOG_WORDS`] registers, newest first.
    pub const LOG: u16 = 0x100;

    /// [`super::super::UpdateState`].
    pub const UPDATE_STATE: u16 = 0x200;
    /// [`super::super::UpdateError`] of the last step that was refused, 0 if none was since
    /// BEGIN.
    pub const UPDATE_ERROR: u16 = 0x201;
    /// Offset of the block that is awaited, bytes, 32 bits; while the image is checked, how far.
    pub const UPDATE_NEXT: u16 = 0x202;
    /// Length of the image that is received, bytes, 32 bits; 0 if none is.
    pub const UPDATE_LENGTH: u16 = 0x204;
    /// Counter of the image that is received, 32 bits; 0 if none is.
    pub const UPDATE_COUNTER: u16 = 0x206;
    /// First eight bytes of its SHA-256; zeros if none is received. A master that comes back
    /// tells by them whether it is its own image that is half there.
    pub const UPDATE_HASH: u16 = 0x208;
    /// Seconds until an image on trial goes back, 0 to 65,534; 0 without a trial.
    pub const UPDATE_TRIAL_LEFT: u16 = 0x20C;
    /// Where the update's registers end.
    pub const UPDATE_END: u16 = 0x20D;
}

/// Entries of the log that can be read.
pub const LOG_ENTRIES: usize = 16;
/// Registers of one entry: uptime in s (2), code, argument.
pub const LOG_WORDS: usize = 4;

/// Holding registers: set-up. Written at once or not at all; a value out of range is refused
/// with exception 03 and changes nothing.
pub mod holding {
    /// Unit id, 1 to 247. Takes effect after the answer.
    pub const UNIT_ID: u16 = 0;
    /// Line speed in 100 baud: 12, 24, 48, 96, 192, 384, 576 or 1,152.
    pub const BAUD: u16 = 1;
    /// 0 none, 1 odd, 2 even; one stop bit.
    pub const PARITY: u16 = 2;
    /// Seconds between measurements, 1 to 3,600.
    pub const PERIOD: u16 = 3;
    /// Write the number of the newest record that is safe with the gateway; it is then released.
    pub const RECEIPT: u16 = 4;
    /// Where the common registers end.
    pub const COMMON_END: u16 = 5;

    /// From the sensor to the empty bin's floor, mm, 200 to 8,000; 0 before calibration.
    pub const BIN_HEIGHT: u16 = 16;
    /// Distance at which the bin counts as full, mm, 0 to 7,900 and less than the height.
    pub const BIN_FULL_AT: u16 = 17;
    /// A record is made when the fill level changes by this much, 0.1 %, 1 to 1,000.
    pub const BIN_CHANGE: u16 = 18;
    /// Tilt from which the bin has fallen, 0.1°, 50 to 1,800.
    pub const BIN_TILT_LIMIT: u16 = 19;
    /// Temperature from which it burns, 0.1 °C, 300 to 1,200.
    pub const BIN_FIRE_AT: u16 = 20;
    /// Rise from which it burns, 0.1 °C/min, 10 to 1,000.
    pub const BIN_FIRE_RATE: u16 = 21;
    /// The lid's contact: 0 none is fitted, 1 it closes with the lid, 2 it opens when the lid
    /// closes.
    pub const BIN_LID_CONTACT: u16 = 22;
    /// The divider between battery and its pin, battery by pin in 0.01, 100 to 1,000; 0 none is
    /// fitted.
    pub const BIN_DIVIDER: u16 = 23;
    /// Where the bin's registers end.
    pub const BIN_END: u16 = 24;

    /// Pulses per m³, 1 to 10,000.
    pub const METER_PULSES: u16 = 32;
    /// Shortest pulse that counts, ms, 1 to 500.
    pub const METER_DEBOUNCE: u16 = 33;
    /// Flow above which a pipe has burst, l/h, 1 to 65,534.
    pub const METER_BURST: u16 = 34;
    /// Minutes without a pause after which it leaks, 1 to 10,080.
    pub const METER_LEAK: u16 = 35;
    /// Water that went through forwards, litres, 32 bits: written, it sets the total to what the
    /// meter's own dial shows; both registers at once. Not stored with the set-up but with the
    /// totals. Read, it is [`super::input::METER_VOLUME`].
    pub const METER_TOTAL: u16 = 36;
    /// Where the meter's registers end.
    pub const METER_END: u16 = 38;

    /// The manifest of the image to come ([`super::super::image`]), 64 registers, in one write
    /// or several; it can be read back.
    pub const UPDATE_MANIFEST: u16 = 0x200;
    /// One of [`super::update_command`]. It is answered at once; what takes time shows in
    /// [`super::input::UPDATE_STATE`].
    pub const UPDATE_COMMAND: u16 = 0x240;
    /// The counter of the image on trial, 32 bits, in one write: it has made a round trip with
    /// its gateway and stays.
    pub const UPDATE_CONFIRM: u16 = 0x241;
    /// A block: offset in bytes (2 registers), then [`super::UPDATE_BLOCK_WORDS`] registers, in
    /// one write. The last block is filled up with 0xFFFF. A block that is there already may
    /// come again; one that is not the next is refused with exception 03.
    pub const UPDATE_BLOCK: u16 = 0x280;
    /// Where it ends.
    pub const UPDATE_END: u16 = UPDATE_BLOCK + 2 + super::UPDATE_BLOCK_WORDS as u16;
}

/// Registers of an update's block, without its offset.
pub const UPDATE_BLOCK_WORDS: usize = 64;
/// Bytes of it.
pub const UPDATE_BLOCK_BYTES: usize = 2 * UPDATE_BLOCK_WORDS;

/// What can be written to [`holding::UPDATE_COMMAND`].
pub mod update_command {
    /// Check the manifest that was written, and get ready for its first block. What was received
    /// before is forgotten.
    pub const BEGIN: u16 = 1;
    /// All blocks are there: check the image and mark it.
    pub const FINISH: u16 = 2;
    /// Forget what was received.
    pub const ABORT: u16 = 3;
    /// Restart after the answer; only with an image that is ready.
    pub const RESTART: u16 = 4;
}

/// Bits of [`input::STATUS`].
pub mod status {
    /// The self-test failed; the log says which line.
    pub const SELF_TEST: u16 = 1;
    /// Non-volatile storage failed: set-up and totals will not survive a restart.
    pub const STORAGE: u16 = 1 << 1;
    /// The set-up was lost or is nonsense; defaults are in use.
    pub const SET_UP: u16 = 1 << 2;
    /// The watchdog restarted it.
    pub const WATCHDOG: u16 = 1 << 3;
    /// Not provisioned: no serial number.
    pub const BARE: u16 = 1 << 4;
    /// The image is on trial: it goes back unless the gateway confirms.
    pub const TRIAL: u16 = 1 << 5;
    /// The identity page is damaged: the node cannot say who it is, and takes no image.
    pub const IDENTITY: u16 = 1 << 6;
}

/// Bits of [`input::BIN_FLAGS`].
pub mod bin_flags {
    /// Hot, or heating fast.
    pub const FIRE: u16 = 1;
    /// Fallen over.
    pub const TILTED: u16 = 1 << 1;
    /// At or above the full mark.
    pub const FULL: u16 = 1 << 2;
}

/// Bits of [`input::METER_FLAGS`].
pub mod meter_flags {
    /// Water runs without a pause.
    pub const LEAK: u16 = 1;
    /// More than the pipe should carry.
    pub const BURST: u16 = 1 << 1;
    /// Water runs backwards.
    pub const REVERSE: u16 = 1 << 2;
}

/// Why a node started: the argument of [`log::STARTED`].
pub mod reset {
    /// The part does not say.
    pub const UNKNOWN: u16 = 0;
    /// The supply came back, or was low.
    pub const POWER: u16 = 1;
    /// Somebody pulled the reset line.
    pub const PIN: u16 = 2;
    /// It asked for it: after an update.
    pub const SOFTWARE: u16 = 3;
    /// It hung, and the watchdog noticed.
    pub const WATCHDOG: u16 = 4;
}

/// Codes of log entries.
pub mod log {
    /// It started; the argument is one of [`super::reset`].
    pub const STARTED: u16 = 1;
    /// A sensor's quality changed; the argument is the register of the quality and its value,
    /// high and low byte.
    pub const QUALITY: u16 = 2;
    /// Set-up was written; the argument is the first register.
    pub const SET_UP: u16 = 3;
    /// Storage failed; the argument says what: 1 read, 2 write, 3 erase.
    pub const STORAGE: u16 = 4;
    /// A record was overwritten before its receipt; the argument is its number.
    pub const RECORD_LOST: u16 = 5;
    /// An update's state changed; the argument is state and error, high and low byte.
    pub const UPDATE: u16 = 6;
    /// The initial set-up in the identity page is nonsense; the argument is how many values it
    /// has.
    pub const INITIAL: u16 = 7;
}
