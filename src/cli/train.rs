//! `rootstock train`.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::Args;
use rootstock::config::{Recipe, Resume};
use rootstock::gpu::{Gpu, human_bytes};
use rootstock::platform::{DirectoryLock, NativeDirectory};
use rootstock::train::{Outcome, check_output};
use rootstock::workflow::{Paths, Run};
use rootstock::{Error, Result};

use super::console::{self, count, duration, thousands};
use super::eval::evaluate_only;
use super::progress::Progress;
use super::setup::{load_recipe, open_beginning, run_on};
use super::{Global, tuning};

/// Trains a model as a recipe says
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootstock train recipe.yaml
  rootstock train recipe.yaml num_train_epochs=1 output_dir=out/short
  rootstock train recipe.yaml resume_from_checkpoint=true

A recipe in short:
  model_name_or_path: models/SmolLM2-135M-Instruct
  stage: sft
  finetuning_type: full
  dataset: data/train.jsonl
  output_dir: out
  learning_rate: 2.0e-5

docs/recipes.md lists all keys. Ctrl-C stops after the step and saves; a second one stops at once. \
A run that was interrupted, in whatever way, goes on with resume_from_checkpoint=true to the same result.")]
pub(super) struct TrainArgs {
    /// The recipe, a YAML file with LLaMA-Factory's keys; - reads it from the standard input
    recipe: PathBuf,
    /// Settings that win over the recipe's
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Print what happens as JSON, an object a line: {"event": "start" | "notice" | "log" | "evaluation" | "saved" | "end", …};
    /// the last has "steps", "train_loss", "eval_loss" and more
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &TrainArgs, global: &Global) -> Result<()> {
    let console = global.console();
    let recipe = load_recipe(&args.recipe, &args.overrides).await?;
    if !recipe.do_train {
        return evaluate_only(recipe, global, args.json).await;
    }
    let out = Output::open(&recipe)?;
    check_output(&out.directory, &recipe).await?;
    let model = open_beginning(&recipe, console).await?.as_begun(&recipe, &Paths, &out.directory).await?;
    let run = run_on(model, recipe, &Paths, console).await?;
    let gpu = tuning::measured(global.gpu().await?, console).await;
    let mut progress = if args.json { Progress::with_json(console) } else { Progress::new(console) };
    let outcome = run_training(&run, &out.directory, &gpu, &mut progress).await?;
    if args.json {
        return console::print_event("end", &outcome);
    }
    console::print(&summary(&run.input.recipe, &outcome))?;
    console::print(&files(out.directory.path()))
}

/// Trains an open run and shows its progress.
pub(super) async fn run_training(run: &Run, out: &NativeDirectory, gpu: &Rc<Gpu>, progress: &mut Progress) -> Result<Outcome> {
    let outcome = run.train(gpu, out, progress).await;
    progress.finish();
    outcome
}

fn summary(recipe: &Recipe, outcome: &Outcome) -> String {
    let early = if outcome.stopped_early { ", stopped early" } else { "" };
    let mut rows = vec![
        vec!["steps".to_string(), format!("{} ({:.2} epochs{early})", thousands(outcome.steps), outcome.epoch)],
        vec!["loss".to_string(), format!("{:.4} (mean over the run)", outcome.train_loss)],
    ];
    if let Some(loss) = outcome.eval_loss {
        let perplexity = if recipe.stage.compares_answers() { String::new() } else { format!(" (perplexity {:.2})", loss.exp()) };
        rows.push(vec!["eval loss".into(), format!("{loss:.4}{perplexity}")]);
    }
    if let Some((loss, name)) = outcome.best.as_ref().filter(|_| recipe.load_best_model_at_end) {
        rows.push(vec!["best".into(), format!("{name} (eval loss {loss:.4})")]);
    }
    rows.push(vec![
        "time".into(),
        format!("{}, {} tokens/s", duration(outcome.train_runtime), thousands(outcome.tokens_per_second as u64)),
    ]);
    rows.push(vec!["memory".into(), format!("{} at most", human_bytes(outcome.peak_bytes))]);
    console::table(&rows)
}

/// Lists an output directory: files with their sizes, directories with their number of files.
pub(super) fn files(path: &Path) -> String {
    let mut rows = Vec::new();
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(meta) = entry.metadata() else { continue };
        if name.starts_with('.') {
            continue;
        }
        rows.push(if meta.is_dir() {
            let inside = fs::read_dir(entry.path()).map_or(0, Iterator::count);
            vec![format!("  {name}/"), count(inside, "file")]
        } else {
            vec![format!("  {name}"), human_bytes(meta.len())]
        });
    }
    rows.sort();
    format!("{}\n{}", path.display(), console::table(&rows))
}

/// An output directory, locked for this run.
pub(super) struct Output {
    pub(super) directory: NativeDirectory,
    created: bool,
    lock: Option<DirectoryLock>,
}

impl Output {
    /// Makes the directory where it is missing and locks it.
    ///
    /// # Errors
    /// When it cannot be made, another run is writing there, or the model to train from would be written over.
    pub(super) fn open(recipe: &Recipe) -> Result<Output> {
        let path = Path::new(&recipe.output_dir);
        let fault = |reason: String| Error::recipe("output_dir", format!("{}: {reason}", path.display()));
        if path.is_file() {
            return Err(fault("this is a file; name a directory".into()));
        }
        let created = !path.exists();
        fs::create_dir_all(path).map_err(|e| fault(format!("this directory cannot be made: {e}")))?;
        let mut output = Output { directory: NativeDirectory::new(path), created, lock: None };
        output.lock = DirectoryLock::acquire(path)?;
        if output.lock.is_none() {
            return Err(fault("another run is writing here; wait for it, or name another directory".into()));
        }
        // A new run moves the files that it finds there aside.
        let begins = recipe.resume_from_checkpoint == Resume::No || !has_checkpoint(path);
        if let (Ok(out), Ok(model)) = (fs::canonicalize(path), fs::canonicalize(&recipe.model_name_or_path)) {
            if out == model {
                return Err(fault("this is the model's own directory; name another one, so that the model stays as it is".into()));
            }
            if model.starts_with(&out) && begins {
                return Err(fault(format!("the model {} lies inside it; a new run clears it, so name another directory", model.display())));
            }
        }
        for name in &recipe.adapter_name_or_path {
            let (Ok(out), Ok(adapter)) = (fs::canonicalize(path), fs::canonicalize(name)) else { continue };
            if out == adapter || adapter.starts_with(&out) && begins {
                return Err(fault(format!("the adapter {name} lies there; name another directory, so that it stays as it is")));
            }
        }
        Ok(output)
    }
}

/// Whether a run can go on in a directory.
fn has_checkpoint(path: &Path) -> bool {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter(|e| e.file_name().to_string_lossy().starts_with("checkpoint-")).any(|e| e.path().join("trainer_state.json").is_file())
}

impl Drop for Output {
    fn drop(&mut self) {
        drop(self.lock.take());
        if self.created {
            // Succeeds only when the directory is empty.
            let _ = fs::remove_dir(self.directory.path());
        }
    }
}
