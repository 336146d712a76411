//! Outputs of RT-DETR (Zhao et al., 2023) and D-FINE (Peng et al., 2024): a fixed number of
//! queries, one box a thing by themselves, so nothing has to be suppressed.

use crate::vision::gfl::Raw;

/// The network's own outputs: logits (queries × classes) and boxes (queries × middle and size,
/// fractions of the input). As in the reference, the best pairs of query and class count, as
/// many as there are queries.
pub fn queries(
    logits: &[f32],
    boxes: &[f32],
    (width, height): (f32, f32),
    classes: usize,
    threshold: f32,
    out: &mut Vec<Raw>,
) {
    let begin = out.len();
    let (boxes, _) = boxes.as_chunks::<4>();
    for (logits, [x, y, w, h]) in logits.chunks_exact(classes.max(1)).zip(boxes) {
        let bbox = [
            (x - w / 2.0) * width,
            (y - h / 2.0) * height,
            (x + w / 2.0) * width,
            (y + h / 2.0) * height,
        ];
        for (class, logit) in logits.iter().enumerate() {
            let score = 1.0 / (1.0 + (-logit).exp());
            if score > threshold {
                out.push((bbox, class, score));
            }
        }
    }
    let found = out.get_mut(begin..).unwrap_or_default();
    found.sort_by(|a, b| b.2.total_cmp(&a.2));
    out.truncate(begin + boxes.len());
}

/// What the export for use gives: labels, corners in input pixels, and scores of each box.
pub fn deployed(
    labels: &[i64],
    boxes: &[f32],
    scores: &[f32],
    classes: usize,
    threshold: f32,
    out: &mut Vec<Raw>,
) {
    let (boxes, _) = boxes.as_chunks::<4>();
    for ((label, bbox), score) in labels.iter().zip(boxes).zip(scores) {
        let class = usize::try_from(*label).ok().filter(|c| *c < classes);
        if let Some(class) = class
            && *score > threshold
        {
            out.push((*bbox, class, *score));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_boxes_and_the_best_pairs_count() {
        // Two queries, three classes; all of the first query and one of the second pass.
        let logits = [2.0, 1.0, 0.0, -9.0, 3.0, -9.0];
        let boxes = [0.5, 0.5, 0.5, 1.0, 0.25, 0.25, 0.1, 0.1];
        let mut out = Vec::new();
        queries(&logits, &boxes, (64.0, 32.0), 3, 0.4, &mut out);
        assert_eq!(out.len(), 2, "as many as queries");
        assert_eq!((out[0].1, out[1].1), (1, 0));
        assert!((out[0].2 - 0.952_574).abs() < 1e-5);
        assert_eq!(out[1].0, [16.0, 0.0, 48.0, 32.0]);
    }

    #[test]
    fn labels_that_do_not_exist_are_left_out() {
        let boxes = [1.0; 16];
        let mut out = Vec::new();
        deployed(
            &[-1, 3, 2, 0],
            &boxes,
            &[0.9, 0.9, 0.9, 0.1],
            3,
            0.4,
            &mut out,
        );
        assert_eq!(out, [([1.0; 4], 2, 0.9)]);
    }
}
