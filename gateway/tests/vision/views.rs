//! What is watched changes while a child looks.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use wangge::{config::Camera, observation::Health};
use wangge_tests::place;

use crate::rig::{Rig, camera, file, health, sighting, vision};

/// Empty sky; people walk about where the rig's zone is.
const SKY: [[f32; 2]; 4] = [[0.0, 0.0], [0.3, 0.0], [0.3, 0.1], [0.0, 0.1]];

fn carpark() -> Camera {
    camera(file(&place::clip("vtest-h264.mp4").unwrap(), true))
}

#[tokio::test]
async fn a_zone_that_moves_is_taken_up_by_another_child_and_nothing_is_a_fault() {
    let people = carpark();
    let mut sky = carpark();
    sky.zones[0].polygon = SKY.to_vec();
    let mut rig = Rig::with(vec![sky], vision());
    // It looks, and there is nobody.
    rig.until("the sky to be empty", |a| {
        sighting(a).filter(|seen| !seen.present).map(drop)
    })
    .await;
    let first = rig.child_started().await;

    rig.view
        .send_modify(|view| view.cameras = vec![Arc::new(people.clone())]);
    let faults = AtomicUsize::new(0);
    rig.until("somebody in the zone", |arrival| {
        if health(arrival).is_some_and(|health| *health != Health::Ok) {
            faults.fetch_add(1, Ordering::Relaxed);
        }
        sighting(arrival).filter(|seen| seen.present).map(drop)
    })
    .await;
    assert_eq!(faults.into_inner(), 0);
    assert_eq!(rig.state.get().restarts, 0, "nobody died");
    let second = rig.child_started().await;
    assert_ne!(first, second);

    // A name is no reason to look away.
    let renamed = Camera {
        name: Some("东门".into()),
        ..people
    };
    rig.view
        .send_modify(|view| view.cameras = vec![Arc::new(renamed)]);
    rig.until("somebody in the zone", |arrival| {
        sighting(arrival).filter(|seen| seen.present).map(drop)
    })
    .await;
    assert_eq!(rig.child(), Some(second));
    rig.stop().await;
}
