//! Messages: from an alert's data to the bytes that are sent, never larger than they may be.

use jiff::Timestamp;
use wangge_protocol::{
    AlertData, AlertState, CloudEvent, SCHEMA_ALERT, TYPE_CLEARED, TYPE_RAISED, TYPE_UPDATED,
};

use crate::spool::MAX_BODY;

/// Pictures that one message names; more would leave no room for words. The first are kept.
pub const MAX_EVIDENCE: usize = 4;

/// Bytes, as JSON, for each language's sentence and for the address; the first that makes the
/// message fit is used. The last always does, whatever else is in the message (tested).
const BUDGETS: [(usize, usize); 3] = [(600, 200), (240, 100), (90, 45)];

/// Longest label, zone, model id and the like, bytes as JSON.
const MAX_WORD: usize = 64;

/// Encodes `data` as a CloudEvent; cuts it to size first, so that what is kept is what is sent.
pub(super) fn encode(event_id: &str, made: Timestamp, data: &mut AlertData) -> Vec<u8> {
    data.evidence.truncate(MAX_EVIDENCE);
    if let Some(sighting) = &mut data.sighting {
        for word in [&mut sighting.zone, &mut sighting.label, &mut sighting.model]
            .into_iter()
            .chain(&mut sighting.full_bin)
        {
            cut(word, MAX_WORD);
        }
        if let Some(permit) = &mut sighting.permit {
            cut(permit, MAX_WORD);
        }
    }
    let mut body = Vec::new();
    for (text, address) in BUDGETS {
        cut(&mut data.text.zh, text);
        cut(&mut data.text.en, text);
        if let Some(a) = &mut data.place.address {
            cut(a, address);
        }
        body = write(event_id, made, data);
        if body.len() <= MAX_BODY {
            break;
        }
    }
    body
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
