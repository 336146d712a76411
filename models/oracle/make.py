"""Small networks in the output layout of each family, and what is to be seen in them.

    python make.py [FOLDER]      (numpy==2.4.6 onnx==1.23.2; FOLDER is `fixtures` beside this file)

Each network takes a picture apart into cells (AveragePool) and makes an output of the family's
layout from the cells' colours with fixed random weights. It detects nothing; it gives numbers
in the right places and of the right sizes, which depend on the picture, so that a decoder that
mixes up an axis, a stride, a channel, a scale or a letterbox cannot get away with it.

The networks are run by onnx's reference evaluator, not by ONNX Runtime, and their outputs are
decoded here in numpy, written from the families' papers and reference implementations, not from
the gateway's code. The gateway's tests load the same files through its own detector.

All of this is synthetic. The same bytes come out every time.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

LABELS = ["person", "car", "bicycle"]
CLASSES = len(LABELS)
BINS = 8
THRESHOLD, NMS_IOU = 0.5, 0.5
# The gateway passes on what is half as sure as the manifest asks, for its tracker.
DOUBTFUL = 0.5
QUERIES = 24


class Network:
    """Nodes, weights and outputs of one network."""

    def __init__(self, width, height, seed):
        self.width, self.height = width, height
        self.random = np.random.default_rng(seed)
        self.nodes, self.weights, self.outputs, self.count = [], [], [], 0

    def const(self, array):
        self.count += 1
        name = f"c{self.count}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def op(self, kind, *inputs, **attributes):
        self.count += 1
        name = f"{kind.lower()}{self.count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def cells(self, stride, channels, spread, scores=0):
        """[1, channels, points]: a mix of each cell's colours, row by row; low in the last
        `scores` channels."""
        pooled = self.op("AveragePool", "images", kernel_shape=[stride, stride], strides=[stride, stride])
        weight = (self.random.standard_normal((channels, 3, 1, 1)) * spread).astype(np.float32)
        bias = (self.random.standard_normal(channels) * 0.6).astype(np.float32)
        bias[channels - scores:] -= 2
        mixed = self.op("Conv", pooled, self.const(weight), self.const(bias), kernel_shape=[1, 1])
        return self.op("Reshape", mixed, self.const(np.array([1, channels, -1], np.int64)))

    def rows(self, tensor):
        return self.op("Transpose", tensor, perm=[0, 2, 1])

    def part(self, tensor, begin, end):
        """Columns of the last axis."""
        bounds = [self.const(np.array([v], np.int64)) for v in (begin, end, 2)]
        return self.op("Slice", tensor, *bounds)

    def points(self, strides):
        return sum((self.width // s) * (self.height // s) for s in strides)

    def out(self, tensor, name, shape, kind=TensorProto.FLOAT):
        self.nodes.append(helper.make_node("Identity", [tensor], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def save(self, path, more_inputs=(), batch=1):
        inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, self.height, self.width])]
        graph = helper.make_graph(self.nodes, path.stem, inputs + list(more_inputs), self.outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="wangge-oracle")
        model.ir_version = 8
        onnx.checker.check_model(model, full_check=True)
        path.write_bytes(model.SerializeToString())
        return model


def grid(width, height, strides):
    """Column, row and stride of each point, strides one after the other, row by row."""
    parts = []
    for s in strides:
        y, x = np.meshgrid(np.arange(height // s), np.arange(width // s), indexing="ij")
        parts.append(np.stack([x.ravel(), y.ravel(), np.full(x.size, s)], 1))
    return np.concatenate(parts).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# ---- networks

def yolov5(net):
    strides, anchors = (8, 16, 32), np.array([[1.2, 1.6], [2, 3.2], [3.9, 3.1]], np.float32)
    parts = []
    for stride in strides:
        at = grid(net.width, net.height, [stride])
        # As Detect.forward: anchor by anchor, each over the whole grid.
        for anchor in anchors:
            raw = net.op("Sigmoid", net.rows(net.cells(stride, 5 + CLASSES, 2.0, CLASSES + 1)))
            doubled = net.op("Mul", net.part(raw, 0, 2), net.const(np.float32(2)))
            shifted = net.op("Add", doubled, net.const((at[None, :, :2] - 0.5)))
            middle = net.op("Mul", shifted, net.const(np.float32(stride)))
            twice = net.op("Mul", net.part(raw, 2, 4), net.const(np.float32(2)))
            size = net.op("Mul", net.op("Mul", twice, twice), net.const(anchor * stride))
            parts.append(net.op("Concat", middle, size, net.part(raw, 4, 5 + CLASSES), axis=2))
    net.out(net.op("Concat", *parts, axis=1), "output0", [1, 3 * net.points(strides), 5 + CLASSES])


def yolov8(net):
    strides, parts = (8, 16, 32), []
    for stride in strides:
        at = grid(net.width, net.height, [stride])
        raw = net.rows(net.cells(stride, 4 + CLASSES, 1.6, CLASSES))
        place = net.op("Sigmoid", net.part(raw, 0, 4))
        middle = net.op("Mul", net.op("Add", net.part(place, 0, 2), net.const(at[None, :, :2])), net.const(np.float32(stride)))
        size = net.op("Mul", net.part(place, 2, 4), net.const(np.float32(stride * 5)))
        parts.append(net.op("Concat", middle, size, net.op("Sigmoid", net.part(raw, 4, 4 + CLASSES)), axis=2))
    whole = net.rows(net.op("Concat", *parts, axis=1))
    net.out(whole, "output0", [1, 4 + CLASSES, net.points(strides)])


def yolox(net):
    strides, parts = (8, 16, 32), []
    for stride in strides:
        raw = net.rows(net.cells(stride, 5 + CLASSES, 1.2, CLASSES + 1))
        parts.append(net.op("Concat", net.part(raw, 0, 4), net.op("Sigmoid", net.part(raw, 4, 5 + CLASSES)), axis=2))
    net.out(net.op("Concat", *parts, axis=1), "output", [1, net.points(strides), 5 + CLASSES])


def nanodet(net):
    strides, scores, dists = (8, 16, 32), [], []
    for stride in strides:
        scores.append(net.op("Sigmoid", net.rows(net.cells(stride, CLASSES, 1.6, CLASSES))))
        dists.append(net.rows(net.cells(stride, 4 * BINS, 2.0)))
    net.out(net.op("Concat", *scores, axis=1), "scores", [1, net.points(strides), CLASSES])
    net.out(net.op("Concat", *dists, axis=1), "dists", [1, net.points(strides), 4 * BINS])


def picodet(net):
    for stride in (8, 16, 32, 64):
        points = net.points([stride])
        net.out(net.op("Sigmoid", net.rows(net.cells(stride, CLASSES, 1.6, CLASSES))), f"scores_{stride}", [1, points, CLASSES])
    for stride in (8, 16, 32, 64):
        points = net.points([stride])
        net.out(net.rows(net.cells(stride, 4 * BINS, 2.0)), f"dists_{stride}", [1, points, 4 * BINS])


def detr_queries(net):
    def first(tensor):
        bounds = [net.const(np.array([v], np.int64)) for v in (0, QUERIES, 1)]
        return net.op("Slice", net.rows(tensor), *bounds)

    logits = first(net.cells(16, CLASSES, 2.0, CLASSES))
    return logits, net.op("Sigmoid", first(net.cells(16, 4, 1.8)))


def rtdetr(net):
    logits, boxes = detr_queries(net)
    # Boxes first: the order of outputs is the exporter's business.
    net.out(boxes, "pred_boxes", [1, QUERIES, 4])
    net.out(logits, "logits", [1, QUERIES, CLASSES])


def rtdetr_deploy(net):
    """RTDETRPostProcessor.forward as it is exported: sigmoid, top pairs, corners, size."""
    logits, boxes = detr_queries(net)
    x, y, w, h = (net.part(boxes, k, k + 1) for k in range(4))
    half = net.const(np.float32(0.5))
    hw, hh = net.op("Mul", w, half), net.op("Mul", h, half)
    corners = net.op("Concat", net.op("Sub", x, hw), net.op("Sub", y, hh), net.op("Add", x, hw), net.op("Add", y, hh), axis=2)
    size = net.op("Cast", "orig_target_sizes", to=TensorProto.FLOAT)
    corners = net.op("Mul", corners, net.op("Unsqueeze", net.op("Concat", size, size, axis=1), net.const(np.array([1], np.int64))))
    flat = net.op("Reshape", net.op("Sigmoid", logits), net.const(np.array([1, -1], np.int64)))
    net.count += 1
    top, place = f"top{net.count}", f"place{net.count}"
    net.nodes.append(helper.make_node("TopK", [flat, net.const(np.array([QUERIES], np.int64))], [top, place], axis=1))
    classes = net.const(np.array(CLASSES, np.int64))
    query = net.op("Div", place, classes)
    net.out(net.op("Sub", place, net.op("Mul", query, classes)), "labels", ["N", QUERIES], TensorProto.INT64)
    index = net.op("Expand", net.op("Unsqueeze", query, net.const(np.array([2], np.int64))), net.const(np.array([1, 1, 4], np.int64)))
    net.out(net.op("GatherElements", corners, index, axis=1), "boxes", ["N", QUERIES, 4])
    net.out(top, "scores", ["N", QUERIES])


# ---- decoders: boxes in input pixels, class, score

def corners(middle, size):
    return np.concatenate([middle - size / 2, middle + size / 2], 1)


def best_class(boxes, scores, threshold):
    """One class a box, as Ultralytics' non_max_suppression does by default."""
    classes = scores.argmax(1)
    best = scores[np.arange(len(scores)), classes]
    keep = best > threshold
    return boxes[keep], classes[keep], best[keep]


def every_class(boxes, scores, threshold):
    rows, classes = np.nonzero(scores > threshold)
    return boxes[rows], classes, scores[rows, classes]


def decode_yolov5(outputs, size, threshold):
    p = outputs["output0"][0]
    p = p[p[:, 4] > threshold]
    return best_class(corners(p[:, :2], p[:, 2:4]), p[:, 5:] * p[:, 4:5], threshold)


def decode_yolov8(outputs, size, threshold):
    p = outputs["output0"][0].T
    return best_class(corners(p[:, :2], p[:, 2:4]), p[:, 4:], threshold)


def decode_yolox(outputs, size, threshold):
    p, at = outputs["output"][0], grid(*size, (8, 16, 32))
    stride = at[:, 2:]
    boxes = corners((p[:, :2] + at[:, :2]) * stride, np.exp(p[:, 2:4]) * stride)
    return every_class(boxes, p[:, 4:5] * p[:, 5:], threshold)


def distances(dists, at):
    d = dists.reshape(-1, 4, BINS)
    d = np.exp(d - d.max(-1, keepdims=True))
    d = (d / d.sum(-1, keepdims=True)) @ np.arange(BINS, dtype=np.float32) * at[:, 2:]
    middle = (at[:, :2] + 0.5) * at[:, 2:]
    return np.concatenate([middle - d[:, :2], middle + d[:, 2:]], 1)


def decode_nanodet(outputs, size, threshold):
    at = grid(*size, (8, 16, 32))
    return every_class(distances(outputs["dists"][0], at), outputs["scores"][0], threshold)


def decode_picodet(outputs, size, threshold):
    strides = (8, 16, 32, 64)
    at = grid(*size, strides)
    dists = np.concatenate([outputs[f"dists_{s}"][0] for s in strides])
    scores = np.concatenate([outputs[f"scores_{s}"][0] for s in strides])
    return every_class(distances(dists, at), scores, threshold)


def decode_rtdetr(outputs, size, threshold):
    """post_process_object_detection: sigmoid, the best pairs of query and class, threshold."""
    scores = sigmoid(outputs["logits"][0]).ravel()
    top = np.argsort(-scores, kind="stable")[:QUERIES]
    boxes = outputs["pred_boxes"][0][top // CLASSES]
    boxes = corners(boxes[:, :2], boxes[:, 2:]) * np.array(size * 2, np.float32)
    keep = scores[top] > threshold
    return boxes[keep], (top % CLASSES)[keep], scores[top][keep]


def decode_rtdetr_deploy(outputs, size, threshold):
    keep = outputs["scores"][0] > threshold
    return outputs["boxes"][0][keep], outputs["labels"][0][keep], outputs["scores"][0][keep]


def suppress(boxes, classes, scores, limit):
    """Class by class, in fractions of the picture, best first."""
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        if all(classes[k] != classes[i] or iou(boxes[k], boxes[i]) <= limit for k in kept):
            kept.append(i)
    return kept


def iou(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0, w) * max(0, h)
    either = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / either if either > 0 else 0


# ---- pictures

def picture(width, height):
    """The picture that the gateway's tests make too: RGB bytes by a formula."""
    y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    channel = lambda c: ((x // 8 + 3 * c) * 37 + (y // 8 + c) * 59 + (x // 8) * (y // 8) * 23 + x * 2 + y) % 256
    return np.stack([channel(c) for c in range(3)], 2).astype(np.uint8)


def placed(size, fit, wide, high):
    """Size and place of a `wide` × `high` picture in the input."""
    width, height = size
    if fit == "stretch":
        return width, height, 0, 0
    scale = min(width / wide, height / high)
    w, h = round(wide * scale), round(high * scale)
    return (w, h, (width - w) // 2, (height - h) // 2) if fit == "centre" else (w, h, 0, 0)


CASES = {
    # family: builder, decoder, colour, mean, std, fit, pad, suppressed
    "yolov5": (yolov5, decode_yolov5, "rgb", [0, 0, 0], [255, 255, 255], "centre", 114, True),
    "yolov8": (yolov8, decode_yolov8, "rgb", [0, 0, 0], [255, 255, 255], "centre", 114, True),
    "rtdetr": (rtdetr, decode_rtdetr, "rgb", [0, 0, 0], [255, 255, 255], "stretch", 0, False),
    "rtdetr_deploy": (rtdetr_deploy, decode_rtdetr_deploy, "rgb", [123.675, 116.28, 103.53], [58.395, 57.12, 57.375], "stretch", 0, False),
    "nanodet": (nanodet, decode_nanodet, "bgr", [103.53, 116.28, 123.675], [57.375, 57.12, 58.395], "centre", 0, True),
    "yolox": (yolox, decode_yolox, "bgr", [0, 0, 0], [1, 1, 1], "corner", 114, True),
    "picodet": (picodet, decode_picodet, "rgb", [123.675, 116.28, 103.53], [58.395, 57.12, 57.375], "stretch", 0, True),
}
# Width, height of the input; of the picture.
SIZES = [((128, 64), (96, 72)), ((192, 128), (320, 180))]


def fixture(folder, case, size, shown, seed):
    build, decode, colour, mean, std, fit, pad, suppressed = CASES[case]
    name = f"{case}_{size[0]}x{size[1]}"
    net = Network(*size, seed)
    # YOLOX takes bytes as they are; its network makes them small by itself.
    if case == "yolox":
        net.nodes.append(helper.make_node("Div", ["images", net.const(np.float32(128))], ["small"]))
    build(net)
    if case == "yolox":
        for node in net.nodes[1:]:
            node.input[:] = ["small" if i == "images" else i for i in node.input]
    deploy = case == "rtdetr_deploy"
    more = [helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, ["N", 2])] if deploy else []
    # Published exports leave the batch open.
    model = net.save(folder / f"{name}.onnx", more, "N" if deploy else 1)

    w, h, left, top = placed(size, fit, *shown)
    full = np.full((size[1], size[0], 3), pad, np.uint8)
    full[top:top + h, left:left + w] = picture(w, h)
    pixels = full[:, :, ::-1] if colour == "bgr" else full
    x = ((pixels.astype(np.float32) - np.array(mean, np.float32)) / np.array(std, np.float32)).transpose(2, 0, 1)[None]
    given = {"images": np.ascontiguousarray(x)}
    if deploy:
        given["orig_target_sizes"] = np.array([size], np.int64)
    names = [o.name for o in model.graph.output]
    outputs = dict(zip(names, ReferenceEvaluator(model).run(names, given)))

    boxes, classes, scores = decode(outputs, size, THRESHOLD * DOUBTFUL)
    boxes = (boxes - [left, top, left, top]) / [w, h, w, h]
    boxes = boxes.clip(0, 1)
    keep = suppress(boxes, classes, scores, NMS_IOU) if suppressed else np.argsort(-scores, kind="stable")
    expected = [[int(classes[i]), round(float(scores[i]), 6), [round(float(v), 6) for v in boxes[i]]] for i in keep]
    # The gateway's limit of candidates must not show here.
    assert len(scores) < 900, (name, len(scores))
    near = np.abs(np.concatenate([scores - THRESHOLD * DOUBTFUL, [1]])).min()
    assert 3 < len(expected) < (400 if suppressed else QUERIES), (name, len(expected))
    assert len({e[0] for e in expected}) > 1, (name, "one class only")
    assert near > 1e-5, (name, "a score on the threshold")
    (folder / f"{name}.json").write_text(json.dumps({"picture": shown, "expected": expected}, separators=(",", ":")) + "\n")

    data = (folder / f"{name}.onnx").read_bytes()
    (folder / f"{name}.toml").write_text(
        f'# Made by ../make.py: a network that detects nothing, to test decoders with.\nid = "{name}"\nfamily = "{case.split("_")[0]}"\n'
        f'file = "{name}.onnx"\nbytes = {len(data)}\nsha256 = "{hashlib.sha256(data).hexdigest()}"\n'
        f'licence = "Apache-2.0"\norigin = "models/oracle/make.py"\nthreshold = {THRESHOLD}\n'
        + (f"nms_iou = {NMS_IOU}\n" if suppressed else "")
        + f"labels = {json.dumps(LABELS)}\n\n[input]\nwidth = {size[0]}\nheight = {size[1]}\n"
        f'colour = "{colour}"\nmean = {[float(v) for v in mean]}\nstd = {[float(v) for v in std]}\nfit = "{fit}"\npad = {pad}\n'
    )
    print(f"{name}: {len(data)} bytes, {len(expected)} detections")


# ---- networks that must be refused

def hostile(folder):
    """In the layout of YOLOX with one label and an input of 32 × 32: what it takes to be loaded."""
    shape = [1, 21, 6]
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 32, 32])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)
    rows = numpy_helper.from_array(np.zeros(shape, np.float32), "rows")

    def write(name, nodes, weights, domains=()):
        graph = helper.make_graph(nodes, name, [image], [output], weights)
        opsets = [helper.make_opsetid("", 13)] + [helper.make_opsetid(d, 1) for d in domains]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="wangge-oracle")
        model.ir_version = 8
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())

    def use(value):
        """The output depends on the picture and on `value`, so that neither is left out."""
        return [
            helper.make_node("ReduceMax", [value], ["most"], keepdims=0),
            helper.make_node("ReduceMax", ["images"], ["brightest"], keepdims=0),
            helper.make_node("Min", ["most", "brightest"], ["least"]),
            helper.make_node("Add", ["rows", "least"], ["output"]),
        ]

    # 280 MB of zeros from a few bytes.
    size = numpy_helper.from_array(np.array([70_000_000], np.int64), "size")
    write("bomb", [helper.make_node("ConstantOfShape", ["size"], ["zeros"])] + use("zeros"), [rows, size])
    outside = onnx.TensorProto(name="outside", data_type=TensorProto.FLOAT, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    for key, value in (("location", "hostname"), ("offset", "0"), ("length", "16")):
        outside.external_data.add(key=key, value=value)
    write("external_data", use("outside"), [rows, outside])
    write("foreign_operator", [helper.make_node("Steal", ["images"], ["stolen"], domain="evil.ops")] + use("stolen"), [rows], ["evil.ops"])


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "fixtures"
    folder.mkdir(exist_ok=True)
    for number, case in enumerate(CASES):
        for k, (size, shown) in enumerate(SIZES):
            # The first weights with which there is something to see and to leave out.
            for seed in range(100):
                try:
                    fixture(folder, case, size, shown, 10_000 * number + 1000 * k + seed)
                    break
                except AssertionError as dull:
                    last = dull
            else:
                raise last
    hostile(folder)


if __name__ == "__main__":
    main()
