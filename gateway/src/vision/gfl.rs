//! Outputs of NanoDet and PicoDet: generalised focal loss heads (Li et al., 2020).
//!
//! Each point of a grid gives a score per class and, for each side of the box, a distribution
//! over distances, whose mean times the stride is the distance from the point's centre.

/// One stride's outputs, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Level<'o> {
    /// Points × classes, already through the sigmoid.
    pub scores: &'o [f32],
    /// Points × 4 sides × bins.
    pub distances: &'o [f32],
    /// Input pixels between points.
    pub stride: u32,
    /// Points in a row.
    pub columns: usize,
}

/// A box in input pixels (left, top, right, bottom) with its class and score.
pub type Raw = ([f32; 4], usize, f32);

/// Adds every point and class whose score is above `threshold`.
pub fn decode(level: Level<'_>, classes: usize, threshold: f32, out: &mut Vec<Raw>) {
    let points = level.scores.chunks_exact(classes.max(1));
    let count = points.len().max(1);
    let sides = level
        .distances
        .chunks_exact((level.distances.len() / count).max(1));
    for (point, (scores, sides)) in points.zip(sides).enumerate() {
        if !scores.iter().any(|score| *score > threshold) {
            continue;
        }
        let stride = level.stride as f32;
        let x = ((point % level.columns) as f32 + 0.5) * stride;
        let y = ((point / level.columns) as f32 + 0.5) * stride;
        let mut distances = sides
            .chunks_exact((sides.len() / 4).max(1))
            .map(|bins| mean(bins) * stride);
        let mut next = || distances.next().unwrap_or(0.0);
        let (left, top, right, bottom) = (next(), next(), next(), next());
        let bbox = [x - left, y - top, x + right, y + bottom];
        for (class, score) in scores.iter().enumerate() {
            if *score > threshold {
                out.push((bbox, class, *score));
            }
        }
    }
}

/// Mean of the distribution whose logits are `bins`, over 0, 1, 2…
fn mean(bins: &[f32]) -> f32 {
    let top = bins.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut sum, mut weighted) = (0.0, 0.0);
    for (index, logit) in bins.iter().enumerate() {
        let weight = (logit - top).exp();
        sum += weight;
        weighted += weight * index as f32;
    }
    weighted / sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certain_distribution_is_its_bin() {
        let mut bins = [0.0; 11];
        bins[7] = 100.0;
        assert!((mean(&bins) - 7.0).abs() < 1e-5);
        assert!((mean(&[3.0; 11]) - 5.0).abs() < 1e-5);
    }

    #[test]
    fn a_point_becomes_a_box_around_its_centre() {
        // Two by two points at stride 8, two classes, three bins; the last point sees class 1.
        let mut scores = [0.0; 8];
        scores[7] = 0.9;
        let mut distances = [0.0; 4 * 4 * 3];
        for (side, bin) in [(0, 0), (1, 1), (2, 2), (3, 1)] {
            distances[3 * 12 + side * 3 + bin] = 100.0;
        }
        let mut out = Vec::new();
        let level = Level {
            scores: &scores,
            distances: &distances,
            stride: 8,
            columns: 2,
        };
        decode(level, 2, 0.5, &mut out);
        assert_eq!(out.len(), 1);
        let (bbox, class, score) = out[0];
        assert_eq!((class, score), (1, 0.9));
        for (is, expect) in bbox.iter().zip([12.0, 4.0, 28.0, 20.0]) {
            assert!((is - expect).abs() < 1e-4, "{bbox:?}");
        }
    }

    #[test]
    fn empty_outputs_give_nothing() {
        let mut out = Vec::new();
        decode(
            Level {
                scores: &[],
                distances: &[],
                stride: 8,
                columns: 1,
            },
            80,
            0.5,
            &mut out,
        );
        assert!(out.is_empty());
    }
}
