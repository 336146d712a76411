//! RTSP over TLS. `retina` speaks RTSP over TCP alone, so it is given a socket on this machine
//! behind which stands TLS to the camera.
//!
//! The socket listens before the child's sandbox closes, on loopback; accepting on it is the one
//! thing that the sandbox then still allows with it. Another program of this machine that
//! connects there gains nothing: it meets the camera's login, as it would without us.

use std::{
    io,
    net::{Ipv4Addr, TcpListener as StdListener},
    os::fd::{AsRawFd, RawFd},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::{
    inputs::InputFault,
    rtsp::{ANSWER, Fault},
    trust::TlsFault,
    wire::RTSPS_PORT,
};

/// Connections at once: the stream, and the farewell to one before.
pub const MAX_CONNECTIONS: usize = 4;
/// Bytes on their way from the camera, and to it.
const BUFFERS: (usize, usize) = (64 << 10, 4 << 10);
/// After accepting failed.
const PAUSE: Duration = Duration::from_millis(200);

/// A relay that nobody serves yet.
#[derive(Debug)]
pub struct Bound {
    listener: StdListener,
    port: u16,
    camera: Camera,
}

#[derive(Clone, Debug)]
struct Camera {
    host: String,
    port: u16,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

impl Bound {
    /// Listens for one camera's sake.
    ///
    /// # Errors
    /// No port is left, or the URL's host is no name.
    pub fn new(url: &Url, config: Arc<ClientConfig>) -> Result<Self, InputFault> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| InputFault::Host(host.to_owned()))?;
        let listen = || {
            let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            let port = listener.local_addr()?.port();
            io::Result::Ok((listener, port))
        };
        let (listener, port) = listen().map_err(InputFault::Relay)?;
        let camera = Camera {
            host: host.to_owned(),
            port: url.port().unwrap_or(RTSPS_PORT),
            name,
            config,
        };
        Ok(Bound {
            listener,
            port,
            camera,
        })
    }

    /// Where it listens, which must be allowed to be connected to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its socket, on which accepting must be allowed.
    pub fn socket(&self) -> RawFd {
        self.listener.as_raw_fd()
    }

    /// Begins its work, in a runtime.
    ///
    /// # Errors
    /// The runtime's.
    pub fn open(self) -> io::Result<Relay> {
        Ok(Relay {
            listener: TcpListener::from_std(self.listener)?,
            port: self.port,
            camera: self.camera,
            ready: Mutex::default(),
            room: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        })
    }
}

/// One camera's relay.
#[derive(Debug)]
pub struct Relay {
    listener: TcpListener,
    port: u16,
    camera: Camera,
    /// A connection to the camera that the next one here gets.
    ready: Mutex<Option<TlsStream<TcpStream>>>,
    room: Arc<Semaphore>,
}

impl Relay {
    /// The camera's URL by way of here.
    pub fn url(&self, url: &Url) -> Option<Url> {
        let mut local = format!("rtsp://127.0.0.1:{}{}", self.port, url.path());
        if let Some(query) = url.query() {
            local.push('?');
            local.push_str(query);
        }
        local.parse().ok()
    }

    /// Connects to the camera ahead of time, so that what is wrong with TLS is said as such.
    ///
    /// # Errors
    /// No connection, or none that can be trusted.
    pub(super) async fn prepare(&self) -> Result<(), Fault> {
        let stream = connect(&self.camera).await?;
        *lock(&self.ready) = Some(stream);
        Ok(())
    }

    /// Serves connections as long as the answer is kept.
    pub fn serve(self: &Arc<Self>) -> AbortOnDropHandle<()> {
        let relay = Arc::clone(self);
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                match relay.listener.accept().await {
                    Ok((near, _)) => {
                        while connections.try_join_next().is_some() {}
                        // Closed at once if there are too many.
                        let Ok(permit) = Arc::clone(&relay.room).try_acquire_owned() else {
                            continue;
                        };
                        let relay = Arc::clone(&relay);
                        connections.spawn(async move {
                            relay.pass(near).await;
                            drop(permit);
                        });
                    }
                    Err(e) => {
                        tracing::warn!("TLS relay: {e}");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }))
    }

    async fn pass(&self, mut near: TcpStream) {
        let ready = lock(&self.ready).take();
        let far = match ready {
            Some(stream) => Ok(stream),
            None => connect(&self.camera).await,
        };
        match far {
            Ok(mut far) => {
                let (from_camera, to_camera) = BUFFERS;
                let passed =
                    copy_bidirectional_with_sizes(&mut near, &mut far, to_camera, from_camera);
                if let Err(e) = passed.await {
                    tracing::debug!("TLS relay: {e}");
                }
            }
            Err(fault) => tracing::debug!("TLS relay: camera {fault}"),
        }
    }
}

async fn connect(camera: &Camera) -> Result<TlsStream<TcpStream>, Fault> {
    let at = format!("{}:{}", camera.host, camera.port);
    let tcp = match timeout(
        ANSWER,
        TcpStream::connect((camera.host.as_str(), camera.port)),
    )
    .await
    {
        Ok(Ok(tcp)) => tcp,
        Ok(Err(e)) => return Err(Fault::Unreachable(at, e.to_string())),
        Err(_) => return Err(Fault::NoConnection(at)),
    };
    let connector = TlsConnector::from(Arc::clone(&camera.config));
    match timeout(ANSWER, connector.connect(camera.name.clone(), tcp)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(e)) => Err(Fault::Tls(TlsFault::of_io(&e).unwrap_or_else(|| {
            match e.kind() {
                // A server that does not understand what it is told hangs up.
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => TlsFault::NotTls,
                _ => TlsFault::Broken(e.to_string()),
            }
        }))),
        Err(_) => Err(Fault::NoAnswer { what: "TLS" }),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
