//! Arrow files as JSON records: the streams that Hugging Face's `datasets` saves, and files with Arrow's own footer.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch, StructArray};
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_schema::DataType;
use serde_json::{Map, Value as Json, json};

use super::{Directory, RowTaker, guard};
use crate::error::{Cause, Error, Result};

/// How much is read at once.
const CHUNK: u64 = 1 << 20;
/// How a file with a footer begins and ends; a stream has neither.
const MAGIC: &[u8] = b"ARROW1";
/// Where the messages of such a file begin.
const BEGIN: u64 = 8;

pub(super) async fn arrow_rows(dir: &dyn Directory, name: &str, shown: &str, take: &mut RowTaker<'_>) -> Result<()> {
    let size = dir.size(name).await?.ok_or_else(|| Error::file(shown, "there is no such file").because(Cause::NotFound))?;
    let fault = |reason: String| {
        let way_out = if reason.contains("feature") { "write it without compression" } else { "it seems to be damaged or cut off" };
        Error::dataset(shown, format!("this Arrow file cannot be read ({reason}); {way_out}"))
    };
    let (mut at, end) = messages(dir, name, size).await?.ok_or_else(|| fault("its footer is outside the file".into()))?;
    let mut decoder = StreamDecoder::new();
    let mut row = 0;
    while at < end {
        let next = (at + CHUNK).min(end);
        let mut bytes = Buffer::from(dir.read_range(name, at..next).await?);
        at = next;
        let share = at as f64 / size as f64;
        while !bytes.is_empty() {
            // The library was made for files that one has written oneself.
            let decoded = guard(|| decoder.decode(&mut bytes)).and_then(|decoded| decoded.map_err(|e| e.to_string()));
            let Some(batch) = decoded.map_err(fault)? else { break };
            let rows = guard(|| objects(&batch)).map_err(fault)?;
            for record in rows {
                row += 1;
                if !take(row, share, record)? {
                    return Ok(());
                }
            }
        }
    }
    decoder.finish().map_err(|e| fault(e.to_string()))
}

/// Where the messages of a file begin and end; `None` where its footer says nonsense.
async fn messages(dir: &dyn Directory, name: &str, size: u64) -> Result<Option<(u64, u64)>> {
    let tail = (4 + MAGIC.len()) as u64;
    if size < BEGIN + tail || dir.read_range(name, 0..MAGIC.len() as u64).await? != MAGIC {
        return Ok(Some((0, size)));
    }
    let ending = dir.read_range(name, size - tail..size).await?;
    let Some((length, MAGIC)) = ending.split_first_chunk::<4>() else { return Ok(None) };
    let end = (size - tail).checked_sub(u64::from(u32::from_le_bytes(*length)));
    Ok(end.filter(|end| *end >= BEGIN).map(|end| (BEGIN, end)))
}

fn objects(batch: &RecordBatch) -> Vec<Json> {
    let schema = batch.schema_ref();
    let row = |row: usize| {
        let fields = schema.fields().iter().zip(batch.columns());
        Json::Object(fields.map(|(field, column)| (field.name().clone(), value(column, row))).collect())
    };
    (0..batch.num_rows()).map(row).collect()
}

fn value(array: &dyn Array, at: usize) -> Json {
    if array.is_null(at) {
        return Json::Null;
    }
    let list = |items: &dyn Array| (0..items.len()).map(|item| value(items, item)).collect::<Json>();
    match array.data_type() {
        DataType::Null => Json::Null,
        DataType::Boolean => json!(array.as_boolean().value(at)),
        DataType::Int8 => json!(array.as_primitive::<Int8Type>().value(at)),
        DataType::Int16 => json!(array.as_primitive::<Int16Type>().value(at)),
        DataType::Int32 => json!(array.as_primitive::<Int32Type>().value(at)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(at)),
        DataType::UInt8 => json!(array.as_primitive::<UInt8Type>().value(at)),
        DataType::UInt16 => json!(array.as_primitive::<UInt16Type>().value(at)),
        DataType::UInt32 => json!(array.as_primitive::<UInt32Type>().value(at)),
        DataType::UInt64 => json!(array.as_primitive::<UInt64Type>().value(at)),
        DataType::Float16 => json!(array.as_primitive::<Float16Type>().value(at).to_f32()),
        DataType::Float32 => json!(array.as_primitive::<Float32Type>().value(at)),
        DataType::Float64 => json!(array.as_primitive::<Float64Type>().value(at)),
        DataType::Utf8 => json!(array.as_string::<i32>().value(at)),
        DataType::LargeUtf8 => json!(array.as_string::<i64>().value(at)),
        DataType::Utf8View => json!(array.as_string_view().value(at)),
        DataType::Binary => bytes(array.as_binary::<i32>().value(at)),
        DataType::LargeBinary => bytes(array.as_binary::<i64>().value(at)),
        DataType::List(_) => list(&*array.as_list::<i32>().value(at)),
        DataType::LargeList(_) => list(&*array.as_list::<i64>().value(at)),
        DataType::FixedSizeList(..) => list(&*array.as_fixed_size_list().value(at)),
        DataType::Struct(_) => object(array.as_struct(), at),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            match value(dictionary.keys(), at).as_u64() {
                Some(key) => value(&**dictionary.values(), key as usize),
                None => Json::Null,
            }
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(at);
            let name = |key: Json| key.as_str().map_or_else(|| key.to_string(), str::to_string);
            let pair = |at: usize| (name(value(&**entries.column(0), at)), value(&**entries.column(1), at));
            Json::Object((0..entries.len()).map(pair).collect::<Map<_, _>>())
        }
        // Dates, times, decimals: no text, and no reader of records takes an object for one.
        other => json!({ "type": other.to_string() }),
    }
}

fn object(array: &StructArray, at: usize) -> Json {
    let fields = array.fields().iter().zip(array.columns());
    Json::Object(fields.map(|(field, column)| (field.name().clone(), value(column, at))).collect())
}

/// As of Parquet files: bytes that are text are taken for it.
fn bytes(bytes: &[u8]) -> Json {
    std::str::from_utf8(bytes).map_or_else(|_| json!({ "bytes": bytes.len() }), |text| json!(text))
}
