//! Where the bytes of a picture or a mask lie.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use elucid_vision::input::{InputError, MAX_FILE_BYTES, decode_image_of, read_file};
use image::DynamicImage;

/// Where the bytes of a picture or a mask lie.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stored {
    /// In a file of their own.
    File(PathBuf),
    /// Within an archive.
    Member {
        /// The archive.
        archive: Arc<Path>,
        /// Its name there.
        name: String,
        /// Where it begins, in bytes.
        offset: u64,
        /// How many bytes it has.
        length: u64,
    },
}

impl From<PathBuf> for Stored {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Member { archive, name, .. } => write!(f, "{}: {name}", archive.display()),
        }
    }
}

impl Stored {
    /// The bytes, as long as they are no more than a picture may have.
    ///
    /// # Errors
    ///
    /// [`InputError::Read`] and [`InputError::FileTooLarge`].
    pub fn bytes(&self) -> Result<Vec<u8>, InputError> {
        let (archive, offset, length) = match self {
            Self::File(path) => return read_file(path),
            Self::Member {
                archive,
                offset,
                length,
                ..
            } => (archive, *offset, *length),
        };
        if length > MAX_FILE_BYTES {
            let picture = self.to_string();
            return Err(InputError::FileTooLarge { picture });
        }
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(archive)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = vec![0; length as usize];
            file.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(|source| InputError::Read {
            picture: self.to_string(),
            source,
        })
    }

    /// The picture, turned as its EXIF orientation says.
    ///
    /// # Errors
    ///
    /// As [`open_image`](elucid_vision::input::open_image).
    pub fn picture(&self) -> Result<DynamicImage, InputError> {
        decode_image_of(&self.bytes()?, self.to_string())
    }

    /// The file that holds them.
    pub fn file(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Member { archive, .. } => archive,
        }
    }
}
