"""NanoDet-g as a PyTorch module, read from its ONNX file and written back to one.

The nodes of the ONNX graph are interpreted one by one; every weight of a convolution is a
parameter. Nothing is folded or renamed, so that a trained network goes back into the same graph.
"""

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

BINS = 11
STRIDES = (8, 16, 32)


def attributes(node):
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


class Network(torch.nn.Module):
    """The convolutions of the graph up to the three head convolutions.

    `forward` takes f32[B, 3, S, S] (S a multiple of 32) and gives logits f32[B, N, classes] and
    box distributions f32[B, N, 4, 11], rows as in the ONNX outputs.
    """

    def __init__(self, path):
        super().__init__()
        self.proto = onnx.load(path)
        graph = self.proto.graph
        constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        self.weights = torch.nn.ParameterDict()
        self.steps = []
        self.heads = []
        last = {name for node in graph.node if node.op_type == "Split" for name in node.input}
        for node in graph.node:
            a = attributes(node)
            if node.op_type == "Conv":
                for name in node.input[1:]:
                    self.weights[name] = torch.nn.Parameter(torch.tensor(constants[name]))
                assert a["pads"][:2] == a["pads"][2:]
                a = {"stride": a["strides"], "padding": a["pads"][:2]}
            elif node.op_type == "Resize":
                a = {"scale": [float(s) for s in constants[node.input[2]][2:]]}
            elif node.op_type not in ("LeakyRelu", "MaxPool", "Concat", "Add"):
                continue  # the output end of the graph is written in `forward`
            if node.output[0] in ("scores", "dists"):
                continue
            self.steps.append((node.op_type, list(node.input), node.output[0], a))
            if node.output[0] in last:
                self.heads.append((node.output[0], node.input[1], node.input[2]))
        self.classes = self.weights[self.heads[0][1]].shape[0] - 4 * BINS

    def single_class(self, rows, bias):
        """Replaces the class rows of the heads by one: the mean of `rows`, with this bias."""
        for _, weight, offset in self.heads:
            w, b = self.weights[weight].data, self.weights[offset].data
            new = torch.cat([w[rows].mean(0, keepdim=True), w[self.classes:]])
            self.weights[weight] = torch.nn.Parameter(new)
            self.weights[offset] = torch.nn.Parameter(torch.cat([torch.full((1,), bias), b[self.classes:]]))
        self.classes = 1

    def load(self, state):
        """Takes the weights of a network with the same heads: name -> tensor."""
        for name, weight in self.weights.items():
            assert weight.shape == state[name].shape, name
            weight.data.copy_(state[name])

    def freeze(self, count):
        """Keeps the first `count` convolutions as they are."""
        convolutions = [step for step in self.steps if step[0] == "Conv"]
        for _, inputs, _, _ in convolutions[:count]:
            for name in inputs[1:]:
                self.weights[name].requires_grad_(False)

    def forward(self, images):
        values = {"images": images}
        for op, inputs, output, a in self.steps:
            x = values[inputs[0]]
            if op == "Conv":
                y = F.conv2d(x, self.weights[inputs[1]], self.weights[inputs[2]], a["stride"], a["padding"])
            elif op == "LeakyRelu":
                y = F.leaky_relu(x, a["alpha"])
            elif op == "MaxPool":
                y = F.max_pool2d(x, a["kernel_shape"], a["strides"], a["pads"][:2])
            elif op == "Concat":
                y = torch.cat([values[i] for i in inputs], a["axis"])
            elif op == "Add":
                y = x + values[inputs[1]]
            else:
                y = F.interpolate(x, scale_factor=a["scale"], mode="bilinear", align_corners=False)
            values[output] = y
        rows = torch.cat([values[name].flatten(2).transpose(1, 2) for name, _, _ in self.heads], 1).float()
        return rows[..., : self.classes], rows[..., self.classes :].unflatten(-1, (4, BINS))
