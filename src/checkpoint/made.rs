//! A directory whose weights are made where they are read, from files of another kind: a GGUF file, or weights that bitsandbytes quantised. It shows them
//! as `model.safetensors`, decoded, and matrices that lie in blocks a second time as they are ([`Directory::blocks`]).

use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use safetensors::Dtype;

use super::header::{self, TensorEntry};
use super::open::WEIGHTS;
use crate::error::{Cause, Error, Result};
use crate::kernels::WeightType;
use crate::platform::{Directory, Entry};

/// The name of the file with the blocks. It is not listed.
const BLOCKS: &str = "model.blocks.safetensors";

/// A tensor of such a directory.
#[derive(Debug, Clone, PartialEq)]
pub struct MadeTensor {
    /// Its name.
    pub name: String,
    /// The type of its numbers when they are decoded.
    pub dtype: Dtype,
    /// Its shape as a Hugging Face directory has it.
    pub shape: Vec<u64>,
    /// How it can be kept on the GPU as it is.
    pub blocks: Option<MadeBlocks>,
}

/// The blocks of a matrix, in compute layout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MadeBlocks {
    /// Their type.
    pub weight_type: WeightType,
    /// Rows, outputs of the map.
    pub rows: u64,
    /// Columns.
    pub cols: usize,
}

impl MadeBlocks {
    fn row_bytes(&self) -> u64 {
        self.weight_type.row_bytes(self.cols) as u64
    }
}

/// What makes the weights. Tensors are counted as they were given to [`MadeDirectory::new`].
#[async_trait(?Send)]
pub trait MadeWeights {
    /// Elements of a tensor, row-major, as bytes of its type.
    async fn elements(&self, tensor: usize, elements: Range<u64>) -> Result<Vec<u8>>;

    /// Rows of a matrix in its blocks, as `quant` packs them.
    async fn blocks(&self, tensor: usize, rows: Range<u64>) -> Result<Vec<u8>>;
}

/// What is wanted of a tensor.
struct Wanted {
    tensor: usize,
    /// The units to read.
    units: Range<u64>,
    /// Which of their bytes.
    bytes: Range<usize>,
}

/// A file in safetensors' format that is made of pieces.
struct MadeFile {
    header: Vec<u8>,
    /// In the order of their bytes: the tensor, its number, and the bytes of what it is read in units of (elements, or rows of blocks).
    tensors: Vec<(TensorEntry, usize, u64)>,
}

impl MadeFile {
    fn new(mut tensors: Vec<(TensorEntry, usize, u64)>, metadata: &[(String, String)]) -> MadeFile {
        let mut entries: Vec<TensorEntry> = tensors.iter().map(|(entry, ..)| entry.clone()).collect();
        let header = header::write(&mut entries, metadata);
        for (tensor, entry) in tensors.iter_mut().zip(entries) {
            tensor.0 = entry;
        }
        MadeFile { header, tensors }
    }

    fn size(&self) -> u64 {
        self.tensors.last().map_or(self.header.len() as u64, |(last, ..)| last.offset + last.bytes)
    }

    /// What a range of the file takes of its header, and then of the tensors.
    fn parts(&self, range: &Range<u64>) -> (&[u8], Vec<Wanted>) {
        let header = self.header.len() as u64;
        let front = &self.header[range.start.min(header) as usize..range.end.min(header) as usize];
        let first = self.tensors.partition_point(|(entry, ..)| entry.offset + entry.bytes <= range.start);
        let touched = self.tensors[first..].iter().take_while(|(entry, ..)| entry.offset < range.end);
        let parts = touched.filter_map(|(entry, number, unit)| {
            let start = range.start.max(entry.offset) - entry.offset;
            let end = range.end.min(entry.offset + entry.bytes) - entry.offset;
            let units = start / unit..end.div_ceil(*unit);
            let skipped = (start - units.start * unit) as usize;
            let bytes = skipped..skipped + (end - start) as usize;
            (start < end).then_some(Wanted { tensor: *number, units, bytes })
        });
        (front, parts.collect())
    }
}

/// The directory.
pub struct MadeDirectory<W> {
    label: String,
    below: Rc<dyn Directory>,
    /// Files of the directory below that it has too.
    same: Vec<Entry>,
    /// Files in memory, sorted by name.
    small: Vec<(String, Vec<u8>)>,
    weights: MadeFile,
    blocks: MadeFile,
    source: W,
}

impl<W: MadeWeights> MadeDirectory<W> {
    /// A directory over `below`: its files `same`, the files `small`, and these weights.
    pub fn new(
        label: String,
        below: Rc<dyn Directory>,
        same: Vec<Entry>,
        mut small: Vec<(String, Vec<u8>)>,
        tensors: Vec<MadeTensor>,
        source: W,
    ) -> MadeDirectory<W> {
        small.sort();
        let mut weights = Vec::with_capacity(tensors.len());
        let (mut blocks, mut types) = (Vec::new(), Vec::new());
        for (number, MadeTensor { name, dtype, shape, blocks: kept }) in tensors.into_iter().enumerate() {
            if let Some(kept) = kept.filter(|kept| kept.row_bytes() > 0) {
                let (shape, bytes) = (vec![kept.rows, kept.row_bytes()], kept.rows * kept.row_bytes());
                let entry = TensorEntry { name: name.clone(), dtype: Dtype::U8, shape, offset: 0, bytes };
                blocks.push((entry, number, kept.row_bytes()));
                types.push((name.clone(), kept.weight_type.name().to_string()));
            }
            let width = dtype.bitsize() as u64 / 8;
            let bytes = shape.iter().product::<u64>() * width;
            weights.push((TensorEntry { name, dtype, shape, offset: 0, bytes }, number, width));
        }
        // Wider types first, so that every tensor is aligned.
        weights.sort_by_key(|(.., width)| std::cmp::Reverse(*width));
        let weights = MadeFile::new(weights, &[("format".to_string(), "pt".to_string())]);
        let blocks = MadeFile::new(blocks, &types);
        MadeDirectory { label, below, same, small, weights, blocks, source }
    }

    fn small(&self, name: &str) -> Option<&[u8]> {
        self.small.iter().find(|(other, _)| other == name).map(|(_, bytes)| bytes.as_slice())
    }

    /// The files that are made, by name.
    fn made(&self, name: &str) -> Option<&MadeFile> {
        match name {
            WEIGHTS => Some(&self.weights),
            BLOCKS => Some(&self.blocks),
            _ => None,
        }
    }

    fn is_same(&self, name: &str) -> bool {
        self.same.iter().any(|entry| entry.name == name)
    }

    async fn read_made(&self, file: &MadeFile, range: Range<u64>) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity((range.end - range.start) as usize);
        let (front, parts) = file.parts(&range);
        out.extend_from_slice(front);
        for Wanted { tensor, units, bytes } in parts {
            let read = match std::ptr::eq(file, &self.weights) {
                true => self.source.elements(tensor, units).await?,
                false => self.source.blocks(tensor, units).await?,
            };
            out.extend_from_slice(&read[bytes]);
        }
        Ok(out)
    }
}

#[async_trait(?Send)]
impl<W: MadeWeights> Directory for MadeDirectory<W> {
    fn label(&self) -> String {
        self.label.clone()
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        let small = self.small.iter().map(|(name, bytes)| Entry { name: name.clone(), size: bytes.len() as u64 });
        let made = Entry { name: WEIGHTS.to_string(), size: self.weights.size() };
        let mut entries: Vec<Entry> = small.chain([made]).chain(self.same.iter().cloned()).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        let made = self.made(name).map(MadeFile::size);
        let same = || self.same.iter().find(|entry| entry.name == name).map(|entry| entry.size);
        Ok(made.or_else(|| self.small(name).map(|bytes| bytes.len() as u64)).or_else(same))
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        if self.is_same(name) {
            return self.below.read_range(name, range).await;
        }
        let missing = || Error::file(format!("{}/{name}", self.label), "there is no such file").because(Cause::NotFound);
        let size = self.size(name).await?.ok_or_else(missing)?;
        if range.start > range.end || range.end > size {
            let reason = format!("the file ends at byte {size}, bytes {} to {} were wanted", range.start, range.end);
            return Err(Error::file(format!("{}/{name}", self.label), reason).because(Cause::Truncated));
        }
        match (self.made(name), self.small(name)) {
            (Some(made), _) => self.read_made(made, range).await,
            (None, Some(bytes)) => Ok(bytes[range.start as usize..range.end as usize].to_vec()),
            (None, None) => Err(missing()),
        }
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        if self.is_same(name) {
            return self.below.read(name).await;
        }
        let size = self.size(name).await?.unwrap_or(0);
        self.read_range(name, 0..size).await
    }

    fn sibling(&self, name: &str) -> Option<Rc<dyn Directory>> {
        self.below.sibling(name)
    }

    fn blocks(&self) -> Option<&str> {
        (!self.blocks.tensors.is_empty()).then_some(BLOCKS)
    }
}
