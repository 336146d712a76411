//! The vision child: cameras in, sightings out.
//!
//! It is the program `wangge-vision`, started by the gateway with a socket as standard input, and
//! the only process that parses video or has a video library in it. It holds no keys, no spool and no listening
//! socket. Camera passwords reach it over the socket: never by argument, environment or file.
//!
//! The way of a frame: [`inputs`] ([`rtsp`], [`snapshot`], [`folder`], [`file`], or what the
//! gateway passes on) -> [`lane`] -> [`gaze`] (decode it
//! at all? [`sizes`] tell; is there room for a decoder? [`followers`]) -> [`decode`] -> [`scene`] (does
//! anything move?) -> [`detect`] -> [`track`] -> [`dwell`] -> [`evidence`] -> [`out`].

mod background;
mod budget;
mod caption;
mod crop;
mod decode;
mod depacket;
mod detect;
mod draw;
mod dwell;
mod evidence;
mod fatal;
mod file;
mod folder;
mod followers;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gaze;
mod gfl;
pub mod ground;
mod hardware;
mod inputs;
mod lane;
mod litter;
mod luma;
mod media;
mod memory;
mod nap;
mod nms;
mod out;
mod pace;
mod pixelate;
mod plate;
mod recent;
mod recording;
mod relay;
mod ring;
mod rtsp;
mod sandbox;
mod scene;
mod shadow;
mod sizes;
pub mod slate;
mod snapshot;
mod stills;
mod story;
pub mod thumbnail;
mod track;
mod trust;
mod view;
mod vigil;
mod watch;
pub mod wire;
mod yolox;
mod zone;

use std::{
    os::{fd::AsFd, unix::net::UnixStream},
    process::ExitCode,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use jiff::tz::TimeZone;
use wangge_protocol::Text;

use crate::seal::Recipient;

use self::{
    detect::{Detector, Detectors, Runtime},
    fatal::Fatal,
    followers::Followers,
    hardware::Hardware,
    inputs::Inputs,
    lane::{Item, Lane, Pool},
    out::Out,
    pace::Pace,
    sandbox::Allowed,
    watch::{Shared, Watch},
    wire::{CameraProgress, CameraSetup, Report, Setup},
};
use crate::{
    bilingual::{Bilingual, text},
    calendar::Permit,
};

pub use self::evidence::{MAX_HEIGHT as MAX_PICTURE_HEIGHT, MAX_WIDTH as MAX_PICTURE_WIDTH};

/// How often the child says that it lives.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// Exit status after [`Setup::memory_limit`].
pub const EXIT_MEMORY: u8 = 70;
/// How far the child stands back behind the gateway when processors are short (nice value).
pub const NICENESS: i32 = 5;
/// Threads of the pool at most, whatever the configuration says.
const MAX_THREADS: usize = slate::PLACES;
/// Cameras that share a network before there is another (each takes some 40 MB): what few cameras
/// ask of it, one does in good time.
const CAMERAS_PER_NETWORK: usize = 3;

/// Runs the child until the gateway closes the socket on standard input.
pub fn child_main() -> ExitCode {
    let mut filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing_subscriber::filter::LevelFilter::INFO.into())
        .from_env_lossy();
    // What is wrong with a camera is said once and in words for people. The RTSP library says it
    // too, packet after packet; who wants that asks for it.
    let asked = std::env::var("RUST_LOG").is_ok_and(|asked| asked.contains("retina"));
    if let (false, Ok(directive)) = (asked, "retina=error".parse()) {
        filter = filter.add_directive(directive);
    }
    // Fails only when a log is there already.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
    let Some(mut socket) = gateway() else {
        tracing::error!("`wangge-vision` is started by `wangge run`, not by hand");
        return ExitCode::from(2);
    };
    let setup = match wire::read::<Setup>(&mut socket) {
        Ok(setup) => setup,
        Err(e) => {
            tracing::error!("no set-up from the gateway: {e}");
            return ExitCode::FAILURE;
        }
    };
    let Ok(out) = socket.try_clone().map(Out::new) else {
        return ExitCode::FAILURE;
    };
    yield_to_the_gateway();
    match prepare(&setup) {
        Ok(prepared) => work(setup, socket, out, prepared),
        Err(fatal) => {
            let reason = fatal.told();
            out.send(&Report::Fatal { reason });
            ExitCode::FAILURE
        }
    }
}

/// The socket that the gateway gave as standard input.
fn gateway() -> Option<UnixStream> {
    let fd = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
    let socket = UnixStream::from(fd);
    socket.peer_addr().ok()?;
    Some(socket)
}

/// What there is when the sandbox is closed.
struct Prepared {
    detectors: Detectors,
    /// Of the model that knows rubbish, if there is one.
    litter: Option<Detector>,
    /// The shadow model's network, if one is asked for and can be had.
    shadow: Option<Detector>,
    inputs: Inputs,
    hardware: Hardware,
    time_zone: TimeZone,
    /// What could not be done, one sentence each.
    weaknesses: Vec<String>,
}

/// Looking at pictures must not keep the gateway from its other work: where processors are short,
/// it comes first. A share of the processor that the child may never exceed is the service
/// manager's to give (`CPUQuota`), because it is a matter of the machine.
fn yield_to_the_gateway() {
    if let Err(e) = rustix::process::nice(NICENESS) {
        tracing::warn!("the child runs with the gateway's own priority: {e}");
    }
}

/// Detectors in a closed sandbox. Everything is read while files can be read; the network is
/// built, and every thread begun, after that has ended.
fn prepare(setup: &Setup) -> Result<Prepared, Fatal> {
    decode::quiet_logs();
    let time_zone = TimeZone::get(&setup.time_zone).map_err(|error| Fatal::TimeZone {
        name: setup.time_zone.clone(),
        error,
    })?;
    let model = wangge_models::load(&setup.model)?;
    let shadow = setup.shadow.as_deref().map(wangge_models::load);
    let litter = setup.litter_model.as_deref().map(wangge_models::load);
    let runtime = Runtime::open(&setup.onnxruntime)?;
    let inputs = Inputs::prepare(&setup.cameras);
    let hardware = Hardware::new(setup.decoder);
    let ports = setup.cameras.iter().filter_map(|c| c.input.port());
    let mut weaknesses = sandbox::enter(&Allowed {
        files: inputs.files().chain(hardware.readable()).collect(),
        ports: ports.chain(inputs.relays().map(|r| r.port())).collect(),
        accepting: inputs.relays().map(|r| r.socket()).collect(),
        devices: hardware.devices(),
        listed: hardware.listed(),
    });
    weaknesses.extend(sandbox::limit(setup.memory_limit, setup.cameras.len()));
    let allowed = budget::of_model(&model);
    let network = |_| budget::within(allowed, || Detector::load(&runtime, &model));
    let networks: Result<Vec<_>, _> = (0..networks(setup.threads, setup.cameras.len()))
        .map(network)
        .collect();
    let detectors = Detectors::new(networks?);
    // Alerts do without its opinion.
    let litter = litter.and_then(|model| match load_beside(&runtime, model) {
        Ok(network) => Some(network),
        Err(reason) => {
            weaknesses.push(format!("the litter model does not look: {reason}"));
            None
        }
    });
    // The live model works on without its shadow.
    let shadow = shadow.and_then(|model| match load_beside(&runtime, model) {
        Ok(network) => {
            weaknesses.extend(shadow::unknown_labels(&network.manifest, &setup.cameras));
            Some(network)
        }
        Err(reason) => {
            weaknesses.push(format!("the shadow model does not look: {reason}"));
            None
        }
    });
    Ok(Prepared {
        detectors,
        litter,
        shadow,
        inputs,
        hardware,
        time_zone,
        weaknesses,
    })
}

/// How many networks look: at most one a thread.
fn networks(threads: usize, cameras: usize) -> usize {
    let wanted = cameras.div_ceil(CAMERAS_PER_NETWORK);
    wanted.clamp(1, threads.clamp(1, MAX_THREADS))
}

fn load_beside(
    runtime: &Runtime,
    model: Result<wangge_models::Model, wangge_models::ModelError>,
) -> Result<Detector, String> {
    let model = model.map_err(|e| e.to_string())?;
    let allowed = budget::of_model(&model);
    budget::within(allowed, || Detector::load(runtime, &model)).map_err(|e| e.to_string())
}

fn work(
    setup: Setup,
    socket: UnixStream,
    out: Out,
    Prepared {
        detectors,
        litter,
        shadow,
        inputs,
        hardware,
        time_zone,
        weaknesses,
    }: Prepared,
) -> ExitCode {
    let manifest = detectors.manifest();
    let faults: Vec<_> = setup
        .cameras
        .iter()
        .map(|camera| unknown_label(camera, &manifest.labels))
        .collect();
    let ready = Report::Ready {
        model: manifest.id.clone(),
        model_hash: manifest.sha256.clone(),
        weaknesses,
    };
    let sealed_for = match setup.sealed_for.map(Recipient::from_bytes).transpose() {
        Ok(recipient) => recipient,
        Err(e) => {
            let reason = Fatal::Sealing(e).told();
            out.send(&Report::Fatal { reason });
            return ExitCode::FAILURE;
        }
    };
    let (shadow, shadow_work) = shadow
        .map(|network| shadow::pair(network, &setup.cameras))
        .unzip();
    let shared = Arc::new(Shared {
        followers: Followers::new(setup.cameras.len(), setup.memory_limit),
        pace: Mutex::new(Pace::new(setup.cameras.len(), detectors.count())),
        detector: detectors,
        litter: litter.map(Mutex::new),
        shadow,
        out,
        time_zone,
        days: Arc::new(setup.days),
        hardware,
        sealed_for,
        thumbnails: setup.thumbnails,
    });
    shared.out.send(&ready);

    let pool = Arc::new(Pool::default());
    let lanes: Vec<_> = setup
        .cameras
        .iter()
        .enumerate()
        .map(|(index, camera)| {
            let watch = Watch::new(index as u16, camera, Arc::clone(&shared));
            Lane::new(watch, Arc::clone(&pool))
        })
        .collect();
    set_permits(&lanes, setup.permits);
    let mut threads = vec![spawn("memory", move || memory::watch(setup.memory_limit))];
    if let Some(work) = shadow_work {
        let shared = Arc::clone(&shared);
        threads.push(spawn("shadow", move || work.run(&shared)));
    }
    for _ in 0..setup.threads.clamp(1, MAX_THREADS) {
        let pool = Arc::clone(&pool);
        threads.push(spawn("look", move || pool.work()));
    }
    let fatal = {
        let shared = Arc::clone(&shared);
        move |reason| {
            shared.out.send(&Report::Fatal { reason });
            std::process::exit(1);
        }
    };
    threads.extend(inputs.start(faults, &lanes, socket, fatal));
    if let Some(e) = threads.into_iter().find_map(Result::err) {
        let reason = Fatal::Thread(e).told();
        shared.out.send(&Report::Fatal { reason });
        return ExitCode::FAILURE;
    }
    loop {
        shared.out.send(&Report::Progress(
            lanes.iter().map(|l| progress(l)).collect(),
        ));
        thread::sleep(HEARTBEAT);
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<thread::JoinHandle<T>> {
    thread::Builder::new().name(name.into()).spawn(work)
}

/// What is wrong with a camera; the English of `fault` completes "camera …".
fn of_camera(fault: &impl Bilingual) -> Text {
    text(fault.zh(), format!("camera {fault}"))
}

/// A label that the model does not have can never be seen: better said than waited for.
fn unknown_label(camera: &CameraSetup, labels: &[String]) -> Option<Text> {
    camera.zones.iter().find_map(|zone| {
        let unknown = zone.labels.iter().find(|l| !labels.contains(l))?;
        let (id, known) = (&zone.id, labels.join(", "));
        Some(text(
            format!("区域 {id}:模型没有标签 {unknown:?},可用的有 {known}"),
            format!("zone {id}: the model knows no label {unknown:?}; it knows {known}"),
        ))
    })
}

fn set_permits(lanes: &[Arc<Lane>], permits: Vec<Permit>) {
    let permits: Arc<[Permit]> = permits.into();
    for lane in lanes {
        lane.push(Item::Permits(permits.clone()));
    }
}

fn progress(lane: &Lane) -> CameraProgress {
    CameraProgress {
        received: lane.counters.received.get(),
        decoded: lane.counters.decoded.get(),
        skipped: lane.counters.skipped.get(),
        dropped: lane.counters.dropped.get(),
        detected: lane.counters.detected.get(),
        shadowed: lane.counters.shadowed.get(),
        pictured: lane.counters.pictured.get(),
        waiting: lane.waiting(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_serves_three_cameras_before_there_is_another() {
        for (threads, cameras, expected) in [
            (1, 0, 1),
            (1, 30, 1),
            (2, 1, 1),
            (2, 3, 1),
            (2, 4, 2),
            (2, 40, 2),
            (4, 9, 3),
            (0, 9, 1),
            (MAX_THREADS * 10, 3 * MAX_THREADS * 10, MAX_THREADS),
        ] {
            let got = networks(threads, cameras);
            assert_eq!(got, expected, "{threads} threads, {cameras} cameras");
        }
    }
}
