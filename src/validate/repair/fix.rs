//! `--fix`: writes the repaired view as a new directory.
//!
//! The validator has already applied every repair to its view; what remains are the files beside the weights, and writing. The original
//! is only read. The new directory is written under a temporary name, validated like any other, and renamed only if it is ready.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::super::case::{Validation, examine};
use super::super::code::Code;
use super::super::options::{Options, Progress};
use super::super::report::{Finding, Report, Verdict};
use super::super::source::ViewParams;
use super::Repair;
use super::patched::Patched;
use crate::adapter::{Adapter, Merged};
use crate::checkpoint::{
    Carry, Checkpoint, Dtype, ModelSource, NewDirectory, ValueHead, WriteOptions, dtype_name, write_checkpoint, write_value_head,
};
use crate::error::{Error, Result};
use crate::model::config::CONFIG_FILE;
use crate::model::{ModelConfig, ParamDecl, value_head_params};
use crate::platform::{Directory, OutputDirectory, as_directory, without_byte_order_mark};

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
    // The result is guaranteed to be ready, so the weights are read whatever the options say.
    let options = &Options { quick: false, ..options.clone() };
    let validation = examine(dir, options, progress).await?;
    let repairs = || validation.report.findings.iter().filter_map(|finding| Some((finding, finding.repair.as_ref()?)));
    if validation.report.verdict == Verdict::Unusable || repairs().next().is_none() {
        return Ok(Fixed { before: validation.report, steps: Vec::new(), after: None });
    }
    written(validation, parent, name, options, progress).await
}

/// Writes what was validated, with its repairs, as `name` in `parent`.
pub(super) async fn written(
    validation: Validation,
    parent: &dyn OutputDirectory,
    name: &str,
    options: &Options,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Fixed> {
    let label = validation.dir.label();
    let repairs = || validation.report.findings.iter().filter_map(|finding| Some((finding, finding.repair.as_ref()?)));
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
            let options = Options { as_adapter: false, ..options.clone() };
            check(as_directory(out).into(), &options, progress).await.map(|after| (steps, after))
        }
        Err(error) => Err(error),
    };
    let (steps, after) = new.complete(written).await?;
    Ok(Fixed { before: validation.report, steps, after: Some(after) })
}

/// Validates what was written; a model's base was already compared.
pub(super) async fn check(dir: Rc<dyn Directory>, options: &Options, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Report> {
    let options = Options { base: options.base.clone().filter(|_| options.as_adapter), ..options.clone() };
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
    take_value_head(dir, config.hidden_size, out).await?;
    out.sync().await?;
    let is_weights = |name: &str| {
        validation.view.files.iter().any(|file| file.name() == name) || name.ends_with(".index.json") || name == GENERATION_CONFIG
    };
    steps.extend(left_behind(&*files.dir, out, "a model", is_weights).await?);
    Ok(steps)
}

/// Writes the value head of a reward model, if the directory holds one that can be used.
pub(super) async fn take_value_head(dir: &Rc<dyn Directory>, hidden_size: usize, out: &dyn OutputDirectory) -> Result<()> {
    match ValueHead::find(dir, hidden_size).await {
        Ok(Some(head)) => write_value_head(out, &value_head_params(hidden_size), &head).await,
        Ok(None) | Err(_) => Ok(()), // the report says what is wrong with it
    }
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
    take_value_head(adapter, checkpoint.config().hidden_size, out).await?;
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

/// The sentence that names the files of the original that the new directory lacks, a folder as one; None when there are none but those
/// that `taken` knows to be in it under another name.
pub(super) async fn left_behind(
    from: &dyn Directory,
    out: &dyn OutputDirectory,
    what: &str,
    taken: impl Fn(&str) -> bool,
) -> Result<Option<String>> {
    const NAMED: usize = 6;
    let written: Vec<String> = out.list().await?.into_iter().map(|entry| entry.name).collect();
    let left = from.list().await?.into_iter().map(|entry| entry.name).filter(|name| !written.contains(name) && !taken(name));
    let left: BTreeSet<String> = left.map(|name| name.split_once('/').map_or(name.clone(), |(folder, _)| format!("{folder}/"))).collect();
    let more = if left.len() > NAMED { format!(" and {} more", left.len() - NAMED) } else { String::new() };
    let named: Vec<&str> = left.iter().take(NAMED).map(String::as_str).collect();
    Ok((!left.is_empty()).then(|| format!("leave behind what is no part of {what}: {}{more}", named.join(", "))))
}
