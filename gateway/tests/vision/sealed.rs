//! Originals leave the child sealed, and only so.

use wangge::{config::Vision, seal::SecretKey};
use wangge_tests::place;

use crate::rig::{Rig, camera, file, vision};

#[tokio::test]
async fn an_original_is_on_disk_sealed_and_opens_with_the_key_alone() {
    let key = SecretKey::generate();
    let sealing = Vision {
        sealed_for: Some(key.recipient()),
        ..vision()
    };
    let clip = place::clip("vtest-h264.mp4").unwrap();
    let mut rig = Rig::with(vec![camera(file(&clip, true))], sealing);
    let (seen, picture) = rig.picture().await;
    let picture = std::fs::read(picture).unwrap();
    let named: Vec<_> = seen.evidence.iter().map(|e| e.sha256.clone()).collect();

    let (mut open, mut sealed) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(rig.dir.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_symlink() {
            continue; // the child's program
        }
        let bytes = std::fs::read(entry.path()).unwrap();
        let jpeg = bytes.windows(3).any(|w| w == [0xff, 0xd8, 0xff])
            || bytes.windows(4).any(|w| w == b"JFIF" || w == b"Exif");
        match jpeg {
            true => open.push((entry.file_name().into_string().unwrap(), bytes)),
            false => sealed.push(bytes),
        }
    }
    // The only picture that anybody can look at is the one whose heads are hidden.
    assert!(
        !open.is_empty() && open.iter().all(|(name, _)| named.contains(name)),
        "{named:?}"
    );
    assert_eq!(sealed.len(), named.len());
    let original = key.open(&sealed[0]).unwrap();
    assert!(original.starts_with(&[0xff, 0xd8, 0xff]) && original.ends_with(&[0xff, 0xd9]));
    assert_ne!(original, picture);
    assert!(SecretKey::generate().open(&sealed[0]).is_err());
    rig.stop().await;
}
