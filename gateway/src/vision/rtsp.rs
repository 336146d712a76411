//! Cameras on the network: RTSP with `retina`, over TCP or UDP, or TLS by way of a relay.

use std::{
    future::poll_fn,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use retina::{
    client::{
        Credentials, Described, PacketItem, PlayOptions, Playing, Session, SessionGroup,
        SessionOptions, SetupOptions, TcpTransportOptions, Transport, UdpTransportOptions,
    },
    codec::{ParametersRef, VideoParametersCodec},
};
use tokio::time::timeout;
use url::Url;

use crate::bilingual::Bilingual;

use super::{
    decode::{self, Format, Unit},
    depacket::{Coding, DepacketError, Depacketizer},
    lane::{Item, Lane},
    media::{ClockFault, ClockRate},
    memory::Growth,
    nap::Listener,
    of_camera,
    relay::Relay,
    snapshot,
    trust::TlsFault,
    vigil::{Blindness, Vigil},
    wire::RTSP_PORT,
};

/// A camera that does not answer one request within this time does not answer.
pub const ANSWER: Duration = Duration::from_secs(10);
/// No packet, no picture, or no first key frame for so long: the stream has stopped.
pub const SILENCE: Duration = Duration::from_secs(10);
/// How often what is waited for is looked at, though nothing came: a camera with 25 frames a second
/// is never waited for so long.
const TICK: Duration = Duration::from_millis(50);
/// The camera's clock may stand still for so long while frames come.
pub const FROZEN: Duration = Duration::from_secs(10);
/// The first request, before which nobody has been let in.
const DESCRIBE: &str = "DESCRIBE";
/// Longest wait for the farewell to an earlier session.
const TEARDOWN: Duration = Duration::from_secs(3);
/// First and longest wait before a camera is tried again.
pub const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A stream that played for so long was well; trying again begins with the first wait.
const HEALTHY: Duration = Duration::from_secs(30);

/// Why a camera gives nothing; see [`of_camera`].
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(
        "does not answer at {at} within {} s; check address, cable and power",
        ANSWER.as_secs(),
        at = .0
    )]
    NoConnection(String),
    #[error("does not answer at {0} ({1}); check address, cable and power")]
    Unreachable(String, String),
    #[error("refuses user name or password; check `username` and `password`")]
    Unauthorised,
    #[error(
        "answers DESCRIBE and refuses {0}; check `username` and `password`, that this user may watch live video, and that its Digest login holds for more than one request"
    )]
    NotAllowed(&'static str),
    #[error("has no stream at this path (status {0}); check the path of `url`")]
    NotFound(u16),
    #[error("sends us elsewhere (status {0}), which is not followed; write the right `url`")]
    Redirected(u16),
    #[error(
        "has no room for one more viewer (status {0}); end others that watch it, or take its second stream"
    )]
    Busy(u16),
    #[error("does not send over this transport (status {0}); set `transport` to the other one")]
    Transport(u16),
    #[error("refuses with status {0}")]
    Refused(u16),
    #[error("did not answer {what} within {} s", ANSWER.as_secs())]
    NoAnswer { what: &'static str },
    #[error("offers no H.264 or H.265 video (it offers: {0}); change its video coding")]
    NoVideo(String),
    #[error("{0}")]
    Blind(#[from] Blindness),
    #[error("sends frames whose clock has stood still for {} s", FROZEN.as_secs())]
    FrozenClock,
    #[error("{0}")]
    WrongClock(#[from] ClockFault),
    #[error(
        "sends a message without end, as it seems, and is tried again; if it goes on, update its firmware and check who can reach it"
    )]
    Endless,
    #[error("ended the stream; it is taken up anew")]
    Ended,
    #[error("broke off the connection ({0}); check cable and power, and how many watch it")]
    Lost(String),
    #[error(
        "does not answer keep-alives, so its stream has to be taken up anew again and again; update its firmware"
    )]
    KeepAlive,
    #[error("wants a login that is neither Basic nor Digest; set its RTSP to one of them")]
    StrangeLogin,
    #[error("{0}")]
    Tls(TlsFault),
    #[error("{0}")]
    Depacket(#[from] DepacketError),
    #[error("sends what breaks the RTSP parser; check its model and firmware")]
    Unparsable,
    #[error("broke the protocol ({0}); update its firmware, or take another of its streams")]
    Protocol(String),
}

impl Bilingual for Fault {
    fn zh(&self) -> String {
        let (answer, frozen) = (ANSWER.as_secs(), FROZEN.as_secs());
        match self {
            Fault::NoConnection(at) => {
                format!("{at} 在 {answer} 秒内无应答,请检查地址、网线和电源")
            }
            Fault::Unreachable(at, why) => {
                format!("{at} 无法连接({why}),请检查地址、网线和电源")
            }
            Fault::Unauthorised => "用户名或密码错误,请检查 `username` 和 `password`".into(),
            Fault::NotAllowed(what) => format!(
                "应答了 DESCRIBE 却拒绝 {what},请检查 `username` 和 `password`、该用户是否有实时预览权限,以及其 Digest 认证是否可用于多次请求"
            ),
            Fault::NotFound(status) => {
                format!("该路径下没有码流(状态码 {status}),请检查 `url` 的路径")
            }
            Fault::Redirected(status) => {
                format!("要求转到其他地址(状态码 {status}),网关不跟随跳转,请填写正确的 `url`")
            }
            Fault::Busy(status) => {
                format!("取流路数已满(状态码 {status}),请断开其他取流端,或改用辅码流")
            }
            Fault::Transport(status) => {
                format!("不支持当前传输方式(状态码 {status}),请将 `transport` 改为另一种")
            }
            Fault::Refused(status) => format!("拒绝访问(状态码 {status})"),
            Fault::NoAnswer { what } => format!("{answer} 秒内未应答 {what} 请求"),
            Fault::NoVideo(offers) => {
                format!("没有 H.264 或 H.265 码流(仅有:{offers}),请更改视频编码")
            }
            Fault::Blind(blindness) => blindness.zh(),
            Fault::FrozenClock => format!("码流的时间戳已停止 {frozen} 秒"),
            Fault::WrongClock(fault) => fault.zh(),
            Fault::Endless => {
                "疑似发送无止境的报文,将重新取流;如反复出现,请升级固件,并检查谁能访问该摄像机"
                    .into()
            }
            Fault::Ended => "码流被摄像机关闭,将重新取流".into(),
            Fault::Lost(why) => format!("连接中断({why}),请检查网线和电源,以及同时取流的路数"),
            Fault::KeepAlive => "不应答保活请求,码流只能反复重新建立,请升级固件".into(),
            Fault::StrangeLogin => {
                "登录方式既非 Basic 也非 Digest,请将其 RTSP 认证设为其中之一".into()
            }
            Fault::Tls(fault) => fault.zh(),
            Fault::Depacket(fault) => fault.zh(),
            Fault::Unparsable => "发来的内容使 RTSP 解析器崩溃,请检查型号和固件".into(),
            Fault::Protocol(what) => format!("RTSP 协议错误({what}),请升级固件,或改用另一路码流"),
        }
    }
}

impl From<retina::Error> for Fault {
    fn from(e: retina::Error) -> Self {
        let text = || e.to_string();
        match e.status_code() {
            Some(401) if text().contains("Can't understand WWW-Authenticate") => {
                Fault::StrangeLogin
            }
            Some(401 | 403) => Fault::Unauthorised,
            Some(404 | 454) => Fault::NotFound(e.status_code().unwrap_or_default()),
            // A good status whose answer cannot be understood.
            Some(200..=299) | None => Fault::in_words(&text()),
            Some(status @ 300..=399) => Fault::Redirected(status),
            Some(status @ (453 | 503)) => Fault::Busy(status),
            Some(status @ 461) => Fault::Transport(status),
            Some(status) => Fault::Refused(status),
        }
    }
}

impl Fault {
    /// What `retina` says, without what differs from time to time: the same fault is told once.
    fn in_words(text: &str) -> Self {
        // Below the first line stand connection details for a packet capture.
        let line = text.lines().next().unwrap_or_default();
        let shown = |text: &str| {
            text.trim_end_matches([':', ' '])
                .chars()
                .take(200)
                .collect()
        };
        if line.contains("respond to keepalive") {
            return Fault::KeepAlive;
        }
        if let Some((_, why)) = line.split_once("Error reading from RTSP peer: ") {
            return Fault::Lost(shown(why));
        }
        // Numbers of packets and bytes, and the state of a parser.
        let ends = [
            "; expecting",
            "; buffered",
            " while expecting",
            " after ",
            ": byte ",
            " Response {",
        ];
        let end = ends.iter().filter_map(|end| line.find(end)).min();
        Fault::Protocol(shown(line.get(..end.unwrap_or(line.len())).unwrap_or(line)))
    }
}

/// How to reach a camera.
#[derive(Clone)]
pub struct Address {
    /// Without user and password.
    pub url: Url,
    pub credentials: Option<Credentials>,
    pub udp: bool,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address")
            .field("url", &self.url.as_str())
            .field("udp", &self.udp)
            .finish_non_exhaustive()
    }
}

/// Plays the camera into its lane for ever, again and again after faults.
pub async fn play(
    mut address: Address,
    relay: Option<Arc<Relay>>,
    lane: Arc<Lane>,
    mut listener: Listener,
) -> ! {
    let _served = relay.as_ref().map(Relay::serve);
    if let Some(local) = relay.as_ref().and_then(|relay| relay.url(&address.url)) {
        address.url = local;
    }
    // Cameras allow few sessions: the last one is taken leave of before the next begins.
    let mut group = Arc::new(SessionGroup::default());
    let (first, longest) = BACKOFF;
    let mut wait = first;
    let mut refusals = 0;
    loop {
        let begun = Instant::now();
        let played = play_once(&address, relay.as_deref(), &group, &lane, &mut listener).await;
        listener.can_wait(false);
        let fault = match played {
            Ok(never) => match never {},
            Err(fault) => fault,
        };
        if begun.elapsed() > HEALTHY {
            wait = first;
            refusals = 0;
        }
        if matches!(fault, Fault::Endless) {
            // It waits for a farewell that is not said.
            group = Arc::default();
        }
        let pause = snapshot::pause(&fault, wait, &mut refusals);
        lane.push(Item::Fault(of_camera(&fault)));
        // Many cameras behind one switch come back together; they need not be asked together.
        let jitter = rand::random_range(0.8..1.2);
        tokio::time::sleep(pause.mul_f64(jitter)).await;
        wait = (wait * 2).min(longest);
        let _ = timeout(TEARDOWN, group.await_teardown()).await;
    }
}

async fn play_once(
    address: &Address,
    relay: Option<&Relay>,
    group: &Arc<SessionGroup>,
    lane: &Arc<Lane>,
    listener: &mut Listener,
) -> Result<std::convert::Infallible, Fault> {
    match relay {
        Some(relay) => relay.prepare().await?,
        None => reachable(&address.url).await?,
    }
    let options = SessionOptions::default()
        .creds(address.credentials.clone())
        .user_agent("wangge".into())
        .session_group(Arc::clone(group));
    let describe = Session::describe(address.url.clone(), options);
    let mut session = answer(DESCRIBE, describe).await?;
    let (stream, coding) = video(&session)?;
    let transport = if address.udp {
        Transport::Udp(UdpTransportOptions::default())
    } else {
        Transport::Tcp(TcpTransportOptions::default())
    };
    let setup = session.setup(stream, SetupOptions::default().transport(transport));
    answer("SETUP", setup).await?;
    let (clock_rate, sets) = parameters(&session, stream);
    let depacketizer = Depacketizer::new(coding, sets.iter().map(Vec::as_slice));
    let mut playing = answer("PLAY", session.play(PlayOptions::default())).await?;
    lane.push(Item::Start(Format::Coding(coding)));
    // Datagrams that nobody takes are lost, and a relay has two connections to serve.
    let patient = (!address.udp && relay.is_none()).then_some(listener);
    let receiving = receive(
        &mut playing,
        stream,
        clock_rate,
        depacketizer,
        lane,
        patient,
    );
    let fault = receiving.await;
    if matches!(fault, Err(Fault::Endless)) {
        leave(playing);
    }
    fault
}

/// Drops what may hold a session without its farewell, for whose answer `retina` would go on
/// reading.
fn leave<T>(session: T) {
    // The farewell is spawned where the session is dropped: in a runtime that never runs.
    if let Ok(nowhere) = tokio::runtime::Builder::new_current_thread().build() {
        let entered = nowhere.enter();
        drop(session);
        drop(entered);
        nowhere.shutdown_background();
    }
}

/// A plain connection first: `retina` does not limit how long it tries, nor tells a name that
/// does not resolve from a camera that is off.
async fn reachable(url: &Url) -> Result<(), Fault> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port().unwrap_or(RTSP_PORT);
    let at = format!("{host}:{port}");
    match timeout(ANSWER, tokio::net::TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) => Err(Fault::Unreachable(at, e.to_string())),
        Err(_) => Err(Fault::NoConnection(at)),
    }
}

async fn answer<T>(
    what: &'static str,
    request: impl Future<Output = Result<T, retina::Error>>,
) -> Result<T, Fault> {
    let mut growth = Growth::begin();
    let begun = Instant::now();
    let mut request = Box::pin(request);
    loop {
        let answered = poll_fn(|cx| growth.look(cx, |cx| request.as_mut().poll(cx)));
        match timeout(TICK, answered).await {
            Ok(answer) => {
                return answer.map_err(|e| match Fault::from(e) {
                    Fault::Unauthorised if what != DESCRIBE => Fault::NotAllowed(what),
                    fault => fault,
                });
            }
            // `retina` keeps answers of any length.
            Err(_) if growth.is_endless() => {
                leave(request);
                return Err(Fault::Endless);
            }
            Err(_) if begun.elapsed() > ANSWER => return Err(Fault::NoAnswer { what }),
            Err(_) => {}
        }
    }
}

pub(super) fn video(session: &Session<Described>) -> Result<(usize, Coding), Fault> {
    let streams = session.streams();
    let coding = |name: &str| match name {
        "h264" => Some(Coding::H264),
        "h265" => Some(Coding::H265),
        _ => None,
    };
    streams
        .iter()
        .enumerate()
        .filter(|(_, s)| s.media() == "video")
        .find_map(|(index, s)| Some((index, coding(s.encoding_name())?)))
        .ok_or_else(|| {
            let offers = streams.iter().take(8);
            let names: Vec<_> = offers
                .map(|s| format!("{}/{}", s.media(), s.encoding_name()))
                .collect();
            Fault::NoVideo(names.join(", "))
        })
}

/// Clock rate and parameter sets from the session description.
pub(super) fn parameters(session: &Session<Described>, stream: usize) -> (u32, Vec<Vec<u8>>) {
    let Some(stream) = session.streams().get(stream) else {
        return (90_000, Vec::new());
    };
    let sets = match stream.parameters() {
        Some(ParametersRef::Video(video)) => match video.codec_params() {
            VideoParametersCodec::H264 { sps, pps } => vec![sps.to_vec(), pps.to_vec()],
            VideoParametersCodec::H265 { vps, sps, pps } => {
                vec![vps.to_vec(), sps.to_vec(), pps.to_vec()]
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    (stream.clock_rate_hz(), sets)
}

async fn receive(
    session: &mut Session<Playing>,
    stream: usize,
    clock_rate: u32,
    mut depacketizer: Depacketizer,
    lane: &Arc<Lane>,
    mut patient: Option<&mut Listener>,
) -> Result<std::convert::Infallible, Fault> {
    let begun = Instant::now();
    let mut vigil = Vigil::new();
    let mut clock = (i64::MIN, begun);
    let mut rate = ClockRate::default();
    let mut growth = Growth::begin();
    loop {
        vigil.judge(lane.is_starved(), begun.elapsed())?;
        // `retina` may leave off listening after a request of the camera's, until it is asked
        // again; so it is asked again soon.
        let next = poll_fn(|cx| growth.look(cx, |cx| session.poll_next_unpin(cx)));
        let item = match timeout(TICK, next).await {
            Ok(Some(item)) => item?,
            Ok(None) => return Err(Fault::Ended),
            Err(_) if growth.is_endless() => return Err(Fault::Endless),
            Err(_) => continue,
        };
        growth.again();
        // Sender reports go on when a camera's encoder has died, so they are no sign of life.
        let PacketItem::Rtp(packet) = item else {
            continue;
        };
        if packet.stream_id() != stream {
            continue;
        }
        let now = begun.elapsed();
        vigil.packet(now);
        let timestamp = packet.timestamp().elapsed();
        if timestamp != clock.0 {
            clock = (timestamp, Instant::now());
        } else if clock.1.elapsed() > FROZEN {
            return Err(Fault::FrozenClock);
        }
        rate.observe(decode::micros(timestamp, clock_rate), now)?;
        let pushed = depacketizer.push(&packet)?;
        vigil.lost(pushed.lost, now);
        lane.lost(pushed.lost);
        if let Some(listener) = &mut patient {
            let is_between_pictures = !pushed.units.is_empty();
            listener.can_wait(is_between_pictures && lane.is_quiet());
        }
        for unit in pushed.units {
            // Until a key frame came nothing can be decoded, and a lost one spoils what follows.
            if vigil.whole(unit.key, now) {
                lane.push(Item::Unit(Unit::from_rtp(&unit, clock_rate)));
            } else {
                lane.lost(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bilingual::assert_bilingual;

    #[test]
    fn the_same_fault_has_the_same_words() {
        for (text, words) in [
            (
                "wrong ssrc after 523 RTP pkts + 0 RTCP pkts; expecting ssrc=Some(..)\n\nconn: ..",
                "camera broke the protocol (wrong ssrc); update its firmware, or take another of its streams",
            ),
            (
                "RTSP framing error: Invalid RTSP message: byte 374168: request-line; buffered:\n..",
                "camera broke the protocol (RTSP framing error: Invalid RTSP message); update its firmware, or take another of its streams",
            ),
            (
                "RTSP framing error: Unexpected RTSP response Response {\n status",
                "camera broke the protocol (RTSP framing error: Unexpected RTSP response); update its firmware, or take another of its streams",
            ),
            (
                "Error reading from RTSP peer: Connection reset by peer (os error 104)\n\nconn",
                "camera broke off the connection (Connection reset by peer (os error 104)); check cable and power, and how many watch it",
            ),
            (
                "Error reading from RTSP peer: Server failed to respond to keepalive 4 within 10s\n",
                "camera does not answer keep-alives, so its stream has to be taken up anew again and again; update its firmware",
            ),
        ] {
            assert_eq!(format!("camera {}", Fault::in_words(text)), words);
        }
    }

    #[test]
    fn every_fault_is_told_in_both_languages() {
        let at = || "192.0.2.1:554".to_owned();
        assert_bilingual([
            Fault::NoConnection(at()),
            Fault::Unreachable(at(), "connection refused".into()),
            Fault::Unauthorised,
            Fault::NotFound(404),
            Fault::Redirected(302),
            Fault::Busy(453),
            Fault::Transport(461),
            Fault::Refused(500),
            Fault::NoAnswer { what: "DESCRIBE" },
            Fault::NoVideo("audio/pcma".into()),
            Fault::Blind(Blindness::Torn),
            Fault::FrozenClock,
            Fault::WrongClock(ClockFault::Sparse),
            Fault::NotAllowed("SETUP"),
            Fault::Endless,
            Fault::Ended,
            Fault::Lost("connection reset".into()),
            Fault::KeepAlive,
            Fault::StrangeLogin,
            Fault::Tls(TlsFault::NotTls),
            Fault::Depacket(DepacketError::TooLarge),
            Fault::Unparsable,
            Fault::Protocol("bad status line".into()),
        ]);
    }
}
