use super::*;

const BOOT: &str = "00000000-0000-4000-8000-000000000001";
const HOUR: i64 = 3_600;
const YEAR: i64 = 365 * 24 * HOUR;

/// A machine that started ten seconds ago; its clock can be set.
struct Machine {
    trust: Trust,
    state: std::collections::BTreeMap<Vec<u8>, Vec<u8>>,
    uptime: i64,
    /// The clock minus the uptime, seconds.
    zero: i64,
    synchronised: bool,
}

/// Some time after the build, seconds.
fn true_zero() -> i64 {
    built().as_second() + 1_000
}

impl Machine {
    fn new(zero: i64, synchronised: bool) -> Machine {
        Machine {
            trust: Trust::restore(BOOT, &[]),
            state: Default::default(),
            uptime: 10,
            zero,
            synchronised,
        }
    }

    fn look(&mut self) -> Option<Change> {
        self.uptime += 1;
        let reading = Reading {
            wall: Timestamp::from_second(self.zero + self.uptime).unwrap(),
            uptime: Duration::from_secs(self.uptime.unsigned_abs()),
            synchronised: self.synchronised,
        };
        let mut changes = Vec::new();
        let change = self.trust.observe(reading, &mut changes);
        self.store(changes);
        change
    }

    fn store(&mut self, changes: Vec<StateChange>) {
        for (key, value) in changes {
            match value {
                Some(value) => self.state.insert(key, value),
                None => self.state.remove(&key),
            };
        }
    }

    fn stamp(&mut self) -> Stamp {
        let mut changes = Vec::new();
        let stamp = self.trust.stamp(&mut changes);
        self.store(changes);
        stamp
    }

    fn quality(&mut self) -> ClockQuality {
        assert_eq!(self.look(), None);
        self.trust.quality()
    }

    /// The process starts anew; of a machine that does, too, with another boot id.
    fn restart(&mut self, boot: &str) {
        let state: Vec<_> = self.state.clone().into_iter().collect();
        self.trust = Trust::restore(boot, &state);
    }
}

#[test]
fn a_clock_before_the_build_is_never_right() {
    for synchronised in [false, true] {
        let mut machine = Machine::new(0, synchronised);
        assert_eq!(machine.quality(), ClockQuality::Unknown);
        machine.zero = built().as_second() - 100;
        assert_eq!(machine.quality(), ClockQuality::Unknown);
    }
    assert_eq!(
        Machine::new(true_zero(), false).quality(),
        ClockQuality::Held
    );
    assert_eq!(
        Machine::new(true_zero(), true).quality(),
        ClockQuality::Synchronised
    );
}

#[test]
fn what_was_made_in_1970_is_put_right_by_one_message_when_the_time_comes() {
    let mut machine = Machine::new(0, false);
    assert_eq!(machine.quality(), ClockQuality::Unknown);
    let stamp = machine.stamp();
    assert_eq!((stamp.quality, &*stamp.boot), (ClockQuality::Unknown, BOOT));
    assert_eq!(stamp.uptime_ms, 11_000);
    machine.zero = true_zero();
    machine.synchronised = true;
    let change = machine.look().unwrap();
    assert_eq!(change.quality, ClockQuality::Synchronised);
    assert_eq!(change.booted_at.as_second(), true_zero());
    assert_eq!(change.offset.as_secs(), true_zero());
    // The message's own time by the rule: booted_at + uptime.
    assert_eq!(machine.look(), None);
    assert_eq!(
        machine.trust.owed.is_none(),
        machine.state.keys().all(|k| k != OWED)
    );
}

#[test]
fn the_debt_survives_the_process_but_not_the_machine() {
    let mut machine = Machine::new(0, false);
    machine.look();
    machine.stamp();
    machine.restart(BOOT);
    machine.zero = true_zero();
    let change = machine.look().unwrap();
    assert_eq!(change.offset.as_secs(), true_zero());

    let mut machine = Machine::new(0, false);
    machine.look();
    machine.stamp();
    machine.restart("00000000-0000-4000-8000-000000000002");
    machine.zero = true_zero();
    assert_eq!(machine.look(), None, "of another start nothing is known");
    assert!(machine.state.is_empty());
}

#[test]
fn nothing_is_told_if_no_message_was_made_meanwhile() {
    let mut machine = Machine::new(0, false);
    machine.look();
    machine.zero = true_zero();
    machine.synchronised = true;
    assert_eq!(machine.look(), None);
}

#[test]
fn a_leap_of_a_year_is_not_believed_until_it_is_over() {
    for (leap, synchronised) in [(YEAR, false), (-YEAR, false), (YEAR, true), (-YEAR, true)] {
        let mut machine = Machine::new(true_zero(), synchronised);
        let before = machine.quality();
        machine.zero += leap;
        for _ in 0..3 {
            assert_eq!(machine.quality(), ClockQuality::Unknown, "{leap}");
        }
        assert_eq!(machine.stamp().quality, ClockQuality::Unknown);
        machine.zero -= leap;
        let change = machine.look().unwrap();
        assert_eq!((change.quality, change.offset.as_secs()), (before, -leap));
        assert_eq!(change.booted_at.as_second(), true_zero());
        assert_eq!(machine.look(), None);
    }
}

#[test]
fn a_time_source_may_set_the_clock_as_far_as_it_likes() {
    // Held from a battery that was three days slow; the source sets it and says so at once.
    let mut machine = Machine::new(true_zero(), false);
    assert_eq!(machine.quality(), ClockQuality::Held);
    machine.zero += 72 * HOUR;
    machine.synchronised = true;
    let change = machine.look().unwrap();
    assert_eq!(
        (change.quality, change.offset.as_hours()),
        (ClockQuality::Synchronised, 72)
    );
    // Or it says so a while later.
    let mut machine = Machine::new(true_zero(), false);
    machine.look();
    machine.zero += 72 * HOUR;
    assert_eq!(machine.quality(), ClockQuality::Unknown);
    machine.synchronised = true;
    let change = machine.look().unwrap();
    assert_eq!(
        (change.quality, change.offset.as_hours()),
        (ClockQuality::Synchronised, 72)
    );
    // A synchronised clock that leaps is believed when its source says so anew.
    machine.zero += 72 * HOUR;
    assert_eq!(machine.quality(), ClockQuality::Unknown);
    machine.synchronised = false;
    assert_eq!(machine.quality(), ClockQuality::Unknown);
    machine.synchronised = true;
    assert_eq!(machine.look().unwrap().offset.as_hours(), 72);
}

#[test]
fn small_steps_are_told_from_two_seconds_on_and_never_doubted() {
    for (step, told) in [
        (1, false),
        (2, true),
        (20, true),
        (-1, false),
        (-2, true),
        (600, true),
    ] {
        let mut machine = Machine::new(true_zero(), false);
        machine.look();
        machine.zero += step;
        let change = machine.look();
        assert_eq!(change.map(|c| c.offset.as_secs()), told.then_some(step));
        assert_eq!(machine.trust.quality(), ClockQuality::Held);
    }
    let mut machine = Machine::new(true_zero(), false);
    machine.look();
    machine.zero += 601;
    assert_eq!(machine.quality(), ClockQuality::Unknown);
}

#[test]
fn a_time_that_was_right_is_the_floor_of_later_starts() {
    let mut machine = Machine::new(true_zero() + YEAR, true);
    machine.look();
    machine.restart("00000000-0000-4000-8000-000000000002");
    machine.synchronised = false;
    machine.zero = true_zero();
    assert_eq!(
        machine.quality(),
        ClockQuality::Unknown,
        "a year before the last known time"
    );
    // That time was wrong after all: a source that says so is believed, and is the new floor.
    machine.synchronised = true;
    machine.look();
    assert_eq!(machine.trust.quality(), ClockQuality::Synchronised);
    machine.restart("00000000-0000-4000-8000-000000000003");
    machine.synchronised = false;
    assert_eq!(machine.quality(), ClockQuality::Held);
}

#[test]
fn the_floor_is_noted_once_an_hour() {
    let mut machine = Machine::new(true_zero(), true);
    let mut notes = 0;
    for _ in 0..(3 * HOUR) {
        machine.state.clear();
        machine.look();
        notes += machine.state.len();
    }
    assert_eq!(notes, 3);
}

#[test]
fn state_that_cannot_be_read_says_nothing() {
    let state = [FLOOR, OWED].map(|key| (key.to_vec(), b"rubbish".to_vec()));
    let trust = Trust::restore(BOOT, &state);
    assert_eq!((trust.floor, trust.owed.is_none()), (built(), true));
}
