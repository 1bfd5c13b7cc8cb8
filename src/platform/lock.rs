//! Locks between processes that write to the same place: a lock file, locked while its holder works and removed afterwards.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The lock file of a directory that a run writes to.
const LOCK_FILE: &str = ".rootstock.lock";

/// Attempts to open a lock file that its holder keeps removing in the meantime.
const ATTEMPTS: usize = 100;

/// Exclusive access to a directory; released on drop.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: FileLock,
}

impl DirectoryLock {
    /// Locks an existing directory; `None` if another program holds the lock. On file systems without locks it always succeeds.
    ///
    /// # Errors
    /// [`Error::File`] when the lock file cannot be created, or is a link.
    pub fn acquire(directory: &Path) -> Result<Option<DirectoryLock>> {
        Ok(FileLock::acquire(directory.join(LOCK_FILE))?.map(|lock| DirectoryLock { _file: lock }))
    }
}

/// A lock file that is held.
#[derive(Debug)]
pub(super) struct FileLock {
    file: File,
    path: PathBuf,
}

impl FileLock {
    /// Creates the file if it is missing and locks it; its directory must exist. Otherwise like [`DirectoryLock::acquire`].
    pub(super) fn acquire(path: PathBuf) -> Result<Option<FileLock>> {
        let shown = path.display().to_string();
        for _ in 0..ATTEMPTS {
            let file = match open(&path) {
                Ok(file) => file,
                Err(e) if e.kind() == ErrorKind::NotFound && path.parent().is_some_and(Path::is_dir) => continue, // removed in between
                Err(e) if e.kind() == ErrorKind::InvalidInput => return Err(Error::file(shown, "this is a link; remove it")),
                Err(e) => return Err(Error::file(shown, format!("nothing can be written here: {e}"))),
            };
            if let Err(TryLockError::WouldBlock) = file.try_lock() {
                return Ok(None);
            }
            let lock = FileLock { file, path: path.clone() };
            // Another program may have removed the file after it was opened here; a third one would then lock a new file of that name.
            if lock.is_in_place() {
                return Ok(Some(lock));
            }
        }
        Ok(None)
    }

    /// Whether the locked file is still the one at its path.
    fn is_in_place(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let place = |meta: fs::Metadata| (meta.dev(), meta.ino());
            match (self.file.metadata(), fs::symlink_metadata(&self.path)) {
                (Ok(held), Ok(named)) => place(held) == place(named),
                _ => false,
            }
        }
        #[cfg(not(unix))]
        {
            self.path.exists()
        }
    }
}

/// Opens the lock file without following links and without changing its content.
fn open(path: &Path) -> io::Result<File> {
    match File::create_new(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        other => return other,
    }
    if fs::symlink_metadata(path)?.is_symlink() {
        return Err(ErrorKind::InvalidInput.into());
    }
    OpenOptions::new().read(true).write(true).open(path)
}

impl Drop for FileLock {
    /// Removes the file while it is still locked, so that no other program's lock file is removed.
    fn drop(&mut self) {
        if self.is_in_place() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_link_is_neither_followed_nor_emptied() {
        let place = tempfile::tempdir().expect("a temporary directory");
        fs::write(place.path().join("thesis.tex"), "years of work").expect("it can be written");
        std::os::unix::fs::symlink("thesis.tex", place.path().join(LOCK_FILE)).expect("it can be made");
        let sentence = DirectoryLock::acquire(place.path()).expect_err("it is a link").to_string();
        assert!(sentence.contains("this is a link"), "{sentence}");
        assert_eq!(fs::read(place.path().join("thesis.tex")).expect("it is there"), b"years of work");
    }

    #[test]
    fn a_lock_file_that_stayed_behind_is_taken_over_and_removed() {
        let place = tempfile::tempdir().expect("a temporary directory");
        fs::write(place.path().join(LOCK_FILE), "of a killed run").expect("it can be written");
        let lock = DirectoryLock::acquire(place.path()).expect("it can be locked").expect("nobody holds it");
        assert!(DirectoryLock::acquire(place.path()).expect("it can be opened").is_none());
        assert_eq!(fs::read(place.path().join(LOCK_FILE)).expect("it is there"), b"of a killed run");
        drop(lock);
        assert!(!place.path().join(LOCK_FILE).exists());
    }

    /// Removing the file while another program waits for it must not let two in.
    #[test]
    fn only_one_holds_it_however_often_it_is_removed() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        if let Some(lock) = DirectoryLock::acquire(place.path()).expect("it can be opened") {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                            std::thread::yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                            drop(lock);
                        }
                    }
                });
            }
        });
    }
}
