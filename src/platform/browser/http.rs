//! Files served over HTTP, read by range requests: the page's own assets, and models that the user names.

use std::ops::Range;

use async_trait::async_trait;
use js_sys::{ArrayBuffer, Promise, Uint8Array};
use serde::Deserialize;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Request, RequestInit, Response, WorkerGlobalScope};

use super::wait;
use crate::error::{Cause, Error, Result};
use crate::platform::{Directory, Entry};

const HUB: &str = "https://huggingface.co";

/// Usual file names of a model, requested one by one from a server that provides no listing.
const USUAL: [&str; 13] = [
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "adapter_config.json",
    "adapter_model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
];

/// Attempts per chunk before the read fails.
const ATTEMPTS: usize = 3;

/// A folder at an address.
#[derive(Debug, Clone)]
pub struct HttpDirectory {
    /// The address, with a trailing slash.
    base: String,
    label: String,
    entries: Vec<Entry>,
}

/// A file in the hub's listing, or in a `files.json`.
#[derive(Deserialize)]
struct Listed {
    #[serde(alias = "path")]
    name: String,
    #[serde(default)]
    size: u64,
    #[serde(default, rename = "type")]
    kind: String,
}

async fn fetch(url: &str, method: &str, range: Option<&Range<u64>>) -> Result<Response> {
    let fault = |_: JsValue| {
        Error::file(url, "this address cannot be reached; check the connection, and whether the server lets other pages read it (CORS)")
    };
    let init = RequestInit::new();
    init.set_method(method);
    let request = Request::new_with_str_and_init(url, &init).map_err(|_| Error::file(url, "this is not an address"))?;
    if let Some(range) = range {
        request.headers().set("Range", &range_header(range)).map_err(fault)?;
    }
    let scope = js_sys::global().dyn_into::<WorkerGlobalScope>().map_err(|_| Error::file(url, "only the worker reads addresses"))?;
    let promise: Promise = scope.fetch_with_request(&request);
    wait(promise).await.map_err(fault)
}

/// The value of a `Range` header; an open range extends to the end of the file.
fn range_header(range: &Range<u64>) -> String {
    match range.end {
        u64::MAX => format!("bytes={}-", range.start),
        end => format!("bytes={}-{}", range.start, end - 1),
    }
}

/// The size of a file that is in no listing; `None` if there is no such file.
///
/// If a server compresses a response, its Content-Length is the compressed size. Browsers request ranges uncompressed, so this
/// requests the whole file as a range. If the server compresses nevertheless, or states no length, a small file is read to
/// determine its size.
async fn size_of(url: &str, name: &str) -> Result<Option<u64>> {
    let response = match fetch(url, "HEAD", Some(&(0..u64::MAX))).await {
        Ok(response) => response,
        // For browsers that send a CORS preflight for the Range header, and hosts that do not answer it.
        Err(_) => fetch(url, "HEAD", None).await?,
    };
    if !response.ok() {
        return Ok(None);
    }
    let header = |name: &str| response.headers().get(name).ok().flatten();
    let length = header("Content-Length").and_then(|text| text.parse().ok());
    match length.filter(|_| header("Content-Encoding").is_none_or(|coding| coding == "identity")) {
        Some(length) => Ok(Some(length)),
        None if name.ends_with(".safetensors") => Err(Error::file(
            url,
            "this server does not say how long the file is, and a model is read in pieces; download it and choose the folder",
        )),
        None => Ok(Some(get(url).await?.len() as u64)),
    }
}

async fn body(url: &str, response: &Response) -> Result<Vec<u8>> {
    let fault = |_: JsValue| Error::file(url, "the connection broke off while it was read; try again");
    let buffer: ArrayBuffer = wait(response.array_buffer().map_err(fault)?).await.map_err(fault)?;
    Ok(Uint8Array::new(&buffer).to_vec())
}

fn refused(url: &str, status: u16) -> Error {
    let reason = match status {
        401 | 403 => "the server does not give it to everyone; on Hugging Face the model is private or asks for its terms to be accepted: \
                      download it yourself and choose the folder"
            .to_string(),
        404 => "there is no such model or file; check the name".to_string(),
        429 => "the server asks to wait; try again in a few minutes".to_string(),
        status => format!("the server answers {status}"),
    };
    Error::file(url, reason)
}

async fn get(url: &str) -> Result<Vec<u8>> {
    let response = fetch(url, "GET", None).await?;
    if !response.ok() {
        return Err(refused(url, response.status()));
    }
    body(url, &response).await
}

impl HttpDirectory {
    /// Opens a folder with a listing in `files.json`: `[{"name", "size"}]`.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be fetched.
    pub async fn listed(base: &str, label: &str) -> Result<HttpDirectory> {
        let list = get(&format!("{base}files.json")).await?;
        Self::from_list(base.to_string(), label.to_string(), &list)
    }

    /// Opens a model on Hugging Face by its id (`owner/name`, optionally with `@revision`), or a folder by its address.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be fetched, with a message for the user.
    pub async fn named(name: &str) -> Result<HttpDirectory> {
        let name = name.trim().trim_end_matches('/');
        if name.starts_with("http://") || name.starts_with("https://") {
            return match name.strip_prefix(HUB).map(|rest| rest.trim_start_matches('/').split('/').collect::<Vec<_>>()) {
                Some(parts) if parts.len() >= 2 => {
                    let revision = if parts.get(2) == Some(&"tree") { parts.get(3).copied() } else { None };
                    Self::hub(&format!("{}/{}", parts[0], parts[1]), revision.unwrap_or("main")).await
                }
                _ => Self::unlisted(name).await,
            };
        }
        let (id, revision) = name.split_once('@').unwrap_or((name, "main"));
        let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if id.split('/').count() != 2 || !id.split('/').all(word) {
            return Err(Error::file(name, "write a model's id on Hugging Face, owner/name, or the address of a folder, https://…"));
        }
        Self::hub(id, revision).await
    }

    async fn hub(id: &str, revision: &str) -> Result<HttpDirectory> {
        let url = format!("{HUB}/api/models/{id}/tree/{revision}?recursive=true");
        let list = get(&url).await.map_err(|error| error.renamed(|_| id.to_string()))?;
        Self::from_list(format!("{HUB}/{id}/resolve/{revision}/"), id.to_string(), &list)
    }

    fn from_list(base: String, label: String, list: &[u8]) -> Result<HttpDirectory> {
        let list: Vec<Listed> =
            serde_json::from_slice(list).map_err(|e| Error::file(&label, format!("the list of its files cannot be read: {e}")))?;
        let files = list.into_iter().filter(|file| file.kind != "directory");
        let mut entries: Vec<Entry> = files.map(|file| Entry { name: file.name, size: file.size }).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(HttpDirectory { base, label, entries })
    }

    /// Opens a folder without a listing: tries the usual names, and the shards named in an index.
    async fn unlisted(address: &str) -> Result<HttpDirectory> {
        let base = format!("{address}/");
        let mut names: Vec<String> = USUAL.iter().map(|name| (*name).to_string()).collect();
        let index = format!("{base}model.safetensors.index.json");
        if let Ok(bytes) = get(&index).await
            && let Ok(json) = serde_json::from_slice::<serde_json::Value>(&bytes)
            && let Some(map) = json["weight_map"].as_object()
        {
            names.extend(map.values().filter_map(|file| file.as_str().map(str::to_string)));
            names.sort();
            names.dedup();
        }
        let mut entries = Vec::new();
        for name in names {
            if let Some(size) = size_of(&format!("{base}{name}"), &name).await? {
                entries.push(Entry { name, size });
            }
        }
        if entries.is_empty() {
            return Err(Error::file(address, "there is no config.json and no model.safetensors at this address"));
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(HttpDirectory { base, label: address.to_string(), entries })
    }
}

#[async_trait(?Send)]
impl Directory for HttpDirectory {
    fn label(&self) -> String {
        self.label.clone()
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        Ok(self.entries.clone())
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.entries.iter().find(|entry| entry.name == name).map(|entry| entry.size))
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let size = self
            .size(name)
            .await?
            .ok_or_else(|| Error::file(format!("{}/{name}", self.label), "there is no such file").because(Cause::NotFound))?;
        if range.start > range.end || range.end > size {
            return Err(Error::file(
                format!("{}/{name}", self.label),
                format!("the file ends at byte {size}, bytes {} to {} were wanted", range.start, range.end),
            ));
        }
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let url = format!("{}{name}", self.base);
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match read_once(&url, &range, size).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::file(url, "it cannot be read")))
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        let size = self.size(name).await?.unwrap_or(0);
        self.read_range(name, 0..size).await
    }
}

async fn read_once(url: &str, range: &Range<u64>, size: u64) -> Result<Vec<u8>> {
    let whole = *range == (0..size);
    let response = fetch(url, "GET", (!whole).then_some(range)).await?;
    if !response.ok() {
        return Err(refused(url, response.status()));
    }
    if !whole && response.status() != 206 {
        return Err(Error::file(
            url,
            "this server gives whole files only, and a model is read in pieces; download it and choose the folder",
        ));
    }
    let bytes = body(url, &response).await?;
    if bytes.len() as u64 != range.end - range.start {
        return Err(Error::file(url, format!("{} bytes came, {} were wanted", bytes.len(), range.end - range.start)));
    }
    Ok(bytes)
}
