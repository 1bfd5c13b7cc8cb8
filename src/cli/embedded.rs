//! The model, the data and the recipes that are compiled into the program for `rootstock demo`.

use std::rc::Rc;

use async_trait::async_trait;
use rootstock::platform::{Directory, MemoryDirectory};
use rootstock::workflow::{Paths, Places};
use rootstock::{Error, Result};

macro_rules! embed {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/", $name)).as_slice())),*]
    };
}

/// By their paths below `assets/`.
const FILES: &[(&str, &[u8])] = embed![
    "embedded-model/config.json",
    "embedded-model/generation_config.json",
    "embedded-model/model.safetensors",
    "embedded-model/tokenizer.json",
    "embedded-model/tokenizer_config.json",
    "embedded-model/chat_template.jinja",
    "demo/dataset_info.json",
    "demo/manners.jsonl",
    "demo/manners.yaml",
    "demo/manners_held_out.jsonl",
    "demo/newcomers.jsonl",
    "demo/newcomers.yaml",
    "demo/newcomers_held_out.jsonl",
    "demo/pirate.jsonl",
    "demo/pirate.yaml",
    "demo/pirate_held_out.jsonl",
    "demo/village.jsonl",
    "demo/village.yaml",
    "demo/village_hard.jsonl",
    "demo/village_held_out.jsonl",
];

/// The files of a folder of `assets/`, labelled by its path in the repository.
pub(super) fn directory(name: &str) -> MemoryDirectory {
    let inside = |path: &'static str| path.strip_prefix(name).and_then(|p| p.strip_prefix('/'));
    let files = FILES.iter().filter_map(|(path, bytes)| Some((inside(path)?, *bytes)));
    files.fold(MemoryDirectory::new(format!("assets/{name}")), |directory, (file, bytes)| directory.with(file, bytes))
}

/// Opens a path of the repository, as a recipe of `assets/demo` writes it, among what is embedded.
///
/// # Errors
/// [`Error::File`] for any other path.
pub(super) fn open(path: &str) -> Result<(Box<dyn Directory>, String)> {
    match path.strip_prefix("assets/").and_then(|p| p.rsplit_once('/')) {
        Some((folder, file)) => Ok((Box::new(directory(folder)), file.to_string())),
        None => Err(Error::file(path, "the program does not carry this file")),
    }
}

/// Datasets from what is embedded, models and adapters from this machine's paths.
pub(super) struct Embedded;

#[async_trait(?Send)]
impl Places for Embedded {
    async fn directory(&self, name: &str) -> Result<Rc<dyn Directory>> {
        Paths.directory(name).await
    }

    fn dataset(&self, path: &str) -> Result<(Box<dyn Directory>, String)> {
        open(path)
    }
}
