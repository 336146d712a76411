//! Milesight EM400 (TLD, UDL): channel, type, value; as LoRaWAN sends it bare and as the NB-IoT
//! model frames it (vendor decoders: Milesight-IoT/SensorDecoders, em-series/em400-tld).
//!
//! The NB-IoT frame and the join message carry SN, IMEI, IMSI and ICCID. They name an asset and
//! a subscriber, so they end here: neither the reading nor the forwarded fields have them.

use serde_json::{Map, Value, json};

use super::{Parsed, PayloadError, Values, raw};
use crate::{bilingual::Bilingual, observation::Quantity};

/// First byte of the NB-IoT frame; no channel of the bare form has this number.
const NB_START: u8 = 0x02;
/// Start 1, type 2, length 2, flag 1, counter 2, protocol 1, firmware 4, hardware 4, SN 16,
/// IMEI 15, IMSI 15, ICCID 20, signal 1; then the length of the channels, 2 bytes big-endian.
const NB_HEADER: usize = 86;

/// What makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Torn {
    #[error("position {0} is neither 0 (normal) nor 1 (tilt)")]
    Position(u8),
    #[error("channel {channel:02x} {kind:02x} is unknown")]
    Channel { channel: u8, kind: u8 },
    #[error("the NB-IoT frame ends early, {0} bytes are expected")]
    ShortFrame(usize),
    #[error("bytes follow after the end of the NB-IoT frame")]
    LongFrame,
    #[error("the value ends early")]
    ShortValue,
}

impl Bilingual for Torn {
    fn zh(&self) -> String {
        match self {
            Torn::Position(other) => format!("姿态 {other} 既非 0(正常)也非 1(倾斜)"),
            Torn::Channel { channel, kind } => format!("未知通道 {channel:02x} {kind:02x}"),
            Torn::ShortFrame(need) => format!("NB-IoT 帧不完整,应有 {need} 字节"),
            Torn::LongFrame => "NB-IoT 帧之后还有多余字节".into(),
            Torn::ShortValue => "数值不完整".into(),
        }
    }
}

pub fn parse(bytes: &[u8]) -> Result<Parsed<'static>, PayloadError> {
    let (offset, channels) = match bytes.first() {
        Some(&NB_START) => (NB_HEADER, nb_channels(bytes)?),
        _ => (0, bytes),
    };
    let mut reader = Reader {
        bytes: channels,
        at: 0,
        offset,
    };
    let mut values = Values::default();
    let mut fields = Map::new();
    while reader.at < channels.len() {
        let start = reader.at;
        let [channel, kind] = reader.take()?;
        match (channel, kind) {
            (0x01, 0x75) => {
                let [percent] = reader.take()?;
                values.set(Quantity::Battery, f64::from(percent));
                fields.insert("battery".into(), json!(percent));
            }
            (0x03 | 0x83, 0x67) => {
                let celsius = f64::from(i16::from_le_bytes(reader.take()?)) / 10.0;
                values.set(Quantity::Temperature, celsius);
                fields.insert("temperature".into(), json!(celsius));
                if channel & 0x80 != 0 {
                    fields.insert("temperature_alarm".into(), alarm(reader.take()?));
                }
            }
            (0x04 | 0x84, 0x82) => {
                let mm = u16::from_le_bytes(reader.take()?);
                values.set(Quantity::Distance, f64::from(mm));
                fields.insert("distance".into(), json!(mm));
                if channel & 0x80 != 0 {
                    fields.insert("distance_alarm".into(), alarm(reader.take()?));
                }
            }
            (0x05, 0x00) => {
                let tilted = match reader.take()? {
                    [0] => false,
                    [1] => true,
                    [other] => {
                        return Err(reader.fault(start + 2, Torn::Position(other)));
                    }
                };
                values.set(Quantity::Tilt, if tilted { 90.0 } else { 0.0 });
                let name = if tilted { "tilt" } else { "normal" };
                fields.insert("position".into(), json!(name));
            }
            // Place and motion: a bin stands where the configuration says.
            (0x06, 0x88) => reader.skip::<9>()?,
            // Somebody takes the sensor off.
            (0x88, 0x00) => {
                let [moved] = reader.take()?;
                fields.insert("disassembly_alarm".into(), json!(moved == 1));
            }
            // Join and power-on messages: versions, class, reset; and the serial number.
            (0xff, 0x01 | 0x0b | 0x0f | 0xfe) => reader.skip::<1>()?,
            (0xff, 0x09 | 0x0a | 0xff) => reader.skip::<2>()?,
            (0xff, 0x16) => reader.skip::<8>()?,
            _ => return Err(reader.fault(start, Torn::Channel { channel, kind })),
        }
    }
    Ok(Parsed {
        id: None,
        seq: None,
        time: None,
        values,
        payload: raw(Value::Object(fields).to_string())?,
    })
}

fn nb_channels(bytes: &[u8]) -> Result<&[u8], PayloadError> {
    let short = |need: usize| PayloadError::Tlv {
        at: bytes.len(),
        what: Torn::ShortFrame(need),
    };
    let header = bytes.get(..NB_HEADER).ok_or_else(|| short(NB_HEADER))?;
    let length = match header {
        [.., high, low] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => return Err(short(NB_HEADER)),
    };
    let rest = bytes.get(NB_HEADER..).unwrap_or_default();
    match rest.len().cmp(&length) {
        std::cmp::Ordering::Less => Err(short(NB_HEADER + length)),
        std::cmp::Ordering::Equal => Ok(rest),
        std::cmp::Ordering::Greater => Err(PayloadError::Tlv {
            at: NB_HEADER + length,
            what: Torn::LongFrame,
        }),
    }
}

fn alarm([state]: [u8; 1]) -> Value {
    json!(state == 1)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Of `bytes` in the message, for the error text.
    offset: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], PayloadError> {
        let found = self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.first_chunk::<N>())
            .copied()
            .ok_or_else(|| self.fault(self.bytes.len(), Torn::ShortValue))?;
        self.at += N;
        Ok(found)
    }

    fn skip<const N: usize>(&mut self) -> Result<(), PayloadError> {
        self.take::<N>().map(|_| ())
    }

    fn fault(&self, at: usize, what: Torn) -> PayloadError {
        PayloadError::Tlv {
            at: self.offset + at,
            what,
        }
    }
}
