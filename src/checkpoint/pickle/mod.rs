//! Weights written by `torch.save` (`pytorch_model.bin`, `.pt`, `.pth`), read without Python and without executing code.
//!
//! A pickle is a program for a small stack machine that may call any function by name. [`machine`] implements the few calls that are needed
//! for tensors and rejects every other with an error that names it. The result is the position of each tensor's bytes in the file; they are
//! read on demand, like those of a safetensors file. Since torch 1.6 the file is a zip archive of stored (never compressed) entries,
//! `data.pkl` and one for each storage; before, it was several pickles followed by the storages.

mod machine;
mod storage;
mod value;
mod zip;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use safetensors::Dtype;

use self::machine::{Machine, Outcome};
use self::value::{TensorRef, Value};
use super::header::{Header, TensorEntry};
use super::tensor_file::TensorFile;
use crate::error::{Cause, Error, Result};
use crate::platform::{Directory, is_lfs_pointer};

/// The largest accepted pickle in bytes, without the tensors' data: enough for some hundred thousand tensors.
const MAX_PICKLE: u64 = 32 << 20;
/// The first bytes of files from torch before 1.6: protocol 2, then the magic number.
const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
/// The keys under which training checkpoints store the weights.
const WEIGHTS_KEYS: [&str; 5] = ["state_dict", "model_state_dict", "model", "module", "weights"];

/// The tensors of a pickle.
pub struct TorchFile {
    /// The tensors' positions in the file, as for a safetensors file.
    pub file: TensorFile,
    /// The matrices that are stored in column-major order; in [`TorchFile::file`] they have the transposed shape.
    pub transposed: Vec<String>,
}

/// Whether torch's weight files have this kind of name.
pub fn is_pickle_name(name: &str) -> bool {
    [".bin", ".pt", ".pth", ".ckpt"].iter().any(|ending| name.ends_with(ending))
}

impl TorchFile {
    /// Opens `name` in `dir`. Reads the pickle, not the tensors.
    ///
    /// # Errors
    /// [`Error::File`] when torch did not write it, it is truncated, or it would call a function unrelated to tensors; [`Error::Tensor`]
    /// for a tensor with an unsupported memory layout.
    pub async fn open(dir: Rc<dyn Directory>, name: &str) -> Result<TorchFile> {
        let saved = Saved::open(&dir, name).await?;
        let mut tensors = Vec::new();
        let mut transposed = Vec::new();
        for (tensor_name, tensor) in weights(name, &saved.found.machine, saved.found.root)? {
            let (entry, turned) = saved.entry(&tensor_name, &tensor)?;
            if turned {
                transposed.push(tensor_name);
            }
            tensors.push(entry);
        }
        tensors.sort_by(|a, b| (a.offset, a.bytes, &a.name).cmp(&(b.offset, b.bytes, &b.name)));
        let header = Header { tensors, metadata: Default::default() };
        Ok(TorchFile { file: TensorFile::from_header(dir, name, header), transposed })
    }
}

/// An object that `torch.save` wrote, of any shape: its values, and where the bytes of its tensors lie.
pub(super) struct Saved {
    file: String,
    found: Found,
}

impl Saved {
    /// Reads the pickle of `name` in `dir`.
    ///
    /// # Errors
    /// As [`TorchFile::open`].
    pub(super) async fn open(dir: &Rc<dyn Directory>, name: &str) -> Result<Saved> {
        let size = dir
            .size(name)
            .await?
            .ok_or_else(|| Error::file(format!("{}/{name}", dir.label()), "there is no such file").because(Cause::NotFound))?;
        let head = dir.read_range(name, 0..size.min(24)).await?;
        if is_lfs_pointer(&head) {
            return Err(
                Error::file(name, "this is a git-lfs pointer, not the weights themselves; run git lfs pull").because(Cause::LfsPointer)
            );
        }
        let found = if head.starts_with(b"PK\x03\x04") {
            storage::read_zip(&**dir, name, size).await?
        } else if head.starts_with(LEGACY_MAGIC) {
            storage::read_legacy(&**dir, name, size).await?
        } else {
            return Err(Error::file(
                name,
                "this is not a file that torch.save writes (or one that was never downloaded); get it again, or save the model as safetensors",
            ));
        };
        Ok(Saved { file: name.to_string(), found })
    }

    /// Reads a file that is a pickle alone, as `pickle.dump` writes it; its tensors have no bytes.
    ///
    /// # Errors
    /// As [`TorchFile::open`].
    pub(super) async fn bare(dir: &Rc<dyn Directory>, name: &str) -> Result<Saved> {
        let size = dir.size(name).await?.unwrap_or(0);
        if size > MAX_PICKLE {
            return Err(Error::file(name, format!("this pickle has more than {} MB, which is not read", MAX_PICKLE >> 20)));
        }
        let bytes = dir.read(name).await?;
        let mut machine = Machine::default();
        let Some((root, _)) = run(name, &mut machine, &bytes)? else {
            return Err(Error::file(name, "the file is cut short; get it again").because(Cause::Truncated));
        };
        Ok(Saved { file: name.to_string(), found: Found { machine, root, places: HashMap::new() } })
    }

    /// The whole object.
    pub(super) fn root(&self) -> Node<'_> {
        Node { machine: &self.found.machine, value: self.found.root }
    }

    /// Where a tensor lies, under a name of the caller's; also whether what is stored is its transpose.
    fn entry(&self, name: &str, tensor: &TensorRef) -> Result<(TensorEntry, bool)> {
        let fail = |reason: String| Error::tensor(&self.file, name, reason);
        let storage = &self.found.machine.storages()[tensor.storage];
        let dtype = tensor.dtype.or(storage.dtype).ok_or_else(|| fail("nothing says what type its numbers have".into()))?;
        let place = self.found.places.get(&storage.key);
        let place = place.ok_or_else(|| fail(format!("its data (storage {}) are missing", storage.key)))?;
        let (shape, turned) = layout(tensor).map_err(fail)?;
        let width = dtype.bitsize() as u64 / 8;
        let bytes = shape.iter().try_fold(width, |product, &n| product.checked_mul(n));
        let begin = tensor.offset.checked_mul(width);
        let (Some(bytes), Some(begin)) = (bytes, begin) else {
            return Err(fail(format!("the shape {shape:?} is impossible")));
        };
        if begin.checked_add(bytes).is_none_or(|end| end > place.bytes) {
            return Err(fail(format!("its data are cut short: {} of {bytes} bytes are there", place.bytes.saturating_sub(begin))));
        }
        Ok((TensorEntry { name: name.to_string(), dtype, shape, offset: place.offset + begin, bytes }, turned))
    }

    /// Some of its tensors, under names of the caller's, as a file of tensors. A matrix in column-major order is refused.
    ///
    /// # Errors
    /// [`Error::Tensor`] for a tensor that lies outside the file or with gaps.
    pub(super) fn tensors(&self, dir: &Rc<dyn Directory>, tensors: &[(String, Node<'_>)]) -> Result<TensorFile> {
        let mut entries = Vec::new();
        for (name, node) in tensors {
            let tensor = node.machine.tensor(node.value);
            let tensor = tensor.ok_or_else(|| Error::tensor(&self.file, name, "is not a tensor; the file is damaged"))?;
            match self.entry(name, &tensor)? {
                (entry, false) => entries.push(entry),
                (_, true) => return Err(Error::tensor(&self.file, name, "is stored in column-major order, which is not expected here")),
            }
        }
        Ok(TensorFile::from_header(dir.clone(), &self.file, Header { tensors: entries, metadata: Default::default() }))
    }
}

/// A value of a pickle.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    machine: &'a Machine,
    value: Value,
}

impl<'a> Node<'a> {
    /// The value under a key of a dictionary or an attribute of an object; the last one, as in Python. A key that holds None counts as absent.
    pub(super) fn get(self, key: &str) -> Option<Node<'a>> {
        let entries = self.machine.dict(self.value)?;
        let found = entries.iter().rev().find(|(name, _)| self.machine.text(*name) == Some(key));
        found.filter(|(_, value)| *value != Value::None).map(|(_, value)| Node { value: *value, ..self })
    }

    /// The entries of a dictionary whose keys are texts, in their order.
    pub(super) fn entries(self) -> Option<impl Iterator<Item = (&'a str, Node<'a>)>> {
        let entries = self.machine.dict(self.value)?;
        Some(entries.iter().filter_map(move |(key, value)| Some((self.machine.text(*key)?, Node { value: *value, ..self }))))
    }

    /// The entries of a dictionary with keys of any kind.
    pub(super) fn pairs(self) -> Option<impl Iterator<Item = (Node<'a>, Node<'a>)>> {
        let entries = self.machine.dict(self.value)?;
        Some(entries.iter().map(move |(key, value)| (Node { value: *key, ..self }, Node { value: *value, ..self })))
    }

    /// The items of a list or tuple.
    pub(super) fn items(self) -> Option<impl ExactSizeIterator<Item = Node<'a>>> {
        self.machine.items(self.value).map(|items| items.iter().map(move |value| Node { value: *value, ..self }))
    }

    /// A text.
    pub(super) fn text(self) -> Option<&'a str> {
        self.machine.text(self.value)
    }

    /// A number that counts something.
    pub(super) fn count(self) -> Option<u64> {
        match self.value {
            Value::Int(Some(number)) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    /// The sizes of a shape.
    pub(super) fn shape(self) -> Option<Vec<u64>> {
        self.items()?.map(Node::count).collect()
    }
}

/// Finds the dictionary of tensors in the pickled value: the value itself, or one of its entries with a usual name. If a key occurs twice,
/// the later one applies, as in Python.
fn weights(file: &str, machine: &Machine, root: Value) -> Result<Vec<(String, TensorRef)>> {
    let tensors_of = |value: Value| -> BTreeMap<&str, Value> {
        let entries = machine.dict(value).unwrap_or_default();
        entries
            .iter()
            .filter(|(_, value)| matches!(value, Value::Tensor(_)))
            .filter_map(|(key, value)| Some((machine.text(*key)?, *value)))
            .collect()
    };
    let mut found = tensors_of(root);
    for key in WEIGHTS_KEYS {
        let inner = machine.dict(root).and_then(|entries| entries.iter().rev().find(|(name, _)| machine.text(*name) == Some(key)));
        if let (true, Some((_, inner))) = (found.is_empty(), inner) {
            found = tensors_of(*inner);
        }
    }
    if found.is_empty() {
        return Err(Error::file(file, "this pickle holds no dictionary of tensors, so it is not a model's weights"));
    }
    Ok(found.into_iter().filter_map(|(name, tensor)| Some((name.to_string(), machine.tensor(tensor)?))).collect())
}

/// The shape in which a tensor's bytes are stored, and whether it is the transpose of the tensor's own shape. Strides of dimensions of
/// length 1 are ignored.
fn layout(tensor: &TensorRef) -> Result<(Vec<u64>, bool), String> {
    let (shape, stride) = (&tensor.shape, &tensor.stride);
    fn dense(mut dims: impl Iterator<Item = (u64, u64)>) -> bool {
        let mut expected = 1u64;
        dims.all(|(length, stride)| {
            let good = length == 1 || stride == expected;
            expected = expected.saturating_mul(length);
            good
        })
    }
    let pairs = || shape.iter().copied().zip(stride.iter().copied());
    if shape.len() != stride.len() {
        return Err(format!("has {} dimensions and {} strides", shape.len(), stride.len()));
    }
    if shape.contains(&0) || dense(pairs().rev()) {
        return Ok((shape.clone(), false));
    }
    if shape.len() == 2 && dense(pairs()) {
        return Ok((vec![shape[1], shape[0]], true));
    }
    Err(format!("is a view with gaps (shape {shape:?}, strides {stride:?}), which is not read; save it with .contiguous()"))
}

/// The result of reading one of the two formats.
struct Found {
    machine: Machine,
    root: Value,
    places: HashMap<String, Place>,
}

/// The position of a storage's bytes.
struct Place {
    offset: u64,
    bytes: u64,
}

/// The size in bytes of one element of a storage of this type; 1 for an untyped storage (its length is in bytes).
fn width(dtype: Option<Dtype>) -> u64 {
    dtype.map_or(1, |dtype| dtype.bitsize() as u64 / 8)
}

/// Runs a pickle from its first byte; `None` when `bytes` ends before the pickle does.
fn run(file: &str, machine: &mut Machine, bytes: &[u8]) -> Result<Option<(Value, usize)>> {
    match machine.run(bytes) {
        Ok(Outcome::Done { value, length }) => Ok(Some((value, length))),
        Ok(Outcome::CutShort) => Ok(None),
        Err(reason) => Err(Error::file(file, reason)),
    }
}
