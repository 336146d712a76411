//! Where people and vehicles were seen in the last seconds.
//!
//! A detector that sees someone in one frame may miss them in the next. For hiding, every look
//! around the time of a picture counts, the unsure ones too; this holds for pictures of the past
//! as well, which are made from the ring.

use std::collections::VecDeque;

use super::{pixelate::Sensitive, zone::Bbox};

/// Media time that is remembered, µs: as long as the ring of compressed frames, and a little.
pub const SPAN: i64 = 17_000_000;
/// Boxes remembered per camera.
pub const MAX_BOXES: usize = 2_048;
/// A person seen this long before or after a picture is hidden in it, µs.
pub const PERSON_AROUND: i64 = 1_000_000;
/// So is a vehicle, µs. Shorter, because its box is large: a longer time would hide what was
/// unloaded behind it.
pub const VEHICLE_AROUND: i64 = 250_000;

/// What was seen at one time, and until when it was known to hold.
#[derive(Debug)]
struct Look {
    from: i64,
    until: i64,
    seen: Vec<(Sensitive, Bbox)>,
}

/// The last looks of one camera, the newest last.
#[derive(Debug, Default)]
pub struct Recent {
    looks: VecDeque<Look>,
    boxes: usize,
}

impl Recent {
    /// The detector looked at the frame of time `pts` (µs).
    pub fn note(&mut self, pts: i64, seen: Vec<(Sensitive, Bbox)>) {
        let jumped = self
            .looks
            .back()
            .is_some_and(|last| pts < last.from || pts.saturating_sub(last.until) > SPAN);
        if jumped {
            self.clear();
        }
        self.boxes += seen.len();
        self.looks.push_back(Look {
            from: pts,
            until: pts,
            seen,
        });
        while self.boxes > MAX_BOXES
            || self
                .looks
                .front()
                .is_some_and(|first| pts.saturating_sub(first.until) > SPAN)
        {
            match self.looks.pop_front() {
                Some(gone) => self.boxes -= gone.seen.len(),
                None => return,
            }
        }
    }

    /// Nothing moved since: what was seen then is still there at `pts`.
    pub fn hold(&mut self, pts: i64) {
        if let Some(last) = self.looks.back_mut() {
            last.until = last.until.max(pts);
        }
    }

    /// Everything seen around the time `pts`.
    pub fn around(&self, pts: i64) -> impl Iterator<Item = (Sensitive, Bbox)> {
        self.looks.iter().flat_map(move |look| {
            let away = (look.from.saturating_sub(pts)).max(pts.saturating_sub(look.until));
            look.seen
                .iter()
                .filter(move |(what, _)| {
                    away <= match what {
                        Sensitive::Person => PERSON_AROUND,
                        _ => VEHICLE_AROUND,
                    }
                })
                .copied()
        })
    }

    /// Another stream, whose times mean something else.
    pub fn clear(&mut self) {
        self.looks.clear();
        self.boxes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERSON: (Sensitive, Bbox) = (Sensitive::Person, [0.1, 0.2, 0.3, 0.9]);
    const VEHICLE: (Sensitive, Bbox) = (Sensitive::Vehicle, [0.5, 0.2, 0.9, 0.9]);

    #[test]
    fn a_person_missed_in_one_frame_is_hidden_for_a_second_and_no_longer() {
        let mut recent = Recent::default();
        recent.note(5_000_000, vec![PERSON, VEHICLE]);
        recent.note(5_200_000, vec![]);
        let at = |pts| recent.around(pts).map(|(what, _)| what).collect::<Vec<_>>();
        assert_eq!(at(5_000_000), [Sensitive::Person, Sensitive::Vehicle]);
        assert_eq!(at(5_250_000), [Sensitive::Person, Sensitive::Vehicle]);
        assert_eq!(at(5_250_001), [Sensitive::Person]);
        // Before it too: in a picture of the past.
        assert_eq!(at(4_000_000), [Sensitive::Person]);
        assert_eq!(at(6_000_000), [Sensitive::Person]);
        assert!(at(6_000_001).is_empty() && at(3_999_999).is_empty());
        assert!(at(i64::MAX).is_empty() && at(i64::MIN).is_empty());
    }

    #[test]
    fn one_who_stands_still_while_nothing_moves_stays_hidden() {
        let mut recent = Recent::default();
        recent.note(0, vec![PERSON]);
        recent.hold(2_900_000);
        assert_eq!(recent.around(2_900_000).count(), 1);
        assert_eq!(recent.around(1_500_000).count(), 1);
    }

    #[test]
    fn time_and_boxes_are_limited() {
        for (looks, kept) in [
            (MAX_BOXES, MAX_BOXES),
            (MAX_BOXES + 1, MAX_BOXES),
            (MAX_BOXES * 10, MAX_BOXES),
        ] {
            let mut recent = Recent::default();
            for i in 0..looks {
                recent.note(i as i64, vec![PERSON]);
            }
            assert_eq!(recent.boxes, kept);
            assert_eq!(recent.looks.len(), kept);
        }
        let mut recent = Recent::default();
        recent.note(0, vec![PERSON]);
        recent.note(SPAN, vec![PERSON]);
        assert_eq!(recent.looks.len(), 2);
        recent.note(SPAN + 1, vec![PERSON]);
        assert_eq!(recent.looks.len(), 2, "the first is too old");
        // A file that begins again.
        recent.note(10, vec![]);
        assert_eq!((recent.looks.len(), recent.boxes), (1, 0));
    }
}
