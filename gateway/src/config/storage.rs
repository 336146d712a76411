//! How much the storage may take.

/// Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Records and pictures together.
    pub all: u64,
    /// Telemetry records.
    pub telemetry: u64,
    /// Pictures, delivered ones in their term included.
    pub pictures: u64,
}

impl Quota {
    /// Above this share of everything only alerts are taken.
    const WATERMARK_PERCENT: u64 = 85;
    /// Share that pictures may take when nothing is said.
    const PICTURE_PERCENT: u64 = 70;

    /// With the usual shares.
    pub fn of(all: u64) -> Quota {
        Quota {
            all,
            telemetry: all / 100 * Quota::WATERMARK_PERCENT,
            pictures: all / 100 * Quota::PICTURE_PERCENT,
        }
    }

    /// Of everything together; the rest is for alerts alone.
    pub fn watermark(&self) -> u64 {
        self.all / 100 * Quota::WATERMARK_PERCENT
    }
}
