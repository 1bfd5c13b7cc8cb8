//! Datasets by path (a file, or a folder of files), or by name through LLaMA-Factory's `dataset_info.json`, which may name files or a data
//! set of Hugging Face's hub.

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::answers::Answers;
use super::card::{CARD, Card, MAX_CARD};
use super::faults::Faults;
use super::formats::{Expected, Piece, PieceTaker, is_data, read_file};
use super::hub_dataset::HubDataset;
use super::layout::{AlpacaColumns, Layout, MessageColumns};
use super::record::Record;
use super::split_name::{Slice, files_of_split};
use super::unread::Unread;
use super::version1::{self, Described};
use crate::config::{OnBadRecord, Stage};
use crate::error::{Error, Result};
use crate::platform::{Directory, read_small};

/// The registry's file name.
const REGISTRY: &str = "dataset_info.json";

/// How many bytes of a file are hashed at once.
const HASHED: usize = 1 << 20;

/// Opens a path that the user wrote: the directory it lies in, and its name there.
pub type OpenPath<'a> = dyn Fn(&str) -> Result<(Box<dyn Directory>, String)> + 'a;

/// Which datasets are read, and how much of each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) names: &'a [String],
    pub(super) dataset_dir: &'a str,
    /// Records of each dataset at most; what follows them is not read.
    pub(super) max_samples: Option<usize>,
    /// Whether of a folder with several splits the one for evaluation is meant.
    pub(super) evaluation: bool,
    /// What the records are learned in, if that is known.
    pub(super) stage: Option<Stage>,
}

/// Records, and what the user should be told about their files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadedRecords {
    /// The records, one dataset after the other.
    pub records: Vec<Record>,
    /// What is worth knowing: fields that are not read, what was made of a folder.
    pub notices: Vec<String>,
}

/// Reads datasets one after the other. Each is a name in `dataset_dir`'s dataset_info.json, or the path of a file or folder (relative to
/// the working directory, or to `dataset_dir`). Of each, at most `max_samples` records are read.
///
/// # Errors
/// [`Error::Dataset`] for an unknown name (with the nearest known one), an entry that cannot be used or a file that is none;
/// [`Error::Line`] or [`Error::Records`] for records that cannot be used.
pub async fn load_datasets(names: &[String], dataset_dir: &str, max_samples: Option<usize>, open: &OpenPath<'_>) -> Result<LoadedRecords> {
    let wanted = Wanted { names, dataset_dir, max_samples, evaluation: true, stage: None };
    let (mut loaded, mut faults, mut unread, mut count) = (LoadedRecords::default(), Faults::default(), Unread::default(), 0);
    let mut take = |piece: Piece, _: f64| {
        count += 1;
        match piece.read() {
            Ok((record, fields)) => {
                unread.note(&record.path, fields);
                loaded.records.push(record);
            }
            Err(fault) => faults.note(fault),
        }
        Ok(true)
    };
    let notices = read_datasets(&wanted, open, &mut take).await?;
    loaded.notices = notices;
    faults.judge(&names.join(", "), count, OnBadRecord::Stop)?;
    loaded.notices.extend(unread.notices());
    Ok(loaded)
}

/// Gives the records of one dataset, named as in [`load_datasets`], one after the other to `take`, and what is wrong with a record to
/// `bad`; `evaluation` as which of a folder's splits is meant. Returns what the user should be told.
///
/// # Errors
/// As [`load_datasets`]; what `take` and `bad` fail with.
pub async fn each_record(
    name: &str,
    dataset_dir: &str,
    max_samples: Option<usize>,
    evaluation: bool,
    open: &OpenPath<'_>,
    take: &mut dyn FnMut(Record) -> Result<()>,
    bad: &mut dyn FnMut(Error) -> Result<()>,
) -> Result<Vec<String>> {
    let names = [name.to_string()];
    let wanted = Wanted { names: &names, dataset_dir, max_samples, evaluation, stage: None };
    let mut unread = Unread::default();
    let mut each = |piece: Piece, _: f64| {
        match piece.read() {
            Ok((record, fields)) => {
                unread.note(&record.path, fields);
                take(record)?;
            }
            Err(fault) => bad(fault)?,
        }
        Ok(true)
    };
    let mut notices = read_datasets(&wanted, open, &mut each).await?;
    notices.extend(unread.notices());
    Ok(notices)
}

/// Gives the records of datasets, unread, to `take`; returns what the user should be told.
///
/// # Errors
/// As [`load_datasets`], but for records that are wrong; what `take` fails with.
pub(super) async fn read_datasets(wanted: &Wanted<'_>, open: &OpenPath<'_>, take: &mut PieceTaker<'_>) -> Result<Vec<String>> {
    let registry = read_registry(wanted.dataset_dir, open).await?;
    let mut notices = Vec::new();
    for (i, name) in wanted.names.iter().enumerate() {
        let sources = sources(name, &registry, wanted, open).await?;
        let count = sources.len();
        for (j, source) in sources.into_iter().enumerate() {
            let part = |share: f64| (i as f64 + (j as f64 + share) / count as f64) / wanted.names.len() as f64;
            notices.extend(source.read(wanted.max_samples, &mut |piece, share| take(piece, part(share))).await?);
        }
    }
    Ok(notices)
}

/// The datasets that a description of LLaMA-Factory's version 1 names.
async fn described(path: &str, wanted: &Wanted<'_>, open: &OpenPath<'_>) -> Result<Vec<Source>> {
    let (dir, name) = open(path)?;
    if dir.size(&name).await?.is_none() {
        return Err(Error::dataset(path, "there is no such file"));
    }
    let bytes = read_small(&*dir, &name).await?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::file(path, "a description of datasets must be UTF-8 text"))?;
    let mut sources = Vec::new();
    for Described { name, entry, directory, notice } in version1::read(path, text)? {
        let mut source = from_entry(&name, &entry, &Wanted { dataset_dir: &directory, ..*wanted }, open).await?;
        source.notices.extend(notice);
        sources.push(source);
    }
    Ok(sources)
}

/// Adds all that the records of datasets depend on to a hash: the files' bytes, and which of their records are read and how.
///
/// # Errors
/// As [`read_datasets`].
pub(super) async fn hash_datasets(wanted: &Wanted<'_>, open: &OpenPath<'_>, hash: &mut Sha256) -> Result<()> {
    let registry = read_registry(wanted.dataset_dir, open).await?;
    for name in wanted.names {
        for source in sources(name, &registry, wanted, open).await? {
            source.add_to(wanted, hash).await?;
        }
    }
    Ok(())
}

/// The data sets of the hub among some names, which must be in the cache of Hugging Face's programs before they are read.
///
/// # Errors
/// What is wrong with dataset_info.json or an entry.
pub async fn hub_datasets(names: &[String], dataset_dir: &str, open: &OpenPath<'_>) -> Result<Vec<HubDataset>> {
    let registry = read_registry(dataset_dir, open).await?;
    let mut found = Vec::new();
    for name in names {
        let entry = online(name, dataset_dir);
        if let Some(entry) = registry.get(name).or(entry.as_ref()) {
            found.extend(HubDataset::of_entry(entry).map_err(|reason| Error::dataset(name, reason))?);
        }
    }
    Ok(found)
}

/// With `dataset_dir: ONLINE`, names are those of the hub.
fn online(name: &str, dataset_dir: &str) -> Option<Json> {
    (dataset_dir == "ONLINE").then(|| json!({ "hf_hub_url": name }))
}

async fn sources(name: &str, registry: &Json, wanted: &Wanted<'_>, open: &OpenPath<'_>) -> Result<Vec<Source>> {
    let entry = online(name, wanted.dataset_dir);
    let mut sources = match registry.get(name).or(entry.as_ref()) {
        Some(entry) => vec![from_entry(name, entry, wanted, open).await?],
        None if version1::is_meant(name) => described(name, wanted, open).await?,
        None => vec![from_path(name, registry, wanted, open).await?],
    };
    sources.iter_mut().for_each(|source| source.expected.stage = wanted.stage);
    Ok(sources)
}

/// One dataset: its files, what they look like, and which of their records are meant.
struct Source {
    dir: Box<dyn Directory>,
    /// Each file's name in `dir`, and what messages call it.
    files: Vec<(String, String)>,
    expected: Expected,
    slice: Slice,
    limit: usize,
    notices: Vec<String>,
}

impl Source {
    /// Adds its bytes, and which of its records are read and how, to a hash.
    async fn add_to(&self, wanted: &Wanted<'_>, hash: &mut Sha256) -> Result<()> {
        hash.update(format!("{:?} {:?} {} {:?}", self.expected, self.slice, self.limit, wanted.max_samples));
        for (file, shown) in &self.files {
            hash.update(format!("{shown:?}"));
            let size = self.dir.size(file).await?.unwrap_or(0);
            hash.update(size.to_le_bytes());
            for from in (0..size).step_by(HASHED) {
                let to = (from + HASHED as u64).min(size);
                hash.update(self.dir.read_range(file, from..to).await?);
            }
        }
        Ok(())
    }

    async fn read(self, max_samples: Option<usize>, take: &mut PieceTaker<'_>) -> Result<Vec<String>> {
        let total = if self.slice.needs_total() { self.each(&mut |_, _| Ok(true)).await?.0 } else { 0 };
        let range = self.slice.range(total);
        let limit = self.limit.min(max_samples.unwrap_or(usize::MAX));
        let range = range.start..range.end.min(range.start.saturating_add(limit));
        let mut at = 0;
        let (_, notices) = self
            .each(&mut |piece, share| {
                let here = at;
                at += 1;
                if here < range.start {
                    return Ok(true);
                }
                if here >= range.end {
                    return Ok(false);
                }
                Ok(take(piece, share)? && at < range.end)
            })
            .await?;
        Ok([self.notices, notices].concat())
    }

    /// The records of all files, until there are enough: how many there were, and what the user should be told.
    async fn each(&self, take: &mut PieceTaker<'_>) -> Result<(usize, Vec<String>)> {
        let (mut count, mut notices, mut more) = (0, Vec::new(), true);
        for (i, (file, shown)) in self.files.iter().enumerate() {
            let part = |share: f64| (i as f64 + share) / self.files.len() as f64;
            let mut take = |piece: Piece, share: f64| {
                count += 1;
                more = take(piece, part(share))?;
                Ok(more)
            };
            notices.extend(read_file(&*self.dir, file, shown, &self.expected, &mut take).await?);
            if !more {
                break;
            }
        }
        Ok((count, notices))
    }
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

async fn from_path(name: &str, registry: &Json, wanted: &Wanted<'_>, open: &OpenPath<'_>) -> Result<Source> {
    let looks_like_path = name.contains(['/', '\\']) || name.rsplit_once('.').is_some_and(|(_, ext)| ext.len() <= 7 && !ext.is_empty());
    let dataset_dir = wanted.dataset_dir;
    for path in [name.to_string(), join(dataset_dir, name)] {
        if let Ok((dir, file)) = open(&path)
            && dir.size(&file).await?.is_some()
        {
            let files = vec![(file, path)];
            return Ok(Source { dir, files, expected: Expected::default(), slice: Slice::ALL, limit: usize::MAX, notices: Vec::new() });
        }
        let splits: &[&str] = if wanted.evaluation { &["validation", "test", "train"] } else { &["train"] };
        if let Some(folder) = open_folder(&path, open).await? {
            return folder.source(&path, splits, None);
        }
    }
    if looks_like_path {
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

/// A folder and the dataset files in it, their names relative to it.
struct Folder {
    dir: Box<dyn Directory>,
    /// What stands before the names in `dir`.
    prefix: String,
    files: Vec<String>,
    /// What its README.md says about configurations and splits.
    card: Option<Card>,
}

/// The folder of that path; None where there is none or it holds no dataset.
async fn open_folder(path: &str, open: &OpenPath<'_>) -> Result<Option<Folder>> {
    let inside = "_";
    let Ok((dir, name)) = open(&format!("{}/{inside}", path.trim_end_matches('/'))) else { return Ok(None) };
    let prefix = name.strip_suffix(inside).unwrap_or_default().to_string();
    let names = dir.list().await?.into_iter().filter_map(|entry| entry.name.strip_prefix(&prefix).map(str::to_string));
    let files: Vec<String> = names.filter(|name| is_data(name)).collect();
    if files.is_empty() {
        return Ok(None);
    }
    let card = match dir.size(&format!("{prefix}{CARD}")).await? {
        Some(size) if size <= MAX_CARD => {
            let text = dir.read(&format!("{prefix}{CARD}")).await?;
            Card::parse(&String::from_utf8_lossy(&text)).map_err(|reason| Error::dataset(path, reason))?
        }
        _ => None,
    };
    Ok(Some(Folder { dir, prefix, files, card }))
}

impl Folder {
    /// The files of the first of some splits that there is; all files where no name speaks of splits.
    fn source(self, path: &str, splits: &[&str], subset: Option<&str>) -> Result<Source> {
        let fault = |reason: String| Error::dataset(path, reason);
        let mut files = self.files;
        let mut chosen = None;
        match (&self.card, subset) {
            (Some(card), _) => {
                let by_card = card.splits(subset, &files).map_err(fault)?;
                match by_card.as_slice() {
                    // Only a folder is named, and the names of its files say the rest.
                    [(split, all)] if split.is_empty() => files.clone_from(all),
                    _ => chosen = Some(of_card(by_card, splits).map_err(fault)?),
                }
            }
            (None, Some(subset)) => files.retain(|name| name.split('/').any(|part| part == subset)),
            (None, None) => {}
        }
        let (files, split) = match chosen {
            Some((files, split)) => (files, Some(split)),
            None => files_of_split(&files, splits).map_err(fault)?,
        };
        let notices = split.map(|split| {
            let names = if files.len() > 3 { format!("{} files", files.len()) } else { files.join(", ") };
            format!("{path}: a folder; its split {split} is read ({names})")
        });
        let path = path.trim_end_matches('/');
        let files = files.into_iter().map(|name| (format!("{}{name}", self.prefix), format!("{path}/{name}"))).collect();
        let (expected, slice) = (Expected::default(), Slice::ALL);
        Ok(Source { dir: self.dir, files, expected, slice, limit: usize::MAX, notices: notices.into_iter().collect() })
    }
}

/// The files of the first of some splits that a card has, with its name.
fn of_card(mut by_card: Vec<(String, Vec<String>)>, splits: &[&str]) -> Result<(Vec<String>, String), String> {
    by_card.retain(|(_, files)| !files.is_empty());
    for wanted in splits.iter().map(|split| if split.is_empty() { "train" } else { split }) {
        if let Some(at) = by_card.iter().position(|(split, _)| split == wanted) {
            let (split, files) = by_card.swap_remove(at);
            return Ok((files, split));
        }
    }
    let names: Vec<&str> = by_card.iter().map(|(split, _)| split.as_str()).collect();
    let wanted: Vec<&str> = splits.iter().map(|split| if split.is_empty() { "train" } else { split }).collect();
    Err(format!("by {CARD} it has no split {}, but {}", wanted.join(" or "), names.join(", ")))
}

async fn from_entry(name: &str, entry: &Json, wanted: &Wanted<'_>, open: &OpenPath<'_>) -> Result<Source> {
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
        return Ok(Source { dir, files: vec![(file, path)], expected, slice, limit, notices: Vec::new() });
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

fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() || dir == "." { name.to_string() } else { format!("{}/{name}", dir.trim_end_matches('/')) }
}
