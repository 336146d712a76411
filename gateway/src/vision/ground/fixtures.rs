//! A front for tests elsewhere.

use super::{Front, Line, Marked, Survey};

/// Before a camera that looks straight down: a metre is a quarter of the picture's side. The
/// shop-front runs across the picture at 1/8 of its height, its line at 3/8, and what is farther
/// down than 5/8 is the road.
pub(crate) fn front() -> Front {
    let marked = |x: f64, y: f64| Marked {
        image: [0.5 + x / 4.0, 0.5 - y / 4.0],
        metres: [x, y],
    };
    let survey = Survey {
        points: vec![
            marked(-1.5, -1.5),
            marked(1.5, -1.5),
            marked(1.5, 1.5),
            marked(-1.5, 1.5),
        ],
        picture: [1000.0, 1000.0],
        point_error: 1.0,
        tape_error: 0.01,
    };
    let line = Line {
        points: vec![[-1.5, 1.5], [1.5, 1.5]],
        road: [0.0, -1.0],
        limit: 1.0,
        tolerance: 0.3,
        reach: 1.0,
    };
    Front::new(survey.fit().unwrap().plane, &line, None).unwrap()
}
