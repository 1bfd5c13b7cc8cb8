//! Going on from a checkpoint: which one, whether it is whole and of the same run, and where the best one of that run is.

use std::rc::Rc;

use super::checkpoints::newest_checkpoint;
use super::checksums;
use super::device::RecordedDevice;
use super::job::{Event, Job, Observer};
use super::names::{STATE_FILE, checkpoint_name};
use super::output::check_free;
use super::saver::Saver;
use super::state::{self, SavedState};
use crate::checkpoint::NewDirectory;
use crate::config::{Recipe, Resume};
use crate::error::{Error, Result};
use crate::platform::{Directory, OutputDirectory, as_directory};

/// Bytes that are copied at once.
const PIECE: u64 = 8 << 20;

/// The checkpoint that a run goes on from.
pub(super) struct Earlier {
    pub(super) directory: Rc<dyn Directory>,
    pub(super) state: SavedState,
    /// Whether it is a checkpoint of another directory than the output directory.
    pub(super) from_elsewhere: bool,
}

/// Finds the checkpoint that the recipe asks for and checks that this run can go on from it.
///
/// # Errors
/// [`Error::Recipe`] when recipe or data differ, [`Error::File`] when a file of it is damaged.
pub(super) async fn find(saver: &Saver<'_>, total_steps: u64, observer: &mut dyn Observer) -> Result<Option<Earlier>> {
    let (job, out) = (saver.job, saver.job.out);
    let Some(directory) = directory(job.recipe, &job.resume_from, out).await? else {
        if job.recipe.resume_from_checkpoint == Resume::Newest {
            let place = out.label();
            observer.event(Event::Notice(format!("there is no whole checkpoint in {place} yet: starting from the beginning")));
        }
        return Ok(None);
    };
    let state = state::read(&*directory, &saver.run_fingerprint()?, total_steps).await?;
    if total_steps > state.max_steps {
        observer.event(Event::Notice(format!(
            "the run of {} steps is continued to {total_steps}: from step {} on the learning rate is that of a run of {total_steps} steps",
            state.max_steps,
            state.global_step + 1
        )));
    }
    checksums::verify(&*directory, &state.files).await?;
    let own = format!("{}/{STATE_FILE}", checkpoint_name(state.global_step));
    let from_elsewhere = !same_file((out, own.as_str()), (&*directory, STATE_FILE)).await?;
    if from_elsewhere {
        check_free(out, job.recipe).await?;
    }
    Ok(Some(Earlier { directory, state, from_elsewhere }))
}

/// The directory of the checkpoint that the recipe asks for; `None` where a run begins anew.
async fn directory(recipe: &Recipe, given: &Option<Rc<dyn Directory>>, out: &dyn OutputDirectory) -> Result<Option<Rc<dyn Directory>>> {
    NewDirectory::restore_replaced(out, STATE_FILE).await?;
    match &recipe.resume_from_checkpoint {
        Resume::No => Ok(None),
        Resume::Newest => Ok(newest_checkpoint(out).await?.map(|name| Rc::from(as_directory(out.subdirectory(&name))))),
        Resume::From(path) => match given {
            Some(given) => Ok(Some(given.clone())),
            None => Err(Error::recipe("resume_from_checkpoint", format!("the directory {path} was not opened for this run"))),
        },
    }
}

/// The device and kernels of the run that the recipe goes on with; `None` where it begins anew, or where nothing was recorded.
///
/// # Errors
/// What reading fails with.
pub(super) async fn recorded(
    recipe: &Recipe,
    given: &Option<Rc<dyn Directory>>,
    out: &dyn OutputDirectory,
) -> Result<Option<RecordedDevice>> {
    match directory(recipe, given, out).await? {
        Some(checkpoint) => state::recorded_device(&*checkpoint).await,
        None => Ok(None),
    }
}

impl Earlier {
    /// Makes sure that the best checkpoint so far is in the output directory, from which the end of the run takes it: in a run that goes
    /// on elsewhere it is copied. Where it cannot be found the best is forgotten, with a remark.
    ///
    /// # Errors
    /// What copying fails with.
    pub(super) async fn keep_best(&mut self, job: &Job<'_>, observer: &mut dyn Observer) -> Result<()> {
        let Some(name) = self.state.best_model_checkpoint.clone().filter(|_| job.recipe.load_best_model_at_end) else { return Ok(()) };
        if job.out.size(&format!("{name}/{STATE_FILE}")).await?.is_some() {
            return Ok(());
        }
        let source = match name == checkpoint_name(self.state.global_step) {
            true => Some(self.directory.clone()),
            false => self.directory.sibling(&name),
        };
        if let Some(source) = source
            && let Ok(sums) = state::checksums(&*source).await
            && checksums::verify(&*source, &sums).await.is_ok()
        {
            return copy(&*source, job, &name).await;
        }
        let (place, loss) = (self.directory.label(), self.state.best_metric.unwrap_or(f64::NAN));
        observer.event(Event::Notice(format!(
            "{name}, the best so far (eval_loss {loss:.4}), is neither in {} nor beside {place}, or is damaged: the best of what follows is taken",
            job.out.label()
        )));
        self.state.best_model_checkpoint = None;
        self.state.best_metric = None;
        Ok(())
    }
}

/// Whether two files are there and hold the same bytes.
async fn same_file((one, name): (&dyn Directory, &str), (other, other_name): (&dyn Directory, &str)) -> Result<bool> {
    let (Some(size), Some(other_size)) = (one.size(name).await?, other.size(other_name).await?) else { return Ok(false) };
    if size != other_size {
        return Ok(false);
    }
    for first in (0..size).step_by(PIECE as usize) {
        let range = first..(first + PIECE).min(size);
        if one.read_range(name, range.clone()).await? != other.read_range(other_name, range).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Copies a checkpoint into the output directory; it appears there when it is whole.
async fn copy(from: &dyn Directory, job: &Job<'_>, name: &str) -> Result<()> {
    let new = NewDirectory::replacing(job.out, name).await?;
    let copied = copy_files(from, &*new.directory()).await;
    new.complete(copied).await
}

async fn copy_files(from: &dyn Directory, to: &dyn OutputDirectory) -> Result<()> {
    for entry in from.list().await? {
        let mut file = to.create(&entry.name).await?;
        for first in (0..entry.size).step_by(PIECE as usize) {
            file.write(&from.read_range(&entry.name, first..(first + PIECE).min(entry.size)).await?).await?;
        }
        file.finish().await?;
    }
    Ok(())
}
