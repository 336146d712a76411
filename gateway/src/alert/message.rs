//! Messages: from an alert's data to the bytes that are sent, never larger than they may be.

use jiff::Timestamp;
use wangge_protocol::{
    AlertData, AlertState, CloudEvent, Digest, Routing, SCHEMA_ALERT, SCHEMA_DIGEST, TYPE_CLEARED,
    TYPE_DIGEST, TYPE_RAISED, TYPE_UPDATED,
};

use crate::{proof::SEAL_ROOM, spool::MAX_BODY};

/// Pictures that one message names; more would leave no room for words. The first are kept.
pub const MAX_EVIDENCE: usize = 4;

/// Longest message, bytes: what is sealed for an uplink must still fit a record.
const MAX_MESSAGE: usize = MAX_BODY - SEAL_ROOM;

/// Bytes that are left for [`with_routing`].
const ROUTING: usize = 128;

/// What may be how long, bytes as JSON.
struct Budget {
    /// Each language's sentence.
    text: usize,
    address: usize,
    /// Label, zone, model id and the like.
    word: usize,
    /// Whether figures and times keep more digits than anybody measures.
    exact: bool,
}

/// The first that makes the message fit is used. The last does, whatever else is in the message
/// but small pictures (tested).
const BUDGETS: [Budget; 5] = [
    Budget::of(600, 200, 64, true),
    Budget::of(240, 100, 64, true),
    Budget::of(90, 45, 64, true),
    Budget::of(90, 45, 24, false),
    Budget::of(36, 12, 16, false),
];

impl Budget {
    const fn of(text: usize, address: usize, word: usize, exact: bool) -> Budget {
        Budget {
            text,
            address,
            word,
            exact,
        }
    }

    fn apply(&self, data: &mut AlertData) {
        cut(&mut data.text.zh, self.text);
        cut(&mut data.text.en, self.text);
        if let Some(a) = &mut data.place.address {
            cut(a, self.address);
        }
        if let Some(sighting) = &mut data.sighting {
            for word in [&mut sighting.zone, &mut sighting.label, &mut sighting.model]
                .into_iter()
                .chain(&mut sighting.full_bin)
                .chain(&mut sighting.permit)
            {
                cut(word, self.word);
            }
        }
        if !self.exact {
            shorten(data);
        }
    }
}

/// Encodes `data` as a CloudEvent; cuts it to size first, so that what is kept is what is sent.
pub(super) fn encode(event_id: &str, made: Timestamp, data: &mut AlertData) -> Vec<u8> {
    data.evidence.truncate(MAX_EVIDENCE);
    for budget in BUDGETS {
        budget.apply(data);
        let body = write(event_id, made, data);
        if body.len() + ROUTING <= MAX_MESSAGE {
            return body;
        }
    }
    // What is still too long goes without its small pictures; the full ones say more.
    data.evidence.iter_mut().for_each(|e| e.thumbnail = None);
    write(event_id, made, data)
}

/// Times to the millisecond, places to a centimetre, boxes to a pixel of most cameras.
fn shorten(data: &mut AlertData) {
    let digits = |value: &mut f64, scale: f64| *value = (*value * scale).round() / scale;
    for place in [
        &mut data.place.lon,
        &mut data.place.lat,
        &mut data.platform.x,
        &mut data.platform.y,
    ] {
        digits(place, 1e7);
    }
    let mut times = vec![&mut data.occurred_at, &mut data.raised_at];
    times.extend(&mut data.cleared_at);
    times.extend(data.evidence.iter_mut().map(|e| &mut e.taken_at));
    if let Some(sighting) = &mut data.sighting {
        digits(&mut sighting.dwell_s, 1e3);
        for side in &mut sighting.bbox {
            *side = (*side * 1e4).round() / 1e4;
        }
        times.extend(&mut sighting.forbidden_since);
    }
    for time in times {
        if let Ok(at) = time.parse::<Timestamp>() {
            *time = format!("{at:.3}");
        }
    }
}

/// The same message with what is known of its routing.
pub fn with_routing(body: &[u8], routing: Routing) -> Option<Vec<u8>> {
    let mut event: CloudEvent<AlertData> = serde_json::from_slice(body).ok()?;
    event.data.routing = Some(routing);
    serde_json::to_vec(&event).ok()
}

/// A digest as a message: its id and its bytes.
pub fn digest_message(digest: Digest, made: Timestamp) -> (String, Vec<u8>) {
    let id = super::desk::uuid(made);
    let event = CloudEvent {
        specversion: "1.0".into(),
        id: id.clone(),
        source: format!("/stations/{}", digest.station),
        event_type: TYPE_DIGEST.into(),
        subject: digest.to.clone(),
        time: made.to_string(),
        datacontenttype: "application/json".into(),
        dataschema: SCHEMA_DIGEST.into(),
        data: digest,
    };
    // Strings and numbers: this cannot fail.
    (id, serde_json::to_vec(&event).unwrap_or_default())
}

fn write(event_id: &str, made: Timestamp, data: &AlertData) -> Vec<u8> {
    let event = CloudEvent {
        specversion: "1.0".into(),
        id: event_id.into(),
        source: format!("/stations/{}", data.station),
        event_type: match data.state {
            AlertState::Raised => TYPE_RAISED,
            AlertState::Updated => TYPE_UPDATED,
            AlertState::Cleared => TYPE_CLEARED,
        }
        .into(),
        subject: data.alert_id.clone(),
        time: made.to_string(),
        datacontenttype: "application/json".into(),
        dataschema: SCHEMA_ALERT.into(),
        data,
    };
    // Strings, numbers and no maps: this cannot fail.
    serde_json::to_vec(&event).unwrap_or_default()
}

/// Shortens `text` to `max` bytes as JSON, at a character boundary and with an ellipsis;
/// control characters become spaces.
pub(super) fn cut(text: &mut String, max: usize) {
    const ELLIPSIS: char = '…';
    let cost = |c: char| match c {
        '"' | '\\' => 2,
        c => c.len_utf8(),
    };
    if text.contains(char::is_control) {
        *text = text.replace(char::is_control, " ");
    }
    if text.chars().map(cost).sum::<usize>() <= max {
        return;
    }
    let mut left = max.saturating_sub(ELLIPSIS.len_utf8());
    let end = text.char_indices().find_map(|(i, c)| {
        match left.checked_sub(cost(c)) {
            Some(rest) => left = rest,
            None => return Some(i),
        }
        None
    });
    text.truncate(end.unwrap_or(text.len()));
    text.push(ELLIPSIS);
}
