//! How often a rule was right, by the platform's verdicts.

use serde::{Deserialize, Serialize};

/// Alerts by what was decided in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Accepted, filed, resolved or closed.
    pub right: u64,
    /// Rejected.
    pub wrong: u64,
}

/// z of a two-sided interval of 95 of 100.
const Z: f64 = 1.959_964;

impl Tally {
    /// Alerts that were judged.
    pub fn judged(self) -> u64 {
        self.right + self.wrong
    }

    /// Share that was right, 0 to 1; `None` before the first verdict.
    pub fn share(self) -> Option<f64> {
        let judged = self.judged();
        (judged > 0).then(|| self.right as f64 / judged as f64)
    }

    /// Wilson's score interval of that share, 95 of 100 (E. B. Wilson, JASA 22 (1927) 209): unlike
    /// the usual one it says something sensible of three verdicts, too.
    pub fn interval(self) -> Option<(f64, f64)> {
        let share = self.share()?;
        let n = self.judged() as f64;
        let scale = 1.0 + Z * Z / n;
        let middle = (share + Z * Z / (2.0 * n)) / scale;
        let half = Z / scale * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        Some(((middle - half).max(0.0), (middle + half).min(1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        // R: binom::binom.wilson(x, n), rounded.
        for (right, wrong, low, high) in [
            (0, 1, 0.0, 0.793),
            (1, 0, 0.207, 1.0),
            (3, 0, 0.439, 1.0),
            (8, 2, 0.490, 0.943),
            (90, 10, 0.826, 0.945),
        ] {
            let (l, h) = Tally { right, wrong }.interval().unwrap();
            assert!((l - low).abs() < 0.001, "{right}/{wrong}: {l}");
            assert!((h - high).abs() < 0.001, "{right}/{wrong}: {h}");
        }
        assert_eq!(Tally::default().interval(), None);
        assert_eq!(Tally::default().share(), None);
    }
}
