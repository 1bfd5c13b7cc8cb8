//! Opening models, adapters, recipes and runs for several commands, and describing them on stderr.

use std::io::Read;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rootstock::adapter::Adapter;
use rootstock::checkpoint::Checkpoint;
use rootstock::config::{Recipe, Using};
use rootstock::data::{PrepareProgress, Prepared, hub_datasets};
use rootstock::error::on_one_line;
use rootstock::platform::{open_directory, parent_and_name, read_small};
use rootstock::workflow::{Model, Paths, Places, Run};
use rootstock::{Error, Result};

use super::console::{Console, count, thousands};
use super::hub;
use super::preview::first_sample;

/// Adapters on a model: the same option for all commands that run one.
#[derive(Debug, clap::Args)]
pub(super) struct AdapterArgs {
    /// A LoRA adapter's directory, put on the model without merging; may be given several times
    #[arg(long = "adapter", value_name = "DIR")]
    pub(super) adapters: Vec<String>,
}

/// Most bytes of a recipe on the standard input.
const RECIPE_BYTES: u64 = 1 << 20;

/// Opens the directory of a model; one that is named as on the hub is fetched where it is not there.
///
/// # Errors
/// Why it is not a model.
pub(super) async fn open_model(path: &str, console: Console) -> Result<Model> {
    hub::ensure(path, console)?;
    Model::open(Paths.directory(path).await?).await
}

/// The same for a run: with weights at random or more tokens where the recipe says so.
///
/// # Errors
/// As [`open_model`].
pub(super) async fn open_beginning(recipe: &Recipe, console: Console) -> Result<Model> {
    hub::ensure(&recipe.model_name_or_path, console)?;
    Model::for_run(Paths.directory(&recipe.model_name_or_path).await?, recipe).await
}

/// Opens a model's directory and adapters for it, and describes them.
///
/// # Errors
/// Why one of them is not a model, or not an adapter of it.
pub(super) async fn open_adapted(path: &str, adapters: &[String], console: Console) -> Result<Model> {
    let mut model = open_model(path, console).await?;
    introduce(&model, path, console);
    model.adapters = Rc::new(open_adapters(&model.checkpoint, adapters, console).await?);
    Ok(model)
}

/// Describes a model and shows its warnings.
pub(super) fn introduce(model: &Model, path: &str, console: Console) {
    let config = model.config();
    console.say(&format!(
        "model    {path} ({}, {} parameters, {}, vocabulary of {})",
        config.architecture.model_type(),
        thousands(model.parameters()),
        count(config.num_hidden_layers, "layer"),
        thousands(config.vocab_size as u64)
    ));
    console.notes(&model.remarks);
    for warning in &model.warnings {
        console.say(&format!("warning: {}", on_one_line(warning)));
    }
}

/// Opens adapters of a base and describes them.
///
/// # Errors
/// Why one is not an adapter of this base.
pub(super) async fn open_adapters(base: &Checkpoint, paths: &[String], console: Console) -> Result<Vec<Adapter>> {
    let mut directories = Vec::new();
    for path in paths {
        hub::ensure(path, console)?;
        directories.push(Paths.directory(path).await?);
    }
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
            console.say(&on_one_line(note));
        }
    }
    Ok(adapters)
}

/// Reads a recipe of training or evaluation.
///
/// # Errors
/// See [`Recipe::parse`]; also when there is no such file.
pub(super) async fn load_recipe(path: &Path, overrides: &[String]) -> Result<Recipe> {
    let (name, text) = recipe_text(path).await?;
    Recipe::parse(&name, &text, overrides)
}

/// The same for a recipe of chat or merging.
///
/// # Errors
/// As [`load_recipe`].
pub(super) async fn load_using(path: &Path, overrides: &[String]) -> Result<Using> {
    let (name, text) = recipe_text(path).await?;
    Using::parse(&name, &text, overrides)
}

/// The name that errors call a recipe, and its text; `-` is the standard input.
///
/// # Errors
/// When it cannot be read as text.
pub(super) async fn recipe_text(path: &Path) -> Result<(String, String)> {
    if path == Path::new("-") {
        let name = "the standard input".to_string();
        let mut text = String::new();
        let read = std::io::stdin().take(RECIPE_BYTES + 1).read_to_string(&mut text);
        read.map_err(|e| Error::file(&name, format!("it cannot be read as text: {e}")))?;
        if text.len() as u64 > RECIPE_BYTES {
            return Err(Error::file(name, "this is too long for a recipe"));
        }
        return Ok((name, text));
    }
    let shown = path.display().to_string();
    if path.is_dir() {
        return Err(Error::file(shown, "this is a directory; give the recipe's file, for example recipe.yaml"));
    }
    let (parent, name) = parent_and_name(path);
    if !path.exists() {
        return Err(Error::file(shown, "there is no such file; give the path of a recipe, a YAML file (docs/recipes.md)"));
    }
    let bytes = read_small(&open_directory(&parent)?, &name).await?;
    let text = String::from_utf8(bytes).map_err(|_| Error::file(&shown, "a recipe must be UTF-8 text"))?;
    Ok((shown, text))
}

/// Opens everything that a recipe names and describes it.
///
/// # Errors
/// The first thing that is wrong with recipe, model or data.
pub(super) async fn open_run(recipe: Recipe, console: Console) -> Result<Run> {
    let model = open_beginning(&recipe, console).await?;
    run_on(model, recipe, &Paths, console).await
}

/// The same with a model that is open already, and datasets from elsewhere.
///
/// # Errors
/// As [`open_run`].
pub(super) async fn run_on(model: Model, recipe: Recipe, places: &dyn Places, console: Console) -> Result<Run> {
    console.notes(&recipe.notices);
    for adapter in &recipe.adapter_name_or_path {
        hub::ensure(adapter, console)?;
    }
    if let Some(reference) = recipe.pref.ref_model.as_ref().filter(|_| recipe.needs_reference()) {
        hub::ensure(reference, console)?;
    }
    introduce(&model, &recipe.model_name_or_path, console);
    let data = prepare(&model, &recipe, places, console).await?;
    let run = Run::with(model, Rc::new(data), recipe, places).await?;
    let (recipe, data) = (&run.input.recipe, &run.input.data);
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
    if let Some(sample) = first_sample(&data.train, &run.model.tokenizer)? {
        console.say(&format!("sample   {sample}"));
    }
    Ok(run)
}

/// Reads and tokenises a recipe's data, with a bar where that takes a while.
///
/// # Errors
/// What is wrong with the data.
pub(super) async fn prepare(model: &Model, recipe: &Recipe, places: &dyn Places, console: Console) -> Result<Prepared> {
    for names in [&recipe.dataset, &recipe.eval_dataset] {
        for set in hub_datasets(names, &recipe.dataset_dir, &|path| places.dataset(path)).await? {
            hub::ensure_dataset(&set, console).await?;
        }
    }
    let mut bar: Option<ProgressBar> = None;
    let begun = Instant::now();
    let mut watch = |progress: PrepareProgress| {
        if console.is_interactive() && (bar.is_some() || begun.elapsed() > Duration::from_millis(500)) {
            let bar = bar.get_or_insert_with(|| {
                let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr_with_hz(8));
                let style = ProgressStyle::with_template("reading data {bar:24} {percent} %{msg}  {eta} left");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━─"));
                bar
            });
            bar.set_position((progress.share * 1000.0) as u64);
            bar.set_message(format!("  {}, {}", count(progress.records, "record"), count(progress.tokens, "token")));
        }
        Ok(())
    };
    let prepared = model.prepare_watched(recipe, places, &mut watch).await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    prepared
}
