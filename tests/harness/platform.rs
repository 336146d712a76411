//! The reference receiver as built, and what it stored.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{Process, place};

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(20);

/// A receiver on a port of its own; port, certificate and store stay over a restart.
#[derive(Debug)]
pub struct Platform {
    dir: PathBuf,
    arguments: Vec<String>,
    url: String,
    process: Option<Process>,
}

impl Platform {
    /// Receives over HTTPS; its certificate's CA is `ca.pem` in `dir`.
    ///
    /// # Errors
    /// It does not start.
    pub fn https(dir: &Path) -> Result<Platform> {
        fs::create_dir_all(dir)?;
        certificate(dir)?;
        let port = place::free_port()?;
        let file = |name: &str| dir.join(name).display().to_string();
        let arguments = [
            "--https".to_owned(),
            format!("127.0.0.1:{port}"),
            "--cert".to_owned(),
            file("cert.pem"),
            "--key".to_owned(),
            file("key.pem"),
        ];
        Platform::start(dir, arguments.into(), format!("https://127.0.0.1:{port}/"))
    }

    /// Receives from a broker, and publishes its receipts there.
    ///
    /// # Errors
    /// It does not start.
    pub fn mqtt(dir: &Path, broker: u16) -> Result<Platform> {
        let address = format!("127.0.0.1:{broker}");
        let arguments = vec!["--mqtt".to_owned(), address.clone()];
        Platform::start(dir, arguments, format!("mqtt://{address}"))
    }

    /// Receives from a broker in TLS, with its CA and an account: user name and password file.
    ///
    /// # Errors
    /// It does not start.
    pub fn mqtts(dir: &Path, broker: u16, ca: &Path, account: [String; 2]) -> Result<Platform> {
        let address = format!("127.0.0.1:{broker}");
        let [user, password] = account;
        let arguments = [
            "--mqtt",
            &address,
            "--mqtt-ca",
            &ca.display().to_string(),
            "--mqtt-user",
            &user,
            "--mqtt-password-file",
            &password,
        ];
        let url = format!("mqtts://{address}");
        Platform::start(dir, arguments.map(str::to_owned).into(), url)
    }

    fn start(dir: &Path, arguments: Vec<String>, url: String) -> Result<Platform> {
        fs::create_dir_all(dir)?;
        let mut platform = Platform {
            dir: dir.to_owned(),
            arguments,
            url,
            process: None,
        };
        platform.restart()?;
        Ok(platform)
    }

    /// Starts it again, in the same place.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&mut self) -> Result<()> {
        let log = self.dir.join("platform.log");
        let before = fs::read_to_string(&log).unwrap_or_default().len();
        let mut command = Command::new(place::program("wangge-platform")?);
        command
            .arg("--json")
            .arg("--store")
            .arg(self.store())
            .args(&self.arguments);
        let mut process = Process::start("wangge-platform", &command, &log)?;
        process.ready("the platform to listen", START, |log| {
            let fresh = log.get(before..).unwrap_or_default();
            Ok(fresh.contains(r#""event":"listening""#).then_some(()))
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// `[[uplink]]` lines for a station; `more` go below.
    pub fn uplink(&self, more: &str) -> String {
        let ca = if self.url.starts_with("https") {
            format!("ca_file = \"{}\"\n", self.dir.join("ca.pem").display())
        } else {
            String::new()
        };
        format!(
            "[[uplink]]\nname = \"city\"\nurl = \"{}\"\n{ca}{more}\n",
            self.url
        )
    }

    /// Where it keeps what it received.
    pub fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// The running process.
    ///
    /// # Errors
    /// It is not running.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("the platform is not running")
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// It was not running.
    pub fn kill(&mut self) -> Result<()> {
        self.process()?.kill()?;
        self.process = None;
        Ok(())
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn stop(&mut self) -> Result<()> {
        self.process()?.stop(STOP)?;
        self.process = None;
        Ok(())
    }

    /// Makes a key that signs commands; its file, and the line for a station's configuration.
    ///
    /// # Errors
    /// The file is there already.
    pub fn key(&self, name: &str) -> Result<(PathBuf, String)> {
        let file = self.dir.join(name);
        let out = file.display().to_string();
        Ok((file, run(&["key", "--out", &out])?))
    }

    /// Puts a verdict or a command for the station `story`; its id.
    ///
    /// # Errors
    /// `wangge-platform send` refuses.
    pub fn send(&self, what: &[&str]) -> Result<String> {
        let store = self.store().display().to_string();
        run(&[&["send", "--store", &store, "--station", "story"], what].concat())
    }

    /// Everything it stored so far.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn received(&self) -> Result<Received> {
        Received::read(&self.store())
    }
}

/// Runs `wangge-platform` with arguments to its end; what it printed.
fn run(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(place::program("wangge-platform")?);
    let output = command.args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {}", said.trim());
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// One stored message.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it was stored, Unix ms.
    pub received_ms: u64,
    /// CloudEvent id.
    pub id: String,
    /// CloudEvent type.
    pub event_type: String,
    /// The whole message.
    pub body: Value,
}

/// A line of `events.jsonl`.
#[derive(Deserialize)]
struct Line {
    received: u64,
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    sha256: String,
    body: String,
}

/// What a platform stored, in the order of storing.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Messages.
    pub events: Vec<Event>,
    /// Pictures by SHA-256, only those whose bytes have it.
    pub pictures: BTreeMap<String, PathBuf>,
}

impl Received {
    /// Reads a store and checks every hash in it.
    ///
    /// # Errors
    /// It cannot be read, a message's hash is wrong, or an id stands there twice.
    pub fn read(store: &Path) -> Result<Received> {
        let text = fs::read(store.join("events.jsonl")).unwrap_or_default();
        let mut events = Vec::new();
        let mut ids = BTreeSet::new();
        // The last line may be half written.
        for line in text
            .split_inclusive(|b| *b == b'\n')
            .filter(|l| l.ends_with(b"\n"))
        {
            let line: Line = serde_json::from_slice(line).context("a line of events.jsonl")?;
            ensure!(
                sha256(line.body.as_bytes()) == line.sha256,
                "message {} was stored under a wrong hash",
                line.id
            );
            ensure!(
                ids.insert(line.id.clone()),
                "message {} was stored twice",
                line.id
            );
            events.push(Event {
                received_ms: line.received,
                id: line.id,
                event_type: line.event_type,
                body: serde_json::from_str(&line.body)?,
            });
        }
        let mut pictures = BTreeMap::new();
        for entry in fs::read_dir(store.join("evidence"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            let name = path
                .file_stem()
                .and_then(|s| s.to_str())
                .unwrap_or_default()
                .to_owned();
            if path.extension().is_some_and(|e| e != "part") && sha256(&fs::read(&path)?) == name {
                pictures.insert(name, path);
            }
        }
        Ok(Received { events, pictures })
    }

    /// Messages about alerts.
    pub fn alerts(&self) -> impl Iterator<Item = &Event> {
        self.events
            .iter()
            .filter(|e| e.event_type.starts_with("cn.wangge.alert."))
    }

    /// Messages that say that an alert began.
    pub fn raised(&self) -> impl Iterator<Item = &Event> {
        self.events
            .iter()
            .filter(|e| e.event_type == "cn.wangge.alert.raised.v1")
    }

    /// Answers to a verdict or a command, the oldest first.
    pub fn answers<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Event> {
        self.events.iter().filter(move |e| {
            e.event_type == "cn.wangge.answer.v1" && e.body["data"]["in_reply_to"] == id
        })
    }

    /// Forwarded readings of a stream, whole.
    pub fn readings<'a>(&'a self, stream: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events
            .iter()
            .filter(move |e| {
                e.event_type == "cn.wangge.telemetry.v1" && e.body["data"]["stream"] == stream
            })
            .flat_map(|e| e.body["data"]["readings"].as_array().into_iter().flatten())
    }

    /// The pictures of a message; an error names one that is missing or damaged.
    ///
    /// # Errors
    /// A picture that the message names is not stored under its hash.
    pub fn evidence(&self, event: &Event) -> Result<Vec<&Path>> {
        let named = event.body["data"]["evidence"]
            .as_array()
            .into_iter()
            .flatten();
        named
            .map(|e| {
                let hash = e["sha256"].as_str().unwrap_or_default();
                let path = self.pictures.get(hash).map(PathBuf::as_path);
                path.with_context(|| format!("message {}: picture {hash} is not there", event.id))
            })
            .collect()
    }
}

/// SHA-256 as 64 lower-case hex digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// Makes a CA (`ca.pem`) and a certificate of it for 127.0.0.1 (`cert.pem`, `key.pem`).
///
/// # Errors
/// `openssl` is missing or fails.
pub fn certificate(dir: &Path) -> Result<()> {
    const KEY: [&str; 8] = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-noenc",
        "-days",
    ];
    let run = |arguments: &[&str]| {
        let output = Command::new("openssl")
            .current_dir(dir)
            .args(KEY)
            .args(arguments)
            .output()
            .context("cannot start openssl")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "openssl: {}", said.trim());
        Ok(())
    };
    run(&[
        "30",
        "-subj",
        "/CN=story CA",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
    ])?;
    run(&[
        "30",
        "-subj",
        "/CN=platform",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-addext",
        "subjectAltName=IP:127.0.0.1,DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
    ])
}
