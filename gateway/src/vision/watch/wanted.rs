//! Pictures that somebody asks for, of the next frame that is looked at.

use std::time::Duration;

use ac_ffmpeg::codec::video::VideoFrame;

use super::{Watch, inspect::Moment};
use crate::vision::{
    draw::Canvas,
    evidence,
    wire::{Overview, Report, Role},
};

/// Pictures that wait at most; nobody asks for so many in the time that a frame takes.
const MAX_WANTED: usize = 8;

/// Zone and number of each asking.
pub(super) type Wanted = Vec<(u16, u64)>;

impl Watch {
    /// Somebody wants a picture of a zone.
    pub(super) fn want(&mut self, zone: u16, ask: u64) {
        let refused = match self.zones.get(usize::from(zone)) {
            None => Some("there is no such zone"),
            Some(zone) if zone.shadow => Some("the zone is only tried: it has no pictures"),
            Some(_) if self.wanted.len() == MAX_WANTED => Some("too many pictures are asked for"),
            Some(_) => None,
        };
        match refused {
            Some(why) => self.pictured(ask, Err(why.to_owned())),
            None => self.wanted.push((zone, ask)),
        }
    }

    /// Gives the pictures that are waited for, of a frame that was decoded.
    pub(super) fn give(&mut self, frame: &VideoFrame, pts: i64) {
        for (zone, ask) in std::mem::take(&mut self.wanted) {
            let zone = usize::from(zone);
            let at = Duration::ZERO;
            let sighting = self.sighting(zone, Moment { pts, at });
            let picture = self.picture(zone, Role::Requested, frame, pts, &sighting);
            let picture = picture.map(|(picture, _)| picture);
            self.pictured(ask, picture.map_err(|e| e.to_string()));
        }
        if std::mem::take(&mut self.overview_wanted) {
            let mut find = |canvas: &Canvas| self.sensitive(canvas, pts);
            let jpeg = evidence::overview(frame, &self.masks, &mut find);
            let overview = jpeg.map(|jpeg| Overview {
                jpeg,
                width: frame.width() as u32,
                height: frame.height() as u32,
            });
            self.shared.out.send(&Report::Overview {
                camera: self.camera,
                overview: overview.map_err(|e| e.to_string()),
            });
        }
    }

    fn pictured(&self, ask: u64, picture: Result<crate::vision::wire::Picture, String>) {
        self.shared.out.send(&Report::Pictured {
            camera: self.camera,
            ask,
            picture,
        });
    }
}
