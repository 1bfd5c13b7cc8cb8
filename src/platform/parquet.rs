//! Parquet files as JSON records.

use std::io::Read;
use std::sync::Arc;

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedRowGroupReader;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use serde_json::{Map, Value as Json, json};

use super::parquet_footer::{self, damaged};
use super::{Directory, RowTaker, guard};
use crate::error::Result;

/// Bytes behind the metadata: their length, and `PAR1`.
const TAIL: usize = 8;
/// The most bytes that a row group may take in the file: they are held at once.
const MAX_ROW_GROUP: u64 = 1 << 30;

pub(super) async fn parquet_rows(dir: &dyn Directory, name: &str, shown: &str, take: &mut RowTaker<'_>) -> Result<()> {
    let (size, footer) = parquet_footer::read(dir, name, shown).await?;
    let metadata = metadata(&footer, shown)?;
    let rows: usize = metadata.row_groups().iter().map(|group| usize::try_from(group.num_rows()).unwrap_or(0)).sum();
    let mut row = 0;
    for (index, group) in metadata.row_groups().iter().enumerate() {
        let fault = |reason: String| damaged(shown, &format!("row group {} of {}: {reason}", index + 1, metadata.num_row_groups()));
        let part = part(dir, name, size, group).await?.map_err(fault)?;
        let properties = Arc::new(ReaderProperties::builder().build());
        // The rest runs in the library, which was made for files that one has written oneself.
        let open = || SerializedRowGroupReader::new(Arc::new(part), group, metadata.page_index_for_row_group(index), properties);
        let reader = guard(open).and_then(|opened| opened.map_err(|e| e.to_string())).map_err(fault)?;
        let opened = guard(|| RowIter::from_row_group(None, &reader)).and_then(|rows| rows.map_err(|e| e.to_string()));
        let mut iterator = opened.map_err(fault)?;
        loop {
            let next = guard(|| iterator.next().transpose()).and_then(|next| next.map_err(|e| e.to_string()));
            let Some(record) = next.map_err(fault)? else { break };
            row += 1;
            if !take(row, row as f64 / rows.max(row) as f64, object(&record))? {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn metadata(footer: &[u8], shown: &str) -> Result<ParquetMetaData> {
    let metadata = &footer[..footer.len().saturating_sub(TAIL)];
    let read = guard(|| ParquetMetaDataReader::decode_metadata(metadata)).and_then(|read| read.map_err(|e| e.to_string()));
    read.map_err(|reason| damaged(shown, &reason))
}

/// The bytes of a row group.
async fn part(dir: &dyn Directory, name: &str, size: u64, group: &RowGroupMetaData) -> Result<std::result::Result<Part, String>> {
    // The library panics on offsets below zero.
    let ranges = guard(|| group.columns().iter().map(|column| column.byte_range()).collect::<Vec<_>>());
    let ranges = match ranges {
        Ok(ranges) => ranges,
        Err(reason) => return Ok(Err(reason)),
    };
    let start = ranges.iter().map(|(start, _)| *start).min().unwrap_or(0);
    let end = ranges.iter().map(|(start, length)| start.saturating_add(*length)).max().unwrap_or(0);
    if end > size || start > end {
        return Ok(Err(format!("its columns are said to end at byte {end} of {size}")));
    }
    if end - start > MAX_ROW_GROUP {
        let most = MAX_ROW_GROUP >> 30;
        return Ok(Err(format!("it takes more than {most} GiB; write the file with a smaller row_group_size")));
    }
    Ok(Ok(Part { start, size, bytes: bytes::Bytes::from(dir.read_range(name, start..end).await?) }))
}

/// A part of a file, as the library reads it.
struct Part {
    start: u64,
    /// Bytes of the whole file.
    size: u64,
    bytes: bytes::Bytes,
}

impl Part {
    fn slice(&self, start: u64, length: Option<usize>) -> parquet::errors::Result<bytes::Bytes> {
        let from = start.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        let range = from.and_then(|from| Some(from..length.map_or(Some(self.bytes.len()), |length| from.checked_add(length))?));
        match range {
            Some(range) if range.start <= range.end && range.end <= self.bytes.len() => Ok(self.bytes.slice(range)),
            _ => Err(parquet::errors::ParquetError::EOF(format!("byte {start} is outside the row group"))),
        }
    }
}

impl Length for Part {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Part {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(Box::new(std::io::Cursor::new(self.slice(start, None)?)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<bytes::Bytes> {
        self.slice(start, Some(length))
    }
}

fn object(row: &Row) -> Json {
    Json::Object(row.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect::<Map<_, _>>())
}

fn value(field: &Field) -> Json {
    match field {
        Field::Null => Json::Null,
        Field::Bool(value) => json!(value),
        Field::Byte(value) => json!(value),
        Field::Short(value) => json!(value),
        Field::Int(value) => json!(value),
        Field::Long(value) => json!(value),
        Field::UByte(value) => json!(value),
        Field::UShort(value) => json!(value),
        Field::UInt(value) => json!(value),
        Field::ULong(value) => json!(value),
        Field::Float16(value) => json!(value.to_f32()),
        Field::Float(value) => json!(value),
        Field::Double(value) => json!(value),
        Field::Str(text) => json!(text),
        // Some programs leave out that bytes are text. What is no text has no form in JSON, and no reader of records takes an object for text.
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => json!(text),
            Err(_) => json!({ "bytes": bytes.len() }),
        },
        Field::Group(row) => object(row),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::MapInternal(map) => {
            let key = |field: &Field| value(field).as_str().map_or_else(|| field.to_string(), str::to_string);
            Json::Object(map.entries().iter().map(|(name, field)| (key(name), value(field))).collect())
        }
        // Decimal numbers, dates and times, as the library writes them.
        other => json!(other.to_string()),
    }
}
