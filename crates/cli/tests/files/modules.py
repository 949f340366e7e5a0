"""Makes modules.onnx: a small network as PyTorch's exporter names it, with an operator that nobody knows.

python modules.py, with onnx 1.19 or later.
"""

import onnx
from onnx import TensorProto, helper


def node(kind, inputs, output, *scopes, domain="", **attributes):
    made = helper.make_node(kind, inputs, [output], f"node_{output}", domain=domain, **attributes)
    entry = made.metadata_props.add()
    entry.key = "pkg.torch.onnx.name_scopes"
    entry.value = str(["", *scopes, output])
    return made


def weight(name, *shape):
    count = 1
    for size in shape:
        count *= size
    return helper.make_tensor(name, TensorProto.FLOAT, shape, [(i * 29 + 7) % 41 / 40 - 0.5 for i in range(count)])


layer = ("layer1", "layer1.0")
nodes = [
    node("Conv", ["x", "w1"], "conv2d", "conv1"),
    node("Conv", ["conv2d", "w2"], "conv2d_1", *layer, "layer1.0.conv1"),
    node("Relu", ["conv2d_1"], "relu", *layer, "layer1.0.relu"),
    node("Add", ["relu", "conv2d"], "add", *layer),
    node("GlobalAveragePool", ["add"], "mean", "avgpool"),
    node("Flatten", ["mean"], "flatten"),
    node("Gemm", ["flatten", "w3"], "scores", "fc", transB=1),
    node("Gizmo", ["add"], "boxes", "heads", "heads.boxes", domain="toy"),
    node("Relu", ["add"], "mask", "heads", "heads.mask"),
]
value = helper.make_tensor_value_info
graph = helper.make_graph(
    nodes,
    "modules",
    [value("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
    [value("scores", TensorProto.FLOAT, ["N", 5]), value("boxes", TensorProto.FLOAT, None), value("mask", TensorProto.FLOAT, None)],
    [weight("w1", 4, 3, 1, 1), weight("w2", 4, 4, 1, 1), weight("w3", 5, 4)],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("toy", 1)], producer_name="pytorch")
model.ir_version = 8
onnx.save(model, "modules.onnx")
