//! Slaves: the library's own server over a bank of registers, and a scripted one for faults.

use std::{
    collections::HashMap,
    future, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
};
use tokio_modbus::{
    ExceptionCode, Request, Response, SlaveRequest,
    server::{self, Service},
};
use tokio_serial::{SerialPort as _, SerialStream};

/// What register `address` of `unit` holds, so that no value can pass for another's.
pub fn content(unit: u8, address: u16) -> u16 {
    u16::from(unit) * 1000 + address
}

type Answer = dyn Fn(u8, u16, u16) -> Option<Result<Vec<u16>, ExceptionCode>> + Send + Sync;

/// A bank of registers behind the library's server.
#[derive(Clone)]
pub struct Bank(Arc<Answer>);

impl Bank {
    /// Answers (unit, address, count); `None` stays silent.
    pub fn new(
        answer: impl Fn(u8, u16, u16) -> Option<Result<Vec<u16>, ExceptionCode>> + Send + Sync + 'static,
    ) -> Self {
        Bank(Arc::new(answer))
    }

    /// Every register of these units holds its [`content`].
    pub fn of_units(units: impl Fn(u8) -> bool + Send + Sync + 'static) -> Self {
        Bank::new(move |unit, address, count| {
            units(unit).then(|| {
                Ok((address..address + count)
                    .map(|a| content(unit, a))
                    .collect())
            })
        })
    }

    /// Serves TCP on a port of its own.
    pub async fn serve_tcp(self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let server = server::tcp::Server::new(listener);
            let on_connected = |stream, addr: SocketAddr| {
                let bank = self.clone();
                async move {
                    server::tcp::accept_tcp_connection(stream, addr, |_| Ok(Some(bank.clone())))
                }
            };
            server.serve(&on_connected, |_| ()).await
        });
        port
    }

    /// Serves RTU on `line`.
    pub fn serve_rtu(self, line: SerialStream) -> tokio::task::JoinHandle<io::Result<()>> {
        tokio::spawn(server::rtu::Server::new(line).serve_forever(self))
    }
}

impl Service for Bank {
    type Request = SlaveRequest<'static>;
    type Response = Option<Response>;
    type Exception = ExceptionCode;
    type Future = future::Ready<Result<Option<Response>, ExceptionCode>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        let unit = request.slave;
        future::ready(match request.request {
            Request::ReadHoldingRegisters(address, count) => (self.0)(unit, address, count)
                .transpose()
                .map(|words| words.map(Response::ReadHoldingRegisters)),
            Request::ReadInputRegisters(address, count) => (self.0)(unit, address, count)
                .transpose()
                .map(|words| words.map(Response::ReadInputRegisters)),
            _ => Err(ExceptionCode::IllegalFunction),
        })
    }
}

/// A pseudo terminal: our end, and the path of the other.
pub fn pty() -> (SerialStream, PathBuf, SerialStream) {
    let (ours, theirs) = SerialStream::pair().unwrap();
    let path = PathBuf::from(theirs.name().unwrap());
    (ours, path, theirs)
}

/// Lets `path` lead to the terminal at `target`, as udev does for an adapter.
pub fn plug(path: &Path, target: &Path) {
    let _ = std::fs::remove_file(path);
    std::os::unix::fs::symlink(target, path).unwrap();
}

/// What a scripted slave does about one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    Good,
    Exception(u8),
    /// One register less than asked for, well-formed.
    Short,
    /// One register more.
    Long,
    WrongUnit,
    /// TCP only.
    WrongTransaction,
    WrongFunction,
    /// RTU only.
    BadCrc,
    /// A byte every 200 ms.
    Dribble,
    Silence,
    /// The right answer, this much later.
    Late(Duration),
    /// Bytes that are no frame, then nothing.
    Garbage,
    /// TCP only: closes the connection.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Framing {
    Tcp,
    Rtu,
}

/// Chooses what to do by unit and by how many requests that unit has had before.
pub type Script = Arc<dyn Fn(u8, usize) -> Act + Send + Sync>;

/// Scripted units that outlive their connections.
#[derive(Clone)]
pub struct Scripted {
    script: Script,
    seen: Arc<Mutex<HashMap<u8, usize>>>,
}

struct Job {
    transaction: [u8; 2],
    unit: u8,
    function: u8,
    address: u16,
    count: u16,
}

impl Scripted {
    pub fn new(script: impl Fn(u8, usize) -> Act + Send + Sync + 'static) -> Self {
        Scripted {
            script: Arc::new(script),
            seen: Arc::default(),
        }
    }

    /// Serves TCP on a port of its own.
    pub async fn serve_tcp(self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let scripted = self.clone();
                tokio::spawn(async move { scripted.serve(stream, Framing::Tcp).await });
            }
        });
        port
    }

    /// Answers on one stream until it ends. Each unit works through its requests in order, as a
    /// real one does, and independently of the others.
    pub async fn serve<S: AsyncRead + AsyncWrite + Send + 'static>(
        self,
        stream: S,
        framing: Framing,
    ) {
        let (mut read, mut write) = tokio::io::split(stream);
        let (wire, mut bytes) = mpsc::unbounded_channel::<Option<Vec<u8>>>();
        let writer = tokio::spawn(async move {
            while let Some(Some(chunk)) = bytes.recv().await {
                if write.write_all(&chunk).await.is_err() || write.flush().await.is_err() {
                    return;
                }
            }
            let _ = write.shutdown().await;
        });
        let mut units: HashMap<u8, mpsc::UnboundedSender<Job>> = HashMap::new();
        let (head, len) = match framing {
            Framing::Tcp => (6, 12),
            Framing::Rtu => (0, 8),
        };
        let mut frame = [0u8; 12];
        while !writer.is_finished() && read.read_exact(&mut frame[..len]).await.is_ok() {
            let pdu = &frame[head..];
            let job = Job {
                transaction: [frame[0], frame[1]],
                unit: pdu[0],
                function: pdu[1],
                address: u16::from_be_bytes([pdu[2], pdu[3]]),
                count: u16::from_be_bytes([pdu[4], pdu[5]]),
            };
            let unit = units.entry(job.unit).or_insert_with(|| {
                let (queue, jobs) = mpsc::unbounded_channel();
                tokio::spawn(self.clone().unit(jobs, wire.clone(), framing));
                queue
            });
            unit.send(job).unwrap();
        }
    }

    async fn unit(
        self,
        mut jobs: mpsc::UnboundedReceiver<Job>,
        wire: mpsc::UnboundedSender<Option<Vec<u8>>>,
        framing: Framing,
    ) {
        while let Some(job) = jobs.recv().await {
            let nth = {
                let mut seen = self.seen.lock().unwrap();
                let n = seen.entry(job.unit).or_insert(0);
                *n += 1;
                *n - 1
            };
            let act = (self.script)(job.unit, nth);
            match act {
                Act::Silence => continue,
                Act::Late(delay) => tokio::time::sleep(delay).await,
                Act::Close => {
                    let _ = wire.send(None);
                    continue;
                }
                Act::Garbage => {
                    let _ = wire.send(Some(vec![0x55; 7]));
                    continue;
                }
                _ => {}
            }
            let answer = job.answer(act, framing);
            if act == Act::Dribble {
                for byte in answer {
                    let _ = wire.send(Some(vec![byte]));
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            } else {
                let _ = wire.send(Some(answer));
            }
        }
    }
}

impl Job {
    fn answer(&self, act: Act, framing: Framing) -> Vec<u8> {
        let count = match act {
            Act::Short => self.count - 1,
            Act::Long => self.count + 1,
            _ => self.count,
        };
        let unit = self.unit + u8::from(act == Act::WrongUnit);
        let mut body = vec![unit];
        match act {
            Act::Exception(code) => body.extend([self.function | 0x80, code]),
            Act::WrongFunction => body.extend([self.function + 1, 2 * count as u8]),
            _ => body.extend([self.function, 2 * count as u8]),
        }
        if !matches!(act, Act::Exception(_)) {
            for address in self.address..self.address + count {
                body.extend(content(self.unit, address).to_be_bytes());
            }
        }
        match framing {
            Framing::Tcp => {
                let mut frame = self.transaction.to_vec();
                if act == Act::WrongTransaction {
                    frame[1] = frame[1].wrapping_add(1);
                }
                frame.extend([0, 0]);
                frame.extend((body.len() as u16).to_be_bytes());
                frame.extend(body);
                frame
            }
            Framing::Rtu => {
                let crc = crc16(&body) ^ u16::from(act == Act::BadCrc);
                body.extend(crc.to_le_bytes());
                body
            }
        }
    }
}

/// CRC-16/MODBUS.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xA001
            } else {
                crc >> 1
            }
        })
    })
}

#[test]
fn the_slaves_crc_is_the_published_one() {
    // 01 03 00 00 00 02 C4 0B
    assert_eq!(crc16(&[1, 3, 0, 0, 0, 2]), 0x0BC4);
}
