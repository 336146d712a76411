//! Messages: the kinds of them, what makes them hard to read, and how many come at once.

use serde_json::{Map, Value, json};
use wangge_protocol::{AlertState, EvidenceRef};

use super::super::{
    exam::{Exam, Outcome, fails, is_stored, is_too_large, receipt},
    material::{changed, new_id, padded, parcel, raw, stranger},
    peer::{Content, Reply},
};
use crate::spool::MAX_BODY;

/// Far beyond what a station sends and a receiver need take, bytes.
const HUGE: usize = 1 << 20;
/// As many as a station sends at once over HTTPS.
const AT_ONCE: usize = 8;

pub(super) async fn life(exam: &mut Exam) -> Outcome {
    let alert = new_id();
    for (revision, state, what) in [
        (1, AlertState::Raised, "an alert that is raised"),
        (2, AlertState::Updated, "its update"),
        (3, AlertState::Cleared, "its end"),
    ] {
        let message = parcel(&exam.maker.alert_message(&alert, revision, state, &[]));
        exam.stored(what, &message).await?;
    }
    Ok(())
}

pub(super) async fn readings(exam: &mut Exam) -> Outcome {
    let message = parcel(&exam.maker.readings());
    exam.stored("a forwarded reading", &message).await?;
    exam.note(&message);
    Ok(())
}

pub(super) async fn gaps(exam: &mut Exam) -> Outcome {
    let message = parcel(&exam.maker.gap());
    exam.stored("a gap record", &message).await
}

pub(super) async fn clock(exam: &mut Exam) -> Outcome {
    let message = parcel(&exam.maker.clock());
    exam.stored("a clock message", &message).await
}

pub(super) async fn sealed(exam: &mut Exam) -> Outcome {
    let message = stranger(&exam.maker.alert(&[]));
    exam.stored(
        "an alert sealed with a key that nobody registered",
        &message,
    )
    .await
}

pub(super) async fn unknown_keys(exam: &mut Exam) -> Outcome {
    let later = changed(&exam.maker.alert(&[]), |alert| {
        alert.insert("futureextension".to_owned(), json!("1"));
        if let Some(Value::Object(data)) = alert.get_mut("data") {
            data.insert(
                "future_key".to_owned(),
                json!({ "nested": [1, 2, { "deeper": null }] }),
            );
            if let Some(Value::Object(place)) = data.get_mut("place") {
                place.insert("floor".to_owned(), json!(3));
            }
        }
    });
    exam.stored("an alert with keys of a later version", &later)
        .await
}

pub(super) async fn largest(exam: &mut Exam) -> Outcome {
    let message = padded(&exam.maker.alert(&[]), MAX_BODY);
    exam.stored("an alert of the largest size", &message).await
}

pub(super) async fn unreadable(exam: &mut Exam) -> Outcome {
    let good = parcel(&exam.maker.alert(&[]));
    let half = good.bytes.len() / 2;
    let cases: [(&str, Vec<u8>); 5] = [
        ("a body that is no JSON", b"hello".to_vec()),
        ("half a message", good.bytes.slice(..half).to_vec()),
        ("bytes that are no UTF-8", vec![b'"', 0xff, 0xfe, b'"']),
        ("JSON that is no object", b"[]".to_vec()),
        ("an object that says nothing", b"{}".to_vec()),
    ];
    for (what, bytes) in cases {
        // There is no id to echo.
        let bad = raw("", Content::Alert, bytes);
        exam.refused(what, &bad).await?;
    }
    let bodiless = changed(&exam.maker.alert(&[]), |alert| {
        alert.remove("data");
    });
    exam.refused("an alert without data", &bodiless).await?;
    exam.stored("a good alert after that", &good).await
}

pub(super) async fn against_schema(exam: &mut Exam) -> Outcome {
    type Break = fn(&mut Map<String, Value>);
    let broken: [(&str, Break); 4] = [
        ("an alert whose data.revision is a text", |data| {
            data.insert("revision".to_owned(), json!("first"));
        }),
        ("an alert whose data.state is unheard of", |data| {
            data.insert("state".to_owned(), json!("exploded"));
        }),
        ("an alert without data.device", |data| {
            data.remove("device");
        }),
        ("an alert that names a picture by half a hash", |data| {
            let half = EvidenceRef {
                sha256: "9f86d081".to_owned(),
                bytes: 1,
                media_type: "image/jpeg".to_owned(),
                role: "scene".to_owned(),
                taken_at: "2026-01-01T00:00:00Z".to_owned(),
                thumbnail: None,
            };
            data.insert("evidence".to_owned(), json!([half]));
        }),
    ];
    for (what, breaks) in broken {
        let message = changed(&exam.maker.alert(&[]), |alert| {
            if let Some(Value::Object(data)) = alert.get_mut("data") {
                breaks(data);
            }
        });
        exam.refused(what, &message).await?;
    }
    Ok(())
}

pub(super) async fn too_large(exam: &mut Exam) -> Outcome {
    let message = padded(&exam.maker.alert(&[]), HUGE);
    let what = "an alert of 1 MiB";
    let reply = exam.send(what, &message).await;
    if is_stored(what, &message, &reply).is_err() {
        // A receiver may also have room for it.
        is_too_large(what, &message, &reply)?;
    }
    let next = parcel(&exam.maker.alert(&[]));
    exam.stored("an alert of the usual size after that", &next)
        .await
}

pub(super) async fn parallel(exam: &mut Exam) -> Outcome {
    let alerts: Vec<_> = (0..AT_ONCE)
        .map(|_| parcel(&exam.maker.alert(&[])))
        .collect();
    let what = "one of eight alerts at once";
    let replies = exam.send_at_once(what, &alerts).await;
    for (alert, reply) in alerts.iter().zip(&replies) {
        if let Reply::Receipt(other, _) = reply
            && alerts.iter().any(|a| a.id == other.id && a.id != alert.id)
        {
            return Err(fails("a request is answered with another one's receipt"));
        }
        receipt(what, alert, reply)?;
        is_stored(what, alert, reply)?;
    }
    Ok(())
}
