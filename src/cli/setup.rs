//! What several commands open before they begin: models, datasets, recipes.

use std::path::Path;
use std::rc::Rc;

use rootstock::adapter::{Adapted, Adapter};
use rootstock::checkpoint::{Carry, Checkpoint};
use rootstock::config::Recipe;
use rootstock::data::{OpenPath, Prepared, Tokenizer, prepare};
use rootstock::platform::{Directory, open_directory, parent_and_name};
use rootstock::train::carried_files;
use rootstock::validate::{self, Opened};
use rootstock::{Error, Result};

use super::console::{Console, count, thousands};

/// A model directory, open.
pub(super) struct Model {
    pub(super) checkpoint: Checkpoint,
    pub(super) tokenizer: Tokenizer,
    warnings: Vec<String>,
    /// What `--adapter` names.
    pub(super) adapters: Vec<Adapter>,
}

/// Adapters on a model: the same option for all commands that run one.
#[derive(Debug, clap::Args)]
pub(super) struct AdapterArgs {
    /// A LoRA adapter's directory, put on the model without merging; may be given several times
    #[arg(long = "adapter", value_name = "DIR")]
    pub(super) adapters: Vec<String>,
}

impl Model {
    /// Opens a model's directory and adapters for it, and tells about them.
    ///
    /// # Errors
    /// What keeps them from being what they should be.
    pub(super) async fn open_adapted(path: &str, adapters: &AdapterArgs, console: Console) -> Result<Model> {
        let mut model = Model::open(path).await?;
        model.introduce(path, console);
        model.adapters = open_adapters(&model.checkpoint, &adapters.adapters, console).await?;
        Ok(model)
    }

    /// The model with its adapters, to be loaded.
    ///
    /// # Errors
    /// When the adapters do not go together.
    pub(super) fn adapted(&self) -> Result<Adapted<'_>> {
        Adapted::new(&self.checkpoint, &self.adapters)
    }

    /// Opens the directory of a model.
    ///
    /// # Errors
    /// What keeps it from being one; for the name of a model on the hub, how to get it.
    pub(super) async fn open(path: &str) -> Result<Model> {
        Model::of(Rc::new(open_given_directory(path)?)).await
    }

    /// Opens a model's files, wherever they are.
    ///
    /// # Errors
    /// What keeps them from being a model.
    pub(super) async fn of(directory: Rc<dyn Directory>) -> Result<Model> {
        let Opened { checkpoint, tokenizer, warnings } = validate::open(directory).await?;
        Ok(Model { checkpoint, tokenizer, warnings, adapters: Vec::new() })
    }

    /// Says what it is and what is odd about it.
    pub(super) fn introduce(&self, path: &str, console: Console) {
        console.say(&format!("model    {path} ({})", self.describe()));
        for warning in &self.warnings {
            console.say(&format!("warning: {warning}"));
        }
    }

    /// Its architecture and size in a few words.
    fn describe(&self) -> String {
        let config = self.checkpoint.config();
        let parameters = self.checkpoint.params().iter().map(|p| p.elements()).sum();
        format!(
            "{}, {} parameters, {}, vocabulary of {}",
            config.architecture.model_type(),
            thousands(parameters),
            count(config.num_hidden_layers, "layer"),
            thousands(config.vocab_size as u64)
        )
    }
}

/// Opens adapters of a base and tells about them.
///
/// # Errors
/// What keeps one from being an adapter of this base.
pub(super) async fn open_adapters(base: &Checkpoint, paths: &[String], console: Console) -> Result<Vec<Adapter>> {
    let directories = paths.iter().map(|path| Ok(Rc::new(open_given_directory(path)?) as Rc<dyn Directory>)).collect::<Result<_>>()?;
    let adapters = Adapter::open_all(directories, base).await?;
    for (at, (path, adapter)) in paths.iter().zip(&adapters).enumerate() {
        if paths[..at].contains(path) {
            console.say(&format!("warning: {path} is given more than once, and its change is added as often"));
        }
        let numbers = adapter.params.iter().map(|p| p.decl.elements()).sum();
        let mut parts = vec![count(adapter.resolved.targets.len(), "adapted matrix").replace("matrixs", "matrices")];
        if !adapter.resolved.saved.is_empty() {
            parts.push(count(adapter.resolved.saved.len(), "whole parameter"));
        }
        if adapter.resolved.use_dora {
            parts.push("DoRA".into());
        }
        console.say(&format!("lora     {path} ({} parameters: {})", thousands(numbers), parts.join(", ")));
        for note in &adapter.notes {
            console.say(note);
        }
    }
    Ok(adapters)
}

/// Opens the directory of a model or adapter.
///
/// # Errors
/// When there is none; where it looks like a name on Hugging Face, with how to get it.
pub(super) fn open_given_directory(path: &str) -> Result<rootstock::platform::NativeDirectory> {
    let looks_like_hub_name = path.split('/').count() == 2 && !path.starts_with(['.', '/', '~']) && !path.ends_with('/');
    if looks_like_hub_name && !Path::new(path).exists() {
        return Err(Error::file(
            path,
            format!(
                "there is no such directory; if this is a name on Hugging Face, nothing is downloaded here: \
                 fetch it with `hf download {path} --local-dir DIR` and give DIR"
            ),
        ));
    }
    open_directory(Path::new(path))
}

/// Opens the directory that a dataset file lies in.
pub(super) fn open_dataset(path: &str) -> Result<(Box<dyn Directory>, String)> {
    let (parent, name) = parent_and_name(Path::new(path));
    Ok((Box::new(open_directory(&parent)?), name))
}

/// Reads a recipe.
///
/// # Errors
/// See [`Recipe::load`].
pub(super) async fn load_recipe(path: &Path, overrides: &[String]) -> Result<Recipe> {
    let shown = path.display().to_string();
    if path.is_dir() {
        return Err(Error::file(shown, "this is a directory; give the recipe's file, for example recipe.yaml"));
    }
    let (parent, name) = parent_and_name(path);
    if !path.exists() {
        return Err(Error::file(shown, "there is no such file; give the path of a recipe, a YAML file (docs/recipes.md)"));
    }
    Recipe::load(&open_directory(&parent)?, &name, overrides).await
}

/// All that a recipe names.
pub(super) struct Setup {
    pub(super) recipe: Recipe,
    pub(super) model: Model,
    pub(super) carry: Carry,
    pub(super) data: Prepared,
}

impl Setup {
    /// Opens what a recipe names and tells about it.
    ///
    /// # Errors
    /// The first thing that is wrong with recipe, model or data.
    pub(super) async fn of(recipe: Recipe, console: Console) -> Result<Setup> {
        let model = Model::open(&recipe.model_name_or_path).await?;
        Setup::with(recipe, model, &open_dataset, console).await
    }

    /// The same with a model that is open already, and datasets from elsewhere.
    ///
    /// # Errors
    /// As [`Setup::of`].
    pub(super) async fn with(recipe: Recipe, model: Model, open: &OpenPath<'_>, console: Console) -> Result<Setup> {
        console.notes(&recipe.notices);
        model.introduce(&recipe.model_name_or_path, console);
        let data = prepare(&recipe, &model.tokenizer, model.checkpoint.config(), open).await?;
        for (title, names, encoded) in [
            ("dataset ", &recipe.dataset, &data.train),
            ("eval    ", if recipe.eval_dataset.is_empty() { &recipe.dataset } else { &recipe.eval_dataset }, &data.eval),
        ] {
            if encoded.samples.is_empty() {
                continue;
            }
            console.say(&format!(
                "{title} {} ({}, {}, {} of them learned; {} truncated, {} dropped)",
                names.join(", "),
                count(encoded.samples.len(), "sample"),
                count(encoded.tokens(), "token"),
                thousands(encoded.targets() as u64),
                thousands(encoded.truncated as u64),
                thousands(encoded.dropped as u64),
            ));
            console.notes(&encoded.notices);
        }
        let carry = carried_files(&model.checkpoint, &model.tokenizer, recipe.stage).await?;
        Ok(Setup { recipe, model, carry, data })
    }
}
