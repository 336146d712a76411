//! What was told against what had to be told. Pure.

use std::collections::HashMap;

use super::scenario::{Event, What};

/// A message about an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Seconds into the clip.
    pub at: f64,
    pub state: State,
    pub alert: String,
    pub kind: String,
    /// None for the camera's health.
    pub zone: Option<String>,
    /// Label of who brought it, `none` if nobody was seen, nothing where there is no story.
    pub actor: Option<String>,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Raised,
    Updated,
    Cleared,
}

/// What became of the events of one scenario.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    pub found: Vec<Found>,
    pub missed: Vec<Event>,
    /// Alerts that nothing in the ground truth asks for, and ends of what has not ended.
    pub wrong: Vec<Said>,
}

/// An event that was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub event: Event,
    pub at: f64,
    /// Whether the right one was said to have brought it, where that is judged.
    pub attribution: Option<bool>,
}

impl Outcome {
    /// Events there are.
    pub fn events(&self) -> usize {
        self.found.len() + self.missed.len()
    }
}

/// Compares.
///
/// An alert begins with `raised`, and again with an `updated` after its `cleared`: the station
/// sends an alert that comes back within minutes under its old id. Each beginning, and each end,
/// answers one event of its zone (or, without a zone, its kind) and time, or is wrong. The end of
/// an alert that was wrong is not counted again.
pub fn judge(events: &[Event], said: &[Said]) -> Outcome {
    let mut open: Vec<&Event> = events.iter().collect();
    let mut outcome = Outcome::default();
    // Of each alert: whether it is over, and whether its beginning was right.
    let mut alerts: HashMap<&str, (bool, bool)> = HashMap::new();
    for message in said {
        let (over, right) = alerts
            .get(message.alert.as_str())
            .copied()
            .unwrap_or((true, false));
        let what = match message.state {
            State::Updated if !over => continue,
            State::Raised | State::Updated => What::Raised,
            State::Cleared if over => continue,
            State::Cleared => What::Cleared,
        };
        let answers = open.iter().position(|event| {
            event.what == what
                && about(event, message)
                && (event.from..=event.by).contains(&message.at)
        });
        let is_right = answers.is_some();
        match answers {
            Some(index) => {
                let event = open.remove(index);
                outcome.found.push(Found {
                    event: event.clone(),
                    at: message.at,
                    attribution: attribution(event, message),
                });
            }
            None if what == What::Cleared && !right => {}
            None => outcome.wrong.push(message.clone()),
        }
        let over = what == What::Cleared;
        alerts.insert(&message.alert, (over, if over { right } else { is_right }));
    }
    outcome.missed = open.into_iter().cloned().collect();
    outcome
}

fn about(event: &Event, message: &Said) -> bool {
    event.zone == message.zone && event.kind.as_ref().is_none_or(|kind| *kind == message.kind)
}

fn attribution(event: &Event, message: &Said) -> Option<bool> {
    const VEHICLES: [&str; 5] = ["car", "truck", "bus", "motorcycle", "bicycle"];
    let wanted = event.actor.as_deref()?;
    let said = message.actor.as_deref();
    Some(match wanted {
        "vehicle" => said.is_some_and(|label| VEHICLES.contains(&label)),
        other => said == Some(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(what: What, from: f64, by: f64, actor: Option<&str>) -> Event {
        Event {
            what,
            zone: Some("kerb".into()),
            kind: None,
            from,
            by,
            actor: actor.map(str::to_owned),
        }
    }

    fn said(state: State, at: f64, actor: Option<&str>) -> Said {
        Said {
            at,
            state,
            alert: "a".into(),
            kind: "illegal_dumping".into(),
            zone: Some("kerb".into()),
            actor: actor.map(str::to_owned),
            text: String::new(),
        }
    }

    #[test]
    fn an_event_is_found_in_its_time_and_its_actor_judged() {
        let events = [event(What::Raised, 10.0, 40.0, Some("person"))];
        for (at, actor, found, right) in [
            (10.0, Some("person"), 1, Some(true)),
            (40.0, Some("none"), 1, Some(false)),
            (40.1, Some("person"), 0, None),
            (9.9, Some("person"), 0, None),
        ] {
            let outcome = judge(&events, &[said(State::Raised, at, actor)]);
            assert_eq!(outcome.found.len(), found, "{at}");
            assert_eq!(outcome.missed.len() + found, 1);
            assert_eq!(outcome.wrong.len() + found, 1);
            assert_eq!(outcome.found.first().and_then(|f| f.attribution), right);
        }
    }

    #[test]
    fn what_nobody_asked_for_is_wrong_once() {
        let messages = [
            said(State::Raised, 5.0, None),
            said(State::Updated, 6.0, None),
            said(State::Cleared, 20.0, None),
        ];
        let outcome = judge(&[], &messages);
        assert_eq!(outcome.wrong.len(), 1);
    }

    #[test]
    fn the_end_of_what_still_lies_there_is_wrong_and_its_return_is_too() {
        let events = [event(What::Raised, 10.0, 40.0, None)];
        let messages = [
            said(State::Raised, 30.0, None),
            said(State::Cleared, 50.0, None),
            said(State::Updated, 60.0, None),
        ];
        let outcome = judge(&events, &messages);
        assert_eq!((outcome.found.len(), outcome.wrong.len()), (1, 2));
    }

    #[test]
    fn a_second_thing_under_the_same_alert_is_found() {
        let events = [
            event(What::Raised, 10.0, 40.0, None),
            event(What::Cleared, 45.0, 60.0, None),
            event(What::Raised, 65.0, 99.0, None),
        ];
        let messages = [
            said(State::Raised, 30.0, None),
            said(State::Cleared, 55.0, None),
            said(State::Updated, 90.0, None),
        ];
        let outcome = judge(&events, &messages);
        assert_eq!((outcome.found.len(), outcome.wrong.len()), (3, 0));
    }

    #[test]
    fn another_zone_answers_nothing() {
        let events = [event(What::Raised, 10.0, 40.0, None)];
        let mut message = said(State::Raised, 30.0, None);
        message.zone = Some("lawn".into());
        let outcome = judge(&events, &[message]);
        assert_eq!((outcome.missed.len(), outcome.wrong.len()), (1, 1));
    }
}
