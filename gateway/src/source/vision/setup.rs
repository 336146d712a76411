//! What the child is told to do, from the configuration.

use std::{sync::Arc, time::Duration};

use crate::{
    config::{
        Calendars, Camera, CameraInput, Condition, Credentials, FolderPlay, RtspTransport, Trust,
        Vision,
    },
    seal::Recipient,
    vision::wire::{self, CameraSetup, Input, Setup, ZoneSetup},
};

/// Emptiness that ends a presence where no rule says how long.
pub(super) const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// The child's set-up, without permits.
pub fn setup(cameras: &[Arc<Camera>], vision: &Vision, calendars: &Calendars) -> Setup {
    Setup {
        time_zone: calendars.time_zone.iana_name().unwrap_or("UTC").to_owned(),
        days: (*calendars.days).clone(),
        permits: Vec::new(),
        model: vision.model.clone(),
        litter_model: vision
            .litter_model
            .clone()
            .filter(|_| is_litter_asked_for(cameras)),
        shadow: vision.shadow.clone(),
        onnxruntime: vision.onnxruntime.clone(),
        threads: vision.threads,
        decoder: vision.decoder,
        memory_limit: vision.memory_limit,
        sealed_for: vision.sealed_for.as_ref().map(Recipient::to_bytes),
        thumbnails: vision.thumbnails,
        cameras: cameras.iter().map(|camera| camera_setup(camera)).collect(),
    }
}

/// Whether there is a story to have an opinion on; a network that nobody asks takes memory.
fn is_litter_asked_for(cameras: &[Arc<Camera>]) -> bool {
    let mut zones = cameras.iter().flat_map(|camera| &camera.zones);
    zones.any(|zone| zone.objects && zone.shadow.is_none())
}

pub(super) fn camera_setup(camera: &Camera) -> CameraSetup {
    let zones = camera.zones.iter().map(|zone| ZoneSetup {
        id: zone.id.to_string(),
        polygon: zone.polygon.clone(),
        front: zone.front.as_deref().cloned(),
        labels: zone.labels.clone(),
        objects: zone.objects,
        shadow: zone.shadow.is_some(),
        fixtures: zone.fixtures.clone(),
        crop: zone.crop,
        dwell_us: zone.dwell.as_micros() as u64,
        grace_us: grace(camera, &zone.id).as_micros() as u64,
        hours: zone.calendar.hours.clone(),
        take_down: zone.take_down,
    });
    CameraSetup {
        id: camera.id.to_string(),
        input: input(&camera.input),
        fps: camera.fps,
        masks: camera.masks.clone(),
        zones: zones.collect(),
        pause_us: 0,
        deadly: Vec::new(),
    }
}

/// The longest grace of the zone's rules: a shorter one is then reached as well.
fn grace(camera: &Camera, id: &str) -> Duration {
    let tried = camera.zones.iter().filter_map(|zone| zone.shadow.as_ref());
    let rules = camera.rules.iter().chain(tried);
    let graces = rules.filter_map(|rule| match &rule.when {
        Condition::Presence { zone, grace, .. } if **zone == *id => Some(*grace),
        _ => None,
    });
    graces.max().unwrap_or(DEFAULT_GRACE)
}

fn input(input: &CameraInput) -> Input {
    match input {
        CameraInput::File { path, repeat } => Input::File {
            path: path.clone(),
            repeat: *repeat,
        },
        CameraInput::Rtsp {
            url,
            credentials,
            transport,
        } => {
            let (username, password) = login(credentials.as_ref());
            Input::Rtsp {
                url: bare(url),
                username,
                password,
                udp: *transport == RtspTransport::Udp,
                trust: match transport {
                    RtspTransport::Tls(trust) => Some(trusted(trust)),
                    RtspTransport::Tcp | RtspTransport::Udp => None,
                },
            }
        }
        CameraInput::Snapshot {
            url,
            credentials,
            trust,
            every,
        } => {
            let (username, password) = login(credentials.as_ref());
            Input::Snapshot {
                url: bare(url),
                username,
                password,
                trust: trusted(trust),
                every: *every,
            }
        }
        CameraInput::Mqtt { topic, every, .. } => Input::Published {
            topic: topic.clone(),
            every: *every,
        },
        CameraInput::Folder { path, play, every } => Input::Folder {
            path: path.clone(),
            watch: *play == FolderPlay::Watch,
            repeat: *play == FolderPlay::Repeat,
            every: *every,
        },
    }
}

/// Only user name and password may be secret, so that no URL in a log is.
fn bare(url: &url::Url) -> String {
    let mut bare = url.clone();
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    bare.into()
}

fn login(credentials: Option<&Credentials>) -> (Option<String>, Option<String>) {
    let username = credentials.map(|c| c.username.clone());
    (username, credentials.map(|c| c.password.clone()))
}

fn trusted(trust: &Trust) -> wire::Trust {
    wire::Trust {
        ca_file: trust.ca_file.clone(),
        pin: trust.pin,
    }
}

#[cfg(test)]
mod tests {
    use wangge_protocol::EventKind;

    use super::*;
    use crate::{config::Zone, rules::fixtures};

    #[test]
    fn a_second_opinion_is_loaded_only_where_there_are_stories() {
        let zone = |objects| Zone {
            id: "yard".into(),
            kind: EventKind::IllegalDumping,
            polygon: Vec::new(),
            front: None,
            labels: Vec::new(),
            objects,
            fixtures: Vec::new(),
            crop: false,
            dwell: Duration::ZERO,
            take_down: false,
            calendar: Arc::default(),
            shadow: None,
        };
        let camera = |zones: Vec<Zone>| {
            let camera = fixtures::camera("gate", Vec::new());
            Arc::new(Camera {
                zones,
                ..(*camera).clone()
            })
        };
        assert!(!is_litter_asked_for(&[camera(vec![zone(false)])]));
        let both = [camera(vec![]), camera(vec![zone(false), zone(true)])];
        assert!(is_litter_asked_for(&both));
        let tried = Zone {
            shadow: Some(fixtures::healthy(EventKind::IllegalDumping)),
            ..zone(true)
        };
        assert!(!is_litter_asked_for(&[camera(vec![tried])]));
    }
}
