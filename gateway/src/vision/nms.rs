//! Non-maximum suppression: of boxes of one class that overlap, the best remains.

use super::zone::{Bbox, iou};

/// Candidates beyond this are dropped, the lowest scores first: a hostile or confused picture
/// must not cost quadratic time.
pub const MAX_CANDIDATES: usize = 1000;

/// Something that the detector believes it sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Index into the model's labels.
    pub class: usize,
    /// 0 to 1.
    pub score: f32,
    /// In the picture.
    pub bbox: Bbox,
}

/// Keeps, class by class, the best of overlapping boxes; best first.
pub fn suppress(mut candidates: Vec<Detection>, max_iou: f32) -> Vec<Detection> {
    candidates.retain(|d| d.score.is_finite() && d.bbox.iter().all(|v| v.is_finite()));
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    candidates.truncate(MAX_CANDIDATES);
    let mut kept: Vec<Detection> = Vec::new();
    for candidate in candidates {
        let covered =
            |k: &Detection| k.class == candidate.class && iou(k.bbox, candidate.bbox) > max_iou;
        if !kept.iter().any(covered) {
            kept.push(candidate);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detection(class: usize, score: f32, left: f32) -> Detection {
        Detection {
            class,
            score,
            bbox: [left, 0.0, left + 0.2, 0.2],
        }
    }

    #[test]
    fn the_best_of_one_class_remains() {
        let kept = suppress(
            vec![
                detection(0, 0.5, 0.01),
                detection(0, 0.9, 0.0),
                detection(0, 0.7, 0.5),
            ],
            0.6,
        );
        assert_eq!(kept, [detection(0, 0.9, 0.0), detection(0, 0.7, 0.5)]);
    }

    #[test]
    fn another_class_is_not_suppressed() {
        let kept = suppress(vec![detection(0, 0.9, 0.0), detection(1, 0.8, 0.0)], 0.6);
        assert_eq!(kept.len(), 2);
    }

    #[test]
    fn no_chain_of_overlaps_removes_a_distant_box() {
        // b overlaps a, c overlaps b but not a: c stays.
        let (a, b, c) = (
            detection(0, 0.9, 0.0),
            detection(0, 0.8, 0.06),
            detection(0, 0.7, 0.12),
        );
        assert_eq!(suppress(vec![a, b, c], 0.5), [a, c]);
    }

    #[test]
    fn what_is_not_a_number_is_dropped() {
        let mut bad = detection(0, 0.9, 0.0);
        bad.bbox[2] = f32::NAN;
        assert!(suppress(vec![bad, detection(0, f32::NAN, 0.0)], 0.6).is_empty());
    }

    #[test]
    fn candidates_are_limited_best_first() {
        for (count, expect) in [
            (MAX_CANDIDATES, MAX_CANDIDATES),
            (MAX_CANDIDATES + 1, MAX_CANDIDATES),
            (MAX_CANDIDATES * 10, MAX_CANDIDATES),
        ] {
            // Boxes without area overlap nothing.
            let many = (0..count).map(|i| Detection {
                class: 0,
                score: i as f32 / count as f32,
                bbox: [0.5; 4],
            });
            let kept = suppress(many.collect(), 0.6);
            assert_eq!(kept.len(), expect);
            assert!(kept[0].score >= kept[expect - 1].score);
        }
    }
}
