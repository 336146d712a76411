//! Taped points and the lines on them.

use super::{RTSP, camera, one_at};
use crate::config::tests::Site;

/// A camera four metres up, looking down by 45 degrees.
const POINTS: [&str; 8] = [
    "{ image = [0.197, 0.6429], metres = [-3, 3] }",
    "{ image = [0.803, 0.6429], metres = [3, 3] }",
    "{ image = [0.7357, 0.1667], metres = [4, 8] }",
    "{ image = [0.2643, 0.1667], metres = [-4, 8] }",
    "{ image = [0.5, 0.3889], metres = [0, 5] }",
    "{ image = [0.601, 0.2619], metres = [1.5, 6.5] }",
    "{ image = [0.3232, 0.5], metres = [-2, 4] }",
    "{ image = [0.5283, 0.14], metres = [0.5, 8.5] }",
];
const LINE: &str = "line = { points = [[-3, 8], [3, 8]], road = [0, 3], limit = \"1m\" }";

fn ground(points: &[&str]) -> String {
    let points = points.join(", ");
    format!("{RTSP}\n[camera.ground]\npicture = [2000, 1000]\npoints = [{points}]\n")
}

fn text(site: &Site, ground: &str, line: &str) -> String {
    camera(
        site,
        ground,
        &format!("id = \"z\"\nkind = \"shop_overflow\"\n{line}"),
    )
}

#[test]
fn a_good_line_has_neither_error_nor_warning_and_a_zone_of_its_own() {
    let site = Site::new();
    let good = text(&site, &ground(&POINTS), LINE);
    let faults = site.faults(&good);
    assert_eq!(faults.iter().count(), 0, "{faults}");
    let config = site.good(&good);
    let zone = &config.cameras[0].zones[0];
    let front = zone.front.as_ref().unwrap();
    assert!(zone.objects && zone.labels.is_empty());
    assert_eq!((front.limit(), front.tolerance()), (1.0, 0.3));
    assert_eq!(zone.polygon, front.polygon());
    // A small print: with labels, only these.
    let labels = text(
        &site,
        &ground(&POINTS),
        &format!("{LINE}\nlabels = [\"person\"]"),
    );
    assert!(!site.good(&labels).cameras[0].zones[0].objects);
}

#[test]
fn points() {
    let site = Site::new();
    let one = |points: &[&str], key: &str, message: &str, help: &str| {
        let key = format!("camera[1].ground.{key}");
        one_at(
            &site,
            &text(&site, &ground(points), LINE),
            &key,
            message,
            help,
        );
    };
    one(&POINTS[..3], "points", "has 3 entries, at least 4", "");
    let many = vec![POINTS[0]; 33];
    one(&many, "points", "has 33 entries, at most 32", "");
    one(&vec![POINTS[0]; 320], "points", "has 320 entries", "");
    let mut points = POINTS;
    points[5] = "{ image = [0.601, 0.2619], metres = [1.5, 5.9] }";
    one(
        &points,
        "points[6]",
        "point 6 is 0.6",
        "measure this point again",
    );
    let mut points = POINTS;
    (points[0], points[1]) = (
        "{ image = [0.197, 0.6429], metres = [3, 3] }",
        "{ image = [0.803, 0.6429], metres = [-3, 3] }",
    );
    one(
        &points,
        "points[2]",
        "points 1 and 2 seem to be exchanged",
        "",
    );
    points[1] = "{ image = [0.803, 1.6429], metres = [-3, 3] }";
    one(&points, "points[2]", "point 2 has no usable numbers", "");
    points[1] = "{ image = [0.803, 0.6429] }";
    one(
        &points,
        "points[2].metres",
        "`metres` is missing",
        "metres = [0.0, 0.0]",
    );
    let row = [
        "{ image = [0.1, 0.5], metres = [0, 0] }",
        "{ image = [0.2, 0.5], metres = [1, 0] }",
        "{ image = [0.3, 0.5], metres = [2, 0] }",
        "{ image = [0.4, 0.5], metres = [3, 0] }",
    ];
    one(
        &row,
        "points",
        "all points are on one line",
        "large rectangle",
    );
}

#[test]
fn figures_of_a_survey_have_limits() {
    let site = Site::new();
    let with = |key: &str, value: &str| {
        let ground = ground(&POINTS).replace("picture = [2000, 1000]", &format!("{key} = {value}"));
        site.faults(&text(
            &site,
            &ground,
            &LINE.replace(" }", ", tolerance = \"5m\" }"),
        ))
    };
    for (key, good, bad) in [
        (
            "point_error",
            vec!["0.1", "50"],
            vec!["0.09", "50.1", "500"],
        ),
        (
            "tape_error",
            vec!["\"1mm\"", "\"1m\""],
            vec!["\"0.9mm\"", "\"1001mm\"", "\"10m\"", "\"2\""],
        ),
        (
            "picture",
            vec!["[64, 64]", "[16384, 8192]"],
            vec!["[63, 64]", "[16385, 64]", "[64, 163840]"],
        ),
    ] {
        for value in good {
            let faults = with(key, value);
            // That it is good does not mean that the points are.
            let about = faults.errors().find(|e| e.key.ends_with(key));
            assert!(about.is_none(), "{key} = {value}: {faults}");
        }
        for value in bad {
            let faults = with(key, value);
            let about = faults.errors().find(|e| e.key.ends_with(key));
            assert!(about.is_some(), "{key} = {value}: {faults}");
        }
    }
}

#[test]
fn lines() {
    let site = Site::new();
    let one = |from: &str, to: &str, key: &str, message: &str, help: &str| {
        assert!(LINE.contains(from), "{from}");
        let key = format!("camera[1].zone[1].{key}");
        let text = text(&site, &ground(&POINTS), &LINE.replace(from, to));
        one_at(&site, &text, &key, message, help);
    };
    one(
        "[0, 3]",
        "[0, 7.5]",
        "line.road",
        "within the limit of 1.00 m",
        "",
    );
    one(
        "[-3, 8], [3, 8]",
        "[-3, 8], [-3, 8]",
        "line.points",
        "same place",
        "",
    );
    one(
        "[-3, 8], [3, 8]",
        "[-3, -8], [3, -8]",
        "line.points",
        "nowhere in the picture",
        "same origin",
    );
    one(
        "[-3, 8], [3, 8]",
        "[-3, 8], [3000, 8]",
        "line.points",
        "more than 1000 m",
        "",
    );
    one(
        "[-3, 8], [3, 8]",
        "[-3, 8]",
        "line.points",
        "has 1 entries, at least 2",
        "",
    );
    one(
        "\"1m\"",
        "\"20.1m\"",
        "line.limit",
        "must be from 0mm to 20m",
        "",
    );
    one("\"1m\"", "\"200m\"", "line.limit", "must be from", "");
    one(
        "\"1m\"",
        "\"1m\", tolerance = \"49mm\"",
        "line.tolerance",
        "must be from 50mm to 5m",
        "",
    );
    one(
        "\"1m\"",
        "\"1m\", tolerance = \"50m\"",
        "line.tolerance",
        "must be from",
        "",
    );
    one(
        "\"1m\"",
        "\"1m\", reach = \"20.1m\"",
        "line.reach",
        "must be from 500mm to 20m",
        "",
    );
    one(
        "\"1m\"",
        "\"1m\", side = \"left\"",
        "line.side",
        "unknown key `side`",
        "known here",
    );
    one(
        ", road = [0, 3]",
        "",
        "line.road",
        "`road` is missing",
        "road = [3.0, 5.0]",
    );
    // A hopeless place.
    one(
        "\"1m\"",
        "\"1m\", tolerance = \"50mm\"",
        "line.tolerance",
        "cannot measure here",
        "tape more points",
    );
}

#[test]
fn a_line_needs_a_ground_and_a_zone_a_place() {
    let site = Site::new();
    let key = "camera[1].zone[1].line";
    one_at(
        &site,
        &text(&site, RTSP, LINE),
        key,
        "needs the camera's `ground`",
        "ground = {",
    );
    let nothing = camera(
        &site,
        RTSP,
        "id = \"z\"\nkind = \"shop_overflow\"\nlabels = [\"person\"]",
    );
    one_at(
        &site,
        &nothing,
        "camera[1].zone[1]",
        "`polygon` is missing",
        "polygon = [[0.1",
    );
}

#[test]
fn a_line_that_can_be_measured_in_part_is_a_warning() {
    let site = Site::new();
    // The far end is 8 m farther away.
    let line = "line = { points = [[-3, 3], [-4, 11]], road = [4, 5], limit = \"1m\", tolerance = \"0.12m\" }";
    let faults = site.faults(&text(&site, &ground(&POINTS), line));
    assert_eq!(faults.errors().count(), 0, "{faults}");
    let warning = faults.warnings().next().expect("a warning");
    assert!(
        warning.message.starts_with("cannot measure everywhere"),
        "{faults}"
    );
}

#[test]
fn figures_in_another_unit_are_a_warning() {
    let site = Site::new();
    let feet = POINTS.map(|point| {
        let (image, metres) = point.split_once("metres = [").expect("metres");
        let (x, y) = metres
            .trim_end_matches("] }")
            .split_once(", ")
            .expect("two");
        let feet = [x, y].map(|v| v.parse::<f64>().expect("a figure") * 3.281);
        format!("{image}metres = {feet:?} }}")
    });
    let feet = feet.each_ref().map(String::as_str);
    let line = "line = { points = [[-9.8, 26.2], [9.8, 26.2]], road = [0, 9], limit = \"3m\", tolerance = \"2m\" }";
    let faults = site.faults(&text(&site, &ground(&feet), line));
    assert_eq!(faults.errors().count(), 0, "{faults}");
    let warning = faults.warnings().next().expect("a warning");
    assert!(
        warning.message.contains("the camera hangs 13.1 m")
            && faults.to_string().contains("in metres"),
        "{faults}"
    );
}
