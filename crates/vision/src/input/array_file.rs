//! Large arrays of NumPy, read part by part.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use ndarray::{ArrayD, Axis, IxDyn};

use super::MAX_FILE_BYTES;
use super::error::InputError;
use super::npy::Header;

/// A `.npy` file of which only the header was read.
#[derive(Clone)]
pub struct ArrayFile {
    path: PathBuf,
    header: Header,
}

impl std::fmt::Debug for ArrayFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArrayFile")
            .field("path", &self.path)
            .field("shape", &self.header.shape)
            .finish_non_exhaustive()
    }
}

impl ArrayFile {
    /// Reads what the file says of itself, and compares it with the file's length.
    ///
    /// # Errors
    ///
    /// [`InputError::Read`] for the file, [`InputError::Array`] when it is no whole `.npy` file of numbers.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, InputError> {
        let path = path.as_ref();
        let read = |source| InputError::Read {
            picture: path.display().to_string(),
            source,
        };
        let refused = |reason| InputError::Array {
            array: path.display().to_string(),
            reason,
        };
        let mut file = File::open(path).map_err(read)?;
        let mut bytes = Vec::new();
        (Read::by_ref(&mut file).take(12).read_to_end(&mut bytes)).map_err(read)?;
        let start = Header::start(&bytes).map_err(refused)?;
        let more = start.saturating_sub(bytes.len()) as u64;
        (Read::by_ref(&mut file).take(more).read_to_end(&mut bytes)).map_err(read)?;
        let header = Header::of(&bytes).map_err(refused)?;
        let length = file.metadata().map_err(read)?.len();
        let data = length.saturating_sub(header.start as u64);
        header.check(data).map_err(refused)?;
        Ok(Self {
            path: path.to_owned(),
            header,
        })
    }

    /// The shape of the array.
    pub fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// All of it. Numbers become `f64`, booleans 0 and 1.
    ///
    /// # Errors
    ///
    /// As [`ArrayFile::entry`].
    pub fn read(&self) -> Result<ArrayD<f64>, InputError> {
        let count: usize = self.header.shape.iter().product();
        let data = self.bytes(0, count * self.header.width)?;
        self.header
            .array(&data)
            .map_err(|reason| self.refused(reason))
    }

    /// Entry `index` along the first axis, without reading the others. Of an array in Fortran's order, in which entries lie
    /// scattered, all of it is read.
    ///
    /// # Errors
    ///
    /// [`InputError::Read`] for the file, [`InputError::Array`] for an entry that is not there, and where more than
    /// [`MAX_FILE_BYTES`] would be read.
    pub fn entry(&self, index: usize) -> Result<ArrayD<f64>, InputError> {
        let (first, rest) = match &self.header.shape[..] {
            [first, rest @ ..] if index < *first => (*first, rest),
            shape => {
                return Err(self.refused(format!("it has shape {shape:?}, and no entry {index}")));
            }
        };
        if self.header.fortran && !rest.is_empty() && first > 1 {
            return Ok(self.read()?.index_axis_move(Axis(0), index));
        }
        let bytes = rest.iter().product::<usize>() * self.header.width;
        let numbers = self.header.numbers(&self.bytes(index * bytes, bytes)?);
        let shape = IxDyn(rest);
        let array = match self.header.fortran {
            true => ArrayD::from_shape_vec(ndarray::ShapeBuilder::f(shape), numbers),
            false => ArrayD::from_shape_vec(shape, numbers),
        };
        array.map_err(|error| self.refused(error.to_string()))
    }

    fn refused(&self, reason: String) -> InputError {
        InputError::Array {
            array: self.path.display().to_string(),
            reason,
        }
    }

    /// Some bytes of the numbers.
    fn bytes(&self, from: usize, count: usize) -> Result<Vec<u8>, InputError> {
        if count as u64 > MAX_FILE_BYTES {
            return Err(self.refused(format!(
                "{} MiB of it would be read at once, more than {} MiB; arrays in C order are read entry by entry \
                 (numpy.ascontiguousarray)",
                count >> 20,
                MAX_FILE_BYTES >> 20
            )));
        }
        let read = |source| InputError::Read {
            picture: self.path.display().to_string(),
            source,
        };
        let mut file = File::open(&self.path).map_err(read)?;
        let start = (self.header.start + from) as u64;
        file.seek(SeekFrom::Start(start)).map_err(read)?;
        let mut bytes = vec![0; count];
        file.read_exact(&mut bytes).map_err(read)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(name: &str, header: &str, data: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn entries_are_those_of_the_whole() {
        for order in ["True", "False"] {
            for shape in ["(3, 2, 4)", "(1, 6, 4)", "(24,)"] {
                let header =
                    format!("{{'descr': '<i2', 'fortran_order': {order}, 'shape': {shape}, }}");
                let data: Vec<u8> = (0..24_i16).flat_map(i16::to_le_bytes).collect();
                let (_folder, path) = write("a.npy", &header, &data);
                let file = ArrayFile::open(&path).unwrap();
                let whole = crate::input::open_array(&path).unwrap();
                assert_eq!(file.shape(), whole.shape());
                assert_eq!(file.read().unwrap(), whole);
                for index in 0..whole.shape()[0] {
                    let entry = whole.index_axis(Axis(0), index);
                    assert_eq!(file.entry(index).unwrap(), entry, "{order} {shape} {index}");
                }
                let beyond = file.entry(whole.shape()[0]).unwrap_err().to_string();
                assert!(beyond.contains("no entry"), "{beyond}");
            }
        }
    }

    #[test]
    fn what_is_no_whole_file_is_refused_at_once() {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }";
        let (_folder, path) = write("a.npy", header, &[0; 16]);
        let bytes = std::fs::read(&path).unwrap();
        ArrayFile::open(&path).unwrap();
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(ArrayFile::open(&path).is_err(), "{length}");
        }
        std::fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
        let longer = ArrayFile::open(&path).unwrap_err().to_string();
        assert!(longer.contains("17 bytes"), "{longer}");
        assert!(ArrayFile::open(path.with_extension("none")).is_err());
        let scalar = "{'descr': '<f4', 'fortran_order': False, 'shape': (), }";
        let (_folder, path) = write("b.npy", scalar, &[0; 4]);
        assert!(ArrayFile::open(&path).unwrap().entry(0).is_err());
        // A header as long as it says would be most of the memory.
        std::fs::write(&path, b"\x93NUMPY\x02\x00\xff\xff\xff\xff").unwrap();
        let long = ArrayFile::open(&path).unwrap_err().to_string();
        assert!(long.contains("4294967295 bytes"), "{long}");
    }
}
