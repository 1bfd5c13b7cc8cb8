//! Runs and models stored in this browser: one folder each, `kept/<id>/`, with `about.json`, the run's data, and the output directory
//! `out/`, which holds the same files as that of a native run. Writing or deleting an item requires its lock.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::super::messages::{
    BaseSource, DataSource, EvalLine, Run, RunLog, RunMethod, SampleLine, Samples, SettingValue, Settings, StoredFile, Unit,
};
use super::given::GivenData;
use super::{Boxed, Call, Session};
use crate::error::{Error, Result};
use crate::platform::{Directory, Entry, OutputDirectory, as_directory, write_json};
use crate::train::{LogEntry, newest_checkpoint};

pub(super) const KEPT: &str = "kept";
const ABOUT: &str = "about.json";
const DATA: &str = "data.json";
/// The files that the data was given as.
const DATA_FILES: &str = "data";
/// Bytes copied per chunk.
const PIECE: u64 = 4 << 20;
/// The output directory.
pub(super) const OUT: &str = "out";
const LOG: &str = "trainer_log.jsonl";
/// What the model answered while it learned.
const ANSWERS: &str = "answers.json";
/// The longest name and the longest notes that are kept, in bytes.
const LONGEST_NAME: usize = 200;
const LONGEST_NOTES: usize = 20_000;

/// The content of `about.json`.
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
    /// What the model is asked while it learns. Absent in runs of earlier versions.
    #[serde(default)]
    pub(super) samples: Option<Samples>,
    /// What the run learns from, in words.
    #[serde(default)]
    pub(super) data: Option<String>,
    /// Seconds that its parts took.
    #[serde(default)]
    pub(super) seconds: Option<f64>,
    #[serde(default)]
    pub(super) notes: String,
}

impl About {
    /// Whether it is a training run, which can be resumed after an interruption; copies and merged models cannot.
    fn is_trained(&self) -> bool {
        matches!(self.method, RunMethod::Full | RunMethod::Lora | RunMethod::Freeze)
    }

    /// Where the model is that this item, if it is an adapter, belongs to; `id` is the item's. (It was made from `base`.)
    fn base_of_adapter(&self, id: &str) -> BaseSource {
        let grown = self.method == RunMethod::Lora && gives_tokens(&self.recipe);
        if grown { BaseSource::Grown { id: id.into() } } else { self.base.clone() }
    }
}

/// Exclusive access to a stored item, across tabs, for as long as this value lives.
pub(super) struct Claim {
    pub(super) id: String,
    _lock: Box<dyn Any>,
}

/// The name of a stored item's lock.
fn lock_name(id: &str) -> String {
    format!(".{id}.lock")
}

/// The data of a run, stored so that the run can be resumed after a reload. Files without a text lie in the folder [`DATA_FILES`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct KeptData {
    data: DataSource,
    evaluation: Option<DataSource>,
}

/// Milliseconds since 1970.
pub(super) fn now() -> f64 {
    web_time::SystemTime::now().duration_since(web_time::UNIX_EPOCH).map_or(0.0, |passed| passed.as_millis() as f64)
}

/// Turns a name into a folder name that is valid on any system: letters, digits, and `-`, `_`, `.` between them.
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

    /// Creates a new stored item.
    pub(super) fn keep<'a>(&'a self, about: &'a About, data: Option<&'a GivenData>, call: &'a Call) -> Boxed<'a, Claim> {
        Box::pin(async move {
            let word = serde_json::to_value(about.method).ok().and_then(|v| v.as_str().map(str::to_string)).unwrap_or_default();
            let mut id = format!("{word}-{}", about.created);
            // Another tab may create one in the same millisecond.
            let claim = loop {
                if let Some(claim) = self.try_claim(&id).await?
                    && self.kept(&id)?.size(ABOUT).await?.is_none()
                {
                    break claim;
                }
                id.push_str("-2");
            };
            let kept = async {
                if let Some(data) = data {
                    self.keep_data(&id, data, call).await?;
                }
                self.write_about(&id, about).await
            };
            match call.unless_cancelled("keeping the data", kept).await {
                Ok(()) => Ok(claim),
                Err(error) => {
                    self.discard(claim).await?;
                    Err(error)
                }
            }
        })
    }

    /// Stores the data of a run, its files copied a piece at a time.
    async fn keep_data(&self, id: &str, given: &GivenData, call: &Call) -> Result<()> {
        let folder = self.kept(id)?;
        let mut kept = KeptData { data: given.data.clone(), evaluation: given.evaluation.clone() };
        let mut copied: BTreeMap<String, String> = BTreeMap::new();
        let sources = std::iter::once(&mut kept.data).chain(&mut kept.evaluation);
        let files = sources.flat_map(|source| match source {
            DataSource::Files { files } => files.as_mut_slice(),
            DataSource::Example { .. } => &mut [],
        });
        for file in files.filter(|file| file.text.is_none()) {
            let (Some(path), Some(from)) = (&file.file, &given.files) else { continue };
            let name = match copied.get(path) {
                Some(name) => name.clone(),
                None => {
                    let name = format!("{}-{}", copied.len(), folder_name(&file.name));
                    copy_file(&**from, path, &*folder.subdirectory(DATA_FILES), &name, call).await?;
                    copied.insert(path.clone(), name.clone());
                    name
                }
            };
            file.file = Some(name);
        }
        write_json(&*folder, DATA, &kept).await
    }

    /// Claims a stored item for writing or deleting.
    ///
    /// # Errors
    /// When it is already claimed.
    pub(super) async fn claim(&self, id: &str) -> Result<Claim> {
        let claim = self.try_claim(id).await?;
        claim.ok_or_else(|| {
            Error::file(id, "this is being written in another tab of this browser; stop it there first, or wait for its end")
        })
    }

    async fn try_claim(&self, id: &str) -> Result<Option<Claim>> {
        self.kept(id)?;
        let lock = self.store.subdirectory(KEPT).lock(&lock_name(id)).await?;
        Ok(lock.map(|lock| Claim { id: id.to_string(), _lock: lock }))
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

    /// Changes name and notes of a stored item.
    pub(super) async fn describe_kept(&self, id: &str, name: &str, notes: String) -> Result<Run> {
        let mut about = self.about(id).await?;
        let name = name.trim();
        if name.len() > LONGEST_NAME || notes.len() > LONGEST_NOTES {
            let long = format!("a name may have {LONGEST_NAME} bytes and notes {LONGEST_NOTES}; shorten them");
            return Err(Error::file(about.name, long));
        }
        // A run that is being written writes its description itself when it ends.
        let _claim = self.claim(id).await?;
        if !name.is_empty() {
            about.name = name.to_string();
        }
        about.notes = notes;
        self.write_about(id, &about).await?;
        self.run(id).await
    }

    /// The log and the answers of a stored run.
    pub(super) async fn kept_log(&self, id: &str) -> Result<RunLog> {
        let answers = self.kept_answers(id).await?;
        let (mut lines, mut evaluations) = (Vec::new(), Vec::new());
        for entry in self.log(&*self.kept_out(id).await?).await {
            match entry {
                LogEntry::Step(line) => lines.push(line.into()),
                LogEntry::Evaluation(line) => evaluations.push(EvalLine::from(line)),
            }
        }
        Ok(RunLog { lines, evaluations, answers })
    }

    /// What a stored run answered so far; nothing where that is missing or damaged.
    pub(super) async fn kept_answers(&self, id: &str) -> Result<Vec<SampleLine>> {
        let folder = self.kept(id)?;
        Ok(match folder.size(ANSWERS).await? {
            Some(_) => serde_json::from_slice(&folder.read(ANSWERS).await?).unwrap_or_default(),
            None => Vec::new(),
        })
    }

    pub(super) async fn keep_answers(&self, id: &str, answers: &[SampleLine]) -> Result<()> {
        write_json(&*self.kept(id)?, ANSWERS, &answers).await
    }

    pub(super) async fn kept_data(&self, id: &str) -> Result<GivenData> {
        let folder = self.kept(id)?;
        let bytes = folder.read(DATA).await?;
        let KeptData { data, evaluation } =
            serde_json::from_slice(&bytes).map_err(|e| Error::line(format!("{id}/{DATA}"), e.line(), e.to_string()))?;
        Ok(GivenData { data, evaluation, files: Some(Rc::from(as_directory(folder.subdirectory(DATA_FILES)))) })
    }

    pub(super) async fn kept_name(&self, id: &str) -> Result<String> {
        Ok(self.about(id).await?.name)
    }

    /// The output directory. An interrupted rename is completed first, unless another writer holds the claim.
    pub(super) async fn kept_out(&self, id: &str) -> Result<Box<dyn OutputDirectory>> {
        let folder = self.kept(id)?;
        let out = folder.subdirectory(OUT);
        if (folder.is_interrupted().await? || out.is_interrupted().await?)
            && let Some(claim) = self.try_claim(id).await?
        {
            self.complete(&claim).await?;
        }
        Ok(out)
    }

    /// Completes renames that a closed tab left unfinished.
    pub(super) async fn complete(&self, claim: &Claim) -> Result<()> {
        let folder = self.kept(&claim.id)?;
        folder.recover().await?;
        folder.subdirectory(OUT).recover().await
    }

    /// The directory of a stored model or adapter: the result, or the newest snapshot of a run without one.
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

    /// All stored items, newest first.
    pub(super) async fn runs(&self) -> Result<Vec<Run>> {
        self.remove_abandoned().await?;
        let entries = self.store.subdirectory(KEPT).list().await?;
        let mut runs = Vec::new();
        for id in ids(&entries) {
            // An item with a damaged description must not hide the others.
            if let Ok(about) = self.about(id).await {
                runs.push(self.describe(id, &about, &entries).await?);
            }
        }
        runs.sort_by(|a, b| b.created.total_cmp(&a.created));
        Ok(runs)
    }

    /// Deletes incomplete models (a merge, a copy, a repair) and runs without a description that a closed tab left behind.
    async fn remove_abandoned(&self) -> Result<()> {
        let entries = self.store.subdirectory(KEPT).list().await?;
        for id in ids(&entries) {
            let described = entries.iter().any(|entry| entry.name == format!("{id}/{ABOUT}"));
            let half_made = match self.about(id).await {
                Ok(about) => !about.is_trained() && !about.finished,
                Err(_) => !described,
            };
            // An item still being written is claimed by its writer.
            if half_made && let Some(claim) = self.try_claim(id).await? {
                self.discard(claim).await?;
            }
        }
        Ok(())
    }

    /// One stored item.
    pub(super) async fn run(&self, id: &str) -> Result<Run> {
        let about = self.about(id).await?;
        let entries = self.store.subdirectory(KEPT).list().await?;
        self.describe(id, &about, &entries).await
    }

    async fn describe(&self, id: &str, about: &About, entries: &[Entry]) -> Result<Run> {
        let prefix = format!("{id}/");
        let own = || entries.iter().filter_map(|e| Some((e.name.strip_prefix(&prefix)?, e.size)));
        let bytes = own().map(|(_, size)| size).sum();
        let out = self.kept_out(id).await?;
        let log = self.log(&*out).await;
        let snapshot = newest_checkpoint(&*out).await?;
        let snapshot_step = snapshot.as_ref().and_then(|name| name.strip_prefix("checkpoint-")?.parse().ok()).unwrap_or(0);
        let evaluated = log.iter().rev().find_map(|e| match e {
            LogEntry::Evaluation(line) => Some(line.eval_loss),
            LogEntry::Step(_) => None,
        });
        let last = log.iter().rev().find_map(|e| match e {
            LogEntry::Step(line) => Some(line.loss),
            LogEntry::Evaluation(_) => None,
        });
        // Of an unfinished run the newest snapshot is what can be taken home.
        let result = match &snapshot {
            Some(snapshot) if !about.finished => format!("{OUT}/{snapshot}/"),
            _ => format!("{OUT}/"),
        };
        let taken = own().filter_map(|(name, size)| Some((name.strip_prefix(&result)?, size))).filter(|(name, _)| is_taken_home(name));
        let done = if about.finished { log.last().map_or(about.steps, LogEntry::step) } else { snapshot_step };
        Ok(Run {
            id: id.into(),
            name: about.name.clone(),
            source: about.base_of_adapter(id),
            folder: folder_name(&about.name),
            method: about.method,
            base: about.base_name.clone(),
            bytes,
            result_bytes: taken.map(|(_, size)| size).sum(),
            step: done,
            steps: about.steps,
            finished: about.finished || !about.is_trained(),
            usable: about.finished || snapshot.is_some(),
            live: self.store.subdirectory(KEPT).is_locked(&lock_name(id)).await?,
            model: about.method != RunMethod::Lora,
            created: about.created,
            train_loss: last,
            eval_loss: evaluated,
            seconds: about.seconds,
            recipe: about.recipe.clone(),
            data: about.data.clone(),
            notes: about.notes.clone(),
        })
    }

    /// The entries of a run's log; empty where it is missing or damaged.
    pub(super) async fn log(&self, out: &dyn OutputDirectory) -> Vec<LogEntry> {
        match out.size(LOG).await {
            Ok(Some(_)) => {
                let bytes = out.read(LOG).await.unwrap_or_default();
                bytes.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Deletes a stored item, unless it is in use.
    pub(super) async fn remove(&self, id: &str) -> Result<()> {
        if self.running.borrow().iter().any(|run| run.is_run(id)) {
            return Err(Error::file(id, "this run goes on; stop it first"));
        }
        let claim = self.claim(id).await?;
        let users = self.runs().await?.into_iter().filter(|run| run.id != id && run.method == RunMethod::Lora);
        for user in users {
            if is_of(&self.about(&user.id).await?.base, id) {
                return Err(Error::file(
                    id,
                    format!("the adapter \"{}\" was trained on it and cannot be used without it; delete that one first", user.name),
                ));
            }
        }
        self.discard(claim).await
    }

    /// Deletes a claimed item.
    pub(super) async fn discard(&self, claim: Claim) -> Result<()> {
        let id = claim.id.as_str();
        if self.tuned.borrow().as_deref() == Some(id) {
            self.tuned.borrow_mut().take();
        }
        if self.base.borrow().as_ref().is_some_and(|base| is_of(&base.source, id)) {
            self.base.borrow_mut().take();
            self.forget_data();
        }
        self.forget_talkers();
        self.store.subdirectory(KEPT).remove(id).await
    }

    /// The files of a stored model or adapter to download: what the library wrote, without snapshots.
    pub(super) async fn files_to_take(&self, id: &str) -> Result<Vec<StoredFile>> {
        let about = self.about(id).await?;
        let mut path = vec![KEPT.to_string(), id.to_string(), OUT.to_string()];
        if !about.finished
            && let Some(name) = newest_checkpoint(&*self.kept_out(id).await?).await?
        {
            path.push(name);
        }
        let folder = self.kept_model(id).await?;
        let entries = folder.list().await?.into_iter().filter(|e| is_taken_home(&e.name));
        let file = |entry: Entry| StoredFile {
            path: path.iter().cloned().chain(entry.name.split('/').map(str::to_string)).collect(),
            name: entry.name,
            bytes: entry.size,
        };
        Ok(entries.map(file).collect())
    }
}

/// Whether a run with these settings gave its model new tokens. (Asked for every kept run on the first screen, so no recipe is made of them.)
fn gives_tokens(settings: &Settings) -> bool {
    ["resize_vocab", "add_tokens", "add_special_tokens", "new_special_tokens_config"].into_iter().any(|key| match settings.get(key) {
        Some(SettingValue::Flag(flag)) => *flag,
        Some(SettingValue::Text(text)) => !matches!(text.trim(), "" | "null" | "none" | "false"),
        Some(SettingValue::Number(_)) | None => false,
    })
}

/// Whether a base is a stored item, or lies within it.
fn is_of(base: &BaseSource, item: &str) -> bool {
    matches!(base, BaseSource::Run { id } | BaseSource::Grown { id } if id == item)
}

/// Copies a file in pieces.
async fn copy_file(from: &dyn Directory, path: &str, to: &dyn OutputDirectory, name: &str, call: &Call) -> Result<()> {
    let size = from.size(path).await?.ok_or_else(|| Error::file(path, "there is no such file"))?;
    let mut file = to.create(name).await?;
    for first in (0..size).step_by(PIECE as usize) {
        let last = (first + PIECE).min(size);
        file.write(&from.read_range(path, first..last).await?).await?;
        call.progress("Keeping the data in this browser", last, Some(size), Unit::Bytes);
    }
    file.finish().await
}

/// Whether a file of a result belongs to what is taken home: snapshots and the optimiser's state do not.
fn is_taken_home(name: &str) -> bool {
    !name.starts_with('.') && !name.starts_with("checkpoint-") && name != "optimizer.safetensors"
}

/// The item ids in a listing of the `kept` folder.
fn ids(entries: &[Entry]) -> BTreeSet<&str> {
    entries.iter().filter_map(|entry| Some(entry.name.split_once('/')?.0)).collect()
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
