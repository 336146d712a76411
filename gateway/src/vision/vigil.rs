//! Whether a stream that plays shows anything: packets alone are no picture.
//!
//! A camera's encoder may die while its sender goes on with delimiters and reports; a line may
//! lose a piece of every picture; a key frame that was lost may have been the last one. Each
//! leaves the camera blind although packets come, and each wants another remedy.

use std::time::Duration;

use crate::bilingual::Bilingual;

use super::rtsp::SILENCE;

/// Longest time without a picture that can be decoded, once there was one. A camera that sends a
/// key frame a minute may be blind for so long after a lost packet; when the stream is taken up
/// anew, nearly every camera begins with one.
pub const BLIND: Duration = Duration::from_secs(30);
/// One picture in so many that is damaged is a fault of the line.
const TORN: u64 = 4;

/// What is wrong; the text completes "camera …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Blindness {
    #[error(
        "agrees to play and sends nothing; set `transport` to the other one (a firewall may hold UDP back), or restart it"
    )]
    Nothing,
    #[error("stopped sending {} s ago", SILENCE.as_secs())]
    Silent,
    #[error("has sent packets without a picture in them for {} s; restart it", SILENCE.as_secs())]
    NoPicture,
    #[error(
        "sends pictures with pieces missing; check cable and line, set `transport` to \"tcp\", or update its firmware"
    )]
    Torn,
    #[error("sends no key frame within {} s; set its key frame interval to 2 s", .0.as_secs())]
    NoKeyFrame(Duration),
}

impl Bilingual for Blindness {
    fn zh(&self) -> String {
        match self {
            Blindness::Nothing => {
                "同意播放却没有数据,请将 `transport` 改为另一种(防火墙可能拦截 UDP),或重启摄像机"
                    .into()
            }
            Blindness::Silent => format!("码流已中断 {} 秒", SILENCE.as_secs()),
            Blindness::NoPicture => {
                format!(
                    "已 {} 秒只有不含画面的数据包,请重启摄像机",
                    SILENCE.as_secs()
                )
            }
            Blindness::Torn => {
                "画面数据残缺,请检查网线和线路,将 `transport` 设为 \"tcp\",或升级固件".into()
            }
            Blindness::NoKeyFrame(time) => format!(
                "{} 秒内没有关键帧,请将关键帧间隔(I 帧间隔)设为 2 秒",
                time.as_secs()
            ),
        }
    }
}

/// Watches one stream from its beginning; pure. Times are since then.
#[derive(Debug, Default)]
pub struct Vigil {
    packet: Option<Duration>,
    /// The newest picture, whole or not.
    picture: Duration,
    /// Since when nothing can be decoded; `None` while something can.
    blind: Option<Duration>,
    seen_key: bool,
    key: Duration,
    /// Of the pictures since it became blind.
    torn: u64,
    pictures: u64,
}

impl Vigil {
    /// A stream that nothing has come of yet.
    pub fn new() -> Self {
        Vigil {
            blind: Some(Duration::ZERO),
            ..Vigil::default()
        }
    }

    /// A packet of video came.
    pub fn packet(&mut self, now: Duration) {
        self.packet = Some(now);
    }

    /// So many pictures lacked packets: what follows refers to them.
    pub fn lost(&mut self, pictures: u64, now: Duration) {
        if pictures == 0 {
            return;
        }
        if self.blind.is_none() {
            self.blind = Some(now);
            (self.torn, self.pictures) = (0, 0);
        }
        self.picture = now;
        self.torn += pictures;
        self.pictures += pictures;
    }

    /// A whole picture came; whether it can be decoded.
    pub fn whole(&mut self, key: bool, now: Duration) -> bool {
        self.picture = now;
        self.pictures += 1;
        if key {
            self.blind = None;
            self.seen_key = true;
            self.key = now;
        }
        self.blind.is_none()
    }

    /// Whether the stream is to be given up. `starved`: frames that came since the last key
    /// frame could not be used without another.
    ///
    /// # Errors
    /// It is, and why.
    pub fn judge(&self, starved: bool, now: Duration) -> Result<(), Blindness> {
        let since = |then: Duration| now.saturating_sub(then);
        match self.packet {
            None if now > SILENCE => return Err(Blindness::Nothing),
            Some(last) if since(last) > SILENCE => return Err(Blindness::Silent),
            _ => {}
        }
        let patience = if self.seen_key { BLIND } else { SILENCE };
        if let Some(then) = self.blind.filter(|then| since(*then) > patience) {
            let torn = self.torn * TORN >= self.pictures && self.torn > 0;
            return Err(match (torn, since(self.picture) > SILENCE) {
                (_, true) => Blindness::NoPicture,
                (true, false) => Blindness::Torn,
                (false, false) => Blindness::NoKeyFrame(since(then)),
            });
        }
        if since(self.picture) > SILENCE {
            return Err(Blindness::NoPicture);
        }
        if starved && since(self.key) > BLIND {
            return Err(Blindness::NoKeyFrame(since(self.key)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bilingual::assert_bilingual;

    #[test]
    fn every_blindness_is_told_in_both_languages() {
        assert_bilingual([
            Blindness::Nothing,
            Blindness::Silent,
            Blindness::NoPicture,
            Blindness::Torn,
            Blindness::NoKeyFrame(BLIND),
        ]);
    }

    const SECOND: Duration = Duration::from_secs(1);

    /// What is said first in two minutes of four packets a second, by what `each` makes of them.
    fn told(mut each: impl FnMut(&mut Vigil, u32, Duration)) -> Option<(u64, Blindness)> {
        let mut vigil = Vigil::new();
        (0..480).find_map(|i| {
            let now = SECOND / 4 * i;
            each(&mut vigil, i, now);
            let blindness = vigil.judge(false, now).err()?;
            Some((now.as_secs(), blindness))
        })
    }

    #[test]
    fn a_camera_with_a_key_frame_a_minute_is_well_and_so_is_one_with_few_frames() {
        assert_eq!(
            told(|vigil, i, now| {
                vigil.packet(now);
                vigil.whole(i % 240 == 0, now);
            }),
            None
        );
        assert_eq!(
            told(|vigil, i, now| {
                if i % 36 == 0 {
                    vigil.packet(now);
                    vigil.whole(i == 0, now);
                }
            }),
            None
        );
    }

    #[test]
    fn each_way_of_showing_nothing_is_told_as_what_it_is() {
        assert_eq!(told(|_, _, _| ()), Some((10, Blindness::Nothing)));
        let only_packets = told(|vigil, _, now| vigil.packet(now));
        assert_eq!(only_packets, Some((10, Blindness::NoPicture)));
        let no_key = told(|vigil, _, now| {
            vigil.packet(now);
            assert!(!vigil.whole(false, now));
        });
        assert!(matches!(no_key, Some((10, Blindness::NoKeyFrame(_)))));
        let torn = told(|vigil, i, now| {
            vigil.packet(now);
            match i % 2 {
                0 => vigil.lost(1, now),
                _ => _ = vigil.whole(false, now),
            }
        });
        assert_eq!(torn, Some((10, Blindness::Torn)));
    }

    #[test]
    fn what_stops_after_it_was_well_is_told() {
        let stops = |after: u32, goes_on: fn(&mut Vigil, Duration)| {
            told(move |vigil, i, now| {
                if i < after * 4 {
                    vigil.packet(now);
                    vigil.whole(i % 8 == 0, now);
                } else {
                    goes_on(vigil, now);
                }
            })
        };
        assert_eq!(stops(40, |_, _| ()), Some((50, Blindness::Silent)));
        let empty = stops(40, |vigil, now| vigil.packet(now));
        assert_eq!(empty, Some((50, Blindness::NoPicture)));
    }

    #[test]
    fn a_lost_picture_after_which_no_key_frame_comes_is_told_and_one_before_a_key_frame_is_not() {
        let lossy = |key_every: u32| {
            told(move |vigil, i, now| {
                vigil.packet(now);
                if i == 40 {
                    vigil.lost(1, now);
                } else {
                    vigil.whole(i % key_every == 0, now);
                }
            })
        };
        assert_eq!(lossy(100), None);
        assert!(matches!(lossy(1000), Some((40, Blindness::NoKeyFrame(_)))));
    }

    #[test]
    fn frames_that_are_of_no_use_without_a_key_frame_are_told() {
        let mut vigil = Vigil::new();
        let mut told = None;
        for i in 0..480 {
            let now = SECOND / 4 * i;
            vigil.packet(now);
            vigil.whole(i == 0, now);
            assert_eq!(vigil.judge(false, now), Ok(()));
            told = told.or(vigil.judge(i > 20, now).err().map(|e| (now.as_secs(), e)));
        }
        assert!(matches!(told, Some((30, Blindness::NoKeyFrame(_)))));
    }
}
