//! The detector: a picture in, boxes out, on ONNX Runtime through `ort`.

use std::path::{Path, PathBuf};

use ort::{
    environment::Environment,
    session::{Session, builder::GraphOptimizationLevel},
    value::{Outlet, TensorElementType, TensorRef, ValueType},
};
use wangge_models::{Colour, Family, Fit, Manifest, Model};

use super::{
    decode::Packed,
    gfl::{self, Level, Raw},
    nms::{Detection, suppress},
    yolox,
};

/// Detections below the model's threshold but above this share of it may continue a track.
const DOUBTFUL: f32 = 0.5;

/// Why there is no detector.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// The library is not there or is none.
    #[error("{}: {reason}; set `onnxruntime` under [vision] to a libonnxruntime.so of version 1.23 or later", path.display())]
    Library { path: PathBuf, reason: String },
    /// ONNX Runtime refuses the weights.
    #[error("model {id}: {reason}")]
    Refused { id: String, reason: String },
    /// The network's inputs or outputs are not those of its family.
    #[error("model {id}: {what} is {found}, but its manifest needs {expected}")]
    Shape {
        id: String,
        what: String,
        found: String,
        expected: String,
    },
    /// A run failed.
    #[error("detector: {0}")]
    Run(String),
}

/// The library, loaded.
pub struct Runtime(Environment);

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

impl Runtime {
    /// Loads libonnxruntime. `ort` 2.0.0-rc.12 hung here on a missing file and later ones
    /// panic when first used without this; `init_from` looks for `OrtGetApiBase` and its
    /// version first and says what is wrong.
    ///
    /// # Errors
    /// A library that is missing, none, or too old.
    pub fn open(path: &Path) -> Result<Self, DetectError> {
        let fault = |reason: String| DetectError::Library {
            path: path.to_path_buf(),
            reason,
        };
        // dlopen would search the system for a bare name and ort beside the executable.
        let absolute = std::path::absolute(path).map_err(|e| fault(e.to_string()))?;
        std::fs::metadata(&absolute).map_err(|e| fault(e.to_string()))?;
        let builder = ort::init_from(&absolute).map_err(|e| fault(e.to_string()))?;
        let environment = builder
            .with_name("wangge")
            .with_telemetry(false)
            .build()
            .map_err(|e| fault(e.to_string()))?;
        Ok(Runtime(environment))
    }
}

/// Where a picture lies in the input, input pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// Size of the scaled picture.
    pub width: usize,
    pub height: usize,
    left: usize,
    top: usize,
}

impl Placement {
    /// Fits a picture of `width` × `height` pixels into a model's input.
    pub fn new(input: &wangge_models::Input, width: usize, height: usize) -> Self {
        let (full_width, full_height) = (input.width as usize, input.height as usize);
        let scale = (full_width as f64 / width.max(1) as f64)
            .min(full_height as f64 / height.max(1) as f64);
        let side =
            |length: usize, full: usize| ((length as f64 * scale).round() as usize).clamp(1, full);
        let (width, height) = match input.fit {
            Fit::Stretch => (full_width, full_height),
            Fit::Centre | Fit::Corner => (side(width, full_width), side(height, full_height)),
        };
        let (left, top) = match input.fit {
            Fit::Centre => ((full_width - width) / 2, (full_height - height) / 2),
            Fit::Corner | Fit::Stretch => (0, 0),
        };
        Placement {
            width,
            height,
            left,
            top,
        }
    }

    /// A box in input pixels as fractions of the picture, cut at its edges.
    fn fractions(&self, [left, top, right, bottom]: [f32; 4]) -> [f32; 4] {
        let x = |v: f32| ((v - self.left as f32) / self.width as f32).clamp(0.0, 1.0);
        let y = |v: f32| ((v - self.top as f32) / self.height as f32).clamp(0.0, 1.0);
        [x(left), y(top), x(right), y(bottom)]
    }
}

/// A network ready to look at pictures.
pub struct Detector {
    session: Session,
    /// What the network is.
    pub manifest: Manifest,
    tensor: Vec<f32>,
    /// Value of a channel's byte in the tensor.
    levels: [[f32; 256]; 3],
    /// Where the last picture lay; around it the tensor holds padding.
    placement: Option<Placement>,
}

impl std::fmt::Debug for Detector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detector")
            .field("model", &self.manifest.id)
            .finish_non_exhaustive()
    }
}

impl Detector {
    /// Builds the network from verified weights.
    ///
    /// # Errors
    /// Weights that ONNX Runtime refuses, or inputs and outputs that are not the family's.
    pub fn load(runtime: &Runtime, model: Model, threads: usize) -> Result<Self, DetectError> {
        let Model { manifest, weights } = model;
        let refused = |reason: String| DetectError::Refused {
            id: manifest.id.clone(),
            reason,
        };
        let build = || -> Result<Session, String> {
            let text = |e: &dyn std::fmt::Display| e.to_string();
            Session::builder(&runtime.0)
                .map_err(|e| text(&e))?
                .with_optimization_level(GraphOptimizationLevel::Level3)
                .map_err(|e| text(&e))?
                .with_intra_threads(threads.max(1))
                .map_err(|e| text(&e))?
                .with_inter_threads(1)
                .map_err(|e| text(&e))?
                // Threads that spin while no picture comes would take whole cores.
                .with_intra_op_spinning(false)
                .map_err(|e| text(&e))?
                .with_inter_op_spinning(false)
                .map_err(|e| text(&e))?
                .with_memory_pattern(false)
                .map_err(|e| text(&e))?
                .commit_from_memory(&weights)
                .map_err(|e| text(&e))
        };
        let session = build().map_err(refused)?;
        check_shapes(&manifest, session.inputs(), session.outputs())?;

        let mut levels = [[0.0; 256]; 3];
        let channels = manifest.input.mean.iter().zip(&manifest.input.std);
        for (table, (mean, std)) in levels.iter_mut().zip(channels) {
            for (byte, value) in table.iter_mut().enumerate() {
                *value = (byte as f32 - mean) / std;
            }
        }
        let size = 3 * manifest.input.width as usize * manifest.input.height as usize;
        Ok(Detector {
            session,
            manifest,
            tensor: vec![0.0; size],
            levels,
            placement: None,
        })
    }

    /// Byte order that [`Detector::look`] wants.
    pub fn packed(&self) -> Packed {
        match self.manifest.input.colour {
            Colour::Rgb => Packed::Rgb,
            Colour::Bgr => Packed::Bgr,
        }
    }

    /// Looks at packed pixels (`stride` bytes a row) that were scaled to `placement`; best detections first, down to half
    /// of the model's threshold.
    ///
    /// # Errors
    /// ONNX Runtime's.
    pub fn look(
        &mut self,
        pixels: &[u8],
        stride: usize,
        placement: Placement,
    ) -> Result<Vec<Detection>, DetectError> {
        self.fill(pixels, stride, placement);
        self.run(placement)
    }

    /// Packed bytes to normalised planes.
    fn fill(&mut self, pixels: &[u8], stride: usize, placement: Placement) {
        let (width, height) = (
            self.manifest.input.width as usize,
            self.manifest.input.height as usize,
        );
        let padding = self
            .levels
            .map(|table| table[usize::from(self.manifest.input.pad)]);
        let fresh = self.placement != Some(placement);
        let channels = self.tensor.chunks_exact_mut(width * height);
        for (channel, (plane, table)) in channels.zip(&self.levels).enumerate() {
            if fresh {
                plane.fill(padding.get(channel).copied().unwrap_or_default());
            }
            let rows = plane.chunks_exact_mut(width).skip(placement.top);
            let lines = pixels.chunks(stride.max(1)).take(placement.height);
            for (row, line) in rows.zip(lines) {
                let bytes = line.iter().skip(channel).step_by(3).take(placement.width);
                for (value, byte) in row.iter_mut().skip(placement.left).zip(bytes) {
                    *value = table[usize::from(*byte)];
                }
            }
        }
        self.placement = Some(placement);
    }

    fn run(&mut self, placement: Placement) -> Result<Vec<Detection>, DetectError> {
        let fault = |e: ort::Error| DetectError::Run(e.to_string());
        let input = &self.manifest.input;
        let shape = [1, 3, input.height as usize, input.width as usize];
        let tensor = TensorRef::from_array_view((shape, self.tensor.as_slice())).map_err(fault)?;
        let outputs = self.session.run(ort::inputs![tensor]).map_err(fault)?;
        let mut arrays: Vec<(&[i64], &[f32])> = Vec::with_capacity(outputs.len());
        for index in 0..outputs.len() {
            let (shape, data) = outputs[index].try_extract_tensor().map_err(fault)?;
            arrays.push((shape, data));
        }
        Ok(detections(&self.manifest, &arrays, placement))
    }
}

/// A network's outputs as detections; pure, for tests against the reference decoders.
fn detections(
    manifest: &Manifest,
    outputs: &[(&[i64], &[f32])],
    placement: Placement,
) -> Vec<Detection> {
    let threshold = manifest.threshold * DOUBTFUL;
    let classes = manifest.labels.len();
    let size = (manifest.input.width, manifest.input.height);
    let mut raw: Vec<Raw> = Vec::new();
    match manifest.family {
        Family::Yolox => {
            for (_, rows) in outputs {
                yolox::decode(rows, classes, size, threshold, &mut raw);
            }
        }
        Family::Nanodet | Family::Picodet => {
            for level in levels(manifest, outputs) {
                gfl::decode(level, classes, threshold, &mut raw);
            }
        }
    }
    let candidates = raw.into_iter().map(|(bbox, class, score)| Detection {
        class,
        score,
        bbox: placement.fractions(bbox),
    });
    suppress(candidates.collect(), manifest.nms_iou)
}

/// The strides of a GFL family, in the order of its outputs.
fn strides(family: Family) -> &'static [u32] {
    match family {
        Family::Picodet => &[8, 16, 32, 64],
        Family::Nanodet | Family::Yolox => &[8, 16, 32],
    }
}

fn grid(manifest: &Manifest, stride: u32) -> (usize, usize) {
    let points = |side: u32| side.div_ceil(stride) as usize;
    (points(manifest.input.width), points(manifest.input.height))
}

/// Cuts the outputs into strides: NanoDet gives all strides in one pair of outputs, PicoDet one
/// pair a stride, told apart by their number of points and of columns.
fn levels<'o>(manifest: &Manifest, outputs: &[(&[i64], &'o [f32])]) -> Vec<Level<'o>> {
    let classes = manifest.labels.len();
    let is_scores = |shape: &[i64]| shape.last() == Some(&(classes as i64));
    let mut passed = 0;
    let levels = strides(manifest.family).iter().filter_map(|&stride| {
        let (columns, rows) = grid(manifest, stride);
        let points = columns * rows;
        let pick = |scores: bool| {
            let mut fitting = outputs.iter().filter(|(s, _)| is_scores(s) == scores);
            match manifest.family {
                Family::Nanodet => {
                    let (shape, data) = fitting.next()?;
                    let width = usize::try_from(*shape.last()?).ok()?;
                    data.get(passed * width..(passed + points) * width)
                }
                _ => {
                    let (_, data) = fitting.find(|(s, _)| s.get(1) == Some(&(points as i64)))?;
                    Some(*data)
                }
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

/// The shapes that a family must have: (inputs, outputs); -1 is "a multiple of four".
fn expected_outputs(manifest: &Manifest) -> Vec<Vec<i64>> {
    let classes = manifest.labels.len() as i64;
    let points = |stride: &u32| {
        let (columns, rows) = grid(manifest, *stride);
        (columns * rows) as i64
    };
    let strides = strides(manifest.family);
    match manifest.family {
        Family::Yolox => vec![vec![1, strides.iter().map(points).sum(), 5 + classes]],
        Family::Nanodet => {
            let all = strides.iter().map(points).sum();
            vec![vec![1, all, classes], vec![1, all, -1]]
        }
        Family::Picodet => {
            let each = |last: i64| strides.iter().map(move |s| vec![1, points(s), last]);
            each(classes).chain(each(-1)).collect()
        }
    }
}

fn check_shapes(
    manifest: &Manifest,
    inputs: &[Outlet],
    outputs: &[Outlet],
) -> Result<(), DetectError> {
    let fault = |what: String, found: String, expected: String| DetectError::Shape {
        id: manifest.id.clone(),
        what,
        found,
        expected: format!(
            "{expected} (family {}, {} labels)",
            format!("{:?}", manifest.family).to_lowercase(),
            manifest.labels.len()
        ),
    };
    let size = [manifest.input.height, manifest.input.width].map(i64::from);
    let wanted = vec![vec![1, 3, size[0], size[1]]];
    for (side, outlets, wanted) in [
        ("input", inputs, wanted),
        ("output", outputs, expected_outputs(manifest)),
    ] {
        if outlets.len() != wanted.len() {
            let names: Vec<_> = outlets.iter().map(Outlet::name).collect();
            return Err(fault(
                format!("the number of {side}s"),
                format!("{} ({})", outlets.len(), names.join(", ")),
                wanted.len().to_string(),
            ));
        }
        let mut open = wanted.clone();
        for outlet in outlets {
            let found = shape(outlet.dtype());
            let fits = |w: &Vec<i64>| found.as_ref().is_some_and(|f| matches(w, f));
            match open.iter().position(fits) {
                Some(place) => drop(open.swap_remove(place)),
                None => {
                    let found = outlet.dtype().to_string();
                    let expected: Vec<_> = wanted.iter().map(|w| format!("f32{w:?}")).collect();
                    let what = format!("{side} `{}`", outlet.name());
                    return Err(fault(what, found, expected.join(" or ")));
                }
            }
        }
    }
    Ok(())
}

fn shape(kind: &ValueType) -> Option<Vec<i64>> {
    match kind {
        ValueType::Tensor {
            ty: TensorElementType::Float32,
            shape,
            ..
        } => Some(shape.to_vec()),
        _ => None,
    }
}

fn matches(wanted: &[i64], found: &[i64]) -> bool {
    wanted.len() == found.len()
        && wanted
            .iter()
            .zip(found)
            .all(|(wanted, found)| match wanted {
                -1 => *found > 0 && found % 4 == 0,
                _ => wanted == found,
            })
}

#[cfg(test)]
pub(super) mod tests;
