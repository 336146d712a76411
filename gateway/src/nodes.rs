//! The door to sensor nodes for `wangge node`: a socket in the station's data folder that only
//! its owner can open, and the client of it.
//!
//! A line of JSON goes in, one comes back: [`Question`], [`Answer`]. The gateway passes questions
//! on to the bus that the node is on, between its polls, and only to devices whose profile is one
//! of our own nodes': meters and other people's devices are read and never written.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream as Client},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
};
use tokio_util::{
    codec::{Framed, LinesCodec},
    sync::CancellationToken,
};
use wangge_node_update::{Ask, Heard};

use crate::{
    config::{Device, DeviceLink},
    source::modbus::Errand,
};

/// The socket's name in the data folder.
pub const SOCKET: &str = "nodes.sock";
/// Profiles of nodes that are ours.
const PROFILES: [&str; 2] = ["wangge-bin-node", "wangge-meter-node"];
/// Bytes of a line; a block of an update has 600.
const MOST: usize = 4_096;
/// Connections at once.
const CONNECTIONS: usize = 4;
/// Questions that wait for one bus.
const WAITING: usize = CONNECTIONS;
/// The slowest bus there is takes 5 s for a block, and a poll may be before it.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What is asked of the gateway.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Question {
    /// Which devices are nodes.
    List,
    /// Ask this device.
    Ask { device: String, ask: Ask },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Devices(Vec<String>),
    Heard(Heard),
    /// The gateway will not ask that.
    Refused(String),
}

/// Why there was no answer from the gateway.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    #[error("no gateway at {path}: {source}; does `wangge run` run?")]
    Closed { path: String, source: io::Error },
    #[error("the gateway answers {0:?}, which makes no sense")]
    Nonsense(String),
    #[error("{0}")]
    Refused(String),
}

/// Where errands for each bus go in.
#[derive(Debug, Default)]
pub struct Doors(BTreeMap<Arc<str>, mpsc::Sender<Errand>>);

impl Doors {
    /// A door for this bus; its task takes what comes in.
    pub fn door(&mut self, bus: &Arc<str>) -> mpsc::Receiver<Errand> {
        let (errands, come) = mpsc::channel(WAITING);
        self.0.insert(bus.clone(), errands);
        come
    }
}

struct Served {
    devices: Vec<Arc<Device>>,
    doors: Doors,
}

/// Serves until `stop`. Where the socket cannot be made, the log says so and the station runs
/// without it.
pub async fn serve(
    path: PathBuf,
    devices: Vec<Arc<Device>>,
    doors: Doors,
    stop: CancellationToken,
) {
    let devices: Vec<_> = devices.into_iter().filter(|d| is_node(d)).collect();
    if devices.is_empty() {
        stop.cancelled().await;
        return;
    }
    let listener = match open(&path) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "`wangge node` will find no gateway");
            stop.cancelled().await;
            return;
        }
    };
    let served = Arc::new(Served { devices, doors });
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match (accepted, slots.clone().try_acquire_owned()) {
            (Ok((stream, _)), Ok(slot)) => {
                let (served, stop) = (served.clone(), stop.clone());
                tokio::spawn(async move {
                    stop.run_until_cancelled(served.connection(stream)).await;
                    drop(slot);
                });
            }
            // Dropped, and so closed.
            (Ok(_), Err(_)) => {}
            (Err(error), _) => {
                tracing::warn!(%error, "nodes: cannot accept a connection");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
    let _ = fs::remove_file(&path);
}

/// Made by another name and renamed when it listens and is its owner's alone: nobody finds it
/// sooner, and one that was left behind is replaced. The storage's lock keeps a second gateway out.
fn open(path: &Path) -> io::Result<UnixListener> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
    fs::rename(&new, path)?;
    Ok(listener)
}

fn is_node(device: &Device) -> bool {
    PROFILES.contains(&&*device.profile.name) && matches!(device.link, DeviceLink::Modbus { .. })
}

impl Served {
    async fn connection(&self, stream: UnixStream) {
        let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(MOST));
        while let Some(Ok(line)) = lines.next().await {
            let answer = match serde_json::from_str(&line) {
                Ok(question) => self.answer(question).await,
                Err(error) => Answer::Refused(format!("no question: {error}")),
            };
            let Ok(text) = serde_json::to_string(&answer) else {
                return;
            };
            if lines.send(text).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, question: Question) -> Answer {
        let (device, ask) = match question {
            Question::List => {
                let ids = self.devices.iter().map(|device| device.id.to_string());
                return Answer::Devices(ids.collect());
            }
            Question::Ask { device, ask } => (device, ask),
        };
        let found = self.devices.iter().find(|d| *d.id == *device);
        let Some(DeviceLink::Modbus { bus, unit_id, .. }) = found.map(|d| &d.link) else {
            return Answer::Refused(format!(
                "{device} is no sensor node of this station (profile {})",
                PROFILES.join(" or ")
            ));
        };
        if !ask.is_of_an_update() {
            return Answer::Refused("only an update's registers can be asked for".to_owned());
        }
        let (reply, heard) = oneshot::channel();
        let errand = Errand {
            unit: *unit_id,
            ask,
            reply,
        };
        let Some(door) = self.doors.0.get(bus) else {
            return Answer::Refused(format!("bus {bus} is not there"));
        };
        if door.send(errand).await.is_err() {
            return Answer::Refused(format!("bus {bus} has stopped"));
        }
        Answer::Heard(heard.await.unwrap_or(Heard::Silent))
    }
}

/// The way to a running gateway's nodes.
#[derive(Debug)]
pub struct Door {
    path: PathBuf,
    lines: BufReader<Client>,
}

impl Door {
    /// At the gateway with this data folder.
    ///
    /// # Errors
    /// [`DoorError::Closed`].
    pub fn open(storage: &Path) -> Result<Door, DoorError> {
        let path = storage.join(SOCKET);
        let closed = |source| DoorError::Closed {
            path: path.display().to_string(),
            source,
        };
        let client = Client::connect(&path).map_err(closed)?;
        client
            .set_read_timeout(Some(ANSWER_WITHIN))
            .map_err(closed)?;
        Ok(Door {
            lines: BufReader::new(client),
            path,
        })
    }

    /// Devices that are nodes.
    ///
    /// # Errors
    /// [`DoorError`].
    pub fn list(&mut self) -> Result<Vec<String>, DoorError> {
        match self.say(&Question::List)? {
            Answer::Devices(devices) => Ok(devices),
            other => Err(refusal(other)),
        }
    }

    /// Asks a node.
    ///
    /// # Errors
    /// [`DoorError`]; that the node does not answer is none.
    pub fn ask(&mut self, device: &str, ask: Ask) -> Result<Heard, DoorError> {
        let device = device.to_owned();
        match self.say(&Question::Ask { device, ask })? {
            Answer::Heard(heard) => Ok(heard),
            other => Err(refusal(other)),
        }
    }

    fn say(&mut self, question: &Question) -> Result<Answer, DoorError> {
        let closed = |source| DoorError::Closed {
            path: self.path.display().to_string(),
            source,
        };
        let mut line = serde_json::to_vec(question)
            .map_err(io::Error::from)
            .map_err(closed)?;
        line.push(b'\n');
        self.lines.get_mut().write_all(&line).map_err(closed)?;
        let mut answer = String::new();
        let mut limited = (&mut self.lines).take(MOST as u64);
        limited.read_line(&mut answer).map_err(closed)?;
        if answer.is_empty() {
            return Err(closed(io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_str(&answer).map_err(|_| DoorError::Nonsense(answer))
    }
}

fn refusal(answer: Answer) -> DoorError {
    match answer {
        Answer::Refused(why) => DoorError::Refused(why),
        other => DoorError::Nonsense(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config;

    const STATION: &str = r#"
[station]
id = "s"
name = "s"
unit_grid = "530102001001001"
lon = 102.7
lat = 25.05

[storage]
path = "/nowhere"

[[bus]]
name = "street"
serial = "/dev/null"

[[device]]
id = "bin-1"
profile = "wangge-bin-node"
bus = "street"
unit_id = 5

[[device]]
id = "meter-1"
profile = "electromagnetic-meter"
bus = "street"
unit_id = 9
"#;

    #[tokio::test]
    async fn only_the_owner_gets_in_and_only_nodes_are_reached() {
        let dir = tempfile::tempdir().unwrap();
        let config = config::parse(STATION, "station.toml", Path::new("/")).unwrap();
        let mut doors = Doors::default();
        let mut bus = doors.door(&config.buses[0].name);
        // Left behind by gateways that were killed, one of them while it made its own.
        let new = Path::new(SOCKET).with_extension("new");
        for left in [SOCKET.as_ref(), &*new] {
            drop(std::os::unix::net::UnixListener::bind(dir.path().join(left)).unwrap());
        }
        let stop = CancellationToken::new();
        let path = dir.path().join(SOCKET);
        let serving = tokio::spawn(serve(path.clone(), config.devices, doors, stop.clone()));
        let line = tokio::spawn(async move {
            let mut asked = Vec::new();
            while let Some(errand) = bus.recv().await {
                asked.push((errand.unit, errand.ask));
                errand.reply.send(Heard::Words(vec![1])).unwrap();
            }
            asked
        });
        let storage = dir.path().to_owned();
        let client = tokio::task::spawn_blocking(move || {
            let mut door = loop {
                match Door::open(&storage) {
                    Ok(door) => break door,
                    Err(_) => std::thread::sleep(Duration::from_millis(10)),
                }
            };
            let mode = fs::metadata(storage.join(SOCKET)).unwrap().permissions();
            assert_eq!(mode.mode() & 0o777, 0o600);
            assert_eq!(door.list().unwrap(), ["bin-1"]);
            let read = |address, count| Ask::Read { address, count };
            assert_eq!(
                door.ask("bin-1", read(0, 20)).unwrap(),
                Heard::Words(vec![1])
            );
            let write = Ask::Write {
                address: 0x240,
                values: vec![1],
            };
            for (device, ask) in [
                ("meter-1", write.clone()),
                ("meter-1", read(0, 20)),
                ("nobody", read(0, 20)),
                ("bin-1", read(32, 1)),
                (
                    "bin-1",
                    Ask::Write {
                        address: 0,
                        values: vec![9],
                    },
                ),
            ] {
                let refused = door.ask(device, ask).unwrap_err();
                assert!(matches!(refused, DoorError::Refused(_)), "{refused}");
            }
            assert!(door.ask("bin-1", write).is_ok());
        });
        client.await.unwrap();
        stop.cancel();
        serving.await.unwrap();
        assert!(!path.exists());
        let asked = line.await.unwrap();
        let units: Vec<u8> = asked.iter().map(|(unit, _)| *unit).collect();
        assert_eq!(units, [5, 5], "the meter was left alone");
    }

    #[tokio::test]
    async fn rubbish_is_answered_or_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let config = config::parse(STATION, "station.toml", Path::new("/")).unwrap();
        let path = dir.path().join(SOCKET);
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(
            path.clone(),
            config.devices,
            Doors::default(),
            stop.clone(),
        ));
        let client = tokio::task::spawn_blocking(move || {
            while !path.exists() {
                std::thread::sleep(Duration::from_millis(10));
            }
            let mut answers = Vec::new();
            for line in [
                "\n",
                "{}\n",
                "[1]\n",
                &"x".repeat(MOST + 1),
                &"x".repeat(10 * MOST),
            ] {
                let mut client = Client::connect(&path).unwrap();
                let _ = client.write_all(line.as_bytes());
                let _ = client.shutdown(std::net::Shutdown::Write);
                let mut answer = String::new();
                let _ = client.read_to_string(&mut answer);
                answers.push(answer);
            }
            answers
        });
        let answers = client.await.unwrap();
        for answer in &answers[..3] {
            assert!(answer.contains("refused"), "{answer}");
        }
        assert_eq!(answers[3..], ["", ""], "longer than a line may be");
        stop.cancel();
        serving.await.unwrap();
    }
}
