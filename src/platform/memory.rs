//! A directory in memory: for tests, embedded data, and temporary data of the page.

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;

use super::{Directory, Entry, FileWriter, OutputDirectory};
use crate::error::{Cause, Error, Result};

type Files = Rc<RefCell<BTreeMap<String, Vec<u8>>>>;
type Locks = Rc<RefCell<BTreeSet<String>>>;

/// A directory in memory. Clones share the same files.
#[derive(Debug, Clone, Default)]
pub struct MemoryDirectory {
    label: String,
    prefix: String,
    files: Files,
    locks: Locks,
}

impl MemoryDirectory {
    /// Creates an empty directory; `label` names it in errors.
    pub fn new(label: impl Into<String>) -> Self {
        MemoryDirectory { label: label.into(), ..Default::default() }
    }

    /// Adds or replaces a file and returns the directory, for chaining.
    pub fn with(self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.borrow_mut().insert(self.key(name), bytes.into());
        self
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn missing(&self, name: &str) -> Error {
        Error::file(format!("{}/{name}", self.label), "there is no such file").because(Cause::NotFound)
    }
}

#[async_trait(?Send)]
impl Directory for MemoryDirectory {
    fn label(&self) -> String {
        self.label.clone()
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        let files = self.files.borrow();
        Ok(files
            .iter()
            .filter_map(|(k, v)| Some(Entry { name: k.strip_prefix(&self.prefix)?.to_string(), size: v.len() as u64 }))
            .collect())
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.files.borrow().get(&self.key(name)).map(|v| v.len() as u64))
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let files = self.files.borrow();
        let bytes = files.get(&self.key(name)).ok_or_else(|| self.missing(name))?;
        let part = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok()).and_then(|(a, b)| bytes.get(a..b));
        part.map(<[u8]>::to_vec).ok_or_else(|| {
            let size = bytes.len();
            Error::file(
                format!("{}/{name}", self.label),
                format!("the file ends at byte {size}, bytes {} to {} were wanted", range.start, range.end),
            )
            .because(Cause::Truncated)
        })
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        self.files.borrow().get(&self.key(name)).cloned().ok_or_else(|| self.missing(name))
    }

    fn sibling(&self, name: &str) -> Option<Rc<dyn Directory>> {
        let parent = |path: &str| path.rsplit_once('/').map_or(String::new(), |(parent, _)| format!("{parent}/"));
        let prefix = self.prefix.strip_suffix('/')?;
        Some(Rc::new(MemoryDirectory {
            label: format!("{}{name}", parent(&self.label)),
            prefix: format!("{}{name}/", parent(prefix)),
            files: self.files.clone(),
            locks: self.locks.clone(),
        }))
    }
}

#[async_trait(?Send)]
impl OutputDirectory for MemoryDirectory {
    async fn create(&self, name: &str) -> Result<Box<dyn FileWriter>> {
        Ok(Box::new(MemoryWriter { files: self.files.clone(), key: self.key(name), bytes: Vec::new() }))
    }

    async fn append(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.files.borrow_mut().entry(self.key(name)).or_default().extend_from_slice(bytes);
        Ok(())
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from_key, to_key) = (self.key(from), self.key(to));
        let mut files = self.files.borrow_mut();
        let moved: Vec<String> = files.keys().filter(|k| **k == from_key || k.starts_with(&format!("{from_key}/"))).cloned().collect();
        if moved.is_empty() {
            return Err(self.missing(from));
        }
        if files.keys().any(|k| *k == to_key || k.starts_with(&format!("{to_key}/"))) {
            return Err(Error::file(format!("{}/{to}", self.label), "this name exists already").because(Cause::AlreadyExists));
        }
        for key in moved {
            if let Some(bytes) = files.remove(&key) {
                files.insert(format!("{to_key}{}", &key[from_key.len()..]), bytes);
            }
        }
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<()> {
        let key = self.key(name);
        self.files.borrow_mut().retain(|k, _| *k != key && !k.starts_with(&format!("{key}/")));
        Ok(())
    }

    async fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn subdirectory(&self, name: &str) -> Box<dyn OutputDirectory> {
        Box::new(MemoryDirectory {
            label: format!("{}/{name}", self.label),
            prefix: format!("{}{name}/", self.prefix),
            files: self.files.clone(),
            locks: self.locks.clone(),
        })
    }

    async fn lock(&self, name: &str) -> Result<Option<Box<dyn Any>>> {
        let key = self.key(name);
        let free = self.locks.borrow_mut().insert(key.clone());
        Ok(free.then(|| Box::new(MemoryLock { locks: self.locks.clone(), key }) as Box<dyn Any>))
    }

    async fn is_locked(&self, name: &str) -> Result<bool> {
        Ok(self.locks.borrow().contains(&self.key(name)))
    }
}

struct MemoryLock {
    locks: Locks,
    key: String,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.locks.borrow_mut().remove(&self.key);
    }
}

struct MemoryWriter {
    files: Files,
    key: String,
    bytes: Vec<u8>,
}

#[async_trait(?Send)]
impl FileWriter for MemoryWriter {
    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<()> {
        self.files.borrow_mut().insert(self.key, self.bytes);
        Ok(())
    }
}
