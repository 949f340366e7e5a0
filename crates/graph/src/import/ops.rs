//! One node of the file to one typed operator, for opsets 3 to 21.

use elucid_rules::Lrn;
use ndarray::arr0;

use super::attributes::Attributes;
use super::tensor;
use crate::error::GraphError;
use crate::host::{ElementType, HostBinary, HostTensor};
use crate::op::{Op, PadKind, Padding, SliceAttributes, Unary, Window};
use crate::proto::{AttributeProto, NodeProto, data_type as dt};

/// What [`parse`] found.
pub(crate) enum Parsed {
    /// An operator that runs.
    Op(Op),
    /// An operator that is not implemented.
    Unsupported,
}

/// Reads a node. `label` names it in errors, `opset` is the version of the default domain.
pub(crate) fn parse(node: &NodeProto, label: &str, opset: i64) -> Result<Parsed, GraphError> {
    let a = Attributes::new(node, label);
    let kind = node.op_type.as_deref().unwrap_or_default();
    if !matches!(node.domain.as_deref(), None | Some("" | "ai.onnx")) {
        return Ok(Parsed::Unsupported);
    }
    let op = match kind {
        "Constant" => Op::Constant(constant(&a)?),
        "ConstantOfShape" => Op::ConstantOfShape(fill(&a)?),
        "Conv" => Op::Conv {
            window: window(&a)?,
            groups: groups(&a)?,
        },
        "MaxPool" => {
            if a.flag("storage_order") {
                return Err(a.error("storage_order = 1 (column-major indices) is not supported"));
            }
            Op::MaxPool(pool(&a)?)
        }
        "AveragePool" => Op::AveragePool {
            window: pool(&a)?,
            count_include_pad: a.flag("count_include_pad"),
        },
        "GlobalAveragePool" => Op::GlobalAveragePool,
        "GlobalMaxPool" => Op::GlobalMaxPool,
        "LRN" => Op::Lrn(lrn(&a)?),
        "BatchNormalization" => {
            if a.int_or("spatial", 1) == 0 {
                return Err(a.error("spatial = 0 (statistics per position) is not supported"));
            }
            if a.flag("training_mode") {
                return Err(a.error("training_mode = 1 is not supported; export for inference"));
            }
            Op::BatchNormalization {
                epsilon: a.float_or("epsilon", 1e-5),
            }
        }
        "InstanceNormalization" => Op::InstanceNormalization {
            epsilon: a.float_or("epsilon", 1e-5),
        },
        "LayerNormalization" => Op::LayerNormalization {
            axis: a.int_or("axis", -1),
            epsilon: a.float_or("epsilon", 1e-5),
        },
        "Relu" => Op::Unary(Unary::Relu),
        "LeakyRelu" => Op::Unary(Unary::LeakyRelu {
            alpha: a.float_or("alpha", 0.01),
        }),
        "Sigmoid" => Op::Unary(Unary::Sigmoid),
        "HardSigmoid" => Op::Unary(Unary::HardSigmoid {
            alpha: a.float_or("alpha", 0.2),
            beta: a.float_or("beta", 0.5),
        }),
        "HardSwish" => Op::Unary(Unary::HardSwish),
        "Tanh" => Op::Unary(Unary::Tanh),
        "Elu" => Op::Unary(Unary::Elu {
            alpha: a.float_or("alpha", 1.0),
        }),
        "Sqrt" => Op::Unary(Unary::Sqrt),
        "Exp" => Op::Unary(Unary::Exp),
        "Log" => Op::Unary(Unary::Log),
        "Neg" => Op::Unary(Unary::Neg),
        "Abs" => Op::Unary(Unary::Abs),
        "Reciprocal" => Op::Unary(Unary::Reciprocal),
        "Erf" => Op::Unary(Unary::Erf),
        "Floor" => Op::Unary(Unary::Floor),
        "Ceil" => Op::Unary(Unary::Ceil),
        "Clip" if opset < 11 => Op::Clip {
            min: a.find("min").and_then(|v| v.f),
            max: a.find("max").and_then(|v| v.f),
            inputs: false,
        },
        "Clip" => Op::Clip {
            min: None,
            max: None,
            inputs: true,
        },
        "PRelu" => Op::PRelu {
            per_channel: opset < 7,
        },
        "Softmax" | "LogSoftmax" => Op::Softmax {
            axis: a.int_or("axis", if opset < 13 { 1 } else { -1 }),
            flatten: opset < 13,
            log: kind == "LogSoftmax",
        },
        "Add" => binary(&a, HostBinary::Add, opset),
        "Sub" => binary(&a, HostBinary::Sub, opset),
        "Mul" => binary(&a, HostBinary::Mul, opset),
        "Div" => binary(&a, HostBinary::Div, opset),
        "Pow" => binary(&a, HostBinary::Pow, opset),
        "Equal" => binary(&a, HostBinary::Equal, opset),
        "Mod" => {
            if a.flag("fmod") {
                return Err(a.error("fmod = 1 is not supported"));
            }
            binary(&a, HostBinary::Mod, opset)
        }
        "Min" if node.input.len() == 2 => binary(&a, HostBinary::Min, opset),
        "Max" if node.input.len() == 2 => binary(&a, HostBinary::Max, opset),
        "Sum" => Op::Sum,
        "Gemm" => Op::Gemm {
            alpha: a.float_or("alpha", 1.0),
            beta: a.float_or("beta", 1.0),
            transpose_a: a.flag("transA"),
            transpose_b: a.flag("transB"),
        },
        "MatMul" => Op::MatMul,
        "Concat" => match a.int("axis").or((opset < 4).then_some(1)) {
            Some(axis) => Op::Concat { axis },
            None => return Err(a.error("attribute axis is missing")),
        },
        "Split" => Op::Split {
            axis: a.int_or("axis", 0),
            sizes: if opset < 13 { a.ints("split") } else { None },
        },
        "Flatten" => Op::Flatten {
            axis: a.int_or("axis", 1),
        },
        "Reshape" => Op::Reshape {
            shape: if opset < 5 {
                Some(a.ints("shape").unwrap_or_default())
            } else {
                None
            },
            allow_zero: a.flag("allowzero"),
        },
        "Transpose" => Op::Transpose {
            permutation: a.ints("perm"),
        },
        "Squeeze" => Op::Squeeze {
            axes: a.ints("axes"),
        },
        "Unsqueeze" if opset < 13 => match a.ints("axes") {
            Some(axes) => Op::Unsqueeze { axes: Some(axes) },
            None => return Err(a.error("attribute axes is missing")),
        },
        "Unsqueeze" => Op::Unsqueeze { axes: None },
        "Dropout" => Op::Identity { dropout: true },
        "Identity" => Op::Identity { dropout: false },
        "Pad" => Op::Pad {
            mode: pad_kind(&a)?,
            pads: if opset < 11 {
                Some(a.ints("pads").unwrap_or_default())
            } else {
                None
            },
            value: a.float_or("value", 0.0),
        },
        "Slice" if opset < 10 => Op::Slice {
            attributes: Some(SliceAttributes {
                starts: a.ints("starts").unwrap_or_default(),
                ends: a.ints("ends").unwrap_or_default(),
                axes: a.ints("axes"),
            }),
        },
        "Slice" => Op::Slice { attributes: None },
        "Gather" => Op::Gather {
            axis: a.int_or("axis", 0),
        },
        "Shape" => Op::Shape {
            start: a.int_or("start", 0),
            end: a.int("end"),
        },
        "Cast" => Op::Cast {
            to: cast_target(&a, opset)?,
        },
        "ReduceMean" => Op::ReduceMean {
            axes: if opset < 18 {
                Some(a.ints("axes").unwrap_or_default())
            } else {
                None
            },
            keep_dims: a.int_or("keepdims", 1) != 0,
            empty_is_identity: a.flag("noop_with_empty_axes"),
        },
        "Where" => Op::Where,
        "Expand" => Op::Expand,
        _ => return Ok(Parsed::Unsupported),
    };
    Ok(Parsed::Op(op))
}

fn constant(a: &Attributes<'_>) -> Result<HostTensor, GraphError> {
    if let Some(t) = a.find("value").and_then(|v| v.t.as_ref()) {
        return tensor::decode(t, "the value of a Constant", None);
    }
    let list = |v: &AttributeProto| v.ints.clone();
    if let Some(v) = a.find("value_float") {
        Ok(HostTensor::F32(
            arr0(v.f.unwrap_or(0.0)).into_dyn().into_shared(),
        ))
    } else if let Some(v) = a.find("value_int") {
        Ok(HostTensor::I64(
            arr0(v.i.unwrap_or(0)).into_dyn().into_shared(),
        ))
    } else if let Some(v) = a.find("value_ints") {
        Ok(HostTensor::from_ints(list(v)))
    } else if let Some(v) = a.find("value_floats") {
        Ok(HostTensor::F32(
            ndarray::ArcArray::from(v.floats.clone()).into_dyn(),
        ))
    } else {
        Err(a.error("a constant must be a dense tensor or a number"))
    }
}

fn fill(a: &Attributes<'_>) -> Result<HostTensor, GraphError> {
    match a.find("value").and_then(|v| v.t.as_ref()) {
        None => Ok(HostTensor::F32(arr0(0.0).into_dyn().into_shared())),
        Some(t) => {
            let value = tensor::decode(t, "the value of a ConstantOfShape", None)?;
            if value.len() != 1 {
                return Err(a.error(format!("value must be one number, got {}", value.len())));
            }
            value.reshape(&[]).map_err(|reason| a.error(reason))
        }
    }
}

fn binary(a: &Attributes<'_>, op: HostBinary, opset: i64) -> Op {
    // Before opset 7 the second operand was aligned explicitly, and only if asked for.
    let axis = if opset < 7 && a.flag("broadcast") {
        a.int("axis")
    } else {
        None
    };
    Op::Binary { op, axis }
}

fn groups(a: &Attributes<'_>) -> Result<usize, GraphError> {
    let group = a.int_or("group", 1);
    usize::try_from(group)
        .ok()
        .filter(|&g| g > 0)
        .ok_or_else(|| a.error(format!("attribute group is {group}, expected 1 or more")))
}

fn window(a: &Attributes<'_>) -> Result<Window, GraphError> {
    let kernel = a.pair("kernel_shape")?;
    let padding = match a.text("auto_pad").as_deref() {
        None | Some("" | "NOTSET") => {
            let pads = a.ints("pads").unwrap_or_else(|| vec![0; 4]);
            Padding::Explicit(a.sizes::<4>("pads", &pads, 0)?)
        }
        Some("VALID") => Padding::Explicit([0; 4]),
        Some("SAME_UPPER") => Padding::SameUpper,
        Some("SAME_LOWER") => Padding::SameLower,
        Some(other) => {
            return Err(a.error(format!(
                "auto_pad is \"{other}\", expected NOTSET, VALID, SAME_UPPER or SAME_LOWER"
            )));
        }
    };
    Ok(Window {
        kernel,
        stride: a.pair("strides")?.unwrap_or([1, 1]),
        padding,
        dilation: a.pair("dilations")?.unwrap_or([1, 1]),
        ceil_mode: a.flag("ceil_mode"),
    })
}

fn pool(a: &Attributes<'_>) -> Result<Window, GraphError> {
    let window = window(a)?;
    if window.kernel.is_none() {
        return Err(a.error("attribute kernel_shape is missing"));
    }
    Ok(window)
}

fn lrn(a: &Attributes<'_>) -> Result<Lrn, GraphError> {
    let size = a.int_or("size", 0);
    let size = usize::try_from(size)
        .ok()
        .filter(|s| (1..=1 << 16).contains(s))
        .ok_or_else(|| a.error(format!("attribute size is {size}, expected 1 to 65536")))?;
    Ok(Lrn {
        size,
        alpha: a.float_or("alpha", 1e-4),
        beta: a.float_or("beta", 0.75),
        bias: a.float_or("bias", 1.0),
    })
}

fn pad_kind(a: &Attributes<'_>) -> Result<PadKind, GraphError> {
    match a.text("mode").as_deref() {
        None | Some("constant") => Ok(PadKind::Constant),
        Some("reflect") => Ok(PadKind::Reflect),
        Some("edge") => Ok(PadKind::Edge),
        Some(other) => Err(a.error(format!(
            "mode is \"{other}\", expected constant, reflect or edge"
        ))),
    }
}

fn cast_target(a: &Attributes<'_>, opset: i64) -> Result<ElementType, GraphError> {
    let unsupported = |t: String| Err(a.error(format!("cannot cast to element type {t}")));
    if opset < 6 {
        return match a.text("to").unwrap_or_default().as_str() {
            "FLOAT" | "DOUBLE" | "FLOAT16" => Ok(ElementType::F32),
            "INT8" | "INT16" | "INT32" | "INT64" | "UINT8" | "UINT16" | "UINT32" => {
                Ok(ElementType::I64)
            }
            "BOOL" => Ok(ElementType::Bool),
            other => unsupported(format!("\"{other}\"")),
        };
    }
    match a.int_or("to", 0) as i32 {
        dt::FLOAT | dt::DOUBLE | dt::FLOAT16 | dt::BFLOAT16 => Ok(ElementType::F32),
        dt::INT8
        | dt::INT16
        | dt::INT32
        | dt::INT64
        | dt::UINT8
        | dt::UINT16
        | dt::UINT32
        | dt::UINT64 => Ok(ElementType::I64),
        dt::BOOL => Ok(ElementType::Bool),
        other => unsupported(other.to_string()),
    }
}
