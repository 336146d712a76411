use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use wangge_protocol::ClockQuality;

use super::*;
use crate::{
    clock::Stamp,
    proof::{
        chain::{Made, Sealer},
        key::Identity,
        message::sha256,
    },
};

/// Keys are slow to make.
static KEYS: LazyLock<[Arc<Identity>; 2]> = LazyLock::new(|| {
    [(); 2].map(|()| {
        Arc::new(
            Identity::open(tempfile::tempdir().unwrap().path())
                .unwrap()
                .0,
        )
    })
});

fn made() -> Made {
    Made {
        software: "0.1.0".into(),
        config_hash: "0123456789abcdef".into(),
    }
}

fn stamp() -> Stamp {
    Stamp {
        quality: ClockQuality::Synchronised,
        boot: "00000000-0000-4000-8000-000000000001".into(),
        uptime_ms: 1,
    }
}

fn body(station: &str, n: usize, pictures: &[Vec<u8>]) -> Vec<u8> {
    let evidence = pictures.iter().map(|p| {
        serde_json::json!({"sha256": sha256(p), "bytes": p.len(), "media_type": "image/jpeg",
            "role": "scene", "taken_at": "2026-11-26T00:00:00Z"})
    });
    serde_json::to_vec(&serde_json::json!({
        "specversion": "1.0",
        "id": format!("id-{n}"),
        "source": format!("/stations/{station}"),
        "type": "cn.wangge.alert.raised.v1",
        "data": {"text": "满溢", "evidence": evidence.collect::<Vec<_>>()},
    }))
    .unwrap()
}

/// What a platform stored: alerts with a picture each.
#[derive(Clone)]
struct Shop {
    messages: Vec<Vec<u8>>,
    pictures: BTreeMap<String, Vec<u8>>,
    keys: Keys,
    heads: Vec<String>,
    is_part: bool,
}

impl Shop {
    fn new(count: usize) -> Shop {
        Shop::of("haitang", &KEYS[0], count)
    }

    fn of(station: &str, key: &Arc<Identity>, count: usize) -> Shop {
        let mut sealer = Sealer::restore(Some(key.clone()), made(), &[]);
        let mut shop = Shop {
            messages: Vec::new(),
            pictures: BTreeMap::new(),
            keys: Keys::default(),
            heads: Vec::new(),
            is_part: false,
        };
        shop.keys.add(Some(station), *key.public());
        for n in 0..count {
            let picture = format!("picture {n}").into_bytes();
            let body = body(station, n, std::slice::from_ref(&picture));
            shop.pictures.insert(sha256(&picture), picture);
            let sealed = sealer.seal("city", (&format!("id-{n}"), &body), false, &stamp());
            shop.messages.push(sealed.body);
        }
        shop
    }

    fn stored(&self) -> Vec<Stored> {
        let place = |n: usize| format!("line {}", n + 1);
        let messages = self.messages.iter().enumerate();
        messages
            .map(|(n, bytes)| Stored {
                place: place(n),
                bytes: bytes.clone(),
                noted: None,
            })
            .collect()
    }

    fn report(&self) -> Report {
        let mut look = |sha: &str| match self.pictures.get(sha) {
            None => Picture::Missing,
            Some(bytes) if sha256(bytes) == sha => Picture::Sound,
            Some(_) => Picture::Changed,
        };
        let mut verifier = Verifier::new(&self.keys, Some(&mut look));
        self.heads.iter().for_each(|head| verifier.head(head));
        if self.is_part {
            verifier.part();
        }
        self.stored()
            .iter()
            .for_each(|stored| verifier.take(stored));
        verifier.finish()
    }

    /// The first broken link: its place and what is wrong.
    fn first(&self) -> Option<(String, What)> {
        let report = self.report();
        report.faults.first().map(|f| (f.place.clone(), f.what))
    }
}

fn at(line: usize, what: What) -> Option<(String, What)> {
    Some((format!("line {line}"), what))
}

#[test]
fn what_is_whole_is_whole_repeats_and_late_comers_included() {
    let mut shop = Shop::new(5);
    let report = shop.report();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(
        (report.sealed, report.pictures, report.chains.len()),
        (5, 5, 1)
    );
    let chain = &report.chains[0];
    assert_eq!((chain.first, chain.last), (1, 5));
    assert_eq!(chain.head, sha256(&shop.messages[4]));
    shop.messages.push(shop.messages[2].clone());
    shop.messages.swap(0, 3);
    let report = shop.report();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.messages, report.sealed), (6, 5));
}

#[test]
fn every_flipped_byte_of_a_message_is_found_where_it_is() {
    let shop = Shop::new(3);
    for line in 0..3 {
        for byte in 0..shop.messages[line].len() {
            let mut altered = shop.clone();
            altered.messages[line][byte] ^= 1 << (byte % 8);
            let (place, _) = altered
                .first()
                .unwrap_or_else(|| panic!("line {line} byte {byte}"));
            assert_eq!(place, format!("line {}", line + 1), "byte {byte}");
        }
    }
}

#[test]
fn every_flipped_byte_of_a_picture_is_found() {
    let shop = Shop::new(2);
    for (name, bytes) in &shop.pictures {
        for byte in 0..bytes.len() {
            let mut altered = shop.clone();
            altered.pictures.get_mut(name).unwrap()[byte] ^= 1;
            let (_, what) = altered.first().unwrap();
            assert_eq!(what, What::PictureChanged);
        }
        let mut without = shop.clone();
        without.pictures.remove(name);
        assert_eq!(without.first().unwrap().1, What::PictureMissing);
    }
    // Two pictures that changed places.
    let mut swapped = shop;
    let mut bytes: Vec<_> = swapped.pictures.values().cloned().collect();
    bytes.reverse();
    for (picture, other) in swapped.pictures.values_mut().zip(bytes) {
        *picture = other;
    }
    assert_eq!(swapped.first(), at(1, What::PictureChanged));
}

/// A thin line brings the small picture, and the full one only when somebody asks for it.
#[test]
fn a_small_picture_alone_is_told_and_an_altered_one_is_found() {
    let (full, small) = (b"a full picture".to_vec(), b"a small one".to_vec());
    let mut shop = Shop::new(0);
    let mut body: serde_json::Value =
        serde_json::from_slice(&body("haitang", 0, std::slice::from_ref(&full))).unwrap();
    body["data"]["evidence"][0]["thumbnail"] = sha256(&small).into();
    let body = serde_json::to_vec(&body).unwrap();
    let mut sealer = Sealer::restore(Some(KEYS[0].clone()), made(), &[]);
    let sealed = sealer.seal("city", ("id-0", &body), false, &stamp());
    shop.messages.push(sealed.body);
    assert_eq!(shop.first(), at(1, What::PictureMissing));
    shop.pictures.insert(sha256(&small), small.clone());
    let report = shop.report();
    assert_eq!(
        (report.is_whole(), report.small_only),
        (true, 1),
        "{report:?}"
    );
    shop.pictures.insert(sha256(&full), full);
    let report = shop.report();
    assert_eq!(
        (report.is_whole(), report.small_only, report.pictures),
        (true, 0, 2)
    );
    shop.pictures.insert(sha256(&small), b"another".to_vec());
    assert_eq!(shop.first(), at(1, What::PictureChanged));
}

#[test]
fn removed_messages_are_named_by_their_numbers() {
    let mut shop = Shop::new(6);
    shop.messages.drain(2..4);
    assert_eq!(shop.first(), at(3, What::Removed));
    let report = shop.report();
    let text = &report.faults[0].text;
    assert!(text.contains("sequence 3 to 4 are missing"), "{text}");
    assert_eq!(report.faults.len(), 1);

    let gap = br#"{"specversion":"1.0","id":"g","source":"/stations/haitang","type":"cn.wangge.gap.v1","data":{"class":"alert","stream":"alerts","count":2,"first_seq":9,"last_seq":10,"reason":"poison"}}"#;
    shop.messages.push(gap.to_vec());
    let text = &shop.report().faults[0].text;
    assert!(
        text.contains("gave up 2") && text.contains("poison"),
        "{text}"
    );

    let mut shop = Shop::new(2);
    shop.messages.remove(0);
    assert_eq!(shop.first(), at(1, What::Removed));
    shop.is_part = true;
    assert_eq!(shop.first(), None);
    // A part must still hang together.
    let mut shop = Shop::new(5);
    shop.messages.remove(0);
    shop.messages.remove(2);
    shop.is_part = true;
    assert_eq!(shop.first(), at(3, What::Removed));
}

#[test]
fn a_cut_at_the_end_shows_to_who_noted_a_hash() {
    let mut shop = Shop::new(4);
    shop.heads = vec![sha256(&shop.messages[3])];
    assert_eq!(shop.first(), None);
    shop.messages.pop();
    assert_eq!(shop.first().unwrap().1, What::HeadMissing);
    shop.heads.clear();
    assert_eq!(shop.first(), None, "a chain alone cannot show it");
}

#[test]
fn unsigned_and_strange_keys_are_found() {
    let mut shop = Shop::new(2);
    shop.messages[1] = body("haitang", 1, &[]);
    assert_eq!(shop.first(), at(2, What::Unsigned));
    // Sealed in form, by somebody whose key nobody gave.
    let forged = Shop::of("haitang", &KEYS[1], 1);
    let mut shop = Shop::new(1);
    shop.messages.extend(forged.messages.clone());
    assert_eq!(shop.first(), at(2, What::WrongKey));
    // A station may not speak for another.
    let other = Shop::of("jinji", &KEYS[0], 1);
    assert_eq!(other.first(), None);
    shop.messages = other.messages;
    assert_eq!(shop.first(), at(1, What::WrongKey));
    // The seal of one message on another.
    let mut shop = Shop::new(2);
    let seal_at = |m: &[u8]| m.windows(9).position(|w| w == b",\"clock\":").unwrap();
    let (first, second) = (shop.messages[0].clone(), shop.messages[1].clone());
    shop.messages[1] = [&second[..seal_at(&second)], &first[seal_at(&first)..]].concat();
    assert_eq!(shop.first(), at(2, What::Altered));
}

#[test]
fn two_messages_in_one_place_are_a_fork_and_two_beginnings_are_told() {
    let mut sealer = Sealer::restore(Some(KEYS[0].clone()), made(), &[]);
    let mut shop = Shop::new(0);
    let mut state = Vec::new();
    for n in 0..2 {
        let sealed = sealer.seal("city", ("id", &body("haitang", n, &[])), false, &stamp());
        shop.messages.push(sealed.body);
        if n == 0 {
            let (key, value) = sealed.state_change.unwrap();
            state.push((key, value.unwrap()));
        }
    }
    // The storage was set back to after the first message.
    let mut sealer = Sealer::restore(Some(KEYS[0].clone()), made(), &state);
    let sealed = sealer.seal("city", ("id", &body("haitang", 7, &[])), false, &stamp());
    shop.messages.push(sealed.body);
    assert_eq!(shop.first(), at(3, What::Forked));

    let mut shop = Shop::new(2);
    let mut sealer = Sealer::restore(Some(KEYS[0].clone()), made(), &[]);
    let sealed = sealer.seal("street", ("id", &body("haitang", 9, &[])), false, &stamp());
    shop.messages.push(sealed.body);
    let report = shop.report();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.chains.len(), 2);
    assert!(
        report.notes[0].contains("began 2 chains"),
        "{:?}",
        report.notes
    );
}

#[test]
fn what_is_noted_beside_a_message_must_be_its_own() {
    let shop = Shop::new(2);
    let noted = |n: usize, received| Noted {
        id: Some(format!("id-{n}")),
        event_type: Some("cn.wangge.alert.raised.v1".into()),
        sha256: Some(sha256(&shop.messages[n])),
        received: Some(received),
    };
    let judge = |lines: [Noted; 2]| {
        let mut verifier = Verifier::new(&shop.keys, None);
        for (mut stored, noted) in shop.stored().into_iter().zip(lines) {
            stored.noted = Some(noted);
            verifier.take(&stored);
        }
        verifier
            .finish()
            .faults
            .first()
            .map(|f| (f.place.clone(), f.what))
    };
    assert_eq!(judge([noted(0, 5), noted(1, 5)]), None);
    assert_eq!(judge([noted(0, 6), noted(1, 5)]), at(2, What::Reordered));
    assert_eq!(judge([noted(1, 5), noted(0, 5)]), at(1, What::Misfiled));
    let mut other = noted(1, 5);
    other.event_type = Some("cn.wangge.telemetry.v1".into());
    assert_eq!(judge([noted(0, 5), other]), at(2, What::Misfiled));
}

#[test]
fn rubbish_is_broken_and_other_kinds_are_counted() {
    let mut shop = Shop::new(1);
    shop.messages.push(
        br#"{"id":"t","source":"/stations/haitang","type":"cn.wangge.telemetry.v1"}"#.to_vec(),
    );
    let report = shop.report();
    assert_eq!((report.is_whole(), report.others), (true, 1));
    shop.messages.push(b"rubbish".to_vec());
    assert_eq!(shop.first(), at(3, What::Unreadable));
    let keys = Keys::default();
    let mut verifier = Verifier::new(&keys, None);
    verifier.unreadable("line 1", "too long");
    assert_eq!(verifier.finish().faults[0].what, What::Unreadable);
}

#[test]
fn lists_of_keys_are_read_with_the_line_of_what_is_wrong() {
    let key = KEYS[0].public();
    let keys = Keys::parse(&format!(
        "# ours\n\nhaitang {key} # since 2026\n海棠 一 \t{key}\n"
    ))
    .unwrap();
    assert!(keys.find("haitang", &key.id()).is_some() && keys.find("海棠 一", &key.id()).is_some());
    assert!(keys.find("other", &key.id()).is_none());
    for (text, says) in [
        ("", "no key"),
        ("haitang", "line 1"),
        ("haitang AAAA", "line 1"),
        (&format!("haitang {key}\nx y z\n"), "line 2"),
    ] {
        let error = Keys::parse(text).unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever is taken out but for a tail, it is found; so is every exchange of bytes between
    /// two messages.
    #[test]
    fn removals_and_exchanges_are_found(
        out in proptest::collection::btree_set(0_usize..8, 1..7),
        (one, other) in (0_usize..8, 0_usize..8),
        part in 1_usize..200,
    ) {
        static WHOLE: LazyLock<Shop> = LazyLock::new(|| Shop::new(8));
        let mut shop = WHOLE.clone();
        for n in out.iter().rev() {
            shop.messages.remove(*n);
        }
        let is_tail = out.iter().copied().eq((8 - out.len())..8);
        prop_assert_eq!(shop.first().is_none(), is_tail);

        let mut shop = WHOLE.clone();
        let cut = part.min(shop.messages[one].len()).min(shop.messages[other].len());
        let (a, b) = (shop.messages[one].clone(), shop.messages[other].clone());
        shop.messages[one] = [&b[..cut], &a[cut..]].concat();
        shop.messages[other] = [&a[..cut], &b[cut..]].concat();
        let changed = shop.messages[one] != a;
        prop_assert_eq!(shop.first().is_some(), changed);
    }

    /// Any order is put right; altered bytes anywhere are found.
    #[test]
    fn order_does_not_matter_and_edits_do(
        order in Just((0_usize..6).collect::<Vec<_>>()).prop_shuffle(),
        line in 0_usize..6,
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        static WHOLE: LazyLock<Shop> = LazyLock::new(|| Shop::new(6));
        let mut shop = WHOLE.clone();
        shop.messages = order.iter().map(|n| WHOLE.messages[*n].clone()).collect();
        prop_assert_eq!(shop.first(), None);
        let at = at.index(shop.messages[line].len());
        let was = std::mem::replace(&mut shop.messages[line][at], with);
        prop_assert_eq!(shop.first().is_some(), was != with);
    }
}

/// Five alerts, the third and later ones by a key that took the place of the first; the list that
/// the station gives, and the two keys' ids.
fn rotated() -> (Shop, String, [String; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let (first, _) = Identity::open(dir.path()).unwrap();
    let mut shop = Shop::of("haitang", &KEYS[0], 0);
    let mut state = Vec::new();
    let first = Arc::new(first);
    let mut sealer = Sealer::restore(Some(first.clone()), made(), &[]);
    let mut second = None;
    for n in 0..5 {
        if n == 2 {
            let new = crate::proof::handover::rotate(dir.path(), "haitang").unwrap();
            let new = second.insert(Arc::new(new));
            sealer = Sealer::restore(Some(new.clone()), made(), &state);
        }
        let body = body("haitang", n, &[]);
        let sealed = sealer.seal("city", (&format!("id-{n}"), &body), false, &stamp());
        let (key, value) = sealed.state_change.unwrap();
        state = vec![(key, value.unwrap())];
        shop.messages.push(sealed.body);
    }
    let second = second.unwrap();
    let list = second.lineage().list.clone();
    shop.keys = Keys::parse(&list).unwrap();
    let ids = [first.id().to_owned(), second.id().to_owned()];
    (shop, list, ids)
}

#[test]
fn a_chain_goes_on_over_a_key_that_the_old_one_signed_for() {
    let (mut shop, _, [old, new]) = rotated();
    let report = shop.report();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.chains.len(), report.chains[0].last), (1, 5));
    let note = format!("station haitang changed its key at sequence 3: {old} signed for {new}");
    assert_eq!(report.notes, [note]);
    // What is taken out is missed on both sides of the change.
    shop.messages.remove(1);
    let report = shop.report();
    assert_eq!(shop.first(), at(2, What::Removed));
    assert!(report.faults[0].text.contains("sequence 2 is missing"));
}

#[test]
fn a_key_that_nobody_signed_for_does_not_go_on_with_a_chain() {
    let (mut shop, list, [old, new]) = rotated();
    let lines: Vec<_> = list.lines().collect();
    let handover: Vec<_> = lines[1].split(' ').collect();
    // The old key alone.
    shop.keys = Keys::parse(lines[0]).unwrap();
    assert_eq!(shop.first(), at(3, What::WrongKey));
    // Both, and no word of one to the other.
    let alone = format!("{}\nhaitang {}", lines[0], handover[1]);
    shop.keys = Keys::parse(&alone).unwrap();
    assert_eq!(shop.first(), at(3, What::NotHandedOver));
    // Forged, for another station, without the old key, twice, and of a key that is known.
    let other = KEYS[1].public().to_string();
    for (list, says) in [
        (
            list.replace(handover[1], &other),
            format!("not signed by key {old}"),
        ),
        (
            list.replace("haitang", "yulan"),
            format!("not signed by key {old}"),
        ),
        (
            lines[1].to_owned(),
            format!("key {old}, which hands over here"),
        ),
        (
            format!("{alone}\n{}", lines[1]),
            format!("key {new} was believed"),
        ),
        (list.replace("after", "before"), "line 2".to_owned()),
    ] {
        let error = Keys::parse(&list).unwrap_err();
        assert!(
            error.starts_with("line ") && error.contains(&says),
            "{error}"
        );
    }
    assert!(Keys::parse(&format!("{list}{list}")).is_ok());
}
