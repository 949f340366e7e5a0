//! `TensorProto` to host arrays: raw or typed data, inside the file or beside it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use elucid_graph::message::few;
use elucid_graph::{
    ElementType, Excess, HostTensor, Ledger, MAX_ELEMENTS, element_count, host_bytes,
};
use half::{bf16, f16};

use crate::error::ImportError;
use crate::proto::{SparseTensorProto, TensorProto};

/// Far more dimensions than any tensor has.
const MOST_DIMENSIONS: usize = 64;

/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: i32 = 1;

/// Decodes a tensor; `folder` is where files beside the model are looked for.
pub(crate) fn decode(
    tensor: &TensorProto,
    what: &str,
    folder: Option<&Path>,
    ledger: &mut Ledger,
) -> Result<HostTensor, ImportError> {
    let malformed = |reason: String| ImportError::malformed(format!("{what}: {reason}"));
    let shape = dimensions(&tensor.dims, what)?;
    let count = counted(&shape, what, ledger)?;
    let number = tensor.data_type.unwrap_or(0);
    let kind = ElementType::from_onnx(number)
        .ok_or_else(|| malformed(format!("element type {number} is not supported")))?;
    let width = kind.bytes();

    let external;
    let raw: Option<&[u8]> = if tensor.data_location == Some(EXTERNAL) {
        let too_large =
            |excess| ImportError::too_large(format!("{what}, {} in a file", few(&shape)), excess);
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
    let taken = ledger.hold(host_bytes(kind, taken));
    taken.map_err(|excess| too_large(what, &shape, excess))?;

    // Raw bytes if there are any, else the field that ONNX assigns to the type.
    macro_rules! values {
        ($stored:ty, $field:ident, $convert:expr) => {
            match raw {
                Some(raw) => {
                    let (stored, _) = raw.as_chunks::<{ size_of::<$stored>() }>();
                    let stored = stored.iter().map(|&b| <$stored>::from_le_bytes(b));
                    stored.map($convert).collect::<Vec<_>>()
                }
                None => tensor
                    .$field
                    .iter()
                    .map(|&v| $convert(v as $stored))
                    .collect(),
            }
        };
    }
    let floats = |values| HostTensor::of_floats(kind, &shape, values);
    let ints = |values| HostTensor::of_ints(kind, &shape, values);
    let half = |bits| f16::from_bits(bits).to_f32();
    let brain = |bits| bf16::from_bits(bits).to_f32();
    let made = match kind {
        ElementType::F32 => floats(values!(f32, float_data, f32::from)),
        ElementType::F64 => floats(values!(f64, double_data, |v: f64| v as f32)),
        ElementType::F16 => floats(values!(u16, int32_data, half)),
        ElementType::BF16 => floats(values!(u16, int32_data, brain)),
        ElementType::I64 => ints(values!(i64, int64_data, i64::from)),
        ElementType::U64 => ints(values!(u64, uint64_data, |v: u64| v as i64)),
        ElementType::U32 => ints(values!(u32, uint64_data, i64::from)),
        ElementType::I32 => ints(values!(i32, int32_data, i64::from)),
        ElementType::I16 => ints(values!(i16, int32_data, i64::from)),
        ElementType::U16 => ints(values!(u16, int32_data, i64::from)),
        ElementType::I8 => ints(values!(i8, int32_data, i64::from)),
        ElementType::U8 => ints(values!(u8, int32_data, i64::from)),
        ElementType::Bool => {
            let values = match raw {
                Some(raw) => raw.iter().map(|&b| b != 0).collect(),
                None => tensor.int32_data.iter().map(|&v| v != 0).collect(),
            };
            HostTensor::of_bools(&shape, values)
        }
        other => Err(format!("element type {other} is not supported")),
    };
    made.map_err(malformed)
}

/// Something of this shape that there is no room for.
fn too_large(what: &str, shape: &[usize], excess: Excess) -> ImportError {
    ImportError::too_large(format!("{what}, of shape {}", few(shape)), excess)
}

/// The product of a shape's dimensions, or the largest number there is.
fn elements(shape: &[usize]) -> u64 {
    match element_count(shape) {
        Some(count) => count as u64,
        // Dimensions beside a 0 may still be beyond what can be multiplied.
        None if shape.contains(&0) => u64::MAX,
        None => shape.iter().fold(1, |all, &d| all.saturating_mul(d as u64)),
    }
}

/// The number of elements of a shape that memory has room for, in the narrowest type.
fn counted(shape: &[usize], what: &str, ledger: &Ledger) -> Result<usize, ImportError> {
    let room = ledger.check(elements(shape));
    room.map_err(|excess| too_large(what, shape, excess))?;
    element_count(shape).ok_or_else(|| {
        ImportError::malformed(format!(
            "{what}: a tensor of shape {} has more than {MAX_ELEMENTS} elements",
            few(shape)
        ))
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
) -> Result<HostTensor, ImportError> {
    let malformed = |reason: String| ImportError::malformed(format!("{what}: {reason}"));
    let (Some(values), Some(indices)) = (&tensor.values, &tensor.indices) else {
        return Err(malformed(
            "a sparse tensor without values or indices".to_owned(),
        ));
    };
    let shape = dimensions(&tensor.dims, what)?;
    // Once as numbers, once as what they are: eight bytes for each of any type.
    let taken = ledger.hold(elements(&shape).saturating_mul(2 * 8));
    taken.map_err(|excess| too_large(what, &shape, excess))?;
    let count = counted(&shape, what, ledger)?;
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
fn dimensions(dims: &[i64], what: &str) -> Result<Vec<usize>, ImportError> {
    if dims.len() > MOST_DIMENSIONS {
        let count = dims.len();
        return Err(ImportError::malformed(format!(
            "{what}: {count} dimensions are too many"
        )));
    }
    let sizes: Result<_, _> = dims.iter().map(|&d| usize::try_from(d)).collect();
    sizes.map_err(|_| {
        ImportError::malformed(format!("{what}: shape {dims:?} has a negative dimension"))
    })
}

fn read_external(
    tensor: &TensorProto,
    what: &str,
    folder: Option<&Path>,
    bytes: usize,
) -> Result<Vec<u8>, ImportError> {
    let entry = |key: &str| {
        tensor
            .external_data
            .iter()
            .find(|e| e.key.as_deref() == Some(key))
            .and_then(|e| e.value.as_deref())
    };
    let location = PathBuf::from(entry("location").unwrap_or(""));
    let failed = |file: &Path, reason: String| ImportError::ExternalData {
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
