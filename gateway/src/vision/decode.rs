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

use crate::bilingual::Bilingual;

use super::{
    depacket::{AccessUnit, Coding},
    slate::fingerprint,
};

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
    /// Single pictures.
    Jpeg,
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Format::Coding(coding) => coding.fmt(f),
            Format::File(parameters) => parameters.decoder_name().fmt(f),
            Format::Jpeg => f.write_str("Jpeg"),
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
        let pts = micros(unit.timestamp, clock_rate);
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

    /// A picture of its own, with the time at which it was taken.
    pub fn from_jpeg(jpeg: &[u8], pts: i64) -> Self {
        let packet = PacketMut::from(jpeg)
            .with_pts(Timestamp::from_micros(pts))
            .with_key_flag(true)
            .freeze();
        Unit {
            packet,
            pts,
            key: true,
            disposable: false,
        }
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

    /// Tells it from other frames, see [`fingerprint`].
    pub fn fingerprint(&self) -> u64 {
        fingerprint(self.packet.data())
    }

    /// Compressed size.
    pub fn bytes(&self) -> usize {
        self.packet.data().len()
    }
}

/// A timestamp of a clock of `clock_rate` Hz, µs.
pub fn micros(timestamp: i64, clock_rate: u32) -> i64 {
    let micros = i128::from(timestamp) * 1_000_000 / i128::from(clock_rate.max(1));
    micros.clamp(i128::from(i64::MIN / 2), i128::from(i64::MAX / 2)) as i64
}

/// What went wrong in libav*.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct DecodeError {
    what: Step,
    source: ac_ffmpeg::Error,
}

impl Bilingual for DecodeError {
    fn zh(&self) -> String {
        format!("{}失败:{}", self.what.zh(), self.source)
    }
}

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Step {
    #[error("open")]
    Open,
    #[error("read")]
    Read,
    #[error("open decoder")]
    OpenDecoder,
    #[error("decode")]
    Decode,
    #[error("scale picture")]
    Scale,
}

impl Bilingual for Step {
    fn zh(&self) -> String {
        match self {
            Step::Open => "打开",
            Step::Read => "读取",
            Step::OpenDecoder => "打开解码器",
            Step::Decode => "解码",
            Step::Scale => "缩放画面",
        }
        .into()
    }
}

impl DecodeError {
    /// Frames went in and nothing came out.
    pub fn no_picture() -> Self {
        during(Step::Decode)(ac_ffmpeg::Error::new("no picture comes out"))
    }
}

/// Adds what was being done.
pub fn during(what: Step) -> impl Fn(ac_ffmpeg::Error) -> DecodeError {
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
    /// Not the processor.
    hardware: bool,
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
            Format::Jpeg => VideoDecoder::builder("mjpeg"),
        };
        let mut builder = builder
            .map_err(during(Step::OpenDecoder))?
            .set_option("threads", 1)
            .set_option("max_pixels", MAX_PIXELS)
            // Deblocking is a third of the work and only makes pictures nicer. Without it,
            // pictures drift a little until the next key frame: unseen by the detector.
            .set_option("skip_loop_filter", "nokey");
        if matches!(format, Format::Jpeg) {
            // A damaged one is to be refused, not filled with grey: the next comes soon.
            builder = builder.set_option("err_detect", "explode");
        }
        let inner = builder.build().map_err(during(Step::OpenDecoder))?;
        Ok(Decoder {
            inner,
            hardware: false,
        })
    }

    /// Opens a hardware decoder of libavcodec by its name; `extradata` as a file's header has it.
    ///
    /// # Errors
    /// This libavcodec has none of that name, or its device cannot be used.
    pub fn open_hardware(name: &str, extradata: Option<&[u8]>) -> Result<Self, DecodeError> {
        let inner = VideoDecoder::builder(name)
            .map_err(during(Step::OpenDecoder))?
            .extradata(extradata)
            .set_option("threads", 1)
            .set_option("max_pixels", MAX_PIXELS)
            .build()
            .map_err(during(Step::OpenDecoder))?;
        Ok(Decoder {
            inner,
            hardware: true,
        })
    }

    /// Whether something else than the processor decodes.
    pub fn is_hardware(&self) -> bool {
        self.hardware
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
                    if let Some(frame) = self.inner.take().map_err(during(Step::Decode))? {
                        each(frame);
                    }
                }
                Err(e) => return Err(during(Step::Decode)(e.unwrap_inner())),
            }
        }
        self.drain(each)
    }

    /// Gives what the decoder still holds back, at the end of a file.
    ///
    /// # Errors
    /// As [`Decoder::decode`].
    pub fn finish(&mut self, each: impl FnMut(VideoFrame)) -> Result<(), DecodeError> {
        self.inner.flush().map_err(during(Step::Decode))?;
        self.drain(each)
    }

    fn drain(&mut self, mut each: impl FnMut(VideoFrame)) -> Result<(), DecodeError> {
        for _ in 0..MAX_FRAMES_PER_PACKET {
            match self.inner.take().map_err(during(Step::Decode))? {
                Some(frame) if self.hardware && !in_memory(&frame) => {
                    let source = ac_ffmpeg::Error::new("the picture stays in the device's memory");
                    return Err(during(Step::Decode)(source));
                }
                Some(frame) => each(frame),
                None => break,
            }
        }
        Ok(())
    }
}

/// Decodes units from a key frame on with a decoder of their own; the last picture that comes
/// out, if any does. A decoder is opened each time, because one that was emptied cannot go on,
/// and one that waits for more keeps its picture buffers.
///
/// # Errors
/// As [`Decoder::open`] and [`Decoder::decode`].
pub fn last_picture<'u>(
    format: &Format,
    units: impl Iterator<Item = &'u Unit>,
) -> Result<Option<VideoFrame>, DecodeError> {
    let mut decoder = Decoder::open(format)?;
    let mut last = None;
    for unit in units {
        decoder.decode(unit, |frame| last = Some(frame))?;
    }
    // What the decoder holds back is newer still.
    decoder.finish(|frame| last = Some(frame))?;
    Ok(last)
}

/// Pixel formats that name a surface of a device instead of holding pixels.
const SURFACES: &[&str] = &["drm_prime", "vaapi", "qsv", "cuda", "vulkan", "d3d11"];

fn in_memory(frame: &VideoFrame) -> bool {
    !SURFACES.contains(&frame.pixel_format().name())
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

/// Sizes of cameras that a worker meets in turn; for more than so many, tables are made anew.
const MAX_SCALERS: usize = 4;

/// Converts frames to packed pixels; keeps its tables from camera to camera.
#[derive(Default)]
pub struct Scalers {
    /// The one used last comes first.
    known: Vec<(Conversion, VideoFrameScaler)>,
}

impl std::fmt::Debug for Scalers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scalers").finish_non_exhaustive()
    }
}

impl Scalers {
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
        let mut entry = match self.known.iter().position(|(known, _)| *known == wanted) {
            Some(index) => self.known.remove(index),
            None => (wanted, scaler(&wanted)?),
        };
        let scaled = entry.1.scale(frame).map_err(during(Step::Scale));
        self.known.insert(0, entry);
        self.known.truncate(MAX_SCALERS);
        scaled
    }
}

fn scaler(wanted: &Conversion) -> Result<VideoFrameScaler, DecodeError> {
    let (packed, width, height) = wanted.to;
    VideoFrameScaler::builder()
        .source_pixel_format(wanted.from.0)
        .source_width(wanted.from.1)
        .source_height(wanted.from.2)
        .target_pixel_format(packed.pixel_format())
        .target_width(width)
        .target_height(height)
        // Fast bilinear looks at two pixels however much it scales down: measured on the test
        // footage, it gave a third more false things and moved scores by 0.027 against the
        // reference's scaling, this by 0.016.
        .algorithm(Algorithm::Bilinear)
        .build()
        .map_err(during(Step::Scale))
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::{ColorType, Encoder};

    use super::*;

    fn jpeg(width: u16, height: u16) -> Vec<u8> {
        coded(width, height, false)
    }

    fn coded(width: u16, height: u16, progressive: bool) -> Vec<u8> {
        let pixels: Vec<u8> = (0..usize::from(width) * usize::from(height))
            .map(|i| (i * 7 % 251) as u8)
            .collect();
        let mut jpeg = Vec::new();
        let mut encoder = Encoder::new(&mut jpeg, 60);
        encoder.set_progressive(progressive);
        encoder
            .encode(&pixels, width, height, ColorType::Luma)
            .unwrap();
        jpeg
    }

    /// Pictures that come out, with their times.
    fn decoded(jpeg: &[u8]) -> Result<Vec<(usize, usize, Option<i64>)>, DecodeError> {
        quiet_logs();
        let mut decoder = Decoder::open(&Format::Jpeg)?;
        let mut out = Vec::new();
        decoder.decode(&Unit::from_jpeg(jpeg, 5_000_000), |frame| {
            out.push((frame.width(), frame.height(), pts(&frame)));
        })?;
        Ok(out)
    }

    #[test]
    fn a_jpeg_is_a_picture_at_once() {
        for progressive in [false, true] {
            let picture = decoded(&coded(64, 48, progressive)).unwrap();
            assert_eq!(picture, [(64, 48, Some(5_000_000))]);
        }
    }

    #[test]
    fn a_damaged_jpeg_is_no_picture() {
        let good = jpeg(320, 240);
        let mut cut = good[..good.len() / 2].to_vec();
        cut.extend([0xff, 0xd9]);
        for bad in [cut, b"\xff\xd8\xff\xe0 nothing more \xff\xd9".to_vec()] {
            assert!(!matches!(decoded(&bad), Ok(pictures) if !pictures.is_empty()));
        }
    }

    #[test]
    fn a_jpeg_is_decoded_up_to_the_limit_of_pixels() {
        // libavcodec counts what it pads a picture with, up to 16 pixels a side.
        let side = MAX_PIXELS.isqrt() as u16;
        assert_eq!(decoded(&jpeg(side - 16, side - 16)).unwrap().len(), 1);
        assert!(!matches!(decoded(&jpeg(side + 1, side)), Ok(pictures) if !pictures.is_empty()));
        // Ten times the limit, claimed by a small file.
        let mut claims = jpeg(64, 48);
        let frame = claims.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        claims[frame + 5..frame + 9].copy_from_slice(&[0x4e, 0x20, 0x4e, 0x20]);
        assert!(!matches!(decoded(&claims), Ok(pictures) if !pictures.is_empty()));
    }

    #[test]
    fn every_step_is_told_in_both_languages() {
        use crate::bilingual::assert_bilingual;
        let steps = [
            Step::Open,
            Step::Read,
            Step::OpenDecoder,
            Step::Decode,
            Step::Scale,
        ];
        assert_bilingual(steps);
        assert_bilingual(steps.map(|step| during(step)(ac_ffmpeg::Error::new("out of memory"))));
    }
}
