//! The container: what stands in front of the tensors' bytes in a GGUF file, parsed as untrusted input.
//!
//! Layout: `GGUF`, the version, the number of tensors and of metadata entries; the entries, each with its type; a description of each
//! tensor; then, at the next multiple of `general.alignment`, the tensors' bytes. Integers are little-endian, lengths have 64 bits,
//! dimensions begin with the innermost. The crates for this format take a whole file in memory or a blocking reader, and none bounds what
//! a lying count allocates; here the beginning of a file is parsed from a slice, and no allocation is larger than that slice justifies.

use std::collections::HashSet;

use super::encoding::Encoding;
use super::metadata::{Array, Metadata, Number, Value};
use crate::error::{Cause, Error, Result};
use crate::platform::{Directory, is_lfs_pointer};

/// The first bytes of a file.
pub(super) const MAGIC: [u8; 4] = *b"GGUF";
/// Where the tensors' bytes begin and how they are aligned, unless `general.alignment` says otherwise.
pub(super) const ALIGNMENT: u64 = 32;
/// The versions that are read: they differ only in that 3 allows big-endian files.
const VERSIONS: [u32; 2] = [2, 3];
/// What is read at first; a small model's metadata fit.
const FIRST_READ: u64 = 1 << 20;
/// The most bytes of metadata and tensor descriptions: several times those of a vocabulary of 262,144 tokens.
const MAX_HEADER: u64 = 128 << 20;
/// The most dimensions of a tensor.
const MAX_DIMENSIONS: u32 = 4;
/// The longest name of a tensor or a key.
const MAX_NAME: usize = 65_535;

/// The parsed beginning of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// The metadata.
    pub metadata: Metadata,
    /// The tensors in the order of their bytes.
    pub tensors: Vec<GgufTensor>,
}

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufTensor {
    /// Its name in the file.
    pub name: String,
    /// How its elements are stored.
    pub encoding: Encoding,
    /// Its shape, outermost dimension first.
    pub shape: Vec<u64>,
    /// Offset of its first byte from the beginning of the file.
    pub offset: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

impl GgufTensor {
    /// The number of elements.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product() // cannot overflow: checked against the size of the file
    }
}

/// Why a slice could not be parsed.
enum Stop {
    /// The slice ends too early; the file may go on.
    Short,
    /// The file is damaged or is not a GGUF file.
    Fault(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Fault(error)
    }
}

/// A file of a directory in messages. One that was given alone is its own directory, and is named once.
pub(super) fn path_in(directory: &dyn Directory, name: &str) -> String {
    let label = directory.label();
    if label == name { label } else { format!("{label}/{name}") }
}

impl Container {
    /// Reads the beginning of the file `name` in `dir`; tensor data are not read.
    ///
    /// # Errors
    /// [`Error::File`] for a file that is missing, damaged or no GGUF file, [`Error::Tensor`] for a tensor with an invalid description.
    pub async fn read(dir: &dyn Directory, name: &str) -> Result<Container> {
        let path = path_in(dir, name);
        let Some(size) = dir.size(name).await? else {
            return Err(Error::file(path, "there is no such file").because(Cause::NotFound));
        };
        let mut length = FIRST_READ.min(size);
        loop {
            let bytes = dir.read_range(name, 0..length).await?;
            match parse(&path, &bytes, size) {
                Ok(container) => return Ok(container),
                Err(Stop::Fault(error)) => return Err(error),
                Err(Stop::Short) if length == size => return Err(cut_short(&path, size)),
                Err(Stop::Short) if length >= MAX_HEADER => {
                    let reason = format!("its metadata would have more than {} MiB; it cannot be what it says", MAX_HEADER >> 20);
                    return Err(Error::file(path, reason).because(Cause::TooLarge));
                }
                Err(Stop::Short) => length = (2 * length).min(size).min(MAX_HEADER),
            }
        }
    }

    /// Parses the beginning of a file of `size` bytes; `bytes` must hold at least what stands in front of the tensors' bytes.
    ///
    /// # Errors
    /// As [`Container::read`].
    pub fn parse(file: &str, bytes: &[u8], size: u64) -> Result<Container> {
        parse(file, bytes, size).map_err(|stop| match stop {
            Stop::Fault(error) => error,
            Stop::Short => cut_short(file, size),
        })
    }
}

fn cut_short(file: &str, size: u64) -> Error {
    Error::file(file, format!("the file is cut short: it ends at byte {size}, in the middle of its metadata; get it again"))
        .because(Cause::Truncated)
}

fn parse(file: &str, bytes: &[u8], size: u64) -> Result<Container, Stop> {
    let fault = |reason: String| Stop::Fault(Error::file(file, reason));
    if is_lfs_pointer(bytes) {
        let error = Error::file(file, "this is a git-lfs pointer, not the model itself; run git lfs pull");
        return Err(error.because(Cause::LfsPointer).into());
    }
    let mut cursor = Cursor { file, bytes, at: 0 };
    if size >= MAGIC.len() as u64 && cursor.take(MAGIC.len())? != MAGIC {
        return Err(fault("this is not a GGUF file: it does not begin with the letters GGUF".to_string()));
    }
    let version = cursor.u32()?;
    if VERSIONS.contains(&version.swap_bytes()) {
        return Err(fault("this file is big-endian; convert the model again for little-endian machines".to_string()));
    }
    if !VERSIONS.contains(&version) {
        return Err(fault(format!("this is version {version} of GGUF; 2 and 3 are read, so convert the model again")));
    }
    let (tensors, entries) = (cursor.u64()?, cursor.u64()?);
    // The shortest entry: an empty key, a type, one byte. The shortest tensor: an empty name, no dimensions, a type, an offset.
    for (count, shortest, what) in [(entries, 13, "metadata entries"), (tensors, 24, "tensors")] {
        if count.checked_mul(shortest).is_none_or(|bytes| bytes > size) {
            return Err(fault(format!("it says that it has {count} {what}, for which the file of {size} bytes is too short")));
        }
    }
    let mut metadata = Metadata::new(file);
    for _ in 0..entries {
        let key = cursor.name("a metadata key")?;
        let kind = cursor.u32()?;
        let value = cursor.value(&key, kind)?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(fault(format!("the metadata have the key {key} twice")));
        }
    }
    let alignment = match metadata.count("general.alignment").map_err(Stop::Fault)? {
        None => ALIGNMENT,
        Some(alignment) if alignment.is_power_of_two() && alignment <= 1 << 20 => alignment,
        Some(other) => return Err(fault(format!("general.alignment is {other}, which is no power of two up to 1048576"))),
    };
    let mut raw = Vec::new();
    for _ in 0..tensors {
        raw.push(cursor.tensor()?);
    }
    let data = (cursor.at as u64).next_multiple_of(alignment);
    let tensors = placed(file, raw, data, size, alignment)?;
    Ok(Container { metadata, tensors })
}

/// A tensor's description as the file has it: name, dimensions from the innermost, type, offset within the data.
type RawTensor = (String, Vec<u64>, u32, u64);

/// Checks every tensor against the file and the others.
fn placed(file: &str, raw: Vec<RawTensor>, data: u64, size: u64, alignment: u64) -> Result<Vec<GgufTensor>> {
    let mut tensors = Vec::with_capacity(raw.len());
    let mut names = HashSet::with_capacity(raw.len());
    for (name, mut shape, kind, offset) in raw {
        let fail = |reason: String| Error::tensor(file, &name, reason);
        let encoding = Encoding::from_id(kind).map_err(|what| {
            fail(format!("is stored as {what}, which is not read; take a file whose types are among {}", Encoding::names()))
        })?;
        let (block, block_bytes) = encoding.block();
        let innermost = shape.first().copied().unwrap_or(1);
        if !innermost.is_multiple_of(block as u64) {
            return Err(fail(format!("has rows of {innermost} numbers, and {encoding} stores {block} together; the file is damaged")));
        }
        let elements = shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n));
        let bytes = elements.and_then(|elements| (elements / block as u64).checked_mul(block_bytes as u64));
        shape.reverse();
        let Some(bytes) = bytes else { return Err(fail(format!("the shape {shape:?} is impossible"))) };
        if !offset.is_multiple_of(alignment) {
            return Err(fail(format!("its bytes begin at {offset} of the data, which is no multiple of {alignment}")));
        }
        let end = data.checked_add(offset).and_then(|start| start.checked_add(bytes));
        if end.is_none_or(|end| end > size) {
            let reason = format!("its {bytes} bytes would lie beyond the end of the file of {size} bytes: it is cut short; get it again");
            return Err(fail(reason).because(Cause::Truncated));
        }
        if !names.insert(name.clone()) {
            return Err(fail("the file lists this tensor twice".to_string()));
        }
        tensors.push(GgufTensor { name, encoding, shape, offset: data + offset, bytes });
    }
    tensors.sort_by_key(|tensor| (tensor.offset, tensor.bytes));
    for pair in tensors.windows(2) {
        if pair[0].offset + pair[0].bytes > pair[1].offset {
            return Err(Error::tensor(
                file,
                &pair[1].name,
                format!("shares bytes with {}; the file is damaged, get it again", pair[0].name),
            ));
        }
    }
    Ok(tensors)
}

/// Reads from the beginning of a file.
struct Cursor<'a> {
    file: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let end = self.at.checked_add(count).ok_or(Stop::Short)?;
        let bytes = self.bytes.get(self.at..end).ok_or(Stop::Short)?;
        self.at = end;
        Ok(bytes)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        Ok(*self.take(N)?.first_chunk().expect("take returns as many bytes"))
    }

    fn u32(&mut self) -> Result<u32, Stop> {
        self.number().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Stop> {
        self.number().map(u64::from_le_bytes)
    }

    fn fault(&self, reason: String) -> Stop {
        Stop::Fault(Error::file(self.file, reason))
    }

    /// A length in front of what it counts; a length that the file cannot hold ends the slice.
    fn length(&mut self) -> Result<usize, Stop> {
        let length = self.u64()?;
        if length > MAX_HEADER {
            return Err(self.fault(format!("a text or list of {length} bytes stands in the metadata; the file is damaged, get it again")));
        }
        Ok(length as usize)
    }

    fn text(&mut self, what: &str) -> Result<&'a str, Stop> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.fault(format!("{what} is not text in UTF-8; the file is damaged")))
    }

    fn name(&mut self, what: &str) -> Result<String, Stop> {
        let text = self.text(what)?;
        match text.len() {
            0 => Err(self.fault(format!("{what} is empty"))),
            length if length > MAX_NAME => Err(self.fault(format!("{what} has {length} bytes, more than {MAX_NAME}"))),
            _ => Ok(text.to_string()),
        }
    }

    fn value(&mut self, key: &str, kind: u32) -> Result<Value, Stop> {
        Ok(match kind {
            8 => Value::Text(self.text(&format!("the value of {key}"))?.to_string()),
            9 => Value::Array(self.array(key)?),
            _ => {
                let number = Number::from_id(kind).ok_or_else(|| self.fault(format!("{key} has the unknown type {kind}")))?;
                number.read(self.take(number.bytes())?)
            }
        })
    }

    fn array(&mut self, key: &str) -> Result<Array, Stop> {
        let kind = self.u32()?;
        let count = self.length()?;
        if kind == 8 {
            // Every text has a length of 8 bytes in front.
            if self.bytes.len() - self.at < count.saturating_mul(8) {
                return Err(Stop::Short);
            }
            let mut texts = Vec::with_capacity(count);
            for _ in 0..count {
                texts.push(self.text(&format!("a text in {key}"))?.into());
            }
            return Ok(Array::Texts(texts));
        }
        let Some(number) = Number::from_id(kind) else {
            return Err(self.fault(format!("{key} is a list of the type {kind}, which is not read")));
        };
        let bytes = self.take(count.saturating_mul(number.bytes()))?;
        Ok(Array::Numbers(number, bytes.to_vec()))
    }

    fn tensor(&mut self) -> Result<RawTensor, Stop> {
        let name = self.name("a tensor's name")?;
        let dimensions = self.u32()?;
        if dimensions > MAX_DIMENSIONS {
            return Err(Stop::Fault(Error::tensor(self.file, &name, format!("has {dimensions} dimensions, more than {MAX_DIMENSIONS}"))));
        }
        let mut shape = Vec::with_capacity(dimensions as usize);
        for _ in 0..dimensions {
            shape.push(self.u64()?);
        }
        Ok((name, shape, self.u32()?, self.u64()?))
    }
}
