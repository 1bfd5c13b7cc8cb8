//! What is kept in this browser: a folder per run or model, `kept/<id>/`, with `about.json`, the run's data, and its output
//! directory `out/`, which holds what a native run's holds.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::super::messages::{BaseSource, DataSource, Run, RunMethod, Settings, StoredFile};
use super::Session;
use crate::error::{Error, Result};
use crate::platform::{Directory, Entry, OutputDirectory, as_directory, write_json};
use crate::train::{LogEntry, newest_checkpoint};

const KEPT: &str = "kept";
const ABOUT: &str = "about.json";
const DATA: &str = "data.json";
/// The output directory.
pub(super) const OUT: &str = "out";
const LOG: &str = "trainer_log.jsonl";

/// What a kept thing says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) name: String,
    pub(super) method: RunMethod,
    pub(super) base_name: String,
    pub(super) base: BaseSource,
    pub(super) recipe: Settings,
    pub(super) steps: u64,
    pub(super) created: f64,
    pub(super) finished: bool,
}

/// The data of a run, to go on with it after a reload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct KeptData {
    pub(super) data: DataSource,
    pub(super) evaluation: Option<DataSource>,
}

/// Milliseconds since 1970.
pub(super) fn now() -> f64 {
    web_time::SystemTime::now().duration_since(web_time::UNIX_EPOCH).map_or(0.0, |passed| passed.as_millis() as f64)
}

/// A name for a folder on any system: letters, digits, and `-`, `_`, `.` between them.
pub(super) fn folder_name(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric() && !"-_.".contains(c)).filter(|word| !word.is_empty());
    let joined = words.collect::<Vec<_>>().join("-");
    let plain = joined.trim_matches(['-', '.']);
    if plain.is_empty() { "model".into() } else { plain.into() }
}

impl Session {
    pub(super) fn kept(&self, id: &str) -> Result<Box<dyn OutputDirectory>> {
        if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(Error::file(id, "nothing of this name is kept here"));
        }
        Ok(self.store.subdirectory(KEPT).subdirectory(id))
    }

    /// Keeps something new. Returns its id.
    pub(super) async fn keep(&self, about: &About, data: Option<&KeptData>) -> Result<String> {
        let word = serde_json::to_value(about.method).ok().and_then(|v| v.as_str().map(str::to_string)).unwrap_or_default();
        let mut id = format!("{word}-{}", about.created);
        while self.kept(&id)?.size(ABOUT).await?.is_some() {
            id.push_str("-2");
        }
        if let Some(data) = data {
            write_json(&*self.kept(&id)?, DATA, data).await?;
        }
        self.write_about(&id, about).await?;
        Ok(id)
    }

    pub(super) async fn write_about(&self, id: &str, about: &About) -> Result<()> {
        write_json(&*self.kept(id)?, ABOUT, about).await
    }

    pub(super) async fn about(&self, id: &str) -> Result<About> {
        let folder = self.kept(id)?;
        if folder.size(ABOUT).await?.is_none() {
            return Err(Error::file(id, "nothing of this name is kept here"));
        }
        serde_json::from_slice(&folder.read(ABOUT).await?).map_err(|e| Error::line(format!("{id}/{ABOUT}"), e.line(), e.to_string()))
    }

    pub(super) async fn kept_data(&self, id: &str) -> Result<KeptData> {
        let bytes = self.kept(id)?.read(DATA).await?;
        serde_json::from_slice(&bytes).map_err(|e| Error::line(format!("{id}/{DATA}"), e.line(), e.to_string()))
    }

    pub(super) async fn kept_name(&self, id: &str) -> Result<String> {
        Ok(self.about(id).await?.name)
    }

    /// The output directory, whole: what an interrupted writer left is completed.
    pub(super) async fn kept_out(&self, id: &str) -> Result<Box<dyn OutputDirectory>> {
        let out = self.kept(id)?.subdirectory(OUT);
        out.recover().await?;
        Ok(out)
    }

    /// The folder of a kept model or adapter: the result, or the newest snapshot of a run that has none.
    pub(super) async fn kept_model(&self, id: &str) -> Result<Rc<dyn Directory>> {
        let about = self.about(id).await?;
        let out = self.kept_out(id).await?;
        if about.finished {
            return Ok(Rc::from(as_directory(out)));
        }
        match newest_checkpoint(&*out).await? {
            Some(name) => Ok(Rc::from(as_directory(out.subdirectory(&name)))),
            None => Err(Error::file(about.name, "this run has not written anything yet that could be used; go on with it first")),
        }
    }

    /// Everything that is kept, the newest first.
    pub(super) async fn runs(&self) -> Result<Vec<Run>> {
        let entries = self.store.subdirectory(KEPT).list().await?;
        let mut ids: Vec<&str> = entries.iter().filter_map(|e| e.name.strip_suffix("/about.json")).filter(|id| !id.contains('/')).collect();
        ids.dedup();
        let mut runs = Vec::new();
        for id in ids {
            // One whose description is damaged must not hide the others.
            if let Ok(about) = self.about(id).await {
                runs.push(self.describe(id, &about, &entries).await?);
            }
        }
        runs.sort_by(|a, b| b.created.total_cmp(&a.created));
        Ok(runs)
    }

    /// One of them.
    pub(super) async fn run(&self, id: &str) -> Result<Run> {
        let about = self.about(id).await?;
        let entries = self.store.subdirectory(KEPT).list().await?;
        self.describe(id, &about, &entries).await
    }

    async fn describe(&self, id: &str, about: &About, entries: &[Entry]) -> Result<Run> {
        let prefix = format!("{id}/");
        let bytes = entries.iter().filter(|e| e.name.starts_with(&prefix)).map(|e| e.size).sum();
        let out = self.kept_out(id).await?;
        let log = self.log(&*out).await;
        let snapshot = newest_checkpoint(&*out).await?;
        let snapshot_step = snapshot.as_ref().and_then(|name| name.strip_prefix("checkpoint-")?.parse().ok()).unwrap_or(0);
        let trained = matches!(about.method, RunMethod::Full | RunMethod::Lora | RunMethod::Freeze);
        let evaluated = log.iter().rev().find_map(|e| match e {
            LogEntry::Evaluation(line) => Some(line.eval_loss),
            LogEntry::Step(_) => None,
        });
        let last = log.iter().rev().find_map(|e| match e {
            LogEntry::Step(line) => Some(line.loss),
            LogEntry::Evaluation(_) => None,
        });
        let done = if about.finished { log.last().map_or(about.steps, LogEntry::step) } else { snapshot_step };
        Ok(Run {
            id: id.into(),
            name: about.name.clone(),
            folder: folder_name(&about.name),
            method: about.method,
            base: about.base_name.clone(),
            bytes,
            step: done,
            steps: about.steps,
            finished: about.finished || !trained,
            usable: about.finished || snapshot.is_some(),
            model: about.method != RunMethod::Lora,
            created: about.created,
            loss: evaluated.or(last),
        })
    }

    /// The lines of a run's log; none where it is missing or damaged.
    pub(super) async fn log(&self, out: &dyn OutputDirectory) -> Vec<LogEntry> {
        match out.size(LOG).await {
            Ok(Some(_)) => {
                let bytes = out.read(LOG).await.unwrap_or_default();
                bytes.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Deletes a kept thing, unless something needs it.
    pub(super) async fn remove(&self, id: &str) -> Result<()> {
        self.kept(id)?;
        if self.running.borrow().is_some() && self.running_id.borrow().as_deref() == Some(id) {
            return Err(Error::file(id, "this run goes on; stop it first"));
        }
        let users = self.runs().await?.into_iter().filter(|run| run.id != id && run.method == RunMethod::Lora);
        for user in users {
            if self.about(&user.id).await?.base == (BaseSource::Run { id: id.into() }) {
                return Err(Error::file(
                    id,
                    format!("the adapter \"{}\" was trained on it and cannot be used without it; delete that one first", user.name),
                ));
            }
        }
        if self.tuned.borrow().as_deref() == Some(id) {
            self.tuned.borrow_mut().take();
        }
        if self.base.borrow().as_ref().is_some_and(|base| base.source == BaseSource::Run { id: id.into() }) {
            self.base.borrow_mut().take();
            self.prepared.borrow_mut().take();
        }
        self.forget_talkers();
        self.store.subdirectory(KEPT).remove(id).await
    }

    /// The files of a kept model or adapter that a person takes home: what the library wrote, without snapshots.
    pub(super) async fn files_to_take(&self, id: &str) -> Result<Vec<StoredFile>> {
        let about = self.about(id).await?;
        let mut path = vec![KEPT.to_string(), id.to_string(), OUT.to_string()];
        if !about.finished
            && let Some(name) = newest_checkpoint(&*self.kept_out(id).await?).await?
        {
            path.push(name);
        }
        let folder = self.kept_model(id).await?;
        let belongs = |name: &str| !name.starts_with('.') && !name.starts_with("checkpoint-") && name != "optimizer.safetensors";
        let entries = folder.list().await?.into_iter().filter(|e| belongs(&e.name));
        let file = |entry: Entry| StoredFile {
            path: path.iter().cloned().chain(entry.name.split('/').map(str::to_string)).collect(),
            name: entry.name,
            bytes: entry.size,
        };
        Ok(entries.map(file).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_have_names_that_every_system_takes() {
        for (name, folder) in [
            ("village model, tuned: village", "village-model-tuned-village"),
            ("SmolLM2-135M, adapter: a b.jsonl", "SmolLM2-135M-adapter-a-b.jsonl"),
            ("../..", "model"),
            ("Bäume/2", "Bäume-2"),
        ] {
            assert_eq!(folder_name(name), folder);
        }
    }
}
