//! A store as a browser has it: everything in it takes time, a folder is renamed in two steps, and it can fail.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::ops::Range;
use std::rc::Rc;
use std::task::Poll;

use async_trait::async_trait;
use rootstock::platform::{Directory, Entry, FileWriter, MemoryDirectory, OutputDirectory, write_file};
use rootstock::{Error, Result};

const JOURNAL: &str = ".rename.json";

/// What happens to all folders of a store.
#[derive(Default)]
pub(super) struct Events {
    /// Called between the two steps of a rename.
    pub(super) renaming: RefCell<Option<Box<dyn Fn()>>>,
    /// Nothing can be listed.
    pub(super) broken: Cell<bool>,
}

/// A folder of the store.
pub(super) struct SlowStore {
    inner: Box<dyn OutputDirectory>,
    events: Rc<Events>,
}

impl SlowStore {
    pub(super) fn over(store: &MemoryDirectory, events: Rc<Events>) -> SlowStore {
        SlowStore { inner: Box::new(store.clone()), events }
    }
}

/// Lets others go first, once.
async fn a_moment() {
    let mut waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[async_trait(?Send)]
impl Directory for SlowStore {
    fn label(&self) -> String {
        self.inner.label()
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        a_moment().await;
        if self.events.broken.get() {
            return Err(Error::file(self.label(), "the store is broken"));
        }
        self.inner.list().await
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        self.inner.size(name).await
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        a_moment().await;
        self.inner.read_range(name, range).await
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        a_moment().await;
        self.inner.read(name).await
    }
}

#[async_trait(?Send)]
impl OutputDirectory for SlowStore {
    async fn create(&self, name: &str) -> Result<Box<dyn FileWriter>> {
        a_moment().await;
        self.inner.create(name).await
    }

    async fn append(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.inner.append(name, bytes).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        write_file(&*self.inner, JOURNAL, format!("{from}\n{to}").as_bytes()).await?;
        if let Some(renaming) = self.events.renaming.borrow().as_ref() {
            renaming();
        }
        self.inner.rename(from, to).await?;
        self.inner.remove(JOURNAL).await
    }

    async fn is_interrupted(&self) -> Result<bool> {
        Ok(self.inner.size(JOURNAL).await?.is_some())
    }

    async fn recover(&self) -> Result<()> {
        if !self.is_interrupted().await? {
            return Ok(());
        }
        let journal = String::from_utf8(self.inner.read(JOURNAL).await?).expect("the rename wrote it");
        let (from, to) = journal.split_once('\n').expect("of two lines");
        self.inner.rename(from, to).await?;
        self.inner.remove(JOURNAL).await
    }

    async fn remove(&self, name: &str) -> Result<()> {
        self.inner.remove(name).await
    }

    async fn lock(&self, name: &str) -> Result<Option<Box<dyn Any>>> {
        self.inner.lock(name).await
    }

    async fn is_locked(&self, name: &str) -> Result<bool> {
        self.inner.is_locked(name).await
    }

    async fn sync(&self) -> Result<()> {
        self.inner.sync().await
    }

    fn subdirectory(&self, name: &str) -> Box<dyn OutputDirectory> {
        Box::new(SlowStore { inner: self.inner.subdirectory(name), events: self.events.clone() })
    }
}

/// A folder that was given, in which every piece takes time.
pub(super) struct SlowFolder(pub(super) Rc<dyn Directory>);

#[async_trait(?Send)]
impl Directory for SlowFolder {
    fn label(&self) -> String {
        self.0.label()
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        self.0.list().await
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        self.0.size(name).await
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        a_moment().await;
        self.0.read_range(name, range).await
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        a_moment().await;
        self.0.read(name).await
    }
}
