//! Entry points for a fuzzer: what a camera, or a child that a camera has taken over, may send.
//!
//! Compiled for tests and for `cargo fuzz` only. `gateway/fuzz` has a target for each; the tests
//! below replay its corpus, and mutations of it, so that what was once found stays found.

use std::{cell::RefCell, time::Duration};

use retina::client::{Session, SessionOptions};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::Runtime,
    time::timeout,
};

use super::{
    decode::{self, Decoder, Format, Unit},
    depacket::{AccessUnit, Coding, Depacketizer, MAX_UNIT},
    rtsp,
    stills::Judge,
    wire::Report,
};

/// Frames that one input may cost.
const MAX_PICTURES: usize = 64;

fn coding(byte: u8) -> Coding {
    if byte & 1 == 0 {
        Coding::H264
    } else {
        Coding::H265
    }
}

/// RTP payloads: a byte for the coding, then packets of one byte of flags (1: mark, 2: a packet
/// was lost before, the rest: timestamp step), two bytes of length and the payload.
pub fn rtp(data: &[u8]) {
    let Some((&first, mut rest)) = data.split_first() else {
        return;
    };
    let mut depacketizer = Depacketizer::new(coding(first), std::iter::empty());
    let mut timestamp = 0;
    while let [flags, high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
        let (payload, after) = tail.split_at(length);
        rest = after;
        timestamp += i64::from(flags >> 2);
        match depacketizer.take(payload, timestamp, flags & 1 != 0, flags & 2 != 0) {
            Ok(pushed) => {
                for unit in pushed.units {
                    // Parameter sets may come on top.
                    assert!(unit.data.len() <= MAX_UNIT + (16 << 10));
                    assert!(!unit.data.is_empty());
                }
            }
            Err(_) => return,
        }
    }
}

/// Compressed video as the depacketizer gives it: a byte for the coding, then Annex B.
pub fn video(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else {
        return;
    };
    decode::quiet_logs();
    let Ok(mut decoder) = Decoder::open(&Format::Coding(coding(first))) else {
        return;
    };
    // Cut where a picture may begin, as access units are.
    let mut starts: Vec<_> = rest
        .windows(4)
        .enumerate()
        .filter(|(_, bytes)| *bytes == [0, 0, 0, 1])
        .map(|(at, _)| at)
        .take(MAX_PICTURES)
        .collect();
    starts.push(rest.len());
    let mut from = 0;
    for (index, to) in starts.into_iter().enumerate() {
        let unit = AccessUnit {
            data: rest.get(from..to).unwrap_or_default().to_vec(),
            timestamp: index as i64 * 3000,
            key: index == 0,
            disposable: false,
        };
        from = to;
        let decoded = decoder.decode(&Unit::from_rtp(&unit, 90_000), |frame| {
            assert!(frame.width() * frame.height() <= decode::MAX_PIXELS);
        });
        if decoded.is_err() {
            return;
        }
    }
    let _ = decoder.finish(|_| {});
}

/// A single picture, as a camera or whoever fills a folder sends it.
pub fn jpeg(data: &[u8]) {
    decode::quiet_logs();
    let mut judge = Judge::new(Duration::from_secs(1));
    if judge.take(data, Duration::ZERO).is_err() {
        return;
    }
    let Ok(mut decoder) = Decoder::open(&Format::Jpeg) else {
        return;
    };
    let _ = decoder.decode(&Unit::from_jpeg(data, 0), |frame| {
        assert!(frame.width() * frame.height() <= decode::MAX_PIXELS);
        let _ = decode::Scalers::default().scale(&frame, decode::Packed::Rgb, 64, 48);
    });
}

/// What a camera answers to DESCRIBE. An even first byte: the rest is the session description
/// of a good answer; odd: the rest is everything that it sends.
///
/// Whether it described a stream that can be played.
pub fn answer(data: &[u8]) -> bool {
    thread_local! {
        static SERVER: RefCell<Option<(Runtime, TcpListener)>> = const { RefCell::new(None) };
    }
    let Some((&first, rest)) = data.split_first() else {
        return false;
    };
    let mut reply = Vec::new();
    if first & 1 == 0 {
        let head = format!(
            "RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n",
            rest.len()
        );
        reply.extend(head.into_bytes());
    }
    reply.extend(rest);
    SERVER.with_borrow_mut(|server| {
        if server.is_none() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let Ok(runtime) = runtime else { return false };
            let Ok(listener) = runtime.block_on(TcpListener::bind("127.0.0.1:0")) else {
                return false;
            };
            *server = Some((runtime, listener));
        }
        server
            .as_ref()
            .is_some_and(|(runtime, listener)| runtime.block_on(describe(listener, &reply)))
    })
}

async fn describe(listener: &TcpListener, reply: &[u8]) -> bool {
    let Ok(address) = listener.local_addr() else {
        return false;
    };
    let serve = async {
        let Ok((mut camera, _)) = listener.accept().await else {
            return;
        };
        let mut request = [0; 2048];
        let _ = camera.read(&mut request).await;
        let _ = camera.write_all(reply).await;
        let _ = camera.shutdown().await;
        // Whatever else is asked has no answer.
        let _ = timeout(Duration::from_millis(50), camera.read(&mut request)).await;
    };
    let Ok(url) = format!("rtsp://{address}/cam").parse() else {
        return false;
    };
    let ask = tokio::spawn(async {
        let described = Session::describe(url, SessionOptions::default());
        if let Ok(Ok(session)) = timeout(Duration::from_millis(500), described).await
            && let Ok((stream, coding)) = rtsp::video(&session)
        {
            let (_, sets) = rtsp::parameters(&session, stream);
            Depacketizer::new(coding, sets.iter().map(Vec::as_slice));
            return true;
        }
        false
    });
    // A panic there is known and contained (see `keep_playing`); anything else is not.
    let ((), described) = tokio::join!(serve, ask);
    described.unwrap_or(false)
}

/// A picture that a child gives to the gateway to keep.
pub fn picture(data: &[u8]) {
    if crate::source::vision::jpeg::check(data).is_ok() {
        // Whatever passes begins and ends as a JPEG, and has nothing behind its end.
        assert!(data.starts_with(&[0xff, 0xd8]) && data.ends_with(&[0xff, 0xd9]));
        assert_eq!(data.windows(2).filter(|w| *w == [0xff, 0xd9]).count(), 1);
    }
}

/// What a child says to the gateway, without its length.
pub fn report(data: &[u8]) {
    let _ = postcard::from_bytes::<Report>(data);
}

/// A model's manifest.
pub fn manifest(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = wangge_models::Manifest::parse(text);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Mutations of each seed. All targets together take some seconds.
    const MUTATIONS: u64 = 150;

    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % limit.max(1) as u64) as usize
        }
    }

    fn mutate(seed: &[u8], random: &mut Random) -> Vec<u8> {
        let mut data = seed.to_vec();
        for _ in 0..=random.below(6) {
            let at = random.below(data.len());
            match random.below(6) {
                0 => data.truncate(at),
                1 => data.insert(at, random.below(256) as u8),
                2 if at < data.len() => drop(data.remove(at)),
                3 => {
                    let end = (at + random.below(40)).min(data.len());
                    let piece = data[at..end].to_vec();
                    let to = random.below(data.len());
                    data.splice(to..to, piece);
                }
                4 if at < data.len() => data[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
                _ if at < data.len() => data[at] ^= 1 << random.below(8),
                _ => {}
            }
        }
        data
    }

    /// Every seed of the target's corpus as it is and mutated; a panic is the failure.
    fn replay(target: &str, run: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(target);
        let mut seeds: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        seeds.sort();
        assert!(!seeds.is_empty(), "no seed in {}", folder.display());
        for path in seeds {
            let seed = std::fs::read(&path).unwrap();
            run(&seed);
            let mut random = Random(0x9e37_79b9_7f4a_7c15);
            for _ in 0..MUTATIONS {
                run(&mutate(&seed, &mut random));
            }
        }
    }

    #[test]
    fn rtp_payloads() {
        replay("rtp", rtp);
    }

    #[test]
    fn compressed_video() {
        replay("video", video);
    }

    #[test]
    fn single_pictures() {
        replay("jpeg", jpeg);
    }

    #[test]
    fn answers_of_a_camera() {
        replay("answer", |data| {
            let _ = answer(data);
        });
    }

    #[test]
    fn reports_of_a_child() {
        replay("report", report);
    }

    #[test]
    fn still_pictures() {
        replay("jpeg", jpeg);
    }

    #[test]
    fn pictures_of_a_child() {
        replay("picture", picture);
    }

    #[test]
    fn manifests() {
        replay("manifest", manifest);
    }

    #[test]
    fn the_seeds_reach_what_they_are_for() {
        let seed = |name: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
            std::fs::read(path.join(name)).unwrap()
        };
        let manifest = String::from_utf8(seed("manifest/nanodet")).unwrap();
        assert!(wangge_models::Manifest::parse(&manifest).is_ok());
        {
            let data = seed("jpeg/still");
            let mut decoder = Decoder::open(&Format::Jpeg).unwrap();
            let mut pictures = 0;
            decoder
                .decode(&Unit::from_jpeg(&data, 0), |_| pictures += 1)
                .unwrap();
            assert_eq!(pictures, 1);
        }
        for name in ["video/h264", "video/h265"] {
            let data = seed(name);
            let mut decoder = Decoder::open(&Format::Coding(coding(data[0]))).unwrap();
            let unit = AccessUnit {
                data: data[1..].to_vec(),
                key: true,
                ..AccessUnit::default()
            };
            let mut pictures = 0;
            decoder
                .decode(&Unit::from_rtp(&unit, 90_000), |_| pictures += 1)
                .unwrap();
            decoder.finish(|_| pictures += 1).unwrap();
            assert!(pictures > 0, "{name}");
        }
        assert!(postcard::from_bytes::<Report>(&seed("report/fatal")).is_ok());
        let picture = crate::source::vision::jpeg::check(&seed("picture/shown"));
        assert_eq!(picture, Ok(()));
        // The session description goes through the RTSP library to its end: a stream is found.
        let described = answer(&seed("answer/sdp"));
        assert!(described, "retina took the description");
        assert!(!answer(&seed("answer/redirect")));
    }
}
