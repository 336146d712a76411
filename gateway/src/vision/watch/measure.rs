//! How far things stand out over a zone's line.

use std::time::Duration;

use super::{Watch, Watched, tell::Unmeasurable};
use crate::vision::{
    background::{Blob, Change},
    ground::{Footprint, Measure, Seen},
    luma::Luma,
    track::Track,
    wire::Overrun,
};

impl Watched {
    /// Measures all that is there together. What it returns is why that is not possible, once
    /// something has been for the zone's dwell where it is not.
    pub(super) fn measure(
        &mut self,
        tracks: &[Track],
        blobs: &[Blob],
        cells: [usize; 2],
        at: Duration,
    ) -> Option<Unmeasurable> {
        let zone = self.dwell.zone();
        let front = zone.front.as_ref()?;
        let present = tracks
            .iter()
            .filter(|t| t.last_seen == at && t.confirmed() && zone.classes.contains(&t.class));
        // What is explained by a parked car is not goods; that it cannot be measured is true.
        let new = self.stories.iter().flat_map(|stories| {
            let appeared = blobs.iter().filter(|b| b.change == Change::Appeared);
            appeared.map(move |b| (front.of_rim(&b.rim, cells), stories.knows(b.id)))
        });
        let things: Vec<(Option<Footprint>, bool)> = present
            .map(|track| (front.of_box(track.bbox), true))
            .chain(new)
            .collect();
        let mut together: Option<Measure> = None;
        let mut blind: Option<f64> = None;
        for (footprint, counts) in things {
            let Some(footprint) = footprint else { continue };
            match front.look(&footprint) {
                Seen::Over(measure) if counts => match &mut together {
                    Some(together) => together.join(measure),
                    None => together = Some(measure),
                },
                Seen::Blind { error } => blind = Some(blind.map_or(error, |e| e.min(error))),
                Seen::Over(_) | Seen::Clear | Seen::Unsure => {}
            }
        }
        self.measure = together;
        let Some(error) = blind else {
            self.unmeasured = None;
            return None;
        };
        let since = *self.unmeasured.get_or_insert(at);
        (at.saturating_sub(since) >= zone.dwell).then(|| Unmeasurable::Blind {
            zone: self.id.clone(),
            error,
            tolerance: front.tolerance(),
        })
    }
}

impl Watch {
    /// Whether metres mean anything in this picture.
    pub(super) fn steady(&mut self, luma: &Luma, at: Duration) -> bool {
        let Some(anchor) = &mut self.anchor else {
            return true;
        };
        if self.view.is_elsewhere() {
            return false;
        }
        let shifted = anchor.shifted(luma, at);
        if shifted != self.shifted {
            self.shifted = shifted;
            self.tell_health();
        }
        !shifted
    }

    /// Says once where a line cannot be measured; it stays so until the set-up changes.
    pub(super) fn admit(&mut self, weakness: Option<Unmeasurable>) {
        if weakness.is_some() && self.weakness.is_none() {
            self.weakness = weakness;
            self.tell_health();
        }
    }

    /// What is wrong with measuring metres here.
    pub(super) fn unmeasurable(&self) -> Option<Unmeasurable> {
        let shifted = self.shifted.then_some(Unmeasurable::Shifted);
        shifted.or_else(|| self.weakness.clone())
    }

    /// What a sighting says of the zone's line.
    pub(super) fn overrun(&self, zone: usize) -> Option<Overrun> {
        let measure = self.zones.get(zone)?.measure.as_ref()?;
        let (along, along_error) = measure.along();
        Some(Overrun {
            metres: measure.metres,
            error: measure.error,
            along,
            along_error,
        })
    }
}
