//! Cameras of known height, tilt and lens, and what is measured in their pictures.

use super::*;

mod trials;

/// A pinhole, or a barrel, above the origin of the ground; y is away from it.
struct Camera {
    height: f64,
    /// Downwards from the horizon, radians.
    tilt: f64,
    /// Of the ground about the camera, radians.
    turn: f64,
    /// Pixels.
    focal: f64,
    picture: Point,
    lens: f64,
}

impl Camera {
    /// Four metres up, looking down by half a right angle: the middle of the picture is 4 m away,
    /// where a metre across has 1000 / (4 √2) = 176.8 pixels and a metre away 125.
    fn plain() -> Self {
        Camera {
            height: 4.0,
            tilt: std::f64::consts::FRAC_PI_4,
            turn: 0.0,
            focal: 1000.0,
            picture: [2000.0, 1000.0],
            lens: 0.0,
        }
    }

    /// Fractions; outside of 0 to 1 too.
    fn sees(&self, [x, y]: Point) -> Option<Point> {
        let (x, y) = (
            x * self.turn.cos() - y * self.turn.sin(),
            x * self.turn.sin() + y * self.turn.cos(),
        );
        let depth = y * self.tilt.cos() + self.height * self.tilt.sin();
        let below = self.height * self.tilt.cos() - y * self.tilt.sin();
        if depth < 0.1 {
            return None;
        }
        let half = self.picture[0].hypot(self.picture[1]) / 2.0;
        let straight = [x, below].map(|v| self.focal * v / depth / half);
        let square = straight[0].powi(2) + straight[1].powi(2);
        let bent = 2.0 / (1.0 + (1.0 - 4.0 * self.lens * square).sqrt());
        Some([
            0.5 + straight[0] * bent * half / self.picture[0],
            0.5 + straight[1] * bent * half / self.picture[1],
        ])
    }

    fn in_picture(&self, place: Point) -> bool {
        let margin = 0.01..=0.99;
        self.sees(place)
            .is_some_and(|p| p.iter().all(|v| margin.contains(v)))
    }

    fn marked(&self, metres: Point) -> Marked {
        let image = self.sees(metres).unwrap();
        Marked { image, metres }
    }

    /// Exactly taped, and as good as exactly marked.
    fn survey(&self, places: &[Point]) -> Survey {
        Survey {
            points: places.iter().map(|p| self.marked(*p)).collect(),
            picture: self.picture,
            point_error: 2.0,
            tape_error: 0.02,
        }
    }
}

const CORNERS: [Point; 4] = [[-3.0, 3.0], [3.0, 3.0], [4.0, 8.0], [-4.0, 8.0]];
const MORE: [Point; 8] = [
    [-3.0, 3.0],
    [3.0, 3.0],
    [4.0, 8.0],
    [-4.0, 8.0],
    [0.0, 5.0],
    [1.5, 6.5],
    [-2.0, 4.0],
    [0.5, 8.5],
];

fn plain() -> Survey {
    Camera::plain().survey(&CORNERS)
}

/// Along the shop-fronts at y = 8, the road before it.
fn line() -> Line {
    Line {
        points: vec![[-3.0, 8.0], [3.0, 8.0]],
        road: [0.0, 3.0],
        limit: 1.0,
        tolerance: 0.3,
        reach: 3.0,
    }
}

fn front(line: &Line) -> Front {
    Front::new(plain().fit().unwrap().plane, line, None).unwrap()
}

/// A rim along a straight way on the ground, seen to `deviation` pixels.
fn rim(camera: &Camera, from: Point, to: Point, deviation: f64) -> Footprint {
    let place = |i: u32| {
        let share = f64::from(i) / 16.0;
        let metres = [0, 1].map(|axis| from[axis] + share * (to[axis] - from[axis]));
        camera.sees(metres).unwrap()
    };
    Footprint {
        rim: (0..=16).map(place).collect(),
        deviation: [deviation; 2],
    }
}

fn over(seen: Seen) -> Measure {
    match seen {
        Seen::Over(measure) => measure,
        other => panic!("{other:?}"),
    }
}

fn near(a: f64, b: f64, by: f64) {
    assert!((a - b).abs() <= by, "{a} instead of {b}");
}

#[test]
fn numbers_computed_by_hand() {
    let survey = Survey {
        point_error: 0.01,
        tape_error: 0.0001,
        ..plain()
    };
    let plane = survey.fit().unwrap().plane;
    let middle = plane.ground([0.5, 0.5]).unwrap();
    near(middle[0], 0.0, 1e-6);
    near(middle[1], 4.0, 1e-6);
    let image = plane.image([1.0, 4.0]).unwrap();
    near(image[0] * 2000.0, 1176.777, 1e-3);
    near(image[1] * 1000.0, 500.0, 1e-3);
    // 12.5 pixels down are a tenth of a metre there, 17.68 across as well; the doubt about the
    // lens adds a little.
    let located = plane.locate([0.5, 0.5], [17.678, 12.5]).unwrap();
    for direction in [[1.0, 0.0], [0.0, 1.0]] {
        let deviation = located.deviation(direction);
        assert!((0.1..0.115).contains(&deviation), "{deviation}");
    }
    // The horizon is 45 degrees up: 1000 pixels above the middle, outside of this picture.
    assert_eq!(plane.ground([0.5, -0.51]), None);
    assert!(plane.ground([0.5, -0.4]).is_some());
    assert_eq!(plane.image([0.0, -4.1]), None, "behind the camera");
}

#[test]
fn there_and_back_is_the_same_place_with_and_without_a_lens() {
    for lens in [0.0, -0.12, 0.05] {
        let camera = Camera {
            lens,
            ..Camera::plain()
        };
        let survey = Survey {
            point_error: 0.5,
            tape_error: 0.005,
            ..camera.survey(&MORE)
        };
        let fit = survey.fit().unwrap();
        assert_eq!(fit.lens.is_some(), lens != 0.0, "{lens}: {:?}", fit.lens);
        near(fit.lens.unwrap_or(0.0), lens, 1e-3);
        for place in [[0.0, 4.0], [2.5, 7.0], [-3.0, 3.5]] {
            let image = camera.sees(place).unwrap();
            let back = fit.plane.ground(image).unwrap();
            near(distance(back, place), 0.0, 2e-3);
            let seen = fit.plane.image(place).unwrap();
            near(distance(seen, image), 0.0, 1e-3);
        }
    }
}

#[test]
fn a_survey_has_four_to_thirty_two_points() {
    let camera = Camera::plain();
    let ring = |n: usize| {
        let place = |i: usize| {
            let angle = i as f64 / n as f64 * std::f64::consts::TAU;
            [3.0 * angle.cos(), 5.5 + 2.5 * angle.sin()]
        };
        let mut survey = camera.survey(&(0..n).map(place).collect::<Vec<_>>());
        (survey.point_error, survey.tape_error) = (0.1, 0.001);
        survey.fit()
    };
    let (low, high) = (*limits::POINTS.start(), *limits::POINTS.end());
    for n in [low, high] {
        assert!(ring(n).is_ok(), "{n}");
    }
    for n in [0, low - 1, high + 1, high * 10] {
        assert_eq!(ring(n).unwrap_err(), SurveyError::Count(n));
    }
}

#[test]
fn points_that_are_no_plane_are_refused_with_a_sentence() {
    let fails = |change: &dyn Fn(&mut Survey)| {
        let mut survey = plain();
        change(&mut survey);
        let error = survey.fit().unwrap_err();
        (error.to_string(), error)
    };
    let (text, error) = fails(&|s| s.points[3] = s.points[1]);
    assert!(
        text.contains("points 2 and 4 are the same place in the picture"),
        "{text}"
    );
    assert_eq!(error.point(), Some(3));
    let (text, _) = fails(&|s| s.points[3].metres = s.points[1].metres);
    assert!(text.contains("same place on the ground"), "{text}");

    let camera = Camera::plain();
    let on_a_line = [[-3.0, 5.0], [-1.0, 5.0], [1.0, 5.0], [3.0, 5.0]];
    let (text, _) = fails(&|s| s.points = camera.survey(&on_a_line).points);
    assert!(text.contains("all points are on one line"), "{text}");
    let mut three = on_a_line;
    three[3] = [0.0, 8.0];
    let (text, error) = fails(&|s| s.points = camera.survey(&three).points);
    assert!(
        text.contains("all points but point 4 are on one line"),
        "{text}"
    );
    assert_eq!(error.point(), Some(3));

    for (value, most) in [
        (1.001, 1000.0),
        (0.5, 1000.1),
        (0.5, f64::NAN),
        (f64::NAN, 0.0),
        (10.0, 0.0),
    ] {
        let (_, error) = fails(&|s| {
            s.points[2].image[0] = value;
            s.points[2].metres[1] = most;
        });
        assert_eq!(error, SurveyError::Range(2));
    }
}

#[test]
fn exchanged_points_are_named() {
    for (a, b) in [(0, 1), (1, 2), (3, 6)] {
        let mut survey = Camera::plain().survey(&MORE);
        let metres = survey.points[a].metres;
        survey.points[a].metres = survey.points[b].metres;
        survey.points[b].metres = metres;
        assert_eq!(survey.fit().unwrap_err(), SurveyError::Exchanged { a, b });
    }
    // A ground drawn mirrored throughout is as good as any.
    let mut survey = plain();
    for point in &mut survey.points {
        point.metres[0] *= -1.0;
    }
    assert!(survey.fit().is_ok());
}

#[test]
fn a_mistyped_figure_is_found_and_what_it_should_be() {
    let mut survey = Camera::plain().survey(&MORE);
    survey.points[5].metres = [1.5, 5.9];
    let error = survey.fit().unwrap_err();
    let SurveyError::Mistaken(Doubt {
        point,
        metres,
        pixels,
        instead,
    }) = error
    else {
        panic!("{error}");
    };
    assert_eq!(point, 5);
    near(metres, 0.6, 0.02);
    assert!((30.0..80.0).contains(&pixels), "{pixels}");
    near(distance(instead, [1.5, 6.5]), 0.0, 0.02);
    // With five points the worst is named, but not blamed.
    let mut survey = Camera::plain().survey(&MORE[..5]);
    survey.points[4].metres[1] += 0.8;
    assert!(matches!(survey.fit(), Err(SurveyError::Disagree { .. })));
    // What is within the stated errors is taken.
    let mut survey = Camera::plain().survey(&MORE);
    survey.points[5].metres[1] += 0.03;
    assert!(survey.fit().is_ok());
}

#[test]
fn a_mistake_that_is_lost_in_the_sum_of_all_is_named_all_the_same() {
    let places: Vec<Point> = (0..12u32)
        .map(|i| [f64::from(i % 4) * 1.5 - 2.25, 4.0 + f64::from(i / 4) * 1.5])
        .collect();
    let off = |metres: f64| {
        let mut survey = Camera::plain().survey(&places);
        survey.points[5].metres[0] += metres;
        survey.fit()
    };
    assert_eq!(off(0.03).unwrap().doubtful, None);
    let doubt = off(0.15).unwrap().doubtful.unwrap();
    assert_eq!(doubt.point, 5);
    near(doubt.metres, 0.15, 0.01);
    assert!(
        doubt.to_string().starts_with("point 6 is 0.15 m"),
        "{doubt}"
    );
    assert!(matches!(off(0.4), Err(SurveyError::Mistaken(d)) if d.point == 5));
}

#[test]
fn far_outside_of_a_small_survey_the_error_says_so_by_itself() {
    let camera = Camera::plain();
    let small = camera.survey(&[[-0.3, 4.0], [0.3, 4.0], [0.3, 4.5], [-0.3, 4.5]]);
    let plane = small.fit().unwrap().plane;
    let error = |place: Point| {
        let image = camera.sees(place).unwrap();
        CONFIDENCE * plane.locate(image, [1.0; 2]).unwrap().deviation([0.0, 1.0])
    };
    assert!(error([0.0, 4.2]) < 0.1, "{}", error([0.0, 4.2]));
    assert!(error([3.0, 9.0]) > 1.0, "{}", error([3.0, 9.0]));
    let hopeless = Front::new(plane, &line(), None).unwrap_err();
    assert!(
        matches!(hopeless, FrontError::Hopeless { .. }),
        "{hopeless}"
    );
    assert!(hopeless.to_string().starts_with("cannot measure here"));
}

#[test]
fn what_stands_out_is_measured_from_either_end_of_the_line() {
    let camera = Camera::plain();
    let thing = rim(&camera, [-1.0, 6.4], [1.0, 6.4], 3.0);
    let mut turned = line();
    turned.points.reverse();
    for line in [line(), turned] {
        let measure = over(front(&line).look(&thing));
        near(measure.metres, 0.6, 1e-4);
        near(measure.along().0, 2.0, 1e-3);
        assert!((0.05..0.3).contains(&measure.error), "{}", measure.error);
        assert!((0.02..0.3).contains(&measure.along().1));
    }
    // Behind the limit, behind the shop, and out on the road.
    for y in [7.1, 7.9, 9.0, 3.9] {
        let there = rim(&camera, [-1.0, y], [1.0, y], 0.1);
        assert_eq!(front(&line()).look(&there), Seen::Clear, "{y}");
    }
    // Less than the error.
    let unsure = rim(&camera, [-1.0, 6.95], [1.0, 6.95], 3.0);
    assert_eq!(front(&line()).look(&unsure), Seen::Unsure);
    // Seen so badly that it cannot be said.
    let blurred = rim(&camera, [-1.0, 6.4], [1.0, 6.4], 40.0);
    assert!(matches!(front(&line()).look(&blurred), Seen::Blind { error } if error > 0.3));
}

#[test]
fn only_the_part_beyond_the_limit_and_between_the_ends_counts() {
    let camera = Camera::plain();
    // Straight out from the shop: beyond the limit for 0.9 m, and no metres along the line.
    let out = over(front(&line()).look(&rim(&camera, [0.0, 8.0], [0.0, 6.1], 1.0)));
    near(out.metres, 0.9, 1e-3);
    near(out.along().0, 0.0, 1e-3);
    // At an angle: from x = 0 at the limit on.
    let slant = over(front(&line()).look(&rim(&camera, [-2.0, 8.0], [1.0, 6.5], 1.0)));
    near(slant.metres, 0.5, 1e-3);
    near(slant.along().0, 1.0, 0.01);
    // The neighbour's things are the neighbour's.
    let beyond = rim(&camera, [3.2, 6.4], [3.8, 6.4], 1.0);
    assert_eq!(front(&line()).look(&beyond), Seen::Clear);
    // A given polygon narrows it down.
    let half = vec![[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]];
    let plane = plain().fit().unwrap().plane;
    let narrow = Front::new(plane, &line(), Some(half)).unwrap();
    let measure = over(narrow.look(&rim(&camera, [-1.0, 6.4], [1.0, 6.4], 1.0)));
    near(measure.along().0, 1.0, 0.13);
}

#[test]
fn several_things_make_one_measure() {
    let camera = Camera::plain();
    let front = front(&line());
    let measure =
        |from: f64, to: f64, y: f64| over(front.look(&rim(&camera, [from, y], [to, y], 1.0)));
    let mut all = measure(-2.0, -1.0, 6.4);
    all.join(measure(1.0, 2.5, 6.1));
    all.join(measure(-1.5, -0.5, 6.5));
    near(all.metres, 0.9, 1e-3);
    near(all.along().0, 1.5 + 1.5, 1e-3);
    assert_eq!(all.spans.len(), 2);
}

#[test]
fn a_line_may_have_corners() {
    let camera = Camera::plain();
    // Along x, then towards the camera: the road is inside the corner.
    let bent = Line {
        points: vec![[-3.0, 8.0], [2.0, 8.0], [2.0, 4.0]],
        road: [-1.0, 4.0],
        ..line()
    };
    let front = front(&bent);
    near(front.length(), 9.0, 1e-9);
    let measure = over(front.look(&rim(&camera, [0.5, 6.0], [0.5, 5.0], 1.0)));
    near(measure.metres, 0.5, 1e-3);
    near(measure.along().0, 1.0, 1e-2);
    let at_corner = front.look(&rim(&camera, [1.2, 7.5], [1.8, 7.5], 1.0));
    assert_eq!(at_corner, Seen::Clear);
}

#[test]
fn lines_that_cannot_be_used_are_refused() {
    let plane = || plain().fit().unwrap().plane;
    let fails = |change: &dyn Fn(&mut Line)| {
        let mut line = line();
        change(&mut line);
        Front::new(plane(), &line, None).unwrap_err()
    };
    for (end, ok) in [
        (-2.6, false),
        (-2.5, true),
        (197.0, true),
        (197.2, false),
        (1_997.0, false),
    ] {
        let mut line = line();
        line.points[1][0] = end;
        let found = Front::new(plane(), &line, None);
        assert_eq!(found.is_ok(), ok, "{end}: {:?}", found.err());
    }
    assert!(matches!(
        fails(&|l| l.points[1] = l.points[0]),
        FrontError::Twice(1)
    ));
    // On neither side, and within the limit.
    for y in [8.0, 7.5, 8.9] {
        assert!(
            matches!(fails(&|l| l.road = [0.0, y]), FrontError::Road { .. }),
            "{y}"
        );
    }
    // Behind the camera, beyond the horizon.
    let behind = fails(&|l| {
        l.points = vec![[-3.0, -9.0], [3.0, -9.0]];
        l.road = [0.0, 3.0];
    });
    assert!(matches!(behind, FrontError::OutOfSight { .. }), "{behind}");
    let strict = fails(&|l| l.tolerance = 0.01);
    assert!(matches!(strict, FrontError::Hopeless { .. }), "{strict}");
    let camera = Camera {
        tilt: 0.3,
        ..Camera::plain()
    };
    let plane = camera
        .survey(&[[-3.0, 5.0], [3.0, 5.0], [4.0, 12.0], [-4.0, 12.0]])
        .fit()
        .unwrap()
        .plane;
    let sky = vec![[0.1, 0.9], [0.9, 0.9], [0.5, 0.05]];
    assert_eq!(
        Front::new(plane, &line(), Some(sky)).unwrap_err(),
        FrontError::Horizon(2)
    );
}

#[test]
fn the_zone_is_the_ground_before_the_shop() {
    let camera = Camera::plain();
    let front = front(&line());
    let zone = super::super::zone::Polygon::new(front.polygon().to_vec());
    let holds = |place: Point| zone.contains(camera.sees(place).unwrap().map(|v| v as f32));
    for place in [[0.0, 7.9], [-2.9, 6.0], [2.9, 4.1]] {
        assert!(holds(place), "{place:?}");
    }
    for place in [[0.0, 8.1], [-3.1, 6.0], [3.1, 6.0], [0.0, 3.9]] {
        assert!(!holds(place), "{place:?}");
    }
    // A reach that leads behind the camera ends where the picture does.
    let far = Line {
        reach: 20.0,
        ..line()
    };
    let far = Front::new(plain().fit().unwrap().plane, &far, None).unwrap();
    assert!(
        far.polygon()
            .iter()
            .flatten()
            .all(|v| (-1.0..=2.0).contains(v))
    );
    assert!(super::super::zone::Polygon::new(far.polygon().to_vec()).contains([0.5, 0.9]));
}

#[test]
fn boxes_and_rims_become_footprints() {
    let front = front(&line()).analysed_at(400);
    let foot = front.of_box([0.4, 0.3, 0.5, 0.6]).unwrap();
    assert_eq!(
        (foot.rim[0], foot.rim[32]),
        (
            [f64::from(0.4f32), f64::from(0.6f32)],
            [0.5, f64::from(0.6f32)]
        )
    );
    // 0.3 of 1000 pixels high, 4 % of that; 0.1 of 2000 wide; a pixel of 400 is five of 2000.
    near(foot.deviation[1], 12.0, 1e-3);
    near(foot.deviation[0], 8.0, 1e-3);
    let small = front.of_box([0.4, 0.58, 0.41, 0.6]).unwrap();
    assert_eq!(small.deviation, [5.0, 5.0]);
    assert_eq!(
        front.of_box([0.4, 0.3, 0.5, 1.0]),
        None,
        "the foot is outside"
    );
    let rim = front
        .of_rim(&[[0.1, 0.2, 0.6], [0.2, 0.3, 0.999]], [10, 10])
        .unwrap();
    assert_eq!(rim.rim.len(), 2);
    near(rim.rim[0][1], 0.525, 1e-6);
    assert_eq!(front.of_rim(&[], [10, 10]), None);
}

#[test]
fn the_points_tell_how_the_camera_hangs() {
    let barrel = Camera {
        turn: 0.2,
        lens: -0.15,
        ..Camera::plain()
    };
    for (camera, wide, by) in [(Camera::plain(), 90.0, 0.1), (barrel, 97.3, 1.0)] {
        let plane = camera.survey(&MORE).fit().unwrap().plane;
        let pose = plane.pose().unwrap();
        near(pose.height, camera.height, 0.02);
        near(pose.tilt, camera.tilt, 0.01);
        near(pose.width.to_degrees(), wide, by);
        assert!(!pose.is_strange() && pose.error < 0.5, "{pose:?}");
    }
}

#[test]
fn figures_in_other_units_put_the_camera_where_none_hangs() {
    for (unit, strange) in [(1.0, false), (100.0, true), (0.01, true), (1.5, false)] {
        let mut survey = Camera::plain().survey(&MORE);
        for point in &mut survey.points {
            point.metres = point.metres.map(|metres| metres * unit);
        }
        survey.tape_error *= unit;
        let pose = survey.fit().unwrap().plane.pose().unwrap();
        assert_eq!(pose.is_strange(), strange, "{unit}: {pose:?}");
    }
}

/// Straight down every height and focal length look alike.
#[test]
fn where_the_points_do_not_tell_the_height_none_is_told() {
    let down = Camera {
        tilt: std::f64::consts::FRAC_PI_2 - 0.01,
        ..Camera::plain()
    };
    let around = [
        [-2.0, -1.5],
        [2.0, -1.5],
        [2.0, 1.5],
        [-2.0, 1.5],
        [0.5, 0.5],
        [-1.0, 0.2],
    ];
    assert_eq!(down.survey(&around).fit().unwrap().plane.pose(), None);
}
