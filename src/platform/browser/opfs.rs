//! The origin private file system (OPFS), where runs are stored.
//!
//! A file is written under a temporary name beside its final one through a synchronous handle, flushed, and moved. Folders cannot be
//! moved atomically here, so a move is first recorded ([`JOURNAL`]); [`OutputDirectory::recover`] completes one that a closed tab
//! left unfinished.

use std::any::Any;
use std::ops::Range;

use async_trait::async_trait;
use js_sys::{Array, IteratorNext, Promise};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{
    File, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions, FileSystemGetFileOptions, FileSystemHandle,
    FileSystemHandleKind, FileSystemReadWriteOptions, FileSystemRemoveOptions, FileSystemSyncAccessHandle, StorageEstimate, StorageManager,
    WorkerGlobalScope,
};

use super::files::read_blob;
use super::{file_error, locks, name_of, wait};
use crate::error::{Cause, Error, Result};
use crate::platform::{Directory, Entry, FileWriter, OutputDirectory, StorageState};

/// The journal file of a rename in progress: `{"from", "to"}`.
const JOURNAL: &str = ".rename.json";

#[wasm_bindgen]
extern "C" {
    /// Binding of `move`, which all browsers with synchronous handles have, but web-sys lacks.
    #[wasm_bindgen(extends = FileSystemFileHandle)]
    type MovableFile;

    #[wasm_bindgen(method, js_name = "move")]
    fn move_to(this: &MovableFile, folder: &FileSystemDirectoryHandle, name: &str) -> Promise;
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Journal {
    from: String,
    to: String,
}

/// A folder of the origin private file system.
#[derive(Debug, Clone)]
pub struct OpfsDirectory {
    root: FileSystemDirectoryHandle,
    /// Path from the root, with a trailing slash unless it is empty.
    prefix: String,
    label: String,
}

/// The origin's storage; `None` where browsers leave it out, as they do on an address that is not secure.
fn manager() -> Option<StorageManager> {
    let manager = js_sys::global().dyn_into::<WorkerGlobalScope>().ok()?.navigator().storage();
    (!manager.is_undefined()).then_some(manager)
}

/// The origin's storage usage and quota; with `ask`, first asks the browser not to evict its data when space gets short.
pub(in crate::platform) async fn storage(ask: bool) -> StorageState {
    let Some(manager) = manager() else { return StorageState::default() };
    if ask && let Ok(promise) = manager.persist() {
        let _ = wait::<JsValue>(promise).await;
    }
    let estimate: Option<StorageEstimate> = match manager.estimate() {
        Ok(promise) => wait(promise).await.ok(),
        Err(_) => None,
    };
    let persistent = match manager.persisted() {
        Ok(promise) => wait::<JsValue>(promise).await.is_ok_and(|yes| yes.is_truthy()),
        Err(_) => false,
    };
    let bytes = |number: Option<f64>| number.map(|n| n as u64);
    StorageState {
        usage: estimate.as_ref().and_then(|e| bytes(e.get_usage())),
        quota: estimate.as_ref().and_then(|e| bytes(e.get_quota())),
        persistent,
    }
}

impl OpfsDirectory {
    /// Opens the root.
    ///
    /// # Errors
    /// [`Error::File`] where the browser offers no file storage (some private windows).
    pub async fn open() -> Result<OpfsDirectory> {
        let missing = || "this browser's storage".to_string();
        let Some(manager) = manager() else {
            return Err(Error::file(missing(), "it is offered only over https, or on the machine itself"));
        };
        let root = wait(manager.get_directory()).await.map_err(|e| file_error(missing(), &e))?;
        Ok(OpfsDirectory { root, prefix: String::new(), label: missing() })
    }

    fn shown(&self, name: &str) -> String {
        format!("{}/{name}", self.label)
    }

    /// The folder at a path from the root; `None` if it is missing and `create` is false.
    async fn folder(&self, path: &str, create: bool) -> Result<Option<FileSystemDirectoryHandle>> {
        let options = FileSystemGetDirectoryOptions::new();
        options.set_create(create);
        let mut folder = self.root.clone();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            folder = match wait(folder.get_directory_handle_with_options(part, &options)).await {
                Ok(inner) => inner,
                Err(fault) if matches!(name_of(&fault).as_str(), "NotFoundError" | "TypeMismatchError") && !create => return Ok(None),
                Err(fault) => return Err(file_error(format!("{}/{path}", self.label), &fault)),
            };
        }
        Ok(Some(folder))
    }

    /// Splits a name into its folder's handle and the last path component.
    async fn place(&self, name: &str, create: bool) -> Result<Option<(FileSystemDirectoryHandle, String)>> {
        if name.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return Err(Error::file(name, format!("this name points outside {}", self.label)).because(Cause::OutsideDirectory));
        }
        let path = format!("{}{name}", self.prefix);
        let (parent, last) = path.rsplit_once('/').unwrap_or(("", &path));
        Ok(self.folder(parent, create).await?.map(|folder| (folder, last.to_string())))
    }

    async fn file(&self, name: &str) -> Result<Option<File>> {
        let Some((folder, last)) = self.place(name, false).await? else { return Ok(None) };
        let handle: FileSystemFileHandle = match wait(folder.get_file_handle(&last)).await {
            Ok(handle) => handle,
            Err(fault) if matches!(name_of(&fault).as_str(), "NotFoundError" | "TypeMismatchError") => return Ok(None),
            Err(fault) => return Err(file_error(self.shown(name), &fault)),
        };
        wait(handle.get_file()).await.map(Some).map_err(|e| file_error(self.shown(name), &e))
    }

    /// The name of a lock, with a prefix because other pages of the origin share the namespace.
    fn lock_name(&self, name: &str) -> String {
        format!("rootstock/{}{name}", self.prefix)
    }

    async fn move_folder(&self, from: &str, to: &str) -> Result<()> {
        let Some(source) = self.folder(&format!("{}{from}", self.prefix), false).await? else { return Ok(()) };
        let Some(target) = self.folder(&format!("{}{to}", self.prefix), true).await? else { return Ok(()) };
        move_all(&source, &target).await.map_err(|e| file_error(self.shown(from), &e))?;
        self.remove(from).await
    }
}

/// The entries of a folder.
async fn entries(folder: &FileSystemDirectoryHandle) -> Result<Vec<(String, FileSystemHandle)>, JsValue> {
    let iterator = folder.entries();
    let mut found = Vec::new();
    loop {
        let next: IteratorNext = wait(iterator.next()?).await?;
        if next.done() {
            return Ok(found);
        }
        let pair: Array = next.value().unchecked_into();
        found.push((pair.get(0).as_string().unwrap_or_default(), pair.get(1).unchecked_into()));
    }
}

async fn move_all(source: &FileSystemDirectoryHandle, target: &FileSystemDirectoryHandle) -> Result<(), JsValue> {
    let options = FileSystemGetDirectoryOptions::new();
    options.set_create(true);
    for (name, handle) in entries(source).await? {
        if handle.kind() == FileSystemHandleKind::File {
            wait::<JsValue>(handle.unchecked_into::<MovableFile>().move_to(target, &name)).await?;
        } else {
            let inner = wait(target.get_directory_handle_with_options(&name, &options)).await?;
            Box::pin(move_all(&handle.unchecked_into(), &inner)).await?;
        }
    }
    Ok(())
}

/// Lists what a folder holds. What another tab or session removes or renames meanwhile is left out.
async fn walk(folder: &FileSystemDirectoryHandle, prefix: &str, found: &mut Vec<Entry>) -> Result<(), JsValue> {
    for (name, handle) in entries(folder).await? {
        let walked = if handle.kind() == FileSystemHandleKind::File {
            wait(handle.unchecked_into::<FileSystemFileHandle>().get_file())
                .await
                .map(|file: File| found.push(Entry { name: format!("{prefix}{name}"), size: file.size() as u64 }))
        } else {
            Box::pin(walk(&handle.unchecked_into(), &format!("{prefix}{name}/"), found)).await
        };
        match walked {
            Err(fault) if name_of(&fault) != "NotFoundError" => return Err(fault),
            _ => {}
        }
    }
    Ok(())
}

/// Opens a handle for writing; creates the file if it is missing.
async fn open_for_writing(folder: &FileSystemDirectoryHandle, name: &str) -> Result<(MovableFile, FileSystemSyncAccessHandle), JsValue> {
    let options = FileSystemGetFileOptions::new();
    options.set_create(true);
    let file: FileSystemFileHandle = wait(folder.get_file_handle_with_options(name, &options)).await?;
    let handle = wait(file.create_sync_access_handle()).await?;
    Ok((file.unchecked_into(), handle))
}

/// Writes all bytes at an offset.
fn write_at(handle: &FileSystemSyncAccessHandle, bytes: &[u8], at: f64) -> Result<(), JsValue> {
    let options = FileSystemReadWriteOptions::new();
    options.set_at(at);
    let written = handle.write_with_u8_array_and_options(bytes, &options)?;
    if written < bytes.len() as f64 {
        // A browser without free space may write fewer bytes instead of failing.
        return Err(js_sys::Object::from(web_sys::DomException::new_with_message_and_name("", "QuotaExceededError")?).into());
    }
    Ok(())
}

#[async_trait(?Send)]
impl Directory for OpfsDirectory {
    fn label(&self) -> String {
        self.label.clone()
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        let Some(folder) = self.folder(&self.prefix, false).await? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        walk(&folder, "", &mut found).await.map_err(|e| file_error(self.label.clone(), &e))?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.file(name).await?.map(|file| file.size() as u64))
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let shown = || self.shown(name);
        let file = self.file(name).await?.ok_or_else(|| Error::file(shown(), "there is no such file").because(Cause::NotFound))?;
        read_blob(&file, range, shown).await
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        let shown = || self.shown(name);
        let file = self.file(name).await?.ok_or_else(|| Error::file(shown(), "there is no such file").because(Cause::NotFound))?;
        read_blob(&file, 0..file.size() as u64, shown).await
    }
}

#[async_trait(?Send)]
impl OutputDirectory for OpfsDirectory {
    async fn create(&self, name: &str) -> Result<Box<dyn FileWriter>> {
        let shown = self.shown(name);
        let Some((folder, last)) = self.place(name, true).await? else { return Err(Error::file(shown, "its folder cannot be made")) };
        let partial = format!(".{last}.partial");
        let (file, handle) = open_for_writing(&folder, &partial).await.map_err(|e| file_error(shown.clone(), &e))?;
        handle.truncate_with_f64(0.0).map_err(|e| file_error(shown.clone(), &e))?;
        Ok(Box::new(OpfsWriter { folder, file, handle: Some(handle), partial, last, shown, at: 0.0 }))
    }

    async fn append(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let fault = |e: JsValue| file_error(self.shown(name), &e);
        let Some((folder, last)) = self.place(name, true).await? else { return Ok(()) };
        let (_, handle) = open_for_writing(&folder, &last).await.map_err(fault)?;
        let written = handle.get_size().and_then(|size| write_at(&handle, bytes, size)).and_then(|()| handle.flush());
        handle.close();
        written.map_err(fault)
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let fault = |e: JsValue| file_error(self.shown(from), &e);
        let exists = self.size(to).await?.is_some() || self.folder(&format!("{}{to}", self.prefix), false).await?.is_some();
        if exists {
            return Err(Error::file(self.shown(to), "this name exists already").because(Cause::AlreadyExists));
        }
        if self.size(from).await?.is_some() {
            let (Some((folder, last)), Some((target, name))) = (self.place(from, false).await?, self.place(to, true).await?) else {
                return Err(Error::file(self.shown(from), "there is no such file").because(Cause::NotFound));
            };
            let file: MovableFile = wait(folder.get_file_handle(&last)).await.map_err(fault)?;
            return wait::<JsValue>(file.move_to(&target, &name)).await.map(|_| ()).map_err(fault);
        }
        if self.folder(&format!("{}{from}", self.prefix), false).await?.is_none() {
            return Err(Error::file(self.shown(from), "there is no such file").because(Cause::NotFound));
        }
        let journal = Journal { from: from.to_string(), to: to.to_string() };
        crate::platform::write_json(self, JOURNAL, &journal).await?;
        self.recover().await
    }

    async fn is_interrupted(&self) -> Result<bool> {
        Ok(self.size(JOURNAL).await?.is_some())
    }

    async fn recover(&self) -> Result<()> {
        if self.size(JOURNAL).await?.is_none() {
            return Ok(());
        }
        if let Ok(Journal { from, to }) = serde_json::from_slice(&self.read(JOURNAL).await?) {
            self.move_folder(&from, &to).await?;
        }
        self.remove(JOURNAL).await
    }

    async fn remove(&self, name: &str) -> Result<()> {
        let Some((folder, last)) = self.place(name, false).await? else { return Ok(()) };
        let options = FileSystemRemoveOptions::new();
        options.set_recursive(true);
        match wait::<JsValue>(folder.remove_entry_with_options(&last, &options)).await {
            Err(fault) if name_of(&fault) != "NotFoundError" => Err(file_error(self.shown(name), &fault)),
            _ => Ok(()),
        }
    }

    async fn lock(&self, name: &str) -> Result<Option<Box<dyn Any>>> {
        Ok(locks::try_hold(&self.lock_name(name)).await?.map(|held| Box::new(held) as Box<dyn Any>))
    }

    async fn is_locked(&self, name: &str) -> Result<bool> {
        locks::is_held(&self.lock_name(name)).await
    }

    async fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn subdirectory(&self, name: &str) -> Box<dyn OutputDirectory> {
        Box::new(OpfsDirectory {
            root: self.root.clone(),
            prefix: format!("{}{name}/", self.prefix),
            label: if self.prefix.is_empty() { name.to_string() } else { format!("{}/{name}", self.label) },
        })
    }
}

struct OpfsWriter {
    folder: FileSystemDirectoryHandle,
    file: MovableFile,
    handle: Option<FileSystemSyncAccessHandle>,
    partial: String,
    last: String,
    shown: String,
    at: f64,
}

#[async_trait(?Send)]
impl FileWriter for OpfsWriter {
    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(handle) = &self.handle {
            write_at(handle, bytes, self.at).map_err(|e| file_error(self.shown.clone(), &e))?;
            self.at += bytes.len() as f64;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        let fault = |e: JsValue| file_error(self.shown.clone(), &e);
        if let Some(handle) = &self.handle {
            handle.flush().map_err(fault)?;
            handle.close();
        }
        wait::<JsValue>(self.file.move_to(&self.folder, &self.last)).await.map_err(fault)?;
        self.handle = None;
        Ok(())
    }
}

impl Drop for OpfsWriter {
    /// An abandoned writer (after an error or a full quota) leaves no file behind.
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.close();
            let (folder, partial) = (self.folder.clone(), self.partial.clone());
            spawn_local(async move {
                let _ = wait::<JsValue>(folder.remove_entry(&partial)).await;
            });
        }
    }
}
