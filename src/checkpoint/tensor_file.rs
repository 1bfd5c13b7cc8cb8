//! A safetensors file, read and written in pieces: a model's weights, an optimiser's state, an adapter.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use safetensors::Dtype;

use super::convert;
use super::header::{self, Header, TensorEntry};
use crate::error::{Error, Result};
use crate::platform::{Directory, FileWriter, OutputDirectory};

/// A safetensors file open for reading. Only the header is held in memory.
#[derive(Clone)]
pub struct TensorFile {
    dir: Rc<dyn Directory>,
    name: String,
    header: Header,
    by_name: HashMap<String, usize>,
}

impl TensorFile {
    /// Opens `name` in `dir`.
    ///
    /// # Errors
    /// As [`Header::read`].
    pub async fn open(dir: Rc<dyn Directory>, name: &str) -> Result<TensorFile> {
        let header = Header::read(&*dir, name).await?;
        Ok(TensorFile::from_header(dir, name, header))
    }

    /// Wraps a file of another format whose tensor data have the same layout as in a safetensors file.
    pub(super) fn from_header(dir: Rc<dyn Directory>, name: &str, header: Header) -> TensorFile {
        let by_name = header.tensors.iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
        TensorFile { dir, name: name.to_string(), header, by_name }
    }

    /// The directory that contains the file.
    pub fn directory(&self) -> &Rc<dyn Directory> {
        &self.dir
    }

    /// The file's name in its directory.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its tensors in the order of their data.
    pub fn tensors(&self) -> &[TensorEntry] {
        &self.header.tensors
    }

    /// A text entry of the header's metadata.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata.get(key).map(String::as_str)
    }

    /// The tensor with this name.
    pub fn get(&self, tensor: &str) -> Option<&TensorEntry> {
        self.by_name.get(tensor).map(|&index| &self.header.tensors[index])
    }

    /// The tensor with this name, which must have this type and shape.
    ///
    /// # Errors
    /// [`Error::Tensor`] when it is missing or different.
    pub fn expect(&self, tensor: &str, dtype: Dtype, shape: &[u64]) -> Result<&TensorEntry> {
        let entry = self.require(tensor)?;
        if entry.dtype != dtype || entry.shape != shape {
            let (d, s) = (entry.dtype, &entry.shape);
            return Err(Error::tensor(&self.name, tensor, format!("is {d} {s:?}, expected {dtype} {shape:?}")));
        }
        Ok(entry)
    }

    fn require(&self, tensor: &str) -> Result<&TensorEntry> {
        self.get(tensor).ok_or_else(|| Error::tensor(&self.name, tensor, "the file has no tensor of this name"))
    }

    /// The stored bytes of a range of elements (row-major).
    ///
    /// # Errors
    /// [`Error::Tensor`] for an unknown tensor or a range outside it, [`Error::File`] when reading fails.
    pub async fn read_bytes(&self, tensor: &str, elements: Range<u64>) -> Result<Vec<u8>> {
        self.dir.read_range(&self.name, self.place(tensor, elements)?).await
    }

    /// The same into `bytes`, which are as many.
    ///
    /// # Errors
    /// As [`TensorFile::read_bytes`]; also when there are more or fewer.
    pub async fn read_into(&self, tensor: &str, elements: Range<u64>, bytes: &mut [u8]) -> Result<()> {
        let place = self.place(tensor, elements)?;
        if place.end - place.start != bytes.len() as u64 {
            return Err(Error::tensor(&self.name, tensor, format!("{} bytes are no range of its elements", bytes.len())));
        }
        self.dir.read_into(&self.name, place.start, bytes).await
    }

    /// Where elements lie in the file.
    fn place(&self, tensor: &str, elements: Range<u64>) -> Result<Range<u64>> {
        let entry = self.require(tensor)?;
        if elements.start > elements.end || elements.end > entry.elements() {
            let n = entry.elements();
            return Err(Error::tensor(&self.name, tensor, format!("has {n} elements, {elements:?} were requested")));
        }
        let width = entry.dtype.bitsize() as u64 / 8;
        Ok(entry.offset + elements.start * width..entry.offset + elements.end * width)
    }

    /// A range of elements of a floating-point tensor as f32.
    ///
    /// # Errors
    /// As [`TensorFile::read_bytes`]; also when the tensor is not of a floating-point type.
    pub async fn read_f32(&self, tensor: &str, elements: Range<u64>) -> Result<Vec<f32>> {
        let dtype = self.require(tensor)?.dtype;
        if !convert::is_readable(dtype) {
            return Err(Error::tensor(&self.name, tensor, format!("holds {dtype}, not floating-point numbers")));
        }
        Ok(convert::to_f32(dtype, &self.read_bytes(tensor, elements).await?))
    }

    /// All elements of a U32 tensor.
    ///
    /// # Errors
    /// As [`TensorFile::read_bytes`]; also when the tensor is of another type.
    pub async fn read_u32(&self, tensor: &str) -> Result<Vec<u32>> {
        let entry = self.require(tensor)?;
        if entry.dtype != Dtype::U32 {
            return Err(Error::tensor(&self.name, tensor, format!("holds {}, expected U32", entry.dtype)));
        }
        Ok(convert::to_u32(&self.read_bytes(tensor, 0..entry.elements()).await?))
    }
}

/// A tensor to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name in the file.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<u64>,
}

impl TensorInfo {
    /// Creates the description of a tensor.
    pub fn new(name: impl Into<String>, dtype: Dtype, shape: impl Into<Vec<u64>>) -> Self {
        TensorInfo { name: name.into(), dtype, shape: shape.into() }
    }
}

/// A safetensors file that is being written: the shapes first, then the tensors' bytes in the declared order, in pieces of any size. If it
/// is dropped before [`TensorFileWriter::finish`], no file remains.
pub struct TensorFileWriter {
    writer: Box<dyn FileWriter>,
    file: String,
    tensors: Vec<TensorEntry>,
    /// The index of the current tensor.
    next: usize,
    written: u64,
}

impl TensorFileWriter {
    /// Creates `name` in `out`. Readers that memory-map files need every tensor aligned: declare the wider types first.
    ///
    /// # Errors
    /// [`Error::Tensor`] when two tensors share a name or the size of one overflows; otherwise as [`OutputDirectory::create`].
    pub async fn create(
        out: &dyn OutputDirectory,
        name: &str,
        tensors: &[TensorInfo],
        metadata: &[(String, String)],
    ) -> Result<TensorFileWriter> {
        if let Some(twice) = header::first_duplicate(tensors.iter().map(|t| t.name.as_str())) {
            return Err(Error::tensor(name, twice, "was to be written twice"));
        }
        let mut entries = Vec::with_capacity(tensors.len());
        for info in tensors {
            let bytes = header::shape_bytes(&info.shape, info.dtype)
                .ok_or_else(|| Error::tensor(name, &info.name, format!("the shape {:?} is too large", info.shape)))?;
            let (name, dtype, shape) = (info.name.clone(), info.dtype, info.shape.clone());
            entries.push(TensorEntry { name, dtype, shape, offset: 0, bytes });
        }
        let head = header::write(&mut entries, metadata);
        let mut writer = out.create(name).await?;
        writer.write(&head).await?;
        Ok(TensorFileWriter { writer, file: name.to_string(), tensors: entries, next: 0, written: 0 })
    }

    /// The file's name in its directory.
    pub fn name(&self) -> &str {
        &self.file
    }

    /// Appends bytes to `tensor`, which must be the current one or, when that is complete, the next.
    ///
    /// # Errors
    /// [`Error::Tensor`] when the tensor is out of order or receives more bytes than declared; otherwise as [`FileWriter::write`].
    pub async fn write(&mut self, tensor: &str, bytes: &[u8]) -> Result<()> {
        while self.tensors.get(self.next).is_some_and(|t| self.written == t.bytes && t.name != tensor) {
            (self.next, self.written) = (self.next + 1, 0);
        }
        let fits = match self.tensors.get(self.next) {
            Some(current) => current.name == tensor && current.bytes - self.written >= bytes.len() as u64,
            None => false,
        };
        if !fits {
            return Err(Error::tensor(&self.file, tensor, "was not to be written here, or not so much of it"));
        }
        self.writer.write(bytes).await?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Appends numbers to an F32, F16 or BF16 tensor, rounded to nearest, ties to even.
    ///
    /// # Errors
    /// As [`TensorFileWriter::write`]; [`Error::Tensor`] also when a number is too large for the type.
    pub async fn write_f32(&mut self, tensor: &str, values: &[f32]) -> Result<()> {
        // Tensors are written in order, so the search ends early.
        let dtype = self.tensors[self.next..].iter().find(|t| t.name == tensor).map_or(Dtype::F32, |t| t.dtype);
        if convert::dtype_name(dtype).is_none() {
            return Err(Error::tensor(&self.file, tensor, format!("is declared as {dtype}, numbers were written")));
        }
        let bytes = convert::from_f32(dtype, values).map_err(|value| {
            Error::tensor(&self.file, tensor, format!("holds {value}, which is too large for {dtype}; write bfloat16 or float32 instead"))
        })?;
        self.write(tensor, &bytes).await
    }

    /// Appends integers to a U32 tensor.
    ///
    /// # Errors
    /// As [`TensorFileWriter::write`].
    pub async fn write_u32(&mut self, tensor: &str, values: &[u32]) -> Result<()> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.write(tensor, &bytes).await
    }

    /// Completes the file and makes it visible.
    ///
    /// # Errors
    /// [`Error::Tensor`] when a tensor is not complete; otherwise as [`FileWriter::finish`].
    pub async fn finish(self) -> Result<()> {
        let mut left = self.tensors.iter().skip(self.next).enumerate();
        if let Some((_, short)) = left.find(|(i, t)| t.bytes > if *i == 0 { self.written } else { 0 }) {
            return Err(Error::tensor(&self.file, &short.name, "was not written completely"));
        }
        self.writer.finish().await
    }
}
