#!/usr/bin/env python3
"""Writes a trained network as ONNX with 8-bit weights.

    export.py NANODET.onnx last.pt OUT.onnx [--float]

Outputs as of nanodet_g_416 with one class: scores f32[1,3549,1] (sigmoid applied), dists
f32[1,3549,44]. Weights of convolutions are i8 with one scale an output channel; a Cast and a Mul
make them f32 again, which ONNX Runtime does once, when it loads the file. (It does not fold
DequantizeLinear: that cost 20 ms a run.) Activations and biases stay f32. `--float` keeps all weights f32, to
measure what the 8 bits cost. Prints size and SHA-256.
"""

import argparse
import hashlib

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from graph import BINS, Network

CLASSES = 1


def eight_bits(weight):
    """i8 weights and f32 scales, one an output channel: the scale with the least squared error
    among clippings of the largest weight."""
    flat = weight.reshape(len(weight), -1)
    peak = np.abs(flat).max(1)
    best = np.full(len(flat), np.inf)
    chosen = peak / 127
    for share in np.linspace(0.7, 1.0, 13):
        scale = np.maximum(peak * share, 1e-8) / 127
        back = np.clip(np.round(flat / scale[:, None]), -127, 127) * scale[:, None]
        error = ((back - flat) ** 2).sum(1)
        chosen = np.where(error < best, scale, chosen)
        best = np.minimum(error, best)
    codes = np.clip(np.round(flat / chosen[:, None]), -127, 127).astype(np.int8)
    return codes.reshape(weight.shape), chosen.astype(np.float32)


def build(nanodet, state, keep_float):
    proto = onnx.load(nanodet)
    graph = proto.graph
    convolution_weights = {n.input[1] for n in graph.node if n.op_type == "Conv"}
    old_classes = Network(nanodet).classes
    kept, added = [], []
    for initializer in graph.initializer:
        name, value = initializer.name, numpy_helper.to_array(initializer)
        if name in state:
            value = state[name].numpy()
        if name in convolution_weights and not keep_float:
            codes, scales = eight_bits(value)
            kept.append(numpy_helper.from_array(codes, name + "_i8"))
            kept.append(numpy_helper.from_array(scales.reshape(-1, 1, 1, 1), name + "_scale"))
            added.append(helper.make_node("Cast", [name + "_i8"], [name + "_f32"], name="Cast_" + name,
                                          to=TensorProto.FLOAT))
            added.append(helper.make_node("Mul", [name + "_f32", name + "_scale"], [name], name="Mul_" + name))
            continue
        if value.dtype == np.int64 and old_classes in value:  # splits and shapes of the heads
            value = np.where(value == old_classes, CLASSES, value)
        kept.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    nodes = added + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)
    for output in graph.output:
        last = output.type.tensor_type.shape.dim[2]
        last.dim_value = CLASSES if output.name == "scores" else 4 * BINS
    graph.name = "trash_bag"
    proto.producer_name = "trash_bag export.py"
    onnx.checker.check_model(proto, full_check=True)
    return proto


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nanodet")
    parser.add_argument("weights")
    parser.add_argument("out")
    parser.add_argument("--float", action="store_true")
    a = parser.parse_args()
    data = build(a.nanodet, torch.load(a.weights), a.float).SerializeToString()
    with open(a.out, "wb") as f:
        f.write(data)
    print(len(data), hashlib.sha256(data).hexdigest())


if __name__ == "__main__":
    main()
