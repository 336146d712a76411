//! A small picture leaves the child with each, if some uplink wants it.

use wangge::{config::Vision, vision::thumbnail::MAX_BYTES};
use wangge_tests::place;

use crate::rig::{Rig, camera, file, vision};

#[tokio::test]
async fn each_picture_names_a_small_one_of_the_same() {
    let small_too = Vision {
        thumbnails: true,
        ..vision()
    };
    let clip = place::clip("vtest-h264.mp4").unwrap();
    let mut rig = Rig::with(vec![camera(file(&clip, true))], small_too);
    let (seen, picture) = rig.picture().await;
    let large = std::fs::read(picture).unwrap();
    for evidence in &seen.evidence {
        let name = evidence.thumbnail.as_ref().expect("a small picture");
        let small = std::fs::read(rig.dir.path().join(name)).unwrap();
        assert!(small.starts_with(&[0xff, 0xd8, 0xff]) && small.ends_with(&[0xff, 0xd9]));
        assert!(small.len() <= MAX_BYTES && small.len() < large.len());
    }
    rig.stop().await;
}
