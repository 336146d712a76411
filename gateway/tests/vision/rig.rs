//! The vision source with its child, and what comes out of it.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use wangge::{
    clock::Clock,
    config::{
        Calendars, Camera, CameraInput, Condition, Credentials, RtspTransport, Rule, VideoDecoder,
        Vision, Zone,
    },
    counters::{ChildState, SourceCounters},
    down::Ask,
    feed::Feed,
    observation::{Arrival, Health, Sighting, Value, Witness},
    source::vision::{Keep, Launch, Sinks, View, run_program},
};
use wangge_protocol::{EventKind, EvidenceRef, Severity, Text};
use wangge_tests::place;

/// Everything must have happened by then, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A running source.
pub struct Rig {
    pub arrivals: mpsc::Receiver<Arrival>,
    /// For pictures that somebody wants.
    pub asks: mpsc::Sender<Ask>,
    /// What is watched.
    pub view: watch::Sender<View>,
    pub counters: Arc<SourceCounters>,
    /// For pictures that cameras publish.
    pub feed: Feed,
    pub state: Arc<ChildState>,
    pub dir: TempDir,
    program: PathBuf,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Rig {
    pub fn start(cameras: Vec<Camera>) -> Self {
        Self::with(cameras, vision())
    }

    pub fn with(cameras: Vec<Camera>, vision: Vision) -> Self {
        Self::all(cameras, vision, Calendars::default(), None)
    }

    pub fn with_calendars(cameras: Vec<Camera>, vision: Vision, calendars: Calendars) -> Self {
        Self::all(cameras, vision, calendars, None)
    }

    pub fn witnessed(cameras: Vec<Camera>, vision: Vision, witness: Option<Witness>) -> Self {
        Self::all(cameras, vision, Calendars::default(), witness)
    }

    fn all(
        cameras: Vec<Camera>,
        vision: Vision,
        calendars: Calendars,
        witness: Option<Witness>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Its own name tells this rig's children from those of tests that run beside it.
        let program = dir.path().join("wangge");
        symlink(env!("CARGO_BIN_EXE_wangge-vision"), &program).unwrap();
        let (out, arrivals) = mpsc::channel(64);
        let (asks, asked) = mpsc::channel(4);
        let counters = Arc::new(SourceCounters::default());
        let feed = Feed::new(Arc::clone(&counters));
        let state = Arc::<ChildState>::default();
        let stop = CancellationToken::new();
        let (view, views) = watch::channel(View {
            cameras: cameras.into_iter().map(Arc::new).collect(),
            calendars,
        });
        let task = tokio::spawn(run_program(
            Launch {
                program: program.clone(),
                vision,
                state: Arc::clone(&state),
                feed: feed.clone(),
            },
            views,
            Sinks {
                keep: keep(dir.path().to_path_buf()),
                witness,
            },
            asked,
            out,
            Clock::start(),
            Arc::clone(&counters),
            stop.clone(),
        ));
        Rig {
            arrivals,
            asks,
            view,
            counters,
            feed,
            state,
            dir,
            program,
            stop,
            task,
        }
    }

    /// The next arrival that `pick` wants; others are passed over.
    pub async fn until<T>(&mut self, what: &str, pick: impl Fn(&Arrival) -> Option<T>) -> T {
        let mut seen = Vec::new();
        let found = timeout(PATIENCE, async {
            while let Some(arrival) = self.arrivals.recv().await {
                if let Some(found) = pick(&arrival) {
                    return Some(found);
                }
                seen.push(format!("{:?}", arrival.observations));
            }
            None
        });
        match found.await {
            Ok(Some(found)) => found,
            _ => panic!("waited in vain for {what}; came: {seen:#?}"),
        }
    }

    /// Waits for the camera's fault and returns its reason in English; the Chinese has to be
    /// Chinese.
    pub async fn fault(&mut self, kind: EventKind) -> String {
        let reason = self.until(kind.slug(), |arrival| match health(arrival)? {
            Health::Fault { what, reason } if *what == kind => Some(reason.clone()),
            _ => None,
        });
        let Text { zh, en } = reason.await;
        let chinese = |c| ('\u{4e00}'..='\u{9fff}').contains(&c);
        assert!(zh.chars().any(chinese) && !zh.contains(&en), "{zh}: {en}");
        en
    }

    pub async fn well(&mut self) {
        self.until("the camera to be well", |arrival| {
            (*health(arrival)? == Health::Ok).then_some(())
        })
        .await;
    }

    /// Waits for a sighting with a picture; returns it with the picture's path.
    pub async fn picture(&mut self) -> (Sighting, PathBuf) {
        let sighting = self
            .until("a sighting with its picture", |arrival| {
                sighting(arrival).filter(|s| !s.evidence.is_empty())
            })
            .await;
        let path = self.dir.path().join(&sighting.evidence[0].sha256);
        (sighting, path)
    }

    /// Process id of the child, if it runs.
    pub fn child(&self) -> Option<i32> {
        let own = std::process::id().to_string();
        std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .find_map(|entry| {
                let command = std::fs::read(entry.path().join("cmdline")).ok()?;
                let ours = command.starts_with(self.program.as_os_str().as_encoded_bytes());
                let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
                let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
                (ours && parent == own).then(|| entry.file_name().to_str()?.parse().ok())?
            })
    }

    pub async fn child_started(&self) -> i32 {
        let begun = Instant::now();
        loop {
            if let Some(pid) = self.child() {
                return pid;
            }
            assert!(begun.elapsed() < PATIENCE, "no child");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        timeout(Duration::from_secs(5), self.task)
            .await
            .expect("stops in time")
            .unwrap();
    }
}

pub fn health(arrival: &Arrival) -> Option<&Health> {
    arrival.observations.iter().find_map(|o| match &o.value {
        Value::Health(health) => Some(health),
        _ => None,
    })
}

pub fn sighting(arrival: &Arrival) -> Option<Sighting> {
    arrival.observations.iter().find_map(|o| match &o.value {
        Value::Sighting(sighting) => Some(Sighting::clone(sighting)),
        _ => None,
    })
}

/// Files named by their hash stand in for the evidence store.
pub fn keep(dir: PathBuf) -> Keep {
    Arc::new(move |bytes, media_type, role, taken_at: Timestamp| {
        let sha256 = format!("{:x}", Sha256::digest(bytes));
        std::fs::write(dir.join(&sha256), bytes).map_err(|e| e.to_string())?;
        Ok(EvidenceRef {
            sha256,
            bytes: bytes.len() as u64,
            media_type: media_type.into(),
            role: role.into(),
            taken_at: taken_at.to_string(),
            thumbnail: None,
        })
    })
}

pub fn vision() -> Vision {
    Vision {
        model: place::model().unwrap(),
        litter_model: None,
        shadow: None,
        onnxruntime: place::onnxruntime().unwrap(),
        threads: 1,
        memory_limit: 512_000_000,
        decoder: VideoDecoder::Software,
        sealed_for: None,
        thumbnails: false,
    }
}

/// A camera with one zone for people: the lower left of the car park, where they walk.
pub fn camera(input: CameraInput) -> Camera {
    let zone: Arc<str> = "lawn".into();
    let rule = Rule {
        id: "presence".into(),
        kind: EventKind::GreenEncroachment,
        severity: Severity::Minor,
        when: Condition::Presence {
            zone: Arc::clone(&zone),
            labels: vec!["person".into()],
            dwell: Duration::from_secs(2),
            grace: Duration::from_secs(5),
            bins: vec![],
            among: Default::default(),
            calendar: Arc::default(),
        },
        update_every: Duration::from_secs(60),
    };
    Camera {
        id: "gate".into(),
        name: None,
        input,
        zones: vec![Zone {
            id: zone,
            kind: EventKind::GreenEncroachment,
            polygon: vec![[0.0, 0.3], [0.6, 0.3], [0.6, 1.0], [0.0, 1.0]],
            labels: vec!["person".into()],
            objects: false,
            fixtures: vec![],
            front: None,
            crop: false,
            dwell: Duration::from_secs(2),
            take_down: false,
            calendar: Arc::default(),
            shadow: None,
        }],
        masks: vec![vec![[0.75, 0.0], [1.0, 0.0], [1.0, 0.25], [0.75, 0.25]]],
        fps: 5.0,
        ground: None,
        rules: vec![Arc::new(rule)],
        unit_grid: "510107001001001".into(),
        lon: 104.0,
        lat: 30.6,
        address: None,
    }
}

pub fn file(path: &Path, repeat: bool) -> CameraInput {
    CameraInput::File {
        path: path.to_path_buf(),
        repeat,
    }
}

pub fn rtsp(url: &str, login: Option<(&str, &str)>, transport: RtspTransport) -> CameraInput {
    CameraInput::Rtsp {
        url: url.parse().unwrap(),
        credentials: login.map(|(username, password)| Credentials {
            username: username.into(),
            password: password.into(),
        }),
        transport,
    }
}
