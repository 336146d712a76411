//! How far, and along which stretches, something stands out over a line.

use super::Point;

/// A stretch of the line that something stands out over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// From the line's beginning, metres.
    pub from: f64,
    pub to: f64,
    /// Half-width of its length's error, metres.
    pub error: f64,
}

/// How far something stands out.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// Beyond the limit, metres.
    pub metres: f64,
    /// Half-width of its error, metres; smaller than `metres`.
    pub error: f64,
    /// In order, without overlap.
    pub spans: Vec<Span>,
}

impl Measure {
    /// Metres along the line, and the half-width of their error.
    pub fn along(&self) -> (f64, f64) {
        let length = self.spans.iter().map(|s| s.to - s.from).sum();
        let error = self
            .spans
            .iter()
            .map(|s| s.error.powi(2))
            .sum::<f64>()
            .sqrt();
        (length, error)
    }

    /// Several things along one front: the greatest overrun, and every stretch once.
    pub fn join(&mut self, other: Measure) {
        if other.metres > self.metres {
            (self.metres, self.error) = (other.metres, other.error);
        }
        self.spans.extend(other.spans);
        self.spans.sort_by(|a, b| a.from.total_cmp(&b.from));
        let mut joined: Vec<Span> = Vec::with_capacity(self.spans.len());
        for span in self.spans.drain(..) {
            match joined.last_mut() {
                Some(last) if span.from <= last.to => {
                    if span.to > last.to {
                        last.to = span.to;
                        last.error = last.error.max(span.error);
                    }
                }
                _ => joined.push(span),
            }
        }
        self.spans = joined;
    }
}

/// What there is to say about a thing.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// It does not stand out.
    Clear,
    /// It seems to, but by less than the error.
    Unsure,
    /// It does.
    Over(Measure),
    /// It may, but the error (metres) at its place is larger than the tolerance.
    Blind { error: f64 },
}

/// Where a thing touches the ground as far as the camera sees it: from left to right along its
/// lower rim, and how exactly (standard deviation, pixels of the surveyed picture).
#[derive(Clone, Debug, PartialEq)]
pub struct Footprint {
    pub rim: Vec<Point>,
    pub deviation: Point,
}
