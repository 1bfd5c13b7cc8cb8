//! `rootstock eval`.

use std::path::PathBuf;
use std::rc::Rc;

use clap::Args;
use rootstock::Result;
use rootstock::config::Recipe;

use super::Global;
use super::console::{self, thousands};
use super::held_out::HeldOutArgs;
use super::setup::{AdapterArgs, open_adapted, recipe_text};

/// Measures how well a model predicts texts or answers
///
/// A sample {"text": …} is the text as the tokenizer makes it, followed by the end-of-sequence token; every token but
/// the first counts. In conversations ({"messages": …}, {"instruction": …, "output": …}) the answers count. The loss is
/// the mean over all tokens that count, in nats; perplexity is e to its power; lower is better.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootstock eval --model out --dataset data/test.jsonl
  rootstock eval --model out --dataset data/test.jsonl --json
  rootstock eval recipe.yaml                        # its model on its eval_dataset or val_size")]
pub(super) struct EvalArgs {
    /// A recipe whose model and adapters are scored on its evaluation data; nothing is trained
    #[arg(required_unless_present = "model", conflicts_with_all = ["model", "adapters", "dataset"])]
    recipe: Option<PathBuf>,
    /// Settings that win over the recipe's
    #[arg(value_name = "KEY=VALUE", requires = "recipe")]
    overrides: Vec<String>,
    /// The model's directory
    #[arg(long, value_name = "DIR", requires = "dataset")]
    model: Option<String>,
    #[command(flatten)]
    adapters: AdapterArgs,
    #[command(flatten)]
    held_out: HeldOutArgs,
    /// How many samples to score at a time; fewer are taken where memory is short
    #[arg(long, value_name = "N", default_value_t = 8)]
    batch_size: usize,
    /// Print {"loss", "perplexity", "tokens", "samples"} as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &EvalArgs, global: &Global) -> Result<()> {
    let console = global.console();
    if let Some(path) = &args.recipe {
        let mut overrides = args.overrides.clone();
        overrides.push("do_train=false".into());
        let (name, text) = recipe_text(path).await?;
        // A recipe that asks for evaluation or prediction gets what it asks for, any other an evaluation.
        let recipe = Recipe::parse(&name, &text, &overrides).or_else(|_| {
            overrides.push("do_eval=true".into());
            Recipe::parse(&name, &text, &overrides)
        })?;
        return super::train::evaluate_only(recipe, global, args.json).await;
    }
    let model = open_adapted(args.model.as_deref().unwrap_or_default(), &args.adapters.adapters, console).await?;
    let samples = args.held_out.samples(&model, console).await?;

    let gpu = Rc::new(global.gpu().await?);
    console.say(&format!("device   {}", gpu.profile().name));
    let score = model.score(&gpu, &samples, args.batch_size).await?;
    if args.json {
        return console::print_json(&score);
    }
    let row = |name: &str, value: String| vec![name.to_string(), value];
    console::print(&console::table(&[
        row("loss", format!("{:.6}", score.loss)),
        row("perplexity", format!("{:.4}", score.perplexity)),
        row("tokens", thousands(score.tokens as u64)),
        row("samples", thousands(score.samples as u64)),
    ]))
}
