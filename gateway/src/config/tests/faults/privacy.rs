//! Terms, and keys for sealing.

use super::{RTSP, ZONE, bin, camera, one, one_at};
use crate::{config::tests::Site, seal::SecretKey};

#[test]
fn terms() {
    one(
        &bin("[retention]\nkinds = { ilegal_dumping = \"90d\" }"),
        "retention.kinds.ilegal_dumping",
        "no event kind",
        "illegal_dumping",
    );
    one(
        &bin("[retention]\nkinds = { illegal_dumping = \"90\" }"),
        "retention.kinds.illegal_dumping",
        "90",
        "1h",
    );
    one(
        &bin("[storage.evidence_keep]"),
        "storage.evidence_keep",
        "unknown key",
        "",
    );
}

#[test]
fn keys_for_sealing() {
    let site = Site::new();
    let sealed = |fields: &str| {
        let camera = camera(&site, RTSP, ZONE);
        format!("{camera}[privacy]\nsealed_original = {{ {fields} }}\n")
    };
    let key = SecretKey::generate();
    let good = format!("recipient = \"{}\", keep = \"72h\"", key.recipient());
    let config = site.good(&sealed(&good));
    let vision = config.vision.expect("a camera needs it");
    assert_eq!(vision.sealed_for, Some(key.recipient()));
    assert_eq!(config.storage.retention.sealed.as_secs(), 72 * 3_600);
    let at = "privacy.sealed_original.recipient";
    let of = |recipient: &str| sealed(&format!("recipient = \"{recipient}\", keep = \"72h\""));
    one_at(
        &site,
        &of("age1qqqq"),
        at,
        "no public key",
        "wangge seal-key",
    );
    one_at(&site, &of(&key.expose()), at, "secret half", "");
    let mut typo = key.recipient().to_string();
    let swapped = if typo.ends_with('0') { "1" } else { "0" };
    typo.replace_range(typo.len() - 1.., swapped);
    one_at(&site, &of(&typo), at, "mistyped", "");
    one_at(
        &site,
        &sealed(&format!("recipient = \"{}\"", key.recipient())),
        "privacy.sealed_original.keep",
        "`keep` is missing",
        "",
    );
}
