//! Pictures that somebody asks for.

use tokio::{sync::oneshot, time::timeout};
use wangge::down::Ask;
use wangge_tests::place;

use crate::rig::{PATIENCE, Rig, camera, file};

#[tokio::test]
async fn a_picture_that_is_asked_for_is_kept_and_named() {
    let clip = place::clip("vtest-h264.mp4").unwrap();
    let gate = camera(file(&clip, true));
    let (id, zone) = (gate.id.clone(), gate.zones[0].id.clone());
    let mut rig = Rig::start(vec![gate]);
    rig.until("the camera plays", |arrival| {
        (!arrival.observations.is_empty()).then_some(())
    })
    .await;
    for (camera, zone, good) in [
        (id.clone(), zone.clone(), true),
        (id.clone(), "moon".into(), false),
        ("nobody".into(), zone, false),
    ] {
        let (reply, answer) = oneshot::channel();
        let ask = Ask {
            camera,
            zone,
            reply,
        };
        rig.asks.send(ask).await.unwrap();
        // Whatever else the camera sees meanwhile is taken, or the source would wait.
        let answered = async {
            tokio::pin!(answer);
            loop {
                tokio::select! {
                    answered = &mut answer => return answered.unwrap(),
                    Some(_) = rig.arrivals.recv() => {}
                }
            }
        };
        let picture = timeout(PATIENCE, answered).await.unwrap();
        assert_eq!(picture.is_ok(), good, "{picture:?}");
        if let Ok(picture) = picture {
            assert_eq!(picture.role, "requested");
            assert!(picture.bytes > 1_000);
        }
    }
    rig.stop().await;
}
