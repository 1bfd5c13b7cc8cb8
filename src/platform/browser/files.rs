//! Files that the user picked or dropped, read in slices.

use std::ops::Range;

use async_trait::async_trait;
use js_sys::{ArrayBuffer, Uint8Array};
use web_sys::{Blob, File};

use super::{file_error, wait};
use crate::error::{Cause, Error, Result};
use crate::platform::{Directory, Entry};

/// A folder of `File` objects.
#[derive(Debug, Clone)]
pub struct FileDirectory {
    label: String,
    files: Vec<(String, File)>,
}

impl FileDirectory {
    /// Creates a directory from files with their paths inside the folder; `label` names it in messages.
    pub fn new(label: impl Into<String>, mut files: Vec<(String, File)>) -> Self {
        files.sort_by(|a, b| a.0.cmp(&b.0));
        FileDirectory { label: label.into(), files }
    }

    fn file(&self, name: &str) -> Option<&File> {
        self.files.iter().find(|(path, _)| path == name).map(|(_, file)| file)
    }
}

/// Reads a range of a blob; a blob that is too short is an error that names the file.
pub(super) async fn read_blob(blob: &Blob, range: Range<u64>, shown: impl Fn() -> String) -> Result<Vec<u8>> {
    let size = blob.size() as u64;
    if range.start > range.end || range.end > size {
        return Err(Error::file(shown(), format!("the file ends at byte {size}, bytes {} to {} were wanted", range.start, range.end)));
    }
    let slice = blob.slice_with_f64_and_f64(range.start as f64, range.end as f64).map_err(|e| file_error(shown(), &e))?;
    let buffer: ArrayBuffer = wait(slice.array_buffer()).await.map_err(|e| file_error(shown(), &e))?;
    Ok(Uint8Array::new(&buffer).to_vec())
}

#[async_trait(?Send)]
impl Directory for FileDirectory {
    fn label(&self) -> String {
        self.label.clone()
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        Ok(self.files.iter().map(|(name, file)| Entry { name: name.clone(), size: file.size() as u64 }).collect())
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.file(name).map(|file| file.size() as u64))
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        // A file that was given alone is its own directory, and is named once.
        let shown = || if self.label == name { self.label.clone() } else { format!("{}/{name}", self.label) };
        let file = self.file(name).ok_or_else(|| Error::file(shown(), "there is no such file").because(Cause::NotFound))?;
        read_blob(file, range, shown).await
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        let size = self.size(name).await?.unwrap_or(0);
        self.read_range(name, 0..size).await
    }
}
