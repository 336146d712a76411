//! Zones: polygons on the ground, and whether something stands in one.

/// A closed polygon in fractions of width and height.
#[derive(Clone, Debug)]
pub struct Polygon(Vec<[f32; 2]>);

/// Left, top, right, bottom as fractions of the picture.
pub type Bbox = [f32; 4];

impl Polygon {
    /// Of at least three points; fewer hold nothing.
    pub fn new(points: Vec<[f32; 2]>) -> Self {
        Polygon(points)
    }

    /// The corners.
    pub fn points(&self) -> &[[f32; 2]] {
        &self.0
    }

    /// Whether the point lies inside (even-odd rule; left and upper edges belong to it).
    pub fn contains(&self, [x, y]: [f32; 2]) -> bool {
        let ends = self.0.iter().cycle().skip(1);
        let crossings = self
            .0
            .iter()
            .zip(ends)
            .filter(|([ax, ay], [bx, by])| {
                (*ay > y) != (*by > y) && x < (bx - ax) * (y - ay) / (by - ay) + ax
            })
            .count();
        crossings % 2 == 1
    }

    /// The smallest upright box around it.
    pub fn bounds(&self) -> Bbox {
        self.0.iter().fold(
            [1.0, 1.0, 0.0, 0.0],
            |[left, top, right, bottom], [x, y]| {
                [left.min(*x), top.min(*y), right.max(*x), bottom.max(*y)]
            },
        )
    }
}

/// Where a thing touches the ground: the middle of its box's lower edge. A box's centre would
/// put a tall person two metres behind where they stand.
pub fn foot([left, _, right, bottom]: Bbox) -> [f32; 2] {
    [(left + right) / 2.0, bottom.min(0.999)]
}

/// Overlap of two boxes: intersection over union.
pub fn iou(a: Bbox, b: Bbox) -> f32 {
    let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let both = width * height;
    let either = area(a) + area(b) - both;
    if either > 0.0 { both / either } else { 0.0 }
}

/// Share of `thing` under `cover`.
pub fn covered(thing: Bbox, cover: Bbox) -> f32 {
    let width = (thing[2].min(cover[2]) - thing[0].max(cover[0])).max(0.0);
    let height = (thing[3].min(cover[3]) - thing[1].max(cover[1])).max(0.0);
    let area = (thing[2] - thing[0]) * (thing[3] - thing[1]);
    if area > 0.0 {
        width * height / area
    } else {
        0.0
    }
}

fn area([left, top, right, bottom]: Bbox) -> f32 {
    (right - left).max(0.0) * (bottom - top).max(0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn square() -> Polygon {
        Polygon::new(vec![[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]])
    }

    #[test]
    fn a_square_holds_its_middle_only() {
        assert!(square().contains([0.5, 0.5]));
        for outside in [[0.1, 0.5], [0.9, 0.5], [0.5, 0.1], [0.5, 0.9], [0.0, 0.0]] {
            assert!(!square().contains(outside), "{outside:?}");
        }
    }

    #[test]
    fn adjoining_zones_share_no_point_and_leave_none_out() {
        let left = Polygon::new(vec![[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]);
        let right = Polygon::new(vec![[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]]);
        for x in [0.0, 0.25, 0.5, 0.75] {
            let in_left = left.contains([x, 0.5]);
            assert_ne!(in_left, right.contains([x, 0.5]), "x = {x}");
        }
    }

    #[test]
    fn a_hollow_holds_what_a_hull_would_not_leave_out() {
        // A U: the notch is outside.
        let u = Polygon::new(vec![
            [0.1, 0.1],
            [0.3, 0.1],
            [0.3, 0.7],
            [0.7, 0.7],
            [0.7, 0.1],
            [0.9, 0.1],
            [0.9, 0.9],
            [0.1, 0.9],
        ]);
        assert!(u.contains([0.2, 0.5]) && u.contains([0.8, 0.5]) && u.contains([0.5, 0.8]));
        assert!(!u.contains([0.5, 0.4]));
    }

    #[test]
    fn fewer_than_three_points_hold_nothing() {
        for points in [vec![], vec![[0.5, 0.5]], vec![[0.1, 0.1], [0.9, 0.9]]] {
            assert!(!Polygon::new(points).contains([0.5, 0.5]));
        }
    }

    #[test]
    fn the_foot_decides_not_the_head() {
        // Head in the zone, feet in front of it.
        assert!(!square().contains(foot([0.4, 0.5, 0.5, 0.9])));
        assert!(square().contains(foot([0.4, 0.0, 0.5, 0.5])));
    }

    #[test]
    fn a_box_cut_by_the_lower_edge_counts_for_a_zone_that_reaches_it() {
        let zone = Polygon::new(vec![[0.0, 0.5], [1.0, 0.5], [1.0, 1.0], [0.0, 1.0]]);
        assert!(zone.contains(foot([0.4, 0.3, 0.6, 1.0])));
    }

    #[test]
    fn iou_of_known_boxes() {
        let a = [0.0, 0.0, 0.5, 0.5];
        assert_eq!(iou(a, a), 1.0);
        assert_eq!(iou(a, [0.5, 0.5, 1.0, 1.0]), 0.0);
        assert!((iou(a, [0.25, 0.0, 0.75, 0.5]) - 1.0 / 3.0).abs() < 1e-6);
        assert_eq!(iou([0.5; 4], [0.5; 4]), 0.0);
    }

    proptest! {
        #[test]
        fn inside_is_inside_the_bounds(
            points in prop::collection::vec(prop::array::uniform2(0f32..1.0), 3..12),
            point in prop::array::uniform2(0f32..1.0),
        ) {
            let polygon = Polygon::new(points);
            if polygon.contains(point) {
                let [left, top, right, bottom] = polygon.bounds();
                prop_assert!((left..=right).contains(&point[0]));
                prop_assert!((top..=bottom).contains(&point[1]));
            }
        }

        #[test]
        fn iou_is_symmetric_and_a_fraction(
            a in prop::array::uniform4(0f32..1.0), b in prop::array::uniform4(0f32..1.0),
        ) {
            let value = iou(a, b);
            prop_assert!((0.0..=1.0 + 1e-6).contains(&value));
            prop_assert_eq!(value, iou(b, a));
        }
    }
}
