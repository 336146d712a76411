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

use futures_util::StreamExt;
use tokio::{
    io::AsyncWriteExt,
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};
use tokio_util::{
    codec::{FramedRead, LengthDelimitedCodec},
    task::AbortOnDropHandle,
};

use super::failure::Failure;
use crate::{
    feed::Feed,
    vision::{
        EXIT_MEMORY,
        slate::{Slate, Suspect},
        wire::{self, Command, MAX_MESSAGE, Report, Setup},
    },
};

/// A child that was asked to end, or told something, has so long.
const FAREWELL: Duration = Duration::from_secs(2);
/// Commands that wait for a slow child.
const COMMANDS: usize = 4;
/// The child's environment: what its log and its captions need, and no secrets.
const ENVIRONMENT: &[&str] = &["RUST_LOG", "TZ", "LANG"];
/// Settings of glibc's allocator (`man mallopt`): few arenas, and picture buffers that go back
/// to the system when they are freed. By default each thread gets an arena and each learns to
/// keep what large pictures once needed. Other C libraries do not read it.
const ALLOCATOR: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.malloc.arena_max=2:glibc.malloc.mmap_threshold=262144:glibc.malloc.trim_threshold=262144",
);

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    process: tokio::process::Child,
    socket: FramedRead<OwnedReadHalf, LengthDelimitedCodec>,
    /// Passes pictures on. It holds the other half of the socket: when it ends, so does the child.
    feeder: AbortOnDropHandle<()>,
    commands: mpsc::Sender<Vec<u8>>,
    /// `/proc/<pid>/statm`, opened once so that it can never be another process's.
    statm: Option<File>,
    /// What it works on.
    slate: Slate,
}

impl Child {
    /// Starts `program vision`, gives it its set-up, and from then on what `feed` brings.
    ///
    /// # Errors
    /// No process, no socket.
    pub async fn start(program: &Path, setup: &Setup, feed: &Feed) -> io::Result<Self> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let environment = ENVIRONMENT
            .iter()
            .filter_map(|name| Some((*name, std::env::var_os(name)?)));
        let (slate, stdout) = Slate::new()?;
        let process = tokio::process::Command::new(program)
            .env_clear()
            .envs(environment)
            .env(ALLOCATOR.0, ALLOCATOR.1)
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
        let (from, mut to) = UnixStream::from_std(ours)?.into_split();
        let socket = FramedRead::new(from, codec);
        let mut first = Vec::new();
        wire::write(&mut first, setup)?;
        // A child that died already is told by its exit, not by this.
        let sent = to.write_all(&first).await;
        match sent {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => return Err(e),
            _ => {}
        }
        feed.clear();
        let (commands, told) = mpsc::channel(COMMANDS);
        let feeder = AbortOnDropHandle::new(tokio::spawn(pass_on(feed.clone(), told, to)));
        Ok(Child {
            process,
            socket,
            feeder,
            commands,
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

    /// Tells it something.
    ///
    /// # Errors
    /// A child that takes nothing, or a message beyond [`MAX_MESSAGE`].
    pub async fn tell(&mut self, command: &Command) -> io::Result<()> {
        let message = wire::command(command)?;
        match tokio::time::timeout(FAREWELL, self.commands.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
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

    /// How the child ended. It has closed its socket, so it is about to end or is made to.
    pub async fn ended(mut self) -> Failure {
        let status = match tokio::time::timeout(FAREWELL, self.process.wait()).await {
            Ok(Ok(status)) => status,
            _ => {
                self.kill().await;
                return Failure::Closed;
            }
        };
        match (status.code(), status.signal()) {
            (Some(code), _) if code == i32::from(EXIT_MEMORY) => Failure::Grown,
            (Some(code), _) => Failure::Status(code),
            (None, Some(signal)) => Failure::Killed(signal),
            (None, None) => Failure::Ended,
        }
    }

    /// Lets the child end by itself, and kills it if it does not.
    pub async fn stop(self) {
        let Child {
            mut process,
            socket,
            feeder,
            ..
        } = self;
        feeder.abort();
        drop((socket, feeder.await));
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

/// Passes pictures and commands on until the child has gone. Nobody waits for pictures: what it
/// cannot pass on is dropped where it waits.
async fn pass_on(feed: Feed, mut commands: mpsc::Receiver<Vec<u8>>, mut to: OwnedWriteHalf) {
    loop {
        let sent: io::Result<()> = tokio::select! {
            Some(command) = commands.recv() => to.write_all(&command).await,
            (camera, jpeg) = feed.next() => {
                let header = wire::still_header(camera, jpeg.len());
                match to.write_all(&header).await {
                    Ok(()) => to.write_all(&jpeg).await,
                    failed => failed,
                }
            }
        };
        if sent.is_err() {
            return;
        }
    }
}
