//! `rootstock eval`.

use std::path::PathBuf;
use std::rc::Rc;

use clap::Args;
use rootstock::config::{Recipe, Stage};
use rootstock::data::Sample;
use rootstock::gpu::Gpu;
use rootstock::platform::{NativeDirectory, write_json};
use rootstock::workflow::{Paths, Run};
use rootstock::{Error, Model, Result};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Global;
use super::console::{self, count, thousands};
use super::held_out::HeldOutArgs;
use super::predict::{self, for_prediction, judge, predict};
use super::setup::{AdapterArgs, open_adapted, open_adapters, open_run, prepare, recipe_text};

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
        return evaluate_only(recipe, global, args.json).await;
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

/// Scores a recipe's model and adapters on its evaluation data (`do_eval`), and predicts (`do_predict`): lets them answer its prompts, or a
/// reward model judge its answers.
///
/// # Errors
/// The first thing that is wrong with model or data; what the device fails with.
pub(super) async fn evaluate_only(recipe: Recipe, global: &Global, json: bool) -> Result<()> {
    let console = global.console();
    let (scores, predicts) = (recipe.do_eval, recipe.do_predict);
    let Run { mut model, input } = open_run(if scores { recipe.clone() } else { for_prediction(recipe.clone()) }, console).await?;
    model.checkpoint = input.checkpoint.clone();
    model.adapters = Rc::new(open_adapters(&model.checkpoint, &recipe.adapter_name_or_path, console).await?);
    let gpu = Rc::new(global.gpu().await?);
    let mut document = Map::new();
    if scores && recipe.stage.compares_answers() {
        let score = model.score_preferences(&gpu, &input.data.eval.samples, &recipe, input.reference.as_ref()).await?;
        let mut results = Map::new();
        results.insert("eval_loss".into(), score.loss.into());
        results.extend(score.figures.iter().map(|(name, figure)| (format!("eval_{name}"), json!(figure))));
        write_results(&recipe, &results).await?;
        if json {
            document.extend(results);
            document.insert("samples".into(), score.samples.into());
        } else {
            let figures = score.figures.iter().map(|(name, figure)| vec![name.clone(), format!("{:.4}", figure.unwrap_or(f64::NAN))]);
            let rows = std::iter::once(vec!["eval_loss".to_string(), format!("{:.6}", score.loss)]).chain(figures);
            console::print(&console::table(&rows.chain([vec!["samples".into(), thousands(score.samples as u64)]]).collect::<Vec<_>>()))?;
        }
    } else if scores {
        let results = score_tokens(&model, &gpu, &input.data.eval.samples, &recipe, json.then_some(&mut document)).await?;
        write_results(&recipe, &results).await?;
    }
    if predicts && recipe.stage == Stage::Rm {
        let judged = judge(&model, &recipe, &input.data.eval.samples, &gpu).await?;
        match json {
            true => _ = document.insert("predict".into(), as_json(&judged)?),
            false => predict::show_judged(&judged, &recipe.output_dir)?,
        }
    } else if predicts {
        let data = match scores {
            true => prepare(&model, &for_prediction(recipe.clone()), &Paths, console).await?.eval,
            false => input.data.eval.clone(),
        };
        let predicted = predict(&model, &recipe, &data.samples, &gpu, console).await?;
        match json {
            true => _ = document.insert("predict".into(), as_json(&predicted)?),
            false => predict::show(&predicted, &recipe.output_dir)?,
        }
    }
    if json { console::print_json(&document) } else { Ok(()) }
}

/// Scores the tokens of samples, shows that (or adds it to the document), and returns what is written of it.
async fn score_tokens(
    model: &Model,
    gpu: &Rc<Gpu>,
    samples: &[Sample],
    recipe: &Recipe,
    document: Option<&mut Map<String, Value>>,
) -> Result<Map<String, Value>> {
    let score = match recipe.compute_accuracy {
        true => model.score_accuracy(gpu, samples).await?,
        false => model.score(gpu, samples, recipe.per_device_eval_batch_size).await?,
    };
    if let Some(document) = document {
        document.extend(as_json(&score)?.as_object().cloned().unwrap_or_default());
    } else {
        let tokens = count(score.tokens, "token");
        let accuracy = score.accuracy.map_or(String::new(), |accuracy| format!(", eval_accuracy {accuracy:.4}"));
        console::print(&format!("eval_loss {:.6} (perplexity {:.4}){accuracy} over {tokens}", score.loss, score.perplexity))?;
    }
    let mut results = Map::from_iter([("eval_loss".to_string(), json!(score.loss)), ("perplexity".to_string(), json!(score.perplexity))]);
    results.extend(score.accuracy.map(|accuracy| ("eval_accuracy".to_string(), json!(accuracy))));
    Ok(results)
}

/// Writes the results of an evaluation into the recipe's output_dir, if it names one.
async fn write_results(recipe: &Recipe, results: &Map<String, Value>) -> Result<()> {
    if recipe.output_dir.is_empty() {
        return Ok(());
    }
    let out = NativeDirectory::new(&recipe.output_dir);
    for name in ["eval_results.json", "all_results.json"] {
        write_json(&out, name, results).await?;
    }
    Ok(())
}

fn as_json(value: &impl Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|e| Error::file("the standard output", e.to_string()))
}
