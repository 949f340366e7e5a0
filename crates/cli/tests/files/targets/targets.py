"""Makes the networks of this folder, which have no class for a whole picture: surfaces.onnx has three classes for each
of 16 x 16 pixels behind a softmax, boxes.onnx two classes behind a sigmoid for each of four boxes, [1, 6, 4].

python targets.py, with onnx 1.19 or later.
"""

import onnx
from onnx import TensorProto, helper


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs, [output], f"make_{output}", **attributes)


def tensor(name, shape, values=None):
    count = 1
    for size in shape:
        count *= size
    values = values or [(i * 29 + 7) % 41 / 40 - 0.5 for i in range(count)]
    return helper.make_tensor(name, TensorProto.FLOAT, shape, values)


def save(name, nodes, weights, shape):
    value = helper.make_tensor_value_info
    x, out = value("x", TensorProto.FLOAT, [1, 3, 32, 32]), value("out", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, name, [x], [out], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, f"{name}.onnx")


save(
    "surfaces",
    [
        node("Conv", ["x", "w"], "c", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", ["c"], "features"),
        node("Conv", ["features", "v"], "scores"),
        node("Softmax", ["scores"], "out", axis=1),
    ],
    [tensor("w", [4, 3, 3, 3]), tensor("v", [3, 4, 1, 1])],
    [1, 3, 16, 16],
)
boxes = [8, 24, 8, 24, 8, 8, 24, 24, *[16] * 8]
save(
    "boxes",
    [
        node("Conv", ["x", "w"], "c", strides=[16, 16]),
        node("Relu", ["c"], "features"),
        node("Conv", ["features", "v"], "scores"),
        node("Sigmoid", ["scores"], "chances"),
        node("Reshape", ["chances", "rows"], "classes"),
        node("Concat", ["boxes", "classes"], "out", axis=1),
    ],
    [
        tensor("w", [4, 3, 16, 16], [(i * 29 + 7) % 41 / 1600 - 0.0125 for i in range(4 * 3 * 256)]),
        tensor("v", [2, 4, 1, 1]),
        tensor("boxes", [1, 4, 4], boxes),
        helper.make_tensor("rows", TensorProto.INT64, [3], [1, 2, 4]),
    ],
    [1, 6, 4],
)
