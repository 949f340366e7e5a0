//! burn's arrays as the graph's.

use burn::tensor::{DType, TensorData};
use elucid_graph::{ElementType, HostTensor};

/// What a burn element becomes in the graph: floating-point numbers of any width are computed in single
/// precision, and integers have 64 bits.
pub(crate) fn kind_of(dtype: DType) -> Result<ElementType, String> {
    match dtype {
        DType::QFloat(_) => {
            Err("weights are quantized: call `dequantize` on them first".to_owned())
        }
        DType::Bool(_) => Ok(ElementType::Bool),
        dtype if dtype.is_float() => Ok(ElementType::F32),
        dtype if dtype.is_int() || dtype.is_uint() => Ok(ElementType::I64),
        other => Err(format!("elements of type {other:?} have no counterpart")),
    }
}

/// The values of an array.
pub(crate) fn host(data: &TensorData) -> Result<HostTensor, String> {
    let kind = kind_of(data.dtype())?;
    let shape: Vec<usize> = data.shape().iter().copied().collect();
    match kind {
        ElementType::Bool => HostTensor::of_bools(&shape, data.iter::<bool>().collect()),
        ElementType::I64 => HostTensor::of_ints(kind, &shape, data.iter::<i64>().collect()),
        _ => HostTensor::of_floats(kind, &shape, data.iter::<f32>().collect()),
    }
}
