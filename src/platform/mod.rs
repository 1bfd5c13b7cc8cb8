//! What differs between the native program and the browser: files, the clock, waiting for the GPU. The only `cfg` in the house.
//!
//! The core takes these traits, not paths, so the same code reads a folder on disk, files dropped on a page, and bytes in a test.

use std::any::Any;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;

use crate::error::Result;

#[cfg(target_arch = "wasm32")]
mod browser;
#[cfg(not(target_arch = "wasm32"))]
mod lock;
mod memory;
#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(all(feature = "plot", not(target_arch = "wasm32")))]
mod plot;
mod small;

#[cfg(target_arch = "wasm32")]
pub use browser::{FileDirectory, HttpDirectory, OpfsDirectory};
#[cfg(not(target_arch = "wasm32"))]
pub use lock::DirectoryLock;
pub use memory::MemoryDirectory;
#[cfg(not(target_arch = "wasm32"))]
pub use native::{NativeDirectory, block_on, open_directory, parent_and_name, report_file_size_limit};
pub use small::{check_size, is_lfs_pointer, read_small, size_limit, without_byte_order_mark};

/// One file of a [`Directory`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path inside the directory, separated by `/`.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
}

/// A directory that can be read. Names are relative, separated by `/`, and never leave the directory:
/// an implementation refuses `..`, absolute names and symbolic links that point outside.
#[async_trait(?Send)]
pub trait Directory {
    /// How to name this directory to the user (its path, or the dropped folder's name).
    fn label(&self) -> String;

    /// All files, sub-directories included, sorted by name. Cheap: nothing is read.
    async fn list(&self) -> Result<Vec<Entry>>;

    /// Whether a file of that name is there.
    async fn size(&self, name: &str) -> Result<Option<u64>>;

    /// Bytes `range` of a file. Short files are an error that names the file.
    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>>;

    /// A whole file. Configurations and the like are read by [`read_small`], which has a limit.
    async fn read(&self, name: &str) -> Result<Vec<u8>>;

    /// The directory of that name beside this one (it need not exist); `None` where nothing is known of what lies beside.
    fn sibling(&self, name: &str) -> Option<Rc<dyn Directory>> {
        let _ = name;
        None
    }
}

/// A directory that can be written. A file appears under its name only when it is complete ([`FileWriter::finish`]).
#[async_trait(?Send)]
pub trait OutputDirectory: Directory {
    /// Starts a file; parents are created. An existing file stays until `finish` replaces it in one step.
    async fn create(&self, name: &str) -> Result<Box<dyn FileWriter>>;

    /// Appends to a file that readers may look at while it grows (a log).
    async fn append(&self, name: &str, bytes: &[u8]) -> Result<()>;

    /// Renames a file or sub-directory in one step, replacing nothing that exists.
    async fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Whether a [`OutputDirectory::rename`] in this directory has begun and not ended: it is under way, or was interrupted.
    async fn is_interrupted(&self) -> Result<bool> {
        Ok(false)
    }

    /// Completes what an interrupted [`OutputDirectory::rename`] left half done, where a platform has no rename in one step. Only for
    /// whoever is alone in writing here: a rename that is under way must not be completed by another.
    async fn recover(&self) -> Result<()> {
        Ok(())
    }

    /// Removes a file or a sub-directory with all in it; a missing one is fine.
    async fn remove(&self, name: &str) -> Result<()>;

    /// Takes the lock that `name` stands for until the value is dropped; `None` when another writer holds it. The lock is the system's
    /// own, so that one that is killed loses it: the file system's, and in a browser a Web Lock, which all tabs share. Where there are no
    /// locks, it is given to everybody.
    async fn lock(&self, name: &str) -> Result<Option<Box<dyn Any>>> {
        let _ = name;
        Ok(Some(Box::new(())))
    }

    /// Whether a writer holds the lock that `name` stands for.
    async fn is_locked(&self, name: &str) -> Result<bool> {
        let _ = name;
        Ok(false)
    }

    /// Makes everything written so far survive a power cut (directory entries included).
    async fn sync(&self) -> Result<()>;

    /// The sub-directory of that name as a directory of its own (it need not exist yet).
    fn subdirectory(&self, name: &str) -> Box<dyn OutputDirectory>;
}

/// A file that is being written.
#[async_trait(?Send)]
pub trait FileWriter {
    /// Appends bytes.
    async fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Makes the file complete and visible under its name, in one step, flushed to the disk.
    async fn finish(self: Box<Self>) -> Result<()>;
}

/// A directory that is only read from here on.
pub fn as_directory(dir: Box<dyn OutputDirectory>) -> Box<dyn Directory> {
    dir
}

/// Opens the directory of a model, an adapter or a checkpoint by its path.
///
/// # Errors
/// [`crate::Error::File`] when it is missing (where the path looks like a name on Hugging Face, with how to get it); in the browser
/// always, as there are no paths.
pub fn open(path: &str) -> Result<Box<dyn Directory>> {
    #[cfg(not(target_arch = "wasm32"))]
    return Ok(Box::new(native::open_named(path)?));
    #[cfg(target_arch = "wasm32")]
    Err(crate::Error::file(path, "a browser has no paths; choose the run from the list"))
}

/// Opens the directory that a file lies in, and gives the file's name there. The file itself need not exist.
///
/// # Errors
/// As [`open`].
pub fn open_beside(path: &str) -> Result<(Box<dyn Directory>, String)> {
    #[cfg(not(target_arch = "wasm32"))]
    {
        let (parent, name) = parent_and_name(std::path::Path::new(path));
        Ok((Box::new(open_directory(&parent)?), name))
    }
    #[cfg(target_arch = "wasm32")]
    Err(crate::Error::file(path, "a browser has no paths; give the file itself"))
}

/// Opens a model by its id on Hugging Face or a folder's address; in the browser only, as the native program downloads nothing.
///
/// # Errors
/// [`crate::Error::File`] in words for the person who named it.
pub async fn open_address(name: &str) -> Result<Rc<dyn Directory>> {
    #[cfg(not(target_arch = "wasm32"))]
    return Err(crate::Error::file(name, "nothing is downloaded here; give a folder"));
    #[cfg(target_arch = "wasm32")]
    Ok(Rc::new(browser::HttpDirectory::named(name).await?))
}

/// What may be stored where runs are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StorageState {
    /// Bytes in use, where the platform tells.
    pub usage: Option<u64>,
    /// Bytes that may be used, where the platform tells.
    pub quota: Option<u64>,
    /// Whether nobody clears it by itself.
    pub persistent: bool,
}

/// Bytes of this program's own memory, where that is one block that only grows (wasm).
pub fn heap_bytes() -> Option<u64> {
    #[cfg(not(target_arch = "wasm32"))]
    return None;
    #[cfg(target_arch = "wasm32")]
    Some(core::arch::wasm32::memory_size(0) as u64 * 65_536)
}

/// Asks for the storage in which runs are kept; with `persist`, also that nobody clears it by itself.
pub async fn storage(persist: bool) -> StorageState {
    #[cfg(not(target_arch = "wasm32"))]
    {
        let _ = persist;
        StorageState { persistent: true, ..StorageState::default() }
    }
    #[cfg(target_arch = "wasm32")]
    browser::storage(persist).await
}

thread_local! {
    static GUARDED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Calls a library that may panic on a stranger's file, and makes an error of that: its message. In the browser nothing catches a
/// panic; there the worker ends, and the page says so.
///
/// # Errors
/// The panic's message.
pub fn guard<T>(run: impl FnOnce() -> T) -> std::result::Result<T, String> {
    let outer = GUARDED.replace(true);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    GUARDED.set(outer);
    outcome.map_err(|payload| match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_string(),
        (_, Some(text)) => text.clone(),
        _ => "it panicked".to_string(),
    })
}

/// Whether this thread is inside [`guard`], so that a panic is no bug of this program and will be reported as an error.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Writes a whole small file in one step.
///
/// # Errors
/// [`crate::Error::NoSpace`] or [`crate::Error::File`]; the old file is untouched then.
pub async fn write_file(dir: &dyn OutputDirectory, name: &str, bytes: &[u8]) -> Result<()> {
    let mut file = dir.create(name).await?;
    file.write(bytes).await?;
    file.finish().await
}

/// A value as JSON, for a line of a log or a message. `place` is what an error calls it.
///
/// # Errors
/// [`crate::Error::File`] for a value that JSON cannot express.
pub fn json_line(place: &str, value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| crate::Error::file(place, format!("it cannot be written as JSON: {e}")))
}

/// Writes a small file of indented JSON in one step.
///
/// # Errors
/// As [`write_file`]; [`crate::Error::File`] also for a value that JSON cannot express.
pub async fn write_json(dir: &dyn OutputDirectory, name: &str, value: &impl serde::Serialize) -> Result<()> {
    let place = || format!("{}/{name}", dir.label());
    let mut text =
        serde_json::to_string_pretty(value).map_err(|e| crate::Error::file(place(), format!("it cannot be written as JSON: {e}")))?;
    text.push('\n');
    write_file(dir, name, text.as_bytes()).await
}

/// Draws losses by step as a PNG: `train` raw and smoothed, `eval` as points. `None` when there is nothing to draw, without the
/// feature `plot`, and in a browser, where the page draws its own.
pub fn loss_plot(train: &[(u64, f64)], eval: &[(u64, f64)]) -> Option<Vec<u8>> {
    #[cfg(all(feature = "plot", not(target_arch = "wasm32")))]
    return plot::loss_plot(train, eval);
    #[cfg(not(all(feature = "plot", not(target_arch = "wasm32"))))]
    {
        let _ = (train, eval);
        None
    }
}

/// Makes the GPU's callbacks come: natively a thread waits for the submission (or for all so far), in the browser the event loop does.
pub(crate) fn wait_for_gpu(device: &wgpu::Device, submission: Option<wgpu::SubmissionIndex>) {
    #[cfg(not(target_arch = "wasm32"))]
    native::wait_for_gpu(device, submission);
    #[cfg(target_arch = "wasm32")]
    let _ = (device, submission);
}

/// Bytes of memory that the device has for buffers, where the platform tells.
pub(crate) fn device_memory(adapter: &wgpu::Adapter) -> Option<u64> {
    #[cfg(not(target_arch = "wasm32"))]
    return native::device_memory(adapter);
    #[cfg(target_arch = "wasm32")]
    {
        let _ = adapter;
        None
    }
}
