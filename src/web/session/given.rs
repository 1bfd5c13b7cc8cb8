//! Dataset files as a page gives them (text within the request, files beside it, the page's examples), seen as one directory.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;

use super::super::messages::{DataFile, DataSource};
use super::{Session, columns, tokens};
use crate::data::field_names;
use crate::error::{Cause, Error, Result};
use crate::platform::{Directory, Entry, MemoryDirectory, OutputDirectory};
use crate::workflow::Places;

/// Folder of the example datasets among the page's files.
pub(super) const DEMO: &str = "demo";
/// The file that says how datasets with columns of their own are read.
const REGISTRY: &str = "dataset_info.json";

/// Data as the page gave it, or as a run has kept it.
#[derive(Clone)]
pub(super) struct GivenData {
    pub(super) data: DataSource,
    pub(super) evaluation: Option<DataSource>,
    /// The files that have no text in `data` and `evaluation`, by their paths.
    pub(super) files: Option<Rc<dyn Directory>>,
}

impl GivenData {
    /// Whether it is the same data; the paths of files stand for their content.
    pub(super) fn is(&self, other: &GivenData) -> bool {
        self.data == other.data && self.evaluation == other.evaluation
    }
}

/// Dataset files and their names in a recipe.
pub(super) struct DataFiles {
    directory: DataDirectory,
    names: Vec<String>,
    eval_names: Vec<String>,
    /// Bytes of all files.
    bytes: u64,
    /// Where tokens are kept.
    tokens: Option<Rc<dyn OutputDirectory>>,
}

impl DataFiles {
    /// The files to learn from.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The files to evaluate on.
    pub(super) fn eval_names(&self) -> &[String] {
        &self.eval_names
    }

    /// Bytes of all files, packed as they are.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The recipe entries that refer to these files.
    pub(super) fn places(&self) -> Vec<(&'static str, String)> {
        let mut places = vec![("dataset_dir", ".".to_string()), ("dataset", self.names.join(","))];
        if !self.eval_names.is_empty() {
            places.push(("eval_dataset", self.eval_names.join(",")));
        }
        places
    }
}

impl Session {
    /// Data as files under names that are valid in a recipe. Nothing of files that were given is read.
    pub(super) async fn data_files(&self, given: &GivenData) -> Result<DataFiles> {
        let mut memory = MemoryDirectory::new("data");
        let mut paths = BTreeMap::new();
        let (mut names, mut eval_names, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut mapped = serde_json::Map::new();
        for (source, evaluated) in [(Some(&given.data), false), (given.evaluation.as_ref(), true)] {
            let files = match source {
                None => Vec::new(),
                Some(DataSource::Example { name }) => vec![self.example_file(name).await?],
                Some(DataSource::Files { files }) => files.clone(),
            };
            for DataFile { name, text, file, columns } in files {
                // In a recipe a comma separates names, and a slash separates folders.
                let mut plain = name.replace([',', '/', '\\'], "_");
                if !plain.contains('.') {
                    plain.push_str(".txt");
                }
                while names.contains(&plain) || eval_names.contains(&plain) || plain == REGISTRY {
                    plain.insert(0, '_');
                }
                match (text, file) {
                    (Some(text), _) => {
                        bytes += text.len() as u64;
                        memory = memory.with(&plain, text.into_bytes());
                    }
                    (None, Some(path)) => {
                        bytes += size_of_given(given.files.as_deref(), &path, &name).await?;
                        paths.insert(plain.clone(), path);
                    }
                    (None, None) => return Err(Error::dataset(name, "it has neither a text nor a file")),
                }
                if let Some(columns) = columns {
                    mapped.insert(plain.clone(), columns::entry(&plain, &columns));
                }
                if evaluated { eval_names.push(plain) } else { names.push(plain) }
            }
        }
        if !mapped.is_empty() {
            memory = memory.with(REGISTRY, serde_json::Value::Object(mapped).to_string().into_bytes());
        }
        if names.is_empty() {
            return Err(Error::dataset("data", "nothing was given to learn from"));
        }
        let directory = DataDirectory { memory, given: given.files.clone(), paths: Rc::new(paths) };
        let tokens = (bytes >= tokens::LARGE).then(|| Rc::from(self.store.subdirectory(tokens::TOKENS)));
        Ok(DataFiles { directory, names, eval_names, bytes, tokens })
    }

    async fn example_file(&self, name: &str) -> Result<DataFile> {
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(Error::dataset(name, "the page has no such example"));
        }
        let file = format!("{name}.jsonl");
        let bytes = self.assets.read(&format!("{DEMO}/{file}")).await?;
        let text = String::from_utf8(bytes).map_err(|_| Error::dataset(name, "this example is not UTF-8 text"))?;
        Ok(DataFile { name: file, text: Some(text), ..DataFile::default() })
    }

    /// The names of a file's columns, by its first record; none for plain text, which has no columns.
    pub(super) async fn column_names(&self, file: &DataFile, files: Option<Rc<dyn Directory>>) -> Result<Vec<String>> {
        let data = DataSource::Files { files: vec![DataFile { columns: None, ..file.clone() }] };
        let given = self.data_files(&GivenData { data, evaluation: None, files }).await?;
        let mut names = field_names(&given.directory, &given.names[0]).await?;
        names.retain(|name| !name.is_empty());
        Ok(names)
    }
}

async fn size_of_given(files: Option<&dyn Directory>, path: &str, name: &str) -> Result<u64> {
    let size = match files {
        Some(files) => files.size(path).await?,
        None => None,
    };
    size.ok_or_else(|| Error::dataset(name, "this file did not come with the request: choose it again"))
}

/// Files in memory and files that were given, under the names that a recipe has for them.
#[derive(Clone)]
struct DataDirectory {
    memory: MemoryDirectory,
    given: Option<Rc<dyn Directory>>,
    /// Where those that were given lie among them, by name.
    paths: Rc<BTreeMap<String, String>>,
}

impl DataDirectory {
    /// The directory that a file lies in, and its name there.
    fn place<'a>(&'a self, name: &'a str) -> (&'a dyn Directory, &'a str) {
        match (self.paths.get(name), &self.given) {
            (Some(path), Some(given)) => (&**given, path),
            _ => (&self.memory, name),
        }
    }
}

#[async_trait(?Send)]
impl Directory for DataDirectory {
    fn label(&self) -> String {
        self.memory.label()
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        let mut entries = self.memory.list().await?;
        for name in self.paths.keys() {
            let size = self.size(name).await?.unwrap_or(0);
            entries.push(Entry { name: name.clone(), size });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        let (directory, place) = self.place(name);
        directory.size(place).await
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let (directory, place) = self.place(name);
        directory.read_range(place, range).await.map_err(|error| error.renamed(|_| name.to_string()))
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        let size = self.size(name).await?.ok_or_else(|| Error::file(name, "there is no such file").because(Cause::NotFound))?;
        self.read_range(name, 0..size).await
    }
}

#[async_trait(?Send)]
impl Places for DataFiles {
    /// Always fails: data names no directory.
    async fn directory(&self, name: &str) -> Result<Rc<dyn Directory>> {
        Err(Error::file(name, "a browser has no paths; choose the run from the list"))
    }

    fn dataset(&self, path: &str) -> Result<(Box<dyn Directory>, String)> {
        Ok((Box::new(self.directory.clone()), path.to_string()))
    }

    fn tokens(&self, _: &str) -> Result<Option<Box<dyn OutputDirectory>>> {
        Ok(self.tokens.as_ref().map(|tokens| tokens.subdirectory(tokens::FILES)))
    }
}

/// What a recipe of the page names: dataset files, and stored adapters by their ids.
pub(super) struct PagePlaces<'a> {
    pub(super) session: &'a Session,
    pub(super) files: &'a DataFiles,
}

#[async_trait(?Send)]
impl Places for PagePlaces<'_> {
    /// The session opens the model and checkpoints itself, so only adapters are asked for here.
    async fn directory(&self, name: &str) -> Result<Rc<dyn Directory>> {
        self.session.kept_model(name).await
    }

    fn dataset(&self, path: &str) -> Result<(Box<dyn Directory>, String)> {
        self.files.dataset(path)
    }

    fn tokens(&self, path: &str) -> Result<Option<Box<dyn OutputDirectory>>> {
        self.files.tokens(path)
    }
}
