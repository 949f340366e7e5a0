#!/usr/bin/env python3
"""Writes crates/graph/tests/cases/: one small model per operator, attribute and opset.

A case is an `.onnx` file from an image input `x` to an output `y`. What `y` should be lies in
the same file, as an initializer `expected` that no node reads. The values of `x` follow from its
shape (`image` below). Results are ONNX Runtime's, or those of the `onnx` package's reference
evaluator where the runtime has no kernel for the opset, or NumPy's where neither has one (the
comments below say where). The committed files were made with onnx 1.23.2 and ONNX Runtime 1.31.1.

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
        opset_imports=[helper.make_opsetid("", opset)],
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


for family in (convolutions, pools, activations, arithmetic, matrices, joins, shapes, picks, statistics,
               shape_arithmetic, storage):
    family()
FOLDER.mkdir(parents=True, exist_ok=True)
for old in FOLDER.glob("*.onnx"):
    old.unlink()
for name, data in made.items():
    (FOLDER / f"{name}.onnx").write_bytes(data)
print(f"{len(made)} cases, {sum(map(len, made.values()))} bytes, results from {dict(sources)}")
