"""GoogLeNet's ONNX file in PyTorch, operator by operator, for the scripts that time both sides."""

import onnx
import torch
from onnx import numpy_helper
from torch.nn import functional


class Network(torch.nn.Module):
    """The operators of GoogLeNet's ONNX file, in order, up to its logits.

    The value called `tapped` passes through the module `tap`, for programs that hook modules; with `cut` it is
    the last.
    """

    def __init__(self, path, tapped=None, cut=False):
        super().__init__()
        graph = onnx.load(path).graph
        self.nodes = [node for node in graph.node if node.op_type != "Softmax"]
        if cut:
            self.nodes = self.nodes[: 1 + [node.output[0] for node in self.nodes].index(tapped)]
        self.tapped, self.tap = tapped, torch.nn.Identity()
        self.start = next(i.name for i in graph.input if i.name not in {w.name for w in graph.initializer})
        self.names = {weight.name: f"weight{i}" for i, weight in enumerate(graph.initializer)}
        for weight in graph.initializer:
            tensor = torch.from_numpy(numpy_helper.to_array(weight).copy())
            self.register_parameter(self.names[weight.name], torch.nn.Parameter(tensor, requires_grad=False))

    def forward(self, x):
        values = {self.start: x}
        for node in self.nodes:
            inputs = [getattr(self, self.names[n]) if n in self.names else values[n] for n in node.input if n]
            value = run(node, inputs)
            values[node.output[0]] = self.tap(value) if node.output[0] == self.tapped else value
        return values[self.nodes[-1].output[0]]


def run(node, inputs):
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    x = inputs[0]
    if node.op_type == "Conv":
        top, left, bottom, right = given.get("pads", [0] * 4)
        assert (top, left) == (bottom, right)
        weights = inputs[1], inputs[2] if len(inputs) > 2 else None
        return functional.conv2d(x, *weights, given.get("strides", 1), (top, left), groups=given.get("group", 1))
    if node.op_type == "Relu":
        return functional.relu(x)
    if node.op_type == "MaxPool":
        kernel, stride = given["kernel_shape"], given.get("strides", [1, 1])
        top, left, bottom, right = given.get("pads", [0] * 4)
        x = functional.pad(x, (left, right, top, bottom), value=-torch.inf)
        return functional.max_pool2d(x, kernel, stride, ceil_mode=bool(given.get("ceil_mode", 0)))
    if node.op_type == "LRN":
        return functional.local_response_norm(
            x, given["size"], given.get("alpha", 1e-4), given.get("beta", 0.75), given.get("bias", 1.0)
        )
    if node.op_type == "Concat":
        return torch.cat(inputs, given["axis"])
    if node.op_type == "GlobalAveragePool":
        return x.mean((2, 3), keepdim=True)
    if node.op_type == "Flatten":
        return x.flatten(given.get("axis", 1))
    if node.op_type == "Gemm":
        assert given.get("transB") and given.get("alpha", 1) == given.get("beta", 1) == 1
        return functional.linear(x, inputs[1], inputs[2])
    raise SystemExit(f"no operator {node.op_type} here")
