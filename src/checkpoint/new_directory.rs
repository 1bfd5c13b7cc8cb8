//! A directory that is published atomically: it is written under a temporary name and renamed when it is complete.

use std::any::Any;

use crate::error::{Cause, Error, Result};
use crate::platform::OutputDirectory;

/// A new directory that is being written. Where the platform has locks, no other directory of the same name can be started meanwhile.
///
/// An interrupted command leaves its unfinished directory; the next command that writes the same name removes it
/// ([`NewDirectory::cleared`]).
pub struct NewDirectory<'a> {
    parent: &'a dyn OutputDirectory,
    name: String,
    cleared: bool,
    replaces: bool,
    _lock: Option<Box<dyn Any>>,
}

/// The end of the temporary name of a directory that is being replaced.
const REPLACED: &str = ".replaced.partial";

impl<'a> NewDirectory<'a> {
    /// Starts the directory `name` in `parent`. An empty directory of that name is replaced.
    ///
    /// # Errors
    /// [`Error::File`] with [`Cause::AlreadyExists`] when the name is taken, with [`Cause::InUse`] when another command is writing
    /// it; otherwise as [`OutputDirectory::remove`].
    pub async fn begin(parent: &'a dyn OutputDirectory, name: &str) -> Result<NewDirectory<'a>> {
        let shown = || format!("{}/{name}", parent.label());
        if !is_empty(parent, name).await? {
            let reason = "exists already and is not empty; name another directory for the result";
            return Err(Error::file(shown(), reason).because(Cause::AlreadyExists));
        }
        let Some(lock) = parent.lock(&format!(".{name}.lock")).await? else {
            let reason = "another command is writing this directory; wait for it, or name another directory for the result";
            return Err(Error::file(shown(), reason).because(Cause::InUse));
        };
        let mut new = NewDirectory { parent, name: name.to_string(), cleared: false, replaces: false, _lock: Some(lock) };
        new.cleared = !is_empty(parent, &new.partial()).await?;
        parent.remove(&new.partial()).await?;
        Ok(new)
    }

    /// Starts a directory that replaces one of the same name when it is complete. The caller holds a lock on `parent`: no other process
    /// writes there.
    ///
    /// # Errors
    /// As [`OutputDirectory::remove`].
    pub async fn replacing(parent: &'a dyn OutputDirectory, name: &str) -> Result<NewDirectory<'a>> {
        let new = NewDirectory { parent, name: name.to_string(), cleared: false, replaces: true, _lock: None };
        parent.remove(&new.partial()).await?;
        Ok(new)
    }

    /// Renames the directories back that an interrupted command had moved aside to replace them. `marker` is the file that makes such a
    /// directory complete.
    ///
    /// # Errors
    /// As [`OutputDirectory::rename`].
    pub async fn restore_replaced(parent: &dyn OutputDirectory, marker: &str) -> Result<()> {
        let entries = parent.list().await?;
        for entry in &entries {
            let Some((aside, file)) = entry.name.split_once('/') else { continue };
            let Some(name) = aside.strip_prefix('.').and_then(|name| name.strip_suffix(REPLACED)) else { continue };
            if file == marker && !entries.iter().any(|e| e.name == format!("{name}/{marker}")) {
                parent.remove(name).await?;
                parent.rename(aside, name).await?;
            }
        }
        Ok(())
    }

    fn partial(&self) -> String {
        format!(".{}.partial", self.name)
    }

    /// The temporary directory to write to.
    pub fn directory(&self) -> Box<dyn OutputDirectory> {
        self.parent.subdirectory(&self.partial())
    }

    /// A sentence for the user when the unfinished directory of an interrupted command was removed.
    pub fn cleared(&self) -> Option<String> {
        self.cleared.then(|| format!("removed {}/{}, which an interrupted command left", self.parent.label(), self.partial()))
    }

    /// Publishes the directory under its name, or removes it if writing failed.
    ///
    /// # Errors
    /// The error in `written`; [`Error::File`] when the name was taken meanwhile; the written files are removed in that case.
    pub async fn complete<T>(self, written: Result<T>) -> Result<T> {
        let outcome = match written {
            Ok(value) => self.rename().await.map(|()| value),
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            // The error from writing is the one to report.
            let _ = self.parent.remove(&self.partial()).await;
        }
        outcome
    }

    async fn rename(&self) -> Result<()> {
        self.directory().sync().await?;
        let aside = format!(".{}{REPLACED}", self.name);
        // The rename does not replace anything, so an empty directory must be removed first.
        if is_empty(self.parent, &self.name).await? {
            self.parent.remove(&self.name).await?;
        } else if self.replaces {
            self.parent.remove(&aside).await?;
            self.parent.rename(&self.name, &aside).await?;
        }
        self.parent.rename(&self.partial(), &self.name).await?;
        self.parent.sync().await?;
        if self.replaces {
            self.parent.remove(&aside).await?;
        }
        Ok(())
    }
}

/// Whether this name does not exist or is an empty directory.
async fn is_empty(parent: &dyn OutputDirectory, name: &str) -> Result<bool> {
    if parent.size(name).await?.is_some() {
        return Ok(false);
    }
    match parent.subdirectory(name).list().await {
        Ok(entries) => Ok(entries.is_empty()),
        Err(error) if error.cause() == Cause::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}
