//! `rootstock estimate`.

use std::path::PathBuf;

use clap::Args;
use rootstock::Result;
use rootstock::gpu::human_bytes;
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
  rootstock estimate recipe.yaml --memory-limit 8GB --json")]
pub(super) struct EstimateArgs {
    /// The recipe, a YAML file with LLaMA-Factory's keys
    recipe: PathBuf,
    /// Settings that win over the recipe's
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
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
    total_steps: u64,
}

pub(super) async fn run(args: &EstimateArgs, global: &Global) -> Result<()> {
    let console = global.console();
    let recipe = load_recipe(&args.recipe, &args.overrides).await?;
    let run = open_run(recipe, console).await?;
    let gpu = global.gpu().await?;
    let profile = gpu.profile();
    let planned = run.plan(profile).await?;
    let (memory, checkpointing) = (&planned.memory, planned.checkpointing());
    console.notes(&planned.notices);
    let fits = memory.check(profile, checkpointing).is_ok();
    let named = memory.weights_bytes + memory.gradients_bytes + memory.optimizer_bytes + memory.activations_bytes;
    let estimate = Estimate {
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
        suggestions: if fits { Vec::new() } else { memory.suggestions(checkpointing) },
        device: profile.name.clone(),
        total_steps: planned.loader.total_steps(),
    };
    if args.json { console::print_json(&estimate) } else { console::print(&human(&estimate)) }
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
    text += &format!("\n\n{verdict}: {offered}. The run has {} steps.", thousands(e.total_steps));
    for suggestion in &e.suggestions {
        text += &format!("\n  - {suggestion}");
    }
    text
}
