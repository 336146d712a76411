//! The manifest's TOML and what makes it valid.

use std::path::PathBuf;

use serde::Deserialize;

use crate::{MAX_LABELS, MAX_SIDE, MAX_WEIGHTS};

/// What a model is; see `manifests/` for examples.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Short name, stands in every alert that the model leads to.
    pub id: String,
    /// How its outputs are to be read.
    pub family: Family,
    /// Weights, a plain file name in the manifest's folder.
    pub file: PathBuf,
    /// Size of the weights, bytes.
    pub bytes: u64,
    /// SHA-256 of the weights, 64 lower-case hex digits.
    pub sha256: String,
    /// SPDX expression of the weights' licence.
    pub licence: String,
    /// Where the weights come from, for people.
    pub origin: String,
    /// Least score of a detection, 0 to 1.
    pub threshold: f32,
    /// Two boxes of one class that overlap by more than this (IoU) are one thing. May be left
    /// out where the family gives one box a thing by itself; see [`Manifest::max_overlap`].
    pub nms_iou: Option<f32>,
    /// How a picture becomes the input tensor.
    pub input: Input,
    /// Class names in the order of the outputs.
    pub labels: Vec<String>,
}

/// Families of detectors whose outputs are understood.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// NanoDet: scores and box distributions, all strides concatenated.
    Nanodet,
    /// YOLOX: one output of boxes on a grid, objectness and scores.
    Yolox,
    /// PicoDet: as NanoDet, one pair of outputs a stride, with a fourth stride.
    Picodet,
    /// YOLOv5: one output of rows, each a box in input pixels, objectness and scores.
    Yolov5,
    /// YOLOv8 and YOLO11: one output of columns, each a box in input pixels and scores.
    #[serde(alias = "yolo11")]
    Yolov8,
    /// RT-DETR and D-FINE: queries with logits and boxes, or the export that gives labels,
    /// boxes and scores.
    #[serde(alias = "dfine")]
    Rtdetr,
}

/// The input tensor: f32, batch 1, channels first.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Pixels, a multiple of 32.
    pub width: u32,
    /// Pixels, a multiple of 32.
    pub height: u32,
    /// Order of the channels.
    pub colour: Colour,
    /// Taken off each channel (0 to 255), in the order of `colour`.
    pub mean: [f32; 3],
    /// Each channel is divided by this, in the order of `colour`.
    pub std: [f32; 3],
    /// How a picture of another shape is fitted in.
    pub fit: Fit,
    /// Grey value around a letterboxed picture.
    #[serde(default)]
    pub pad: u8,
}

/// Order of colour channels.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    Rgb,
    Bgr,
}

/// How a picture is fitted into the input.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Whole, in proportion, in the middle.
    Centre,
    /// Whole, in proportion, in the upper left corner.
    Corner,
    /// Stretched to fill.
    Stretch,
}

impl Manifest {
    /// Parses and checks; the error is one sentence, with TOML's line where it has one.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let manifest: Manifest = toml::from_str(text).map_err(|e| e.to_string())?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Overlap (IoU) beyond which two boxes of one class are one thing; 1 keeps all.
    pub fn max_overlap(&self) -> f32 {
        self.nms_iou.unwrap_or(1.0)
    }

    fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if self.id.is_empty() || self.id.len() > 64 || !self.id.chars().all(plain) {
            return Err(format!(
                "id {:?}: use 1 to 64 letters, digits, `_`, `-` or `.`",
                self.id
            ));
        }
        // A manifest may not reach outside its folder.
        if self.file.components().count() != 1 || self.file.file_name().is_none() {
            return Err(format!(
                "file {:?}: must be a plain file name beside the manifest",
                self.file
            ));
        }
        if self.bytes == 0 || self.bytes > MAX_WEIGHTS {
            return Err(format!("bytes {}: must be 1 to {MAX_WEIGHTS}", self.bytes));
        }
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if self.sha256.len() != 64 || !self.sha256.bytes().all(digit) {
            return Err(format!(
                "sha256 {:?}: must be 64 lower-case hex digits",
                self.sha256
            ));
        }
        if self.licence.trim().is_empty() {
            return Err("licence: must not be empty".into());
        }
        if self.nms_iou.is_none() && self.family != Family::Rtdetr {
            return Err("nms_iou: missing; two boxes that overlap by more are one thing".into());
        }
        for (name, value) in [
            ("threshold", self.threshold),
            ("nms_iou", self.max_overlap()),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("{name} {value}: must be 0 to 1"));
            }
        }
        for (name, side) in [("width", self.input.width), ("height", self.input.height)] {
            if side == 0 || side > MAX_SIDE || side % 32 != 0 {
                return Err(format!(
                    "input.{name} {side}: must be a multiple of 32 up to {MAX_SIDE}"
                ));
            }
        }
        if self.input.mean.iter().any(|v| !v.is_finite())
            || self.input.std.iter().any(|v| !v.is_finite() || *v <= 0.0)
        {
            return Err("input.mean and input.std: must be finite, std above 0".into());
        }
        if self.labels.is_empty() || self.labels.len() > MAX_LABELS {
            return Err(format!(
                "labels: {} given, must be 1 to {MAX_LABELS}",
                self.labels.len()
            ));
        }
        let mut seen = std::collections::BTreeSet::new();
        match self
            .labels
            .iter()
            .find(|l| l.is_empty() || !seen.insert(*l))
        {
            Some(label) => Err(format!("labels: {label:?} is empty or stands there twice")),
            None => Ok(()),
        }
    }
}
