//! One connection to a bus, and one guarded read on it.
//!
//! A late answer must never pass for the answer to a later question. So whatever goes wrong on a
//! connection, other than the unit saying no, ends that connection: on TCP the socket is closed;
//! a serial line is kept open, but stays quiet until a late answer would have come, and what
//! comes meanwhile is thrown away. Length, unit, function and (TCP) transaction of each answer
//! are checked. What is left, an answer of the same unit and length that comes later still on
//! a serial line, is the poller's to exclude (see [`super::poll`]).

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use tokio_modbus::{
    ExceptionCode, ProtocolError, Request, Response, Slave,
    client::{Client as _, Context, rtu, tcp},
    slave::SlaveContext as _,
};
use tokio_serial::{SerialPortBuilderExt as _, SerialStream};

use super::plan::Span;
use crate::config::{BusLink, Parity, RegisterTable};

/// Longest wait for a TCP connection; a host that needs longer on a local network is down.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest pause between two attempts to connect or to open the line.
pub const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// First pause; doubles with each failure. A first failure after success costs none, because
/// devices close idle connections as they please.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);

/// After garbage the line must be silent for this long before it is used again.
const QUIET_AFTER_GARBAGE: Duration = Duration::from_millis(10);

/// A line that never falls silent is spoken on again after this many time-outs' worth of waiting.
const MAX_DRAIN_TIMEOUTS: u32 = 3;

/// So many undecodable answers in a row, and the port itself is closed and opened again.
const MAX_GARBLED: u32 = 3;

/// Request and answer around the registers: 8 bytes out, 5 bytes back (RTU, FC 03 and 04).
const RTU_OVERHEAD_BYTES: u32 = 8 + 5;

/// Why the bus cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach {target}: {source}")]
pub struct ConnectError {
    /// Host and port, or the serial port's path.
    pub target: String,
    pub source: io::Error,
}

/// Why a read brought no registers.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The unit is there and says no.
    #[error("the unit refuses: {0}")]
    Refused(ExceptionCode),
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("{bytes} bytes of an answer within {within:?}, but no whole valid one")]
    Incomplete { bytes: usize, within: Duration },
    #[error("an answer that cannot be decoded: {0}")]
    Garbled(io::Error),
    #[error("an answer to another question: {0}")]
    Mismatch(ProtocolError),
    #[error("{got} registers where {asked} were asked for")]
    Length { asked: u16, got: usize },
    /// The connection broke.
    #[error("connection lost: {0}")]
    Lost(io::Error),
}

/// A connection that is opened when needed.
pub struct Link {
    target: BusLink,
    timeout: Duration,
    context: Option<Context>,
    /// Bytes that came in on this link.
    received: Arc<AtomicUsize>,
    serial: Option<SharedSerial>,
    /// Serial: nothing may be sent before, and what comes until then is thrown away.
    quiet_until: Option<Instant>,
    /// Failures to connect, or right after it, since the last answer.
    failures: u32,
    garbled: u32,
    retry_at: Option<Instant>,
    /// An answer came over the present connection.
    proven: bool,
}

impl Link {
    /// Connects to nothing yet. `timeout`: longest wait for an answer.
    pub fn new(target: BusLink, timeout: Duration) -> Self {
        Link {
            target,
            timeout,
            context: None,
            received: Arc::new(AtomicUsize::new(0)),
            serial: None,
            quiet_until: None,
            failures: 0,
            garbled: 0,
            retry_at: None,
            proven: false,
        }
    }

    /// Whether an answer came over the present connection, so that its loss may be no more than
    /// the other side's tidiness.
    pub fn is_proven(&self) -> bool {
        self.proven
    }

    /// Host and port, or path, for people.
    pub fn target(&self) -> String {
        match &self.target {
            BusLink::Tcp { host, port } => format!("{host}:{port}"),
            BusLink::Rtu { path, .. } => path.display().to_string(),
        }
    }

    /// Connects unless connected, after the pause that earlier failures ask for.
    pub async fn connect(&mut self) -> Result<(), ConnectError> {
        if self.context.is_some() {
            return Ok(());
        }
        if let Some(at) = self.retry_at.take() {
            sleep_until(at).await;
        }
        match self.open().await {
            Ok(context) => {
                self.context = Some(context);
                self.proven = false;
                Ok(())
            }
            Err(source) => {
                self.close();
                self.back_off();
                Err(ConnectError {
                    target: self.target(),
                    source,
                })
            }
        }
    }

    /// Gives the connection back to the other side.
    pub fn close(&mut self) {
        self.context = None;
        self.serial = None;
        self.quiet_until = None;
    }

    /// Reads `span` of `unit`, connected beforehand. The answer has exactly `span.count`
    /// registers. `patience` counts from the moment the request has left; on a serial line the
    /// time that the bytes need comes on top.
    pub async fn read(
        &mut self,
        unit: u8,
        span: Span,
        patience: Duration,
    ) -> Result<Vec<u16>, ReadError> {
        let request = match span.table {
            RegisterTable::Holding => Request::ReadHoldingRegisters(span.address, span.count),
            RegisterTable::Input => Request::ReadInputRegisters(span.address, span.count),
        };
        let error = match self.exchange(unit, request, span.count, patience).await? {
            Response::ReadHoldingRegisters(words) | Response::ReadInputRegisters(words) => {
                if words.len() == usize::from(span.count) {
                    return Ok(words);
                }
                ReadError::Length {
                    asked: span.count,
                    got: words.len(),
                }
            }
            // The library compares function codes; this is only for the compiler.
            _ => ReadError::Garbled(io::ErrorKind::InvalidData.into()),
        };
        Err(self.failed(error))
    }

    /// Sends one request that carries, or asks for, so many `registers`, and waits for its
    /// answer as [`Link::read`] does.
    pub async fn exchange(
        &mut self,
        unit: u8,
        request: Request<'_>,
        registers: u16,
        patience: Duration,
    ) -> Result<Response, ReadError> {
        if let Err(error) = self.settle().await {
            return Err(self.failed(ReadError::Lost(error)));
        }
        let Some(context) = &mut self.context else {
            return Err(ReadError::Lost(io::ErrorKind::NotConnected.into()));
        };
        context.set_slave(Slave(unit));
        let within = patience + wire_time(&self.target, registers);
        let before = self.received.load(Ordering::Relaxed);
        let answer = timeout(within, context.call(request)).await;
        let bytes = self.received.load(Ordering::Relaxed) - before;
        let error = match answer {
            Ok(Ok(Ok(response))) => {
                self.answered();
                return Ok(response);
            }
            Ok(Ok(Err(exception))) => {
                self.answered();
                return Err(ReadError::Refused(exception));
            }
            Ok(Err(tokio_modbus::Error::Protocol(error))) => ReadError::Mismatch(error),
            Ok(Err(tokio_modbus::Error::Transport(error))) => match error.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                    ReadError::Garbled(error)
                }
                _ => ReadError::Lost(plain(error)),
            },
            Err(_) if bytes == 0 => ReadError::Silent(within),
            Err(_) => ReadError::Incomplete { bytes, within },
        };
        Err(self.failed(error))
    }

    fn answered(&mut self) {
        self.proven = true;
        self.failures = 0;
        self.garbled = 0;
        if let BusLink::Rtu { .. } = self.target {
            self.quiet_until = Some(Instant::now() + frame_gap(&self.target));
        }
    }

    /// Throws the context away; a serial line then has to be quiet for as long as a late answer
    /// is to be reckoned with.
    fn failed(&mut self, error: ReadError) -> ReadError {
        self.context = None;
        match &error {
            ReadError::Lost(_) => {
                self.serial = None;
                self.back_off();
            }
            ReadError::Silent(_) => self.keep_quiet(self.timeout / 2),
            _ => {
                self.garbled += 1;
                self.keep_quiet(self.timeout / 2);
                if self.garbled >= MAX_GARBLED {
                    self.garbled = 0;
                    self.serial = None;
                }
            }
        }
        error
    }

    fn keep_quiet(&mut self, time: Duration) {
        self.quiet_until = Some(Instant::now() + time.max(QUIET_AFTER_GARBAGE));
    }

    fn back_off(&mut self) {
        self.failures += 1;
        if self.failures > 1 {
            let pause = FIRST_BACKOFF
                .saturating_mul(1 << (self.failures - 2).min(16))
                .min(MAX_BACKOFF);
            self.retry_at = Some(Instant::now() + pause.mul_f64(rand::random_range(0.5..=1.0)));
        }
    }

    async fn open(&mut self) -> io::Result<Context> {
        match &self.target {
            BusLink::Tcp { host, port } => {
                let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect((host.as_str(), *port)))
                    .await
                    .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
                // Requests are small and each waits for its answer.
                stream.set_nodelay(true)?;
                Ok(tcp::attach(Tap {
                    io: stream,
                    received: self.received.clone(),
                }))
            }
            BusLink::Rtu { .. } => {
                let serial = match &self.serial {
                    Some(serial) => serial.clone(),
                    None => {
                        let serial = SharedSerial::open(&self.target)?;
                        self.keep_quiet(frame_gap(&self.target));
                        self.serial.insert(serial).clone()
                    }
                };
                Ok(rtu::attach(Tap {
                    io: serial,
                    received: self.received.clone(),
                }))
            }
        }
    }

    /// Serial: waits out the gap between frames, or the silence after a failure, and throws away
    /// whatever is still in the receiver.
    async fn settle(&mut self) -> io::Result<()> {
        let Some(serial) = &self.serial else {
            return Ok(());
        };
        let give_up = Instant::now() + self.timeout * MAX_DRAIN_TIMEOUTS;
        let mut until = self.quiet_until.take().unwrap_or_else(Instant::now);
        loop {
            sleep_until(until).await;
            let now = Instant::now();
            if serial.discard()? == 0 || now >= give_up {
                return Ok(());
            }
            until = now + frame_gap(&self.target).max(QUIET_AFTER_GARBAGE);
        }
    }
}

/// Time on the wire of one character: start, eight data, parity, stop.
fn char_time(target: &BusLink) -> Duration {
    match target {
        BusLink::Tcp { .. } => Duration::ZERO,
        BusLink::Rtu {
            baud,
            parity,
            stop_bits,
            ..
        } => {
            let bits = 9 + u32::from(*parity != Parity::None) + u32::from(*stop_bits);
            Duration::from_secs(bits.into()) / (*baud).max(1)
        }
    }
}

/// Silence between frames: 3.5 characters, fixed at 1.75 ms above 19,200 baud ("Modbus over
/// Serial Line" V1.02 §2.5.1.1).
fn frame_gap(target: &BusLink) -> Duration {
    (char_time(target) * 7 / 2).max(Duration::from_micros(1750))
}

/// Time that request and answer need on the wire.
fn wire_time(target: &BusLink, registers: u16) -> Duration {
    char_time(target) * (RTU_OVERHEAD_BYTES + 2 * u32::from(registers))
}

/// The library reports an orderly end of the stream as whatever error came last.
fn plain(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::TimedOut
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => error,
        // EIO: the adapter is gone.
        _ if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => error,
        _ => io::Error::new(io::ErrorKind::BrokenPipe, "closed by the other side"),
    }
}

/// Counts what comes in, to tell silence from an answer that does not end.
#[derive(Debug)]
struct Tap<T> {
    io: T,
    received: Arc<AtomicUsize>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Tap<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.io).poll_read(cx, buf);
        self.received
            .fetch_add(buf.filled().len() - before, Ordering::Relaxed);
        poll
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Tap<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A serial port that outlives the library's contexts, so that a time-out neither toggles the
/// modem lines nor loses hold of the port. Only one context has it at a time.
#[derive(Clone, Debug)]
struct SharedSerial(Arc<Mutex<SerialStream>>);

impl SharedSerial {
    fn open(target: &BusLink) -> io::Result<Self> {
        let BusLink::Rtu {
            path,
            baud,
            parity,
            stop_bits,
        } = target
        else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let port = tokio_serial::new(path.to_string_lossy(), *baud)
            .parity(match parity {
                Parity::None => tokio_serial::Parity::None,
                Parity::Even => tokio_serial::Parity::Even,
                Parity::Odd => tokio_serial::Parity::Odd,
            })
            .stop_bits(match stop_bits {
                2 => tokio_serial::StopBits::Two,
                _ => tokio_serial::StopBits::One,
            })
            .open_native_async()
            .map_err(|e| match e.kind {
                tokio_serial::ErrorKind::NoDevice => {
                    io::Error::new(io::ErrorKind::NotFound, e.description)
                }
                _ => e.into(),
            })?;
        Ok(SharedSerial(Arc::new(Mutex::new(port))))
    }

    fn lock(&self) -> MutexGuard<'_, SerialStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Throws away what has been received; how many bytes it was.
    fn discard(&self) -> io::Result<usize> {
        let mut port = self.lock();
        let (mut scratch, mut total) = ([0u8; 256], 0);
        loop {
            match port.try_read(&mut scratch) {
                Ok(0) => return Err(io::ErrorKind::BrokenPipe.into()),
                Ok(n) => total += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(total),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

impl AsyncRead for SharedSerial {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_read(cx, buf)
    }
}

impl AsyncWrite for SharedSerial {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write(cx, buf)
    }

    /// The driver sends at once. Flushing would call `tcdrain`, which blocks the thread for as
    /// long as the bytes are on the wire; the read's deadline allows for that time instead.
    fn poll_flush(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("target", &self.target)
            .field("connected", &self.context.is_some())
            .finish_non_exhaustive()
    }
}
