//! Every limit of a configuration file, once. The JSON Schema, the checks, the documentation
//! and the tests all read them here.

use std::{ops::RangeInclusive, time::Duration};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
const fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3_600)
}
const fn days(n: u64) -> Duration {
    Duration::from_secs(n * 86_400)
}

/// A whole file, bytes; ten thousand devices written one by one need about a megabyte.
pub const FILE_BYTES: u64 = 8_000_000;
/// A secret's file, bytes.
pub const SECRET_BYTES: u64 = 4_096;
/// The listener's table of passwords, bytes.
pub const PASSWORDS_BYTES: u64 = 4_000_000;
/// Characters of an id; ids stand in MQTT topics and file names.
pub const ID_CHARS: RangeInclusive<usize> = 1..=64;
/// Characters of a name or title for people.
pub const NAME_CHARS: RangeInclusive<usize> = 1..=128;
/// Characters of an address.
pub const ADDRESS_CHARS: RangeInclusive<usize> = 1..=256;
/// Bytes of a topic or prefix (MQTT would allow 65,535).
pub const TOPIC_BYTES: RangeInclusive<usize> = 1..=256;
/// Digits of a unit grid code (GB/T 30428.1: 6 division, 3 street, 3 community, 3 sequence).
pub const UNIT_GRID_DIGITS: usize = 15;

pub const MAX_BROKERS: usize = 16;
pub const MAX_BUSES: usize = 256;
pub const MAX_DEVICES: usize = 10_000;
pub const MAX_RULES: usize = 32;
pub const MAX_CAMERAS: usize = 64;
/// Zones of one camera.
pub const MAX_ZONES: usize = 32;
/// Characters of a zone's id: `zone:` before and `:take_down` behind it fit an alert's rule.
pub const ZONE_ID_CHARS: usize = 49;
/// Masks of one camera.
pub const MAX_MASKS: usize = 16;
/// Corners of a zone or mask.
pub const CORNERS: RangeInclusive<usize> = 3..=64;
/// Bins beside one zone.
pub const MAX_BINS: usize = 16;
/// Fixtures of one zone.
pub const MAX_FIXTURES: usize = 16;
/// Labels that one zone watches for.
pub const MAX_LABELS: usize = 32;
/// Windows of one zone or permit.
pub const MAX_WINDOWS: usize = 32;
/// Ranges of holidays, and of working days that make up for them.
pub const MAX_DATES: usize = 256;
/// Permits, of the station's file and the permits' file each.
pub const MAX_PERMITS: usize = 500;
/// Zones of one permit.
pub const MAX_PERMIT_ZONES: usize = 16;
/// A file of holidays or permits, bytes.
pub const CALENDAR_BYTES: u64 = 1_000_000;
/// Set-up before and take-down after a permitted time.
pub const USE_GRACE: RangeInclusive<Duration> = Duration::ZERO..=hours(24);
pub const MAX_STREAMS: usize = 32;
/// Fields that a stream keeps.
pub const MAX_FIELDS: usize = 64;
/// Uplinks share the spool's one-byte lane number and its space.
pub const MAX_UPLINKS: usize = 8;
/// Bytes of a piece of a picture.
pub const CHUNK: RangeInclusive<u64> = 4 * 1024..=2 * 1024 * 1024;
/// Bytes of a budget.
pub const BUDGET: RangeInclusive<u64> = 1_000_000..=4_000_000_000_000;
/// Profiles written in the configuration file.
pub const MAX_PROFILES: usize = 64;
/// Points of a Modbus profile.
pub const MAX_POINTS: usize = 125;
/// Register parts that sum up to one point.
pub const MAX_PARTS: usize = 4;
/// Values taken from one JSON payload.
pub const MAX_VALUES: usize = 32;

/// Keys that may command the station.
pub const MAX_COMMAND_KEYS: usize = 4;
/// How long after a verdict an alert may be opened again.
pub const REOPEN_AFTER: RangeInclusive<Duration> = secs(1)..=days(7);
/// Longest silence of a rule.
pub const MAX_SILENCE: RangeInclusive<Duration> = secs(60)..=days(7);
/// Bytes for records and evidence.
pub const QUOTA: RangeInclusive<u64> = 64_000_000..=4_000_000_000_000;
/// Bytes for telemetry, and for pictures; besides, at most 85 % of the whole quota.
pub const CLASS_QUOTA: RangeInclusive<u64> = 16_000_000..=4_000_000_000_000;
/// How long pictures stay once their alert has been delivered or given up.
pub const RETENTION: RangeInclusive<Duration> = hours(1)..=days(365);
/// How long sealed originals stay.
pub const SEALED_KEEP: RangeInclusive<Duration> = hours(1)..=days(30);
pub const COMMIT_INTERVAL: RangeInclusive<Duration> = Duration::ZERO..=secs(1);
/// Bytes of one MQTT payload.
pub const MAX_PAYLOAD: RangeInclusive<u64> = 64..=1_000_000;
/// Connections to the embedded broker.
pub const MAX_CONNECTIONS: RangeInclusive<usize> = 1..=10_000;
/// Wait for one Modbus reply.
pub const BUS_TIMEOUT: RangeInclusive<Duration> = ms(20)..=secs(60);
/// Serial speeds that adapters and meters have in common.
pub const BAUDS: &[u32] = &[
    300, 600, 1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 57_600, 115_200,
];
/// Modbus over serial line specification V1.02, 2.2: individual slave addresses.
pub const UNIT_ID: RangeInclusive<u8> = 1..=247;
/// How often a device is polled.
pub const EVERY: RangeInclusive<Duration> = ms(100)..=hours(24);
/// Sensor to floor, mm; also the distance at which a bin is full, from zero up.
pub const HEIGHT_MM: RangeInclusive<f64> = 100.0..=10_000.0;
/// Messages a second that one device may send.
pub const MAX_RATE: RangeInclusive<f64> = 0.001..=1_000.0;
/// Time between two pictures of a camera that sends single ones.
pub const STILL_EVERY: RangeInclusive<Duration> = ms(100)..=secs(60);
/// Frames a second for the detector.
pub const FPS: RangeInclusive<f64> = 0.1..=30.0;
pub const DWELL: RangeInclusive<Duration> = ms(100)..=hours(24);
pub const GRACE: RangeInclusive<Duration> = ms(100)..=hours(24);
pub const VISION_THREADS: RangeInclusive<usize> = 1..=16;
/// Resident bytes of the vision child.
pub const VISION_MEMORY: RangeInclusive<u64> = 128_000_000..=64_000_000_000;
/// What it may take when nothing is written...
pub const USUAL_VISION_MEMORY: u64 = 512_000_000;
/// ...and what it keeps to with so many cameras.
pub const fn promised_vision_memory(cameras: usize) -> u64 {
    150_000_000 + 6_000_000 * cameras as u64
}
pub const THIN: RangeInclusive<Duration> = Duration::ZERO..=hours(24);
pub const STOP_DEADLINE: RangeInclusive<Duration> = secs(1)..=secs(300);
/// How long a condition must hold.
pub const HOLD: RangeInclusive<Duration> = Duration::ZERO..=days(7);
/// Silence that counts as absence.
pub const ABSENCE: RangeInclusive<Duration> = secs(1)..=days(30);
/// Window of a rate of change.
pub const RATE_WINDOW: RangeInclusive<Duration> = secs(1)..=hours(24);
/// Least time between two updates of an alert.
pub const UPDATE_EVERY: RangeInclusive<Duration> = secs(1)..=days(7);
/// Registers of a BCD figure, four digits each.
pub const BCD_REGISTERS: RangeInclusive<u8> = 1..=4;
