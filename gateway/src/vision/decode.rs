//! libavcodec and libswscale (Debian's), through `ac-ffmpeg`.

use std::sync::Once;

use ac_ffmpeg::{
    codec::{
        Decoder as _, VideoCodecParameters,
        video::{
            PixelFormat, VideoDecoder, VideoFrame, VideoFrameScaler, frame::get_pixel_format,
            scaler::Algorithm,
        },
    },
    packet::{Packet, PacketMut},
    time::{TimeBase, Timestamp},
};

use super::depacket::{AccessUnit, Coding};

/// Largest picture that is decoded, pixels: an 8K frame is 33 million.
pub const MAX_PIXELS: usize = 36_000_000;
/// Frames that a decoder may give for one packet before something is wrong.
const MAX_FRAMES_PER_PACKET: usize = 64;

/// How a stream is coded.
#[derive(Clone)]
pub enum Format {
    /// Annex B with parameter sets in it.
    Coding(Coding),
    /// As a file's header says, boxed because it is rare and large.
    File(Box<VideoCodecParameters>),
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Format::Coding(coding) => coding.fmt(f),
            Format::File(parameters) => parameters.decoder_name().fmt(f),
        }
    }
}

/// One compressed picture on its way to the decoder. Copies share the bytes.
#[derive(Clone)]
pub struct Unit {
    packet: Packet,
    /// Presentation time, µs.
    pub pts: i64,
    /// Can be decoded on its own.
    pub key: bool,
    /// No other picture refers to it.
    pub disposable: bool,
}

impl std::fmt::Debug for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unit")
            .field("pts", &self.pts)
            .field("key", &self.key)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

impl Unit {
    /// From a camera; `clock_rate` is that of its RTP timestamps, Hz.
    pub fn from_rtp(unit: &AccessUnit, clock_rate: u32) -> Self {
        let micros = i128::from(unit.timestamp) * 1_000_000 / i128::from(clock_rate.max(1));
        let pts = micros.clamp(i128::from(i64::MIN / 2), i128::from(i64::MAX / 2)) as i64;
        let packet = PacketMut::from(&unit.data)
            .with_pts(Timestamp::from_micros(pts))
            .with_key_flag(unit.key)
            .freeze();
        Unit {
            packet,
            pts,
            key: unit.key,
            disposable: unit.disposable,
        }
    }

    /// From a file. `None` for a packet without any time.
    pub fn from_file(packet: Packet) -> Option<Self> {
        let packet = packet.with_time_base(TimeBase::MICROSECONDS);
        let own = [packet.pts(), packet.dts()]
            .into_iter()
            .find(|t| !t.is_null())?;
        let pts = own.timestamp();
        let key = packet.is_key();
        Some(Unit {
            packet: packet.with_pts(Timestamp::from_micros(pts)),
            pts,
            key,
            disposable: false,
        })
    }

    /// The same picture `by` µs later.
    pub fn shifted(self, by: i64) -> Self {
        let pts = self.pts.saturating_add(by);
        Unit {
            // Shifted decoding times would have to rise strictly; none are needed.
            packet: self
                .packet
                .with_pts(Timestamp::from_micros(pts))
                .with_dts(Timestamp::null()),
            pts,
            ..self
        }
    }

    /// Compressed size.
    pub fn bytes(&self) -> usize {
        self.packet.data().len()
    }
}

/// What went wrong in libav*.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct DecodeError {
    what: &'static str,
    source: ac_ffmpeg::Error,
}

/// Adds what was being done.
pub fn during(what: &'static str) -> impl Fn(ac_ffmpeg::Error) -> DecodeError {
    move |source| DecodeError { what, source }
}

/// libav* prints what it thinks of damaged video on standard error, line after line; it goes
/// to the log's finest level instead.
pub fn quiet_logs() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        ac_ffmpeg::set_log_callback(|level, message| {
            tracing::trace!(level, "libav: {}", message.trim_end());
        });
    });
}

/// A decoder of one stream.
pub struct Decoder {
    inner: VideoDecoder,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

impl Decoder {
    /// Opens a decoder that works in the caller's thread only: many cameras share the cores
    /// better than each camera's threads would.
    ///
    /// # Errors
    /// A coding that this libavcodec does not have.
    pub fn open(format: &Format) -> Result<Self, DecodeError> {
        let builder = match format {
            Format::Coding(coding) => VideoDecoder::builder(coding.decoder()),
            Format::File(parameters) => VideoDecoder::from_codec_parameters(parameters),
        };
        let inner = builder
            .map_err(during("open decoder"))?
            .set_option("threads", 1)
            .set_option("max_pixels", MAX_PIXELS)
            // Deblocking is a third of the work and only makes pictures nicer. Without it,
            // pictures drift a little until the next key frame: unseen by the detector.
            .set_option("skip_loop_filter", "nokey")
            .build()
            .map_err(during("open decoder"))?;
        Ok(Decoder { inner })
    }

    /// Decodes one picture; gives what comes out, in order of presentation.
    ///
    /// # Errors
    /// Damaged data; the decoder can go on with the next key frame.
    pub fn decode(
        &mut self,
        unit: &Unit,
        mut each: impl FnMut(VideoFrame),
    ) -> Result<(), DecodeError> {
        for _ in 0..MAX_FRAMES_PER_PACKET {
            match self.inner.try_push(unit.packet.clone()) {
                Ok(()) => break,
                Err(e) if e.is_again() => {
                    if let Some(frame) = self.inner.take().map_err(during("decode"))? {
                        each(frame);
                    }
                }
                Err(e) => return Err(during("decode")(e.unwrap_inner())),
            }
        }
        self.drain(each)
    }

    /// Gives what the decoder still holds back, at the end of a file.
    ///
    /// # Errors
    /// As [`Decoder::decode`].
    pub fn finish(&mut self, each: impl FnMut(VideoFrame)) -> Result<(), DecodeError> {
        self.inner.flush().map_err(during("decode"))?;
        self.drain(each)
    }

    fn drain(&mut self, mut each: impl FnMut(VideoFrame)) -> Result<(), DecodeError> {
        for _ in 0..MAX_FRAMES_PER_PACKET {
            match self.inner.take().map_err(during("decode"))? {
                Some(frame) => each(frame),
                None => break,
            }
        }
        Ok(())
    }
}

/// Presentation time of a decoded frame, µs.
pub fn pts(frame: &VideoFrame) -> Option<i64> {
    [frame.pts(), frame.best_effort_timestamp()]
        .into_iter()
        .find(|t| !t.is_null())?
        .as_micros()
}

/// Byte order of packed 24-bit pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed {
    Rgb,
    Bgr,
}

impl Packed {
    fn pixel_format(self) -> PixelFormat {
        get_pixel_format(match self {
            Packed::Rgb => "rgb24",
            Packed::Bgr => "bgr24",
        })
    }
}

/// What a scaler's tables are made for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Conversion {
    from: (PixelFormat, usize, usize),
    to: (Packed, usize, usize),
}

/// Converts frames to packed pixels of one size; keeps its tables while frames stay alike.
#[derive(Default)]
pub struct Scaler {
    current: Option<(Conversion, VideoFrameScaler)>,
}

impl std::fmt::Debug for Scaler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scaler").finish_non_exhaustive()
    }
}

impl Scaler {
    /// A copy of `frame` with packed pixels, `width` × `height`.
    ///
    /// # Errors
    /// A pixel format that libswscale does not know, or a size of zero.
    pub fn scale(
        &mut self,
        frame: &VideoFrame,
        packed: Packed,
        width: usize,
        height: usize,
    ) -> Result<VideoFrame, DecodeError> {
        let wanted = Conversion {
            from: (frame.pixel_format(), frame.width(), frame.height()),
            to: (packed, width, height),
        };
        if self
            .current
            .as_ref()
            .is_none_or(|(known, _)| *known != wanted)
        {
            let scaler = VideoFrameScaler::builder()
                .source_pixel_format(wanted.from.0)
                .source_width(wanted.from.1)
                .source_height(wanted.from.2)
                .target_pixel_format(packed.pixel_format())
                .target_width(width)
                .target_height(height)
                // Fast bilinear looks at two pixels however much it scales down: measured on the
                // test footage, it gave a third more false things and moved scores by 0.027
                // against the reference's scaling, this by 0.016.
                .algorithm(Algorithm::Bilinear)
                .build()
                .map_err(during("scale picture"))?;
            self.current = Some((wanted, scaler));
        }
        match &mut self.current {
            Some((_, scaler)) => scaler.scale(frame).map_err(during("scale picture")),
            None => unreachable!("set above"),
        }
    }
}
