//! Receipts: what they say, that they stay the same, and that they outlive a restart.

use serde_json::json;
use wangge_protocol::AlertState;

use super::super::{
    exam::{Exam, Miss, Outcome, fails, is_stored, receipt},
    material::{Picture, changed, new_id, parcel, raw, rewritten},
    peer::{Parcel, Reply},
};

/// Copies that are sent at the same time.
const COPIES: usize = 8;
/// Repeats one after the other.
const REPEATS: usize = 2;

pub(super) async fn echoed(exam: &mut Exam) -> Outcome {
    let alert = parcel(&exam.maker.alert(&[]));
    exam.stored("an alert", &alert).await?;
    exam.note(&alert);
    Ok(())
}

pub(super) async fn hash_of_bytes(exam: &mut Exam) -> Outcome {
    let alert = rewritten(&exam.maker.alert(&[]));
    exam.stored("an alert, indented and with \\u escapes", &alert)
        .await
}

pub(super) async fn repeat(exam: &mut Exam) -> Outcome {
    let alert = parcel(&exam.maker.alert(&[]));
    let first = exam.send("an alert", &alert).await;
    is_stored("an alert", &alert, &first)?;
    for _ in 0..REPEATS {
        let again = exam.send("the same again", &alert).await;
        is_stored("the same again", &alert, &again)?;
    }
    exam.note(&alert);
    Ok(())
}

pub(super) async fn other_bytes(exam: &mut Exam) -> Outcome {
    let event = exam.maker.alert(&[]);
    let first = parcel(&event);
    exam.stored("an alert", &first).await?;
    let other = changed(&event, |alert| {
        alert.insert("extra".to_owned(), json!("other bytes"));
    });
    let what = "other bytes under its id";
    let reply = exam.send(what, &other).await;
    refused_as_other(what, &other, &reply)?;
    exam.stored("the first bytes again", &first).await?;
    exam.note(&first);
    Ok(())
}

/// Its bytes are not those that are stored under its id.
fn refused_as_other(what: &str, other: &Parcel, reply: &Reply) -> Outcome {
    let receipt = receipt(what, other, reply)?;
    match &*receipt.status {
        "refused" => match receipt.reason.as_deref() {
            None | Some("") => Err(fails(format!("{what}: refused without a reason"))),
            Some(_) => Ok(()),
        },
        "stored" => Err(fails(format!(
            "{what}: taken, so the first message is lost or the new one was never looked at"
        ))),
        status => Err(fails(format!("{what}: status is \"{status}\""))),
    }
}

pub(super) async fn at_once(exam: &mut Exam) -> Outcome {
    let alert = parcel(&exam.maker.alert(&[]));
    let copies = vec![alert.clone(); COPIES];
    let replies = exam.send_at_once("a copy", &copies).await;
    for reply in &replies {
        is_stored("one of eight copies at once", &alert, reply)?;
    }
    exam.note(&alert);
    Ok(())
}

pub(super) async fn any_order(exam: &mut Exam) -> Outcome {
    let alert = new_id();
    let maker = &exam.maker;
    let raised = parcel(&maker.alert_message(&alert, 1, AlertState::Raised, &[]));
    let updated = parcel(&maker.alert_message(&alert, 2, AlertState::Updated, &[]));
    exam.stored("the update of an alert that was not raised yet", &updated)
        .await?;
    exam.stored("its raise", &raised).await
}

/// In the run after the restart; the notes are those of the run before.
pub(super) async fn durable(exam: &mut Exam) -> Outcome {
    let messages = exam.notes.messages();
    if messages.is_empty() && exam.notes.pictures.is_empty() {
        return Err(Miss::Skipped(
            "the run before noted nothing that was acknowledged".to_owned(),
        ));
    }
    // First with other bytes: a receiver that forgot the message would take it as new.
    for message in &messages {
        let mut bytes = message.bytes.to_vec();
        bytes.push(b' ');
        let other = raw(&message.id, message.content, bytes);
        let what = "other bytes under the id of a message acknowledged before the restart";
        let reply = exam.send(what, &other).await;
        refused_as_other(what, &other, &reply).map_err(|miss| match miss {
            Miss::Fails(why) => fails(format!("{why}; it has forgotten what it acknowledged")),
            other => other,
        })?;
    }
    for message in &messages {
        exam.stored("a message acknowledged before the restart", message)
            .await?;
    }
    for (sha256, bytes) in exam.notes.pictures.clone() {
        let mut named = Picture::new().evidence();
        named.sha256 = sha256;
        named.bytes = bytes;
        let alert = parcel(&exam.maker.alert(&[named]));
        exam.stored("an alert that names a picture stored before", &alert)
            .await?;
    }
    Ok(())
}
