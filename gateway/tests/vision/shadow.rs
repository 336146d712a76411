//! Shadow models and shadow zones through the real child.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use wangge::{
    config::Vision,
    observation::{Value, Witnessed},
};
use wangge_tests::place;

use crate::rig::{PATIENCE, Rig, camera, file, sighting, vision};

type Seen = Arc<Mutex<Vec<Witnessed>>>;

fn witness(seen: &Seen) -> wangge::observation::Witness {
    let seen = Arc::clone(seen);
    Arc::new(move |witnessed| seen.lock().unwrap().push(witnessed))
}

fn a_camera() -> wangge::config::Camera {
    camera(file(&place::clip("vtest-h264.mp4").unwrap(), true))
}

/// Zones in which people were seen, of the shadow or of the live side.
fn people(seen: &Seen, shadow: bool) -> Vec<String> {
    let seen = seen.lock().unwrap();
    let zones = seen.iter().filter_map(|witnessed| {
        let (Witnessed::Live(observation) | Witnessed::Shadow(observation)) = witnessed else {
            return None;
        };
        match &observation.value {
            Value::Sighting(s)
                if s.label == "person" && matches!(witnessed, Witnessed::Shadow(_)) == shadow =>
            {
                Some(s.zone.to_string())
            }
            _ => None,
        }
    });
    zones.collect()
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    waited
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

/// The same model as its own shadow: it must see the same people, and only the live one's
/// sightings may arrive.
#[tokio::test]
async fn a_shadow_model_sees_too_and_nothing_of_it_arrives() {
    let seen = Seen::default();
    let both = Vision {
        shadow: Some(place::model().unwrap()),
        ..vision()
    };
    let mut rig = Rig::witnessed(vec![a_camera()], both, Some(witness(&seen)));
    let looked = |seen: &Seen| {
        let seen = seen.lock().unwrap();
        let mut looks = seen.iter();
        looks.any(|w| matches!(w, Witnessed::Looks { shadow, .. } if *shadow > 0))
    };
    let mut arrived = 0;
    until("both to see people", || {
        while let Ok(arrival) = rig.arrivals.try_recv() {
            arrived += usize::from(sighting(&arrival).is_some());
        }
        people(&seen, true).len() > 5 && !people(&seen, false).is_empty() && looked(&seen)
    })
    .await;
    let live = {
        let seen = seen.lock().unwrap();
        let sighted = |w: &&Witnessed| matches!(w, Witnessed::Live(o) if matches!(o.value, Value::Sighting(_)));
        seen.iter().filter(sighted).count()
    };
    // Witnessed before it is passed on, so fewer may have arrived; never more.
    assert!((1..=live).contains(&arrived), "{arrived} of {live}");
    rig.stop().await;
}

#[tokio::test]
async fn a_shadow_zone_is_witnessed_and_neither_arrives_nor_has_pictures() {
    let seen = Seen::default();
    let mut tried = a_camera();
    tried.zones[0].shadow = tried.rules.pop();
    let mut rig = Rig::witnessed(vec![tried], vision(), Some(witness(&seen)));
    rig.well().await;
    until("people in the shadow zone", || {
        people(&seen, true).len() > 5
    })
    .await;
    assert_eq!(people(&seen, false), Vec::<String>::new());
    while let Ok(arrival) = rig.arrivals.try_recv() {
        assert!(sighting(&arrival).is_none(), "{arrival:?}");
    }
    let pictures = std::fs::read_dir(rig.dir.path()).unwrap();
    let kept = pictures.flatten().filter(|e| e.file_name().len() == 64);
    assert_eq!(kept.count(), 0, "pictures");
    rig.stop().await;
}

/// A shadow model that cannot be loaded takes nothing from the live one.
#[tokio::test]
async fn a_shadow_model_that_is_missing_leaves_the_live_one_alone() {
    let missing = Vision {
        shadow: Some("/nonexistent/candidate.toml".into()),
        ..vision()
    };
    let mut rig = Rig::with(vec![a_camera()], missing);
    rig.picture().await;
    rig.stop().await;
}
