"""NanoDet-g in int8: static quantisation with QDQ nodes, calibrated on real pictures.

    python nanodet_int8.py nanodet_g_416.onnx OUT.onnx CALIBRATION_FOLDER [EVALUATION_FOLDER]

CALIBRATION_FOLDER holds pictures (jpg, png) of the kind of scenes that the model will see, best
from the station's own cameras, a hundred or more. OUT.toml, the manifest for the result, is
written beside it. EVALUATION_FOLDER others, which tell what the result is worth: how far its detections agree with
those of the float model (there are no labels in this), and how fast both are, taking turns in
one run on one thread.

Needs numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 opencv-python-headless sympy.
"""

import hashlib
import re
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

SIZE, STRIDES, BINS = 416, (8, 16, 32), 11
MEAN = np.array([103.53, 116.28, 123.675], np.float32)
STD = np.array([57.375, 57.12, 58.395], np.float32)
THRESHOLD, NMS_IOU = 0.35, 0.6
# Scores of the int8 model are a little lower: at this threshold it sees what the float model
# sees at its own.
INT8_THRESHOLD = 0.32
ROUNDS = 200
MANIFEST = Path(__file__).parent / "../manifests/nanodet_g_416.toml"


def pictures(folder):
    return sorted(p for p in Path(folder).iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))


def tensor(path):
    """As models/manifests/nanodet_g_416.toml says: in proportion, in the middle, padded with 0."""
    image = cv2.imread(str(path))
    height, width = image.shape[:2]
    scale = min(SIZE / height, SIZE / width)
    w, h = round(width * scale), round(height * scale)
    full = np.zeros((SIZE, SIZE, 3), np.uint8)
    top, left = (SIZE - h) // 2, (SIZE - w) // 2
    full[top:top + h, left:left + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(((full.astype(np.float32) - MEAN) / STD).transpose(2, 0, 1)[None])


class Reader(CalibrationDataReader):
    def __init__(self, paths):
        self.paths = iter(paths)

    def get_next(self):
        path = next(self.paths, None)
        return None if path is None else {"images": tensor(path)}


def heads(model):
    """The last convolutions and what follows: few operations, and boxes hang on their last digits."""
    made_by = {output: node for node in model.graph.node for output in node.output}
    names, todo = set(), [output.name for output in model.graph.output]
    while todo:
        node = made_by.get(todo.pop())
        if node is None or node.name in names:
            continue
        names.add(node.name)
        if node.op_type != "Conv":
            todo.extend(node.input)
    return sorted(names)


def quantise(source, target, paths):
    with tempfile.TemporaryDirectory() as scratch:
        prepared = f"{scratch}/prepared.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        model = onnx.load(prepared)
        for number, node in enumerate(model.graph.node):
            node.name = node.name or f"node_{number}"
        onnx.save(model, prepared)
        quantize_static(
            prepared, target, Reader(paths),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            per_channel=True, reduce_range=False,
            calibrate_method=CalibrationMethod.Percentile,
            nodes_to_exclude=heads(model),
            extra_options={"CalibPercentile": 99.99, "ActivationSymmetric": False},
        )


def write_manifest(target):
    """The float model's manifest with this file's name, size and hash."""
    data = target.read_bytes()
    text = MANIFEST.read_text()
    for key, value in {
        "id": f'"{target.stem}"',
        "file": f'"{target.name}"',
        "bytes": len(data),
        "sha256": f'"{hashlib.sha256(data).hexdigest()}"',
        "threshold": INT8_THRESHOLD,
    }.items():
        text = re.sub(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
    text = re.sub(r"(?m)^#.*\n", "", text)
    text = re.sub(r'(?m)^(origin = ".*)"$', r'\1, quantised by recipes/nanodet_int8.py"', text)
    target.with_suffix(".toml").write_text(text)


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def detections(net, x, threshold):
    scores, dists = (o[0] for o in net.run(["scores", "dists"], {"images": x}))
    points = np.concatenate([
        np.stack([(np.tile(np.arange(n), n) + 0.5) * s, (np.repeat(np.arange(n), n) + 0.5) * s, np.full(n * n, s)], 1)
        for s in STRIDES for n in [-(-SIZE // s)]
    ])
    rows, classes = np.nonzero(scores > threshold)
    d = dists[rows].reshape(-1, 4, BINS)
    d = np.exp(d - d.max(-1, keepdims=True))
    d = (d / d.sum(-1, keepdims=True)) @ np.arange(BINS) * points[rows, 2:]
    x, y = points[rows, 0], points[rows, 1]
    boxes = np.stack([x - d[:, 0], y - d[:, 1], x + d[:, 2], y + d[:, 3]], 1)
    found = []
    for i in np.argsort(-scores[rows, classes]):
        if all(c != classes[i] or iou(b, boxes[i]) <= NMS_IOU for b, c, _ in found):
            found.append((boxes[i], classes[i], scores[rows[i], classes[i]]))
    return found


def iou(a, b):
    w = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    both = w * h
    return both / max(1e-9, (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def average_precision(hits, total):
    """Area under precision over recall, all points; `hits` are (score, right)."""
    right = np.cumsum([h for _, h in sorted(hits, key=lambda h: -h[0])])
    precision = right / np.arange(1, len(right) + 1)
    recall = right / total
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(np.concatenate([[0], recall])) * precision)) if len(right) else 0.0


def evaluate(float_path, int_path, paths):
    a, b = session(float_path), session(int_path)
    sure = same = extra = 0
    shifts, overlaps = [], []
    hits, totals = {}, {}
    for path in paths:
        x = tensor(path)
        truth = detections(a, x, THRESHOLD)
        for _, c, _ in truth:
            totals[c] = totals.get(c, 0) + 1
        loose, used = detections(b, x, 0.05), set()
        for box, c, score in loose:
            best = max(((iou(box, t[0]), k) for k, t in enumerate(truth) if t[1] == c and k not in used), default=(0, -1))
            right = best[0] >= 0.5
            if right:
                used.add(best[1])
                shifts.append(score - truth[best[1]][2])
                overlaps.append(best[0])
            hits.setdefault(c, []).append((score, right))
            extra += score >= INT8_THRESHOLD and not right
            same += score >= INT8_THRESHOLD and right
        sure += len(truth)
    print(f"{len(paths)} pictures; the float model sees {sure} things at {THRESHOLD}")
    print(f"int8 at {INT8_THRESHOLD}: {same} of them ({same / sure:.1%}), and {extra} others")
    print(f"score moves by {np.mean(shifts):+.3f} on average (absolute {np.mean(np.abs(shifts)):.3f}), boxes overlap by {np.mean(overlaps):.3f}")
    for c in sorted(totals, key=lambda c: -totals[c])[:6]:
        print(f"  class {c}: {totals[c]} things, AP50 against the float model {average_precision(hits.get(c, []), totals[c]):.3f}")
    x = tensor(paths[0])
    times = {a: [], b: []}
    for _ in range(ROUNDS):
        for net in (a, b):
            begun = time.perf_counter()
            net.run(None, {"images": x})
            times[net].append(time.perf_counter() - begun)
    fa, fb = (np.median(times[n]) * 1e3 for n in (a, b))
    print(f"1 thread, taking turns, median of {ROUNDS}: float {fa:.1f} ms, int8 {fb:.1f} ms, ratio {fb / fa:.2f}")


def main():
    if len(sys.argv) not in (4, 5):
        raise SystemExit(__doc__)
    source, target, calibration = sys.argv[1:4]
    quantise(source, target, pictures(calibration))
    write_manifest(Path(target))
    print(f"{target}: {Path(target).stat().st_size} bytes")
    if len(sys.argv) == 5:
        evaluate(source, target, pictures(sys.argv[4]))


if __name__ == "__main__":
    main()
