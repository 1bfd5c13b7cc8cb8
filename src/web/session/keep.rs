//! Models that the page creates and stores: a merged adapter, a repaired copy, a copy of the base that an adapter needs.

use super::super::messages::{BaseSource, Repaired, Run, RunMethod, Settings, Unit, Which};
use super::base::OpenBase;
use super::kept::{About, Claim, OUT, now};
use super::{Call, Session};
use crate::adapter::{Adapter, is_adapter};
use crate::checkpoint::NewDirectory;
use crate::error::{Error, Result};
use crate::platform::{Directory, OutputDirectory};
use crate::validate::{Options, Verdict, fix, open_checkpoint};
use crate::workflow::write_merged;

/// Bytes copied per chunk.
const PIECE: u64 = 8 << 20;
/// Extensions of the files that make up a model.
const BELONGS: [&str; 5] = ["safetensors", "json", "jinja", "txt", "model"];

impl Session {
    /// Merges the tuned adapter into its base.
    pub(super) async fn merge(&self, call: &Call) -> Result<Run> {
        let directory = self.directory_of(Which::Tuned, call).await?;
        if !is_adapter(&*directory).await? {
            return Err(Error::file(directory.label(), "this is a whole model already; only adapters are merged"));
        }
        let tuned = self.tuned.borrow().clone().unwrap_or_default();
        let of = self.about(&tuned).await?;
        let base = open_checkpoint(self.directory_of(Which::Base, call).await?).await?;
        let adapters = [Adapter::open(directory.clone(), &base).await?];
        call.progress("Merging", 0, None, Unit::Tensors);
        let about = about(format!("{}, merged", of.name), RunMethod::Merge, of.base_name, of.base);
        let write = async |out: &dyn OutputDirectory| write_merged(&base, &adapters, None, out).await.map(drop);
        let id = self.make(about, call, "the merge", write).await?;
        self.run(&id).await
    }

    /// Merges the adapters that `adapt` put on the open base.
    pub(super) async fn merge_adapted(&self, call: &Call) -> Result<Run> {
        let model = self.adapted()?;
        let Some(origin) = model.origin.as_ref().filter(|_| !model.adapters.is_empty()) else {
            return Err(Error::out_of_turn("there is no kept adapter on the base; put one on it first"));
        };
        let base = open_checkpoint(model.base.clone()).await?;
        let adapters = Adapter::open_all(model.adapters.clone(), &base).await?;
        call.progress("Merging", 0, None, Unit::Tensors);
        let about = about(format!("{}, merged", origin.name), RunMethod::Merge, origin.base_name.clone(), origin.source.clone());
        let write = async |out: &dyn OutputDirectory| write_merged(&base, &adapters, None, out).await.map(drop);
        let id = self.make(about, call, "the merge", write).await?;
        self.run(&id).await
    }

    /// Keeps a given adapter for the open base, if it is one of that base, as a finished run.
    pub(super) async fn adopt(&self, name: &str, call: &Call) -> Result<Run> {
        let base = self.base()?;
        let given = call.files.clone().ok_or_else(|| Error::file(name, "its files did not come with the request"))?;
        if !is_adapter(&*given).await? {
            return Err(Error::file(name, "there is no adapter_config.json in it, so this is no adapter; open a whole model as the base"));
        }
        let checkpoint = base.model.clone()?.checkpoint;
        Adapter::open(given.clone(), &checkpoint).await?;
        let source = self.lasting(&base, call).await?;
        let about = about(name.to_string(), RunMethod::Lora, base.name.clone(), source);
        let id = self.make(about, call, "keeping the adapter", async |out: &dyn OutputDirectory| copy(&*given, out, call).await).await?;
        self.run(&id).await
    }

    /// Writes a repaired copy of the open base and opens the copy.
    pub(super) async fn repair(&self, call: &Call) -> Result<Repaired> {
        let base = self.base()?;
        let about = about(format!("{}, repaired", base.name), RunMethod::Repair, base.name.clone(), base.source.clone());
        let claim = self.keep(&about, None, call).await?;
        let parent = self.kept(&claim.id)?;
        let options = Options { gpu: self.gpu().await.ok(), ..Options::default() };
        let mut progress = |at: crate::validate::Progress<'_>| call.progress(at.what, at.done, Some(at.total), Unit::Bytes);
        let work = fix(base.directory.clone(), &*parent, OUT, &options, &mut progress);
        let fixed = call.unless_cancelled("the repair", work).await;
        let steps = match fixed {
            Ok(fixed) if fixed.after.is_some() => fixed.steps,
            other => {
                let before = other.map(|fixed| fixed.before);
                self.discard(claim).await?;
                return Err(match before? {
                    report if report.verdict == Verdict::Ready => Error::file(&base.name, "there is nothing to repair"),
                    _ => Error::file(&base.name, "this cannot be repaired; the report says what stands in the way"),
                });
            }
        };
        let id = self.finish(claim, about).await?;
        let base = self.open_base(BaseSource::Run { id: id.clone() }, call).await?;
        Ok(Repaired { base, done: steps, id })
    }

    /// Returns a source of the base that is still available after a reload: a base given as files or by an address is copied into the
    /// store. If there is no room for a copy, the original source is returned.
    pub(super) async fn lasting(&self, base: &OpenBase, call: &Call) -> Result<BaseSource> {
        if !matches!(base.source, BaseSource::Files { .. } | BaseSource::Url { .. }) {
            return Ok(base.source.clone());
        }
        for run in self.runs().await? {
            if run.method == RunMethod::Copy && run.base == base.name && self.about(&run.id).await?.base == base.source {
                return Ok(BaseSource::Run { id: run.id });
            }
        }
        let about = about(base.name.clone(), RunMethod::Copy, base.name.clone(), base.source.clone());
        match self
            .make(about, call, "the copy of the base", async |out: &dyn OutputDirectory| copy(&*base.directory, out, call).await)
            .await
        {
            Ok(id) => Ok(BaseSource::Run { id }),
            Err(Error::NoSpace { .. }) => Ok(base.source.clone()),
            Err(error) => Err(error),
        }
    }

    /// Stores a model written by `write`. It is written under a temporary name and renamed when complete; if writing fails or is
    /// cancelled, nothing is kept.
    async fn make(
        &self,
        about: About,
        call: &Call,
        what: &str,
        write: impl AsyncFnOnce(&dyn OutputDirectory) -> Result<()>,
    ) -> Result<String> {
        let claim = self.keep(&about, None, call).await?;
        let folder = self.kept(&claim.id)?;
        let new = NewDirectory::begin(&*folder, OUT).await?;
        let written = call.unless_cancelled(what, write(&*new.directory())).await;
        match new.complete(written).await {
            Ok(()) => self.finish(claim, about).await,
            Err(error) => {
                self.discard(claim).await?;
                Err(error)
            }
        }
    }

    /// Marks a stored model as complete.
    async fn finish(&self, claim: Claim, about: About) -> Result<String> {
        self.write_about(&claim.id, &About { finished: true, ..about }).await?;
        Ok(claim.id)
    }
}

fn about(name: String, method: RunMethod, base_name: String, base: BaseSource) -> About {
    About {
        name,
        method,
        base_name,
        base,
        recipe: Settings::new(),
        steps: 0,
        created: now(),
        finished: false,
        samples: None,
        data: None,
        seconds: None,
        notes: String::new(),
    }
}

/// Copies a model's files in chunks.
async fn copy(from: &dyn Directory, to: &dyn OutputDirectory, call: &Call) -> Result<()> {
    let belongs = |name: &str| name.rsplit_once('.').is_some_and(|(_, ending)| BELONGS.contains(&ending));
    let entries: Vec<_> = from.list().await?.into_iter().filter(|entry| belongs(&entry.name)).collect();
    let total = entries.iter().map(|entry| entry.size).sum();
    let mut done = 0;
    for entry in entries {
        let mut file = to.create(&entry.name).await?;
        for first in (0..entry.size).step_by(PIECE as usize) {
            if call.is_cancelled() {
                return Err(Error::Interrupted { reason: "the copy was ended".into() });
            }
            let last = (first + PIECE).min(entry.size);
            file.write(&from.read_range(&entry.name, first..last).await?).await?;
            done += last - first;
            call.progress("Keeping a copy in this browser", done, Some(total), Unit::Bytes);
        }
        file.finish().await?;
    }
    Ok(())
}
