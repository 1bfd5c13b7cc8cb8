//! A view of a sub-directory as a directory.

use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;

use crate::error::Result;
use crate::platform::{Directory, Entry};

/// The content of `name` in another directory.
pub(super) struct Subdirectory {
    pub(super) parent: Rc<dyn Directory>,
    pub(super) name: String,
}

impl Subdirectory {
    fn join(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }
}

#[async_trait(?Send)]
impl Directory for Subdirectory {
    fn label(&self) -> String {
        format!("{}/{}", self.parent.label(), self.name)
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        let beginning = format!("{}/", self.name);
        let entries = self.parent.list().await?;
        let below = |entry: Entry| Some(Entry { name: entry.name.strip_prefix(&beginning)?.to_string(), size: entry.size });
        Ok(entries.into_iter().filter_map(below).collect())
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        self.parent.size(&self.join(name)).await
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        self.parent.read_range(&self.join(name), range).await
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        self.parent.read(&self.join(name)).await
    }
}
