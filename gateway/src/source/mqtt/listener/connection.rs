//! One device's connection: reads, judges, passes on, and answers when the disk has it.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    pin,
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    LOGIN_DELAY, PACKET_SLACK, Shared,
    wire::{self, Packet, WireError},
};
use crate::{
    clock::Now,
    feed::MAX_STILL,
    observation::{Ack, Arrival},
    source::mqtt::{
        acks::{AckQueue, Owed},
        guard::Fate,
        intake::{Mark, Message, Taken},
    },
};

/// CONNECT has to come within this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A packet that has begun has to end within this.
const PACKET_TIMEOUT: Duration = Duration::from_secs(30);
/// A client has to take its acknowledgements within this.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// What is not on disk after this will not be (the spool refused it): the client has to connect
/// and send again.
const ACK_STALL: Duration = Duration::from_secs(300);
/// Unacknowledged messages of one connection; reading waits while there are so many.
const MAX_UNACKED: usize = 16_384;
/// A PUBLISH up to this size is refused and acknowledged like any other that is not believed; its
/// bytes are dropped as they come. A larger one ends the connection.
const MAX_SKIP: usize = 16 * 1024 * 1024;
/// After a stop, answers that become possible within this are still given.
const STOP_LINGER: Duration = Duration::from_secs(2);
/// Spare room in the read buffer: small while a device sends little, so that a thousand idle
/// ones cost a few megabytes.
const READ_MIN: usize = 1024;
const READ_MAX: usize = 64 * 1024;

/// Why a connection was closed by us.
#[derive(Debug)]
pub struct Closed {
    /// Login or client id, empty before CONNECT.
    pub who: String,
    pub why: Fault,
}

#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("no CONNECT within {CONNECT_TIMEOUT:?}")]
    NoConnect,
    #[error("the first packet is no CONNECT, or a second CONNECT came")]
    ConnectOutOfPlace,
    #[error("login refused")]
    Login,
    #[error("a lasting session needs a client id")]
    NoClientId,
    #[error("nothing came for one and a half times its keep-alive")]
    Silent,
    #[error("a packet did not end within {PACKET_TIMEOUT:?}")]
    Dribble,
    #[error("it does not read its acknowledgements")]
    NotReading,
    #[error("a message did not reach the disk within {ACK_STALL:?}; the device has to repeat it")]
    Stalled,
    #[error("the same device connected again")]
    TakenOver,
}

/// How a connection ends without a fault.
enum End {
    Stop,
    Peer,
}

/// Serves one connection until either side ends it.
pub async fn serve(
    stream: TcpStream,
    shared: &Shared,
    out: mpsc::Sender<Arrival>,
    stop: CancellationToken,
) -> Result<(), Closed> {
    let (tx, tokens) = mpsc::unbounded_channel();
    let mut connection = Connection {
        stream,
        shared,
        input: BytesMut::new(),
        room: READ_MIN,
        output: Vec::new(),
        acks: AckQueue::default(),
        told: Vec::new(),
        sent: Vec::new(),
        batch: Vec::new(),
        tokens,
        login: None,
        keep_alive: Duration::ZERO,
        skip: 0,
    };
    let greeted = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        greeted = timeout(CONNECT_TIMEOUT, connection.greet()) => greeted,
    };
    let identity = match greeted {
        Ok(Ok(Some(identity))) => identity,
        Ok(Ok(None)) => return Ok(()),
        Ok(Err(why)) => {
            let who = String::new();
            return Err(Closed { who, why });
        }
        Err(_) => {
            let (who, why) = (String::new(), Fault::NoConnect);
            return Err(Closed { who, why });
        }
    };
    let (number, end) = shared.enter(&identity);
    let ways = Ways {
        out,
        tokens: tx,
        stop,
        end,
    };
    let result = connection.run(&ways).await;
    shared.leave(&identity, number);
    // The pipeline ends when its last sender has gone.
    drop(ways);
    connection.finish(matches!(result, Ok(End::Stop))).await;
    result
        .map(|_| ())
        .map_err(|why| Closed { who: identity, why })
}

/// Where things go from a connection, and what ends it.
struct Ways {
    out: mpsc::Sender<Arrival>,
    /// Comes back with every [`Ack`].
    tokens: UnboundedSender<u64>,
    stop: CancellationToken,
    /// The same device connected again.
    end: CancellationToken,
}

struct Connection<'s> {
    stream: TcpStream,
    shared: &'s Shared,
    input: BytesMut,
    /// Spare room for the next read.
    room: usize,
    output: Vec<u8>,
    acks: AckQueue,
    /// Whose acknowledgements are in `output`.
    told: Vec<Mark>,
    /// Whose acknowledgements have been written since the client last gave a sign of life: it
    /// may have gone before it had them.
    sent: Vec<Mark>,
    /// Reused for tokens.
    batch: Vec<u64>,
    tokens: UnboundedReceiver<u64>,
    /// Device id, where devices log in.
    login: Option<String>,
    keep_alive: Duration,
    /// Bytes of a refused packet that are still to come and to be dropped.
    skip: usize,
}

/// What a packet asks for, with nothing borrowed from the buffer any more.
enum Step {
    /// To be answered in `output`, which has happened.
    Answered,
    Forward(Taken, Option<Owed>),
    Goodbye,
}

impl Connection<'_> {
    /// Takes CONNECT and answers it; returns who it is, or `None` if nobody came.
    async fn greet(&mut self) -> Result<Option<String>, Fault> {
        loop {
            if self
                .input
                .first()
                .is_some_and(|first| *first != wire::CONNECT)
            {
                return Err(Fault::ConnectOutOfPlace);
            }
            match wire::read(&self.input, self.shared.max_packet()) {
                Ok(None) => {}
                Ok(Some((Packet::Connect(c), len))) => {
                    if !self.shared.login(c.username, c.password) {
                        tokio::time::sleep(LOGIN_DELAY).await;
                        self.refuse(wire::BAD_LOGIN).await;
                        return Err(Fault::Login);
                    }
                    if c.client_id.is_empty() && !c.clean_session {
                        self.refuse(wire::BAD_CLIENT_ID).await;
                        return Err(Fault::NoClientId);
                    }
                    if !self.shared.config.passwords.is_empty() {
                        self.login = c.username.map(str::to_owned);
                    }
                    let identity = self.login.as_deref().unwrap_or(c.client_id).to_owned();
                    if c.has_will {
                        tracing::debug!(who = identity, "its will is not published");
                    }
                    self.keep_alive = Duration::from_secs(c.keep_alive.into());
                    wire::connack(&mut self.output, !c.clean_session, wire::ACCEPTED);
                    self.input.advance(len);
                    self.flush().await?;
                    return Ok(Some(identity));
                }
                Ok(Some(_)) => return Err(Fault::ConnectOutOfPlace),
                Err(error) => {
                    if matches!(error, WireError::Version { .. }) {
                        self.refuse(wire::WRONG_VERSION).await;
                    }
                    return Err(error.into());
                }
            }
            self.input.reserve(READ_MIN);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Says why not; the connection ends either way.
    async fn refuse(&mut self, code: u8) {
        self.output.clear();
        wire::connack(&mut self.output, false, code);
        let _ = self.flush().await;
    }

    async fn run(&mut self, ways: &Ways) -> Result<End, Fault> {
        let patience = self.keep_alive + self.keep_alive / 2;
        let mut check = interval(if patience.is_zero() {
            Duration::from_secs(5)
        } else {
            (patience / 4).clamp(Duration::from_millis(250), Duration::from_secs(5))
        });
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_packet = self.shared.clock.now().mono;
        let mut partial_since = None;
        loop {
            let now = self.shared.clock.now();
            let mut used = 0;
            while self.acks.len() < MAX_UNACKED {
                let rest = self.input.get(used..).unwrap_or_default();
                let login = self.login.as_deref();
                let Some((step, len)) = step(self.shared, login, rest, &mut self.output, now)?
                else {
                    break;
                };
                used += len;
                match step {
                    Step::Answered => {}
                    Step::Goodbye => return Ok(End::Peer),
                    Step::Forward(taken, owed) => {
                        if self.forward(taken, owed, now, ways).await? {
                            return Ok(End::Stop);
                        }
                    }
                }
            }
            if used > 0 {
                // More than is here: a refused packet, whose rest is dropped as it comes.
                self.skip = used.saturating_sub(self.input.len());
                self.input.advance(used - self.skip);
                last_packet = now.mono;
                partial_since = None;
            }
            if self.acks.len() < MAX_UNACKED && (self.skip > 0 || !self.input.is_empty()) {
                partial_since.get_or_insert(now.mono);
            } else {
                partial_since = None;
            }
            self.settle();
            self.flush().await?;

            let reading = self.acks.len() < MAX_UNACKED;
            if reading {
                self.make_room();
            }
            tokio::select! {
                () = ways.stop.cancelled() => return Ok(End::Stop),
                () = ways.end.cancelled() => return Err(Fault::TakenOver),
                _ = self.tokens.recv_many(&mut self.batch, READ_MIN) => {}
                read = self.stream.read_buf(&mut self.input), if reading => {
                    let n = read?;
                    if n == 0 {
                        return Ok(End::Peer);
                    }
                    self.confirm();
                    let dropped = self.skip.min(self.input.len());
                    self.input.advance(dropped);
                    self.skip -= dropped;
                    self.room = if n >= self.room {
                        (self.room * 2).min(READ_MAX)
                    } else if n < self.room / 4 {
                        (self.room / 2).max(READ_MIN)
                    } else {
                        self.room
                    };
                }
                _ = check.tick() => {
                    let now = self.shared.clock.now().mono;
                    let over = |since: Duration, limit| now.saturating_sub(since) > limit;
                    if !patience.is_zero() && reading && over(last_packet, patience) {
                        return Err(Fault::Silent);
                    }
                    if partial_since.is_some_and(|since| over(since, PACKET_TIMEOUT)) {
                        return Err(Fault::Dribble);
                    }
                    if self.acks.oldest().is_some_and(|since| over(since, ACK_STALL)) {
                        return Err(Fault::Stalled);
                    }
                }
            }
        }
    }

    /// Passes on what a message brought. True: stop.
    async fn forward(
        &mut self,
        taken: Taken,
        owed: Option<Owed>,
        now: Now,
        ways: &Ways,
    ) -> Result<bool, Fault> {
        if let Some(report) = taken.report
            && self.pass(*report, ways).await?
        {
            return Ok(true);
        }
        let mut arrival = taken.arrival;
        if let Some(owed) = owed {
            let token = self.acks.push(owed, taken.mark, now.mono);
            match &mut arrival {
                Some(arrival) => {
                    let to = ways.tokens.clone();
                    arrival.ack = Some(Ack { to, token });
                }
                // Nothing to store: it only waits for those before it.
                None => drop(self.acks.done(token)),
            }
        }
        match arrival {
            Some(arrival) => self.pass(arrival, ways).await,
            None => Ok(false),
        }
    }

    /// Waits for room in the pipeline, answering meanwhile what becomes durable. True: stop.
    async fn pass(&mut self, arrival: Arrival, ways: &Ways) -> Result<bool, Fault> {
        let arrival = match ways.out.try_send(arrival) {
            Ok(()) => return Ok(false),
            Err(mpsc::error::TrySendError::Full(arrival)) => arrival,
            Err(mpsc::error::TrySendError::Closed(_)) => return Ok(true),
        };
        let room = ways.out.reserve();
        pin!(room);
        loop {
            tokio::select! {
                biased;
                permit = &mut room => {
                    let Ok(permit) = permit else { return Ok(true) };
                    permit.send(arrival);
                    return Ok(false);
                }
                () = ways.stop.cancelled() => return Ok(true),
                () = ways.end.cancelled() => return Err(Fault::TakenOver),
                _ = self.tokens.recv_many(&mut self.batch, READ_MIN) => {
                    self.settle();
                    self.flush().await?;
                }
            }
        }
    }

    /// Turns tokens that have come back into acknowledgements.
    fn settle(&mut self) {
        for token in self.batch.drain(..) {
            self.acks.done(token);
        }
        while let Some((owed, mark)) = self.acks.pop() {
            if let Some(mark) = mark {
                self.shared.intake.settle(mark, Fate::Durable);
                self.told.push(mark);
            }
            match owed {
                Owed::PubAck(id) => wire::puback(&mut self.output, id),
                Owed::PubRec(id) => wire::pubrec(&mut self.output, id),
            }
        }
    }

    /// The client lives, so it has what was written to it before.
    fn confirm(&mut self) {
        for mark in self.sent.drain(..) {
            self.shared.intake.settle(mark, Fate::Acknowledged);
        }
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        if self.output.is_empty() {
            return Ok(());
        }
        match timeout(WRITE_TIMEOUT, self.stream.write_all(&self.output)).await {
            Ok(written) => written?,
            Err(_) => return Err(Fault::NotReading),
        }
        self.output.clear();
        self.sent.append(&mut self.told);
        Ok(())
    }

    /// After the end: answers what can be answered after a stop, and remembers what reaches the
    /// disk, so that a repeat is known for one.
    async fn finish(mut self, stopped: bool) {
        let limit = if stopped { STOP_LINGER } else { ACK_STALL };
        let until = tokio::time::Instant::now() + limit;
        let mut talking = stopped;
        self.settle();
        loop {
            if talking && self.flush().await.is_err() {
                talking = false;
            }
            if self.acks.is_empty() {
                break;
            }
            let came = self.tokens.recv_many(&mut self.batch, READ_MIN);
            match tokio::time::timeout_at(until, came).await {
                Ok(0) | Err(_) => break,
                Ok(_) => self.settle(),
            }
        }
        for mark in self.acks.held_back() {
            self.shared.intake.settle(mark, Fate::Durable);
        }
        let _ = self.stream.shutdown().await;
    }

    fn make_room(&mut self) {
        if self.input.is_empty() && self.input.capacity() > 2 * self.room {
            self.input = BytesMut::new();
        }
        self.input.reserve(self.room);
    }
}

/// Does what the next packet asks for, as far as that needs no waiting; `None` while it is
/// incomplete. The length may exceed `buffer` for a packet that is refused unread.
fn step(
    shared: &Shared,
    login: Option<&str>,
    buffer: &[u8],
    output: &mut Vec<u8>,
    now: Now,
) -> Result<Option<(Step, usize)>, Fault> {
    let (packet, len) = match wire::read(buffer, shared.max_packet()) {
        Ok(Some(read)) => read,
        Ok(None) => return Ok(None),
        Err(WireError::TooLarge { len, .. }) if wire::is_publish(buffer) && len <= MAX_SKIP => {
            let Some((p, whole)) = wire::read_oversize(buffer)? else {
                return Ok(None);
            };
            let is_picture =
                len <= MAX_STILL + PACKET_SLACK && shared.intake.pictures().may(p.topic, login);
            if is_picture {
                return take_picture(shared, login, buffer, now);
            }
            let taken = shared.intake.oversize(p.topic, len, login, now);
            return Ok(Some((Step::Forward(taken, owed(&p)), whole)));
        }
        Err(error) => return Err(error.into()),
    };
    let step = match packet {
        Packet::Publish(p) => {
            let taken = shared.intake.take(message(&p, login), now);
            return Ok(Some((Step::Forward(taken, owed(&p)), len)));
        }
        Packet::Disconnect => Step::Goodbye,
        Packet::Connect(_) => return Err(Fault::ConnectOutOfPlace),
        Packet::PubRel(id) => {
            wire::pubcomp(output, id);
            Step::Answered
        }
        Packet::PingReq => {
            wire::pingresp(output);
            Step::Answered
        }
        Packet::Subscribe(id, filters) => {
            wire::suback_refused(output, id, filters);
            Step::Answered
        }
        Packet::Unsubscribe(id) => {
            wire::unsuback(output, id);
            Step::Answered
        }
        Packet::Stray => Step::Answered,
    };
    Ok(Some((step, len)))
}

/// A camera's picture, larger than what devices may send.
fn take_picture(
    shared: &Shared,
    login: Option<&str>,
    buffer: &[u8],
    now: Now,
) -> Result<Option<(Step, usize)>, Fault> {
    let Some((packet, len)) = wire::read(buffer, MAX_STILL + PACKET_SLACK)? else {
        return Ok(None);
    };
    let Packet::Publish(p) = packet else {
        return Ok(None);
    };
    let taken = shared.intake.take(message(&p, login), now);
    Ok(Some((Step::Forward(taken, owed(&p)), len)))
}

fn message<'a>(p: &wire::Publish<'a>, login: Option<&'a str>) -> Message<'a> {
    Message {
        topic: p.topic,
        payload: p.payload,
        dup: p.dup,
        // Only a broker's own copy is stale; from the device itself it is news.
        retain: false,
        waits: p.qos > 0,
        login,
    }
}

fn owed(p: &wire::Publish<'_>) -> Option<Owed> {
    match p.qos {
        0 => None,
        1 => Some(Owed::PubAck(p.id)),
        _ => Some(Owed::PubRec(p.id)),
    }
}
