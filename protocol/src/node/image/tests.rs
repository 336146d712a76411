#![allow(clippy::unwrap_used)]

use std::{vec, vec::Vec};

use proptest::prelude::*;

use super::*;

/// Made by Python's `cryptography` (OpenSSL) from the table in this module's documentation:
/// secret key 00 01 … 1f, binary ten times `wangge`.
const GOLDEN: &str = "57474e49010000010103020308004800000000070000003c519b14a11cecc71acb3c81caecf777696b3f484441595f410f0980618031768656475aa75463474c685ce6849bb98071beb0821d6001c26565935dd13fa2a06653c4a5c175f2527fa43612be25e8453dbaf75612a4f0537a58a8d9c2d2e84290f7d888b5e88f8e07";

fn binary() -> Vec<u8> {
    b"wangge".repeat(10)
}

fn key() -> SecretKey {
    SecretKey::from_seed(core::array::from_fn(|i| i as u8))
}

fn fields() -> Manifest {
    Manifest {
        development: false,
        kinds: kind_bit(NodeKind::Bin),
        hardware: 0x0103,
        firmware: 0x0203,
        address: 0x0800_4800,
        counter: 7,
        length: 0,
        hash: [0; 32],
        key: [0; 8],
        signature: [0; 64],
    }
}

fn file(key: &SecretKey) -> Vec<u8> {
    let mut file = key.sign(fields(), &binary()).unwrap().to_vec();
    file.extend(binary());
    file
}

#[test]
fn an_image_is_byte_for_byte_what_it_was() {
    let signed = key().sign(fields(), &binary()).unwrap();
    assert_eq!(hex::encode(signed), GOLDEN);
    let manifest = Manifest::from_bytes(&signed).unwrap();
    assert_eq!((manifest.length, manifest.counter), (60, 7));
    assert_eq!((manifest.firmware, manifest.hardware), (0x0203, 0x0103));
    assert!(manifest.serves(NodeKind::Bin) && !manifest.serves(NodeKind::Meter));
    assert_eq!(manifest.to_bytes(), signed);
}

#[test]
fn every_flipped_bit_is_found() {
    let good = file(&key());
    let keys = [key().public()];
    assert_eq!(open(&good, &keys, false).unwrap().1, binary());
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let refused = open(&bad, &keys, false).unwrap_err();
        let expected: &[UpdateError] = match bit / 8 {
            0..4 => &[UpdateError::NotAnImage],
            4 => &[UpdateError::Format],
            // The flag for development is one that is known.
            5 => &[UpdateError::Format, UpdateError::Development],
            6..8 => &[UpdateError::Product, UpdateError::Signature],
            20..24 => &[UpdateError::Length],
            8..56 => &[UpdateError::Signature],
            56..64 => &[UpdateError::UnknownKey],
            64..128 => &[UpdateError::Signature],
            _ => &[UpdateError::Hash],
        };
        assert!(expected.contains(&refused), "bit {bit}: {refused:?}");
    }
}

#[test]
fn a_file_that_is_cut_short_or_goes_on_is_refused() {
    let good = file(&key());
    for length in 0..good.len() {
        let refused = split(&good[..length]).unwrap_err();
        let expected = if length < 4 {
            UpdateError::NotAnImage
        } else {
            UpdateError::Length
        };
        assert_eq!(refused, expected, "{length} bytes");
    }
    for more in [1, 10, 1_000] {
        let mut long = good.clone();
        long.resize(good.len() + more, 0xFF);
        assert_eq!(split(&long).unwrap_err(), UpdateError::Length);
    }
}

#[test]
fn only_a_key_that_is_trusted_counts() {
    let good = file(&key());
    let other = SecretKey::from_seed([9; 32]);
    let check =
        |file: &[u8], keys: &[[u8; 32]], development| open(file, keys, development).map(drop).err();
    assert_eq!(check(&good, &[[0; 32], key().public()], false), None);
    for keys in [&[][..], &[[0; 32]; 2], &[other.public()]] {
        assert_eq!(check(&good, keys, true), Some(UpdateError::UnknownKey));
    }
    let mut unsigned = good.clone();
    unsigned[64..128].fill(0);
    assert_eq!(
        check(&unsigned, &[key().public()], true),
        Some(UpdateError::Unsigned)
    );
    unsigned[56..64].fill(0);
    assert_eq!(
        check(&unsigned, &[key().public()], true),
        Some(UpdateError::Unsigned)
    );
}

#[test]
fn a_release_refuses_what_was_signed_for_development() {
    let dev = SecretKey::development();
    assert_eq!(dev.id(), DEV_KEY_ID, "the constant is of this key");
    let marked = file(&dev);
    let trusted = [dev.public()];
    assert!(Manifest::from_bytes(&marked).unwrap().development);
    assert!(open(&marked, &trusted, true).is_ok());
    assert_eq!(
        open(&marked, &trusted, false).unwrap_err(),
        UpdateError::Development
    );
    // Not marked, by somebody who signs by hand: the key alone gives it away.
    let mut manifest = Manifest::from_bytes(&marked).unwrap();
    manifest.development = false;
    let key = ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new(sha256_of(
        b"wangge node images, development: this key is no secret",
    )));
    manifest.signature = *key.sk.sign(manifest.signed(), None);
    assert!(manifest.check(&trusted, true).is_ok());
    assert_eq!(
        manifest.check(&trusted, false),
        Err(UpdateError::Development)
    );
}

fn sha256_of(bytes: &[u8]) -> [u8; 32] {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

#[test]
fn there_is_no_empty_image() {
    assert_eq!(key().sign(fields(), &[]), Err(UpdateError::Length));
    let mut bytes = key().sign(fields(), &binary()).unwrap();
    bytes[20..24].fill(0);
    assert_eq!(Manifest::from_bytes(&bytes), Err(UpdateError::Length));
}

proptest! {
    #[test]
    fn a_manifest_survives_its_bytes(
        development: bool, kinds in 1u16..4, hardware: u16, firmware: u16, address: u32,
        counter: u32, length in 1u32.., hash: [u8; 32], key: [u8; 8], signature: [u8; 32],
    ) {
        let manifest = Manifest {
            development, kinds, hardware, firmware, address, counter, length, hash, key,
            signature: [signature; 2].concat().try_into().unwrap(),
        };
        prop_assert_eq!(Manifest::from_bytes(&manifest.to_bytes()), Ok(manifest));
    }

    #[test]
    fn rubbish_never_opens(bytes in prop::collection::vec(any::<u8>(), 0..400), like: bool) {
        let mut bytes = bytes;
        if like {
            let mut start = vec![b'W', b'G', b'N', b'I', 1, 0, 0, 1];
            start.extend(bytes);
            bytes = start;
        }
        prop_assert!(open(&bytes, &[key().public()], true).is_err());
    }
}
