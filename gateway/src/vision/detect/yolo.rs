//! Outputs of YOLOv5 and of YOLOv8/YOLO11, as Ultralytics exports them: boxes in input pixels
//! (middle, width, height), scores through the sigmoid already. Like their reference, a box
//! counts for its best class alone.

use crate::vision::gfl::Raw;

/// Strides of the usual head, and of the two variants with a fourth: one coarser, one finer.
pub const STRIDES: [&[u32]; 3] = [&[8, 16, 32], &[8, 16, 32, 64], &[4, 8, 16, 32]];
/// YOLOv5 has so many boxes a grid point.
pub const ANCHORS: i64 = 3;

/// YOLOv5: rows of middle, size, objectness and scores.
pub fn rows(data: &[f32], classes: usize, threshold: f32, out: &mut Vec<Raw>) {
    for row in data.chunks_exact(5 + classes) {
        let Some((&[x, y, width, height, objectness], scores)) = row.split_first_chunk() else {
            continue;
        };
        if objectness <= threshold {
            continue;
        }
        if let Some((class, score)) = best(scores.iter().copied()) {
            let score = objectness * score;
            if score > threshold {
                out.push((corners([x, y, width, height]), class, score));
            }
        }
    }
}

/// YOLOv8 and YOLO11: channels of middle, size and scores, each over all boxes.
pub fn columns(data: &[f32], classes: usize, threshold: f32, out: &mut Vec<Raw>) {
    let count = data.len() / (4 + classes);
    let channels: Vec<&[f32]> = data.chunks_exact(count.max(1)).collect();
    let Some((place, scores)) = channels.split_first_chunk::<4>() else {
        return;
    };
    for index in 0..count {
        let at = |channel: &&[f32]| channel.get(index).copied().unwrap_or(0.0);
        if let Some((class, score)) = best(scores.iter().map(at))
            && score > threshold
        {
            out.push((corners(place.each_ref().map(at)), class, score));
        }
    }
}

/// The highest score; the first of equal ones.
fn best(scores: impl Iterator<Item = f32>) -> Option<(usize, f32)> {
    scores
        .enumerate()
        .fold(None, |best, (class, score)| match best {
            Some((_, highest)) if score <= highest => best,
            _ => Some((class, score)),
        })
}

fn corners([x, y, width, height]: [f32; 4]) -> [f32; 4] {
    let (half_width, half_height) = (width / 2.0, height / 2.0);
    [
        x - half_width,
        y - half_height,
        x + half_width,
        y + half_height,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_counts_for_its_best_class_times_objectness() {
        let data = [
            [100.0, 50.0, 20.0, 10.0, 0.8, 0.5, 0.9],
            // Sure of a class, not of a thing; of a thing, not of a class.
            [1.0, 1.0, 1.0, 1.0, 0.3, 1.0, 1.0],
            [1.0, 1.0, 1.0, 1.0, 1.0, 0.2, 0.3],
        ];
        let mut out = Vec::new();
        rows(data.as_flattened(), 2, 0.3, &mut out);
        assert_eq!(out.len(), 1);
        let (bbox, class, score) = out[0];
        assert_eq!((bbox, class), ([90.0, 45.0, 110.0, 55.0], 1));
        assert!((score - 0.72).abs() < 1e-6);
    }

    #[test]
    fn columns_are_read_across_channels() {
        // Three boxes, two classes: x, y, width, height, class 0, class 1.
        let data = [
            [10.0, 20.0, 30.0],
            [11.0, 21.0, 31.0],
            [2.0, 4.0, 6.0],
            [2.0, 4.0, 6.0],
            [0.1, 0.7, 0.3],
            [0.2, 0.6, 0.3],
        ];
        let mut out = Vec::new();
        columns(data.as_flattened(), 2, 0.3, &mut out);
        assert_eq!(out, [([18.0, 19.0, 22.0, 23.0], 0, 0.7)]);
    }

    #[test]
    fn nothing_gives_nothing() {
        let mut out = Vec::new();
        rows(&[], 80, 0.1, &mut out);
        columns(&[], 80, 0.1, &mut out);
        assert!(out.is_empty());
    }
}
