//! What may stand in an output directory when a run begins.

use super::checkpoints::{checkpoint_name, checkpoints, remove_checkpoint};
use super::history::LOG_FILE;
use crate::config::{Recipe, Resume};
use crate::error::{Error, Result};
use crate::platform::OutputDirectory;

/// Refuses an output directory whose contents a new run would write over.
///
/// # Errors
/// [`Error::Recipe`] with what to do: go on from the checkpoints that are there, allow overwriting, or name another directory.
pub async fn check_output(out: &dyn OutputDirectory, recipe: &Recipe) -> Result<()> {
    if recipe.overwrite_output_dir || recipe.resume_from_checkpoint != Resume::No {
        return Ok(());
    }
    // The log of a run that ended before it saved anything, and what a killed writer left, are nobody's loss.
    let entries = out.list().await?;
    if entries.iter().all(|e| e.name == LOG_FILE || e.name.starts_with('.')) {
        return Ok(());
    }
    let place = out.label();
    let reason = match checkpoints(out).await?.last() {
        Some(step) => format!(
            "{place} holds an earlier run with {}; add resume_from_checkpoint=true to go on from there, overwrite_output_dir=true to \
             begin anew, or name another directory",
            checkpoint_name(*step)
        ),
        None => format!("{place} is not empty; add overwrite_output_dir=true to write into it, or name another directory"),
    };
    Err(Error::recipe("output_dir", reason))
}

/// Removes what interrupted writers left, and for a run that begins anew also the checkpoints of the run before it: its
/// newest could otherwise be taken for this run's.
pub(super) async fn clear(out: &dyn OutputDirectory, anew: bool) -> Result<()> {
    let mut partial: Vec<String> = Vec::new();
    for entry in out.list().await? {
        let name = entry.name.split('/').next().unwrap_or_default();
        if name.starts_with('.') && name.ends_with(".partial") {
            partial.push(name.to_string());
        }
    }
    partial.dedup();
    for name in partial {
        out.remove(&name).await?;
    }
    if anew {
        for step in checkpoints(out).await? {
            remove_checkpoint(out, &checkpoint_name(step)).await?;
        }
    }
    Ok(())
}
