//! The ways in: what each camera needs before the sandbox closes, and who receives from it
//! afterwards.

use std::{
    collections::HashMap, io, os::unix::net::UnixStream, path::PathBuf, sync::Arc,
    thread::JoinHandle, time::Duration,
};

use tokio::{sync::mpsc, time::timeout};
use url::Url;
use wangge_protocol::Text;

use crate::{
    bilingual::{Bilingual, text},
    feed::MAX_STILL,
    tls::TlsError,
};

use super::{
    file,
    folder::{self, Folder},
    lane::{Item, Lane},
    nap::Nap,
    of_camera, recording,
    relay::Bound,
    rtsp, set_permits, snapshot, spawn,
    stills::{StillFault, Stills, silence},
    trust,
    wire::{self, CameraSetup, Command, Down, Input},
};

/// Published pictures that wait for one camera's receiver, which only passes them on.
const WAITING: usize = 2;

/// A camera that can be received from.
#[derive(Debug)]
enum Source {
    Rtsp(Box<rtsp::Address>, Option<Bound>),
    Snapshot(Box<snapshot::Address>),
    File {
        path: PathBuf,
        repeat: bool,
    },
    /// Recordings, and the wall time (µs) of their first frame.
    Recording(Vec<PathBuf>, i64),
    Folder(Folder),
    Published {
        topic: String,
        every: Duration,
    },
}

/// Why a camera cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum InputFault {
    #[error("url {url}: {reason}")]
    Url {
        url: String,
        reason: url::ParseError,
    },
    #[error("url: {0:?} is no name that a certificate can have")]
    Host(String),
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("no relay for TLS: {0}")]
    Relay(io::Error),
}

impl Bilingual for InputFault {
    fn zh(&self) -> String {
        match self {
            InputFault::Url { url, reason } => format!("`url` {url} 无效:{reason}"),
            InputFault::Host(host) => format!("`url` 中的 {host:?} 不能作为证书的名称"),
            InputFault::Tls(error) => error.zh(),
            InputFault::Relay(error) => format!("无法建立本机 TLS 转接:{error}"),
        }
    }
}

/// All cameras' sources, in their order.
#[derive(Debug)]
pub struct Inputs(Vec<Result<Source, InputFault>>);

impl Inputs {
    /// Reads what is to be read and listens where is to be listened. Nothing of a camera is
    /// looked at yet.
    pub fn prepare(cameras: &[CameraSetup]) -> Self {
        Inputs(cameras.iter().map(|camera| source(&camera.input)).collect())
    }

    /// Files and folders that stay readable.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.good().flat_map(|source| match source {
            Source::File { path, .. } | Source::Folder(Folder { path, .. }) => vec![path.clone()],
            Source::Recording(clips, _) => clips.clone(),
            Source::Rtsp(..) | Source::Snapshot(_) | Source::Published { .. } => Vec::new(),
        })
    }

    /// The relays, which may be connected to and may accept.
    pub fn relays(&self) -> impl Iterator<Item = &Bound> {
        self.good().filter_map(|source| match source {
            Source::Rtsp(_, relay) => relay.as_ref(),
            _ => None,
        })
    }

    fn good(&self) -> impl Iterator<Item = &Source> {
        self.0.iter().filter_map(|source| source.as_ref().ok())
    }

    /// Receives into the lanes. A camera with a fault of its own says only that. Pictures that
    /// are published come over `gateway`; when that ends, so does the process. A recording that
    /// cannot be played to its end is `fatal`.
    pub fn start(
        self,
        faults: Vec<Option<Text>>,
        lanes: &[Arc<Lane>],
        gateway: UnixStream,
        fatal: impl Fn(Text) + Clone + Send + 'static,
    ) -> Vec<io::Result<JoinHandle<()>>> {
        let mut threads = Vec::new();
        let mut tasks = Tasks::default();
        let mut published = HashMap::new();
        let sources = self.0.into_iter().zip(faults).zip(lanes);
        for (index, ((source, fault), lane)) in (0u16..).zip(sources) {
            let lane = Arc::clone(lane);
            let source = match (fault, source) {
                (Some(fault), Ok(Source::Recording(..))) => {
                    fatal(fault);
                    continue;
                }
                (Some(fault), _) => {
                    lane.push(Item::Fault(fault));
                    continue;
                }
                (None, Err(fault)) => {
                    lane.push(Item::Fault(fault.told()));
                    continue;
                }
                (None, Ok(source)) => source,
            };
            match source {
                Source::File { path, repeat } => {
                    threads.push(spawn("file", move || file::play(&path, repeat, &lane)));
                }
                Source::Recording(clips, start_us) => {
                    let fatal = fatal.clone();
                    threads.push(spawn("recording", move || {
                        if let Err(e) = recording::play(&clips, start_us, &lane) {
                            // What was seen before the fault is said first.
                            lane.settle();
                            fatal(e.told());
                        }
                    }));
                }
                Source::Folder(folder) => {
                    threads.push(spawn("folder", move || folder::play(&folder, &lane)));
                }
                Source::Rtsp(address, relay) => tasks.rtsp.push((*address, relay, lane)),
                Source::Snapshot(address) => tasks.snapshots.push((*address, lane)),
                Source::Published { topic, every } => {
                    let (to, from) = mpsc::channel(WAITING);
                    published.insert(index, (to, Arc::clone(&lane)));
                    tasks.published.push((topic, every, from, lane));
                }
            }
        }
        let lanes = lanes.to_vec();
        threads.push(spawn("gateway", move || {
            receive(gateway, &published, &lanes);
        }));
        if !tasks.is_empty() {
            threads.push(spawn("network", move || tasks.work()));
        }
        threads
    }
}

fn source(input: &Input) -> Result<Source, InputFault> {
    let parse = |url: &str| {
        Url::parse(url).map_err(|reason| InputFault::Url {
            url: url.to_owned(),
            reason,
        })
    };
    let login = |username: &Option<String>, password: &Option<String>| {
        let username = username.clone()?;
        Some((username, password.clone().unwrap_or_default()))
    };
    Ok(match input {
        Input::Rtsp {
            url,
            username,
            password,
            udp,
            trust,
        } => {
            let url = parse(url)?;
            let relay = match trust {
                Some(trust) => Some(Bound::new(&url, trust::client(trust)?)?),
                None => None,
            };
            let credentials = login(username, password)
                .map(|(username, password)| retina::client::Credentials { username, password });
            let address = rtsp::Address {
                url,
                credentials,
                udp: *udp,
            };
            Source::Rtsp(Box::new(address), relay)
        }
        Input::Snapshot {
            url,
            username,
            password,
            trust,
            every,
        } => {
            let url = parse(url)?;
            // The client wants to know TLS even where it needs none.
            let tls = if url.scheme() == "https" {
                trust::client(trust)?
            } else {
                trust::client(&wire::Trust {
                    ca_file: None,
                    pin: Some([0; 32]),
                })?
            };
            Source::Snapshot(Box::new(snapshot::Address {
                url,
                login: login(username, password),
                tls,
                every: *every,
            }))
        }
        Input::File { path, repeat } => Source::File {
            path: path.clone(),
            repeat: *repeat,
        },
        Input::Recording { clips, start_us } => Source::Recording(clips.clone(), *start_us),
        Input::Folder {
            path,
            watch,
            repeat,
            every,
        } => Source::Folder(Folder {
            path: path.clone(),
            watch: *watch,
            repeat: *repeat,
            every: *every,
        }),
        Input::Published { topic, every } => Source::Published {
            topic: topic.clone(),
            every: *every,
        },
    })
}

type Published = HashMap<u16, (mpsc::Sender<Vec<u8>>, Arc<Lane>)>;

/// Takes published pictures from the gateway. When it goes, so does the child, whatever it is
/// doing.
fn receive(mut gateway: UnixStream, published: &Published, lanes: &[Arc<Lane>]) {
    while let Ok(down) = wire::read_down(&mut gateway) {
        let (camera, jpeg) = match down {
            Down::Still(camera, jpeg) => (camera, jpeg),
            Down::Command(Command::Permits(permits)) => {
                set_permits(lanes, permits);
                continue;
            }
            Down::Command(Command::Picture { camera, zone, ask }) => {
                if let Some(lane) = lanes.get(usize::from(camera)) {
                    lane.push(Item::Picture { zone, ask });
                }
                continue;
            }
            Down::Command(Command::Overview { camera }) => {
                if let Some(lane) = lanes.get(usize::from(camera)) {
                    lane.push(Item::Overview);
                }
                continue;
            }
        };
        if let Some((to, lane)) = published.get(&camera)
            && to.try_send(jpeg).is_err()
        {
            lane.lost(1);
        }
    }
    std::process::exit(0);
}

/// Topic, time between two pictures, where they come in, where they go.
type Publisher = (String, Duration, mpsc::Receiver<Vec<u8>>, Arc<Lane>);

/// All cameras on the network share one thread: receiving costs little.
#[derive(Default)]
struct Tasks {
    rtsp: Vec<(rtsp::Address, Option<Bound>, Arc<Lane>)>,
    snapshots: Vec<(snapshot::Address, Arc<Lane>)>,
    published: Vec<Publisher>,
}

impl Tasks {
    fn is_empty(&self) -> bool {
        self.rtsp.is_empty() && self.snapshots.is_empty() && self.published.is_empty()
    }

    fn work(self) {
        let nap = Arc::new(Nap::default());
        let napping = Arc::clone(&nap);
        let runtime = match tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_park(move || napping.take())
            .build()
        {
            Ok(runtime) => runtime,
            Err(e) => {
                tracing::error!("cannot receive from cameras: {e}");
                std::process::exit(1);
            }
        };
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for (address, relay, lane) in self.rtsp {
                match relay.map(Bound::open).transpose() {
                    Ok(relay) => {
                        let relay = relay.map(Arc::new);
                        tasks.spawn(keep_playing(address, relay, lane, Arc::clone(&nap)));
                    }
                    Err(e) => lane.push(Item::Fault(InputFault::Relay(e).told())),
                }
            }
            for (address, lane) in self.snapshots {
                let listener = nap.listen();
                tasks.spawn(async move {
                    let _awake = listener;
                    snapshot::poll(address, lane).await
                });
            }
            for (topic, every, from, lane) in self.published {
                tasks.spawn(take_published(topic, every, from, lane));
            }
            tasks.join_all().await;
        });
    }
}

/// Plays a camera for ever, whatever it sends. Parsers of other authors panic on some session
/// descriptions (`sdp-types` does); that must cost this camera's stream alone.
async fn keep_playing(
    address: rtsp::Address,
    relay: Option<Arc<super::relay::Relay>>,
    lane: Arc<Lane>,
    nap: Arc<Nap>,
) {
    loop {
        let playing = tokio::spawn(rtsp::play(
            address.clone(),
            relay.clone(),
            Arc::clone(&lane),
            nap.listen(),
        ));
        // It plays without end, so what ends it is a panic, printed by the panic's own hook.
        if playing.await.is_ok() {
            return;
        }
        lane.push(Item::Fault(of_camera(&rtsp::Fault::Unparsable)));
        tokio::time::sleep(rtsp::BACKOFF.1).await;
    }
}

async fn take_published(
    topic: String,
    every: Duration,
    mut from: mpsc::Receiver<Vec<u8>>,
    lane: Arc<Lane>,
) {
    let mut stills = Stills::new(lane, every);
    let limit = silence(every);
    loop {
        match timeout(limit, from.recv()).await {
            Ok(Some(jpeg)) => {
                stills.take(&jpeg);
            }
            Ok(None) => return,
            Err(_) => {
                let Text { zh, en } = of_camera(&StillFault::Silent(limit));
                let most = MAX_STILL >> 20;
                let zh = format!("{zh}(主题 {topic});超过 {most} MiB 的图片会被丢弃");
                let en = format!("{en} (topic {topic}); those over {most} MiB are dropped");
                stills.fault(text(zh, en));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bilingual::assert_bilingual;

    #[test]
    fn every_fault_is_told_in_both_languages() {
        assert_bilingual([
            InputFault::Url {
                url: "rtsp://".into(),
                reason: url::ParseError::EmptyHost,
            },
            InputFault::Host("a_b".into()),
            InputFault::Tls(TlsError::NoCertificate("ca.pem".into())),
            InputFault::Relay(io::ErrorKind::AddrInUse.into()),
        ]);
    }
}
