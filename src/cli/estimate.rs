//! `rootstock estimate`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;
use rootstock::config::Recipe;
use rootstock::gpu::{Profile, human_bytes};
use rootstock::plan::{Memory, Options};
use rootstock::train::plan_shape;
use rootstock::{Error, Result};
use serde::Serialize;

use super::Global;
use super::console::{self, thousands};
use super::setup::{load_recipe, open_run};

/// Tells how much GPU memory a recipe needs, and whether it fits
///
/// The numbers are those of the plan that `train` follows, with the recipe's own data; nothing is allocated or written.
/// How long a run takes is not guessed: `train` shows it after its first steps.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootstock estimate recipe.yaml
  rootstock estimate recipe.yaml gradient_checkpointing=true
  rootstock estimate recipe.yaml --memory-limit 8GB --json
  rootstock estimate --shape config.json --tokens 512 finetuning_type=lora quantization_bit=4")]
pub(super) struct EstimateArgs {
    /// The recipe, a YAML file with LLaMA-Factory's keys
    #[arg(required_unless_present = "shape")]
    recipe: Option<PathBuf>,
    /// Settings that win over the recipe's
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// A model's config.json, in place of a recipe: what a run takes on a model of this shape, its frozen weights in bfloat16 or quantised
    #[arg(long, value_name = "FILE", requires = "tokens")]
    shape: Option<PathBuf>,
    /// Tokens of each sample, with --shape
    #[arg(long, value_name = "N", requires = "shape")]
    tokens: Option<NonZeroUsize>,
    /// Print {"peak_bytes", "weights_bytes", …, "fits", "suggestions"} as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Estimate {
    peak_bytes: u64,
    weights_bytes: u64,
    gradients_bytes: u64,
    optimizer_bytes: u64,
    activations_bytes: u64,
    other_bytes: u64,
    available_bytes: Option<u64>,
    fits: bool,
    largest_binding_bytes: u64,
    max_binding_bytes: u64,
    suggestions: Vec<String>,
    #[serde(rename = "adapter")]
    device: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_steps: Option<u64>,
}

impl Estimate {
    fn of(memory: &Memory, profile: &Profile, options: Options, total_steps: Option<u64>) -> Estimate {
        let fits = memory.check(profile, Some(options)).is_ok();
        let named = memory.weights_bytes + memory.gradients_bytes + memory.optimizer_bytes + memory.activations_bytes;
        Estimate {
            peak_bytes: memory.peak_bytes(),
            weights_bytes: memory.weights_bytes,
            gradients_bytes: memory.gradients_bytes,
            optimizer_bytes: memory.optimizer_bytes,
            activations_bytes: memory.activations_bytes,
            other_bytes: memory.peak_bytes() - named,
            available_bytes: profile.usable_memory(),
            fits,
            largest_binding_bytes: memory.largest_binding_bytes,
            max_binding_bytes: profile.max_binding,
            suggestions: if fits { Vec::new() } else { memory.suggestions(Some(options)) },
            device: profile.name.clone(),
            total_steps,
        }
    }
}

pub(super) async fn run(args: &EstimateArgs, global: &Global) -> Result<()> {
    let console = global.console();
    let estimate = match (&args.shape, &args.recipe) {
        (Some(shape), first) => of_shape(shape, first.as_deref(), args, global).await?,
        (None, recipe) => {
            let recipe = load_recipe(recipe.as_deref().unwrap_or(Path::new("")), &args.overrides).await?;
            let run = open_run(recipe, console).await?;
            let gpu = global.gpu().await?;
            let planned = run.plan(gpu.profile()).await?;
            console.notes(&planned.notices);
            Estimate::of(&planned.memory, gpu.profile(), planned.plan_options(), Some(planned.loader.total_steps()))
        }
    };
    if args.json { console::print_json(&estimate) } else { console::print(&human(&estimate)) }
}

/// What a run takes of which only the model's shape is known. What stands in the recipe's place is the first setting.
async fn of_shape(shape: &Path, first: Option<&Path>, args: &EstimateArgs, global: &Global) -> Result<Estimate> {
    // A model's directory stands for the config.json in it.
    let shape = if shape.is_dir() { shape.join("config.json") } else { shape.to_path_buf() };
    let name = shape.display().to_string();
    let text = std::fs::read_to_string(&shape).map_err(|e| Error::file(&name, e.to_string()))?;
    let mut settings: Vec<String> = ["model_name_or_path=shape", "dataset=shape", "output_dir=shape"].map(String::from).to_vec();
    settings.extend(first.map(|setting| setting.display().to_string()));
    settings.extend(args.overrides.iter().cloned());
    let recipe = Recipe::parse("the settings", "", &settings)?;
    let gpu = global.gpu().await?;
    let planned = plan_shape(&text, &recipe, args.tokens.map_or(1, NonZeroUsize::get), gpu.profile())?;
    Ok(Estimate::of(&planned.memory, gpu.profile(), planned.options, None))
}

fn human(e: &Estimate) -> String {
    let row = |name: &str, bytes: u64| vec![name.to_string(), format!("{:>10}", human_bytes(bytes))];
    let mut text = console::table(&[
        row("weights", e.weights_bytes),
        row("gradients", e.gradients_bytes),
        row("optimizer's states", e.optimizer_bytes),
        row("activations", e.activations_bytes),
        row("batch, tables, kernel parameters", e.other_bytes),
        row("peak", e.peak_bytes),
    ]);
    let offered = match e.available_bytes {
        Some(bytes) => format!("{} offers {}", e.device, human_bytes(bytes)),
        None => format!("{} does not tell how much it has", e.device),
    };
    let verdict = if e.fits { "it fits" } else { "it does not fit" };
    text += &format!("\n\n{verdict}: {offered}.");
    if let Some(steps) = e.total_steps {
        text += &format!(" The run has {} steps.", thousands(steps));
    }
    for suggestion in &e.suggestions {
        text += &format!("\n  - {suggestion}");
    }
    text
}
