//! What explains an alert's picture: the zone, the box, what was seen, where, how long and when.

use jiff::{Timestamp, tz::TimeZone};

use super::{
    draw::{Canvas, Rgb, TextSize},
    ground::{Front, Measure, chart},
    zone::{Bbox, Polygon},
};

/// Longest text from configuration on a picture, letters.
const MAX_NAME: usize = 40;

const ZONE: Rgb = [255, 190, 40];
pub const BOX: Rgb = [235, 52, 52];
const WHITE: Rgb = [255, 255, 255];
const BAR: Rgb = [16, 18, 22];

/// What the picture shows and says.
#[derive(Clone, Copy, Debug)]
pub struct Caption<'a> {
    /// Camera id.
    pub camera: &'a str,
    /// Zone id.
    pub zone: &'a str,
    /// Where the zone is.
    pub polygon: &'a Polygon,
    /// The zone's line on the ground, and how far something stands out over it.
    pub front: Option<&'a Front>,
    pub measure: Option<&'a Measure>,
    /// What was seen.
    pub label: &'a str,
    /// How surely, 0 to 1.
    pub score: f32,
    /// Where.
    pub bbox: Bbox,
    /// For how long, seconds.
    pub dwell: f64,
    /// When, µs since 1970.
    pub at_us: i64,
}

/// Everything that explains the picture.
pub fn draw(canvas: &mut Canvas, caption: &Caption<'_>, is_cropped: bool, time_zone: &TimeZone) {
    let size = TextSize::for_width(canvas.width);
    let line = if canvas.width >= 1000 { 3.0 } else { 2.0 };
    canvas.fill_polygon(caption.polygon, ZONE, 0.14);
    canvas.stroke_polygon(caption.polygon, line + 2.0, BAR);
    canvas.stroke_polygon(caption.polygon, line, ZONE);

    if let Some(front) = caption.front {
        chart::overlay(canvas, front, caption.measure);
    }

    let (width, height) = (canvas.width as f32, canvas.height as f32);
    let [left, top, right, bottom] = caption.bbox;
    let rect = [left * width, top * height, right * width, bottom * height];
    let outer = [rect[0] - 1.0, rect[1] - 1.0, rect[2] + 1.0, rect[3] + 1.0];
    canvas.stroke_rect(outer, line + 2.0, BAR);
    canvas.stroke_rect(rect, line, BOX);
    let bar = bar_height(size);
    tag(
        canvas,
        rect,
        &format!("{} {:.2}", short(caption.label), caption.score),
        size,
        height - bar,
    );
    bottom_bar(canvas, caption, is_cropped, size, bar, time_zone);
}

fn bar_height(size: TextSize) -> f32 {
    size.height() as f32 * 1.5
}

/// Label above the box, or inside it where there is no room above.
fn tag(canvas: &mut Canvas, rect: [f32; 4], text: &str, size: TextSize, floor: f32) {
    let (high, wide) = (
        size.height() as f32 + 2.0,
        size.width_of(text) as f32 + 12.0,
    );
    let top = match rect[1] - high {
        above if above >= 0.0 => above,
        _ => rect[1].max(0.0),
    };
    let top = top.min(floor - high).max(0.0);
    let left = rect[0].min(canvas.width as f32 - wide).max(0.0);
    canvas.fill_rect([left, top, left + wide, top + high], BOX, 1.0);
    canvas.text(left + 6.0, top + 1.0, size, text, WHITE);
}

/// Who, where, how long on the left; when on the right.
fn bottom_bar(
    canvas: &mut Canvas,
    caption: &Caption<'_>,
    is_cropped: bool,
    size: TextSize,
    bar: f32,
    time_zone: &TimeZone,
) {
    let (width, height) = (canvas.width as f32, canvas.height as f32);
    canvas.fill_rect([0.0, height - bar, width, height], BAR, 0.78);
    canvas.fill_rect([0.0, height - bar, width, height - bar + 2.0], ZONE, 1.0);
    let text_top = height - bar + (bar - size.height() as f32) / 2.0 + 1.0;

    let when = Timestamp::from_microsecond(caption.at_us)
        .map(|t| {
            t.to_zoned(time_zone.clone())
                .strftime("%Y-%m-%d %H:%M:%S %:z")
                .to_string()
        })
        .unwrap_or_default();
    let when_left = width - size.width_of(&when) as f32 - 12.0;
    canvas.text(when_left, text_top, size, &when, WHITE);

    let place = format!("{} / {}", short(caption.camera), short(caption.zone));
    let place = match is_cropped {
        true => format!("{place} (cropped)"),
        false => place,
    };
    let mut stay = format!("{}  {} s", place, caption.dwell.floor());
    if let Some(measure) = caption.measure {
        // The built-in font has no ±.
        let over = format!("  {:.2} m +/- {:.2} over", measure.metres, measure.error);
        stay.push_str(&over);
    }
    // The time matters most, then the place.
    let room = (when_left - 24.0).max(0.0) as usize / size.advance().max(1);
    let left = if stay.chars().count() <= room {
        stay
    } else {
        place
    };
    let left: String = left.chars().take(room).collect();
    canvas.text(12.0, text_top, size, &left, ZONE);
}

fn short(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}
