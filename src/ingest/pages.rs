//! The pages of one file's columns, compressed as they come.
//!
//! The parquet crate encodes the pages. It would compress them too, with a pair of ZSTD contexts of its own for each column
//! of each file: to make one takes longer than to compress the column of a small file, as each asks the processor what it is
//! (`cpuid`), which a hypervisor answers. Here a thread has one context for all its files.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::page_store::{PageKey, PageStore, PageStoreArgs, PageStoreFactory};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::OffsetIndexBuilder;
use parquet::file::writer::SerializedRowGroupWriter;
use zstd::bulk::Compressor;
use zstd::zstd_safe::compress_bound;

/// What stays with a thread for its next page, beside the context: room for a page of the usual 1 MiB.
const SCRATCH_BYTES: usize = 2 << 20;

/// Thrift's compact protocol: the field after the last one, an i32, is this byte and a zigzag varint.
const NEXT_I32: u8 = 0x15;
/// A page's header begins with its type, and this says that it is a dictionary.
const TYPE_AT: usize = 1;
const DICTIONARY: u8 = 2 << 1;

thread_local! {
    static ZSTD: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Where the writers of a row group's columns put their pages. Nothing waits for its lock: one thread encodes a file.
#[derive(Clone, Debug)]
pub(super) struct Pages {
    columns: Arc<Mutex<Vec<Column>>>,
    /// To compress what comes by it; what is none is as it is to be.
    zstd: Option<ZstdLevel>,
}

/// The pages of one column, each with its header.
#[derive(Debug, Default)]
struct Column {
    dictionary: Option<(Bytes, Bytes)>,
    data: Vec<(Bytes, Bytes)>,
}

impl Pages {
    pub fn new(zstd: Option<ZstdLevel>) -> Self {
        Self { columns: Arc::default(), zstd }
    }

    /// Puts the next column of a row group into a file, once its writer has ended.
    pub fn append(
        &self,
        index: usize,
        mut close: ColumnCloseResult,
        to: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    ) -> Result<()> {
        let Column { dictionary, data } = std::mem::take(&mut self.columns()[index]);
        let len = |(header, page): &(Bytes, Bytes)| header.len() + page.len();
        let dictionary_len = dictionary.as_ref().map(len);
        let data_offset = dictionary_len.unwrap_or(0);
        let mut chunk = Vec::with_capacity(data_offset + data.iter().map(len).sum::<usize>());
        for (header, page) in dictionary.iter().chain(&data) {
            chunk.extend_from_slice(header);
            chunk.extend_from_slice(page);
        }
        let mut metadata = close.metadata.into_builder();
        if let Some(level) = self.zstd {
            metadata = metadata.set_compression(Compression::ZSTD(level));
        }
        close.bytes_written = chunk.len() as u64;
        close.metadata = metadata
            .set_total_compressed_size(chunk.len() as i64)
            .set_dictionary_page_offset(dictionary_len.map(|_| 0))
            .set_data_page_offset(data_offset as i64)
            .build()?;
        if let Some(index) = &mut close.offset_index {
            let rows = index.page_locations().iter().map(|page| page.first_row_index);
            let ends = rows.clone().skip(1).chain([close.rows_written as i64]);
            let mut places = OffsetIndexBuilder::new();
            let mut offset = data_offset;
            for ((page, row), end) in data.iter().zip(rows).zip(ends) {
                places.append_offset_and_size(offset as i64, len(page) as i32);
                places.append_row_count(end - row);
                offset += len(page);
            }
            for bytes in index.unencoded_byte_array_data_bytes().into_iter().flatten() {
                places.append_unencoded_byte_array_data_bytes(Some(*bytes));
            }
            *index = places.build();
        }
        to.append_column(&Bytes::from(chunk), close)
    }

    fn columns(&self) -> MutexGuard<'_, Vec<Column>> {
        self.columns.lock().expect("nothing panics with it")
    }
}

impl PageStoreFactory for Pages {
    fn create(&self, args: &PageStoreArgs<'_>) -> Result<Box<dyn PageStore>> {
        let mut columns = self.columns();
        let len = columns.len().max(args.column_index() + 1);
        columns.resize_with(len, Column::default);
        Ok(Box::new(Store { pages: self.clone(), column: args.column_index(), header: None }))
    }
}

/// Where one column's writer puts its pages: a header, its page, the next header.
struct Store {
    pages: Pages,
    column: usize,
    header: Option<Bytes>,
}

impl PageStore for Store {
    fn put(&mut self, blob: Bytes) -> Result<PageKey> {
        let key = PageKey::new(0); // nothing is asked for by it
        let Some(header) = self.header.take() else {
            self.header = Some(blob);
            return Ok(key);
        };
        let page = match self.pages.zstd {
            Some(level) => compressed(&blob, level)?,
            None => blob,
        };
        let header = resized(&header, page.len())?;
        let column = &mut self.pages.columns()[self.column];
        match header[TYPE_AT] == DICTIONARY {
            true => column.dictionary = Some((header, page)),
            false => column.data.push((header, page)),
        }
        Ok(key)
    }

    fn take(&mut self, _: PageKey) -> Result<Bytes> {
        Err(ParquetError::General("pages are taken by their column".into()))
    }
}

fn compressed(page: &[u8], level: ZstdLevel) -> Result<Bytes> {
    ZSTD.with_borrow_mut(|zstd| {
        let zstd = match zstd {
            Some(zstd) => zstd,
            None => zstd.insert(Compressor::new(0)?),
        };
        zstd.set_compression_level(level.compression_level())?;
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            scratch.reserve(compress_bound(page.len()));
            zstd.compress_to_buffer(page, scratch)?;
            let compressed = Bytes::copy_from_slice(scratch);
            scratch.clear();
            scratch.shrink_to(SCRATCH_BYTES);
            Ok(compressed)
        })
    })
}

/// The header of a page that has another length now. It begins with three i32: the page's type, its size, and its size
/// as it is in the file (parquet.thrift).
fn resized(header: &[u8], page_len: usize) -> Result<Bytes> {
    let mut place = 0..0;
    for _ in 0..3 {
        let value = header[place.end..].strip_prefix(&[NEXT_I32]);
        let len = value.and_then(|value| value.iter().position(|byte| byte & 0x80 == 0));
        let len = len.ok_or_else(|| ParquetError::General("a page's header is not as it is known".into()))?;
        place = place.end + 1..place.end + 1 + len + 1;
    }
    let mut resized = Vec::with_capacity(header.len() + 1);
    resized.extend_from_slice(&header[..place.start]);
    let mut zigzag = 2 * page_len as u64;
    while zigzag >= 0x80 {
        resized.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    resized.push(zigzag as u8);
    resized.extend_from_slice(&header[place.end..]);
    Ok(resized.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_the_length_of_its_page() {
        let header = [NEXT_I32, DICTIONARY, NEXT_I32, 0x80, 0x01, NEXT_I32, 0x80, 0x80, 0x02, 0x2c, 0x15];
        let with = |len: &[u8]| [&header[..6], len, &header[9..]].concat();
        assert_eq!(resized(&header, 16384).unwrap(), &header[..]);
        assert_eq!(resized(&header, 63).unwrap(), with(&[0x7e]));
        assert_eq!(resized(&header, 64).unwrap(), with(&[0x80, 0x01]));
        for short in [&header[..7], &header[..3], &[], &[0x18, 0x02]] {
            assert!(resized(short, 1).unwrap_err().to_string().contains("header"));
        }
    }
}
