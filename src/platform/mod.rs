//! What differs between the native program and the browser: files, the clock, waiting for the GPU. Elsewhere `cfg` on the target only
//! leaves out whole parts (the browser's bindings, the command line).
//!
//! The core takes these traits instead of paths, so the same code reads a folder on disk, files dropped on a page, and bytes in a test.

use std::any::Any;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;

use crate::error::{Error, Result};

#[cfg(not(target_arch = "wasm32"))]
mod arrow;
#[cfg(target_arch = "wasm32")]
mod browser;
mod graphics;
#[cfg(not(target_arch = "wasm32"))]
pub mod hub_cache;
#[cfg(not(target_arch = "wasm32"))]
mod lock;
mod memory;
#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(not(target_arch = "wasm32"))]
mod parquet;
mod parquet_footer;
#[cfg(all(feature = "plot", not(target_arch = "wasm32")))]
mod plot;
mod small;

#[cfg(target_arch = "wasm32")]
pub use browser::{FileDirectory, HttpDirectory, OpfsDirectory};
pub(crate) use graphics::{
    AdapterFacts, CompiledPipeline, ComputeKernel, adapter_facts, compile_ahead, hand_over, kernel_text, prepare_adapters,
};
#[cfg(not(target_arch = "wasm32"))]
pub use lock::DirectoryLock;
pub use memory::MemoryDirectory;
#[cfg(not(target_arch = "wasm32"))]
pub use native::{NativeDirectory, block_on, cache_directory, open_directory, parent_and_name, report_file_size_limit};
pub use small::{check_size, is_lfs_pointer, read_small, size_limit, text_without_byte_order_mark, without_byte_order_mark};

/// One file of a [`Directory`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path inside the directory, separated by `/`.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
}

/// A readable directory. Names are relative, separated by `/`, and never leave the directory: an implementation refuses `..`,
/// absolute names and symbolic links that point outside.
#[async_trait(?Send)]
pub trait Directory {
    /// The name of this directory in messages (its path, or the dropped folder's name).
    fn label(&self) -> String;

    /// All files, including those in sub-directories, sorted by name. Cheap: no file is read.
    async fn list(&self) -> Result<Vec<Entry>>;

    /// The size of a file; `None` if it does not exist.
    async fn size(&self, name: &str) -> Result<Option<u64>>;

    /// Reads the bytes `range` of a file. A file that is too short is an error that names it.
    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>>;

    /// Reads the bytes from `start` on into `bytes`, as many as it has: where a caller has the room, nothing is copied on the way.
    async fn read_into(&self, name: &str, start: u64, bytes: &mut [u8]) -> Result<()> {
        let read = self.read_range(name, start..start + bytes.len() as u64).await?;
        if read.len() != bytes.len() {
            return Err(Error::file(name, format!("{} bytes came of {} that were wanted", read.len(), bytes.len())));
        }
        bytes.copy_from_slice(&read);
        Ok(())
    }

    /// Reads a whole file. Configurations and other small files are read by [`read_small`], which has a size limit.
    async fn read(&self, name: &str) -> Result<Vec<u8>>;

    /// The sibling directory of that name (it need not exist); `None` if the parent is not known.
    fn sibling(&self, name: &str) -> Option<Rc<dyn Directory>> {
        let _ = name;
        None
    }

    /// Where the directory is made from weights of few bits, so that its weights' file holds what they decode to: the name of the unlisted
    /// safetensors file with the same matrices as they are. No directory of a user's has one, whatever files lie in it.
    fn blocks(&self) -> Option<&str> {
        None
    }
}

/// A writable directory. A file appears under its name only when it is complete ([`FileWriter::finish`]).
#[async_trait(?Send)]
pub trait OutputDirectory: Directory {
    /// Starts a file; parent directories are created. An existing file stays until `finish` replaces it atomically.
    async fn create(&self, name: &str) -> Result<Box<dyn FileWriter>>;

    /// Appends to a file that may be read while it grows (a log).
    async fn append(&self, name: &str, bytes: &[u8]) -> Result<()>;

    /// Renames a file or sub-directory atomically, without replacing an existing one.
    async fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Whether an [`OutputDirectory::rename`] in this directory has begun but not ended: it is in progress, or was interrupted.
    async fn is_interrupted(&self) -> Result<bool> {
        Ok(false)
    }

    /// Completes an interrupted [`OutputDirectory::rename`] on platforms without an atomic rename. The caller must be the only writer
    /// here: a rename in progress must not be completed by another.
    async fn recover(&self) -> Result<()> {
        Ok(())
    }

    /// The names that stand in the directory itself, of files and sub-directories; natively also of empty ones, which [`Directory::list`]
    /// does not show.
    async fn names(&self) -> Result<Vec<String>> {
        let top = |entry: &Entry| entry.name.split('/').next().unwrap_or(&entry.name).to_string();
        let mut names: Vec<String> = self.list().await?.iter().map(top).collect();
        names.dedup();
        Ok(names)
    }

    /// Removes a file, or a sub-directory with its content; a missing one is no error.
    async fn remove(&self, name: &str) -> Result<()>;

    /// Takes the lock called `name` until the value is dropped; `None` if another writer holds it. It is a lock of the operating system,
    /// so a killed process releases it: a file lock, or in a browser a Web Lock, which all tabs share. On a system without locks, it
    /// always succeeds.
    async fn lock(&self, name: &str) -> Result<Option<Box<dyn Any>>> {
        let _ = name;
        Ok(Some(Box::new(())))
    }

    /// Whether a writer holds the lock called `name`.
    async fn is_locked(&self, name: &str) -> Result<bool> {
        let _ = name;
        Ok(false)
    }

    /// Makes everything written so far survive a power cut (directory entries included).
    async fn sync(&self) -> Result<()>;

    /// The sub-directory of that name (it need not exist yet).
    fn subdirectory(&self, name: &str) -> Box<dyn OutputDirectory>;
}

/// A file that is being written.
#[async_trait(?Send)]
pub trait FileWriter {
    /// Appends bytes.
    async fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Completes the file: flushes it to disk and makes it visible under its name, atomically.
    async fn finish(self: Box<Self>) -> Result<()>;
}

/// Converts a directory to one that is only read.
pub fn as_directory(dir: Box<dyn OutputDirectory>) -> Box<dyn Directory> {
    dir
}

/// Opens the directory of a model, an adapter or a checkpoint by its path.
///
/// # Errors
/// [`crate::Error::File`] when it is missing (with download instructions if the path looks like a name on Hugging Face); always in
/// the browser, where there are no paths.
pub fn open(path: &str) -> Result<Box<dyn Directory>> {
    #[cfg(not(target_arch = "wasm32"))]
    return Ok(Box::new(native::open_named(path)?));
    #[cfg(target_arch = "wasm32")]
    Err(crate::Error::file(path, "a browser has no paths; choose the run from the list"))
}

/// Opens a directory for writing by its path; makes it where it is missing.
///
/// # Errors
/// [`crate::Error::File`] when it cannot be made; always in the browser, where there are no paths.
pub fn create(path: &str) -> Result<Box<dyn OutputDirectory>> {
    #[cfg(not(target_arch = "wasm32"))]
    return Ok(Box::new(NativeDirectory::create(path)?));
    #[cfg(target_arch = "wasm32")]
    Err(crate::Error::file(path, "a browser has no paths"))
}

/// Opens the directory that contains a file, and returns the file's name in it. The file itself need not exist.
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

/// Whether there is a file or a directory of that path; never in the browser.
pub fn exists(path: &str) -> bool {
    !cfg!(target_arch = "wasm32") && std::path::Path::new(path).exists()
}

/// Opens a data set of Hugging Face's hub that the cache of its programs holds; never in the browser.
///
/// # Errors
/// [`crate::Error::File`] with the way to it.
pub fn open_hub_dataset(name: &str, revision: &str) -> Result<Box<dyn Directory>> {
    #[cfg(not(target_arch = "wasm32"))]
    return Ok(Box::new(native::open_hub_dataset(name, revision)?));
    #[cfg(target_arch = "wasm32")]
    {
        let _ = revision;
        Err(crate::Error::file(name, "the page downloads no data sets; give it the file itself"))
    }
}

/// Opens a model by its id on Hugging Face or a folder's address; only in the browser, as the native program downloads nothing.
///
/// # Errors
/// [`crate::Error::File`] with a message for the user.
pub async fn open_address(name: &str) -> Result<Rc<dyn Directory>> {
    #[cfg(not(target_arch = "wasm32"))]
    return Err(crate::Error::file(name, "nothing is downloaded here; give a folder"));
    #[cfg(target_arch = "wasm32")]
    Ok(Rc::new(browser::HttpDirectory::named(name).await?))
}

/// The state of the storage that holds runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StorageState {
    /// Bytes in use, where the platform reports them.
    pub usage: Option<u64>,
    /// The quota in bytes, where the platform reports it.
    pub quota: Option<u64>,
    /// Whether the storage is exempt from automatic eviction.
    pub persistent: bool,
}

/// Size of this program's memory in bytes, on platforms where it is one block that only grows (wasm).
pub fn heap_bytes() -> Option<u64> {
    #[cfg(not(target_arch = "wasm32"))]
    return None;
    #[cfg(target_arch = "wasm32")]
    Some(core::arch::wasm32::memory_size(0) as u64 * 65_536)
}

/// The state of the storage for runs; with `persist`, first requests that it is exempt from automatic eviction.
pub async fn storage(persist: bool) -> StorageState {
    #[cfg(not(target_arch = "wasm32"))]
    {
        let _ = persist;
        StorageState { persistent: true, ..StorageState::default() }
    }
    #[cfg(target_arch = "wasm32")]
    browser::storage(persist).await
}

/// Work is done together when it is about so many bytes: natively enough for every core, in a browser little enough that the worker hears what
/// the page says meanwhile.
pub const WORK_TOGETHER: usize = if cfg!(target_arch = "wasm32") { 256 << 10 } else { 4 << 20 };

/// Does the same with each of some items, on all processor cores where the platform has threads; the results keep the items' order.
pub fn in_parallel<T: Send, R: Send>(items: Vec<T>, run: impl Fn(T) -> R + Sync) -> Vec<R> {
    #[cfg(not(target_arch = "wasm32"))]
    return native::in_parallel(items, run);
    #[cfg(target_arch = "wasm32")]
    items.into_iter().map(run).collect()
}

/// Seconds that all processor cores together have worked for this program; `None` where the platform does not tell.
pub fn processor_seconds() -> Option<f64> {
    #[cfg(unix)]
    return native::processor_seconds();
    #[cfg(not(unix))]
    None
}

thread_local! {
    static GUARDED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Calls library code that may panic on untrusted files, and converts a panic into an error with its message. In the browser a panic
/// cannot be caught: the worker ends, and the page says so.
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

/// Whether this thread is inside [`guard`], where a panic is not a bug of this program and is reported as an error.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Writes a whole small file atomically.
///
/// # Errors
/// [`crate::Error::NoSpace`] or [`crate::Error::File`]; an existing file is left unchanged then.
pub async fn write_file(dir: &dyn OutputDirectory, name: &str, bytes: &[u8]) -> Result<()> {
    let mut file = dir.create(name).await?;
    file.write(bytes).await?;
    file.finish().await
}

/// Serialises a value as JSON, for a line of a log or a message. `place` names it in errors.
///
/// # Errors
/// [`crate::Error::File`] for a value that JSON cannot express.
pub fn json_line(place: &str, value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| crate::Error::file(place, format!("it cannot be written as JSON: {e}")))
}

/// Writes a small file of indented JSON atomically.
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

/// Takes a row's number (from 1), how much of its file was read (0 to 1), and the row as a JSON object; false: no more are wanted.
pub(crate) type RowTaker<'a> = dyn FnMut(usize, f64, serde_json::Value) -> Result<bool> + 'a;

/// Reads the rows of a Parquet file, which messages call `shown`, with one row group in memory at a time. In the browser another reader decodes
/// them: this one would make the page a tenth larger.
///
/// # Errors
/// [`crate::Error::File`] when there is no such file, [`crate::Error::Dataset`] when it is damaged, encrypted, or packed by a method that
/// is not read, and what `take` fails with.
pub(crate) async fn parquet_rows(dir: &dyn Directory, name: &str, shown: &str, take: &mut RowTaker<'_>) -> Result<()> {
    #[cfg(not(target_arch = "wasm32"))]
    return parquet::parquet_rows(dir, name, shown, take).await;
    #[cfg(target_arch = "wasm32")]
    browser::parquet_rows(dir, name, shown, take).await
}

/// Sets how a worker loads what decodes Parquet files: a function that returns a promise of the module `parquet.ts`.
#[cfg(target_arch = "wasm32")]
pub(crate) fn read_parquet_by(load: js_sys::Function) {
    browser::read_parquet_by(load);
}

/// Reads the rows of an Arrow file, a stream or one with a footer, with one batch of records in memory at a time. The browser build does not read
/// them.
///
/// # Errors
/// As [`parquet_rows`].
pub(crate) async fn arrow_rows(dir: &dyn Directory, name: &str, shown: &str, take: &mut RowTaker<'_>) -> Result<()> {
    #[cfg(not(target_arch = "wasm32"))]
    return arrow::arrow_rows(dir, name, shown, take).await;
    #[cfg(target_arch = "wasm32")]
    {
        let _ = (dir, name, take);
        let way_out = "save the data set as Parquet (`to_parquet`) or JSON lines (`to_json`) for the page";
        Err(crate::Error::dataset(shown, format!("Arrow files are read by the program only; {way_out}")))
    }
}

/// A figure of a run by its steps.
#[derive(Debug, Clone, Copy)]
pub struct Plot<'a> {
    /// What stands above it.
    pub title: &'a str,
    /// What is drawn.
    pub y_desc: &'a str,
    /// What the legend calls it.
    pub name: &'a str,
    /// (step, number) of training: drawn raw and smoothed.
    pub train: &'a [(u64, f64)],
    /// (step, number) of the evaluations: drawn as points.
    pub eval: &'a [(u64, f64)],
}

/// Draws a figure as a PNG. `None` if there is nothing to draw, without the feature `plot`, and in the browser, where the page draws its
/// own charts.
pub fn plot(figure: &Plot<'_>) -> Option<Vec<u8>> {
    #[cfg(all(feature = "plot", not(target_arch = "wasm32")))]
    return plot::plot(figure);
    #[cfg(not(all(feature = "plot", not(target_arch = "wasm32"))))]
    {
        let _ = figure;
        None
    }
}

/// Makes the GPU's callbacks run: natively it blocks until the submission (or all so far) is done; in the browser the event loop
/// runs them.
pub(crate) fn wait_for_gpu(device: &wgpu::Device, submission: Option<wgpu::SubmissionIndex>) {
    #[cfg(not(target_arch = "wasm32"))]
    native::wait_for_gpu(device, submission);
    #[cfg(target_arch = "wasm32")]
    let _ = (device, submission);
}

/// Bytes of device memory for buffers, where the platform reports them.
pub(crate) fn device_memory(adapter: &wgpu::Adapter) -> Option<u64> {
    #[cfg(not(target_arch = "wasm32"))]
    return native::device_memory(adapter);
    #[cfg(target_arch = "wasm32")]
    {
        let _ = adapter;
        None
    }
}
