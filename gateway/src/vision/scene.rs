//! Whether anything moves where it matters; looking costs a hundred times more than this.

use super::zone::{Bbox, Polygon};

/// Side of a cell, pixels of the detector's picture. Averaging over a cell takes away sensor
/// noise and most of what a codec adds.
pub const CELL: usize = 8;
/// A cell whose mean brightness differs by more has changed.
const STEP: i16 = 8;
/// One cell may flicker; this many have moved.
const MIN_CELLS: usize = 2;
/// A zone is on the ground, what stands in it reaches above: how much of the picture around a
/// zone belongs to it.
const MARGIN: f32 = 0.1;
const MARGIN_ABOVE: f32 = 0.35;

/// Mean brightness of each cell of a picture, row by row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thumbnail {
    columns: usize,
    rows: usize,
    cells: Vec<u8>,
}

impl Thumbnail {
    /// Of packed 24-bit pixels (`stride` bytes a row); green stands for brightness. Cells that
    /// do not fit whole are left out.
    pub fn of(pixels: &[u8], width: usize, height: usize, stride: usize) -> Self {
        let (columns, rows) = (width / CELL, height / CELL);
        let mut cells = Vec::with_capacity(columns * rows);
        let mut sums = vec![0u32; columns];
        for band in pixels.chunks(stride.max(1) * CELL).take(rows) {
            sums.fill(0);
            for line in band.chunks(stride.max(1)) {
                for (sum, cell) in sums.iter_mut().zip(line.chunks_exact(3 * CELL)) {
                    *sum += cell
                        .iter()
                        .skip(1)
                        .step_by(3)
                        .map(|green| u32::from(*green))
                        .sum::<u32>();
                }
            }
            cells.extend(sums.iter().map(|sum| (sum / (CELL * CELL) as u32) as u8));
        }
        Thumbnail {
            columns,
            rows,
            cells,
        }
    }
}

/// Remembers the scene as it was last looked at.
#[derive(Debug)]
pub struct Scene {
    regions: Vec<Bbox>,
    reference: Thumbnail,
    /// Which cells of `reference` lie in a region.
    watched: Vec<bool>,
}

impl Scene {
    /// A scene that matters in and around these zones.
    pub fn new<'z>(zones: impl Iterator<Item = &'z Polygon>) -> Self {
        let regions = zones.map(|zone| {
            let [left, top, right, bottom] = zone.bounds();
            [
                left - MARGIN,
                top - MARGIN_ABOVE,
                right + MARGIN,
                bottom + MARGIN,
            ]
        });
        Scene {
            regions: regions.collect(),
            reference: Thumbnail::default(),
            watched: Vec::new(),
        }
    }

    /// Whether the picture differs from the one last looked at; a first picture, or one of
    /// another shape, does.
    pub fn moved(&self, now: &Thumbnail) -> bool {
        if (now.columns, now.rows) != (self.reference.columns, self.reference.rows) {
            return true;
        }
        let changed = self
            .reference
            .cells
            .iter()
            .zip(&now.cells)
            .zip(&self.watched)
            .filter(|((was, is), watched)| {
                **watched && (i16::from(**was) - i16::from(**is)).abs() > STEP
            });
        changed.take(MIN_CELLS).count() == MIN_CELLS
    }

    /// This picture was looked at.
    pub fn looked(&mut self, at: Thumbnail) {
        if (at.columns, at.rows) != (self.reference.columns, self.reference.rows) {
            let middle = |i: usize, n: usize| (i as f32 + 0.5) / n as f32;
            self.watched = (0..at.cells.len())
                .map(|i| {
                    let x = middle(i % at.columns.max(1), at.columns);
                    let y = middle(i / at.columns.max(1), at.rows);
                    self.regions
                        .iter()
                        .any(|r| (r[0]..=r[2]).contains(&x) && (r[1]..=r[3]).contains(&y))
                })
                .collect();
        }
        self.reference = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const W: usize = 160;
    const H: usize = 96;

    /// A grey picture with a bright block of `size` pixels at (x, y) and ±`noise`.
    fn picture(x: usize, y: usize, size: usize, noise: u8, seed: u64) -> Thumbnail {
        let mut random = seed.wrapping_mul(2).wrapping_add(1);
        let mut pixels = vec![0u8; W * H * 3];
        for (i, pixel) in pixels.chunks_exact_mut(3).enumerate() {
            random = random
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let inside = (x..x + size).contains(&(i % W)) && (y..y + size).contains(&(i / W));
            let value = if inside { 200 } else { 100 };
            pixel.fill(value + (random >> 33) as u8 % (2 * noise + 1) - noise);
        }
        Thumbnail::of(&pixels, W, H, W * 3)
    }

    fn scene() -> Scene {
        let zone = Polygon::new(vec![[0.6, 0.6], [0.9, 0.6], [0.9, 0.9], [0.6, 0.9]]);
        let mut scene = Scene::new(std::iter::once(&zone));
        scene.looked(picture(0, 0, 0, 0, 0));
        scene
    }

    #[test]
    fn the_first_picture_and_a_new_shape_are_movement() {
        let zone = Polygon::new(vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]);
        let mut scene = Scene::new(std::iter::once(&zone));
        assert!(scene.moved(&picture(0, 0, 0, 0, 0)));
        scene.looked(picture(0, 0, 0, 0, 0));
        assert!(!scene.moved(&picture(0, 0, 0, 0, 0)));
        assert!(scene.moved(&Thumbnail::of(&[100; 64 * 64 * 3], 64, 64, 64 * 3)));
    }

    #[test]
    fn sensor_noise_is_not_movement() {
        let scene = scene();
        for seed in 1..50 {
            assert!(!scene.moved(&picture(0, 0, 0, 20, seed)));
        }
    }

    #[test]
    fn something_in_or_above_the_zone_is_movement_and_elsewhere_is_not() {
        let scene = scene();
        assert!(scene.moved(&picture(112, 64, 24, 0, 0)));
        assert!(
            scene.moved(&picture(112, 32, 24, 0, 0)),
            "a head above the zone"
        );
        assert!(!scene.moved(&picture(8, 64, 24, 0, 0)), "far to the left");
    }

    #[test]
    fn a_slow_change_is_noticed_against_the_last_look() {
        let mut scene = scene();
        let still = picture(112, 64, 24, 0, 0);
        scene.looked(still.clone());
        assert!(!scene.moved(&still));
        assert!(scene.moved(&picture(0, 0, 0, 0, 0)), "it has gone");
    }

    #[test]
    fn rows_may_be_padded() {
        let mut pixels = vec![0u8; (16 * 3 + 10) * 8];
        for line in pixels.chunks_mut(16 * 3 + 10) {
            line[..16 * 3].fill(50);
        }
        let thumbnail = Thumbnail::of(&pixels, 16, 8, 16 * 3 + 10);
        assert_eq!(thumbnail.cells, [50, 50]);
    }

    #[test]
    fn a_picture_without_size_is_nothing() {
        assert_eq!(Thumbnail::of(&[], 0, 0, 0), Thumbnail::default());
    }
}
