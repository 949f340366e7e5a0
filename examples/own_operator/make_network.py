"""Writes colours.onnx: a network of three hand-made classes with an operator that ONNX does not have.

    pip install onnx numpy
    python examples/own_operator/make_network.py

Input `image`, [N, 3, H, W], RGB, 0 to 1. `colour` says how much redder, greener and bluer a patch of
8 x 8 pixels is than it is otherwise; `com.acme.Softcap` keeps that below a cap, smoothly; the scores
`red`, `green`, `blue` are the means of what is left above zero.
"""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

opponent = np.full((3, 3), -0.5, np.float32)
np.fill_diagonal(opponent, 1.0)
weight = np.repeat(np.repeat(opponent[:, :, None, None], 8, 2), 8, 3) / 64
bias = np.full(3, -0.15, np.float32)

nodes = [
    helper.make_node("Conv", ["image", "weight", "bias"], ["colour"], "colour", strides=[4, 4]),
    helper.make_node("Relu", ["colour"], ["more"], "more"),
    helper.make_node("Softcap", ["more"], ["capped"], "capped", domain="com.acme", cap=0.25),
    helper.make_node("GlobalAveragePool", ["capped"], ["mean"], "mean"),
    helper.make_node("Flatten", ["mean"], ["scores"], "scores"),
]
image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, "H", "W"])
scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 3])
weights = [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")]
graph = helper.make_graph(nodes, "colours", [image], [scores], weights)
opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.acme", 1)]
model = helper.make_model(graph, opset_imports=opsets, producer_name="elucid make_network.py")
model.ir_version = 8
onnx.save(model, pathlib.Path(__file__).with_name("colours.onnx"))
