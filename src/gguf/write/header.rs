//! Writing the container: metadata and tensor descriptions first, then the tensors in that order.

use crate::error::{Error, Result};
use crate::gguf::container::{ALIGNMENT, MAGIC};
use crate::gguf::encoding::Encoding;
use crate::gguf::metadata::{Array, Metadata, Number, Value};
use crate::platform::{FileWriter, OutputDirectory};

/// What stands in front of the tensors' bytes. The same values are also there as [`Metadata`], so that what is written can be read back
/// before it is.
pub(super) struct Head {
    pub(super) metadata: Metadata,
    entries: Vec<u8>,
    count: u64,
    /// Descriptions, each with its size in bytes.
    tensors: Vec<(Vec<u8>, u64)>,
    /// Where the next tensor begins in the data.
    end: u64,
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

impl Head {
    /// Begins with what every file says of itself.
    pub(super) fn new(architecture: &str, kind: &str) -> Head {
        let metadata = Metadata::new("the GGUF file");
        let mut head = Head { metadata, entries: Vec::new(), count: 0, tensors: Vec::new(), end: 0 };
        head.text("general.architecture", architecture);
        head.text("general.type", kind);
        head
    }

    fn entry(&mut self, key: &str, kind: u32, value: Value, put: impl FnOnce(&mut Vec<u8>)) {
        put_text(&mut self.entries, key);
        self.entries.extend(kind.to_le_bytes());
        put(&mut self.entries);
        self.count += 1;
        self.metadata.insert(key.to_string(), value);
    }

    pub(super) fn text(&mut self, key: &str, text: &str) {
        self.entry(key, 8, Value::Text(text.to_string()), |bytes| put_text(bytes, text));
    }

    pub(super) fn u32(&mut self, key: &str, value: u32) {
        self.entry(key, 4, Value::Unsigned(value.into()), |bytes| bytes.extend(value.to_le_bytes()));
    }

    pub(super) fn f32(&mut self, key: &str, value: f32) {
        let bytes = value.to_le_bytes();
        self.entry(key, 6, Number::F32.read(&bytes), |out| out.extend(bytes));
    }

    pub(super) fn flag(&mut self, key: &str, value: bool) {
        self.entry(key, 7, Value::Bool(value), |bytes| bytes.push(value.into()));
    }

    pub(super) fn texts(&mut self, key: &str, texts: Vec<Box<str>>) {
        let mut list = Vec::new();
        list.extend(8u32.to_le_bytes());
        list.extend((texts.len() as u64).to_le_bytes());
        texts.iter().for_each(|text| put_text(&mut list, text));
        self.entry(key, 9, Value::Array(Array::Texts(texts)), |bytes| bytes.extend(list));
    }

    /// A list of numbers of four bytes each.
    pub(super) fn numbers(&mut self, key: &str, number: Number, values: Vec<u8>) {
        let kind: u32 = if number == Number::F32 { 6 } else { 5 };
        let mut list = kind.to_le_bytes().to_vec();
        list.extend((values.len() as u64 / 4).to_le_bytes());
        list.extend(&values);
        self.entry(key, 9, Value::Array(Array::Numbers(number, values)), |bytes| bytes.extend(list));
    }

    /// Describes the next tensor; `shape` begins with the outermost dimension.
    pub(super) fn tensor(&mut self, name: &str, shape: &[usize], encoding: Encoding) {
        let mut bytes = Vec::new();
        put_text(&mut bytes, name);
        bytes.extend((shape.len() as u32).to_le_bytes());
        shape.iter().rev().for_each(|&size| bytes.extend((size as u64).to_le_bytes()));
        bytes.extend(encoding.id().to_le_bytes());
        bytes.extend(self.end.to_le_bytes());
        let (block, block_bytes) = encoding.block();
        let size = shape.iter().map(|&size| size as u64).product::<u64>() / block as u64 * block_bytes as u64;
        self.end = (self.end + size).next_multiple_of(ALIGNMENT);
        self.tensors.push((bytes, size));
    }

    /// Writes all this; the tensors' numbers follow.
    pub(super) async fn begin(self, out: &dyn OutputDirectory, name: &str) -> Result<Body> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(super::VERSION.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend(self.count.to_le_bytes());
        bytes.extend(self.entries);
        self.tensors.iter().for_each(|(description, _)| bytes.extend(description));
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT as usize), 0);
        let mut writer = out.create(name).await?;
        writer.write(&bytes).await?;
        let sizes = self.tensors.into_iter().map(|(_, size)| size).collect();
        Ok(Body { writer, file: name.to_string(), sizes, current: 0, written: 0 })
    }
}

/// The tensors' bytes, in the order in which they were described.
pub(super) struct Body {
    writer: Box<dyn FileWriter>,
    file: String,
    sizes: Vec<u64>,
    current: usize,
    written: u64,
}

impl Body {
    /// Appends numbers to the current tensor.
    pub(super) async fn numbers(&mut self, tensor: &str, encoding: Encoding, numbers: &[f32]) -> Result<()> {
        let bytes = encoding.encode(numbers).map_err(|value| {
            let reason = format!("holds {value}, which is too large for {encoding}; write bf16 or f32 instead");
            Error::tensor(&self.file, tensor, reason)
        })?;
        self.writer.write(&bytes).await?;
        self.written += bytes.len() as u64;
        if self.sizes.get(self.current).is_some_and(|size| *size == self.written) {
            let gap = self.written.next_multiple_of(ALIGNMENT) - self.written;
            self.writer.write(&vec![0; gap as usize]).await?;
            (self.current, self.written) = (self.current + 1, 0);
        }
        Ok(())
    }

    pub(super) async fn finish(self) -> Result<()> {
        if self.current != self.sizes.len() {
            return Err(Error::file(self.file, "not all tensors were written; this is a fault of the program"));
        }
        self.writer.finish().await
    }
}
