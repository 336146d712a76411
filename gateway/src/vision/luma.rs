//! A small picture of brightness: all that the scene model and the camera's health look at.

/// Width that is aimed at, pixels: a bag of 30 cm in a street 25 m wide is two pixels then, and
/// a look costs some ten thousand operations.
pub const WIDTH: usize = 160;

/// Brightness, row by row without padding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Luma {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
}

impl Luma {
    /// Of packed 24-bit pixels (`stride` bytes a row), averaged over square cells so that the
    /// width comes close to [`WIDTH`]. Cells that do not fit whole are left out.
    pub fn of(packed: &[u8], width: usize, height: usize, stride: usize) -> Self {
        let cell = ((width + WIDTH / 2) / WIDTH).max(1);
        let (columns, rows) = (width / cell, height / cell);
        let mut pixels = Vec::with_capacity(columns * rows);
        let mut sums = vec![0u32; columns];
        // Green counts twice, as the eye has it; the order of red and blue does not matter.
        let weight = (4 * cell * cell) as u32;
        for band in packed.chunks(stride.max(1) * cell).take(rows) {
            sums.fill(0);
            for line in band.chunks(stride.max(1)) {
                for (sum, cell) in sums.iter_mut().zip(line.chunks_exact(3 * cell)) {
                    for pixel in cell.as_chunks::<3>().0 {
                        let [a, green, b] = pixel.map(u32::from);
                        *sum += a + 2 * green + b;
                    }
                }
            }
            pixels.extend(sums.iter().map(|sum| (sum / weight) as u8));
        }
        Luma {
            width: columns,
            height: pixels.len().checked_div(columns).unwrap_or_default(),
            pixels,
        }
    }

    /// Whether two pictures have the same shape.
    pub fn like(&self, other: &Luma) -> bool {
        (self.width, self.height) == (other.width, other.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_averaged_and_rows_may_be_padded() {
        let (width, height, stride) = (320, 4, 320 * 3 + 7);
        let mut packed = vec![0u8; stride * height];
        for line in packed.chunks_mut(stride) {
            line[..3 * 160].fill(40);
            line[3 * 160..3 * 320].fill(200);
        }
        let luma = Luma::of(&packed, width, height, stride);
        assert_eq!((luma.width, luma.height), (160, 2));
        assert_eq!(luma.pixels[..80], [40; 80]);
        assert_eq!(luma.pixels[80..160], [200; 80]);
    }

    #[test]
    fn nothing_is_nothing() {
        for (width, height) in [(0, 0), (0, 5), (5, 0)] {
            let luma = Luma::of(&[], width, height, 0);
            assert_eq!(luma.width * luma.height, luma.pixels.len());
        }
        // A picture shorter than it claims to be.
        let luma = Luma::of(&[7; 3 * 160], 160, 90, 3 * 160);
        assert_eq!((luma.height, luma.pixels.len()), (1, 160));
    }
}
