//! What the tests of this module share.

use std::{sync::Arc, time::Duration};

use crate::config::{Device, DeviceLink, DeviceProfile, Payload};

/// A bin of 1000 mm that publishes our JSON on `bins/ID` by way of `via`.
pub fn bin(id: &str, via: &str) -> Arc<Device> {
    bin_with_rate(id, via, 10.0)
}

pub fn bin_with_rate(id: &str, via: &str, max_rate: f64) -> Arc<Device> {
    Arc::new(Device {
        id: id.into(),
        name: None,
        profile: Arc::new(DeviceProfile {
            name: "test-bin".to_owned(),
            title: "Test bin".to_owned(),
            payload: Some(Payload::Wangge),
            points: Vec::new(),
            rules: Vec::new(),
            needs_height: true,
            full_at_mm: 100.0,
        }),
        link: DeviceLink::Mqtt {
            via: via.into(),
            topic: format!("bins/{id}"),
        },
        height_mm: Some(1000.0),
        rules: Vec::new(),
        unit_grid: "420111001002001".to_owned(),
        lon: 114.4,
        lat: 30.3,
        address: None,
        max_rate,
    })
}

/// Polls `what` until it is true; panics with `name` after ten seconds.
pub async fn eventually(name: &str, mut what: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !what() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "still not so: {name}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
