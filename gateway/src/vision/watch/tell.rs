//! What a camera tells the gateway of itself: how it does, and how far a recording was looked at.

use std::time::Duration;

use super::{Watch, follow::UNDECODABLE};
use crate::{
    bilingual::Bilingual,
    vision::{
        of_camera,
        wire::{CameraState, Played, Report},
    },
};

/// How often it is said how far a recording has been looked at, µs of media time.
const SAY_PLAYED: i64 = 1_000_000;

/// Why nothing that comes is looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    #[error("sends video that cannot be decoded; check the camera's video coding (H.264 or H.265)")]
    Undecodable,
    #[error("sends pictures that cannot be decoded; set it to plain JPEG of at most 36 megapixels")]
    UndecodableStill,
    /// Decoded, but with no way to look at it, and why.
    #[error("sends pictures that cannot be looked at: {0}")]
    Unseen(String),
    /// For so long.
    #[error(
        "sends video that ended the analysis of all cameras more than once; it is passed over for {} s, the others go on. Check its firmware, and who can reach it",
        .0.as_secs() + 1
    )]
    Deadly(Duration),
}

impl Bilingual for Trouble {
    fn zh(&self) -> String {
        match self {
            Trouble::Undecodable => "视频无法解码,请检查视频编码(H.264 或 H.265)".into(),
            Trouble::UndecodableStill => {
                "图片无法解码,请设为普通 JPEG 格式,且不超过 3600 万像素".into()
            }
            Trouble::Unseen(why) => format!("画面无法分析:{why}"),
            Trouble::Deadly(left) => format!(
                "其视频多次使全部摄像机的分析中断,现暂停分析该摄像机 {} 秒,其他摄像机照常;请检查其固件,以及谁能访问它",
                left.as_secs() + 1
            ),
        }
    }
}

/// Why nothing is measured in metres.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Unmeasurable {
    /// While the view is not quite the one that was surveyed.
    #[error(
        "the camera was knocked a little since the start, so nothing is measured in metres: turn it back, or mark its `ground` points anew and restart"
    )]
    Shifted,
    /// Something has been where the line cannot be measured.
    #[error(
        "zone {zone}: cannot measure here: something stands where the error is ± {error:.2} m, more than the tolerance of {tolerance:.2} m; tape more points near it, or end the line before it"
    )]
    Blind {
        zone: String,
        error: f64,
        tolerance: f64,
    },
}

impl Bilingual for Unmeasurable {
    fn zh(&self) -> String {
        match self {
            Unmeasurable::Shifted => {
                "画面较启动时轻微偏移,不再按米测量:请将摄像机转回原位,或重新标定 `ground` 点并重启网关".into()
            }
            Unmeasurable::Blind {
                zone,
                error,
                tolerance,
            } => format!(
                "区域 {zone}:此处无法测量,物品所在处误差 ± {error:.2} m,超过允许的 {tolerance:.2} m;请在附近增加实测点,或将界线止于该处之前"
            ),
        }
    }
}

impl Watch {
    pub(super) fn tell_health(&mut self) {
        if let Some((since, e)) = &self.unseen
            && since.elapsed() > UNDECODABLE
        {
            let trouble = Trouble::Unseen(e.clone());
            return self.tell(CameraState::Fault(trouble.told()));
        }
        self.tell(match self.impaired {
            Some(impairment) => CameraState::Fault(of_camera(&impairment)),
            None => match self.unmeasurable() {
                Some(why) => CameraState::Fault(why.told()),
                None => CameraState::Playing,
            },
        });
    }

    /// Of a recording, now and then: how far it has been looked at.
    pub(super) fn tell_progress(&mut self) {
        let said = self
            .played
            .is_some_and(|last| self.newest_pts.saturating_sub(last) < SAY_PLAYED);
        if self.recorded && !said {
            self.tell_upto();
        }
    }

    /// Everything up to the newest inspected frame has been said.
    fn tell_upto(&mut self) {
        let upto = self.inspected.map_or(self.newest_pts, |(pts, _)| pts);
        self.played = Some(upto);
        self.tell_played(Played::Upto(upto));
    }

    pub(super) fn tell_played(&self, what: Played) {
        let camera = self.camera;
        self.shared.out.send(&Report::Played { camera, what });
    }

    pub(super) fn tell(&mut self, state: CameraState) {
        if self.state.as_ref() != Some(&state) {
            if self.recorded {
                if state == CameraState::Ended {
                    // What was passed over at the end holds nothing either.
                    self.inspected = None;
                }
                self.tell_upto();
            }
            self.shared.out.send(&Report::Camera {
                camera: self.camera,
                state: state.clone(),
            });
            self.state = Some(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bilingual::assert_bilingual;

    #[test]
    fn every_trouble_is_told_in_both_languages() {
        assert_bilingual([
            Trouble::Undecodable,
            Trouble::UndecodableStill,
            Trouble::Unseen("no memory".into()),
            Trouble::Deadly(Duration::ZERO),
        ]);
        assert_bilingual([
            Unmeasurable::Shifted,
            Unmeasurable::Blind {
                zone: "front".into(),
                error: 0.5,
                tolerance: 0.2,
            },
        ]);
    }
}
