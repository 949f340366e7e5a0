//! `TensorProto` to host arrays: raw or typed data, inside the file or beside it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use half::{bf16, f16};

use crate::error::{GraphError, few};
use crate::host::{ElementType, HostTensor, MAX_ELEMENTS, element_count};
use crate::limits::{Excess, Ledger, device_bytes, host_bytes, widest_bytes};
use crate::operator::LONGEST_LIST;
use crate::proto::{SparseTensorProto, TensorProto};

/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: i32 = 1;

/// Decodes a tensor; `folder` is where files beside the model are looked for.
pub(crate) fn decode(
    tensor: &TensorProto,
    what: &str,
    folder: Option<&Path>,
    ledger: &mut Ledger,
) -> Result<HostTensor, GraphError> {
    let malformed = |reason: String| GraphError::Malformed {
        reason: format!("{what}: {reason}"),
    };
    let shape = dimensions(&tensor.dims, what)?;
    let count = counted(&shape, what, *ledger)?;
    let number = tensor.data_type.unwrap_or(0);
    let kind = ElementType::from_onnx(number)
        .ok_or_else(|| malformed(format!("element type {number} is not supported")))?;
    let width = kind.bytes();

    let external;
    let raw: Option<&[u8]> = if tensor.data_location == Some(EXTERNAL) {
        let too_large = |excess: Excess| excess.of(format!("{what}, {} in a file", few(&shape)));
        let both = host_bytes(kind, count) + (count * width) as u64;
        ledger.check(both).map_err(too_large)?;
        external = read_external(tensor, what, folder, count * width)?;
        Some(&external)
    } else {
        tensor.raw_data.as_deref()
    };
    if let Some(raw) = raw
        && raw.len() != count * width
    {
        return Err(malformed(format!(
            "shape {shape:?} needs {} bytes, the file holds {}",
            count * width,
            raw.len()
        )));
    }

    // Typed data are there already, whatever the shape says.
    let taken = match raw {
        Some(_) => count,
        None => typed_length(tensor, kind),
    };
    let too_large = |excess: Excess| excess.of(format!("{what}, of shape {}", few(&shape)));
    let taken = host_bytes(kind, taken);
    ledger.hold(taken).map_err(too_large)?;

    // Each arm reads raw bytes if there are any, else the typed field that ONNX assigns.
    macro_rules! values {
        ($n:literal, $from_bytes:expr, $typed:expr, $convert:expr) => {
            match raw {
                Some(raw) => raw
                    .chunks_exact($n)
                    .map(|b| $from_bytes(<[u8; $n]>::try_from(b).expect("chunks are exact")))
                    .collect::<Vec<_>>(),
                None => $typed.iter().map($convert).collect(),
            }
        };
    }
    let floats = |values| HostTensor::of_floats(kind, &shape, values);
    let ints = |values| HostTensor::of_ints(kind, &shape, values);
    let typed_ints = &tensor.int32_data;
    match kind {
        ElementType::F32 => floats(values!(4, f32::from_le_bytes, tensor.float_data, |&v| v)),
        ElementType::F64 => floats(values!(
            8,
            |b| f64::from_le_bytes(b) as f32,
            tensor.double_data,
            |&v| v as f32
        )),
        ElementType::F16 => floats(values!(
            2,
            |b| f16::from_le_bytes(b).to_f32(),
            typed_ints,
            |&v| f16::from_bits(v as u16).to_f32()
        )),
        ElementType::BF16 => floats(values!(
            2,
            |b| bf16::from_le_bytes(b).to_f32(),
            typed_ints,
            |&v| bf16::from_bits(v as u16).to_f32()
        )),
        ElementType::I64 => ints(values!(8, i64::from_le_bytes, tensor.int64_data, |&v| v)),
        ElementType::U64 => ints(values!(
            8,
            |b| u64::from_le_bytes(b) as i64,
            tensor.uint64_data,
            |&v| v as i64
        )),
        ElementType::U32 => ints(values!(
            4,
            |b| i64::from(u32::from_le_bytes(b)),
            tensor.uint64_data,
            |&v| v as i64
        )),
        ElementType::I32 => ints(values!(
            4,
            |b| i64::from(i32::from_le_bytes(b)),
            typed_ints,
            |&v| i64::from(v)
        )),
        ElementType::I16 => ints(values!(
            2,
            |b| i64::from(i16::from_le_bytes(b)),
            typed_ints,
            |&v| i64::from(v)
        )),
        ElementType::U16 => ints(values!(
            2,
            |b| i64::from(u16::from_le_bytes(b)),
            typed_ints,
            |&v| i64::from(v)
        )),
        ElementType::I8 => ints(values!(
            1,
            |b| i64::from(i8::from_le_bytes(b)),
            typed_ints,
            |&v| i64::from(v)
        )),
        ElementType::U8 => ints(values!(
            1,
            |b| i64::from(u8::from_le_bytes(b)),
            typed_ints,
            |&v| i64::from(v)
        )),
        ElementType::Bool => {
            let values = values!(1, |b: [u8; 1]| b[0] != 0, typed_ints, |&v| v != 0);
            HostTensor::of_bools(&shape, values)
        }
    }
    .map_err(malformed)
}

/// The number of elements of a shape that memory has room for, in the narrowest type.
fn counted(shape: &[usize], what: &str, ledger: Ledger) -> Result<usize, GraphError> {
    let needed = device_bytes(shape) / 4;
    let too_large = |excess: Excess| excess.of(format!("{what}, of shape {}", few(shape)));
    ledger.check(needed).map_err(too_large)?;
    element_count(shape).ok_or_else(|| GraphError::Malformed {
        reason: format!(
            "{what}: a tensor of shape {} has more than {MAX_ELEMENTS} elements",
            few(shape)
        ),
    })
}

/// Elements in the field that ONNX assigns to a type.
fn typed_length(tensor: &TensorProto, kind: ElementType) -> usize {
    match kind {
        ElementType::F32 => tensor.float_data.len(),
        ElementType::F64 => tensor.double_data.len(),
        ElementType::I64 => tensor.int64_data.len(),
        ElementType::U64 | ElementType::U32 => tensor.uint64_data.len(),
        _ => tensor.int32_data.len(),
    }
}

/// Decodes a tensor of which only some elements are stated; the others are 0.
pub(crate) fn decode_sparse(
    tensor: &SparseTensorProto,
    what: &str,
    folder: Option<&Path>,
    ledger: &mut Ledger,
) -> Result<HostTensor, GraphError> {
    let malformed = |reason: String| GraphError::Malformed {
        reason: format!("{what}: {reason}"),
    };
    let (Some(values), Some(indices)) = (&tensor.values, &tensor.indices) else {
        return Err(malformed(
            "a sparse tensor without values or indices".to_owned(),
        ));
    };
    let shape = dimensions(&tensor.dims, what)?;
    let too_large = |excess: Excess| excess.of(format!("{what}, of shape {}", few(&shape)));
    // Once as numbers, once as what they are.
    ledger
        .hold(widest_bytes(&shape).saturating_mul(2))
        .map_err(too_large)?;
    let count = counted(&shape, what, *ledger)?;
    let values = decode(values, what, folder, ledger)?;
    let indices = decode(indices, what, folder, ledger)?;
    let places = indices.ints().map_err(malformed)?;
    // Flat indices, or one index for each dimension.
    let flat: Option<Vec<usize>> = match indices.shape() {
        [_] => places.iter().map(|&i| usize::try_from(i).ok()).collect(),
        &[_, rank] if rank == shape.len() && rank > 0 => places
            .chunks_exact(rank)
            .map(|index| {
                let mut place = 0_usize;
                for (&i, &size) in index.iter().zip(&shape) {
                    let i = usize::try_from(i).ok().filter(|&i| i < size)?;
                    place = place * size + i;
                }
                Some(place)
            })
            .collect(),
        _ => None,
    };
    let flat = flat.filter(|flat| flat.len() == values.len() && flat.iter().all(|&i| i < count));
    let flat = flat.ok_or_else(|| malformed(format!("indices do not fit the shape {shape:?}")))?;
    let mut dense = vec![0.0; count];
    for (&place, value) in flat.iter().zip(values.floats()) {
        dense[place] = value;
    }
    HostTensor::of_numbers(values.element_type(), &shape, dense).map_err(malformed)
}

/// Dimensions as `usize`, none negative.
pub(crate) fn dimensions(dims: &[i64], what: &str) -> Result<Vec<usize>, GraphError> {
    if dims.len() > LONGEST_LIST {
        return Err(GraphError::Malformed {
            reason: format!("{what}: {} dimensions are too many", dims.len()),
        });
    }
    dims.iter()
        .map(|&d| {
            usize::try_from(d).map_err(|_| GraphError::Malformed {
                reason: format!("{what}: shape {dims:?} has a negative dimension"),
            })
        })
        .collect()
}

fn read_external(
    tensor: &TensorProto,
    what: &str,
    folder: Option<&Path>,
    bytes: usize,
) -> Result<Vec<u8>, GraphError> {
    let entry = |key: &str| {
        tensor
            .external_data
            .iter()
            .find(|e| e.key.as_deref() == Some(key))
            .and_then(|e| e.value.as_deref())
    };
    let location = PathBuf::from(entry("location").unwrap_or(""));
    let failed = |file: &Path, reason: String| GraphError::ExternalData {
        tensor: tensor.name.clone().unwrap_or_else(|| what.to_owned()),
        file: file.to_owned(),
        reason,
    };
    // A model must not make us read files outside its own folder.
    let inside = !location.as_os_str().is_empty()
        && location
            .components()
            .all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if !inside {
        return Err(failed(
            &location,
            "the path leaves the model's folder".to_owned(),
        ));
    }
    let Some(folder) = folder else {
        return Err(failed(
            &location,
            "the model was opened from memory; open it from its file instead".to_owned(),
        ));
    };
    let file = folder.join(&location);
    let number = |key: &str| match entry(key) {
        None => Ok(None),
        Some(text) => text
            .parse::<u64>()
            .map(Some)
            .map_err(|_| failed(&file, format!("{key} \"{text}\" is not a number"))),
    };
    let offset = number("offset")?.unwrap_or(0);
    if let Some(length) = number("length")?
        && length != bytes as u64
    {
        return Err(failed(
            &file,
            format!("it states {length} bytes, its shape needs {bytes}"),
        ));
    }
    let io = |e: std::io::Error| failed(&file, e.to_string());
    let found = std::fs::metadata(&file).map_err(io)?;
    if !found.is_file() {
        return Err(failed(&file, "it is not a file".to_owned()));
    }
    let size = found.len();
    if offset
        .checked_add(bytes as u64)
        .is_none_or(|end| end > size)
    {
        return Err(failed(
            &file,
            format!("{bytes} bytes from {offset} on are needed, the file has {size}"),
        ));
    }
    let mut open = File::open(&file).map_err(io)?;
    open.seek(SeekFrom::Start(offset)).map_err(io)?;
    let mut data = vec![0; bytes];
    open.read_exact(&mut data).map_err(io)?;
    Ok(data)
}
