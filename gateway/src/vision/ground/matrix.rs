//! The little linear algebra that a ground plane needs: at most nine unknowns.

/// Rows of a square matrix.
pub type Matrix<const N: usize> = [[f64; N]; N];

/// A pivot smaller than this share of the largest element is none.
const LEAST_PIVOT: f64 = 1e-15;

/// The inverse (Gauss and Jordan, with the largest pivot of each column), if there is one.
pub fn inverse<const N: usize>(matrix: &Matrix<N>) -> Option<Matrix<N>> {
    let mut left = *matrix;
    let mut right = identity::<N>();
    let largest = left.iter().flatten().fold(0.0f64, |a, b| a.max(b.abs()));
    for column in 0..N {
        let pivot =
            (column..N).max_by(|a, b| left[*a][column].abs().total_cmp(&left[*b][column].abs()))?;
        left.swap(column, pivot);
        right.swap(column, pivot);
        let by = left[column][column];
        if !by.is_finite() || by.abs() <= LEAST_PIVOT * largest {
            return None;
        }
        for i in 0..N {
            left[column][i] /= by;
            right[column][i] /= by;
        }
        for row in (0..N).filter(|row| *row != column) {
            let factor = left[row][column];
            for i in 0..N {
                left[row][i] -= factor * left[column][i];
                right[row][i] -= factor * right[column][i];
            }
        }
    }
    Some(right)
}

/// Ones on the diagonal.
pub fn identity<const N: usize>() -> Matrix<N> {
    let mut matrix = [[0.0; N]; N];
    for (i, row) in matrix.iter_mut().enumerate() {
        row[i] = 1.0;
    }
    matrix
}

/// Matrix times vector.
pub fn apply<const N: usize>(matrix: &Matrix<N>, vector: &[f64; N]) -> [f64; N] {
    matrix.map(|row| dot(&row, vector))
}

/// Sum of products.
pub fn dot<const N: usize>(a: &[f64; N], b: &[f64; N]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `rows · middle · rowsᵀ`: how a covariance goes through a linear map.
pub fn carried<const N: usize, const M: usize>(
    rows: &[[f64; N]; M],
    middle: &Matrix<N>,
) -> Matrix<M> {
    let half = rows.map(|row| apply(middle, &row));
    rows.map(|row| {
        let mut line = [0.0; M];
        for (to, other) in line.iter_mut().zip(&half) {
            *to = dot(&row, other);
        }
        line
    })
}

/// Sum, element by element.
pub fn sum<const N: usize>(a: &Matrix<N>, b: &Matrix<N>) -> Matrix<N> {
    let mut sum = *a;
    for (row, other) in sum.iter_mut().zip(b) {
        for (to, from) in row.iter_mut().zip(other) {
            *to += from;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverse_undoes_its_matrix() {
        let matrix = [[0.0, 2.0, 1.0], [1.0, 1.0, 0.0], [3.0, 0.0, 5.0]];
        let inverse = inverse(&matrix).unwrap();
        for vector in [[1.0, 0.0, 0.0], [0.3, -7.0, 2.0]] {
            let back = apply(&inverse, &apply(&matrix, &vector));
            for (a, b) in back.iter().zip(vector) {
                assert!((a - b).abs() < 1e-12, "{back:?}");
            }
        }
    }

    #[test]
    fn what_has_no_inverse_gives_none() {
        assert_eq!(inverse(&[[1.0, 2.0], [2.0, 4.0]]), None);
        assert_eq!(inverse(&[[0.0; 3]; 3]), None);
        assert_eq!(inverse(&[[f64::NAN; 2]; 2]), None);
    }

    #[test]
    fn a_covariance_goes_through_a_map() {
        // Both of variance 1: their sum has 2, their difference too, and these are independent.
        let carried = carried(&[[1.0, 1.0], [1.0, -1.0]], &identity());
        assert_eq!(carried, [[2.0, 0.0], [0.0, 2.0]]);
    }
}
