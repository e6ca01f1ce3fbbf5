//! Writes an answer as one Parquet file, row group by row group.

use std::io::Write;

use arrow::error::ArrowError;
use futures::TryStreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::{Answer, failed};
use crate::error::Result;

/// Gives the number of rows. What is held is one row group, encoded.
pub(super) async fn write(mut answer: Answer, out: &mut dyn Write) -> Result<u64> {
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), answer.schema.clone(), Some(properties))
        .map_err(|e| failed(cause(e)))?;
    let mut rows = 0;
    while let Some(batch) = answer.batches.try_next().await? {
        rows += batch.num_rows() as u64;
        writer.write(&batch).map_err(|e| failed(cause(e)))?;
        // What is done goes out: the writer counts for itself where it is in the file.
        out.write_all(&std::mem::take(writer.inner_mut())).map_err(|e| failed(e.into()))?;
    }
    let rest = writer.into_inner().map_err(|e| failed(cause(e)))?;
    out.write_all(&rest).and_then(|()| out.flush()).map_err(|e| failed(e.into()))?;
    Ok(rows)
}

fn cause(e: ParquetError) -> ArrowError {
    ArrowError::from(e)
}
