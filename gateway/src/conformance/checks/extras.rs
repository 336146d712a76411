//! Who may send, what a broker keeps, and the way back.

use serde_json::{Value, json};

use super::super::{
    exam::{Exam, Miss, Outcome, fails, has_status, is_stored, receipt},
    material::{Picture, changed, parcel},
    peer::{Login, Peer, Reply, shown},
};

pub(super) async fn token(exam: &mut Exam) -> Outcome {
    match &exam.peer {
        Peer::Mqtt(_) => {
            return Err(Miss::Skipped(
                "over MQTT it is the broker who asks for passwords".to_owned(),
            ));
        }
        Peer::Https(peer) if !peer.has_token() => {
            return Err(Miss::Skipped(
                "no --token-file was given, so everybody may send".to_owned(),
            ));
        }
        Peer::Https(_) => {}
    }
    let event = exam.maker.alert(&[]);
    let strange = changed(&event, |alert| {
        alert.insert("extra".to_owned(), json!("from somebody without a token"));
    });
    let picture = Picture::new();
    for (login, who) in [
        (Login::None, "without a token"),
        (Login::Wrong, "with a wrong token"),
    ] {
        for (what, parcel) in [("an alert", &strange), ("a picture", &picture.parcel())] {
            let what = format!("{what} {who}");
            let reply = exam.send_as(login, &what, parcel).await;
            turned_away(&what, &reply)?;
        }
    }
    // Had the strange one been stored, these bytes would now be refused.
    let what = "another alert under the same id, with the right token";
    let own = parcel(&event);
    let reply = exam.send(what, &own).await;
    is_stored(what, &own, &reply).map_err(|miss| match miss {
        Miss::Fails(why) => fails(format!(
            "{why}; it took what came without the right token, although it answered otherwise"
        )),
        other => other,
    })?;
    let what = "an alert that names the picture that came without the right token";
    let alert = parcel(&exam.maker.alert(&[picture.evidence()]));
    let reply = exam.send(what, &alert).await;
    has_status(what, receipt(what, &alert, &reply)?, "evidence_missing")
}

fn turned_away(what: &str, reply: &Reply) -> Outcome {
    match reply {
        Reply::Http(401 | 403, _) => Ok(()),
        Reply::Receipt(..) => Err(fails(format!("{what}: it was taken"))),
        other => Err(fails(format!(
            "{what}: expected 401 or 403, got {}",
            other.text()
        ))),
    }
}

pub(super) async fn not_retained(exam: &mut Exam) -> Outcome {
    let Peer::Mqtt(peer) = &exam.peer else {
        return Err(Miss::Skipped("there is no broker".to_owned()));
    };
    let kept = peer.keeps_receipts().await;
    let came = match &kept {
        Ok(true) => "a receipt that the broker had kept".to_owned(),
        Ok(false) => "nothing".to_owned(),
        Err(reason) => reason.clone(),
    };
    exam.log("a new subscription to the receipts".to_owned(), came);
    match kept {
        Ok(false) => Ok(()),
        Ok(true) => Err(fails("receipts are published with the retain flag")),
        Err(reason) => Err(fails(reason)),
    }
}

pub(super) async fn inbox(exam: &mut Exam) -> Outcome {
    let Peer::Https(peer) = &exam.peer else {
        return Err(Miss::Skipped(
            "over MQTT verdicts and commands are published".to_owned(),
        ));
    };
    let has_token = peer.has_token();
    let reply = peer.inbox(&exam.station, Login::Right).await;
    let stranger = match has_token {
        true => Some(peer.inbox(&exam.station, Login::None).await),
        false => None,
    };
    let sent = format!("GET /inbox?station={}&wait=0", exam.station);
    let text = |reply: &Result<(u16, bytes::Bytes), String>| match reply {
        Ok((status, body)) => format!("{status} {}", shown(body)),
        Err(reason) => format!("no answer: {reason}"),
    };
    exam.log(sent.clone(), text(&reply));
    let (status, body) = reply.map_err(fails)?;
    match status {
        204 => {}
        200 => {
            let value: Value = serde_json::from_slice(&body)
                .map_err(|e| fails(format!("the inbox is no JSON: {e}")))?;
            for key in ["verdicts", "commands"] {
                match value.get(key) {
                    Some(Value::Array(_)) | None => {}
                    Some(_) => return Err(fails(format!("\"{key}\" is no array"))),
                }
            }
            if !value.is_object() {
                return Err(fails("the inbox is no JSON object"));
            }
        }
        404 | 405 | 501 => {
            return Err(Miss::NotOffered(format!(
                "GET /inbox is answered by {status}: no verdicts, no commands"
            )));
        }
        status => return Err(fails(format!("GET /inbox is answered by {status}"))),
    }
    if let Some(stranger) = stranger {
        exam.log(format!("{sent} without a token"), text(&stranger));
        match stranger {
            Ok((401 | 403, _)) => {}
            _ => return Err(fails("everybody may read the inbox, without a token too")),
        }
    }
    Ok(())
}

pub(super) async fn answers(exam: &mut Exam) -> Outcome {
    let message = parcel(&exam.maker.answer());
    let what = "an answer to a verdict that nobody sent";
    let reply = exam.send(what, &message).await;
    offered(
        exam,
        &reply,
        "as long as no verdicts are sent, no answers are",
    )?;
    is_stored(what, &message, &reply)
}

pub(super) async fn digests(exam: &mut Exam) -> Outcome {
    let message = parcel(&exam.maker.digest());
    let what = "a digest";
    let reply = exam.send(what, &message).await;
    offered(exam, &reply, "as long as no station is told to send any")?;
    is_stored(what, &message, &reply)
}

/// A refusal, or over MQTT nobody on that topic, where that is the receiver's choice.
fn offered(exam: &Exam, reply: &Reply, fine: &str) -> Outcome {
    match reply {
        Reply::Receipt(receipt, _) if receipt.status == "refused" => Err(Miss::NotOffered(
            format!("they are refused: nothing is lost, {fine}"),
        )),
        Reply::Silence(_) if matches!(exam.peer, Peer::Mqtt(_)) => Err(Miss::NotOffered(format!(
            "nobody answers on that topic: nothing is lost, {fine}"
        ))),
        _ => Ok(()),
    }
}
