//! Whether a command may be carried out. Pure.
//!
//! Being let through by a broker is not enough: a command is signed by a key that the station's
//! own file names, for this station, for a time, once. What it may do then is bounded here.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use wangge_protocol::{AnswerResult, Command, CommandVerb};

use super::{Change, MAX_WORD, is_id, is_text, moment};
use crate::{
    clock::Now,
    config::{CommandKey, Commands},
};

/// How far ahead `not_after` may lie.
pub const MAX_AHEAD: Duration = Duration::from_secs(24 * 3_600);
/// Commands that are remembered against replay. When all are still good, no more are taken.
pub const MAX_SEEN: usize = 1_000;
/// Pictures an hour on demand: nobody gets a film this way.
pub const PICTURES_PER_HOUR: usize = 30;
/// Reloads an hour.
pub const RELOADS_PER_HOUR: usize = 30;

const PREFIX: &[u8] = b"command/";

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    Reload,
    Picture {
        camera: Arc<str>,
        zone: Arc<str>,
    },
    Silence {
        device: Arc<str>,
        rule: String,
        until: Timestamp,
    },
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub result: AnswerResult,
    pub reason: String,
    /// Whoever sent it holds a key: then the refusal is worth an entry in the audit log.
    pub is_signed: bool,
}

/// A command that was taken, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    not_after: Timestamp,
}

/// Who knows the keys, and what was taken before.
#[derive(Debug)]
pub struct Clerk {
    station: Arc<str>,
    keys: Vec<CommandKey>,
    max_silence: Duration,
    seen: BTreeMap<String, Seen>,
    /// When (monotonic) pictures and reloads of the last hour were ordered.
    pictures: Vec<Duration>,
    reloads: Vec<Duration>,
}

impl Clerk {
    /// With what an earlier run took, from the stored state; keys of others are passed over.
    pub fn restore(station: &Arc<str>, config: &Commands, state: &[(Vec<u8>, Vec<u8>)]) -> Self {
        let mut clerk = Clerk {
            station: station.clone(),
            keys: config.keys.clone(),
            max_silence: config.max_silence,
            seen: BTreeMap::new(),
            pictures: Vec::new(),
            reloads: Vec::new(),
        };
        for (key, value) in state {
            let id = key.strip_prefix(PREFIX);
            let id = id.and_then(|id| std::str::from_utf8(id).ok());
            if let (Some(id), Ok(seen)) = (id, serde_json::from_slice(value)) {
                clerk.seen.insert(id.to_owned(), seen);
            }
        }
        clerk
    }

    /// Keys and bounds after the file was read again.
    pub fn reconfigure(&mut self, config: &Commands) {
        self.keys.clone_from(&config.keys);
        self.max_silence = config.max_silence;
    }

    /// What a command asks for, if it may. It then counts as taken, once its change is stored.
    /// Without a clock that can be believed none may: it could be long past its time.
    ///
    /// # Errors
    /// What to answer instead.
    pub fn check(
        &mut self,
        command: &Command,
        now: Now,
        is_clock_believed: bool,
    ) -> Result<(Order, Vec<Change>), Refusal> {
        let refuse = |result, reason: String, is_signed| Refusal {
            result,
            reason,
            is_signed,
        };
        if let Some(reason) = misshapen(command) {
            return Err(refuse(AnswerResult::Invalid, reason, false));
        }
        if !self.is_signed(command) {
            let reason = match self.keys.is_empty() {
                true => "this station takes no commands: its file names no `[commands] keys`",
                false => "not signed by a key that this station knows",
            };
            return Err(refuse(AnswerResult::Forbidden, reason.into(), false));
        }
        let signed = |result, reason: String| Err(refuse(result, reason, true));
        if *command.station != *self.station {
            let reason = format!("it is for station {}", command.station);
            return signed(AnswerResult::Forbidden, reason);
        }
        if self.seen.contains_key(&command.id) {
            let reason = "a command with this id was taken before".into();
            return signed(AnswerResult::Repeated, reason);
        }
        if !is_clock_believed {
            let reason = format!(
                "the station's clock is not to be believed: it says {}",
                now.wall
            );
            return signed(AnswerResult::Failed, reason);
        }
        let Some(not_after) = moment(&command.not_after) else {
            let reason = "`not_after` is no moment as RFC 3339 writes it".into();
            return signed(AnswerResult::Invalid, reason);
        };
        if not_after < now.wall {
            let reason = format!("not after {not_after}, and it is {}", now.wall);
            return signed(AnswerResult::Expired, reason);
        }
        if not_after.duration_since(now.wall)
            > SignedDuration::try_from(MAX_AHEAD).unwrap_or(SignedDuration::MAX)
        {
            let reason = format!(
                "`not_after` is more than {} h ahead",
                MAX_AHEAD.as_secs() / 3_600
            );
            return signed(AnswerResult::Invalid, reason);
        }
        let order = self
            .order(command, now)
            .map_err(|(result, reason)| refuse(result, reason, true))?;
        let Some(mut changes) = self.room(now.wall) else {
            let reason = format!("{MAX_SEEN} commands are still good; ask again later");
            return signed(AnswerResult::Failed, reason);
        };
        match &order {
            Order::Picture { .. } => self.pictures.push(now.mono),
            Order::Reload => self.reloads.push(now.mono),
            Order::Silence { .. } => {}
        }
        let seen = Seen { not_after };
        self.seen.insert(command.id.clone(), seen);
        let key = [PREFIX, command.id.as_bytes()].concat();
        changes.push((key, Some(serde_json::to_vec(&seen).unwrap_or_default())));
        Ok((order, changes))
    }

    fn is_signed(&self, command: &Command) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(&command.signature) else {
            return false;
        };
        let text = command.signed_text();
        let mut keys = self.keys.iter().filter(|key| key.id == command.keyid);
        keys.any(|key| {
            let key = UnparsedPublicKey::new(&ED25519, key.public);
            key.verify(text.as_bytes(), &signature).is_ok()
        })
    }

    fn order(&mut self, command: &Command, now: Now) -> Result<Order, (AnswerResult, String)> {
        let invalid = |reason: String| (AnswerResult::Invalid, reason);
        let field = |what: &str, value: &Option<String>| match value.as_deref() {
            Some(value) => Ok(value.to_owned()),
            None => {
                let verb = command.command.slug();
                Err(invalid(format!("`{verb}` needs `{what}`")))
            }
        };
        let hour = Duration::from_secs(3_600);
        let busy = |times: &mut Vec<Duration>, most: usize, what: &str| {
            times.retain(|at| now.mono.saturating_sub(*at) < hour);
            match times.len() < most {
                true => Ok(()),
                false => Err((
                    AnswerResult::Failed,
                    format!("more than {most} {what} in an hour"),
                )),
            }
        };
        match command.command {
            CommandVerb::Reload => {
                busy(&mut self.reloads, RELOADS_PER_HOUR, "reloads")?;
                Ok(Order::Reload)
            }
            CommandVerb::Picture => {
                let camera = field("device", &command.device)?.into();
                let zone = field("zone", &command.zone)?.into();
                busy(&mut self.pictures, PICTURES_PER_HOUR, "pictures")?;
                Ok(Order::Picture { camera, zone })
            }
            CommandVerb::Silence => {
                let device = field("device", &command.device)?.into();
                let rule = field("rule", &command.rule)?;
                let until = field("until", &command.until)?;
                let until = moment(&until)
                    .ok_or_else(|| invalid("`until` is no moment as RFC 3339 writes it".into()))?;
                let length = until.duration_since(now.wall);
                if length > SignedDuration::try_from(self.max_silence).unwrap_or_default() {
                    return Err(invalid(format!(
                        "`until` is more than {} h ahead, which is the most that this station's file allows",
                        self.max_silence.as_secs_f64() / 3_600.0
                    )));
                }
                Ok(Order::Silence {
                    device,
                    rule,
                    until,
                })
            }
        }
    }

    /// Forgets the oldest where there is no room for one more; `None` if all are still good.
    fn room(&mut self, now: Timestamp) -> Option<Vec<Change>> {
        if self.seen.len() < MAX_SEEN {
            return Some(Vec::new());
        }
        // One that expired is refused as such, remembered or not.
        let oldest = self.seen.iter().min_by_key(|(_, seen)| seen.not_after)?;
        if oldest.1.not_after >= now {
            return None;
        }
        let id = oldest.0.clone();
        self.seen.remove(&id);
        Some(vec![([PREFIX, id.as_bytes()].concat(), None)])
    }
}

/// What is wrong with a command before anybody asks who sent it.
fn misshapen(command: &Command) -> Option<String> {
    let optional = [
        ("device", &command.device),
        ("zone", &command.zone),
        ("rule", &command.rule),
        ("until", &command.until),
        ("by", &command.by),
    ];
    let given = optional
        .iter()
        .filter_map(|(what, text)| Some((*what, text.as_deref()?)));
    let all = given.chain([
        ("station", command.station.as_str()),
        ("not_after", &command.not_after),
        ("keyid", &command.keyid),
    ]);
    for (what, text) in all {
        if !is_text(text, MAX_WORD) {
            return Some(format!(
                "`{what}` may have {MAX_WORD} characters, and no control characters"
            ));
        }
    }
    (!is_id(&command.id)).then(|| "`id` must have 1 to 64 printable ASCII characters".into())
}

#[cfg(test)]
mod tests;
