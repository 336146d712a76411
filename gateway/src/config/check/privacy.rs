//! What is kept of pictures, for how long, and who may open what.

use std::{collections::BTreeMap, time::Duration};

use wangge_protocol::EventKind;

use super::{At, Checker, limits};
use crate::{
    config::{
        Retention,
        raw::{RawPrivacy, RawRetention},
    },
    seal::Recipient,
};

const HOUR: Duration = Duration::from_secs(3_600);
/// Default for `retention.default`.
const DEFAULT: Duration = HOUR.saturating_mul(24 * 30);
/// Default for `retention.unconfirmed`.
const UNCONFIRMED: Duration = HOUR.saturating_mul(24);
/// Term of sealed originals that were left by an earlier configuration.
const SEALED: Duration = HOUR.saturating_mul(72);

pub(super) fn retention(
    cx: &mut Checker<'_, '_>,
    raw: Option<&RawRetention>,
    privacy: Option<&RawPrivacy>,
) -> Retention {
    let nothing = RawRetention::default();
    let raw = raw.unwrap_or(&nothing);
    let root = At::Root;
    let at = root.key("retention");
    let default = cx.duration(
        at.key("default"),
        raw.default.as_ref(),
        DEFAULT,
        &limits::RETENTION,
    );
    let unconfirmed = cx.duration(
        at.key("unconfirmed"),
        raw.unconfirmed.as_ref(),
        UNCONFIRMED,
        &limits::RETENTION,
    );
    let mut kinds = BTreeMap::new();
    let list = at.key("kinds");
    for (name, term) in &raw.kinds {
        let at = list.key(name);
        let Ok(kind) = name.parse::<EventKind>() else {
            let known = EventKind::ALL.iter().map(|kind| kind.slug());
            cx.unknown(at, "event kind", name, known, "an event kind");
            continue;
        };
        kinds.insert(
            kind,
            cx.duration(at, Some(term), default, &limits::RETENTION),
        );
    }
    let sealed = privacy.and_then(|p| p.sealed_original.as_ref());
    let root = root.key("privacy");
    let table = root.key("sealed_original");
    Retention {
        default,
        unconfirmed,
        kinds,
        sealed: cx.duration(
            table.key("keep"),
            sealed.and_then(|s| s.keep.as_ref()),
            SEALED,
            &limits::SEALED_KEEP,
        ),
    }
}

/// Whom originals are sealed for, if anybody.
pub(super) fn sealed_for(
    cx: &mut Checker<'_, '_>,
    privacy: Option<&RawPrivacy>,
    has_cameras: bool,
) -> Option<Recipient> {
    let sealed = privacy?.sealed_original.as_ref()?;
    let root = At::Root;
    let root = root.key("privacy");
    let table = root.key("sealed_original");
    if !has_cameras {
        cx.warn(table, "`sealed_original` without a camera does nothing", "");
    }
    let at = table.key("recipient");
    let text = sealed.recipient.as_deref()?;
    match text.parse::<Recipient>() {
        Ok(recipient) => Some(recipient),
        Err(error) => {
            let help = "the key's holder runs `wangge seal-key --out FILE` elsewhere, and gives you the line that it prints";
            cx.error(at, format!("the recipient is no public key: {error}"), help);
            None
        }
    }
}
