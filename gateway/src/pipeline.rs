//! The one wiring file: every stage, every channel, the order of starting and stopping.
//!
//! ```text
//! mqtt, modbus, vision --Arrival--> engine --Batch--> spool <--Entry-- uplinks --> platform
//! ```
//! Starting goes from the platform's end to the sensors', so that nothing is taken before it can
//! be kept. Stopping goes the other way: sources are cancelled, the engine ends when the last of
//! them has gone, uplinks deliver what they can, the spool closes last.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use wangge_protocol::{EvidenceRef, SourceKind};

use crate::{
    alert::Ledger,
    clock::Clock,
    config::{Config, Device, DeviceLink, Storage},
    counters::{ChildState, SourceCounters, UplinkCounters},
    down::{self, Ask, Inbound},
    engine::{Ends, Engine, Note, Progress, SharedProgress, Wayback},
    feed::Feed,
    nodes,
    observation::Arrival,
    proof::{Identity, Notary},
    reload::Reloader,
    routing::{Router, held},
    rules, shadow,
    source::{self, mqtt::pictures::Pictures, vision::View},
    spool::{Spool, StreamAccount, evidence::EvidenceStore},
    status, uplink,
};

/// Arrivals between sources and engine: a group commit's worth and the next one's.
const ARRIVALS: usize = 4_096;
/// Reloads and pictures on their way through the engine.
const NOTES: usize = 16;
/// Of the time to stop, the part that uplinks may use to deliver what is left.
const DRAIN_SHARE: f64 = 0.5;

/// What the console reads while the station runs.
#[derive(Clone, Debug)]
pub struct Running {
    pub config: Arc<Config>,
    pub clock: Clock,
    pub spool: Spool,
    pub progress: SharedProgress,
    pub sources: Vec<(String, SourceKind, Arc<SourceCounters>)>,
    pub uplinks: Vec<(String, Arc<UplinkCounters>)>,
    pub vision: Option<Arc<ChildState>>,
}

/// Runs the station of `file`, which `config` was read from, until SIGTERM or Ctrl-C. SIGHUP reads
/// the file again.
///
/// # Errors
/// What keeps the station from starting: storage that cannot be opened, an address that is
/// taken. Whatever fails later is retried and reported, never a reason to end.
pub async fn run(config: Config, file: &Path) -> anyhow::Result<()> {
    let reloader = Reloader::new(file.to_owned(), &config).map_err(anyhow::Error::msg)?;
    let config = Arc::new(config);
    let clock = Clock::start();

    // Storage first: without it nothing may be accepted.
    let (spool, evidence, identity) = open_storage(&config).await?;
    let state = spool.state().await.context("reading the open alerts")?;
    let ledger = Ledger::restore(&config, &state, clock.now())?;
    let (router, unreadable) = Router::restore(&config, &state);
    for reason in unreadable {
        error!("where an alert was is not known any more: {reason}");
    }
    let open: Vec<_> = ledger.open().collect();
    let notary = Notary::restore(&config, identity, &state);
    info!(open_alerts = open.len(), "storage is open");
    let rules = rules::Engine::new(
        &config.devices,
        &config.cameras,
        config.station.time_zone.clone(),
        &open,
        clock.now(),
    );

    // Addresses, before anything is said to be ready.
    let listener = match &config.listener {
        Some(l) => Some((bind(l.listen, "listen.address").await?, l.clone())),
        None => None,
    };
    let console = match config.console {
        Some(addr) => Some(bind(addr, "console.listen").await?),
        None => None,
    };

    let progress: SharedProgress = Arc::new(Mutex::new(Progress::default()));
    let mut running = Running {
        config: config.clone(),
        clock,
        spool: spool.clone(),
        progress: progress.clone(),
        sources: Vec::new(),
        uplinks: Vec::new(),
        vision: None,
    };

    // The way back: uplinks to engine, engine to cameras.
    let (down, inbox) = mpsc::channel::<Inbound>(down::WAITING);
    let (notes, noted) = mpsc::channel::<Note>(NOTES);
    let has_cameras = config.vision.is_some() && !config.cameras.is_empty();
    let (pictures, asks) = mpsc::channel::<Ask>(NOTES);
    let (views, viewed) = watch::channel(View {
        cameras: config.cameras.clone(),
        calendars: config.calendars.clone(),
    });
    let wayback = Wayback::restore(
        &config,
        &state,
        Ends {
            inbox,
            notes: (notes.clone(), noted),
            pictures: has_cameras.then_some(pictures),
            reloader: Some(reloader),
            views,
            audit: spool.audit(),
        },
    );

    // Uplinks.
    let stop_uplinks = CancellationToken::new();
    let mut uplinks = Stages::default();
    let mut live = Vec::new();
    for (index, link) in (0u8..).zip(&config.uplinks) {
        let counters = Arc::new(UplinkCounters::default());
        let (refused_by_the_disk, from_memory) = mpsc::channel(uplink::LIVE);
        live.push(refused_by_the_disk);
        running
            .uplinks
            .push((link.name.to_string(), counters.clone()));
        uplinks.spawn(
            format!("uplink {}", link.name),
            uplink::run(
                link.clone(),
                index,
                config.station.id.clone(),
                spool.clone(),
                evidence.clone(),
                counters,
                uplink::Channels {
                    down: down.clone(),
                    live: from_memory,
                },
                stop_uplinks.clone(),
            ),
        );
    }

    // Engine.
    let (arrivals, arrived) = mpsc::channel::<Arrival>(ARRIVALS);
    let mut engine = Stages::default();
    engine.spawn(
        "engine".to_owned(),
        Engine::new(
            &config,
            rules,
            (ledger, router),
            notary,
            spool.clone(),
            clock,
            progress.clone(),
        )
        .with_wayback(wayback)
        .with_live(live)
        .run(arrived),
    );

    // Sources.
    let stop_sources = CancellationToken::new();
    let mut sources = Stages::default();
    let vision_counters = Arc::new(SourceCounters::default());
    let feed = Feed::new(vision_counters.clone());
    let pictures = |via: &str| Pictures::new(via, &config.cameras, feed.clone());
    let mut counters = |name: &str, kind: SourceKind| {
        let c = Arc::new(SourceCounters::default());
        running.sources.push((name.to_owned(), kind, c.clone()));
        c
    };
    for broker in &config.brokers {
        let devices = on_broker(&config.devices, &broker.name);
        sources.spawn(
            format!("broker {}", broker.name),
            source::mqtt::client::run(
                broker.clone(),
                devices,
                pictures(&broker.name),
                arrivals.clone(),
                clock,
                counters(&broker.name, SourceKind::Mqtt),
                stop_sources.clone(),
            ),
        );
    }
    if let Some((socket, listener)) = listener {
        let devices = on_broker(&config.devices, &listener.name);
        let c = counters(&listener.name, SourceKind::Mqtt);
        let pictures = pictures(&listener.name);
        sources.spawn(
            format!("listener {}", listener.name),
            source::mqtt::listener::run(
                socket,
                listener,
                devices,
                pictures,
                arrivals.clone(),
                clock,
                c,
                stop_sources.clone(),
            ),
        );
    }
    let mut nodes = nodes::Doors::default();
    for bus in &config.buses {
        let errands = nodes.door(&bus.name);
        let devices = config
            .devices
            .iter()
            .filter(|d| matches!(&d.link, DeviceLink::Modbus { bus: b, .. } if *b == bus.name))
            .cloned()
            .collect();
        sources.spawn(
            format!("bus {}", bus.name),
            source::modbus::run(
                bus.clone(),
                devices,
                errands,
                arrivals.clone(),
                clock,
                counters(&bus.name, SourceKind::Modbus),
                stop_sources.clone(),
            ),
        );
    }
    sources.spawn(
        "nodes".to_owned(),
        nodes::serve(
            config.storage.path.join(nodes::SOCKET),
            config.devices.clone(),
            nodes,
            stop_sources.clone(),
        ),
    );
    let mut comparison = None;
    if let Some(vision) = config.vision.clone().filter(|_| !config.cameras.is_empty()) {
        let pictures = evidence.clone();
        let sealed = spool.sealed();
        let child = Arc::new(ChildState::default());
        let of_cameras = (
            "vision".to_owned(),
            SourceKind::Camera,
            vision_counters.clone(),
        );
        running.sources.push(of_cameras);
        running.vision = Some(child.clone());
        let witness = shadow::start(&config, clock).map(|(witness, work)| {
            comparison = Some(work);
            witness
        });
        sources.spawn(
            "vision".to_owned(),
            source::vision::run(
                viewed,
                vision,
                source::vision::Sinks {
                    keep: Arc::new(move |bytes, media_type, role, taken_at| {
                        if media_type == crate::seal::MEDIA_TYPE {
                            sealed.put(role, bytes).map_err(|fault| fault.to_string())?;
                            return Ok(EvidenceRef {
                                sha256: role.to_owned(),
                                bytes: bytes.len() as u64,
                                media_type: media_type.to_owned(),
                                role: "sealed".to_owned(),
                                taken_at: taken_at.to_string(),
                                thumbnail: None,
                            });
                        }
                        pictures
                            .put(bytes, media_type, role, taken_at)
                            .map_err(|fault| fault.to_string())
                    }),
                    witness,
                },
                arrivals.clone(),
                clock,
                source::vision::Gauges {
                    child,
                    counters: vision_counters,
                },
                (feed, asks),
                stop_sources.clone(),
            ),
        );
    }

    // Console, watchdog.
    let stop_console = CancellationToken::new();
    let mut side = Stages::default();
    if let Some(socket) = console {
        info!(address = %socket.local_addr()?, "console listens");
        side.spawn(
            "console".to_owned(),
            crate::console::serve(
                socket,
                status::reader(running.clone()),
                stop_console.clone(),
            ),
        );
    }
    side.spawn(
        "reload".to_owned(),
        reload_on_signal(notes, stop_console.clone()),
    );
    side.spawn(
        "watchdog".to_owned(),
        watchdog(progress, stop_console.clone()),
    );

    notify(&[sd_notify::NotifyState::Ready]);
    info!(station = %config.station.id, devices = config.devices.len(), cameras = config.cameras.len(), "running");

    tokio::select! {
        signal = stop_signal() => signal?,
        // It ends when its senders are gone, and ours is not: this is a fault of ours.
        () = engine.join_any() => anyhow::bail!("the engine ended by itself; start the gateway again"),
    }
    notify(&[sd_notify::NotifyState::Stopping]);
    let deadline = Instant::now() + config.stop_deadline;
    info!(
        deadline_s = config.stop_deadline.as_secs_f64(),
        "stopping; a second signal exits at once"
    );
    tokio::spawn(async {
        if stop_signal().await.is_ok() {
            warn!("second signal: exiting at once; what is not delivered stays on disk");
            std::process::exit(130);
        }
    });

    stop_sources.cancel();
    sources.join(deadline).await;
    if let Some(comparison) = comparison
        && timeout_at(deadline, comparison).await.is_err()
    {
        warn!("the comparison with the shadow could not be written in time");
    }
    drop(arrivals); // the engine ends with the last sender
    engine.join(deadline).await;
    drain(&spool, deadline, config.stop_deadline).await;
    stop_uplinks.cancel();
    uplinks.join(deadline).await;
    stop_console.cancel();
    side.join(deadline).await;
    running.uplinks.clear();
    drop(running);
    spool.close().await.context("closing the spool")?;
    info!("stopped");
    Ok(())
}

async fn open_storage(
    config: &Config,
) -> anyhow::Result<(Spool, Arc<EvidenceStore>, Option<Arc<Identity>>)> {
    // The engine collects what shares a commit; the spool need not wait once more.
    let storage = Storage {
        commit_interval: Duration::ZERO,
        ..config.storage.clone()
    };
    let station = config.station.id.clone();
    let uplinks = config.uplinks.iter().map(|u| u.name.clone());
    let uplinks: Vec<_> = uplinks.chain([held::LANE.into()]).collect();
    let opened = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&storage.path)?;
        let (spool, recovery) = Spool::open(&storage, &station, &uplinks)?;
        let evidence = spool.evidence();
        let identity = identity(&storage.path);
        anyhow::Ok((spool, recovery, evidence, identity))
    });
    let (spool, recovery, evidence, identity) = opened
        .await?
        .with_context(|| format!("opening the storage in {}", config.storage.path.display()))?;
    info!(?recovery, "spool recovered");
    Ok((spool, evidence, identity))
}

/// The station's key. A station without one still delivers: an alert that cannot be proved is
/// better than none.
fn identity(storage: &Path) -> Option<Arc<Identity>> {
    match Identity::open(storage) {
        Ok((identity, new)) => {
            info!(key = identity.id(), new, "alerts are signed");
            Some(Arc::new(identity))
        }
        Err(fault) => {
            error!(%fault, "alerts are NOT signed");
            None
        }
    }
}

async fn bind(addr: std::net::SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| {
        format!("{key} = {addr} cannot be used; is another program listening there?")
    })
}

fn on_broker(devices: &[Arc<Device>], name: &str) -> Vec<Arc<Device>> {
    devices
        .iter()
        .filter(|d| matches!(&d.link, DeviceLink::Mqtt { via, .. } if &**via == name))
        .cloned()
        .collect()
}

/// Gives uplinks a share of the time left to deliver what is held.
async fn drain(spool: &Spool, deadline: Instant, whole: Duration) {
    let until = Instant::now() + whole.mul_f64(DRAIN_SHARE);
    let until = until.min(deadline);
    while Instant::now() < until {
        match spool.stats().await {
            Ok(stats) if delivered(&stats.streams) => return,
            Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(_) => return,
        }
    }
    info!("not everything could be delivered in time; it stays on disk for the next start");
}

/// Whether nothing waits for an uplink.
fn delivered(streams: &BTreeMap<String, StreamAccount>) -> bool {
    let waits =
        |(name, account): (&String, &StreamAccount)| name != held::STREAM && account.held > 0;
    !streams.iter().any(waits)
}

/// Tells systemd that the engine comes round; when it does not, says nothing, and is restarted.
async fn watchdog(progress: SharedProgress, stop: CancellationToken) {
    let Some(period) = sd_notify::watchdog_enabled() else {
        stop.cancelled().await;
        return;
    };
    let mut tick = tokio::time::interval(period / 3);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {
                let alive = progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner).alive;
                if alive.is_some_and(|at| at.elapsed() < period) {
                    notify(&[sd_notify::NotifyState::Watchdog]);
                }
            }
        }
    }
}

/// SIGHUP reads the station's file again (`systemctl reload`).
async fn reload_on_signal(notes: mpsc::Sender<Note>, stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hup = match signal(SignalKind::hangup()) {
        Ok(hup) => hup,
        Err(fault) => return warn!(%fault, "SIGHUP will end the gateway instead of reloading"),
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            signal = hup.recv() => match signal {
                Some(()) => drop(notes.send(Note::Reload).await),
                None => return,
            },
        }
    }
}

fn notify(states: &[sd_notify::NotifyState<'_>]) {
    // Without systemd there is nobody to tell, which is no fault.
    if let Err(fault) = sd_notify::notify(states) {
        warn!(%fault, "systemd could not be told");
    }
}

async fn stop_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}

/// Named tasks that end together.
#[derive(Debug, Default)]
struct Stages {
    tasks: JoinSet<String>,
    names: Vec<String>,
}

impl Stages {
    fn spawn(&mut self, name: String, task: impl Future<Output = ()> + Send + 'static) {
        self.names.push(name.clone());
        self.tasks.spawn(async move {
            task.await;
            name
        });
    }

    /// Waits until one of them has ended.
    async fn join_any(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok(name)) => error!(stage = name, "ended too early"),
            Some(Err(fault)) => error!(%fault, "a stage ended with a panic"),
            None => {}
        }
    }

    /// Waits for all of them; whoever is still running at the deadline is named and aborted.
    async fn join(&mut self, deadline: Instant) {
        while !self.tasks.is_empty() {
            match timeout_at(deadline, self.tasks.join_next()).await {
                Ok(Some(Ok(name))) => self.names.retain(|n| *n != name),
                Ok(Some(Err(fault))) => error!(%fault, "a stage ended with a panic"),
                Ok(None) => break,
                Err(_) => {
                    error!(stages = ?self.names, "still running at the deadline; ended by force");
                    self.tasks.abort_all();
                    break;
                }
            }
        }
    }
}
