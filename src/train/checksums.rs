//! Checksums of a checkpoint's files: computed while they are written, compared before a run is resumed from them.
//!
//! CRC-32 tells every flipped byte and costs next to nothing. It protects from damaged storage, not from someone who changes a
//! checkpoint on purpose.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;

use super::names::STATE_FILE;
use crate::error::{Error, Result};
use crate::platform::{Directory, Entry, FileWriter, OutputDirectory};

/// Checksums by file name, as eight hexadecimal digits.
pub(super) type Checksums = BTreeMap<String, String>;

/// Bytes that are read at once.
const PIECE: u64 = 8 << 20;

fn digits(hash: crc32fast::Hasher) -> String {
    format!("{:08x}", hash.finalize())
}

/// A directory that notes the checksum of each file that is written into it. Sub-directories are written without.
pub(super) struct Summed<'a> {
    inner: &'a dyn OutputDirectory,
    sums: Rc<RefCell<Checksums>>,
}

impl<'a> Summed<'a> {
    pub(super) fn new(inner: &'a dyn OutputDirectory) -> Summed<'a> {
        Summed { inner, sums: Rc::default() }
    }

    /// The checksums of the files that are complete.
    pub(super) fn sums(&self) -> Checksums {
        self.sums.borrow().clone()
    }
}

#[async_trait(?Send)]
impl Directory for Summed<'_> {
    fn label(&self) -> String {
        self.inner.label()
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        self.inner.list().await
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        self.inner.size(name).await
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        self.inner.read_range(name, range).await
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        self.inner.read(name).await
    }
}

#[async_trait(?Send)]
impl OutputDirectory for Summed<'_> {
    async fn create(&self, name: &str) -> Result<Box<dyn FileWriter>> {
        let inner = self.inner.create(name).await?;
        Ok(Box::new(SummedFile { inner, hash: crc32fast::Hasher::new(), name: name.to_string(), sums: self.sums.clone() }))
    }

    async fn append(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.inner.append(name, bytes).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.inner.rename(from, to).await
    }

    async fn remove(&self, name: &str) -> Result<()> {
        self.inner.remove(name).await
    }

    async fn lock(&self, name: &str) -> Result<Option<Box<dyn Any>>> {
        self.inner.lock(name).await
    }

    async fn sync(&self) -> Result<()> {
        self.inner.sync().await
    }

    fn subdirectory(&self, name: &str) -> Box<dyn OutputDirectory> {
        self.inner.subdirectory(name)
    }
}

struct SummedFile {
    inner: Box<dyn FileWriter>,
    hash: crc32fast::Hasher,
    name: String,
    sums: Rc<RefCell<Checksums>>,
}

#[async_trait(?Send)]
impl FileWriter for SummedFile {
    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.inner.write(bytes).await
    }

    async fn finish(self: Box<Self>) -> Result<()> {
        self.inner.finish().await?;
        self.sums.borrow_mut().insert(self.name, digits(self.hash));
        Ok(())
    }
}

/// Reads a checkpoint's tensor files and compares them with what was written. Other files (a tokenizer) may have changed: resuming
/// reads nothing from them.
///
/// # Errors
/// [`Error::File`] that names the damaged file; what reading fails with.
pub(super) async fn verify(dir: &dyn Directory, sums: &Checksums) -> Result<()> {
    let tensors = |entry: &Entry| entry.name.ends_with(".safetensors") && !entry.name.contains('/');
    for Entry { name, size } in dir.list().await?.into_iter().filter(tensors) {
        let place = format!("{}/{name}", dir.label());
        let Some(written) = sums.get(&name) else {
            return Err(Error::file(place, format!("{STATE_FILE} beside it knows no such file; it was put here later, so move it away")));
        };
        let mut hash = crc32fast::Hasher::new();
        for first in (0..size).step_by(PIECE as usize) {
            hash.update(&dir.read_range(&name, first..(first + PIECE).min(size)).await?);
        }
        let found = digits(hash);
        if found != *written {
            return Err(Error::file(
                place,
                format!("this file is damaged: its checksum is {found}, and {written} was written; resume from another checkpoint"),
            ));
        }
    }
    Ok(())
}
