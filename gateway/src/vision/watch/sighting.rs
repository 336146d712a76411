//! What is told of a zone: who or what is there, for how long, and with which pictures.

use std::time::Duration;

use ac_ffmpeg::codec::video::VideoFrame;

use super::{
    Watch,
    hide::PERSON,
    inspect::{Fault, Moment},
};
use crate::vision::{
    dwell, story,
    wire::{self, MAX_PICTURES, OBJECT, Report, Role, Sighting},
};

impl Watch {
    pub(super) fn report(
        &mut self,
        zone: usize,
        event: dwell::Event,
        frame: &VideoFrame,
        now: Moment,
    ) -> Result<(), Fault> {
        let mut sighting = self.sighting(zone, now);
        match event {
            dwell::Event::Empty { dwell } => {
                sighting.dwell_us = dwell.as_micros() as u64;
                let told = self
                    .zones
                    .get_mut(zone)
                    .map(|z| std::mem::take(&mut z.told));
                if told == Some(true) {
                    let (picture, _) =
                        self.picture(zone, Role::Cleared, frame, now.pts, &sighting)?;
                    sighting.pictures.push(picture);
                }
            }
            dwell::Event::Present {
                track,
                class,
                score,
                bbox,
                dwell,
                picture,
            } => {
                sighting.present = true;
                sighting.label = self.labels.get(class).cloned().unwrap_or_default();
                sighting.left_behind = self.left_behind(zone, &sighting.label);
                sighting.score = score;
                sighting.bbox = bbox;
                sighting.track = track;
                sighting.dwell_us = dwell.as_micros() as u64;
                sighting.overrun = self.overrun(zone);
                if picture && !sighting.shadow {
                    let (picture, _) =
                        self.picture(zone, Role::Scene, frame, now.pts, &sighting)?;
                    sighting.pictures.push(picture);
                    if let Some(zone) = self.zones.get_mut(zone) {
                        zone.told = true;
                    }
                }
            }
        }
        self.shared.out.send(&Report::Sighting(sighting));
        Ok(())
    }

    pub(super) fn tell_story(
        &mut self,
        zone: usize,
        event: story::Event,
        frame: &VideoFrame,
        now: Moment,
    ) -> Result<(), Fault> {
        // Media time and timestamps differ by what was not watched; here both are seconds old.
        let pts_of = |at: Duration| now.pts - now.at.saturating_sub(at).as_micros() as i64;
        match event {
            story::Event::Noticed { story, since } => {
                let drop = pts_of(since);
                self.save(zone, story, Role::Before, drop);
                self.save(zone, story, Role::Drop, drop);
            }
            story::Event::Left { story, at } => {
                self.save(zone, story, Role::Leaving, pts_of(at));
            }
            story::Event::Over { story, told } => {
                if let Some(zone) = self.zones.get_mut(zone) {
                    zone.saved.remove(&story);
                    zone.told |= told && !zone.shadow;
                }
            }
            story::Event::Present {
                story,
                bbox,
                dwell,
                since,
                actor,
                picture,
            } => {
                let mut sighting = self.sighting(zone, now);
                sighting.present = true;
                sighting.label = OBJECT.into();
                sighting.left_behind = self.left_behind(zone, OBJECT);
                // That something is there is not a guess of a network.
                sighting.score = 1.0;
                sighting.bbox = bbox;
                sighting.track = story;
                sighting.dwell_us = dwell.as_micros() as u64;
                sighting.overrun = self.overrun(zone);
                let wall = |at: Duration| self.wall.wall(pts_of(at));
                sighting.story = Some(wire::Story {
                    appeared_us: wall(since),
                    actor: actor.map(|actor| wire::Actor {
                        label: self.labels.get(actor.class).cloned().unwrap_or_default(),
                        track: actor.track,
                        left_us: wall(actor.last_there),
                    }),
                    litter: None,
                });
                if picture && !sighting.shadow {
                    let (after, litter) =
                        self.picture(zone, Role::After, frame, now.pts, &sighting)?;
                    if let Some(story) = &mut sighting.story {
                        story.litter = litter;
                    }
                    if let Some(zone) = self.zones.get_mut(zone) {
                        sighting.pictures = zone.saved.remove(&story).unwrap_or_default();
                        zone.told = true;
                    }
                    sighting.pictures.push(after);
                    sighting.pictures.truncate(MAX_PICTURES);
                }
                self.shared.out.send(&Report::Sighting(sighting));
            }
        }
        Ok(())
    }

    pub(super) fn sighting(&self, zone: usize, now: Moment) -> Sighting {
        Sighting {
            camera: self.camera,
            zone: zone as u16,
            shadow: self.zones.get(zone).is_some_and(|z| z.shadow),
            present: false,
            label: String::new(),
            score: 0.0,
            bbox: [0.0; 4],
            track: 0,
            dwell_us: 0,
            at_us: self.wall.wall(now.pts),
            pictures: Vec::new(),
            story: None,
            overrun: None,
            left_behind: false,
        }
    }

    /// Whether what is in the zone was left there: things, not people.
    fn left_behind(&self, zone: usize, label: &str) -> bool {
        let zone = self.zones.get(zone);
        zone.is_some_and(|z| z.take_down && !z.dwell.emptied()) && label != PERSON
    }
}
