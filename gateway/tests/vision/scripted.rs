//! A camera that misbehaves as told: what no real server can be made to do.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// What the camera does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// Takes connections and says nothing.
    Mute,
    /// Answers with noise.
    Garbage,
    /// Answers the first request with a body that never ends.
    EndlessAnswer,
    /// Good packets, whose video is noise.
    BrokenVideo,
    /// Good video without its key frames.
    NoKeyFrame,
    /// Good video for two seconds, then nothing, with the connection open.
    Stops,
    /// Good video whose timestamps never change, a mark at each picture.
    FrozenClock,
    /// One picture that never ends, as fast as it can.
    Endless,
    /// Good video whose size changes every second.
    Resolutions,
    /// Answers a byte at a time.
    Drip,
    /// Asks for the password again and again, each time with another challenge.
    NeverSatisfied,
    /// One good picture again and again while its clock runs, ten times as fast as ours.
    Frozen,
    /// Agrees to play, and sends nothing.
    Silent,
    /// Good video for two seconds, then packets with no picture in them.
    Delimiters,
    /// Good video with a mark on every packet.
    Marks,
    /// Good video, and every second a request of its own.
    Asks,
    /// Good video for two seconds, then a message that never ends.
    EndlessMessage,
    /// Takes its own login for one request only.
    OneTime,
}

/// The running camera.
pub struct Scripted {
    port: u16,
    served: Arc<Notify>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scripted {
    pub async fn start(script: Script) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let served = Arc::new(Notify::new());
        let told = Arc::clone(&served);
        let video = Arc::new(Video::make());
        let task = tokio::spawn(async move {
            loop {
                let (connection, _) = socket.accept().await.unwrap();
                let (told, video) = (Arc::clone(&told), Arc::clone(&video));
                tokio::spawn(async move {
                    // The other side leaves when it has had enough.
                    let _ = serve(connection, script, &video, &told).await;
                    told.notify_one();
                });
            }
        });
        Scripted { port, served, task }
    }

    pub fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}/cam", self.port)
    }

    /// Waits until the script has been played to its point.
    pub async fn served(&self) {
        tokio::time::timeout(crate::rig::PATIENCE, self.served.notified())
            .await
            .expect("served");
    }
}

/// Access units of two clips of different size, as lists of NAL units.
struct Video {
    small: Vec<Vec<Vec<u8>>>,
    large: Vec<Vec<Vec<u8>>>,
}

impl Video {
    fn make() -> Self {
        Video {
            small: clip("320x240"),
            large: clip("640x480"),
        }
    }
}

fn clip(size: &str) -> Vec<Vec<Vec<u8>>> {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i"])
        .arg(format!("testsrc2=size={size}:rate=10"))
        .args([
            "-t", "1", "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p",
        ])
        .args([
            "-x264-params",
            "slices=1:bframes=0:keyint=10:aud=0:threads=1",
            "-f",
            "h264",
            "-",
        ])
        .output()
        .expect("ffmpeg is installed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let (mut units, mut unit) = (Vec::new(), Vec::new());
    for nal in split(&output.stdout) {
        let slice = matches!(nal[0] & 0x1f, 1 | 5);
        unit.push(nal);
        if slice {
            units.push(std::mem::take(&mut unit));
        }
    }
    assert_eq!(units.len(), 10);
    units
}

/// The NAL units between start codes.
fn split(annex_b: &[u8]) -> Vec<Vec<u8>> {
    let starts: Vec<_> = (0..annex_b.len().saturating_sub(2))
        .filter(|i| annex_b[*i..*i + 3] == [0, 0, 1])
        .map(|i| i + 3)
        .collect();
    let ends = starts.iter().skip(1).map(|s| s - 3).chain([annex_b.len()]);
    let nals = starts
        .iter()
        .zip(ends)
        .map(|(start, end)| &annex_b[*start..end]);
    nals.map(|nal| {
        let zeros = nal.iter().rev().take_while(|b| **b == 0).count();
        nal[..nal.len() - zeros].to_vec()
    })
    .collect()
}

async fn serve(
    connection: TcpStream,
    script: Script,
    video: &Video,
    told: &Notify,
) -> std::io::Result<()> {
    let (reader, mut writer) = connection.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut challenge = 0u128;
    let mut challenged = true;
    loop {
        let Some(request) = lines.next_line().await? else {
            return Ok(());
        };
        let mut sequence = String::new();
        while let Some(header) = lines.next_line().await?.filter(|l| !l.is_empty()) {
            if let Some(number) = header.strip_prefix("CSeq: ") {
                sequence = number.to_owned();
            }
        }
        let method = request.split(' ').next().unwrap_or_default();
        match script {
            Script::Mute => return std::future::pending().await,
            Script::Garbage => {
                writer.write_all(&[b'\xf7'; 4096]).await?;
                continue;
            }
            Script::EndlessAnswer => {
                let head = format!(
                    "RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\nContent-Length: 4000000000\r\n\r\n"
                );
                writer.write_all(head.as_bytes()).await?;
                loop {
                    writer.write_all(&[b'a'; 65_536]).await?;
                }
            }
            Script::NeverSatisfied => {
                challenge += 1;
                let head = format!(
                    "RTSP/1.0 401 Unauthorized\r\nCSeq: {sequence}\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"{challenge:032x}\", stale=TRUE\r\n\r\n"
                );
                writer.write_all(head.as_bytes()).await?;
                continue;
            }
            Script::OneTime if challenged || method != "DESCRIBE" => {
                let login = "WWW-Authenticate: Digest realm=\"r\", nonce=\"1\"\r\n";
                challenged = false;
                let head = format!("RTSP/1.0 401 Unauthorized\r\nCSeq: {sequence}\r\n{login}\r\n");
                writer.write_all(head.as_bytes()).await?;
                continue;
            }
            Script::Drip => {
                let head = format!("RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\nX-Padding: ");
                for byte in head.bytes().chain(std::iter::repeat(b'x')) {
                    writer.write_all(&[byte]).await?;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
            _ => {}
        }
        let (headers, body) = match method {
            "DESCRIBE" => (
                "Content-Type: application/sdp\r\n",
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
                 a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track\r\n",
            ),
            "SETUP" => (
                "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1;timeout=60\r\n",
                "",
            ),
            _ => ("Session: 1\r\n", ""),
        };
        let answer = format!(
            "RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        writer.write_all(answer.as_bytes()).await?;
        if method == "PLAY" {
            let mut out = Rtp {
                writer,
                sequence: 7,
                marks: script == Script::Marks,
            };
            return tokio::select! {
                result = play(&mut out, script, video, told) => result,
                // Requests during play (keep-alive, farewell) go unanswered, but a hang-up ends it.
                result = drain(lines) => result,
            };
        }
    }
}

async fn drain(
    mut lines: tokio::io::Lines<BufReader<tokio::net::tcp::OwnedReadHalf>>,
) -> std::io::Result<()> {
    while lines.next_line().await.is_ok_and(|l| l.is_some()) {}
    Ok(())
}

async fn play(out: &mut Rtp, script: Script, video: &Video, told: &Notify) -> std::io::Result<()> {
    let begun = Instant::now();
    let mut random = 1u32;
    for picture in 0u32.. {
        let due = begun + Duration::from_millis(100) * picture;
        tokio::time::sleep_until(due.into()).await;
        let timestamp = picture * 9000;
        let (second, index) = (picture / 10, picture as usize % 10);
        let unit = &video.small[index];
        match script {
            Script::BrokenVideo => {
                let noise = std::iter::repeat_with(|| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (random >> 24) as u8
                });
                let nal: Vec<u8> = std::iter::once(0x65).chain(noise.take(3000)).collect();
                out.unit(&[nal], timestamp).await?;
            }
            Script::NoKeyFrame if index == 0 => {}
            Script::Stops if second >= 2 => {
                told.notify_one();
                std::future::pending::<()>().await;
            }
            Script::FrozenClock => out.unit(unit, 0).await?,
            Script::Frozen => out.unit(&video.small[0], picture * 90_000).await?,
            Script::Endless => {
                let piece = [vec![0x7c, 0x05], vec![0; 60_000]].concat();
                out.packet(&[0x7c, 0x85, 0], 0, false).await?;
                loop {
                    out.packet(&piece, 0, false).await?;
                }
            }
            Script::Resolutions => {
                let unit = if second % 2 == 0 {
                    unit
                } else {
                    &video.large[index]
                };
                out.unit(unit, timestamp).await?;
                if second == 6 {
                    told.notify_one();
                }
            }
            Script::Silent => std::future::pending().await,
            Script::Delimiters if second >= 2 => out.packet(&[9, 0xf0], timestamp, true).await?,
            Script::Asks => {
                if index == 5 {
                    let ask = format!(
                        "SET_PARAMETER rtsp://127.0.0.1/cam RTSP/1.0\r\nCSeq: {picture}\r\n\r\n"
                    );
                    out.writer.write_all(ask.as_bytes()).await?;
                }
                out.unit(unit, timestamp).await?;
                if second == 5 {
                    told.notify_one();
                }
            }
            Script::EndlessMessage if second >= 2 => {
                let head = "RTSP/1.0 200 OK\r\nCSeq: 99\r\nContent-Length: 4000000000\r\n\r\n";
                out.writer.write_all(head.as_bytes()).await?;
                loop {
                    out.writer.write_all(&[b'a'; 65_536]).await?;
                }
            }
            _ => out.unit(unit, timestamp).await?,
        }
    }
    Ok(())
}

struct Rtp {
    writer: tokio::net::tcp::OwnedWriteHalf,
    sequence: u16,
    /// On every packet.
    marks: bool,
}

impl Rtp {
    /// An access unit: small NAL units whole, large ones in fragments, a mark at the end.
    async fn unit(&mut self, nals: &[Vec<u8>], timestamp: u32) -> std::io::Result<()> {
        for (index, nal) in nals.iter().enumerate() {
            let last = index + 1 == nals.len();
            if nal.len() <= 1400 {
                self.packet(nal, timestamp, last).await?;
                continue;
            }
            let pieces: Vec<_> = nal[1..].chunks(1400).collect();
            for (number, piece) in pieces.iter().enumerate() {
                let end = number + 1 == pieces.len();
                let flags = if number == 0 { 0x80 } else { 0 } | if end { 0x40 } else { 0 };
                let head = [nal[0] & 0xe0 | 28, nal[0] & 0x1f | flags];
                self.packet(&[&head, *piece].concat(), timestamp, last && end)
                    .await?;
            }
        }
        Ok(())
    }

    async fn packet(&mut self, payload: &[u8], timestamp: u32, mark: bool) -> std::io::Result<()> {
        let mut packet = vec![b'$', 0];
        packet.extend(((12 + payload.len()) as u16).to_be_bytes());
        packet.extend([0x80, 96 | if mark || self.marks { 0x80 } else { 0 }]);
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(0x1234_5678u32.to_be_bytes());
        packet.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.writer.write_all(&packet).await
    }
}
