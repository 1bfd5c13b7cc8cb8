//! Models and data sets from Hugging Face's hub: found in the cache that its programs share on this machine, else downloaded into it.
//!
//! The cache is theirs (`HF_HUB_CACHE`, `HF_HOME`), so what was downloaded here is there for transformers, and the other way round. A file
//! gets its name in the cache when its size and its hash are those that the hub told; an interrupted one goes on where it stopped.

mod client;
mod transfer;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use rootstock::data::HubDataset;
use rootstock::gpu::human_bytes;
use rootstock::platform::hub_cache::Kind;
use rootstock::platform::{DirectoryLock, hub_cache, open_hub_dataset};
use rootstock::{Error, Result};

use super::console::{Console, count};
use client::{Client, File, Listing};

/// A name such as `org/name`, `org/name@branch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    kind: Kind,
    repository: String,
    revision: String,
}

impl Name {
    /// A name of the hub; `None` for what looks like a path.
    pub(super) fn of(text: &str) -> Option<Name> {
        let (repository, revision) = text.split_once('@').unwrap_or((text, "main"));
        let is_part = |part: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty() && part.len() <= 96 && part.chars().all(plain) && !part.starts_with('.') && !part.contains("..")
        };
        let parts: Vec<&str> = repository.split('/').collect();
        let is_name = parts.len() == 2 && parts.iter().all(|part| is_part(part));
        let is_revision = !revision.is_empty() && revision.split('/').all(is_part);
        (is_name && is_revision).then(|| Name { kind: Kind::Model, repository: repository.into(), revision: revision.into() })
    }
}

/// The file that describes a data set.
const CARD: &str = "README.md";

/// Makes sure that a data set, or the part of it that is meant, is on this machine.
///
/// # Errors
/// As [`fetch`].
pub(super) async fn ensure_dataset(set: &HubDataset, console: Console) -> Result<()> {
    if let Ok(cached) = open_hub_dataset(&set.name, &set.revision) {
        let files: Vec<String> = cached.list().await?.into_iter().map(|entry| entry.name).collect();
        let card = if files.iter().any(|file| file == CARD) { cached.read(CARD).await? } else { Vec::new() };
        if set.choose_by_card(files, &String::from_utf8_lossy(&card)).is_ok() {
            return Ok(());
        }
    }
    fetch_dataset(set, console).map(drop)
}

/// Downloads a data set, or the part of it that is meant, and returns its directory.
///
/// # Errors
/// As [`fetch`]; when it holds no data that are read.
pub(super) fn fetch_dataset(set: &HubDataset, console: Console) -> Result<PathBuf> {
    let name = Name { kind: Kind::Dataset, repository: set.name.clone(), revision: set.revision.clone() };
    // The card says which files belong to which configuration.
    let home = fetch_files(&name, console, false, &|files| Ok(files.into_iter().filter(|file| file.name == CARD).collect()))?;
    let card = fs::read(home.join(CARD)).unwrap_or_default();
    fetch_files(&name, console, true, &|files| {
        let chosen = set.choose_by_card(files.iter().map(|file| file.name.clone()).collect(), &String::from_utf8_lossy(&card))?;
        Ok(files.into_iter().filter(|file| chosen.contains(&file.name)).collect())
    })
}

/// Makes sure that what a recipe or an option names is on this machine. Paths, and names that the cache holds, are left as they are.
///
/// # Errors
/// [`Error::File`] in one sentence: no such model, no right to it, no connection, a full disk.
pub(super) fn ensure(name: &str, console: Console) -> Result<()> {
    let path = name.split_once('@').map_or(name, |(path, _)| path);
    if name.is_empty() || Path::new(name).exists() || Path::new(path).exists() {
        return Ok(());
    }
    let Some(model) = Name::of(name) else { return Ok(()) };
    if hub_cache::snapshot(Kind::Model, &model.repository, &model.revision).is_some_and(|path| is_whole(&path)) {
        return Ok(());
    }
    fetch(&model, console).map(drop)
}

/// Whether a snapshot holds a configuration and weights; one that another program began may hold less.
fn is_whole(path: &Path) -> bool {
    let names: Vec<String> =
        fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    let has = |end: &str| names.iter().any(|name| name.ends_with(end));
    has("config.json") && (has(".safetensors") || has(".bin"))
}

/// Downloads a model and returns its directory.
///
/// # Errors
/// As [`ensure`].
pub(super) fn fetch(name: &Name, console: Console) -> Result<PathBuf> {
    fetch_files(name, console, true, &|files| {
        let files = chosen(files);
        let is_model = files.iter().any(|file| file.name.ends_with("config.json"));
        is_model
            .then_some(files)
            .ok_or_else(|| format!("it has no config.json at {}: it is no model in Hugging Face's layout", name.revision))
    })
}

/// Which of a repository's files are needed, or why none are.
type Choose<'a> = dyn Fn(Vec<File>) -> std::result::Result<Vec<File>, String> + 'a;

/// Downloads files into a snapshot; `last`: there is nothing more to come, so that the branch's name may lead to it.
fn fetch_files(name: &Name, console: Console, last: bool, choose: &Choose<'_>) -> Result<PathBuf> {
    let Name { kind, repository, revision } = name;
    let fault = |reason: String| Error::file(repository, reason);
    if env::var("HF_HUB_OFFLINE").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false")) {
        let missing = match kind {
            Kind::Model => "this is neither a directory nor in the cache of Hugging Face's programs",
            Kind::Dataset => "this data set, or the part of it that is meant, is not in the cache of Hugging Face's programs",
        };
        return Err(fault(format!("{missing}, and HF_HUB_OFFLINE forbids to download it")));
    }
    let cache = hub_cache::directory().ok_or_else(|| fault("there is no place for the download; set HF_HOME to a directory".into()))?;
    let home = cache.join(kind.directory(repository));
    let disk = |e: std::io::Error| fault(format!("{} cannot be written: {e}", home.display()));
    fs::create_dir_all(home.join("blobs")).map_err(disk)?;
    let Some(_lock) = DirectoryLock::acquire(&home)? else {
        return Err(fault(format!("another program is downloading it into {}; wait for it", home.display())));
    };
    let client = Client::from_environment();
    let Listing { commit, files } = client.list(*kind, repository, revision)?;
    let files = choose(files).map_err(|reason| fault(format!("{}: {reason}", client.endpoint())))?;
    let snapshot = home.join("snapshots").join(&commit);
    fs::create_dir_all(&snapshot).map_err(disk)?;
    let total: u64 = files.iter().map(|file| file.size).sum();
    if files.is_empty() {
        return Ok(snapshot);
    }
    console.say(&format!("fetching {repository} ({}, {}) into {}", count(files.len(), "file"), human_bytes(total), cache.display()));
    for file in &files {
        let blob = home.join("blobs").join(&file.hash);
        if fs::metadata(&blob).map_or(true, |meta| meta.len() != file.size) {
            transfer::download(&client, name, &commit, file, &blob, console)?;
        }
        link(&blob, &snapshot.join(&file.name)).map_err(disk)?;
    }
    // The name of the branch comes last: with it the model is there.
    if last && *revision != commit {
        let reference = home.join("refs").join(revision);
        fs::create_dir_all(reference.parent().unwrap_or(&home)).and_then(|()| fs::write(&reference, &commit)).map_err(disk)?;
    }
    Ok(snapshot)
}

/// What is needed to train and to answer: configuration, tokenizer, safetensors; pickled weights where there are no others.
fn chosen(files: Vec<File>) -> Vec<File> {
    let safe = files.iter().any(|file| !file.name.contains('/') && file.name.ends_with(".safetensors"));
    let is_needed = |name: &str| {
        let weights =
            if safe { name.ends_with(".safetensors") && !name.starts_with("consolidated") } else { name.starts_with("pytorch_model") };
        let text = [".json", ".jinja", ".txt", ".model"].iter().any(|end| name.ends_with(end));
        !name.contains('/') && (weights || text) && !name.starts_with('.') || name.starts_with("additional_chat_templates/")
    };
    let pickled_index = |name: &str| safe && name.starts_with("pytorch_model");
    files.into_iter().filter(|file| is_needed(&file.name) && !pickled_index(&file.name)).collect()
}

/// A name in a snapshot for a blob: a relative link, as Hugging Face's programs make it; a copy where there are no links.
fn link(blob: &Path, name: &Path) -> std::io::Result<()> {
    if let Some(parent) = name.parent() {
        fs::create_dir_all(parent)?;
    }
    if fs::symlink_metadata(name).is_ok() {
        fs::remove_file(name)?;
    }
    #[cfg(unix)]
    {
        let depth = name.components().rev().take_while(|part| part.as_os_str() != "snapshots").count();
        let up: PathBuf = std::iter::repeat_n("..", depth).collect();
        std::os::unix::fs::symlink(up.join("blobs").join(blob.file_name().unwrap_or_default()), name)
    }
    #[cfg(not(unix))]
    fs::copy(blob, name).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_paths() {
        let name =
            |repository: &str, revision: &str| Some(Name { kind: Kind::Model, repository: repository.into(), revision: revision.into() });
        assert_eq!(Name::of("garden/tree-1.5B"), name("garden/tree-1.5B", "main"));
        assert_eq!(Name::of("garden/tree@refs/pr/7"), name("garden/tree", "refs/pr/7"));
        for path in [
            "model",
            "./garden/tree",
            "../garden/tree",
            "/garden/tree",
            "a/b/c",
            "garden/",
            "garden/..",
            "garden/tree@",
            "garden/tr ee",
            "~/tree",
        ] {
            assert_eq!(Name::of(path), None, "{path}");
        }
    }

    #[test]
    fn only_what_is_needed_is_downloaded() {
        let names = |list: &[&str]| -> Vec<String> {
            let file = |name: &&str| File { name: (*name).into(), size: 1, hash: "0".into(), is_sha256: false };
            chosen(list.iter().map(file).collect()).into_iter().map(|file| file.name).collect()
        };
        let all = [
            "config.json",
            "model.safetensors",
            "consolidated.safetensors",
            "pytorch_model.bin",
            "onnx/model.onnx",
            "README.md",
            ".gitattributes",
            "tokenizer.json",
            "merges.txt",
            "tokenizer.model",
            "chat_template.jinja",
            "additional_chat_templates/tools.jinja",
            "model.gguf",
            "pytorch_model.bin.index.json",
        ];
        assert_eq!(
            names(&all),
            [
                "config.json",
                "model.safetensors",
                "tokenizer.json",
                "merges.txt",
                "tokenizer.model",
                "chat_template.jinja",
                "additional_chat_templates/tools.jinja"
            ]
        );
        assert_eq!(names(&["config.json", "pytorch_model.bin", "training_args.bin"]), ["config.json", "pytorch_model.bin"]);
    }
}
