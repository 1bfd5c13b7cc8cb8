//! `rootstock demo`.

mod ask;
mod recipes;
mod table;

use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::Args;
use rootstock::checkpoint::WriteOptions;
use rootstock::config::Recipe;
use rootstock::gpu::Gpu;
use rootstock::platform::{Directory, open_directory};
use rootstock::validate::Options;
use rootstock::workflow::Model;
use rootstock::{Error, Result};

use self::ask::{Asked, Exam, Marks, Task};
use self::recipes::{Places, Recipes};
use self::table::{Cost, Journey, shorten};
use super::Global;
use super::console::{self, Console, count};
use super::embedded;
use super::merge::{Merge, Place};
use super::progress::Progress;
use super::setup::{open_adapted, open_model, run_on};
use super::train::{Output, files, run_training};
use super::validate::show_judgement;

/// Shows the whole journey on a small model that the program carries
///
/// A language model of a million parameters has read stories about a village. It is fully fine-tuned to answer questions about
/// it (a skill); a LoRA adapter on the result answers like a pirate (a style); both are merged into one model. Each step is validated,
/// and all three models are asked the same held-out questions. Takes a few minutes, also without a graphics card.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootstock demo
  rootstock demo --out somewhere/else
  rootstock demo num_train_epochs=1          a setting of both runs
  rootstock demo lora_rank=2 full.learning_rate=5.0e-4 lora.num_train_epochs=10

The recipes are assets/demo/village.yaml and pirate.yaml; copies with all data are in data/ afterwards.")]
pub(super) struct DemoArgs {
    /// Where the results go: base/, village/ (fully fine-tuned), pirate/ (the adapter), merged/, data/
    #[arg(long, value_name = "DIR", default_value = "demo-output")]
    out: PathBuf,
    /// Settings that win over the demo's recipes; full.KEY and lora.KEY are for one of the two runs
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

/// What the model is asked to continue: a sentence as its stories have them.
const STORY: &str = "Anna lives in";

pub(super) async fn run(args: &DemoArgs, global: &Global) -> Result<()> {
    let console = global.console();
    let places = Places::new(&args.out);
    let recipes = Recipes::load(&places, &args.overrides).await?;
    // Both are locked until the end, and nothing of an earlier journey stays beside the new one.
    let (full_out, lora_out) = (Output::open(&recipes.full)?, Output::open(&recipes.lora)?);
    let merged_files: Vec<String> = embedded::directory("embedded-model").list().await?.into_iter().map(|entry| entry.name).collect();
    let merged_place = Place::replacing(Path::new(&places.merged()), &merged_files)?;
    places.write_base().await?;
    places.write_data().await?;
    let gpu = Rc::new(global.gpu().await?);
    let step = Step { console, gpu: gpu.clone() };
    let mut progress = Progress::new(console);

    console.say("── 1. The base: it has read stories about a village, and not one question\n");
    step.validate(&places.base(), None).await?;
    let base = open_model(&places.base(), console).await?;
    let exam = Exam { skill: Task::of(&recipes.full, &base.tokenizer).await?, style: Task::of(&recipes.lora, &base.tokenizer).await? };
    let story = Asked::open(&gpu, &base).await?.continuation(STORY).await?;
    console.say(&format!("\nit continues a story: {STORY} {}", shorten(&story)));
    let of_base = step.ask(&exam, &base).await?;

    console.say("\n── 2. Full fine-tuning: all its parameters learn a skill, to answer questions\n");
    let full_cost = step.train(recipes.full, base, &full_out, &mut progress, "model.safetensors").await?;

    console.say("\n── 3. Is the result a base for LoRA?\n");
    step.validate(&places.full(), Some(&places.base())).await?;
    let full = open_model(&places.full(), console).await?;
    console.say("");
    let of_full = step.ask(&exam, &full).await?;
    say_whether_same(console, of_full.skill_loss, full_cost.outcome.eval_loss, &places.full())?;

    console.say("\n── 4. LoRA on the result: a small adapter learns a style, to answer like a pirate\n");
    let lora_cost = step.train(recipes.lora, full, &lora_out, &mut progress, "adapter_model.safetensors").await?;
    console.say("");
    let adapted = open_adapted(&places.full(), &[places.adapter()], console).await?;
    let of_lora = step.ask(&exam, &adapted).await?;
    say_whether_same(console, of_lora.style_loss, lora_cost.outcome.eval_loss, &places.adapter())?;

    console.say("\n── 5. Merging: model and adapter become one model\n");
    let texts: Vec<Vec<u32>> = exam.style.samples.iter().map(|sample| sample.ids.clone()).collect();
    let max_shard_size = WriteOptions::default().max_shard_size;
    let merge = Merge { base: &adapted.checkpoint, adapters: &adapted.adapters, dtype: None, max_shard_size };
    let agreement = merge.write(&gpu, &merged_place, &texts, console).await?;
    step.validate(&places.merged(), Some(&places.full())).await?;
    console::print(&format!("\n{}: {agreement} of {}", places.merged(), count(texts.len(), "held-out answer")))?;

    let base_bytes = std::fs::metadata(Path::new(&places.base()).join("model.safetensors")).map_or(0, |meta| meta.len());
    let journey = Journey { exam, base_bytes, full: full_cost, lora: lora_cost, marks: [of_base, of_full, of_lora] };
    console.say("\n── What it came to\n");
    console::print(&format!("{}\n\n{}\n\n{}\n", journey.answers(), journey.comparison(), journey.kept()))?;
    for place in [places.full(), places.adapter(), places.merged()] {
        console::print(&files(Path::new(&place)))?;
    }
    console::print(&format!("\n{}", what_next(&places)))
}

/// What every step of the journey uses.
struct Step {
    console: Console,
    gpu: Rc<Gpu>,
}

impl Step {
    /// As `rootstock validate`.
    async fn validate(&self, directory: &str, base: Option<&str>) -> Result<()> {
        let open = |path: &str| -> Result<Rc<dyn Directory>> { Ok(Rc::new(open_directory(Path::new(path))?)) };
        let base = base.map(open).transpose()?;
        let options = Options { base, gpu: Some(self.gpu.clone()), ..Options::default() };
        show_judgement(open(directory)?, directory, &options, self.console).await
    }

    /// As `rootstock train`.
    async fn train(&self, recipe: Recipe, model: Model, out: &Output, progress: &mut Progress, weights: &str) -> Result<Cost> {
        let run = run_on(model, recipe, &embedded::Embedded, self.console).await?;
        let outcome = run_training(&run, &out.directory, &self.gpu, progress).await?;
        let samples = run.input.data.train.samples.len();
        Ok(Cost::of(samples, progress.started().cloned(), outcome, out.directory.path(), weights))
    }

    async fn ask(&self, exam: &Exam, model: &Model) -> Result<Marks> {
        let questions = count(exam.skill.questions.len(), "question");
        self.console.say(&format!("it is asked {questions} that no run is trained on …"));
        exam.take(&self.gpu, model).await
    }
}

/// What was written computes what was trained: the same held-out loss, to the last bit.
fn say_whether_same(console: Console, again: f64, in_the_run: Option<f64>, place: &str) -> Result<()> {
    let Some(in_the_run) = in_the_run else { return Ok(()) }; // eval_strategy=no
    if again.to_bits() != in_the_run.to_bits() {
        return Err(Error::file(
            place,
            format!(
                "what was written computes a held-out loss of {again}, in the run it was {in_the_run}; they should agree, this is a fault of the program"
            ),
        ));
    }
    console.say(&format!("held-out loss {again:.12}, as in the run to the last bit: what was written is what was trained"));
    Ok(())
}

/// Commands to go on with, as they can be typed.
fn what_next(places: &Places) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "rootstock".into());
    let quote = |word: &str| if word.contains(char::is_whitespace) { format!("'{word}'") } else { word.to_string() };
    let row = |words: &[&str], what: &str| {
        let words: Vec<String> = std::iter::once(program.as_str()).chain(words.iter().copied()).map(quote).collect();
        vec![format!("  {}", words.join(" ")), what.to_string()]
    };
    let commands = console::table(&[
        row(&["chat", "--model", &places.full(), "--adapter", &places.adapter()], "the pirate"),
        row(&["chat", "--model", &places.merged()], "the same as one model"),
        row(&["train", &format!("{}/newcomers.yaml", places.data())], "an adapter of your own: change its recipe and its data"),
    ]);
    format!("Go on with it:\n{commands}")
}
