//! Verdicts and commands.

use std::time::Duration;

use super::{At, Checker, Seen, limits};
use crate::config::{
    CommandKey, Commands, Verdicts,
    raw::{RawCommands, RawVerdicts},
};

/// Default for `verdicts.reopen_after`.
const REOPEN_AFTER: Duration = Duration::from_secs(30 * 60);
/// Default for `commands.max_silence`.
const MAX_SILENCE: Duration = Duration::from_secs(24 * 3_600);

pub(super) fn verdicts(cx: &mut Checker<'_, '_>, raw: Option<&RawVerdicts>) -> Verdicts {
    let root = At::Root;
    let at = root.key("verdicts");
    let written = raw.and_then(|raw| raw.reopen_after.as_ref());
    Verdicts {
        reopen_after: cx.duration(
            at.key("reopen_after"),
            written,
            REOPEN_AFTER,
            &limits::REOPEN_AFTER,
        ),
    }
}

pub(super) fn commands(cx: &mut Checker<'_, '_>, raw: Option<&RawCommands>) -> Commands {
    let nothing = RawCommands::default();
    let raw = raw.unwrap_or(&nothing);
    let root = At::Root;
    let at = root.key("commands");
    let max_silence = cx.duration(
        at.key("max_silence"),
        raw.max_silence.as_ref(),
        MAX_SILENCE,
        &limits::MAX_SILENCE,
    );
    let list = at.key("keys");
    let mut seen = Seen::new();
    let mut keys = Vec::new();
    for (i, text) in raw.keys.iter().flatten().enumerate() {
        let at = list.index(i);
        match CommandKey::parse(text) {
            Some(key) => {
                if cx.unique(&mut seen, at, "key", &key.id) {
                    keys.push(key);
                }
            }
            None => {
                let help = "32 bytes in base64 or base64url, or PEM; the public half, as `wangge-platform key` prints it";
                cx.error(at, "this is no Ed25519 public key", help);
            }
        }
    }
    Commands { keys, max_silence }
}
