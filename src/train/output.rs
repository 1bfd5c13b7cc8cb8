//! The output directory: what may stand in it when a run begins, and where an earlier run's files are kept until the new ones are whole.

use super::checkpoints::checkpoints;
use super::events;
use super::history::LOG_FILE;
use super::names::{OPTIMIZER_FILE, STATE_FILE, checkpoint_name, checkpoint_step};
use super::wandb;
use crate::checkpoint::Carry;
use crate::config::{Recipe, Resume};
use crate::error::{Error, Result};
use crate::platform::OutputDirectory;

/// Refuses an output directory whose contents a new run would write over.
///
/// # Errors
/// [`Error::Recipe`] with what to do: go on from the checkpoints that are there, allow overwriting, or name another directory.
pub async fn check_output(out: &dyn OutputDirectory, recipe: &Recipe) -> Result<()> {
    match recipe.resume_from_checkpoint {
        // A run that goes on from one of its own checkpoints writes beside it; any other is checked when its checkpoint is read.
        Resume::Newest | Resume::From(_) => Ok(()),
        Resume::No => check_free(out, recipe).await,
    }
}

/// Refuses an output directory that holds another run's files.
///
/// # Errors
/// As [`check_output`].
pub(super) async fn check_free(out: &dyn OutputDirectory, recipe: &Recipe) -> Result<()> {
    if recipe.overwrite_output_dir {
        return Ok(());
    }
    let entries = out.list().await?;
    let place = out.label();
    if let Some(aside) = entries.iter().find_map(|e| earlier_number(top(&e.name))) {
        return Err(Error::recipe(
            "output_dir",
            format!(
                "{place} keeps an earlier result in {EARLIER}{aside}, as the run that was to replace it did not come to its end; add \
                 resume_from_checkpoint=true to go on with that run, overwrite_output_dir=true to begin anew, or name another directory"
            ),
        ));
    }
    // The log of a run that ended before it saved anything, and what a killed writer left, are not worth keeping.
    if entries.iter().all(|e| e.name == LOG_FILE || e.name.starts_with('.')) {
        return Ok(());
    }
    let reason = match checkpoints(out).await?.last() {
        Some(step) => format!(
            "{place} holds an earlier run with {}; add resume_from_checkpoint=true to go on from there, overwrite_output_dir=true to \
             begin anew, or name another directory",
            checkpoint_name(*step)
        ),
        None => format!("{place} is not empty; add overwrite_output_dir=true to replace a result that is in it, or name another directory"),
    };
    Err(Error::recipe("output_dir", reason))
}

/// Where an earlier run's files are kept until the new result is whole: `.earlier-1`, `.earlier-2` …
const EARLIER: &str = ".earlier-";

/// The number of such a directory.
fn earlier_number(name: &str) -> Option<u64> {
    name.strip_prefix(EARLIER)?.parse().ok()
}

/// The part of an entry's name that stands in the directory itself.
fn top(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

/// What is moved out of the way of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aside {
    /// All that runs and trainers leave: before a new run.
    Run,
    /// The model or adapter alone: before a resumed run writes its result again.
    Result,
}

impl Aside {
    /// Whether a file or directory is of that kind. Everything else in an output directory is the user's and stays where it is.
    fn takes(self, name: &str) -> bool {
        const RUN: [&str; 8] = [
            STATE_FILE,
            LOG_FILE,
            "training_loss.png",
            "train_results.json",
            "eval_results.json",
            "all_results.json",
            events::FOLDER,
            wandb::FOLDER,
        ];
        const RESULT: [&str; 5] = ["config.json", "adapter_config.json", "generation_config.json", "training_args.bin", OPTIMIZER_FILE];
        let has = |starts: &[&str], ends: &[&str]| starts.iter().any(|s| name.starts_with(s)) && ends.iter().any(|e| name.ends_with(e));
        let weights = has(&["model", "pytorch_model", "adapter_model", "value_head"], &[".safetensors", ".bin", ".index.json"]);
        let result = weights || RESULT.contains(&name) || Carry::is_carried(name) || name == "additional_chat_templates";
        match self {
            Aside::Result => result,
            Aside::Run => result || RUN.contains(&name) || checkpoint_step(name).is_some(),
        }
    }
}

/// Moves an earlier run's files into a directory of their own, so that nobody ever reads a mixture of two results and a run that is
/// killed has lost neither. Returns that directory's name; `None` where there was nothing to move.
///
/// # Errors
/// What renaming fails with. What was moved by then stays moved, and the next run goes on moving.
pub(super) async fn set_aside(out: &dyn OutputDirectory, kind: Aside) -> Result<Option<String>> {
    let entries = out.list().await?;
    let mut names: Vec<&str> = entries.iter().map(|entry| top(&entry.name)).filter(|name| kind.takes(name)).collect();
    // What makes a directory a model goes first: one that is half moved is none.
    names.sort_by_key(|name| (!matches!(*name, "config.json" | "adapter_config.json"), *name));
    names.dedup();
    if names.is_empty() || names == [LOG_FILE] {
        return Ok(None);
    }
    // A run that was killed while it moved files goes on in the same place.
    let is_free = |number: u64| {
        let prefix = format!("{EARLIER}{number}/");
        !entries.iter().filter_map(|e| e.name.strip_prefix(&prefix)).any(|inside| names.contains(&top(inside)))
    };
    let last = entries.iter().filter_map(|e| earlier_number(top(&e.name))).max().unwrap_or(1);
    let number = if is_free(last) { last } else { last + 1 };
    let aside = format!("{EARLIER}{number}");
    for name in names {
        out.rename(name, &format!("{aside}/{name}")).await?;
    }
    out.sync().await?;
    Ok(Some(aside))
}

/// Removes what [`set_aside`] moved, once the new result is whole.
pub(super) async fn remove_aside(out: &dyn OutputDirectory) -> Result<()> {
    let entries = out.list().await?;
    let mut aside: Vec<&str> = entries.iter().map(|entry| top(&entry.name)).filter(|name| earlier_number(name).is_some()).collect();
    aside.dedup();
    for name in aside {
        out.remove(name).await?;
    }
    Ok(())
}

/// Moves back what [`set_aside`] moved for a run that failed before it saved anything.
pub(super) async fn put_back(out: &dyn OutputDirectory, aside: &str) -> Result<()> {
    if !checkpoints(out).await?.is_empty() {
        return Ok(());
    }
    out.remove(LOG_FILE).await?;
    let prefix = format!("{aside}/");
    let entries = out.list().await?;
    let mut names: Vec<&str> = entries.iter().filter_map(|e| Some(top(e.name.strip_prefix(&prefix)?))).collect();
    // The reverse order: what makes the directory a model comes last.
    names.sort_by_key(|name| (matches!(*name, "config.json" | "adapter_config.json"), *name));
    names.dedup();
    for name in names {
        out.rename(&format!("{aside}/{name}"), name).await?;
    }
    out.remove(aside).await
}

/// Removes what interrupted writers left.
pub(super) async fn remove_partial(out: &dyn OutputDirectory) -> Result<()> {
    // A directory whose files were removed, but not yet itself, is among them.
    for name in out.names().await? {
        if name.starts_with('.') && name.ends_with(".partial") {
            out.remove(&name).await?;
        }
    }
    Ok(())
}
