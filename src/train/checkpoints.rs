//! The checkpoints of an output directory: their names, which are whole, and which are removed.

use super::job::Job;
use super::state::{STATE_FILE, SavedState};
use crate::error::Result;
use crate::platform::{Directory, OutputDirectory};

/// The name of a step's checkpoint.
pub(super) fn checkpoint_name(step: u64) -> String {
    format!("checkpoint-{step}")
}

/// The steps of the whole checkpoints in a directory, ascending.
pub(super) async fn checkpoints(out: &dyn Directory) -> Result<Vec<u64>> {
    let mut steps: Vec<u64> = Vec::new();
    for entry in out.list().await? {
        let Some((dir, file)) = entry.name.split_once('/') else { continue };
        if file == STATE_FILE
            && let Some(step) = dir.strip_prefix("checkpoint-").and_then(|n| n.parse().ok())
        {
            steps.push(step);
        }
    }
    steps.sort_unstable();
    Ok(steps)
}

/// The newest whole checkpoint of an output directory.
///
/// # Errors
/// When the directory cannot be listed.
pub async fn newest_checkpoint(out: &dyn Directory) -> Result<Option<String>> {
    Ok(checkpoints(out).await?.last().map(|s| checkpoint_name(*s)))
}

/// Removes the oldest checkpoints beyond `save_total_limit`: never the one that was just written, never the best.
pub(super) async fn remove_oldest(job: &Job<'_>, state: &SavedState, name: &str) -> Result<()> {
    let Some(limit) = job.recipe.save_total_limit else { return Ok(()) };
    let mut steps = checkpoints(job.out).await?;
    steps.retain(|s| *s != state.global_step && Some(checkpoint_name(*s)) != state.best_model_checkpoint);
    let best_kept = usize::from(state.best_model_checkpoint.as_ref().is_some_and(|b| b != name));
    let keep = limit.saturating_sub(1 + best_kept);
    for step in steps.iter().take(steps.len().saturating_sub(keep)) {
        remove_checkpoint(job.out, &checkpoint_name(*step)).await?;
    }
    Ok(())
}

/// Removes a checkpoint, under another name first: one that is half removed must not be taken for a whole one.
pub(super) async fn remove_checkpoint(out: &dyn OutputDirectory, name: &str) -> Result<()> {
    let aside = format!(".{name}.removed.partial");
    out.remove(&aside).await?;
    if out.size(&format!("{name}/{STATE_FILE}")).await?.is_none() {
        return out.remove(name).await;
    }
    out.rename(name, &aside).await?;
    out.remove(&aside).await
}
