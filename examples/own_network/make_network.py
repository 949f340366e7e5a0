"""Writes surfaces.onnx: a network that says of every 4 x 4 pixels whether they are plain, red, green or blue.

    pip install onnx numpy
    python examples/own_network/make_network.py

Input `image`, [N, 3, 224, 224], RGB, 0 to 1. `colour` says how much redder, greener and bluer a patch of
8 x 8 pixels is than it is otherwise, `more` keeps what is above 0, `scores` weighs each colour against the
others and against plain, and the output `surface`, [N, 4, 56, 56], is its softmax.
"""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

opponent = np.full((3, 3), -0.5, np.float32)
np.fill_diagonal(opponent, 1.0)
patch = np.repeat(np.repeat(opponent[:, :, None, None], 8, 2), 8, 3) / 64
weigh = np.array([[-4, -4, -4], [8, -2, -2], [-2, 8, -2], [-2, -2, 8]], np.float32)[:, :, None, None]

nodes = [
    helper.make_node("Conv", ["image", "patch", "less"], ["colour"], "colour", strides=[4, 4], pads=[2, 2, 2, 2]),
    helper.make_node("Relu", ["colour"], ["more"], "more"),
    helper.make_node("Conv", ["more", "weigh", "plain"], ["scores"], "scores"),
    helper.make_node("Softmax", ["scores"], ["surface"], "surface", axis=1),
]
weights = [
    numpy_helper.from_array(patch, "patch"),
    numpy_helper.from_array(np.full(3, -0.05, np.float32), "less"),
    numpy_helper.from_array(weigh, "weigh"),
    numpy_helper.from_array(np.array([1, 0, 0, 0], np.float32), "plain"),
]
image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 224, 224])
surface = helper.make_tensor_value_info("surface", TensorProto.FLOAT, ["N", 4, 56, 56])
graph = helper.make_graph(nodes, "surfaces", [image], [surface], weights)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="elucid make_network.py")
model.ir_version = 8
onnx.save(model, pathlib.Path(__file__).with_name("surfaces.onnx"))
