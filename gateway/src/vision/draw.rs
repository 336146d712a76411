//! Lines, areas and letters on a picture.

use std::ops::Range;

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use super::zone::Polygon;

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// A picture of packed RGB pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canvas {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// `width × height × 3` bytes.
    pub pixels: Vec<u8>,
}

/// Corners in pixels: left, top, right, bottom.
pub type Rect = [f32; 4];

impl Canvas {
    /// A black picture.
    pub fn new(width: usize, height: usize) -> Self {
        Canvas {
            width,
            height,
            pixels: vec![0; width * height * 3],
        }
    }

    /// The part from `left`, `top` to before `right`, `bottom`, pixels; what lies outside the
    /// picture is black.
    pub fn cut(&self, [left, top, right, bottom]: [usize; 4]) -> Canvas {
        let mut part = Canvas::new(right.saturating_sub(left), bottom.saturating_sub(top));
        let lines = part.pixels.chunks_exact_mut((part.width * 3).max(1));
        for (line, y) in lines.zip(top..) {
            let from = (y * self.width + left) * 3;
            let to = (y * self.width + right.min(self.width)) * 3;
            for (to, from) in line
                .iter_mut()
                .zip(self.pixels.get(from..to).unwrap_or(&[]))
            {
                *to = *from;
            }
        }
        part
    }

    /// A part of the picture, scaled down by averaging, packed; blue first if `bgr`.
    pub fn part(
        &self,
        columns: Range<usize>,
        rows: Range<usize>,
        width: usize,
        height: usize,
        bgr: bool,
    ) -> Vec<u8> {
        let mut part = Vec::with_capacity(width * height * 3);
        let source = |at: usize, range: &Range<usize>, count: usize| {
            let from = range.start + at * range.len() / count;
            let to = range.start + (at + 1) * range.len() / count;
            // Enlarged, a pixel is its nearest.
            from..to.max(from + 1)
        };
        for y in 0..height {
            for x in 0..width {
                let (mut sums, mut count) = ([0u32; 3], 0);
                for line in source(y, &rows, height) {
                    for column in source(x, &columns, width) {
                        let at = (line * self.width + column) * 3;
                        let pixel = self.pixels.get(at..at + 3).unwrap_or(&[0; 3]);
                        for (sum, value) in sums.iter_mut().zip(pixel) {
                            *sum += u32::from(*value);
                        }
                        count += 1;
                    }
                }
                let mut pixel = sums.map(|sum| (sum / count.max(1)) as u8);
                if bgr {
                    pixel.reverse();
                }
                part.extend(pixel);
            }
        }
        part
    }

    /// Mixes `colour` into a pixel; `opacity` 0 to 1. Outside the picture nothing happens.
    pub fn blend(&mut self, x: i64, y: i64, colour: Rgb, opacity: f32) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else {
            return;
        };
        if x >= self.width || y >= self.height {
            return;
        }
        let at = (y * self.width + x) * 3;
        if let Some(pixel) = self.pixels.get_mut(at..at + 3) {
            for (channel, new) in pixel.iter_mut().zip(colour) {
                let mixed = f32::from(*channel) * (1.0 - opacity) + f32::from(new) * opacity;
                *channel = mixed.round() as u8;
            }
        }
    }

    /// Fills an upright rectangle.
    pub fn fill_rect(&mut self, [left, top, right, bottom]: Rect, colour: Rgb, opacity: f32) {
        for y in span(top, bottom, self.height) {
            for x in span(left, right, self.width) {
                self.blend(x, y, colour, opacity);
            }
        }
    }

    /// Outlines an upright rectangle, the line inside it.
    pub fn stroke_rect(&mut self, [left, top, right, bottom]: Rect, width: f32, colour: Rgb) {
        let width = width.min((right - left) / 2.0).min((bottom - top) / 2.0);
        self.fill_rect([left, top, right, top + width], colour, 1.0);
        self.fill_rect([left, bottom - width, right, bottom], colour, 1.0);
        self.fill_rect(
            [left, top + width, left + width, bottom - width],
            colour,
            1.0,
        );
        self.fill_rect(
            [right - width, top + width, right, bottom - width],
            colour,
            1.0,
        );
    }

    /// Fills a polygon given in fractions of the picture.
    pub fn fill_polygon(&mut self, polygon: &Polygon, colour: Rgb, opacity: f32) {
        let (width, height) = (self.width as f32, self.height as f32);
        let [left, top, right, bottom] = polygon.bounds();
        for y in span(top * height, bottom * height, self.height) {
            for x in span(left * width, right * width, self.width) {
                let middle = [(x as f32 + 0.5) / width, (y as f32 + 0.5) / height];
                if polygon.contains(middle) {
                    self.blend(x, y, colour, opacity);
                }
            }
        }
    }

    /// Outlines a polygon given in fractions of the picture, smooth at the edges.
    pub fn stroke_polygon(&mut self, polygon: &Polygon, width: f32, colour: Rgb) {
        let points = polygon.points();
        let size = [self.width as f32, self.height as f32];
        let pixel = |p: &[f32; 2]| [p[0] * size[0], p[1] * size[1]];
        let ends = points.iter().cycle().skip(1);
        for (from, to) in points.iter().zip(ends) {
            self.line(pixel(from), pixel(to), width, colour);
        }
    }

    /// Draws a path through points given in fractions of the picture.
    pub fn stroke_path(&mut self, points: &[[f32; 2]], width: f32, colour: Rgb) {
        let size = [self.width as f32, self.height as f32];
        let pixel = |p: &[f32; 2]| [p[0] * size[0], p[1] * size[1]];
        for pair in points.windows(2) {
            if let [from, to] = pair {
                self.line(pixel(from), pixel(to), width, colour);
            }
        }
    }

    /// Hatches a polygon given in fractions of the picture.
    pub fn hatch_polygon(&mut self, polygon: &Polygon, colour: Rgb) {
        /// Distance and width of the lines, pixels.
        const HATCH: (i64, i64) = (12, 4);
        let (width, height) = (self.width as f32, self.height as f32);
        let [left, top, right, bottom] = polygon.bounds();
        for y in span(top * height, bottom * height, self.height) {
            for x in span(left * width, right * width, self.width) {
                let middle = [(x as f32 + 0.5) / width, (y as f32 + 0.5) / height];
                if polygon.contains(middle) {
                    let line = (x + y) % HATCH.0 < HATCH.1;
                    self.blend(x, y, colour, if line { 0.9 } else { 0.25 });
                }
            }
        }
    }

    /// A line with round ends, smooth at the edges.
    fn line(&mut self, from: [f32; 2], to: [f32; 2], width: f32, colour: Rgb) {
        let reach = width / 2.0 + 1.0;
        let [dx, dy] = [to[0] - from[0], to[1] - from[1]];
        let length2 = (dx * dx + dy * dy).max(f32::EPSILON);
        for y in span(
            from[1].min(to[1]) - reach,
            from[1].max(to[1]) + reach,
            self.height,
        ) {
            for x in span(
                from[0].min(to[0]) - reach,
                from[0].max(to[0]) + reach,
                self.width,
            ) {
                let (px, py) = (x as f32 + 0.5 - from[0], y as f32 + 0.5 - from[1]);
                let along = ((px * dx + py * dy) / length2).clamp(0.0, 1.0);
                let distance = (px - along * dx).hypot(py - along * dy);
                let opacity = (width / 2.0 + 0.5 - distance).clamp(0.0, 1.0);
                if opacity > 0.0 {
                    self.blend(x, y, colour, opacity);
                }
            }
        }
    }

    /// Writes text with its upper left corner at (x, y). The built-in font has printable ASCII;
    /// anything else becomes a small box.
    pub fn text(&mut self, x: f32, y: f32, size: TextSize, text: &str, colour: Rgb) {
        let (x, y) = (x.round() as i64, y.round() as i64);
        let advance = size.advance() as i64;
        for (index, letter) in text.chars().enumerate() {
            let left = x + index as i64 * advance;
            let Some(raster) = get_raster(letter, FontWeight::Bold, size.raster()) else {
                let top = y as f32 + size.height() as f32 * 0.25;
                let bottom = y as f32 + size.height() as f32 * 0.8;
                let right = (left + advance) as f32 - 2.0;
                self.stroke_rect([left as f32 + 1.0, top, right, bottom], 1.0, colour);
                continue;
            };
            for (row, line) in raster.rows().enumerate() {
                for (column, opacity) in line.iter().enumerate() {
                    if *opacity > 0 {
                        let opacity = f32::from(*opacity) / 255.0;
                        self.blend(left + column as i64, y + row as i64, colour, opacity);
                    }
                }
            }
        }
    }
}

/// Sizes that the built-in font has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextSize {
    Small,
    Middle,
    Large,
}

impl TextSize {
    /// The size that is readable on a picture `width` pixels wide.
    pub fn for_width(width: usize) -> Self {
        match width {
            0..600 => TextSize::Small,
            600..1000 => TextSize::Middle,
            _ => TextSize::Large,
        }
    }

    fn raster(self) -> RasterHeight {
        match self {
            TextSize::Small => RasterHeight::Size16,
            TextSize::Middle => RasterHeight::Size20,
            TextSize::Large => RasterHeight::Size24,
        }
    }

    /// Height of a line, pixels.
    pub fn height(self) -> usize {
        self.raster().val()
    }

    /// Width of a letter, pixels.
    pub fn advance(self) -> usize {
        get_raster_width(FontWeight::Bold, self.raster())
    }

    /// Width of a text, pixels.
    pub fn width_of(self, text: &str) -> usize {
        text.chars().count() * self.advance()
    }
}

/// Whole pixels from `from` to before `to`, within `0..limit`.
fn span(from: f32, to: f32, limit: usize) -> Range<i64> {
    let clamp = |v: f32| (v.round() as i64).clamp(0, limit as i64);
    clamp(from)..clamp(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: Rgb = [255; 3];

    fn pixel(canvas: &Canvas, x: usize, y: usize) -> u8 {
        canvas.pixels[(y * canvas.width + x) * 3]
    }

    #[test]
    fn a_polygon_fills_its_inside_only() {
        let mut canvas = Canvas::new(100, 50);
        let half = Polygon::new(vec![[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]]);
        canvas.fill_polygon(&half, WHITE, 1.0);
        let lit = canvas.pixels.iter().filter(|v| **v == 255).count();
        assert_eq!(lit, 50 * 50 * 3);
        assert_eq!((pixel(&canvas, 49, 25), pixel(&canvas, 50, 25)), (0, 255));
    }

    #[test]
    fn nothing_is_drawn_outside_and_nothing_panics() {
        let mut canvas = Canvas::new(20, 10);
        canvas.fill_rect([-50.0, -50.0, 500.0, 500.0], WHITE, 1.0);
        assert!(canvas.pixels.iter().all(|v| *v == 255));
        canvas.text(
            -30.0,
            -5.0,
            TextSize::Large,
            "outside, longer than the picture is wide",
            WHITE,
        );
        canvas.stroke_rect([15.0, 5.0, 3.0, 1.0], 3.0, WHITE);
        canvas.stroke_rect([f32::NAN, 0.0, f32::INFINITY, 5.0], 3.0, WHITE);
        let far = Polygon::new(vec![[-9.0, -9.0], [9.0, -3.0], [4.0, 9.0]]);
        canvas.fill_polygon(&far, WHITE, 0.5);
        canvas.stroke_polygon(&far, 3.0, WHITE);
        Canvas::new(0, 0).fill_polygon(&far, WHITE, 1.0);
    }

    #[test]
    fn letters_leave_ink_and_unknown_ones_a_box() {
        for text in ["person", "网格"] {
            let mut canvas = Canvas::new(100, 30);
            canvas.text(2.0, 2.0, TextSize::Middle, text, WHITE);
            let ink = canvas.pixels.iter().filter(|v| **v > 128).count();
            assert!(ink > 50, "{text}: {ink}");
        }
    }

    #[test]
    fn lines_cover_their_width() {
        let mut canvas = Canvas::new(40, 40);
        canvas.line([20.0, 5.0], [20.0, 35.0], 4.0, WHITE);
        let row: Vec<u8> = (0..40).map(|x| pixel(&canvas, x, 20)).collect();
        assert_eq!(row.iter().filter(|v| **v == 255).count(), 4);
    }
}
