//! The judging: pure, so that every line can be tried with every value.

use wangge_protocol::node::{
    INVALID, INVALID_LONG, INVALID_SIGNED, MAP_VERSION, NodeKind, Quality, bin_flags, input, long,
    meter_flags, status,
};

use super::{Check, Finding, Verdict};

/// Supply that an STM32F1 works at, mV (DS5319 §5.3.1).
const SUPPLY: std::ops::RangeInclusive<u16> = 2_000..=3_600;
/// Bytes of stack that should never have been used.
const STACK: u16 = 256;
/// Temperatures on a bench, 0.1 °C.
const BENCH: std::ops::RangeInclusive<i16> = -200..=600;
/// Batteries that are fitted: one lithium cell to four alkaline ones, mV.
const BATTERY: std::ops::RangeInclusive<u16> = 2_000..=6_000;
/// What a distance sensor can measure, mm.
const DISTANCE: std::ops::RangeInclusive<u16> = 30..=8_000;
/// Flow through a meter that lies on a bench, l/h.
const BENCH_FLOW: i32 = 20_000;

/// Stands behind what is so because of the emulator.
const EMULATOR: &str = " (emulator)";

/// What the node should be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Serial number.
    pub serial: u64,
    /// Bin or meter.
    pub kind: NodeKind,
    /// Hardware id.
    pub hardware: u16,
    /// Version of its image.
    pub firmware: u16,
    /// Counter of its image.
    pub counter: u32,
    /// Its set-up: holding registers and values.
    pub values: &'a [(u16, u16)],
    /// It runs in an emulator whose flash cannot be written, which is no fault of the node's.
    pub emulated: bool,
}

/// What the node says.
#[derive(Clone, Debug)]
pub struct Readings {
    /// Input registers from 0 on.
    pub common: Vec<u16>,
    /// Input registers of its kind; none if it refuses them.
    pub own: Vec<u16>,
    /// Holding registers that were wished for.
    pub set: Vec<(u16, Option<u16>)>,
}

impl Readings {
    pub(super) fn at(&self, address: u16) -> u16 {
        self.common
            .get(usize::from(address))
            .copied()
            .unwrap_or(INVALID)
    }

    pub(super) fn serial(&self) -> u64 {
        let words = [0, 1, 2, 3].map(|n| self.at(input::SERIAL + n));
        words
            .iter()
            .fold(0, |all, word| all << 16 | u64::from(*word))
    }

    pub(super) fn counter(&self) -> u32 {
        long([
            self.at(input::IMAGE_COUNTER),
            self.at(input::IMAGE_COUNTER + 1),
        ])
    }

    fn of(&self, first: u16, address: u16) -> u16 {
        let index = usize::from(address - first);
        self.own.get(index).copied().unwrap_or(INVALID)
    }

    fn bin(&self, address: u16) -> u16 {
        self.of(input::BIN_FILL, address)
    }

    fn meter(&self, address: u16) -> u16 {
        self.of(input::METER_VOLUME, address)
    }

    /// Whether a sensor has measured nothing yet.
    pub fn is_starting(&self) -> bool {
        let qualities: &[u16] = match self.at(input::KIND) {
            kind if kind == NodeKind::Meter as u16 => &[self.meter(input::METER_QUALITY)],
            _ => &[
                self.bin(input::BIN_DISTANCE_QUALITY),
                self.bin(input::BIN_TILT_QUALITY),
                self.bin(input::BIN_TEMPERATURE_QUALITY),
            ],
        };
        qualities.contains(&(Quality::Starting as u16))
    }
}

/// Every line, in the order in which it is shown.
pub fn judge(readings: &Readings, expected: &Expected<'_>) -> Vec<Finding> {
    let mut lines = who(readings, expected);
    lines.extend(health(readings, expected));
    match expected.kind {
        NodeKind::Bin => lines.extend(bin(readings)),
        NodeKind::Meter => lines.extend(meter(readings, expected)),
    }
    lines
}

fn line(check: Check, verdict: Verdict, value: String, expected: impl Into<String>) -> Finding {
    Finding {
        check,
        verdict,
        value,
        expected: expected.into(),
    }
}

fn passes(is_good: bool) -> Verdict {
    if is_good {
        Verdict::Pass
    } else {
        Verdict::Fail
    }
}

fn equal<T: PartialEq + ToString>(check: Check, value: T, expected: T) -> Finding {
    let verdict = passes(value == expected);
    line(check, verdict, value.to_string(), expected.to_string())
}

fn who(readings: &Readings, expected: &Expected<'_>) -> Vec<Finding> {
    let at = |address| readings.at(address);
    let (serial, counter) = (readings.serial(), readings.counter());
    let kind = |code: u16| {
        NodeKind::try_from(code).map_or_else(|unknown| unknown.to_string(), |k| k.slug().to_owned())
    };
    let version = |word: u16| format!("{}.{}", word >> 8, word & 0xFF);
    let wrong: Vec<String> = readings
        .set
        .iter()
        .zip(expected.values)
        .filter(|((_, there), (_, wanted))| *there != Some(*wanted))
        .map(|((register, there), (_, wanted))| match there {
            Some(there) => format!("{register}: {there} instead of {wanted}"),
            None => format!("{register}: refused"),
        })
        .collect();
    let set = if wrong.is_empty() {
        format!("{} values", expected.values.len())
    } else {
        wrong.join(", ")
    };
    vec![
        equal(Check::Map, at(input::MAP_VERSION), MAP_VERSION),
        equal(Check::Serial, serial, expected.serial),
        equal(
            Check::Kind,
            kind(at(input::KIND)),
            kind(expected.kind as u16),
        ),
        equal(
            Check::Hardware,
            format!("{:04X}", at(input::HARDWARE)),
            format!("{:04X}", expected.hardware),
        ),
        equal(
            Check::Firmware,
            format!("{} ({counter})", version(at(input::FIRMWARE))),
            format!("{} ({})", version(expected.firmware), expected.counter),
        ),
        line(
            Check::Setup,
            passes(wrong.is_empty() && readings.set.len() == expected.values.len()),
            set,
            format!("{} values", expected.values.len()),
        ),
    ]
}

/// Bits of the status that an emulator sets through no fault of the node's.
fn excused(expected: &Expected<'_>) -> u16 {
    if expected.emulated {
        status::STORAGE
    } else {
        0
    }
}

fn health(readings: &Readings, expected: &Expected<'_>) -> Vec<Finding> {
    let bits = readings.at(input::STATUS);
    let names = [
        (status::SELF_TEST, "self-test"),
        (status::STORAGE, "storage"),
        (status::SET_UP, "set-up"),
        (status::WATCHDOG, "watchdog"),
        (status::BARE, "bare"),
        (status::TRIAL, "trial"),
    ];
    let told: Vec<&str> = names
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    let excused = excused(expected);
    let verdict = match bits & !excused {
        0 if bits == 0 => Verdict::Pass,
        // The gateway confirms a trial; a watchdog may have bitten while the flash was written.
        0 | status::TRIAL | status::WATCHDOG => Verdict::Attention,
        _ => Verdict::Fail,
    };
    let mut text = match told.is_empty() {
        true => "0".to_owned(),
        false => told.join(" + "),
    };
    if bits & excused != 0 {
        text += EMULATOR;
    }
    let supply = readings.at(input::SUPPLY);
    let supply_verdict = match supply {
        0 | INVALID => Verdict::Attention,
        mv => passes(SUPPLY.contains(&mv)),
    };
    let stack = readings.at(input::STACK_LEFT);
    vec![
        line(Check::Status, verdict, text, "0"),
        line(
            Check::Supply,
            supply_verdict,
            unless_invalid(supply == 0 || supply == INVALID, format!("{supply} mV")),
            range(&SUPPLY, "mV"),
        ),
        line(
            Check::Stack,
            passes(stack != INVALID && stack >= STACK),
            unless_invalid(stack == INVALID, format!("{stack} B")),
            format!("≥ {STACK} B"),
        ),
    ]
}

fn bin(readings: &Readings) -> Vec<Finding> {
    let at = |address| readings.bin(address);
    let distance = at(input::BIN_DISTANCE);
    let fill = at(input::BIN_FILL);
    let distance_quality = at(input::BIN_DISTANCE_QUALITY);
    let tilt = at(input::BIN_TILT);
    let celsius = at(input::BIN_TEMPERATURE) as i16;
    let battery = at(input::BIN_BATTERY);
    let lid = at(input::BIN_LID);
    let flags = at(input::BIN_FLAGS);
    let is_hot = flags != INVALID && flags & bin_flags::FIRE != 0;
    vec![
        line(
            Check::Distance,
            // A bin node without its distance is none.
            measured(
                distance_quality,
                DISTANCE.contains(&distance),
                Verdict::Fail,
            ),
            with_quality(distance_quality, format!("{distance} mm")),
            range(&DISTANCE, "mm"),
        ),
        line(
            Check::Fill,
            measured(distance_quality, fill <= 1_000, Verdict::Fail),
            unless_invalid(fill == INVALID, format!("{} %", tenths(fill.into()))),
            "0–100 %",
        ),
        line(
            Check::Tilt,
            measured(
                at(input::BIN_TILT_QUALITY),
                tilt <= 1_800,
                Verdict::Attention,
            ),
            with_quality(
                at(input::BIN_TILT_QUALITY),
                format!("{}°", tenths(tilt.into())),
            ),
            "0–180°",
        ),
        line(
            Check::Temperature,
            measured(
                at(input::BIN_TEMPERATURE_QUALITY),
                BENCH.contains(&celsius) && celsius as u16 != INVALID_SIGNED && !is_hot,
                Verdict::Attention,
            ),
            with_quality(
                at(input::BIN_TEMPERATURE_QUALITY),
                format!("{} °C", tenths(celsius.into())),
            ),
            "−20–60 °C",
        ),
        line(
            Check::Battery,
            match battery {
                0 | INVALID => Verdict::Attention,
                mv => passes(BATTERY.contains(&mv)),
            },
            unless_invalid(battery == 0 || battery == INVALID, format!("{battery} mV")),
            range(&BATTERY, "mV"),
        ),
        line(
            Check::Lid,
            match lid {
                0 | 1 => Verdict::Pass,
                INVALID => Verdict::Attention,
                _ => Verdict::Fail,
            },
            match lid {
                0 => "closed".to_owned(),
                1 => "open".to_owned(),
                other => unless_invalid(other == INVALID, other.to_string()),
            },
            "closed, open",
        ),
    ]
}

fn meter(readings: &Readings, expected: &Expected<'_>) -> Vec<Finding> {
    let at = |address| readings.meter(address);
    let two = |address| long([at(address), at(address + 1)]);
    let quality = at(input::METER_QUALITY);
    let (volume, flow) = (two(input::METER_VOLUME), two(input::METER_FLOW) as i32);
    let flags = at(input::METER_FLAGS);
    // A meter that cannot keep its totals does not claim to have any.
    let is_excused =
        readings.at(input::STATUS) & excused(expected) != 0 && quality == Quality::Missing as u16;
    let missing = match is_excused {
        true => Verdict::Attention,
        false => Verdict::Fail,
    };
    let shown = |value: String| {
        let text = with_quality(quality, value);
        match is_excused {
            true => text + EMULATOR,
            false => text,
        }
    };
    vec![
        line(
            Check::Volume,
            measured(quality, volume != INVALID_LONG, missing),
            shown(format!("{volume} l")),
            "≥ 0 l",
        ),
        line(
            Check::Flow,
            measured(quality, (-BENCH_FLOW..=BENCH_FLOW).contains(&flow), missing),
            shown(format!("{flow} l/h")),
            format!("±{BENCH_FLOW} l/h"),
        ),
        line(
            Check::Flags,
            match flags {
                0 => Verdict::Pass,
                INVALID => Verdict::Fail,
                meter_flags::REVERSE => Verdict::Attention,
                _ => Verdict::Fail,
            },
            unless_invalid(flags == INVALID, flags.to_string()),
            "0",
        ),
    ]
}

/// A measurement's verdict: what a missing sensor means is up to who asks.
fn measured(quality: u16, is_plausible: bool, missing: Verdict) -> Verdict {
    match Quality::try_from(quality) {
        Ok(Quality::Good) => passes(is_plausible),
        Ok(Quality::Missing) => missing,
        _ => Verdict::Fail,
    }
}

fn with_quality(quality: u16, value: String) -> String {
    match Quality::try_from(quality) {
        Ok(Quality::Good) => value,
        Ok(Quality::Starting) => "starting".to_owned(),
        Ok(Quality::Missing) => "missing".to_owned(),
        Ok(Quality::OutOfRange) => "out of range".to_owned(),
        Ok(Quality::Stuck) => "stuck".to_owned(),
        Ok(Quality::TooNear) => "too near".to_owned(),
        Ok(Quality::NoEcho) => "no echo".to_owned(),
        Ok(Quality::Unconfigured) => "not set up".to_owned(),
        Err(unknown) => unknown.to_string(),
    }
}

fn unless_invalid(is_invalid: bool, value: String) -> String {
    if is_invalid { "—".to_owned() } else { value }
}

fn range(range: &std::ops::RangeInclusive<u16>, unit: &str) -> String {
    format!("{}–{} {unit}", range.start(), range.end())
}

/// A figure that counts tenths.
fn tenths(value: i32) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}.{}", value.abs() / 10, value.abs() % 10)
}
