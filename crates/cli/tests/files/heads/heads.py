"""Makes the networks of this folder: pictures of 4 x 4, of which the mean of each channel times a weight is a
score, with different ends.

python heads.py, with onnx 1.19 or later.
"""

import onnx
from onnx import TensorProto, helper


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs, outputs, f"make_{outputs[0]}", **attributes)


def tensor(name, shape, values):
    return helper.make_tensor(name, TensorProto.FLOAT, shape, values)


def save(name, classes, nodes, outputs, constants=(), metadata=None):
    weight = [(i * 7 + 3) % 11 / 5 - 1 for i in range(3 * classes)]
    nodes = [
        node("GlobalAveragePool", ["x"], ["mean"]),
        node("Flatten", ["mean"], ["row"]),
        node("MatMul", ["row", "w"], ["z"]),
        *nodes,
    ]
    made = [tensor("w", [3, classes], weight), *constants]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])
    results = [helper.make_tensor_value_info(output, kind, None) for output, kind in outputs]
    model = helper.make_model(
        helper.make_graph(nodes, "heads", [x], results, made), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    for key, value in (metadata or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, f"{name}.onnx")


F, I = TensorProto.FLOAT, TensorProto.INT64
save("classes", 3, [node("Softmax", ["z"], ["y"])], [("y", F)], metadata={"names": "{0: 'owl', 1: \"hen's egg\", 2: 'rook'}"})
save("yes", 1, [node("Sigmoid", ["z"], ["y"])], [("y", F)])
save("labels", 3, [node("Sigmoid", ["z"], ["y"])], [("y", F)])
save("number", 1, [], [("z", F)])
save("several", 4, [], [("z", F)], metadata={"names": "owl, rook"})
save(
    "tasks",
    3,
    [node("MatMul", ["row", "v"], ["age"])],
    [("age", F), ("z", F)],
    [tensor("v", [3, 1], [1, 2, 3])],
)
save(
    "map",
    2,
    [node("Conv", ["x", "k"], ["scores"]), node("ArgMax", ["scores"], ["y"], axis=1)],
    [("y", I)],
    [tensor("k", [2, 3, 1, 1], [1, 0, -1, 0.5, 0.5, 0.5])],
)
save("thousand", 1000, [], [("z", F)])
save("background", 1001, [], [("z", F)])
