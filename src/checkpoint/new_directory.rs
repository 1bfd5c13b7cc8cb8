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
    _lock: Box<dyn Any>,
}

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
        let mut new = NewDirectory { parent, name: name.to_string(), cleared: false, _lock: lock };
        new.cleared = !is_empty(parent, &new.partial()).await?;
        parent.remove(&new.partial()).await?;
        Ok(new)
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
        // The rename does not replace anything, so an empty directory must be removed first.
        if is_empty(self.parent, &self.name).await? {
            self.parent.remove(&self.name).await?;
        }
        self.parent.rename(&self.partial(), &self.name).await?;
        self.parent.sync().await
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
