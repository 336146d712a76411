//! The child process and the socket to it.

use std::{
    fs::File,
    io,
    os::{
        fd::OwnedFd,
        unix::{fs::FileExt, net::UnixStream as StdUnixStream, process::ExitStatusExt},
    },
    path::Path,
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use tokio::{net::UnixStream, process::Command};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::vision::{
    EXIT_MEMORY,
    slate::{Slate, Suspect},
    wire::{self, MAX_MESSAGE, Report, Setup},
};

/// A child that was asked to end has so long.
const FAREWELL: Duration = Duration::from_secs(2);
/// The child's environment: what its log and its captions need, and no secrets.
const ENVIRONMENT: &[&str] = &["RUST_LOG", "TZ", "LANG"];

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    process: tokio::process::Child,
    socket: Framed<UnixStream, LengthDelimitedCodec>,
    /// `/proc/<pid>/statm`, opened once so that it can never be another process's.
    statm: Option<File>,
    /// What it works on.
    slate: Slate,
}

impl Child {
    /// Starts `program vision` and gives it its set-up.
    ///
    /// # Errors
    /// No process, no socket.
    pub async fn start(program: &Path, setup: &Setup) -> io::Result<Self> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let environment = ENVIRONMENT
            .iter()
            .filter_map(|name| Some((*name, std::env::var_os(name)?)));
        let (slate, stdout) = Slate::new()?;
        let process = Command::new(program)
            .env_clear()
            .envs(environment)
            .stdin(OwnedFd::from(theirs))
            .stdout(stdout)
            .kill_on_drop(true)
            .spawn()?;
        let statm = process
            .id()
            .and_then(|pid| File::open(format!("/proc/{pid}/statm")).ok());
        let codec = LengthDelimitedCodec::builder()
            .max_frame_length(MAX_MESSAGE)
            .new_codec();
        let mut socket = Framed::new(UnixStream::from_std(ours)?, codec);
        // A child that died already is told by its exit, not by this.
        let sent: io::Result<()> = socket.send(bytes::Bytes::from(wire::encode(setup)?)).await;
        match sent {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => return Err(e),
            _ => {}
        }
        Ok(Child {
            process,
            socket,
            statm,
            slate,
        })
    }

    /// The next message; `None` when the child has closed the socket.
    pub async fn next(&mut self) -> Option<io::Result<Report>> {
        let frame = match self.socket.next().await? {
            Ok(frame) => frame,
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return None,
            Err(e) => return Some(Err(e)),
        };
        let invalid = |e| io::Error::new(io::ErrorKind::InvalidData, e);
        Some(postcard::from_bytes(&frame).map_err(invalid))
    }

    /// Its process id, until it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Bytes resident, if the kernel tells.
    pub fn resident(&self) -> Option<u64> {
        let mut text = [0; 128];
        let read = self.statm.as_ref()?.read_at(&mut text, 0).ok()?;
        let fields = std::str::from_utf8(text.get(..read)?).ok()?;
        let pages: u64 = fields.split(' ').nth(1)?.parse().ok()?;
        Some(pages * rustix::param::page_size() as u64)
    }

    /// What it works on, or died of.
    pub fn suspects(&self) -> Vec<Suspect> {
        self.slate.suspects()
    }

    /// How the child ended, in one sentence. It has closed its socket, so it is about to end or
    /// is made to.
    pub async fn ended(mut self) -> String {
        let status = match tokio::time::timeout(FAREWELL, self.process.wait()).await {
            Ok(Ok(status)) => status,
            _ => {
                self.kill().await;
                return "it closed its connection".into();
            }
        };
        match (status.code(), status.signal()) {
            (Some(code), _) if code == i32::from(EXIT_MEMORY) => {
                "its memory grew beyond `memory_limit`".into()
            }
            (Some(code), _) => format!("it ended with status {code}"),
            (None, Some(signal)) => format!("it was killed by signal {signal}"),
            (None, None) => "it ended".into(),
        }
    }

    /// Lets the child end by itself, and kills it if it does not.
    pub async fn stop(self) {
        let Child {
            mut process,
            socket,
            ..
        } = self;
        drop(socket);
        if tokio::time::timeout(FAREWELL, process.wait())
            .await
            .is_err()
        {
            let _ = process.kill().await;
        }
    }

    /// Ends the child at once.
    pub async fn kill(&mut self) {
        let _ = self.process.kill().await;
    }
}
