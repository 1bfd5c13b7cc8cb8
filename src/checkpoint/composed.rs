//! A model's directory whose weights are computed while they are read, as a file that is stored nowhere.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;

use super::convert;
use super::header::{self, TensorEntry};
use super::open::WEIGHTS;
use super::tensor_file::TensorInfo;
use crate::error::{Error, Result};
use crate::platform::{Directory, Entry};

/// Where the numbers of such weights come from.
#[async_trait(?Send)]
pub trait TensorSource {
    /// Elements of the tensor with this index, in the file's order; the same for every way to cut the range.
    async fn elements(&self, tensor: usize, elements: Range<u64>) -> Result<Vec<f32>>;
}

/// A directory over another one: its weight files are replaced by one `model.safetensors` whose numbers come from a source, and some small
/// files by others.
pub struct ComposedDirectory {
    below: Rc<dyn Directory>,
    files: BTreeMap<String, Vec<u8>>,
    head: Vec<u8>,
    tensors: Vec<TensorEntry>,
    source: Box<dyn TensorSource>,
}

impl ComposedDirectory {
    /// Creates the directory. The tensors' indices are those of `tensors`; their types are those in which weights are written.
    ///
    /// # Errors
    /// [`Error::Tensor`] for a shape that is too large.
    pub fn new(
        below: Rc<dyn Directory>,
        files: BTreeMap<String, Vec<u8>>,
        tensors: Vec<TensorInfo>,
        source: Box<dyn TensorSource>,
    ) -> Result<ComposedDirectory> {
        let mut entries = Vec::with_capacity(tensors.len());
        for TensorInfo { name, dtype, shape } in tensors {
            let bytes = header::shape_bytes(&shape, dtype);
            let bytes = bytes.ok_or_else(|| Error::tensor(WEIGHTS, &name, format!("the shape {shape:?} is too large")))?;
            entries.push(TensorEntry { name, dtype, shape, offset: 0, bytes });
        }
        let head = header::write(&mut entries, &[("format".to_string(), "pt".to_string())]);
        Ok(ComposedDirectory { below, files, head, tensors: entries, source })
    }

    fn weights_size(&self) -> u64 {
        self.head.len() as u64 + self.tensors.iter().map(|tensor| tensor.bytes).sum::<u64>()
    }

    /// Bytes of the weight file.
    async fn weights(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let size = self.weights_size();
        if range.start > range.end || range.end > size {
            return Err(Error::file(WEIGHTS, format!("the file ends at byte {size}")));
        }
        let mut out = Vec::with_capacity((range.end - range.start) as usize);
        let head = self.head.len() as u64;
        if range.start < head {
            out.extend(&self.head[range.start as usize..range.end.min(head) as usize]);
        }
        for (index, tensor) in self.tensors.iter().enumerate() {
            let (begin, end) = (range.start.max(tensor.offset), range.end.min(tensor.offset + tensor.bytes));
            if begin >= end {
                continue;
            }
            let width = tensor.dtype.bitsize() as u64 / 8;
            let (begin, end) = (begin - tensor.offset, end - tensor.offset);
            let (first, last) = (begin / width, end.div_ceil(width));
            let numbers = self.source.elements(index, first..last).await?;
            let bytes = convert::from_f32(tensor.dtype, &numbers)
                .map_err(|value| Error::tensor(WEIGHTS, &tensor.name, format!("holds {value}, which is too large for {}", tensor.dtype)))?;
            out.extend(&bytes[(begin - first * width) as usize..(end - first * width) as usize]);
        }
        Ok(out)
    }

    fn replaces(&self, name: &str) -> bool {
        let is_weights = [".safetensors", ".bin", ".safetensors.index.json", ".bin.index.json"].iter().any(|end| name.ends_with(end));
        is_weights || self.files.contains_key(name)
    }
}

#[async_trait(?Send)]
impl Directory for ComposedDirectory {
    fn label(&self) -> String {
        self.below.label()
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        let mut entries = self.below.list().await?;
        entries.retain(|entry| !self.replaces(&entry.name));
        entries.extend(self.files.iter().map(|(name, bytes)| Entry { name: name.clone(), size: bytes.len() as u64 }));
        entries.push(Entry { name: WEIGHTS.to_string(), size: self.weights_size() });
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        match self.files.get(name) {
            Some(bytes) => Ok(Some(bytes.len() as u64)),
            None if name == WEIGHTS => Ok(Some(self.weights_size())),
            None if self.replaces(name) => Ok(None),
            None => self.below.size(name).await,
        }
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        match self.files.get(name) {
            Some(bytes) => {
                let part = bytes.get(range.start as usize..range.end as usize);
                part.map(<[u8]>::to_vec).ok_or_else(|| Error::file(name, format!("the file ends at byte {}", bytes.len())))
            }
            None if name == WEIGHTS => self.weights(range).await,
            None => self.below.read_range(name, range).await,
        }
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        match self.size(name).await? {
            Some(size) if self.replaces(name) => self.read_range(name, 0..size).await,
            _ => self.below.read(name).await,
        }
    }
}
