//! `--fix`: writes the repaired view as a new directory.
//!
//! The validator has already applied every repair to its view; what remains are the files beside the weights, and writing. The original
//! is only read. The new directory is written under a temporary name, validated like any other, and renamed only if it is ready.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::super::case::{Validation, examine};
use super::super::code::Code;
use super::super::options::{Options, Progress};
use super::super::report::{Finding, Report, Verdict};
use super::super::source::ViewParams;
use super::{Repair, set};
use crate::adapter::{Adapter, Merged};
use crate::checkpoint::{Carry, Checkpoint, Dtype, ModelSource, NewDirectory, WriteOptions, dtype_name, write_checkpoint};
use crate::error::{Error, Result};
use crate::model::config::{CONFIG_FILE, parse_object};
use crate::model::{ModelConfig, ParamDecl};
use crate::platform::{Directory, Entry, OutputDirectory, as_directory, without_byte_order_mark};

const GENERATION_CONFIG: &str = "generation_config.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// The result of a repair.
pub struct Fixed {
    /// The report on the original.
    pub before: Report,
    /// The steps taken and the assumptions made, one sentence each; empty if nothing had to be repaired, and then nothing was written.
    pub steps: Vec<String>,
    /// The report on the written directory.
    pub after: Option<Report>,
}

/// Validates `dir` and, if it is repairable, writes the repaired model as `name` in `parent`, which must not exist yet. Streams the
/// weights in blocks of rows.
///
/// # Errors
/// [`Error::File`] when the name exists, when reading or writing fails, or when the result is not ready (nothing is left behind then).
pub async fn fix(
    dir: Rc<dyn Directory>,
    parent: &dyn OutputDirectory,
    name: &str,
    options: &Options,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Fixed> {
    let label = dir.label();
    // The result is guaranteed to be ready, so the weights are read whatever the options say.
    let options = &Options { quick: false, ..options.clone() };
    let validation = examine(dir, options, progress).await?;
    let repairs = || validation.report.findings.iter().filter_map(|finding| Some((finding, finding.repair.as_ref()?)));
    if validation.report.verdict == Verdict::Unusable || repairs().next().is_none() {
        return Ok(Fixed { before: validation.report, steps: Vec::new(), after: None });
    }
    // Some settings can only be decided by running the model, but there is no device.
    if let Some((finding, _)) = repairs().find(|(_, repair)| matches!(repair, Repair::Score(_))) {
        let reason = format!("{finding}. This needs a graphics device, or the base (--base DIR); nothing was written");
        return Err(Error::file(label, reason));
    }
    let new = NewDirectory::begin(parent, name).await?;
    let out = new.directory();
    let merges = repairs().any(|(_, repair)| *repair == Repair::MergeAdapter);
    let steps = match (&options.base, merges) {
        (Some(base), true) => merge(&validation.dir, base, &*out).await,
        _ => write(&validation, &*out, options).await,
    };
    let written = match steps {
        Ok(mut steps) => {
            steps.extend(new.cleared());
            check(as_directory(out).into(), options, progress).await.map(|after| (steps, after))
        }
        Err(error) => Err(error),
    };
    let (steps, after) = new.complete(written).await?;
    Ok(Fixed { before: validation.report, steps, after: Some(after) })
}

/// Validates what was written; the base was already compared.
async fn check(dir: Rc<dyn Directory>, options: &Options, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Report> {
    let options = Options { base: None, as_adapter: false, ..options.clone() };
    let report = examine(dir.clone(), &options, progress).await?.report;
    if report.verdict == Verdict::Ready {
        return Ok(report);
    }
    let faults: Vec<String> = report.errors().map(ToString::to_string).collect();
    let reason = format!("what came out is not ready and was removed again: {}", faults.join("; "));
    Err(Error::file(dir.label(), reason))
}

async fn write(validation: &Validation, out: &dyn OutputDirectory, options: &Options) -> Result<Vec<String>> {
    let dir = &validation.dir;
    let mut view = validation.view.clone();
    let mut files = Patched { dir: dir.clone(), changed: BTreeMap::new() };
    let mut steps: Vec<String> = Vec::new();
    for finding in &validation.report.findings {
        let Some(repair) = &finding.repair else { continue };
        let step = step(finding, repair);
        if !steps.contains(&step) {
            steps.push(step);
        }
        if let Repair::AddEmbeddingRows { .. } = repair {
            view.apply(repair);
        }
        beside(repair, &mut files, options).await?;
    }
    let config = ModelConfig::from_map(CONFIG_FILE, view.config.clone())?;
    let source = ViewParams::new(&view, &config);
    let dtype = common_dtype(&source.params, |name| view.get(name).map(|tensor| tensor.dtype));
    if dtype.1 {
        let name = dtype_name(dtype.0).unwrap_or_default();
        steps.push(format!("write all weights as {name}, since they were of several types, of which it holds every number"));
    }
    let carry = Carry::load(&files).await?;
    let write_options = WriteOptions { dtype: dtype.0, ..WriteOptions::default() };
    write_checkpoint(out, &write_options, &config, &source.params, &source, &carry).await?;
    out.sync().await?;
    let left: Vec<String> = left_behind(&files, out, validation).await?;
    if !left.is_empty() {
        const NAMED: usize = 6;
        let more = if left.len() > NAMED { format!(" and {} more", left.len() - NAMED) } else { String::new() };
        steps.push(format!("leave behind what is no part of a model: {}{more}", left[..left.len().min(NAMED)].join(", ")));
    }
    Ok(steps)
}

/// Adds an adapter to its base.
async fn merge(adapter: &Rc<dyn Directory>, base: &Rc<dyn Directory>, out: &dyn OutputDirectory) -> Result<Vec<String>> {
    let checkpoint = Checkpoint::open(base.clone()).await?;
    let adapters = [Adapter::open(adapter.clone(), &checkpoint).await?];
    let merged = Merged::new(&checkpoint, &adapters)?;
    let mut carry = Carry::load(&**base).await?;
    carry.replace_by(Carry::load(&**adapter).await?);
    let options = WriteOptions { dtype: merged.base_dtype(), ..WriteOptions::default() };
    write_checkpoint(out, &options, merged.config(), merged.params(), &merged, &carry).await?;
    out.sync().await?;
    let mut steps =
        vec![format!("merge the adapter into {}: the change is added in f32 and rounded once to {}", base.label(), options.dtype)];
    if merged.unties() {
        steps.push("write the head as a tensor of its own: it was one with the embedding, and only one of the two is changed".into());
    }
    Ok(steps)
}

/// Describes what was done, for which finding, and what had to be assumed.
fn step(finding: &Finding, repair: &Repair) -> String {
    let assumed = match (finding.code, repair) {
        (Code::MissingConfig, Repair::ConfigFromBase) => {
            ". Assumed: what the tensors do not show (heads, positions, epsilon, activation) is as in the base"
        }
        (Code::MissingField | Code::MissingConfig, _) => ". Assumed: what the tensors do not show has the architecture's defaults",
        (_, Repair::Split(_) | Repair::Join(_)) => ". Assumed: queries, keys and values (gate before up) lie one below the other",
        (_, Repair::AddEmbeddingRows { .. }) => ". Assumed: the new tokens mean nothing yet; each new row is the mean of those there",
        (Code::RopeUnclear, _) => ". Assumed: the reading with the lowest loss is right, and positions are not stretched for long contexts",
        (Code::HeadSplit, _) => ". Assumed: the reading with by far the lowest loss is right",
        _ => "",
    };
    format!("{repair}{assumed}")
}

/// Applies a repair to the small files.
async fn beside(repair: &Repair, files: &mut Patched, options: &Options) -> Result<()> {
    match repair {
        Repair::CopyFromBase(names) => {
            let Some(base) = &options.base else { return Ok(()) };
            for name in names {
                files.changed.insert(name.clone(), Some(base.read(name).await?));
            }
        }
        Repair::StripByteOrderMark(name) => {
            let bytes = files.read(name).await?;
            let bytes = without_byte_order_mark(&bytes).to_vec();
            files.changed.insert(name.clone(), Some(bytes));
        }
        Repair::WriteGenerationConfig => {
            files.changed.insert(GENERATION_CONFIG.into(), None);
        }
        Repair::SetGenerationConfig(fields) => files.edit(GENERATION_CONFIG, fields).await?,
        Repair::SetTokenizerConfig { key, value } => files.edit(TOKENIZER_CONFIG, &[(key.clone(), value.clone())]).await?,
        _ => {}
    }
    Ok(())
}

/// The common type of all parameters, or one that represents all their values exactly; and whether the types differ.
fn common_dtype(params: &[ParamDecl], dtype_of: impl Fn(&str) -> Option<Dtype>) -> (Dtype, bool) {
    let mut dtypes = params.iter().filter_map(|param| dtype_of(&param.name));
    let first = dtypes.next().unwrap_or(Dtype::F32);
    let same = dtypes.all(|dtype| dtype == first);
    match (same, dtype_name(first)) {
        (true, Some(_)) => (first, false),
        _ => (Dtype::F32, true),
    }
}

/// Files of the original that the new directory lacks, except weights.
async fn left_behind(files: &Patched, out: &dyn OutputDirectory, validation: &Validation) -> Result<Vec<String>> {
    let written: Vec<String> = out.list().await?.into_iter().map(|entry| entry.name).collect();
    let is_weights = |name: &str| {
        validation.view.files.iter().any(|file| file.name() == name) || name.ends_with(".index.json") || name == GENERATION_CONFIG
    };
    let entries = files.dir.list().await?;
    Ok(entries.into_iter().map(|entry| entry.name).filter(|name| !written.contains(name) && !is_weights(name)).collect())
}

/// A directory with some small files changed or removed.
struct Patched {
    dir: Rc<dyn Directory>,
    changed: BTreeMap<String, Option<Vec<u8>>>,
}

impl Patched {
    async fn edit(&mut self, name: &str, fields: &[(String, Value)]) -> Result<()> {
        let mut map: Map<String, Value> = match self.size(name).await? {
            Some(_) => parse_object(name, &self.read(name).await?)?,
            None => Map::new(),
        };
        for (key, value) in fields {
            set(&mut map, key, value.clone());
        }
        self.changed.insert(name.to_string(), Some(format!("{:#}\n", Value::Object(map)).into_bytes()));
        Ok(())
    }
}

#[async_trait(?Send)]
impl Directory for Patched {
    fn label(&self) -> String {
        self.dir.label()
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        let mut entries = self.dir.list().await?;
        entries.retain(|entry| !self.changed.contains_key(&entry.name));
        entries
            .extend(self.changed.iter().filter_map(|(name, bytes)| Some(Entry { name: name.clone(), size: bytes.as_ref()?.len() as u64 })));
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        match self.changed.get(name) {
            Some(bytes) => Ok(bytes.as_ref().map(|bytes| bytes.len() as u64)),
            None => self.dir.size(name).await,
        }
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        match self.changed.get(name) {
            None => self.dir.read_range(name, range).await,
            Some(_) => {
                let bytes = self.read(name).await?;
                let part = bytes.get(range.start as usize..range.end as usize);
                part.map(<[u8]>::to_vec).ok_or_else(|| Error::file(name, format!("the file ends at byte {}", bytes.len())))
            }
        }
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        match self.changed.get(name) {
            None => self.dir.read(name).await,
            Some(Some(bytes)) => Ok(bytes.clone()),
            Some(None) => Err(Error::file(name, "there is no such file")),
        }
    }
}
