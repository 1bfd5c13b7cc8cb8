//! The datasets that a recipe names: by path (a file, or a folder of files), or by name through `dataset_info.json`.

use serde_json::Value as Json;
use sha2::Sha256;

use super::dataset_info::{REGISTRY, from_entry, join, online, read_registry};
use super::draw::PythonRandom;
use super::faults::Faults;
use super::formats::{Expected, Piece, PieceTaker};
use super::hub_dataset::HubDataset;
use super::record::Record;
use super::source::{Source, open_folder};
use super::split_name::Slice;
use super::unread::Unread;
use super::version1::{self, Described};
use crate::config::{OnBadRecord, Recipe, Stage};
use crate::error::{Error, Result};
use crate::platform::{Directory, read_small};

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
    /// What records are drawn by, where a description asks for that.
    pub(super) seed: u64,
}

/// The seed where no recipe has one: the recipes' default.
pub(super) const SEED: u64 = 42;

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
    let wanted = Wanted { names, dataset_dir, max_samples, evaluation: true, stage: None, seed: SEED };
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
/// `bad`; of `recipe` it takes where datasets lie and how many records are read, `evaluation` says which of a folder's splits is meant. Returns
/// what the user should be told.
///
/// # Errors
/// As [`load_datasets`]; what `take` and `bad` fail with.
pub async fn each_record(
    name: &str,
    recipe: &Recipe,
    evaluation: bool,
    open: &OpenPath<'_>,
    take: &mut dyn FnMut(Record) -> Result<()>,
    bad: &mut dyn FnMut(Error) -> Result<()>,
) -> Result<Vec<String>> {
    let names = [name.to_string()];
    let Recipe { dataset_dir, max_samples, seed, .. } = recipe;
    let wanted = Wanted { names: &names, dataset_dir, max_samples: *max_samples, evaluation, stage: None, seed: *seed };
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
        let (count, mut random) = (sources.len(), PythonRandom::new(wanted.seed));
        for (j, source) in sources.into_iter().enumerate() {
            let part = |share: f64| (i as f64 + (j as f64 + share) / count as f64) / wanted.names.len() as f64;
            notices.extend(source.read(wanted.max_samples, &mut random, &mut |piece, share| take(piece, part(share))).await?);
        }
    }
    Ok(notices)
}

/// The datasets that a description of LLaMA-Factory's version 1 names.
async fn described(path: &str, wanted: &Wanted<'_>, open: &OpenPath<'_>) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for Described { name, entry, directory, draw } in read_description(path, open).await? {
        let mut source = from_entry(&name, &entry, &Wanted { dataset_dir: &directory, ..*wanted }, open).await?;
        // Without a converter, records have version 1's own form, in which nothing needs a name.
        source.expected.registered &= !entry["formatting"].is_null();
        source.draw = draw.is_wanted().then_some((name, draw));
        sources.push(source);
    }
    Ok(sources)
}

async fn read_description(path: &str, open: &OpenPath<'_>) -> Result<Vec<Described>> {
    let missing = || Error::dataset(path, "there is no such file; a description that lies on a hub has to be saved on this machine");
    let Ok((dir, name)) = open(path) else { return Err(missing()) };
    if dir.size(&name).await?.is_none() {
        return Err(missing());
    }
    let bytes = read_small(&*dir, &name).await?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::file(path, "a description of datasets must be UTF-8 text"))?;
    version1::read(path, text)
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
        } else if version1::is_meant(name) {
            for Described { name, entry, .. } in read_description(name, open).await? {
                found.extend(HubDataset::of_entry(&entry).map_err(|reason| Error::dataset(name, reason))?);
            }
        }
    }
    Ok(found)
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

async fn from_path(name: &str, registry: &Json, wanted: &Wanted<'_>, open: &OpenPath<'_>) -> Result<Source> {
    let looks_like_path = name.contains(['/', '\\']) || name.rsplit_once('.').is_some_and(|(_, ext)| ext.len() <= 7 && !ext.is_empty());
    let dataset_dir = wanted.dataset_dir;
    for path in [name.to_string(), join(dataset_dir, name)] {
        if let Ok((dir, file)) = open(&path)
            && dir.size(&file).await?.is_some()
        {
            let files = vec![(file, path)];
            return Ok(Source {
                dir,
                files,
                expected: Expected::default(),
                slice: Slice::ALL,
                limit: usize::MAX,
                draw: None,
                notices: Vec::new(),
            });
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
