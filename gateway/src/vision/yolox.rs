//! Outputs of YOLOX (Ge et al., 2021): anchor-free, one row a grid point with offset, size,
//! objectness and class scores (both through the sigmoid already).

use super::gfl::Raw;

/// Strides of the three grids, in the order of the rows.
pub const STRIDES: [u32; 3] = [8, 16, 32];

/// Adds every point and class whose objectness times class score is above `threshold`.
pub fn decode(rows: &[f32], classes: usize, size: (u32, u32), threshold: f32, out: &mut Vec<Raw>) {
    let points = STRIDES.iter().flat_map(|&stride| {
        let (columns, lines) = (size.0 / stride, size.1 / stride);
        (0..lines).flat_map(move |y| (0..columns).map(move |x| (x as f32, y as f32, stride as f32)))
    });
    for (row, (column, line, stride)) in rows.chunks_exact(5 + classes).zip(points) {
        let Some((&[dx, dy, width, height, objectness], scores)) = row.split_first_chunk() else {
            continue;
        };
        if objectness <= threshold {
            continue;
        }
        let (x, y) = ((dx + column) * stride, (dy + line) * stride);
        let (half_width, half_height) = (width.exp() * stride / 2.0, height.exp() * stride / 2.0);
        let bbox = [
            x - half_width,
            y - half_height,
            x + half_width,
            y + half_height,
        ];
        for (class, score) in scores.iter().enumerate() {
            let score = objectness * score;
            if score > threshold {
                out.push((bbox, class, score));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_through_all_grids() {
        // Input 32×32: 16 + 4 + 1 points. The last row is stride 32's only point.
        let mut rows = vec![0.0; 21 * 7];
        let last = 20 * 7;
        rows[last..last + 7].copy_from_slice(&[0.5, 0.5, 0.0, 0.5f32.ln(), 0.8, 0.1, 0.9]);
        let mut out = Vec::new();
        decode(&rows, 2, (32, 32), 0.3, &mut out);
        assert_eq!(out.len(), 1);
        let (bbox, class, score) = out[0];
        assert_eq!(class, 1);
        assert!((score - 0.72).abs() < 1e-6);
        for (is, expect) in bbox.iter().zip([0.0, 8.0, 32.0, 24.0]) {
            assert!((is - expect).abs() < 1e-4, "{bbox:?}");
        }
    }

    #[test]
    fn a_score_needs_both_object_and_class() {
        let mut rows = vec![0.0; 21 * 7];
        rows[4] = 0.5;
        rows[6] = 0.5;
        let mut out = Vec::new();
        decode(&rows, 2, (32, 32), 0.3, &mut out);
        assert!(out.is_empty());
    }
}
