//! What the platform's verdicts and silences do.

use wangge_protocol::VerdictStatus::{self, Accepted, Closed, Filed, Rejected, Resolved};

use super::*;
use AlertState::{Cleared, Raised, Updated};

impl Station {
    fn judge(&mut self, status: VerdictStatus) {
        let id = self.sent.last().unwrap().data.alert_id.clone();
        let said = self.ledger.judge("bin-3", &id, status, self.now);
        said.into_iter().for_each(|o| self.send(o));
        self.keep();
    }

    fn silence(&mut self, time: Duration) {
        let until = self.now.wall + time;
        self.ledger
            .silence("bin-3", "full", until, self.now)
            .unwrap();
        self.keep();
    }

    fn last(&self) -> &AlertData {
        &self.sent.last().unwrap().data
    }
}

fn full_bin() -> Station {
    let mut s = Station::bin(vec![full(Duration::ZERO)]);
    s.reads(Quantity::Fill, 95.0);
    s
}

#[test]
fn taking_it_on_is_a_note() {
    let mut s = full_bin();
    s.judge(Accepted);
    s.judge(Filed);
    assert_eq!(s.states(), [Raised]);
    s.pass(HOUR);
    s.reads(Quantity::Fill, 99.9);
    assert_eq!(s.states(), [Raised, Updated]);
    assert_eq!(s.last().verdict, Some(Filed));
    alert_schema()
        .validate(&serde_json::to_value(s.sent.last().unwrap()).unwrap())
        .unwrap();
}

#[test]
fn what_was_rejected_stays_quiet_until_it_has_ended() {
    let mut s = full_bin();
    s.judge(Rejected);
    assert_eq!(s.states(), [Raised, Cleared]);
    assert_eq!(
        s.last().text.zh,
        "海棠路12号“3号垃圾箱”垃圾箱满溢已解除:平台不予立案。"
    );
    assert_eq!(s.ledger.list().count(), 0);
    // It goes on, it wavers, the gateway starts again: nothing is said.
    for _ in 0..5 {
        for value in [99.0, 70.0, 95.0, 20.0, 93.0] {
            s.pass(MINUTE);
            s.reads(Quantity::Fill, value);
        }
        s = s.restart(MINUTE);
    }
    s.pass(24 * HOUR);
    s.reads(Quantity::Fill, 99.0);
    assert_eq!(s.states(), [Raised, Cleared]);
    // It was emptied; the next time is another alert.
    s.reads(Quantity::Fill, 5.0);
    s = s.restart(MINUTE);
    s.pass(REOPEN);
    s.reads(Quantity::Fill, 95.0);
    assert_eq!(s.states(), [Raised, Cleared, Raised]);
    assert_eq!(s.ids().len(), 2);
    assert_eq!(s.last().verdict, None);
}

#[test]
fn closed_and_over_stays_closed() {
    let mut s = full_bin();
    s.judge(Resolved);
    assert_eq!(s.states(), [Raised, Cleared]);
    assert_eq!(s.last().verdict, Some(Resolved));
    s.pass(10 * MINUTE);
    s.reads(Quantity::Fill, 5.0);
    s.pass(3 * HOUR);
    s.reads(Quantity::Fill, 6.0);
    assert_eq!(s.states(), [Raised, Cleared]);
}

#[test]
fn closed_too_early_is_opened_again_and_says_so() {
    let mut s = full_bin();
    s.judge(Closed);
    // Over the time, but nothing has been heard: an old figure proves nothing.
    s.pass(2 * HOUR);
    assert_eq!(s.states(), [Raised, Cleared]);
    s.reads(Quantity::Fill, 96.0);
    s.tick();
    assert_eq!(s.states(), [Raised, Cleared, Updated]);
    assert_eq!(s.ids().len(), 1);
    assert_eq!(
        s.last().text.en,
        "Bin overflow goes on at 3号垃圾箱 (海棠路12号): the platform closed the case, but it is still there."
    );
    assert_eq!(
        (s.last().cleared_at.clone(), s.last().verdict),
        (None, Some(Closed))
    );
    // And ends as any other.
    s.pass(HOUR);
    s.reads(Quantity::Fill, 5.0);
    assert_eq!(s.states(), [Raised, Cleared, Updated, Cleared]);
}

#[test]
fn settled_is_remembered_over_a_restart() {
    let mut s = full_bin();
    s.judge(Closed);
    s = s.restart(MINUTE);
    s.reads(Quantity::Fill, 96.0);
    s.pass(59 * MINUTE);
    assert_eq!(s.states(), [Raised, Cleared]);
    s.pass(MINUTE);
    assert_eq!(s.states(), [Raised, Cleared, Updated]);
}

#[test]
fn silence_needs_nobody_to_be_heard_to_be_opened_again() {
    let mut s = Station::bin(vec![silent(5 * MINUTE)]);
    s.pass(6 * MINUTE);
    s.judge(Resolved);
    s.pass(HOUR);
    assert_eq!(s.states(), [Raised, Cleared, Updated]);
}

#[test]
fn the_platform_may_think_again() {
    let mut s = full_bin();
    s.judge(Rejected);
    s.judge(Filed);
    assert_eq!(s.states(), [Raised, Cleared, Updated]);
    assert_eq!(s.ledger.list().count(), 1);
    s.judge(Resolved);
    s.judge(Rejected);
    s.pass(5 * HOUR);
    s.reads(Quantity::Fill, 97.0);
    s.tick();
    assert_eq!(s.states(), [Raised, Cleared, Updated, Cleared]);
}

#[test]
fn a_verdict_on_what_is_over_changes_nothing_visible() {
    let mut s = full_bin();
    s.reads(Quantity::Fill, 5.0);
    assert_eq!(s.states(), [Raised, Cleared]);
    for status in VerdictStatus::ALL {
        s.judge(*status);
    }
    assert_eq!(s.states(), [Raised, Cleared]);
    let other = s.ledger.judge("bin-3", "another", Closed, s.now);
    assert_eq!(other, None);
}

#[test]
fn a_silenced_rule_raises_when_the_silence_is_over() {
    let mut s = Station::bin(vec![full(Duration::ZERO)]);
    s.silence(2 * HOUR);
    assert_eq!(s.ledger.silenced(s.now).count(), 1);
    s.reads(Quantity::Fill, 95.0);
    s.pass(HOUR);
    assert_eq!(s.states(), []);
    s.pass(HOUR);
    assert_eq!(s.states(), [Raised]);
    assert_eq!(s.ledger.silenced(s.now).count(), 0);
    assert!(!s.state.keys().any(|key| key.starts_with(b"silence/")));
}

#[test]
fn what_came_and_went_in_a_silence_is_not_told() {
    let mut s = Station::bin(vec![full(Duration::ZERO)]);
    s.silence(2 * HOUR);
    s.reads(Quantity::Fill, 95.0);
    s.reads(Quantity::Fill, 5.0);
    s.pass(3 * HOUR);
    assert_eq!(s.states(), []);
}

#[test]
fn an_open_alert_is_held_back_and_its_end_is_told() {
    let mut s = full_bin();
    s.silence(2 * HOUR);
    s.pass(HOUR);
    s.reads(Quantity::Fill, 100.0);
    s.pass(30 * MINUTE);
    assert_eq!(s.states(), [Raised]);
    s.reads(Quantity::Fill, 5.0);
    assert_eq!(s.states(), [Raised, Cleared]);
}

#[test]
fn a_silence_survives_restarts_and_clock_jumps() {
    let mut s = Station::bin(vec![full(Duration::ZERO)]);
    s.silence(2 * HOUR);
    s = s.restart(MINUTE);
    s.reads(Quantity::Fill, 95.0);
    s.now.wall += jiff::SignedDuration::from_hours(24 * 365);
    s.pass(HOUR);
    assert_eq!(s.states(), [], "the clock jumped, no time went by");
    s.now.wall -= jiff::SignedDuration::from_hours(2 * 24 * 365);
    s.pass(HOUR);
    assert_eq!(s.states(), [Raised]);
}

#[test]
fn a_silence_can_be_taken_back() {
    let mut s = Station::bin(vec![full(Duration::ZERO)]);
    s.silence(2 * HOUR);
    s.reads(Quantity::Fill, 95.0);
    s.silence(Duration::ZERO);
    s.tick();
    assert_eq!(s.states(), [Raised]);
}

#[test]
fn only_rules_that_are_there_are_silenced() {
    let mut s = Station::bin(vec![full(Duration::ZERO)]);
    let now = s.now;
    let no_device = s
        .ledger
        .silence("bin-9", "full", now.wall, now)
        .unwrap_err();
    assert!(no_device.contains("bin-9"), "{no_device}");
    let no_rule = s.ledger.silence("bin-3", "*", now.wall, now).unwrap_err();
    assert!(no_rule.contains("no rule"), "{no_rule}");
    assert_eq!(s.ledger.take_changes(), []);
}

#[test]
fn a_rule_that_is_gone_ends_its_alert() {
    let mut s = full_bin();
    let without = config(vec![device("bin-3", Vec::new())], vec![]);
    let ended = s.ledger.reconfigure(&without, s.now).unwrap();
    ended.into_iter().for_each(|o| s.send(o));
    assert_eq!(s.states(), [Raised, Cleared]);
    assert!(s.last().text.en.contains("removed"), "{}", s.last().text.en);
}

fn status() -> impl Strategy<Value = VerdictStatus> {
    (0..VerdictStatus::ALL.len()).prop_map(|n| VerdictStatus::ALL[n])
}

proptest! {
    /// Only the standing verdict counts: whatever stood before it, the alert ends up alike. The
    /// book passes on a verdict only when it stands from then on.
    #[test]
    fn the_last_verdict_decides(
        before in prop::collection::vec(status(), 0..6),
        last in status(),
        over in any::<bool>(),
        restart in any::<bool>(),
    ) {
        let run = |before: &[VerdictStatus]| {
            let mut s = full_bin();
            if over {
                s.reads(Quantity::Fill, 5.0);
            }
            for status in before {
                s.judge(*status);
                if restart {
                    s = s.restart(Duration::from_secs(1));
                }
            }
            s.judge(last);
            let verdict = s.ledger.alerts_for_test("bin-3");
            (s.ledger.list().count(), verdict, s.ledger.open().count())
        };
        prop_assert_eq!(run(&before), run(&[]));
    }

    /// However often the platform changes its mind, each change costs one message at most, and an
    /// alert is never told to be over twice in a row.
    #[test]
    fn verdicts_are_no_storm(
        acts in prop::collection::vec((status(), 0.0..100.0_f64, 0u64..7_200), 1..40),
    ) {
        let mut s = full_bin();
        for (status, value, wait) in acts {
            let before = s.sent.len();
            s.judge(status);
            prop_assert!(s.sent.len() <= before + 1);
            s.pass(Duration::from_secs(wait));
            s.reads(Quantity::Fill, value);
        }
        let mut open = BTreeMap::new();
        for message in &s.sent {
            let is_open = open.entry(&message.data.alert_id).or_insert(false);
            match message.data.state {
                Raised => prop_assert!(!std::mem::replace(is_open, true)),
                Updated => *is_open = true,
                Cleared => prop_assert!(std::mem::replace(is_open, false), "cleared twice"),
            }
        }
    }
}
