//! Who and what has to be hidden in a picture.

use crate::vision::{
    decode::Packed,
    detect::{Detector, Placement},
    draw::Canvas,
    nms::Detection,
    pixelate::Sensitive,
    zone::Bbox,
};

/// Labels of those whose plates and drivers are hidden in pictures.
const VEHICLES: &[&str] = &["car", "motorcycle", "bus", "train", "truck"];
pub(super) const PERSON: &str = "person";
/// Pictures wider than this many inputs of the network are looked at in parts too, so that
/// small people are found before a picture of them is stored.
const PARTS_FROM: f32 = 1.5;
/// Parts overlap by this share, so that a head on the border is whole in one of them.
const OVERLAP: f32 = 0.08;

/// What has to be hidden of a class.
fn hides(class: usize, labels: &[String]) -> Option<Sensitive> {
    match labels.get(class).map_or("", String::as_str) {
        PERSON => Some(Sensitive::Person),
        label if VEHICLES.contains(&label) => Some(Sensitive::Vehicle),
        _ => None,
    }
}

/// What has to be hidden of everything seen, sure or not.
pub(super) fn hidden<'d>(
    found: &'d [Detection],
    labels: &'d [String],
) -> impl Iterator<Item = (Sensitive, Bbox)> + 'd {
    found
        .iter()
        .filter_map(|d| Some((hides(d.class, labels)?, d.bbox)))
}

/// People and vehicles in a picture, small ones too.
pub(super) fn sensitive(
    canvas: &Canvas,
    detector: &mut Detector,
) -> Result<Vec<(Sensitive, Bbox)>, String> {
    let labels = detector.manifest.labels.clone();
    if !labels.iter().any(|label| label == PERSON) {
        return Err("the model does not know people".into());
    }
    let mut parts = vec![[0.0, 0.0, 1.0, 1.0]];
    if canvas.width as f32 > PARTS_FROM * detector.manifest.input.width as f32 {
        let (low, high) = (0.5 - OVERLAP, 0.5 + OVERLAP);
        parts.extend([
            [0.0, 0.0, high, high],
            [low, 0.0, 1.0, high],
            [0.0, low, high, 1.0],
            [low, low, 1.0, 1.0],
        ]);
    }
    let mut found = Vec::new();
    for [left, top, right, bottom] in parts {
        let pixel = |fraction: f32, side: usize| ((fraction * side as f32) as usize).min(side);
        let columns = pixel(left, canvas.width)..pixel(right, canvas.width);
        let rows = pixel(top, canvas.height)..pixel(bottom, canvas.height);
        let placement = Placement::new(&detector.manifest.input, columns.len(), rows.len());
        let order = detector.packed();
        let small = canvas.part(
            columns,
            rows,
            placement.width,
            placement.height,
            order == Packed::Bgr,
        );
        let seen = detector
            .look(&small, placement.width * 3, placement)
            .map_err(|e| e.to_string())?;
        for detection in seen {
            let Some(what) = hides(detection.class, &labels) else {
                continue;
            };
            let [l, t, r, b] = detection.bbox;
            let (width, height) = (right - left, bottom - top);
            let bbox = [
                left + l * width,
                top + t * height,
                left + r * width,
                top + b * height,
            ];
            found.push((what, bbox));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
