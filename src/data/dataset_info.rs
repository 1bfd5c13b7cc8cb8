//! LLaMA-Factory's `dataset_info.json`: names of datasets, and what their files hold. An entry may name files or a data set of Hugging Face's hub.

use serde_json::{Value as Json, json};

use super::answers::Answers;
use super::datasets::{OpenPath, Wanted};
use super::formats::Expected;
use super::hub_dataset::{HubDataset, SCHEME};
use super::layout::{AlpacaColumns, Layout, MessageColumns};
use super::source::{Source, open_folder};
use super::split_name::Slice;
use crate::error::{Error, Result};
use crate::platform::read_small;

/// The registry's file name.
pub(super) const REGISTRY: &str = "dataset_info.json";

/// The entry of a data set that needs none: with `dataset_dir: ONLINE` names are those of the hub, and so are those that begin with
/// `hf://datasets/`.
pub(super) fn online(name: &str, dataset_dir: &str) -> Option<Json> {
    let name = name.strip_prefix(SCHEME).or((dataset_dir == "ONLINE").then_some(name))?;
    Some(json!({ "hf_hub_url": name }))
}

pub(super) async fn read_registry(dataset_dir: &str, open: &OpenPath<'_>) -> Result<Json> {
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

pub(super) async fn from_entry(name: &str, entry: &Json, wanted: &Wanted<'_>, open: &OpenPath<'_>) -> Result<Source> {
    let dataset_dir = wanted.dataset_dir;
    let fault = |reason: &str| Error::dataset(name, format!("{reason} (in {})", join(dataset_dir, REGISTRY)));
    let hub = HubDataset::of_entry(entry).map_err(|reason| fault(&reason))?;
    let file_name = entry["file_name"].as_str();
    if hub.is_none() && file_name.is_none() {
        return Err(fault("this entry has neither file_name nor hf_hub_url; other places are not read"));
    }
    let file_name = file_name.unwrap_or_default();
    if leaves_directory(file_name) {
        return Err(fault(&format!(
            "file_name is {file_name:?}, which leads out of {dataset_dir}; move the file there, or give its path as the recipe's dataset"
        )));
    }
    for column in ["images", "videos", "audios"] {
        if !entry["columns"][column].is_null() {
            return Err(fault(&format!("the column {column} is not read; only text is trained")));
        }
    }
    let layout = layout_of(entry).map_err(|reason| fault(&reason))?;
    if let (Some(layout), Some(stage)) = (&layout, wanted.stage) {
        layout.answers().check_stage(stage).map_err(|reason| fault(&reason))?;
    }
    let limit = entry["num_samples"].as_u64().map_or(usize::MAX, |n| n as usize);
    let slice = match &entry["split"] {
        Json::Null => Slice::ALL,
        Json::String(text) => Slice::parse(text).map_err(|reason| fault(&reason))?,
        _ => return Err(fault("split is no text; expected for example \"train\" or \"train[:100]\"")),
    };
    let expected = Expected { layout, registered: true, stage: wanted.stage };
    if let Some(set) = hub {
        let path = set.path();
        open(&format!("{path}/_"))?;
        let Some(mut folder) = open_folder(&path, open).await? else { return Err(fault(&format!("{path} holds no data"))) };
        if folder.card.is_some() {
            let source = folder.source(&path, &[&slice.split], set.subset.as_deref())?;
            return Ok(Source { expected, slice, limit, ..source });
        }
        // Their names, from the data set's root on.
        let root = set.folder.as_ref().map(|folder| format!("{folder}/")).unwrap_or_default();
        let files = folder.files.iter().map(|file| format!("{root}{file}")).collect();
        let chosen = set.choose(files).map_err(|reason| Error::dataset(&path, reason))?;
        folder.files = chosen.iter().filter_map(|file| file.strip_prefix(&root).map(str::to_string)).collect();
        let source = folder.source(&path, &[&slice.split], None)?;
        return Ok(Source { expected, slice, limit, ..source });
    }
    let path = join(dataset_dir, file_name);
    let (dir, file) = open(&path)?;
    if dir.size(&file).await?.is_some() {
        if !matches!(slice.split.as_str(), "" | "train") {
            return Err(fault(&format!("split is \"{}\", but a file is all one split, which is called train", slice.split)));
        }
        return Ok(Source { dir, files: vec![(file, path)], expected, slice, limit, draw: None, notices: Vec::new() });
    }
    // LLaMA-Factory also takes a folder of files.
    let Some(folder) = open_folder(&path, open).await? else { return Err(fault(&format!("there is no file {path}"))) };
    let source = folder.source(&path, &[&slice.split], entry["subset"].as_str())?;
    Ok(Source { expected, slice, limit, ..source })
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
    let answers = match (entry["ranking"] == true, named("kto_tag")) {
        (true, Some(_)) => {
            return Err("ranking: true says that records have two answers, kto_tag that they have one; keep one of the two".into());
        }
        (true, None) => Answers::Ranked {
            chosen: named("chosen").unwrap_or_else(|| "chosen".into()),
            rejected: named("rejected").unwrap_or_else(|| "rejected".into()),
        },
        (false, Some(tag)) => Answers::Rated(tag),
        (false, None) => Answers::One,
    };
    let ranked = matches!(answers, Answers::Ranked { .. });
    match formatting {
        "alpaca" if columns.is_null() && ranked => {
            Ok(Some(Layout::Alpaca(AlpacaColumns { answers, ..Default::default() }.without_unmapped())))
        }
        "alpaca" if columns.is_null() => Ok(None), // the default, and what plain files of any form are written with
        // With columns given, those that are not named do not exist.
        "alpaca" => match (named("prompt"), named("response").or_else(|| ranked.then(String::new))) {
            (Some(prompt), Some(response)) => Ok(Some(Layout::Alpaca(AlpacaColumns {
                prompt,
                query: named("query"),
                response,
                system: named("system"),
                history: named("history"),
                tools: named("tools"),
                answers,
            }))),
            (Some(column), None) if answers == Answers::One => Ok(Some(Layout::Text { column })),
            (Some(_), None) => Err("columns names no response".into()),
            (None, _) => Err("columns names no prompt".into()),
        },
        "sharegpt" | "openai" => {
            let column = named("messages").unwrap_or_else(|| "conversations".into());
            let defaults = if formatting == "openai" { MessageColumns::openai(&column) } else { MessageColumns::sharegpt(&column) };
            let tag = |name: &str, default: String| entry["tags"][name].as_str().map_or(default, str::to_string);
            Ok(Some(Layout::Messages(MessageColumns {
                system: named("system"),
                tools: named("tools"),
                role_tag: tag("role_tag", defaults.role_tag),
                content_tag: tag("content_tag", defaults.content_tag),
                user_tag: tag("user_tag", defaults.user_tag),
                assistant_tag: tag("assistant_tag", defaults.assistant_tag),
                system_tag: tag("system_tag", defaults.system_tag),
                observation_tag: tag("observation_tag", defaults.observation_tag),
                function_tag: tag("function_tag", defaults.function_tag),
                answers,
                messages: column,
            })))
        }
        other => Err(format!("formatting is '{other}', expected alpaca, sharegpt or openai")),
    }
}

pub(super) fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() || dir == "." { name.to_string() } else { format!("{}/{name}", dir.trim_end_matches('/')) }
}
