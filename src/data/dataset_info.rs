//! Datasets by path, or by name through LLaMA-Factory's `dataset_info.json`.

use serde_json::Value as Json;

use super::formats::{AlpacaColumns, Layout, MessageColumns, Record, read_records};
use crate::error::{Error, Result};
use crate::platform::{Directory, read_small};

/// The registry's file name.
const REGISTRY: &str = "dataset_info.json";

/// Opens a path that the user wrote: the directory it lies in, and its name there.
pub type OpenPath<'a> = dyn Fn(&str) -> Result<(Box<dyn Directory>, String)> + 'a;

/// Reads datasets one after the other. Each is a name in `dataset_dir`'s dataset_info.json, or the path of a file (relative to
/// the working directory, or to `dataset_dir`). Of each, at most `max_samples` records are kept.
///
/// # Errors
/// [`Error::Dataset`] for an unknown name (with the nearest known one) or an entry that cannot be used; see [`read_records`].
pub async fn load_datasets(names: &[String], dataset_dir: &str, max_samples: Option<usize>, open: &OpenPath<'_>) -> Result<Vec<Record>> {
    let registry = read_registry(dataset_dir, open).await?;
    let mut all = Vec::new();
    for name in names {
        let mut records = match registry.get(name.as_str()) {
            Some(entry) => from_entry(name, entry, dataset_dir, open).await?,
            None => from_path(name, &registry, dataset_dir, open).await?,
        };
        records.truncate(max_samples.unwrap_or(usize::MAX));
        all.extend(records);
    }
    Ok(all)
}

async fn read_registry(dataset_dir: &str, open: &OpenPath<'_>) -> Result<Json> {
    let path = join(dataset_dir, REGISTRY);
    // A missing registry is no fault while datasets are given by path; an unknown name tells about it.
    let Ok((dir, name)) = open(&path) else { return Ok(Json::Null) };
    if dir.size(&name).await?.is_none() {
        return Ok(Json::Null);
    }
    let registry: Json = serde_json::from_slice(&read_small(&*dir, &name).await?)
        .map_err(|e| Error::line(&path, e.line(), format!("not valid JSON: {e}")))?;
    if !registry.is_object() {
        return Err(Error::dataset(path, "expected names of datasets with their entries: {\"name\": {\"file_name\": …}, …}"));
    }
    Ok(registry)
}

async fn from_path(name: &str, registry: &Json, dataset_dir: &str, open: &OpenPath<'_>) -> Result<Vec<Record>> {
    let looks_like_path = name.contains(['/', '\\']) || name.rsplit_once('.').is_some_and(|(_, ext)| ext.len() <= 7 && !ext.is_empty());
    if looks_like_path {
        for path in [name.to_string(), join(dataset_dir, name)] {
            if let Ok((dir, file)) = open(&path)
                && dir.size(&file).await?.is_some()
            {
                return read_records(&path, &dir.read(&file).await?, None);
            }
        }
        return Err(Error::dataset(name, format!("there is no such file, nor one in {dataset_dir}")));
    }
    let known: Vec<&str> = registry.as_object().map(|o| o.keys().map(String::as_str).collect()).unwrap_or_default();
    let registry = join(dataset_dir, REGISTRY);
    if known.is_empty() {
        return Err(Error::dataset(
            name,
            format!("this is not a file, and there is no {registry} with that name; give a path such as data/train.jsonl"),
        ));
    }
    let near =
        known.iter().map(|k| (strsim::jaro_winkler(k, name), *k)).max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.8);
    let hint = near.map_or_else(|| format!("known are {}", known.join(", ")), |(_, near)| format!("did you mean {near}?"));
    Err(Error::dataset(name, format!("{registry} has no such name; {hint}")))
}

async fn from_entry(name: &str, entry: &Json, dataset_dir: &str, open: &OpenPath<'_>) -> Result<Vec<Record>> {
    let fault = |reason: &str| Error::dataset(name, format!("{reason} (in {})", join(dataset_dir, REGISTRY)));
    let Some(file_name) = entry["file_name"].as_str() else {
        return Err(fault("this entry has no file_name; datasets are read from files on this machine, nothing is downloaded"));
    };
    if leaves_directory(file_name) {
        return Err(fault(&format!(
            "file_name is {file_name:?}, which leads out of {dataset_dir}; move the file there, or give its path as the recipe's dataset"
        )));
    }
    if entry["ranking"] == true {
        return Err(fault("this is a dataset of preferences (ranking: true); conversations or texts are trained"));
    }
    for column in ["images", "videos", "audios", "tools"] {
        if !entry["columns"][column].is_null() {
            return Err(fault(&format!("the column {column} is not read; only text is trained")));
        }
    }
    let layout = layout_of(entry).map_err(|reason| fault(&reason))?;
    let limit = entry["num_samples"].as_u64().map_or(usize::MAX, |n| n as usize);
    let path = join(dataset_dir, file_name);
    let (dir, file) = open(&path)?;
    let mut records = if dir.size(&file).await?.is_some() {
        read_records(&path, &dir.read(&file).await?, layout.as_ref())?
    } else {
        // LLaMA-Factory also takes a folder of files.
        let mut records = Vec::new();
        for part in dir.list().await?.into_iter().filter(|part| part.name.starts_with(&format!("{file}/"))) {
            let shown = format!("{path}{}", &part.name[file.len()..]);
            records.extend(read_records(&shown, &dir.read(&part.name).await?, layout.as_ref())?);
        }
        if records.is_empty() {
            return Err(fault(&format!("there is no file {path}")));
        }
        records
    };
    records.truncate(limit);
    Ok(records)
}

/// Whether a name in the registry, which may come from a stranger, is none of a file below its directory.
fn leaves_directory(name: &str) -> bool {
    name.starts_with(['/', '\\']) || name.contains(':') || name.split(['/', '\\']).any(|part| part == "..")
}

/// The layout that an entry describes; None leaves it to the file's first record.
fn layout_of(entry: &Json) -> Result<Option<Layout>, String> {
    let columns = &entry["columns"];
    let named = |name: &str| columns[name].as_str().map(str::to_string);
    let formatting = entry["formatting"].as_str().unwrap_or("alpaca");
    match formatting {
        "alpaca" if columns.is_null() => Ok(None), // the default, and what plain files of any form are written with
        // With columns given, those that are not named do not exist.
        "alpaca" => match (named("prompt"), named("response")) {
            (Some(prompt), Some(response)) => Ok(Some(Layout::Alpaca(AlpacaColumns {
                prompt,
                query: named("query"),
                response,
                system: named("system"),
                history: named("history"),
            }))),
            (Some(column), None) => Ok(Some(Layout::Text { column })),
            (None, _) => Err("columns names no prompt".into()),
        },
        "sharegpt" | "openai" => {
            let column = named("messages").unwrap_or_else(|| "conversations".into());
            let defaults = if formatting == "openai" { MessageColumns::openai(&column) } else { MessageColumns::sharegpt(&column) };
            let tag = |name: &str, default: String| entry["tags"][name].as_str().map_or(default, str::to_string);
            Ok(Some(Layout::Messages(MessageColumns {
                system: named("system"),
                role_tag: tag("role_tag", defaults.role_tag),
                content_tag: tag("content_tag", defaults.content_tag),
                user_tag: tag("user_tag", defaults.user_tag),
                assistant_tag: tag("assistant_tag", defaults.assistant_tag),
                system_tag: tag("system_tag", defaults.system_tag),
                messages: column,
            })))
        }
        other => Err(format!("formatting is '{other}', expected alpaca, sharegpt or openai")),
    }
}

fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() || dir == "." { name.to_string() } else { format!("{}/{name}", dir.trim_end_matches('/')) }
}
