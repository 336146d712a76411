//! A zone's picture: rendered, with all hidden that has to be, and looked at for rubbish.

use std::{sync::PoisonError, time::Duration};

use ac_ffmpeg::codec::video::VideoFrame;

use super::{
    Watch,
    hide::sensitive,
    inspect::{Fault, Moment},
};
use crate::vision::{
    caption::Caption,
    draw::Canvas,
    evidence::{self, Privacy},
    litter,
    pixelate::Sensitive,
    plate,
    wire::{self, Picture, Role, Sighting},
    zone::Bbox,
};

impl Watch {
    /// Saves a picture of the past for a story that may be told later. One that cannot be had
    /// any more is left out.
    pub(super) fn save(&mut self, zone: usize, story: u64, role: Role, pts: i64) {
        if self.zones.get(zone).is_none_or(|z| z.shadow) {
            return;
        }
        let Some(format) = &self.format else { return };
        let found = match role {
            Role::Before => self.ring.calm_picture(format),
            _ => self.ring.picture(format, pts),
        };
        let Some((frame, pts)) = found else { return };
        let at = Duration::ZERO;
        let sighting = self.sighting(zone, Moment { pts, at });
        match self.picture(zone, role, &frame, pts, &sighting) {
            Ok((picture, _)) => {
                if let Some(zone) = self.zones.get_mut(zone) {
                    zone.saved.entry(story).or_default().push(picture);
                }
            }
            Err(e) => tracing::warn!(camera = self.id, "picture of {}: {e}", role.slug()),
        }
    }

    pub(super) fn picture(
        &self,
        zone: usize,
        role: Role,
        frame: &VideoFrame,
        pts: i64,
        sighting: &Sighting,
    ) -> Result<(Picture, Option<wire::Litter>), Fault> {
        let watched = self.zones.get(zone).ok_or("no such zone")?;
        let at_us = self.wall.wall(pts);
        let shared = &self.shared;
        let caption = Caption {
            camera: &self.id,
            zone: &watched.id,
            polygon: &watched.dwell.zone().polygon,
            front: watched.dwell.zone().front.as_ref(),
            measure: watched
                .measure
                .as_ref()
                .filter(|_| sighting.overrun.is_some()),
            label: if sighting.present {
                &sighting.label
            } else {
                role.slug()
            },
            score: sighting.score,
            bbox: sighting.bbox,
            dwell: Duration::from_micros(sighting.dwell_us).as_secs_f64(),
            at_us,
        };
        let mut litter = None;
        let mut find = |canvas: &Canvas| {
            if role == Role::After {
                litter = self.litter(canvas, sighting.bbox);
            }
            self.sensitive(canvas, pts)
        };
        let privacy = Privacy {
            masks: &self.masks,
            crop: watched.crop,
            sealed_for: shared.sealed_for.as_ref(),
            thumbnail: shared.thumbnails,
        };
        let rendered = evidence::render(frame, privacy, &mut find, &caption, &shared.time_zone)?;
        self.pictured.add_one();
        let picture = Picture {
            role,
            at_us,
            jpeg: rendered.jpeg,
            sealed: rendered.sealed,
            thumbnail: rendered.thumbnail,
        };
        Ok((picture, litter))
    }

    /// What has to be hidden in a picture of this moment.
    pub(super) fn sensitive(
        &self,
        canvas: &Canvas,
        pts: i64,
    ) -> Result<Vec<(Sensitive, Bbox)>, String> {
        let mut detector = self
            .shared
            .detector
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut found = sensitive(canvas, &mut detector)?;
        found.extend(self.recent.around(pts));
        let vehicles = found.iter().filter(|(what, _)| *what == Sensitive::Vehicle);
        let vehicles: Vec<Bbox> = vehicles.map(|(_, bbox)| *bbox).collect();
        let plates = plate::plates(canvas, &vehicles).into_iter();
        found.extend(plates.map(|bbox| (Sensitive::Plate, bbox)));
        Ok(found)
    }

    /// What a model that knows rubbish thinks of it, where there is one.
    fn litter(&self, canvas: &Canvas, bbox: Bbox) -> Option<wire::Litter> {
        let model = self.shared.litter.as_ref()?;
        let mut model = model.lock().unwrap_or_else(PoisonError::into_inner);
        match litter::look(canvas, &mut model, bbox) {
            Ok(litter) => Some(litter),
            Err(e) => {
                tracing::warn!(camera = self.id, "litter model: {e}");
                None
            }
        }
    }
}
