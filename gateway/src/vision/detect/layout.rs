//! What goes into a family's network and what comes out: its shapes, and whether a network has
//! them.
//!
//! Checked twice: what the file declares, before anything runs, and what one run on an empty
//! picture gives, since a file may leave dimensions open. The decoders then rely on it.

use ort::value::{Outlet, TensorElementType, ValueType};
use wangge_models::{Family, Manifest};

use super::{DetectError, yolo};

/// One dimension of a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// Pictures in one run: one. A file may leave it open, since only one is ever given.
    Batch,
    Is(i64),
    OneOf(Vec<i64>),
    /// Four sides of a box, each as a distribution over some bins.
    TimesFour,
    /// Queries: as many as the network has.
    Any,
}

impl Side {
    /// `found` is -1 where a file leaves the dimension open.
    fn fits(&self, found: i64) -> bool {
        match self {
            Side::Batch => found == 1 || found == -1,
            Side::Is(wanted) => found == *wanted,
            Side::OneOf(wanted) => wanted.contains(&found),
            Side::TimesFour => found > 0 && found % 4 == 0,
            Side::Any => found > 0 || found == -1,
        }
    }
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Side::Batch => write!(f, "1"),
            Side::Is(wanted) => write!(f, "{wanted}"),
            Side::OneOf(wanted) => {
                let all: Vec<_> = wanted.iter().map(i64::to_string).collect();
                write!(f, "{}", all.join("|"))
            }
            Side::TimesFour => write!(f, "4×bins"),
            Side::Any => write!(f, "queries"),
        }
    }
}

/// A tensor that a network must take or give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    element: TensorElementType,
    sides: Vec<Side>,
}

impl Port {
    fn floats(sides: impl Into<Vec<Side>>) -> Self {
        Port {
            element: TensorElementType::Float32,
            sides: sides.into(),
        }
    }

    fn integers(sides: impl Into<Vec<Side>>) -> Self {
        Port {
            element: TensorElementType::Int64,
            sides: sides.into(),
        }
    }

    fn fits(&self, found: &Tensor<'_>) -> bool {
        found.element == Some(self.element)
            && found.sides.len() == self.sides.len()
            && self.sides.iter().zip(found.sides).all(|(w, f)| w.fits(*f))
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sides: Vec<_> = self.sides.iter().map(Side::to_string).collect();
        write!(f, "{}[{}]", self.element, sides.join(", "))
    }
}

/// A tensor as it was found.
#[derive(Clone, Debug)]
pub struct Tensor<'s> {
    name: &'s str,
    /// `None`: it is no tensor.
    element: Option<TensorElementType>,
    sides: &'s [i64],
}

impl<'s> Tensor<'s> {
    /// As a file declares it.
    pub fn declared(outlet: &'s Outlet) -> Self {
        Self::of(outlet.name(), outlet.dtype())
    }

    /// As a run gave it.
    pub fn of(name: &'s str, kind: &'s ValueType) -> Self {
        let (element, sides) = match kind {
            ValueType::Tensor { ty, shape, .. } => (Some(*ty), &shape[..]),
            _ => (None, &[][..]),
        };
        Tensor {
            name,
            element,
            sides,
        }
    }

    fn describe(&self) -> String {
        let Some(element) = self.element else {
            return "no tensor".into();
        };
        let side = |side: &i64| match side {
            -1 => "open".to_owned(),
            side => side.to_string(),
        };
        let sides: Vec<_> = self.sides.iter().map(side).collect();
        format!("{element}[{}]", sides.join(", "))
    }
}

/// The strides of a GFL family, in the order of its outputs.
pub fn strides(family: Family) -> &'static [u32] {
    match family {
        Family::Picodet => &[8, 16, 32, 64],
        _ => &[8, 16, 32],
    }
}

/// Columns and rows of grid points at a stride.
pub fn grid(manifest: &Manifest, stride: u32) -> (usize, usize) {
    let points = |side: u32| side.div_ceil(stride) as usize;
    (points(manifest.input.width), points(manifest.input.height))
}

fn points(manifest: &Manifest, strides: &[u32]) -> i64 {
    let each = strides.iter().map(|stride| {
        let (columns, rows) = grid(manifest, *stride);
        (columns * rows) as i64
    });
    each.sum()
}

/// The inputs and outputs that a family must have; RT-DETR has two forms, told apart by the
/// number of inputs.
fn wanted(manifest: &Manifest, inputs: usize) -> (Vec<Port>, Vec<Port>) {
    use Side::{Any, Batch, Is, OneOf, TimesFour};
    let classes = manifest.labels.len() as i64;
    let (width, height) = (manifest.input.width.into(), manifest.input.height.into());
    let picture = Port::floats([Batch, Is(3), Is(height), Is(width)]);
    let all = |times: i64, strides: &[u32]| times * points(manifest, strides);
    let of_variants = |times: i64| OneOf(yolo::STRIDES.map(|s| all(times, s)).to_vec());
    let strides = strides(manifest.family);
    let outputs = match manifest.family {
        Family::Yolox => vec![Port::floats([Batch, Is(all(1, strides)), Is(5 + classes)])],
        Family::Nanodet => vec![
            Port::floats([Batch, Is(all(1, strides)), Is(classes)]),
            Port::floats([Batch, Is(all(1, strides)), TimesFour]),
        ],
        Family::Picodet => {
            let each = |last: Side| {
                strides
                    .iter()
                    .map(move |s| Port::floats([Batch, Is(all(1, &[*s])), last.clone()]))
            };
            each(Is(classes)).chain(each(TimesFour)).collect()
        }
        Family::Yolov5 => vec![Port::floats([
            Batch,
            of_variants(yolo::ANCHORS),
            Is(5 + classes),
        ])],
        Family::Yolov8 => vec![Port::floats([Batch, Is(4 + classes), of_variants(1)])],
        Family::Rtdetr if inputs == 2 => {
            let sizes = Port::integers([Batch, Is(2)]);
            let outputs = vec![
                Port::integers([Batch, Any]),
                Port::floats([Batch, Any, Is(4)]),
                Port::floats([Batch, Any]),
            ];
            return (vec![picture, sizes], outputs);
        }
        Family::Rtdetr => vec![
            Port::floats([Batch, Any, Is(classes)]),
            Port::floats([Batch, Any, Is(4)]),
        ],
    };
    (vec![picture], outputs)
}

/// Whether a network takes and gives what its family's manifest needs.
///
/// # Errors
/// What differs, with both shapes.
pub fn check(
    manifest: &Manifest,
    inputs: &[Tensor<'_>],
    outputs: &[Tensor<'_>],
) -> Result<(), DetectError> {
    let (expected, _) = wanted(manifest, inputs.len());
    check_side(manifest, "input", inputs, &expected)?;
    check_outputs(manifest, inputs.len(), outputs)
}

/// As [`check`], of a run's outputs.
pub fn check_outputs(
    manifest: &Manifest,
    inputs: usize,
    outputs: &[Tensor<'_>],
) -> Result<(), DetectError> {
    let (_, expected) = wanted(manifest, inputs);
    check_side(manifest, "output", outputs, &expected)
}

fn check_side(
    manifest: &Manifest,
    side: &str,
    found: &[Tensor<'_>],
    wanted: &[Port],
) -> Result<(), DetectError> {
    let fault = |what: String, is: String, expected: String| DetectError::Shape {
        id: manifest.id.clone(),
        what,
        found: is,
        expected: format!(
            "{expected} (family {}, {} labels){}",
            format!("{:?}", manifest.family).to_lowercase(),
            manifest.labels.len(),
            advice(manifest.family, side, found)
        ),
    };
    if found.len() != wanted.len() {
        let names: Vec<_> = found.iter().map(|t| t.name).collect();
        return Err(fault(
            format!("the number of {side}s"),
            format!("{} ({})", found.len(), names.join(", ")),
            wanted.len().to_string(),
        ));
    }
    let mut open: Vec<&Port> = wanted.iter().collect();
    for tensor in found {
        // Scores of 80 classes would do as distances of 20 bins: what is exact goes first.
        let exact = |port: &&Port| port.fits(tensor) && !port.sides.contains(&Side::TimesFour);
        let place = open.iter().position(exact);
        match place.or_else(|| open.iter().position(|port| port.fits(tensor))) {
            Some(place) => drop(open.remove(place)),
            None => {
                let expected: Vec<_> = wanted.iter().map(Port::to_string).collect();
                return Err(fault(
                    format!("{side} `{}`", tensor.name),
                    tensor.describe(),
                    expected.join(" or "),
                ));
            }
        }
    }
    Ok(())
}

/// What to do about mistakes that are often made at export.
fn advice(family: Family, side: &str, found: &[Tensor<'_>]) -> &'static str {
    let last = |n| found.iter().any(|t| t.sides.len() == 3 && t.sides[2] == n);
    let yolo = matches!(family, Family::Yolov5 | Family::Yolov8);
    let half = Some(TensorElementType::Float16);
    if found.iter().any(|t| t.element == half) {
        "; it is in half precision: export it in single precision (`half=False`)"
    } else if side == "input" {
        if found.iter().any(|t| t.sides.contains(&-1)) {
            "; export it with fixed height and width"
        } else if found.iter().any(|t| t.sides.first() > Some(&1)) {
            "; export it for one picture at a time (`batch=1`)"
        } else {
            ""
        }
    } else if family == Family::Rtdetr && found.len() == 1 {
        "; Ultralytics exports its RT-DETR with one output, which is not understood: take the export of RT-DETR's or D-FINE's authors"
    } else if !yolo {
        ""
    } else if found.len() == 1 && last(6) {
        "; this looks like an export that suppresses by itself (`nms=True`, or YOLOv10), which is not understood: export it with `nms=False`"
    } else if found.len() == 2 && found.iter().any(|t| t.sides.len() == 4) {
        "; this looks like a network for masks (segmentation): take one that was trained for boxes"
    } else if family == Family::Yolov8
        && found
            .iter()
            .any(|t| matches!(t.sides, [_, boxes, sides] if boxes > sides))
    {
        "; its boxes stand before their figures, as in no export of Ultralytics: transpose it"
    } else if found.len() > 1 {
        "; export it for inference, with all grids in one output"
    } else {
        "; either `labels` are not as many as it was trained with, or it was trained for something else than boxes (pose, turned boxes, whole pictures)"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(family: &str, labels: usize, side: u32) -> Manifest {
        let names: Vec<_> = (0..labels).map(|n| format!("\"{n}\"")).collect();
        Manifest::parse(&format!(
            "id = \"m\"\nfamily = \"{family}\"\nfile = \"m\"\nbytes = 1\nsha256 = \"{}\"\nlicence = \"x\"\norigin = \"x\"\nthreshold = 0.4\nnms_iou = 0.6\nlabels = [{}]\n[input]\nwidth = {side}\nheight = {side}\ncolour = \"rgb\"\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\nfit = \"stretch\"\n",
            "0".repeat(64),
            names.join(", ")
        ))
        .unwrap()
    }

    fn floats<'s>(name: &'s str, sides: &'s [i64]) -> Tensor<'s> {
        Tensor {
            name,
            element: Some(TensorElementType::Float32),
            sides,
        }
    }

    fn integers<'s>(name: &'s str, sides: &'s [i64]) -> Tensor<'s> {
        Tensor {
            element: Some(TensorElementType::Int64),
            ..floats(name, sides)
        }
    }

    fn refused(manifest: &Manifest, inputs: &[Tensor<'_>], outputs: &[Tensor<'_>]) -> String {
        check(manifest, inputs, outputs).unwrap_err().to_string()
    }

    const PICTURE: &[i64] = &[1, 3, 640, 640];

    #[test]
    fn shapes_of_published_exports_pass() {
        let image = || vec![floats("images", PICTURE)];
        for (family, outputs) in [
            ("yolov5", vec![floats("output0", &[1, 25_200, 85])]),
            ("yolov8", vec![floats("output0", &[1, 84, 8400])]),
            ("yolo11", vec![floats("output0", &[1, 84, 8500])]),
            ("yolox", vec![floats("output", &[1, 8400, 85])]),
            (
                "rtdetr",
                vec![
                    floats("logits", &[1, 300, 80]),
                    floats("pred_boxes", &[-1, 300, 4]),
                ],
            ),
        ] {
            check(&manifest(family, 80, 640), &image(), &outputs).unwrap();
        }
        let inputs = [
            floats("images", &[-1, 3, 640, 640]),
            integers("orig_target_sizes", &[-1, 2]),
        ];
        let outputs = [
            integers("labels", &[-1, 300]),
            floats("boxes", &[-1, 300, 4]),
            floats("scores", &[-1, 300]),
        ];
        check(&manifest("dfine", 80, 640), &inputs, &outputs).unwrap();
    }

    #[test]
    fn outputs_of_picodet_may_come_in_any_order() {
        let points = [2704, 676, 169, 49];
        let scores = points.map(|n| [1, n, 80]);
        let distances = points.map(|n| [1, n, 32]);
        let image = [floats("image", &[1, 3, 416, 416])];
        let picodet = manifest("picodet", 80, 416);
        let all: Vec<_> = scores
            .iter()
            .chain(&distances)
            .map(|s| floats("o", s))
            .collect();
        for turn in 0..all.len() {
            let mut outputs = all.clone();
            outputs.rotate_left(turn);
            check(&picodet, &image, &outputs).unwrap();
        }
        let mut twice = all;
        twice[0] = floats("o", &scores[1]);
        refused(&picodet, &image, &twice);
    }

    #[test]
    fn exports_that_suppress_by_themselves_are_refused_with_what_to_do() {
        let image = [floats("images", PICTURE)];
        // One label: five columns and one, or four and two, would read as boxes and scores.
        for (family, labels) in [
            ("yolov5", 1),
            ("yolov8", 2),
            ("yolov8", 80),
            ("yolov8", 296),
        ] {
            let outputs = [floats("output0", &[1, 300, 6])];
            let text = refused(&manifest(family, labels, 640), &image, &outputs);
            assert!(
                text.contains("f32[1, 300, 6]") && text.contains("nms=False"),
                "{text}"
            );
        }
    }

    #[test]
    fn networks_for_something_else_are_refused_with_what_they_look_like() {
        let image = [floats("images", PICTURE)];
        let yolov8 = manifest("yolov8", 80, 640);
        let masks = [
            floats("output0", &[1, 116, 8400]),
            floats("output1", &[1, 32, 160, 160]),
        ];
        let pose = [floats("output0", &[1, 56, 8400])];
        let whole = [floats("output0", &[1, 1000])];
        for (outputs, said) in [
            (&masks[..], "segmentation"),
            (&pose[..], "`labels` are not as many"),
            (&whole[..], "pose, turned boxes"),
        ] {
            let text = refused(&yolov8, &image, outputs);
            assert!(text.contains(said), "{text}");
        }
        let one = [floats("output0", &[1, 300, 84])];
        let text = refused(&manifest("rtdetr", 80, 640), &image, &one);
        assert!(text.contains("Ultralytics"), "{text}");
        let two = [floats("images", &[2, 3, 640, 640])];
        let text = refused(&yolov8, &two, &[floats("output0", &[2, 84, 8400])]);
        assert!(text.contains("batch=1"), "{text}");
    }

    #[test]
    fn exports_in_half_precision_are_refused_with_what_to_do() {
        let half = Tensor {
            element: Some(TensorElementType::Float16),
            ..floats("images", PICTURE)
        };
        let outputs = [floats("output0", &[1, 84, 8400])];
        let text = refused(&manifest("yolov8", 80, 640), &[half], &outputs);
        assert!(
            text.contains("f16[1, 3, 640, 640]") && text.contains("half=False"),
            "{text}"
        );
    }

    #[test]
    fn transposed_open_and_training_exports_are_refused() {
        let image = [floats("images", PICTURE)];
        let yolov8 = manifest("yolov8", 80, 640);
        let text = refused(&yolov8, &image, &[floats("output0", &[1, 8400, 84])]);
        assert!(
            text.contains("f32[1, 8400, 84]") && text.contains("f32[1, 84, 8400|8500|34000]"),
            "{text}"
        );
        let open = [floats("images", &[1, 3, -1, -1])];
        let text = refused(&yolov8, &open, &[floats("output0", &[1, 84, -1])]);
        assert!(
            text.contains("open") && text.contains("fixed height"),
            "{text}"
        );
        let grids: Vec<_> = [80, 40, 20]
            .iter()
            .map(|_| floats("g", &[1, 3, 80, 80, 85]))
            .collect();
        let text = refused(&manifest("yolov5", 80, 640), &image, &grids);
        assert!(
            text.contains("the number of outputs is 3") && text.contains("one output"),
            "{text}"
        );
        let text = refused(&yolov8, &image, &[integers("output0", &[1, 84, 8400])]);
        assert!(text.contains("i64[1, 84, 8400]"), "{text}");
    }
}
