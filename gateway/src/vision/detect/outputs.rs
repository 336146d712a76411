//! A network's outputs as detections: pure, for tests against reference decoders.

use wangge_models::{Family, Manifest};

use super::{Placement, layout, rtdetr, yolo};
use crate::vision::{
    gfl::{self, Level, Raw},
    nms::{Detection, suppress},
    yolox,
};

/// One output: its name, shape and elements.
#[derive(Clone, Copy, Debug)]
pub struct Output<'o> {
    pub name: &'o str,
    pub sides: &'o [i64],
    pub data: Data<'o>,
}

/// Elements of an output.
#[derive(Clone, Copy, Debug)]
pub enum Data<'o> {
    F32(&'o [f32]),
    I64(&'o [i64]),
}

impl<'o> Output<'o> {
    fn floats(&self) -> Option<&'o [f32]> {
        match self.data {
            Data::F32(data) => Some(data),
            Data::I64(_) => None,
        }
    }
}

/// What the outputs, whose shapes [`layout::check`] has passed, say is in the picture; best
/// first, down to `threshold`.
pub fn detections(
    manifest: &Manifest,
    outputs: &[Output<'_>],
    placement: Placement,
    threshold: f32,
) -> Vec<Detection> {
    let classes = manifest.labels.len();
    let (width, height) = (manifest.input.width, manifest.input.height);
    let mut raw: Vec<Raw> = Vec::new();
    match manifest.family {
        Family::Yolox => {
            for rows in outputs.iter().filter_map(Output::floats) {
                yolox::decode(rows, classes, (width, height), threshold, &mut raw);
            }
        }
        Family::Yolov5 => {
            for rows in outputs.iter().filter_map(Output::floats) {
                yolo::rows(rows, classes, threshold, &mut raw);
            }
        }
        Family::Yolov8 => {
            for channels in outputs.iter().filter_map(Output::floats) {
                yolo::columns(channels, classes, threshold, &mut raw);
            }
        }
        Family::Nanodet | Family::Picodet => {
            for level in levels(manifest, outputs) {
                gfl::decode(level, classes, threshold, &mut raw);
            }
        }
        Family::Rtdetr => {
            let size = (width as f32, height as f32);
            queries(outputs, size, classes, threshold, &mut raw);
        }
    }
    let candidates = raw.into_iter().map(|(bbox, class, score)| Detection {
        class,
        score,
        bbox: placement.fractions(bbox),
    });
    suppress(candidates.collect(), manifest.max_overlap())
}

/// Cuts the outputs into strides: NanoDet gives all strides in one pair of outputs, PicoDet one
/// pair a stride, told apart by their number of points and of columns.
fn levels<'o>(manifest: &Manifest, outputs: &[Output<'o>]) -> Vec<Level<'o>> {
    let classes = manifest.labels.len();
    let is_scores = |output: &Output<'_>| output.sides.last() == Some(&(classes as i64));
    let mut passed = 0;
    let strides = layout::strides(manifest.family);
    let levels = strides.iter().filter_map(|&stride| {
        let (columns, rows) = layout::grid(manifest, stride);
        let points = columns * rows;
        let pick = |scores: bool| {
            let mut fitting = outputs.iter().filter(|o| is_scores(o) == scores);
            match manifest.family {
                Family::Nanodet => {
                    let output = fitting.next()?;
                    let width = usize::try_from(*output.sides.last()?).ok()?;
                    output
                        .floats()?
                        .get(passed * width..(passed + points) * width)
                }
                _ => fitting
                    .find(|o| o.sides.get(1) == Some(&(points as i64)))?
                    .floats(),
            }
        };
        let (scores, distances) = (pick(true)?, pick(false)?);
        passed += points;
        Some(Level {
            scores,
            distances,
            stride,
            columns,
        })
    });
    levels.collect()
}

fn queries(
    outputs: &[Output<'_>],
    size: (f32, f32),
    classes: usize,
    threshold: f32,
    raw: &mut Vec<Raw>,
) {
    // With four classes logits have the shape of boxes, and only the name tells.
    let of_four = || outputs.iter().filter(|o| o.sides.get(2) == Some(&4));
    let named = of_four().find(|o| o.name.contains("box"));
    let Some(boxes) = named.or_else(|| of_four().next()) else {
        return;
    };
    let Some(corners) = boxes.floats() else {
        return;
    };
    let labels = outputs.iter().find_map(|o| match o.data {
        Data::I64(labels) => Some(labels),
        Data::F32(_) => None,
    });
    let others = outputs.iter().filter(|o| o.name != boxes.name);
    let Some(scores) = others.filter_map(Output::floats).next() else {
        return;
    };
    match labels {
        Some(labels) => rtdetr::deployed(labels, corners, scores, classes, threshold, raw),
        None => rtdetr::queries(scores, corners, size, classes, threshold, raw),
    }
}
