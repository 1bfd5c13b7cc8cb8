//! The checkpoints of an output directory: which are whole, and which are removed.

use super::job::Job;
use super::names::{STATE_FILE, checkpoint_name, checkpoint_step};
use crate::error::Result;
use crate::platform::{Directory, OutputDirectory};

/// The steps of the whole checkpoints in a directory, ascending.
pub(super) async fn checkpoints(out: &dyn Directory) -> Result<Vec<u64>> {
    let mut steps: Vec<u64> = Vec::new();
    for entry in out.list().await? {
        let Some((dir, file)) = entry.name.split_once('/') else { continue };
        if file == STATE_FILE
            && let Some(step) = checkpoint_step(dir)
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

/// Removes the oldest checkpoints beyond `save_total_limit`: never the one of step `kept`, never the best.
pub(super) async fn remove_oldest(job: &Job<'_>, kept: u64, best: Option<&str>) -> Result<()> {
    let Some(limit) = job.recipe.save_total_limit else { return Ok(()) };
    let is_best = |step: u64| best == Some(checkpoint_name(step).as_str());
    let mut steps = checkpoints(job.out).await?;
    steps.retain(|step| *step != kept && !is_best(*step));
    let best_kept = usize::from(best.is_some() && !is_best(kept));
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
