#!/usr/bin/env python3
"""Writes crates/graph/tests/cases/: one small model per operator, attribute and opset.

A case is an `.onnx` file from an image input `x` to an output `y`. What `y` should be lies in
the same file, as an initializer `expected` that no node reads. The values of `x` follow from its
shape (`image` below). Results are ONNX Runtime's, or those of the `onnx` package's reference
evaluator where the runtime has no kernel for the opset, or NumPy's where neither has one (the
comments below say where). The committed files were made with onnx 1.23.2 and ONNX Runtime 1.31.1,
those of the last six families with ONNX Runtime 1.32.0.

    pip install numpy onnx onnxruntime
    python scripts/make_operator_cases.py
"""

import collections
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "crates/graph/tests/cases"
F32, I64 = np.float32, np.int64
made = {}
sources = collections.Counter()


def image(shape):
    """Numbers from -1 to 1 in every order of sign and size."""
    i = np.arange(int(np.prod(shape)), dtype=np.float64)
    return ((i * 37 + 11) % 101 / 50 - 1).astype(F32).reshape(shape)


def weights(*shape, seed=0, low=-0.5, high=0.5):
    generator = np.random.default_rng(seed + 1)
    return generator.uniform(low, high, shape).astype(F32)


def ints(*values):
    return np.array(values, I64)


def node(op, inputs, outputs=("y",), **attributes):
    """A node; lists of names may be written as one string."""
    inputs = inputs.split(",") if isinstance(inputs, str) else inputs
    outputs = outputs.split(",") if isinstance(outputs, str) else outputs
    return helper.make_node(op, inputs, list(outputs), name=f"{op.lower()}_{outputs[0]}", **attributes)


def run(model, x):
    """The model's output, and who computed it."""
    # Between the first opsets the operators used here gained element types, nothing else; those
    # that changed bring their own NumPy.
    stated = model.opset_import[0].version
    stamps = [stated] + [o for o in (6, 7, 8) if stated < min(o, 7)]
    errors = []
    for evaluate in (runtime, reference):
        for opset in stamps:
            stamped = onnx.ModelProto()
            stamped.CopyFrom(model)
            stamped.opset_import[0].version = opset
            try:
                return evaluate(stamped, x), evaluate.__doc__
            except Exception as error:  # a missing kernel and a wrong model raise the same types
                errors.append(str(error))
    raise RuntimeError(f"{model.graph.name}: {errors}")


def runtime(model, x):
    """ONNX Runtime"""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(["y"], {"x": x})[0]


def reference(model, x):
    """onnx.reference"""
    return ReferenceEvaluator(model).run(["y"], {"x": x})[0]


def case(name, opset, nodes, weights=None, shape=(2, 3, 7, 6), expected=None, listed=False,
         replace=None):
    """Writes one case.

    `expected` is a function of `x` in NumPy; `listed` puts initializers among the inputs, as files before IR 4 do; `replace` stores
    weights as other TensorProtos than the plain ones.
    """
    nodes = nodes if isinstance(nodes, list) else [nodes]
    name = f"{name}_opset{opset}"
    assert name not in made, name
    tensors = [numpy_helper.from_array(v, k) for k, v in (weights or {}).items()]
    tensors = [(replace or {}).get(t.name, t) for t in tensors]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    if listed:
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in tensors]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, name, inputs, [output], tensors)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset)]
        + [helper.make_opsetid(domain, 1) for domain in sorted({n.domain for n in nodes} - {""})],
        ir_version=3 if listed else 8,
    )
    x = image(shape)
    if expected is not None:
        y, source = expected(x), "NumPy"
    else:
        y, source = run(model, x)
    y = np.ascontiguousarray(y, dtype=F32)
    assert np.isfinite(y).all(), name
    sources[source] += 1
    model.graph.initializer.append(numpy_helper.from_array(y, "expected"))
    model.producer_name = source
    made[name] = model.SerializeToString()


def convolutions():
    w = dict(w=weights(4, 3, 3, 3), b=weights(4, seed=1))
    for opset in (3, 11, 21):
        case("conv_bias", opset, node("Conv", "x,w,b", pads=[1, 1, 1, 1]), w)
    case("conv_no_bias", 13, node("Conv", "x,w"), w)
    case("conv_1x1", 13, node("Conv", "x,w"), dict(w=weights(5, 3, 1, 1)))
    case("conv_stride", 13, node("Conv", "x,w,b", strides=[2, 3], pads=[1, 1, 1, 1]), w)
    case("conv_dilation", 13, node("Conv", "x,w,b", dilations=[2, 2], pads=[2, 2, 2, 2]), w)
    case("conv_dilation_uneven", 13, node("Conv", "x,w,b", dilations=[3, 1], pads=[1, 0, 0, 2]), w)
    case("conv_pads_asymmetric", 13, node("Conv", "x,w,b", pads=[0, 1, 2, 3], strides=[2, 2]), w)
    case("conv_pads_wide", 13, node("Conv", "x,w,b", pads=[4, 5, 4, 5], strides=[2, 2]), w)
    case("conv_groups", 13, node("Conv", "x,w,b", group=3, pads=[1, 1, 1, 1]),
         dict(w=weights(6, 1, 3, 3), b=weights(6, seed=1)))
    case("conv_depthwise", 13, node("Conv", "x,w", group=3, strides=[2, 2], auto_pad="SAME_UPPER"),
         dict(w=weights(3, 1, 3, 3)))
    case("conv_groups_of_two", 13,
         [node("Conv", "x,a", "m"), node("Conv", "m,w,b", group=2, pads=[1, 1, 1, 1], dilations=[1, 2])],
         dict(a=weights(8, 3, 1, 1), w=weights(6, 4, 3, 3), b=weights(6, seed=1)))
    case("conv_rectangle", 13, node("Conv", "x,w", pads=[0, 3, 0, 3]), dict(w=weights(4, 3, 1, 7)))
    for pad in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        for stride in (1, 2):
            case(f"conv_{pad.lower()}_stride{stride}", 11,
                 node("Conv", "x,w,b", auto_pad=pad, strides=[stride, stride]), w)
    case("conv_same_even_kernel", 11, node("Conv", "x,w", auto_pad="SAME_LOWER", strides=[2, 2]),
         dict(w=weights(4, 3, 4, 2)))
    case("conv_notset_kernel_shape", 11,
         node("Conv", "x,w,b", auto_pad="NOTSET", kernel_shape=[3, 3], pads=[1, 1, 1, 1]), w)
    case("conv_listed_inputs", 8, node("Conv", "x,w,b"), w, listed=True)


def pools():
    shapes = {"": {}, "_pads": dict(pads=[1, 0, 0, 1]), "_wide": dict(pads=[1, 1, 1, 1])}
    for op, short in (("MaxPool", "max_pool"), ("AveragePool", "average_pool")):
        opsets = (3, 8, 10, 12, 21) if op == "MaxPool" else (3, 7, 10, 11, 19)
        for opset in opsets:
            case(short, opset, node(op, "x", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1]))
        for tag, extra in shapes.items():
            for size in (7, 8):
                case(f"{short}_ceil{tag}_{size}", 13,
                     node(op, "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, **extra),
                     shape=(1, 3, size, size + 1))
        case(f"{short}_ceil_last_window_dropped", 13,
             node(op, "x", kernel_shape=[2, 2], strides=[3, 3], ceil_mode=1, pads=[1, 1, 1, 1]),
             shape=(1, 3, 7, 9))
        for pad in ("SAME_UPPER", "SAME_LOWER", "VALID"):
            case(f"{short}_{pad.lower()}", 13,
                 node(op, "x", kernel_shape=[3, 2], strides=[2, 2], auto_pad=pad))
        case(f"{short}_unit_stride", 13, node(op, "x", kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
        case(f"{short}_unused_parts", 13, node(op, "x", kernel_shape=[2, 2], strides=[4, 4]))
    case("max_pool_dilation", 12, node("MaxPool", "x", kernel_shape=[3, 2], dilations=[2, 3]))
    case("max_pool_dilation_pads", 12,
         node("MaxPool", "x", kernel_shape=[3, 3], dilations=[2, 2], pads=[2, 2, 2, 2], strides=[2, 2]))
    case("max_pool_unused_indices", 12,
         node("MaxPool", "x", "y,indices", kernel_shape=[2, 2]))
    for pads in ([1, 1, 1, 1], [1, 0, 0, 1], [0, 0, 0, 0]):
        tag = "".join(map(str, pads))
        case(f"average_pool_include_{tag}", 11,
             node("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=pads, count_include_pad=1))
    case("average_pool_include_ceil", 19,
         node("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1,
              count_include_pad=1), shape=(1, 3, 8, 6))
    case("average_pool_include_same", 11,
         node("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER",
              count_include_pad=1))
    case("average_pool_dilation", 19,
         node("AveragePool", "x", kernel_shape=[2, 3], dilations=[2, 1], pads=[1, 1, 1, 1]))
    for opset in (3, 21):
        case("global_average_pool", opset, node("GlobalAveragePool", "x"))
        case("global_max_pool", opset, node("GlobalMaxPool", "x"))


def activations():
    for op in ("Relu", "Sigmoid", "Tanh", "Elu", "LeakyRelu", "HardSigmoid"):
        for opset in (3, 6, 14):
            case(op.lower(), opset, node(op, "x"))
    case("elu_alpha", 13, node("Elu", "x", alpha=0.3))
    case("leakyrelu_alpha", 13, node("LeakyRelu", "x", alpha=0.4))
    case("leakyrelu_alpha_above_one", 13, node("LeakyRelu", "x", alpha=1.5))
    case("leakyrelu_alpha_negative", 13, node("LeakyRelu", "x", alpha=-0.5))
    case("hardsigmoid_numbers", 13, node("HardSigmoid", "x", alpha=0.9, beta=0.1))
    case("hardswish", 14, [node("Mul", "x,s", "m"), node("HardSwish", "m")], dict(s=F32(4)))
    for op in ("Exp", "Neg", "Abs", "Floor", "Ceil"):
        case(op.lower(), 6, node(op, "x"))
        case(op.lower(), 13, node(op, "x"))
    for op in ("Sqrt", "Log", "Reciprocal"):
        for opset in (6, 13):
            case(op.lower(), opset, [node("Abs", "x", "a"), node("Add", "a,e", "b"), node(op, "b")],
                 dict(e=F32(0.1).reshape(())) if opset >= 7 else dict(e=np.full((2, 3, 7, 6), 0.1, F32)))
    case("erf", 13, node("Erf", "x"))
    low, high = F32(-0.25).reshape(()), F32(0.5).reshape(())
    for opset in (3, 6):
        case("clip", opset, node("Clip", "x", min=-0.25, max=0.5))
        case("clip_no_min", opset, node("Clip", "x", max=0.5))
        case("clip_no_max", opset, node("Clip", "x", min=-0.25))
    case("clip_no_bounds", 6, node("Clip", "x"))
    for opset in (11, 13):
        case("clip", opset, node("Clip", "x,low,high"), dict(low=low, high=high))
        case("clip_no_min", opset, node("Clip", "x,,high"), dict(high=high))
        case("clip_no_max", opset, node("Clip", "x,low"), dict(low=low))
        case("clip_no_bounds", opset, node("Clip", "x"))
    case("clip_one_element_bounds", 11, node("Clip", "x,low,high"),
         dict(low=low.reshape(1), high=high.reshape(1)),
         expected=lambda x: np.clip(x, low, high))
    # The maximum wins, says opset 13's text.
    case("clip_min_above_max", 13, node("Clip", "x,low,high"), dict(low=high, high=low),
         expected=lambda x: np.minimum(np.maximum(x, high), low))
    channel = weights(3, seed=3)
    case("prelu_channel", 6, node("PRelu", "x,s"), dict(s=channel),
         expected=lambda x: np.where(x < 0, x * channel[:, None, None], x))
    for name, slope in dict(channel=channel.reshape(3, 1, 1), full=weights(3, 7, 6), one=weights(1),
                            scalar=F32(0.2).reshape(()), column=weights(6)).items():
        for opset in (7, 16):
            case(f"prelu_{name}", opset, node("PRelu", "x,s"), dict(s=slope))
    for op in ("Softmax", "LogSoftmax"):
        for opset, axes in ((3, (1, 2, 0)), (11, (1, 3, -1, -2)), (13, (1, 3, -1, 0))):
            for axis in axes:
                case(f"{op.lower()}_axis{axis}", opset, node(op, "x", axis=axis))
        for opset in (6, 12, 13):
            case(f"{op.lower()}_default", opset, node(op, "x"))


def arithmetic():
    legacy = {"channel": (weights(3, seed=5, low=0.5, high=1.5), 1), "last": (weights(6, seed=5, low=0.5), None),
              "middle": (weights(3, 7, seed=5, low=0.5), 1), "scalar": (F32(0.7).reshape(()), None)}
    functions = dict(Add=np.add, Sub=np.subtract, Mul=np.multiply, Div=np.divide)
    for op, f in functions.items():
        full = weights(2, 3, 7, 6, seed=6, low=0.5, high=1.5)
        for name, (b, axis) in legacy.items():
            view = b.reshape(b.shape + (1,) * (4 - (axis or 0) - b.ndim)) if axis is not None else b
            attributes = dict(broadcast=1, **({} if axis is None else dict(axis=axis)))
            case(f"{op.lower()}_legacy_{name}", 6, node(op, "x,b", **attributes), dict(b=b),
                 expected=lambda x, f=f, view=view: f(x, view))
        case(f"{op.lower()}_legacy_same", 3, node(op, "x,b"), dict(b=full),
             expected=lambda x, f=f: f(x, full))
        for opset in (7, 14):
            case(f"{op.lower()}_channel", opset, node(op, "x,b"), dict(b=legacy["channel"][0].reshape(3, 1, 1)))
            case(f"{op.lower()}_scalar", opset, node(op, "x,b"), dict(b=F32(0.7).reshape(())))
        case(f"{op.lower()}_left_scalar", 13, [node("Add", "x,two", "m"), node(op, "b,m")],
             dict(b=F32(0.7).reshape(()), two=F32(2).reshape(())))
        case(f"{op.lower()}_larger_weight", 13, [node("GlobalMaxPool", "x", "m"), node(op, "m,b")],
             dict(b=weights(3, 4, 5, seed=7, low=0.5)))
        case(f"{op.lower()}_more_dimensions", 13, node(op, "x,b"), dict(b=weights(2, 1, 1, 1, 6, low=0.5)))
        case(f"{op.lower()}_two_activations", 13, [node("GlobalMaxPool", "x", "m"), node(op, "x,m")])
    for opset in (7, 13):
        case("pow_square", opset, node("Pow", "x,e"), dict(e=F32(2).reshape(())))
        case("pow_cube", opset, node("Pow", "x,e"), dict(e=F32(3).reshape(())))
        case("pow_root", opset, [node("Abs", "x", "a"), node("Pow", "a,e")], dict(e=F32(0.5).reshape(())))
        case("pow_channels", opset, [node("Abs", "x", "a"), node("Pow", "a,e")],
             dict(e=weights(3, 1, 1, low=0.5, high=2.5)))
    case("min_two", 13, node("Min", "x,b"), dict(b=weights(3, 1, 1)))
    case("max_two", 13, node("Max", "x,b"), dict(b=weights(3, 1, 1)))
    case("sum_one", 13, node("Sum", "x"))
    case("sum_three_broadcast", 13, [node("GlobalMaxPool", "x", "m"), node("Sum", "m,x,b")], dict(b=weights(6)))
    case("sum_two", 3, [node("Relu", "x", "r"), node("Sum", "x,r")])
    case("sum_weight_first", 8, node("Sum", "b,x"), dict(b=weights(6)))


def matrices():
    flat = node("Flatten", "x", "f")
    a, single = dict(shape=(2, 3, 2, 2)), dict(shape=(1, 3, 2, 2))
    for opset in (3, 6):
        case("gemm_bias_broadcast", opset, [flat, node("Gemm", "f,w,b", broadcast=1)],
             dict(w=weights(12, 5), b=weights(5)), expected=lambda x: x.reshape(2, 12) @ weights(12, 5) + weights(5), **a)
    for opset in (7, 9, 11, 13):
        case("gemm_trans_b", opset, [flat, node("Gemm", "f,w,b", transB=1)],
             dict(w=weights(5, 12), b=weights(5)), **a)
    case("gemm_trans_a", 13, [flat, node("Gemm", "f,w,b", transA=1)], dict(w=weights(1, 5), b=weights(12, 1)), **single)
    case("gemm_trans_both", 13, [flat, node("Gemm", "f,w", transA=1, transB=1)], dict(w=weights(5, 1)), **single)
    case("gemm_alpha_beta", 13, [flat, node("Gemm", "f,w,b", alpha=0.5, beta=2.0)],
         dict(w=weights(12, 5), b=weights(1, 5)), **a)
    case("gemm_scalar_bias", 13, [flat, node("Gemm", "f,w,b")], dict(w=weights(12, 5), b=F32(0.3).reshape(())), **a)
    case("gemm_no_bias", 11, [flat, node("Gemm", "f,w")], dict(w=weights(12, 5)), **a)
    case("matmul_weights", 9, node("MatMul", "x,w"), dict(w=weights(6, 4)))
    case("matmul_left_weights", 13, node("MatMul", "w,x"), dict(w=weights(4, 7)))
    case("matmul_vector_right", 13, node("MatMul", "x,w"), dict(w=weights(6)))
    case("matmul_vector_left", 13, node("MatMul", "w,x"), dict(w=weights(7)))
    case("matmul_batched", 13, node("MatMul", "x,w"), dict(w=weights(3, 6, 4)))
    case("matmul_more_dimensions", 13, node("MatMul", "x,w"), dict(w=weights(2, 1, 1, 6, 4)))
    case("matmul_activations", 13, [node("Transpose", "x", "t", perm=[0, 1, 3, 2]), node("MatMul", "x,t")])
    case("matmul_vectors", 13, [node("ReduceMean", "x", "m", axes=[0, 1, 2], keepdims=0), node("MatMul", "m,w")],
         dict(w=weights(6)))


def joins():
    for opset in (3, 4, 13):
        case("concat_channels", opset, [node("Relu", "x", "r"), node("Concat", "x,r,x", axis=1)])
    case("concat_default_axis", 3, [node("Relu", "x", "r"), node("Concat", "x,r")],
         expected=lambda x: np.concatenate([x, np.maximum(x, 0)], 1))
    case("concat_negative_axis", 11, [node("Relu", "x", "r"), node("Concat", "x,r", axis=-1)])
    case("concat_rows", 13, [node("MaxPool", "x", "p", kernel_shape=[3, 1]), node("Concat", "x,p", axis=2)])
    case("concat_batch", 13, node("Concat", "x,x", axis=0))
    case("concat_one", 13, node("Concat", "x", axis=1))
    case("concat_weight", 13, node("Concat", "x,w", axis=1), dict(w=weights(1, 2, 7, 6)), shape=(1, 3, 7, 6))
    halves = [node("Neg", "a", "n"), node("Concat", "n,b", axis=1)]
    for opset in (3, 11):
        case("split_attribute", opset, [node("Split", "x", "a,b", axis=1, split=[1, 2])] + halves)
    case("split_equal", 11, [node("Split", "x", "a,b", axis=2)] + [node("Sub", "a,b")], shape=(1, 3, 8, 4))
    case("split_negative_axis", 11, [node("Split", "x", "a,b", axis=-1), node("Sub", "a,b")])
    for opset in (13, 18):
        extra = {} if opset == 13 else {}
        case("split_input", opset, [node("Split", "x,s", "a,b", axis=1, **extra)] + halves, dict(s=ints(2, 1)))
    case("split_equal", 13, [node("Split", "x", "a,b", axis=2), node("Sub", "a,b")], shape=(1, 3, 8, 4))
    case("split_uneven", 18, [node("Split", "x", "a,b", axis=2, num_outputs=2), node("Concat", "b,a", axis=2)])
    case("split_uneven_three", 18,
         [node("Split", "x", "a,b,c", axis=2, num_outputs=3), node("Concat", "c,b,a", axis=2)])
    case("split_unused_part", 13, [node("Split", "x,s", "a,b,c", axis=1), node("Relu", "b")], dict(s=ints(1, 1, 1)))


def shapes():
    for opset in (3, 9, 13):
        for axis in (0, 1, 2, 4):
            case(f"flatten_axis{axis}", opset, node("Flatten", "x", axis=axis))
    for axis in (-1, -3):
        case(f"flatten_axis{axis}", 11, node("Flatten", "x", axis=axis))
    case("reshape_attribute", 3, node("Reshape", "x", shape=[2, -1]), expected=lambda x: x.reshape(2, -1))
    case("reshape_attribute_copies", 3, node("Reshape", "x", shape=[0, 0, -1]), expected=lambda x: x.reshape(2, 3, -1))
    for opset in (5, 13, 14, 21):
        case("reshape", opset, node("Reshape", "x,s"), dict(s=ints(0, -1, 2)))
        case("reshape_copies", opset, node("Reshape", "x,s"), dict(s=ints(0, 0, 6, 7)))
    case("reshape_allow_zero", 14, node("Reshape", "x,s", allowzero=1), dict(s=ints(2, 3, 42)))
    case("reshape_six_dimensions", 13,
         [node("Reshape", "x,s", "r"), node("Transpose", "r", perm=[0, 2, 4, 1, 3, 5])], dict(s=ints(2, 3, 7, 2, 3, 1)))
    case("channel_shuffle", 13,
         [node("Reshape", "x,a", "r"), node("Transpose", "r", "t", perm=[0, 2, 1, 3, 4]), node("Reshape", "t,b")],
         dict(a=ints(1, 3, 2, 4, 2), b=ints(1, 6, 4, 2)), shape=(1, 3, 4, 4))
    for opset in (3, 13, 21):
        case("transpose", opset, node("Transpose", "x", perm=[0, 2, 3, 1]))
        case("transpose_default", opset, node("Transpose", "x"))
    pooled = node("GlobalMaxPool", "x", "m")
    for opset in (3, 11):
        case("squeeze_axes", opset, [pooled, node("Squeeze", "m", axes=[2, 3])])
        case("unsqueeze_axes", opset, node("Unsqueeze", "x", axes=[0, 4]))
    case("squeeze_negative_axes", 11, [pooled, node("Squeeze", "m", axes=[-1])])
    case("unsqueeze_negative_axes", 11, node("Unsqueeze", "x", axes=[-1, 1]))
    for opset in (13, 21):
        case("squeeze_axes", opset, [pooled, node("Squeeze", "m,a")], dict(a=ints(3, -2)))
        case("squeeze_all", opset, [pooled, node("Squeeze", "m")])
        case("unsqueeze_axes", opset, node("Unsqueeze", "x,a"), dict(a=ints(-1, 0)))
    case("squeeze_to_scalar", 13, [node("ReduceMean", "x", "m"), node("Squeeze", "m", "s"), node("Add", "x,s")])
    for opset in (3, 7, 10, 12, 13):
        inputs = "x" if opset < 12 else "x,ratio"
        case("dropout", opset, node("Dropout", inputs), {} if opset < 12 else dict(ratio=F32(0.5).reshape(())))
    case("dropout_is_test", 6, node("Dropout", "x", is_test=1, ratio=0.3), expected=lambda x: x)
    case("dropout_unused_mask", 13, node("Dropout", "x", "y,mask"))
    case("dropout_inference_flag", 13, node("Dropout", "x,,t"), dict(t=np.array(False)))
    case("identity", 13, node("Identity", "x"))
    constant = lambda **value: helper.make_node("Constant", [], ["c"], **value)
    case("constant_tensor", 9, [constant(value=numpy_helper.from_array(weights(3, 1, 1))), node("Add", "x,c")])
    case("constant_float", 12, [constant(value_float=0.5), node("Add", "x,c")])
    case("constant_floats", 13, [constant(value_floats=[0.5, 1.0, 1.5, 2.0, 2.5, 3.0]), node("Add", "x,c")])
    case("constant_ints", 13, [constant(value_ints=[0, -1]), node("Reshape", "x,c")])
    case("constant_int", 13, [constant(value_int=1), node("Gather", "x,c", axis=1)])
    value = numpy_helper.from_array(np.array([0.25], F32))
    for opset in (9, 21):
        case("constant_of_shape", opset, [helper.make_node("ConstantOfShape", ["s"], ["c"], value=value), node("Add", "x,c")],
             dict(s=ints(3, 1, 1)))
    case("constant_of_shape_default", 9, [helper.make_node("ConstantOfShape", ["s"], ["c"]), node("Concat", "x,c", axis=1)],
         dict(s=ints(1, 1, 7, 6)), shape=(1, 3, 7, 6))
    case("constant_of_shape_scalar", 9, [helper.make_node("ConstantOfShape", ["s"], ["c"], value=value), node("Add", "x,c")],
         dict(s=np.array([], I64)))
    case("expand", 8, [pooled, node("Expand", "m,s")], dict(s=ints(2, 1, 4, 5)))
    case("expand_more_dimensions", 13, node("Expand", "x,s"), dict(s=ints(2, 1, 1, 1, 1)))
    for opset in (6, 9, 13):
        case("cast_to_float", opset, [node("Cast", "w", "c", to=TensorProto.FLOAT), node("Add" if opset > 6 else "Sum", "x,c")],
             dict(w=np.arange(2 * 3 * 7 * 6, dtype=I64).reshape(2, 3, 7, 6)))
    case("cast_activation", 13, node("Cast", "x", to=TensorProto.FLOAT))
    case("cast_floats_to_ints", 13, [node("Cast", "s", "i", to=TensorProto.INT64), node("Reshape", "x,i")],
         dict(s=np.array([2.9, -1.5], F32)))


def picks():
    for opset in (3, 9):
        case("slice", opset, node("Slice", "x", axes=[1, 2], starts=[1, -4], ends=[3, -1]))
        case("slice_default_axes", opset, node("Slice", "x", starts=[0, 1], ends=[1, 1000]))
    for opset in (10, 13):
        case("slice", opset, node("Slice", "x,s,e,a"), dict(s=ints(1, -4), e=ints(3, -1), a=ints(1, 2)))
        case("slice_steps", opset, node("Slice", "x,s,e,a,t"),
             dict(s=ints(0, 5), e=ints(7, 0), a=ints(2, 3), t=ints(3, -2)))
        case("slice_reverse", opset, node("Slice", "x,s,e,a,t"),
             dict(s=ints(-1), e=ints(np.iinfo(I64).min), a=ints(3), t=ints(-1)))
        case("slice_default_axes", opset, node("Slice", "x,s,e"), dict(s=ints(0, 1), e=ints(1, np.iinfo(I64).max)))
        case("slice_skipped_axes", opset, node("Slice", "x,s,e,,t"), dict(s=ints(0, 0), e=ints(2, 3), t=ints(1, 2)))
        case("slice_negative_axes", opset, node("Slice", "x,s,e,a"), dict(s=ints(1), e=ints(-1), a=ints(-1)))
    case("slice_int32", 13, node("Slice", "x,s,e,a"),
         dict(s=np.array([1], np.int32), e=np.array([3], np.int32), a=np.array([1], np.int32)))
    for opset in (3, 11, 13):
        case("gather_scalar", opset, node("Gather", "x,i", axis=1), dict(i=np.array(2, I64)))
        case("gather_list", opset, node("Gather", "x,i", axis=2), dict(i=ints(6, 0, 0)))
        case("gather_matrix", opset, node("Gather", "x,i", axis=1), dict(i=ints(0, 2, 1, 0).reshape(2, 2)))
    case("gather_negative", 11, node("Gather", "x,i", axis=-1), dict(i=ints(-1, -6)))
    case("gather_default_axis", 13, node("Gather", "x,i"), dict(i=np.array(0, np.int32)))
    pads = [0, 0, 1, 2, 0, 1, 0, 3]
    for mode in ("constant", "reflect", "edge"):
        spatial = [0, 0, 1, 2, 0, 0, 3, 1] if mode != "constant" else pads
        for opset in (3, 10):
            case(f"pad_{mode}", opset, node("Pad", "x", mode=mode, pads=spatial, **({"value": 0.5} if mode == "constant" else {})))
        for opset in (11, 13, 18, 21):
            case(f"pad_{mode}", opset, node("Pad", "x,p", mode=mode), dict(p=ints(*spatial)))
    case("pad_value", 11, node("Pad", "x,p,v"), dict(p=ints(*pads), v=F32(-0.75).reshape(())))
    case("pad_axes", 18, node("Pad", "x,p,v,a"), dict(p=ints(1, 2, 3, 4), v=F32(2).reshape(()), a=ints(-1, 2)))
    case("pad_axes_without_value", 18, node("Pad", "x,p,,a"), dict(p=ints(1, 2), a=ints(3)))
    case("pad_reflect_channels", 13, node("Pad", "x,p", mode="reflect"), dict(p=ints(0, 2, 0, 5, 0, 1, 6, 0)))
    case("pad_edge_wide", 13, node("Pad", "x,p", mode="edge"), dict(p=ints(1, 0, 9, 0, 2, 0, 0, 11)))


def statistics():
    mix = weights(7, 3, 1, 1, low=-2, high=2)
    for size in (1, 2, 3, 4, 5, 9):
        # ONNX Runtime refuses even sizes, and the reference evaluator of onnx 1.23.2 takes the
        # batch for the channels; this is the formula of the operator's text.
        def normalised(x, size=size):
            y = np.einsum("nchw,oc->nohw", x, mix[:, :, 0, 0])
            below, above = (size - 1) // 2, size // 2
            squares = [np.square(y[:, max(0, c - below):c + above + 1]).sum(1) for c in range(7)]
            return y / (1.5 + 0.5 / size * np.stack(squares, 1)) ** 0.6

        case(f"lrn_size{size}", 13,
             [node("Conv", "x,w", "c"), node("LRN", "c", size=size, alpha=0.5, beta=0.6, bias=1.5)],
             dict(w=mix), expected=normalised if size % 2 == 0 else None)
    case("lrn_defaults", 3, node("LRN", "x", size=5))
    batch = dict(s=weights(3, low=0.5, high=1.5), b=weights(3, seed=1), m=weights(3, seed=2),
                 v=weights(3, seed=3, low=0.1, high=2))
    for opset in (6, 7, 9, 14, 15):
        attributes = dict(is_test=1) if opset == 6 else {}
        case("batch_normalization", opset, node("BatchNormalization", "x,s,b,m,v", epsilon=1e-3, **attributes), batch)
    case("batch_normalization_default_epsilon", 13, node("BatchNormalization", "x,s,b,m,v"), batch)
    case("batch_normalization_matrix", 13,
         [node("ReduceMean", "x", "r", axes=[2, 3], keepdims=0), node("BatchNormalization", "r,s,b,m,v")], batch)
    # ONNX Runtime 1.31.1 crashes on optional outputs that are listed without a name.
    column = {k: v[:, None, None] for k, v in batch.items()}
    case("batch_normalization_listed_outputs", 9, node("BatchNormalization", "x,s,b,m,v", "y,,,,"), batch,
         expected=lambda x: (x - column["m"]) / np.sqrt(column["v"] + F32(1e-5)) * column["s"] + column["b"])
    for opset in (3, 6, 21):
        case("instance_normalization", opset, node("InstanceNormalization", "x,s,b", epsilon=1e-2),
             dict(s=batch["s"], b=batch["b"]))
    for axis, shape in ((-1, (6,)), (2, (7, 6)), (1, (3, 7, 6))):
        case(f"layer_normalization_axis{axis}", 17, node("LayerNormalization", "x,s,b", axis=axis),
             dict(s=weights(*shape), b=weights(*shape, seed=1)))
    case("layer_normalization_no_bias", 17, node("LayerNormalization", "x,s", epsilon=0.1), dict(s=weights(6)))
    for opset in (3, 11, 13):
        for keep in (0, 1):
            case(f"reduce_mean_keep{keep}", opset, node("ReduceMean", "x", axes=[2, 3], keepdims=keep))
        case("reduce_mean_all", opset, node("ReduceMean", "x"))
    case("reduce_mean_negative_axes", 11, node("ReduceMean", "x", axes=[-1, 1]))
    for keep in (0, 1):
        case(f"reduce_mean_keep{keep}", 18, node("ReduceMean", "x,a", keepdims=keep), dict(a=ints(-2, -1)))
        case(f"reduce_mean_all_keep{keep}", 18, node("ReduceMean", "x", keepdims=keep))
    case("reduce_mean_nothing", 18, node("ReduceMean", "x", noop_with_empty_axes=1))
    case("reduce_mean_nothing_listed", 18, node("ReduceMean", "x,a", noop_with_empty_axes=1), dict(a=np.array([], I64)))


def shape_arithmetic():
    """What exporters leave around a Reshape."""
    def vector(name, value, opset):
        return numpy_helper.from_array(np.array(value, I64), name)

    for opset in (9, 13):
        unsqueeze = (lambda a, b: node("Unsqueeze", a, b, axes=[0])) if opset < 13 else (lambda a, b: node("Unsqueeze", f"{a},zero", b))
        zero = dict(zero=ints(0)) if opset >= 13 else {}
        case("shape_gather_concat_reshape", opset,
             [node("Shape", "x", "s"), node("Gather", "s,i", "g", axis=0), unsqueeze("g", "u"),
              node("Concat", "u,minus", "t", axis=0), node("Reshape", "x,t")],
             dict(i=np.array(0, I64), minus=ints(-1), **zero))
    case("shape_slice_concat", 10,
         [node("Shape", "x", "s"), node("Slice", "s,a,b", "head"), node("Concat", "head,minus", "t", axis=0),
          node("Reshape", "x,t")], dict(a=ints(0), b=ints(2), minus=ints(-1)))
    case("shape_start_end", 15,
         [node("Shape", "x", "s", start=1, end=-1), node("Concat", "minus,s", "t", axis=0), node("Reshape", "x,t")],
         dict(minus=ints(-1)))
    case("shape_cast_arithmetic", 13,
         [node("Shape", "x", "s"), node("Gather", "s,i", "h", axis=0), node("Cast", "h", "f", to=TensorProto.FLOAT),
          node("Div", "f,two", "half"), node("Floor", "half", "low"), node("Cast", "low", "n", to=TensorProto.INT64),
          node("Unsqueeze", "n,zero", "u"), node("Slice", "x,zero,u,axis")],
         dict(i=np.array(2, I64), two=F32(2).reshape(()), zero=ints(0), axis=ints(2)))
    case("shape_integer_arithmetic", 13,
         [node("Shape", "x", "s"), node("Mul", "s,m", "a"), node("Div", "a,d", "t"), node("Reshape", "x,t")],
         dict(m=ints(1, 2, 1, 1), d=ints(1, 1, 1, 2)))
    case("shape_split_squeeze", 13,
         [node("Shape", "x", "s"), node("Split", "s,parts", "a,b", axis=0), node("Concat", "b,a", "t", axis=0),
          node("Reshape", "x,t")], dict(parts=ints(2, 2)))
    case("shape_equal_where_expand", 13,
         [node("Shape", "x", "s"), helper.make_node("ConstantOfShape", ["four"], ["ones"], value=vector("", [1], 13)),
          node("Mul", "ones,minus", "m"), node("Equal", "want,m", "e"), node("Where", "e,ones,want", "t"),
          node("GlobalMaxPool", "x", "p"), node("Expand", "p,t")],
         dict(four=ints(4), minus=ints(-1), want=ints(-1, 3, 4, 5)))
    case("shape_pad_from_arithmetic", 11,
         [helper.make_node("ConstantOfShape", ["four"], ["zeros"], value=vector("", [0], 11)),
          node("Concat", "given,zeros", "c", axis=0), node("Reshape", "c,pairs", "r"),
          node("Slice", "r,s,e,zero,step", "reversed"), node("Transpose", "reversed", "t", perm=[1, 0]),
          node("Reshape", "t,all", "p"), node("Pad", "x,p")],
         dict(four=ints(4), given=ints(1, 2, 3, 4), pairs=ints(-1, 2), s=ints(-1), e=ints(-(2**62)), zero=ints(0),
              step=ints(-1), all=ints(-1)))
    case("shape_modulo", 13,
         [node("Shape", "x", "s"), node("Mod", "s,m", "t"), node("Add", "t,one", "u"), node("GlobalMaxPool", "x", "p"),
          node("Expand", "p,v")] , dict(m=ints(2, 2, 2, 2), one=ints(1), v=ints(1, 1, 2, 2)))


def storage():
    """Every way in which a file may store the same numbers."""
    w = weights(4, 3, 1, 1)
    conv = [node("Cast", "w", "c", to=TensorProto.FLOAT), node("Conv", "x,c")]
    case("storage_float_typed", 13, node("Conv", "x,w"), dict(w=w),
         replace=dict(w=helper.make_tensor("w", TensorProto.FLOAT, w.shape, w.ravel())))
    for name, kind in (("float16", TensorProto.FLOAT16), ("bfloat16", TensorProto.BFLOAT16), ("double", TensorProto.DOUBLE)):
        typed = helper.make_tensor("w", kind, w.shape, w.ravel())
        array = numpy_helper.to_array(typed)
        raw = numpy_helper.from_array(array, "w")
        assert raw.data_type == kind and raw.raw_data and not typed.raw_data
        numbers = array.astype(F32)
        expected = lambda x, k=numbers: np.einsum("nchw,oc->nohw", x, k[:, :, 0, 0])
        case(f"storage_{name}_typed", 13, conv, dict(w=w), replace=dict(w=typed), expected=expected)
        case(f"storage_{name}_raw", 13, conv, dict(w=w), replace=dict(w=raw), expected=expected)
    for kind in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.bool_):
        values = np.array([1, 0, 100], kind)
        stored = numpy_helper.from_array(values, "w")
        typed = helper.make_tensor("w", stored.data_type, [3], values.tolist())
        nodes = [node("Cast", "w", "c", to=TensorProto.FLOAT), node("Reshape", "c,s", "r"), node("Add", "x,r")]
        for how, tensor in (("raw", stored), ("typed", typed)):
            case(f"storage_{values.dtype.name}_{how}", 13, nodes, dict(w=values, s=ints(3, 1, 1)), replace=dict(w=tensor))
    case("storage_negative_ints", 13,
         [node("Cast", "w", "c", to=TensorProto.FLOAT), node("Mul", "x,c")], dict(w=np.array([-3], np.int16)))
    case("storage_scalar", 13, node("Mul", "x,w"), dict(w=F32(3).reshape(())))


def microsoft(op, inputs, outputs=("y",), **attributes):
    return node(op, inputs, outputs, domain="com.microsoft", **attributes)


def joined(*outputs):
    """Nodes that make `y` of several outputs, one behind the other."""
    flat = [node("Reshape", f"{o},flat", (f"{o}_flat",)) for o in outputs]
    return flat + [node("Concat", [f"{o}_flat" for o in outputs], axis=0)]


FLAT = dict(flat=ints(-1))


def transformers():
    def normal(name, op, inputs, outputs, ws, **attributes):
        nodes = [node("Reshape", "x,s", ("r",)), microsoft(op, inputs, outputs, **attributes)]
        nodes += joined(*[o for o in outputs if o])
        case(f"microsoft_{name}", 17, nodes, ws | FLAT | dict(s=ints(2, 6, 8)), shape=(1, 2, 6, 8))

    vector = lambda seed: weights(8, seed=seed)
    normal("gelu", "Gelu", "r", ("o",), {})
    normal("bias_gelu", "BiasGelu", "r,b", ("o",), dict(b=vector(1)))
    normal("fast_gelu", "FastGelu", "r", ("o",), {})
    normal("fast_gelu_bias", "FastGelu", "r,b", ("o",), dict(b=vector(1)))
    normal("quick_gelu", "QuickGelu", "r", ("o",), {})
    normal("quick_gelu_alpha", "QuickGelu", "r", ("o",), {}, alpha=0.8)
    skip = dict(k=weights(2, 6, 8, seed=3), g=vector(4), b=vector(5), c=vector(6))
    normal("skip_layer_norm", "SkipLayerNormalization", "r,k,g,b", ("o",), skip, epsilon=1e-3)
    normal("skip_layer_norm_sum", "SkipLayerNormalization", "r,k,g,b,c", ("o", "", "", "t"), skip)
    normal("skip_layer_norm_plain", "SkipLayerNormalization", "r,r,g", ("o",), skip)
    normal("skip_simplified", "SkipSimplifiedLayerNormalization", "r,k,g,c", ("o", "", "", "t"), skip)
    normal("simplified", "SkipSimplifiedLayerNormalization", "r,k,g", ("o",), skip, epsilon=1e-2)

    w = dict(w=weights(8, 24, seed=1), c=weights(24, seed=2))
    mask = lambda *values: dict(m=np.array(values, np.int32))
    ends, raw = mask(4, 6), dict(m=np.array([[1, 1, 0, 1, 1, 0], [1, 0, 1, 1, 1, 1]], np.int32))
    normal("attention", "Attention", "r,w,c", ("o",), w, num_heads=2)
    normal("attention_causal", "Attention", "r,w,c", ("o",), w, num_heads=4, unidirectional=1)
    normal("attention_lengths", "Attention", "r,w,c,m", ("o",), w | ends, num_heads=2)
    normal("attention_spans", "Attention", "r,w,c,m", ("o",), w | mask(4, 6, 1, 2), num_heads=2)
    normal("attention_mask", "Attention", "r,w,c,m", ("o",), w | raw, num_heads=2, scale=0.5)
    cube = dict(m=(weights(2, 6, 6, seed=9) > -0.2).astype(np.int32))
    normal("attention_mask_3d", "Attention", "r,w,c,m", ("o",), w | cube, num_heads=2)
    normal("attention_filter", "Attention", "r,w,c,m", ("o",), w | raw, num_heads=2, mask_filter_value=-1.5)
    normal("attention_bias", "Attention", "r,w,c,,,b", ("o",), w | dict(b=weights(1, 2, 6, 6)), num_heads=2)
    past = dict(p=weights(2, 2, 2, 3, 4, seed=7))
    normal("attention_past", "Attention", "r,w,c,,p", ("o", "t"), w | past, num_heads=2, unidirectional=1)
    wide = dict(w=weights(8, 28, seed=1), c=weights(28, seed=2))
    normal("attention_widths", "Attention", "r,w,c", ("o",), wide, num_heads=2, qkv_hidden_sizes=[8, 8, 12])

    kv = dict(k=weights(2, 5, 8, seed=3), v=weights(2, 5, 12, seed=4), b=weights(28, seed=5))
    multi = lambda name, inputs, outputs, ws, **a: normal(
        f"multi_head_{name}", "MultiHeadAttention", inputs, outputs, ws, num_heads=2, **a)
    multi("plain", "r,k,v", ("o",), kv)
    multi("self", "r,r,r", ("o",), kv, unidirectional=1)
    multi("bias", "r,k,v,b", ("o",), kv, scale=0.3)
    multi("lengths", "r,k,v,,m", ("o",), kv | mask(3, 5))
    multi("mask", "r,k,v,b,m", ("o",), kv | dict(m=np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1]], np.int32)))
    multi("scores", "r,k,v,,,s2", ("o",), kv | dict(s2=weights(2, 1, 6, 5, seed=8)))
    even = dict(k=kv["k"], v=weights(2, 5, 8, seed=4), b=weights(24, seed=5))
    old = dict(pk=weights(2, 2, 3, 4, seed=6), pv=weights(2, 2, 3, 4, seed=7))
    multi("past", "r,k,v,b,,,pk,pv", ("o", "t", "u"), even | old)
    heads = dict(k=weights(2, 2, 5, 4, seed=3), v=weights(2, 2, 5, 4, seed=4))
    multi("heads", "r,k,v", ("o",), heads)

    a = weights(2, 4, 5, seed=1)
    fused = lambda name, shape, inputs, ws, **attributes: case(
        f"microsoft_fused_matmul_{name}", 17,
        [node("Reshape", "x,s", ("r",)), microsoft("FusedMatMul", inputs, **attributes)],
        ws | dict(s=ints(*shape)), shape=(1, 2, 3, 4))
    fused("alpha", (2, 3, 4), "r,a", dict(a=a), alpha=0.25)
    fused("dense", (2, 3, 4), "r,a", dict(a=weights(5, 4)), alpha=2.0, transB=1)
    fused("left", (2, 4, 3), "r,a", dict(a=a), transA=1)
    fused("right", (2, 3, 4), "r,a", dict(a=weights(2, 5, 4)), transB=1)
    fused("batch", (3, 2, 4), "r,a", dict(a=weights(2, 5, 4)), transBatchA=1, transB=1)
    fused("both", (4, 2, 3), "r,a", dict(a=weights(5, 2, 4)), transBatchA=1, transA=1, transBatchB=1, transB=1)
    for function, extra in dict(Relu={}, Tanh={}, Sigmoid={}, LeakyRelu=dict(activation_alpha=0.2)).items():
        case(f"microsoft_fused_gemm_{function.lower()}", 17,
             [node("Reshape", "x,s", ("r",)),
              microsoft("FusedGemm", "r,w,b", activation=function, alpha=0.5, transB=1, **extra)],
             dict(w=weights(5, 8), b=weights(5, seed=1), s=ints(6, 8)), shape=(1, 2, 6, 4))


def sequences():
    """Recurrent layers, in what ONNX's own tests leave out."""
    def layer(name, op, gates, outputs, length=6, **attributes):
        ways = 2 if attributes.get("direction") == "bidirectional" else 1
        extra = attributes.pop("extra", {})
        ws = dict(w=weights(ways, gates * 5, 4, seed=1), r=weights(ways, gates * 5, 5, seed=2),
                  b=weights(ways, gates * 10, seed=3)) | extra | FLAT | dict(s=ints(length, 2, 4))
        order = ["t", "w", "r", "b", "l" if "l" in extra else "", "h" if "h" in extra else "",
                 "c" if "c" in extra else "", "p" if "p" in extra else ""]
        while not order[-1]:
            order.pop()
        nodes = [node("Reshape", "x,s", ("t",)), node(op, order, outputs, hidden_size=5, **attributes)]
        case(f"{op.lower()}_{name}", 14, nodes + joined(*outputs), ws, shape=(1, 2, length, 4))

    start = lambda ways: dict(h=weights(ways, 2, 5, seed=4))
    lengths = dict(l=np.array([6, 3], np.int32))
    for op, gates, outputs in (("RNN", 1, ("o", "u")), ("GRU", 3, ("o", "u")), ("LSTM", 4, ("o", "u", "v"))):
        layer("reverse", op, gates, outputs, direction="reverse")
        layer("both", op, gates, outputs, direction="bidirectional", extra=start(2))
        layer("lengths", op, gates, outputs, extra=lengths | start(1))
        layer("both_lengths", op, gates, outputs, direction="bidirectional", extra=lengths | start(2))
        layer("clip", op, gates, outputs, clip=0.3)
    layer("relu", "RNN", 1, ("o", "u"), activations=["Relu"])
    layer("leaky", "RNN", 1, ("o", "u"), direction="bidirectional", activations=["LeakyRelu", "Elu"],
          activation_alpha=[0.2, 0.7])
    layer("linear", "GRU", 3, ("o", "u"), linear_before_reset=1)
    layer("functions", "GRU", 3, ("o", "u"), activations=["HardSigmoid", "Softsign"])
    layer("peepholes", "LSTM", 4, ("o", "u", "v"), direction="bidirectional",
          extra=start(2) | dict(c=weights(2, 2, 5, seed=6), p=weights(2, 15, seed=7)))
    layer("coupled", "LSTM", 4, ("o", "u", "v"), input_forget=1)


def more_products():
    for name, equation, shape, ws in (
        ("dense", "...i,ij->...j", (2, 3, 4, 5), dict(w=weights(5, 6))),
        ("dense_two", "bhwc,hwcd->bd", (2, 3, 4, 5), dict(w=weights(3, 4, 5, 6))),
        ("left", "oi,nihw->nohw", (2, 3, 4, 5), dict(w=weights(6, 3))),
        ("ellipsis", "...ij,...jk->...ik", (2, 3, 4, 5), dict(w=weights(3, 5, 2))),
        ("three", "nihw,oi,ho->nwo", (2, 3, 4, 5), dict(w=weights(6, 3), v=weights(4, 6))),
        ("implied", "nchw,wc", (2, 3, 4, 5), dict(w=weights(5, 3))),
        ("trace", "nchh->nc", (2, 3, 4, 4), {}),
        ("diagonal", "nchh,nc->hn", (2, 3, 4, 4), dict(w=weights(2, 3))),
        ("outer", "nchw,k->kwhcn", (2, 3, 4, 5), dict(w=weights(2))),
    ):
        inputs = "w,x" if name == "left" else ["x", *ws]
        case(f"einsum_{name}", 12, node("Einsum", inputs, equation=equation), ws, shape=shape)
    for n in (1, 3, 4, 5, 7):
        case(f"det_{n}", 11, node("Det", "x"), shape=(2, 3, n, n))


def more_statistics():
    per_channel = lambda: dict(s=weights(4, seed=1, low=0.5, high=1.5), b=weights(4, seed=2),
                               m=weights(4, seed=3), v=weights(4, seed=4, low=0.5, high=1.5))
    training = node("BatchNormalization", "x,s,b,m,v", ("o", "p", "q"), training_mode=1, momentum=0.7)
    case("batch_norm_training", 15, [training, *joined("o", "p", "q")], per_channel() | FLAT, shape=(3, 4, 5, 2))
    live = [node("ReduceMean", "x", ("a",), axes=[0, 2, 3], keepdims=0), node("Mul", "a,a", ("d",)),
            node("Add", "d,v", ("e",)), node("BatchNormalization", "x,s,b,a,e")]
    case("batch_norm_live", 15, live, per_channel(), shape=(3, 4, 5, 2))
    case("group_norm", 21, node("GroupNormalization", "x,s,b", num_groups=2),
         dict(s=weights(4), b=weights(4, seed=1)), shape=(2, 4, 3, 5))
    case("group_norm_groups", 18, node("GroupNormalization", "x,s,b", num_groups=2),
         dict(s=weights(2), b=weights(2, seed=1)), shape=(2, 4, 3, 5),
         expected=lambda x: grouped(x, weights(2), weights(2, seed=1)))
    flat = [node("Reshape", "x,t", ("r",))]
    case("instance_norm_1d", 13, flat + [node("InstanceNormalization", "r,s,b")],
         dict(s=weights(4), b=weights(4, seed=1), t=ints(2, 4, 15)), shape=(2, 4, 3, 5))
    case("lrn_1d", 13, flat + [node("LRN", "r", size=3, alpha=0.5)], dict(t=ints(2, 8, 15)), shape=(2, 8, 3, 5),
         expected=lambda x: local(x.reshape(2, 8, 15)))
    case("mean_variance_axes", 13, node("MeanVarianceNormalization", "x", axes=[1, 3]))
    for p in (1, 2):
        case(f"lp_normalization_{p}", 1, node("LpNormalization", "x", axis=2, p=p))
    case("rms_normalization", 23, node("RMSNormalization", "x,s", axis=-2, epsilon=1e-3), dict(s=weights(7, 6)))
    case("hardmax", 13, node("Hardmax", "x", axis=1))
    case("hardmax", 11, node("Hardmax", "x", axis=2))
    signal = [node("Reshape", "x,t", ("r",))]
    for name, attributes in (("onesided", dict(onesided=1)), ("inverse", dict(inverse=1))):
        parts = 1 if name == "onesided" else 2
        case(f"dft_{name}", 17, signal + [node("DFT", "r", axis=1, **attributes)],
             dict(t=ints(2, 9, 3, parts)), shape=(1, 2, 9, 3 * parts))
    for length in (6, 14):
        case(f"dft_length_{length}", 20, signal + [node("DFT", "r,n,a")],
             dict(t=ints(2, 3, 9, 2), n=ints(length).reshape(()), a=ints(-2).reshape(())), shape=(1, 2, 9, 6))
    case("stft_window", 17, signal + [node("STFT", "r,n,w", onesided=0)],
         dict(t=ints(2, 40, 1), n=ints(5).reshape(()), w=weights(8, low=0.1)), shape=(1, 2, 8, 5))


def local(x):
    squares = np.pad(x * x, ((0, 0), (1, 1), (0, 0)))
    return x / (1 + 0.5 / 3 * (squares[:, :-2] + squares[:, 1:-1] + squares[:, 2:])) ** 0.75


def grouped(x, scale, bias):
    n, c, h, w = x.shape
    groups = x.reshape(n, len(scale), -1)
    mean, variance = groups.mean(2, keepdims=True), groups.var(2, keepdims=True)
    normal = (groups - mean) / np.sqrt(variance + 1e-5)
    return (normal * scale[:, None] + bias[:, None]).reshape(x.shape)


def boxes():
    """Convolutions and pools in one and three dimensions, and their inverses."""
    line, box = ints(2, 6, 21), ints(1, 2, 5, 5, 6)
    as_line, as_box = node("Reshape", "x,s", "v"), node("Reshape", "x,s", "v")
    cube = dict(shape=(1, 2, 30, 5))
    case("conv_line", 13, [as_line, node("Conv", "v,w,b", group=2, pads=[1, 3], strides=[2], dilations=[2])],
         dict(s=line, w=weights(4, 3, 3), b=weights(4, seed=1)))
    case("conv_line_same", 13, [as_line, node("Conv", "v,w", strides=[2], auto_pad="SAME_LOWER")],
         dict(s=line, w=weights(4, 6, 4)))
    w = dict(s=box, w=weights(4, 1, 2, 3, 2), b=weights(4, seed=1))
    case("conv_box", 13, [as_box, node("Conv", "v,w,b", group=2, pads=[1, 0, 1, 0, 2, 1], strides=[2, 1, 1],
                                       dilations=[1, 2, 1])], w, **cube)
    case("conv_box_even_pads", 13, [as_box, node("Conv", "v,w,b", group=2, pads=[1] * 6)], w, **cube)
    for op, short, more in (("MaxPool", "max_pool", {}), ("AveragePool", "average_pool", {}),
                            ("AveragePool", "average_pool_include", dict(count_include_pad=1)),
                            ("LpPool", "lp_pool", dict(p=3))):
        pool = lambda **given: node(op, "v", **more, **given)
        case(f"{short}_line", 22, [as_line, pool(kernel_shape=[4], strides=[3], pads=[1, 2], ceil_mode=1)], dict(s=line))
        case(f"{short}_line_same", 22, [as_line, pool(kernel_shape=[4], strides=[2], auto_pad="SAME_UPPER")],
             dict(s=line))
        case(f"{short}_box", 22, [as_box, pool(kernel_shape=[2, 3, 2], strides=[2, 1, 2], pads=[1, 0, 1, 0, 1, 0],
                                               ceil_mode=1)], dict(s=box), **cube)
        case(f"{short}_box_dilation", 22, [as_box, pool(kernel_shape=[2, 2, 3], dilations=[2, 3, 1])], dict(s=box), **cube)
    for opset in (11, 13, 18, 22):
        case("lp_pool", opset, node("LpPool", "x", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1]))
        case("lp_pool_same", opset, node("LpPool", "x", kernel_shape=[3, 2], strides=[2, 2], auto_pad="SAME_LOWER"))
    case("lp_pool_sums", 13, node("LpPool", "x", kernel_shape=[3, 2], p=1))
    for p in (1, 2, 3):
        case(f"global_lp_pool_{p}", 13, node("GlobalLpPool", "x", p=p))
    for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"):
        case(f"{op.lower()}_line", 13, [as_line, node(op, "v")], dict(s=line))
        case(f"{op.lower()}_box", 13, [as_box, node(op, "v")], dict(s=box), **cube)
    numbers = node("Cast", "i", to=TensorProto.FLOAT)
    for order in (0, 1):
        case(f"max_pool_indices_{order}", 12, [node("MaxPool", "x", "m,i", kernel_shape=[3, 2], strides=[2, 2],
             pads=[1, 0, 1, 1], storage_order=order), numbers])
        case(f"max_pool_indices_box_{order}", 12, [as_box, node("MaxPool", "v", "m,i", kernel_shape=[2, 2, 2],
             strides=[2, 1, 2], storage_order=order), numbers], dict(s=box), **cube)
    case("max_unpool", 12, [node("MaxPool", "x", "m,i", kernel_shape=[2, 2], strides=[2, 2]),
                            node("MaxUnpool", "m,i", kernel_shape=[2, 2], strides=[2, 2])], shape=(2, 3, 8, 6))
    case("max_unpool_overlapping", 12,
         [node("MaxPool", "x", "m,i", kernel_shape=[3, 3], strides=[2, 2]),
          node("MaxUnpool", "m,i", kernel_shape=[3, 3], strides=[2, 2])], shape=(2, 3, 9, 7))
    rois = np.array([[0, 0, 0, 5, 6], [1, 1.6, 2, 3, 9], [0, 4, 4, 3, 3], [1, 0, 1, 8, 4]], F32)
    case("max_roi_pool", 13, node("MaxRoiPool", "x,r", pooled_shape=[3, 2]), dict(r=rois))
    case("max_roi_pool_scale", 13, node("MaxRoiPool", "x,r", pooled_shape=[2, 4], spatial_scale=0.5),
         dict(r=rois * F32([1, 2, 2, 2, 2])))
    up = dict(w=weights(3, 4, 3, 2), b=weights(4, seed=1))
    for opset in (1, 11, 22):
        case("conv_transpose", opset, node("ConvTranspose", "x,w,b", strides=[2, 3], pads=[1, 0, 2, 1]), up)
    transposed = lambda **given: node("ConvTranspose", "x,w,b", **given)
    case("conv_transpose_dilation", 13, transposed(dilations=[2, 3], strides=[1, 2]), up)
    case("conv_transpose_output_padding", 13, transposed(strides=[3, 3], output_padding=[2, 1], pads=[1, 1, 1, 1]), up)
    for pad in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        case(f"conv_transpose_{pad.lower()}", 13, transposed(strides=[2, 2], auto_pad=pad), up)
        case(f"conv_transpose_{pad.lower()}_shape", 13,
             transposed(strides=[2, 2], auto_pad=pad, output_shape=[13, 11]), up)
    case("conv_transpose_shape_larger", 13, transposed(strides=[2, 2], output_shape=[16, 12]), up)
    case("conv_transpose_groups", 13,
         [node("Conv", "x,a", "m"), node("ConvTranspose", "m,w,b", group=2, strides=[2, 1], pads=[0, 1, 1, 0])],
         dict(a=weights(4, 3, 1, 1), w=weights(4, 3, 3, 2), b=weights(6, seed=1)))
    case("conv_transpose_depthwise", 13, node("ConvTranspose", "x,w", group=3, strides=[2, 2], pads=[1, 1, 1, 1]),
         dict(w=weights(3, 1, 4, 4)))
    case("conv_transpose_line", 13, [as_line, node("ConvTranspose", "v,w", group=2, strides=[2], pads=[1, 0])],
         dict(s=line, w=weights(6, 2, 4)))
    case("conv_transpose_box", 13, [as_box, node("ConvTranspose", "v,w,b", strides=[2, 1, 2], pads=[1, 0, 0, 0, 1, 1],
         output_padding=[1, 0, 0])], dict(s=box, w=weights(2, 3, 2, 3, 2), b=weights(3, seed=1)), **cube)
    microsoft = lambda inputs, **given: helper.make_node("FusedConv", inputs.split(","), ["y"], name="f",
                                                         domain="com.microsoft", pads=[1, 1, 1, 1], **given)
    fused = dict(w=weights(4, 3, 3, 3), b=weights(4, seed=1), z=weights(2, 4, 7, 6, seed=2))
    for how, given in (("Relu", []), ("Sigmoid", []), ("Tanh", []), ("LeakyRelu", [0.3]), ("Clip", [-0.2, 0.4]),
                       ("HardSigmoid", [0.3, 0.4])):
        more = dict(activation_params=given) if given else {}
        case(f"fused_conv_{how.lower()}", 13, microsoft("x,w,b", activation=how, **more), fused)
    case("fused_conv_residual", 13, microsoft("x,w,b,z", activation="Relu"), fused)
    offsets = dict(w=weights(4, 3, 3, 2), o=weights(2, 12, 5, 5, seed=2, low=-2, high=2),
                   m=weights(2, 6, 5, 5, seed=3), b=weights(4, seed=1))
    for opset in (19, 22):
        case("deform_conv", opset, node("DeformConv", "x,w,o,b,m"), offsets)
    case("deform_conv_strides", 19, node("DeformConv", "x,w,o", strides=[2, 1], pads=[1, 0, 0, 1], dilations=[1, 2],
         group=3, offset_group=3), dict(w=weights(6, 1, 3, 2), o=weights(2, 36, 3, 5, seed=2, low=-2, high=2)))
    blocks = [node("Reshape", "x,s", "v"), node("Col2Im", "v,i,k", pads=[1, 0, 0, 1], strides=[2, 1], dilations=[1, 2])]
    case("col2im", 18, blocks, dict(s=ints(1, 12, 20), i=ints(8, 6), k=ints(2, 2)), shape=(1, 12, 4, 5))


def resampling():
    """Images in other sizes and at other places."""
    sizes = {"up": ints(2, 3, 11, 9), "down": ints(2, 3, 4, 5), "mixed": ints(2, 3, 10, 1)}
    modes = {"nearest": dict(mode="nearest"), "linear": dict(mode="linear"), "cubic": dict(mode="cubic")}
    coordinates = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
    for mode, given in modes.items():
        for where in coordinates:
            opset = 19 if where == "half_pixel_symmetric" else 13
            for direction, size in sizes.items():
                case(f"resize_{mode}_{where}_{direction}", opset,
                     node("Resize", "x,,,s", coordinate_transformation_mode=where, **given), dict(s=size))
    for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
        for where in ("half_pixel", "asymmetric", "align_corners"):
            for direction in ("up", "down"):
                case(f"resize_{rounding}_{where}_{direction}", 13,
                     node("Resize", "x,,,s", mode="nearest", nearest_mode=rounding,
                          coordinate_transformation_mode=where), dict(s=sizes[direction]))
    case("resize_cubic_outside", 13,
         node("Resize", "x,,,s", mode="cubic", exclude_outside=1, cubic_coeff_a=-0.5), dict(s=sizes["up"]))
    for mode in ("linear", "cubic"):
        for direction, size in sizes.items():
            case(f"resize_{mode}_antialias_{direction}", 18, node("Resize", "x,,,s", mode=mode, antialias=1), dict(s=size))
        case(f"resize_{mode}_antialias_outside", 18,
             node("Resize", "x,,,s", mode=mode, antialias=1, exclude_outside=1), dict(s=sizes["down"]))
    scales = dict(s=np.array([1, 1, 2, 1.5], F32))
    shrinks = dict(s=np.array([1, 1, 0.6, 0.5], F32))
    for name, given in (("up", scales), ("down", shrinks)):
        for mode in ("nearest", "linear"):
            case(f"resize_scales_{mode}_{name}", 10, node("Resize", "x,s", mode=mode), given)
            for opset in (11, 13, 18, 19):
                case(f"resize_scales_{mode}_{name}", opset,
                     node("Resize", "x,r,s", mode=mode, coordinate_transformation_mode="asymmetric",
                          nearest_mode="floor"), dict(r=np.zeros(0, F32), **given))
    for mode in ("nearest", "linear"):
        case(f"upsample_{mode}", 7, node("Upsample", "x", mode=mode, scales=[1.0, 1.0, 2.0, 3.0]))
        case(f"upsample_{mode}", 9, node("Upsample", "x,s", mode=mode), dict(s=np.array([1, 1, 3, 2], F32)))
    crop = dict(r=np.array([0, 0, 0.4, -0.2, 1, 1, 0.9, 1.3], F32), s=sizes["up"])
    for mode in ("nearest", "linear"):
        case(f"resize_crop_{mode}", 13,
             node("Resize", "x,r,,s", mode=mode, coordinate_transformation_mode="tf_crop_and_resize",
                  extrapolation_value=7.0), crop)
    for policy in ("not_larger", "not_smaller"):
        case(f"resize_{policy}", 18, node("Resize", "x,,,s", mode="linear", axes=[3, 2], keep_aspect_ratio_policy=policy),
             dict(s=ints(11, 13)))
    # More than a matrix is good for.
    for mode in ("nearest", "linear", "cubic"):
        case(f"resize_{mode}_long", 13, node("Resize", "x,,,s", mode=mode), dict(s=ints(1, 1, 600, 3)), shape=(1, 1, 300, 2))
    case("resize_linear_long_antialias", 18, node("Resize", "x,,,s", mode="linear", antialias=1),
         dict(s=ints(1, 1, 20, 3)), shape=(1, 1, 300, 2))
    grid = weights(2, 5, 4, 2, low=-1.6, high=1.6)
    for mode in ("linear", "nearest", "cubic"):
        for outside in ("zeros", "border", "reflection"):
            for corners in (0, 1):
                given = dict(padding_mode=outside, align_corners=corners)
                case(f"grid_sample_{mode}_{outside}_{corners}", 16,
                     node("GridSample", "x,g", mode={"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode), **given),
                     dict(g=grid))
                case(f"grid_sample_{mode}_{outside}_{corners}", 20, node("GridSample", "x,g", mode=mode, **given),
                     dict(g=grid))
                if mode != "cubic":
                    case(f"grid_sample_box_{mode}_{outside}_{corners}", 20,
                         [node("Reshape", "x,s", "v"), node("GridSample", "v,g", mode=mode, **given)],
                         dict(s=ints(2, 1, 3, 7, 6), g=weights(2, 2, 3, 4, 3, low=-1.6, high=1.6)))
    for corners in (0, 1):
        case(f"affine_grid_{corners}", 20,
             [node("Reshape", "x,t", "v"), node("AffineGrid", "v,s", align_corners=corners)],
             dict(t=ints(4, 2, 3), s=ints(4, 1, 5, 6)), shape=(1, 1, 4, 6))
        case(f"affine_grid_box_{corners}", 20,
             [node("Reshape", "x,t", "v"), node("AffineGrid", "v,s", align_corners=corners)],
             dict(t=ints(2, 3, 4), s=ints(2, 1, 3, 5, 6)), shape=(1, 1, 4, 6))
    for opset in (1, 11, 13):
        case("depth_to_space", opset, node("DepthToSpace", "x", blocksize=2), shape=(2, 12, 3, 2))
        case("space_to_depth", opset, node("SpaceToDepth", "x", blocksize=3), shape=(2, 3, 6, 9))
    case("depth_to_space_crd", 11, node("DepthToSpace", "x", blocksize=2, mode="CRD"), shape=(2, 12, 3, 2))
    case("center_crop_pad", 18, node("CenterCropPad", "x,s", axes=[-1, 2]), dict(s=ints(9, 4)))


for family in (convolutions, pools, activations, arithmetic, matrices, joins, shapes, picks, statistics,
               shape_arithmetic, storage, boxes, resampling, transformers, sequences, more_products,
               more_statistics):
    family()
FOLDER.mkdir(parents=True, exist_ok=True)
for old in FOLDER.glob("*.onnx"):
    old.unlink()
for name, data in made.items():
    (FOLDER / f"{name}.onnx").write_bytes(data)
print(f"{len(made)} cases, {sum(map(len, made.values()))} bytes, results from {dict(sources)}")
