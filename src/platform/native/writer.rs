//! A file that is written under a temporary name beside its final one, flushed, then renamed.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use async_trait::async_trait;

use super::{io_error, parent_and_name, sync_directory};
use crate::error::Result;
use crate::platform::FileWriter;

pub(super) struct NativeWriter {
    file: File,
    partial: PathBuf,
    path: PathBuf,
    /// Whether the file has been renamed to its final name.
    finished: bool,
}

impl NativeWriter {
    /// Writes `file`, which is called `partial` until it is whole and `path` from then on.
    pub(super) fn new(file: File, partial: PathBuf, path: PathBuf) -> NativeWriter {
        NativeWriter { file, partial, path, finished: false }
    }
}

#[async_trait(?Send)]
impl FileWriter for NativeWriter {
    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| io_error(&self.path.display().to_string(), &e))
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        let shown = self.path.display().to_string();
        self.file.sync_all().map_err(|e| io_error(&shown, &e))?;
        fs::rename(&self.partial, &self.path).map_err(|e| io_error(&shown, &e))?;
        self.finished = true;
        sync_directory(&parent_and_name(&self.path).0)
    }
}

impl Drop for NativeWriter {
    /// An abandoned or failed writer (at a write, the flush or the rename) leaves no file behind.
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.partial);
        }
    }
}
