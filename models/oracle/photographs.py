"""A reference for real networks on real photographs, for the gateway's tests.

    python photographs.py FOLDER nanodet_g_416=MODEL.onnx [yolox_nano=…] [picodet_s_416=…]

FOLDER holds JPEGs or PNGs; `reference.json` is written into it. Pictures are scaled by OpenCV
(INTER_LINEAR) and the outputs decoded in numpy, as in `make.py`. Then run the gateway's tests
with WANGGE_PHOTOGRAPHS=FOLDER:
`cargo test -p wangge --lib -- --show-output detect::tests::parity`. The tests' own
`golden/pictures.json` is what this writes for `../trash_bag/golden` and the three networks.

Needs numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 opencv-python-headless.
"""

import json
import sys
import tomllib
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

import make

MANIFESTS = Path(__file__).parent / "../manifests"


def prepare(image, spec):
    size = (spec["width"], spec["height"])
    w, h, left, top = make.placed(size, spec["fit"], image.shape[1], image.shape[0])
    full = np.full((size[1], size[0], 3), spec.get("pad", 0), np.uint8)
    full[top:top + h, left:left + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
    pixels = full[:, :, ::-1] if spec["colour"] == "rgb" else full
    x = (pixels.astype(np.float32) - np.array(spec["mean"], np.float32)) / np.array(spec["std"], np.float32)
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None]), (w, h, left, top)


def decode(family, outputs, size, classes, threshold):
    """As the decoders of `make`, which read the same layouts under the names of their outputs."""
    if family == "yolox":
        return make.decode_yolox({"output": outputs[0]}, size, threshold)
    scores = [o for o in outputs if o.shape[2] == classes]
    dists = [o for o in outputs if o.shape[2] != classes]
    make.BINS = dists[0].shape[2] // 4
    if family == "nanodet":
        return make.decode_nanodet({"scores": scores[0], "dists": dists[0]}, size, threshold)
    by_points = lambda arrays, name: {
        f"{name}_{s}": next(a for a in arrays if a.shape[1] == len(grid(size, s))) for s in (8, 16, 32, 64)
    }
    return make.decode_picodet({**by_points(scores, "scores"), **by_points(dists, "dists")}, size, threshold)


def grid(size, stride):
    """Points at a stride, of sizes that it does not divide too."""
    columns, rows = -(-size[0] // stride), -(-size[1] // stride)
    y, x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    return np.stack([x.ravel(), y.ravel(), np.full(x.size, stride)], 1).astype(np.float32)


make.grid = lambda width, height, strides: np.concatenate([grid((width, height), s) for s in strides])


def main():
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    folder, reference = Path(sys.argv[1]), {}
    for pair in sys.argv[2:]:
        name, _, path = pair.partition("=")
        manifest = tomllib.loads((MANIFESTS / f"{name}.toml").read_text())
        spec, classes = manifest["input"], len(manifest["labels"])
        size = (spec["width"], spec["height"])
        net = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        seen = {}
        for file in sorted(f for f in folder.iterdir() if f.suffix in (".jpg", ".png")):
            x, (w, h, left, top) = prepare(cv2.imread(str(file)), spec)
            outputs = net.run(None, {net.get_inputs()[0].name: x})
            boxes, labels, scores = decode(manifest["family"], outputs, size, classes, manifest["threshold"] / 2)
            boxes = ((boxes - [left, top, left, top]) / [w, h, w, h]).clip(0, 1)
            keep = make.suppress(boxes, labels, scores, manifest["nms_iou"])
            seen[file.name] = [[int(labels[i]), round(float(scores[i]), 5), [round(float(v), 5) for v in boxes[i]]] for i in keep]
        reference[name] = seen
        print(name, sum(len(s) for s in seen.values()), "detections in", len(seen), "pictures")
    (folder / "reference.json").write_text(json.dumps(reference))


if __name__ == "__main__":
    main()
