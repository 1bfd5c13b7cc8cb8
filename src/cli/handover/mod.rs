//! `rootstock handover`: a directory that LLaMA-Factory runs as it is, on one GPU or many. docs/handover.md holds what was measured.

mod copy;
mod dataset;
mod guide;
mod recipe;

use std::path::PathBuf;

use clap::Args;
use rootstock::Result;
use rootstock::config::{Recipe, as_written};
use rootstock::platform::{OutputDirectory, write_file};
use rootstock::workflow::{Model, Paths, Places};

use self::dataset::Datasets;
use self::guide::Guide;
use self::recipe::{Copied, HandedOver};
use super::Global;
use super::console::{self, count};
use super::hub;
use super::merge::Place;
use super::setup::{introduce, open_adapters, recipe_text};

/// Writes a directory that LLaMA-Factory runs as it is, on one GPU or many
///
/// Everything that the recipe names is put into it, by relative paths: the model, the adapters to go on from, the data in one plain form.
/// launch.sh runs it on one GPU, on several, and on several hosts, by torchrun, DeepSpeed (ZeRO 2 and 3), FSDP or Ray. What only this
/// program knows is left out and named; README.md there says all of it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootstock handover recipe.yaml --out cluster
  rootstock handover recipe.yaml --out cluster bf16=true num_train_epochs=1

There: sh cluster/launch.sh zero3 8
Back here: rootstock validate cluster/output; rootstock chat --model cluster/output")]
pub(super) struct HandoverArgs {
    /// The recipe, a YAML file with LLaMA-Factory's keys; - reads it from the standard input
    recipe: PathBuf,
    /// Settings that win over the recipe's
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The directory to write: one that does not exist yet or is empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) async fn run(args: &HandoverArgs, global: &Global) -> Result<()> {
    let console = global.console();
    let (name, text) = recipe_text(&args.recipe).await?;
    let recipe = Recipe::parse(&name, &text, &args.overrides)?;
    let written = as_written(&name, &text, &args.overrides)?;
    let place = Place::of(&args.out)?;

    // What cannot be trained is no use there either.
    hub::ensure(&recipe.model_name_or_path, console)?;
    let model_directory = Paths.directory(&recipe.model_name_or_path).await?;
    let model = Model::open(model_directory.clone()).await?;
    introduce(&model, &recipe.model_name_or_path, console);
    open_adapters(&model.checkpoint, &recipe.adapter_name_or_path, console).await?;

    let new = place.begin(console).await?;
    let out = new.directory();
    let write = async {
        let datasets = Datasets::write(&recipe, &place_of(&*out)).await?;
        console.notes(&datasets.notices);
        copy::model(&*model_directory, &*out.subdirectory("model")).await?;
        let mut adapters = Vec::new();
        for (i, path) in recipe.adapter_name_or_path.iter().enumerate() {
            let name = format!("adapter-{}", i + 1);
            copy::model(&*Paths.directory(path).await?, &*out.subdirectory(&name)).await?;
            adapters.push(name);
        }
        let tokens = match &recipe.vocabulary.described {
            Some(described) => Some(copy::tokens(described, &*out).await?),
            None => None,
        };
        let handed = HandedOver::of(&recipe, &written, &Copied { datasets: &datasets, adapters: &adapters, tokens: tokens.as_deref() });
        write_file(&*out, "recipe.yaml", handed.yaml.as_bytes()).await?;
        let guide = Guide { recipe: &recipe, handed: &handed, datasets: &datasets };
        for (name, text) in guide.files() {
            write_file(&*out, name, text.as_bytes()).await?;
        }
        Ok((handed, datasets))
    }
    .await;
    let (handed, datasets) = new.complete(write).await?;
    for dataset in &datasets.written {
        console.say(&format!("data     {} ({})", dataset.name, count(dataset.records, "record")));
    }
    for remark in handed.changes.iter().chain(&handed.remarks) {
        console.say(&format!("note: {remark}"));
    }
    let out = args.out.display();
    console::print(&format!("{out} is ready: sh {out}/launch.sh one, or torchrun, zero2, zero3, fsdp, ray; {out}/README.md says more"))
}

/// The path of a directory that is being written.
fn place_of(out: &dyn OutputDirectory) -> PathBuf {
    PathBuf::from(out.label())
}
