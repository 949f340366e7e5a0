//! The values as a Parquet file, for programs that take tables of millions of rows.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::PARQUET;
use crate::error::StudyError;
use crate::files::replace;
use crate::found::{Found, Place, State};
use crate::settings::Settings;

/// The columns, in order.
const SCHEMA: &str = "message results {
    required int64 image;
    required binary file (string);
    required int64 class;
    required binary label (string);
    required int64 predicted;
    required float probability;
    required binary method (string);
    required binary metric (string);
    required binary state (string);
    optional double value;
    optional binary reason (string);
}";

/// How many rows are held, and written together.
const GROUP: usize = 1 << 16;

/// Some rows, column by column.
#[derive(Default)]
struct Rows {
    image: Vec<i64>,
    file: Vec<ByteArray>,
    class: Vec<i64>,
    label: Vec<ByteArray>,
    predicted: Vec<i64>,
    probability: Vec<f32>,
    method: Vec<ByteArray>,
    metric: Vec<ByteArray>,
    state: Vec<ByteArray>,
    value: Optional<f64>,
    reason: Optional<ByteArray>,
}

/// A column in which some rows have nothing.
struct Optional<T> {
    values: Vec<T>,
    /// 1 for each row that has a value, 0 for others.
    levels: Vec<i16>,
}

impl<T> Default for Optional<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            levels: Vec::new(),
        }
    }
}

impl<T> Optional<T> {
    fn push(&mut self, value: Option<T>) {
        self.levels.push(value.is_some().into());
        self.values.extend(value);
    }
}

/// Writes every value that there is into its folder, a row for each image, method and metric.
pub(super) fn write(
    folder: &Path,
    settings: &Settings,
    found: &Found,
) -> std::result::Result<(), StudyError> {
    let path = folder.join(PARQUET);
    replace(&path, |to| {
        let cannot = |error: ParquetError| match error {
            ParquetError::External(source) => io::Error::other(source),
            error => io::Error::other(error),
        };
        rows(to, settings, found).map_err(|error| StudyError::file("write", &path)(cannot(error)))
    })
}

fn rows(to: &mut (dyn Write + Send), settings: &Settings, found: &Found) -> Result<()> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
    let mut writer = SerializedFileWriter::new(to, schema, Arc::new(properties.build()))?;
    let texts = |names: &[String]| -> Vec<ByteArray> {
        names.iter().map(|name| ByteArray::from(&**name)).collect()
    };
    let (methods, metrics) = (texts(found.rows()), texts(found.metrics()));
    let [measured, not_applicable, failed] =
        ["value", "not applicable", "failed"].map(ByteArray::from);
    let mut rows = Rows::default();
    for (image, predicted, probability) in found.seen() {
        let planned = &found.planned()[image];
        let file = ByteArray::from(&*planned.file);
        let label = ByteArray::from(&*settings.label(planned.class));
        for (row, method) in methods.iter().enumerate() {
            for (metric, name) in metrics.iter().enumerate() {
                let place = Place { image, row, metric };
                let (state, value) = match found.state(place) {
                    State::Missing => continue,
                    State::Number(number) => (&measured, Some(number)),
                    State::NotApplicable => (&not_applicable, None),
                    State::Failed => (&failed, None),
                };
                let reason = found.failures().get(&place);
                rows.image.push(planned.number as i64);
                rows.file.push(file.clone());
                rows.class.push(planned.class as i64);
                rows.label.push(label.clone());
                rows.predicted.push(predicted as i64);
                rows.probability.push(probability);
                rows.method.push(method.clone());
                rows.metric.push(name.clone());
                rows.state.push(state.clone());
                rows.value.push(value);
                rows.reason
                    .push(reason.map(|reason| ByteArray::from(&**reason)));
                if rows.image.len() == GROUP {
                    std::mem::take(&mut rows).write(&mut writer)?;
                }
            }
        }
    }
    if !rows.image.is_empty() {
        rows.write(&mut writer)?;
    }
    writer.close()?;
    Ok(())
}

impl Rows {
    /// As a group of their own.
    fn write<W: Write + Send>(self, writer: &mut SerializedFileWriter<W>) -> Result<()> {
        let mut group = writer.next_row_group()?;
        column::<Int64Type, W>(&mut group, &self.image, None)?;
        column::<ByteArrayType, W>(&mut group, &self.file, None)?;
        column::<Int64Type, W>(&mut group, &self.class, None)?;
        column::<ByteArrayType, W>(&mut group, &self.label, None)?;
        column::<Int64Type, W>(&mut group, &self.predicted, None)?;
        column::<FloatType, W>(&mut group, &self.probability, None)?;
        column::<ByteArrayType, W>(&mut group, &self.method, None)?;
        column::<ByteArrayType, W>(&mut group, &self.metric, None)?;
        column::<ByteArrayType, W>(&mut group, &self.state, None)?;
        let Optional { values, levels } = &self.value;
        column::<DoubleType, W>(&mut group, values, Some(levels))?;
        let Optional { values, levels } = &self.reason;
        column::<ByteArrayType, W>(&mut group, values, Some(levels))?;
        group.close()?;
        Ok(())
    }
}

/// Writes the next column of a group.
fn column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<()> {
    let next = group.next_column()?;
    let mut next =
        next.ok_or_else(|| ParquetError::General("there are no more columns".to_owned()))?;
    next.typed::<T>().write_batch(values, levels, None)?;
    next.close()
}
