//! Files on disk. A file is written under a temporary name beside its final one, flushed, then renamed.

use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use async_trait::async_trait;

use super::hub_cache;
use super::lock::FileLock;
use super::{Directory, Entry, FileWriter, OutputDirectory};
use crate::error::{Cause, Error, Result};

mod graphics;
mod writer;

pub(super) use graphics::{adapter_facts, device_memory, wait_for_gpu};
use writer::NativeWriter;

/// Runs a future to completion on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    pollster::block_on(future)
}

/// Opens an existing directory for reading.
///
/// # Errors
/// [`Error::File`] when the path is missing or is a file (naming the directory that was probably meant).
pub fn open_directory(path: &Path) -> Result<NativeDirectory> {
    let shown = path.display().to_string();
    if shown.is_empty() {
        return Err(Error::file("\"\"", "an empty name is not a directory"));
    }
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(NativeDirectory::new(path)),
        Ok(_) if [".zip", ".tar", ".gz", ".tgz", ".7z", ".zst", ".xz"].iter().any(|ending| shown.ends_with(ending)) => {
            Err(Error::file(shown, "this is an archive; unpack it and give the directory that comes out"))
        }
        Ok(_) => {
            Err(Error::file(shown, format!("this is a file; give the directory that holds it ({})", parent_and_name(path).0.display())))
        }
        Err(e) => Err(io_error(&shown, &e)),
    }
}

/// Opens a directory named by the user.
///
/// # Errors
/// [`Error::File`] when it does not exist; if the name looks like one on Hugging Face and is not in the cache of its programs on this
/// machine, with download instructions.
pub(super) fn open_named(path: &str) -> Result<NativeDirectory> {
    let looks_like_hub_name = path.split('/').count() == 2 && !path.starts_with(['.', '/', '~']) && !path.ends_with('/');
    if looks_like_hub_name && !Path::new(path).exists() {
        let (name, revision) = path.split_once('@').unwrap_or((path, "main"));
        if Path::new(name).exists() {
            return open_directory(Path::new(name)); // a revision of a directory on this machine means nothing
        }
        if let Some(snapshot) = hub_cache::snapshot(hub_cache::Kind::Model, name, revision) {
            return open_directory(&snapshot);
        }
        return Err(Error::file(
            path,
            format!(
                "there is no such directory, nor is it in the cache of Hugging Face's programs; fetch it with \
                 `rootstock fetch {path}` or `hf download {path}`"
            ),
        ));
    }
    open_directory(Path::new(path))
}

/// Opens the snapshot of a data set of Hugging Face's hub in the cache of its programs.
///
/// # Errors
/// [`Error::File`] when the cache does not hold it, with download instructions.
pub(super) fn open_hub_dataset(name: &str, revision: &str) -> Result<NativeDirectory> {
    match hub_cache::snapshot(hub_cache::Kind::Dataset, name, revision) {
        Some(snapshot) => open_directory(&snapshot),
        None => Err(Error::file(
            name,
            format!(
                "this data set is not in the cache of Hugging Face's programs; fetch it with `rootstock fetch --dataset {name}` or \
                 `hf download --repo-type dataset {name}`"
            ),
        )),
    }
}

/// This program's directory for what can be computed again; it may not exist yet. `None` where the user has no home.
pub fn cache_directory() -> Option<PathBuf> {
    let of = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = if cfg!(windows) {
        of("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        of("XDG_CACHE_HOME").or_else(|| Some(of("HOME")?.join("Library/Caches")))
    } else {
        of("XDG_CACHE_HOME").or_else(|| Some(of("HOME")?.join(".cache")))
    };
    Some(base?.join("rootstock"))
}

/// Splits the path of a file into its directory and its name.
pub fn parent_and_name(path: &Path) -> (PathBuf, String) {
    let parent = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
        _ => PathBuf::from("."),
    };
    (parent, path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default())
}

fn io_error(path: &str, error: &std::io::Error) -> Error {
    let (cause, reason) = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => return Error::NoSpace { path: path.to_string() },
        ErrorKind::NotFound => (Cause::NotFound, "there is no such file or directory".to_string()),
        ErrorKind::PermissionDenied => (Cause::PermissionDenied, "permission denied".to_string()),
        ErrorKind::AlreadyExists => (Cause::AlreadyExists, "this name exists already".to_string()),
        ErrorKind::FileTooLarge => {
            let way_out =
                "raise the limit (`ulimit -f`), use a file system that takes larger files, or write smaller ones (max_shard_size)";
            (Cause::TooLarge, format!("a file may not become so large here; {way_out}"))
        }
        _ => (Cause::Other, error.to_string()),
    };
    Error::file(path, reason).because(cause).caused_by(copy_of(error))
}

/// Copies an I/O error: the library's errors are `Clone`, those of the standard library are not.
fn copy_of(error: &std::io::Error) -> std::io::Error {
    match error.raw_os_error() {
        Some(code) => std::io::Error::from_raw_os_error(code),
        None => std::io::Error::new(error.kind(), error.to_string()),
    }
}

/// Creates a directory and its missing parents.
fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| match fs::read_link(path) {
        Ok(target) => {
            let target = target.display();
            Error::file(
                path.display().to_string(),
                format!("this link leads to no directory ({target}); is a disk missing that was there?"),
            )
            .because(Cause::BrokenLink)
        }
        Err(_) if path.is_file() => Error::file(path.display().to_string(), "a directory is needed here, and this is a file"),
        Err(_) => io_error(&path.display().to_string(), &e),
    })
}

/// Ignores SIGXFSZ, so that a write beyond the file size limit (`ulimit -f`) fails with an error instead of killing the program.
#[expect(unsafe_code, reason = "the standard library cannot set how a signal is handled")]
pub fn report_file_size_limit() {
    #[cfg(unix)]
    // SAFETY: SIG_IGN installs no handler, so no code of this program runs in a signal context.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// As [`super::processor_seconds`].
#[cfg(unix)]
#[expect(unsafe_code, reason = "the standard library has no clock of a process")]
pub(super) fn processor_seconds() -> Option<f64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes the timespec that it is given, and nothing else.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    (done == 0).then_some(time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9)
}

/// As [`super::in_parallel`].
pub(super) fn in_parallel<T: Send, R: Send>(items: Vec<T>, run: impl Fn(T) -> R + Sync) -> Vec<R> {
    /// Portions for each thread: what takes long in one is made up for by the others.
    const PORTIONS: usize = 8;
    let threads = thread::available_parallelism().map_or(1, usize::from).min(items.len());
    if threads < 2 {
        return items.into_iter().map(run).collect();
    }
    let size = items.len().div_ceil(threads * PORTIONS);
    let mut items = items.into_iter();
    let mut portions: Vec<Mutex<(Vec<T>, Vec<R>)>> = Vec::new();
    while items.len() > 0 {
        portions.push(Mutex::new((items.by_ref().take(size).collect(), Vec::new())));
    }
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(portion) = portions.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut portion = portion.lock().unwrap_or_else(PoisonError::into_inner);
                    let items = std::mem::take(&mut portion.0);
                    portion.1 = items.into_iter().map(&run).collect();
                }
            });
        }
    });
    portions.into_iter().flat_map(|portion| portion.into_inner().unwrap_or_else(PoisonError::into_inner).1).collect()
}

/// A folder on disk.
#[derive(Debug, Clone)]
pub struct NativeDirectory {
    root: PathBuf,
}

impl NativeDirectory {
    /// The folder at `root`. It need not exist if it is only written to.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        NativeDirectory { root: root.into() }
    }

    /// Opens a directory for writing; creates it if it is missing.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be created.
    pub fn create(path: impl AsRef<Path>) -> Result<NativeDirectory> {
        let path = path.as_ref();
        fs::create_dir_all(path).map_err(|e| io_error(&path.display().to_string(), &e))?;
        Ok(NativeDirectory::new(path))
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Joins a relative name; refuses names that could leave the directory.
    fn join(&self, name: &str) -> Result<PathBuf> {
        let relative = Path::new(name);
        if name.is_empty() || !relative.components().all(|c| matches!(c, Component::Normal(_))) {
            return Err(Error::file(name, format!("this name points outside {}", self.root.display())).because(Cause::OutsideDirectory));
        }
        Ok(self.root.join(relative))
    }

    /// Like `join`, for reading: also refuses symbolic links that point outside, except into the blob folder of a Hugging Face cache.
    fn join_existing(&self, name: &str) -> Result<PathBuf> {
        let path = self.join(name)?;
        let (Ok(real), Ok(root)) = (fs::canonicalize(&path), fs::canonicalize(&self.root)) else {
            return match fs::read_link(&path) {
                Ok(target) => Err(Error::file(
                    path.display().to_string(),
                    format!(
                        "this link leads nowhere (to {}); copy the file itself here (a snapshot of the Hugging Face cache needs the blobs beside it)",
                        target.display()
                    ),
                )
                .because(Cause::BrokenLink)),
                Err(_) => Ok(path), // the caller's read reports what is wrong
            };
        };
        // The Hugging Face cache links snapshots/<commit>/model.safetensors to ../../blobs/<hash>.
        let blobs = root.parent().and_then(Path::parent).map(|p| p.join("blobs"));
        let in_cache = root.parent().is_some_and(|p| p.ends_with("snapshots")) && blobs.is_some_and(|b| real.starts_with(b));
        if real.starts_with(&root) || in_cache {
            return Ok(path);
        }
        Err(Error::file(path.display().to_string(), "this symbolic link points outside the directory; copy the file here")
            .because(Cause::OutsideDirectory))
    }

    /// A file at the start of a range of its bytes, all of which it has, and its name in messages.
    fn open_at(&self, name: &str, range: &Range<u64>) -> Result<(File, String)> {
        let path = self.join_existing(name)?;
        let shown = path.display().to_string();
        let mut file = File::open(&path).map_err(|e| io_error(&shown, &e))?;
        let size = file.metadata().map_err(|e| io_error(&shown, &e))?.len();
        if range.start > range.end || range.end > size {
            return Err(Error::file(shown, format!("the file ends at byte {size}, bytes {} to {} were wanted", range.start, range.end))
                .because(Cause::Truncated));
        }
        file.seek(SeekFrom::Start(range.start)).map_err(|e| io_error(&shown, &e))?;
        Ok((file, shown))
    }

    fn walk(&self, dir: &Path, prefix: &str, depth: usize, entries: &mut Vec<Entry>) -> Result<()> {
        let listing = fs::read_dir(dir).map_err(|e| io_error(&dir.display().to_string(), &e))?;
        for entry in listing {
            let entry = entry.map_err(|e| io_error(&dir.display().to_string(), &e))?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            // Links to files are followed (the Hugging Face cache consists of them), links to directories are not.
            let Ok(meta) = fs::metadata(entry.path()) else {
                // A dangling link is listed, so that reading it reports the error.
                if entry.file_type().is_ok_and(|t| t.is_symlink()) {
                    entries.push(Entry { name, size: 0 });
                }
                continue;
            };
            if meta.is_file() {
                entries.push(Entry { name, size: meta.len() });
            } else if meta.is_dir() && depth < 4 && !entry.file_type().is_ok_and(|t| t.is_symlink()) {
                // An unreadable sub-directory is ignored: it is not part of the model.
                let _ = self.walk(&entry.path(), &format!("{name}/"), depth + 1, entries);
            }
        }
        Ok(())
    }
}

#[async_trait(?Send)]
impl Directory for NativeDirectory {
    fn label(&self) -> String {
        self.root.display().to_string()
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        // A directory that does not exist yet is empty; a dangling link is an error.
        if fs::symlink_metadata(&self.root).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
            return Ok(entries);
        }
        self.walk(&self.root, "", 0, &mut entries)?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        let path = self.join_existing(name)?;
        match fs::metadata(&path) {
            Ok(meta) if meta.is_file() => Ok(Some(meta.len())),
            Ok(_) => Ok(None),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(io_error(&path.display().to_string(), &e)),
        }
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let (mut file, shown) = self.open_at(name, &range)?;
        let mut bytes = vec![0; (range.end - range.start) as usize];
        file.read_exact(&mut bytes).map_err(|e| io_error(&shown, &e))?;
        Ok(bytes)
    }

    async fn read_into(&self, name: &str, start: u64, bytes: &mut [u8]) -> Result<()> {
        let (mut file, shown) = self.open_at(name, &(start..start + bytes.len() as u64))?;
        file.read_exact(bytes).map_err(|e| io_error(&shown, &e))
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.join_existing(name)?;
        fs::read(&path).map_err(|e| io_error(&path.display().to_string(), &e))
    }

    fn sibling(&self, name: &str) -> Option<Rc<dyn Directory>> {
        let plain = matches!(Path::new(name).components().collect::<Vec<_>>()[..], [Component::Normal(_)]);
        let real = fs::canonicalize(&self.root).ok()?;
        plain.then(|| Rc::new(NativeDirectory::new(real.with_file_name(name))) as Rc<dyn Directory>)
    }
}

#[async_trait(?Send)]
impl OutputDirectory for NativeDirectory {
    async fn names(&self) -> Result<Vec<String>> {
        let shown = self.root.display().to_string();
        let entries = match fs::read_dir(&self.root) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|e| io_error(&shown, &e))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry.map_err(|e| io_error(&shown, &e))?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    async fn create(&self, name: &str) -> Result<Box<dyn FileWriter>> {
        let path = self.join(name)?;
        let (parent, file_name) = parent_and_name(&path);
        make_directory(&parent)?;
        let partial = parent.join(format!(".{file_name}.partial"));
        let fault = |e: std::io::Error| io_error(&partial.display().to_string(), &e);
        // Remove the leftover of a killed writer instead of opening it: it could be a link.
        match fs::remove_file(&partial) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(fault(e)),
            _ => {}
        }
        let file = File::create_new(&partial).map_err(fault)?;
        Ok(Box::new(NativeWriter::new(file, partial, path)))
    }

    async fn append(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.join(name)?;
        let shown = path.display().to_string();
        make_directory(&parent_and_name(&path).0)?;
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(|e| io_error(&shown, &e))?;
        file.write_all(bytes).map_err(|e| io_error(&shown, &e))
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.join(from)?, self.join(to)?);
        if fs::symlink_metadata(&to).is_ok() {
            return Err(Error::file(to.display().to_string(), "this name exists already").because(Cause::AlreadyExists));
        }
        make_directory(&parent_and_name(&to).0)?;
        fs::rename(&from, &to).map_err(|e| io_error(&from.display().to_string(), &e))
    }

    async fn remove(&self, name: &str) -> Result<()> {
        let path = self.join(name)?;
        let result = match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(e) => Err(e),
        };
        match result {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(io_error(&path.display().to_string(), &e)),
            _ => Ok(()),
        }
    }

    async fn lock(&self, name: &str) -> Result<Option<Box<dyn Any>>> {
        let path = self.join(name)?;
        make_directory(&parent_and_name(&path).0)?;
        Ok(FileLock::acquire(path)?.map(|lock| Box::new(lock) as Box<dyn Any>))
    }

    async fn is_locked(&self, name: &str) -> Result<bool> {
        let path = self.join(name)?;
        match File::open(&path) {
            Ok(file) => Ok(matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock))),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(io_error(&path.display().to_string(), &e)),
        }
    }

    async fn sync(&self) -> Result<()> {
        sync_directory(&self.root)
    }

    fn subdirectory(&self, name: &str) -> Box<dyn OutputDirectory> {
        Box::new(NativeDirectory { root: self.root.join(name) })
    }
}

/// Flushes a directory's entries, so that a rename in it survives a power cut. Systems that cannot do this are no error.
fn sync_directory(path: &Path) -> Result<()> {
    if let Ok(dir) = File::open(path) {
        let _ = dir.sync_all();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(path).expect("it lists").flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_that_cannot_get_its_name_leaves_nothing() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let dir = NativeDirectory::new(place.path());
        // A non-empty directory of that name makes the rename fail.
        fs::create_dir_all(place.path().join("model.safetensors/inner")).expect("it can be made");
        let written = block_on(super::super::write_file(&dir, "model.safetensors", b"weights"));
        assert!(written.is_err());
        assert_eq!(names(place.path()), ["model.safetensors"]);
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_through_a_link() {
        let place = tempfile::tempdir().expect("a temporary directory");
        fs::write(place.path().join("thesis.tex"), "years of work").expect("it can be written");
        std::os::unix::fs::symlink("thesis.tex", place.path().join(".config.json.partial")).expect("it can be made");
        let dir = NativeDirectory::new(place.path());
        assert_eq!(block_on(super::super::write_file(&dir, "config.json", b"{}")), Ok(()));
        assert_eq!(fs::read(place.path().join("thesis.tex")).expect("it is there"), b"years of work");
        assert_eq!(names(place.path()), ["config.json", "thesis.tex"]);
    }
}
