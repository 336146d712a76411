//! Stories in a zone with a line on the ground: only what stands out over it counts, and it does
//! with its owner beside it.

use super::Stories;
use crate::vision::{
    background::{Blob, Change},
    ground::{Front, Seen},
};

/// Whether a thing stands out over a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Out {
    /// Or there is no line.
    Surely,
    Perhaps,
    No,
}

/// Judges a thing by its lower rim; the scene model has so many cells across and down.
fn out_of(front: Option<&(Front, [usize; 2])>, blob: &Blob) -> Out {
    let Some((front, cells)) = front else {
        return Out::Surely;
    };
    match front.of_rim(&blob.rim, *cells).map(|f| front.look(&f)) {
        Some(Seen::Over(_)) => Out::Surely,
        Some(Seen::Unsure) => Out::Perhaps,
        Some(Seen::Clear | Seen::Blind { .. }) | None => Out::No,
    }
}

/// Whether the thing of a story is still there, and not surely within the line.
pub(super) fn stays(front: Option<&(Front, [usize; 2])>, blobs: &[Blob], story: u64) -> bool {
    blobs.iter().any(|blob| {
        blob.id == story && blob.change == Change::Appeared && out_of(front, blob) != Out::No
    })
}

impl Stories {
    /// It stands out over the line by more than the error, or there is no line.
    pub(super) fn surely(&self, blob: &Blob) -> bool {
        out_of(self.front.as_ref(), blob) == Out::Surely
    }

    /// From now on only what stands out over `front` counts; `cells` are those of the scene
    /// model, across and down.
    pub fn measured(&mut self, front: &Front, cells: [usize; 2]) {
        if self.front.as_ref().is_none_or(|(_, known)| *known != cells) {
            self.front = Some((front.clone(), cells));
        }
    }

    /// The blob has been told of, or will be if it stays.
    pub fn knows(&self, blob: u64) -> bool {
        self.stories.iter().any(|story| story.id == blob)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Event,
        tests::{blob, person, play, told, zone},
    };
    use crate::vision::{background::Blob, ground::fixtures::front};

    #[test]
    fn goods_over_a_line_count_beside_their_owner_and_only_while_they_are_over_it() {
        // The line is at 3/8 of the height; a hundredth of the picture is 4 cm.
        let goods = |bottom: f32| {
            let bbox = [0.48, bottom - 0.1, 0.52, bottom];
            let column = |i: u8| {
                let left = 0.48 + f32::from(i) * 0.01;
                [left, left + 0.01, bottom]
            };
            Blob {
                rim: (0..4).map(column).collect(),
                ..blob(1, bbox, 1.0)
            }
        };
        let mut zone = zone();
        zone.measured(&front(), [100, 100]);
        let owner = || vec![person(5, 0.43)];
        let events = play(&mut zone, 0..60, |_| (vec![goods(0.45)], owner()));
        assert_eq!(told(&events).len(), 1, "beside their owner");
        assert!((told(&events)[0].0 - 31.0).abs() < 0.5);
        assert!(zone.knows(1) && !zone.knows(2));
        // Over by less than the error: nothing more is claimed, and nothing is over.
        let events = play(&mut zone, 60..80, |_| (vec![goods(0.39)], owner()));
        assert_eq!(events, []);
        assert!(zone.occupied());
        let events = play(&mut zone, 80..90, |_| (vec![goods(0.36)], owner()));
        let over = Event::Over {
            story: 1,
            told: true,
        };
        assert!(
            matches!(&events[..], [(_, event)] if *event == over),
            "{events:?}"
        );
        let events = play(&mut zone, 90..150, |_| (vec![goods(0.39)], owner()));
        assert_eq!(events, [], "what is never surely over is no story");
    }
}
