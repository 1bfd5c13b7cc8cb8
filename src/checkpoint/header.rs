//! The header of a safetensors file, parsed from the beginning of the file and validated as untrusted input.
//!
//! Layout: 8 bytes little-endian length n, n bytes of JSON (`{"name": {"dtype", "shape", "data_offsets"}, …}` and an optional
//! `__metadata__` of strings), then the tensors' bytes without gaps. The `safetensors` crate validates a header only together with the
//! whole file in memory, and uses `usize`, which is 32 bits in the browser; so this module has its own parser and uses only the crate's
//! [`Dtype`].

use std::collections::BTreeMap;
use std::fmt;

use safetensors::Dtype;
use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::error::{Cause, Error, Result};
use crate::platform::{Directory, is_lfs_pointer};

/// The largest header that readers of the format accept, in bytes.
pub const MAX_HEADER: u64 = 100_000_000;
/// Size of the length field before the header, in bytes.
const LENGTH_BYTES: u64 = 8;

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorEntry {
    /// Its name in the file.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its shape, outermost dimension first; empty for a scalar.
    pub shape: Vec<u64>,
    /// Offset of its first byte from the beginning of the file.
    pub offset: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

impl TensorEntry {
    /// The number of elements.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product() // cannot overflow: checked against the size of the file
    }
}

/// The complete header of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The tensors in the order of their data.
    pub tensors: Vec<TensorEntry>,
    /// Text entries (`__metadata__`).
    pub metadata: BTreeMap<String, String>,
}

impl Header {
    /// Reads the header of `name` in `dir`, in two small reads regardless of the file's size.
    ///
    /// # Errors
    /// [`Error::File`] for a file that is not a safetensors file or is truncated, [`Error::Tensor`] for a tensor with an invalid
    /// description.
    pub async fn read(dir: &dyn Directory, name: &str) -> Result<Header> {
        let Some(size) = dir.size(name).await? else {
            return Err(Error::file(format!("{}/{name}", dir.label()), "there is no such file").because(Cause::NotFound));
        };
        let mut bytes = dir.read_range(name, 0..size.min(24)).await?;
        let length = header_length(name, &bytes, size)?;
        bytes = dir.read_range(name, LENGTH_BYTES..LENGTH_BYTES + length).await?;
        Header::parse_json(name, &bytes, size - LENGTH_BYTES - length, LENGTH_BYTES + length)
    }

    /// Parses the beginning of a file of `size` bytes; `bytes` must hold at least its header.
    ///
    /// # Errors
    /// As [`Header::read`].
    pub fn parse(file: &str, bytes: &[u8], size: u64) -> Result<Header> {
        let length = header_length(file, bytes, size)?;
        let end = LENGTH_BYTES + length;
        let json = usize::try_from(end).ok().and_then(|end| bytes.get(LENGTH_BYTES as usize..end));
        let json = json.ok_or_else(|| Error::file(file, format!("the header of {length} bytes is cut short")).because(Cause::Truncated))?;
        Header::parse_json(file, json, size - end, end)
    }

    fn parse_json(file: &str, json: &[u8], data_size: u64, data_start: u64) -> Result<Header> {
        let raw: RawHeader = serde_json::from_slice(json)
            .map_err(|e| Error::file(file, format!("the safetensors header is damaged ({e}); get the file again")))?;
        let mut tensors = Vec::with_capacity(raw.tensors.len());
        for (name, raw) in raw.tensors {
            let fail = |reason: String| Error::tensor(file, &name, reason);
            let dtype = Dtype::deserialize(StrDeserializer::<serde::de::value::Error>::new(&raw.dtype))
                .map_err(|_| fail(format!("the dtype {} is not known", raw.dtype)))?;
            let [begin, end] = raw.data_offsets;
            let bytes = end.checked_sub(begin).ok_or_else(|| fail(format!("its bytes end ({end}) before they begin ({begin})")))?;
            let wanted = shape_bytes(&raw.shape, dtype).ok_or_else(|| fail(format!("the shape {:?} is impossible", raw.shape)))?;
            if bytes != wanted {
                return Err(fail(format!("the shape {:?} in {dtype} takes {wanted} bytes, {bytes} are given", raw.shape)));
            }
            if end > data_size {
                let short = end - data_size;
                return Err(fail(format!("the file is cut short: {short} bytes of this tensor are missing; get it again"))
                    .because(Cause::Truncated));
            }
            tensors.push(TensorEntry { name, dtype, shape: raw.shape, offset: begin, bytes });
        }
        tensors.sort_by_key(|t| (t.offset, t.bytes));
        let mut expected = 0;
        for tensor in &mut tensors {
            if tensor.offset != expected {
                return Err(Error::tensor(
                    file,
                    &tensor.name,
                    format!("its bytes begin at {} of the data, where {expected} was expected", tensor.offset),
                ));
            }
            expected += tensor.bytes;
            tensor.offset += data_start;
        }
        if expected != data_size {
            return Err(Error::file(
                file,
                format!("{} bytes follow the last tensor; the file is damaged, get it again", data_size - expected),
            ));
        }
        if let Some(twice) = first_duplicate(tensors.iter().map(|t| t.name.as_str())) {
            return Err(Error::tensor(file, twice, "the header lists this tensor twice"));
        }
        Ok(Header { tensors, metadata: raw.metadata })
    }
}

/// Returns the bytes before the tensors' data in a file with these tensors. Their order is kept, and [`TensorEntry::offset`] is
/// overwritten. The JSON is the same as the `safetensors` crate writes.
pub(crate) fn write(tensors: &mut [TensorEntry], metadata: &[(String, String)]) -> Vec<u8> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut entries = Vec::with_capacity(tensors.len() + 1);
    if !metadata.is_empty() {
        let pairs: Vec<_> = metadata.iter().map(|(k, v)| format!("{}:{}", quoted(k), quoted(v))).collect();
        entries.push(format!("\"__metadata__\":{{{}}}", pairs.join(",")));
    }
    let mut offset = 0;
    for tensor in tensors.iter_mut() {
        let shape: Vec<_> = tensor.shape.iter().map(u64::to_string).collect();
        entries.push(format!(
            "{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{offset},{}]}}",
            quoted(&tensor.name),
            tensor.dtype,
            shape.join(","),
            offset + tensor.bytes
        ));
        tensor.offset = offset;
        offset += tensor.bytes;
    }
    let mut json = format!("{{{}}}", entries.join(",")).into_bytes();
    json.resize(json.len().next_multiple_of(8), b' '); // so that the data are aligned
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut json);
    for tensor in tensors {
        tensor.offset += bytes.len() as u64;
    }
    bytes
}

/// The size of a tensor in bytes; `None` if it overflows or is not a whole number of bytes.
pub(super) fn shape_bytes(shape: &[u64], dtype: Dtype) -> Option<u64> {
    let elements = shape.iter().try_fold(1u64, |product, &size| product.checked_mul(size))?;
    let bits = elements.checked_mul(dtype.bitsize() as u64)?;
    bits.is_multiple_of(8).then_some(bits / 8)
}

/// The first name that occurs twice, if any.
pub(super) fn first_duplicate<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

fn header_length(file: &str, bytes: &[u8], size: u64) -> Result<u64> {
    if is_lfs_pointer(bytes) {
        return Err(Error::file(file, "this is a git-lfs pointer, not the weights themselves; run git lfs pull").because(Cause::LfsPointer));
    }
    let Some(length) = bytes.first_chunk().map(|first| u64::from_le_bytes(*first)) else {
        return Err(Error::file(file, format!("the file has only {size} bytes; get it again")).because(Cause::Truncated));
    };
    if length > MAX_HEADER {
        return Err(Error::file(file, "this is not a safetensors file: it would begin with a header of more than 100 MB"));
    }
    match size.checked_sub(LENGTH_BYTES) {
        Some(rest) if length <= rest => Ok(length),
        _ => Err(Error::file(file, format!("the file is cut short: its header has {length} bytes, the whole file {size}; get it again"))
            .because(Cause::Truncated)),
    }
}

/// The parsed JSON, including duplicates, so that they can be rejected.
struct RawHeader {
    tensors: Vec<(String, RawTensor)>,
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct RawTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeaderVisitor;
        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = RawHeader;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with an entry for each tensor")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut header = RawHeader { tensors: Vec::new(), metadata: BTreeMap::new() };
                while let Some(key) = map.next_key::<String>()? {
                    if key == "__metadata__" {
                        header.metadata = map.next_value::<Option<_>>()?.unwrap_or_default();
                    } else {
                        header.tensors.push((key, map.next_value()?));
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(HeaderVisitor)
    }
}
