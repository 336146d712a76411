//! The detector: a picture in, boxes out, on ONNX Runtime through `ort`.

mod layout;
mod outputs;
mod rtdetr;
mod yolo;

use std::{
    path::{Path, PathBuf},
    sync::{
        LockResult, Mutex, MutexGuard, TryLockError,
        atomic::{AtomicUsize, Ordering},
    },
};

use ort::{
    environment::Environment,
    ep::CPU,
    session::{Session, SessionInputValue, builder::GraphOptimizationLevel},
    value::{TensorElementType, TensorRef},
};
use wangge_models::{Colour, Fit, Manifest, Model};

use super::{decode::Packed, nms::Detection};

use self::outputs::{Data, Output, detections};

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
    /// Its memory does not suffice for the network.
    #[error(
        "model {id}: loading it needs more memory than its {bytes} bytes of weights explain ({reason})"
    )]
    Memory {
        id: String,
        bytes: u64,
        reason: String,
    },
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

/// How ONNX Runtime says that memory is short: its arena, and C++.
const SHORT_OF_MEMORY: &[&str] = &["Failed to allocate memory", "bad_alloc"];

/// The networks that threads share: one a thread where there are many cameras. Measured with two
/// threads: two networks of one thread each look 1.06 times as often as one network of two
/// threads, and each look costs 7 % less processor time; a second NanoDet takes 38 MB.
#[derive(Debug)]
pub struct Detectors {
    networks: Vec<Mutex<Detector>>,
    manifest: Manifest,
    turn: AtomicUsize,
}

impl Detectors {
    /// Of at least one network, all of the same model.
    ///
    /// # Panics
    /// Without any.
    pub fn new(networks: Vec<Detector>) -> Self {
        Detectors {
            manifest: networks[0].manifest.clone(),
            networks: networks.into_iter().map(Mutex::new).collect(),
            turn: AtomicUsize::new(0),
        }
    }

    /// What the networks are.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How many can look at once.
    pub fn count(&self) -> usize {
        self.networks.len()
    }

    /// A network that nobody uses; waits for one where there are more threads than networks.
    ///
    /// # Errors
    /// A thread panicked with the network in its hands, which may be used all the same.
    pub fn lock(&self) -> LockResult<MutexGuard<'_, Detector>> {
        for network in &self.networks {
            match network.try_lock() {
                Ok(network) => return Ok(network),
                Err(TryLockError::Poisoned(poisoned)) => return Err(poisoned),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.networks.len();
        self.networks[turn].lock()
    }

    /// Whether nobody looks now.
    pub fn idle(&self) -> bool {
        let busy = |n: &Mutex<_>| matches!(n.try_lock(), Err(TryLockError::WouldBlock));
        !self.networks.iter().any(busy)
    }
}

impl Detector {
    /// Builds the network from verified weights, and lets it look once at an empty picture: what
    /// its file leaves open shows then, and what it costs.
    ///
    /// # Errors
    /// Weights that ONNX Runtime refuses, inputs and outputs that are not the family's, or more
    /// memory than there is.
    pub fn load(runtime: &Runtime, model: &Model) -> Result<Self, DetectError> {
        let Model { manifest, weights } = model;
        let refused = |reason: String| {
            let id = manifest.id.clone();
            match SHORT_OF_MEMORY.iter().find(|sign| reason.contains(**sign)) {
                Some(_) => DetectError::Memory {
                    id,
                    bytes: weights.len() as u64,
                    reason,
                },
                None => DetectError::Refused { id, reason },
            }
        };
        let build = || -> Result<Session, String> {
            let text = |e: &dyn std::fmt::Display| e.to_string();
            Session::builder(&runtime.0)
                .map_err(|e| text(&e))?
                .with_optimization_level(GraphOptimizationLevel::Level3)
                .map_err(|e| text(&e))?
                .with_intra_threads(1)
                .map_err(|e| text(&e))?
                .with_inter_threads(1)
                .map_err(|e| text(&e))?
                // Threads that spin while no picture comes would take whole cores.
                .with_intra_op_spinning(false)
                .map_err(|e| text(&e))?
                .with_inter_op_spinning(false)
                .map_err(|e| text(&e))?
                // What a look needs goes back after it, planned as one block: an arena keeps
                // 13 MB a network for ever, to make a look 4 % cheaper.
                .with_execution_providers([CPU::default().with_arena_allocator(false).build()])
                .map_err(|e| text(&e))?
                .commit_from_memory(weights)
                .map_err(|e| text(&e))
        };
        let session = build().map_err(refused)?;
        let declared =
            |outlets| -> Vec<_> { Iterator::map(outlets, layout::Tensor::declared).collect() };
        layout::check(
            manifest,
            &declared(session.inputs().iter()),
            &declared(session.outputs().iter()),
        )?;

        let mut levels = [[0.0; 256]; 3];
        let channels = manifest.input.mean.iter().zip(&manifest.input.std);
        for (table, (mean, std)) in levels.iter_mut().zip(channels) {
            for (byte, value) in table.iter_mut().enumerate() {
                *value = (byte as f32 - mean) / std;
            }
        }
        let size = 3 * manifest.input.width as usize * manifest.input.height as usize;
        let mut detector = Detector {
            session,
            manifest: manifest.clone(),
            tensor: vec![0.0; size],
            levels,
            placement: None,
        };
        detector.try_out(refused)?;
        Ok(detector)
    }

    fn try_out(&mut self, refused: impl Fn(String) -> DetectError) -> Result<(), DetectError> {
        let text = |e: ort::Error| refused(e.to_string());
        let sizes = sizes(&self.manifest);
        let inputs = inputs(&self.session, &self.manifest, &self.tensor, &sizes).map_err(text)?;
        let count = inputs.len();
        let outputs = self.session.run(inputs.as_slice()).map_err(text)?;
        let values: Vec<_> = outputs.iter().collect();
        let found: Vec<_> = values
            .iter()
            .map(|(name, value)| layout::Tensor::of(name, value.dtype()))
            .collect();
        layout::check_outputs(&self.manifest, count, &found)
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
        let sizes = sizes(&self.manifest);
        let inputs = inputs(&self.session, &self.manifest, &self.tensor, &sizes).map_err(fault)?;
        let outputs = self.session.run(inputs.as_slice()).map_err(fault)?;
        let values: Vec<_> = outputs.iter().collect();
        let mut arrays = Vec::with_capacity(values.len());
        for (name, value) in &values {
            let (sides, data) = match value.try_extract_tensor::<i64>() {
                Ok((sides, data)) => (sides, Data::I64(data)),
                Err(_) => {
                    let (sides, data) = value.try_extract_tensor::<f32>().map_err(fault)?;
                    (sides, Data::F32(data))
                }
            };
            arrays.push(Output { name, sides, data });
        }
        let threshold = self.manifest.threshold * DOUBTFUL;
        Ok(detections(&self.manifest, &arrays, placement, threshold))
    }
}

/// Width and height of the input, for networks that ask in what size boxes are wanted.
fn sizes(manifest: &Manifest) -> [i64; 2] {
    [manifest.input.width.into(), manifest.input.height.into()]
}

/// A run's inputs in the network's order.
fn inputs<'t>(
    session: &Session,
    manifest: &Manifest,
    tensor: &'t [f32],
    sizes: &'t [i64; 2],
) -> ort::Result<Vec<SessionInputValue<'t>>> {
    let (height, width) = (
        manifest.input.height as usize,
        manifest.input.width as usize,
    );
    let each = session.inputs().iter().map(|input| {
        Ok(match input.dtype().tensor_type() {
            Some(TensorElementType::Int64) => {
                TensorRef::from_array_view(([1, 2], sizes.as_slice()))?.into()
            }
            _ => TensorRef::from_array_view(([1, 3, height, width], tensor))?.into(),
        })
    });
    each.collect()
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
pub(super) mod tests;
